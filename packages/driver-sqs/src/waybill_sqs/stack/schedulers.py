"""What a stack has beside SQS: schedules of EventBridge, and a table for state, unique keys and long delays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from .document import Value, arn, sub
from .policies import allow, assumed_by, inline
from .queues import Queues
from .spec import Stack

_TABLE: tuple[str, ...] = ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query")


@dataclass(frozen=True, slots=True)
class Beside:
    """What one of them adds to a stack."""

    settings: Sequence[str] = ()
    """Of the URL."""
    rights: Sequence[Value] = ()
    """Of those who send jobs, and of those who run them."""
    resources: dict[str, Value] = field(default_factory=dict)


def beside(stack: Stack, queues: Queues) -> list[Beside]:
    """What the stack's `scheduler=` and `table=` need."""
    needed: list[Beside] = []
    if stack.options.table is not None:
        needed.append(_table(stack.options.table))
    if stack.options.scheduler == "eventbridge":
        needed.append(_schedules(stack, queues))
    if stack.options.scheduler == "dynamodb":
        needed.append(Beside(settings=["scheduler=dynamodb"]))
    return needed


def scheduler_function(stack: Stack, queues: Queues, url: str) -> dict[str, Value]:
    """What sends each minute what the table keeps and is due, where that is the scheduler."""
    if stack.options.scheduler != "dynamodb":
        return {}
    rights = [_right_to_table(), allow(["sqs:SendMessage", "sqs:GetQueueUrl"], queues.arns(queues.of_work()))]
    return {
        "SchedulerFunction": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Handler": stack.scheduler_handler,
                "Runtime": stack.runtime,
                "CodeUri": stack.code,
                "Timeout": 60,
                "MemorySize": 256,
                "Role": arn("SchedulerFunctionRole"),
                "Environment": {"Variables": {"WAYBILL_URL": sub(url)}},
                "Events": {"EachMinute": {"Type": "Schedule", "Properties": {"Schedule": "rate(1 minute)"}}},
            },
        },
        "SchedulerFunctionRole": assumed_by("lambda.amazonaws.com", [inline("schedule", rights)], logs=True),
    }


def _table(name: str) -> Beside:
    keys: list[Value] = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    table: Value = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
            "KeySchema": keys,
            "TimeToLiveSpecification": {"AttributeName": "exp", "Enabled": True},
        },
    }
    return Beside([f"table={quote(name, safe='')}"], [_right_to_table()], {"JobsTable": table})


def _right_to_table() -> Value:
    return allow([f"dynamodb:{each}" for each in _TABLE], arn("JobsTable"))


def _schedules(stack: Stack, queues: Queues) -> Beside:
    group, prefix = stack.options.schedule_group, stack.options.prefix
    schedules = f"schedule/{group}/{prefix}-*" if prefix else f"schedule/{group}/*"
    sending = inline("send", [allow(["sqs:SendMessage"], queues.arns(queues.of_work()))])
    resources: dict[str, Value] = {
        "SchedulesRole": assumed_by("scheduler.amazonaws.com", [sending], of_this_account=True)
    }
    if group != "default":
        resources["ScheduleGroup"] = {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {"Name": group}}
    rights = [
        allow(
            [f"scheduler:{each}Schedule" for each in ("Create", "Delete", "Get")],
            sub(f"arn:${{AWS::Partition}}:scheduler:${{AWS::Region}}:${{AWS::AccountId}}:{schedules}"),
        ),
        allow(
            ["iam:PassRole"],
            arn("SchedulesRole"),
            {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
        ),
        allow(["sqs:GetQueueAttributes"], queues.arns(queues.of_work())),  # a schedule names its queue by the ARN
    ]
    return Beside(["scheduler=eventbridge", "role_arn=${SchedulesRole.Arn}"], rights, resources)
