"""How a chain will run, told without running it: as text, as a diagram, for a notebook.

What it tells is decided in `_fusion` (which stages are one function) and by what
operators say of themselves (`_operator`).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from flowpy._fusion import ENABLED, cut
from flowpy._operator import Unopened

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowpy._fusion import Run
    from flowpy._operator import Stages, Values

FLOWS = {"args", "fallback", "kwargs", "other", "others", "period"}
"""Parameters of stages that may hold other flows; the stage collects these."""


class Plan:
    """What runs where, and what holds items back."""

    def __init__(
        self,
        stages: Stages,
        values: Values,
        calls: list[str],
        plan_of: Callable[[Any], Plan],
    ) -> None:
        """Make the plan of a chain that reads as `calls`; `plan_of` makes those in it."""
        self.stages = stages
        self.values = values
        self.runs = cut(stages, ENABLED)
        """The stages that become one function each."""
        self.calls = calls
        self.holders = [k for k, stage in enumerate(stages) if stage.holds]
        # What stands above a stage with tasks runs in them; of a source, itself.
        ends = [k or 1 for k in self.holders]
        self.tasks = [*map(range, [0, *ends], [*ends, len(stages)])]
        """The stages that run in one task; those of the collecting task come last."""
        self._plan_of = plan_of

    def reason(self, k: int) -> str:
        """Return why stage `k` is no part of a larger function; "" where it can be."""
        stage = self.stages[k]
        return stage.reason(self.values[k]) if stage.seam else ""

    def inner(self, k: int) -> list[tuple[str, Plan]]:
        """Return the other flows that stage `k` collects, each with what it is to it."""
        found: list[tuple[str, Plan]] = []
        name = self.calls[k].partition("(")[0]
        stage = self.stages[k]
        for parameter, value in zip(stage.params, self.values[k], strict=True):
            if parameter in FLOWS:
                found += [
                    (f"{name}: {what or parameter}", self._plan_of(flow))
                    for what, flow in flows_in(value)
                ]
        return found

    def runs_in(self, task: range) -> list[Run]:
        """Return the functions that run in a task."""
        return [run for run in self.runs if run.start in task]

    def titles(self, last: str) -> list[str]:
        """Return what each task is called, given what the last one is."""
        return ["in a task of its own"] * (len(self.tasks) - 1) + [last]

    # ------------------------------------------------------------------------- as text

    def text(self) -> str:
        """Return it as text, a line for each stage."""
        lines: list[str] = []
        for k, call in enumerate(self.calls):
            indent = "  ." if k else ""
            reason = f"  # a seam: {self.reason(k)}" if self.reason(k) else ""
            lines.append(f"{k} {indent}{call}{reason}")
        functions = ", ".join(numbers(stages_of(run)) for run in self.runs)
        lines.append(f"functions: {functions}; {self._where()}")
        return "\n".join(lines)

    def _where(self) -> str:
        if not self.holders:
            return "all in the collecting task; no buffer"
        *own, last = map(numbers, self.tasks)
        return (
            f"in tasks of their own: {', '.join(own)}; "
            f"in the collecting task: {last}; "
            f"buffers: {', '.join(map(str, self.holders))}"
        )

    # ---------------------------------------------------------------------- as Mermaid

    def mermaid(self) -> str:
        """Return it as a diagram: a box for each function, a frame for each task."""
        last = "in the collecting task" if self.holders else ""
        return "\n".join(["flowchart TD", *self._boxes("s", "    ", last)])

    def _boxes(self, prefix: str, indent: str, last: str = "") -> list[str]:
        lines: list[str] = []
        titles = self.titles(last)
        for number, (task, title) in enumerate(zip(self.tasks, titles, strict=True)):
            boxes = [
                f'{indent}{prefix}{run.start}["{"<br/>".join(self._label(run))}"]'
                for run in self.runs_in(task)
            ]
            if title and boxes:
                lines += frame(f"{prefix}t{number}", title, boxes, indent)
            else:
                lines += boxes
        frames, arrows = self._inner_boxes(prefix, indent)
        lines += frames
        for above, below in pairwise(self.runs):
            holds = encoded(self._held(below.start))
            arrow = f'-->|"{holds}"|' if holds else "-->"
            lines.append(f"{indent}{prefix}{above.start} {arrow} {prefix}{below.start}")
        return lines + arrows

    def _inner_boxes(self, prefix: str, indent: str) -> tuple[list[str], list[str]]:
        """Return frames for the other flows, and the arrows from them."""
        frames: list[str] = []
        arrows: list[str] = []
        for run in self.runs:
            for k in stages_of(run):
                for number, (name, plan) in enumerate(self.inner(k)):
                    own = f"{prefix}{k}f{number}"
                    boxes = plan._boxes(f"{own}s", indent)
                    frames += frame(own, encoded(name), boxes, indent)
                    end = f"{own}s{plan.runs[-1].start}"
                    arrows.append(f"{indent}{end} --> {prefix}{run.start}")
        return frames, arrows

    def _held(self, k: int) -> str:
        """Return what waits between a stage and the one above it."""
        return self.reason(k).partition("; ")[2] if self.stages[k].holds else ""

    def _label(self, run: Run) -> list[str]:
        lines: list[str] = []
        for k in stages_of(run):
            lines.append(encoded(f"{k} {self.calls[k]}"))
            reason = self.reason(k)
            if k and self.stages[k].holds:
                reason = reason.partition("; ")[0]  # the rest stands at the arrow
            if reason:
                lines.append(encoded(f"a seam: {reason}"))
        return lines

    # ------------------------------------------------------------------------- as HTML

    def html(self) -> str:
        """Return it for a notebook: lists, in colours that suit light and dark."""
        return f'<div style="{FONT}">{self._tasks("in the collecting task")}</div>'

    def _tasks(self, last: str = "") -> str:
        parts: list[str] = []
        for task, title in zip(self.tasks, self.titles(last), strict=True):
            functions = [
                f'<div style="{BOX}">{"".join(map(self._stage, stages_of(run)))}</div>'
                for run in self.runs_in(task)
            ]
            if functions and title:
                functions.insert(0, f'<div style="{DIM}">{title}</div>')
                parts.append(f'<div style="{FRAME}">{"".join(functions)}</div>')
            else:
                parts += functions
        return "".join(parts)

    def _stage(self, k: int) -> str:
        reason = self.reason(k)
        note = f' <span style="{DIM}">a seam: {shown(reason)}</span>' if reason else ""
        inner = [
            f'<div style="{FRAME}"><div style="{DIM}">{shown(name)}</div>'
            f"{plan._tasks()}</div>"
            for name, plan in self.inner(k)
        ]
        call = f"<code>{shown(f'{k} {self.calls[k]}')}</code>"
        return f"<div>{call}{note}{''.join(inner)}</div>"


GREY = "1px solid rgba(128, 128, 128, 0.5)"
"""Seen on white and on black; text has the colour that the notebook gives it."""

FONT = "font-size: 90%; line-height: 1.5"
BOX = f"border: {GREY}; border-radius: 4px; margin: 4px 0; padding: 2px 8px"
FRAME = f"border-left: {GREY}; margin: 4px 0 4px 4px; padding-left: 8px"
DIM = "opacity: 0.7"


def stages_of(run: Run) -> range:
    """Return the numbers of the stages of a function."""
    return range(run.start, run.stop)


def numbers(stages: range) -> str:
    """Return the numbers of some stages that follow each other."""
    if not stages:
        return "none"
    first, last = stages[0], stages[-1]
    return f"{first}" if first == last else f"{first}-{last}"


def flows_in(value: object) -> list[tuple[str, Unopened]]:
    """Return the flows in an argument, each with a name of its own, if it has one.

    The flow whose stage it is counts as number 0.
    """
    if isinstance(value, tuple):
        several = [
            flow
            for flow in cast("tuple[object, ...]", value)
            if isinstance(flow, Unopened)
        ]
        return [(f"flow {number}", flow) for number, flow in enumerate(several, 1)]
    named: Mapping[str, object] = {"": value}
    if isinstance(value, Mapping):
        named = cast("Mapping[str, object]", value)
    return [(name, flow) for name, flow in named.items() if isinstance(flow, Unopened)]


def frame(name: str, title: str, boxes: list[str], indent: str) -> list[str]:
    """Return boxes in a frame."""
    inner = [f"    {line}" for line in boxes]
    return [f'{indent}subgraph {name}["{title}"]', *inner, f"{indent}end"]


def shown(text: str) -> str:
    """Return text for HTML; what can't be printed is written as in a Python string."""
    from html import escape  # noqa: PLC0415 - slow to import

    return escape(printable(text))


def encoded(text: str) -> str:
    """Return text for Mermaid: what could be markup of any kind is written as a number."""
    return "".join(
        c if c.isalnum() or c in PLAIN else f"#{ord(c)};" for c in printable(text)
    )


PLAIN = " _.,()=+-:/'"
"""Signs that mean nothing in the quoted texts of Mermaid."""


def printable(text: str) -> str:
    """Return text without line breaks and the like."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )
