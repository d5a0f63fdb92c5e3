"""`waybill drivers`: the brokers this installation can speak to, and what they claim."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from datetime import timedelta
from importlib.metadata import EntryPoint
from typing import Any

from ..driver import OPTIONAL, Capabilities, UniqueClaim, claims
from ..drivers import installed_drivers
from .application import find_service
from .output import AsJson, brief, cell, print_json, say, screen, table
from .settings import Settings


def drivers(settings: Settings, *, as_json: AsJson = False) -> None:
    """List the installed drivers, their versions and their optional verbs; with --url, all that this broker claims.

    To read their verbs the installed drivers are imported.
    """
    if settings.url is not None:
        _show_claims(settings, as_json=as_json)
        return
    found = {scheme: _facts(each) for scheme, entries in sorted(installed_drivers().items()) for each in entries}
    if as_json:
        print_json([{"scheme": scheme, **facts} for scheme, facts in found.items()])
        return
    made = table("scheme", "package", "version", "can also")
    for scheme, facts in found.items():
        verbs = cell(", ".join(facts["verbs"]), "dim") if facts["error"] is None else cell(facts["error"], "red")
        made.add_row(cell(f"{scheme}://", "bold"), cell(facts["package"]), cell(facts["version"]), verbs)
    screen().print(made)
    say("waybill drivers --url URL shows what one broker promises.")


def promises(able: Capabilities) -> dict[str, str]:
    """The values of the claims, in words."""
    return {each.name.replace("_", " "): _in_words(each.name, getattr(able, each.name)) for each in fields(able)}


def _facts(entry: EntryPoint) -> dict[str, Any]:
    package = entry.dist.name if entry.dist else entry.value
    facts: dict[str, Any] = {
        "package": package,
        "version": entry.dist and entry.dist.version,
        "verbs": [],
        "error": None,
    }
    try:
        driver = entry.load()
    except Exception as error:
        return facts | {"error": f"cannot be imported: {type(error).__name__}: {error}"}
    if isinstance(driver, type):
        facts["verbs"] = [each.__name__ for each in OPTIONAL if issubclass(driver, each)]
    return facts


def _show_claims(settings: Settings, *, as_json: bool) -> None:
    service = find_service(settings)

    async def ask() -> tuple[dict[str, Any], Capabilities]:
        async with service:
            connection = await service.connect(service.broker)
            return dict(claims(connection.driver)), connection.capabilities

    found, able = asyncio.run(ask())
    if as_json:
        unique = {"unique": {"scopes": able.unique.scopes, "reported": able.unique.reported}}
        print_json({"url": str(service.broker), "claims": found | unique})
        return
    made = table("claim", "value")
    for each in OPTIONAL:
        made.add_row(cell(each.__name__), cell("yes", "green") if found[each.__name__] else cell("no", "dim"))
    for name, value in promises(able).items():
        made.add_row(cell(name), cell(value))
    made.title = str(service.broker)
    made.title_justify = "left"
    screen().print(made)


_NONE = {
    "max_batch": "1",
    "lease": "held by the connection",
    "max_run": "any",
    "idempotent_enqueue": "no",
    "purge": "no",
    "dead_browse": "no",
}


def _in_words(name: str, value: Any) -> str:
    match value:
        case None:
            return _NONE.get(name, "any")
        case True | False:
            return "yes" if value else "no"
        case timedelta() if name == "idempotent_enqueue" and not value:
            return "while the job is stored"
        case timedelta():
            return brief(value)
        case UniqueClaim():
            told = "" if value.reported else " (duplicates are dropped silently)"
            return f"until {', '.join(sorted(value.scopes))}{told}" if value.scopes else "no"
        case int():
            return f"{value:,}"
        case _:
            return str(value)
