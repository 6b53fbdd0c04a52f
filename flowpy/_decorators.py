"""Decorators that make flows and operators of a user's own functions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial, wraps
from inspect import isasyncgenfunction
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    overload,
)

from flowpy._callbacks import is_async
from flowpy._channel import Channel
from flowpy._checks import check_count
from flowpy._crew import Crew
from flowpy._flow import Flow, as_flow, made
from flowpy._iterating import closing
from flowpy._operator import Operator, name_of, names_of, operator

if TYPE_CHECKING:
    from flowpy._operator import Stages, Values
    from flowpy._types import Items

P = ParamSpec("P")
T = TypeVar("T")


def flow(fn: Callable[P, AsyncIterator[T]]) -> Callable[P, Flow[T]]:
    """Make an async generator function one that returns a flow.

    Each collection calls `fn` again with the same arguments. If the first of them is
    itself a flow, `fn` is an operator: `numbers.pipe(every_nth, 3)`. What it iterates
    of the flows among its arguments is closed when it ends, however it does. A flow that
    `fn` makes itself it has to close itself: `async with made.open() as items`.

    Args:
        fn: An async generator function.

    Shape: what `fn` yields, in order.

    Raises:
        TypeError: at the call, if `fn` is not an async generator function; when the
            flow is made, if the arguments don't fit `fn`.

    Example:
        >>> @flow
        ... async def every_nth(source, n):
        ...     async for i, x in source.enumerate():
        ...         if i % n == 0:
        ...             yield x
        >>> run(Flow(range(7)).pipe(every_nth, 3).to_list)
        [0, 3, 6]

    Source: Kotlin Flow `flow { }`.
    """
    if not isasyncgenfunction(fn):
        message = (
            "@flow needs an async generator function (async def with yield); "
            f"got {fn!r}. For any other function that gives items: Flow(fn)"
        )
        raise TypeError(message)

    @wraps(fn)
    def make(*args: P.args, **kwargs: P.kwargs) -> Flow[T]:
        fn(*args, **kwargs)  # do they fit? What it returns has not begun to run.
        if args and isinstance(args[0], Flow):
            return as_flow(args[0])._then(piped, fn, args[1:], kwargs)
        return made((generated,), ((fn, args, kwargs),))

    return make


Arguments = tuple[object, ...]
Named = dict[str, object]
Generator = Callable[..., AsyncGenerator[Any, None]]


def describe_call(fn: Generator, args: Arguments, kwargs: Named) -> str:
    """Return a call as it would read in code."""
    named = [f"{name}={name_of(value)}" for name, value in kwargs.items()]
    return f"{name_of(fn)}({', '.join([*names_of(args), *named])})"


def describe_pipe(fn: Generator, args: Arguments, kwargs: Named) -> str:
    """Return the call of `pipe` that made such a stage."""
    name, rest = name_of(fn), describe_call(fn, args, kwargs).partition("(")[2]
    return f"pipe({name}{', ' if rest != ')' else ''}{rest}"


@operator(show=describe_call)
def generated(fn: Generator, args: Arguments, kwargs: Named) -> Items[Any]:
    if any(isinstance(value, Flow) for value in (*args, *kwargs.values())):
        return tidied(None, fn, args, kwargs)
    return fn(*args, **kwargs)


@operator(seam="a function of your own", show=describe_pipe)
def piped(
    reopen: Callable[[], Items[Any]], fn: Generator, args: Arguments, kwargs: Named
) -> Items[Any]:
    return tidied(reopen, fn, args, kwargs)


async def tidied(
    reopen: Callable[[], Items[Any]] | None,
    fn: Generator,
    args: Arguments,
    kwargs: Named,
) -> Items[Any]:
    """Give what `fn` yields, and close what it leaves behind of the flows it gets."""
    async with Lent() as lent:
        first = () if reopen is None else (lent.flow((above,), ((reopen,),)),)
        others = map(lent.watch, args)
        named = {name: lent.watch(value) for name, value in kwargs.items()}
        async with closing(fn(*first, *others, **named)) as items:
            async for x in items:
                if lent.dropped:
                    await lent.close_dropped()
                yield x


@operator(show="source")
def above(opener: Callable[[], Items[T]]) -> Items[T]:
    return opener()


@overload
def channel_flow(
    produce: Callable[Concatenate[Channel[T], P], Coroutine[Any, Any, object]], /
) -> Callable[P, Flow[T]]: ...
@overload
def channel_flow(
    *, capacity: int = 64
) -> Callable[
    [Callable[Concatenate[Channel[T], P], Coroutine[Any, Any, object]]],
    Callable[P, Flow[T]],
]: ...
def channel_flow(
    produce: Callable[..., Coroutine[Any, Any, object]] | None = None,
    /,
    *,
    capacity: int = 64,
) -> Any:
    """Make a flow that tasks, callbacks or threads feed, of a function that starts them.

    Each collection calls `produce(channel, ...)` in a task of its own. It puts items in
    the channel, or has others do that: `await channel.send(item)`, from callbacks
    `channel.try_send(item)`, which returns whether there was room, from other threads
    `channel.send_from_thread(item)`, which waits there. The flow ends when `produce`
    returns or `channel.close(error=None)` is called, after what is in the channel.

    When the collector stops, `produce` is cancelled, and waited for; where it stands in
    `await channel.wait_closed()`, that returns. Other work of its own it starts in a
    task group of its own.

    Args:
        produce: An async function whose first parameter is the `Channel`.
        capacity: How many items wait in the channel, at most; >= 1.

    Shape: what is sent, in that order. Holds `capacity` items, runs 1 task.

    Raises:
        TypeError: at the call, if `produce` is not an async function, or `capacity` not
            an integer; when the flow is made, if the arguments don't fit `produce`.
        ValueError: at the call, if `capacity` is less than 1.

    Example:
        >>> @channel_flow
        ... async def presses(channel, keyboard):
        ...     keyboard.on_press = channel.try_send
        ...     keyboard.on_unplug = channel.close
        ...     await channel.wait_closed()
        ...     keyboard.on_press = keyboard.on_unplug = None
        >>> @channel_flow(capacity=2)
        ... async def count_to(channel, n):
        ...     for i in range(n):
        ...         await channel.send(i)
        >>> run(count_to(3).to_list)
        [0, 1, 2]

    Source: Kotlin Flow `channelFlow` and `callbackFlow`; `awaitClose`.
    """
    check_count("capacity", capacity, 1)
    if produce is None:
        return partial(channel_flow, capacity=capacity)
    if not is_async(produce):
        message = (
            "@channel_flow needs an async function (async def without yield) whose first "
            f"parameter is the channel; got {produce!r}. For an async generator "
            "function: @flow"
        )
        raise TypeError(message)
    feed = produce

    @wraps(feed)
    def make(*args: Any, **kwargs: Any) -> Flow[Any]:
        feed(None, *args, **kwargs).close()  # do they fit? It has not begun to run.
        return made((fed,), ((feed, args, kwargs, capacity),))

    return make


def describe_feeding(
    fn: Generator, args: Arguments, kwargs: Named, capacity: int
) -> str:
    """Return the call that made such a flow."""
    return describe_call(fn, args, kwargs)


@operator(
    seam="runs its function in a task of its own",
    holds="at most {capacity} items wait",
    show=describe_feeding,
)
async def fed(
    fn: Callable[..., Coroutine[Any, Any, object]],
    args: Arguments,
    kwargs: Named,
    capacity: int,
) -> Items[Any]:
    async with Crew("channel_flow") as crew:
        channel: Channel[Any] = Channel(crew, capacity)
        try:
            crew.spawn(channel._run, partial(feeding, fn, channel, args, kwargs))
            while await channel._more():
                yield channel._take()
        finally:
            channel._end()


async def feeding(
    fn: Callable[..., Coroutine[Any, Any, object]],
    channel: Channel[Any],
    args: Arguments,
    kwargs: Named,
) -> None:
    """Call a function, and close what it leaves behind of the flows it gets."""
    async with Lent() as lent:
        named = {name: lent.watch(value) for name, value in kwargs.items()}
        await fn(channel, *map(lent.watch, args), **named)


class Lent:
    """The iterators over its flows that a user's function has opened and not closed.

    A bare `async for` leaves its iterator behind at an early stop. Here it is closed
    in the task that collects: with the next item or iterator if it was dropped, and
    before the function has ended at the latest.
    """

    __slots__ = ("_ended", "_held", "dropped")

    def __init__(self) -> None:
        self._ended = False
        self._held: dict[int, Items[Any]] = {}
        self.dropped: list[Items[Any]] = []

    def flow(self, stages: Stages, values: Values) -> Upstream[Any]:
        """Return a flow whose iterators are watched."""
        kind: type[Upstream[Any]] = Upstream
        flow = object.__new__(kind)
        flow._stages, flow._values, flow._lent = stages, values, self
        return flow

    def watch(self, value: object) -> object:
        """Return an argument, watched if it is a flow.

        One of a class of its own can do more than a flow, and stays what it is.
        """
        if type(value) in {Flow, Upstream}:
            chain = cast("Flow[Any]", value)
            return self.flow(chain._stages, chain._values)
        return value

    def hold(self, items: Items[T]) -> Items[T]:
        """Return the same iterator, and notice when nobody has it any more."""
        if self._ended:
            return items
        if self.dropped:
            items = self._after_dropped(items)
        self._held[id(items)] = items
        return cast("Items[T]", Handle(items, self._drop))

    def _drop(self, items: Items[Any]) -> None:
        del self._held[id(items)]
        if getattr(items, "ag_frame", None) is not None:  # it has not run to its end
            self.dropped.append(items)

    async def close_dropped(self) -> None:
        """Close what the function has dropped."""
        async with AsyncExitStack() as stack:
            for items in tuple(self.dropped):
                # `await anext(aiter(source))` drops one that is running.
                if not getattr(items, "ag_running", False):
                    self.dropped.remove(items)
                    stack.push_async_exit(closing(items))

    async def _after_dropped(self, items: Items[T]) -> Items[T]:
        async with closing(items):
            await self.close_dropped()
            async for x in items:
                yield x

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._ended = True
        async with AsyncExitStack() as stack:
            for items in (*self._held.values(), *self.dropped):
                stack.push_async_exit(closing(items))


class Handle(Generic[T]):
    """An async generator that says when it is dropped."""

    # A slot, not a method: so `async for` calls the generator's own, without a frame.
    __slots__ = ("__anext__", "_drop", "_items")

    __anext__: Callable[[], Coroutine[Any, Any, T]]

    def __init__(self, items: Items[T], drop: Callable[[Items[T]], None]) -> None:
        self._items = items
        self._drop = drop
        self.__anext__ = items.__anext__

    def __del__(self) -> None:
        self._drop(self._items)

    def __aiter__(self) -> Self:
        return self

    def asend(self, value: None) -> Coroutine[Any, Any, T]:
        return self._items.asend(value)

    def athrow(self, *error: Any) -> Coroutine[Any, Any, T]:
        return self._items.athrow(*error)

    def aclose(self) -> Coroutine[Any, Any, None]:
        return self._items.aclose()


class Upstream(Flow[T]):
    """What a user's function sees of a flow it was given: one that is tidied up."""

    __slots__ = ("_lent",)

    _lent: Lent

    def _then(self, stage: Operator[..., Any], *values: object) -> Flow[Any]:
        return self._lent.flow((*self._stages, stage), (*self._values, values))

    def _parts(self) -> tuple[Stages, Values]:
        return (above,), ((partial(aiter, self),),)  # of a Flow(source): watched too

    def __aiter__(self) -> Items[T]:
        return self._lent.hold(self._open())
