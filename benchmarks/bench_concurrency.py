"""What does background work cost, against the tasks and queues one would write by hand?

    python benchmarks/bench_concurrency.py [--check] [--json FILE] [--svg FILE]

A row is a job, a source and an event loop; its contestants do the same job, and all
count the items. flowpy is the baseline: the ratio of another is how many times more
items flowpy passes on in the same CPU time of the thread. Garbage collector off,
contestants in turns, the median of the rounds' own ratios. Sources never wait, or wait
at each item for the loop's next turn; there the loop itself is most of the cost.

`latency` is one item through a running pipeline, whose source waits until the reader
asks. What it costs to build, start and end one is told beside it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import platform
import sys
import tracemalloc
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import thread_time_ns
from typing import Any

import aiostream
import anyio
import streamable
import trio
from anyio.lowlevel import checkpoint
from chart import BY_HAND, LIBRARY, OWN, TIMES, Bar, Group, Panel, draw

from flowpy import Flow

Job = Callable[[Any, int], Awaitable[int]]
"""Passes the items of sources on and counts them: takes a source and their number."""

FLOWPY = "flowpy"
END = object()
CAPACITY = 100
FLOWS = 4


# --------------------------------------------------------------------------- sources


async def never_waits(count: int) -> AsyncIterator[int]:
    """Give numbers and never wait."""
    for n in range(count):
        yield n


async def waits(count: int) -> AsyncIterator[int]:
    """Wait for the loop's next turn before each number."""
    for n in range(count):
        await checkpoint()
        yield n


SOURCES: dict[str, Callable[[int], Any]] = {
    "never waits": never_waits,
    "waits": waits,
    "range": range,
}


def as_async(source: Any, count: int) -> AsyncIterator[int]:
    """Return the items of a source for those who take only async iterators."""
    return never_waits(count) if source is range else source(count)


# ---------------------------------------------------------------------------- buffer


async def buffer_flowpy(source: Any, count: int) -> int:
    return await Flow(lambda: source(count)).buffer(CAPACITY).count()


async def buffer_queue(source: Any, count: int) -> int:
    queue: asyncio.Queue[Any] = asyncio.Queue(CAPACITY)

    async def produce() -> None:
        async for x in as_async(source, count):
            await queue.put(x)
        await queue.put(END)

    task = asyncio.create_task(produce())
    found = 0
    while await queue.get() is not END:
        found += 1
    await task
    return found


async def buffer_stream(source: Any, count: int) -> int:
    send, receive = anyio.create_memory_object_stream[int](CAPACITY)

    async def produce() -> None:
        async with send:
            async for x in as_async(source, count):
                await send.send(x)

    found = 0
    async with anyio.create_task_group() as group:
        group.start_soon(produce)
        async with receive:
            async for _ in receive:
                found += 1
    return found


async def buffer_trio(source: Any, count: int) -> int:
    send, receive = trio.open_memory_channel[int](CAPACITY)

    async def produce() -> None:
        async with send:
            async for x in as_async(source, count):
                await send.send(x)

    found = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce)
        async with receive:
            async for _ in receive:
                found += 1
    return found


# ----------------------------------------------------------------------------- merge


async def merge_flowpy(source: Any, count: int) -> int:
    flows = [Flow(lambda: source(count // FLOWS)) for _ in range(FLOWS)]
    return await Flow.merge(*flows).count()


async def merge_queue(source: Any, count: int) -> int:
    queue: asyncio.Queue[Any] = asyncio.Queue(CAPACITY)

    async def produce() -> None:
        async for x in as_async(source, count // FLOWS):
            await queue.put(x)
        await queue.put(END)

    tasks = [asyncio.create_task(produce()) for _ in range(FLOWS)]
    found = ended = 0
    while ended < FLOWS:
        if await queue.get() is END:
            ended += 1
        else:
            found += 1
    await asyncio.gather(*tasks)
    return found


async def merge_aiostream(source: Any, count: int) -> int:
    sources = [as_async(source, count // FLOWS) for _ in range(FLOWS)]
    found = 0
    async with aiostream.stream.merge(*sources).stream() as items:
        async for _ in items:
            found += 1
    return found


async def merge_streamable(source: Any, count: int) -> int:
    sources = [as_async(source, count // FLOWS) for _ in range(FLOWS)]
    found = 0
    async for _ in streamable.stream(sources).flatten(concurrency=FLOWS):
        found += 1
    return found


async def merge_trio(source: Any, count: int) -> int:
    send, receive = trio.open_memory_channel[int](CAPACITY)

    async def produce(send: trio.MemorySendChannel[int]) -> None:
        async with send:
            async for x in as_async(source, count // FLOWS):
                await send.send(x)

    found = 0
    async with trio.open_nursery() as nursery:
        async with send:
            for _ in range(FLOWS):
                nursery.start_soon(produce, send.clone())
        async with receive:
            async for _ in receive:
                found += 1
    return found


# ------------------------------------------------------------------ map(concurrency)

CALLS = 50


async def sleep_zero(x: int) -> int:
    """Wait for the loop's next turn, as the least that an async function can do."""
    await asyncio.sleep(0)
    return x


def map_flowpy(*, ordered: bool) -> Job:
    async def run(source: Any, count: int) -> int:
        flow = Flow(range(count) if source is range else lambda: source(count))
        return await flow.map(sleep_zero, concurrency=CALLS, ordered=ordered).count()

    return run


async def map_by_hand(_: Any, count: int) -> int:
    """Have workers share one plain iterator: no task reads a source, none a result."""
    numbers = iter(range(count))
    found = 0

    async def work() -> None:
        nonlocal found
        for x in numbers:
            await sleep_zero(x)
            found += 1

    await asyncio.gather(*[asyncio.create_task(work()) for _ in range(CALLS)])
    return found


async def map_by_hand_in_slots(_: Any, count: int) -> int:
    """The same, with each result in the slot of its item."""
    numbers = iter(range(count))
    slots: list[int | None] = [None] * count

    async def work() -> None:
        for x in numbers:
            slots[x] = await sleep_zero(x)

    await asyncio.gather(*[asyncio.create_task(work()) for _ in range(CALLS)])
    return sum(slot is not None for slot in slots)


async def map_by_queue(source: Any, count: int) -> int:
    """Read the source when a worker is free, and the results while they come."""
    todo: asyncio.Queue[Any] = asyncio.Queue(1)
    done: asyncio.Queue[Any] = asyncio.Queue(CALLS)

    async def feed() -> None:
        async for x in as_async(source, count):
            await todo.put(x)
        for _ in range(CALLS):
            await todo.put(END)

    async def work() -> None:
        while (x := await todo.get()) is not END:
            await done.put(await sleep_zero(x))
        await done.put(END)

    tasks = [asyncio.create_task(work()) for _ in range(CALLS)]
    tasks.append(asyncio.create_task(feed()))
    found = ended = 0
    while ended < CALLS:
        if await done.get() is END:
            ended += 1
        else:
            found += 1
    await asyncio.gather(*tasks)
    return found


async def map_streamable(source: Any, count: int) -> int:
    found = 0
    items = streamable.stream(as_async(source, count))
    async for _ in items.map(sleep_zero, concurrency=CALLS):
        found += 1
    return found


async def map_aiostream(source: Any, count: int) -> int:
    found = 0
    items = aiostream.stream.map(as_async(source, count), sleep_zero, task_limit=CALLS)
    async with items.stream() as results:
        async for _ in results:
            found += 1
    return found


# --------------------------------------------------------------------------- latency


Requests = asyncio.Queue[None]


async def answers(requests: Requests, count: int) -> AsyncIterator[int]:
    """Give a number whenever it is asked for one."""
    for n in range(count):
        await requests.get()
        yield n


def asking(pass_on: Callable[[Flow[int]], Flow[int]]) -> Job:
    """Return a job whose reader asks for an item and waits until it has come."""

    async def run(_: Any, count: int) -> int:
        requests = Requests()
        requests.put_nowait(None)
        found = 0
        async for _item in pass_on(Flow(lambda: answers(requests, count))):
            found += 1
            requests.put_nowait(None)
        return found

    return run


async def ask_queue(_: Any, count: int) -> int:
    requests = Requests()
    requests.put_nowait(None)
    queue: asyncio.Queue[Any] = asyncio.Queue(CAPACITY)

    async def produce() -> None:
        async for x in answers(requests, count):
            await queue.put(x)
        await queue.put(END)

    task = asyncio.create_task(produce())
    found = 0
    while await queue.get() is not END:
        found += 1
        requests.put_nowait(None)
    await task
    return found


def anew(job: Job) -> Job:
    """Return a job that is built, started and ended for each item."""

    async def run(source: Any, count: int) -> int:
        found = 0
        for _ in range(count):
            found += await job(source, 1)
        return found

    return run


async def merge_one(source: Any, count: int) -> int:
    return await Flow(lambda: source(count)).merge().count()


# ------------------------------------------------------------------------------ rows


@dataclass(frozen=True)
class Row:
    """A job, who does it, and how many times as much as each of them flowpy does."""

    name: str
    source: str
    backend: str
    jobs: dict[str, Job] = field(repr=False)
    least: dict[str, float] = field(default_factory=dict[str, float], repr=False)
    """For others by name: at least how many times as many items flowpy passes on."""
    slower: int = 1
    """By how much to divide the number of items."""

    def __str__(self) -> str:
        return f"{self.name}, source {self.source}, {self.backend}"


def rows_of(
    name: str, backend: str, jobs: dict[str, Job], least: dict[str, float]
) -> list[Row]:
    """Return a row for each source; the bounds are for one that never waits."""
    return [
        Row(name, "never waits", backend, jobs, least),
        Row(name, "range", backend, jobs, least),
        Row(name, "waits", backend, jobs, dict.fromkeys(least, 1.0), slower=2),
    ]


ON_ASYNCIO = {
    "asyncio.Queue": buffer_queue,
    "anyio stream": buffer_stream,
}
MERGES = {
    "asyncio.Queue": merge_queue,
    "aiostream": merge_aiostream,
    "streamable": merge_streamable,
}
ROWS = (
    *rows_of(
        "buffer",
        "asyncio",
        {FLOWPY: buffer_flowpy, **ON_ASYNCIO},
        {"asyncio.Queue": 1.5, "anyio stream": 8},
    ),
    *rows_of(
        "merge",
        "asyncio",
        {FLOWPY: merge_flowpy, **MERGES},
        {"asyncio.Queue": 1.4, "aiostream": 15, "streamable": 5},
    ),
    *rows_of(
        "buffer",
        "trio",
        {FLOWPY: buffer_flowpy, "trio channel": buffer_trio},
        {"trio channel": 8},
    ),
    *rows_of(
        "merge",
        "trio",
        {FLOWPY: merge_flowpy, "trio channel": merge_trio},
        {"trio channel": 8},
    ),
    *(
        Row(
            f"map(concurrency={CALLS}{'' if ordered else ', ordered=False'})",
            source,
            "asyncio",
            {
                FLOWPY: map_flowpy(ordered=ordered),
                "workers on one iterator": map_by_hand_in_slots
                if ordered
                else map_by_hand,
                "workers and queues": map_by_queue,
                "streamable": map_streamable,
                "aiostream": map_aiostream,
            },
            {"workers on one iterator": 0.6, "streamable": 1.5, "aiostream": 5},
        )
        for ordered in (False, True)
        for source in ("range", "never waits")
    ),
    *(
        Row(
            f"latency of {name}",
            "waits to be asked",
            "asyncio",
            {FLOWPY: asking(pass_on), "asyncio.Queue": ask_queue},
            {"asyncio.Queue": 0.5},
            slower=2,
        )
        for name, pass_on in (
            ("buffer", lambda flow: flow.buffer(CAPACITY)),
            ("merge", lambda flow: flow.merge()),
        )
    ),
    *(
        Row(
            f"{name} of one item, from start to end",
            "never waits",
            "asyncio",
            {FLOWPY: anew(job), "asyncio.Queue": anew(buffer_queue)},
            slower=50,
        )
        for name, job in (("buffer", buffer_flowpy), ("merge", merge_one))
    ),
)


# ------------------------------------------------------------------------- measuring


@dataclass
class Result:
    """What one contestant needed for a row."""

    row: str
    who: str
    nanoseconds: float
    ratio: float
    least: float | None

    @property
    def broken(self) -> bool:
        """Whether flowpy was to be faster than it is."""
        return self.least is not None and self.ratio < self.least


async def measure(row: Row, options: Namespace) -> list[Result]:
    """Run the contestants of a row in turns; return their medians."""
    count = options.items // row.slower
    source = SOURCES.get(row.source, never_waits)
    times: dict[str, list[float]] = {who: [] for who in row.jobs}
    for number in range(options.rounds + 1):
        for who, job in row.jobs.items():
            gc.collect()
            start = thread_time_ns()
            found = await job(source, count)
            took = thread_time_ns() - start
            if found != count:
                message = f"{row}: {who} found {found} items of {count}"
                raise AssertionError(message)
            if number:  # the first round is to warm up
                times[who].append(took / count)
    own = times[FLOWPY]
    return [
        Result(
            str(row),
            who,
            median(took),
            median(other / mine for other, mine in zip(took, own, strict=True)),
            row.least.get(who),
        )
        for who, took in times.items()
    ]


def check_memory(count: int) -> list[str]:
    """Read from a fast source slowly: print how much memory that took."""

    async def run(items: int) -> int:
        return await Flow(range(items)).buffer().merge([]).buffer().count(slow)

    async def slow(x: int) -> bool:
        if x % 50 == 0:
            await asyncio.sleep(0)
        return True

    asyncio.run(run(10_000))
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    asyncio.run(run(count))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    growth = (peak - before) / 1e6
    print(f"{count:,} items to a slow reader: at most {growth:.3f} MB more")
    return [] if growth < 1 else [f"memory grew by {growth:.1f} MB, more than 1"]


# ------------------------------------------------------------------------ the chart

LEAST = 0.1
"""Where the bars begin."""

LIBRARIES = ("aiostream", "streamable")
PIPES = ("buffer", "merge")
MAPS = (f"map(concurrency={CALLS}, ordered=False)", f"map(concurrency={CALLS})")
COLUMNS = (
    {"never waits": PIPES + MAPS},
    {"waits": PIPES, "range": MAPS},
)
"""The names of the rows that the chart shows, by their sources."""


def chart(results: list[Result], note: str) -> str:
    """Return a bar chart of what the contestants need for an item, as SVG."""

    def group(row: Row) -> Group:
        found = [r for r in results if r.row == str(row)]
        bars = [Bar(r.who, r.ratio, kind_of(r.who)) for r in found]
        return Group(f"{row.name}, {row.backend}", bars)

    measured = {result.row for result in results}

    def panel(source: str, names: tuple[str, ...]) -> Panel:
        rows = [r for r in ROWS if r.source == source and r.name in names]
        groups = [group(row) for row in rows if str(row) in measured]
        return Panel(f"source: {source}", groups)

    columns = [[panel(*each) for each in column.items()] for column in COLUMNS]
    title = "CPU time for an item, as a multiple of what flowpy takes"
    return draw(title, note, columns, unit=TIMES, least=LEAST)


def kind_of(who: str) -> str:
    """Return what a bar stands for."""
    return OWN if who == FLOWPY else LIBRARY if who in LIBRARIES else BY_HAND


# ----------------------------------------------------------------------- the program


def table(results: list[Result]) -> str:
    """Return the figures as Markdown."""
    lines = ["| row | who | ns an item | flowpy is faster by | at least |"]
    lines.append("|---|---|--:|--:|--:|")
    lines += [
        f"| {r.row} | {r.who} | {r.nanoseconds:.0f} | {r.ratio:.2f} | {r.least or ''} |"
        for r in results
    ]
    return "\n".join(lines)


def parse() -> Namespace:
    """Return the options of the command line."""
    parser = ArgumentParser(description="Background work against tasks by hand.")
    parser.add_argument("--items", type=int, default=20_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    parser.add_argument("--row", default="", metavar="TEXT", help="of the row's name")
    parser.add_argument("--memory-items", type=int, default=1_000_000, metavar="N")
    parser.add_argument(
        "--check", action="store_true", help="fail where a bound is broken"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--svg", type=Path, metavar="FILE")
    return parser.parse_args()


def main() -> int:
    """Measure, print, and return the exit status."""
    options = parse()
    results: list[Result] = []
    gc.disable()
    for row in ROWS:
        if options.row in str(row):
            results += anyio.run(measure, row, options, backend=row.backend)
    gc.enable()
    print(f"Python {platform.python_version()}; {options.rounds} rounds\n")
    print(table(results), end="\n\n")
    if options.json:
        text = {"python": platform.python_version()}
        text |= {"results": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(text, indent=1) + "\n")
    if options.svg:
        names = ("aiostream", "anyio", "streamable", "trio")
        versions = ", ".join(f"{name} {version(name)}" for name in names)
        note = f"Python {platform.python_version()}, {versions}"
        options.svg.write_text(chart(results, note), encoding="utf-8")
    broken = [
        f"{r.row}: {r.ratio:.2f} times {r.who}, less than {r.least}"
        for r in results
        if r.broken
    ]
    if options.memory_items:
        broken += check_memory(options.memory_items)
    print(*[f"BROKEN {line}" for line in broken], sep="\n")
    return bool(broken and options.check)


if __name__ == "__main__":
    sys.exit(main())
