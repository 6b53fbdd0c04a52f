"""The cases that the marble pictures show: one table, which is played and drawn.

`test_pictures.py` asserts each case on both event loops and compares the files in
`docs/marbles` with what a run of the case looks like now; `pictures.py` writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from flowpy import Flow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flowpy.testing import Errors, Values

Rows = dict[str, Flow[Any]]


@dataclass(frozen=True)
class Listener:
    """Who collects a result: from which frame on, how fast, and what is to come."""

    expected: str
    at: int = 0
    pause: int = 0


@dataclass(frozen=True)
class Case:
    """A chain, what comes in, and what is to come out."""

    operator: str
    """The method that the picture explains."""
    call: str
    """What stands in the box. This text is what runs, with the inputs by name."""
    inputs: Mapping[str, str | tuple[str, ...]]
    """A diagram for each name; several for an input that is collected several times.
    `f(a)` and `f(b)` are what a function f gives for a and for b."""
    expected: str | Mapping[str, Listener]
    """What comes out; or, where that is several flows, who collects them, by label."""
    name: str = ""
    """The file's name; left out, it is the operator's."""
    values: Values | None = None
    errors: Errors | None = None
    pause: int = 0
    """How many frames the consumer takes for each item."""
    given: Callable[[Rows], Mapping[str, object]] = field(default=lambda rows: {})
    """Further names that the call uses."""
    flows: Callable[[Any], tuple[Flow[Any], ...]] = tuple
    """Makes of what the call gives a flow for each listener."""
    beside: Callable[[Any, Rows], Flow[Any]] | None = None
    """What is collected beside the listeners."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.operator)


def first_of(name: str) -> Callable[[Rows], Mapping[str, object]]:
    """Make a function of an item that waits for the first item of its row."""
    return lambda rows: {name: lambda item: rows[f"{name}({item})"].first()}


def twice(flow: Flow[Any]) -> tuple[Flow[Any], ...]:
    return flow, flow


def groups(flow: Flow[Any]) -> tuple[Flow[Any], ...]:
    """Give the keys of groups, then what is in group a, then what is in group b."""
    keys, a, b = flow.broadcast(3)
    return (
        keys.map(attrgetter("key")),
        a.filter(lambda group: group.key == "a").flatten(),
        b.filter(lambda group: group.key == "b").flatten(),
    )


def setting(state: Any, rows: Rows) -> Flow[Any]:
    """Set a state's value to each item of the row, and close it at the end."""

    def set_value(value: object) -> None:
        state.value = value

    return rows["value set"].on_each(set_value).on_completion(lambda _: state.close())


def emitting(shared: Any, rows: Rows) -> Flow[Any]:
    return rows["emit"].on_each(shared.emit).on_completion(lambda _: shared.close())


SECTIONS: dict[str, list[Case]] = {  # as in `_flow.py`
    "Starting a flow": [
        Case(
            "interval",
            "Flow.interval(3, delay=1)",
            {},
            "-0--1--2--3-!",
            values=int,
        ),
    ],
    "Transform": [
        Case(
            "map",
            "source.map(fetch, concurrency=2)",
            {"source": "ab---c----|", "fetch(a)": "----A|", "fetch(b)": "-B|"}
            | {"fetch(c)": "--C|"},
            "----(AB)--C--|",
            given=first_of("fetch"),
        ),
        Case(
            "map",
            "source.map(fetch, concurrency=2, ordered=False)",
            {"source": "ab---c----|", "fetch(a)": "----A|", "fetch(b)": "-B|"}
            | {"fetch(c)": "--C|"},
            "--B-A--C--|",
            name="map-unordered",
            given=first_of("fetch"),
        ),
        Case(
            "flat_map",
            "source.flat_map(pages)",
            {"source": "a-b----------|", "pages(a)": "1--2--|", "pages(b)": "3--4|"},
            "1--2--3--4---|",
        ),
        Case(
            "flat_map",
            "source.flat_map(pages, concurrency=2)",
            {"source": "a-b----------|", "pages(a)": "1--2--|", "pages(b)": "3--4|"},
            "1-32-4-------|",
            name="flat_map-concurrency",
        ),
        Case(
            "scan",
            "source.scan(0, add)",
            {"source": "--1--2---3-|"},
            "0-1--3---6-|",
            values=int,
            given=lambda rows: {"add": lambda total, n: total + n},
        ),
        Case(
            "map_latest",
            "source.map_latest(fetch)",
            {"source": "a--b----c----|", "fetch(a)": "--A|", "fetch(b)": "------B|"}
            | {"fetch(c)": "--C|"},
            "--A-------C--|",
            given=first_of("fetch"),
        ),
        Case(
            "flat_map_latest",
            "source.flat_map_latest(search)",
            {"source": "a---b-------|", "search(a)": "-1-2---|", "search(b)": "-3-4|"},
            "-1-2-3-4----|",
        ),
        Case(
            "flat_map_first",
            "source.flat_map_first(save)",
            {"source": "a--b---c----|", "save(a)": "-1-2-|", "save(c)": "-3-|"},
            "-1-2----3---|",
        ),
    ],
    "Select and limit": [
        Case(
            "distinct_until_changed",
            "source.distinct_until_changed()",
            {"source": "a-a-b-b-a-b|"},
            "a---b---a-b|",
        ),
        Case(
            "take_until",
            "source.take_until(other)",
            {"source": "a--b--c--d--|", "other": "-------x----|"},
            "a--b--c|",
        ),
        Case(
            "drop_until",
            "source.drop_until(other)",
            {"source": "a--b--c--d--|", "other": "----x-------|"},
            "------c--d--|",
        ),
    ],
    "Group": [
        Case(
            "chunked",
            "source.chunked(2)",
            {"source": "a-b--c-d--e--|"},
            "--x----y-----(z|)",
            values={"x": ["a", "b"], "y": ["c", "d"], "z": ["e"]},
        ),
        Case(
            "chunked",
            "source.chunked(3, within=2)",
            {"source": "a-b---c-----d-|"},
            "--x-----y-----(z|)",
            name="chunked-within",
            values={"x": ["a", "b"], "y": ["c"], "z": ["d"]},
        ),
        Case(
            "windowed",
            "source.windowed(2)",
            {"source": "a--b--c--d--|"},
            "---x--y--z--|",
            values={"x": ["a", "b"], "y": ["b", "c"], "z": ["c", "d"]},
        ),
        Case(
            "windowed_by_time",
            "source.windowed_by_time(3)",
            {"source": "-ab---c------d|"},
            "---x--y--w--w-(z|)",
            values={"x": ["a", "b"], "y": ["c"], "w": [], "z": ["d"]},
        ),
        Case(
            "chunked_by",
            "source.chunked_by(first_letter)",
            {"source": "'a1'-'a2'---'b1'---'a3'--|"},
            "------x---y--(z|)",
            values={"x": ("a", ["a1", "a2"]), "y": ("b", ["b1"]), "z": ("a", ["a3"])},
            given=lambda rows: {"first_letter": lambda item: item[0]},
        ),
        Case(
            "group_by",
            "source.group_by(first_letter)",
            {"source": "-'a1'-'b1'-'a2'---'b2'-|"},
            {
                "keys": Listener("-a-b-------|"),
                "group a": Listener("'a1'---'a2'-----|", at=1),
                "group b": Listener("'b1'-----'b2'-|", at=3),
            },
            given=lambda rows: {"first_letter": lambda item: item[0]},
            flows=groups,
        ),
        Case(
            "partition",
            "source.partition(str.isupper)",
            {"source": "A--b--c--D--|"},
            {
                "matching": Listener("A--------D--|"),
                "the rest": Listener("---b--c-----|"),
            },
        ),
    ],
    "Combine": [
        Case(
            "concat",
            "source.concat(other)",
            {"source": "a--b--|", "other": "-1--2--|"},
            "a--b---1--2--|",
        ),
        Case(
            "start_with",
            "source.start_with('x')",
            {"source": "--a---b-|"},
            "x-a---b-|",
        ),
        Case(
            "end_with",
            "source.end_with('x')",
            {"source": "a---b--|"},
            "a---b--(x|)",
        ),
        Case(
            "merge",
            "source.merge(other)",
            {"source": "a---b--c-|", "other": "--1-2------3|"},
            "a-1-(b2)--c---3|",
        ),
        Case(
            "zip",
            "source.zip(other)",
            {"source": "a--b-----c----d|", "other": "-1-----2----3|"},
            "-x-----y----z|",
            values={"x": ("a", "1"), "y": ("b", "2"), "z": ("c", "3")},
        ),
        Case(
            "combine",
            "source.combine(other)",
            {"source": "a-----b-----|", "other": "--1------2|"},
            "--x---y--z--|",
            values={"x": ("a", "1"), "y": ("b", "1"), "z": ("b", "2")},
        ),
        Case(
            "with_latest_from",
            "source.with_latest_from(other)",
            {"source": "a---b-----c-|", "other": "--1--2--3--4----"},
            "----x-----y-|",
            values={"x": ("b", "1"), "y": ("c", "3")},
        ),
        Case(
            "race",
            "source.race(other)",
            {"source": "----a--b--|", "other": "--1--2---3|"},
            "--1--2---3|",
        ),
        Case(
            "interleave",
            "source.interleave(other)",
            {"source": "a--b-----c-|", "other": "-1----2----3|"},
            "a1-b--2--c-3|",
        ),
    ],
    "Buffer": [
        Case(
            "buffer",
            "source.buffer(2)",
            {"source": "abcde|"},
            "a---b---c---d---e---|",
            pause=4,
        ),
        Case(
            "buffer",
            "source.buffer(1, on_overflow='drop_oldest')",
            {"source": "abcd--e---------|"},
            "a---d---e-------|",
            name="buffer-drop_oldest",
            pause=4,
        ),
        Case(
            "conflate",
            "source.conflate()",
            {"source": "abc--d-e-----|"},
            "a---c---e----|",
            pause=4,
        ),
        Case(
            "broadcast",
            "source.broadcast(2, capacity=1)",
            {"source": "abcd---------|"},
            {
                "quick": Listener("ab-c--d------|"),
                "slow": Listener("a--b--c--d---|", pause=3),
            },
        ),
    ],
    "Time": [
        Case(
            "debounce",
            "source.debounce(2)",
            {"source": "ab-c----de|"},
            "-----c----(e|)",
        ),
        Case(
            "throttle",
            "source.throttle(3)",
            {"source": "abc--d-e---f|"},
            "a----d-----f|",
        ),
        Case(
            "throttle",
            "source.throttle(3, trailing=True)",
            {"source": "abc--d-e---f|"},
            "a--c--d--e--(f|)",
            name="throttle-trailing",
        ),
        Case(
            "sample", "source.sample(3)", {"source": "-ab----cd----|"}, "---b-----d---|"
        ),
        Case(
            "sample",
            "source.sample(ticks)",
            {"source": "-ab----c-d---|", "ticks": "---x-x----x--|"},
            "---b------d--|",
            name="sample-ticks",
        ),
        Case("delay", "source.delay(3)", {"source": "ab---c---|"}, "---ab---c|"),
        Case(
            "delay_start",
            "source.delay_start(3)",
            {"source": "a-b--c-|"},
            "---a-b--c-|",
        ),
        Case("pace", "source.pace(1, 2)", {"source": "abc-----d|"}, "a-b-c---d|"),
        Case(
            "timeout",
            "source.timeout(3)",
            {"source": "a--b-----c--|"},
            "a--b--#",
            errors={"#": TimeoutError},
        ),
        Case(
            "timeout",
            "source.timeout(3, fallback=other)",
            {"source": "a--b-----c--|", "other": "1-2-|"},
            "a--b--1-2-|",
            name="timeout-fallback",
        ),
    ],
    "Errors and life cycle": [
        Case(
            "catch",
            "source.catch(handler=lambda error: other)",
            {"source": "a--b--#", "other": "1--2--|"},
            "a--b--1--2--|",
        ),
        Case(
            "retry",
            "source.retry(backoff=2, jitter=False)",
            {"source": ("a--b-#", "a--b--c-|")},
            "a--b---a--b--c-|",
        ),
        Case(
            "retry_when",
            "source.retry_when(lambda error, attempt: 1 + attempt)",
            {"source": ("a-#", "a-#", "a--b-|")},
            "a--a---a--b-|",
        ),
    ],
    "Hot flows": [
        Case(
            "share",
            "source.share(replay=1)",
            {"source": "a--b--c--d-|"},
            {
                "listener": Listener("a--b--c--d-|"),
                "late one": Listener("b-c--d-|", at=4),
            },
            flows=twice,
        ),
        Case(
            "SharedFlow",
            "SharedFlow()",
            {"emit": "-a--b--c--d-|"},
            {
                "listener": Listener("-a--b--c--d-|"),
                "late one": Listener("--c--d-|", at=5),
            },
            flows=twice,
            beside=emitting,
        ),
        Case(
            "StateFlow",
            "StateFlow('a')",
            {"value set": "-b-b-c-d-e----|"},
            {
                "quick": Listener("ab---c-d-e----|"),
                "slow": Listener("a---b---d---e---|", pause=4),
                "late": Listener("c-d-e----|", at=5),
            },
            flows=lambda state: (state, state, state),
            beside=setting,
        ),
    ],
}

CASES = [case for cases in SECTIONS.values() for case in cases]
