"""The key-value store decides between racers: of all that expect a version, one gets to replace it."""

import asyncio
from datetime import timedelta

from waybill.driver import StateEntry

MINUTE = timedelta(minutes=1)


async def test_a_value_is_kept_with_a_version(driver):
    assert await driver.state_get("k") is None
    version = await driver.state_put("k", b"\x00\xff", expect=None)
    assert await driver.state_get("k") == (b"\x00\xff", version)


async def test_a_put_needs_the_version_that_is_there(driver):
    first = await driver.state_put("k", b"1", expect=None)
    assert await driver.state_put("k", b"x", expect=None) is None
    assert await driver.state_put("k", b"x", expect=first + 1) is None
    assert await driver.state_put("other", b"x", expect=first) is None
    second = await driver.state_put("k", b"2", expect=first)
    assert second not in (None, first)
    assert await driver.state_put("k", b"x", expect=first) is None
    assert (await driver.state_get("k")).value == b"2"


async def test_a_version_never_comes_back(driver):
    first = await driver.state_put("k", b"1", expect=None)
    assert await driver.state_delete("k", expect=first)
    await driver.state_put("k", b"1", expect=None)
    assert await driver.state_put("k", b"x", expect=first) is None


async def test_a_delete_needs_the_version_that_is_there(driver):
    version = await driver.state_put("k", b"1", expect=None)
    assert await driver.state_delete("k", expect=version + 1) is False
    assert await driver.state_delete("k", expect=version) is True
    assert await driver.state_delete("k", expect=version) is False
    assert await driver.state_get("k") is None


async def test_a_value_ends_with_its_ttl(driver, clock):
    version = await driver.state_put("k", b"1", expect=None, ttl=MINUTE)
    clock.advance("59s")
    assert (await driver.state_get("k")).value == b"1"
    assert await driver.state_put("k", b"x", expect=None) is None
    clock.advance("1s")
    assert await driver.state_get("k") is None
    assert (await driver.state_list("")).entries == []
    assert await driver.state_put("k", b"x", expect=version) is None
    assert await driver.state_delete("k", expect=version) is False
    assert await driver.state_put("k", b"2", expect=None) is not None


async def test_a_put_without_ttl_lasts_although_the_one_before_had_one(driver, clock):
    version = await driver.state_put("k", b"1", expect=None, ttl=MINUTE)
    await driver.state_put("k", b"2", expect=version)
    clock.advance("1w")
    assert (await driver.state_get("k")).value == b"2"


async def test_values_that_have_ended_do_not_pile_up(driver, clock):
    for number in range(50):
        await driver.state_put(f"k{number}", b"", expect=None, ttl=timedelta(seconds=10))
        clock.advance(1)
    kept = await driver._database.writer.call(lambda store: store.execute("SELECT count(*) FROM state").fetchone()[0])
    assert kept <= 11


async def test_keys_are_listed_in_order_page_by_page(driver):
    keys = ["a", "p", "p.", "p.a", "p.b", "p.ü", "p%", "p_x", "q"]
    versions = {key: await driver.state_put(key, key.encode(), expect=None) for key in keys}
    seen, after = [], None
    while True:
        page = await driver.state_list("p.", after=after, limit=2)
        seen += page.entries
        after = page.next
        if after is None:
            break
    assert seen == [StateEntry(key, key.encode(), versions[key]) for key in ("p.", "p.a", "p.b", "p.ü")]
    assert [entry.key for entry in (await driver.state_list("")).entries] == sorted(keys)


async def test_one_of_many_racers_wins(driver, connect, clock):
    drivers = [driver, await connect(clock=clock), await connect(clock=clock)]
    won = await asyncio.gather(*(drivers[n % 3].state_put("leader", str(n).encode(), expect=None) for n in range(30)))
    [version] = [each for each in won if each is not None]
    assert (await driver.state_get("leader")).version == version
