"""Run the benchmarks: `python -m benchmarks [--rows drain,pickup] [--repeat 3] [--out results.json]`.

Every measurement runs in a process of its own; the contenders take turns within each repetition, so that a
machine that slows down slows all of them, and the ratios of one run can be trusted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from . import machine
from .contender import ROWS, Figures

CONTENDERS = ("waybill", "raw", "huey")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", default="", help="only measurements whose name contains one of these, by comma")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/sqlite.json"))
    parser.add_argument("--one", nargs=3, metavar=("CONTENDER", "MEASUREMENT", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        contender, measurement, file = options.one
        print(json.dumps(_measurements(contender)[measurement](file)))
        return
    facts = machine.facts()
    wanted = [each for each in options.rows.split(",") if each]
    figures: dict[str, dict[str, list[float]]] = {}
    for repetition in range(options.repeat):
        names = list(dict.fromkeys(name for each in CONTENDERS for name in _measurements(each)))
        for name in names:
            if wanted and not any(part in name for part in wanted):
                continue
            for contender in options.contenders.split(","):
                if name in _measurements(contender):
                    print(f"\r{repetition + 1}/{options.repeat} {name} {contender:<20}", end="", file=sys.stderr)
                    for row, figure in _measure(contender, name).items():
                        figures.setdefault(row, {}).setdefault(contender, []).append(figure)
    print("\r" + " " * 60, file=sys.stderr)
    _print(figures)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": facts, "figures": figures}, indent=1) + "\n", encoding="utf-8")
    print(f"\nAll figures: {options.out}")


def _measurements(contender: str) -> dict[str, object]:
    return import_module(f"benchmarks.contenders.{contender}").MEASUREMENTS


def _measure(contender: str, measurement: str) -> Figures:
    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as folder:
        command = [sys.executable, "-m", "benchmarks", "--one", contender, measurement, f"{folder}/jobs.db"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=600)
        return json.loads(done.stdout.splitlines()[-1])


def _print(figures: dict[str, dict[str, list[float]]]) -> None:
    """Medians, and Waybill's ratio to each other contender: above 1 is better for Waybill in every row."""
    others = [each for each in CONTENDERS if each != "waybill"]
    head = f"{'medians':<36}{'waybill':>12}" + "".join(f"{each:>12}{'ratio':>8}" for each in others)
    print(head + "\n" + "-" * len(head))
    for key, row in ROWS.items():
        if key not in figures:
            continue
        ours = statistics.median(figures[key].get("waybill", [0]))
        line = f"{row.name + ', ' + row.unit:<36}{_shown(ours):>12}"
        for other in others:
            theirs = statistics.median(figures[key][other]) if other in figures[key] else None
            if not theirs or not ours:
                line += f"{'-' if theirs is None else _shown(theirs):>12}{'':>8}"
            else:
                line += f"{_shown(theirs):>12}{ours / theirs if row.better == 'higher' else theirs / ours:>8.2f}"
        print(line)


def _shown(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


if __name__ == "__main__":
    main()
