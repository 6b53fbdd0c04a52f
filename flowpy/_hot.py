"""Hot flows: SharedFlow and StateFlow, which emit whether or not anybody collects them.

What they do stands in `_broadcast`; what feeds them from a flow in `_operators/hot`.
"""

from __future__ import annotations

from functools import partial
from operator import eq
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, overload

from flowpy._broadcast import Broadcast, Cell, Derived, Policy, Reader, StateReader
from flowpy._callbacks import awaiting, check_plain
from flowpy._checks import (
    check_callable,
    check_choice,
    check_count,
    check_duration,
    check_optional_error,
    check_type,
)
from flowpy._flow import Flow
from flowpy._iterating import SLICE
from flowpy._jobs import check_task_group, start
from flowpy._operator import name_of, operator
from flowpy._operators.hot import (
    AHEAD,
    FirstValue,
    WhileSubscribed,
    feed,
    pour,
    pour_lazily,
    pour_while_subscribed,
    stop,
)
from flowpy._scheduler import current_scheduler, in_event_loop
from flowpy._types import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowpy._broadcast import State
    from flowpy._operators.hot import Sink, Started
    from flowpy._types import AnyTaskGroup, Duration, Items

T = TypeVar("T")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
U = TypeVar("U")


def describe_shared(core: Broadcast[Any], name: str, fns: tuple[Any, ...]) -> str:
    """Return how a shared flow reads."""
    calls = [f".on_subscription({name_of(fn)})" for fn in fns]
    return "".join([name, *calls])


@operator(show=describe_shared)
async def subscription(
    core: Broadcast[T],
    name: str,
    fns: tuple[Callable[[], object], ...],
) -> Items[T]:
    with Reader(core) as reader:
        for fn in fns:
            await awaiting(fn)()
        while True:
            node = reader.node
            following = node.next
            if following is None:
                if await reader.more():
                    continue
                break
            number = node.number
            reader.node = following
            if core.waiting and number == core.slowest:
                core.passed(number)
            if not number % SLICE:
                # One who emits what he reads would never wait.
                await current_scheduler().checkpoint()
            yield node.item


def describe_state(core: State[Any], name: str) -> str:
    """Return how a state reads."""
    return name


@operator(show=describe_state)
async def changes(state: State[T], name: str) -> Items[T]:
    last: Any = MISSING
    with StateReader(state) as reader:
        while await reader.changed():
            x = state.read()
            if last is MISSING or not state.same(last, x):
                last = x
                yield x


class SharedFlow(Flow[T], Generic[T]):
    """A flow that broadcasts: every subscriber gets what is emitted from then on.

    It goes on whether or not anybody collects it, until it is closed. Each collection
    is a subscription, with a place of its own in the items; it is in force once the
    first item is waited for, and is over as soon as it ends, however it does.

    A subscriber may be `capacity` items behind (or `replay`, if that is more). Where
    the slowest is that far behind, `on_overflow` tells what happens. Without
    subscribers an item is kept for replay, or dropped.

    `emit` belongs to an event loop, of which there may be several; all the rest may be
    done in any thread. Subscribers are woken in their own event loops.

    Args:
        replay: How many of the last items a new subscriber gets first, >= 0.
        capacity: How many items a subscriber may be behind, >= 0. With 0, `emit`
            returns when every subscriber has taken the item.
        on_overflow: What becomes of an item that comes while the slowest subscriber is
            that far behind: `"suspend"` has `emit` wait, first come, first served;
            `"drop_oldest"` has the slow subscriber miss the oldest item that it has not
            read, and nobody else; `"drop_latest"` drops the item, for all.

    Shape: what is emitted, in order; ends when it is closed, after what was not read.

    Raises:
        TypeError: at the call, if `replay` or `capacity` is not an integer.
        ValueError: at the call, if one is negative, if there is no such `on_overflow`,
            or if one that drops has neither `capacity` nor `replay`.

    Example:
        >>> async def main():
        ...     news = SharedFlow(replay=2)
        ...     for n in range(5):
        ...         await news.emit(n)
        ...     news.close()
        ...     return await news.to_list()
        >>> run(main)
        [3, 4]

    Source: Kotlin Flow `MutableSharedFlow`, which cannot end. There, `capacity` is
        counted on top of `replay`.
    """

    __slots__ = ("_core", "_feeder")

    _core: Broadcast[T]
    _feeder: str

    def __init__(
        self,
        replay: int = 0,
        *,
        capacity: int = 64,
        on_overflow: Policy = "suspend",
    ) -> None:
        check_count("replay", replay)
        check_count("capacity", capacity)
        check_choice("on_overflow", on_overflow, *get_args(Policy))
        if on_overflow != "suspend" and not (capacity or replay):
            message = (
                f"capacity must be >= 1 where on_overflow is {on_overflow!r}; "
                f"got {capacity!r}"
            )
            raise ValueError(message)
        name = f"SharedFlow({replay or ''})"
        self._of(Broadcast(replay, capacity, on_overflow), name, (), "")

    def _of(
        self,
        core: Broadcast[T],
        name: str,
        fns: tuple[Callable[[], object], ...],
        feeder: str,
    ) -> None:
        self._stages = (subscription,)
        self._values = ((core, name, fns),)
        self._core = core
        self._feeder = feeder

    def _own(self) -> Broadcast[T]:
        """Return what to emit to, if that is for users to do."""
        if self._feeder:
            message = f"this flow is fed by {self._feeder}: nobody else may emit to it"
            raise AttributeError(message)
        return self._core

    async def emit(self, item: T) -> None:
        """Give an item to all subscribers.

        Waits only while the slowest is too far behind and `on_overflow` is
        `"suspend"`; those who wait go on in their order. If it is cancelled meanwhile,
        nobody gets the item.

        Args:
            item: Of whatever kind, None included.

        Raises:
            FlowClosedError: while running, if the flow has been closed, before or
                while it waits.
            AttributeError: while running, if `share_in` feeds the flow.

        Example:
            >>> async def main():
            ...     news = SharedFlow(replay=1)
            ...     await news.emit("hello")
            ...     return await news.first()
            >>> run(main)
            'hello'

        Source: Kotlin Flow `MutableSharedFlow.emit`.
        """
        await self._own().put(item)

    def try_emit(self, item: T) -> bool:
        """Give an item to all subscribers, or return False where `emit` would wait.

        May be called in any thread.

        Args:
            item: Of whatever kind, None included.

        Raises:
            FlowClosedError: at the call, if the flow has been closed.
            AttributeError: at the call, if `share_in` feeds the flow.

        Example:
            >>> SharedFlow().try_emit("nobody listens")
            True

        Source: Kotlin Flow `MutableSharedFlow.tryEmit`.
        """
        return self._own().offer(item)

    def emit_from_thread(self, item: T) -> None:
        """Do the same as `emit` in a thread that runs no event loop.

        The thread waits where `emit` would.

        Args:
            item: Of whatever kind, None included.

        Raises:
            FlowClosedError: at the call, if the flow has been closed, before or while
                it waits.
            RuntimeError: at the call, in a thread that runs an event loop, which would
                stand still.
            AttributeError: at the call, if `share_in` feeds the flow.

        Example:
            >>> async def main():
            ...     news = SharedFlow(replay=1)
            ...     await anyio.to_thread.run_sync(news.emit_from_thread, "hello")
            ...     return news.replay_cache
            >>> run(main)
            ['hello']

        Source: flowpy's own.
        """
        core = self._own()
        if in_event_loop():
            message = "emit_from_thread would stop this event loop; await emit() here"
            raise RuntimeError(message)
        core.put_from_thread(item)

    def close(self, error: BaseException | None = None) -> None:
        """End the flow for its subscribers, after what they have not read yet.

        Later subscribers get what is replayed, then the same end. Those who wait in
        `emit` get a FlowClosedError, and their items are dropped. A second call does
        nothing. May be called in any thread.

        Args:
            error: What the subscribers get at the end, as the same object; left out,
                they end normally.

        Raises:
            TypeError: at the call, if `error` is not an exception object.
            AttributeError: at the call, if `share_in` feeds the flow.

        Example:
            >>> news = SharedFlow()
            >>> news.close()
            >>> run(news.to_list)
            []

        Source: flowpy's own; hot flows of Kotlin never end.
        """
        check_optional_error("error", error)
        self._own().close(error)

    @property
    def replay_cache(self) -> list[T]:
        """What a new subscriber gets first: the last items, at most `replay`."""
        return self._core.replayed()

    def reset_replay_cache(self) -> None:
        """Have new subscribers begin with what comes next.

        Those who are there still get what they have not read. No error of its own.

        Example:
            >>> news = SharedFlow(replay=3)
            >>> news.try_emit("old")
            True
            >>> news.reset_replay_cache()
            >>> news.replay_cache
            []

        Source: Kotlin Flow `MutableSharedFlow.resetReplayCache`.
        """
        self._core.forget_replayed()

    @property
    def subscribers(self) -> StateFlow[int]:
        """How many subscribers there are now: a state to read or collect."""
        return state_of(self._core.count(), "SharedFlow.subscribers")

    def subscribers_lag(self) -> list[int]:
        """Return how many items each subscriber is behind, the oldest first.

        No error of its own.

        Example:
            >>> SharedFlow().subscribers_lag()
            []

        Source: flowpy's own.
        """
        return self._core.lags()

    def on_subscription(self, fn: Callable[[], object]) -> SharedFlow[T]:
        """Run `fn()` for each new subscriber, once it is in and before its first item.

        What is emitted while it runs, or by it, the subscriber gets.

        Args:
            fn: What to do; plain or async. If it fails, so does the collection.

        Shape: the same items.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> async def main():
            ...     news = SharedFlow()
            ...     return await news.on_subscription(lambda: news.emit("hi")).first()
            >>> run(main)
            'hi'

        Source: Kotlin Flow `onSubscription`; the one that was applied first runs first.
        """
        check_callable("fn", fn)
        given: tuple[Any, ...] = self._values[0]
        _, name, fns = given
        return shared_of(self._core, name, self._feeder, (*fns, fn))


def shared_of(
    core: Broadcast[T],
    name: str,
    feeder: str,
    fns: tuple[Callable[[], object], ...] = (),
) -> SharedFlow[T]:
    """Return a shared flow of this line of items."""
    kind: type[SharedFlow[T]] = SharedFlow
    shared = object.__new__(kind)
    shared._of(core, name, fns, feeder)
    return shared


class StateFlow(Flow[T], Generic[T]):
    """A value that changes, as a flow: each subscriber gets the newest one.

    A subscriber gets the value at once and then what differs from what it got last;
    one that is slow skips what came in between, and always gets the last. It has a
    value at any time, whether or not anybody collects it.

    All of it may be done in any thread. Subscribers are woken in their own event loops.

    Args:
        value: The first value.
        equal: `equal(old, new)` tells whether they are the same, for which nothing
            happens; plain; left out, `==`.

    Shape: at least one item; ends when it is closed, after the last value.

    Raises:
        TypeError: at the call, if `equal` is not a plain function.

    Example:
        >>> room = StateFlow(20.5)
        >>> room.value = 21.0
        >>> run(room.first)
        21.0

    Source: Kotlin Flow `MutableStateFlow`, which cannot end.
    """

    __slots__ = ("_cell", "_core", "_feeder")

    _core: State[T]
    _cell: Cell[T] | None
    """What to set, if that is for users to do."""
    _feeder: str

    def __init__(self, value: T, *, equal: Callable[[T, T], object] = eq) -> None:
        check_plain("equal", equal)
        cell = Cell(value, equal)
        self._of(cell, "StateFlow()", "")
        self._cell = cell

    def _of(self, core: State[T], name: str, feeder: str) -> None:
        self._stages = (changes,)
        self._values = ((core, name),)
        self._core = core
        self._cell = None
        self._feeder = feeder

    def _own(self) -> Cell[T]:
        if self._cell is None:
            message = f"this state comes from {self._feeder}: it cannot be set"
            raise AttributeError(message)
        return self._cell

    @property
    def value(self) -> T:
        """The value as it is now; setting an equal one does nothing.

        Setting raises FlowClosedError if the state has been closed, and AttributeError
        if its values come from elsewhere.
        """
        return self._core.read()

    @value.setter
    def value(self, value: T) -> None:
        (self._cell or self._own()).set(value)

    def update(self, fn: Callable[[T], T]) -> T:
        """Set the value to what `fn` makes of it, and return what it is then.

        Args:
            fn: Gives the new value; plain. It is called again if another thread sets
                the value meanwhile.

        Raises:
            TypeError: at the call, if `fn` is not a plain function.
            FlowClosedError: at the call, if the state has been closed.
            AttributeError: at the call, if its values come from elsewhere.

        Example:
            >>> hits = StateFlow(0)
            >>> hits.update(lambda n: n + 1)
            1

        Source: Kotlin Flow `MutableStateFlow.updateAndGet`.
        """
        return self._own().update(check_plain("fn", fn))

    def compare_and_set(self, old: T, new: T) -> bool:
        """Set the value if it is equal to `old`; return whether it was.

        Args:
            old: What it has to be equal to.
            new: What it is set to then.

        Raises:
            FlowClosedError: at the call, if the state has been closed.
            AttributeError: at the call, if its values come from elsewhere.

        Example:
            >>> door = StateFlow("open")
            >>> door.compare_and_set("open", "shut"), door.value
            (True, 'shut')

        Source: Kotlin Flow `MutableStateFlow.compareAndSet`.
        """
        return self._own().compare_and_set(old, new)

    def close(self, error: BaseException | None = None) -> None:
        """End the flow for its subscribers, after the last value.

        The value stays, later subscribers get it and then the same end. A second call
        does nothing.

        Args:
            error: What the subscribers get at the end, as the same object; left out,
                they end normally.

        Raises:
            TypeError: at the call, if `error` is not an exception object.
            AttributeError: at the call, if its values come from elsewhere.

        Example:
            >>> light = StateFlow("red")
            >>> light.close()
            >>> run(light.to_list)
            ['red']

        Source: flowpy's own; hot flows of Kotlin never end.
        """
        check_optional_error("error", error)
        self._own().close(error)

    @property
    def subscribers(self) -> StateFlow[int]:
        """How many subscribers there are now: a state to read or collect.

        Those of derived states count, since these read this one.
        """
        return state_of(self._core.count(), "StateFlow.subscribers")

    def map_state(self, fn: Callable[[T], U]) -> StateFlow[U]:
        """Return a state that is computed from this one.

        It is computed when it is read, once for each value of this one, and so is never
        behind. It runs no task. Equal results are skipped by those who collect it.

        Args:
            fn: Gives the value from that of this state; plain.

        Shape: ends and fails as this one does.

        Raises:
            TypeError: at the call, if `fn` is not a plain function.

        Example:
            >>> celsius = StateFlow(20)
            >>> fahrenheit = celsius.map_state(lambda c: c * 9 / 5 + 32)
            >>> celsius.value = 100
            >>> fahrenheit.value
            212.0

        Source: flowpy's own; Kotlin's `map` gives no state, and its `stateIn` is late.
        """
        core = Derived[U](check_plain("fn", fn), (self._core,))
        return state_of(core, f"{self!r}.map_state({name_of(fn)})", "map_state")

    @overload
    @staticmethod
    def combine_state(
        state: StateFlow[T2], /, *, fn: Callable[[T2], U]
    ) -> StateFlow[U]: ...
    @overload
    @staticmethod
    def combine_state(
        state: StateFlow[T2], s2: StateFlow[T3], /, *, fn: Callable[[T2, T3], U]
    ) -> StateFlow[U]: ...
    @overload
    @staticmethod
    def combine_state(
        state: StateFlow[T2],
        s2: StateFlow[T3],
        s3: StateFlow[T4],
        /,
        *,
        fn: Callable[[T2, T3, T4], U],
    ) -> StateFlow[U]: ...
    @overload
    @staticmethod
    def combine_state(
        state: StateFlow[Any],
        s2: StateFlow[Any],
        s3: StateFlow[Any],
        s4: StateFlow[Any],
        /,
        *states: StateFlow[Any],
        fn: Callable[..., U],
    ) -> StateFlow[U]: ...
    @overload
    @staticmethod
    def combine_state(
        state: StateFlow[T2], fn: Callable[[T2], U], /
    ) -> StateFlow[U]: ...
    @overload
    @staticmethod
    def combine_state(
        state: StateFlow[T2], s2: StateFlow[T3], fn: Callable[[T2, T3], U], /
    ) -> StateFlow[U]: ...
    @overload
    @staticmethod
    def combine_state(
        state: StateFlow[T2],
        s2: StateFlow[T3],
        s3: StateFlow[T4],
        fn: Callable[[T2, T3, T4], U],
        /,
    ) -> StateFlow[U]: ...
    @staticmethod
    def combine_state(*states: Any, fn: Any = MISSING) -> StateFlow[Any]:
        """Return a state that is computed from several.

        It is computed when it is read, once for each set of their values, and so is
        never behind, nor made of values that did not exist together. It runs no task.
        Equal results are skipped by those who collect it.

        Args:
            states: The states, at least one.
            fn: Gives the value from theirs, in their order; plain. It may also stand
                behind the states.

        Shape: ends when all of them have ended, fails with the first that does.

        Raises:
            TypeError: at the call, if `fn` is not a plain function, or one of `states`
                is no StateFlow.

        Example:
            >>> width, height = StateFlow(2), StateFlow(3)
            >>> area = StateFlow.combine_state(width, height, fn=int.__mul__)
            >>> width.value = 5
            >>> area.value
            15

        Source: flowpy's own; see `map_state`.
        """
        function: Any = fn
        if fn is MISSING and states:
            states, function = states[:-1], states[-1]
        check_plain("fn", function)
        for state in states:
            check_type("states", state, StateFlow)
        if not states:
            message = f"states must be at least one StateFlow; got {states!r}"
            raise TypeError(message)
        core = Derived[Any](function, tuple(state._core for state in states))
        names = ", ".join(map(repr, states))
        name = f"StateFlow.combine_state({names}, fn={name_of(function)})"
        return state_of(core, name, "combine_state")


def state_of(core: State[T], name: str, feeder: str = "") -> StateFlow[T]:
    """Return a state that is not for users to set."""
    kind: type[StateFlow[T]] = StateFlow
    state = object.__new__(kind)
    state._of(core, name, feeder or name)
    return state


# ------------------------------------------------------------- fed from a task group


def while_subscribed(
    stop_after: Duration = 0, forget_after: Duration | None = None
) -> WhileSubscribed:
    """Say that `share_in` and `state_in` collect while somebody listens.

    The first subscriber starts a collection. `stop_after` seconds after the last one
    has left it is stopped, unless somebody has come; the next one starts it anew.

    Args:
        stop_after: In seconds or a timedelta, >= 0.
        forget_after: How long after that what is replayed is forgotten, or a state
            returns to its initial value, in seconds or a timedelta, >= 0. Left out,
            never.

    Raises:
        TypeError: at the call, if one is not a number or a timedelta.
        ValueError: at the call, if one is NaN, infinite or negative.

    Example:
        >>> async def main():
        ...     async with anyio.create_task_group() as group:
        ...         ticks = Flow.interval(1).share_in(group, started=while_subscribed())
        ...         print(await ticks.take(2).to_list())
        ...         print(await ticks.take(2).to_list())  # comes before it stops
        ...         await anyio.sleep(5)
        ...         print(await ticks.take(2).to_list())
        ...         group.cancel_scope.cancel()
        >>> run(main)
        [0, 1]
        [2, 3]
        [0, 1]

    Source: Kotlin Flow `SharingStarted.WhileSubscribed`.
    """
    forget = None
    if forget_after is not None:
        forget = check_duration("forget_after", forget_after)
    return WhileSubscribed(check_duration("stop_after", stop_after), forget)


def share_in(
    flow: Flow[T], task_group: AnyTaskGroup, started: Started, replay: int
) -> SharedFlow[T]:
    """Do what `Flow.share_in` says."""
    check_count("replay", replay)
    check_started(started)
    core: Broadcast[T] = Broadcast(replay, AHEAD)
    forget = core.forget_replayed
    begin(task_group, flow, core, started, core.count, forget, "share_in")
    return shared_of(core, f"{flow!r}.share_in(...)", "share_in")


def state_in(
    flow: Flow[Any], task_group: AnyTaskGroup, initial: Any, started: Started
) -> Any:
    """Do what `Flow.state_in` says."""
    check_started(started)
    name = f"{flow!r}.state_in(...)"
    if initial is MISSING:
        if started != "eagerly":
            message = f"started must be 'eagerly' without initial; got {started!r}"
            raise ValueError(message)
        check_task_group(task_group)
        return first_state(flow, task_group, name)
    core = Cell(initial)
    forget = partial(core.set, initial)
    begin(task_group, flow, core, started, core.count, forget, "state_in")
    return state_of(core, name, "state_in")


async def first_state(
    flow: Flow[T], task_group: AnyTaskGroup, name: str
) -> StateFlow[T]:
    """Begin to collect, and return the state once there is an item."""
    first: FirstValue[T] = FirstValue()
    fn = partial(feed, first, pour, flow._open)
    start(task_group, fn, partial(stop, first), "state_in")
    return state_of(await first.cell(), name, "state_in")


def begin(
    task_group: AnyTaskGroup,
    flow: Flow[T],
    sink: Sink[T],
    started: Started,
    count: Callable[[], Cell[int]],
    forget: Callable[[], object],
    what: str,
) -> None:
    """Start the task that feeds a hot flow."""
    collect = flow._open
    if started == "eagerly":
        fn = partial(feed, sink, pour, collect)
    elif started == "lazily":
        fn = partial(feed, sink, pour_lazily, collect, count())
    else:
        fn = partial(
            feed, sink, pour_while_subscribed, collect, count(), started, forget, what
        )
    start(task_group, fn, partial(stop, sink), what)


def check_started(started: object) -> None:
    """Check that `started` is a strategy."""
    if not isinstance(started, WhileSubscribed) and started not in STRATEGIES:
        message = (
            "started must be 'eagerly', 'lazily' or while_subscribed(...); "
            f"got {started!r}"
        )
        raise ValueError(message)


STRATEGIES = ("eagerly", "lazily")
