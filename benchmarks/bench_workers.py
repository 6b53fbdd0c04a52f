"""How many items a second go to other processes, one by one and in batches?

    python benchmarks/bench_workers.py [--check] [--rounds N] [--size N] [--seconds S]

Over a pool of two processes, a cluster of Dask with two workers, and loky, each where it is
installed: `map(work, on=..., concurrency=100)` against `chunked(200).map(batch, on=...,
concurrency=4).flatten()`, where `batch` calls `work` for each of a list. `work` takes a
microsecond or so, so what is measured is the way there and back. Results come in order.

The two run in turns, so that a busy moment of the machine hits both, each over as many
items as it takes about a second for. The ratio is the median of the rounds' own.
"""

from __future__ import annotations

import logging
import platform
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from statistics import median
from time import perf_counter

from flowpy import Flow, run

WORKERS = 2


def work(number: int) -> int:
    """Make one item of another."""
    return number * number % 1009


def batch(numbers: list[int]) -> list[int]:
    """Do the same with several."""
    return [work(number) for number in numbers]


@contextmanager
def process_pool() -> Iterator[Executor]:
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        yield pool


@contextmanager
def loky() -> Iterator[Executor]:
    from loky import ProcessPoolExecutor as Pool  # noqa: PLC0415 - may be missing

    pool = Pool(WORKERS)
    try:
        yield pool
    finally:
        pool.shutdown(kill_workers=True)


@contextmanager
def dask() -> Iterator[Executor]:
    from distributed import Client  # noqa: PLC0415 - may be missing

    with Client(
        n_workers=WORKERS,
        threads_per_worker=1,
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
    ) as client:
        yield client.get_executor(pure=False)


ENGINES: dict[str, Callable[[], AbstractContextManager[Executor]]] = {
    "processes": process_pool,
    "loky": loky,
    "Dask": dask,
}

LEAST = {"processes": 20, "loky": 20, "Dask": 10}
"""How many times as many items in batches `--check` wants."""


@dataclass
class Result:
    """How many items a second came, in each round."""

    engine: str
    backend: str
    single: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How many times as many come in batches."""
        pairs = zip(self.batches, self.single, strict=True)
        return median(many / one for many, one in pairs)


def one_by_one(pool: Executor, count: int, size: int) -> Flow[int]:
    return Flow(range(count)).map(work, on=pool, concurrency=100)


def in_batches(pool: Executor, count: int, size: int) -> Flow[int]:
    batches = Flow(range(count)).chunked(size)
    return batches.map(batch, on=pool, concurrency=2 * WORKERS).flatten()


Way = Callable[[Executor, int, int], Flow[int]]


def rate(way: Way, pool: Executor, count: int, size: int, backend: str) -> float:
    """Return how many items a second come."""
    start = perf_counter()
    found = run(way(pool, count, size).sum, backend=backend)
    took = perf_counter() - start
    if found != sum(map(work, range(count))):
        message = f"{way.__name__} lost something of {count} items"
        raise AssertionError(message)
    return count / took


def measure(engine: str, pool: Executor, backend: str, options: Namespace) -> Result:
    """Run both in turns."""
    result = Result(engine, backend)
    counts: dict[Way, int] = {}
    for way in (one_by_one, in_batches):
        rate(way, pool, 4 * options.size, options.size, backend)  # workers start
        fast = rate(way, pool, 4 * options.size, options.size, backend)
        counts[way] = max(int(fast * options.seconds), options.size)
    for _ in range(options.rounds):
        for way, rates in (one_by_one, result.single), (in_batches, result.batches):
            rates.append(rate(way, pool, counts[way], options.size, backend))
    return result


def parse() -> Namespace:
    """Return the options of the command line."""
    parser = ArgumentParser(description="Items to other processes, single and batched.")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument("--size", type=int, default=200, metavar="N", help="of a batch")
    parser.add_argument("--seconds", type=float, default=1, metavar="S")
    parser.add_argument(
        "--check", action="store_true", help="fail where batches are hardly faster"
    )
    return parser.parse_args()


def main() -> int:
    """Measure, print a table, and return the exit status."""
    options = parse()
    results: list[Result] = []
    for name, start in ENGINES.items():
        try:
            with start() as pool:
                for backend in ("asyncio", "trio"):
                    results.append(measure(name, pool, backend, options))
        except ModuleNotFoundError as error:
            print(f"left out: {error}")
    print(f"Python {platform.python_version()}; {options.rounds} rounds")
    print(f"| | one by one, items/s | chunked({options.size}) | ratio | at least |")
    print("|---|--:|--:|--:|--:|")
    for result in results:
        print(
            f"| {result.engine}, {result.backend} | {median(result.single):,.0f} "
            f"| {median(result.batches):,.0f} | {result.ratio:.1f} "
            f"| {LEAST[result.engine]} |"
        )
    broken = [result for result in results if result.ratio < LEAST[result.engine]]
    for result in broken:
        print(f"BROKEN {result.engine} on {result.backend}: {result.ratio:.1f}")
    return 1 if broken and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
