"""How fast do lines of a file go through a filter, from Python and on the command line?

    python benchmarks/bench_lines.py [--lines N] [--rounds N] [--check]

Every contestant finds the same few lines in the same file. They take turns, so that a
busy moment of the machine hits all of them; the ratio is the median of the rounds' own
ratios to the plain loop. The command line's time includes the start of Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

import flowpy
from flowpy import run
from flowpy.io import lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowpy._scheduler import Backend

WANTED = "status=500"
ENOUGH = 1_000_000
"""Lines a second that every contestant must reach with `--check`."""


def make_file(path: Path, count: int) -> int:
    """Write `count` lines of a log and return how many of them are wanted."""
    with path.open("w", encoding="utf-8") as file:
        for k in range(count):
            status = 500 if k % 1000 == 0 else 200
            file.write(f"2026-01-01T00:00:00.{k:09} GET /item/{k} status={status}\n")
    return len(range(0, count, 1000))


def plain(path: Path) -> int:
    """Count with a loop over the open file."""
    found = 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            if WANTED in line:
                found += 1
    return found


def in_process(path: Path, backend: Backend) -> int:
    """Count with a flow."""
    return run(lines(path).filter(lambda line: WANTED in line).count, backend=backend)


def command(path: Path, backend: Backend) -> int:
    """Count what the command line prints."""
    expression = f"lines.filter(lambda line: {WANTED!r} in line)"
    done = subprocess.run(
        [sys.executable, "-m", "flowpy", "--backend", backend, expression, str(path)],
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(Path(flowpy.__file__).parents[1])},
    )
    return done.stdout.count(b"\n")


CONTESTANTS: dict[str, Callable[[Path], int]] = {
    "for line in open(...)": plain,
    "flowpy.io.lines, asyncio": lambda path: in_process(path, "asyncio"),
    "flowpy.io.lines, trio": lambda path: in_process(path, "trio"),
    "python -m flowpy, asyncio": lambda path: command(path, "asyncio"),
    "python -m flowpy, trio": lambda path: command(path, "trio"),
}


def measure(count: int, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each contestant in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    with TemporaryDirectory() as folder:
        path = Path(folder, "some.log")
        wanted = make_file(path, count)
        plain(path)  # the file is in the page cache for the first one too
        for _ in range(rounds):
            for name, contestant in CONTESTANTS.items():
                start = perf_counter()
                found = contestant(path)
                seconds[name].append(perf_counter() - start)
                if found != wanted:
                    sys.exit(f"{name} found {found} lines instead of {wanted}")
    return seconds


def main() -> int:
    """Measure, print a table, and return the exit status."""
    parser = ArgumentParser(description="Lines of a file through a filter.")
    parser.add_argument("--lines", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument(
        "--check", action="store_true", help=f"fail below {ENOUGH:,} lines/s"
    )
    options = parser.parse_args()
    seconds = measure(options.lines, options.rounds)
    base = next(iter(seconds.values()))
    slowest = float("inf")
    print(f"{options.lines:,} lines, medians of {options.rounds} rounds")
    print(f"{'':26} {'lines/s':>12} {'time to plain':>14}")
    for name, times in seconds.items():
        rate = options.lines / median(times)
        ratio = median(own / one for own, one in zip(times, base, strict=True))
        print(f"{name:26} {rate:12,.0f} {ratio:13.2f}x")
        slowest = min(slowest, rate)
    if options.check and slowest < ENOUGH:
        print(f"too slow: {slowest:,.0f} lines/s, {ENOUGH:,} wanted")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
