"""Faults of crews and hot flows, planted to show that the schedules would find them.

Each takes pytest's monkeypatch and breaks one thing that these promise.
"""

from __future__ import annotations

from contextvars import Context
from functools import wraps

import anyio

from flowpy import _crew, _iterating
from flowpy._broadcast import Reader
from flowpy._crew import Channel, Child, Crew, Queue
from flowpy._operators import buffer, hot
from flowpy._scheduler.asyncio import AsyncioTask
from flowpy._scheduler.trio import TrioTask

TASKS = (AsyncioTask, TrioTask)


def upstream_is_not_closed(monkeypatch):
    """A child leaves the source that it reads to the garbage collector."""

    class Leaving(_iterating.closing):
        async def __aexit__(self, *raised):
            return None

    monkeypatch.setattr(_crew, "closing", Leaving)
    monkeypatch.setattr(buffer, "closing", Leaving)


def children_are_not_awaited(monkeypatch):
    """The stage goes on while its children still clean up."""

    async def wait_for_none(*args, **kwargs):
        return None

    monkeypatch.setattr(_crew, "wait_for_all", wait_for_none)


def the_wait_is_not_shielded(monkeypatch):
    """A cancellation cuts the wait for the children short."""

    async def wait_bare(cancelled, pending, gate, harden, *, hard):
        while pending():
            await gate.park()

    monkeypatch.setattr(_crew, "wait_for_all", wait_bare)


def children_are_not_cancelled(monkeypatch):
    """Children that wait for something else than room are waited for."""
    for task in TASKS:
        monkeypatch.setattr(task, "cancel", lambda self, *, for_good: None)


def children_are_cancelled_for_good(monkeypatch):
    """Their cleanup is interrupted at each wait."""
    for task in TASKS:
        cancel = task.cancel
        monkeypatch.setattr(
            task,
            "cancel",
            lambda self, *, for_good, cancel=cancel: cancel(self, for_good=True),
        )


def children_are_cancelled_twice(monkeypatch):
    """Their cleanup is interrupted at its first wait."""
    for task in TASKS:
        once = task._cancel_once

        def twice(self, *looks, once=once):
            once(self, *looks)
            current = anyio.lowlevel.current_token()
            current.backend_class.run_sync_soon(
                once, (self, *looks), current.native_token
            )

        monkeypatch.setattr(task, "_cancel_once", twice)


def producers_are_not_told(monkeypatch):
    """Children that stand in a full channel stay there at the close."""

    def close(self):
        self.ahead = 0
        self.arrival.wake()

    monkeypatch.setattr(Channel, "close", close)


def errors_are_lost(monkeypatch):
    """A flow whose source failed just ends."""
    monkeypatch.setattr(Child, "_counts", lambda self, error: False)


def errors_are_wrapped(monkeypatch):
    """An error comes in a group, as of a task group."""
    fail = Crew.fail

    def wrapped(self, error):
        fail(self, BaseExceptionGroup("of a task", [error]))

    monkeypatch.setattr(Crew, "fail", wrapped)


def errors_are_copied(monkeypatch):
    """An error is another object than the one that was raised."""
    fail = Crew.fail
    monkeypatch.setattr(
        Crew, "fail", lambda self, error: fail(self, type(error)(*error.args))
    )


def an_error_overtakes_items(monkeypatch):
    """What came before an error is dropped."""
    fail = Crew.fail

    def in_haste(self, error):
        for channel in self._channels:
            channel.items.clear()
            if channel.line is not None:
                channel.line.turns.clear()
        fail(self, error)

    monkeypatch.setattr(Crew, "fail", in_haste)


def unwanted_errors_count(monkeypatch):
    """An error of work that nobody asks for any more is raised."""
    monkeypatch.setattr(_crew, "came_after", lambda error, kind: True)


def items_are_reordered(monkeypatch):
    """The newest item is read first."""
    take = Channel.full

    async def full(self):
        if len(self.items) > 1:
            self.items.reverse()
        return await take(self)

    monkeypatch.setattr(Channel, "full", full)


def ends_are_not_told(monkeypatch):
    """Who reads goes on waiting when the last child has ended."""

    def leave(self):
        self._feeders -= 1

    monkeypatch.setattr(Queue, "leave", leave)


def the_context_is_lost(monkeypatch):
    """Children see other context variables than the collector."""
    init = Crew.__init__

    @wraps(init)
    def without(self, name):
        init(self, name)
        self._context = Context()

    monkeypatch.setattr(Crew, "__init__", without)


def a_scope_is_held_across_yields(monkeypatch):
    """A stage holds a cancel scope while it yields (PEP 789)."""
    enter, leave = Crew.__aenter__, Crew.__aexit__
    scopes = {}

    async def aenter(self):
        scopes[id(self)] = anyio.CancelScope()
        scopes[id(self)].__enter__()
        return await enter(self)

    async def aexit(self, *raised):
        try:
            return await leave(self, *raised)
        finally:
            scopes.pop(id(self)).__exit__(*raised)

    monkeypatch.setattr(Crew, "__aenter__", aenter)
    monkeypatch.setattr(Crew, "__aexit__", aexit)


def subscribers_keep_their_place(monkeypatch):
    """One who has left a hot flow counts as one who does not read."""
    monkeypatch.setattr(Reader, "__exit__", lambda self, *raised: None)


def what_is_shared_is_not_closed(monkeypatch):
    """The last listener leaves upstream running."""

    async def aexit(self, *raised):
        self._listeners -= 1

    monkeypatch.setattr(hot.Run, "__aexit__", aexit)


PLANTED = [
    upstream_is_not_closed,
    children_are_not_awaited,
    the_wait_is_not_shielded,
    children_are_not_cancelled,
    children_are_cancelled_for_good,
    children_are_cancelled_twice,
    producers_are_not_told,
    errors_are_lost,
    errors_are_wrapped,
    errors_are_copied,
    an_error_overtakes_items,
    unwanted_errors_count,
    items_are_reordered,
    ends_are_not_told,
    the_context_is_lost,
    a_scope_is_held_across_yields,
    subscribers_keep_their_place,
    what_is_shared_is_not_closed,
]
