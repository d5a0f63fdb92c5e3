"""One-off schedules of EventBridge: each sends one message, and removes itself.

A schedule fires within the minute that is written in it. It is therefore made for a minute before the message is due,
and who receives it lets SQS delay it for the seconds that are left.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from botocore import exceptions

from waybill.envelope import Message
from waybill.timing import Clock

from .aws import Aws
from .names import LATER, Place
from .places import Places
from .records import to_body
from .sending import digest, group_id

_LARGEST: Final = 256_000
"""Bytes of a message that a schedule takes."""
_AHEAD: Final = timedelta(minutes=1)
_MARGIN: Final = timedelta(seconds=5)
_AT: Final = "at(%Y-%m-%dT%H:%M:%S)"
_NAME: Final = 64


class EventBridge:
    """The schedules of one open driver."""

    def __init__(self, aws: Aws, places: Places, clock: Clock) -> None:
        self._aws, self._places, self._clock = aws, places, clock

    async def schedule(self, message: Message, due: datetime) -> str | None:
        """Make a schedule; one that is there already is a repeat of the same message."""
        body = to_body(message, due)
        if len(body.encode()) > _LARGEST:
            return None
        options = self._aws.options
        # A FIFO queue would need to deduplicate by content; what is for later goes to its companion anyway.
        place = Place(message.queue, LATER if options.fifo else _level(message, options.priorities))
        target: dict[str, Any] = {
            "Arn": await self._places.arn(await self._places.url(place)),
            "RoleArn": options.role_arn,
            "Input": body,
        }
        if options.fair is not None and message.group is not None:
            target["SqsParameters"] = {"MessageGroupId": group_id(message)}
        name = self._name(message.queue, message.id)
        at = (due - _AHEAD).astimezone(UTC).replace(second=0, microsecond=0)
        try:
            await self._aws.call(
                "create_schedule",
                "scheduler",
                Name=name,
                GroupName=options.schedule_group,
                ScheduleExpression=at.strftime(_AT),
                ScheduleExpressionTimezone="UTC",
                FlexibleTimeWindow={"Mode": "OFF"},
                ActionAfterCompletion="DELETE",
                Target=target,
            )
        except exceptions.ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ConflictException":
                raise
        return name

    async def cancel(self, queue: str, message_id: str) -> bool:
        """Remove a schedule, unless it may be firing already."""
        known = {"Name": self._name(queue, message_id), "GroupName": self._aws.options.schedule_group}
        try:
            told = await self._aws.call("get_schedule", "scheduler", **known)
            at = datetime.strptime(told["ScheduleExpression"], _AT).replace(tzinfo=UTC)
            if self._clock.now() > at - _MARGIN:
                return False
            await self._aws.call("delete_schedule", "scheduler", **known)
        except exceptions.ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ResourceNotFoundException":
                raise
            return False
        return True

    def _name(self, queue: str, message_id: str) -> str:
        prefix = self._aws.options.prefix
        return f"{prefix}-{digest(queue, message_id)}"[:_NAME] if prefix else digest(queue, message_id)


def _level(message: Message, priorities: int) -> str:
    level = min(message.priority, priorities - 1)
    return f"p{level}" if level else ""
