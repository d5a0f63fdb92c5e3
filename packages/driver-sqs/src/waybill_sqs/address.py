"""Where SQS is and as whom to call it: everything a client is made of."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from waybill.driver import BrokerUrl
from waybill.errors import ConfigurationError

from .options import SqsOptions


@dataclass(frozen=True, slots=True)
class Address:
    """A region of AWS or an emulator of it; it never shows a key."""

    region: str | None
    """None: as boto3 finds it."""
    key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    endpoint_url: str | None = None
    client: Any = field(default=None, repr=False)
    """A ready client of SQS."""
    _sessions: list[Any] = field(default_factory=list, repr=False, compare=False)
    """The one that all clients are made by, those of clones too, once it is there."""
    _making: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def of(cls, url: BrokerUrl, options: SqsOptions, client: Any) -> Address:
        """What the URL and the options say.

        Raises:
            ConfigurationError: they do not fit each other.
        """
        if url.path:
            raise ConfigurationError("sqs: the URL has no path; write sqs://eu-west-1?prefix=… to name the queues")
        if len(url.hosts) > 1 or any(port is not None for _, port in url.hosts):
            raise ConfigurationError("sqs: the URL names a region, such as sqs://eu-west-1, and nothing else")
        if (url.username is None) != (url.password is None):
            raise ConfigurationError("sqs: give key and secret both, sqs://key:secret@region, or leave both to boto3")
        region = url.hosts[0][0] if url.hosts else None
        if client is not None:
            return cls(client.meta.region_name, None, None, options.endpoint_url, client)
        return cls(region, url.username, url.password, options.endpoint_url)

    @property
    def where(self) -> str:
        """What errors call it."""
        place = self.endpoint_url or self.region
        return f"SQS at {place}" if place else "SQS"

    def make_client(self, service: str, options: SqsOptions, config: Any) -> Any:
        """A client of a service; it reads files, so it is called in a thread."""
        from boto3.session import Session

        # The first one of a session takes long, the others do not; and a session makes one at a time.
        with self._making:
            if not self._sessions:
                self._sessions.append(
                    Session(
                        aws_access_key_id=self.key,
                        aws_secret_access_key=self.secret,
                        region_name=self.region,
                        profile_name=options.profile,
                    )
                )
            return self._sessions[0].client(
                service, endpoint_url=self.endpoint_url, config=config, verify=options.tls_ca
            )
