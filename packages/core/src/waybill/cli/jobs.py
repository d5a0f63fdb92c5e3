"""`waybill jobs`: what the application has defined."""

from __future__ import annotations

from typing import Any

from ..jobs.registry import AnyJob, Registered
from .application import load_service
from .output import AsJson, brief, cell, print_json, say, screen, table
from .settings import Settings


def jobs(settings: Settings, *, as_json: AsJson = False) -> None:
    """List the application's jobs with their options."""
    found = sorted(load_service(settings).registry, key=lambda each: (each.queue, each.job.name))
    if as_json:
        print_json([_facts(each) for each in found])
        return
    made = table("queue", "job", "payload", "attempts", "timeout", "more", numbers=["attempts"])
    for each in found:
        facts = _facts(each)
        made.add_row(
            cell(each.queue),
            cell(each.job.name, "bold"),
            cell(facts["payload"]),
            cell(each.retry.max_attempts),
            cell(None if each.job.options.timeout is None else brief(each.job.options.timeout)),
            cell(", ".join(_more(each)), "dim"),
        )
    if found:
        screen().print(made)
    else:
        say("no jobs")


def _facts(registered: Registered) -> dict[str, Any]:
    job, options = registered.job, registered.job.options
    return {
        "name": job.name,
        "queue": registered.queue,
        "payload": _payload_of(job),
        "max_attempts": registered.retry.max_attempts,
        "timeout": options.timeout,
        "priority": options.priority,
        "delay": options.delay,
        "unique": None if options.unique is None else options.unique.until,
        "grouped": options.group is not None,
        "aliases": list(options.aliases),
        "handler": job.handler is not None,
        "doc": next(iter((job.__doc__ or "").strip().splitlines()), ""),
    }


def _more(registered: Registered) -> list[str]:
    options = registered.job.options
    told = {
        "a declaration, no handler here": registered.job.handler is None,
        f"priority {options.priority}": options.priority,
        f"delay {brief(options.delay)}": options.delay,
        f"unique until {options.unique and options.unique.until}": options.unique,
        "in groups": options.group is not None,
        f"also {', '.join(options.aliases)}": options.aliases,
    }
    return [text for text, holds in told.items() if holds]


def _payload_of(job: AnyJob) -> str:
    if job.handler is not None and job.handler.payload is None:
        return "none"
    if job.schema is None:
        return "any JSON"
    return job.schema.__name__ if isinstance(job.schema, type) else str(job.schema).replace("typing.", "")
