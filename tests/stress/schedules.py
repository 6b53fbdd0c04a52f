"""One schedule: a tree and a way to read it, from a seed; run, and judged.

    python -m tests.stress.schedules asyncio 10000        seeds 0 to 9999
    python -m tests.stress.schedules trio 1 4711          seed 4711 again, with its plan

The backends are "asyncio" (plain or with eager tasks, as the seed says), "trio" and
"uvloop"; the first two run in virtual time.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import anyio
import trio
from trio.testing import MockClock

from flowpy import _chain
from flowpy._crew import Crew
from flowpy._scheduler.asyncio import _ALIVE
from flowpy.testing import VirtualClockEventLoop
from tests.stress.trees import Case, Planted, PlantedInterrupt, Run
from tests.stress.ways import EAGER, WAYS, Hang, Way, collected, without_frames

LATEST = 10_000.0
"""Virtual seconds after which a schedule hangs; none needs one."""

LONGEST = 10
"""Real seconds after which it hangs, in a loop that never waits."""


@dataclass
class Schedule:
    """What a seed stands for, and the faults that were found."""

    seed: int
    backend: str
    way: Way
    case: Case
    fused: bool
    eager: bool
    noise: list[tuple[str, BaseException | None]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        expected = self.case.expected
        how = "fused" if self.fused else "nested"
        eager = "; eager tasks" if self.eager else ""
        again = f"python -m tests.stress.schedules {self.backend} 1 {self.seed}"
        return "\n".join(
            [
                f"seed {self.seed} on {self.backend}: {', '.join(self.faults) or 'ok'}",
                f"    {self.case.tree.flow!r}",
                f"    {self.way.name}; {how}{eager}",
                f"    expected {expected}",
                f"    planted {self.case.planted}",
                f"    saw {self.case.seen}",
                f"    {len(self.case.runs)} runs, not in order: {self.bad_runs()}",
                *(f"    noise: {text} {error!r}" for text, error in self.noise),
                f"    again: {again}",
            ]
        )

    def bad_runs(self) -> list[Run]:
        """Return those that have not begun and ended their cleanup once."""
        return [run for run in self.case.runs if not run.began == run.ended == 1]


def plan(seed: int, backend: str) -> Schedule:
    """Return what a seed stands for."""
    random = Random(seed)
    native = "trio" if backend == "trio" else "asyncio"
    ways = [way for way in WAYS if way.backend in {"", native}]
    way = random.choices(ways, [way.weight for way in ways])[0]
    case = Case(
        random,
        one_task=way.one_task,
        interrupts=way.interrupts,
        hangs=way.cancels and way.name.startswith("is_cancelled_in"),
    )
    eager = backend == "asyncio" and EAGER and random.random() < 0.3
    return Schedule(seed, backend, way, case, random.random() < 0.5, eager)


def run(seed: int, backend: str) -> Schedule:
    """Run the schedule of a seed and judge it."""
    schedule = plan(seed, backend)
    case, faults = schedule.case, schedule.faults
    crashed = False
    with mode(schedule.fused), listening(schedule):
        try:
            with limited():
                LOOPS[backend](schedule, partial(main, schedule))
        except Hang:
            faults.append("it hangs")
            crashed = True
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is a fault
            faults.append(f"the event loop raised {error!r}")
            crashed = True
        case.kept = None
        for error in [*case.planted, *(error for _, error in schedule.noise)]:
            without_frames(error)  # or what is left would be their fault
        gc.collect()
    if _ALIVE:
        faults.append("a task is alive after its loop")
        _ALIVE.clear()
    if crashed:
        gc.freeze()  # what hangs there is left out of account from now on
    else:
        judge_runs(schedule, "after all")
        judge_noise(schedule)
        if any(isinstance(each, Crew) for each in gc.get_objects()):
            faults.append("a crew is left in memory")
    return schedule


async def main(schedule: Schedule) -> None:
    """Read the flow, then look for what it has left."""
    way, case, faults = schedule.way, schedule.case, schedule.faults
    before = tasks()
    error = await collected(case, way, case.tree.flow)
    judge_result(schedule, error)
    del error
    if case.lingers:
        gc.collect()
    if way.leaves or case.lingers:
        await settled(case, before)
    if not way.shuts_down:
        judge_runs(schedule, "in the end" if way.leaves else "when control returned")
        left = tasks() - before
        if left:
            faults.append(f"{len(left)} tasks are left")
    try:
        await anyio.sleep(0)
    except BaseException as stray:
        faults.append(f"it left {stray!r} behind")
        raise


def tasks() -> set[int]:
    return {task.id for task in anyio.get_running_tasks()}


async def settled(case: Case, before: set[int]) -> None:
    """Wait until what was left behind has been closed, for a second at most."""
    for _ in range(500):
        await anyio.sleep(0.002)
        if all(run.began for run in case.runs) and not tasks() - before:
            return


# ---------------------------------------------------------------------------- verdicts


def judge_runs(schedule: Schedule, when: str) -> None:
    """Every `finally` has run once, to its end unless a cancellation hit it."""
    way = schedule.way
    # trio closes what is left to it in a scope that has been cancelled.
    cancels = way.cancels or (way.leaves and schedule.backend == "trio")
    # Cleanup that had begun by itself has no more right than other work; nor has that
    # of a stage that is stopped, when a stage below is; and a task group cancels its
    # host for its own reasons.
    excused = schedule.case.crews > 1 or schedule.case.groups
    for run in schedule.case.runs:
        if not run.began:
            schedule.faults.append(f"{run.name} was not closed {when}")
        elif run.began > 1:
            schedule.faults.append(f"{run.name} was closed {run.began} times")
        elif not (run.ended or run.interrupted):
            schedule.faults.append(f"{run.name} was still being closed {when}")
        elif run.interrupted and run.cancelled and not (cancels or excused):
            schedule.faults.append(f"cleanup of {run.name} was interrupted")


def judge_result(schedule: Schedule, error: BaseException | None) -> None:
    """The items and the error are what the tree has to give."""
    case, faults = schedule.case, schedule.faults
    expected, seen = case.expected, case.seen
    in_cleanup = is_among(error, case.of_cleanup)
    if case.strangers:
        faults.append(f"{case.strangers} calls missed the context of the collector")
    if error is not None and not is_among(error, case.planted):
        faults.append(f"it raised {error!r}, which nobody planted")
    elif case.stopped:
        # Ctrl-C is never dropped, whoever it hits.
        late = in_cleanup or isinstance(error, PlantedInterrupt)
        wanted = late or error is case.own_error
        if not (wanted or schedule.way.cancels):
            faults.append(f"it raised {error!r} after it had been stopped")
    elif expected.known and not (in_cleanup and expected.stops):
        judge_end(schedule, error)
    if expected.known and not is_part(seen, expected.items, ordered=expected.ordered):
        faults.append("the items are not those expected")


def judge_end(schedule: Schedule, error: BaseException | None) -> None:
    """It has ended as the tree has to end, with all items before."""
    expected, faults = schedule.case.expected, schedule.faults
    if (error is not None or expected.errors) and error not in expected.errors:
        faults.append(f"it ended with {error!r}")
    missing = len(expected.items) - len(schedule.case.seen)
    if missing and (expected.ordered or not expected.errors):
        faults.append(f"{missing} items are missing")


def is_among(error: BaseException | None, errors: list[BaseException]) -> bool:
    return any(error is each for each in errors)


def is_part(seen: list[Any], items: tuple[Any, ...], *, ordered: bool) -> bool:
    if ordered:
        return tuple(seen) == items[: len(seen)]
    return Counter(map(repr, seen)) <= Counter(map(repr, items))


def judge_noise(schedule: Schedule) -> None:
    """Nothing was reported behind the collector's back, or what has to be."""
    way = schedule.way
    abandoned = way.leaves or way.shuts_down
    for text, error in schedule.noise:
        # Nobody but the loop could hear of an error in cleanup after that.
        if abandoned and isinstance(error, Planted):
            continue
        # Nor of one that comes while what is shared lingers.
        if text.startswith("flowpy: share: ") and isinstance(error, Planted):
            continue
        if (
            abandoned
            and schedule.backend == "trio"
            and text.startswith("ResourceWarning: Async generator")
        ):
            continue  # trio tells that an iterator was left to it
        # The garbage collector finalizes all generators of a cycle, and asyncio closes
        # all that are left, in any order: one may be closing another already, or go on
        # where that one has ended. So it is with plain generators.
        if (way.in_a_cycle or way.shuts_down) and (
            "is already running" in str(error)
            or "was scheduled after loop.shutdown_asyncgens()" in text
        ):
            continue
        # A task of a source's own group, which the end of the loop kept from beginning.
        if way.shuts_down and "'sleep_forever' was never awaited" in text:
            continue
        schedule.faults.append(f"noise: {text} {error!r}")


@contextmanager
def listening(schedule: Schedule) -> Iterator[None]:
    """Collect what is reported behind the collector's back."""

    def unraisable(report: Any) -> None:
        text = f"unraisable {report.err_msg} {report.object!r}"
        schedule.noise.append((text, report.exc_value))

    class Writer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            schedule.noise.append((f"{record.name}: {record.getMessage()}", error))

    writer, loggers = (
        Writer(),
        [logging.getLogger(name) for name in ("asyncio", "trio", "flowpy")],
    )
    levels = [(logger, logger.level, logger.propagate) for logger in loggers]
    before, sys.unraisablehook = sys.unraisablehook, unraisable
    for logger in loggers:
        logger.addHandler(writer)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield
        schedule.noise += [
            (f"{each.category.__name__}: {each.message}", None) for each in warned
        ]
    finally:
        sys.unraisablehook = before
        for logger, level, propagate in levels:
            logger.removeHandler(writer)
            logger.setLevel(level)
            logger.propagate = propagate


# ---------------------------------------------------------------------------- to run it


@contextmanager
def mode(fused: bool) -> Iterator[None]:
    before, _chain.ENABLED = _chain.ENABLED, fused
    try:
        yield
    finally:
        _chain.ENABLED = before


@contextmanager
def limited() -> Iterator[None]:
    """Raise `Hang` in a loop that goes on and on in no time."""

    def hang(*_: object) -> None:
        raise Hang

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def hang() -> None:
    raise Hang


def run_asyncio(schedule: Schedule, fn: Callable[[], Any]) -> None:
    def factory() -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop
        if schedule.backend == "uvloop":
            import uvloop  # noqa: PLC0415 - an extra

            loop = uvloop.new_event_loop()
            loop.call_later(LONGEST, hang)
        else:
            loop = VirtualClockEventLoop()
            loop.call_at(LATEST, hang)
        if schedule.eager:
            loop.set_task_factory(asyncio.eager_task_factory)
        return loop

    def report(loop: object, context: dict[str, Any]) -> None:
        schedule.noise.append((context["message"], context.get("exception")))

    runner = asyncio.Runner(loop_factory=factory)
    loop = runner.get_loop()
    loop.set_exception_handler(report)
    try:
        runner.run(fn())
        runner.close()
    finally:
        if not loop.is_closed():
            loop.close()  # not the runner, which would wait for what hangs


def run_trio(schedule: Schedule, fn: Callable[[], Any]) -> None:
    async def guarded() -> None:
        trio.lowlevel.spawn_system_task(alarm)
        await fn()

    async def alarm() -> None:
        await trio.sleep(LATEST)
        hung.append(True)
        hang()

    hung: list[bool] = []
    core = trio._core._run
    before = core._ALLOW_DETERMINISTIC_SCHEDULING, core._r
    # Which of several tasks runs first is the seed's to say; trio has no public switch.
    core._ALLOW_DETERMINISTIC_SCHEDULING, core._r = True, Random(schedule.seed)
    try:
        trio.run(guarded, clock=MockClock(autojump_threshold=0))
    except BaseException:
        if hung:
            raise Hang from None
        raise
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING, core._r = before


LOOPS = {"asyncio": run_asyncio, "uvloop": run_asyncio, "trio": run_trio}


@contextmanager
def quick_collections() -> Iterator[None]:
    """Let the garbage collector look only at what a schedule has made."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
        # What a loop has left that hung has been told, and is no fault of later tests.
        before, sys.unraisablehook = sys.unraisablehook, lambda report: None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()
        sys.unraisablehook = before


def failures(seeds: Iterable[int], backend: str) -> Iterator[Schedule]:
    """Run schedules one after another; give those with faults."""
    with quick_collections():
        for seed in seeds:
            schedule = run(seed, backend)
            if schedule.faults:
                yield schedule
            if seed % 100 == 0:
                gc.freeze()  # functions that were compiled meanwhile


def report(backend: str, count: int, first: int = 0) -> int:
    """Run schedules and print the faults; return how many schedules have some."""
    start = time.perf_counter()
    faulty = 0
    kinds: Counter[str] = Counter()
    ways: Counter[str] = Counter()
    for schedule in failures(range(first, first + count), backend):
        faulty += 1
        kinds.update(schedule.faults)
        ways[schedule.way.name] += 1
        if faulty <= 20:
            print(schedule, flush=True)
    seconds = time.perf_counter() - start
    for what, often in [*kinds.most_common(20), *ways.most_common(20)]:
        print(f"{often:6} {what}")
    print(f"{backend}: {faulty} of {count} schedules with faults, {seconds:.1f} s")
    return faulty


if __name__ == "__main__":
    backend, *numbers = sys.argv[1:]
    if numbers[0] == "1" and len(numbers) == 2:
        with quick_collections():
            print(run(int(numbers[1]), backend))
    else:
        sys.exit(report(backend, *map(int, numbers)) > 0)
