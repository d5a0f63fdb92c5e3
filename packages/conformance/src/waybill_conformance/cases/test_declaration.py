"""What a driver says of itself is well-formed, agrees with its verbs, and stays as it is."""

import inspect
from dataclasses import fields
from datetime import timedelta
from typing import Any, get_args, get_type_hints

from waybill.driver import OPTIONAL, Capabilities, Purges, QueueDriver, ReadsDeadLetters, UniqueClaim, UniqueScope
from waybill.timing import ZERO

from ..bench import Bench
from ..case import proves
from ..witness import SIX, verbs_in

DURATIONS = ("max_delay", "max_nack_delay", "delay_resolution", "lease", "max_run", "idempotent_enqueue")


@proves("declaration")
async def test_every_claim_has_the_type_the_contract_gives(bench: Bench) -> None:
    assert isinstance(bench.driver.capabilities, Capabilities)
    able: Any = bench.driver.capabilities  # whose fields may hold anything
    for name in ("durability", "fencing", "ordering", "purge", "dead_browse"):
        value, words = getattr(able, name), _words(name)
        assert value in words, f"{name} is {value!r}, and none of {words}"
    for name in DURATIONS:
        value = getattr(able, name)
        assert value is None or (isinstance(value, timedelta) and value >= ZERO), (
            f"{name} is {value!r}, and no duration"
        )
    for name in ("max_batch", "parallel_batches"):
        value = getattr(able, name)
        assert type(value) is int and value >= 1, f"{name} is {value!r}, and not a number from 1"
    assert type(able.priorities) is int and 1 <= able.priorities <= 10, f"priorities is {able.priorities!r}; 1 to 10"
    assert able.max_message_bytes is None or able.max_message_bytes > 0
    assert type(able.exact_attempts) is bool
    assert isinstance(able.unique, UniqueClaim) and able.unique.scopes <= set(get_args(UniqueScope))
    assert able.delay_resolution is not None and able.lease != ZERO


@proves("declaration")
async def test_claims_and_verbs_agree(bench: Bench) -> None:
    driver, able = bench.driver, bench.driver.capabilities
    batches = any(hasattr(driver, verb) for verb in ("enqueue_batch", "ack_batch", "nack_batch", "extend_batch"))
    assert batches or able.max_batch == 1, f"max_batch is {able.max_batch}, and there is no batch verb"
    assert isinstance(driver, Purges) == (able.purge is not None), f"purge is {able.purge!r}; the verb says otherwise"
    reads = isinstance(driver, ReadsDeadLetters)
    assert reads == (able.dead_browse is not None), f"dead_browse is {able.dead_browse!r}; the verbs say otherwise"


@proves("declaration")
async def test_verbs_have_the_parameters_of_the_protocol(bench: Bench) -> None:
    protocols: list[tuple[type[Any], tuple[str, ...]]] = [
        (QueueDriver, SIX),
        *((each, verbs_in(each)) for each in OPTIONAL),
    ]
    for protocol, verbs in protocols:
        for verb in verbs:
            method = getattr(bench.driver, verb, None)
            if method is not None:
                _accepts(verb, inspect.signature(getattr(protocol, verb)), inspect.signature(method))


@proves("declaration")
async def test_a_protocol_of_several_verbs_is_offered_whole_or_not_at_all(bench: Bench) -> None:
    for protocol in OPTIONAL:
        there = [verb for verb in verbs_in(protocol) if hasattr(bench.driver, verb)]
        assert len(there) in (0, len(verbs_in(protocol))), f"{protocol.__name__}: only {there} of {verbs_in(protocol)}"


@proves("declaration")
async def test_the_claims_are_the_same_for_every_connection(bench: Bench) -> None:
    other = await bench.open()
    for field in fields(Capabilities):
        one, two = (getattr(each.capabilities, field.name) for each in (bench.driver, other))
        assert one == two, f"{field.name} is {one!r} for one connection and {two!r} for the next"


def _words(name: str) -> tuple[Any, ...]:
    """The values that a capability of words may have."""
    words: list[Any] = []
    for part in get_args(hint := get_type_hints(Capabilities)[name]) or (hint,):
        words += get_args(part) or ([None] if part is type(None) else [part])
    return tuple(words)


def _accepts(verb: str, wanted: inspect.Signature, offered: inspect.Signature) -> None:
    """See that a call as the protocol has it fits the method."""
    names = [name for name in wanted.parameters if name != "self"]
    positional = [n for n in names if wanted.parameters[n].kind is not inspect.Parameter.KEYWORD_ONLY]
    try:
        offered.bind(*positional, **{name: None for name in names if name not in positional})
        required = [n for n in names if wanted.parameters[n].default is inspect.Parameter.empty]
        offered.bind(*[n for n in positional if n in required], **{n: None for n in required if n not in positional})
    except TypeError as error:
        raise AssertionError(
            f"{verb}{offered} cannot be called as the protocol has it, {verb}{wanted}: {error}"
        ) from error
