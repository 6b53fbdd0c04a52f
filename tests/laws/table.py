"""Every operator and ending, once: how to apply it and what comes of it.

The laws in this folder run over this table. One that is not in it fails
`test_the_table_is_complete`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio

from flowpy import SKIP, Flow, flow
from tests.laws.probes import Boom


@dataclass(frozen=True)
class Case:
    """One way to apply an operator or ending.

    `apply(flow, c)` applies it, with each of its callbacks passed through `c`.
    """

    name: str
    apply: Callable[[Flow[Any], Callable[[Any], Any]], Any]
    gives: Any
    """What it gives for the items 1, 2, 3, 4."""
    empty: Any = field(default_factory=list)
    """What it gives for no item; an exception class if it raises."""
    nones: Any = field(default_factory=lambda: [None, None])
    """What it gives for the items None, None; an exception class if it raises."""
    first_pulls: int = 1
    """How many items it pulls for its first one."""
    ahead: float = 0
    """How many more its tasks may have pulled that nobody took; without a bound, inf."""
    calls: Literal["no", "on items", "at start", "at end", "if empty", "on error"] = (
        "no"
    )
    """When it calls its callbacks."""
    once: bool = False
    """Whether what it makes can be collected only once."""
    recovers: bool = False
    """Whether an error from above does not pass it."""
    bad: tuple[tuple[Callable[[Flow[Any]], object], type[Exception], str], ...] = ()
    """Wrong calls, what they raise, and the parameter that the message names."""

    def __str__(self) -> str:
        return self.name

    @property
    def ends(self) -> bool:
        """Whether it is an ending."""
        made = self.apply(Flow.empty(), lambda fn: fn)
        if isinstance(made, Flow):
            return False
        made.close()
        return True


@flow
async def doubled(source, times):
    async for x in source:
        for _ in range(times):
            yield x


def fail_for_two(x):
    if x == 2:
        raise Boom
    return x


def is_none_or_small(x):
    return x is None or x < 3


def spaced(source):
    """Return its items with a second before each, so that no two are handled at once."""
    return source.on_each(lambda _: anyio.sleep(1))


def negative(name):
    """The wrong calls of a method that takes a count."""
    return (
        (lambda f: getattr(f, name)(-1), ValueError, "n"),
        (lambda f: getattr(f, name)(1.5), TypeError, "n"),
        (lambda f: getattr(f, name)(None), TypeError, "n"),
    )


def not_callable(name, parameter):
    """The wrong calls of a method whose only argument is a function."""
    return (
        (lambda f: getattr(f, name)(3), TypeError, parameter),
        (lambda f: getattr(f, name)("text"), TypeError, parameter),
    )


def not_iterable(name):
    """The wrong calls of a method that takes other flows."""
    return ((lambda f: getattr(f, name)(3), TypeError, "others"),)


def not_a_signal(name):
    """The wrong calls of a method that takes another flow or an async function."""
    return (
        (lambda f: getattr(f, name)(3), TypeError, "other"),
        (lambda f: getattr(f, name)([1]), TypeError, "other"),
    )


def not_a_duration(name, parameter):
    """The wrong calls of a method that takes a duration."""
    return (
        (lambda f: getattr(f, name)(-1), ValueError, parameter),
        (lambda f: getattr(f, name)(math.nan), ValueError, parameter),
        (lambda f: getattr(f, name)(math.inf), ValueError, parameter),
        (lambda f: getattr(f, name)("1"), TypeError, parameter),
        (lambda f: getattr(f, name)(None), TypeError, parameter),
    )


def late():
    """A flow that ends after two seconds, without an item."""
    return Flow.empty().delay_start(2)


TRANSFORM = (
    Case(
        "map",
        lambda f, c: f.map(c(lambda x: [x])),
        gives=[[1], [2], [3], [4]],
        nones=[[None], [None]],
        calls="on items",
        bad=(
            *not_callable("map", "fn"),
            (lambda f: f.map(str, on_error=3), TypeError, "on_error"),
            (lambda f: f.map(str, concurrency=0), ValueError, "concurrency"),
            (lambda f: f.map(str, concurrency=1.5), TypeError, "concurrency"),
            (lambda f: f.map(str, ordered=None), TypeError, "ordered"),
            (lambda f: f.map(str, on=3), TypeError, "on"),
        ),
    ),
    Case(
        "map(on_error) with a replacement",
        lambda f, c: f.map(c(fail_for_two), on_error=c(lambda error, x: -x)),
        gives=[1, -2, 3, 4],
        calls="on items",
    ),
    Case(
        "map(on_error) with SKIP",
        lambda f, c: f.map(c(fail_for_two), on_error=c(lambda error, x: SKIP)),
        gives=[1, 3, 4],
        calls="on items",
    ),
    Case(
        "map(concurrency)",
        lambda f, c: f.map(c(lambda x: [x]), concurrency=3),
        gives=[[1], [2], [3], [4]],
        nones=[[None], [None]],
        ahead=6,
        calls="on items",
    ),
    Case(
        "map(concurrency, on_error)",
        lambda f, c: f.map(
            c(fail_for_two), concurrency=3, on_error=c(lambda error, x: SKIP)
        ),
        gives=[1, 3, 4],
        ahead=7,  # one of those that were pulled is skipped
        calls="on items",
    ),
    Case(
        "map(concurrency, unordered)",
        lambda f, c: spaced(f).map(c(lambda x: [x]), concurrency=3, ordered=False),
        gives=[[1], [2], [3], [4]],
        nones=[[None], [None]],
        ahead=6,
        calls="on items",
    ),
    Case(
        "map_latest",
        lambda f, c: spaced(f).map_latest(c(lambda x: [x])),
        gives=[[1], [2], [3], [4]],
        nones=[[None], [None]],
        ahead=math.inf,
        calls="on items",
        bad=not_callable("map_latest", "fn"),
    ),
    Case(
        "map_not_none",
        lambda f, c: f.map_not_none(c(lambda x: None if x == 1 else x)),
        gives=[2, 3, 4],
        nones=[],
        first_pulls=2,
        calls="on items",
        bad=not_callable("map_not_none", "fn"),
    ),
    Case(
        "flat_map over iterables",
        lambda f, c: f.flat_map(c(lambda x: (x, x))),
        gives=[1, 1, 2, 2, 3, 3, 4, 4],
        nones=[None] * 4,
        calls="on items",
        bad=(
            *not_callable("flat_map", "fn"),
            (lambda f: f.flat_map(str, concurrency=0), ValueError, "concurrency"),
            (lambda f: f.flat_map(str, concurrency="2"), TypeError, "concurrency"),
        ),
    ),
    Case(
        "flat_map over flows",
        lambda f, c: f.flat_map(c(lambda x: Flow.of(x, x))),
        gives=[1, 1, 2, 2, 3, 3, 4, 4],
        nones=[None] * 4,
        calls="on items",
    ),
    Case(
        "flat_map(concurrency)",
        lambda f, c: spaced(f).flat_map(c(lambda x: (x, x)), concurrency=2),
        gives=[1, 1, 2, 2, 3, 3, 4, 4],
        nones=[None] * 4,
        ahead=18,  # 8 of them wait for each worker, which each have the next one
        calls="on items",
    ),
    Case(
        "flat_map_latest",
        lambda f, c: spaced(f).flat_map_latest(c(lambda x: (x, x))),
        gives=[1, 1, 2, 2, 3, 3, 4, 4],
        nones=[None] * 4,
        ahead=math.inf,
        calls="on items",
        bad=not_callable("flat_map_latest", "fn"),
    ),
    Case(
        "flat_map_first",
        lambda f, c: spaced(f).flat_map_first(c(lambda x: (x, x))),
        gives=[1, 1, 2, 2, 3, 3, 4, 4],
        nones=[None] * 4,
        ahead=math.inf,
        calls="on items",
        bad=not_callable("flat_map_first", "fn"),
    ),
    Case(
        "flatten",
        lambda f, c: f.map(lambda x: [x]).flatten(),
        gives=[1, 2, 3, 4],
        bad=((lambda f: f.flatten(concurrency=-1), ValueError, "concurrency"),),
    ),
    Case(
        "flatten(concurrency)",
        lambda f, c: spaced(f).map(lambda x: Flow.of(x)).flatten(concurrency=2),
        gives=[1, 2, 3, 4],
        ahead=34,
    ),
    Case(
        "enumerate",
        lambda f, c: f.enumerate(1),
        gives=[(1, 1), (2, 2), (3, 3), (4, 4)],
        nones=[(1, None), (2, None)],
        bad=((lambda f: f.enumerate(0.5), TypeError, "start"),),
    ),
    Case(
        "pairwise",
        lambda f, c: f.pairwise(),
        gives=[(1, 2), (2, 3), (3, 4)],
        nones=[(None, None)],
        first_pulls=2,
    ),
    Case(
        "scan",
        lambda f, c: f.scan((), c(lambda seen, x: (*seen, x))),
        gives=[(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        empty=[()],
        nones=[(), (None,), (None, None)],
        first_pulls=0,
        calls="on items",
        bad=((lambda f: f.scan(0, None), TypeError, "fn"),),
    ),
    Case(
        "running_reduce",
        lambda f, c: f.running_reduce(c(lambda a, b: b if a is None else a + b)),
        gives=[1, 3, 6, 10],
        calls="on items",
        bad=not_callable("running_reduce", "fn"),
    ),
    Case(
        "on_each",
        lambda f, c: f.on_each(c(lambda x: None)),
        gives=[1, 2, 3, 4],
        calls="on items",
        bad=not_callable("on_each", "fn"),
    ),
)

SELECT_AND_LIMIT = (
    Case(
        "filter",
        lambda f, c: f.filter(c(lambda x: x != 1)),
        gives=[2, 3, 4],
        first_pulls=2,
        calls="on items",
        bad=not_callable("filter", "predicate"),
    ),
    Case(
        "filter_not",
        lambda f, c: f.filter_not(c(lambda x: x == 1)),
        gives=[2, 3, 4],
        first_pulls=2,
        calls="on items",
        bad=not_callable("filter_not", "predicate"),
    ),
    Case(
        "filter_not_none",
        lambda f, c: f.filter_not_none(),
        gives=[1, 2, 3, 4],
        nones=[],
    ),
    Case(
        "filter_is_instance",
        lambda f, c: f.filter_is_instance(int, type(None)),
        gives=[1, 2, 3, 4],
        bad=(
            (lambda f: f.filter_is_instance(), TypeError, "types"),
            (lambda f: f.filter_is_instance(3), TypeError, "types"),
            (lambda f: f.filter_is_instance(int, None), TypeError, "types"),
        ),
    ),
    Case(
        "distinct",
        lambda f, c: f.distinct(),
        gives=[1, 2, 3, 4],
        nones=[None],
        bad=(
            *not_callable("distinct", "key"),
            (lambda f: f.distinct(max_size=0), ValueError, "max_size"),
            (lambda f: f.distinct(max_size="2"), TypeError, "max_size"),
        ),
    ),
    Case(
        "distinct(key)",
        lambda f, c: f.distinct(c(lambda x: x and x % 2)),
        gives=[1, 2],
        nones=[None],
        calls="on items",
    ),
    Case(
        "distinct(max_size)",
        lambda f, c: f.distinct(c(lambda x: x and x % 2), max_size=1),
        gives=[1, 2, 3, 4],
        nones=[None],
        calls="on items",
    ),
    Case(
        "distinct_until_changed",
        lambda f, c: f.distinct_until_changed(),
        gives=[1, 2, 3, 4],
        nones=[None],
        bad=(
            *not_callable("distinct_until_changed", "key"),
            (lambda f: f.distinct_until_changed(equal=3), TypeError, "equal"),
        ),
    ),
    Case(
        "distinct_until_changed(key)",
        lambda f, c: f.distinct_until_changed(c(lambda x: x and x // 3)),
        gives=[1, 3],
        nones=[None],
        calls="on items",
    ),
    Case(
        "distinct_until_changed(equal)",
        lambda f, c: f.distinct_until_changed(equal=c(lambda old, new: True)),
        gives=[1],
        nones=[None],
        calls="on items",
    ),
    Case("take", lambda f, c: f.take(2), gives=[1, 2], bad=negative("take")),
    Case(
        "take(0)",
        lambda f, c: f.take(0),
        gives=[],
        nones=[],
        first_pulls=0,
    ),
    Case(
        "take_last",
        lambda f, c: f.take_last(2),
        gives=[3, 4],
        first_pulls=4,
        bad=negative("take_last"),
    ),
    Case(
        "drop",
        lambda f, c: f.drop(1),
        gives=[2, 3, 4],
        nones=[None],
        first_pulls=2,
        bad=negative("drop"),
    ),
    Case(
        "drop_last",
        lambda f, c: f.drop_last(1),
        gives=[1, 2, 3],
        nones=[None],
        first_pulls=2,
        bad=negative("drop_last"),
    ),
    Case(
        "take_while",
        lambda f, c: f.take_while(c(is_none_or_small)),
        gives=[1, 2],
        calls="on items",
        bad=not_callable("take_while", "predicate"),
    ),
    Case(
        "take_while(inclusive)",
        lambda f, c: f.take_while(c(is_none_or_small), inclusive=True),
        gives=[1, 2, 3],
        calls="on items",
    ),
    Case(
        "drop_while",
        lambda f, c: f.drop_while(c(lambda x: x is not None and x < 3)),
        gives=[3, 4],
        first_pulls=3,
        calls="on items",
        bad=not_callable("drop_while", "predicate"),
    ),
    Case(
        "take_until",
        lambda f, c: f.take_until(Flow.empty()),
        gives=[1, 2, 3, 4],
        bad=not_a_signal("take_until"),
    ),
    Case(
        "take_until an async function",
        lambda f, c: f.take_until(anyio.sleep_forever),
        gives=[1, 2, 3, 4],
    ),
    Case(
        "drop_until",
        lambda f, c: f.drop_until(Flow.of(None)),
        gives=[1, 2, 3, 4],
        bad=not_a_signal("drop_until"),
    ),
)

GROUP = (
    Case(
        "chunked",
        lambda f, c: f.chunked(3),
        gives=[[1, 2, 3], [4]],
        nones=[[None, None]],
        first_pulls=3,
        bad=(
            (lambda f: f.chunked(0), ValueError, "size"),
            (lambda f: f.chunked("3"), TypeError, "size"),
            (lambda f: f.chunked(), TypeError, "within"),
            (lambda f: f.chunked(3, within=-1), ValueError, "within"),
            (lambda f: f.chunked(within="1"), TypeError, "within"),
            (lambda f: f.chunked(0, within=1), ValueError, "size"),
        ),
    ),
    Case(
        "chunked(size, within)",
        lambda f, c: f.chunked(3, within=1),
        gives=[[1, 2, 3], [4]],
        nones=[[None, None]],
        first_pulls=3,
        ahead=11,  # counted in lists: 3 more, and 2 * 4 for the 4 others taken
    ),
    Case(
        "chunked(1, within)",
        lambda f, c: f.chunked(1, within=1),
        gives=[[1], [2], [3], [4]],
        nones=[[None], [None]],
        ahead=1,
    ),
    Case(
        "chunked(within)",
        lambda f, c: f.chunked(within=1),
        gives=[[1, 2, 3, 4]],
        nones=[[None, None]],
        ahead=math.inf,
    ),
    Case(
        "windowed",
        lambda f, c: f.windowed(2),
        gives=[[1, 2], [2, 3], [3, 4]],
        nones=[[None, None]],
        first_pulls=2,
        bad=(
            (lambda f: f.windowed(0), ValueError, "size"),
            (lambda f: f.windowed(2, 0), ValueError, "step"),
            (lambda f: f.windowed(2, 1.5), TypeError, "step"),
        ),
    ),
    Case(
        "windowed(partial)",
        lambda f, c: f.windowed(3, 2, partial=True),
        gives=[[1, 2, 3], [3, 4]],
        nones=[[None, None]],
        first_pulls=3,
    ),
    Case(
        "windowed_by_time",
        lambda f, c: f.windowed_by_time(1),
        gives=[[1, 2, 3, 4]],
        nones=[[None, None]],
        ahead=math.inf,
        bad=(
            (lambda f: f.windowed_by_time(0), ValueError, "period"),
            (lambda f: f.windowed_by_time("1"), TypeError, "period"),
            (lambda f: f.windowed_by_time(1, every=0), ValueError, "every"),
            (lambda f: f.windowed_by_time(1, every="1"), TypeError, "every"),
        ),
    ),
    Case(
        "chunked_by",
        lambda f, c: f.chunked_by(c(lambda x: x and x // 3)),
        gives=[(0, [1, 2]), (1, [3, 4])],
        nones=[(None, [None, None])],
        first_pulls=3,
        calls="on items",
        bad=not_callable("chunked_by", "key"),
    ),
    Case(
        "group_by",
        lambda f, c: f.group_by(c(lambda x: x and x % 2)).map(lambda g: g.key),
        gives=[1, 0],
        nones=[None],
        ahead=math.inf,  # for each group a bound of its own
        calls="on items",
        bad=(
            *not_callable("group_by", "key"),
            (lambda f: f.group_by(abs, capacity=0), ValueError, "capacity"),
            (lambda f: f.group_by(abs, capacity=1.5), TypeError, "capacity"),
            (lambda f: f.group_by(abs, max_groups=0), ValueError, "max_groups"),
            (lambda f: f.group_by(abs, max_groups="2"), TypeError, "max_groups"),
        ),
    ),
    Case(
        "partition",
        lambda f, c: f.partition(c(lambda x: x != 2))[0],
        gives=[1, 3, 4],
        ahead=65,  # the item between them is for the other flow
        calls="on items",
        once=True,
        bad=not_callable("partition", "predicate"),
    ),
)

COMBINE = (
    Case(
        "concat",
        lambda f, c: f.concat(Flow.of(5), [None]),
        gives=[1, 2, 3, 4, 5, None],
        empty=[5, None],
        nones=[None, None, 5, None],
        bad=not_iterable("concat"),
    ),
    Case(
        "start_with",
        lambda f, c: f.start_with(None, 0),
        gives=[None, 0, 1, 2, 3, 4],
        empty=[None, 0],
        nones=[None, 0, None, None],
        first_pulls=0,
    ),
    Case(
        "end_with",
        lambda f, c: f.end_with(5),
        gives=[1, 2, 3, 4, 5],
        empty=[5],
        nones=[None, None, 5],
    ),
    Case(
        "zip",
        lambda f, c: f.zip("ab"),
        gives=[(1, "a"), (2, "b")],
        nones=[(None, "a"), (None, "b")],
        bad=not_iterable("zip"),
    ),
    Case(
        "zip(strict)",
        lambda f, c: f.zip(f, strict=True),
        gives=[(1, 1), (2, 2), (3, 3), (4, 4)],
        nones=[(None, None), (None, None)],
        first_pulls=2,
    ),
    Case(
        "combine",
        lambda f, c: f.combine(),
        gives=[(1,), (2,), (3,), (4,)],
        nones=[(None,), (None,)],
        ahead=16,
        bad=not_iterable("combine"),
    ),
    Case(
        "with_latest_from",
        lambda f, c: f.with_latest_from([None]),
        gives=[(1, None), (2, None), (3, None), (4, None)],
        nones=[(None, None), (None, None)],
        bad=not_iterable("with_latest_from"),
    ),
    Case(
        "race",
        lambda f, c: f.race(Flow.empty(), []),
        gives=[1, 2, 3, 4],
        bad=not_iterable("race"),
    ),
    Case(
        "merge",
        lambda f, c: f.merge([], Flow.empty()),
        gives=[1, 2, 3, 4],
        ahead=16,
        bad=not_iterable("merge"),
    ),
    Case(
        "interleave",
        lambda f, c: f.interleave("ab"),
        gives=[1, "a", 2, "b", 3, 4],
        empty=["a", "b"],
        nones=[None, "a", None, "b"],
        bad=not_iterable("interleave"),
    ),
)

BUFFER = (
    Case(
        "broadcast",
        lambda f, c: f.broadcast(2)[0],
        gives=[1, 2, 3, 4],
        ahead=64,
        once=True,
        bad=(
            (lambda f: f.broadcast(0), ValueError, "n"),
            (lambda f: f.broadcast(1.5), TypeError, "n"),
            (lambda f: f.broadcast(2, capacity=0), ValueError, "capacity"),
            (lambda f: f.broadcast(2, capacity="2"), TypeError, "capacity"),
        ),
    ),
    Case(
        "buffer",
        lambda f, c: f.buffer(),
        gives=[1, 2, 3, 4],
        ahead=65,
        bad=(
            (lambda f: f.buffer(-1), ValueError, "capacity"),
            (lambda f: f.buffer(1.5), TypeError, "capacity"),
            (lambda f: f.buffer(0, on_overflow="error"), ValueError, "capacity"),
            (lambda f: f.buffer(on_overflow="drop"), ValueError, "on_overflow"),
            (lambda f: f.buffer(on_overflow=None), ValueError, "on_overflow"),
        ),
    ),
    Case(
        "buffer(0)",
        lambda f, c: f.buffer(0),
        gives=[1, 2, 3, 4],
        ahead=1,
    ),
    Case(
        "buffer(drop_oldest)",
        lambda f, c: f.buffer(2, on_overflow="drop_oldest"),
        gives=[3, 4],
        ahead=math.inf,
    ),
    Case(
        "buffer(drop_latest)",
        lambda f, c: f.buffer(2, on_overflow="drop_latest"),
        gives=[1, 2],
        ahead=math.inf,
    ),
    Case(
        "buffer(error)",
        lambda f, c: f.buffer(4, on_overflow="error"),
        gives=[1, 2, 3, 4],
        ahead=4,
    ),
    Case(
        "conflate",
        lambda f, c: f.conflate(),
        gives=[4],
        nones=[None],
        ahead=math.inf,
    ),
)

HOT = (
    Case(
        "share",
        lambda f, c: f.share(),
        gives=[1, 2, 3, 4],
        ahead=65,
        bad=(
            (lambda f: f.share(-1), ValueError, "replay"),
            (lambda f: f.share("1"), TypeError, "replay"),
            (lambda f: f.share(linger=-1), ValueError, "linger"),
            (lambda f: f.share(linger="1"), TypeError, "linger"),
        ),
    ),
    Case(
        "share(replay)",
        lambda f, c: f.share(100),
        gives=[1, 2, 3, 4],
        ahead=101,
    ),
)

TIME = (
    Case(
        "debounce",
        lambda f, c: f.debounce(1),
        gives=[4],
        nones=[None],
        ahead=math.inf,
        bad=not_a_duration("debounce", "seconds"),
    ),
    Case(
        "debounce(fn)",
        lambda f, c: f.debounce(c(lambda x: int(x == 2))),
        gives=[1, 3, 4],
        ahead=math.inf,
        calls="on items",
    ),
    Case(
        "throttle",
        lambda f, c: f.throttle(1),
        gives=[1],
        nones=[None],
        bad=not_a_duration("throttle", "seconds"),
    ),
    Case(
        "throttle(trailing)",
        lambda f, c: f.throttle(1, trailing=True),
        gives=[1, 4],
        ahead=math.inf,
    ),
    Case(
        "sample",
        lambda f, c: f.concat(late()).sample(1),
        gives=[4],
        empty=[],
        nones=[None],
        ahead=math.inf,
        bad=(
            *not_a_duration("sample", "period"),
            (lambda f: f.sample(0), ValueError, "period"),
            (lambda f: f.sample([1]), TypeError, "period"),
        ),
    ),
    Case(
        "sample of a flow of ticks",
        lambda f, c: f.concat(late()).sample(Flow.interval(1, delay=1)),
        gives=[4],
        empty=[],
        nones=[None],
        ahead=math.inf,
    ),
    Case(
        "delay",
        lambda f, c: f.delay(0.1, capacity=5),
        gives=[1, 2, 3, 4],
        ahead=5,
        bad=(
            *not_a_duration("delay", "seconds"),
            (lambda f: f.delay(1, capacity=0), ValueError, "capacity"),
            (lambda f: f.delay(1, capacity=1.5), TypeError, "capacity"),
        ),
    ),
    Case(
        "delay_start",
        lambda f, c: f.delay_start(0.1),
        gives=[1, 2, 3, 4],
        bad=not_a_duration("delay_start", "seconds"),
    ),
    Case(
        "pace",
        lambda f, c: f.pace(10, 1),
        gives=[1, 2, 3, 4],
        bad=(
            (lambda f: f.pace(0, 1), ValueError, "count"),
            (lambda f: f.pace(1.5, 1), TypeError, "count"),
            (lambda f: f.pace(1, 0), ValueError, "per"),
            (lambda f: f.pace(1, "1"), TypeError, "per"),
        ),
    ),
    Case(
        "timeout",
        lambda f, c: f.timeout(20),
        gives=[1, 2, 3, 4],
        bad=(
            *not_a_duration("timeout", "seconds"),
            (lambda f: f.timeout(1, fallback=3), TypeError, "fallback"),
        ),
    ),
    Case(
        "timeout(fallback)",
        lambda f, c: f.timeout(20, fallback=[5]),
        gives=[1, 2, 3, 4],
    ),
)

ERRORS_AND_LIFE_CYCLE = (
    Case(
        "catch",
        lambda f, c: f.catch(handler=c(lambda error: [error])),
        gives=[1, 2, 3, 4],
        calls="on error",
        recovers=True,
        bad=(
            (lambda f: f.catch(BaseException), TypeError, "types"),
            (lambda f: f.catch(ValueError()), TypeError, "types"),
            (lambda f: f.catch(handler=3), TypeError, "handler"),
        ),
    ),
    Case(
        "catch of other errors",
        lambda f, c: f.catch(KeyError, handler=lambda error: [error]),
        gives=[1, 2, 3, 4],
    ),
    Case(
        "catch without handler",
        lambda f, c: f.catch(),
        gives=[1, 2, 3, 4],
        recovers=True,
    ),
    Case(
        "retry",
        lambda f, c: f.retry(2, reset=False),
        gives=[1, 2, 3, 4],
        bad=(
            (lambda f: f.retry(-1), ValueError, "times"),
            (lambda f: f.retry("2"), TypeError, "times"),
            (lambda f: f.retry(on=3), TypeError, "on"),
            (lambda f: f.retry(on=BaseException), TypeError, "on"),
            (lambda f: f.retry(on=(OSError, 3)), TypeError, "on"),
            (lambda f: f.retry(backoff=-1), ValueError, "backoff"),
            (lambda f: f.retry(backoff=float("nan")), ValueError, "backoff"),
            (lambda f: f.retry(backoff="1"), TypeError, "backoff"),
            (lambda f: f.retry(factor=-1), ValueError, "factor"),
            (lambda f: f.retry(max_backoff=float("inf")), ValueError, "max_backoff"),
            (lambda f: f.retry(jitter=0.5), TypeError, "jitter"),
        ),
    ),
    Case(
        "retry(on)",
        lambda f, c: f.retry(on=c(lambda error: False)),
        gives=[1, 2, 3, 4],
        calls="on error",
    ),
    Case(
        "retry_when",
        lambda f, c: f.retry_when(c(lambda error, attempt: attempt < 1)),
        gives=[1, 2, 3, 4],
        calls="on error",
        bad=not_callable("retry_when", "fn"),
    ),
    Case(
        "on_start",
        lambda f, c: f.on_start(c(lambda: None)),
        gives=[1, 2, 3, 4],
        calls="at start",
        bad=not_callable("on_start", "fn"),
    ),
    Case(
        "on_completion",
        lambda f, c: f.on_completion(c(lambda error: None)),
        gives=[1, 2, 3, 4],
        calls="at end",
        bad=not_callable("on_completion", "fn"),
    ),
    Case(
        "on_empty",
        lambda f, c: f.on_empty(c(lambda: None)),
        gives=[1, 2, 3, 4],
        calls="if empty",
        bad=not_callable("on_empty", "fn"),
    ),
    Case(
        "if_empty",
        lambda f, c: f.if_empty(5, None),
        gives=[1, 2, 3, 4],
        empty=[5, None],
    ),
    Case(
        "log",
        lambda f, c: f.log("flowpy.tests", "DEBUG"),
        gives=[1, 2, 3, 4],
        bad=(
            (lambda f: f.log(3), TypeError, "name"),
            (lambda f: f.log(level="LOUD"), ValueError, "level"),
            (lambda f: f.log(level=None), TypeError, "level"),
        ),
    ),
    Case(
        "progress",
        lambda f, c: f.progress("loading", total=4),
        gives=[1, 2, 3, 4],
        bad=(
            (lambda f: f.progress(3), TypeError, "description"),
            (lambda f: f.progress(total="3"), TypeError, "total"),
            (lambda f: f.progress(total=-1), ValueError, "total"),
        ),
    ),
    Case(
        "measure",
        lambda f, c: f.measure(c(lambda snapshot: None)),
        gives=[1, 2, 3, 4],
        calls="at end",
        bad=not_callable("measure", "observer"),
    ),
    Case(
        "pipe",
        lambda f, c: f.pipe(doubled, 2),
        gives=[1, 1, 2, 2, 3, 3, 4, 4],
        nones=[None] * 4,
        bad=((lambda f: f.pipe(3), TypeError, "fn"),),
    ),
)

ENDINGS = (
    Case("collect", lambda f, c: f.collect(), gives=None, empty=None, nones=None),
    Case(
        "collect(fn)",
        lambda f, c: f.collect(c(lambda x: None)),
        gives=None,
        empty=None,
        nones=None,
        calls="on items",
        bad=not_callable("collect", "fn"),
    ),
    Case(
        "collect_latest",
        lambda f, c: f.collect_latest(c(lambda x: None)),
        gives=None,
        empty=None,
        nones=None,
        calls="on items",
        bad=not_callable("collect_latest", "fn"),
    ),
    Case("to_list", lambda f, c: f.to_list(), gives=[1, 2, 3, 4]),
    Case(
        "to_set",
        lambda f, c: f.to_set(),
        gives={1, 2, 3, 4},
        empty=set(),
        nones={None},
    ),
    Case(
        "to_dict",
        lambda f, c: f.zip("abcd").to_dict(),
        gives={1: "a", 2: "b", 3: "c", 4: "d"},
        empty={},
        nones={None: "b"},
    ),
    Case(
        "to_dict(key, value)",
        lambda f, c: f.to_dict(c(lambda x: x and x % 2), c(lambda x: [x])),
        gives={1: [3], 0: [4]},
        empty={},
        nones={None: [None]},
        calls="on items",
        bad=(
            *not_callable("to_dict", "key"),
            (lambda f: f.to_dict(value=3), TypeError, "value"),
        ),
    ),
    Case(
        "to_groups",
        lambda f, c: f.to_groups(c(lambda x: x and x % 2)),
        gives={1: [1, 3], 0: [2, 4]},
        empty={},
        nones={None: [None, None]},
        calls="on items",
        bad=not_callable("to_groups", "key"),
    ),
    Case(
        "first",
        lambda f, c: f.first(),
        gives=1,
        empty=LookupError,
        nones=None,
        bad=not_callable("first", "predicate"),
    ),
    Case(
        "first(predicate)",
        lambda f, c: f.first(c(lambda x: x != 1), default="none"),
        gives=2,
        empty="none",
        nones=None,
        calls="on items",
    ),
    Case("last", lambda f, c: f.last(), gives=4, empty=LookupError, nones=None),
    Case(
        "single",
        lambda f, c: f.take(1).single(),
        gives=1,
        empty=LookupError,
        nones=None,
    ),
    Case(
        "fold",
        lambda f, c: f.fold((), c(lambda seen, x: (*seen, x))),
        gives=(1, 2, 3, 4),
        empty=(),
        nones=(None, None),
        calls="on items",
        bad=((lambda f: f.fold(0, None), TypeError, "fn"),),
    ),
    Case(
        "reduce",
        lambda f, c: f.reduce(c(lambda a, b: (a, b))),
        gives=(((1, 2), 3), 4),
        empty=LookupError,
        nones=(None, None),
        calls="on items",
        bad=not_callable("reduce", "fn"),
    ),
    Case("count", lambda f, c: f.count(), gives=4, empty=0, nones=2),
    Case(
        "count(predicate)",
        lambda f, c: f.count(c(is_none_or_small)),
        gives=2,
        empty=0,
        nones=2,
        calls="on items",
        bad=not_callable("count", "predicate"),
    ),
    Case(
        "sum",
        lambda f, c: f.sum(1),
        gives=11,
        empty=1,
        nones=TypeError,
        bad=((lambda f: f.sum(""), TypeError, "start"),),
    ),
    Case(
        "min",
        lambda f, c: f.min(c(lambda x: 0 if x is None else -x), default="none"),
        gives=4,
        empty="none",
        nones=None,
        calls="on items",
        bad=not_callable("min", "key"),
    ),
    Case(
        "max",
        lambda f, c: f.max(c(lambda x: 0 if x is None else -x)),
        gives=1,
        empty=LookupError,
        nones=None,
        calls="on items",
        bad=not_callable("max", "key"),
    ),
    Case(
        "any",
        lambda f, c: f.any(c(lambda x: x == 3)),
        gives=True,
        empty=False,
        nones=False,
        calls="on items",
        bad=not_callable("any", "predicate"),
    ),
    Case(
        "all",
        lambda f, c: f.all(c(lambda x: x != 3)),
        gives=False,
        empty=True,
        nones=True,
        calls="on items",
        bad=not_callable("all", "predicate"),
    ),
    Case(
        "none",
        lambda f, c: f.none(c(lambda x: x == 3)),
        gives=False,
        empty=True,
        nones=True,
        calls="on items",
        bad=not_callable("none", "predicate"),
    ),
    Case(
        "join",
        lambda f, c: f.map(str).join("-"),
        gives="1-2-3-4",
        empty="",
        nones="None-None",
        bad=((lambda f: f.join(3), TypeError, "separator"),),
    ),
)

OPERATORS = (
    *TRANSFORM,
    *SELECT_AND_LIMIT,
    *GROUP,
    *COMBINE,
    *BUFFER,
    *TIME,
    *HOT,
    *ERRORS_AND_LIFE_CYCLE,
)
CASES = (*OPERATORS, *ENDINGS)
