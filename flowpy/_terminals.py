"""The awaitable endings of a flow: their signatures and what they mean.

The loops that do the work stand in `_operators/ending.py`. Nothing here names Flow,
which inherits from this class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from flowpy._callbacks import itself
from flowpy._chain import Chain
from flowpy._checks import check_callable, check_optional_callable, check_type
from flowpy._operators import ending
from flowpy._types import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from _typeshed import SupportsAdd, SupportsRichComparison

    from flowpy._types import Callback, Ending, Result

    class Summable(SupportsAdd[Any, Any], Protocol):
        """What can be added to its like and to 0."""

        def __radd__(self, other: int, /) -> Any: ...


T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
D = TypeVar("D")
K = TypeVar("K")
S = TypeVar("S")
V = TypeVar("V")
N = TypeVar("N", bound="Summable")
M = TypeVar("M", bound="SupportsAdd[Any, Any]")
C = TypeVar("C", bound="SupportsRichComparison")


class Terminals(Chain, Generic[T_co]):
    """The endings: each collects the flow once and gives one result.

    Arguments are checked when an ending is called; it runs when it is awaited.
    """

    __slots__ = ()

    def collect(self, fn: Callable[[T_co], object] | None = None) -> Ending[None]:
        """Run the flow to its end, calling `fn` for each item.

        Args:
            fn: What to do with an item; plain or async, awaited before the next pull.

        Shape: n items in, None out. Holds nothing.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> run(Flow.of("a", "b").collect, print)
            a
            b

        Source: Kotlin Flow `collect`.
        """
        if fn is None:
            return self._end(ending.collect)
        return self._end(ending.collect_with, check_callable("fn", fn))

    def collect_latest(self, fn: Callable[[T_co], object]) -> Ending[None]:
        """Run the flow to its end, calling `fn` for each item; a new one ends the call.

        Args:
            fn: What to do with an item; plain or async. A call that has not ended when
                the next item comes is cancelled, and its cleanup waited for, before
                `fn` is called again. One that never waits is not interrupted.

        Shape: n items in, None out, when the last call has ended. Holds nothing, runs 2
            tasks; `fn` does not hold the source back.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> run(Flow.of("a", "b").collect_latest, print)
            a
            b

        Source: Kotlin Flow `collectLatest`.
        """
        return self._end(ending.collect_latest, check_callable("fn", fn))

    def to_list(self) -> Ending[list[T_co]]:
        """Collect the items into a list.

        Shape: n items in, a list of n out, in order. No error of its own.

        Example:
            >>> run(Flow(range(3)).to_list)
            [0, 1, 2]

        Source: Kotlin Flow `toList`.
        """
        return self._end(ending.to_list)

    def to_set(self) -> Ending[set[T_co]]:
        """Collect the items into a set.

        Shape: n items in, a set of at most n out.

        Raises:
            TypeError: while running, if an item cannot be hashed.

        Example:
            >>> sorted(run(Flow.of(2, 1, 2).to_set))
            [1, 2]

        Source: Kotlin Flow `toSet`.
        """
        return self._end(ending.to_set)

    @overload
    def to_dict(self: Terminals[tuple[K, V]]) -> Ending[dict[K, V]]: ...
    @overload
    def to_dict(
        self, key: Callback[[T_co], K], value: Callback[[T_co], V]
    ) -> Ending[dict[K, V]]: ...
    @overload
    def to_dict(
        self, key: Callback[[T_co], K], value: Callable[[T_co], V]
    ) -> Ending[dict[K, V]]: ...
    @overload
    def to_dict(
        self, key: Callable[[T_co], K], value: Callback[[T_co], V]
    ) -> Ending[dict[K, V]]: ...
    @overload
    def to_dict(
        self, key: Callable[[T_co], K], value: Callable[[T_co], V]
    ) -> Ending[dict[K, V]]: ...
    @overload
    def to_dict(
        self, key: Callback[[T_co], K], value: None = None
    ) -> Ending[dict[K, T_co]]: ...
    @overload
    def to_dict(
        self, key: Callable[[T_co], K], value: None = None
    ) -> Ending[dict[K, T_co]]: ...
    @overload
    def to_dict(
        self, key: None = None, *, value: Callback[[T_co], V]
    ) -> Ending[dict[T_co, V]]: ...
    @overload
    def to_dict(
        self, key: None = None, *, value: Callable[[T_co], V]
    ) -> Ending[dict[T_co, V]]: ...
    def to_dict(
        self,
        key: Callable[[T_co], Any] | None = None,
        value: Callable[[T_co], Any] | None = None,
    ) -> Ending[dict[Any, Any]]:
        """Collect the items into a dict; of equal keys the last one wins.

        Args:
            key: Gives the key of an item; left out, the item itself is the key.
            value: Gives its value; left out, the item itself is the value.
                Without both, the items are pairs of key and value.

        Shape: n items in, a dict of at most n out, keys in the order first seen.

        Raises:
            TypeError: at the call, if `key` or `value` is not callable; while running,
                if a key cannot be hashed or an item is no pair where it must be one.
            ValueError: while running, if an item has not two parts where it must be a
                pair.

        Example:
            >>> run(lambda: Flow.of("one", "three").to_dict(value=len))
            {'one': 3, 'three': 5}

        Source: Kotlin Flow `associate`, `associateBy`, `associateWith`.
        """
        if key is None and value is None:
            return self._end(ending.to_dict)
        check_optional_callable("key", key)
        check_optional_callable("value", value)
        return self._end(ending.to_dict_by, key or itself, value or itself)

    @overload
    def to_groups(self, key: Callback[[T_co], K]) -> Ending[dict[K, list[T_co]]]: ...
    @overload
    def to_groups(self, key: Callable[[T_co], K]) -> Ending[dict[K, list[T_co]]]: ...
    def to_groups(self, key: Callable[[T_co], Any]) -> Ending[dict[Any, list[T_co]]]:
        """Collect the items into lists of equal `key`.

        Args:
            key: Gives the key of an item.

        Shape: n items in, a dict of lists with n items in all out; keys in the order
            first seen, items in order.

        Raises:
            TypeError: at the call, if `key` is not callable; while running, if a key
                cannot be hashed.

        Example:
            >>> run(Flow.of(1, 2, 3).to_groups, lambda n: n % 2)
            {1: [1, 3], 0: [2]}

        Source: Kotlin Flow `groupBy`, which also waits for the end.
        """
        return self._end(ending.to_groups, check_callable("key", key))

    @overload
    def first(
        self, predicate: Callable[[T_co], object] | None = None
    ) -> Ending[T_co]: ...
    @overload
    def first(
        self, predicate: Callable[[T_co], object] | None = None, *, default: D
    ) -> Ending[T_co | D]: ...
    def first(
        self,
        predicate: Callable[[T_co], object] | None = None,
        *,
        default: Any = MISSING,
    ) -> Ending[Any]:
        """Return the first item, or the first that `predicate` accepts, and stop.

        Args:
            predicate: Which item counts; left out, any does.
            default: The result if none came.

        Shape: pulls up to that item, 1 out. The source is closed before it returns.

        Raises:
            TypeError: at the call, if `predicate` is not callable.
            FlowEmptyError: while running, if no item counts and there is no default.

        Example:
            >>> run(Flow(range(10)).first, lambda n: n > 4)
            5

        Source: Kotlin Flow `first`.
        """
        if predicate is None:
            return self._end(ending.first, default)
        check_callable("predicate", predicate)
        return self._end(ending.first_where, predicate, default)

    @overload
    def last(self) -> Ending[T_co]: ...
    @overload
    def last(self, *, default: D) -> Ending[T_co | D]: ...
    def last(self, *, default: Any = MISSING) -> Ending[Any]:
        """Return the last item, when the flow has ended.

        Args:
            default: The result if no item came.

        Shape: n items in, 1 out. Holds 1 item.

        Raises:
            FlowEmptyError: while running, if no item came and there is no default.

        Example:
            >>> run(Flow(range(10)).last)
            9

        Source: Kotlin Flow `last`.
        """
        return self._end(ending.last, default)

    @overload
    def single(self) -> Ending[T_co]: ...
    @overload
    def single(self, *, default: D) -> Ending[T_co | D]: ...
    def single(self, *, default: Any = MISSING) -> Ending[Any]:
        """Return the only item.

        Args:
            default: The result if no item came.

        Shape: 1 item in, 1 out.

        Raises:
            FlowEmptyError: while running, if no item came and there is no default.
            ValueError: while running, as soon as a second item comes.

        Example:
            >>> run(Flow.of("only").single)
            'only'

        Source: Kotlin Flow `single`.
        """
        return self._end(ending.single, default)

    def fold(self, initial: A, fn: Callable[[A, T_co], Result[A]]) -> Ending[A]:
        """Combine all items into one value, beginning with `initial`.

        Args:
            initial: The value before the first item; the result if there is none.
            fn: Gives the next value from the value so far and an item.

        Shape: n items in, 1 value out. Holds 1 value.

        Raises:
            TypeError: at the call, if `fn` is not callable.

        Example:
            >>> run(Flow.of(1, 2, 3).fold, "", lambda text, n: f"{text}{n}")
            '123'

        Source: Kotlin Flow `fold`.
        """
        return self._end(ending.fold, initial, check_callable("fn", fn))

    def reduce(self: Terminals[S], fn: Callable[[S, S], Result[S]]) -> Ending[S]:
        """Combine all items into one, beginning with the first.

        Args:
            fn: Gives the next value from the value so far and an item.

        Shape: n items in, 1 value out. Holds 1 value.

        Raises:
            TypeError: at the call, if `fn` is not callable.
            FlowEmptyError: while running, if no item came.

        Example:
            >>> run(Flow.of(3, 4, 5).reduce, lambda a, b: a * b)
            60

        Source: Kotlin Flow `reduce`.
        """
        return self._end(ending.reduce, check_callable("fn", fn))

    def count(self, predicate: Callable[[T_co], object] | None = None) -> Ending[int]:
        """Count the items, or those that `predicate` accepts.

        Args:
            predicate: Which items count; left out, all do.

        Shape: n items in, a number out.

        Raises:
            TypeError: at the call, if `predicate` is not callable.

        Example:
            >>> run(Flow(range(10)).count, lambda n: n % 3 == 0)
            4

        Source: Kotlin Flow `count`.
        """
        if predicate is None:
            return self._end(ending.count)
        return self._end(ending.count_where, check_callable("predicate", predicate))

    @overload
    def sum(self: Terminals[int]) -> Ending[int]: ...
    @overload
    def sum(self: Terminals[N]) -> Ending[N | Literal[0]]: ...
    @overload
    def sum(self: Terminals[M], start: D) -> Ending[M | D]: ...
    def sum(self, start: Any = 0) -> Ending[Any]:
        """Add up the items, beginning with `start`.

        Args:
            start: What to add to; the result if no item came.

        Shape: n items in, 1 value out.

        Raises:
            TypeError: at the call, if `start` is text, which `join` is for; while
                running, if an item cannot be added.

        Example:
            >>> run(Flow(range(5)).sum)
            10

        Source: Python's `sum`.
        """
        if isinstance(start, (str, bytes, bytearray)):
            message = f"start must not be text, which join() is for; got {start!r}"
            raise TypeError(message)
        return self._end(ending.sum, start)

    @overload
    def min(self: Terminals[C], key: None = None) -> Ending[C]: ...
    @overload
    def min(self: Terminals[C], key: None = None, *, default: D) -> Ending[C | D]: ...
    @overload
    def min(self, key: Callable[[T_co], object]) -> Ending[T_co]: ...
    @overload
    def min(self, key: Callable[[T_co], object], default: D) -> Ending[T_co | D]: ...
    def min(
        self, key: Callable[[T_co], object] | None = None, default: Any = MISSING
    ) -> Ending[Any]:
        """Return the smallest item; of equal ones, the first.

        Args:
            key: What to compare; left out, the items themselves.
            default: The result if no item came.

        Shape: n items in, 1 out. Holds 1 item.

        Raises:
            TypeError: at the call, if `key` is not callable; while running, if two
                items cannot be compared.
            FlowEmptyError: while running, if no item came and there is no default.

        Example:
            >>> run(Flow.of("bb", "a", "c").min, len)
            'a'

        Source: Python's `min`.
        """
        check_optional_callable("key", key)
        return self._end(ending.min, key or itself, default)

    @overload
    def max(self: Terminals[C], key: None = None) -> Ending[C]: ...
    @overload
    def max(self: Terminals[C], key: None = None, *, default: D) -> Ending[C | D]: ...
    @overload
    def max(self, key: Callable[[T_co], object]) -> Ending[T_co]: ...
    @overload
    def max(self, key: Callable[[T_co], object], default: D) -> Ending[T_co | D]: ...
    def max(
        self, key: Callable[[T_co], object] | None = None, default: Any = MISSING
    ) -> Ending[Any]:
        """Return the largest item; of equal ones, the first.

        Args:
            key: What to compare; left out, the items themselves.
            default: The result if no item came.

        Shape: n items in, 1 out. Holds 1 item.

        Raises:
            TypeError: at the call, if `key` is not callable; while running, if two
                items cannot be compared.
            FlowEmptyError: while running, if no item came and there is no default.

        Example:
            >>> run(Flow.of(3, 5, 4).max)
            5

        Source: Python's `max`.
        """
        check_optional_callable("key", key)
        return self._end(ending.max, key or itself, default)

    def any(self, predicate: Callable[[T_co], object] | None = None) -> Ending[bool]:
        """Tell whether `predicate` accepts an item, and stop at the first.

        Args:
            predicate: The test; left out, the truth of the items.

        Shape: pulls up to the first such item, a bool out; False if no item came.

        Raises:
            TypeError: at the call, if `predicate` is not callable.

        Example:
            >>> run(Flow.of(1, 3, 4).any, lambda n: n % 2 == 0)
            True

        Source: Kotlin Flow `any`, Python's `any`.
        """
        check_optional_callable("predicate", predicate)
        return self._end(ending.any, predicate or itself)

    def all(self, predicate: Callable[[T_co], object] | None = None) -> Ending[bool]:
        """Tell whether `predicate` accepts every item, and stop at the first it doesn't.

        Args:
            predicate: The test; left out, the truth of the items.

        Shape: pulls up to the first other item, a bool out; True if no item came.

        Raises:
            TypeError: at the call, if `predicate` is not callable.

        Example:
            >>> run(Flow.of(1, 3, 4).all, lambda n: n % 2 == 1)
            False

        Source: Kotlin Flow `all`, Python's `all`.
        """
        check_optional_callable("predicate", predicate)
        return self._end(ending.all, predicate or itself)

    def none(self, predicate: Callable[[T_co], object] | None = None) -> Ending[bool]:
        """Tell whether `predicate` accepts no item, and stop at the first it does.

        Args:
            predicate: The test; left out, the truth of the items.

        Shape: pulls up to the first such item, a bool out; True if no item came.

        Raises:
            TypeError: at the call, if `predicate` is not callable.

        Example:
            >>> run(Flow.of(1, 3, 5).none, lambda n: n % 2 == 0)
            True

        Source: Kotlin Flow `none`.
        """
        check_optional_callable("predicate", predicate)
        return self._end(ending.none, predicate or itself)

    def join(self: Terminals[str], separator: str = "") -> Ending[str]:
        """Join the items, which are strings, into one.

        Args:
            separator: What to put between them.

        Shape: n strings in, 1 out; an empty one if none came.

        Raises:
            TypeError: at the call, if `separator` is not a string; while running, if
                an item is not.

        Example:
            >>> run(Flow.of("a", "b", "c").join, "-")
            'a-b-c'

        Source: Python's `str.join`.
        """
        check_type("separator", separator, str)
        return self._end(ending.join, separator)
