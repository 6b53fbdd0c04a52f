"""A job every few seconds until the program is told to stop, which it does in good order.

Shows how a signal ends a flow (`take_until`) while the stage below it finishes the run
under way; that a run which would overlap another is left out (`interval` skips ticks); that
one may fail and the next one comes (`on_error`); and that what is to be cleaned up is,
before the program ends (`on_completion`). A second signal ends it at once.

    python examples/periodic_job.py [FOLDER] [--every SECONDS] [--backend asyncio|trio]
    kill -TERM …
"""

from argparse import ArgumentParser
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from shutil import disk_usage
from signal import SIGINT, SIGTERM

from anyio import open_signal_receiver, sleep

from flowpy import Flow, run


async def told_to_stop() -> None:
    """Wait for Ctrl-C, or for SIGTERM, which is what service managers send."""
    with open_signal_receiver(SIGINT, SIGTERM) as signals:
        received = await Flow(signals).first()
    print(f"{received.name}: no more runs, but for the one under way", flush=True)


async def report(folder: Path, number: int) -> str:
    """Add a line on the disk's free space to a file; a slow matter, as jobs are."""
    print(f"run {number} begins", flush=True)
    free = disk_usage(folder).free
    await sleep(0.5)
    with (folder / "free_space.txt").open("a") as file:
        print(number, free, file=file)
    return f"run {number} is done"


async def main(
    folder: Path, every: float, stop: Callable[[], Awaitable[None]] = told_to_stop
) -> None:
    """Report every so many seconds until `stop` returns."""
    lock = folder / "free_space.lock"
    lock.touch(exist_ok=False)  # nobody else is to run it here meanwhile
    await (
        Flow.interval(every)
        .take_until(stop)
        .map(
            partial(report, folder),
            on_error=lambda error, number: f"run {number} failed: {error}",
        )
        .on_completion(lambda error: lock.unlink())
        .collect(partial(print, flush=True))
    )
    print("cleaned up", flush=True)


if __name__ == "__main__":
    parser = ArgumentParser(
        description="Report on the disk's free space, again and again."
    )
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    parser.add_argument("--every", type=float, default=5)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    run(main, options.folder, options.every, backend=options.backend)
