"""How flowpy iterates what it is given: opened once, in turns, closed by who iterates.

Operators use `closing` around every loop; plain iterables are read through `Turns`.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from functools import partial
from itertools import chain, islice
from sys import maxsize
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Self, TypeGuard, TypeVar

from flowpy._errors import FlowConsumedError, add_note
from flowpy._scheduler import current_scheduler

if TYPE_CHECKING:
    from types import TracebackType

    from flowpy._types import FlowLike, Items

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
I_co = TypeVar("I_co", bound=AsyncIterator[Any], covariant=True)

TURN = 0.001
"""Seconds that a plain iterable may keep the event loop before others get a turn."""

SLICE = 1024
"""Items between two looks at the clock, at most; fewer where items take long."""


COLLECTIONS = frozenset({dict, frozenset, list, range, set, str, tuple})
"""Types of iterables that know their length and have nothing to close."""


def size_of(value: object) -> int:
    """Return how many items a collection has; of what is none, as many as can be."""
    try:
        return len(value) if type(value) in COLLECTIONS else maxsize  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - a collection
    except OverflowError:  # a long range
        return maxsize


def is_async_iterable(value: object) -> TypeGuard[AsyncIterable[Any]]:
    """Tell whether `async for` takes `value`; a class is not its instances."""
    return hasattr(type(value), "__aiter__")


def is_plain_iterable(value: object) -> TypeGuard[Iterable[Any]]:
    """Tell whether `for` takes `value`; a class is not its instances."""
    kind = type(value)
    return hasattr(kind, "__iter__") or hasattr(kind, "__getitem__")


def is_one_shot(value: object) -> bool:
    """Tell whether `value` is an iterator, which can be read only once."""
    kind = type(value)
    return hasattr(kind, "__anext__") or hasattr(kind, "__next__")


class closing(Generic[I_co]):
    """`async with closing(items):` closes what is iterated, however the block ends.

    Unlike `contextlib.aclosing` it takes iterators that cannot be closed, keeps the
    error that came first, and takes the GeneratorExit out of the group that a task
    group around a `yield` makes of it (python-trio/trio#3324).
    """

    __slots__ = ("_items",)

    def __init__(self, items: I_co) -> None:
        self._items = items

    async def __aenter__(self) -> I_co:
        return self._items

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        close: Callable[[], Awaitable[object]] | None
        close = getattr(self._items, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except BaseExceptionGroup as group:
            exits, rest = group.split(GeneratorExit)
            if exits is None:
                keep_first(error, group)  # not `rest`, which is a copy
            elif rest is not None:
                keep_first(error, rest)
        except Exception as late:  # noqa: BLE001 - noted or raised
            keep_first(error, late)


class Opened(Generic[T]):
    """An async iterator to be iterated as it is, in more than one loop if need be.

    `async for` asks an iterator for an iterator too, and some begin anew then.
    """

    __slots__ = ("_iterator",)

    def __init__(self, iterator: AsyncIterator[T]) -> None:
        self._iterator = iterator

    def __aiter__(self) -> AsyncIterator[T]:
        return self._iterator


ALSO = "while closing, also raised: "


def keep_first(error: BaseException | None, late: BaseException) -> None:
    """Settle which error goes on when closing failed: the first, `late` noted on it.

    A close or a cancellation is not an error that could hide another: then `late`
    itself is raised. To be called while `late` is being handled.
    """
    if isinstance(late, Exception) and isinstance(
        error, (Exception, KeyboardInterrupt, SystemExit)
    ):
        add_note(error, f"{ALSO}{late!r}")
        for note in getattr(late, "__notes__", ()):
            if note.startswith(ALSO):  # what was noted on `late`, further up
                add_note(error, note)
    else:
        try:
            raise late
        finally:
            del late  # or it and this frame would keep each other alive


class Turns(Generic[T]):
    """A plain iterable, read in slices between which other tasks get their turn.

    ::

        with Turns(iterable) as turns:
            for part in turns:
                for x in part:
                    ...
                if turns.over():
                    await turns.let_others_run()

    A checkpoint an item would cost 40 times the loop itself, none at all would let an
    endless iterable hang the program. So the clock is read once a slice, and a slice
    gets shorter when its items took long. The slices are lazy: nothing is pulled ahead,
    and an iterator that has ended is not asked again. Those of a range are ranges, over
    which Python has its fastest loop.
    """

    __slots__ = ("_closes", "_due", "_ended", "_items", "_iterator", "_rest", "size")

    def __init__(self, iterable: Iterable[T], *, closes: bool = True) -> None:
        self._closes = closes
        self._iterator = iter(iterable)
        self._ended: list[None] = []
        # When the iterable ends, `chain` asks the second iterator, whose only call
        # marks the end and gives the sentinel that stops it: no test for each item.
        mark = partial(self._ended.append, None)
        self._items = chain(self._iterator, iter(mark, None))
        self._rest = iterable if type(iterable) is range else None
        self.size = 1
        self._due = monotonic() + TURN

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        close = getattr(self._iterator, "close", None) if self._closes else None
        if close is None:
            return
        try:
            close()
        except Exception as late:  # noqa: BLE001 - noted or raised
            keep_first(error, late)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Iterable[T]:
        if self._ended:
            raise StopIteration
        rest: Any = self._rest
        if rest is None:
            return islice(self._items, self.size)
        part: Iterable[T] = rest[: self.size]
        self._rest = rest[self.size :]
        if not self._rest:
            self._ended.append(None)
        return part

    def stop(self) -> None:
        """Make the current slice the last one."""
        self._ended.append(None)

    def over(self) -> bool:
        """Say that a slice has been read; return whether the turn is over.

        Slices grow while they take less than a turn.
        """
        if monotonic() >= self._due:
            return True
        if self.size < SLICE:
            self.size *= 2
        return False

    async def let_others_run(self) -> None:
        """End the turn and begin the next one."""
        late = monotonic() - self._due
        # Items that became slow at once must not hold the loop for slice after slice of
        # half the size.
        self.size = max(self.size // 2, 1) if late < TURN else 1
        await current_scheduler().checkpoint()
        self._due = monotonic() + TURN


async def read_in_turns(iterable: Iterable[T], close: bool = True) -> Items[T]:  # noqa: FBT001, FBT002 - an operator
    """Give the items of a plain iterable."""
    with Turns(iterable, closes=close) as turns:
        for part in turns:
            for x in part:
                yield x
            if turns.over():
                await turns.let_others_run()


def opened(value: FlowLike[T]) -> AsyncIterator[T]:
    """Return a fresh async iterator over a flow, an async iterable or an iterable."""
    if isinstance(value, AsyncIterable):
        return aiter(value)
    return read_in_turns(value)


def check_inner(value: FlowLike[T]) -> Iterable[T]:
    """Return what a user's function gave, known not to be async, if it can be read."""
    if is_plain_iterable(value):
        return value
    message = f"expected a flow, an async iterable or an iterable; got {value!r}"
    raise TypeError(message)


class Once(Generic[T]):
    """A one-shot iterator that says so when it is asked for a second time."""

    __slots__ = ("_iterator", "kind")

    def __init__(self, iterator: AsyncIterator[T] | Iterator[T]) -> None:
        self._iterator: Any = iterator
        self.kind = type(iterator).__name__

    def _hand_out(self) -> Any:
        iterator, self._iterator = self._iterator, None
        if iterator is None:
            message = (
                f"this flow wraps a one-shot {self.kind}, which can be collected "
                "once; pass what it was made from, or a function that makes a new "
                "one each time: Flow(lambda: ...)"
            )
            raise FlowConsumedError(message)
        return iterator

    def __iter__(self) -> Iterator[T]:
        iterator: Iterator[T] = self._hand_out()
        return iterator

    def __aiter__(self) -> AsyncIterator[T]:
        iterator: AsyncIterator[T] = aiter(self._hand_out())
        return iterator
