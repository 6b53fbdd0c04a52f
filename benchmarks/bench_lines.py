"""How fast do lines of a file go through a filter, from Python and on the command line?

    python benchmarks/bench_lines.py [--lines N] [--rounds N] [--check]

Every contestant finds the same few lines in the same file; that of anyio reads a short one,
or it would take minutes. They take turns, so that a busy moment of the machine hits all of
them; the ratio is the median of the rounds' own ratios to the plain loop, line for line. The
command line's time includes the start of Python.
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

import anyio

import flowpy
from flowpy import run
from flowpy.io import lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowpy._scheduler import Backend

WANTED = "status=500"
ENOUGH = 1_000_000
"""Lines a second that every contestant of flowpy must reach with `--check`."""

SHORT = 50
"""How many times shorter the file is that anyio reads."""

LEAST_TO_PLAIN = 0.3
LEAST_TO_ANYIO = 150
"""How many times as fast `lines` must be as the loops, with `--check`."""


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


def with_anyio(path: Path, backend: Backend) -> int:
    """Count with a loop over the lines of a file that anyio opens."""

    async def main() -> int:
        found = 0
        async with await anyio.open_file(path, encoding="utf-8") as file:
            async for line in file:
                if WANTED in line:
                    found += 1
        return found

    return run(main, backend=backend)


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
    "anyio.open_file, asyncio": lambda path: with_anyio(path, "asyncio"),
    "anyio.open_file, trio": lambda path: with_anyio(path, "trio"),
}
PLAIN = next(iter(CONTESTANTS))


def is_short(name: str) -> bool:
    """Tell whether a contestant reads the short file."""
    return name.startswith("anyio")


def measure(count: int, rounds: int) -> dict[str, list[float]]:
    """Return how many lines a second each contestant read in each round."""
    rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    with TemporaryDirectory() as folder:
        path, short = Path(folder, "some.log"), Path(folder, "short.log")
        sizes = {path: count, short: max(count // SHORT, 1)}
        wanted = {file: make_file(file, size) for file, size in sizes.items()}
        plain(path)  # the file is in the page cache for the first one too
        for _ in range(rounds):
            for name, contestant in CONTESTANTS.items():
                file = short if is_short(name) else path
                start = perf_counter()
                found = contestant(file)
                rates[name].append(sizes[file] / (perf_counter() - start))
                if found != wanted[file]:
                    sys.exit(f"{name} found {found} lines instead of {wanted[file]}")
    return rates


def ratio(rates: dict[str, list[float]], name: str, other: str) -> float:
    """Return how many times as fast one contestant is as another."""
    pairs = zip(rates[name], rates[other], strict=True)
    return median(one / another for one, another in pairs)


def promised(rates: dict[str, list[float]]) -> list[tuple[str, str, float, float]]:
    """Return how many times as fast `lines` is as each loop, and must be."""
    return [
        (name, other, ratio(rates, name, other), least)
        for backend in ("asyncio", "trio")
        for name in (f"flowpy.io.lines, {backend}",)
        for other, least in (
            (PLAIN, LEAST_TO_PLAIN),
            (f"anyio.open_file, {backend}", LEAST_TO_ANYIO),
        )
    ]


def failures(rates: dict[str, list[float]]) -> list[str]:
    """Return what is slower than it must be."""
    found = [
        f"{name}: {median(own):,.0f} lines/s, {ENOUGH:,} wanted"
        for name, own in rates.items()
        if median(own) < ENOUGH and not is_short(name)
    ]
    return found + [
        f"{name}: {times:.2f}x {other}, {least}x wanted"
        for name, other, times, least in promised(rates)
        if times < least
    ]


def main() -> int:
    """Measure, print a table, and return the exit status."""
    parser = ArgumentParser(description="Lines of a file through a filter.")
    parser.add_argument("--lines", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument(
        "--check", action="store_true", help="fail where a promised bound is broken"
    )
    options = parser.parse_args()
    rates = measure(options.lines, options.rounds)
    print(f"{options.lines:,} lines, medians of {options.rounds} rounds")
    print(f"{'':26} {'lines/s':>12} {'time to plain':>14}")
    for name, own in rates.items():
        print(f"{name:26} {median(own):12,.0f} {ratio(rates, PLAIN, name):13.2f}x")
    for name, other, times, least in promised(rates):
        print(f"{name} is {times:.2f} times as fast as {other} (promised: {least})")
    broken = failures(rates) if options.check else []
    for line in broken:
        print(f"too slow: {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
