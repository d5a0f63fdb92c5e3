"""Everything that one open driver consists of, each part with those that it needs."""

from __future__ import annotations

import asyncio

from .address import Address
from .bucket import Bucket
from .cancel import Cancelling
from .clear import Clearing
from .enqueue import Sending
from .letters import Letters
from .look import Looking
from .names import Names
from .options import NatsOptions
from .parking import Parking
from .pullers import Pullers
from .receive import Receiving
from .server import Server
from .settle import Settling
from .state import State
from .topology import Topology
from .unique import UniqueKeys
from .unspent import Unspent


class Parts:
    """On the running loop."""

    def __init__(self, address: Address, options: NatsOptions, names: Names) -> None:
        server = self.server = Server(address, options, names)
        topology = self.topology = Topology(server, names)
        bucket = self.bucket = Bucket(server, names)
        keys = UniqueKeys(server, names, bucket)
        unspent = Unspent(server, names, bucket)
        pullers = self.pullers = Pullers(server, unspent)
        parking = self.parking = Parking(server, names, topology, pullers)
        self.sending = Sending(server, names, topology, keys)
        self.receiving = Receiving(server, topology, pullers, keys=keys, unspent=unspent, parking=parking)
        self.settling = Settling(server, names, topology, bucket, keys=keys, unspent=unspent)
        letters = self.letters = Letters(server, names, topology, bucket, keys)
        self.looking = Looking(server, names, topology, bucket, letters=letters, parking=parking)
        self.clearing = Clearing(server, names, topology, keys, pullers)
        self.cancelling = Cancelling(server, names, topology, bucket, keys)
        self.state = State(server, names, bucket)

    async def close(self) -> None:
        self.server.interrupt()
        await self.parking.end()
        await self.topology.end()
        await asyncio.sleep(0)  # who was interrupted leaves what it has
        await self.pullers.end()
        await self.server.close()
