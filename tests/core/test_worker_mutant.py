"""The suite bites: each planted fault of a worker is caught by the test that names the promise it breaks."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MUTANTS = {
    "acks before the handler": (
        """
from waybill.running.lane import Lane
honest = Lane._process
async def process(self, run):
    await self.connection.ack(run.delivery)
    await honest(self, run)
Lane._process = process
""",
        "test_fate.py::test_any_other_error_is_nacked_and_runs_again",
    ),
    "acks on exception": (
        """
import waybill.running.lane as lane
from waybill.running.fate import Again, Done
honest = lane.settle
async def settle(connection, run, fate):
    return await honest(connection, run, Done() if isinstance(fate, Again) else fate)
lane.settle = settle
""",
        "test_fate.py::test_any_other_error_is_nacked_and_runs_again",
    ),
    "renews no lease": (
        """
from waybill.running.leases import Leases
async def renew(self, connection): pass
Leases._renew_due = renew
""",
        "test_lease.py::test_the_lease_of_a_running_job_is_renewed",
    ),
    "renews on the worker's loop only": (
        """
import waybill.running.leases as leases
leases.SystemClock = type("Never", (), {})
""",
        "test_lease.py::test_an_async_handler_that_blocks_the_loop_for_three_leases_runs_once",
    ),
    "a hook's exception kills the job": (
        """
from waybill.plugins import Hooks
async def fire(self, hook, **values):
    for each in self._found[hook]:
        each.call(values)
Hooks.fire = fire
""",
        "test_hook.py::test_a_hook_that_raises_stops_no_other_and_changes_no_fate",
    ),
    "retries without backoff": (
        """
from datetime import timedelta
from waybill import Retry
Retry.wait = lambda self, attempt, error=None: timedelta()
""",
        "test_fate.py::test_the_wait_before_another_run_is_the_backoffs",
    ),
    "acks an unknown job": (
        """
from waybill.running.execute import Executor
from waybill.running.fate import Done
async def unknown(self, run, envelope): return Done()
Executor._unknown = unknown
""",
        "test_fate.py::test_an_unknown_job_waits_for_a_new_version_and_dies_after_the_default_attempts",
    ),
    "drops what it holds at a stop": (
        """
from waybill.running.lane import Lane
async def give_back(self, run): self._leave(run)
Lane._give_back = give_back
""",
        "test_group.py::test_what_waits_behind_its_group_keeps_its_lease_and_goes_back_at_a_stop",
    ),
    "spends an attempt on what it releases": (
        """
from waybill.sending.connection import Connection
async def release(self, delivery, delay=None): await self.nack(delivery)
Connection.release = release
""",
        "test_worker.py::test_after_the_grace_the_rest_is_released_without_spending_an_attempt",
    ),
    "asks for more than it has slots": (
        """
from waybill.sending.connection import Connection
honest = Connection.receive
async def receive(self, queues, *, limit, wait): return await honest(self, queues, limit=limit + 5, wait=wait)
Connection.receive = receive
""",
        "test_worker.py::test_it_never_asks_for_more_jobs_than_it_has_free_slots",
    ),
    "runs more attempts than allowed": (
        """
import waybill.running.execute as execute
execute._INEXACT_ALLOWANCE = 99
honest = execute.Executor._execute
async def run(self, run, envelope, registered, *, exact_attempts):
    return await honest(self, run, envelope, registered, exact_attempts=False)
execute.Executor._execute = run
""",
        "test_fate.py::test_more_attempts_than_allowed_are_not_run",
    ),
    "runs a plain handler on the loop": (
        """
import waybill.running.execute as execute
async def call(handler, payload, ctx, pool, begun=None): return handler.call(payload, ctx)
execute.call_in_thread = call
""",
        "test_context.py::test_plain_handlers_never_run_on_the_event_loop",
    ),
    "runs a group side by side": (
        """
from collections import deque
from waybill.running.lane import Lane
from waybill.running.run import Run
def accept(self, delivery):
    run = Run(delivery)
    self.runs.add(run)
    self.accepted += 1
    self._free -= 1
    self._groups.setdefault((delivery.message.queue, delivery.message.group), deque()).append(run)
    self._start(run)
Lane._accept = accept
async def advance(self, group, *, goes_on): pass
Lane._advance = advance
""",
        "test_group.py::test_a_group_runs_one_by_one_in_order_and_groups_side_by_side",
    ),
    "gives up at the first refusal of a settling verb": (
        """
import waybill.running.settle as settle
settle.BrokerUnavailableError = settle.EnqueueUnknownError
""",
        "test_worker.py::test_a_settling_verb_is_repeated_while_the_lease_lasts",
    ),
    "stops receiving when the broker goes": (
        """
from datetime import timedelta
from waybill.running.lane import Lane
async def feed(self, enough):
    while not enough():
        await self.receive(timedelta(seconds=20))
Lane.feed = feed
""",
        "test_worker.py::test_receiving_goes_on_after_the_broker_was_away",
    ),
}


def run(folder, mutant):
    """The killer's run with the fault planted; None if it failed as it should."""
    source, killer = MUTANTS[mutant]
    folder.mkdir()
    (folder / "mutant.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}", "-q", "-x"]
    options = ["-p", "mutant", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "--timeout=8"]
    options += ["-o", "timeout_func_only=true"]  # what is imported first takes its time on a busy machine
    result = subprocess.run(
        [*command, *options, str(ROOT / "tests/core" / killer)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(folder), "WAYBILL_TEST_PATIENCE": "1", "PYTEST_ADDOPTS": ""},
    )
    failed = result.returncode == 1 and f"FAILED tests/core/{killer}" in result.stdout
    return None if failed else f"{mutant!r} survived {killer}:\n{result.stdout[-1500:]}{result.stderr[-500:]}"


@pytest.mark.timeout(180)
def test_every_mutant_worker_dies_by_its_test(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda each: run(tmp_path / str(each[0]), each[1]), enumerate(MUTANTS)))
    survivors = [each for each in told if each is not None]
    assert not survivors, "\n\n".join(survivors)
