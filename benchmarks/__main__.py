"""Run the benchmarks: `python -m benchmarks [--broker redis] [--rows drain,pickup] [--repeat 3] [--out FILE]`.

One server is started for the run. Every measurement runs in a process of its own; the contenders take turns within
each repetition, so that a machine that slows down slows all of them, and the ratios of one run can be trusted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from . import brokers, machine
from .brokers import BROKERS
from .contender import PAYLOAD, Contender, Place
from .measurements import MEASUREMENTS, fill, send_stamps
from .rows import ROWS, Figures

Collected = dict[str, dict[str, list[float]]]
"""By row and contender."""
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--broker", choices=sorted(BROKERS), default="sqlite")
    parser.add_argument("--rows", default="", help=f"only these measurements, by comma: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--contenders", default="", help="only these, by comma; all of the broker's by default")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, help="benchmarks/results/<broker>.json by default")
    for own in ("--one", "--send", "--fill"):  # what the processes of a run are started with
        parser.add_argument(own, nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        asyncio.run(_one(*options.one))
    elif options.send:
        asyncio.run(_send(*options.send))
    elif options.fill:
        asyncio.run(_fill(*options.fill))
    else:
        rows = [each for each in options.rows.split(",") if each] or list(MEASUREMENTS)
        if unknown := set(rows) - set(MEASUREMENTS):
            parser.error(f"there is no measurement {', '.join(sorted(unknown))}: --help lists them")
        contenders = [each for each in options.contenders.split(",") if each] or list(
            BROKERS[options.broker].contenders
        )
        _run(options.broker, rows, contenders, options.repeat, options.out or HERE / f"results/{options.broker}.json")


def _run(broker: str, measurements: list[str], contenders: list[str], repeat: int, out: Path) -> None:
    facts, figures = machine.facts(), Collected()
    with brokers.running(broker) as server:
        if server is not None:
            version = BROKERS[broker].version
            facts["server"] = f"{version(server.direct_url) if version else broker} ({server.how})"
        for repetition in range(repeat):
            for measurement in measurements:
                for contender in contenders:
                    print(f"\r{repetition + 1}/{repeat} {measurement} {contender:<20}", end="", file=sys.stderr)
                    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as folder:
                        place = brokers.place(broker, server, folder)
                        found = _in_a_process(contender, measurement, place)
                    for row, figure in found.items():
                        figures.setdefault(row, {}).setdefault(contender, []).append(figure)
    print("\r" + " " * 60, file=sys.stderr)
    _print(figures, contenders)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": facts, "figures": figures}, indent=1) + "\n", encoding="utf-8")
    print(f"\nAll figures: {out}")


def _in_a_process(contender: str, measurement: str, place: Place) -> Figures:
    command = [sys.executable, "-m", "benchmarks", "--one", contender, measurement, json.dumps(asdict(place))]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, timeout=600)
    if done.returncode:
        print(f"\n{contender} has failed in {measurement}: its figures are missing", file=sys.stderr)
        return {}
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def _contender(name: str, place: str) -> Contender:
    made: Contender = import_module(f"benchmarks.contenders.{name}").Contender(Place(**json.loads(place)))
    return made


async def _one(name: str, measurement: str, place: str) -> None:
    contender = _contender(name, place)
    await contender.open()
    try:
        figures = await MEASUREMENTS[measurement](contender)
    except NotImplementedError:
        figures = {}
    await contender.close()
    print(json.dumps(figures))


async def _send(name: str, place: str) -> None:
    contender = _contender(name, place)
    await contender.open()
    await send_stamps(contender, 0.01)
    await contender.close()


async def _fill(name: str, place: str) -> None:
    contender = _contender(name, place)
    await contender.open()
    await fill(contender, 1_000_000, PAYLOAD)
    await contender.close()


def _print(figures: Collected, contenders: list[str]) -> None:
    """Medians, and Waybill's ratio to each other contender: above 1 is better for Waybill in every row."""
    others = [each for each in contenders if each != "waybill"]
    widths = {each: max(12, len(each) + 2) for each in others}
    head = f"{'medians':<36}{'waybill':>12}" + "".join(f"{each:>{widths[each]}}{'ratio':>8}" for each in others)
    print(head + "\n" + "-" * len(head))
    for key, row in ROWS.items():
        if key not in figures:
            continue
        ours = statistics.median(figures[key].get("waybill", [0]))
        line = f"{row.name + ', ' + row.unit:<36}{_shown(ours):>12}"
        for other in others:
            theirs = statistics.median(figures[key][other]) if other in figures[key] else None
            if not theirs or not ours:
                line += f"{'-' if theirs is None else _shown(theirs):>{widths[other]}}{'':>8}"
            else:
                ratio = ours / theirs if row.better == "higher" else theirs / ours
                line += f"{_shown(theirs):>{widths[other]}}{ratio:>8.2f}"
        print(line)


def _shown(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


if __name__ == "__main__":
    main()
