"""Options come from the URL or by keyword, are checked once, and are told by `diagnose`."""

import sqlite3
from datetime import timedelta

import pytest

from waybill.driver import BrokerUrl
from waybill.drivers import open_driver
from waybill.errors import ConfigurationError
from waybill_sqlite import SqliteDriver, SqliteOptions, diagnose


def of(url):
    return SqliteDriver.from_url(BrokerUrl.parse(url))


def test_a_url_names_a_relative_or_an_absolute_file():
    assert of("sqlite:///jobs.db").path == "jobs.db"
    assert of("sqlite:////var/lib/app/jobs.db").path == "/var/lib/app/jobs.db"
    assert of("sqlite:///my%20jobs.db").path == "my jobs.db"


def test_every_option_is_read_from_the_url():
    url = "sqlite:///j.db?durability=normal&lease=5s&timeout=2s&wake=poll&poll=50ms&gate=false&cache_mb=4"
    expected = SqliteOptions(
        durability="normal",
        lease=timedelta(seconds=5),
        timeout=timedelta(seconds=2),
        wake="poll",
        poll=timedelta(milliseconds=50),
        gate=False,
        cache_mb=4,
    )
    assert of(url).options == expected
    assert of("sqlite:///j.db").options == SqliteOptions() == SqliteDriver("j.db").options


def test_the_entry_point_opens_it_by_url(tmp_path):
    assert isinstance(open_driver(f"sqlite:///{tmp_path}/jobs.db"), SqliteDriver)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://jobs.db", "three slashes"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///j.db?leese=5s", "did you mean 'lease'"),
        ("sqlite:///j.db?lease=5", "5s"),
        ("sqlite:///j.db?lease=0s", "lease"),
        ("sqlite:///j.db?timeout=0s", "timeout"),
        ("sqlite:///j.db?poll=0s", "poll"),
        ("sqlite:///j.db?durability=off", "full, normal"),
        ("sqlite:///j.db?wake=telepathy", "auto, socket, poll"),
        ("sqlite:///j.db?gate=maybe", "true nor false"),
        ("sqlite:///j.db?cache_mb=lots", "cache_mb"),
        ("sqlite:///j.db?cache_mb=0", "cache_mb"),
    ],
)
def test_a_wrong_url_is_refused_with_the_cure(url, words):
    with pytest.raises(ConfigurationError, match=words):
        of(url)


@pytest.mark.parametrize("option", [{"durability": "off"}, {"wake": ""}, {"lease": timedelta()}, {"cache_mb": -1}])
def test_a_wrong_keyword_is_refused(option):
    with pytest.raises(ConfigurationError):
        SqliteDriver("j.db", **option)


async def test_the_options_reach_sqlite(connect):
    driver = await connect(cache_mb=3)

    def pragmas(store):
        return [store.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "cache_size")]

    assert await driver._database.writer.call(pragmas) == ["wal", 2, -3072]
    driver = await connect(durability="normal")
    assert await driver._database.writer.call(pragmas) == ["wal", 1, -16384]


async def test_a_relative_path_is_that_of_the_opening(connect, tmp_path, monkeypatch, message):
    monkeypatch.chdir(tmp_path)
    driver = await connect("jobs.db")
    monkeypatch.chdir("/")
    await driver.enqueue(message())
    assert driver.path == str(tmp_path / "jobs.db")
    assert driver.clone().path == driver.path


async def test_a_driver_without_a_gate_works_too(connect, message, path):
    one, two = await connect(gate=False), await connect(gate=False)
    for _ in range(20):
        await one.enqueue(message())
        await two.enqueue(message())
    assert (await one.stats("q")).ready == 40
    assert not path.with_name("jobs.db-gate").exists()


async def test_diagnose_tells_what_a_file_really_promises(connect, path):
    driver = await connect()
    notes = await driver.diagnose()
    facts = " / ".join(note.fact for note in notes)
    for word in (str(path), sqlite3.sqlite_version, "journal_mode=wal", "synchronous=full", "MiB free", "wake-up"):
        assert word in facts
    assert {note.level for note in notes} <= {"ok", "info", "warning"}
    await driver.receive("q", limit=1, wait=timedelta(milliseconds=1))
    assert "unix datagram socket" in (await driver.diagnose())[-1].fact


async def test_diagnose_warns_of_what_is_no_good(connect, monkeypatch):
    monkeypatch.setattr(diagnose.sqlite3, "sqlite_version_info", (3, 40, 1))
    monkeypatch.setattr(diagnose.shutil, "disk_usage", lambda path: diagnose.shutil._ntuple_diskusage(1, 1, 2**20))
    monkeypatch.setattr(diagnose, "filesystem_of", lambda path: "9p")
    driver = await connect(gate=False, wake="poll", durability="normal")
    await driver.receive("q", limit=1, wait=timedelta(milliseconds=1))
    warnings = [note for note in await driver.diagnose() if note.level == "warning"]
    assert all(note.cure for note in warnings)
    facts = " / ".join(note.fact for note in warnings)
    for word in ("WAL-reset", "1 MiB free", "shared with another machine", "polling every 20 ms"):
        assert word in facts
    assert any("power cut" in note.fact for note in await driver.diagnose())


def test_a_driver_shows_its_file(path):
    assert repr(SqliteDriver(path)) == f"SqliteDriver({str(path)!r})"
