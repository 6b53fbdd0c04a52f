"""Draws bars as SVG: what the benchmarks write with `--svg`.

A chart has columns, a column has panels, a panel has groups of bars, each with its name
before it and its figure behind it. Beside flowpy stands what is written by hand, and
libraries. The picture follows the reader's light or dark colours, and is narrow enough
that a page of 700 pixels does not shrink it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

OWN, BY_HAND, LIBRARY = "own", "hand", "library"
"""What a bar may stand for, which is its colour: flowpy, code by hand, another library."""

TIMES = "\N{MULTIPLICATION SIGN}"
"""The unit of ratios."""

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .head { font-weight: 600 }
  .faint { fill: #57606a }
  .grid { stroke: #d0d7de }
  .own { fill: #0969da }
  .hand { fill: #8c959f }
  .library { fill: #c69026 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .faint { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .own { fill: #4493f8 }
    .hand { fill: #7d8590 }
    .library { fill: #d4a72c }
  }
"""

WIDTH = 700
EDGE = 10
"""Pixels around everything."""

LETTER = 6.8
"""Pixels that a letter takes, on average, in words of many wide ones."""

FIGURE = 56
"""Pixels for the figure behind the longest bar."""

BAR = 15
"""Pixels from one bar to the next."""

GAP = 8
"""Pixels between a name and its bar, and at least between the figures of a scale."""


@dataclass(frozen=True)
class Bar:
    """A figure, whose it is, and what that is: `OWN`, `BY_HAND` or `LIBRARY`."""

    name: str
    value: float
    kind: str


@dataclass(frozen=True)
class Group:
    """Bars that are to be compared."""

    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Panel:
    """Groups over one scale."""

    head: str
    groups: Sequence[Group]


@dataclass(frozen=True)
class Scale:
    """Where a figure lies between the begin of all bars, 0, and the end of the longest, 1.

    Args:
        most: The largest figure.
        least: Where bars begin, on a logarithmic scale; 0 is a linear one.
        unit: What stands behind each figure.
    """

    most: float
    least: float
    unit: str

    def place(self, value: float) -> float:
        """Return the length of the bar of a figure."""
        if not self.least:
            return value / self.most
        value = max(value, self.least)
        return log(value / self.least) / log(self.most / self.least)

    def marks(self, room: float) -> list[float]:
        """Return the figures that have a line, so far apart that each has its room."""
        if self.least:
            powers = [10.0**power for power in range(-3, 7)]
            wanted = powers + [3 * power for power in powers]
        else:
            steps = (step * 10.0**power for power in range(-3, 7) for step in (1, 2, 5))
            step = next(s for s in steps if s >= self.most * max(room, 0.2))
            wanted = [number * step for number in range(1, 6)]
        found: list[float] = []
        for mark in wanted:
            gaps = (abs(self.place(mark) - self.place(other)) for other in found)
            if self.least < mark <= self.most and min(gaps, default=1) > room:
                found.append(mark)
        return found

    def mark(self, value: float) -> str:
        """Return the figure of a line with its unit."""
        return f"{value:,g}{self.unit}"

    def shown(self, value: float) -> str:
        """Return a figure with its unit."""
        return f"{value:,.{2 if value < 10 else 0}f}{self.unit}"


def draw(
    title: str,
    note: str,
    columns: Sequence[Sequence[Panel]],
    *,
    unit: str,
    least: float = 0,
) -> str:
    """Return a chart as SVG.

    Args:
        title: What the figures are.
        note: How they were measured.
        columns: Panels below each other, in columns side by side; those without groups,
            of which nothing was measured, are left out.
        unit: What stands behind each figure.
        least: Where bars begin, on a logarithmic scale; 0 is a linear one.
    """
    columns = [[panel for panel in column if panel.groups] for column in columns]
    columns = [column for column in columns if column]
    panels = [panel for column in columns for panel in column]
    most = max(b.value for p in panels for group in p.groups for b in group.bars)
    scale = Scale(most, least, unit)
    names = [b.name for p in panels for group in p.groups for b in group.bars]
    indent = max(map(len, names)) * LETTER + GAP
    share = (WIDTH - 2 * EDGE) / len(columns)
    parts: list[str] = []
    height = 0
    for number, column in enumerate(columns):
        y = 62
        for panel in column:
            left = EDGE + number * share
            drawn, y = draw_panel(panel, scale, left, indent, share - indent, y)
            parts += drawn
            height = max(height, y + EDGE)
            y += 36
    note += "; logarithmic scale" if least else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n"
        f'<text x="{EDGE}" y="22" class="title">{escape(title)}</text>\n'
        f'<text x="{EDGE}" y="40" class="faint">{escape(note)}</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def draw_panel(
    panel: Panel, scale: Scale, left: float, indent: float, width: float, y: int
) -> tuple[list[str], int]:
    """Return the elements of a panel, and where it ends.

    Args:
        panel: What to draw.
        scale: The same for all panels.
        left: Where titles begin.
        indent: Pixels from there to the bars.
        width: Pixels for the bars and their figures.
        y: Where to begin, from the top.
    """
    start = left + indent
    longest = width - FIGURE
    bars = [f'<text x="{left:.1f}" y="{y}" class="head">{escape(panel.head)}</text>']
    y += 8
    top = y
    for group in panel.groups:
        y += 20
        bars.append(f'<text x="{left:.1f}" y="{y}">{escape(group.title)}</text>')
        y += 6
        for bar in group.bars:
            length = longest * scale.place(bar.value)
            bars.append(
                f'<text x="{start - GAP:.1f}" y="{y + 11}" text-anchor="end" class="faint">'
                f"{escape(bar.name)}</text>"
                f'<rect x="{start:.1f}" y="{y + 1}" width="{length:.1f}" '
                f'height="{BAR - 3}" rx="2" class="{bar.kind}"/>'
                f'<text x="{start + length + 5:.1f}" y="{y + 11}">'
                f"{scale.shown(bar.value)}</text>"
            )
            y += BAR
    marks: list[str] = []
    room = (len(scale.mark(scale.most // 1)) * LETTER + GAP) / longest
    for mark in scale.marks(room):
        x = f"{start + longest * scale.place(mark):.1f}"
        marks.append(
            f'<line x1="{x}" y1="{top}" x2="{x}" y2="{y + 4}" class="grid"/>'
            f'<text x="{x}" y="{y + 18}" text-anchor="middle" class="faint">'
            f"{scale.mark(mark)}</text>"
        )
    return [*marks, *bars], y + 18  # marks lie behind bars
