"""The pulls of the link that is in use."""

from __future__ import annotations

from .link import Link
from .pull import Puller
from .server import Server
from .unspent import Unspent


class Pullers:
    """Inboxes end with their link."""

    def __init__(self, server: Server, unspent: Unspent) -> None:
        self._server, self._unspent = server, unspent
        self._puller: Puller | None = None

    def of(self, link: Link) -> Puller:
        if self._puller is None or self._puller.link is not link:
            self._puller = Puller(link, self._unspent.stray, self._server.run_errand)
        return self._puller

    async def end(self) -> None:
        """The driver is being closed."""
        if self._puller is not None:
            await self._puller.end()
