"""A broker's URL: where it is, and its options, parsed once; it never shows a password."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import timedelta
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union

from .errors import ConfigurationError
from .timing import parse_duration

T = TypeVar("T")

_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """`scheme://username:password@hosts/path?options`, each part decoded."""

    scheme: str
    hosts: tuple[tuple[str, int | None], ...] = ()
    path: str = ""
    """Without its first slash: `sqlite:///jobs.db` says "jobs.db", `sqlite:////tmp/jobs.db` "/tmp/jobs.db"."""
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str) -> BrokerUrl:
        """Read a URL.

        Raises:
            ConfigurationError: it is malformed; the message repeats the scheme and nothing else of it.
        """
        from urllib.parse import unquote

        scheme, separator, rest = url.partition("://")
        if not separator or not scheme or not scheme.replace("+", "").isalnum():
            raise ConfigurationError(
                "a broker's URL looks like 'sqlite:///jobs.db' or 'redis://user:password@host:6379/0'; "
                "this one has no 'scheme://'"
            )
        rest, _, query = rest.partition("?")
        authority, slash, path = rest.partition("/")
        torn = "@" not in authority and ":" in authority and "@" in query.partition("=")[0]
        if torn or "#" in rest or "#" in query or (authority and "@" in path):
            raise ConfigurationError(
                f"'{scheme}://…': a '/', '?', '#' or '@' inside the user name or password must be "
                "percent-encoded ('/' is %2F, '?' is %3F, '#' is %23, '@' is %40)"
            )
        userinfo, _, hosts = authority.rpartition("@")
        username, colon, password = userinfo.partition(":")
        return cls(
            scheme=scheme.lower(),
            hosts=tuple(_host(scheme, each) for each in hosts.split(",") if each),
            path=unquote(path) if slash else "",
            username=unquote(username) or None,
            password=unquote(password) if colon else None,
            query=_query(scheme, query),
        )

    def options(self, kind: type[T]) -> T:
        """The query parameters as the dataclass *kind*, whose field types say how each is read.

        Raises:
            ConfigurationError: an option is unknown, given in the wrong form, or missing.
        """
        hints = typing.get_type_hints(kind)
        known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
        values: dict[str, Any] = {}
        for name, text in self.query.items():
            if name not in known:
                import difflib

                close = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                shown = repr(name) if name.isidentifier() else "of the given name"
                raise ConfigurationError(
                    f"'{self.scheme}://' has no option {shown}; {hint}Options: {', '.join(sorted(known))}"
                )
            try:
                values[name] = _read(hints[name], text)
            except ValueError as error:
                # The text may be a secret: only what the parser wants is told.
                detail = f": {error}" if not _secret(name, text) else ""
                raise ConfigurationError(f"'{self.scheme}://': option {name!r}{detail}") from None
        missing = [
            name
            for name, each in known.items()
            if name not in values and each.default is MISSING and each.default_factory is MISSING
        ]
        if missing:
            raise ConfigurationError(f"'{self.scheme}://' needs the option {missing[0]!r}")
        return kind(**values)

    def __str__(self) -> str:
        """The URL without what is secret in it."""
        # A user name that stands alone may be a token.
        user = f"{self.username or ''}:***" if self.password is not None else "***" if self.username else ""
        hosts = ",".join(name if port is None else f"{name}:{port}" for name, port in self.hosts)
        query = "&".join(f"{name}={'***' if _secret(name, value) else value}" for name, value in self.query.items())
        at = "@" if user else ""
        return f"{self.scheme}://{user}{at}{hosts}{'/' if self.path else ''}{self.path}{'?' if query else ''}{query}"


def _secret(option: str, value: str) -> bool:
    return "@" in value or any(word in option for word in ("password", "secret", "token", "creds", "key"))


def _host(scheme: str, text: str) -> tuple[str, int | None]:
    name, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        return text.strip("[]"), None
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ConfigurationError(
            f"'{scheme}://…': the port is not a number from 1 to 65535. If that is part of a password, "
            "percent-encode it ('@' is %40, ':' is %3A)"
        )
    return name.strip("[]"), int(port)


def _query(scheme: str, text: str) -> dict[str, str]:
    from urllib.parse import parse_qsl

    values: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if name in values:
            shown = repr(name) if name.isidentifier() else "an option"
            raise ConfigurationError(f"'{scheme}://': {shown} is given twice")
        values[name] = value
    return values


def _read(hint: Any, text: str) -> Any:
    if typing.get_origin(hint) in (Union, UnionType):
        hint = next(each for each in typing.get_args(hint) if each is not NoneType)
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text
    if hint is bool:
        if text.lower() not in _BOOLEANS:
            raise ValueError(f"{text!r} is neither true nor false")
        return _BOOLEANS[text.lower()]
    if hint is timedelta:
        return parse_duration(text, bare=False)
    return hint(text)
