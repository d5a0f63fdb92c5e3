"""What a test does where a broker is missing."""

import os
from typing import NoReturn

import pytest

from .broker import Broker
from .errors import BrokerMissingError
from .kind import BrokerKind
from .server import How
from .starting import start

REQUIRE = "WAYBILL_REQUIRE_BROKERS"


def broker_or_skip(kind: str | BrokerKind, *, how: How | None = None, **settings: object) -> Broker:
    """As `start`; where there is no such broker the test is skipped, or fails if WAYBILL_REQUIRE_BROKERS=1."""
    try:
        return start(kind, how=how, **settings)
    except BrokerMissingError as missing:
        skip_or_fail(missing)


def skip_or_fail(missing: BrokerMissingError) -> NoReturn:
    """End the test for want of a broker, in one line."""
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"NO BROKER: {missing} ({REQUIRE}=1 makes this a failure)", pytrace=False)
    pytest.skip(f"NO BROKER, NOT TESTED: {missing} ({REQUIRE}=1 makes this a failure)")
