"""Faults of dead letters."""

from dataclasses import replace
from datetime import timedelta

from waybill.driver import DeadLetter, Page
from waybill.errors import DuplicateJobError
from waybill.testing import MemoryDriver

from . import killed_by


class Refiles(MemoryDriver):
    """Does something to the dead letters of a queue once they are filed."""

    def refiled(self, letter):
        raise NotImplementedError

    async def bury(self, delivery, reason, to=None):
        await super().bury(delivery, reason, to)
        dead = self._shared.queue(to or delivery.message.queue).dead
        dead[-1] = self.refiled(dead[-1])


@killed_by("test_a_dead_letter_is_kept_whole")
class KeepsNoHeadersOfTheDead(Refiles):
    """A dead letter without its headers."""

    def refiled(self, letter):
        return replace(letter, message=replace(letter.message, headers={}))


@killed_by("test_a_dead_letter_of_any_bytes_is_kept_whole")
class KeepsTheDeadAsText(Refiles):
    """A dead letter's body is text."""

    def refiled(self, letter):
        return replace(
            letter, message=replace(letter.message, body=letter.message.body.decode(errors="replace").encode())
        )


@killed_by("test_a_dead_letter_tells_its_reason")
class CutsTheReason(Refiles):
    """255 characters are enough for an error."""

    def refiled(self, letter):
        return replace(letter, reason=replace(letter.reason, error=letter.reason.error[:255]))


@killed_by("test_a_dead_letter_tells_its_reason")
class DiesNow(Refiles):
    """The time of death is the time of filing, an hour from now."""

    def refiled(self, letter):
        return replace(letter, reason=replace(letter.reason, at=self.clock.now() + timedelta(hours=1)))


@killed_by("test_every_code_of_a_reason_is_kept")
class EveryDeathIsExhaustion(Refiles):
    """Knows one reason to die."""

    def refiled(self, letter):
        return replace(letter, reason=replace(letter.reason, code="exhausted"))


@killed_by("test_a_buried_delivery_is_settled", "test_a_buried_message_is_never_delivered")
class BuriesACopy(MemoryDriver):
    """Files a copy, and leaves the original leased."""

    async def bury(self, delivery, reason, to=None):
        self._shared.queue(delivery.message.queue).held(delivery)
        self._shared.queue(to or delivery.message.queue).dead.append(DeadLetter(delivery.message, reason))


@killed_by("test_a_stale_receiver_buries_nothing", "test_a_settled_delivery_is_not_buried")
class FilesBeforeItLooks(MemoryDriver):
    """Files first, and compares the receipt then."""

    async def bury(self, delivery, reason, to=None):
        self._shared.queue(to or delivery.message.queue).dead.append(DeadLetter(delivery.message, reason))
        await self.ack(delivery)


@killed_by("test_a_dead_letter_is_filed_where_it_is_said_and_goes_back_where_it_came_from")
class FilesAtHome(MemoryDriver):
    """Overlooks where it shall be filed."""

    async def bury(self, delivery, reason, to=None):
        await super().bury(delivery, reason)


@killed_by("test_a_dead_letter_is_filed_where_it_is_said_and_goes_back_where_it_came_from")
class GoesBackWhereItWasFiled(MemoryDriver):
    """A dead letter goes back into the queue where it lies."""

    async def retry_dead(self, queue, ids):
        for place, letter in enumerate(self._shared.queue(queue).dead):
            self._shared.queue(queue).dead[place] = replace(letter, message=replace(letter.message, queue=queue))
        return await super().retry_dead(queue, ids)


@killed_by("test_a_dead_letter_belongs_to_its_queue", "test_a_purge_of_dead_letters_takes_those_of_one_queue_alone")
class OneGraveForAll(MemoryDriver):
    """All dead letters lie together."""

    async def bury(self, delivery, reason, to=None):
        await super().bury(delivery, reason, "all")

    async def list_dead(self, queue, *, after=None, limit=100):
        return await super().list_dead("all", after=after, limit=limit)

    async def retry_dead(self, queue, ids):
        return await super().retry_dead("all", ids)

    async def purge_dead(self, queue):
        return await super().purge_dead("all")


@killed_by("test_a_dead_letter_that_is_sent_back_starts_anew")
class RemembersItsAttempts(MemoryDriver):
    """A dead letter that is sent back goes on where it stopped."""

    async def retry_dead(self, queue, ids):
        letters = list(self._shared.queue(queue).dead)
        count = await super().retry_dead(queue, ids)
        for letter in letters:
            record = self._shared.queue(letter.message.queue).records.get(letter.message.id)
            if record is not None:
                record.attempt = letter.reason.attempt
        return count


@killed_by("test_only_the_chosen_dead_letters_are_sent_back", "test_no_ids_and_unknown_ids_send_nothing_back")
class SendsAllBack(MemoryDriver):
    """Sends back everything, whatever was chosen."""

    async def retry_dead(self, queue, ids):
        return await super().retry_dead(queue, None)


@killed_by("test_no_ids_and_unknown_ids_send_nothing_back")
class NoIdsMeansAll(MemoryDriver):
    """An empty choice is none."""

    async def retry_dead(self, queue, ids):
        return await super().retry_dead(queue, ids or None)


@killed_by("test_all_dead_letters_of_one_queue_are_sent_back")
class SendsBackOnePage(MemoryDriver):
    """A hundred at a time, once."""

    async def retry_dead(self, queue, ids):
        if ids is None:
            ids = [letter.message.id for letter in self._shared.queue(queue).dead][:10]
        return await super().retry_dead(queue, ids)


@killed_by("test_a_dead_letter_may_die_again")
class DiesOnce(MemoryDriver):
    """An id that has died before is taken for buried."""

    async def bury(self, delivery, reason, to=None):
        seen = self._shared.__dict__.setdefault("seen", set())
        if delivery.message.id in seen:
            await self.ack(delivery)
        else:
            seen.add(delivery.message.id)
            await super().bury(delivery, reason, to)


@killed_by("test_dead_letters_are_listed_oldest_first")
class TheNewestDeadFirst(MemoryDriver):
    """Lists them backwards."""

    async def bury(self, delivery, reason, to=None):
        await super().bury(delivery, reason, to)
        dead = self._shared.queue(to or delivery.message.queue).dead
        dead.insert(0, dead.pop())


@killed_by("test_pages_of_dead_letters_leave_none_out")
class SkipsOneAtEachPage(MemoryDriver):
    """The first entry of each further page is missing."""

    async def list_dead(self, queue, *, after=None, limit=100):
        return await super().list_dead(queue, after=str(int(after) + 1) if after else None, limit=limit)


@killed_by("test_pages_of_dead_letters_leave_none_out")
class NeverComesToAnEnd(MemoryDriver):
    """The last page says that there is another."""

    async def list_dead(self, queue, *, after=None, limit=100):
        page = await super().list_dead(queue, after=after, limit=limit)
        return Page(page.entries, page.next or ("0" if page.entries else None))


@killed_by("test_a_queue_without_dead_letters_lists_none")
class AnEmptyPageGoesOn(MemoryDriver):
    """There is always a next page."""

    async def list_dead(self, queue, *, after=None, limit=100):
        page = await super().list_dead(queue, after=after, limit=limit)
        return Page(page.entries, page.next or "0")


@killed_by("test_a_purge_of_the_queue_leaves_its_dead_letters")
class APurgeTakesTheDead(MemoryDriver):
    """Empties everything."""

    async def purge(self, queue, *, force=False):
        removed = await super().purge(queue, force=force)
        self._shared.queue(queue).dead.clear()
        return removed


@killed_by("test_reading_dead_letters_changes_nothing")
class ReadsThemAway(MemoryDriver):
    """What was listed is gone."""

    async def list_dead(self, queue, *, after=None, limit=100):
        page = await super().list_dead(queue, after=after, limit=limit)
        if after is None:
            del self._shared.queue(queue).dead[: len(page.entries)]
        return page


@killed_by("test_a_dead_letter_whose_key_is_taken_is_not_lost_when_it_is_sent_back")
class LosesADeadLetterWithoutItsKey(MemoryDriver):
    """Removes the letter, and then the enqueue is refused."""

    async def retry_dead(self, queue, ids):
        dead = self._shared.queue(queue).dead
        chosen = [each for each in dead if ids is None or each.message.id in ids]
        count = 0
        for letter in chosen:
            dead.remove(letter)
            try:
                await self.enqueue(letter.message)
                count += 1
            except DuplicateJobError:
                pass
        return count


@killed_by("test_a_dead_letter_is_not_cancelled")
class CancelsTheDead(MemoryDriver):
    """A cancel takes dead letters too."""

    async def cancel(self, queue, message_id):
        dead = self._shared.queue(queue).dead
        for letter in list(dead):
            if letter.message.id == message_id:
                dead.remove(letter)
                return True
        return await super().cancel(queue, message_id)


@killed_by("test_a_buried_message_is_never_delivered")
class NeverGivesUp(MemoryDriver):
    """A burial is a nack."""

    async def bury(self, delivery, reason, to=None):
        await self.nack(delivery)
