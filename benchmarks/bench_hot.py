"""What does it cost to give every item to many, against a queue for each of them?

    python benchmarks/bench_hot.py [--check] [--json FILE] [--svg FILE]

One emitter, 1, 10 or 1,000 subscribers that count what they get. By hand, each of them
has a bounded queue of its own, and the emitter puts every item in each. The ratio is
how many times more items flowpy passes on in the same CPU time of the thread. Garbage
collector off, contestants in turns, the median of the rounds' own ratios.

Also: what one delivery costs with 1,000 subscribers against 10, what it costs to set a
state that nobody collects, and how memory grows over a million items.
"""

from __future__ import annotations

import asyncio
import gc
import json
import platform
import sys
import tracemalloc
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import thread_time_ns
from timeit import repeat
from typing import Any

import anyio
import trio
from chart import BY_HAND, OWN, Bar, Group, Panel, draw

from flowpy import SharedFlow, StateFlow

Job = Callable[[int, int], Awaitable[int]]
"""Gives each of so many items to so many subscribers; returns the number of both."""

FLOWPY = "flowpy"
END = object()
CAPACITY = 100


async def shared(items: int, subscribers: int) -> int:
    """Broadcast with a SharedFlow, on either event loop."""
    flow = SharedFlow[int](capacity=CAPACITY)
    found = 0

    async def read() -> None:
        nonlocal found
        own = await flow.count()
        found += own

    async with anyio.create_task_group() as group:
        for _ in range(subscribers):
            group.start_soon(read)
        await flow.subscribers.first(lambda n: n == subscribers)
        for x in range(items):
            await flow.emit(x)
        flow.close()
    return found


async def queues(items: int, subscribers: int) -> int:
    """Put every item in a queue for each subscriber."""
    each = [asyncio.Queue[Any](CAPACITY) for _ in range(subscribers)]

    async def read(queue: asyncio.Queue[Any]) -> int:
        found = 0
        while await queue.get() is not END:
            found += 1
        return found

    tasks = [asyncio.create_task(read(queue)) for queue in each]
    await asyncio.sleep(0)
    for x in [*range(items), END]:
        for queue in each:
            await queue.put(x)
    return sum(await asyncio.gather(*tasks))


async def channels(items: int, subscribers: int) -> int:
    """Send every item to a memory channel of trio for each subscriber."""
    found = 0

    async def read(channel: trio.MemoryReceiveChannel[int]) -> None:
        nonlocal found
        own = 0
        async for _ in channel:
            own += 1
        found += own

    async with trio.open_nursery() as nursery:
        sends: list[trio.MemorySendChannel[int]] = []
        for _ in range(subscribers):
            send, receive = trio.open_memory_channel[int](CAPACITY)
            sends.append(send)
            nursery.start_soon(read, receive)
        for x in range(items):
            for send in sends:
                await send.send(x)
        for send in sends:
            send.close()
    return found


@dataclass(frozen=True)
class Row:
    """How many subscribers, on which loop, and how much faster flowpy has to be."""

    subscribers: int
    backend: str
    other: str
    job: Job = field(repr=False)
    least: float | None

    def __str__(self) -> str:
        return f"{self.subscribers} on {self.backend}"


ROWS = (
    Row(1, "asyncio", "asyncio.Queue", queues, None),
    Row(10, "asyncio", "asyncio.Queue", queues, 1.5),
    Row(1000, "asyncio", "asyncio.Queue", queues, 1.5),
    Row(1, "trio", "trio channel", channels, None),
    Row(10, "trio", "trio channel", channels, 5),
    Row(1000, "trio", "trio channel", channels, 5),
)


@dataclass
class Result:
    """What both contestants needed for one delivery."""

    row: str
    flowpy: float
    other: str
    nanoseconds: float
    ratio: float
    least: float | None

    @property
    def broken(self) -> bool:
        """Whether flowpy was to be faster than it is."""
        return self.least is not None and self.ratio < self.least


async def measure(row: Row, options: Namespace) -> Result:
    """Run both contestants in turns; return their medians."""
    items = max(options.deliveries // row.subscribers, CAPACITY)
    expected = items * row.subscribers
    times: dict[str, list[float]] = {FLOWPY: [], row.other: []}
    for number in range(options.rounds + 1):
        for who, job in ((FLOWPY, shared), (row.other, row.job)):
            gc.collect()
            start = thread_time_ns()
            found = await job(items, row.subscribers)
            took = thread_time_ns() - start
            if found != expected:
                message = f"{row}: {who} delivered {found} items of {expected}"
                raise AssertionError(message)
            if number:  # the first round is to warm up
                times[who].append(took / expected)
    own, others = times.values()
    ratios = [theirs / mine for theirs, mine in zip(others, own, strict=True)]
    return Result(
        str(row), median(own), row.other, median(others), median(ratios), row.least
    )


async def compare_crowds(options: Namespace) -> float:
    """Return how much more a delivery costs with 1,000 subscribers than with 10.

    Each gets so many items that it does not count what it took to start it.
    """
    ratios: list[float] = []
    for number in range(options.rounds + 1):
        costs: list[float] = []
        for subscribers in (10, 1000):
            gc.collect()
            items = max(5 * options.deliveries // subscribers, 5 * CAPACITY)
            start = thread_time_ns()
            await shared(items, subscribers)
            costs.append((thread_time_ns() - start) / (items * subscribers))
        if number:
            ratios.append(costs[1] / costs[0])
    return median(ratios)


def time_of_setting() -> float:
    """Return how many nanoseconds it takes to set a state that nobody collects."""
    code = "for x in numbers: state.value = x"
    numbers = range(10_000)
    names = {"state": StateFlow(-1), "numbers": numbers}
    return min(repeat(code, globals=names, number=1, repeat=9)) / len(numbers) * 1e9


def growth_of_memory(items: int) -> float:
    """Return how many MB more a million items take than some thousand."""
    asyncio.run(shared(10_000, 3))
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    asyncio.run(shared(items, 3))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (peak - before) / 1e6


def table(results: list[Result]) -> str:
    """Return the figures as Markdown."""
    head = (
        "| subscribers | flowpy, ns | by hand | ns | flowpy is faster by | at least |"
    )
    lines = [head, "|---|--:|---|--:|--:|--:|"]
    lines += [
        f"| {r.row} | {r.flowpy:.0f} | {r.other} | {r.nanoseconds:.0f} "
        f"| {r.ratio:.2f} | {r.least or ''} |"
        for r in results
    ]
    return "\n".join(lines)


LEAST = 50
"""Nanoseconds at which the bars of the chart begin."""


def chart(results: list[Result], note: str) -> str:
    """Return a bar chart of what a delivery costs, as SVG."""
    found = {result.row: result for result in results}

    def group(row: Row) -> Group:
        result = found[str(row)]
        own = Bar(FLOWPY, result.flowpy, OWN)
        other = Bar(result.other, result.nanoseconds, BY_HAND)
        subscribers = "subscriber" if row.subscribers == 1 else "subscribers"
        return Group(f"{row.subscribers:,} {subscribers}", [own, other])

    rows = [row for row in ROWS if str(row) in found]
    columns = [
        [Panel(f"on {backend}", [group(row) for row in rows if row.backend == backend])]
        for backend in ("asyncio", "trio")
    ]
    title = "CPU time for one delivery, of an item to one subscriber"
    return draw(title, note, columns, unit=" ns", least=LEAST)


def parse() -> Namespace:
    """Return the options of the command line."""
    parser = ArgumentParser(description="Broadcasting against a queue for each.")
    parser.add_argument("--deliveries", type=int, default=100_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    parser.add_argument("--row", default="", metavar="TEXT", help="of the row's name")
    parser.add_argument("--memory-items", type=int, default=1_000_000, metavar="N")
    parser.add_argument(
        "--check", action="store_true", help="fail where a bound is broken"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--svg", type=Path, metavar="FILE")
    return parser.parse_args()


CROWD = 1.1
"""How much a delivery may cost with 1,000 subscribers, if it costs 1 with 10: no more,
but for what is due to measuring."""


def main() -> int:
    """Measure, print, and return the exit status."""
    options = parse()
    gc.disable()
    results = [
        anyio.run(measure, row, options, backend=row.backend)
        for row in ROWS
        if options.row in str(row)
    ]
    crowds = {
        backend: anyio.run(compare_crowds, options, backend=backend)
        for backend in ("asyncio", "trio")
    }
    setting = time_of_setting()
    gc.enable()
    print(f"Python {platform.python_version()}; {options.rounds} rounds\n")
    print(table(results), end="\n\n")
    for backend, ratio in crowds.items():
        print(f"a delivery to 1,000, against one to 10, on {backend}: {ratio:.2f}")
    print(f"setting a state that nobody collects: {setting:.0f} ns")
    broken = [
        f"{r.row}: {r.ratio:.2f} times {r.other}, less than {r.least}"
        for r in results
        if r.broken
    ]
    broken += [
        f"a delivery to 1,000 costs {ratio:.2f} of one to 10 on {backend}"
        for backend, ratio in crowds.items()
        if ratio > CROWD
    ]
    if setting > 500:
        broken.append(f"setting a state takes {setting:.0f} ns, more than 500")
    if options.memory_items:
        growth = growth_of_memory(options.memory_items)
        print(f"{options.memory_items:,} items: at most {growth:.3f} MB more")
        if growth >= 1:
            broken.append(f"memory grew by {growth:.1f} MB, more than 1")
    if options.json:
        text = {"python": platform.python_version(), "crowds": crowds}
        text |= {"setting": setting, "results": [asdict(r) for r in results]}
        options.json.write_text(json.dumps(text, indent=1) + "\n")
    if options.svg:
        note = f"Python {platform.python_version()}, trio {version('trio')}"
        options.svg.write_text(chart(results, note), encoding="utf-8")
    print(*[f"BROKEN {line}" for line in broken], sep="\n")
    return bool(broken and options.check)


if __name__ == "__main__":
    sys.exit(main())
