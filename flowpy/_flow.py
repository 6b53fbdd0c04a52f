"""class Flow: what users write chains with. Signatures and their meaning, no algorithm.

The methods stand in the order of the documentation; each hands its checked arguments
to the operator that does the work, in the file of `_operators/` that its section names.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from types import NoneType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Never,
    ParamSpec,
    TypeGuard,
    TypeVar,
    cast,
    get_args,
    overload,
)

from flowpy import _sources as sources
from flowpy._callbacks import equals, is_async, itself
from flowpy._chain import Chain
from flowpy._checks import (
    check_callable,
    check_choice,
    check_count,
    check_duration,
    check_error_types,
    check_installed,
    check_level,
    check_number,
    check_optional_callable,
    check_optional_count,
    check_period,
    check_type,
)
from flowpy._iterating import closing, is_async_iterable
from flowpy._jobs import Job, launch
from flowpy._meter import Description
from flowpy._operators import (
    buffer,
    combine,
    group,
    hot,
    latest,
    lifecycle,
    limit,
    recover,
    select,
    share,
    time,
    transform,
)
from flowpy._progress import sized_source
from flowpy._terminals import Terminals
from flowpy._types import INFO, MISSING

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Callable,
        Coroutine,
        Generator,
    )
    from concurrent.futures import Executor
    from contextlib import AbstractAsyncContextManager
    from random import Random

    from typing_extensions import TypeIs
    from typing_extensions import TypeVar as TypeVarWithDefault

    from flowpy._hot import SharedFlow, StateFlow
    from flowpy._meter import Snapshot
    from flowpy._operator import Operator, Stages, Values
    from flowpy._operators.hot import Started
    from flowpy._scheduler import Backend
    from flowpy._types import (
        AnyTaskGroup,
        Callback,
        Duration,
        Ending,
        FlowLike,
        Gettable,
        Result,
        Skip,
    )

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
E = TypeVar("E", bound=Exception)
K = TypeVar("K")
K_co = TypeVar("K_co", covariant=True)
R = TypeVar("R")
S = TypeVar("S")
U = TypeVar("U")
U2 = TypeVar("U2")
U3 = TypeVar("U3")
U4 = TypeVar("U4")
if TYPE_CHECKING:
    V = TypeVarWithDefault("V", default=Never)
else:
    V = TypeVar("V")  # a default is for type checkers; Python knows it from 3.13 on
P = ParamSpec("P")


class Flow(Terminals[T_co], Generic[T_co]):
    """Items that arrive over time, and the chain of operators on them.

    A flow is cold: building a chain runs nothing, each collection starts from the
    source again. It is pulled, in order, one item at a time, in the collecting task,
    but where an operator says that it runs tasks of its own; who iterates closes,
    however the collection ends.

    Args:
        source: An async iterable, an iterable, or a function of no arguments that
            returns one (it may be async) and is called at each collection.
        close: Whether to close the source's iterator when a collection ends; False
            leaves it open for another reader.

    Shape: the items of the source, in order.

    Raises:
        TypeError: at the call, if `source` is none of these.
        FlowConsumedError: while running, at the second collection of a flow around an
            iterator or generator object, which can be read only once.

    Example:
        >>> run(Flow(["b", "a"]).map(str.upper).to_list)
        ['B', 'A']

    Source: Kotlin Flow `asFlow`; closing as in asyncstdlib.
    """

    __slots__ = ()

    def __init__(
        self,
        source: FlowLike[T_co] | Callable[[], Result[FlowLike[T_co]]],
        *,
        close: bool = True,
    ) -> None:
        if isinstance(source, Chain):
            self._stages, self._values = source._parts()
        else:
            stage, values = sources.source_of(source, close=close)
            self._stages, self._values = (stage,), (values,)

    def _then(self, stage: Operator[..., Any], *values: object) -> Flow[Any]:
        return made((*self._stages, stage), (*self._values, values))

    # ------------------------------------------------------------ starting a flow

    @overload
    @staticmethod
    def of(item: T, i2: U, /) -> Flow[T | U]: ...
    @overload
    @staticmethod
    def of(item: T, i2: U, i3: U2, /) -> Flow[T | U | U2]: ...
    @overload
    @staticmethod
    def of(*items: V) -> Flow[V]: ...
    @staticmethod
    def of(*items: Any) -> Flow[Any]:
        """Make a flow of the given items.

        Args:
            items: Of whatever kind, None included.

        Shape: n items out, in order. No error of its own.

        Example:
            >>> run(Flow.of(1, None, 2).to_list)
            [1, None, 2]

        Source: Kotlin Flow `flowOf`.
        """
        return made((sources.items,), ((items, True),))

    @staticmethod
    def empty() -> Flow[Never]:
        """Make a flow that ends at once.

        Shape: 0 items out. No error of its own.

        Example:
            >>> run(Flow.empty().to_list)
            []

        Source: Kotlin Flow `emptyFlow`.
        """
        return made((sources.empty,), ((),))

    @staticmethod
    def never() -> Flow[Never]:
        """Make a flow that gives nothing and does not end.

        Shape: 0 items out; waits until it is cancelled. No error of its own.

        Example:
            >>> print(Flow.never().on_start(print))
            Flow.never().on_start(print)

        Source: RxJS `NEVER`.
        """
        return made((sources.never,), ((),))

    @staticmethod
    def fail(error: BaseException) -> Flow[Never]:
        """Make a flow that raises `error`, the same object at each collection.

        Args:
            error: An exception, not a class of them.

        Shape: 0 items out, then the error.

        Raises:
            TypeError: at the call, if `error` is not an exception object.

        Example:
            >>> run(Flow.fail(OSError("down")).catch(OSError).to_list)
            []

        Source: RxJS `throwError`.
        """
        if not isinstance(error, BaseException):
            message = f"error must be an exception object; got {error!r}"
            raise TypeError(message)
        return made((sources.fail,), ((error,),))

    @staticmethod
    def interval(period: Duration, *, delay: Duration = 0) -> Flow[int]:
        """Count from 0, at `delay`, `delay + period`, `delay + 2 * period` and so on.

        ::

            interval(2)            0-1-2-3-4…
            interval(2, delay=1)   -0-1-2-3-4…

        Args:
            period: Between two ticks, in seconds or a timedelta; > 0.
            delay: Before the first one, in seconds or a timedelta; >= 0.

        Shape: ticks on a fixed grid, which does not drift. Those that a slow consumer
            misses are skipped: the numbers tell. Ends never.

        Raises:
            TypeError: at the call, if one is not a number or a timedelta.
            ValueError: at the call, if one is NaN, infinite or negative, or `period`
                is 0.

        Example:
            >>> run(Flow.interval(0.5).take(3).to_list)
            [0, 1, 2]

        Source: RxJS `timer(delay, period)`; the grid is flowpy's.
        """
        values = (check_period("period", period), check_duration("delay", delay))
        return made((sources.interval,), (values,))

    @staticmethod
    def unfold(seed: S, fn: Callable[[S], Result[tuple[T, S] | None]]) -> Flow[T]:
        """Make items from a state: pages, cursors, tokens.

        Args:
            seed: The first state.
            fn: Gives `(item, next_state)` from a state, or None at the end.

        Shape: an item for each call of `fn` but the last, one call a pull.

        Raises:
            TypeError: at the call, if `fn` is not callable; while running, if it gives
                neither a pair nor None.

        Example:
            >>> halve = lambda n: (n, n // 2) if n else None
            >>> run(Flow.unfold(20, halve).to_list)
            [20, 10, 5, 2, 1]

        Source: Rust `stream::unfold`; RxJS `generate`.
        """
        values = (seed, check_callable("fn", fn))
        return made((sources.unfold,), (values,))

    @staticmethod
    def from_queue(queue: Gettable[T]) -> Flow[T]:
        """Make a flow of what comes out of a queue.

        Args:
            queue: An `asyncio.Queue`, or one with the same `async def get()`.

        Shape: the items, in order, each taken when it is asked for. Ends when the queue
            has been shut down (which those of asyncio can be since Python 3.13) and is
            empty; else never: several collections share the items.

        Raises:
            TypeError: at the call, if `queue` has no method `get`.
            RuntimeError: while running, for an `asyncio.Queue` on trio.

        Example:
            >>> async def main():
            ...     queue = asyncio.Queue()
            ...     for word in ("a", "b", "c"):
            ...         queue.put_nowait(word)
            ...     return await Flow.from_queue(queue).take(2).to_list()
            >>> run(main, backend="asyncio")
            ['a', 'b']

        Source: Kotlin Flow `consumeAsFlow`, but the queue is left open.
        """
        if not callable(getattr(queue, "get", None)):
            message = (
                f"queue must have a method get, as asyncio.Queue has; got {queue!r}"
            )
            raise TypeError(message)
        return made((sources.queue_items,), ((queue,),))

    # ------------------------------------------------------------------ transform

    @overload
    def map(
        self,
        fn: Callback[[T_co], U],
        *,
        concurrency: int = 1,
        ordered: bool = True,
        on: None = None,
        on_error: Callback[[Exception, T_co], V | Skip],
    ) -> Flow[U | V]: ...
    @overload
    def map(
        self,
        fn: Callback[[T_co], U],
        *,
        concurrency: int = 1,
        ordered: bool = True,
        on: None = None,
        on_error: Callable[[Exception, T_co], V | Skip] | None = None,
    ) -> Flow[U | V]: ...
    @overload
    def map(
        self,
        fn: Callable[[T_co], U],
        *,
        concurrency: int = 1,
        ordered: bool = True,
        on: Executor | None = None,
        on_error: Callback[[Exception, T_co], V | Skip],
    ) -> Flow[U | V]: ...
    @overload
    def map(
        self,
        fn: Callable[[T_co], U],
        *,
        concurrency: int = 1,
        ordered: bool = True,
        on: Executor | None = None,
        on_error: Callable[[Exception, T_co], V | Skip] | None = None,
    ) -> Flow[U | V]: ...
    def map(
        self,
        fn: Callable[[T_co], Any],
        *,
        concurrency: int = 1,
        ordered: bool = True,
        on: Executor | None = None,
        on_error: Callable[[Exception, T_co], Any] | None = None,
    ) -> Flow[Any]:
        """Replace each item by what `fn` makes of it.

        ::

            source                           ab----|
            fn takes 3 for a, 1 for b
            map(fn, concurrency=2)           ---(AB)--|
            map(fn, concurrency=2, ordered=False)
                                             --BA--|

        Args:
            fn: Gives the new item; plain or async. Plain functions are called in the
                event loop, one after another, whatever `concurrency` is: those that
                take long belong on an executor, see `on`.
            concurrency: How many calls may run at once; >= 1. With 1, each ends before
                the next item is pulled. With more, they run in tasks of their own.
            ordered: Whether the results come in the order of the items, or as the calls
                end.
            on: A `concurrent.futures.Executor` that runs `fn`, a plain function then:
                threads, processes, or a cluster's. It gets at most `concurrency` items
                at once: give that as many as it has workers. What it has not begun
                when the flow stops is dropped from its queue; what runs is left alone.
                To other processes function, items and results go pickled. In threads
                of a `ThreadPoolExecutor`, `fn` sees the context variables. An error has
                a note that names its item, or, if the executor lost its workers, all
                items that were in flight.
            on_error: Called with an error that `fn` raised, or the executor in its
                place, and the item: gives the item to put in its place, or `SKIP` (of
                type `Skip`) for none. Left out, the error ends the flow: other calls
                are cancelled. A broken executor fails for every item from then on:
                raise that error again.

        Shape: n items in, n out (fewer with `SKIP`), in order unless `ordered` is
            False. With `concurrency=n` an item is pulled when fewer than n calls run,
            and at most `2 * n` items are pulled and not yet passed on; runs 1 task and
            up to n for the calls. In order, an error comes in its call's place; so does
            one of the source, after the results of all items before it.

        Raises:
            TypeError: at the call, if `fn` or `on_error` is not callable, `concurrency`
                not an integer, or `on` no executor; or if `fn` is async and there is an
                executor.
            ValueError: at the call, if `concurrency` is less than 1.
            PicklingError: (or what pickle raises instead) while running, with a note,
                if something cannot be sent to another process.
            BrokenExecutor: while running, if the executor lost its workers.

        Example:
            >>> skip = lambda error, item: SKIP
            >>> run(Flow.of("1", "x", "3").map(int, on_error=skip).to_list)
            [1, 3]
            >>> fetch = lambda n: anyio.sleep(0.1 / n)
            >>> run(Flow(range(1, 100)).map(fetch, concurrency=20).count)
            99

        Source: Kotlin Flow `map`; concurrency as in Rust's `buffered` and
            `buffer_unordered`; `on_error` is flowpy's.
        """
        check_callable("fn", fn)
        number = check_count("concurrency", concurrency, 1)
        check_type("ordered", ordered, bool)
        check_optional_callable("on_error", on_error)
        if on is not None:
            from concurrent.futures import Executor  # noqa: PLC0415 - slow to import

            from flowpy._remote import Remote  # noqa: PLC0415 - likewise

            check_type("on", on, Executor)
            if is_async(fn):
                message = f"fn must be a plain function for `on` to run it; got {fn!r}"
                raise TypeError(message)
            fn = Remote(fn, on)
        if number == 1 and on_error is None:
            return self._then(transform.map, fn)
        if number == 1:
            return self._then(transform.map_or_else, fn, on_error)
        if on_error is None:
            return self._then(transform.map_concurrent, fn, number, ordered)
        return self._then(
            transform.map_concurrent_or_else, fn, on_error, number, ordered
        )

    @overload
    def map_not_none(
        self,
        # The second None makes mypy see that a lambda fits both overloads in one way.
        fn: Callable[[T_co], Coroutine[Any, Any, V | None] | None],
    ) -> Flow[V]: ...
    @overload
    def map_not_none(self, fn: Callable[[T_co], V | None]) -> Flow[V]: ...
    def map_not_none(self, fn: Callable[[T_co], Any]) -> Flow[Any]:
        """Replace each item by what `fn` makes of it, unless that is None.

        Args:
            fn: Gives the new item, or None for none.

        Shape: n items in, 0..n out, in order.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> prices = {"AAPL": 190.5}
            >>> run(Flow.of("AAPL", "NONE").map_not_none(prices.get).to_list)
            [190.5]

        Source: Kotlin Flow `mapNotNull`.
        """
        return self._then(transform.map_not_none, check_callable("fn", fn))

    def flat_map(
        self, fn: Callable[[T_co], Result[FlowLike[U]]], *, concurrency: int = 1
    ) -> Flow[U]:
        """Replace each item by all items of what `fn` makes of it.

        ::

            source                      a-b-------|
            inner flows                 x--y|
                                          x--y|
            flat_map(fn)                x--yx--y--|
            flat_map(fn, concurrency=2) x-xy-y----|

        Args:
            fn: Gives a flow, an async iterable or an iterable; an async generator
                function will do.
            concurrency: How many inner flows to read at once; >= 1. With 1, each is
                read to its end and closed before the next item is pulled. With more,
                they run in tasks of their own, their items come as they arrive.

        Shape: n items in, any number out; each inner flow's in order. With
            `concurrency=n` an item is pulled when fewer than n inner flows run, and of
            each of n at most 16 items wait; runs 1 task and up to n for the inner ones.

        Raises:
            TypeError: at the call, if `fn` is not callable or `concurrency` not an
                integer; while running, if what `fn` gives cannot be iterated.
            ValueError: at the call, if `concurrency` is less than 1.

        Example:
            >>> run(Flow.of("ab", "c").flat_map(list).to_list)
            ['a', 'b', 'c']
            >>> run(Flow.of("ab", "c").flat_map(list, concurrency=2).to_set) == set(
            ...     "abc"
            ... )
            True

        Source: Kotlin Flow `flatMapConcat`, `flatMapMerge`.
        """
        check_callable("fn", fn)
        number = check_count("concurrency", concurrency, 1)
        if number == 1:
            return self._then(transform.flat_map, fn)
        return self._then(transform.flat_map_concurrent, fn, number)

    def flatten(self: Flow[FlowLike[U]], *, concurrency: int = 1) -> Flow[U]:
        """Give the items of the items.

        Args:
            concurrency: How many inner flows to read at once; >= 1. With 1, one after
                another; with more, their items come as they arrive: see `flat_map`.

        Shape: n flows, async iterables or iterables in, their items out; each inner
            flow's in order. With `concurrency=n`, of each of n at most 16 items wait.

        Raises:
            TypeError: at the call, if `concurrency` is not an integer; while running,
                if an item cannot be iterated.
            ValueError: at the call, if `concurrency` is less than 1.

        Example:
            >>> run(Flow.of([1, 2], (3,)).flatten().to_list)
            [1, 2, 3]

        Source: Kotlin Flow `flattenConcat`, `flattenMerge`.
        """
        number = check_count("concurrency", concurrency, 1)
        if number == 1:
            return self._then(transform.flatten, itself)
        return self._then(transform.flatten_concurrent, itself, number)

    def enumerate(self, start: int = 0) -> Flow[tuple[int, T_co]]:
        """Pair each item with its number.

        Args:
            start: The number of the first item.

        Shape: n items in, n tuples `(number, item)` out, in order.

        Raises:
            TypeError: at the call, if `start` is not an integer.

        Example:
            >>> run(Flow.of("a", "b").enumerate(1).to_list)
            [(1, 'a'), (2, 'b')]

        Source: Python's `enumerate`; Kotlin Flow `withIndex`.
        """
        return self._then(transform.enumerate, check_count("start", start, None))

    def pairwise(self) -> Flow[tuple[T_co, T_co]]:
        """Pair each item with the one before it.

        Shape: n items in, n - 1 tuples `(before, item)` out. Holds 1 item. No error of
            its own.

        Example:
            >>> run(Flow.of(1, 4, 9).pairwise().map(lambda p: p[1] - p[0]).to_list)
            [3, 5]

        Source: Python's `itertools.pairwise`.
        """
        return self._then(transform.pairwise)

    def scan(self, initial: A, fn: Callable[[A, T_co], Result[A]]) -> Flow[A]:
        """Give every intermediate value of a fold, `initial` first.

        Args:
            initial: The value before the first item.
            fn: Gives the next value from the value so far and an item.

        Shape: n items in, n + 1 out, in order; the first before anything is pulled.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> run(Flow.of(1, 2, 3).scan(0, lambda total, n: total + n).to_list)
            [0, 1, 3, 6]

        Source: Kotlin Flow `scan`; `itertools.accumulate` with `initial`.
        """
        return self._then(transform.scan, initial, check_callable("fn", fn))

    def running_reduce(self: Flow[S], fn: Callable[[S, S], Result[S]]) -> Flow[S]:
        """Give every intermediate value of a reduce, the first item first.

        Args:
            fn: Gives the next value from the value so far and an item.

        Shape: n items in, n out, in order.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> run(Flow.of(2, 5, 3).running_reduce(max).to_list)
            [2, 5, 5]

        Source: Kotlin Flow `runningReduce`; `itertools.accumulate`.
        """
        return self._then(transform.running_reduce, check_callable("fn", fn))

    def on_each(self, fn: Callable[[T_co], object]) -> Flow[T_co]:
        """Run `fn(item)` before each item is passed on.

        Args:
            fn: What to do; plain or async, its result is ignored.

        Shape: n items in, the same n out.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> run(Flow.of(1, 2).on_each(print).count)
            1
            2
            2

        Source: Kotlin Flow `onEach`.
        """
        return self._then(transform.on_each, check_callable("fn", fn))

    @overload
    def map_latest(self, fn: Callback[[T_co], U]) -> Flow[U]: ...
    @overload
    def map_latest(self, fn: Callable[[T_co], U]) -> Flow[U]: ...
    def map_latest(self, fn: Callable[[T_co], Any]) -> Flow[Any]:
        """Replace each item by what `fn` makes of it; a new item cancels the call.

        ::

            source                             1-5-2---|
            map_latest(lambda n: sleep(n, n))  -1----2-|

        Args:
            fn: Gives the new item; plain or async. A call that has not ended when the
                next item comes is cancelled, and its cleanup waited for, before `fn` is
                called again. One that never waits is not interrupted.

        Shape: n items in, 0..n out, in order; the last item's comes always. A slow
            reader does not hold the source back: at most 64 results wait for it, the
            next call waits until it is cancelled. Runs 2 tasks.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> look_up = lambda word: anyio.sleep(0.1)
            >>> run(Flow.of("a", "ab", "abc").map_latest(look_up).count)
            1

        Source: Kotlin Flow `mapLatest`.
        """
        return self._then(latest.map_latest, check_callable("fn", fn))

    def flat_map_latest(self, fn: Callable[[T_co], Result[FlowLike[U]]]) -> Flow[U]:
        """Give the items of what `fn` makes of an item, until the next item comes.

        ::

            source                    a---b-------|
            inner flow of each        x--y--z|
            flat_map_latest(fn)       x--yx--y--z-|

        Args:
            fn: Gives a flow, an async iterable or an iterable; an async generator
                function will do. A new item cancels the inner flow of the one before
                and waits until it has ended; what it had given is still delivered.

        Shape: n items in, any number out, in order; the last inner flow is read to its
            end. A slow reader does not hold the source back: at most 64 items wait for
            it, an inner flow then waits until it is cancelled. Runs 2 tasks.

        Raises:
            TypeError: at the call, if `fn` is not callable; while running, if what it
                gives cannot be iterated.

        Example:
            >>> search = lambda w: Flow.of(w).on_start(lambda: anyio.sleep(0.1))
            >>> run(Flow.of("a", "ab", "abc").flat_map_latest(search).to_list)
            ['abc']

        Source: Kotlin Flow `flatMapLatest`; RxJS `switchMap`.
        """
        return self._then(latest.flat_map_latest, check_callable("fn", fn))

    def flat_map_first(self, fn: Callable[[T_co], Result[FlowLike[U]]]) -> Flow[U]:
        """Give the items of what `fn` makes of an item; drop items that come meanwhile.

        ::

            source                   a---b--c----|
            inner flow of each       x----y|
            flat_map_first(fn)       x----y-x----y|

        Args:
            fn: Gives a flow, an async iterable or an iterable; an async generator
                function will do.

        Shape: n items in, any number out, in order. The source is never held back: what
            it gives while an inner flow runs is dropped. At most 16 items of that one
            wait. Runs 2 tasks.

        Raises:
            TypeError: at the call, if `fn` is not callable; while running, if what it
                gives cannot be iterated.

        Example:
            >>> run(Flow.of("ab", "cd").flat_map_first(list).to_list)
            ['a', 'b', 'c', 'd']

        Source: RxJS `exhaustMap`.
        """
        return self._then(latest.flat_map_first, check_callable("fn", fn))

    # ----------------------------------------------------------- select and limit

    @overload
    def filter(self, predicate: Callable[[T_co], TypeIs[U]]) -> Flow[U]: ...
    @overload
    def filter(self, predicate: Callable[[T_co], TypeGuard[U]]) -> Flow[U]: ...
    @overload
    def filter(self, predicate: Callable[[T_co], object]) -> Flow[T_co]: ...
    def filter(self, predicate: Callable[[T_co], object]) -> Flow[Any]:
        """Pass on the items that `predicate` accepts.

        Args:
            predicate: The test; plain or async. A `TypeIs` or `TypeGuard` function
                narrows the type of the items.

        Shape: n items in, 0..n out, in order.

        Raises:
            TypeError: at the call, if `predicate` is not callable.

        Example:
            >>> run(Flow(range(6)).filter(lambda n: n % 2).to_list)
            [1, 3, 5]

        Source: Kotlin Flow `filter`.
        """
        return self._then(select.filter, check_callable("predicate", predicate))

    def filter_not(self, predicate: Callable[[T_co], object]) -> Flow[T_co]:
        """Pass on the items that `predicate` does not accept.

        Args:
            predicate: The test; plain or async.

        Shape: n items in, 0..n out, in order.

        Raises:
            TypeError: at the call, if `predicate` is not callable.

        Example:
            >>> run(Flow.of("a", "", "b").filter_not(str.isspace).count)
            3

        Source: Kotlin Flow `filterNot`.
        """
        return self._then(select.filter_not, check_callable("predicate", predicate))

    def filter_not_none(self: Flow[S | None]) -> Flow[S]:
        """Pass on the items that are not None.

        Shape: n items in, 0..n out, in order. No error of its own.

        Example:
            >>> run(Flow.of(1, None, 0).filter_not_none().to_list)
            [1, 0]

        Source: Kotlin Flow `filterNotNull`.
        """
        return self._then(select.filter_not_none)

    @overload
    def filter_is_instance(self, types: type[U], /) -> Flow[U]: ...
    @overload
    def filter_is_instance(self, types: type[U], t2: type[U2], /) -> Flow[U | U2]: ...
    @overload
    def filter_is_instance(
        self, types: type[U], t2: type[U2], t3: type[U3], /
    ) -> Flow[U | U2 | U3]: ...
    @overload
    def filter_is_instance(self, *types: type[U]) -> Flow[U]: ...
    def filter_is_instance(self, *types: type[Any]) -> Flow[Any]:
        """Pass on the items that are instances of one of `types`.

        Args:
            types: At least one class.

        Shape: n items in, 0..n out, in order.

        Raises:
            TypeError: at the call, if there is no type or one is not a class.

        Example:
            >>> run(Flow.of(1, "a", 2.5).filter_is_instance(int, float).to_list)
            [1, 2.5]

        Source: Kotlin Flow `filterIsInstance`.
        """
        if not types or not all(isinstance(each, type) for each in types):
            message = f"types must be classes, at least one; got {types!r}"
            raise TypeError(message)
        return self._then(select.filter_is_instance, types)

    def distinct(
        self,
        key: Callable[[T_co], object] | None = None,
        *,
        max_size: int | None = None,
    ) -> Flow[T_co]:
        """Pass on the items that have not come before.

        Args:
            key: What to compare; left out, the items themselves. Must be hashable.
            max_size: How many keys to remember at most, >= 1; the least recently seen
                is forgotten first. Left out, all are remembered.

        Shape: n items in, 0..n out, in order. Holds a key for each item passed on, or
            `max_size` of them.

        Raises:
            TypeError: at the call, if `key` is not callable or `max_size` is not an
                integer; while running, if a key cannot be hashed.
            ValueError: at the call, if `max_size` is less than 1.

        Example:
            >>> run(Flow.of(3, 1, 3, 2).distinct().to_list)
            [3, 1, 2]

        Source: RxJS `distinct`; equality is `==`, so every nan passes.
        """
        check_optional_callable("key", key)
        size = check_optional_count("max_size", max_size, 1)
        if size is not None:
            return self._then(select.distinct_recent, key or itself, size)
        if key is not None:
            return self._then(select.distinct_by, key)
        return self._then(select.distinct)

    @overload
    def distinct_until_changed(
        self,
        key: Callback[[T_co], K],
        *,
        equal: Callable[[K, K], object] | None = None,
    ) -> Flow[T_co]: ...
    @overload
    def distinct_until_changed(
        self,
        key: Callable[[T_co], K],
        *,
        equal: Callable[[K, K], object] | None = None,
    ) -> Flow[T_co]: ...
    @overload
    def distinct_until_changed(
        self,
        key: None = None,
        *,
        equal: Callable[[T_co, T_co], object] | None = None,
    ) -> Flow[T_co]: ...
    def distinct_until_changed(
        self,
        key: Callable[[T_co], Any] | None = None,
        *,
        equal: Callable[[Any, Any], object] | None = None,
    ) -> Flow[T_co]:
        """Pass on an item if it differs from the one passed on before it.

        Args:
            key: What to compare; left out, the items themselves.
            equal: `equal(old, new)` tells whether they are the same; left out, `==`.

        Shape: n items in, 1..n out, in order; the first always. Holds 1 key.

        Raises:
            TypeError: at the call, if `key` or `equal` is not callable.

        Example:
            >>> run(Flow.of(1, 1, 2, 1).distinct_until_changed().to_list)
            [1, 2, 1]

        Source: Kotlin Flow `distinctUntilChanged`: compared is the last item that was
            passed on, not the last that came.
        """
        check_optional_callable("key", key)
        check_optional_callable("equal", equal)
        if key is None and equal is None:
            return self._then(select.distinct_until_changed)
        values = (key or itself, equal or equals)
        return self._then(select.distinct_until_changed_by, *values)

    def take(self, n: int) -> Flow[T_co]:
        """Pass on the first `n` items, then close the source and end.

        Args:
            n: How many, >= 0. With 0 the source is never started.

        Shape: 0..n items out, in order; pulls no more than `n`.

        Raises:
            TypeError: at the call, if `n` is not an integer.
            ValueError: at the call, if `n` is negative.

        Example:
            >>> run(Flow(range(1000)).take(3).to_list)
            [0, 1, 2]

        Source: Kotlin Flow `take`: item n is passed on first, then the source closed.
        """
        return self._then(limit.take, check_count("n", n))

    def take_last(self, n: int) -> Flow[T_co]:
        """Pass on the last `n` items, when the flow has ended.

        Args:
            n: How many, >= 0. With 0 the source is never started.

        Shape: 0..n items out, in order. Holds `n` items.

        Raises:
            TypeError: at the call, if `n` is not an integer.
            ValueError: at the call, if `n` is negative.

        Example:
            >>> run(Flow(range(10)).take_last(2).to_list)
            [8, 9]

        Source: RxJS `takeLast`.
        """
        return self._then(limit.take_last, check_count("n", n))

    def drop(self, n: int) -> Flow[T_co]:
        """Leave out the first `n` items.

        Args:
            n: How many, >= 0.

        Shape: n items fewer out than in, in order.

        Raises:
            TypeError: at the call, if `n` is not an integer.
            ValueError: at the call, if `n` is negative.

        Example:
            >>> run(Flow.of("header", "row").drop(1).to_list)
            ['row']

        Source: Kotlin Flow `drop`.
        """
        return self._then(limit.drop, check_count("n", n))

    def drop_last(self, n: int) -> Flow[T_co]:
        """Leave out the last `n` items.

        Args:
            n: How many, >= 0.

        Shape: n items fewer out than in, in order, each `n` items late. Holds `n`.

        Raises:
            TypeError: at the call, if `n` is not an integer.
            ValueError: at the call, if `n` is negative.

        Example:
            >>> run(Flow.of("row", "footer").drop_last(1).to_list)
            ['row']

        Source: RxJS `skipLast`.
        """
        return self._then(limit.drop_last, check_count("n", n))

    def take_while(
        self, predicate: Callable[[T_co], object], *, inclusive: bool = False
    ) -> Flow[T_co]:
        """Pass on items until `predicate` refuses one, then close the source and end.

        Args:
            predicate: The test; plain or async.
            inclusive: Whether the refused item is passed on too.

        Shape: n items in, 0..n out, in order.

        Raises:
            TypeError: at the call, if `predicate` is not callable.

        Example:
            >>> run(Flow.of(1, 2, 9, 3).take_while(lambda n: n < 5).to_list)
            [1, 2]

        Source: Kotlin Flow `takeWhile`; `inclusive` as in RxJS.
        """
        check_callable("predicate", predicate)
        stage = limit.take_through if inclusive else limit.take_while
        return self._then(stage, predicate)

    def drop_while(self, predicate: Callable[[T_co], object]) -> Flow[T_co]:
        """Leave out items until `predicate` refuses one.

        Args:
            predicate: The test; not called any more after it refused an item.

        Shape: n items in, 0..n out, in order.

        Raises:
            TypeError: at the call, if `predicate` is not callable.

        Example:
            >>> run(Flow.of(1, 2, 9, 3).drop_while(lambda n: n < 5).to_list)
            [9, 3]

        Source: Kotlin Flow `dropWhile`.
        """
        return self._then(limit.drop_while, check_callable("predicate", predicate))

    def take_until(self, other: limit.Signal) -> Flow[T_co]:
        """Give items until `other` emits.

        ::

            source            a--b--c--d|
            other             -----x
            take_until(other) a--b-|

        Args:
            other: A flow or async iterable; or an async function, such as
                `event.wait`, whose return counts as its only item. It runs in a task of
                its own, from the first pull on.

        Shape: the first items, which are pulled one at a time. The source is closed as
            `other` emits. One that ends without an item changes nothing; one that
            fails ends this flow with its error, after the items that came before. One
            that emits at once leaves no item.

        Raises:
            TypeError: at the call, if `other` is none of these; while running, if the
                function is not async.

        Example:
            >>> async def main():
            ...     stop = anyio.Event()
            ...     flow = Flow.interval(0.01).on_each(lambda n: n == 2 and stop.set())
            ...     return await flow.take_until(stop.wait).to_list()
            >>> run(main)
            [0, 1, 2]

        Source: RxJS `takeUntil`.
        """
        return self._then(limit.take_until, signal(other))

    def drop_until(self, other: limit.Signal) -> Flow[T_co]:
        """Leave out the items that come before `other` emits.

        ::

            source            a--b--c--d|
            other             -----x
            drop_until(other) ------c--d|

        Args:
            other: A flow or async iterable; or an async function, such as
                `event.wait`, whose return counts as its only item. It runs in a task of
                its own, from the first pull on.

        Shape: the other items; they are pulled one at a time, also those that are left
            out, while somebody waits for one. If `other` ends without an item, all are
            left out; if it fails, this flow ends with its error.

        Raises:
            TypeError: at the call, if `other` is none of these; while running, if the
                function is not async.

        Example:
            >>> run(Flow.interval(0.01).drop_until(Flow.of("go")).take(2).to_list)
            [0, 1]

        Source: RxJS `skipUntil`.
        """
        return self._then(limit.drop_until, signal(other))

    # ---------------------------------------------------------------------- group

    @overload
    def chunked(
        self, size: int, *, within: Duration | None = None
    ) -> Flow[list[T_co]]: ...
    @overload
    def chunked(
        self, size: int | None = None, *, within: Duration
    ) -> Flow[list[T_co]]: ...
    def chunked(
        self, size: int | None = None, *, within: Duration | None = None
    ) -> Flow[list[T_co]]:
        """Collect items into lists of `size`, or of what came `within` some time.

        ::

            source                a-b-c-d-e|
            chunked(2)            --x---y--(z|)
            source                ab---cd-e---|
            chunked(3, within=2)  --x----y--z-|     x = [a, b], y = [c, d], z = [e]

        Args:
            size: Items to a list, >= 1.
            within: How long a list waits for more, counted from when its first item
                came, in seconds or a timedelta; >= 0. What comes at its end still
                belongs to it.

        One of the two must be given; with both, whichever comes first.

        Shape: n items in, lists out, none empty; at the end and before an error comes
            the shorter list of what had arrived. Holds `size` items. With `within` it
            runs 1 task, which runs at most `size` items ahead of a slow consumer, 1024
            without a size: what is in which list does not depend on the consumer until
            then. Without a size a list holds as many items as come in that time.

        Raises:
            TypeError: at the call, if `size` is not an integer, `within` not a duration,
                or neither is given.
            ValueError: at the call, if `size` is less than 1, or `within` is negative,
                NaN or infinite.

        Example:
            >>> run(Flow(range(5)).chunked(2).to_list)
            [[0, 1], [2, 3], [4]]
            >>> run_virtual(Flow.interval(2).take(7).chunked(9, within=5).to_list)
            [[0, 1, 2], [3, 4, 5], [6]]

        Source: Kotlin Flow `chunked`, which loses the items before an error; `within`
            as in tokio-stream's `chunks_timeout`.
        """
        if size is None and within is None:
            message = "size or within must be given; got neither"
            raise TypeError(message)
        size = check_optional_count("size", size, 1)
        if within is None:
            return self._then(group.chunked, size)
        seconds = check_duration("within", within)
        return self._then(group.chunked_within, size, seconds, size or group.AHEAD)

    def windowed(
        self, size: int, step: int = 1, *, partial: bool = False
    ) -> Flow[list[T_co]]:
        """Give a list of the last `size` items after every `step` items.

        Args:
            size: Items to a window, >= 1.
            step: From the start of a window to the start of the next, >= 1; items
                between two windows are left out if it is larger than `size`.
            partial: Whether the windows that the end cuts short are given too.

        Shape: n items in; lists of `size` out, with `partial` shorter ones at the end,
            none empty. Holds `size` items. An error drops what no full window showed.

        Raises:
            TypeError: at the call, if `size` or `step` is not an integer.
            ValueError: at the call, if one is less than 1.

        Example:
            >>> run(Flow(range(5)).windowed(3).to_list)
            [[0, 1, 2], [1, 2, 3], [2, 3, 4]]

        Source: Kotlin's `windowed` on sequences.
        """
        check_count("size", size, 1)
        check_count("step", step, 1)
        return self._then(group.windowed, size, step, partial)

    def windowed_by_time(
        self, period: Duration, *, every: Duration | None = None
    ) -> Flow[list[T_co]]:
        """Give a list of what came in the last `period` seconds, at each tick of a grid.

        ::

            source                        ab---c-------d|
            windowed_by_time(3)           ---x--y--z--w-(v|)
            x = [a, b], y = [c], z = w = [], v = [d]

        Args:
            period: What a window covers, in seconds or a timedelta; > 0.
            every: From one window to the next; > 0. Left out, it is `period`: each
                item is in one window. If it is shorter, windows overlap; if it is
                longer, what came between two of them is in none.

        Shape: a list at `every`, `2 * every` and so on after the start of the
            collection, without drift, empty ones included. An item that comes at the
            same instant is in it. At the end comes the window up to then, if it has an
            item that no other showed; an error drops that one. Holds what comes in
            the longer of the two times. Runs 1 task; for a slow consumer windows are
            late, not lost, and once 1024 items wait upstream does too.

        Raises:
            TypeError: at the call, if one is not a number or a timedelta.
            ValueError: at the call, if one is 0, negative, NaN or infinite.

        Example:
            >>> ticks = Flow.interval(1, delay=0.5).take(5)
            >>> run_virtual(ticks.windowed_by_time(2).to_list)
            [[0, 1], [2, 3], [4]]
            >>> run_virtual(ticks.windowed_by_time(2, every=1).to_list)
            [[0], [0, 1], [1, 2], [2, 3], [3, 4]]

        Source: RxJS `bufferTime(bufferTimeSpan, bufferCreationInterval)`; the grid and
            windows that look back are flowpy's.
        """
        seconds = check_period("period", period)
        if every is not None:
            every = check_period("every", every)
        return self._then(group.windowed_by_time, seconds, every)

    @overload
    def chunked_by(self, key: Callback[[T_co], K]) -> Flow[tuple[K, list[T_co]]]: ...
    @overload
    def chunked_by(self, key: Callable[[T_co], K]) -> Flow[tuple[K, list[T_co]]]: ...
    def chunked_by(self, key: Callable[[T_co], Any]) -> Flow[tuple[Any, list[T_co]]]:
        """Collect neighbours of equal `key` into lists.

        Args:
            key: What to compare, with `==`.

        Shape: n items in, a tuple `(key, items)` for each run out, none empty. Holds
            the items of a run. Before an error comes the run of what had arrived.

        Raises:
            TypeError: at the call, if `key` is not callable.

        Example:
            >>> run(Flow.of("ab", "cd", "e").chunked_by(len).to_list)
            [(2, ['ab', 'cd']), (1, ['e'])]

        Source: Python's `itertools.groupby`.
        """
        return self._then(group.chunked_by, check_callable("key", key))

    @overload
    def group_by(
        self,
        key: Callback[[T_co], K],
        *,
        capacity: int = 64,
        max_groups: int | None = None,
    ) -> Flow[GroupedFlow[K, T_co]]: ...
    @overload
    def group_by(
        self,
        key: Callable[[T_co], K],
        *,
        capacity: int = 64,
        max_groups: int | None = None,
    ) -> Flow[GroupedFlow[K, T_co]]: ...
    def group_by(
        self,
        key: Callable[[T_co], Any],
        *,
        capacity: int = 64,
        max_groups: int | None = None,
    ) -> Flow[GroupedFlow[Any, T_co]]:
        """Sort items into flows of their own, one for each key, as keys appear.

        The groups are to be collected as they come, all of them at once: in tasks of
        their own, or by `flat_map` with as much `concurrency` as there are groups. One
        after the other will do for what fits in the buffers.

        ::

            source        a1-b1-a2--b2|
            group_by(...) x--y--------|
            x             a1----a2----|
            y                b1-----b2|

        Args:
            key: The key of an item; plain or async. It is called in a task of its own.
            capacity: How many items a group may hold that nobody has read yet, and how
                many groups may wait; >= 1.
            max_groups: How many groups there may be at once; >= 1. One more ends the
                group that has had no item for the longest time; where its key comes
                again, that makes a new group.

        Shape: one flow for each key, with the key in its `.key`, to be collected once.
            Each ends as the source does, and fails as it does. Upstream waits while a
            group is full. So while an unread group is full **no new group comes**: who
            waits for one then, instead of reading, waits for ever. What is not wanted
            is best left out above, by `filter`. Items are dropped whose group was left
            before its end, or is gone unread. Runs 1 task, which is shared: it goes on
            while this flow or a group is being collected, and has ended when the last
            of them returns. After an early stop here no new group is made, and those
            that nobody has begun to collect are refused.

        Raises:
            TypeError: at the call, if `key` is not callable, or a number no integer;
                while running, if a key is not hashable.
            ValueError: at the call, if `capacity` or `max_groups` is less than 1.
            FlowConsumedError: while running, if a group is collected a second time, or
                only after all others have left.

        Example:
            >>> async def main():
            ...     groups = await Flow(["tea", "ale", "gin"]).group_by(len).to_list()
            ...     return {group.key: await group.to_list() for group in groups}
            >>> run(main)
            {3: ['tea', 'ale', 'gin']}

        Source: RxJS `groupBy`, with bounds.
        """
        return self._then(
            group.group_by,
            check_callable("key", key),
            check_count("capacity", capacity, 1),
            check_optional_count("max_groups", max_groups, 1),
            GroupedFlow,
        )

    def partition(
        self, predicate: Callable[[T_co], object]
    ) -> tuple[Flow[T_co], Flow[T_co]]:
        """Return two flows over one collection: what matches, and the rest.

        ::

            source  1--2--3--4|
            odd     1-----3---|
            even    ---2-----4|

        Args:
            predicate: A function of the item, plain or async. It is called in a task
                of its own, with the context variables of the first collector.

        Shape: each item in one of the two, in order; each of the two is to be collected
            once, in whatever task. The one collection starts with the first of them,
            and goes on until both have ended or were left: the last to return has
            closed it. Each holds at most 64 items, then upstream waits, and so does
            the other one; this holds for one that nobody collects, until it is
            gone. What comes for one that was left early is dropped.

        Raises:
            TypeError: at the call, if `predicate` is not callable.
            FlowConsumedError: while running, if one is collected a second time.

        Example:
            >>> async def main():
            ...     odd, even = Flow(range(6)).partition(lambda n: n % 2)
            ...     return await odd.to_list(), await even.to_list()
            >>> run(main)
            ([1, 3, 5], [0, 2, 4])

        Source: RxJS `partition`, which collects twice; Python's recipe `partition`.
        """
        check_callable("predicate", predicate)
        matching, rest = share.Hub[T_co]("partition", 2, 64).branches()
        return (
            self._then(share.partition, predicate, matching),
            self._then(share.partition, predicate, rest),
        )

    # -------------------------------------------------------------------- combine

    @overload
    def concat(
        self, other: FlowLike[U], o2: FlowLike[U2], /
    ) -> Flow[T_co | U | U2]: ...
    @overload
    def concat(self, *others: FlowLike[U]) -> Flow[T_co | U]: ...
    def concat(self, *others: FlowLike[Any]) -> Flow[Any]:
        """Give the items of this flow, then those of each other.

        Args:
            others: Flows, async iterables or iterables, each started and closed in
                its turn.

        Shape: all items of all flows, in order.

        Raises:
            TypeError: at the call, if one cannot be iterated.

        Example:
            >>> run(Flow.of(1).concat(Flow.of(2), [3]).to_list)
            [1, 2, 3]

        Source: RxJS `concat`.
        """
        return as_flow(self)._then(combine.concat, flows(others))

    def start_with(self, *items: U) -> Flow[T_co | U]:
        """Give `items`, then those of this flow.

        Args:
            items: Of whatever kind, None included.

        Shape: the given items first, before anything is pulled. No error of its own.

        Example:
            >>> run(Flow.of(2, 3).start_with(0, 1).to_list)
            [0, 1, 2, 3]

        Source: RxJS `startWith`.
        """
        return as_flow(self)._then(combine.start_with, items)

    def end_with(self, *items: U) -> Flow[T_co | U]:
        """Give the items of this flow, then `items`.

        Args:
            items: Of whatever kind, None included.

        Shape: the given items last, after a normal end only. No error of its own.

        Example:
            >>> run(Flow.of(0, 1).end_with(2).to_list)
            [0, 1, 2]

        Source: RxJS `endWith`.
        """
        return as_flow(self)._then(combine.end_with, items)

    @overload
    def merge(self, other: FlowLike[U], o2: FlowLike[U2], /) -> Flow[T_co | U | U2]: ...
    @overload
    def merge(self, *others: FlowLike[U]) -> Flow[T_co | U]: ...
    def merge(self, *others: FlowLike[Any]) -> Flow[Any]:
        """Give the items of all flows as they come.

        ::

            source       a---b-|
            other        --1-----2|
            merge(other) a-1-b---2|

        Args:
            others: Flows, async iterables or iterables. Each flow runs in a task of
                its own, from the first pull on.

        Shape: all items of all flows in the order of arrival; ends when all have. Each
            runs at most 16 items ahead of what was taken of it.

        Raises:
            TypeError: at the call, if one cannot be iterated.

        Example:
            >>> run(Flow.of(1, 2).merge([3]).to_set)
            {1, 2, 3}

        Source: Kotlin Flow `merge`; RxJS `merge`.
        """
        return as_flow(self)._then(combine.merge, flows(others))

    @overload
    def zip(self, *, strict: bool = False) -> Flow[tuple[T_co]]: ...
    @overload
    def zip(
        self, other: FlowLike[U], /, *, strict: bool = False
    ) -> Flow[tuple[T_co, U]]: ...
    @overload
    def zip(
        self, other: FlowLike[U], o2: FlowLike[U2], /, *, strict: bool = False
    ) -> Flow[tuple[T_co, U, U2]]: ...
    @overload
    def zip(
        self,
        other: FlowLike[U],
        o2: FlowLike[U2],
        o3: FlowLike[U3],
        /,
        *,
        strict: bool = False,
    ) -> Flow[tuple[T_co, U, U2, U3]]: ...
    @overload
    def zip(
        self,
        other: FlowLike[U],
        o2: FlowLike[U2],
        o3: FlowLike[U3],
        o4: FlowLike[U4],
        /,
        *,
        strict: bool = False,
    ) -> Flow[tuple[T_co, U, U2, U3, U4]]: ...
    @overload
    def zip(
        self, *others: FlowLike[U], strict: bool = False
    ) -> Flow[tuple[T_co | U, ...]]: ...
    def zip(self, *others: FlowLike[Any], strict: bool = False) -> Flow[Any]:
        """Give tuples of the first items of all flows, of the second ones, and so on.

        ::

            source     a-----b--c|
            other      --1-2------3|
            zip(other) --x---y----(z|)    x = (a, 1), y = (b, 2), z = (c, 3)

        Args:
            others: Flows, async iterables or iterables. Each flow runs in a task of
                its own, from the first pull on.
            strict: Whether flows of different lengths are an error.

        Shape: as many tuples as the shortest flow has items; with its end the others
            are closed at once. For each tuple every flow is pulled once, all of them
            together; none runs ahead.

        Raises:
            TypeError: at the call, if one cannot be iterated.
            ValueError: while running, if `strict` and one flow ended before another.

        Example:
            >>> run(Flow.of("a", "b").zip(range(9)).to_list)
            [('a', 0), ('b', 1)]

        Source: Python's `zip`; Kotlin Flow `zip`.
        """
        return as_flow(self)._then(combine.zip, flows(others), strict)

    @overload
    def combine(self) -> Flow[tuple[T_co]]: ...
    @overload
    def combine(self, other: FlowLike[U], /) -> Flow[tuple[T_co, U]]: ...
    @overload
    def combine(
        self, other: FlowLike[U], o2: FlowLike[U2], /
    ) -> Flow[tuple[T_co, U, U2]]: ...
    @overload
    def combine(
        self, other: FlowLike[U], o2: FlowLike[U2], o3: FlowLike[U3], /
    ) -> Flow[tuple[T_co, U, U2, U3]]: ...
    @overload
    def combine(
        self,
        other: FlowLike[U],
        o2: FlowLike[U2],
        o3: FlowLike[U3],
        o4: FlowLike[U4],
        /,
    ) -> Flow[tuple[T_co, U, U2, U3, U4]]: ...
    @overload
    def combine(self, *others: FlowLike[U]) -> Flow[tuple[T_co | U, ...]]: ...
    def combine(self, *others: FlowLike[Any]) -> Flow[Any]:
        """Give tuples of the latest items of all flows, one for each that arrives.

        ::

            source         a---b-----|
            other          --1---2|
            combine(other) --x-y-z---|    x = (a, 1), y = (b, 1), z = (b, 2)

        Args:
            others: Flows, async iterables or iterables. Each flow runs in a task of
                its own, from the first pull on.

        Shape: nothing until each flow has an item, then one tuple for each arrival;
            ends when all have. Each runs at most 16 items ahead of what was taken of
            it. No arrival is left out: put `conflate()` below for the newest only.

        Raises:
            TypeError: at the call, if one cannot be iterated.

        Example:
            >>> run(Flow.of(1).combine([2], "a").to_list)
            [(1, 2, 'a')]

        Source: RxJS `combineLatest`; Kotlin Flow `combine`, which leaves arrivals out
            where the reader is slow.
        """
        return as_flow(self)._then(combine.combine, flows(others))

    @overload
    def with_latest_from(self) -> Flow[tuple[T_co]]: ...
    @overload
    def with_latest_from(self, other: FlowLike[U], /) -> Flow[tuple[T_co, U]]: ...
    @overload
    def with_latest_from(
        self, other: FlowLike[U], o2: FlowLike[U2], /
    ) -> Flow[tuple[T_co, U, U2]]: ...
    @overload
    def with_latest_from(
        self, other: FlowLike[U], o2: FlowLike[U2], o3: FlowLike[U3], /
    ) -> Flow[tuple[T_co, U, U2, U3]]: ...
    @overload
    def with_latest_from(
        self,
        other: FlowLike[U],
        o2: FlowLike[U2],
        o3: FlowLike[U3],
        o4: FlowLike[U4],
        /,
    ) -> Flow[tuple[T_co, U, U2, U3, U4]]: ...
    @overload
    def with_latest_from(self, *others: FlowLike[U]) -> Flow[tuple[T_co | U, ...]]: ...
    def with_latest_from(self, *others: FlowLike[Any]) -> Flow[Any]:
        """Give each item of this flow with the latest of each other.

        ::

            source                  a--b---c|
            other                   -1---2----
            with_latest_from(other) ---x---y|    x = (b, 1), y = (c, 2)

        Args:
            others: Flows, async iterables or iterables. Each runs in a task of its
                own, from the first pull on, and never waits; one that has ended
                leaves its last item.

        Shape: one tuple for each item of this flow, but for those that come before each
            other has one; ends with this flow, which is pulled one at a time. Holds
            the newest item of each other.

        Raises:
            TypeError: at the call, if one cannot be iterated.

        Example:
            >>> run(Flow.of(1, 2).with_latest_from("a").to_list)
            [(1, 'a'), (2, 'a')]

        Source: RxJS `withLatestFrom`.
        """
        return as_flow(self)._then(combine.with_latest_from, flows(others))

    @overload
    def race(self, other: FlowLike[U], o2: FlowLike[U2], /) -> Flow[T_co | U | U2]: ...
    @overload
    def race(self, *others: FlowLike[U]) -> Flow[T_co | U]: ...
    def race(self, *others: FlowLike[Any]) -> Flow[Any]:
        """Give the items of the flow that is the first to have one.

        ::

            source      ----a-b|
            other       -1--2---3|
            race(other) -1--2---3|

        Args:
            others: Flows, async iterables or iterables. Each runs in a task of its
                own, from the first pull on.

        Shape: the items of one flow, which is pulled one at a time. The others are
            cancelled, and closed before its first item is passed on. One that ends
            without an item has not won: the race goes on without it. One that fails
            before any has an item fails the race. Of several at the same instant it is
            the first in their order that counts.

        Raises:
            TypeError: at the call, if one cannot be iterated.

        Example:
            >>> run(Flow.never().race(Flow.empty(), Flow.of(1, 2)).to_list)
            [1, 2]

        Source: RxJS `race`, where one that ends without an item wins.
        """
        return as_flow(self)._then(combine.race, flows(others))

    @overload
    def interleave(
        self, other: FlowLike[U], o2: FlowLike[U2], /
    ) -> Flow[T_co | U | U2]: ...
    @overload
    def interleave(self, *others: FlowLike[U]) -> Flow[T_co | U]: ...
    def interleave(self, *others: FlowLike[Any]) -> Flow[Any]:
        """Give one item of each flow in turn; one that has ended is passed over.

        ::

            source            a-b----c|
            other             1---2--3|
            interleave(other) (a1)-b-2--(c3)|

        Args:
            others: Flows, async iterables or iterables. Each flow runs in a task of
                its own, from its first turn on.

        Shape: all items of all flows, each flow's in order. A flow is pulled when it is
            its turn; none runs ahead.

        Raises:
            TypeError: at the call, if one cannot be iterated.

        Example:
            >>> run(Flow.of(1, 2, 3).interleave("ab").to_list)
            [1, 'a', 2, 'b', 3]

        Source: the recipe `roundrobin` of Python's itertools.
        """
        return as_flow(self)._then(combine.interleave, flows(others))

    # --------------------------------------------------------------------- buffer

    def buffer(
        self, capacity: int = 64, *, on_overflow: buffer.Overflow = "suspend"
    ) -> Flow[T_co]:
        """Run everything above in a task of its own, ahead of what is below.

        Args:
            capacity: How many items may wait; >= 0. With 0 each is handed over before
                the next one is pulled.
            on_overflow: What becomes of an item that comes for a full buffer:
                `"suspend"` has it wait, and upstream with it; `"drop_oldest"` puts it
                in the place of the oldest that waits; `"drop_latest"` drops it;
                `"error"` raises. All but the first need a capacity of at least 1.

        Shape: n items in, n out (fewer with one that drops), in order. Upstream runs at
            most `capacity + 1` items ahead, unless it is not to wait. Runs 1 task.

        Raises:
            TypeError: at the call, if `capacity` is not an integer.
            ValueError: at the call, if `capacity` is too small, or there is no such
                `on_overflow`.
            BufferOverflowError: while running, after the items that wait, if
                `on_overflow` is `"error"`.

        Example:
            >>> run(Flow(range(5)).buffer(2, on_overflow="drop_oldest").to_list)
            [3, 4]

        Source: Kotlin Flow `buffer`.
        """
        check_choice("on_overflow", on_overflow, *get_args(buffer.Overflow))
        if on_overflow == "suspend":
            return self._then(buffer.buffer, check_count("capacity", capacity))
        at_least_1 = check_count("capacity", capacity, 1)
        return self._then(buffer.buffer_or_drop, at_least_1, on_overflow)

    def conflate(self) -> Flow[T_co]:
        """Let only the newest item wait: a slow reader skips the others.

        ::

            source      abc-d---|
            slow reader a---c---d|

        Shape: n items in, 1..n out, in order; the last one is among them. Upstream
            never waits. Holds 1 item, runs 1 task. No error of its own.

        Example:
            >>> run(Flow(range(5)).conflate().to_list)
            [4]

        Source: Kotlin Flow `conflate`.
        """
        return self._then(buffer.conflate)

    def broadcast(self, n: int, *, capacity: int = 64) -> tuple[Flow[T_co], ...]:
        """Return n flows that each see every item of one collection.

        ::

            source  a--b--c--|
            first   a--b--c--|
            second  a--b|
            third   a--b--c--|

        Args:
            n: How many; >= 1.
            capacity: How many items each may hold that it has not read yet; >= 1.

        Shape: all items in each, in order; each is to be collected once, in whatever
            task. The one collection starts with the first of them, in a task of its
            own with the context variables of the first, and goes on until all have
            ended or were left: the last to return has closed it. The slowest sets the
            pace: upstream waits while one holds `capacity` items. So does one that
            nobody collects, until it is gone; one that was left early holds no other.

        Raises:
            TypeError: at the call, if a number is no integer.
            ValueError: at the call, if `n` or `capacity` is less than 1.
            FlowConsumedError: while running, if one is collected a second time.

        Example:
            >>> async def main():
            ...     low, high = Flow.of(3, 1, 2).broadcast(2)
            ...     return await low.min(), await high.max()
            >>> run(main)
            (1, 3)

        Source: Python's `itertools.tee`, with a bound; Akka Streams `Broadcast`.
        """
        check_count("n", n, 1)
        hub = share.Hub[T_co]("broadcast", n, check_count("capacity", capacity, 1))
        return tuple(
            self._then(share.broadcast, n, capacity, branch)
            for branch in hub.branches()
        )

    # ----------------------------------------------------------------------- time

    def debounce(
        self, seconds: Duration | Callable[[T_co], Result[Duration]]
    ) -> Flow[T_co]:
        """Emit an item only after `seconds` of quiet; a newer item replaces it.

        ::

            source        ab---c--d|
            debounce(2)   ---b---c-(d|)

        Args:
            seconds: Quiet period in seconds or a timedelta, >= 0; or a function of the
                item that gives one. After a period of 0 an item is emitted at once.

        Shape: n items in, 0..n out, in order. An item that comes just as the period
            ends replaces the one before. At the end the pending item is emitted, an
            error drops it. While the consumer is busy with an item the next one waits,
            and upstream with it; its period begins when the consumer is ready. Holds 1
            item, runs 1 task.

        Raises:
            TypeError: at the call, if `seconds` is none of these; while running, if the
                function gives no duration.
            ValueError: at the call, or while running if the function gives it, if
                `seconds` is negative, NaN or infinite.

        Example:
            >>> run_virtual(marbles("ab---c--d|").debounce(2).to_list)
            ['b', 'c', 'd']

        Source: Kotlin Flow `debounce`.
        """
        if not callable(seconds):
            seconds = check_duration("seconds", seconds)
        return self._then(time.debounce, seconds)

    def throttle(self, seconds: Duration, *, trailing: bool = False) -> Flow[T_co]:
        """Emit an item at once, then none for `seconds`; the next one at once again.

        ::

            source                      abc--d----ef-|
            throttle(3)                 a----d----e--|
            throttle(3, trailing=True)  a--c--d---e--(f|)

        Args:
            seconds: At least so long between two items, in seconds or a timedelta; >= 0.
            trailing: Whether the last item of each interval, if there was one after the
                first, is emitted at its end, which begins the next interval.

        Shape: n items in, 1..n out, in order. An interval begins with an item, and one
            that comes at the same instant as it ends is emitted. Runs in the collecting
            task and pulls as it is pulled. With `trailing` the last item is not lost at
            the end, which then comes with the interval's; an error drops it. Upstream
            runs in 1 task then, and does not wait while an interval goes on; holds 1
            item.

        Raises:
            TypeError: at the call, if `seconds` is not a number or a timedelta.
            ValueError: at the call, if it is negative, NaN or infinite.

        Example:
            >>> run_virtual(Flow.interval(1).take(6).throttle(2).to_list)
            [0, 2, 4]
            >>> numbers = Flow.of(1, 2, 3)
            >>> run_virtual(numbers.throttle(2, trailing=True).to_list)
            [1, 3]

        Source: RxJS `throttleTime`.
        """
        interval = check_duration("seconds", seconds)
        if trailing:
            return self._then(time.throttle_trailing, interval)
        return self._then(time.throttle, interval)

    def sample(self, period: Duration | AsyncIterable[object]) -> Flow[T_co]:
        """Emit the newest item at each tick of a grid, if there is a new one.

        ::

            source      abc-----d-e|
            sample(3)   ---c-----d-|

        Args:
            period: Between two ticks, in seconds or a timedelta, > 0: the grid begins
                at `period` after the start of the collection and does not drift. Or a
                flow of ticks; its end changes nothing.

        Shape: n items in, 0..n out, in order. What comes at the same instant as a tick
            comes before it: an item is emitted, the end and an error drop what no tick
            has shown. Ticks that a slow consumer misses are skipped. Upstream never
            waits. Holds 1 item, runs 1 task, with a flow of ticks 2.

        Raises:
            TypeError: at the call, if `period` is none of these.
            ValueError: at the call, if it is 0, negative, NaN or infinite.

        Example:
            >>> run_virtual(Flow.interval(1).take(9).sample(3).to_list)
            [3, 6]

        Source: Kotlin Flow `sample`, whose ticks a slow consumer shifts; a flow of
            ticks as in RxJS `sample`.
        """
        if isinstance(period, AsyncIterable):
            return self._then(time.sample_by, as_flow(period, "period"))
        return self._then(time.sample, check_period("period", period))

    def delay(self, seconds: Duration, *, capacity: int = 1024) -> Flow[T_co]:
        """Shift every item by `seconds`; what lies between two of them stays.

        ::

            source     ab--c|
            delay(3)   ---ab--(c|)

        Args:
            seconds: How much later, in seconds or a timedelta; >= 0.
            capacity: How many items may be on their way; >= 1.

        Shape: n items in, n out, in order. The end, or an error, comes after the
            last item, but is not shifted itself. Runs 1 task, which pulls at most
            `capacity` items that nobody took yet; then upstream waits.

        Raises:
            TypeError: at the call, if `seconds` is not a number or a timedelta, or
                `capacity` not an integer.
            ValueError: at the call, if `seconds` is negative, NaN or infinite, or
                `capacity` less than 1.

        Example:
            >>> async def main():
            ...     print(await record(Flow.interval(2).take(2).delay(3)))
            >>> run_virtual(main)
            ---0-(1|)

        Source: RxJS `delay`, in which an error overtakes the items.
        """
        return self._then(
            time.delay,
            check_duration("seconds", seconds),
            check_count("capacity", capacity, 1),
        )

    def delay_start(self, seconds: Duration) -> Flow[T_co]:
        """Wait once, before the source is started.

        ::

            source           a-b|
            delay_start(3)   ---a-b|

        Args:
            seconds: How long, in seconds or a timedelta; >= 0.

        Shape: n items in, n out, in order; the first pull waits.

        Raises:
            TypeError: at the call, if `seconds` is not a number or a timedelta.
            ValueError: at the call, if it is negative, NaN or infinite.

        Example:
            >>> async def main():
            ...     print(await record(Flow.interval(2).take(2).delay_start(3)))
            >>> run_virtual(main)
            ---0-(1|)

        Source: Kotlin Flow `onStart { delay(...) }`; RxJS `delayWhen` of the
            subscription.
        """
        return self._then(time.delay_start, check_duration("seconds", seconds))

    def pace(self, count: int, per: Duration) -> Flow[T_co]:
        """Emit at most `count` items per `per` seconds, evenly; drop nothing.

        ::

            source      abc----d|
            pace(1, 2)  a-b-c--d|

        Args:
            count: How many items, >= 1.
            per: In how long, in seconds or a timedelta; > 0.

        Shape: n items in, n out, in order, `per / count` seconds apart or more: there
            are no bursts after a pause. Runs in the collecting task; an item waits
            after it was pulled, so upstream is slowed down. Timers that fire late, by
            up to a tenth of that distance, don't add up.

        Raises:
            TypeError: at the call, if `count` is not an integer, or `per` not a number
                or a timedelta.
            ValueError: at the call, if `count` is less than 1, or `per` is 0, negative,
                NaN or infinite.

        Example:
            >>> async def main():
            ...     print(await record(Flow("abc").pace(1, 2)))
            >>> run_virtual(main)
            a-b-(c|)

        Source: RxJS `concatMap(item => of(item).pipe(delay(...)))`; `throttle` of
            Akka Streams in its shaping mode.
        """
        return self._then(
            time.pace, check_count("count", count, 1), check_period("per", per)
        )

    @overload
    def timeout(self, seconds: Duration, *, fallback: None = None) -> Flow[T_co]: ...
    @overload
    def timeout(
        self, seconds: Duration, *, fallback: FlowLike[U]
    ) -> Flow[T_co | U]: ...
    def timeout(
        self, seconds: Duration, *, fallback: FlowLike[Any] | None = None
    ) -> Flow[Any]:
        """Raise if the next item, the first one or the end takes too long.

        ::

            source       a-b----c|
            timeout(3)   a-b--#            # = TimeoutError

        Args:
            seconds: How long to wait for each, in seconds or a timedelta; >= 0. What
                comes just at that time is in time.
            fallback: What to go on with instead of raising: a flow, an async iterable
                or an iterable. No deadline holds for it.

        Shape: the items of the source up to the one that is late, then an error or the
            items of `fallback`. Time counts only while an item is waited for, not what
            is done with it below. The source is cancelled and closed first. Upstream
            runs in a task of its own, and pulls nothing ahead.

        Raises:
            TypeError: at the call, if `seconds` is not a number or a timedelta, or
                `fallback` cannot be iterated.
            ValueError: at the call, if `seconds` is negative, NaN or infinite.
            TimeoutError: while running, without a `fallback`; it says how long was
                waited, and for which item.

        Example:
            >>> slow = marbles("a-b----c|")
            >>> run_virtual(slow.timeout(3, fallback=["late"]).to_list)
            ['a', 'b', 'late']
            >>> run_virtual(slow.timeout(3).to_list)
            Traceback (most recent call last):
            ...
            TimeoutError: timeout: waited 3 s for item 2, counted from 0

        Source: Kotlin Flow `timeout`; the fallback is RxJS `timeout({with})`.
        """
        other = None if fallback is None else as_flow(fallback, "fallback")
        return self._then(time.timeout, check_duration("seconds", seconds), other)

    # ------------------------------------------------------ errors and life cycle

    @overload
    def catch(self, *types: type[Exception], handler: None = None) -> Flow[T_co]: ...
    @overload
    def catch(self, *, handler: Callable[[Exception], Result[None]]) -> Flow[T_co]: ...
    @overload
    def catch(
        self, *, handler: Callable[[Exception], Result[FlowLike[U] | None]]
    ) -> Flow[T_co | U]: ...
    @overload
    def catch(
        self,
        types: type[E],
        /,
        *others: type[E],
        handler: Callable[[E], Result[None]],
    ) -> Flow[T_co]: ...
    @overload
    def catch(
        self,
        types: type[E],
        /,
        *others: type[E],
        handler: Callable[[E], Result[FlowLike[U] | None]],
    ) -> Flow[T_co | U]: ...
    def catch(
        self,
        *types: type[Exception],
        handler: Callable[[Any], object] | None = None,
    ) -> Flow[Any]:
        """End the flow at an error from above, or go on with something else.

        Args:
            types: Subclasses of Exception; left out, all of them.
            handler: Called with the error; if it gives a flow, an async iterable or an
                iterable, the items of that follow. Anything else ends the flow.

        Shape: the items before the error, then those that `handler` gives. The source
            is closed before `handler` is called.

        Raises:
            TypeError: at the call, if a type is not a subclass of Exception or
                `handler` is not callable.

        Errors of `handler`, errors raised further down the chain and cancellation are
        not caught.

        Example:
            >>> lost = Flow.of(1, 0).map(lambda n: 6 // n)
            >>> run(lost.catch(ZeroDivisionError, handler=lambda e: [-1]).to_list)
            [6, -1]

        Source: Kotlin Flow `catch`.
        """
        check_error_types("types", types)
        check_optional_callable("handler", handler)
        return self._then(recover.catch, types or (Exception,), handler)

    def retry(
        self,
        times: int | None = None,
        *,
        on: type[Exception]
        | tuple[type[Exception], ...]
        | Callable[[Exception], object] = Exception,
        backoff: Duration = 0,
        factor: float = 2,
        max_backoff: Duration = 60,
        jitter: bool | Random = True,
        reset: bool = True,
    ) -> Flow[T_co]:
        """Collect what is above again after an error.

        Attempt n, counted from 0, comes after `backoff * factor**n` seconds, at most
        `max_backoff`.

        Args:
            times: How many times at most, >= 0; left out, without end.
            on: Which errors: a class, a tuple of classes or a predicate.
            backoff: The first wait, in seconds or a timedelta, >= 0.
            factor: What the wait is multiplied by each time, >= 0.
            max_backoff: The longest wait, in seconds or a timedelta, >= 0.
            jitter: Whether each wait is shortened at random by up to a half, so that
                clients that failed together don't return together. A
                `random.Random` makes it repeatable.
            reset: Whether the count starts anew once an item came through.

        Shape: the items of all attempts; those already passed on are not taken back.

        Raises:
            TypeError: at the call, if an argument is of the wrong type.
            ValueError: at the call, if a number is negative, NaN or infinite.
            FlowConsumedError: while running, if what is above can't be collected
                again; its cause is the error that asked for it.

        Example:
            >>> attempts = iter([OSError("busy"), None])
            >>> def fetch():
            ...     if error := next(attempts):
            ...         raise error
            ...     return ["ok"]
            >>> run(Flow(fetch).retry(3, on=OSError, backoff=0.1).to_list)
            ['ok']

        Source: Kotlin Flow `retry`; backoff with equal jitter as in the AWS
            Architecture Blog, "Exponential Backoff And Jitter".
        """
        times = check_optional_count("times", times)
        if callable(on) and not isinstance(on, type):
            check_callable("on", on)
        else:
            check_error_types("on", on)
        if not isinstance(jitter, bool):
            from random import Random  # noqa: PLC0415 - slow to import

            check_type("jitter", jitter, bool, Random)
        return self._then(
            recover.retry,
            times,
            on,
            check_duration("backoff", backoff),
            check_number("factor", factor),
            check_duration("max_backoff", max_backoff),
            jitter,
            reset,
        )

    def retry_when(
        self, fn: Callable[[Exception, int], Result[bool | Duration]]
    ) -> Flow[T_co]:
        """Collect what is above again for as long as `fn` says.

        Args:
            fn: Called with the error and the number of attempts made before this one,
                from 0: True collects again, a number of seconds or a timedelta does so
                after that time, False lets the error pass.

        Shape: the items of all attempts; those already passed on are not taken back.

        Raises:
            TypeError: at the call, if `fn` is not callable; while running, if it gives
                something else.
            ValueError: while running, if the seconds are negative, NaN or infinite.
            FlowConsumedError: while running, if what is above can't be collected
                again; its cause is the error that asked for it.

        Example:
            >>> twice = lambda error, attempt: attempt < 2
            >>> flow = Flow.fail(OSError()).on_start(lambda: print("try"))
            >>> run(flow.retry_when(twice).catch().to_list)
            try
            try
            try
            []

        Source: Kotlin Flow `retryWhen`.
        """
        return self._then(recover.retry_when, check_callable("fn", fn))

    def on_start(self, fn: Callable[[], object]) -> Flow[T_co]:
        """Run `fn()` before the source is started.

        Args:
            fn: What to do; plain or async. If it fails, the source is not started.

        Shape: n items in, the same n out.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> run(Flow.of(1).on_start(lambda: print("go")).to_list)
            go
            [1]

        Source: Kotlin Flow `onStart`.
        """
        return self._then(lifecycle.on_start, check_callable("fn", fn))

    def on_completion(self, fn: Callable[[BaseException | None], object]) -> Flow[T_co]:
        """Run `fn(error)` when the flow above has ended, however it did.

        Args:
            fn: Gets None at the normal end and after a stop or an error further down
                the chain, else the error from above, cancellation included. An error
                of its own is raised, the first one as its context.

        Shape: n items in, the same n out; `fn` runs once per collection, after the
            source has been closed.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> run(Flow.of(1, 2).on_completion(print).first)
            None
            1

        Source: Kotlin Flow `onCompletion`.
        """
        return self._then(lifecycle.on_completion, check_callable("fn", fn))

    def on_empty(self, fn: Callable[[], object]) -> Flow[T_co]:
        """Run `fn()` if the flow ends without an item.

        Args:
            fn: What to do; plain or async.

        Shape: n items in, the same n out.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> run(Flow([]).on_empty(lambda: print("nothing")).to_list)
            nothing
            []

        Source: Kotlin Flow `onEmpty`.
        """
        return self._then(lifecycle.on_empty, check_callable("fn", fn))

    def if_empty(self, *items: U) -> Flow[T_co | U]:
        """Give `items` if the flow ends without one of its own.

        Args:
            items: Of whatever kind, None included.

        Shape: n items in, the same n out, or the given ones. No error of its own.

        Example:
            >>> run(Flow([]).if_empty("none").to_list)
            ['none']

        Source: RxJS `defaultIfEmpty`.
        """
        return self._then(lifecycle.if_empty, items)

    def log(self, name: str | None = None, level: int | str = INFO) -> Flow[T_co]:
        """Write items, the end and errors to a logger.

        Args:
            name: Of the logger, as for `logging.getLogger`; left out, `"flowpy"`.
            level: Of the records, a number or a name; an error is written at ERROR or
                above, with its traceback.

        Shape: n items in, the same n out, n + 1 records.

        Raises:
            TypeError: at the call, if `name` is not a string or `level` neither a
                number nor a string.
            ValueError: at the call, if there is no level of that name.

        Example:
            >>> run(Flow.of(1, 2).log("app.ticks").to_list)
            [1, 2]

        Source: Reactor `log`.
        """
        check_type("name", name, str, NoneType)
        return self._then(lifecycle.log, name, check_level("level", level))

    def progress(
        self, description: str | None = None, *, total: int | None = None
    ) -> Flow[T_co]:
        """Show on standard error how many items have passed, and how fast.

        A bar in a terminal or a notebook, redrawn at most every 100 ms; where lines
        can't be drawn over, as in a log file, a line of text every 10 seconds, and one
        at the end. Drawn by tqdm: `pip install "flowpy-stream[progress]"`.

        ::

            load:  42%|████▏     | 42/100 [00:10<00:13,  4.20it/s]

        Args:
            description: What stands before the bar.
            total: How many items are expected; if not given, the length of the source,
                if that has one and each stage between gives an item for each.

        Shape: n items in, the same n out. Holds nothing, runs 1 task.

        Raises:
            TypeError: at the call, if `description` is not a string, or `total` not an
                integer.
            ValueError: at the call, if `total` is negative.
            ModuleNotFoundError: at the call, if tqdm is not installed.

        Example:
            >>> run(Flow(range(3)).progress("load").to_list)
            [0, 1, 2]

        Source: `tqdm`, which counts an item when it has been used; here, as it passes.
        """
        check_type("description", description, str, NoneType)
        total = check_optional_count("total", total)
        check_installed("progress", "tqdm", "progress")
        sized = sized_source(self._stages, self._values)
        return self._then(lifecycle.progress, description, total, sized)

    def measure(self, observer: Callable[[Snapshot], object]) -> Flow[T_co]:
        """Count what every stage above passes on, and tell an observer as it goes on.

        ::

            orders.map(fetch, concurrency=8).buffer(100).measure(observer).collect(save)

        The observer is called with a `Snapshot` every 100 ms, also while nothing comes,
        and once at the end, however that comes about. Its `stages` are those above,
        each with how many items and errors have come out of it, and how many items it
        holds: a buffer that is always full has its bottleneck below, one that is always
        empty has it above. What other flows do inside of `merge`, `zip` or `flat_map`
        shows in that stage; what `share`, `broadcast` or `partition` collect for
        several flows is not measured with one of them.

        `flowpy.ext.prometheus` and `flowpy.ext.opentelemetry` have observers.

        Args:
            observer: Called with a snapshot; plain or async.

        Shape: n items in, the same n out. Holds nothing, runs 1 task. A chain that is
            not measured costs what it did; each stage of one that is, some tens of
            nanoseconds an item more.

        Raises:
            TypeError: at the call, if `observer` is not callable; what it raises comes
                with the next item, or at the end.

        Example:
            >>> def watch(snapshot):
            ...     if snapshot.ended:
            ...         print({stage.call: stage.items for stage in snapshot.stages})
            >>> run(Flow(range(9)).filter(lambda n: n % 2).measure(watch).count)
            {'Flow(range)': 9, 'filter(<lambda>)': 4}
            4

        Source: the metrics of Reactor (`tap(Micrometer.metrics(registry))`), which
        measure one stage.
        """
        check_callable("observer", observer)
        return self._then(lifecycle.measure, observer, Description(self._calls))

    # -------------------------------------------------------------- ending a flow

    def __aiter__(self) -> AsyncGenerator[T_co, None]:  # noqa: PYI058 - to be closed
        return self._open()

    def open(self) -> AbstractAsyncContextManager[AsyncGenerator[T_co, None], None]:
        """Iterate in a block that has closed everything when it is left.

        After a `break` out of a bare `async for`, the event loop closes the flow a
        little later, in a task of its own; this does it before the next line.

        ::

            async with flow.open() as items:
                async for x in items:
                    break

        Shape: the items, in order; one collection. No error of its own.

        Example:
            >>> async def main():
            ...     async with Flow(range(9)).open() as items:
            ...         return await anext(items)
            >>> run(main)
            0

        Source: PEP 533, and `contextlib.aclosing`.
        """
        return closing(aiter(self))

    def iter_blocking(
        self, backend: Backend = "asyncio"
    ) -> Generator[T_co, None, None]:
        """Iterate from plain code, with an event loop in a thread of its own.

        Args:
            backend: The event loop: `"asyncio"`, `"uvloop"` or `"trio"`.

        Shape: the items, in order; one is pulled when one is asked for. Leaving the
            loop closes the flow before the next line (on CPython; elsewhere close the
            iterator).

        Raises:
            ValueError: at the call, if there is no such backend.
            ModuleNotFoundError: at the call, if the backend is not installed.
            RuntimeError: at the call, inside a running event loop.

        Example:
            >>> for n in Flow.of(1, 2).iter_blocking():
            ...     print(n)
            1
            2

        Source: flowpy's own.
        """
        from flowpy._blocking import iterate_blocking  # noqa: PLC0415 - few need it

        return iterate_blocking(self.open, backend)

    def launch_in(self, task_group: AnyTaskGroup) -> Job:
        """Collect in a task of a group, without waiting for it.

        Args:
            task_group: A task group of anyio or asyncio, or a nursery of trio.

        Shape: one collection, whose items are dropped; put `on_each` before. An error
            ends the group, as that of any task. The `Job` that it returns can be
            cancelled alone: `job.cancel()`; `await job.wait()` returns when it has
            ended, however it did.

        Raises:
            TypeError: at the call, if `task_group` is none of these.

        Example:
            >>> async def main():
            ...     async with anyio.create_task_group() as group:
            ...         job = Flow.of(1, 2).on_each(print).launch_in(group)
            ...         await job.wait()
            >>> run(main)
            1
            2

        Source: Kotlin Flow `launchIn`.
        """
        return launch(repr(self), self.collect, task_group)

    # ------------------------------------------------------------------ hot flows

    def share(self, replay: int = 0, *, linger: Duration = 0) -> Flow[T_co]:
        """Collect everything above once for all who listen at the same time.

        The first who listens starts the collection, the last one ends it and waits for
        that. Who comes later gets the last `replay` items and goes on from there. All
        of them get the end or the error of upstream; who comes after that starts a new
        collection.

        Args:
            replay: How many of the last items a newcomer gets first, >= 0.
            linger: For how many seconds after the last one has left the collection
                goes on, in case somebody comes, in seconds or a timedelta; >= 0.

        Shape: the items of upstream from then on, in order. The slowest listener sets
            the pace: upstream runs at most 64 items ahead of it, or as many as are
            replayed. Runs 1 task, 2 with `linger`, in the context of the first.

        With `linger`, upstream outlives its last listener. The event loop closes it if
        it ends first; an error meanwhile, which nobody hears, is logged by `"flowpy"`.

        Raises:
            TypeError: at the call, if `replay` is not an integer, or `linger` neither a
                number nor a timedelta.
            ValueError: at the call, if one is negative, or `linger` NaN or infinite.

        Example:
            >>> shared = Flow.of(1, 2).on_start(lambda: print("once")).share()
            >>> run(shared.zip(shared).to_list)
            once
            [(1, 1), (2, 2)]

        Source: RxJS `share`; Kotlin Flow has `shareIn` only.
        """
        check_count("replay", replay)
        seconds = check_duration("linger", linger)
        return self._then(hot.share, replay, seconds, hot.Sharing[Any](replay, seconds))

    def share_in(
        self,
        task_group: AnyTaskGroup,
        *,
        started: Started = "eagerly",
        replay: int = 0,
    ) -> SharedFlow[T_co]:
        """Collect this flow in a task of a task group, for all who listen.

        ::

            share_in(group)              starts now
            share_in(group, started="lazily")   starts when the first one comes
            share_in(group, started=while_subscribed())    starts and stops with them

        Args:
            task_group: Of anyio, asyncio or trio. Its cancellation ends the collection;
                those who listen then get a FlowClosedError.
            started: `"eagerly"`: now; `"lazily"`: when the first subscriber comes;
                `while_subscribed()`: while there are some.
            replay: How many of the last items a newcomer gets first, >= 0.

        Shape: the items from then on, in order; the end or the error of this flow,
            which those who come later get too, after what is replayed. An error does
            not cancel the task group. The slowest subscriber sets the pace: this flow
            runs at most 64 items ahead of it, or as many as are replayed. Runs 1 task,
            2 with `while_subscribed`.

        Raises:
            TypeError: at the call, if an argument is of the wrong type.
            ValueError: at the call, if `replay` is negative or there is no such
                `started`.

        Example:
            >>> async def main():
            ...     async with anyio.create_task_group() as group:
            ...         news = Flow.of("a", "b").share_in(group, replay=1)
            ...         await anyio.sleep(1)
            ...         return await news.to_list()
            >>> run(main)
            ['b']

        Source: Kotlin Flow `shareIn`, whose subscribers never hear of the end.
        """
        from flowpy._hot import share_in  # noqa: PLC0415 - it knows this module

        return share_in(self, task_group, started, replay)

    @overload
    def state_in(self, task_group: AnyTaskGroup) -> Ending[StateFlow[T_co]]: ...
    @overload
    def state_in(
        self, task_group: AnyTaskGroup, initial: U, *, started: Started = "eagerly"
    ) -> StateFlow[T_co | U]: ...
    def state_in(
        self,
        task_group: AnyTaskGroup,
        initial: Any = MISSING,
        *,
        started: Started = "eagerly",
    ) -> Any:
        """Collect this flow in a task of a task group, as a state: its newest item.

        ::

            price = prices.state_in(group, 0)        a state now, of value 0
            price = await prices.state_in(group)     a state once the first item is there

        Args:
            task_group: Of anyio, asyncio or trio. Its cancellation ends the collection;
                those who listen then get a FlowClosedError.
            initial: The value before the first item. Left out, the call is awaited,
                and gives the state with the first item.
            started: As for `share_in`; only with `initial`, to which a state returns
                that is forgotten.

        Shape: the initial value, then items that differ from the one before; who is
            slow skips some. Ends and fails as this flow does. Runs 1 task, 2 with
            `while_subscribed`.

        Raises:
            TypeError: at the call, if an argument is of the wrong type.
            ValueError: at the call, if there is no such `started`, or there is one and
                no `initial`.
            FlowEmptyError: while running, if it is awaited and this flow has no item;
                an error before the first item is raised there too.

        Example:
            >>> async def main():
            ...     async with anyio.create_task_group() as group:
            ...         price = await Flow.of(9, 8).state_in(group)
            ...         await anyio.sleep(1)
            ...         return price.value
            >>> run(main)
            8

        Source: Kotlin Flow `stateIn`, whose subscribers never hear of the end.
        """
        from flowpy._hot import state_in  # noqa: PLC0415 - it knows this module

        return state_in(self, task_group, initial, started)

    # ------------------------------------------------------------------ around it

    def pipe(
        self,
        fn: Callable[Concatenate[Flow[T_co], P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Return `fn(flow, *args, **kwargs)`, so that own operators read like others.

        Args:
            fn: A function whose first parameter is a flow; one made with `@flow` is
                an operator.
            args: Its other arguments.
            kwargs: Its other arguments, by name.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> def evens(numbers):
            ...     return numbers.filter(lambda n: n % 2 == 0)
            >>> run(Flow(range(5)).pipe(evens).to_list)
            [0, 2, 4]

        Source: `pipe` of pandas and polars.
        """
        return check_callable("fn", fn)(self, *args, **kwargs)


class GroupedFlow(Flow[T_co], Generic[K_co, T_co]):
    """A flow of the items with one key; `group_by` gives them.

    Args:
        key: What the items have in common.
        source: Where they come from, as `Flow` takes it.

    Shape: the items of the source, in order.

    Raises:
        TypeError: at the call, if `source` cannot be iterated.

    Example:
        >>> async def main():
        ...     groups = Flow(["a", "bb", "c"]).group_by(len)
        ...     return [(group.key, await group.to_list()) async for group in groups]
        >>> run(main)
        [(1, ['a', 'c']), (2, ['bb'])]

    Source: RxJS `GroupedObservable`.
    """

    __slots__ = ("key",)

    key: K_co

    def __init__(self, key: K_co, source: FlowLike[T_co]) -> None:
        super().__init__(source)
        self.key = key


def made(stages: Stages, values: Values) -> Flow[Any]:
    """Return a flow of these stages."""
    kind: type[Flow[Any]] = Flow
    flow = object.__new__(kind)
    flow._stages = stages
    flow._values = values
    return flow


def as_flow(value: Any, name: str = "flow") -> Flow[Any]:
    """Return argument `name` as a flow, which can say when it is used up."""
    if isinstance(value, Flow):
        return value  # pyright: ignore[reportUnknownVariableType] - of Any
    stage, values = sources.source_of(value, name=name)
    return made((stage,), (values,))


def flows(others: tuple[Any, ...]) -> tuple[Flow[Any], ...]:
    """Return each of `others` as a flow."""
    return tuple(as_flow(other, "others") for other in others)


def signal(other: Any) -> limit.Signal:
    """Return argument `other` in the form that operators wait for."""
    if is_async_iterable(other):
        return as_flow(other)
    if callable(other):
        function: limit.Signal = cast("Any", other)
        return function
    message = (
        f"other must be a flow, an async iterable or an async function; got {other!r}"
    )
    raise TypeError(message)
