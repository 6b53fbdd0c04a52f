"""What a flow is made of: a source, the operators on it, and how they run.

A run of stages that can be fused is one function; the same chain runs as nested
generators, one for each stage, where FLOWPY_FUSION=0 asks for that or where the text of
the operators is missing.
"""

from __future__ import annotations

from functools import lru_cache, partial
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Literal

from flowpy._checks import check_choice
from flowpy._errors import add_note
from flowpy._fusion import ENABLED, Run, cut
from flowpy._iterating import COLLECTIONS, read_in_turns
from flowpy._meter import Meter, with_counters
from flowpy._operator import Unopened
from flowpy._operators.lifecycle import measure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flowpy._operator import Operator, Stages, Values
    from flowpy._plan import Plan
    from flowpy._types import Ending, Items


def open_chain(stages: Stages, values: Values, owner: Chain) -> Any:
    """Return what the last stage gives, with nothing started.

    Each run of stages that can be fused is one function, once that is worth it; any
    other stage is called as it stands, with callbacks that are ready to be awaited.
    Errors are noted in the words of `owner`, whose stages these are.
    """
    above: tuple[Any, ...] = ()
    for run, known in runs_to_open(stages, ENABLED):
        k = run.start
        part = owner._first(known) if known else owner
        if run.stages[0] is measure:
            return open_measured(stages, values, owner, k)
        if run.stages[0].reopens:
            above = (partial(open_chain, stages[:k], values[:k], part),)
        elif run.stages[0].holds and k:
            above = (Above(stages[:k], values[:k], part),)
        own = values[k : run.stop]
        items = run.open(partial(part._note, k), above, own)
        if items is not None:
            above = (items,)
            continue
        for j, stage in enumerate(run.stages):
            own_note = partial(part._note, k, stage=j)
            above = (stage.start(*above, values=own[j], note=own_note),)
    return above[0]


def open_measured(stages: Stages, values: Values, owner: Chain, k: int) -> Any:
    """Return the same with counters between the stages above stage `k`."""
    observer: Any
    description: Any
    observer, description = values[k]
    meter = Meter(observer, description.calls())
    stages, values, places = with_counters(stages, values, k, meter)
    return open_chain(stages, values, Counted(owner, places))


class Above(Unopened):
    """What is above a stage that runs it in a task: opened there, once."""

    __slots__ = ("_items", "_owner", "_stages", "_values")

    def __init__(self, stages: Stages, values: Values, owner: Chain) -> None:
        self._stages = stages
        self._values = values
        self._owner = owner
        self._items: Any = None

    def _end(self, ending: Operator[..., Ending[Any]], *values: object) -> Ending[Any]:
        result: Ending[Any] = open_chain(
            (*self._stages, ending), (*self._values, values), self._owner
        )
        return result

    def _collection(self) -> Iterable[Any] | None:
        if len(self._stages) != 1 or self._stages[0].run is not read_in_turns:
            return None
        items: Any = self._values[0][0]
        return items if type(items) in COLLECTIONS else None

    def __aiter__(self) -> Items[Any]:
        self._items = self._items or open_chain(self._stages, self._values, self._owner)
        items: Items[Any] = self._items
        return items

    async def aclose(self) -> None:
        """Close what has been opened."""
        if self._items is not None:
            await self._items.aclose()


@lru_cache(maxsize=512)
def runs_to_open(stages: Stages, fused: bool) -> list[tuple[Run, int]]:  # noqa: FBT001 - the key
    """Return the runs from the last one on that opens what is above it itself.

    Each comes with how many stages of the chain its notes may know of; 0: all. Those of
    a collection that several flows share must not keep these from being garbage.
    """
    runs: list[tuple[Run, int]] = []
    known = 0
    for run in reversed(cut(stages, fused)):
        if run.stages[0].shared:
            known = run.stop
        runs.insert(0, (run, known))
        if run.stages[0].reopens or run.stages[0].holds:
            break
    return runs


class Chain(Unopened):
    """A source and the operators on it; immutable, shared by the flows made from it."""

    __slots__ = ("__weakref__", "_stages", "_values")

    _stages: Stages
    _values: Values

    def _parts(self) -> tuple[Stages, Values]:
        return self._stages, self._values

    def _first(self, n: int) -> Chain:
        """Return the chain of the first so many stages."""
        part: Chain = object.__new__(type(self))
        part._stages, part._values = self._stages[:n], self._values[:n]
        return part

    def _open(self) -> Items[Any]:
        items: Items[Any] = open_chain(self._stages, self._values, self)
        return items

    def _end(self, ending: Operator[..., Ending[Any]], *values: object) -> Ending[Any]:
        result: Ending[Any] = open_chain(
            (*self._stages, ending), (*self._values, values), self
        )
        return result

    def _note(self, first: int, error: Exception, stage: int) -> None:
        """Note on an error in which stage it was raised."""
        k = first + stage
        place = f"stage {k}" if k < len(self._stages) else "the ending"
        text = f"in {place} of {self!r}"
        if text not in getattr(error, "__notes__", ()):
            add_note(error, text)

    def _calls(self) -> list[str]:
        """Return how each stage reads."""
        return [
            stage.describe(type(self), own)
            for stage, own in zip(self._stages, self._values, strict=True)
        ]

    @recursive_repr("Flow(...)")  # a list may hold a flow of that list
    def __repr__(self) -> str:
        return ".".join(self._calls())

    def explain(self, form: Literal["text", "mermaid"] = "text") -> str:
        """Return the plan: what runs where, and what holds items back.

        Nothing is run. Every stage is a line, with its number; behind it stands why it
        cannot become one function with its neighbours, where that is so. Jupyter shows
        the plan of a flow by itself.

        Args:
            form: `"text"`, or `"mermaid"` for a diagram: a box for each function, a
                frame for each task. Markdown shows it, in a block of code of that name.

        Raises:
            ValueError: at the call, if there is no such form.

        Example:
            >>> print(Flow.of(1, 2).map(str).retry(3).take(9).explain())
            0 Flow.of(1, 2)
            1   .map(str)
            2   .retry(3)  # a seam: collects everything above it again
            3   .take(9)
            functions: 0-1, 2, 3; all in the collecting task; no buffer
            >>> print(Flow.of(1, 2).map(str).buffer(9).take(9).explain())
            0 Flow.of(1, 2)
            1   .map(str)
            2   .buffer(9)  # a seam: runs upstream in a task of its own; at most 9 items wait
            3   .take(9)
            functions: 0-1, 2, 3; in tasks of their own: 0-1; in the collecting task: 2-3; buffers: 2
            >>> print(Flow.of(1, 2).map(str).take(9).explain("mermaid"))
            flowchart TD
                s0["0 Flow.of(1, 2)<br/>1 map(str)<br/>2 take(9)"]

        Source: the `explain` of polars and of SQL.
        """
        check_choice("form", form, "text", "mermaid")
        plan = self._plan()
        return plan.mermaid() if form == "mermaid" else plan.text()

    def _repr_html_(self) -> str:
        return self._plan().html()

    def _plan(self) -> Plan:
        from flowpy._plan import Plan  # noqa: PLC0415 - few need it

        return Plan(
            self._stages, self._values, self._calls(), lambda flow: flow._plan()
        )


class Counted(Chain):
    """A chain with counters between its stages, which are none of its own."""

    __slots__ = ("_owner", "_places")

    def __init__(self, owner: Chain, places: list[int]) -> None:
        self._owner = owner
        self._places = places

    def _first(self, n: int) -> Counted:
        places = self._places[:n]
        return Counted(self._owner._first(places[-1] + 1), places)

    def _note(self, first: int, error: Exception, stage: int) -> None:
        self._owner._note(self._places[first + stage], error, 0)
