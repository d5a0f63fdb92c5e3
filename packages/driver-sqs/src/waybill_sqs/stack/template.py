"""What an application needs on AWS: its queues, the function that runs its jobs, and the rights of both sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from ..options import SqsOptions
from .document import Value, arn, ref, sub
from .queues import Queues
from .schedulers import Scheduling, scheduling
from .spec import Stack

_POLICY: Final = "2012-10-17"
_HERE_ONLY: Final = frozenset({"create", "endpoint_url", "profile", "role_arn", "table", "tls_ca"})
"""Options of whoever asks for the template, or that the template itself sets."""


def template(stack: Stack) -> dict[str, Value]:
    """The template of a stack, in the form of the Serverless Application Model."""
    queues = Queues(stack)
    extra = scheduling(stack, queues)
    url = f"sqs://${{AWS::Region}}?{'&'.join((*_settings(stack.options), *extra.settings))}"
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": "Background jobs of Waybill: queues, their dead letters, and the function that runs the jobs",
        "Resources": {
            **queues.resources(),
            "JobsFunction": _function(stack, queues, url),
            "JobsRole": _role(_rights_to_run(queues, extra)),
            "SendingPolicy": _policy_to_send(queues, extra),
            **extra.resources,
        },
        "Outputs": {
            "WaybillUrl": {"Description": "What those who send jobs set as WAYBILL_URL", "Value": sub(url)},
            "SendingPolicyArn": {
                "Description": "What the roles of those who send jobs need",
                "Value": ref("SendingPolicy"),
            },
            "JobsFunctionArn": {
                "Description": "What a schedule invokes that names a job",
                "Value": arn("JobsFunction"),
            },
        },
    }


def _settings(options: SqsOptions) -> Iterable[str]:
    """What differs from the defaults, as in a URL; the function creates no queues, as the stack does."""
    defaults = SqsOptions()
    for each in fields(options):
        value = getattr(options, each.name)
        if each.name not in _HERE_ONLY and value != getattr(defaults, each.name) and each.name != "scheduler":
            yield f"{each.name}={quote(_told(value), safe='')}"
    yield "create=never"


def _told(value: object) -> str:
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _function(stack: Stack, queues: Queues, url: str) -> dict[str, Value]:
    return {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "Handler": stack.handler,
            "Runtime": stack.runtime,
            "CodeUri": stack.code,
            "Timeout": int(stack.timeout.total_seconds()),
            "MemorySize": stack.memory,
            "Role": arn("JobsRole"),
            "Environment": {"Variables": {"WAYBILL_URL": sub(url)}},
            "Events": queues.events(),
        },
    }


def _role(rights: Sequence[Value]) -> dict[str, Value]:
    logging = "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {
                "Version": _POLICY,
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "lambda.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    }
                ],
            },
            "ManagedPolicyArns": [sub(logging)],
            "Policies": [{"PolicyName": "jobs", "PolicyDocument": {"Version": _POLICY, "Statement": rights}}],
        },
    }


def _rights_to_run(queues: Queues, extra: Scheduling) -> list[Value]:
    return [
        {
            "Effect": "Allow",
            "Action": [
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:ChangeMessageVisibility",
                "sqs:GetQueueAttributes",
            ],
            "Resource": queues.arns(queues.of_work()),
        },
        {
            "Effect": "Allow",
            "Action": ["sqs:SendMessage", "sqs:GetQueueUrl"],
            "Resource": queues.arns(queues.all()),
        },
        *extra.rights,
    ]


def _policy_to_send(queues: Queues, extra: Scheduling) -> dict[str, Value]:
    sending: Value = {
        "Effect": "Allow",
        "Action": ["sqs:SendMessage", "sqs:GetQueueUrl"],
        "Resource": queues.arns(queues.of_work()),
    }
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "Description": "What a program needs to send jobs",
            "PolicyDocument": {"Version": _POLICY, "Statement": [sending, *extra.rights]},
        },
    }
