"""How operators call the functions that users pass: always `await fn(...)`.

Plain functions, `async def`, partials, objects with an async `__call__` and lambdas
that return a coroutine all become one thing here. No operator asks which it has.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from inspect import CO_COROUTINE, iscoroutinefunction
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flowpy._scheduler import wait_future

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from typing_extensions import TypeIs

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


def is_coroutine(value: object) -> TypeIs[Coroutine[Any, Any, Any]]:
    """Tell whether `value` is a coroutine; a task or a future is an item like others."""
    return isinstance(value, Coroutine)


def awaiting(fn: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return `fn` as a function to await, for one collection.

    What is not known to be async decides at its first result: after a coroutine every
    result is tested, after a plain value none is.
    """
    if is_async(fn):
        return fn
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


class Remote(Generic[T, R]):
    """A plain function that an executor runs, to be awaited like any other."""

    __slots__ = ("broken", "fn", "in_threads", "on")

    def __init__(self, fn: Callable[[T], R], on: Executor) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - slow to import

        self.fn = fn
        self.on = on
        self.in_threads = isinstance(on, ThreadPoolExecutor)
        self.broken = False
        """Whether the executor lost its workers, and so fails all that it was given."""

    def arguments(self) -> dict[str, object]:
        """Return how it was asked for, the executor by its class."""
        return {"fn": self.fn, "on": type(self.on)}

    async def __call__(self, item: T) -> R:
        try:
            result = await self._result(item)
        except Exception as error:
            if is_of_pickle(error):
                error.add_note(self._what_does_not_pickle(item))
            raise
        if is_coroutine(result):
            result.close()
            message = f"fn must be a plain function where `on` runs it; got {self.fn!r}"
            raise TypeError(message)
        return result

    async def _result(self, item: T) -> R:
        future = self._submit(item)
        try:
            return await wait_future(future)
        except BaseException as error:
            from concurrent.futures import BrokenExecutor  # noqa: PLC0415 - as above

            self.broken |= isinstance(error, BrokenExecutor)
            if not self.broken:
                # It has an effect on what the executor has not begun. A process pool
                # that broke fails futures in a thread of its own, which stumbles over
                # those that were cancelled (in older Pythons).
                future.cancel()
            raise
        finally:
            del future  # or it and the error that it holds would keep each other alive

    def _submit(self, item: T) -> Future[R]:
        if self.in_threads:
            # Threads see the context variables that the task does; nothing else could.
            return self.on.submit(copy_context().run, self.fn, item)
        return self.on.submit(self.fn, item)

    def _what_does_not_pickle(self, item: T) -> str:
        given = {f"fn, {self.fn!r}": self.fn, f"the item {item!r}": item}
        refused = [name for name, value in given.items() if not pickles(value)]
        what = " and ".join(refused) or f"what fn gave for {item!r}"
        return (
            f"map(on=...) sends functions, items and results to other processes: {what} "
            "cannot be pickled. A function has to stand at the top of a module"
        )


def is_of_pickle(error: Exception) -> bool:
    """Tell whether `error` is one of those that pickle raises for what it cannot take."""
    from pickle import PicklingError  # noqa: PLC0415 - slow to import

    kinds = (PicklingError, AttributeError, TypeError)
    return type(error) in kinds and "pickle" in str(error).lower()


def pickles(value: object) -> bool:
    """Tell whether `value` can be sent to another process."""
    from pickle import dumps  # noqa: PLC0415 - slow to import

    try:
        dumps(value)
    except Exception:  # noqa: BLE001 - whatever the value's own methods raise
        return False
    return True
