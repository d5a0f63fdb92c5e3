"""Where the servers are and how to log in: everything a connection is made of."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from nats.aio.client import RawCredentials

from waybill.driver import BrokerUrl
from waybill.errors import ConfigurationError

from .options import NatsOptions

PORT: Final = 4222
_SEED: Final = re.compile(r"\bSU[A-Z2-7]{56}\b")
_logger: Final = logging.getLogger("waybill.nats")


@dataclass(frozen=True, slots=True)
class Address:
    """The servers of one cluster; it never shows a password."""

    where: str
    """What errors call it."""
    servers: tuple[str, ...]
    login: Mapping[str, Any] = field(repr=False)
    encrypted: bool
    options: NatsOptions = field(repr=False)

    @classmethod
    def of(cls, url: BrokerUrl, options: NatsOptions) -> Address:
        """What the URL and the options say.

        Raises:
            ConfigurationError: they do not fit each other.
        """
        encrypted = url.scheme == "tls+nats"
        scheme = "tls" if encrypted else "nats"
        hosts = [(name, port or PORT) for name, port in url.hosts or (("localhost", None),)]
        login: dict[str, Any] = {}
        if url.password is not None:
            login = {"user": url.username or "", "password": url.password}
        elif url.username is not None:
            login = {"token": url.username}
        if sum(map(bool, (login, options.creds, options.nkey))) > 1:
            raise ConfigurationError("nats: a user in the URL, creds= and nkey= exclude each other; keep one")
        if options.tls_ca is not None and not encrypted:
            raise ConfigurationError("nats: tls_ca= is for an encrypted connection; write tls+nats://")
        where = f"{url.scheme}://{','.join(f'{_host(name)}:{port}' for name, port in hosts)}"
        if encrypted and not options.tls_verify:
            _logger.warning("%s: the server's certificate is not verified (tls_verify=false)", where)
        return cls(where, tuple(f"{scheme}://{_host(name)}:{port}" for name, port in hosts), login, encrypted, options)

    async def arguments(self) -> dict[str, Any]:
        """What nats-py's `connect` is given.

        Raises:
            ConfigurationError: a file cannot be used.
        """
        given = {"servers": list(self.servers), **self.login, "inbox_prefix": self.options.inbox_prefix}
        # Read here, in a thread: nats-py reads files in the middle of a connection, on the loop.
        if self.options.creds is not None:
            given["user_credentials"] = RawCredentials(await asyncio.to_thread(_secret_of, self.options.creds))
        elif self.options.nkey is not None:
            given["nkeys_seed_str"] = await asyncio.to_thread(_secret_of, self.options.nkey)
        if self.encrypted:
            given["tls"] = await asyncio.to_thread(self._tls)  # reads files
            if self.options.tls_server_name is not None:
                given["tls_hostname"] = self.options.tls_server_name
        return given

    def _tls(self) -> ssl.SSLContext:
        options = self.options
        try:
            context = ssl.create_default_context(cafile=options.tls_ca)
            if options.tls_cert is not None:
                context.load_cert_chain(options.tls_cert, options.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"{self.where}: tls_ca, tls_cert or tls_key cannot be used: {error}. Nothing was sent. Name files in "
                "PEM form that this user can read."
            ) from error
        if not options.tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _host(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _secret_of(path: str) -> str:
    """What is in the file of creds= or nkey=.

    Raises:
        ConfigurationError: it cannot be used; nothing of it is shown.
    """
    if find_spec("nkeys") is None:  # which nats-py imports when it logs in
        raise ConfigurationError("nats: creds= and nkey= need one more package: pip install 'waybill-nats[nkeys]'")
    try:
        secret = Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"nats: the file of creds= or nkey= cannot be read: {getattr(error, 'strerror', 'it is no text')}. Nothing "
            "was sent. Name a file that this user can read."
        ) from error
    if _SEED.search(secret) is None:
        raise ConfigurationError(
            "nats: the file of creds= or nkey= holds no user's seed (SU…). Nothing was sent. Make one with nsc or nk."
        )
    return secret
