"""What can be set in the URL or as keywords."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Literal

from waybill.driver import BrokerUrl
from waybill.errors import ConfigurationError

SECOND: Final = timedelta(seconds=1)
LONGEST_LEASE: Final = timedelta(hours=12)
LONGEST_POLL: Final = timedelta(seconds=20)

Scheduler = Literal["relay", "eventbridge", "dynamodb"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsOptions:
    """Options of the SQS driver; the package's README says what each is for."""

    lease: timedelta = timedelta(seconds=60)
    timeout: timedelta = timedelta(seconds=10)
    prefix: str = "waybill"
    poll: timedelta = timedelta(seconds=5)
    create: Literal["auto", "never"] = "auto"
    fifo: bool = False
    fair: str | None = None
    priorities: int = 1
    max_receives: int = 100
    scheduler: Scheduler = "relay"
    role_arn: str | None = None
    schedule_group: str = "default"
    table: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    tls_ca: str | None = None

    def updated(self, url: BrokerUrl) -> SqsOptions:
        """These, and those that the URL says otherwise.

        Raises:
            ConfigurationError: the URL has an option that there is not, or one in the wrong form.
        """
        said = url.options(SqsOptions)
        return replace(self, **{name: getattr(said, name) for name in url.query})

    def __post_init__(self) -> None:
        for name, value, longest in (("lease", self.lease, LONGEST_LEASE), ("poll", self.poll, LONGEST_POLL)):
            if not SECOND <= value <= longest or value % SECOND:
                raise ConfigurationError(
                    f"sqs: {name}= is a number of whole seconds from 1 to {longest // SECOND}, as SQS counts in "
                    f"seconds; it is {value.total_seconds():g} s"
                )
        if not self.timeout:
            raise ConfigurationError("sqs: timeout= is longer than nothing")
        if not 1 <= self.priorities <= 10:
            raise ConfigurationError(f"sqs: priorities= is from 1 (none) to 10, and it is {self.priorities}")
        if not 1 <= self.max_receives <= 1000:
            raise ConfigurationError(f"sqs: max_receives= is from 1 to 1000, and it is {self.max_receives}")
        if self.fifo and self.priorities > 1:
            raise ConfigurationError(
                "sqs: fifo=true keeps the order of groups, which several queues by priority cannot; "
                "leave out one of fifo and priorities"
            )
        if self.scheduler == "eventbridge" and self.role_arn is None:
            raise ConfigurationError(
                "sqs: scheduler=eventbridge needs role_arn=, a role that scheduler.amazonaws.com may assume and that "
                "may call sqs:SendMessage"
            )
        if self.scheduler == "dynamodb" and self.table is None:
            raise ConfigurationError("sqs: scheduler=dynamodb needs table=, the name of a DynamoDB table")
