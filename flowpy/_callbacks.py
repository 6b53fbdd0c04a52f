"""How operators call the functions that users pass: always `await fn(...)`.

Plain functions, `async def`, partials, objects with an async `__call__` and lambdas
that return a coroutine all become one thing here. No operator asks which it has.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from inspect import CO_COROUTINE, iscoroutinefunction
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flowpy._checks import check_callable

if TYPE_CHECKING:
    from typing_extensions import TypeIs

F = TypeVar("F", bound="Callable[..., Any]")
T = TypeVar("T")
R = TypeVar("R")


def is_async(fn: Callable[..., Any]) -> bool:
    """Tell whether calling `fn` is known to give a coroutine.

    The flag of a bare function is read directly: `iscoroutinefunction` takes up to
    0.6 us, which is as much as building a stage costs.
    """
    if type(fn) is FunctionType and not fn.__dict__:
        return bool(fn.__code__.co_flags & CO_COROUTINE)
    while isinstance(fn, partial):
        fn = fn.func
    return iscoroutinefunction(fn) or iscoroutinefunction(type(fn).__call__)


def check_plain(name: str, fn: F) -> F:
    """Return `fn` if it can be called and is not async."""
    if is_async(check_callable(name, fn)):
        message = f"{name} must be a plain function, not an async one; got {fn!r}"
        raise TypeError(message)
    return fn


def is_coroutine(value: object) -> TypeIs[Coroutine[Any, Any, Any]]:
    """Tell whether `value` is a coroutine; a task or a future is an item like others."""
    return isinstance(value, Coroutine)


def awaiting(fn: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return `fn` as a function to await, for one collection.

    What is not known to be async decides at its first result: after a coroutine every
    result is tested, after a plain value none is.
    """
    if is_async(fn):
        own: Callable[..., Coroutine[Any, Any, Any]] = fresh(fn)
        return own
    decided = plain = False

    async def call(*args: Any) -> Any:
        nonlocal decided, plain
        result: object = fn(*args)
        if plain:
            return result
        if is_coroutine(result):
            decided = True
            return await result
        if not decided:
            plain = True
        return result

    return call


def noting(
    fn: Callable[..., Coroutine[Any, Any, T]], note: Callable[[Exception], None]
) -> Callable[..., Coroutine[Any, Any, T]]:
    """Return `fn` such that an error it raises is handed to `note` on its way."""

    async def call(*args: Any) -> T:
        try:
            return await fn(*args)
        except StopAsyncIteration:
            raise  # Python makes another error of it
        except Exception as error:
            note(error)
            raise

    vars(call)["bare"] = fn, note
    return call


def bare(
    fn: Callable[..., Coroutine[Any, Any, T]],
) -> tuple[Callable[..., Coroutine[Any, Any, T]], Callable[[Exception], None]]:
    """Return what `noting` was given, for those who hand errors to the note themselves.

    A coroutine around each call is a tenth of what a concurrent one costs.
    """
    both: tuple[Any, Any] = vars(fn).get("bare", (fn, unnoted))
    return both


def unnoted(error: Exception) -> None:
    """Stand in for the note on an error, where it is not wanted."""


def itself(item: T) -> T:
    """Stand in for a key function that was not given."""
    return item


def equals(old: object, new: object) -> bool:
    """Stand in for a comparison that was not given."""
    return bool(old == new)


class FreshCallback(Generic[R]):
    """A function to await that keeps something for one collection: each has its own.

    What stands for one is `Remote`, which is imported late; here is what is known of it.
    """

    __slots__ = ()

    async def __call__(self, item: Any, /) -> R:
        """Call it."""
        raise NotImplementedError  # pragma: no cover - abstract

    def afresh(self) -> Callable[..., Coroutine[Any, Any, R]]:
        """Return it for one collection."""
        raise NotImplementedError  # pragma: no cover - abstract

    def arguments(self) -> dict[str, object]:
        """Return the arguments of the method for which it stands, as they are shown."""
        raise NotImplementedError  # pragma: no cover - abstract


def fresh(value: Any) -> Any:
    """Return an argument of a stage for one collection."""
    return value.afresh() if is_fresh(value) else value


def is_fresh(fn: object) -> TypeIs[FreshCallback[Any]]:
    """Tell whether `fn` has to be made anew for each collection."""
    return isinstance(fn, FreshCallback)
