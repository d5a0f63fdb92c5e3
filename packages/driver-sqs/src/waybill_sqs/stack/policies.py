"""Roles and what they allow, in CloudFormation's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .document import Value, sub

_VERSION: Final = "2012-10-17"
_LOGS: Final = "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def allow(actions: Sequence[str], resource: Value, condition: Value | None = None) -> Value:
    """A statement of a policy."""
    statement: dict[str, Value] = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return statement if condition is None else {**statement, "Condition": condition}


def document(statements: Sequence[Value]) -> Value:
    """A policy's statements."""
    return {"Version": _VERSION, "Statement": list(statements)}


def inline(name: str, statements: Sequence[Value]) -> Value:
    """A policy of one role."""
    return {"PolicyName": name, "PolicyDocument": document(statements)}


def assumed_by(
    service: str, policies: Sequence[Value], *, logs: bool = False, of_this_account: bool = False
) -> dict[str, Value]:
    """A role of a service of AWS.

    Args:
        service: who may take it.
        policies: what it may do.
        logs: whether it writes logs, as functions do.
        of_this_account: whether the service may take it for this account alone.
    """
    trust: dict[str, Value] = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    if of_this_account:
        trust["Condition"] = {"StringEquals": {"aws:SourceAccount": sub("${AWS::AccountId}")}}
    properties: dict[str, Value] = {"AssumeRolePolicyDocument": document([trust])}
    if logs:
        properties["ManagedPolicyArns"] = [sub(_LOGS)]
    return {"Type": "AWS::IAM::Role", "Properties": {**properties, "Policies": list(policies)}}
