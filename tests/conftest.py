"""What every test must leave as it was: no warning, no blocked loop, no task, no thread, no socket."""

import asyncio
import gc
import importlib.util
import inspect
import logging
import signal
import threading
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from .rerun import Reruns

SOURCES = (path.parent.name for path in Path(__file__).parents[1].glob("packages/*/src/*/py.typed"))
PACKAGES = sorted(name for name in SOURCES if importlib.util.find_spec(name))  # those that are installed
GRACE = 1.0  # seconds a thread has to end after its owner was closed

# A shell starts what it sends to the background with SIGINT ignored, and children inherit that; Ctrl-C is tested here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config):
    config.pluginmanager.register(Reruns())


def pytest_collection_finish() -> None:
    collect_garbage()


def collect_garbage():
    """What outlives a test outlives most of them: keeping it out of the next collection makes one a test affordable."""
    gc.collect()
    gc.freeze()


ONE_AT_A_TIME = {"tests/crash/": "crash", "test_a_kept_report_is": "suite", "test_nothing_is_refuted_on": "suite"}
"""What has a crew of processes of its own: several at once would starve each other and everything else."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The longest first, as one process of pytest-xdist does all of a kind; everything else goes where there is room."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return next((kind for part, kind in ONE_AT_A_TIME.items() if part in nodeid), nodeid)

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def blockbuster():
    """Raises BlockingError where a package of ours blocks the event loop; tests themselves may."""
    with blockbuster_ctx(PACKAGES) as guard:
        allow_locks(guard)
        allow_zones(guard)
        yield guard


def allow_locks(guard):
    """A lock that is held for microseconds may be contended: that is chance, not a fault."""
    guard.functions["threading.Lock.acquire"].deactivate()
    guard.functions["threading.Lock.acquire_lock"].deactivate()


def allow_zones(guard):
    """A time zone's rules are one small file, which the standard library reads once."""
    for each in guard.functions.values():
        each.can_block_in("waybill/schedules/zones.py", "zone")


@pytest.fixture(autouse=True)
def no_blocked_loop(request, blockbuster):
    """Watches every test but those marked `blocks_the_loop`, whose handlers do it on purpose."""
    if request.node.get_closest_marker("blocks_the_loop"):
        blockbuster.deactivate()
        yield
        blockbuster.activate()
        allow_locks(blockbuster)  # as that has activated everything
    else:
        yield


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    """No thread outlives the test, and asyncio has nothing to complain about."""
    threads_before = set(threading.enumerate())
    complaints: list[str] = []
    listener = logging.Handler(logging.ERROR)  # "Task was destroyed", "exception was never retrieved"
    listener.emit = lambda record: complaints.append(record.getMessage())
    logging.getLogger("asyncio").addHandler(listener)
    yield
    collect_garbage()  # now: an unclosed socket or file warns in the test that lost it
    logging.getLogger("asyncio").removeHandler(listener)
    left = [thread for thread in threading.enumerate() if thread not in threads_before]
    for thread in left:
        thread.join(GRACE)
    left = [thread.name for thread in left if thread.is_alive()]
    assert not left, f"threads are left behind: {left}"
    assert not complaints, f"asyncio complained: {complaints}"


@pytest.fixture(autouse=True)
def no_task_is_left_behind(request, nothing_is_left_behind):
    """Applies to async tests: all tasks are done when the test and its fixtures are."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_tasks_of_the_loop")


@pytest.fixture
async def _tasks_of_the_loop():
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)  # whoever was cancelled last may finish
    left = [str(task) for task in asyncio.all_tasks() - before - {asyncio.current_task()}]
    assert not left, f"tasks are left behind: {left}"
