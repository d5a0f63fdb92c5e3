"""The key-value store."""

from datetime import timedelta

from .conftest import passed


async def test_a_value_is_stored_only_over_the_version_that_is_expected(driver):
    first = await driver.state_put("k", b"\0\xff", expect=None)
    assert await driver.state_put("k", b"2", expect=None) is None
    assert await driver.state_get("k") == (b"\0\xff", first)
    second = await driver.state_put("k", b"2", expect=first)
    assert second not in (None, first)
    assert await driver.state_put("k", b"3", expect=first) is None
    assert not await driver.state_delete("k", expect=first)
    assert await driver.state_delete("k", expect=second)
    assert await driver.state_get("k") is None
    assert await driver.state_put("k", b"4", expect=second) is None


async def test_a_value_ends_with_its_time(driver, redis, prefix):
    for number in range(5):
        await driver.state_put(f"k{number}", b"", expect=None, ttl=timedelta(milliseconds=20))
    version = await driver.state_put("stays", b"", expect=None, ttl=timedelta(milliseconds=20))
    await driver.state_put("stays", b"", expect=version)
    await passed(0.03)
    assert [each.key for each in (await driver.state_list("")).entries] == ["stays"]
    assert await driver.state_put("k1", b"new", expect=None) is not None
    assert await redis.zcard(f"{prefix}:{{~state}}:names") == 2


async def test_values_are_listed_by_prefix_in_pages(driver):
    names = [f"a{number:03}" for number in range(250)] + ["a", "b", "ä", "a\uffff", "a\U0001f600"]
    for name in names:
        await driver.state_put(name, name.encode(), expect=None)
    listed, after = [], None
    while True:
        page = await driver.state_list("a", after=after, limit=60)
        listed += [each.key for each in page.entries]
        after = page.next
        if after is None:
            break
    assert listed == sorted(name for name in names if name.startswith("a"))
