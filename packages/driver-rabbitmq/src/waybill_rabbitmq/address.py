"""Where the servers are and how to log in: everything a connection is made of."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from typing import Final

from pika import ConnectionParameters, PlainCredentials, SSLOptions

from waybill.driver import BrokerUrl
from waybill.errors import ConfigurationError

from .options import RabbitMQOptions

PORT: Final = 5672
TLS_PORT: Final = 5671
_logger: Final = logging.getLogger("waybill.rabbitmq")


@dataclass(frozen=True, slots=True)
class Address:
    """One or more servers of a cluster; it never shows a password."""

    where: str
    """What errors call it."""
    hosts: tuple[tuple[str, int], ...]
    vhost: str
    heartbeat: int
    credentials: PlainCredentials = field(repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    server_name: str | None = None

    @classmethod
    def of(cls, url: BrokerUrl, options: RabbitMQOptions) -> Address:
        """What the URL and the options say.

        Raises:
            ConfigurationError: a file of certificates cannot be used.
        """
        secure = url.scheme == "amqps"
        given = url.hosts or (("localhost", None),)
        hosts = tuple((name, port or (TLS_PORT if secure else PORT)) for name, port in given)
        vhost = url.path or "/"
        shown = ",".join(f"{name}:{port}" for name, port in hosts)
        where = f"{url.scheme}://{shown}/{'%2F' if vhost == '/' else vhost}"
        return cls(
            where=where,
            hosts=hosts,
            vhost=vhost,
            heartbeat=round(options.heartbeat.total_seconds()),
            credentials=PlainCredentials(url.username or "guest", url.password or "guest"),
            tls=_context(options, where) if secure else None,
            server_name=options.tls_server_name,
        )

    def parameters(self, host: str, port: int, patience: float) -> ConnectionParameters:
        """For a connection to one of the hosts, tried once."""
        return ConnectionParameters(
            host=host,
            port=port,
            virtual_host=self.vhost,
            credentials=self.credentials,
            heartbeat=self.heartbeat,
            socket_timeout=patience,
            stack_timeout=patience,
            connection_attempts=1,
            blocked_connection_timeout=None,
            ssl_options=None if self.tls is None else SSLOptions(self.tls, self.server_name or host),
            client_properties={"connection_name": "waybill"},
        )


def _context(options: RabbitMQOptions, where: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.tls_ca)
        if options.tls_cert is not None:
            context.load_cert_chain(options.tls_cert, options.tls_key)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{where}: the files of tls_ca, tls_cert and tls_key cannot be used: {error}"
        ) from error
    if not options.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        _logger.warning("%s: the server's certificate is not verified (tls_verify=false)", where)
    return context
