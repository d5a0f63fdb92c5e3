"""A port that stays free until a slow server binds it."""

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
LOWEST = 20_000
# Not the one generator that test runners seed: several workers of a run would choose the same ports.
CHANCE = random.SystemRandom()


def free_port() -> int:
    """A free loopback port that the system gives to nobody else on its own."""
    # Outgoing connections take their ports from the ephemeral range: a server that takes seconds to
    # bind would find a port from there stolen now and then.
    ports = range(LOWEST, max(ephemeral_start(), LOWEST + 1_000))
    for _ in range(100):
        port = CHANCE.choice(ports)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port found between {ports.start} and {ports.stop} on {LOOPBACK}: 100 were tried")


def ephemeral_start() -> int:
    """Where the range of outgoing ports begins."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768


def refuses(host: str, port: int) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return True
    return False
