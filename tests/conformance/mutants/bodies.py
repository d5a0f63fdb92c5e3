"""Faults of what is inside a message."""

import json
from dataclasses import replace

from waybill.testing import MemoryDriver

from . import killed_by


class Mangles(MemoryDriver):
    """Does something to every body."""

    def mangled(self, body):
        raise NotImplementedError

    async def enqueue(self, message):
        return await super().enqueue(replace(message, body=self.mangled(message.body)))


@killed_by("test_all_bytes_arrive")
class CutsAtNul(Mangles):
    """A C string."""

    def mangled(self, body):
        return body.partition(b"\x00")[0]


@killed_by("test_all_bytes_arrive", "test_a_large_body_arrives")
class TextOnly(Mangles):
    """Bodies travel as text."""

    def mangled(self, body):
        return body.decode(errors="replace").encode()


@killed_by("test_text_of_every_kind_arrives")
class EscapesText(Mangles):
    """JSON is read and written anew."""

    def mangled(self, body):
        try:
            return json.dumps(json.loads(body), separators=(",", ":")).encode()
        except ValueError:
            return body


@killed_by("test_an_object_with_fields_of_the_transport_arrives_unchanged")
class TakesTheirFieldsForOurs(Mangles):
    """Reads its own fields out of somebody else's object."""

    def mangled(self, body):
        try:
            members = json.loads(body)
        except ValueError:
            return body
        if isinstance(members, dict) and {"id", "due", "raw"} & members.keys():
            return json.dumps({n: v for n, v in members.items() if n not in ("id", "due", "raw", "attempts")}).encode()
        return body


@killed_by("test_an_empty_body_arrives")
class NothingIsNull(Mangles):
    """An empty body becomes null."""

    def mangled(self, body):
        return body or b"null"


@killed_by("test_a_body_of_exactly_the_limit_arrives")
class CountsTheLimitAsTextLength(Mangles):
    """Claims 64 KiB, and the escapes of the transport count too."""

    @property
    def capabilities(self):
        return replace(super().capabilities, max_message_bytes=65_536)

    def mangled(self, body):
        return body if len(body) < 65_536 else body[:65_535]


@killed_by("test_a_large_body_arrives")
class CutsAtAMebibyte(Mangles):
    """What is over a mebibyte is cut off."""

    def mangled(self, body):
        return body[: 2**20]


@killed_by("test_what_is_changed_after_the_enqueue_is_not_changed_in_the_broker")
class KeepsTheCallersHeaders(MemoryDriver):
    """Stores the very object that it was given."""

    async def enqueue(self, message):
        answer = await super().enqueue(message)
        record = self._shared.queue(message.queue).records.get(message.id)
        if record is not None:
            record.message = message
        return answer


@killed_by(
    "test_what_a_receiver_changes_is_not_changed_for_the_next",
    "test_what_a_receiver_changes_does_not_go_back_with_a_release",
    "test_what_a_receiver_changes_is_not_changed_in_the_dead_letter",
)
class HandsOutItsOwnHeaders(MemoryDriver):
    """Delivers the stored object, to be changed by whoever likes."""

    async def enqueue(self, message):
        answer = await super().enqueue(message)
        record = self._shared.queue(message.queue).records.get(message.id)
        if record is not None:
            record.message = replace(record.message, headers=dict(message.headers))
        return answer


@killed_by("test_four_kibibytes_of_headers_arrive")
class TenHeadersAtMost(MemoryDriver):
    """As many attributes as SQS takes."""

    async def enqueue(self, message):
        return await super().enqueue(replace(message, headers=dict(list(message.headers.items())[:10])))
