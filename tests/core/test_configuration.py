"""Argument, then environment, then waybill.toml or [tool.waybill]."""

from pathlib import Path

import pytest

from waybill import ConfigurationError, InvalidQueueNameError, JobService, UnknownQueueError, define_job
from waybill.config import Config, load_config
from waybill.testing import MemoryDriver

FILES = {
    "waybill.toml": "{}",
    "pyproject.toml": "[tool.waybill]\n{}",
}
SETTINGS = 'app = "app.jobs:service"\nurl = "memory://?lease=1s"\nqueues = ["a", "b"]\ndefault_queue = "b"\n'


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("file", FILES)
def test_settings_are_read_from_a_file(here, file):
    (here / file).write_text(FILES[file].format(SETTINGS))
    assert load_config() == Config("app.jobs:service", "memory://?lease=1s", ("a", "b"), "b")
    service = JobService()
    assert (service.driver, service.queues, service.registry.queue) == ("memory://?lease=1s", ("a", "b"), "b")


def test_waybill_toml_comes_before_pyproject(here):
    (here / "waybill.toml").write_text('url = "memory://"')
    (here / "pyproject.toml").write_text('[tool.waybill]\nurl = "other://"')
    assert load_config().url == "memory://"


def test_the_environment_comes_before_the_file(here, monkeypatch):
    (here / "waybill.toml").write_text(SETTINGS)
    monkeypatch.setenv("WAYBILL_URL", "memory://")
    monkeypatch.setenv("WAYBILL_QUEUES", "x, y")
    monkeypatch.setenv("WAYBILL_DEFAULT_QUEUE", "x")
    monkeypatch.setenv("WAYBILL_APP", "other:app")
    assert load_config() == Config("other:app", "memory://", ("x", "y"), "x")


def test_an_argument_comes_before_the_environment(monkeypatch):
    monkeypatch.setenv("WAYBILL_URL", "nowhere://")
    monkeypatch.setenv("WAYBILL_QUEUES", "x")
    monkeypatch.setenv("WAYBILL_DEFAULT_QUEUE", "x")
    service = JobService("memory://", queues=["a"], default_queue="a")
    assert (service.driver, service.queues, service.registry.queue) == ("memory://", ("a",), "a")


async def test_the_environment_holds_beside_a_driver_that_was_passed(monkeypatch):
    monkeypatch.setenv("WAYBILL_QUEUES", "a,b")
    monkeypatch.setenv("WAYBILL_DEFAULT_QUEUE", "b")
    service, job = JobService(MemoryDriver()), define_job(name="x")
    assert (await service.enqueue(job)).queue == "b"
    with pytest.raises(UnknownQueueError):
        await service.enqueue(job, queue="c")


def test_without_any_broker_the_error_names_every_way_to_give_one():
    with pytest.raises(ConfigurationError, match=r"WAYBILL_URL.*waybill.toml.*tool.waybill"):
        JobService()


BROKEN = ["url = ", "url = 5", 'queues = "a"', "queues = [1]", 'ulr = "memory://"', 'url = "\udc80"']


@pytest.mark.parametrize("text", BROKEN)
def test_a_malformed_file_is_refused_naming_it(here, text):
    (here / "waybill.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError, match=r"waybill\.toml"):
        load_config()


def test_a_table_inside_tool_waybill_is_somebody_elses(here):
    (here / "pyproject.toml").write_text('[tool.waybill]\nurl = "memory://"\n[tool.waybill.plugin]\nx = 1')
    assert load_config().url == "memory://"


def test_this_repository_is_a_place_to_run_in(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.setenv("WAYBILL_URL", "memory://")
    assert JobService().driver == "memory://"


def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("WAYBILL_URL", "")
    assert load_config().url is None


def test_a_malformed_queue_from_outside_is_refused(monkeypatch):
    monkeypatch.setenv("WAYBILL_QUEUES", "a,,b")
    with pytest.raises(InvalidQueueNameError):
        JobService("memory://")


@pytest.mark.parametrize("source", [5, object(), b"memory://"], ids=["number", "object", "bytes"])
def test_what_is_no_broker_is_refused_at_once(source):
    with pytest.raises(ConfigurationError, match="is no broker"):
        JobService(source)


async def test_a_class_of_driver_is_a_factory():
    service = JobService(MemoryDriver)
    assert (await service.enqueue(define_job(name="x"))).status == "queued"


@pytest.mark.parametrize("url", ["memory://", "redis://u:secret@h:1/0", "nonsense"])
def test_a_repr_shows_no_password_whatever_the_url(url):
    assert "secret" not in repr(JobService(url))


@pytest.mark.parametrize("wrong", [{"on_job_strat": print}, {"on_anything": None.__class__}])
def test_an_unknown_argument_is_refused(wrong):
    with pytest.raises(ConfigurationError, match="no hook argument"):
        JobService("memory://", **wrong)
