"""What becomes one function: which stages of a chain, and when that is worth it.

How they are made one stands in `_compiler`, how the runs are joined in `_chain`.
"""

from __future__ import annotations

import os
from functools import lru_cache
from itertools import chain
from math import prod
from typing import TYPE_CHECKING, Any

from flowpy._callbacks import fresh, is_async
from flowpy._iterating import read_in_turns, size_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowpy._compiler import Text
    from flowpy._operator import Stages, Values

ENABLED = os.environ.get("FLOWPY_FUSION", "1") != "0"
"""Whether chains are fused; `FLOWPY_FUSION=0` runs them as nested generators."""

MOST_STAGES = 30
"""Stages to a function: more would make a first run wait for the compiler."""

MOST_BLOCKS = 14
"""Loops, `with` and `try` around the innermost statement: CPython nests 20, of which
some are left to what the compiler adds itself."""

MOST_COPIES = 16
"""Copies of the last stage's text in a function: one for each `yield` above it."""


class Run:
    """Stages that become one function together, or one that stands alone."""

    __slots__ = ("callbacks", "fusible", "may_wait", "stages", "start", "stop")

    def __init__(self, start: int, stages: Stages, texts: list[Text]) -> None:
        self.start = start
        self.stop = start + len(stages)
        self.stages = stages
        self.fusible = bool(texts)
        self.callbacks = [
            (k, j)
            for k, stage in enumerate(stages)
            for j, is_callback in enumerate(stage.callbacks)
            if is_callback
        ]
        """Where they stand in the arguments of the stages."""
        self.may_wait = stages[0].run is read_in_turns and not any(
            text.multiplies for text in texts[1:]
        )
        """Whether the length of the source tells how much there is to do."""

    def open(
        self, note: Callable[..., None], above: tuple[Any, ...], values: Values
    ) -> Any | None:
        """Return what the one function gives, or None where it is not worth having.

        `note` is told in which of the stages an error was raised.
        """
        if not self.fusible:
            return None
        are_async = 0
        for bit, (k, j) in enumerate(self.callbacks):
            value = values[k][j]
            if callable(value) and is_async(value):
                are_async |= 1 << bit
        function = shape_of(self.stages, are_async).function
        function = function or self.compiled(values, are_async)
        if function is None:
            return None
        args = chain.from_iterable(values)
        # A callback that has to be made anew is async.
        return function(note, *above, *(map(fresh, args) if are_async else args))

    def compiled(self, values: Values, are_async: int) -> Callable[..., Any] | None:
        """Return the one function for the stages, once it is worth it.

        Compiling costs as much time as it saves over some thousand items. So a shape
        waits until it has been collected that much, if it can be told: where a source
        does not say its length, there may be no end of items.
        """
        shape = shape_of(self.stages, are_async)
        shape.items += COLLECTION + (size_of(values[0][0]) if self.may_wait else WORTH)
        if shape.items >= WORTH:
            known = {
                where
                for bit, where in enumerate(self.callbacks)
                if are_async >> bit & 1
            }
            from flowpy._compiler import fuse  # noqa: PLC0415 - see `cut`

            shape.function = fuse(self.stages, known)
        return shape.function


WORTH = 1000
"""Items that a shape has to be collected for before it is compiled."""

COLLECTION = 10
"""Items that take as long as it takes to set up a collection."""


class Shape:
    """A run of stages whose callbacks are known to be async or not."""

    __slots__ = ("function", "items")

    def __init__(self) -> None:
        self.function: Callable[..., Any] | None = None
        self.items = 0
        """How many it has been collected for, as nested generators."""


@lru_cache(maxsize=512)
def shape_of(stages: Stages, are_async: int) -> Shape:
    """Return what is known of a shape."""
    return Shape()


@lru_cache(maxsize=512)
def cut(stages: Stages, fused: bool) -> tuple[Run, ...]:  # noqa: FBT001 - the key
    """Return the runs of stages that become one function each, or stand alone."""
    # It brings much of the standard library with it, which whoever only imports flowpy
    # does not need.
    from flowpy._compiler import text_of  # noqa: PLC0415 - not before there is a chain

    runs: list[Run] = []
    start = 0
    texts: list[Text] = []
    for k, stage in enumerate(stages):
        text = text_of(stage) if fused else None
        if k and not (text and texts and fits([*texts, text])):
            runs.append(Run(start, stages[start:k], texts))
            start, texts = k, []
        if text:
            texts.append(text)
    return (*runs, Run(start, stages[start:], texts))


def fits(texts: list[Text]) -> bool:
    """Tell whether a function of these operators is small enough."""
    return (
        len(texts) <= MOST_STAGES
        and sum(text.blocks for text in texts) <= MOST_BLOCKS
        and prod(text.yields for text in texts[:-1]) <= MOST_COPIES
    )
