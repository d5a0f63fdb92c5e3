"""Jobs are found by the names of their files."""

import sys

import pytest

from waybill import ConfigurationError, JobModule, JobService, discover_jobs

FILES = {
    "shop_{n}/__init__.py": "",
    "shop_{n}/jobs.py": """
from waybill import Job, job
from shop_{n}.orders.process_job import ProcessOrder

@job(name="hello")
async def hello() -> None: ...
""",
    "shop_{n}/orders/__init__.py": "",
    "shop_{n}/orders/process_job.py": """
from waybill import Job

class ProcessOrder(Job[str]):
    async def handle(self, payload: str) -> None: ...
""",
    "shop_{n}/orders/helpers.py": "raise RuntimeError('imported without need')",
    "shop_{n}/mail/__init__.py": "",
    "shop_{n}/mail/jobs.py": """
from waybill import JobModule, define_job

welcome = define_job(name="welcome", handler=lambda: None)
mail = JobModule("mail", jobs=[welcome], queue="mail")
""",
}


@pytest.fixture
def shop(tmp_path, monkeypatch, request):
    number = abs(hash(request.node.name))
    for name, text in FILES.items():
        path = tmp_path / name.replace("{n}", str(number))
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text.replace("{n}", str(number)))
    monkeypatch.syspath_prepend(tmp_path)
    yield f"shop_{number}"
    for name in [each for each in sys.modules if each.startswith(f"shop_{number}")]:
        del sys.modules[name]


def test_jobs_are_found_in_files_that_nobody_imported(shop, driver):
    service = JobService(driver, jobs=discover_jobs(shop))
    assert {each.job.name: each.queue for each in service.registry} == {
        "hello": "default", "ProcessOrder": "default", "welcome": "mail",
    }  # fmt: skip


def test_a_module_of_jobs_is_found_as_a_whole(shop):
    assert [each.name for each in discover_jobs(shop) if isinstance(each, JobModule)] == ["mail"]


def test_a_single_module_is_taken_as_it_is(shop):
    assert [each.name for each in discover_jobs(f"{shop}.jobs")] == ["hello"]


def test_a_package_that_is_not_there_is_told():
    with pytest.raises(ConfigurationError, match="no_such_shop"):
        discover_jobs("no_such_shop")


def test_a_file_that_cannot_be_imported_is_told(shop, tmp_path):
    (tmp_path / shop / "broken_job.py").write_text("1 / 0")
    with pytest.raises(ConfigurationError, match="broken_job: ZeroDivisionError"):
        discover_jobs(shop)
