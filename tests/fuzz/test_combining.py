"""Random schedules of several flows, against plain models of what has to come.

Every event of every source has an instant of its own, so that a model needs to know
nothing of how the tasks take turns.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random

import anyio
import pytest
from anyio.lowlevel import checkpoint

from flowpy import Flow, FlowConsumedError
from tests.laws.probes import Boom

pytestmark = pytest.mark.anyio

ROUNDS = int(os.environ.get("FLOWPY_FUZZ", "150"))
END = float("inf")


@dataclass
class Timed:
    """A source whose items come at given instants, and how it ends."""

    name: str
    items: list[tuple[float, str]]
    end: float
    error: Exception | None
    grouped: bool
    cleanup: float
    opened: int = 0
    closed: int = 0
    tasks: set[int] = field(default_factory=set)

    async def play(self):
        self.opened += 1
        self.tasks.add(anyio.get_current_task().id)
        try:
            for time, item in self.items:
                await until(time)
                self.tasks.add(anyio.get_current_task().id)
                yield item
            await until(self.end)
            if self.error is not None:
                raise self.error
        finally:
            self.tasks.add(anyio.get_current_task().id)
            self.closed += 1
            if self.cleanup:
                await anyio.sleep(self.cleanup)

    async def play_in_group(self):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, self.cleanup)
            inner = self.play()
            failed = None
            try:
                async for item in inner:
                    yield item
            except Boom as error:
                failed = error
            finally:
                await inner.aclose()
        if failed is not None:
            raise failed

    def flow(self):
        return Flow(self.play_in_group if self.grouped else self.play)

    def check(self, name):
        assert self.opened == self.closed <= 1, name
        assert len(self.tasks) <= 1 or not self.opened, name


async def until(time):
    if time == END:
        await anyio.sleep_forever()
    await anyio.sleep(max(0, time - anyio.current_time()))


def make_sources(r, start, number):
    """Make sources, of whose events no two come at one instant."""
    counts = [r.choice((0, 1, 2, 3, 6)) for _ in range(number)]
    total = sum(counts) + number
    times = r.sample(range(1, 3 * total + 1), total)
    sources = []
    for k, size in enumerate(counts):
        own = sorted(times.pop() for _ in range(size + 1))
        items = [(start + time, f"{'abcd'[k]}{n}") for n, time in enumerate(own[:-1])]
        end = start + own[-1]
        kind = r.choice(("end", "end", "error", "never"))
        sources.append(
            Timed(
                name="abcd"[k],
                items=items,
                end=END if kind == "never" else end,
                error=Boom(k) if kind == "error" else None,
                grouped=r.random() < 0.3,
                cleanup=r.choice((0, 0, 0.01)),
            )
        )
    return sources


def arrivals(sources):
    """Return all that happens, in order: (time, source, item or None at its end)."""
    events = [
        *((time, k, item) for k, s in enumerate(sources) for time, item in s.items),
        *((s.end, k, None) for k, s in enumerate(sources) if s.end != END),
    ]
    return sorted(events)


# A model gives the items with their times, and how it ends: an error, None or "never".


def model_of_merge(sources, emit):
    ended = 0
    for time, k, item in arrivals(sources):
        if item is not None:
            yield from emit(time, k, item)
        elif sources[k].error is not None:
            raise sources[k].error
        else:
            ended += 1
    if ended < len(sources):
        raise TimeoutError


def merge(sources):
    return model_of_merge(sources, lambda time, k, item: [item])


def combine(sources):
    latest = [None] * len(sources)

    def emit(time, k, item):
        latest[k] = item
        return [] if None in latest else [tuple(latest)]

    return model_of_merge(sources, emit)


def with_latest_from(sources):
    latest = [None] * len(sources)
    for _, k, item in arrivals(sources):
        if item is not None:
            latest[k] = item
            if k == 0 and None not in latest:
                yield tuple(latest)
        elif sources[k].error is not None:
            raise sources[k].error
        elif k == 0:
            return
    raise TimeoutError


def race(sources):
    winner = None
    ended = 0
    for _, k, item in arrivals(sources):
        if item is not None and winner in {None, k}:
            winner = k
            yield item
        elif winner not in {None, k}:
            continue
        elif sources[k].error is not None:
            raise sources[k].error
        elif winner == k or ended + 1 == len(sources):
            return
        else:
            ended += 1
    raise TimeoutError


def take_until(sources):
    for _, k, item in arrivals(sources):
        if item is None and sources[k].error is not None:
            raise sources[k].error
        if k == 0 and item is None:
            return
        if k == 1 and item is not None:
            return
        if k == 0:
            yield item
    raise TimeoutError


def drop_until(sources):
    emitted = False
    for _, k, item in arrivals(sources):
        if k == 1 and emitted:
            continue
        if item is None and sources[k].error is not None:
            raise sources[k].error
        if k == 0 and item is None:
            return
        if k == 1:
            emitted = emitted or item is not None
        elif emitted:
            yield item
    raise TimeoutError


def answer(source, n, asked):
    """Return when a source that is asked for item n at some time has one, or ends."""
    time = source.items[n][0] if n < len(source.items) else source.end
    return max(time, asked)


def zip_(sources, strict=False):
    asked = 0
    for n in count():
        short = [s for s in sources if n >= len(s.items)]
        if not short:
            asked = max(answer(s, n, asked) for s in sources)
            yield tuple(s.items[n][1] for s in sources)
            continue
        first = min(answer(s, n, asked) for s in short)
        if first == END:
            raise TimeoutError
        for s in short:
            # Of those that had ended before they were asked, an error counts.
            if answer(s, n, asked) == first and s.error is not None:
                raise s.error
        return


def interleave(sources):
    sides = list(sources)
    for n in count():
        for s in tuple(sides):
            if n < len(s.items):
                yield s.items[n][1]
            elif s.end == END:
                raise TimeoutError
            elif s.error is not None:
                raise s.error
            else:
                sides.remove(s)
        if not sides:
            return


MODELS = {
    "merge": (merge, Flow.merge, (1, 2, 3)),
    "combine": (combine, Flow.combine, (1, 2, 3)),
    "with_latest_from": (with_latest_from, Flow.with_latest_from, (1, 2, 3)),
    "race": (race, Flow.race, (1, 2, 3)),
    "zip": (zip_, Flow.zip, (1, 2, 3)),
    "interleave": (interleave, Flow.interleave, (1, 2, 3)),
    "take_until": (take_until, Flow.take_until, (2,)),
    "drop_until": (drop_until, Flow.drop_until, (2,)),
}


def items_of(model, sources):
    items = []
    generator = model(sources)
    while True:
        try:
            items.append(next(generator))
        except StopIteration:
            return items, None
        except (Boom, TimeoutError) as error:
            return items, error


@pytest.mark.parametrize("name", MODELS)
async def test_what_comes_of_a_random_schedule(name):
    model, apply, numbers = MODELS[name]
    before = len(anyio.get_running_tasks())
    for seed in range(ROUNDS):
        r = Random(f"{name}{seed}")
        sources = make_sources(r, anyio.current_time(), r.choice(numbers))
        expected, ending = items_of(model, sources)
        made = apply(*[source.flow() for source in sources])
        most = r.choice((None, None, 1, 2, 4))
        if most is not None:
            if len(expected) >= most:
                expected, ending = expected[:most], None
            made = made.take(most)
        fails = r.random() < 0.2 and len(expected)
        if fails:
            ending = Boom("reader")
        seen, raised = await collected(made, fails, ending)

        where = f"{name} {seed}"
        assert seen == expected, where
        assert raised is ending or type(raised) is type(ending) is TimeoutError, where
        for source in sources:
            source.check(where)
        assert len(anyio.get_running_tasks()) == before, where


async def collected(made, fails, error):
    """Return what comes of a flow, whose reader raises `error` at item `fails`."""
    seen = []

    async def take(item):
        seen.append(item)
        if len(seen) == fails:
            raise error

    try:
        with anyio.fail_after(1000):
            await made.collect(take)
    except (Boom, TimeoutError) as raised:
        return seen, raised
    return seen, None


# ------------------------------------------------------------- one collection for several


async def numbers(log, size, r, error):
    log.append("open")
    task = anyio.get_current_task().id
    try:
        for n in range(size):
            if r.random() < 0.5:
                await anyio.sleep(r.random())
            elif r.random() < 0.5:
                await checkpoint()
            yield n
        if error is not None:
            raise error
    finally:
        log.append("closed")
        if anyio.get_current_task().id != task:
            log.append("by another task")
        await checkpoint()


async def read(source, seen, r):
    """Read some or all of a flow; return how the reading ended."""
    how = r.choice(("all", "all", "take", "cancel", "fail"))
    pause = r.choice((0, 0, 0.3, 1))
    most = r.randrange(1, 12)
    mine = Boom("reader")

    async def take(item):
        seen.append(item)
        if pause:
            await anyio.sleep(pause * r.random())
        if how == "fail" and len(seen) == most:
            raise mine

    await anyio.sleep(r.choice((0, 0, 0, 1.5)) * r.random())
    if how == "take":
        source = source.take(most)
    ending = "left"
    try:
        with anyio.move_on_after(5 * r.random() if how == "cancel" else END):
            await source.collect(take)
            if not (how == "take" and len(seen) == most):
                ending = "ended"
    except Boom as error:
        if error is not mine:
            ending = error
    return ending


def broadcast(source, r):
    n = r.randrange(1, 4)
    return source.broadcast(n, capacity=r.choice((1, 2, 64))), [lambda _: True] * n


def partition(source, r):
    return source.partition(lambda n: n % 3), [lambda n: n % 3, lambda n: not n % 3]


@pytest.mark.parametrize("apply", [broadcast, partition])
async def test_what_comes_of_a_shared_collection(apply):
    before = len(anyio.get_running_tasks())
    for seed in range(ROUNDS):
        r = Random(f"{apply.__name__}{seed}")
        error = r.choice((None, Boom("source")))
        size = r.choice((0, 1, 5, 30))
        log = []
        source = Flow(partial(numbers, log, size, r, error))
        flows, wanted = apply(source, r)
        seen = [[] for _ in flows]
        endings = {}

        async def collect(k, flows=flows, seen=seen, endings=endings, r=r):
            endings[k] = await read(flows[k], seen[k], r)

        with anyio.fail_after(1000):
            async with anyio.create_task_group() as group:
                for k in range(len(flows)):
                    group.start_soon(collect, k)

        where = f"{apply.__name__} {seed}"
        for k in range(len(flows)):
            expected = [n for n in range(size) if wanted[k](n)]
            assert seen[k] == expected[: len(seen[k])], where
            if endings[k] != "left":
                assert seen[k] == expected, where
                assert endings[k] is (error or "ended"), where
        assert log in ([], ["open", "closed"]), where
        assert len(anyio.get_running_tasks()) == before, where


async def read_groups(groups, r):
    """Read each group in a task; return what came, how each ended, and the flow."""
    seen, endings = {}, {}
    raised = None

    async def collect(group):
        try:
            endings[group.key] = await read(group, seen[group.key], r)
        except FlowConsumedError:
            endings[group.key] = "too late"  # it began when all had left

    async with anyio.create_task_group() as tasks:
        try:
            async with groups.open() as new:
                async for group in new:
                    seen[group.key] = []
                    tasks.start_soon(collect, group)
        except Boom as error:
            raised = error
    return seen, endings, raised


async def test_what_comes_of_random_groups():
    before = len(anyio.get_running_tasks())
    for seed in range(ROUNDS):
        r = Random(f"group_by{seed}")
        error = r.choice((None, Boom("source")))
        size = r.choice((0, 1, 5, 60))
        keys = r.choice((1, 2, 5))
        log = []
        source = Flow(partial(numbers, log, size, r, error))
        groups = source.group_by(
            lambda n, keys=keys: n * 7 % keys, capacity=r.choice((1, 3, 64))
        )
        most = r.choice((None, None, 1, 2))
        if most is not None:
            groups = groups.take(most)
        with anyio.fail_after(1000):
            seen, endings, raised = await read_groups(groups, r)

        where = f"group_by {seed}"
        assert (
            list(seen)
            == list(dict.fromkeys(n * 7 % keys for n in range(size)))[: len(seen)]
        ), where
        if most is None:
            assert raised is error, where
            assert "too late" not in endings.values(), where
        for key, items in seen.items():
            expected = [n for n in range(size) if n * 7 % keys == key]
            assert items == expected[: len(items)], where
            if endings[key] not in {"left", "too late"}:
                assert items == expected, where
                assert endings[key] is (error or "ended"), where
        assert log == ["open", "closed"], where
        assert len(anyio.get_running_tasks()) == before, where
