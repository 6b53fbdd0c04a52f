"""What a flow is made of: a source, the operators on it, and how they run.

A run of stages that can be fused is one function; the same chain runs as nested
generators, one for each stage, where FLOWPY_FUSION=0 asks for that or where the text of
the operators is missing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from flowpy._callbacks import is_async
from flowpy._fusion import ENABLED, can_fuse, cut, fuse
from flowpy._operator import Operator

if TYPE_CHECKING:
    from flowpy._types import Ending, Items

Stages = tuple[Operator[..., Any], ...]
Values = tuple[tuple[object, ...], ...]


def open_nested(stages: Stages, values: Values) -> Items[Any]:
    """Return the chain as nested async generators, none of them started."""
    items: Items[Any]
    first = max((k for k, stage in enumerate(stages) if stage.reopens), default=0)
    if first:
        reopen = partial(open_nested, stages[:first], values[:first])
        items = stages[first].start(reopen, values=values[first])
    else:
        items = stages[0].start(values=values[0])
    for stage, own in zip(stages[first + 1 :], values[first + 1 :], strict=True):
        items = stage.start(items, values=own)
    return items


def open_fused(stages: Stages, values: Values) -> Any:
    """Return the chain as fused functions, called but not started."""
    items: Any = None
    for run in cut(stages):
        part, own = stages[run], values[run]
        if can_fuse(part[0]):
            shape, args = [], [] if items is None else [items]
            for stage, given in zip(part, own, strict=True):
                flags = tuple(
                    is_callback and callable(value) and is_async(value)
                    for value, is_callback in zip(given, stage.callbacks, strict=True)
                )
                shape.append((stage, flags))
                args += given
            items = fuse(tuple(shape))(*args)
        elif part[0].reopens:
            reopen = partial(open_fused, stages[: run.start], values[: run.start])
            items = part[0].start(reopen, values=own[0])
        else:
            items = part[0].start(*[] if items is None else [items], values=own[0])
    return items


class Chain:
    """A source and the operators on it; immutable, shared by the flows made from it."""

    __slots__ = ("__weakref__", "_stages", "_values")

    _stages: Stages
    _values: Values

    def _open(self) -> Items[Any]:
        if ENABLED:
            return open_fused(self._stages, self._values)
        return open_nested(self._stages, self._values)

    def _end(self, ending: Operator[..., Ending[Any]], *values: object) -> Ending[Any]:
        if ENABLED and type(self)._open is Chain._open:
            return open_fused((*self._stages, ending), (*self._values, values))
        return ending.start(self._open(), values=values)

    def __repr__(self) -> str:
        return ".".join(
            stage.describe(type(self), own)
            for stage, own in zip(self._stages, self._values, strict=True)
        )

    def explain(self) -> str:
        """Return the plan as text: what runs where, and what holds items back.

        Nothing is run. Every stage is a line; behind it stands why it cannot become
        one function with its neighbours, where that is so.

        Example:
            >>> print(Flow.of(1, 2).map(str).retry(3).explain())
            Flow.of(1, 2)
              .map(str)
              .retry(3)  # a seam: collects everything above it again
            3 nested async generators in the collecting task; no task, no buffer.

        Source: the `explain` of polars and of SQL.
        """
        lines: list[str] = []
        for stage, own in zip(self._stages, self._values, strict=True):
            indent = "  ." if lines else ""
            reason = f"  # a seam: {stage.seam}" if stage.seam else ""
            lines.append(f"{indent}{stage.describe(type(self), own)}{reason}")
        count = len(self._stages)
        generators = f"{count} nested async generators" if count > 1 else "1 generator"
        lines.append(f"{generators} in the collecting task; no task, no buffer.")
        return "\n".join(lines)
