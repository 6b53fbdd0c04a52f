"""What does a chain cost, against the loop that its user would have written by hand?

    python benchmarks/bench_chains.py [--check] [--memory] [--json FILE] [--svg FILE]

A cell is a chain, a source and an ending. Its contestants are a loop by hand, which is
the baseline, nested generators by hand, flowpy, and the other libraries where they can
run it. All call the same callbacks, about the cheapest that there are, so the ratios
are near the worst that a user can see; the loop by hand has them as arguments, as
flowpy's own function has. CPU time of the thread, garbage collector off, contestants
in random turns inside one event loop, the median of the rounds' own ratios. What is slow gets
fewer items and fewer rounds; figures are per item of the source.

Under the user's own `async for` the baseline is one generator, written by hand.
"""

from __future__ import annotations

import asyncio
import gc
import json
import platform
import re
import sys
import tracemalloc
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from statistics import geometric_mean, median
from textwrap import dedent, indent
from time import thread_time_ns
from typing import Any

from chart import BY_HAND, LIBRARY, OWN, TIMES, Bar, Group, Panel, draw

from flowpy import Flow

Items = AsyncIterator[Any]
Run = Callable[[int], Awaitable[object]]
"""A contestant in a cell: takes the number of items, returns what came out."""

ROWS = (
    "map, filter, map",
    "10 maps",
    "6 stages",
    "flat_map, 100 an item",
    "map, filter, map, async",
)
SOURCES = ("range", "async generator")
ENDINGS = ("to_list", "fold", "count", "async for")
HAND, NESTED, FLOWPY = "by hand", "nested by hand", "flowpy"
PEERS = ("aiostream", "streamable", "asyncstdlib", "reactivex")

INNER = 100
"""Items that flat_map makes of one."""

SLOWER = 10
"""How many times fewer items and rounds the other libraries get."""


# ------------------------------------------------------------------------- callbacks

add_one = lambda x: x + 1  # noqa: E731 - the form in which users write callbacks
is_odd = lambda x: x & 1  # noqa: E731
second = lambda _, pair: pair[1]  # noqa: E731
latest = lambda _, x: x  # noqa: E731
hundred = lambda _: range(INNER)  # noqa: E731


async def add_one_async(x: int) -> int:
    return x + 1


async def is_odd_async(x: int) -> int:
    return x & 1


async def latest_async(_: object, x: int) -> int:
    return x


async def numbers(count: int) -> AsyncIterator[int]:
    """Give 0, 1, 2 ...: the bare async generator."""
    for x in range(count):
        yield x


def open_source(source: str, count: int) -> Any:
    """Return the items that a cell starts from."""
    return range(count) if source == "range" else numbers(count)


@dataclass(frozen=True)
class Cell:
    """A chain, its source and its ending."""

    row: str
    source: str
    ending: str

    @property
    def is_async(self) -> bool:
        """Whether the callbacks are coroutine functions."""
        return self.row.endswith("async")

    @property
    def callbacks(self) -> tuple[Callable[..., Any], ...]:
        """The functions that stand for map, filter, scan, flat_map and fold."""
        if self.is_async:
            return add_one_async, is_odd_async, second, hundred, latest_async
        return add_one, is_odd, second, hundred, latest

    def items(self, count: int) -> int:
        """Return how many items the source gives: of what flat_map multiplies, fewer."""
        return count // 10 if self.row.startswith("flat_map") else count

    def work(self, count: int) -> int:
        """Return how many items go through the last stage but a filter's."""
        return self.items(count) * (INNER if self.row.startswith("flat_map") else 1)


CELLS = [Cell(r, s, e) for e in ENDINGS for s in SOURCES for r in ROWS]


# --------------------------------------------------------------------- loops by hand

LOOPS = {
    "map, filter, map": """
        for x in source:
            x = f(x)
            if p(x):
                emit f(x)
        """,
    "10 maps": """
        for x in source:
            x = f(x)
            x = f(x)
            x = f(x)
            x = f(x)
            x = f(x)
            x = f(x)
            x = f(x)
            x = f(x)
            x = f(x)
            emit f(x)
        """,
    "6 stages": """
        number = total = 0
        chunk = [total]
        left = n - 1
        for x in source:
            x = f(x)
            if p(x):
                total = s(total, (number, x))
                number += 1
                chunk.append(total)
                if len(chunk) == 10:
                    emit chunk
                    chunk = []
                left -= 1
                if left == 0:
                    break
        if chunk:
            emit chunk
        """,
    "flat_map, 100 an item": """
        for x in source:
            for y in m(x):
                emit y
        """,
    "map, filter, map, async": """
        for x in source:
            x = await f(x)
            if await p(x):
                emit await f(x)
        """,
}
"""What one would write, but for the ending: `emit` stands for what it does."""

USES = {
    "to_list": ("result = []", "result.append({})"),
    "fold": ("result = 0", "result = {fold}(result, {})"),
    "count": ("result = 0", "{}\nresult += 1"),
    "async for": ("", "yield {}"),
}
"""How each ending begins, and what it does with an item."""


def hand_text(cell: Cell) -> str:
    """Return the loop by hand, complete."""
    begin, use = USES[cell.ending]
    use = use.replace("{fold}", "await a" if cell.is_async else "a")

    def emit(match: re.Match[str]) -> str:
        space, value = match.groups()
        done = use.replace("{}", value)
        if cell.ending == "count" and value.isidentifier():
            done = "result += 1"
        return indent(done, space)

    loop = re.sub(r"^( *)emit (.*)$", emit, dedent(LOOPS[cell.row]), flags=re.MULTILINE)
    if cell.source != "range":
        loop = loop.replace("for x in source", "async for x in source")
    end = "" if cell.ending == "async for" else "return result"
    body = indent(f"{begin}\n{loop.strip()}\n{end}", "    ")
    return f"async def hand(source, f, p, s, m, a, n):\n{body}\n"


def by_hand(cell: Cell) -> Run:
    """Return the loop by hand; for the user's `async for`, one generator."""
    scope: dict[str, Any] = {}
    exec(hand_text(cell), scope)
    hand = scope["hand"]

    async def run(count: int) -> object:
        source = open_source(cell.source, cell.items(count))
        made = hand(source, *cell.callbacks, count)
        if cell.ending != "async for":
            return await made
        x = None
        async for x in made:
            pass
        return x

    return run


# --------------------------------------------------------- nested generators by hand


async def read(source: Iterable[Any]) -> Items:
    for x in source:
        yield x


async def mapped(source: Items, f: Callable[..., Any]) -> Items:
    async for x in source:
        yield f(x)


async def filtered(source: Items, p: Callable[..., Any]) -> Items:
    async for x in source:
        if p(x):
            yield x


async def mapped_async(source: Items, f: Callable[..., Any]) -> Items:
    async for x in source:
        yield await f(x)


async def filtered_async(source: Items, p: Callable[..., Any]) -> Items:
    async for x in source:
        if await p(x):
            yield x


async def flat_mapped(source: Items, m: Callable[..., Any]) -> Items:
    async for x in source:
        for y in m(x):
            yield y


async def numbered(source: Items) -> Items:
    number = 0
    async for x in source:
        yield number, x
        number += 1


async def scanned(source: Items, total: Any, s: Callable[..., Any]) -> Items:
    yield total
    async for x in source:
        total = s(total, x)
        yield total


async def taken(source: Items, n: int) -> Items:
    async for x in source:
        yield x
        n -= 1
        if n == 0:
            break


async def chunks(source: Items, size: int) -> Items:
    chunk = []
    async for x in source:
        chunk.append(x)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def end(cell: Cell, items: Any) -> object:
    """Bring async items to an ending, by hand."""
    fold = cell.callbacks[-1]
    result: Any = 0
    if cell.ending == "to_list":
        return [x async for x in items]
    if cell.ending == "count":
        async for _ in items:
            result += 1
    elif cell.ending == "async for":
        result = None
        async for result in items:
            pass
    elif cell.is_async:
        async for x in items:
            result = await fold(result, x)
    else:
        async for x in items:
            result = fold(result, x)
    return result


def nested(cell: Cell) -> Run:
    """Return a chain of generators, one for each stage."""
    f, p, s, m, _ = cell.callbacks

    async def run(count: int) -> object:
        source = open_source(cell.source, cell.items(count))
        items: Items = read(source) if cell.source == "range" else source
        match cell.row:
            case "map, filter, map":
                items = mapped(filtered(mapped(items, f), p), f)
            case "10 maps":
                for _ in range(10):
                    items = mapped(items, f)
            case "6 stages":
                items = scanned(numbered(filtered(mapped(items, f), p)), 0, s)
                items = chunks(taken(items, count), 10)
            case "flat_map, 100 an item":
                items = flat_mapped(items, m)
            case _:
                items = mapped_async(filtered_async(mapped_async(items, f), p), f)
        return await end(cell, items)

    return run


# ---------------------------------------------------------------------------- flowpy


def flow_of(cell: Cell, count: int) -> Flow[Any]:
    """Return the chain of a cell as a flow."""
    f, p, s, m, _ = cell.callbacks
    flow: Flow[Any] = Flow(open_source(cell.source, cell.items(count)))
    match cell.row:
        case "10 maps":
            for _ in range(10):
                flow = flow.map(f)
            return flow
        case "6 stages":
            flow = flow.map(f).filter(p).enumerate().scan(0, s)
            return flow.take(count).chunked(10)
        case "flat_map, 100 an item":
            return flow.flat_map(m)
        case _:
            return flow.map(f).filter(p).map(f)


def with_flowpy(cell: Cell) -> Run:
    """Return the cell as flowpy runs it; building the chain is part of the work."""
    fold = cell.callbacks[-1]

    async def run(count: int) -> object:
        flow = flow_of(cell, count)
        match cell.ending:
            case "to_list":
                return await flow.to_list()
            case "fold":
                return await flow.fold(0, fold)
            case "count":
                return await flow.count()
            case _:
                x = None
                async for x in flow:
                    pass
                return x

    return run


# --------------------------------------------------------------- the other libraries


def with_aiostream(cell: Cell) -> Run | None:
    """Use aiostream. It has no count: its reduce does that."""
    pipe = import_module("aiostream.pipe")
    stream = import_module("aiostream.stream")
    f, p, s, m, fold = cell.callbacks
    one = {"task_limit": 1} if cell.is_async else {}

    async def run(count: int) -> object:
        xs = stream.iterate(open_source(cell.source, cell.items(count)))
        match cell.row:
            case "10 maps":
                for _ in range(10):
                    xs = xs | pipe.map(f)
            case "6 stages":
                xs = xs | pipe.map(f) | pipe.filter(p) | pipe.enumerate()
                xs = xs | pipe.accumulate(s, 0) | pipe.take(count) | pipe.chunks(10)
            case "flat_map, 100 an item":
                xs = xs | pipe.concatmap(lambda x: stream.iterate(m(x)), task_limit=1)
            case _:
                xs = xs | pipe.map(f, **one) | pipe.filter(p) | pipe.map(f, **one)
        match cell.ending:
            case "to_list":
                return await (xs | pipe.list())
            case "fold":
                return await (xs | pipe.reduce(fold, 0))
            case "count":
                return await (xs | pipe.reduce(lambda n, _: n + 1, 0))
            case _:
                x = None
                async with xs.stream() as items:
                    async for x in items:
                        pass
                return x

    return run


def with_streamable(cell: Cell) -> Run | None:
    """Use streamable. It has no enumerate and no scan, no fold and no count."""
    stream = import_module("streamable").stream
    f, p, _, m, _ = cell.callbacks
    if cell.row == "6 stages" or cell.ending in {"fold", "count"}:
        return None

    async def run(count: int) -> object:
        xs = stream(open_source(cell.source, cell.items(count)))
        match cell.row:
            case "10 maps":
                for _ in range(10):
                    xs = xs.map(f)
            case "flat_map, 100 an item":
                xs = xs.map(m).flatten()
            case _:
                xs = xs.map(f).filter(p).map(f)
        return await end(cell, xs)

    return run


def with_asyncstdlib(cell: Cell) -> Run | None:
    """Use asyncstdlib. It has no count: its reduce does that."""
    a = import_module("asyncstdlib")
    f, p, s, m, fold = cell.callbacks

    async def run(count: int) -> object:
        xs = open_source(cell.source, cell.items(count))
        match cell.row:
            case "10 maps":
                for _ in range(10):
                    xs = a.map(f, xs)
            case "6 stages":
                xs = a.accumulate(a.enumerate(a.filter(p, a.map(f, xs))), s, initial=0)
                xs = a.map(list, a.batched(a.islice(xs, count), 10))
            case "flat_map, 100 an item":
                xs = a.chain.from_iterable(a.map(m, xs))
            case _:
                xs = a.map(f, a.filter(p, a.map(f, xs)))
        match cell.ending:
            case "to_list":
                return await a.list(xs)
            case "fold":
                return await a.reduce(fold, xs, 0)
            case "count":
                return await a.reduce(lambda n, _: n + 1, xs, 0)
            case _:
                return await end(cell, xs)

    return run


def with_reactivex(cell: Cell) -> Run | None:
    """Use reactivex. It reads no async iterables, nor gives one; it awaits nothing."""
    rx = import_module("reactivex")
    ops = import_module("reactivex.operators")
    f, p, s, m, fold = cell.callbacks
    if cell.source != "range" or cell.is_async or cell.ending == "async for":
        return None

    async def run(count: int) -> object:
        xs = rx.from_iterable(open_source(cell.source, cell.items(count)))
        match cell.row:
            case "10 maps":
                xs = xs.pipe(*[ops.map(f)] * 10)
            case "6 stages":
                xs = xs.pipe(
                    ops.map(f),
                    ops.filter(p),
                    ops.map_indexed(lambda x, number: (number, x)),
                    ops.scan(s, 0),
                    ops.start_with(0),
                    ops.take(count),
                    ops.buffer_with_count(10),
                )
            case "flat_map, 100 an item":
                xs = xs.pipe(ops.concat_map(lambda x: rx.from_iterable(m(x))))
            case _:
                xs = xs.pipe(ops.map(f), ops.filter(p), ops.map(f))
        ending = {
            "to_list": ops.to_list(),
            "fold": ops.reduce(fold, 0),
            "count": ops.count(),
        }[cell.ending]
        return await xs.pipe(ending)

    return run


MAKE: dict[str, Callable[[Cell], Run | None]] = {
    HAND: by_hand,
    NESTED: nested,
    FLOWPY: with_flowpy,
    "aiostream": with_aiostream,
    "streamable": with_streamable,
    "asyncstdlib": with_asyncstdlib,
    "reactivex": with_reactivex,
}


def installed(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of the libraries that are here; say which are not."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            print(f"{name} is not installed: left out", file=sys.stderr)
    return found


# ------------------------------------------------------------------------- measuring


@dataclass
class Result:
    """What a contestant needed in a cell."""

    cell: Cell
    who: str
    ratio: float
    nanoseconds: float


async def measure(cell: Cell, names: list[str], options: Namespace) -> list[Result]:
    """Run the contestants of a cell in random turns."""
    runs = {name: run for name in names if (run := MAKE[name](cell))}
    slow = {name: SLOWER if name in PEERS else 1 for name in runs}
    slow[NESTED] = 3
    few = max(options.items // SLOWER, 20)
    expected = await runs[HAND](few)
    for name, run in runs.items():
        for _ in range(1 if name in PEERS else 5):
            found = await run(few)
            if found != expected:
                sys.exit(
                    f"{name} is wrong in {cell}: {found!r:.200}, not {expected!r:.200}"
                )
    times: dict[str, list[float]] = {name: [] for name in runs}
    ratios: dict[str, list[float]] = {name: [] for name in runs}
    order = list(runs)
    shuffle = Random(0).shuffle
    for turn in range(options.rounds):
        taken: dict[str, float] = {}
        for name in order:
            if turn % slow[name]:
                continue
            count = few if name in PEERS else options.items
            start = thread_time_ns()
            await runs[name](count)
            taken[name] = (thread_time_ns() - start) / cell.work(count)
        for name, time in taken.items():
            times[name].append(time)
            ratios[name].append(time / taken[HAND])
        # In fixed turns each would always find the memory that the same one has left,
        # which moves a ratio by up to 0.05.
        shuffle(order)
    return [
        Result(cell, name, median(ratios[name]), median(times[name])) for name in runs
    ]


def measure_all(
    cells: list[Cell], names: list[str], options: Namespace
) -> list[Result]:
    """Measure cell by cell, each in an event loop of its own."""
    results: list[Result] = []
    for cell in cells:
        gc.collect()
        gc.disable()
        try:
            results += asyncio.run(measure(cell, names, options))
        finally:
            gc.enable()
        if sys.stderr.isatty():
            print(".", end="", file=sys.stderr, flush=True)
    return results


# ------------------------------------------------------------------------- the table


def table(results: list[Result]) -> str:
    """Return the ratios and the times as Markdown."""
    names = [name for name in MAKE if any(r.who == name for r in results)]
    by_cell: dict[Cell, dict[str, Result]] = defaultdict(dict)
    for result in results:
        by_cell[result.cell][result.who] = result
    lines = [
        "| chain | source | ending | by hand, ns | "
        + " | ".join(names[1:])
        + " | flowpy, ns |",
        "|---|---|---|--:|" + "--:|" * len(names),
    ]
    for cell, found in by_cell.items():
        ratios = [f"{found[n].ratio:.2f}" if n in found else "-" for n in names[1:]]
        lines.append(
            f"| {cell.row} | {cell.source} | {cell.ending} | "
            f"{found[HAND].nanoseconds:.0f} | {' | '.join(ratios)} | "
            f"{found[FLOWPY].nanoseconds:.0f} |"
        )
    return "\n".join(lines)


# ------------------------------------------------------------------------ the bounds


@dataclass(frozen=True)
class Bound:
    """What flowpy promises for a group of cells."""

    name: str
    holds: Callable[[Cell], bool] = field(repr=False)
    mean: float
    most: float

    def broken(self, results: list[Result]) -> list[str]:
        """Print the mean, and return what breaks the bound."""
        own = [r for r in results if r.who == FLOWPY and self.holds(r.cell)]
        mean = geometric_mean([r.ratio for r in own])
        worst = max(r.ratio for r in own)
        most = f", {self.most} a cell" if self.most < float("inf") else ""
        print(
            f"{self.name}: geometric mean {mean:.3f}, worst cell {worst:.2f}"
            f" (at most {self.mean}{most})"
        )
        found = [
            f"{show(r.cell)}: {r.ratio:.2f}, more than {self.most}"
            for r in own
            if r.ratio > self.most
        ]
        if mean > self.mean:
            found.append(f"{self.name}: mean {mean:.3f}, more than {self.mean}")
        return found


def show(cell: Cell) -> str:
    """Return a cell in words."""
    return f"{cell.row}, from {cell.source}, to {cell.ending}"


BOUNDS = (
    Bound(
        "to a terminal, async source",
        lambda c: c.ending != "async for" and c.source != "range",
        1.05,
        1.12,
    ),
    Bound(
        "to a terminal, plain source",
        lambda c: c.ending != "async for" and c.source == "range",
        1.10,
        1.18,
    ),
    Bound(
        "the user's own async for",
        lambda c: c.ending == "async for",
        1.08,
        float("inf"),
    ),
)


def check(results: list[Result]) -> list[str]:
    """Return which bounds are broken, and where."""
    broken = [line for bound in BOUNDS for line in bound.broken(results)]
    own = {r.cell: r.ratio for r in results if r.who == FLOWPY}
    broken += [
        f"{show(r.cell)}: {r.who} needs {r.ratio:.2f}, flowpy {own[r.cell]:.2f}"
        for r in results
        if r.who in PEERS and r.ratio <= own[r.cell]
    ]
    return broken


# ------------------------------------------------------------------------- the chart

LEAST = 0.25
"""Where the bars begin: far enough below 1 that a bar of 1 can be seen."""

KINDS = {FLOWPY: OWN, NESTED: BY_HAND, **dict.fromkeys(PEERS, LIBRARY)}


def chart(results: list[Result], note: str) -> str:
    """Return a bar chart of the cells that end in a list, as SVG."""
    found = {(r.cell, r.who): r.ratio for r in results if r.cell.ending == "to_list"}

    def bars(cell: Cell) -> list[Bar]:
        return [
            Bar(name.removesuffix(" by hand"), found[cell, name], kind)
            for name, kind in KINDS.items()
            if (cell, name) in found
        ]

    columns = [
        [
            Panel(
                f"from: {source}",
                [
                    Group(row, shown)
                    for row in ROWS
                    if (shown := bars(Cell(row, source, "to_list")))
                ],
            )
        ]
        for source in SOURCES
    ]
    title = "Time to a list, as a multiple of the loop written by hand"
    return draw(title, note, columns, unit=TIMES, least=LEAST)


# ------------------------------------------------------------------------ the memory


def check_memory(count: int = 10_000_000) -> list[str]:
    """Read many items through five stages: print how much memory that took."""

    async def run(items: int) -> int:
        flow = Flow(range(items)).map(add_one).filter(is_odd).enumerate()
        return await flow.scan(0, second).chunked(10).count()

    asyncio.run(run(10_000))
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    found = asyncio.run(run(count))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    growth = (peak - before) / 1e6
    print(f"{count:,} items through five stages: at most {growth:.3f} MB more")
    broken = [] if growth < 5 else [f"memory grew by {growth:.1f} MB, more than 5"]
    return broken if found == count // 20 + 1 else [*broken, f"{found} chunks came"]


# -------------------------------------------------------------------------- the program


def parse() -> Namespace:
    """Return the options of the command line."""
    parser = ArgumentParser(description="Chains against the loop written by hand.")
    parser.add_argument("--items", type=int, default=10_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=101, metavar="N")
    parser.add_argument("--row", default="", metavar="TEXT", help="of the chain's name")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--peers", action="store_true", help="with --check: them too")
    parser.add_argument(
        "--check", action="store_true", help="fail where a bound is broken; no peers"
    )
    parser.add_argument("--memory", action="store_true", help="only the memory")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--svg", type=Path, metavar="FILE")
    return parser.parse_args()


def main() -> int:
    """Measure, print, and return the exit status."""
    options = parse()
    if options.memory:
        broken = check_memory()
        print(*broken, sep="\n", end="")
        return bool(broken)
    wanted = options.peers or not (options.check or options.no_peers)
    peers = installed(PEERS) if wanted else {}
    cells = [cell for cell in CELLS if options.row in cell.row]
    results = measure_all(cells, [HAND, NESTED, FLOWPY, *peers], options)
    versions = ", ".join(f"{name} {v}" for name, v in peers.items())
    note = f"Python {platform.python_version()}" + (f", {versions}" if peers else "")
    print(f"{note}; {options.items:,} items, {options.rounds} rounds\n")
    print(table(results), end="\n\n")
    if options.json:
        text = {"python": platform.python_version(), "peers": peers}
        text |= {"results": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(text, indent=1) + "\n")
    if options.svg:
        options.svg.write_text(chart(results, note), encoding="utf-8")
    broken = check(results)
    print(*[f"BROKEN {line}" for line in broken], sep="\n")
    return bool(broken and options.check)


if __name__ == "__main__":
    sys.exit(main())
