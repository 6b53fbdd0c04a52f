"""Plays the cases of `marbles.py` and draws what happened: `python -m tests.docs.pictures`.

A picture is made of a run: of when the inputs were collected, gave an item and were
closed, and of what the chain gave when, as `flowpy.testing.record` saw it.
"""

from __future__ import annotations

import re
from functools import partial
from inspect import getdoc
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

import flowpy
from flowpy import Flow, flow
from flowpy.testing import Event, assert_marbles, diagram, marbles, record, run_virtual
from tests.docs.drawing import Picture, Row, drawn
from tests.docs.marbles import CASES, SECTIONS, Case, Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from flowpy.testing import Timeline

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FOLDER = DOCS / "marbles"
GALLERY = DOCS / "marbles.md"
COMMAND = "python -m tests.docs.pictures"


# ----------------------------------------------------------------- what a case runs


def source(case: Case, diagrams: str | tuple[str, ...]) -> Flow[Any]:
    """Make the flow that plays an input, a diagram for each collection."""
    play = partial(marbles, values=case.values, errors=case.errors)
    if isinstance(diagrams, str):
        return play(diagrams)
    return Flow(iter([play(each) for each in diagrams]).__next__)


def result(case: Case, rows: Mapping[str, Flow[Any]]) -> Any:
    """Evaluate the call of a case, with its inputs by name."""
    names: dict[str, object] = {name: getattr(flowpy, name) for name in flowpy.__all__}
    for label, row in rows.items():
        if called := re.fullmatch(r"(\w+)\(.+\)", label):
            names[called[1]] = lambda item, fn=called[1]: rows[f"{fn}({item})"]
        else:
            names[label] = row
    return eval(case.call, {**names, **case.given(dict(rows))})


def listeners(case: Case) -> Mapping[str, Listener]:
    if isinstance(case.expected, str):
        return {"": Listener(case.expected, pause=case.pause)}
    return case.expected


def started(
    case: Case, rows: Mapping[str, Flow[Any]]
) -> tuple[Sequence[Flow[Any]], Flow[Any]]:
    """Return the flow that each listener collects, and what is collected beside."""
    made = result(case, rows)
    flows = (made,) if isinstance(case.expected, str) else case.flows(made)
    beside = case.beside(made, dict(rows)) if case.beside else Flow.empty()
    return flows, beside


async def together(
    case: Case,
    rows: Mapping[str, Flow[Any]],
    listen: Callable[[str, Listener, Flow[Any]], Any],
) -> None:
    """Have each listener begin in its frame."""
    flows, beside = started(case, rows)

    async def listener(label: str, who: Listener, made: Flow[Any]) -> None:
        await anyio.sleep(who.at)
        await listen(label, who, made)

    async with anyio.create_task_group() as group:
        group.start_soon(beside.collect)
        for (label, who), made in zip(listeners(case).items(), flows, strict=True):
            group.start_soon(listener, label, who, made)


async def check(case: Case) -> None:
    """Assert what a case expects, on the event loop that runs."""
    told: dict[str, Any] = {"values": case.values, "errors": case.errors}
    rows = {name: source(case, diagrams) for name, diagrams in case.inputs.items()}
    if isinstance(case.expected, str):
        inputs = [
            diagrams if isinstance(diagrams, str) else rows[name]
            for name, diagrams in case.inputs.items()
        ]
        await assert_marbles(
            lambda *flows: result(case, dict(zip(rows, flows, strict=True))),
            *inputs,
            expected=case.expected,
            pause=case.pause,
            **told,
        )
        return

    async def listen(_: str, who: Listener, made: Flow[Any]) -> None:
        await assert_marbles(
            lambda: made, expected=who.expected, pause=who.pause, **told
        )

    await together(case, rows, listen)


# --------------------------------------------------------------- what a run looks like


@flow
async def seen(source: Flow[Any], row: Row, zero: float) -> AsyncIterator[Any]:
    """Pass everything on, and add to the row what happens in which frame."""

    def note(kind: Any, value: object = None) -> None:
        row.events.append(Event(round(anyio.current_time() - zero), kind, value))

    note("start")
    over = False
    try:
        async for item in source:
            note("item", item)
            yield item
        over = True
        note("end")
    except Exception as error:
        over = True
        note("error", error)
        raise
    finally:
        if not over:
            note("stop")


async def played(case: Case) -> Picture:
    """Run a case in virtual time and return what happened."""
    zero = anyio.current_time()
    inputs = [Row(name) for name in case.inputs]
    rows = {
        row.label: seen(source(case, case.inputs[row.label]), row, zero)
        for row in inputs
    }
    outputs = {
        label: Row(label, busy=who.pause) for label, who in listeners(case).items()
    }

    async def listen(label: str, who: Listener, made: Flow[Any]) -> None:
        got = await record(made, until=_stop(who), pause=who.pause)
        outputs[label].events.extend(_shifted(got, who.at))

    await together(case, rows, listen)
    for row in inputs:
        row.events[:] = [event for event in row.events if event.frame < 10_000]
    return Picture(case.name, case.call, inputs, list(outputs.values()))


def _stop(who: Listener) -> int | None:
    """Return in which frame a listener leaves, if it does."""
    last = diagram(who.expected).events[-1]
    return last.frame if last.kind == "stop" else None


def _shifted(timeline: Timeline, frames: int) -> Iterable[Event]:
    """Give what a listener saw that came some frames late; its own leaving is left out."""
    yield Event(frames, "start")
    for event in timeline.events:
        if event.kind != "stop":
            yield Event(event.frame + frames, event.kind, event.value)


# ------------------------------------------------------------------------- the files

INTRODUCTION = """# Marble pictures

Each picture is a run: the text in the box was executed in virtual time, and what came in
and what came out was written down. The tests assert each of them on asyncio and trio, and
compare these files with what a run looks like now.

Time goes from left to right, in seconds. A line lasts from when a flow begins to be
collected until that is over: a tall bar is its end, a cross an error, a short grey bar
where it was closed before its end, an arrow that it goes on. An item stands where its
flow gave it, which is no sooner than it was asked for; those of the same instant stand
one below the other. `[a b]` is a list, a pill around items a tuple. A grey band is a
reader at work on an item. What `pages(a)` gives is what the function `pages` made of item
a, and so with others.

The picture of `debounce` below, as a test of your own would say it:

```python
from flowpy.testing import assert_marbles

await assert_marbles(
    lambda source: {call},
    "{source}",
    expected="{expected}",
)
```

`flowpy.testing` has the notation. `{command}` draws these pictures, from
the table in `tests/docs/marbles.py`.
"""


def picture(case: Case) -> str:
    return drawn(run_virtual(partial(played, case)))


def gallery() -> str:
    """Return the page that shows all pictures."""
    first = next(case for case in CASES if case.name == "debounce")
    told = {"call": first.call, "expected": first.expected, **first.inputs}
    parts = [INTRODUCTION.format(command=COMMAND, **told)]
    for title, cases in SECTIONS.items():
        parts.append(f"## {title}\n")
        for operator, of_it in groupby(cases, key=attrgetter("operator")):
            link = f"[Reference]({reference(title, operator)})"
            parts.append(f"### {operator}\n\n{sentence(operator)} {link}\n")
            parts += [f"{shown(case)}\n" for case in of_it]
    return "\n".join(parts)


def sentence(operator: str) -> str:
    """Return the first sentence of an operator's documentation."""
    documented = getattr(Flow, operator, None) or getattr(flowpy, operator)
    return (getdoc(documented) or "").partition("\n")[0]


def reference(section: str, operator: str) -> str:
    """Return where the site documents an operator: `docs/build.py` writes that page."""
    method = f"flow-{section.lower().replace(' ', '-')}"
    page = method if hasattr(Flow, operator) else "hot-flows"
    return f"reference/{page}.md#{operator}"


def shown(case: Case, folder: str = "marbles") -> str:
    """Return the Markdown that shows a picture."""
    return f"![{case.call}]({folder}/{case.name}.svg)"


def files() -> dict[Path, str]:
    """Return what the pictures, and the page that shows them, are to hold."""
    pictures = {FOLDER / f"{case.name}.svg": picture(case) for case in CASES}
    return {GALLERY: gallery(), **pictures}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    wanted = files()
    for old in set(FOLDER.iterdir()) - set(wanted):
        old.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(wanted)} files written")


if __name__ == "__main__":
    main()
