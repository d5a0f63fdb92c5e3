"""Where SQS is and as whom to call it: everything a client is made of."""

from __future__ import annotations

import functools
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
        # A session keeps the credentials that it was given for a while, and makes one client at a time.
        with self._making:
            if not self._sessions:
                self._sessions.append(self._make_session(options.profile))
            return self._sessions[0].create_client(
                service,
                region_name=self.region,
                endpoint_url=self.endpoint_url,
                config=config,
                verify=options.tls_ca,
            )

    def _make_session(self, profile: str | None) -> Any:
        from botocore.session import Session

        session = Session(profile=profile)
        session.register_component("data_loader", _descriptions(session.get_config_variable("data_path")))
        if self.key is not None:
            session.set_credentials(self.key, self.secret)
        return session


@functools.cache
def _descriptions(path: str | None) -> Any:
    """What botocore's files say of the services: they are large, so they are read once and not for each session."""
    from botocore.loaders import create_loader

    return create_loader(path)
