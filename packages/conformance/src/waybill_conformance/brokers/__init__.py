"""Real brokers for tests, and what may happen to them: restarts, pauses, cut and slow connections.

with start("redis") as broker:
    broker.url        # for a client: through a proxy, the same after each restart
    broker.restart()  # kill -9, and up again with the same data
"""

from .broker import Broker
from .errors import BrokerError, BrokerMissingError, BrokerStartError, PowerMissingError
from .harness import BrokerHarness
from .kind import BrokerKind, Command, Site
from .proxy import TcpProxy
from .skipping import broker_or_skip
from .starting import KINDS, start

__all__ = [
    "KINDS",
    "Broker",
    "BrokerError",
    "BrokerHarness",
    "BrokerKind",
    "BrokerMissingError",
    "BrokerStartError",
    "Command",
    "PowerMissingError",
    "Site",
    "TcpProxy",
    "broker_or_skip",
    "start",
]
