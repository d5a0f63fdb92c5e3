"""open_driver picks the entry point by the URL's scheme, and imports that package alone."""

import sys

import pytest

from waybill import BrokerUnavailableError, ConfigurationError, DriverNotFoundError, JobService, define_job, open_driver
from waybill.drivers.memory import MemoryDriver

MODULE = """
from waybill.drivers.memory import MemoryDriver

class Driver(MemoryDriver):
    def __init__(self, url):
        super().__init__()
        self.url = url
    from_url = None
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with one entry point on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(name, module, group, entry, source=MODULE):
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[{group}]\n{entry} = {module}:{'Driver' if source is MODULE else 'plugin'}\n"
        )

    yield make
    for name in [name for name, each in sys.modules.items() if str(tmp_path) in str(getattr(each, "__file__", ""))]:
        del sys.modules[name]


def test_memory_is_built_in():
    driver = open_driver("memory://?lease=5s")
    assert isinstance(driver, MemoryDriver)
    assert driver.capabilities.lease.total_seconds() == 5


def test_an_unknown_option_of_it_is_refused():
    with pytest.raises(ConfigurationError, match="did you mean 'lease'"):
        open_driver("memory://?leas=5s")


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("redis://h", "waybill-redis"),
        ("rediss://h", "waybill-redis"),
        ("amqps://h", "waybill-rabbitmq"),
        ("tls+nats://h", "waybill-nats"),
        ("sqs://eu", "waybill-sqs"),
        ("kafka://h", "waybill-kafka"),
    ],
)
def test_a_missing_package_names_the_pip_command(monkeypatch, url, package):
    monkeypatch.setattr("waybill.drivers.installed_drivers", lambda: {"memory": []})
    with pytest.raises(DriverNotFoundError, match=f"pip install {package}$") as caught:
        open_driver(url)
    assert caught.value.installed == ("memory",)


def test_a_foreign_package_serves_its_scheme_and_is_imported_only_then(install):
    install("foreign", "foreign_driver", "waybill.drivers", "foreign")
    open_driver("memory://")
    assert "foreign_driver" not in sys.modules
    driver = open_driver("foreign://u:p@h/x?y=1")
    assert type(driver).__module__ == "foreign_driver"
    assert driver.url == "foreign://u:p@h/x?y=1"


async def test_a_foreign_package_serves_a_service(install):
    install("foreign", "foreign_driver", "waybill.drivers", "foreign")
    async with JobService("foreign://") as service:
        assert (await service.enqueue(define_job(name="x"))).status == "queued"


def test_two_packages_for_one_scheme_are_refused_by_name(install):
    install("one-driver", "one", "waybill.drivers", "shared")
    install("other-driver", "other", "waybill.drivers", "shared")
    with pytest.raises(ConfigurationError, match="one-driver and other-driver"):
        open_driver("shared://")
    assert not {"one", "other"} & set(sys.modules)


@pytest.mark.parametrize("source", ["import nothing_of_that_name", "x = 1"], ids=["import", "attribute"])
def test_a_package_that_cannot_be_imported_is_named(install, source):
    install("broken-driver", "broken", "waybill.drivers", "broken", source)
    with pytest.raises(ConfigurationError, match="broken-driver"):
        open_driver("broken://u:secret@h")


async def test_what_opening_raises_is_not_swallowed(wrapped, driver):
    async def fail(name, *args):
        raise BrokerUnavailableError("no route")

    with pytest.raises(BrokerUnavailableError, match="no route"):
        await JobService(lambda: wrapped(driver, before=fail)).open()


PLUGIN = """
from waybill import hookimpl
seen = []
class plugin:
    @staticmethod
    @hookimpl
    def waybill_job_enqueued(job):
        seen.append(job.job_name)
"""


async def test_an_installed_plugin_is_loaded_from_its_entry_point(install):
    install("a-plugin", "a_plugin", "waybill.plugins", "seen", PLUGIN)
    service = JobService("memory://")
    assert "a_plugin" not in sys.modules
    await service.enqueue(define_job(name="x"))
    assert sys.modules["a_plugin"].seen == ["x"]


async def test_a_plugin_that_is_given_and_installed_is_one(install):
    install("a-plugin", "a_plugin", "waybill.plugins", "seen", PLUGIN)
    import a_plugin

    await JobService("memory://", plugins=[a_plugin.plugin]).enqueue(define_job(name="x"))
    assert a_plugin.seen == ["x"]


async def test_an_installed_plugin_that_cannot_be_imported_is_named(install):
    install("a-plugin", "a_plugin", "waybill.plugins", "broken", "import nothing_of_that_name")
    with pytest.raises(ConfigurationError, match="'broken'"):
        await JobService("memory://").open()
