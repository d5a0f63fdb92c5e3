"""The shipped drivers satisfy the protocol, for mypy and pyright as well as at run time.

A line that must be refused carries `# type: ignore[code]`: both checkers report an ignore that is not needed.
"""

from waybill.driver import QueueDriver
from waybill.drivers.memory import MemoryDriver
from waybill_nats import NatsDriver
from waybill_rabbitmq import RabbitMQDriver
from waybill_sqlite import SqliteDriver
from waybill_sqs import SqsDriver


def test_the_shipped_drivers_are_drivers() -> None:
    drivers: list[type[QueueDriver]] = [MemoryDriver, SqliteDriver, RabbitMQDriver, NatsDriver, SqsDriver]
    assert all(hasattr(driver, "receive") for driver in drivers)
