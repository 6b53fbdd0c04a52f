"""Count the words of files on a cluster of Dask: here two processes of this machine.

Shows how a flow gives work to other machines: `map(on=...)` takes any executor, also that
of a cluster. Lines go there in batches, or sending them would cost more than counting, and
come back in any order, since counts are added up. No more of a file is read than the
cluster has room for; what a worker had that dies, Dask gives to another one. The cluster
is there before the event loop and ends after it: to start and stop it takes a while.

    python examples/word_count.py [FILE ...] [--workers N] [--backend asyncio|trio]
"""

import re
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Executor
from pathlib import Path

from distributed import Client

from flowpy import Flow, run
from flowpy.io import lines

LICENCE = Path(__file__).parents[1] / "LICENSE"


def count_words(batch: list[str]) -> Counter[str]:
    """Count the words of some lines; this runs on the cluster."""
    return Counter(re.findall(r"\w+", "\n".join(batch).lower()))


async def count(paths: Iterable[Path], cluster: Executor, size: int) -> Counter[str]:
    """Count the words of all lines, `size` of them in a batch."""
    return await (
        Flow(paths)
        .flat_map(lines)
        .chunked(size)
        .map(count_words, on=cluster, concurrency=20, ordered=False)
        .fold(Counter[str](), lambda total, some: total + some)
    )


async def main(paths: Iterable[Path], cluster: Executor, size: int) -> None:
    """Print which words are the most frequent."""
    words = await count(paths, cluster, size)
    print(f"{words.total()} words, {len(words)} different ones; the most frequent:")
    for word, times in sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))[:5]:
        print(f"  {times:4} {word}")


if __name__ == "__main__":
    parser = ArgumentParser(description="Count the words of files on a cluster.")
    parser.add_argument("files", nargs="*", type=Path, default=[LICENCE])
    parser.add_argument("--size", type=int, default=200, help="lines in a batch")
    parser.add_argument("--workers", type=int, default=2, help="processes to start")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    # One that runs already is joined with Client("tcp://HOST:8786").
    with Client(n_workers=options.workers, dashboard_address=":0") as client:
        # Not `pure`, or equal batches would be counted once.
        cluster = client.get_executor(pure=False)  # pyright: ignore[reportUnknownMemberType] - without types
        run(main, options.files, cluster, options.size, backend=options.backend)
