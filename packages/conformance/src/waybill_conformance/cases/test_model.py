"""Whatever is done in whatever order, the driver agrees with a model of it."""

import asyncio
import os
import secrets

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from ..bench import Bench
from ..case import proves
from ..machine import CALL, History, drain

SEED = "WAYBILL_CONFORMANCE_SEED"


@proves("delivery", seconds=300)
async def test_random_histories_agree_with_the_model(bench: Bench) -> None:
    """Replay one by setting WAYBILL_CONFORMANCE_SEED to the seed that is printed."""
    seed = int(os.environ.get(SEED, secrets.randbits(32)))
    histories, steps = (60, 30) if bench.virtual else (8, 15)
    bench.level(f"{histories} histories of up to {steps} steps")
    try:
        await asyncio.to_thread(explore, bench, asyncio.get_running_loop(), seed, histories, steps)
    except Exception as error:
        error.add_note(f"seed {seed}: set {SEED}={seed} to see this again")
        raise


def explore(bench: Bench, loop: asyncio.AbstractEventLoop, seed: int, histories: int, steps: int) -> None:
    """Let Hypothesis look for a history that ends in a contradiction, and for the shortest one."""
    over: list[History] = []
    kind = hypothesis.seed(seed)(type("History", (History,), {"bench": bench, "loop": loop, "over": over}))
    how = settings(
        max_examples=histories,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if bench.virtual else (Phase.generate,),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    run_state_machine_as_test(kind, settings=how)
    asyncio.run_coroutine_threadsafe(drain(bench, over), loop).result(3 * CALL)
