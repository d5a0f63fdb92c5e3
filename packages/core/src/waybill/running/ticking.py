"""The tickers of a worker: one for each book in which its service's schedules are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from ..schedules.book import Book
from ..schedules.ticker import Ticker
from ..sending.recurring import declare_schedules, send_instant

if TYPE_CHECKING:
    from ..sending.service import JobService

REMEMBERS: Final = timedelta(seconds=2)
"""How long a claim holds where a repeated enqueue is recognised: another worker may try soon."""
FORGETS: Final = timedelta(seconds=15)
"""The same where it is not: one that is merely slow would be two jobs. Longer than a verb may take, by default."""


async def tickers_of(service: JobService) -> list[AbstractAsyncContextManager[Ticker]]:
    """Ready to be entered; what registered jobs declare is written down first."""
    await declare_schedules(service)
    capabilities = [(await service.connect(each)).capabilities for each in (service.broker, *service.brokers.values())]
    forgets = any(each.idempotent_enqueue is None for each in capabilities)
    return [_ticking(service, each, FORGETS if forgets else REMEMBERS) for each in await service.books.all()]


@asynccontextmanager
async def _ticking(service: JobService, book: Book, patience: timedelta) -> AsyncIterator[Ticker]:
    declared = {each.job.name for each in service.registry if each.job.options.schedule is not None}
    ticker = Ticker(book, service.clock, partial(send_instant, service), declared.__contains__, patience)
    await ticker.start()
    deaf = service.books.listen(ticker.wake)
    try:
        yield ticker
    finally:
        deaf()
        await ticker.stop()
