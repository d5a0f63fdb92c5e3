"""What keeps messages that are due in more than 15 minutes, where that is not SQS itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from .document import Value, arn, sub
from .queues import Queues
from .spec import Stack

_POLICY: Final = "2012-10-17"


@dataclass(frozen=True, slots=True)
class Scheduling:
    """What a scheduler adds to a stack."""

    settings: Sequence[str] = ()
    """Of the URL."""
    rights: Sequence[Value] = ()
    """Of whoever sends jobs."""
    resources: dict[str, Value] = field(default_factory=dict)


def scheduling(stack: Stack, queues: Queues) -> Scheduling:
    """What the stack's `scheduler=` needs."""
    match stack.options.scheduler:
        case "eventbridge":
            return _eventbridge(stack, queues)
        case _:
            return Scheduling()


def _eventbridge(stack: Stack, queues: Queues) -> Scheduling:
    group = stack.options.schedule_group
    role: Value = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": _POLICY,
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "scheduler.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                        "Condition": {"StringEquals": {"aws:SourceAccount": sub("${AWS::AccountId}")}},
                    }
                ],
            },
            "Policies": [
                {
                    "PolicyName": "send",
                    "PolicyDocument": {
                        "Version": _POLICY,
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Action": "sqs:SendMessage",
                                "Resource": queues.arns(queues.all()),
                            }
                        ],
                    },
                }
            ],
        },
    }
    schedules = f"arn:${{AWS::Partition}}:scheduler:${{AWS::Region}}:${{AWS::AccountId}}:schedule/{group}/*"
    rights: list[Value] = [
        {
            "Effect": "Allow",
            "Action": ["scheduler:CreateSchedule", "scheduler:DeleteSchedule", "scheduler:GetSchedule"],
            "Resource": sub(schedules),
        },
        {
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": arn("SchedulerRole"),
            "Condition": {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
        },
    ]
    resources: dict[str, Value] = {"SchedulerRole": role}
    if group != "default":
        resources["ScheduleGroup"] = {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {"Name": group}}
    settings = ["scheduler=eventbridge", "role_arn=${SchedulerRole.Arn}"]
    return Scheduling(settings, rights, resources)
