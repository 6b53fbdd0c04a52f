"""Calls that an executor makes, in other threads, processes or machines.

Imported when a flow first has some: the standard library's part of it is slow to import.
"""

from __future__ import annotations

import re
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from pickle import PicklingError, dumps
from reprlib import Repr
from sys import modules
from typing import TYPE_CHECKING, Generic, TypeVar

from flowpy._callbacks import FreshCallback, is_coroutine
from flowpy._errors import add_note
from flowpy._scheduler import wait_future

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

T = TypeVar("T")
R = TypeVar("R")


class Remote(FreshCallback[R], Generic[T, R]):
    """A plain function that an executor runs, to be awaited like any other.

    It numbers the items of one collection, from 0, and an error names the item that it
    is about: one from another process or machine says nothing else of it. An executor
    that lost its workers does not tell which items they had, so all are named that were
    in flight.
    """

    __slots__ = ("count", "fn", "in_flight", "lost", "on")

    def __init__(self, fn: Callable[[T], R], on: Executor) -> None:
        self.fn = fn
        self.on = on
        self.count = 0
        self.in_flight: dict[int, T] = {}
        self.lost: dict[int, T] = {}
        """What was in flight when the executor lost its workers, until it has others."""

    def afresh(self) -> Remote[T, R]:
        """Return it for one collection."""
        return Remote(self.fn, self.on)

    def arguments(self) -> dict[str, object]:
        """Return what `map` was given, the executor by its class."""
        return {"fn": self.fn, "on": type(self.on)}

    async def __call__(self, item: T, /) -> R:
        number = self.count
        self.count += 1
        self.in_flight[number] = item
        try:
            result = await self._result(item)
        except Exception as error:
            if isinstance(error, BrokenExecutor) and not self.lost:
                self.lost = self.in_flight.copy()
            self._note(error, number, item)
            raise
        finally:
            del self.in_flight[number]
        if number not in self.lost:  # it came later
            self.lost = {}
        if is_coroutine(result):
            result.close()
            message = f"fn must be a plain function where `on` runs it; got {self.fn!r}"
            raise TypeError(message)
        return result

    async def _result(self, item: T) -> R:
        future = self._submit(item)
        try:
            return await wait_future(future)
        except BaseException:
            if not self.lost:
                # It has an effect on what the executor has not begun. A process pool
                # that broke fails futures in a thread of its own, which stumbles over
                # those that were cancelled (in older Pythons).
                future.cancel()
            raise
        finally:
            del future  # or it and the error that it holds would keep each other alive

    def _submit(self, item: T) -> Future[R]:
        if isinstance(self.on, ThreadPoolExecutor):
            # Threads see the context variables that the task does; nothing else could.
            return self.on.submit(copy_context().run, self.fn, item)
        return self.on.submit(self.fn, item)

    def _note(self, error: Exception, number: int, item: T) -> None:
        """Name the item on an error, or those that broke the executor."""
        on = type(self.on).__name__
        what, items = "failed for item", {number: item}
        if isinstance(error, BrokenExecutor):
            what, items = "broke, with these items in flight:", items | self.lost
        names = ", ".join(f"{k} ({brief(x)})" for k, x in sorted(items.items()))
        # An error that was raised before names what it is raised for now.
        notes: list[str] = getattr(error, "__notes__", [])
        with suppress(Exception):  # one that takes no notes is left as it is
            notes[:] = [note for note in notes if not note.startswith(ON)]
        add_note(error, f"{ON}{on}) {what} {names}; the first item is 0")
        if isinstance(error, PICKLING) and SENDING.search(str(error)):
            add_note(error, self._what_does_not_pickle(item))

    def _what_does_not_pickle(self, item: T) -> str:
        given = {f"fn, {self.fn!r}": self.fn, f"the item {item!r}": item}
        dump = pickler(self.on)
        refused = [name for name, value in given.items() if not pickles(value, dump)]
        what = " and ".join(refused) or f"what fn gave for {item!r}"
        text = "map(on=...) sends functions, items and results to other processes: "
        text += f"{what} cannot be pickled"
        if dump is dumps and not pickles(self.fn, dump):
            text += ". A function has to stand at the top of a module"
        return text


ON = "map(on="
"""How a note begins that names items."""

_brief = Repr()
_brief.maxother = _brief.maxstring = 60
brief = _brief.repr
"""Shows an item, shortened."""

PICKLING = (PicklingError, AttributeError, TypeError)
"""What is raised for what cannot be sent; Ray has subclasses of them."""

SENDING = re.compile(
    "(can.t|cannot|could not) (be )?(pickle|serialize|get local)|pickling",
    re.IGNORECASE,
)
"""What such an error says."""


def pickler(on: Executor) -> Callable[[object], bytes]:
    """Return what sends things to the workers of an executor.

    Those of others use cloudpickle, of their own at times, which takes lambdas too.
    """
    if not isinstance(on, ProcessPoolExecutor):
        for name in ("cloudpickle", "ray.cloudpickle"):
            if name in modules:
                dump: Callable[[object], bytes] = modules[name].dumps
                return dump
    return dumps


def pickles(value: object, dump: Callable[[object], bytes]) -> bool:
    """Tell whether `value` can be sent to another process."""
    try:
        dump(value)
    except Exception:  # noqa: BLE001 - whatever the value's own methods raise
        return False
    return True
