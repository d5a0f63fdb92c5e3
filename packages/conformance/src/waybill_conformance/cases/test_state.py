"""A small store of values, where of several that want to write exactly one does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

from waybill.driver import StateEntry
from waybill.timing import ZERO

from ..bench import SLACK, TICK, Bench
from ..case import proves

TTL = timedelta(seconds=1)


async def entries(bench: Bench, prefix: str, limit: int = 100) -> list[StateEntry]:
    """All of a prefix, page by page."""
    found, after = list[StateEntry](), None
    for _ in range(100):
        page = await bench.driver.state_list(prefix, after=after, limit=limit)
        found += page.entries
        after = page.next
        if after is None:
            return found
    raise AssertionError("the pages of the state do not end")


@contextlib.asynccontextmanager
async def fresh(bench: Bench) -> AsyncIterator[str]:
    """A prefix that nobody has used, and of which nothing is left afterwards."""
    prefix = f"{bench.queue('state')}:"
    try:
        yield prefix
    finally:
        for each in await entries(bench, prefix):
            await bench.driver.state_delete(each.key, expect=each.version)


async def put(bench: Bench, key: str, value: bytes = b"value", ttl: timedelta | None = None) -> int:
    """Store a value under a key that has none; its version."""
    version = await bench.driver.state_put(key, value, expect=None, ttl=ttl)
    assert version is not None, f"{key!r} has a value already"
    return int(version)


async def gone(bench: Bench, key: str) -> None:
    """The value must soon be gone."""
    end = bench.timer(bench.claims.delay_resolution + timedelta(seconds=0.5) * bench.harness.patience)
    while await bench.driver.state_get(key) is not None:
        assert end.left() > ZERO, "it is still there"
        await bench.pass_time(TICK)


@proves("KeepsState")
async def test_a_key_without_a_value_has_none(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        assert await bench.driver.state_get(f"{prefix}a") is None
        assert await bench.driver.state_delete(f"{prefix}a", expect=1) is False
        assert await entries(bench, prefix) == []


@proves("KeepsState")
async def test_a_value_is_kept_and_seen_by_another_driver(bench: Bench) -> None:
    other = await bench.open()
    async with fresh(bench) as prefix:
        version = await put(bench, f"{prefix}a", b"one")
        for driver in (bench.driver, other):
            assert await driver.state_get(f"{prefix}a") == (b"one", version)


@proves("KeepsState")
async def test_values_of_any_bytes_are_kept(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        values = [b"", b"\x00", bytes(range(256)), b"\xff\xfe", b"1", "größe".encode(), b"x" * 20_000]
        for place, value in enumerate(values):
            version = await put(bench, f"{prefix}{place}", value)
            assert await bench.driver.state_get(f"{prefix}{place}") == (value, version)
        assert [each.value for each in await entries(bench, prefix)] == values


@proves("KeepsState")
async def test_a_value_that_is_there_is_not_replaced_by_a_first_one(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        for value in (b"one", b""):
            key = f"{prefix}{len(value)}"
            version = await put(bench, key, value)
            assert await bench.driver.state_put(key, b"two", expect=None) is None
            assert await bench.driver.state_get(key) == (value, version)


@proves("KeepsState")
async def test_a_value_is_replaced_by_who_knows_its_version(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        key = f"{prefix}a"
        first = await put(bench, key, b"one")
        second = await bench.driver.state_put(key, b"two", expect=first)
        assert second is not None and second != first, "a put leaves the version as it was"
        assert await bench.driver.state_get(key) == (b"two", second)
        assert await bench.driver.state_put(key, b"three", expect=first) is None, "an old version still counts"
        assert await bench.driver.state_put(key, b"three", expect=second + 1) is None
        assert await bench.driver.state_get(key) == (b"two", second)


@proves("KeepsState")
async def test_the_same_value_put_again_has_a_new_version(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        versions = [await put(bench, f"{prefix}a")]
        for _ in range(5):
            versions.append(await bench.driver.state_put(f"{prefix}a", b"value", expect=versions[-1]))
        assert len(set(versions)) == 6, versions


@proves("KeepsState")
async def test_a_version_without_a_value_matches_nothing(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        for expect in (0, 1):
            assert await bench.driver.state_put(f"{prefix}a", b"one", expect=expect) is None
        assert await bench.driver.state_get(f"{prefix}a") is None


@proves("KeepsState")
async def test_a_value_is_deleted_by_who_knows_its_version(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        key = f"{prefix}a"
        old = await put(bench, key)
        version = await bench.driver.state_put(key, b"two", expect=old)
        assert await bench.driver.state_delete(key, expect=old) is False
        assert await bench.driver.state_get(key) == (b"two", version)
        assert await bench.driver.state_delete(key, expect=version) is True
        assert await bench.driver.state_get(key) is None
        assert await entries(bench, prefix) == []
        assert await bench.driver.state_delete(key, expect=version) is False


@proves("KeepsState")
async def test_a_version_from_before_a_delete_never_matches_again(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        key = f"{prefix}a"
        old = [await put(bench, key)]
        old.append(await bench.driver.state_put(key, b"two", expect=old[0]))
        assert await bench.driver.state_delete(key, expect=old[1])
        for each in old:
            assert await bench.driver.state_put(key, b"stale", expect=each) is None
        now = [await put(bench, key, b"new")]
        now.append(await bench.driver.state_put(key, b"newer", expect=now[0]))
        assert not set(old) & set(now), "versions start over after a delete"
        for each in old:
            assert await bench.driver.state_put(key, b"stale", expect=each) is None
            assert await bench.driver.state_delete(key, expect=each) is False


@proves("KeepsState")
async def test_a_value_ends_when_its_time_is_over_and_not_before(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        key, timer = f"{prefix}a", bench.timer(TTL)
        old = await put(bench, key, ttl=TTL)
        await bench.pass_time(TTL * 0.8)
        found = await bench.driver.state_get(key)
        assert found is not None or timer.passed() >= TTL - SLACK, f"it is gone after {timer.passed()}"
        await bench.pass_time(max(timer.left(), ZERO))
        await gone(bench, key)
        assert await entries(bench, prefix) == [], "what has ended is listed"
        assert await bench.driver.state_put(key, b"stale", expect=old) is None
        assert await bench.driver.state_delete(key, expect=old) is False
        assert await put(bench, key, b"new") != old, "versions start over when a value has ended"


@proves("KeepsState")
async def test_a_put_without_a_time_keeps_the_value_for_good(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        key, timer = f"{prefix}a", bench.timer(TTL)
        first = await put(bench, key, ttl=TTL)
        second = await bench.driver.state_put(key, b"two", expect=first)
        await bench.pass_time(max(timer.left(), ZERO) + TTL * 0.5)
        assert await bench.driver.state_get(key) == (b"two", second), "the time of an earlier put still counts"


@proves("KeepsState")
async def test_each_put_begins_its_own_time(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        key = f"{prefix}a"
        first = await put(bench, key, ttl=TTL)
        await bench.pass_time(TTL * 0.6)
        timer = bench.timer(TTL)
        second = await bench.driver.state_put(key, b"two", expect=first, ttl=TTL)
        assert second is not None, f"it was gone after {TTL - timer.left()}"
        await bench.pass_time(TTL * 0.7)
        found = await bench.driver.state_get(key)
        assert found is not None or timer.passed() >= TTL - SLACK, "the time of an earlier put still counts"
        await bench.pass_time(max(timer.left(), ZERO))
        await gone(bench, key)


@proves("KeepsState")
async def test_a_put_that_was_refused_changes_no_time(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        key = f"{prefix}a"
        version = await put(bench, key)
        assert await bench.driver.state_put(key, b"two", expect=None, ttl=TTL * 0.3) is None
        assert await bench.driver.state_put(key, b"two", expect=version + 1, ttl=TTL * 0.3) is None
        await bench.pass_time(TTL * 0.6)
        assert await bench.driver.state_get(key) == (b"value", version)


@proves("KeepsState")
async def test_keys_of_any_characters_are_told_apart(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        names = [
            *("a", "A", "a b", "a/b", "a.b", "a:b", "a*", "a>", "a?", "a%", "a_"),
            "ä",
            "世界",
            "🙂",
            "a\\b",
            "=",
            "x" * 150,
        ]
        for each in names:
            await put(bench, f"{prefix}{each}", each.encode())
        for each in names:
            found = await bench.driver.state_get(f"{prefix}{each}")
            assert found is not None and found.value == each.encode(), f"{each!r} holds {found}"
        assert {each.key for each in await entries(bench, prefix)} == {f"{prefix}{each}" for each in names}


@proves("KeepsState")
async def test_values_are_listed_in_the_order_of_their_keys(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        keys = [f"{prefix}{each}" for each in ("b", "a", "B", "a1", "a10", "a2", "ä", "_", "Z")]
        versions = {each: await put(bench, each, each.encode()) for each in keys}
        found = await entries(bench, prefix)
        assert [each.key for each in found] == sorted(keys)
        assert all(each == (each.key, each.key.encode(), versions[each.key]) for each in found)


@proves("KeepsState")
async def test_pages_of_values_leave_none_out_and_repeat_none(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        keys = [f"{prefix}{each:02}" for each in range(12)]
        for each in keys:
            await put(bench, each)
        for limit in (1, 5, 6, 12, 13):
            assert [each.key for each in await entries(bench, prefix, limit)] == keys, f"in pages of {limit}"


@proves("KeepsState")
async def test_a_page_goes_on_after_its_last_key_was_deleted(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        keys = [f"{prefix}{each:02}" for each in range(6)]
        versions = [await put(bench, each) for each in keys]
        page = await bench.driver.state_list(prefix, limit=3)
        for key, version in list(zip(keys, versions, strict=True))[:3]:
            await bench.driver.state_delete(key, expect=version)
        rest = await bench.driver.state_list(prefix, after=page.next, limit=10)
        assert [each.key for each in (*page.entries, *rest.entries)] == keys


@proves("KeepsState")
async def test_a_prefix_means_itself_and_not_a_pattern(bench: Bench) -> None:
    async with fresh(bench) as prefix:
        names = ["a%b", "axb", "a_b", "a*b", "a?b", "a.b", "a[x]b", "A%b", "a", "ab", "a\\b", "a>b"]
        for each in names:
            await put(bench, f"{prefix}{each}")
        for start in ("a%", "a_", "a*", "a?", "a.", "a[x]", "A", "a", "a\\", "a>", "b", ">", "*"):
            found = {each.key for each in await entries(bench, f"{prefix}{start}")}
            assert found == {f"{prefix}{each}" for each in names if each.startswith(start)}, f"of prefix {start!r}"


@proves("KeepsState", seconds=120)
async def test_twenty_increments_at_once_all_count(bench: Bench) -> None:
    drivers = [bench.driver, await bench.open()]
    async with fresh(bench) as prefix:
        key = f"{prefix}counter"
        await put(bench, key, b"0")

        async def increment(place: int) -> None:
            driver = drivers[place % 2]
            while True:
                value, version = await driver.state_get(key)
                await asyncio.sleep(0)
                if await driver.state_put(key, b"%d" % (int(value) + 1), expect=version) is not None:
                    return

        await asyncio.gather(*map(increment, range(20)))
        found = await bench.driver.state_get(key)
        assert found is not None and found.value == b"20"


@proves("KeepsState")
async def test_of_many_first_values_one_is_stored(bench: Bench) -> None:
    drivers = [bench.driver, await bench.open()]
    async with fresh(bench) as prefix:
        calls = [drivers[place % 2].state_put(f"{prefix}a", b"%d" % place, expect=None) for place in range(20)]
        told = await asyncio.gather(*calls)
        [winner] = [(b"%d" % place, version) for place, version in enumerate(told) if version is not None]
        assert await bench.driver.state_get(f"{prefix}a") == winner


@proves("KeepsState")
async def test_of_many_deletes_one_succeeds(bench: Bench) -> None:
    drivers = [bench.driver, await bench.open()]
    async with fresh(bench) as prefix:
        version = await put(bench, f"{prefix}a")
        calls = [drivers[place % 2].state_delete(f"{prefix}a", expect=version) for place in range(10)]
        assert sorted(await asyncio.gather(*calls)) == [False] * 9 + [True]
