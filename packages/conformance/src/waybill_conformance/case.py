"""A case: one sentence of the contract as a test, marked with the claim that it proves."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import pytest

from .claims import Claims, names

if TYPE_CHECKING:
    from .bench import Bench

Body: TypeAlias = "Callable[[Bench], Awaitable[None]]"


def always(claims: Claims) -> bool:
    """No further condition."""
    return True


@dataclass(frozen=True)
class Case:
    """One sentence, and when it holds for a driver."""

    name: str
    claims: tuple[str, ...]
    """The rows of the ledger that it speaks for; it runs if all are claimed."""
    body: Body
    twin: bool = False
    """A negative twin: it runs where the claim is *not* made, and proves the refusal."""
    given: Callable[[Claims], bool] = always
    power: str | None = None
    """What the harness must be able to do."""
    vital: bool = False
    """Whether the claim falls where the harness lacks that power."""
    seconds: float = 60.0
    """Real time after which it counts as hanging."""

    @property
    def sentence(self) -> str:
        return self.name.removeprefix("test_").replace("_", " ")

    def why_not(self, claims: Claims) -> str | None:
        """Why it does not concern this driver, or None if it does.

        Raises:
            AssertionError: the driver claims what this harness cannot put to the test.
        """
        for name in self.claims:
            if claims.offers(name) == self.twin:
                return f"{'claimed' if self.twin else 'not offered'}: {name}"
        if not self.given(claims):
            return f"not offered: {self.claims[0]} in the form that this case is about"
        if self.power is not None and self.power not in claims.powers:
            if self.vital:
                raise AssertionError(
                    f"{self.claims[0]} is claimed and cannot be proven: this harness has no {self.power}. "
                    f"Give it one, or withdraw the claim."
                )
            return f"no power: the harness has no {self.power}"
        return None


def proves(
    *claims: str,
    given: Callable[[Claims], bool] = always,
    power: str | None = None,
    vital: bool = False,
    seconds: float = 60.0,
) -> Callable[[Body], Callable[..., None]]:
    """Make an async function a case for these claims; it runs where all of them are made.

    Args:
        claims: names of optional protocols, capabilities, or rows of `claims.CONDUCT`.
        given: a further condition on the claims' values.
        power: what the harness must be able to do ("restart", "pause", "cut", "network", "raw", "url", "clock").
        vital: whether a harness without that power refutes the claim.
        seconds: of real time, after which the case counts as hanging.
    """
    return functools.partial(_make, Case("", claims, _nothing, given=given, power=power, vital=vital, seconds=seconds))


def refuses(claim: str) -> Callable[[Body], Callable[..., None]]:
    """Make an async function the negative twin of a claim: it runs where the claim is not made."""
    return functools.partial(_make, Case("", (claim,), _nothing, twin=True))


def _make(blank: Case, body: Body) -> Callable[..., None]:
    unknown = set(blank.claims) - set(names())
    if unknown or not blank.claims:
        raise ValueError(f"{body.__name__} proves no claim that exists: {sorted(unknown)}")
    case = replace(blank, name=body.__name__, body=body)

    # A plain function, so that no asyncio plugin is needed and none takes it for its own.
    def sentence(request: pytest.FixtureRequest) -> None:
        __tracebackhide__ = True
        from .suite import SUITE

        request.config.stash[SUITE].run(case, request.node.user_properties)

    sentence.__name__ = sentence.__qualname__ = body.__name__
    sentence.__module__ = body.__module__
    sentence.__doc__ = body.__doc__
    sentence.case = case  # type: ignore[attr-defined]
    return sentence


def case_of(item: pytest.Item) -> Case | None:
    """The case behind a collected test, if it is one of the suite's."""
    return getattr(getattr(item, "function", None), "case", None)


async def _nothing(bench: Bench) -> None:
    raise AssertionError("a case without a body")
