"""Faults that show only between processes: the SQLite driver in one of them is broken."""

from dataclasses import replace
from datetime import timedelta

from waybill_sqlite import SqliteDriver

from . import killed_by


@killed_by("test_processes_share_a_queue_without_loss_or_double")
class StoresEveryThirdTwice(SqliteDriver):
    """A repeat under another id."""

    async def enqueue(self, message):
        if message.id.endswith(("3", "6", "9")):
            await super().enqueue(replace(message, id=f"{message.id}~"))
        return await super().enqueue(message)


@killed_by("test_a_blocked_receive_wakes_when_another_process_sends")
class SleepsThroughOtherProcesses(SqliteDriver):
    """Looks only at its own commits."""

    async def receive(self, queue, *, limit, wait):
        if wait > timedelta(seconds=10):
            await super().receive("another", limit=1, wait=timedelta(seconds=6))
        return await super().receive(queue, limit=limit, wait=wait)


@killed_by("test_what_a_killed_process_had_sent_is_there")
class ForgetsOtherProcesses(SqliteDriver):
    """Shows one less than there is."""

    async def receive(self, queue, *, limit, wait):
        got = await super().receive(queue, limit=limit, wait=wait)
        return got[1:]


@killed_by("test_what_a_killed_process_held_comes_back")
class TakesNothingBack(SqliteDriver):
    """Leases that another process let end are never seen."""

    async def receive(self, queue, *, limit, wait):
        return [each for each in await super().receive(queue, limit=limit, wait=wait) if each.attempt == 1]
