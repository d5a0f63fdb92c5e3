"""Commands of an application: found by key, run with its service, their end is the exit code."""

import json
import os
import subprocess
import sys

import pytest

APP = ("--app", "shop:service")

COMMANDS = """
from waybill import Command, Job, JobService, ShowProgress

class ProcessUser(Job[int]):
    queue = "work"
    async def handle(self, payload: int) -> None: ...

class ProcessUsers(Command):
    key = "users:process"
    description = "Queue a job for each user"

    async def handle(self, service: JobService, arguments) -> bool:
        users = range(int(arguments[0]) if arguments else 3)
        await service.enqueue_many(ProcessUser, users, on_progress=ShowProgress())
        await ProcessUser().dispatch(99)
        self.success("all of them")
        return False

class Fail(Command):
    key = "users:fail"

    async def handle(self, service, arguments):
        raise ValueError("no users today")

service = JobService("sqlite:///jobs.db", jobs=[ProcessUser])
"""

PACKAGE = {
    "users_plugin.py": """
from waybill import Command

class Count(Command):
    key = "plugin:count"
    async def handle(self, service, arguments):
        self.info(f"counted {' '.join(arguments)}")
""",
    "users_plugin-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: users-plugin\nVersion: 1.0\n",
    "users_plugin-1.0.dist-info/entry_points.txt": "[waybill.job_commands]\nusers:count = users_plugin:Count\nusers:none = users_plugin:Nothing\n",
}


@pytest.fixture
def application(home):
    (home / "shop.py").write_text(COMMANDS)
    return home


def test_a_command_queues_its_jobs_and_tells_both_counts(waybill, application, counts):
    result = waybill("run", "users:process", *APP)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "Queueing 3 jobs…\nQueued 3 jobs\nall of them\n"
    assert counts()["ready"] == 4


def test_arguments_are_handed_over(waybill, application, counts):
    assert waybill("run", *APP, "users:process", "7").returncode == 0
    assert counts()["ready"] == 8


def test_a_command_that_raises_ends_with_1(waybill, application):
    result = waybill("run", "users:fail", *APP)
    assert result.returncode == 1
    assert "no users today" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_command_is_told_with_what_was_meant(waybill, application):
    result = waybill("run", "user:process", *APP)
    assert (result.returncode, result.stderr) == (
        2, "error: there is no command 'user:process'; did you mean 'users:process'?\n",
    )  # fmt: skip


def test_without_a_key_they_are_listed(waybill, application):
    told = waybill("run", *APP).stdout
    assert "users:process" in told
    assert "Queue a job for each user" in told


def test_a_command_of_an_installed_package_is_found_by_its_entry_point(home, tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    for name, text in PACKAGE.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(text)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "waybill", *arguments], env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip

    done = run("run", "users:count", "one", "two", *APP)
    assert (done.returncode, done.stdout, done.stderr) == (0, "counted one two\n", "")
    broken = run("run", "users:none", *APP)
    assert broken.returncode != 0
    assert "users_plugin:Nothing" in broken.stderr


def test_jobs_lists_a_job_of_a_file_that_nobody_imported(waybill, home):
    (home / "stall").mkdir()
    (home / "stall" / "__init__.py").write_text("")
    (home / "stall" / "sell_job.py").write_text("from waybill import job\n\n@job\nasync def sell() -> None: ...\n")
    (home / "shop.py").write_text(
        "from waybill import JobService, discover_jobs\nservice = JobService('memory://', jobs=discover_jobs('stall'))\n"
    )
    listed = json.loads(waybill("jobs", *APP, "--json").stdout)
    assert [each["name"] for each in listed] == ["sell"]
