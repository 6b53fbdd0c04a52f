"""What do `measure` and `progress` cost for each item?

    python benchmarks/bench_measure.py [--items N] [--rounds N] [--check] [--json FILE]

A chain of maps of `x + 1` is counted with and without, over a range and over an async
generator. CPU time of the thread, garbage collector off, contestants in random turns
inside one event loop; nanoseconds an item. The plain chain is the median of the rounds,
the others that of what a round added to the plain chain of that round. The observer of
`measure` does nothing: it is called ten times a second, whatever the number of items.
Beside `progress` stands tqdm around the same loop, written to nowhere by both.
"""

from __future__ import annotations

import asyncio
import gc
import json
import platform
import sys
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from statistics import median
from time import thread_time_ns
from typing import Any

from tqdm import tqdm

from flowpy import Flow, Snapshot, _progress

STAGES = (1, 3, 6, 10)
SOURCES = ("range", "async generator")

BOUND_START = 120
"""Nanoseconds an item that `measure` may add to a chain of no stages, and `progress`."""

BOUND_STAGE = 60
"""Nanoseconds an item that it may add for each stage."""

Run = Callable[[int], Awaitable[object]]


class Nowhere:
    """A terminal that shows nothing."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Do nothing."""
        return len(text)

    def flush(self) -> None:
        """Do nothing."""

    def isatty(self) -> bool:
        """Say that bars can be drawn."""
        return True


NOWHERE: Any = Nowhere()


async def numbers(count: int) -> AsyncIterator[int]:
    """Give 0, 1, 2 ...: the bare async generator."""
    for x in range(count):
        yield x


def chain(source: str, stages: int, count: int) -> Flow[int]:
    """Return so many maps over a source."""
    flow = Flow(range(count) if source == "range" else numbers(count))
    for _ in range(stages):
        flow = flow.map(lambda x: x + 1)
    return flow


def ignore(snapshot: Snapshot) -> None:
    """Observe nothing."""


async def by_tqdm(flow: Flow[int]) -> int:
    """Count items as one would with tqdm."""
    done = 0
    with tqdm(file=NOWHERE) as bar:
        async for _ in flow:
            done += 1
            bar.update()
    return done


def contestants(source: str, stages: int) -> dict[str, Run]:
    """Return who takes part in a row."""

    def flow(count: int) -> Flow[int]:
        return chain(source, stages, count)

    return {
        "plain": lambda n: flow(n).count(),
        "measure": lambda n: flow(n).measure(ignore).count(),
        "progress": lambda n: flow(n).progress().count(),
        "tqdm": lambda n: by_tqdm(flow(n)),
    }


async def time_row(runs: dict[str, Run], count: int, rounds: int) -> dict[str, float]:
    """Return the nanoseconds an item of the plain chain, and what others add."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    order = Random(0)
    for run in runs.values():
        await run(2000)  # compiled, and warm
    for _ in range(rounds):
        for name in order.sample(list(runs), len(runs)):
            gc.collect()
            gc.disable()
            before = thread_time_ns()
            done = await runs[name](count)
            times[name].append((thread_time_ns() - before) / count)
            gc.enable()
            assert done == count
    plain = times["plain"]
    return {"plain": median(plain)} | {
        name: median(t - p for t, p in zip(each, plain, strict=True))
        for name, each in times.items()
        if name != "plain"
    }


def main() -> None:
    parser = ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    _progress.standard_error = lambda: NOWHERE

    print(f"Python {platform.python_version()}, nanoseconds an item")
    print("| maps | source | plain | measure | a stage | progress | tqdm |")
    print("|--:|---|--:|--:|--:|--:|--:|")
    rows: list[dict[str, Any]] = []
    too_slow: list[str] = []
    for source in SOURCES:
        for stages in STAGES:
            times = asyncio.run(
                time_row(contestants(source, stages), options.items, options.rounds)
            )
            added = times["measure"]
            each = added / (stages + 1)  # the source is one
            print(
                f"| {stages} | {source} | {times['plain']:.0f} | +{added:.0f} "
                f"| +{each:.0f} | +{times['progress']:.0f} | +{times['tqdm']:.0f} |"
            )
            rows.append({"source": source, "maps": stages, **times})
            if added > BOUND_START + BOUND_STAGE * (stages + 1):
                too_slow.append(f"measure, {stages} maps over {source}")
            if times["progress"] > BOUND_START:
                too_slow.append(f"progress, {stages} maps over {source}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if options.check and too_slow:
        sys.exit(f"over its bound: {'; '.join(too_slow)}")


if __name__ == "__main__":
    main()
