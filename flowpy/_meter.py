"""What `measure` counts with: counters between the stages of one collection.

A measured chain is opened with an operator behind each of its stages that counts what
passes; it is inlined like any other. A chain that is not measured has none of it. What
is told to whom, and when, stands in `_operators/lifecycle.py`.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from flowpy._callbacks import awaiting
from flowpy._crew import Holder, unclaimed
from flowpy._iterating import closing
from flowpy._operator import operator
from flowpy._reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from flowpy._operator import Operator, Stages, Values
    from flowpy._types import Items

T = TypeVar("T")

FLUSH = 0.1
"""Seconds between two snapshots."""

_collections = count(1)


class StageSnapshot(NamedTuple):
    """What one stage of a measured flow has done since the collection began.

    It holds what it is given; no error comes of it.

    Args:
        number: Which in its chain it is, as `explain` numbers them; the source is 0.
        name: What was called to make it, such as `"map"`: there are not many.
        call: The same with its arguments, as the chain reads: `"map(fetch)"`.
        items: How many items it has passed on.
        errors: How many errors have come out of it, its own and those from above; more
            than one only where a stage below collects it again.
        waiting: How many items it holds right now: in its buffer, or in its calls.

    Example:
        >>> StageSnapshot(1, "map", "map(str)", items=2)
        StageSnapshot(number=1, name='map', call='map(str)', items=2, errors=0, waiting=0)

    Source: the metrics of Reactor with Micrometer.
    """

    number: int
    name: str
    call: str
    items: int = 0
    errors: int = 0
    waiting: int = 0


class Snapshot(NamedTuple):
    """What a measured flow has done so far: see `Flow.measure`.

    It holds what it is given; no error comes of it.

    Args:
        collection: A number that no other collection in the process has.
        seconds: How long it has been going on, by the event loop's clock.
        ended: Whether it has ended, however it did; then this is the last snapshot.
        stages: What each stage has done, from the source on.
        before: What `stages` was in the snapshot before this one, all zero before the
            first: so who counts differences needs no memory.

    Example:
        >>> stages = (StageSnapshot(0, "ticks", "ticks(9)", items=4),)
        >>> Snapshot(7, 0.1, ended=False, stages=stages, before=()).stages[0].items
        4

    Source: the metrics of Reactor with Micrometer.
    """

    collection: int
    seconds: float
    ended: bool
    stages: tuple[StageSnapshot, ...]
    before: tuple[StageSnapshot, ...]


class Counter:
    """What one stage has passed on in one collection.

    `with counter:` goes around that: it counts the errors, and a stage that holds items
    makes in its first step what holds them.
    """

    __slots__ = ("below", "errors", "holder", "holds", "items")

    def __init__(self, *, holds: bool) -> None:
        self.items = 0
        self.errors = 0
        self.below = False
        """Whether an item has been passed on and the next not been asked for."""
        self.holds = holds
        self.holder: Holder | None = None

    def __enter__(self) -> Self:
        if self.holds:
            unclaimed.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.holder = None  # what it holds now is let go
        if unclaimed.get() is self:  # the stage has failed before it held any
            unclaimed.set(None)
        if isinstance(error, Exception) and not self.below:
            self.errors += 1
        self.below = False

    def waiting(self) -> int:
        """Return how many items the stage holds."""
        return 0 if self.holder is None else self.holder.waiting()


@operator
async def counted(source: Items[T], counter: Counter) -> Items[T]:
    """Count what a stage passes on; an error that is raised below is none of its own."""
    with counter:
        async with closing(source):
            async for x in source:
                counter.items += 1
                counter.below = True
                yield x
                counter.below = False


@operator
async def measuring(source: Items[T], meter: Meter) -> Items[T]:
    """Tell an observer, while the items pass, what has been counted above."""
    last = meter.counters[-1]
    async with meter:  # noqa: SIM117 - what can be fused is closed in a block of its own
        async with closing(source):
            async for x in source:
                if last.items >= meter.due:
                    await meter.look()
                yield x


class Description:
    """How the stages of a chain read, looked up at its first collection."""

    __slots__ = ("_calls", "_describe")

    def __init__(self, describe: Callable[[], list[str]]) -> None:
        self._describe = describe
        self._calls: list[str] = []

    def calls(self) -> list[str]:
        """Return the call of each stage."""
        self._calls = self._calls or self._describe()
        return self._calls


class Meter(Reporter):
    """The counters of one collection, and who is told of them."""

    __slots__ = ("_collection", "_observer", "_stages", "counters")

    def __init__(
        self, observer: Callable[[Snapshot], object], calls: list[str]
    ) -> None:
        super().__init__("measure", FLUSH)
        self._observer = awaiting(observer)
        self._stages = tuple(
            [
                StageSnapshot(number, call.partition("(")[0], call)
                for number, call in enumerate(calls)
            ]
        )
        self._collection = next(_collections)
        self.counters: list[Counter] = []

    def counter(self, stage: Operator[..., Any]) -> Counter:
        """Return the counter of the next stage."""
        counter = Counter(holds=bool(stage.holds))
        self.counters.append(counter)
        return counter

    def passed(self) -> int:
        return self.counters[-1].items

    async def tell(self, *, ended: bool) -> None:
        before = self._stages
        self._stages = tuple(
            [
                stage._replace(
                    items=counter.items,
                    errors=counter.errors,
                    waiting=counter.waiting(),
                )
                for stage, counter in zip(before, self.counters, strict=True)
            ]
        )
        snapshot = Snapshot(
            self._collection, self.seconds(), ended, self._stages, before
        )
        await self._observer(snapshot)


def with_counters(
    stages: Stages, values: Values, end: int, meter: Meter
) -> tuple[Stages, Values, list[int]]:
    """Return stages of which the first are counted, and which of them each was before.

    What several flows collect together is none of this collection. In place of stage
    `end` stands what tells the observer.
    """
    # Counters that are there already are those of a `measure` further down.
    own = [k for k in range(end) if stages[k] is not counted]
    first = max([k for k in own if stages[k].is_common], default=0)
    made: list[tuple[Operator[..., Any], tuple[object, ...], int]] = []
    for k, (stage, value) in enumerate(zip(stages, values, strict=True)):
        if k == end:
            made.append((measuring, (meter,), k))
            continue
        made.append((stage, value, k))
        if k in own:
            counter = meter.counter(stage)
            if k >= first:
                made.append((counted, (counter,), k))
    return (
        tuple([stage for stage, _, _ in made]),
        tuple([value for _, value, _ in made]),
        [place for _, _, place in made],
    )
