"""What do building a chain, looking up its shape and compiling it cost?

    python benchmarks/bench_build.py [--check]

CPU time of many repetitions, the best of some rounds: what is measured takes
microseconds, and whatever disturbs it only adds. A stage's cost is the difference
between chains of 10 stages and of none. "Seen first" empties the caches of shapes, not
those of the operators' text: that is what a new chain costs in a running program.
Nested is the same chain as generators, as FLOWPY_FUSION=0 runs it.
"""

from __future__ import annotations

import asyncio
import gc
import platform
import sys
import tracemalloc
from argparse import ArgumentParser
from contextlib import contextmanager
from time import thread_time
from typing import TYPE_CHECKING, Any

from flowpy import Flow, _chain, _compiler, _fusion
from flowpy._operators import ending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

STAGE = 0.6
"""Microseconds that building a stage may take, with `--check`."""

LOOK_UP = 0.2
"""Microseconds that finding a shape that is known may take, with `--check`."""

add_one = lambda x: x + 1  # noqa: E731 - the form in which users write callbacks


def chain(stages: int, items: int = 0) -> Flow[int]:
    """Return a chain of so many maps."""
    flow = Flow(range(items))
    for _ in range(stages):
        flow = flow.map(add_one)
    return flow


def mixed(stages: int) -> Flow[Any]:
    """Return a chain of several operators."""
    flow: Flow[Any] = Flow(range(0))
    for k in range(stages):
        match k % 5:
            case 0:
                flow = flow.map(add_one)
            case 1:
                flow = flow.filter(add_one)
            case 2:
                flow = flow.enumerate()
            case 3:
                flow = flow.scan(0, max)
            case _:
                flow = flow.take(10)
    return flow


def best(run: Callable[[], object], times: int, rounds: int = 15) -> float:
    """Return the microseconds of one call."""
    fastest = float("inf")
    for _ in range(rounds):
        start = thread_time()
        for _ in range(times):
            run()
        fastest = min(fastest, thread_time() - start)
    return fastest / times * 1e6


async def best_awaited(
    run: Callable[[], Awaitable[object]],
    times: int,
    before: Callable[[], object] = lambda: None,
) -> float:
    """Return the microseconds of one collection, after something that does not count."""
    seconds: list[float] = []
    for _ in range(times):
        before()
        start = thread_time()
        await run()
        seconds.append(thread_time() - start)
    return min(seconds) * 1e6


def forget() -> None:
    """Empty the caches of shapes."""
    _fusion.cut.cache_clear()
    _chain.runs_to_open.cache_clear()
    _fusion.shape_of.cache_clear()


@contextmanager
def nested() -> Iterator[None]:
    """Run chains as nested generators."""
    _chain.ENABLED = False
    try:
        yield
    finally:
        _chain.ENABLED = True


@contextmanager
def at_once() -> Iterator[None]:
    """Compile every shape when it is first seen."""
    worth, _fusion.WORTH = _fusion.WORTH, 0
    forget()
    try:
        yield
    finally:
        _fusion.WORTH = worth


def run_of(flow: Flow[Any]) -> _fusion.Run:
    """Return the one run of stages of a chain that ends in a list."""
    (run,) = _fusion.cut((*flow._stages, ending.to_list), fused=True)
    return run


async def memory(stages: int, count: int = 200) -> float:
    """Return the bytes of one chain that is being read."""
    held: list[Any] = []
    flows = [chain(stages, 10) for _ in range(count)]
    await anext(aiter(chain(stages, 10)))
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for flow in flows:
        items = aiter(flow)
        await anext(items)
        held.append(items)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for items in held:
        await items.aclose()
    return (after - before) / count


def measure_building() -> tuple[float, float]:
    """Print what building costs; return the microseconds of a stage and a look-up."""
    base = best(lambda: Flow(range(0)), 2000)
    start = Flow(range(0))
    steps: dict[str, Callable[[Flow[Any]], Flow[Any]]] = {
        ".map(f)": lambda flow: flow.map(add_one),
        ".filter(f)": lambda flow: flow.filter(add_one),
        ".take(10)": lambda flow: flow.take(10),
        ".enumerate()": lambda flow: flow.enumerate(),
    }
    print(f"Flow(range(0)): {base:.2f} µs\n\n| a stage, built | µs |\n|---|--:|")
    slowest = 0.0
    empty = best(lambda: None, 20000)
    for name, step in steps.items():

        def ten(step: Callable[[Flow[Any]], Flow[Any]] = step) -> None:
            flow = start
            for _ in range(10):
                flow = step(flow)

        cost = best(ten, 500) / 10 - empty
        slowest = max(slowest, cost)
        print(f"| {name} | {cost:.2f} |")
    print(
        "\n| a shape that is known | cut, µs | looked up, µs | opened and closed, µs |"
    )
    print("|---|--:|--:|--:|")
    look_up = 0.0
    for stages in (1, 3, 6, 10):
        flow = mixed(stages)
        whole = run_of(flow).stages
        cut = best(lambda whole=whole: _fusion.cut(whole, _chain.ENABLED), 5000)
        shape = best(lambda whole=whole: _fusion.shape_of(whole, 0), 5000)
        opened = best(lambda flow=flow: flow.to_list().close(), 1000)
        look_up = max(look_up, cut, shape)
        print(f"| {stages} stages | {cut:.2f} | {shape:.2f} | {opened:.2f} |")
    return slowest, look_up


def measure_compiling() -> None:
    """Print what compiling costs."""
    print("\n| compiled, with its ending | maps, ms | mixed, ms |\n|---|--:|--:|")
    for stages in (1, 3, 6, 10):
        costs: list[float] = []
        for make in (chain, mixed):
            run = run_of(make(stages))
            costs.append(best(lambda run=run: _compiler.fuse(run.stages, ()), 3))
        print(f"| {stages} stages | {costs[0] / 1e3:.2f} | {costs[1] / 1e3:.2f} |")


async def measure_memory() -> None:
    """Print what a chain that is being read holds."""
    print("\n| being read | fused, bytes | nested, bytes |\n|---|--:|--:|")
    for stages in (1, 5, 10):
        with at_once():
            fused = await memory(stages)
        with nested():
            generators = await memory(stages)
        print(f"| {stages} maps | {fused:,.0f} | {generators:,.0f} |")


async def measure_first_runs() -> None:
    """Print what a short run costs, and from how many items on a compile pays."""
    print("\n| run to a list, µs | seen first | compiled first | known | nested |")
    print("|---|--:|--:|--:|--:|")
    for stages in (3, 10):
        costs: dict[int, tuple[float, float, float]] = {}
        for items in (1, 5, 20, 1000):

            async def run(items: int = items, stages: int = stages) -> object:
                return await chain(stages, items).to_list()

            first = await best_awaited(run, 15, forget)
            with at_once():
                compiled = await best_awaited(run, 15, forget)
                known = await best_awaited(run, 200)
            with nested():
                generators = await best_awaited(run, 200)
            costs[items] = compiled, known, generators
            print(
                f"| {stages} maps, {items} items | {first:.0f} | {compiled:.0f} | "
                f"{known:.1f} | {generators:.1f} |"
            )
        few, many = costs[20], costs[1000]
        gain = ((many[2] - few[2]) - (many[1] - few[1])) / 980
        price = few[0] - few[1]
        pays = price / gain if gain > 0 else float("inf")
        print(f"| {stages} maps: the compile pays from | {pays:,.0f} items | | | |")


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = ArgumentParser(description="Building and compiling chains.")
    parser.add_argument("--check", action="store_true", help="fail above the targets")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}\n")
    gc.disable()
    stage, look_up = measure_building()
    measure_compiling()
    asyncio.run(measure_memory())
    asyncio.run(measure_first_runs())
    broken: list[str] = []
    if stage > STAGE:
        broken.append(f"a stage takes {stage:.2f} µs to build, more than {STAGE}")
    if look_up > LOOK_UP:
        broken.append(f"a look-up takes {look_up:.2f} µs, more than {LOOK_UP}")
    print("", *[f"BROKEN {line}" for line in broken], sep="\n")
    return bool(broken and options.check)


if __name__ == "__main__":
    sys.exit(main())
