"""A free port for a server."""

import random

from waybill_conformance.brokers.ports import free_port


def test_processes_whose_random_numbers_are_seeded_alike_get_different_ports():
    """As the workers of a parallel test run are, which all start a server at once."""
    ports = []
    for _ in range(4):
        random.seed(7)
        ports.append(free_port())
    assert len(set(ports)) == 4
