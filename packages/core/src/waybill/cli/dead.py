"""`waybill dead`: what was given up, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
import typer

from ..driver import DeadLetter
from ..envelope import decode
from ..sending.service import JobService
from ..timing import format_moment
from .application import find_service
from .failures import CommandError
from .logs import configure_logging
from .output import AsJson, Yes, ask, cell, counted, plain, print_json, say, screen, table
from .queues import names_of_queues
from .settings import Settings

_PAGE = 100


def list_dead(
    settings: Settings,
    *,
    queue: Annotated[str | None, typer.Argument(help="Only this one's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many of each queue.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters with their reasons."""
    service = _service(settings)

    async def read() -> list[tuple[str, DeadLetter]]:
        async with service:
            names = [service.rules.checked_queue(queue)] if queue else await names_of_queues(service)
            return [(name, each) for name in names for each in await _some(service, name, limit)]

    found = asyncio.run(read())
    if as_json:
        print_json([_facts(name, each) for name, each in found])
        return
    made = table("queue", "job", "id", "reason", "error", "attempt", "given up", numbers=["attempt"])
    for name, each in found:
        reason = each.reason
        made.add_row(
            cell(name),
            cell(_job_name(each)),
            cell(each.message.id),
            cell(reason.code, "red"),
            cell(reason.error),
            cell(reason.attempt),
            cell(reason.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")),
        )
    if found:
        screen().print(made)
    else:
        say("no dead letters")


def show(settings: Settings, *, queue: str, job_id: str, as_json: AsJson = False) -> None:
    """Show one dead letter with its payload."""
    service = _service(settings)

    async def find() -> DeadLetter | None:
        async with service:
            async for each in _all(service, service.rules.checked_queue(queue)):
                if each.message.id == job_id:
                    return each
        return None

    found = asyncio.run(find())
    if found is None:
        raise CommandError(f"{queue!r} has no dead letter {job_id!r}", exit_code=1)
    facts = _facts(queue, found) | _content(found)
    if as_json:
        print_json(facts)
        return
    made = table("", "")
    made.show_header = False
    for name, value in facts.items():
        text = value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
        made.add_row(cell(name, "dim"), "\n".join(plain(line) for line in text.splitlines()), style="")
    screen().print(made, markup=False)


def retry(
    settings: Settings,
    *,
    queue: str,
    ids: Annotated[list[str] | None, typer.Argument(metavar="JOB_ID...")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every dead letter of the queue.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to their queue, with their attempts forgotten."""
    if bool(ids) == every:
        raise CommandError("say which: the ids of some dead letters, or --all")
    service = _service(settings)

    async def send_back() -> int:
        async with service:
            return await service.retry_dead(service.rules.checked_queue(queue), ids or None)

    count = asyncio.run(send_back())
    if as_json:
        print_json({"queue": queue, "retried": count})
    else:
        say(f"{counted(count, 'dead letter')} of {queue!r} sent back")
    if ids and count < len(set(ids)):
        raise CommandError(
            f"{counted(len(set(ids)) - count, 'id')} not among the dead letters of {queue!r}", exit_code=1
        )


def purge(settings: Settings, *, queue: str, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a queue's dead letters for good."""
    service = _service(settings)

    async def count() -> int | None:
        async with service:
            return (await service.stats(service.rules.checked_queue(queue))).dead

    async def delete() -> int | None:
        async with service:
            return await service.purge_dead(queue)

    number = asyncio.run(count())
    ask(f"Delete {counted(number, 'dead letter')} of {queue!r} on {service.broker_of(queue)} for good?", yes=yes)
    deleted = asyncio.run(delete())
    if as_json:
        print_json({"queue": queue, "deleted": deleted})
    else:
        say(f"{counted(deleted, 'dead letter')} of {queue!r} deleted")


def _service(settings: Settings) -> JobService:
    service = find_service(settings)
    configure_logging(settings)
    return service


async def _all(service: JobService, queue: str) -> AsyncIterator[DeadLetter]:
    after: str | None = None
    while True:
        page = await service.dead_letters(queue, after=after, limit=_PAGE)
        for each in page.entries:
            yield each
        after = page.next
        if after is None:
            return


async def _some(service: JobService, queue: str, limit: int) -> list[DeadLetter]:
    found: list[DeadLetter] = []
    async for each in _all(service, queue):
        found.append(each)
        if len(found) == limit:
            break
    return found


def _facts(queue: str, letter: DeadLetter) -> dict[str, Any]:
    reason = letter.reason
    return {
        "queue": queue,
        "job_id": letter.message.id,
        "job_name": _job_name(letter),
        "code": reason.code,
        "error": reason.error,
        "attempt": reason.attempt,
        "at": format_moment(reason.at),
    }


def _content(letter: DeadLetter) -> dict[str, Any]:
    """What the message says, but for its session; where it says nothing readable, its bytes."""
    try:
        envelope = decode(letter.message.body)
        payload = msgspec.json.decode(envelope.payload)
    except (ValueError, RecursionError):
        return {"raw": letter.message.body.decode("utf-8", "backslashreplace")}
    enqueued = None if envelope.enqueued_at is None else format_moment(envelope.enqueued_at)
    return {"enqueued_at": enqueued, "metadata": envelope.metadata or {}, "payload": payload}


def _job_name(letter: DeadLetter) -> str | None:
    try:
        return letter.message.job_name
    except ValueError:
        return None
