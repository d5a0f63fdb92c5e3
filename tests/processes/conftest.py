"""The command line as its users start it: a process, an application in a directory, a queue in a file."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from waybill import Call, JobService

COMMAND = [sys.executable, "-W", "error", "-m", "waybill"]
PATIENCE = 20.0  # seconds, on a machine that has other things to do

APPLICATION = '''
import asyncio, os, time
from dataclasses import dataclass
from pathlib import Path
from waybill import JobContext, JobService, PermanentJobError, job

LEDGER = Path(__file__).with_name("ledger")
hoard = []

def write(text):
    with LEDGER.open("a") as ledger:
        ledger.write(f"{os.getpid()} {text}\\n")

@dataclass
class Note:
    text: str

@job(queue="work")
def note(payload: Note, ctx: JobContext) -> None:
    """Write it down."""
    ctx.log.info("noted", length=len(payload.text))
    write(payload.text)

@job(queue="work")
async def wait(seconds: float) -> None:
    write("begun")
    await asyncio.sleep(seconds)
    write("waited")

@job(queue="work")
def hang(seconds: float, ctx: JobContext) -> None:
    write(f"attempt {ctx.attempt}")
    time.sleep(seconds)

@job(queue="work")
def hoard_memory(megabytes: int) -> None:
    hoard.append(b"x" * megabytes * 1_000_000)
    write("begun")
    time.sleep(1.1)  # memory is looked at once a second

@job(queue="work")
def refuse() -> None:
    raise PermanentJobError("it is [bold]refused[/]\\n\\x1b[31mfor good")

service = JobService("sqlite:///jobs.db?lease=2s", jobs=[note, wait, hang, hoard_memory, refuse])

def factory() -> JobService:
    return service
'''


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The working directory, with an application in `shop.py`."""
    for name in [each for each in os.environ if each.startswith("WAYBILL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text(APPLICATION)
    return tmp_path


# Python and its libraries take a third of a second to load: this process has done so, and forks for each command.
LOADED = """
import json, os, sys
import waybill.cli.app
from waybill.__main__ import main
with open(os.dup(0)) as orders:  # sys.stdin is left for the commands
    for order in orders:
        arguments, directory, environment, files = json.loads(order)
        pid = os.fork()
        if not pid:
            os.chdir(directory)
            os.environ.clear()
            os.environ.update(environment)
            for fd, path in enumerate(files):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), fd)
            sys.argv[1:], sys.path[0] = arguments, ""
            main()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def loaded():
    command = [sys.executable, "-W", "error", "-c", LOADED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def waybill(home, loaded, tmp_path_factory):
    """Runs one command in a process of its own, to its end."""

    def run(*arguments, stdin="", env=None):
        files = tmp_path_factory.mktemp("command")
        (files / "stdin").write_text(stdin)
        streams = [str(files / each) for each in ("stdin", "stdout", "stderr")]
        order = [[str(each) for each in arguments], str(home), {**os.environ, **(env or {})}, streams]
        loaded.stdin.write(f"{json.dumps(order)}\n")
        loaded.stdin.flush()
        code = int(loaded.stdout.readline())
        return subprocess.CompletedProcess(
            arguments, code, (files / "stdout").read_text(), (files / "stderr").read_text()
        )

    return run


@pytest.fixture
def fresh(home):
    """Runs one command as a shell would."""

    def run(*arguments):
        command = [*COMMAND, *map(str, arguments)]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)

    return run


@pytest.fixture
def send(home):
    """Enqueues jobs of the application; their ids."""

    def enqueue(name, payload=None, *, times=1):
        with JobService("sqlite:///jobs.db").sync as service:
            sent = service.enqueue_batch([Call(name, payload, None, {"queue": "work"})] * times)
        return [each.job_id for each in sent.ok]

    return enqueue


@pytest.fixture
def counts(home):
    """How many jobs of the queue `work` are in each state."""

    def ask():
        with JobService("sqlite:///jobs.db").sync as service:
            return asdict(service.stats("work"))

    return ask


@pytest.fixture
def ledger(home):
    """What handlers wrote: (process, text)."""

    def read():
        path = home / "ledger"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(pid), text) for pid, _, text in (each.partition(" ") for each in lines)]

    return read


class Started:
    """A worker that is running, with its log as JSON records."""

    def __init__(self, home: Path, arguments) -> None:
        self.log = home / f"log-{time.monotonic_ns()}"
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*COMMAND, "worker", "shop:service", "--log-format", "json", *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
            )  # fmt: skip

    def records(self):
        """What it has logged; a line that is not JSON is shown as it is."""
        complete = [each for each in self.log.read_text().splitlines(keepends=True) if each.endswith("\n")]
        return [json.loads(each) if each.startswith("{") else {"message": each} for each in complete]

    def messages(self):
        return [each["message"] for each in self.records()]

    def workers(self):
        """The processes that have got ready, in that order."""
        return [each["process"] for each in self.records() if each["message"].startswith("worker ready")]

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def end(self, within=PATIENCE):
        """Wait for the end; the exit code."""
        return self.process.wait(within)


@pytest.fixture
def start(home, until):
    """Starts `waybill worker` and waits until so many processes of it are ready."""
    started = []

    def begin(*arguments, ready=1):
        worker = Started(home, arguments)
        started.append(worker)
        until(lambda: len(worker.workers()) >= ready or worker.process.poll() is not None)
        return worker

    yield begin
    for each in started:
        pids = each.workers()
        each.process.kill()
        each.process.wait()
        log = each.log.read_text()
        assert not re.search("^(Traceback|Exception ignored|Task )|ResourceWarning", log, re.MULTILINE), log
        for pid in pids:
            if alive(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def alive(pid):
    """Whether a process runs; one that is only waiting to be reaped does not."""
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError) as error:
        return isinstance(error, FileNotFoundError) and sys.platform != "linux"


@pytest.fixture(name="alive")
def _alive():
    return alive


@pytest.fixture
def until():
    """Waits until something is true."""

    def wait(condition, within=PATIENCE):
        deadline = time.monotonic() + within
        while not (found := condition()):
            assert time.monotonic() < deadline, f"still not after {within:g} s"
            time.sleep(0.02)
        return found

    return wait
