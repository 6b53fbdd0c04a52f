"""Marble pictures as SVG: what happened, row by row, becomes one file of text.

Nothing here runs a flow: `pictures.py` does, and hands over what it saw.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from itertools import groupby, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flowpy.testing import Event

WIDTH = 700
MARGIN = 16
RULER = 26
BOX = 40
ROW = 46
STACKED = 29
"""How much lower the next of several items of one instant is drawn."""

RADIUS = 13.0
INNER_RADIUS = 9.5
LETTER = 7.4
"""Width of a letter of a label, which is set in a font of fixed width."""

# Fill and text of the marbles, on a light and on a dark ground.
COLOURS = [
    ("#2563eb", "#ffffff", "#74acff", "#06142e"),
    ("#c2410c", "#ffffff", "#ff9e57", "#2b1100"),
    ("#15803d", "#ffffff", "#5fd38a", "#03210f"),
    ("#9333ea", "#ffffff", "#c99bff", "#210638"),
    ("#be185d", "#ffffff", "#ff8fbe", "#380318"),
    ("#0f766e", "#ffffff", "#4fd1c5", "#02231f"),
    ("#a16207", "#ffffff", "#f0c24a", "#2a1b00"),
    ("#57606a", "#ffffff", "#b4bec9", "#11161c"),
]

STYLE = """
.card { fill: #ffffff; stroke: #d8dee4 }
.guide { stroke: #d8dee4; stroke-dasharray: 1 4 }
.line { stroke: #57606a; stroke-width: 1.6; fill: none }
.arrow { fill: #57606a }
.end { stroke: #24292f; stroke-width: 3 }
.cut { stroke: #8c959f; stroke-width: 3 }
.error { stroke: #cf222e; stroke-width: 3; stroke-linecap: round }
.start { fill: #ffffff; stroke: #57606a; stroke-width: 1.6 }
.busy { fill: #57606a; opacity: .22 }
.box { fill: #eef4ff; stroke: #2563eb }
.pill { fill: #ffffff; stroke: #57606a; stroke-width: 1.4 }
.bracket { fill: none; stroke: #24292f; stroke-width: 2 }
.under { fill: #ffffff }
text { font-family: system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.label, .call { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
.label { font-size: 12px; fill: #57606a }
.call { font-size: 14px; font-weight: 600 }
.tick { font-size: 10.5px; fill: #6e7781 }
.big { font-size: 13px; font-weight: 700 }
.small { font-size: 11px; font-weight: 700 }
.middle { text-anchor: middle; dominant-baseline: central }
.right { text-anchor: end; dominant-baseline: central }
"""

DARK = """
.card { fill: #0d1117; stroke: #30363d }
.guide { stroke: #30363d }
.line { stroke: #8b949e }
.arrow { fill: #8b949e }
.end { stroke: #e6edf3 }
.cut { stroke: #6e7681 }
.error { stroke: #ff7b72 }
.start { fill: #0d1117; stroke: #8b949e }
.busy { fill: #8b949e; opacity: .3 }
.box { fill: #12233f; stroke: #4493f8 }
.pill { fill: #161b22; stroke: #8b949e }
.bracket { stroke: #e6edf3 }
.under { fill: #0d1117 }
text { fill: #e6edf3 }
.label { fill: #a0a9b4 }
.tick { fill: #8b949e }
"""


@dataclass(frozen=True)
class Row:
    """What happened on one line of a picture, in the order in which it did."""

    label: str
    events: list[Event] = field(default_factory=list)
    busy: int = 0
    """How many frames the reader takes for each item."""


@dataclass(frozen=True)
class Picture:
    """A chain, what went into it and what came out."""

    name: str
    call: str
    inputs: list[Row]
    outputs: list[Row]

    @property
    def rows(self) -> list[Row]:
        return [*self.inputs, *self.outputs]


class OverlapError(Exception):
    """Two marbles of a row lie over each other: its diagram has to be spread."""


# ------------------------------------------------------------------------ elements


def element(name: str, content: str = "", **attributes: float | str) -> str:
    """Return an element of SVG; the content is text, or elements."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{told}>{content}</{name}>" if content else f"<{name}{told}/>"


def number(value: float | str) -> str:
    """Return a number with at most one decimal."""
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def words(text: str, x: float, y: float, class_: str) -> str:
    return element("text", escape(text), x=x, y=y, class_=class_)


def line(x1: float, x2: float, y1: float, y2: float, class_: str) -> str:
    return element("line", x1=x1, x2=x2, y1=y1, y2=y2, class_=class_)


def box(
    left: float, top: float, width: float, height: float, round_by: float, class_: str
) -> str:
    return element(
        "rect",
        x=left,
        y=top,
        width=width,
        height=height,
        rx=round_by,
        class_=class_,
    )


# ------------------------------------------------------------------------- marbles


def colour(value: object) -> int:
    """Return the colour of a value: that of its first letter or digit, always."""
    sign = str(value).lower()[:1]
    if sign.isdigit():
        return (int(sign) + 3) % len(COLOURS)  # 1 to 4 look other than a to d
    return (ord(sign or "h") - ord("a")) % len(COLOURS)


def width_of(value: object, radius: float = RADIUS) -> float:
    """Return how wide a value is drawn."""
    if isinstance(value, (list, tuple)):
        inner = sum(width_of(each, INNER_RADIUS) + 2 for each in value)
        return max(inner, 6) + 15
    return max(2 * radius, len(str(value)) * radius * 0.62 + radius)


def marble(value: object, x: float, y: float, radius: float = RADIUS) -> Iterator[str]:
    """Draw a value with its centre at a point: a disc, a pill, or a list of them."""
    width = width_of(value, radius)
    left = x - width / 2
    if isinstance(value, (list, tuple)):
        yield from _around(value, left, y, width, 13 if radius == RADIUS else 11)
        inner = [width_of(each, INNER_RADIUS) + 2 for each in value]
        at = x - sum(inner) / 2
        for each, size in zip(value, inner, strict=True):
            yield from marble(each, at + size / 2, y, INNER_RADIUS)
            at += size
        return
    size = "big" if radius == RADIUS else "small"
    kind = colour(value)
    yield box(left, y - radius, width, 2 * radius, radius, f"m{kind}")
    yield words(str(value), x, y, f"{size} middle t{kind}")


def _around(
    value: object, left: float, y: float, width: float, half: float
) -> Iterator[str]:
    """Draw what holds several items together: brackets of a list, a tuple's pill."""
    if isinstance(value, tuple):
        yield box(left, y - half, width, 2 * half, half, "pill")
        return
    yield box(left, y - half, width, 2 * half, 2, "under")
    top, bottom = number(y - half), number(y + half)
    for x, inwards in ((left + 1, 4), (left + width - 1, -4)):
        inner = number(x + inwards)
        bracket = f"M{inner} {top}H{number(x)}V{bottom}H{inner}"
        yield element("path", d=bracket, class_="bracket")


# ---------------------------------------------------------------------------- rows


class _Drawing:
    """Places rows on a sheet: frames from left to right, rows from top to bottom."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        labels = max(len(row.label) for row in picture.rows)
        self._labels = MARGIN + max(labels, len("seconds")) * LETTER
        self._zero = self._labels + 26
        self._end = WIDTH - MARGIN - 16
        events = [event for row in picture.rows for event in row.events]
        self._last = max(event.frame for event in events)
        self._unit = (self._end - 24 - self._zero) / self._last

    def x(self, frame: float) -> float:
        """Return where a frame is, from left to right."""
        return self._zero + frame * self._unit

    def text(self) -> str:
        name, call = self._picture.name, self._picture.call
        y = MARGIN + RULER
        body: list[str] = []
        for row in self._picture.inputs:
            body += self._row(row, y + ROW / 2)
            y += _height(row)
        body += self._box(y + 4)
        y += BOX + 10
        for row in self._picture.outputs:
            body += self._row(row, y + ROW / 2)
            y += _height(row)
        height = y + MARGIN / 2
        parts = [
            element("title", escape(call), id=f"{name}-title"),
            element("desc", escape(described(self._picture)), id=f"{name}-desc"),
            element("style", _style()),
            box(0.5, 0.5, WIDTH - 1, height - 1, 10, "card"),
            *self._ruler(height),
            *body,
        ]
        return element(
            "svg",
            "\n" + "\n".join(parts) + "\n",
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {WIDTH} {number(height)}",
            width=WIDTH,
            height=height,
            role="img",
            aria_labelledby=f"{name}-title {name}-desc",
        )

    def _ruler(self, height: float) -> Iterator[str]:
        y = MARGIN + 6
        yield words("seconds", self._labels, y, "tick right")
        for frame in range(self._last + 1):
            x = self.x(frame)
            yield words(str(frame), x, y, "tick middle")
            yield line(x, x, y + 10, height - 12, "guide")

    def _box(self, y: float) -> Iterator[str]:
        left, right = self._zero - 16, self._end + 10
        yield box(left, y, right - left, BOX, 8, "box")
        yield words(self._picture.call, (left + right) / 2, y + BOX / 2, "call middle")

    def _row(self, row: Row, y: float) -> Iterator[str]:
        if row.label:
            yield words(row.label, self._labels, y, "label right")
        for start, over in _segments(row):
            yield from self._line(start, over, y)
        if row.busy:
            yield from (self._busy(e.frame, row.busy, y) for e in _items(row))
        yield from self._marks(row, y)
        self._check(row)
        for _, group in groupby(_items(row), key=attrgetter("frame")):
            for below, event in enumerate(group):
                x = self.x(event.frame)
                yield from marble(event.value, x, y + below * STACKED)

    def _line(self, start: int, over: int | None, y: float) -> Iterator[str]:
        """Draw the time that something was collected for; an arrow, if it goes on."""
        left = self.x(start)
        right = self._end if over is None else self.x(over)
        yield line(left, right, y, y, "line")
        if over is None:
            head = f"M{number(right - 2)} {number(y - 5)}l9 5l-9 5z"
            yield element("path", d=head, class_="arrow")
        if start:
            yield element("circle", cx=left, cy=y, r=4, class_="start")

    def _busy(self, frame: int, frames: int, y: float) -> str:
        left, right = self.x(frame), min(self.x(frame + frames), self._end)
        return box(left, y - 6, right - left - 2, 12, 3, "busy")

    def _marks(self, row: Row, y: float) -> Iterator[str]:
        """Draw the end, errors and where something was closed before its end."""
        for event in row.events:
            x = self.x(event.frame)
            if event.kind == "error":
                beside = [item for item in _items(row) if item.frame == event.frame]
                x += max((width_of(item.value) / 2 + 10 for item in beside), default=0)
                yield line(x - 8, x + 8, y - 8, y + 8, "error")
                yield line(x - 8, x + 8, y + 8, y - 8, "error")
            elif event.kind == "end":
                yield line(x, x, y - 19, y + 19, "end")
            elif event.kind == "stop":
                yield line(x, x, y - 9, y + 9, "cut")

    def _check(self, row: Row) -> None:
        for one, next_one in pairwise(_items(row)):
            room = self.x(next_one.frame) - self.x(one.frame)
            needed = (width_of(one.value) + width_of(next_one.value)) / 2
            if 0 < room < needed:
                message = f"{self._picture.call}: {one}, {next_one}"
                raise OverlapError(message)


def _items(row: Row) -> list[Event]:
    return [event for event in row.events if event.kind == "item"]


def _height(row: Row) -> int:
    """Return the height of a row, which holds the items of one instant in a stack."""
    groups = groupby(_items(row), key=attrgetter("frame"))
    most = max((len(list(group)) for _, group in groups), default=1)
    return ROW + (most - 1) * STACKED


def _segments(row: Row) -> Iterator[tuple[int, int | None]]:
    """Give from when to when the row was collected, once or several times."""
    start: int | None = None
    for event in row.events:
        if event.kind == "start":
            start = event.frame
        elif event.kind != "item" and start is not None:
            yield start, event.frame
            start = None
    if start is not None:
        yield start, None


# --------------------------------------------------------------------------- words


def described(picture: Picture) -> str:
    """Tell in words what the picture shows, for those who listen to it."""
    inputs = " ".join(_told(row) for row in picture.inputs)
    outputs = " ".join(_told(row) for row in picture.outputs)
    return f"{inputs} {picture.call} gives, in seconds: {outputs}".strip()


def _told(row: Row) -> str:
    verbs = {"start": "starts", "end": "ends", "stop": "is closed", "error": "fails"}
    told = [
        f"{_named(event.value)} at {event.frame}"
        if event.kind == "item"
        else f"{verbs[event.kind]} at {event.frame}"
        for event in row.events
        if event.kind != "start" or event.frame
    ]
    label = f"{row.label}: " if row.label else ""
    return f"{label}{', '.join(told)}."


def _named(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_named, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_named, value))})"
    return str(value)


def _style() -> str:
    light = "".join(
        f".m{k} {{ fill: {fill} }} .t{k} {{ fill: {text} }}\n"
        for k, (fill, text, _, _) in enumerate(COLOURS)
    )
    dark = "".join(
        f".m{k} {{ fill: {fill} }} .t{k} {{ fill: {text} }}\n"
        for k, (_, _, fill, text) in enumerate(COLOURS)
    )
    return f"{STYLE}{light}@media (prefers-color-scheme: dark) {{{DARK}{dark}}}\n"


def drawn(picture: Picture) -> str:
    """Return a picture as the text of an SVG file, which is both light and dark."""
    return f"{_Drawing(picture).text()}\n"
