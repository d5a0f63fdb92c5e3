"""The verbs. What each sends, and makes of the answer, is in the module of its name."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeVar

from waybill.driver import (
    BrokerUrl,
    Capabilities,
    DeadLetter,
    Delivery,
    Due,
    Message,
    Note,
    Page,
    QueueStats,
    StateEntry,
    StateValue,
    UniqueClaim,
    only,
)
from waybill.errors import DeadReason, UnsupportedError, WaybillError
from waybill.timing import ZERO, Clock, Duration, SystemClock, parse_duration

from .address import Address
from .arrivals import Arrived
from .diagnose import notes
from .failures import EXPECTED, closed, while_calling
from .names import Place
from .opening import Parts, opened
from .options import LONGEST_LEASE, Scheduler, SqsOptions
from .records import Record
from .state import State

T = TypeVar("T")
_LARGEST: Final = 736 * 1024
"""Bytes that always fit: SQS takes 1 MiB, and a body that is no text grows by a third."""
_EVERY_SCOPE: Final = UniqueClaim(frozenset({"done", "start", "window"}), reported=True)
_REMEMBERED: Final = timedelta(minutes=5)


class SqsDriver:
    """Messages on Amazon SQS: in standard queues, or in FIFO queues.

    Args:
        url: of the region: sqs://eu-west-1, with the options below; credentials as boto3 finds them.
        client: a ready client of SQS in place of a URL. Its time to read must be longer than `poll`.
        queues: URLs of queues that exist already, by the name the application has for them. A companion's is given
            as "<name>.dead", "<name>.later" or "<name>.p1".
        lease: how long a delivery belongs to its receiver; whole seconds.
        timeout: how long a verb may take.
        prefix: what the name of every queue begins with.
        poll: how long one long poll waits; a receive that waits longer makes several.
        create: "auto" makes queues that are missing, "never" does not.
        fifo: whether the queues are FIFO queues.
        fair: the field of a job's metadata that says whom it is for: a standard queue is then shared fairly.
        priorities: how many classes of priority there are, each a queue of its own.
        max_receives: how often a message may be received before SQS itself takes it for dead, in queues made here.
        scheduler: what keeps messages that are due in more than 15 minutes: "relay", "eventbridge" or "dynamodb".
        role_arn: the role that EventBridge sends with.
        schedule_group: the group of schedules that ours are put into.
        table: a DynamoDB table, for unique keys, state and scheduler="dynamodb".
        endpoint_url: where to call instead of AWS; for emulators and private endpoints.
        profile: a profile of ~/.aws/config.
        tls_ca: a file of certificates that are trusted.
        clock: the source of time.
    """

    def __init__(
        self,
        url: str | BrokerUrl = "sqs://",
        *,
        client: Any = None,
        queues: Mapping[str, str] | None = None,
        lease: Duration = "60s",
        timeout: Duration = "10s",
        prefix: str = "waybill",
        poll: Duration = "5s",
        create: Literal["auto", "never"] = "auto",
        fifo: bool = False,
        fair: str | None = None,
        priorities: int = 1,
        max_receives: int = 100,
        scheduler: Scheduler = "relay",
        role_arn: str | None = None,
        schedule_group: str = "default",
        table: str | None = None,
        endpoint_url: str | None = None,
        profile: str | None = None,
        tls_ca: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        parsed = BrokerUrl.parse(url) if isinstance(url, str) else url
        lease, timeout, poll = (parse_duration(each, bare=False) for each in (lease, timeout, poll))
        given = SqsOptions(
            lease=lease,
            timeout=timeout,
            prefix=prefix,
            poll=poll,
            create=create,
            fifo=fifo,
            fair=fair,
            priorities=priorities,
            max_receives=max_receives,
            scheduler=scheduler,
            role_arn=role_arn,
            schedule_group=schedule_group,
            table=table,
            endpoint_url=endpoint_url,
            profile=profile,
            tls_ca=tls_ca,
        )
        self.options = given.updated(parsed) if parsed.query else given
        self._address = Address.of(parsed, self.options, client)
        self._given = dict(queues or {})
        self._clock = clock or SystemClock()
        self._parts: Parts | None = None
        self._offer()

    @classmethod
    def from_url(cls, url: BrokerUrl) -> SqsDriver:
        return cls(url, **asdict(url.options(SqsOptions)))

    def clone(self) -> SqsDriver:
        twin = type(self).__new__(type(self))
        twin.__setstate__({**self.__dict__, "_parts": None})
        return twin

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._offer()

    def _offer(self) -> None:
        """Verbs that are there or not, as the options have it: what is offered is what can be kept."""
        if not self.options.fifo:
            self.release = self._release
        if self.options.table is not None:
            self.state_get, self.state_put = self._state_get, self._state_put
            self.state_delete, self.state_list = self._state_delete, self._state_list

    @property
    def capabilities(self) -> Capabilities:
        fifo = self.options.fifo
        return Capabilities(
            max_message_bytes=_LARGEST,
            max_batch=10,
            parallel_batches=8,
            max_nack_delay=LONGEST_LEASE if fifo else None,
            delay_resolution=timedelta(seconds=1),
            lease=self.options.lease,
            max_run=LONGEST_LEASE,
            durability="replicated",
            fencing="local",
            idempotent_enqueue=_REMEMBERED if fifo else None,
            exact_attempts=False,
            ordering="group" if fifo else "none",
            priorities=self.options.priorities,
            unique=UniqueClaim() if self.options.table is None else _EVERY_SCOPE,
            purge="lossy",
            dead_browse="scan",
        )

    # -- opening and closing ---------------------------------------------------------------------------

    async def open(self) -> None:
        if self._parts is not None and not self._parts.aws.closing:
            self._parts.aws.check_caller()
            return
        self._parts = await opened(self._address, self.options, self._given, self._clock)

    async def close(self) -> None:
        if self._parts is not None and not self._parts.aws.closing:
            self._parts.aws.check_caller()
            await self._parts.close()

    # -- sending ---------------------------------------------------------------------------------------

    async def enqueue(self, message: Message) -> str:
        return only(await self.enqueue_batch(((message, None),)))

    async def enqueue_in(self, message: Message, delay: timedelta) -> str:
        return only(await self.enqueue_batch(((message, delay),)))

    async def enqueue_at(self, message: Message, when: datetime) -> str:
        return only(await self.enqueue_batch(((message, when),)))

    async def enqueue_batch(self, items: Sequence[tuple[Message, Due]]) -> Sequence[str | WaybillError]:
        return await self._open.sending.enqueue(items)

    # -- receiving -------------------------------------------------------------------------------------

    async def receive(self, queue: str, *, limit: int, wait: timedelta) -> Sequence[Delivery]:
        return await self.receive_many((queue,), limit=limit, wait=wait)

    async def receive_many(self, queues: Sequence[str], *, limit: int, wait: timedelta) -> Sequence[Delivery]:
        return await self._tell(f"receive from {', '.join(queues)}", self._open.receiving.receive(queues, limit, wait))

    async def admit(self, queue_arn: str, records: Sequence[Record], *, held: timedelta) -> Sequence[Arrived]:
        """Deliveries of records that somebody else has received, such as Lambda; one outcome for each, in order.

        None: the record came before its time, or to a companion queue for what is delayed. A copy that comes later is
        stored, and the record is deleted: it counts as done. An error: that could not be done, so the record must
        come again.

        Args:
            queue_arn: of the queue they came from, or its name.
            records: as `Record.of` reads them.
            held: for how long they are invisible to others.
        """
        return await self._tell(
            f"receive from {queue_arn}", self._open.admit(queue_arn, records, held, time.monotonic())
        )

    # -- settling --------------------------------------------------------------------------------------

    async def ack(self, delivery: Delivery) -> None:
        only(await self.ack_batch((delivery,)))

    async def nack(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        only(await self.nack_batch(((delivery, delay),)))

    async def _release(self, delivery: Delivery, *, delay: timedelta = ZERO) -> None:
        """Give it back without spending an attempt: SQS counts receives, so a copy is sent and this one deleted."""
        await self._open.settling.move(delivery, delay, delivery.attempt - 1)

    async def extend(self, delivery: Delivery) -> Delivery:
        return only(await self.extend_batch((delivery,)))

    async def bury(self, delivery: Delivery, reason: DeadReason, to: str | None = None) -> None:
        await self._open.settling.bury(delivery, reason, to)

    async def keep_dead(self, message: Message, reason: DeadReason, to: str | None = None) -> None:
        """Keep as a dead letter what was never received from a queue, such as the job that a Lambda's event names."""
        await self._open.settling.keep_dead(message, reason, to)

    async def ack_batch(self, deliveries: Sequence[Delivery]) -> Sequence[WaybillError | None]:
        return await self._open.settling.ack(deliveries)

    async def nack_batch(self, items: Sequence[tuple[Delivery, timedelta]]) -> Sequence[WaybillError | None]:
        return await self._open.settling.nack(items)

    async def extend_batch(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery | WaybillError]:
        return await self._open.settling.extend(deliveries)

    # -- dead letters ----------------------------------------------------------------------------------

    async def list_dead(self, queue: str, *, after: str | None = None, limit: int = 100) -> Page[DeadLetter]:
        return await self._tell(f"read the dead letters of {queue}", self._open.dead.list_dead(queue, after, limit))

    async def retry_dead(self, queue: str, ids: Sequence[str] | None) -> int:
        return await self._tell(f"send back dead letters of {queue}", self._open.dead.retry_dead(queue, ids))

    async def purge_dead(self, queue: str) -> None:
        await self._tell(f"purge the dead letters of {queue}", self._open.dead.purge_dead(queue))

    # -- looking and clearing --------------------------------------------------------------------------

    async def stats(self, queue: str) -> QueueStats:
        return await self._tell(f"count {queue}", self._open.looking.stats(queue))

    async def queues(self) -> Sequence[str]:
        return await self._tell("list the queues", self._open.looking.queues())

    async def queue_url(self, queue: str) -> str:
        """Where a queue is on SQS; it is made if it is missing and may be made."""
        return await self._tell(f"find {queue}", self._open.places.url(Place(queue)))

    async def purge(self, queue: str, *, force: bool = False) -> None:
        await self._tell(f"purge {queue}", self._open.looking.purge(queue))

    async def diagnose(self) -> Sequence[Note]:
        return [note async for note in notes(self._open)]

    # -- with a table ----------------------------------------------------------------------------------

    async def _state_get(self, key: str) -> StateValue | None:
        return await self._tell(f"read state {key!r}", self._state.get(key))

    async def _state_put(
        self, key: str, value: bytes, *, expect: int | None, ttl: timedelta | None = None
    ) -> int | None:
        return await self._tell(f"write state {key!r}", self._state.put(key, value, expect, ttl))

    async def _state_delete(self, key: str, *, expect: int) -> bool:
        return await self._tell(f"delete state {key!r}", self._state.delete(key, expect))

    async def _state_list(self, prefix: str, *, after: str | None = None, limit: int = 100) -> Page[StateEntry]:
        return await self._tell(f"list state {prefix!r}", self._state.list(prefix, after, limit))

    @property
    def _state(self) -> State:
        state = self._open.state
        assert state is not None
        return state

    # -- what is due much later ------------------------------------------------------------------------

    async def cancel_scheduled(self, queue: str, message_id: str) -> bool:
        """Take back a message that the scheduler still keeps; True: it will never start.

        It is no `cancel`, as that takes back what waits in a queue too, which SQS cannot.

        Raises:
            UnsupportedError: scheduler=relay keeps messages in the queue itself.
        """
        scheduler = self._open.sending.scheduler
        if scheduler is None:
            raise UnsupportedError(
                "scheduler=relay keeps delayed messages in their queue, where nobody can take one back; "
                "use scheduler=eventbridge or scheduler=dynamodb. Nothing was changed"
            )
        return await self._tell(f"cancel job {message_id} of {queue}", scheduler.cancel(queue, message_id))

    async def send_due(self, *, within: timedelta) -> int:
        """Send what scheduler=dynamodb keeps and is due soon or was missed; how many messages. Run it each minute.

        Raises:
            UnsupportedError: there is no table.
        """
        timetable = self._open.timetable
        if timetable is None:
            raise UnsupportedError("there is no table= from which messages could become due; nothing was changed")
        return await self._tell("send what is due", timetable.run(within.total_seconds()))

    # ---------------------------------------------------------------------------------------------------

    @property
    def _open(self) -> Parts:
        if self._parts is None:
            raise closed()
        self._parts.aws.check_caller()
        return self._parts

    async def _tell(self, asked: str, work: Coroutine[Any, Any, T]) -> T:
        """What a verb returns; what goes wrong with AWS is told as Waybill's error."""
        try:
            return await work
        except EXPECTED as error:
            raise while_calling(error, self._address.where, asked) from error

    def __repr__(self) -> str:
        return f"SqsDriver({self._address.where!r})"
