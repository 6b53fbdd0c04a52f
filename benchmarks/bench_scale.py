"""Does flowpy keep its pace with many flows at once, and with many items?

    python benchmarks/bench_scale.py [--check] [--json FILE] [--svg FILE]

Many flows: 1, 10, 100 and 1,000 are collected at once in one event loop, a task each.
Together they count to the same number, through three stages from a source that lets the
loop run every tenth item; once more with a `buffer` between, which is a task more to
each. By hand it is the same loop in each task, and with a bounded `asyncio.Queue`. CPU
time of the thread, garbage collector off, contestants in turns, the median of the
rounds' own ratios. What a flow holds while it is being read is measured by tracemalloc.

Many items: one to ten million through five stages, each number in a process of its own,
with its CPU time, start and imports included, and the most memory that it ever had.
`--flows`, `--millions` and `--rounds` set the amount of work.
"""

from __future__ import annotations

import asyncio
import gc
import json
import platform
import resource
import subprocess
import sys
import tracemalloc
from argparse import ArgumentParser
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import process_time, thread_time
from typing import TYPE_CHECKING

from chart import BY_HAND, OWN, Bar, Group, Panel, draw

from flowpy import Flow, flow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ITEMS = 500_000
"""What all flows of a round count to together."""

TURN = 10
"""Items between two steps of the event loop."""

CAPACITY = 64

SLOWER = 1.5
"""How many times as long an item may take in the most flows as in one, with `--check`."""

TO_HAND = 1.1
"""How many times as long as by hand plain chains may take, with `--check`."""

MORE_MEMORY = 1.0
"""Megabytes that the most items may hold more than the fewest, with `--check`."""


@flow
async def numbers(n: int) -> AsyncIterator[int]:
    """Count, and let other tasks run."""
    for i in range(n):
        if not i % TURN:
            await asyncio.sleep(0)
        yield i


async def counting(n: int) -> AsyncIterator[int]:
    """Do the same without flowpy."""
    for i in range(n):
        if not i % TURN:
            await asyncio.sleep(0)
        yield i


add_one = lambda x: x + 1  # noqa: E731 - the form in which users write callbacks
has_rest = lambda x: x % 3  # noqa: E731 - as above
double = lambda x: x * 2  # noqa: E731 - as above


def stages(source: Flow[int]) -> Flow[int]:
    """Return three stages on a source."""
    return source.map(add_one).filter(has_rest).map(double)


async def plain(n: int) -> int:
    """Count what comes out of the chain."""
    return await stages(numbers(n)).count()


async def plain_by_hand(n: int) -> int:
    """Write the loop that one would write."""
    count = 0
    async for x in counting(n):
        y = add_one(x)
        if has_rest(y):
            double(y)
            count += 1
    return count


async def buffered(n: int) -> int:
    """Count what comes through a buffer, too."""
    return await stages(numbers(n).buffer(CAPACITY)).count()


async def buffered_by_hand(n: int) -> int:
    """Put a queue in the middle."""
    queue: asyncio.Queue[int | None] = asyncio.Queue(CAPACITY)

    async def feed() -> None:
        async for x in counting(n):
            await queue.put(x)
        await queue.put(None)

    count = 0
    feeder = asyncio.create_task(feed())
    while (x := await queue.get()) is not None:
        y = add_one(x)
        if has_rest(y):
            double(y)
            count += 1
    await feeder
    return count


CHAINS: dict[str, tuple[Callable[[int], Awaitable[int]], ...]] = {
    "3 stages": (plain, plain_by_hand),
    "buffer, 3 stages": (buffered, buffered_by_hand),
}


async def at_once(fn: Callable[[int], Awaitable[int]], flows: int) -> int:
    """Run so many at once, which count to `ITEMS` together."""

    async def one() -> int:
        return await fn(ITEMS // flows)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one()) for _ in range(flows)]
    return sum(task.result() for task in tasks)


def held(fn: Callable[[int], Awaitable[int]], flows: int) -> float:
    """Return how many kilobytes each of so many flows holds at most, its task included."""
    asyncio.run(at_once(fn, flows))
    gc.collect()
    tracemalloc.start()
    asyncio.run(at_once(fn, flows))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / flows / 1e3


@dataclass
class Cost:
    """What a number of flows takes: nanoseconds an item, and to the loop by hand."""

    chain: str
    flows: int
    own: float
    by_hand: float
    ratio: float


def cost(name: str, flows: int, rounds: int) -> Cost:
    """Measure flowpy and the loop by hand in turns."""
    times: tuple[list[float], list[float]] = ([], [])
    found: set[int] = set()
    gc.disable()
    for _ in range(rounds + 1):
        for fn, own in zip(CHAINS[name], times, strict=True):
            gc.collect()
            before = thread_time()
            found.add(asyncio.run(at_once(fn, flows)))
            own.append(thread_time() - before)
    gc.enable()
    assert len(found) == 1, "they do not do the same work"
    a, b = (own[1:] for own in times)  # the first was to compile
    ratio = median(x / y for x, y in zip(a, b, strict=True))
    return Cost(name, flows, median(a) / ITEMS * 1e9, median(b) / ITEMS * 1e9, ratio)


def measure_flows(
    numbers_of_flows: list[int], rounds: int
) -> tuple[list[Cost], list[str]]:
    """Print and return what many flows cost, and what is worse than promised."""
    broken: list[str] = []
    every: list[Cost] = []
    print(
        "| chain, flows at once | ns an item | by hand | ratio | KB a flow | by hand |"
    )
    print("|---|--:|--:|--:|--:|--:|")
    for name, contestants in CHAINS.items():
        costs: list[Cost] = []
        for flows in numbers_of_flows:
            found = cost(name, flows, rounds)
            memory = [held(fn, flows) for fn in contestants]
            costs.append(found)
            print(
                f"| {name}, {flows:,} | {found.own:.0f} | {found.by_hand:.0f} | "
                f"{found.ratio:.2f} | {memory[0]:.1f} | {memory[1]:.1f} |",
                flush=True,
            )
        if (slower := costs[-1].own / costs[0].own) > SLOWER:
            broken.append(f"{name}: an item takes {slower:.2f} times as long in many")
        worst = max(each.ratio for each in costs)
        if contestants[0] is plain and worst > TO_HAND:
            broken.append(f"{name}: {worst:.2f} times as long as by hand")
        every += costs
    return every, broken


def chart(costs: list[Cost], note: str) -> str:
    """Return a bar chart of what an item takes in one and in many flows, as SVG."""

    def group(cost: Cost) -> Group:
        flows = "flow" if cost.flows == 1 else "flows at once"
        bars = [Bar("flowpy", cost.own, OWN), Bar("by hand", cost.by_hand, BY_HAND)]
        return Group(f"{cost.flows:,} {flows}", bars)

    columns = [
        [Panel(name, [group(cost) for cost in costs if cost.chain == name])]
        for name in CHAINS
    ]
    return draw("CPU time for an item", note, columns, unit=" ns")


def through_five_stages(millions: int) -> None:
    """Print CPU seconds and the most memory that this process ever had."""
    chain = (
        Flow(range(millions * 1_000_000))
        .map(add_one)
        .filter(has_rest)
        .enumerate()
        .scan(0, lambda total, x: (total + x[1]) % 1_000_003)
        .chunked(100)
    )
    asyncio.run(chain.count())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(process_time(), memory * (1 if sys.platform == "darwin" else 1024))


def measure_items(numbers_of_millions: list[int]) -> list[str]:
    """Print what many items cost; return what is worse than promised."""
    print("\n| items | CPU, s | ns an item | memory, MB |\n|---|--:|--:|--:|")
    sizes: list[float] = []
    for millions in numbers_of_millions:
        command = [sys.executable, __file__, "--here", str(millions)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, size = map(float, done.stdout.split())
        sizes.append(size / 1e6)
        nanoseconds = seconds * 1e3 / millions
        print(
            f"| {millions:,} million | {seconds:.2f} | {nanoseconds:.0f} | "
            f"{sizes[-1]:.1f} |",
            flush=True,
        )
    if (more := sizes[-1] - sizes[0]) > MORE_MEMORY:
        return [f"many items: {more:.1f} MB more than few"]
    return []


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = ArgumentParser(description="Many flows, many items.")
    parser.add_argument("--flows", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--check", action="store_true", help="fail above the targets")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--svg", type=Path, metavar="FILE")
    parser.add_argument(
        "--here", type=int, help="count so many millions, print figures"
    )
    options = parser.parse_args()
    if options.here:
        through_five_stages(options.here)
        return 0
    print(f"Python {platform.python_version()}\n")
    costs, broken = measure_flows(options.flows, options.rounds)
    if options.json:
        text = {"python": platform.python_version()}
        text |= {"results": [asdict(cost) for cost in costs]}
        options.json.write_text(json.dumps(text, indent=1) + "\n")
    if options.svg:
        note = f"Python {platform.python_version()}, {ITEMS:,} items in all"
        options.svg.write_text(chart(costs, note), encoding="utf-8")
    broken += measure_items(options.millions)
    print("", *[f"BROKEN {line}" for line in broken], sep="\n")
    return bool(broken and options.check)


if __name__ == "__main__":
    sys.exit(main())
