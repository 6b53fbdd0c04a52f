"""What a flow is made of: a source, the operators on it, and how they run.

A run of stages that can be fused is one function; the same chain runs as nested
generators, one for each stage, where FLOWPY_FUSION=0 asks for that or where the text of
the operators is missing.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from flowpy._callbacks import is_async
from flowpy._fusion import ENABLED, Part, cut, fuse, text_of
from flowpy._operator import Operator

if TYPE_CHECKING:
    from flowpy._types import Ending, Items

Stages = tuple[Operator[..., Any], ...]
Values = tuple[tuple[object, ...], ...]


def open_chain(stages: Stages, values: Values) -> Any:
    """Return what the last stage gives, with nothing started.

    Each run of stages that can be fused is one function; any other stage is called as
    it stands, with callbacks that are ready to be awaited.
    """
    runs = cut(stages) if ENABLED else one_by_one(stages)
    first = max(
        (k for k, run in enumerate(runs) if stages[run.start].reopens), default=0
    )
    above: tuple[Any, ...] = ()
    for run in runs[first:]:
        k = run.start
        if stages[k].reopens:
            above = (partial(open_chain, stages[:k], values[:k]),)
        if ENABLED and text_of(stages[k]) is not None:
            shape = tuple(map(part_of, stages[run], values[run]))
            above = (fuse(shape)(*above, *chain.from_iterable(values[run])),)
        else:
            above = (stages[k].start(*above, values=values[k]),)
    return above[0]


def one_by_one(stages: Stages) -> tuple[slice, ...]:
    """Return the runs of the nested mode: every stage stands alone."""
    return tuple(slice(k, k + 1) for k in range(len(stages)))


def part_of(stage: Operator[..., Any], values: tuple[object, ...]) -> Part:
    """Return a stage as a part of a shape: with callbacks told by their kind."""
    return stage, tuple(
        is_callback and callable(value) and is_async(value)
        for value, is_callback in zip(values, stage.callbacks, strict=True)
    )


class Chain:
    """A source and the operators on it; immutable, shared by the flows made from it."""

    __slots__ = ("__weakref__", "_stages", "_values")

    _stages: Stages
    _values: Values

    def _open(self) -> Items[Any]:
        items: Items[Any] = open_chain(self._stages, self._values)
        return items

    def _end(self, ending: Operator[..., Ending[Any]], *values: object) -> Ending[Any]:
        result: Ending[Any] = open_chain(
            (*self._stages, ending), (*self._values, values)
        )
        return result

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
