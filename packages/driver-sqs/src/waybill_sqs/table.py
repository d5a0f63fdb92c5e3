"""One DynamoDB table for what SQS cannot keep: values, unique keys, and messages that are due much later.

Its keys are the texts `pk` and `sk`; `exp` is the attribute of its time to live (seconds since 1970).
"""

from __future__ import annotations

import base64
import math
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any, Final

from botocore import exceptions

from waybill.timing import Clock

from .aws import Aws

Item = dict[str, Any]
_SPARE: Final = 3600
"""Seconds for which what has ended is still there, lest clocks differ."""


class Table:
    """The table, as one open driver uses it. Attributes are texts, whole numbers and bytes."""

    def __init__(self, aws: Aws, clock: Clock, name: str) -> None:
        self._aws, self._clock, self.name = aws, clock, name

    def now(self) -> int:
        """The time of day in milliseconds since 1970."""
        return math.floor(self._clock.now().timestamp() * 1000)

    def after(self, duration: timedelta) -> int:
        """The same, so much later; never earlier."""
        return math.ceil((self._clock.now().timestamp() + duration.total_seconds()) * 1000)

    async def get(self, pk: str, sk: str) -> Item | None:
        """One item, as it is now."""
        told = await self._call("get_item", Key=_marshal({"pk": pk, "sk": sk}), ConsistentRead=True)
        return _unmarshal(told["Item"]) if "Item" in told else None

    async def put(self, item: Item, condition: str = "", **values: Any) -> Item | None:
        """Store an item if the condition holds; None: it does, else the item that is there ({}: there is none)."""
        return await self._if(condition, values, "put_item", Item=_marshal(item))

    async def update(self, pk: str, sk: str, change: str, condition: str, **values: Any) -> bool:
        """Change an item if the condition holds."""
        key = _marshal({"pk": pk, "sk": sk})
        return await self._if(condition, values, "update_item", Key=key, UpdateExpression=change) is None

    async def delete(self, pk: str, sk: str, condition: str = "", **values: Any) -> bool:
        """Remove an item if the condition holds."""
        return await self._if(condition, values, "delete_item", Key=_marshal({"pk": pk, "sk": sk})) is None

    async def put_together(self, *items: Item) -> bool:
        """Store items of which none is there yet, all or none; False: one is."""
        puts = [
            {"TableName": self.name, "Item": _marshal(each), "ConditionExpression": "attribute_not_exists(pk)"}
            for each in items
        ]
        try:
            await self._aws.call("transact_write_items", "dynamodb", TransactItems=[{"Put": each} for each in puts])
        except exceptions.ClientError as error:
            reasons = {each.get("Code") for each in error.response.get("CancellationReasons", ())}
            if reasons and reasons <= {"ConditionalCheckFailed", "None"}:
                return False
            raise
        return True

    async def query(self, pk: str, *, begins: str = "", after: str = "", until: str = "") -> AsyncIterator[Item]:
        """The items of a partition in the order of `sk`: those that begin so, come after that, and not later."""
        told: Mapping[str, Any] = {}
        values, wanted = {"pk": pk}, ["pk = :pk"]
        if until:
            values["until"] = until
            wanted.append("sk <= :until")
        elif begins:
            values["begins"] = begins
            wanted.append("begins_with(sk, :begins)")
        start = {"ExclusiveStartKey": _marshal({"pk": pk, "sk": after})} if after else {}
        while True:
            told = await self._call(
                "query",
                KeyConditionExpression=" AND ".join(wanted),
                ExpressionAttributeValues=_marshal({f":{name}": value for name, value in values.items()}),
                ConsistentRead=True,
                **start,
            )
            for each in told.get("Items", ()):
                yield _unmarshal(each)
            if "LastEvaluatedKey" not in told:
                return
            start = {"ExclusiveStartKey": told["LastEvaluatedKey"]}

    async def _if(self, condition: str, values: Mapping[str, Any], verb: str, **arguments: Any) -> Item | None:
        if condition:
            arguments["ConditionExpression"] = condition
            arguments["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if values:
            arguments["ExpressionAttributeValues"] = _marshal({f":{name}": value for name, value in values.items()})
        try:
            await self._call(verb, **arguments)
        except exceptions.ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
                raise
            return _unmarshal(error.response.get("Item", {}))
        return None

    async def _call(self, verb: str, **arguments: Any) -> dict[str, Any]:
        return await self._aws.call(verb, "dynamodb", TableName=self.name, **arguments)


def expiry(ends: int) -> int:
    """When DynamoDB may throw away what ends then (in milliseconds)."""
    return ends // 1000 + _SPARE


def _marshal(item: Item) -> dict[str, dict[str, Any]]:
    marshalled: dict[str, dict[str, Any]] = {}
    for name, value in item.items():
        if isinstance(value, str):
            marshalled[name] = {"S": value}
        elif isinstance(value, bytes):
            marshalled[name] = {"B": value}
        else:
            marshalled[name] = {"N": str(value)}
    return marshalled


def _unmarshal(item: Mapping[str, Mapping[str, Any]]) -> Item:
    plain: Item = {}
    for name, told in item.items():
        [(kind, value)] = told.items()
        if kind == "B" and isinstance(value, str):  # an item in an error is as it came
            value = base64.b64decode(value)
        plain[name] = int(value) if kind == "N" else bytes(value) if kind == "B" else value
    return plain
