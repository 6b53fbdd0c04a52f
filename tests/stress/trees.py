"""Random trees of operators, with faults planted in them, and what is to come of them.

A new operator is one line in `OPERATORS`: how to apply it, and what it does to the
items. Nothing runs here; how a tree is read stands in `ways`, how it is judged in
`schedules`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from random import Random
from typing import Any
from zlib import crc32

import anyio
import trio

from flowpy import Flow, SharedFlow, Snapshot, StateFlow, channel_flow

COLLECTOR = ContextVar("COLLECTOR", default=None)
"""Set by who collects; every source and callback looks whether it sees it."""

PAUSES = (None, None, None, 0, 0, 0.001, 0.002, 0.005)
"""What sources and callbacks wait for; None is not even a turn of the loop."""

MOST = 6
"""Operators above each other."""


class Planted(Exception):
    """An error that a schedule raises on purpose."""


class PlantedInterrupt(KeyboardInterrupt):
    """The same for what is no Exception."""


@dataclass
class Run:
    """Something that began and has to end: a source that was opened, a call."""

    name: str
    began: int = 0
    ended: int = 0
    cancelled: bool = False
    """Whether a cancellation had made its cleanup begin."""
    interrupted: bool = False
    """Whether its cleanup was cancelled, for which it had no shield."""


@dataclass(frozen=True)
class Expected:
    """What reading a tree to its end has to give."""

    items: tuple[Any, ...] = ()
    errors: frozenset[BaseException] = frozenset()
    """One of them ends it, unless there is none."""
    ordered: bool = True
    """Whether the items come in this order, and all of them before the error."""
    known: bool = True
    """Whether it can be told at all, errors apart."""
    stops: bool = False
    """Whether it closes a source before its end, so that cleanup may fail."""

    def changed(self, fn: Callable[[tuple[Any, ...]], Any]) -> Expected:
        return replace(self, items=tuple(fn(self.items)))

    def failing(self, call: int | None, error: BaseException) -> Expected:
        """Return what is left when that call of a callback, from 1, raises."""
        if call is None or len(self.items) < call:
            return self
        if self.ordered:
            items = self.items[: call - 1]
            return replace(self, items=items, errors=frozenset({error}), stops=True)
        return replace(self, errors=self.errors | {error}, stops=True)

    def first(self, n: int) -> Expected:
        """Return what is left of it when it is closed after n items."""
        if n > len(self.items):
            return self
        known = self.known and self.ordered
        return replace(
            self, items=self.items[:n], errors=frozenset(), known=known, stops=True
        )


@dataclass(frozen=True)
class Node:
    """A tree, or a part of one."""

    flow: Flow[Any]
    expected: Expected


class Case:
    """One random tree, its faults, and the traces that it leaves."""

    def __init__(
        self, random: Random, *, one_task: bool, interrupts: bool, hangs: bool
    ) -> None:
        self.random = random
        self.one_task = one_task
        self.interrupts = interrupts
        self.hangs = hangs
        self.faulty = random.random() < 0.6
        self.runs: list[Run] = []
        self.planted: list[BaseException] = []
        self.of_cleanup: list[BaseException] = []
        self.strangers = 0
        """Callbacks and sources that did not see the collector's context variables."""
        self.seen: list[Any] = []
        self.stopped = False
        """Whether the collector stopped, or was stopped, before the end."""
        self.own_error: BaseException | None = None
        """What the collector itself raised then."""
        self.kept: Any = None
        self.lingers = False
        """Whether it has a collection that goes on until its last reader is garbage."""
        self.crews = self.groups = 0
        """How many stages have tasks of their own, and sources a task group."""
        self._numbers = count()
        self._failing: tuple[int | None, BaseException] = (None, Planted())
        self.tree = self.grow(random.randint(1, MOST), groups=one_task)
        self.expected = self.tree.expected

    def any_of(self, *values: Any) -> Any:
        return self.random.choice(values)

    def seldom(self, share: float) -> bool:
        return self.faulty and self.random.random() < share

    def plant(self, where: str, kind: type[BaseException] = Planted) -> BaseException:
        error = kind(f"{where} {next(self._numbers)}")
        self.planted.append(error)
        return error

    def grow(self, depth: int, *, groups: bool) -> Node:
        """Return a random tree; `groups`: whether sources may hold a task group."""
        if depth == 0:
            return self.source(groups=groups)
        name = self.random.choices(NAMES, WEIGHTS)[0]
        operator = OPERATORS[name]
        self.crews += operator.apart
        here = groups
        groups = operator.apart or here
        sides = [self.grow(depth - 1, groups=groups)]
        if operator.goes_on:
            groups = here
        for _ in range(operator.others):
            other = self.grow(self.random.randrange(min(depth, 3)), groups=groups)
            sides.append(other)
        self._failing = (None, Planted())
        return operator.effect(self, operator.make, *sides)

    # Sources

    def source(self, *, groups: bool) -> Node:
        name = f"source {next(self._numbers)}"
        first = 100 * len(self.runs) + 1000 * next(self._numbers)
        n = self.any_of(0, 1, 1, 2, 3, 5, 8, 13, 40)
        items = range(first, first + n)
        pauses = self.random.choices(PAUSES, k=n + 1)
        if groups and self.random.random() < 0.15:
            self.groups += 1
            flow = Flow(self.grouped(name, items, pauses))
            return Node(flow, Expected(tuple(items)))
        if self.random.random() < 0.1:
            return Node(Flow(self.any_of(items, list(items))), Expected(tuple(items)))
        fails_at = self.random.randint(0, n) if self.seldom(0.35) else None
        hangs = self.hangs and self.random.random() < 0.3
        error = None if fails_at is None else self.plant(name)
        cleanup = self.plant(f"cleanup of {name}") if self.seldom(0.06) else None
        if cleanup is not None:
            self.of_cleanup.append(cleanup)
        produce = self.produce(name, items, pauses, fails_at, error, cleanup, hangs)
        expected = Expected(
            tuple(items[:fails_at]), frozenset(filter(None, [cleanup or error]))
        )
        kind = self.any_of(*SOURCES)
        self.crews += kind in {sent, sent_by_callbacks}
        return Node(kind(produce), replace(expected, known=not hangs))

    def produce(self, name, items, pauses, fails_at, error, cleanup, hangs):
        end = self.any_of(None, "a turn", "waits", "waits", "shielded")

        async def generator():
            run = self.began(name)
            try:
                for k, item in enumerate(items):
                    await pause(pauses[k])
                    if k == fails_at:
                        raise error
                    yield item
                await pause(pauses[-1])
                if fails_at is not None:
                    raise error
                if hangs:
                    await anyio.sleep_forever()
            finally:
                await self.clean_up(run, end)
                if cleanup is not None:
                    raise cleanup

        return generator

    def grouped(self, name, items, pauses):
        """Return a source that yields inside a task group, as PEP 789 warns of."""
        end = self.any_of(None, "a turn", "waits", "shielded")

        async def generator():
            run = self.began(name)
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(anyio.sleep_forever)
                    for item, wait in zip(items, pauses, strict=False):
                        await pause(wait)
                        yield item
                    group.cancel_scope.cancel()
            finally:
                # Not inside: a group cancels its host as soon as a task of it is.
                await self.clean_up(run, end)

        return generator

    def began(self, name: str) -> Run:
        if COLLECTOR.get() is not self:
            self.strangers += 1
        run = Run(name)
        self.runs.append(run)
        return run

    async def clean_up(self, run: Run, how: str | None) -> None:
        run.began += 1
        run.cancelled = is_cancelled()
        try:
            if how == "shielded":
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.003)
            elif how is not None:
                await anyio.sleep(0 if how == "a turn" else 0.003)
        except BaseException:
            run.interrupted = True
            raise
        run.ended += 1

    # Callbacks

    def callback(self, fn: Callable[[Any], Any] = lambda x: x) -> Callable[..., Any]:
        """Return `fn` as a callback of some kind, which may fail at its n-th call."""
        fails_at = self.random.randint(1, 5) if self.seldom(0.12) else None
        kind = Planted
        if self.interrupts and self.random.random() < 0.2:
            kind = PlantedInterrupt
        error = Planted() if fails_at is None else self.plant("callback", kind)
        self._failing = (fails_at, error)
        calls = count(1)
        wait = self.any_of(*PAUSES)
        end = self.any_of(None, None, "a turn", "waits")

        def plain(x):
            if COLLECTOR.get() is not self:
                self.strangers += 1
            if next(calls) == fails_at:
                raise error
            return fn(x)

        async def waiting(x):
            run = self.began("callback")
            try:
                await pause(wait)
                return plain(x)
            finally:
                await self.clean_up(run, end)

        return self.any_of(plain, waiting, lambda x: waiting(x))

    def after_callback(self, expected: Expected) -> Expected:
        """Return what is left when the callback that was made last is called on it."""
        return expected.failing(*self._failing)


def is_cancelled() -> bool:
    """Tell whether a cancellation is being handled: it has reached the running task."""
    error, seen = sys.exception(), set()
    while error is not None and id(error) not in seen:
        if isinstance(error, asyncio.CancelledError | trio.Cancelled):
            return True
        seen.add(id(error))
        error = error.__context__
    return False


async def pause(seconds: float | None) -> None:
    if seconds is not None:
        await anyio.sleep(seconds)


class PlainIterator:
    """An async iterator with `aclose` that is no generator."""

    def __init__(self, produce):
        self.items = produce()

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await anext(self.items)

    async def aclose(self):
        await self.items.aclose()


def sent(produce):
    """Return a flow into whose channel one task puts the items."""

    @channel_flow(capacity=2)
    async def one(channel):
        async with aclosing(produce()) as items:
            async for item in items:
                await channel.send(item)

    return one()


def sent_by_callbacks(produce):
    """Return a flow that is fed as by callbacks, and closed as by them."""

    @channel_flow(capacity=100)
    async def called_back(channel):
        error = None
        try:
            async with aclosing(produce()) as items:
                async for item in items:
                    channel.try_send(item)
        except Planted as raised:
            error = raised
        channel.close(error)
        await channel.wait_closed()

    return called_back()


SOURCES = (
    Flow,
    Flow,
    Flow,
    sent,
    sent_by_callbacks,
    lambda produce: Flow(lambda: PlainIterator(produce)),
    lambda produce: Flow([0]).flat_map(lambda _: produce()),
)
"""How a source can be had from an async generator function."""


def mark(x: Any) -> int:
    """Return a small number that any item decides."""
    return crc32(repr(x).encode()) % 3


# ------------------------------------------------- what operators do to the items


def keeps(case, make, node):
    """All of them, in order."""
    return Node(make(case, node.flow), case.after_callback(node.expected))


def shuffles(case, make, node):
    """All of them, in any order."""
    flow = make(case, node.flow)
    return Node(flow, case.after_callback(replace(node.expected, ordered=False)))


def overlaps(case, make, node):
    """All of them, in order, by calls of which nobody knows which one fails."""
    changed = keeps(case, make, node)
    if case._failing[0] is None:
        return changed
    expected = case.after_callback(replace(node.expected, ordered=False))
    return replace(changed, expected=expected)


def mixes(case, make, *nodes):
    """All those of several flows, in any order."""
    parts = [node.expected for node in nodes]
    mixed = Expected(
        items=sum((part.items for part in parts), ()),
        errors=frozenset().union(*(part.errors for part in parts)),
        ordered=False,
        known=all(part.known for part in parts),
        stops=True,
    )
    return Node(make(case, *(node.flow for node in nodes)), mixed)


def loses(case, make, *nodes):
    """Nobody can tell which, or they become others."""
    unknown = Expected(known=False)
    return Node(make(case, *(node.flow for node in nodes)), unknown)


def filters(case, make, node):
    """Those that have a mark."""
    flow = make(case, node.flow)
    expected = case.after_callback(node.expected)
    return Node(flow, expected.changed(lambda items: filter(mark, items)))


def takes(case, make, node):
    n = case.any_of(0, 1, 2, 3, 5, 9)
    return Node(make(node.flow, n), node.expected.first(n))


def chunks(case, make, node):
    size = case.any_of(1, 2, 3)
    expected = node.expected
    whole = replace(expected, known=expected.known and expected.ordered)
    return Node(
        make(node.flow, size),
        whole.changed(
            lambda items: [
                list(items[k : k + size]) for k in range(0, len(items), size)
            ]
        ),
    )


def concatenates(case, make, first, second):
    flow = make(case, first.flow, second.flow)
    one, two = first.expected, second.expected
    if one.errors:
        return Node(flow, one)
    both = Expected(
        items=one.items + two.items,
        errors=two.errors,
        ordered=one.ordered and two.ordered,
        known=one.known and two.known,
        stops=one.stops or two.stops,
    )
    return Node(flow, both)


def zips(case, make, first, second):
    """Pairs, of which the shorter flow has the last."""
    flow = make(case, first.flow, second.flow)
    one, two = first.expected, second.expected
    lengths = len(one.items), len(two.items)
    errors = frozenset().union(
        one.errors if lengths[0] == min(lengths) else (),
        # A side that ends is not known to end before the other one is asked.
        two.errors if lengths[1] == min(lengths) else (),
    )
    known = one.known and two.known and one.ordered and two.ordered
    if lengths[0] == lengths[1] and one.errors != two.errors:
        known = False  # which end is seen first decides
    pairs = tuple(zip(one.items, two.items, strict=False))
    return Node(flow, Expected(pairs, errors, known=known, stops=True))


def doubles(case, make, node):
    """All of them twice, in any order."""
    both = replace(node.expected, items=node.expected.items * 2, ordered=False)
    return Node(make(case, node.flow), both)


def doubled(case, flow, left=None):
    """Return a flow of what two readers of one collection see, one of them at most n."""
    case.lingers = True

    def both():
        one, two = flow.broadcast(2, capacity=2)
        return one.merge(two if left is None else two.take(left))

    return Flow(both)


def parted(case, flow, predicate):
    """Return a flow of both parts of one collection."""
    case.lingers = True

    def both():
        matching, rest = flow.partition(predicate)
        return matching.merge(rest)

    return Flow(both)


def fed(flow, hot, put):
    """Return a flow of nothing that puts items, end and error into a hot flow."""

    async def somebody():
        await hot.subscribers.first(lambda n: n > 0)

    def close(error):
        hot.close(error if isinstance(error, Planted | PlantedInterrupt) else None)

    return (
        flow.on_start(somebody)
        .on_each(put)
        .on_completion(close)
        .catch()
        .filter(lambda _: False)
    )


def emitted(case, flow, *readers):
    """Return a flow of what the subscribers of a SharedFlow see."""
    replay, capacity, policy = case.any_of(0, 0, 2), case.any_of(0, 1, 3), "suspend"
    if capacity and len(readers) > 1:
        policy = case.any_of("suspend", "drop_oldest", "drop_latest")

    def all_of_it():
        hot = SharedFlow(replay, capacity=capacity, on_overflow=policy)
        return Flow.merge(fed(flow, hot, hot.emit), *(read(hot) for read in readers))

    return Flow(all_of_it)


def lagging_and_vanishing(case):
    """Return some readers that come at some time, take their time, and leave."""

    def reader():
        late, slow, left = (
            case.any_of(0, 0.001),
            case.any_of(0, 0.003),
            case.any_of(0, 1, 3, 99),
        )

        async def wait(_):
            await anyio.sleep(slow)

        return lambda hot: hot.delay_start(late).on_each(wait).take(left)

    return [reader() for _ in range(case.any_of(1, 2, 4))]


def held(case, flow):
    """Return a flow of the values of a StateFlow, and of what is derived from it."""

    def all_of_it():
        state = StateFlow(None)
        derived = StateFlow.combine_state(state, state.map_state(mark), lambda *x: x)
        return Flow.merge(
            fed(flow, state, lambda x: setattr(state, "value", x)), state, derived
        )

    return Flow(all_of_it)


def shared(case, flow, left):
    """Return a flow of what several who listen to one collection see."""
    replay, linger = case.any_of(0, 2), case.any_of(0, 0, 0.002)
    case.lingers |= bool(linger)

    def all_of_it():
        one = flow.share(replay, linger=linger)
        return Flow.merge(one, one.take(left), one.delay_start(0.002), one.buffer(1))

    return Flow(all_of_it)


def catches(case, make, node):
    """All of them; errors end it."""
    expected = node.expected
    if any(isinstance(error, KeyboardInterrupt) for error in expected.errors):
        return loses(case, make, node)
    known = expected.known and expected.ordered and not expected.stops
    calm = replace(expected, errors=frozenset(), known=known)
    return Node(make(case, node.flow), calm)


def retries(case, make, node):
    """All of them, if none fails."""
    if node.expected.errors or node.expected.stops:
        return loses(case, make, node)
    return Node(make(case, node.flow), node.expected)


@dataclass(frozen=True)
class Operator:
    """How a tree grows by one."""

    make: Callable[..., Flow[Any]]
    effect: Callable[..., Node] = keeps
    weight: int = 1
    others: int = 0
    apart: bool = False
    """Whether it runs what is above it in tasks of its own."""
    goes_on: bool = False
    """Whether the collector's task reads the other flows in spite of that."""


async def len_later(snapshot: Snapshot) -> int:
    """Observe a flow, and take some time for it."""
    await anyio.sleep(0.001)
    return len(snapshot.stages)


OPERATORS = {
    "map": Operator(lambda c, f: f.map(c.callback()), weight=2),
    "filter": Operator(lambda c, f: f.filter(c.callback(mark)), filters),
    "on_each": Operator(lambda c, f: f.on_each(c.callback())),
    "take": Operator(lambda f, n: f.take(n), takes, weight=2),
    "chunked": Operator(lambda f, size: f.chunked(size), chunks),
    "flat_map": Operator(
        lambda c, f, o: f.take(3).flat_map(c.callback(lambda _: o)), loses, others=1
    ),
    "concat": Operator(lambda c, f, o: f.concat(o), concatenates, others=1),
    "interleave": Operator(
        lambda c, f, o: f.interleave(o), loses, others=1, apart=True
    ),
    "zip": Operator(lambda c, f, o: f.zip(o), zips, others=1, apart=True),
    "combine": Operator(lambda c, f, o: f.combine(o), loses, others=1, apart=True),
    "with_latest_from": Operator(
        lambda c, f, o: f.with_latest_from(o), loses, others=1, apart=True
    ),
    "race": Operator(lambda c, f, *o: f.race(*o), loses, others=2, apart=True),
    "take_until": Operator(
        lambda c, f, o: f.take_until(o), loses, others=1, apart=True
    ),
    "drop_until": Operator(
        lambda c, f, o: f.drop_until(o), loses, others=1, apart=True
    ),
    "group_by": Operator(
        lambda c, f: f.group_by(
            c.callback(mark), max_groups=c.any_of(None, None, 2)
        ).flat_map(lambda group: group, concurrency=9),
        shuffles,
        apart=True,
    ),
    "groups left early": Operator(
        lambda c, f: f.group_by(c.callback(mark)).flat_map(
            lambda group: group.take(2), concurrency=9
        ),
        loses,
        apart=True,
    ),
    "partition": Operator(
        lambda c, f: parted(c, f, c.callback(lambda x: mark(x) > 1)),
        shuffles,
        apart=True,
    ),
    "broadcast": Operator(lambda c, f: doubled(c, f), doubles, apart=True),
    "broadcast, left early": Operator(
        lambda c, f: doubled(c, f, c.any_of(1, 2)), loses, apart=True
    ),
    "share": Operator(
        lambda c, f: Flow(partial(f.share, c.any_of(0, 0, 2))), apart=True
    ),
    "share, for several": Operator(
        lambda c, f: shared(c, f, c.any_of(0, 1, 3)), loses, apart=True
    ),
    "a shared flow": Operator(lambda c, f: emitted(c, f, lambda hot: hot), apart=True),
    "a shared flow of many": Operator(
        lambda c, f: emitted(c, f, lambda hot: hot, *lagging_and_vanishing(c)),
        loses,
        weight=3,
        apart=True,
    ),
    "a state": Operator(held, loses, apart=True),
    "flatten at once": Operator(
        lambda c, f, o: f.take(3).map(lambda _: o).flatten(concurrency=2),
        loses,
        others=1,
        apart=True,
    ),
    "catch": Operator(lambda c, f: f.catch(), catches),
    "retry": Operator(
        lambda c, f: f.retry(1, backoff=c.any_of(0, 0.002), reset=False), retries
    ),
    "on_completion": Operator(lambda c, f: f.on_completion(lambda _: None)),
    "measure": Operator(lambda c, f: f.measure(c.any_of(repr, len_later))),
    "buffer": Operator(
        lambda c, f: f.buffer(c.any_of(0, 1, 2, 5)), weight=4, apart=True
    ),
    "buffer that drops": Operator(
        lambda c, f: f.buffer(
            c.any_of(1, 2), on_overflow=c.any_of("drop_oldest", "drop_latest")
        ),
        loses,
        apart=True,
    ),
    "conflate": Operator(lambda c, f: f.conflate(), loses, apart=True),
    "merge": Operator(
        lambda c, f, o: f.merge(o), mixes, weight=3, others=1, apart=True
    ),
    "merge of three": Operator(
        lambda c, f, *o: f.merge(*o), mixes, others=2, apart=True
    ),
    "map at once": Operator(
        lambda c, f: f.map(c.callback(), concurrency=c.any_of(2, 3, 9)),
        overlaps,
        weight=2,
        apart=True,
    ),
    "map at once, in any order": Operator(
        lambda c, f: f.map(c.callback(), concurrency=c.any_of(2, 3, 9), ordered=False),
        shuffles,
        apart=True,
    ),
    "flat_map at once": Operator(
        lambda c, f, o: f.take(3).flat_map(
            c.callback(lambda _: o), concurrency=c.any_of(2, 9)
        ),
        loses,
        others=1,
        apart=True,
    ),
    "map_latest": Operator(lambda c, f: f.map_latest(c.callback()), loses, apart=True),
    "flat_map_latest": Operator(
        lambda c, f, o: f.take(3).flat_map_latest(c.callback(lambda _: o)),
        loses,
        others=1,
        apart=True,
    ),
    "flat_map_first": Operator(
        lambda c, f, o: f.take(3).flat_map_first(c.callback(lambda _: o)),
        loses,
        others=1,
        apart=True,
    ),
    "chunked(within)": Operator(
        lambda c, f: f.chunked(c.any_of(None, 3), within=c.any_of(0, 0.002)),
        loses,
        apart=True,
    ),
    "windowed_by_time": Operator(
        lambda c, f: f.windowed_by_time(0.004, every=c.any_of(None, 0.002, 0.01)),
        loses,
        apart=True,
    ),
    "debounce": Operator(
        lambda c, f: f.debounce(c.any_of(0, 0.001, c.callback(lambda _: 0.002))),
        loses,
        apart=True,
    ),
    "throttle": Operator(lambda c, f: f.throttle(0.002), loses),
    "throttle(trailing)": Operator(
        lambda c, f: f.throttle(0.002, trailing=True), loses, apart=True
    ),
    "sample": Operator(lambda c, f: f.sample(0.002), loses, apart=True),
    "sample at ticks": Operator(
        lambda c, f, o: f.sample(o), loses, others=1, apart=True
    ),
    "delay": Operator(
        lambda c, f: f.delay(c.any_of(0, 0.002), capacity=c.any_of(1, 2, 9)),
        apart=True,
    ),
    "delay_start": Operator(lambda c, f: f.delay_start(0.001)),
    "pace": Operator(lambda c, f: f.pace(c.any_of(1, 3), 0.002)),
    "timeout": Operator(lambda c, f: f.timeout(50), apart=True),
    "timeout(fallback)": Operator(
        lambda c, f, o: f.timeout(0.002, fallback=o),
        loses,
        others=1,
        apart=True,
        goes_on=True,
    ),
}
"""How each operator is applied, `(case, flow, *other_flows)`, and what it does."""

NAMES = list(OPERATORS)
WEIGHTS = [
    operator.weight if operator.effect is loses else 3 * operator.weight
    for operator in OPERATORS.values()
]
"""Where nobody knows what has to come, less is checked: so those come less often."""
