"""Annotations are text in this module: only the payload's is resolved, the rest may be for type checkers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypedDict, TypeVar

import pytest

from waybill import ConfigurationError, Job, JobContext as Run, define_job, job

if TYPE_CHECKING:
    from collections import OrderedDict as Nowhere
    from typing import Optional

    from waybill import JobContext

T = TypeVar("T")


@dataclass
class Welcome:
    user_id: str


def test_only_the_payloads_annotation_is_resolved():
    @job
    async def send(payload: Welcome, ctx: JobContext) -> Nowhere: ...

    assert send.schema is Welcome
    assert send.handler.context.name == "ctx"


def test_a_context_for_type_checkers_only_is_known_by_its_annotation():
    async def plain(payload: Welcome, run: JobContext): ...
    async def nullable(payload: Welcome, run: JobContext | None = None): ...
    async def optional(payload: Welcome, run: Optional[JobContext] = None): ...  # noqa: UP045

    for each in (plain, nullable, optional):
        assert define_job(handler=each).handler.context.name == "run"


def test_a_context_imported_under_another_name_is_known():
    async def send(payload: Welcome, c: Run): ...

    assert define_job(handler=send).handler.context.name == "c"


def test_a_payload_that_cannot_be_resolved_is_refused_with_the_cure():
    async def send(payload: Nowhere): ...

    with pytest.raises(ConfigurationError, match="pass schema="):
        define_job(handler=send)


def test_a_given_schema_needs_no_annotation_resolved():
    async def send(payload: Nowhere): ...

    assert define_job(handler=send, schema=Welcome).schema is Welcome


def test_a_class_defined_in_a_function_is_found():
    class Local(TypedDict):
        a: int

    @job
    async def decorated(payload: Local): ...

    class Written(Job):
        async def handle(self, payload: Local): ...

    async def called(payload: list[Local]): ...

    assert decorated.schema is Local
    assert Written.schema is Local
    assert define_job(handler=called).schema == list[Local]


def test_a_payload_defined_inside_the_jobs_class_is_found():
    class Send(Job):
        class Payload(TypedDict):
            a: int

        async def handle(self, payload: Payload): ...

    assert Send.schema is Send.Payload


def test_the_type_argument_of_a_generic_base_is_found():
    class Logged(Job[T], Generic[T]): ...

    class Send(Logged[Welcome]):
        async def handle(self, payload, ctx): ...

    assert Send.schema is Welcome


def test_a_payload_whose_own_fields_cannot_be_resolved_is_refused_at_the_definition():
    @dataclass
    class Broken:
        field: Nowhere

    with pytest.raises(ConfigurationError, match="pass schema="):
        define_job(name="x", schema=Broken)
