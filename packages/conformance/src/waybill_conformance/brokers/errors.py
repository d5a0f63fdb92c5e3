"""What can go wrong with a broker for tests.

BrokerError
├── BrokerMissingError    no way to get this broker here
├── BrokerStartError      it was started, and did not come up
└── PowerMissingError     this broker cannot be restarted, paused or cut
"""

from collections.abc import Sequence


class BrokerError(Exception):
    """Any of the errors below."""


class BrokerMissingError(BrokerError):
    """No way to get this broker here: `tried` says what stood against each."""

    def __init__(self, name: str, tried: Sequence[str], cure: str) -> None:
        super().__init__(f"There is no {name} for the tests. Tried: {'; '.join(tried)}. To get one: {cure}.")
        self.name = name
        self.tried = tuple(tried)
        self.cure = cure


class BrokerStartError(BrokerError):
    """The server was started and ended, or did not answer in time; the end of its log is in the text."""

    def __init__(self, text: str, *, died: bool = False) -> None:
        super().__init__(text)
        self.died = died
        """Whether it ended by itself: another try, on other ports, may help."""


class PowerMissingError(BrokerError):
    """What was asked cannot be done to this broker; nothing has happened to it."""
