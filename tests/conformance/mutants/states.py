"""Faults of the key-value store."""

import asyncio

from waybill.driver import Page, StateEntry, StateValue
from waybill.testing import MemoryDriver

from . import killed_by


@killed_by("test_a_key_without_a_value_has_none")
class AnEmptyValueForNone(MemoryDriver):
    """What is not there is empty."""

    async def state_get(self, key):
        return await super().state_get(key) or StateValue(b"", 0)


@killed_by("test_a_value_is_kept_and_seen_by_another_driver")
class KeepsStateToItself(MemoryDriver):
    """Each connection has its own."""

    def clone(self):
        twin = super().clone()
        twin.__dict__["own"] = f"{id(twin)}/"
        return twin

    def _own(self, key):
        return self.__dict__.get("own", "") + key

    async def state_get(self, key):
        return await super().state_get(self._own(key))

    async def state_put(self, key, value, *, expect, ttl=None):
        return await super().state_put(self._own(key), value, expect=expect, ttl=ttl)


@killed_by(
    "test_a_value_that_is_there_is_not_replaced_by_a_first_one",
    "test_a_value_is_replaced_by_who_knows_its_version",
    "test_of_many_first_values_one_is_stored",
    "test_twenty_increments_at_once_all_count",
)
class TheLastPutWins(MemoryDriver):
    """Overlooks what was expected."""

    async def state_put(self, key, value, *, expect, ttl=None):
        found = await super().state_get(key)
        return await super().state_put(key, value, expect=found.version if found else None, ttl=ttl)


@killed_by("test_twenty_increments_at_once_all_count", "test_of_many_first_values_one_is_stored")
class LooksThenPuts(MemoryDriver):
    """Compares, yields, and sets."""

    async def state_put(self, key, value, *, expect, ttl=None):
        found = await super().state_get(key)
        if expect != (found.version if found else None):
            return None
        await asyncio.sleep(0)
        found = await super().state_get(key)
        return await super().state_put(key, value, expect=found.version if found else None, ttl=ttl)


@killed_by("test_a_version_from_before_a_delete_never_matches_again", "test_the_same_value_put_again_has_a_new_version")
class VersionsStartOver(MemoryDriver):
    """Each value counts its puts from 1."""

    def _counts(self):
        return self._shared.__dict__.setdefault("counts", {})

    async def state_get(self, key):
        found = await super().state_get(key)
        return found and StateValue(found.value, self._counts().get(key, 1))

    async def state_put(self, key, value, *, expect, ttl=None):
        found = await super().state_get(key)
        if found is None:
            self._counts().pop(key, None)
        if expect != (None if found is None else self._counts()[key]):
            return None
        same = found is not None and found.value == value
        await super().state_put(key, value, expect=found.version if found else None, ttl=ttl)
        self._counts()[key] = self._counts().get(key, 0) + (not same)
        return self._counts()[key]

    async def state_delete(self, key, *, expect):
        found = await super().state_get(key)
        return (
            found is not None
            and expect == self._counts().get(key)
            and await super().state_delete(key, expect=found.version)
        )


@killed_by("test_a_version_without_a_value_matches_nothing")
class AVersionOfNothing(MemoryDriver):
    """A version for a key that is gone is as good as none."""

    async def state_put(self, key, value, *, expect, ttl=None):
        return await super().state_put(key, value, expect=expect if await super().state_get(key) else None, ttl=ttl)


@killed_by("test_a_value_is_deleted_by_who_knows_its_version", "test_of_many_deletes_one_succeeds")
class DeletesWhateverIsThere(MemoryDriver):
    """Overlooks the version, and what is not there is deleted."""

    async def state_delete(self, key, *, expect):
        found = await super().state_get(key)
        return found is None or await super().state_delete(key, expect=found.version)


@killed_by("test_of_many_deletes_one_succeeds")
class LooksThenDeletes(MemoryDriver):
    """Two may delete one value."""

    async def state_delete(self, key, *, expect):
        found = await super().state_get(key)
        await asyncio.sleep(0)
        await super().state_delete(key, expect=expect)
        return found is not None and found.version == expect


@killed_by("test_a_value_ends_when_its_time_is_over_and_not_before")
class ValuesNeverEnd(MemoryDriver):
    """Keeps what should have ended."""

    async def state_put(self, key, value, *, expect, ttl=None):
        return await super().state_put(key, value, expect=expect)


@killed_by("test_a_value_ends_when_its_time_is_over_and_not_before")
class ValuesEndEarly(MemoryDriver):
    """Half its time."""

    async def state_put(self, key, value, *, expect, ttl=None):
        return await super().state_put(key, value, expect=expect, ttl=ttl and ttl / 2)


@killed_by("test_a_put_without_a_time_keeps_the_value_for_good", "test_each_put_begins_its_own_time")
class TheFirstTimeCounts(MemoryDriver):
    """A later put keeps the end of the first."""

    async def state_put(self, key, value, *, expect, ttl=None):
        end = self._shared._state_ends.get(key)
        version = await super().state_put(key, value, expect=expect, ttl=ttl)
        if end is not None and version is not None:
            self._shared._state_ends[key] = end
        return version


@killed_by("test_a_put_that_was_refused_changes_no_time")
class ARefusedPutSetsTheTime(MemoryDriver):
    """Sets the end before it compares."""

    async def state_put(self, key, value, *, expect, ttl=None):
        version = await super().state_put(key, value, expect=expect, ttl=ttl)
        if version is None and await super().state_get(key):
            self._shared._state_ends.pop(key, None)
            if ttl is not None:
                self._shared._state_ends[key] = self.clock.now() + ttl
        return version


@killed_by("test_values_of_any_bytes_are_kept")
class StateIsText(MemoryDriver):
    """Values are text, and an empty one is none."""

    async def state_put(self, key, value, *, expect, ttl=None):
        return await super().state_put(key, value.decode(errors="replace").encode(), expect=expect, ttl=ttl)


@killed_by("test_keys_of_any_characters_are_told_apart")
class KeysAreCleaned(MemoryDriver):
    """What is not a letter is a dash."""

    def _clean(self, key):
        return "".join(each if each.isalnum() and each.isascii() else "-" for each in key)

    async def state_get(self, key):
        return await super().state_get(self._clean(key))

    async def state_put(self, key, value, *, expect, ttl=None):
        return await super().state_put(self._clean(key), value, expect=expect, ttl=ttl)


class ListsState(MemoryDriver):
    """Does something to the list of values."""

    def relisted(self, entries):
        return entries

    async def state_list(self, prefix, *, after=None, limit=100):
        page = await super().state_list(prefix, after=after, limit=limit)
        return Page(self.relisted(list(page.entries)), page.next)


@killed_by("test_values_are_listed_in_the_order_of_their_keys")
class ListsTheNewestFirst(ListsState):
    """In the order of their versions."""

    def relisted(self, entries):
        return sorted(entries, key=lambda each: -each.version)


@killed_by("test_a_prefix_means_itself_and_not_a_pattern")
class PrefixesArePatterns(MemoryDriver):
    """LIKE 'prefix%', and GLOB."""

    async def state_list(self, prefix, *, after=None, limit=100):
        import re

        pattern = re.compile(
            "".join({"%": ".*", "*": ".*", "_": ".", "?": "."}.get(each, re.escape(each)) for each in prefix)
        )
        state = self._shared.live_state()
        keys = sorted(key for key in state if pattern.match(key) and (after is None or key > after))
        entries = [StateEntry(key, *state[key]) for key in keys[:limit]]
        return Page(entries, entries[-1].key if len(keys) > limit else None)


@killed_by("test_pages_of_values_leave_none_out_and_repeat_none")
class RepeatsTheLastKey(MemoryDriver):
    """Goes on *at* the last key of the page before."""

    async def state_list(self, prefix, *, after=None, limit=100):
        state = self._shared.live_state()
        keys = sorted(key for key in state if key.startswith(prefix) and (after is None or key >= after))
        entries = [StateEntry(key, *state[key]) for key in keys[:limit]]
        return Page(entries, entries[-1].key if len(keys) > limit else None)


@killed_by("test_a_page_goes_on_after_its_last_key_was_deleted")
class NeedsTheLastKey(MemoryDriver):
    """Looks for the last key of the page before, and where it is gone comes to an end."""

    async def state_list(self, prefix, *, after=None, limit=100):
        if after is not None and after not in self._shared.live_state():
            return Page([], None)
        return await super().state_list(prefix, after=after, limit=limit)
