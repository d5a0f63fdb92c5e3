"""A file that cannot be used is refused by a typed error that says what was asked, what is wrong, and the cure."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from waybill.driver import DeadReason
from waybill.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    EnqueueError,
    EnqueueRejectedError,
    EnqueueUnavailableError,
    WaybillError,
)
from waybill_sqlite import SqliteDriver, filesystem, opening

NOW = timedelta()


async def refused(path, *words, **options):
    driver = SqliteDriver(path, **options)
    with pytest.raises(ConfigurationError) as caught:
        await driver.open()
    await driver.close()
    for word in (str(path), *words):
        assert word in str(caught.value)
    return caught.value


def sql(path, *statements):
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


# -- opening -------------------------------------------------------------------------------------------


async def test_a_missing_directory_is_refused(tmp_path):
    await refused(tmp_path / "missing" / "jobs.db", "there is no directory", "Make it")
    assert not (tmp_path / "missing").exists()


async def test_a_directory_is_no_file(tmp_path):
    await refused(tmp_path, "it is a directory", "jobs.db")


async def test_a_file_that_is_no_database_is_refused_and_left_alone(path):
    path.write_bytes(b"These are my holiday notes. " * 100)
    error = await refused(path, "no SQLite database", "Name another file", "Nothing was changed")
    assert isinstance(error.__cause__, sqlite3.Error)
    assert path.read_bytes() == b"These are my holiday notes. " * 100


async def test_another_programs_database_is_refused_and_left_alone(path):
    sql(path, "CREATE TABLE user (name)", "INSERT INTO user VALUES ('ada')")
    before = path.read_bytes()
    await refused(path, "of another program", "Nothing was changed")
    assert path.read_bytes() == before


async def test_a_file_of_a_newer_version_is_refused_and_left_alone(connect, path):
    await (await connect()).close()
    sql(path, f"PRAGMA user_version = {opening.SCHEMA + 1}")
    await refused(path, f"schema {opening.SCHEMA + 1}", "Upgrade: pip install -U waybill-sqlite")


async def test_a_damaged_file_is_refused(connect, path, message):
    driver = await connect()
    await driver.enqueue_batch([(message(), None) for _ in range(500)])
    await driver.close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 4000)
    await refused(path, "damaged", ".recover")


async def test_damage_found_later_is_told_and_nothing_is_stored(connect, path, message):
    driver = await connect(cache_mb=1)
    await driver.enqueue_batch([(message(body=b"x" * 1000), None) for _ in range(3000)])
    await driver.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * (size - 4096 * 20))
    driver = await connect(cache_mb=1)
    with pytest.raises(EnqueueRejectedError, match=r"damaged.*Nothing was stored.*\.recover"):
        for _ in range(50):
            await driver.enqueue(message())
    with pytest.raises(BrokerUnavailableError, match="damaged"):
        await driver.receive("q", limit=1000, wait=NOW)
    assert not any(note.level == "error" for note in await driver.diagnose())


async def test_an_empty_file_is_a_new_one(connect, path, message):
    path.touch()
    await (await connect()).enqueue(message())


async def test_a_database_made_by_several_at_once_is_whole(connect, message):
    drivers = await asyncio.gather(*(connect() for _ in range(8)))
    assert await asyncio.gather(*(driver.enqueue(message()) for driver in drivers)) == list("12345678")


async def test_an_old_sqlite_is_refused(path, monkeypatch):
    monkeypatch.setattr(opening.sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(opening.sqlite3, "sqlite_version", "3.34.1")
    with pytest.raises(ConfigurationError, match=r"SQLite 3\.34\.1.*needs 3\.35\.0"):
        await SqliteDriver(path).open()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
async def test_a_network_filesystem_is_refused(path, monkeypatch, kind):
    monkeypatch.setattr(opening, "filesystem_of", lambda path: kind)
    await refused(path, f"network filesystem ({kind})", "local disk")
    assert not path.exists()


def test_the_filesystem_of_the_innermost_mount_counts(tmp_path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "23 22 0:5 / /mnt/my\\040share rw shared:2 master:1 - nfs4 server:/x rw\n"
        "24 22 0:6 / /mnt/my\\040share/local rw - xfs /dev/sdb rw\n"
        "25 22 0:7 / /srv rw - ext4 /dev/sdc rw\n"
        "26 22 0:8 / /srv rw - cifs //server/x rw\n"
    )
    of = filesystem.filesystem_of
    assert of("/home/jobs.db", mounts) == "ext4"
    assert of("/mnt/my share/jobs.db", mounts) == "nfs4"
    assert of("/mnt/my sharepoint/jobs.db", mounts) == "ext4"
    assert of("/mnt/my share/local/jobs.db", mounts) == "xfs"
    assert of("/srv/jobs.db", mounts) == "cifs"
    assert of("/srv/jobs.db", tmp_path / "none") is None
    assert of(str(tmp_path / "jobs.db")) is not None


async def test_a_file_locked_by_another_program_is_unavailable_until_it_is_free(connect, path, message):
    driver = await connect(timeout="200ms")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(EnqueueUnavailableError, match="Nothing was stored"):
        await driver.enqueue(message())
    late = SqliteDriver(path, timeout="200ms")
    with pytest.raises(BrokerUnavailableError, match="cannot open"):
        await late.open()
    other.execute("ROLLBACK")
    other.close()
    assert await driver.enqueue(message("accepted")) == "accepted"
    await late.close()


# -- no permission; root may do everything, so another user tries ----------------------------------------

AS_NOBODY = """
import asyncio, os, sys
from waybill.driver import Message
from waybill_sqlite import SqliteDriver
if os.getuid() == 0:
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
async def main():
    driver = SqliteDriver(sys.argv[1])
    try:
        await driver.open()
        await driver.enqueue(Message("1", "q", b"{}"))
    except Exception as error:
        print(type(error).__name__, error)
    else:
        print("accepted")
    await driver.close()
asyncio.run(main())
"""


@pytest.fixture
def public_directory():
    with tempfile.TemporaryDirectory(prefix="waybill-") as name:
        yield Path(name)


async def as_nobody(path):
    process = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", AS_NOBODY, str(path)], capture_output=True, text=True
    )
    assert process.stderr == ""
    return process.stdout.strip()


@pytest.mark.parametrize("case", ["file", "directory", "new"])
async def test_what_may_only_be_read_is_refused(connect, public_directory, case):
    path = public_directory / "jobs.db"
    if case != "new":
        await (await connect(path)).close()
    path.parent.chmod(0o777 if case == "file" else 0o555)
    if path.exists():
        path.chmod(0o444 if case == "file" else 0o666)
    said = await as_nobody(path)
    assert said.startswith("ConfigurationError cannot open"), said
    assert "Let this user" in said
    path.parent.chmod(0o777)
    for file in path.parent.glob("jobs.db*"):  # SQLite gives -wal and -shm the mode of the file
        file.chmod(0o666)
    assert await as_nobody(path) == "accepted"


# -- while it is open ----------------------------------------------------------------------------------


async def test_a_full_disk_refuses_an_enqueue_whole_and_heals(connect, path, message):
    driver = await connect()
    pages = await driver._database.writer.call(lambda store: store.execute("PRAGMA page_count").fetchone()[0])
    await limit_pages(driver, pages + 20)
    accepted, refused = [], None
    while refused is None:
        batch = [(message(body=b"x" * 1500), None) for _ in range(3)]
        outcomes = await driver.enqueue_batch(batch)
        if isinstance(outcomes[0], str):
            accepted += outcomes
        else:
            refused = outcomes
    assert [type(outcome) for outcome in refused] == [EnqueueRejectedError] * 3
    assert "full" in str(refused[0]) and "Nothing was stored" in str(refused[0]) and "Make room" in str(refused[0])
    assert isinstance(refused[0].__cause__, sqlite3.Error)
    with pytest.raises(EnqueueRejectedError):
        await driver.enqueue(message(body=b"x" * 100_000))
    assert (await driver.stats("q")).ready == len(accepted), "nothing half done"
    got = await driver.receive("q", limit=2, wait=NOW)
    await driver.ack_batch(got)
    await limit_pages(driver, 1_000_000)
    assert await driver.enqueue(message("healed", body=b"x" * 100_000)) == "healed"
    assert (await driver.stats("q")).ready == len(accepted) - 2 + 1


async def limit_pages(driver, pages):
    await driver._database.writer.call(
        lambda store: store.execute(f"PRAGMA max_page_count = {pages}").fetchone() and None
    )


async def test_a_write_that_is_refused_is_told_and_the_connection_made_anew(connect, message):
    driver = await connect()
    await driver._database.writer.call(lambda store: store.execute("PRAGMA query_only = on") and None)
    with pytest.raises(EnqueueRejectedError, match="read-only.*Nothing was stored"):
        await driver.enqueue(message())
    assert await driver.enqueue(message("accepted")) == "accepted"


async def test_a_file_that_is_removed_or_replaced_is_noticed_and_opened_anew(connect, path, message):
    driver = await connect()
    await driver.enqueue(message("lost with its file"))
    assert (await driver.stats("q")).ready == 1
    for file in path.parent.glob("jobs.db*"):
        if file.is_file() and not file.name.endswith("-gate"):
            file.unlink()
    with pytest.raises(EnqueueUnavailableError, match="removed or replaced.*Nothing was stored"):
        await driver.enqueue(message())
    with pytest.raises(BrokerUnavailableError, match="removed or replaced"):
        await driver.stats("q")
    assert await driver.enqueue(message("kept")) == "kept"
    assert [each.message.id for each in await driver.receive("q", limit=9, wait=NOW)] == ["kept"]


async def test_no_sqlite_error_escapes_from_any_verb(connect, message, path):
    """The tables are gone: whatever is called fails in SQLite."""
    driver = await connect()
    await driver.enqueue(message())
    [held] = await driver.receive("q", limit=1, wait=NOW)
    await driver._database.writer.call(drop_all)
    reason = DeadReason("permanent", "", 1, driver.clock.now())
    verbs = [
        driver.ack(held), driver.nack(held), driver.release(held), driver.extend(held), driver.bury(held, reason),
        driver.ack_batch([held]), driver.nack_batch([(held, NOW)]), driver.extend_batch([held]),
        driver.receive("q", limit=1, wait=NOW), driver.receive_many(["q"], limit=1, wait=NOW),
        driver.list_dead("q"), driver.retry_dead("q", None), driver.purge_dead("q"), driver.stats("q"),
        driver.queues(), driver.list_delayed("q"), driver.purge("q"), driver.cancel("q", "1"),
        driver.state_get("k"), driver.state_put("k", b"", expect=None), driver.state_delete("k", expect=1),
        driver.state_list(""),
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(BrokerUnavailableError) as caught:
            await verb
        assert isinstance(caught.value.__cause__, sqlite3.Error)
    with pytest.raises(EnqueueError):
        await driver.enqueue(message())
    assert all(isinstance(outcome, EnqueueError) for outcome in await driver.enqueue_batch([(message(), None)]))
    assert issubclass(EnqueueError, WaybillError)


def drop_all(store):
    for (name,) in store.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        store.execute(f"DROP TABLE {name}")
    store.execute("CREATE TABLE not_empty (x)")


@pytest.mark.parametrize(("size", "batches"), [(1000, 10), (1, 300)])
async def test_the_log_is_moved_into_the_file_before_a_commit_has_to(connect, message, path, size, batches):
    driver = await connect(durability="normal")
    await driver._database.write(lambda store: store.execute("PRAGMA wal_autocheckpoint = 0").fetchone())
    before = os.path.getsize(path)
    for _ in range(batches):
        await driver.enqueue_batch([(message(body=b"x" * 300), None) for _ in range(size)])
    await driver.receive("elsewhere", limit=1, wait=NOW)  # behind it, in the thread
    assert os.path.getsize(path) > before + 50_000
    assert os.path.getsize(f"{path}-wal") < 8 * 2**20


async def test_a_long_reader_lets_the_log_grow_and_it_is_cut_once_that_ends(connect, message, path):
    driver = await connect(durability="normal")
    await driver.enqueue(message())
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM job").fetchone()
    for _ in range(60):
        await driver.enqueue_batch([(message(body=b"x" * 2000), None) for _ in range(600)])
    grown = os.path.getsize(f"{path}-wal")
    assert grown > 70 * 2**20
    reader.execute("COMMIT")
    reader.close()
    for _ in range(3):
        await driver.enqueue(message())
    await asyncio.sleep(0)
    assert os.path.getsize(f"{path}-wal") <= 64 * 2**20
