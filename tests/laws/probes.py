"""What the laws are observed with: a source that keeps count, callbacks of all kinds."""

from __future__ import annotations

from functools import partial

import anyio
from anyio.lowlevel import checkpoint

from flowpy import Flow


class Boom(Exception):
    """An error made for a test."""


class Source:
    """A restartable source that counts how often it is opened, pulled and closed.

    After its items it raises `error`, waits for ever (`hangs`), or ends.
    """

    def __init__(self, *items, error=None, hangs=False):
        self.items = items
        self.error = error
        self.hangs = hangs
        self.opened = self.pulled = self.closed = self.in_finally = 0
        self.failed = False

    async def generator(self):
        self.opened += 1
        try:
            for item in self.items:
                self.pulled += 1
                yield item
            if self.hangs:
                await anyio.sleep_forever()
            if self.error is not None:
                self.failed = True
                raise self.error
        finally:
            self.in_finally += 1
            with anyio.CancelScope(shield=True):
                await checkpoint()  # cleanup that awaits
            self.closed += 1

    def plain_generator(self):
        self.opened += 1
        try:
            for item in self.items:
                self.pulled += 1
                yield item
            if self.error is not None:
                self.failed = True
                raise self.error
        finally:
            self.in_finally += 1
            self.closed += 1

    def iterator(self):
        return Iterator(self)

    @property
    def is_closed(self):
        """Whether what was opened has been closed, each once and to the end."""
        return self.opened == self.in_finally == self.closed


class Iterator:
    """The same as an object with `__anext__` and `aclose`, and nothing more."""

    def __init__(self, source):
        self.source = source
        self.items = source.generator()

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await anext(self.items)

    async def aclose(self):
        await self.items.aclose()


SOURCE_KINDS = {
    "async generator": lambda source: Flow(source.generator),
    "plain generator": lambda source: Flow(source.plain_generator),
    "async iterator": lambda source: Flow(source.iterator),
}


def plain(fn):
    return fn


def coroutine_function(fn):
    async def call(*args):
        await checkpoint()
        return fn(*args)

    return call


def lambda_of_coroutine(fn):
    call = coroutine_function(fn)
    return lambda *args: call(*args)


def partial_of_plain(fn):
    return partial(lambda _, *args: fn(*args), "bound")


def partial_of_coroutine_function(fn):
    async def call(_, *args):
        return fn(*args)

    return partial(call, "bound")


class AsyncCall:
    def __init__(self, fn):
        self.fn = fn

    async def __call__(self, *args):
        await checkpoint()
        return self.fn(*args)


CALLBACK_KINDS = {
    "plain": plain,
    "async def": coroutine_function,
    "lambda that returns a coroutine": lambda_of_coroutine,
    "partial": partial_of_plain,
    "partial of async def": partial_of_coroutine_function,
    "object with async __call__": AsyncCall,
}
