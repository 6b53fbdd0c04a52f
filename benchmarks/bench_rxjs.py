"""How fast is flowpy next to RxJS on node, over the same work?

    npm install --prefix benchmarks/rxjs --no-package-lock
    python benchmarks/bench_rxjs.py [--items N] [--rounds N]

A look from outside Python: another language, compiled as it runs, whose observables push
without awaiting anything. Each round is a process of node and one of Python, in turns;
in each every chain runs once to be compiled and then some times. CPU time of the whole
process, node's compiler and garbage collector included; Python's collector is on, too.
The ratio is flowpy's time by that of RxJS, the median of the rounds' own ratios.

RxJS 7 has no back pressure: `merge` and `from(async generator)` there keep what comes
too fast in memory, here the sources wait.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from asyncio import run
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

from flowpy import Flow, flow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

FOLDER = Path(__file__).with_name("rxjs")
TIMES = 3
"""How often each chain runs in a process, after the first time."""


@flow
async def numbers(n: int) -> AsyncIterator[int]:
    """Count."""
    for i in range(n):
        yield i


def stages(source: Flow[int]) -> Flow[int]:
    """Return three plain stages on a source."""
    return source.map(lambda x: x + 1).filter(lambda x: x % 3 != 0).map(lambda x: x * 2)


async def to_list(n: int) -> int:
    return len(await stages(Flow(range(n))).to_list())


async def add_one(x: int) -> int:
    return x + 1


CHAINS: dict[str, Callable[[int], Awaitable[int]]] = {
    "map, filter, map to a list; range": to_list,
    "map, filter, map to a count; async generator": lambda n: stages(
        numbers(n)
    ).count(),
    "scan to a sum; range": lambda n: (
        Flow(range(n)).scan(0, lambda s, x: (s + x) % 1000003).drop(1).sum()
    ),
    "flat_map, 100 an item; range": lambda n: (
        Flow(range(n // 100)).flat_map(lambda _: range(100)).count()
    ),
    "merge of 4; async generators": lambda n: Flow.merge(
        *(numbers(n // 4) for _ in range(4))
    ).count(),
    "map, 8 calls at once; range": lambda n: (
        Flow(range(n // 10)).map(add_one, concurrency=8, ordered=False).count()
    ),
}


async def measure(items: int, times: int) -> dict[str, Any]:
    """Do in Python what bench.mjs does on node."""
    seconds: dict[str, list[float]] = {}
    results: dict[str, int] = {}
    for name, chain in CHAINS.items():
        results[name] = await chain(items)
        seconds[name] = []
        for _ in range(times):
            before = process_time()
            await chain(items)
            seconds[name].append(process_time() - before)
    return {"results": results, "seconds": seconds}


def answer(*command: str) -> dict[str, Any]:
    """Return what a process prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def what_is_missing() -> str | None:
    """Return what has to be installed first."""
    if shutil.which("node") is None:
        return "node is not installed (20 or newer)"
    if not FOLDER.joinpath("node_modules", "rxjs").is_dir():
        return f"npm install --prefix {FOLDER} --no-package-lock"
    return None


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = ArgumentParser(description="flowpy and RxJS.")
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--here", action="store_true", help="measure this side only")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(run(measure(options.items, TIMES))))
        return 0
    if missing := what_is_missing():
        print(f"left out: {missing}")
        return 0
    items = str(options.items)
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    for _ in range(options.rounds):
        ours.append(answer(sys.executable, __file__, "--here", "--items", items))
        script = str(FOLDER / "bench.mjs")
        theirs.append(answer("node", script, items, str(TIMES)))
    if ours[0]["results"] != theirs[0]["results"]:
        print(f"not the same work: {ours[0]['results']} and {theirs[0]['results']}")
        return 1
    versions = theirs[0]["versions"]
    print(
        f"Python {platform.python_version()}; node {versions['node']}, "
        f"RxJS {versions['rxjs']}; {options.items:,} items\n"
    )
    print("| chain | flowpy, ms | RxJS, ms | flowpy takes |\n|---|--:|--:|--:|")
    for name in CHAINS:
        own = [median(each["seconds"][name]) for each in ours]
        other = [median(each["seconds"][name]) for each in theirs]
        ratio = median(a / b for a, b in zip(own, other, strict=True))
        cost = f"{median(own) * 1e3:.1f} | {median(other) * 1e3:.1f}"
        print(f"| {name} | {cost} | {ratio:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
