"""What an application needs on AWS: its queues, the function that runs its jobs, and the rights of both sides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from ..options import SqsOptions
from .document import Value, arn, ref, sub
from .policies import allow, assumed_by, document, inline
from .queues import Queues
from .schedulers import beside, scheduler_function
from .spec import Stack

_HERE_ONLY: Final = frozenset({"create", "endpoint_url", "profile", "role_arn", "scheduler", "table", "tls_ca"})
"""Options of whoever asks for the template, or that the template itself sets."""


def template(stack: Stack) -> dict[str, Value]:
    """The template of a stack, in the form of the Serverless Application Model."""
    queues = Queues(stack)
    more = beside(stack, queues)
    rights = [right for each in more for right in each.rights]
    settings = [*_settings(stack.options), *(setting for each in more for setting in each.settings)]
    url = f"sqs://${{AWS::Region}}?{'&'.join(settings)}"
    running = inline("run", [*_rights_to_run(queues), *rights])
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": "Background jobs of Waybill: queues, their dead letters, and the function that runs the jobs",
        "Resources": {
            **queues.resources(),
            "JobsFunction": _function(stack, queues, url),
            "JobsRole": assumed_by("lambda.amazonaws.com", [running], logs=True),
            "SendingPolicy": _policy_to_send(queues, rights),
            **{name: resource for each in more for name, resource in each.resources.items()},
            **scheduler_function(stack, queues, url),
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
    """What differs from the defaults, as in a URL; nobody creates queues, as the stack does."""
    defaults = SqsOptions()
    for each in fields(options):
        value = getattr(options, each.name)
        if each.name not in _HERE_ONLY and value != getattr(defaults, each.name):
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


def _rights_to_run(queues: Queues) -> list[Value]:
    taking = [f"sqs:{each}" for each in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")]
    return [
        allow([*taking, "sqs:GetQueueAttributes"], queues.arns(queues.of_work())),
        allow(["sqs:SendMessage", "sqs:GetQueueUrl"], queues.arns(queues.all())),
    ]


def _policy_to_send(queues: Queues, rights: Sequence[Value]) -> dict[str, Value]:
    sending = allow(["sqs:SendMessage", "sqs:GetQueueUrl"], queues.arns(queues.of_work()))
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "Description": "What a program needs to send jobs",
            "PolicyDocument": document([sending, *rights]),
        },
    }
