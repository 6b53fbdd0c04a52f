"""Marble diagrams as data: what happened in which frame, read from text and drawn.

Nothing here runs a flow or knows a clock. The notation is in the docstring of
`flowpy.testing`.
"""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, Literal, Never, TypeAlias

from flowpy._checks import check_period

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flowpy._types import Duration

Kind: TypeAlias = Literal["item", "error", "end", "start", "stop"]

Values: TypeAlias = Mapping[str, object] | Callable[[str], object]
"""What the names of items stand for."""

Errors: TypeAlias = Mapping[str, Exception | type[Exception]]
"""Which names stand for errors, and for which."""

SIGNS: dict[Kind, str] = {"end": "|", "start": "^", "stop": "!"}
"""How events that are neither items nor errors are written."""

_KINDS: dict[str, Kind] = {sign: kind for kind, sign in SIGNS.items()}
_SPECIAL = frozenset("-()<>'\"#") | _KINDS.keys()
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
    | (?P<quoted> '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" )
    | <(?P<count>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h)?>
    | (?P<sign>.)
    """,
    re.DOTALL | re.VERBOSE,
)
_LONG = 20
"""Frames without an event from which on they are written as a number."""


class MarbleError(Exception):
    """What `#` in a diagram raises, where `errors` does not say otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """What happened in one frame: an item, an error, the end, a start or a stop.

    Two are equal if frame, kind and value are. A class of errors equals its instances,
    so that a diagram can leave open which object it was.

    Args:
        frame: Its number; the first one is 0.
        kind: `"item"`, `"error"`, `"end"`, `"start"` or `"stop"`.
        value: The item or the error.
        name: How it is drawn.

    Shape: cannot be changed. No error of its own.

    Example:
        >>> diagram("--a").events
        (Event(frame=2, kind='item', value='a', name='a'),)

    Source: RxJS `TestMessage`.
    """

    frame: int
    kind: Kind
    value: object = None
    """The item or the error."""
    name: str = ""
    """How it is drawn."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event):
            return NotImplemented
        place = (self.frame, self.kind) == (other.frame, other.kind)
        if self.kind == "error":
            return place and _same_error(self.value, other.value)
        # The same object is the same item, even a nan.
        return place and (self.value is other.value or self.value == other.value)

    def __hash__(self) -> int:
        return hash((self.frame, self.kind))

    @property
    def what(self) -> str:
        """What happened, in words."""
        if self.kind == "error" and isinstance(self.value, type):
            return f"any {self.value.__name__}"
        if self.kind in {"item", "error"}:
            return f"{self.kind} {self.value!r}"
        return f"the {self.kind}"

    def __str__(self) -> str:
        return f"{self.what} in frame {self.frame}"


@dataclass(frozen=True, slots=True)
class Timeline:
    """A marble diagram, read from text by `diagram` or recorded by `record`.

    Two are equal if the same happened in the same frames; `str` gives the diagram.

    Args:
        events: What happened, in order.
        frame: The length of a frame in seconds.
        length: How many frames it shows, those after the last event included.

    Shape: cannot be changed. No error of its own.

    Example:
        >>> str(Timeline(diagram("a - b |").events))
        'a-b|'

    Source: flowpy's own.
    """

    events: tuple[Event, ...]
    frame: float = 1.0
    """The length of a frame in seconds."""
    length: int = field(default=0, compare=False)
    """Frames that the diagram shows, those after the last event included."""

    def __str__(self) -> str:
        return draw({"": self}).rstrip()


def _same_error(one: object, other: object) -> bool:
    return (
        one is other
        or (isinstance(one, type) and isinstance(other, one))
        or (isinstance(other, type) and isinstance(one, other))
    )


# ------------------------------------------------------------------------ names


class Names:
    """What the names in diagrams stand for, in both directions."""

    __slots__ = ("_errors", "_known", "_value")

    def __init__(self, values: Values | None, errors: Errors | None) -> None:
        known: Mapping[str, object]
        known = {} if values is None or callable(values) else values
        self._known = known
        self._value: Callable[[str], object]
        self._value = values if callable(values) else lambda name: known.get(name, name)
        self._errors: Errors = {"#": MarbleError, **(errors or {})}
        for name, error in self._errors.items():
            kind: object = error if isinstance(error, type) else type(error)
            if not (isinstance(kind, type) and issubclass(kind, Exception)):
                message = f"errors must be exceptions; {name!r} is {error!r}"
                raise TypeError(message)

    def event(self, frame: int, name: str, *, quoted: bool = False) -> Event:
        """Return the event that a name in a diagram stands for."""
        if name in self._errors and not (quoted and name == "#"):
            return Event(frame, "error", self._errors[name], name)
        return Event(frame, "item", self._value(name), name)

    def item(self, frame: int, value: object) -> Event:
        """Return the event of an item that came."""
        for name, each in self._known.items():
            if each is value or (type(each) is type(value) and each == value):
                return Event(frame, "item", value, name)
        name = value if isinstance(value, str) else repr(value)
        if name in self._known or (name in self._errors and name != "#"):
            name = repr(name)  # by itself it stands for something else
        return Event(frame, "item", value, name)

    def error(self, frame: int, error: Exception) -> Event:
        """Return the event of an error that came."""
        names = (
            name for name, each in self._errors.items() if _same_error(each, error)
        )
        return Event(frame, "error", error, next(names, "#"))


# ---------------------------------------------------------------------- reading


def diagram(
    text: str,
    *,
    values: Values | None = None,
    errors: Errors | None = None,
    frame: Duration = 1,
) -> Timeline:
    """Read a marble diagram.

    Args:
        text: The diagram, in the notation that `flowpy.testing` describes.
        values: What the names of items stand for: a mapping, in which those left out
            stand for themselves, or a function of the name.
        errors: Which names stand for errors: exceptions, or classes of them.
        frame: The length of a frame, in seconds or a timedelta; > 0.

    Raises:
        ValueError: at the call, if `text` is no diagram; it names the position. Also
            if `frame` is not longer than 0.
        TypeError: at the call, if one of `errors` is no exception.

    Example:
        >>> [event.frame for event in diagram("a-(bc)<5s>|").events]
        [0, 2, 2, 8]
        >>> print(diagram(" a ----------  ----------  'ten' "))
        a<20>'ten'

    Source: RxJS `TestScheduler.parseMarbles`.
    """
    return _Reader(text, Names(values, errors), check_period("frame", frame)).read()


class _Reader:
    """Reads one diagram."""

    def __init__(self, text: str, names: Names, frame: float) -> None:
        self._text = text
        self._names = names
        self._frame = frame
        self._now = 0
        self._events: list[Event] = []
        self._group: int | None = None
        """Where the group that is being read opened."""
        self._over = False
        """Whether the end or an error has been read."""

    def read(self) -> Timeline:
        for token in _TOKEN.finditer(self._text):
            if not token["space"]:
                self._take(token)
        if self._group is not None:
            self._fail(self._group, "this group is not closed")
        return Timeline(tuple(self._events), self._frame, self._now)

    def _take(self, token: re.Match[str]) -> None:
        at = token.start()
        sign = token["sign"]
        if sign == ")":
            self._close(at)
        elif self._over:
            self._fail(at, "nothing comes after the end or an error")
        elif sign == "(":
            self._open(at)
        elif sign == "-":
            self._pass(at, 1)
        elif token["count"]:
            self._jump(at, float(token["count"]), token["unit"])
        else:
            self._add(self._event(token))

    def _event(self, token: re.Match[str]) -> Event:
        sign = token["sign"]
        if token["quoted"]:
            return self._names.event(self._now, self._unquoted(token), quoted=True)
        if sign in _KINDS:
            return Event(self._now, _KINDS[sign], name=sign)
        if sign in _SPECIAL and sign != "#":
            self._fail(token.start(), f"{sign!r} opens nothing that is closed")
        return self._names.event(self._now, sign)

    def _add(self, event: Event) -> None:
        self._events.append(event)
        self._over = event.kind in {"end", "error"}
        if self._group is None:
            self._now += 1

    def _open(self, at: int) -> None:
        if self._group is not None:
            self._fail(at, "a group stands in a group")
        self._group = at

    def _close(self, at: int) -> None:
        if self._group is None:
            self._fail(at, "no group is open that this could close")
        if not self._events or self._events[-1].frame != self._now:
            self._fail(self._group, "this group is empty")
        self._group = None
        self._now += 1

    def _pass(self, at: int, frames: int) -> None:
        if self._group is not None:
            self._fail(at, "no time passes in a group")
        self._now += frames

    def _jump(self, at: int, count: float, unit: str | None) -> None:
        frames = count if unit is None else count * _UNITS[unit] / self._frame
        if abs(frames - round(frames)) > 1e-6:
            self._fail(at, f"that is no whole number of frames, but {frames:g}")
        self._pass(at, round(frames))

    def _unquoted(self, token: re.Match[str]) -> str:
        try:
            name: str = literal_eval(token["quoted"])
        except SyntaxError:
            self._fail(token.start(), "this is no string of Python's")
        return name

    def _fail(self, at: int, reason: str) -> Never:
        message = f"diagram {self._text!r}, position {at}: {reason}"
        raise ValueError(message)


# ---------------------------------------------------------------------- drawing


def draw(rows: Mapping[str, Timeline]) -> str:
    """Draw timelines one under the other, the same frame at the same place.

    Each row is a diagram of its own, which reads as what it was drawn from: what a
    row is short of, it is filled up with spaces.
    """
    cells = {name: _cells(row.events) for name, row in rows.items()}
    last = {name: _last_frame(row) for name, row in rows.items()}
    width = max(map(len, rows), default=0)
    margin = width + 2 if width else 0
    lines = {name: name.ljust(margin) for name in rows}
    column = 0
    for frame in sorted({frame for each in cells.values() for frame in each}):
        size = max(len(each.get(frame, "-")) for each in cells.values())
        for name, each in cells.items():
            gap = _silence(frame - column, shown=last[name] - column)
            cell = each.get(frame, "-" if frame <= last[name] else "")
            lines[name] += gap + cell.ljust(size)
        column = frame + 1
    for name in rows:
        lines[name] += _silence(last[name] + 1 - column, shown=last[name] + 1 - column)
    return "\n".join(line.rstrip() for line in lines.values())


def _last_frame(row: Timeline) -> int:
    if row.events:
        return max(row.events[-1].frame, row.length - 1)
    return row.length - 1


def _silence(frames: int, *, shown: int) -> str:
    """Return how frames without an event are drawn, of which a row has some."""
    if frames <= 0:
        return ""
    whole = "-" * frames if frames < _LONG else f"<{frames}>"
    if shown >= frames:
        return whole
    part = "-" * max(shown, 0)
    return part.ljust(len(whole)) if frames < _LONG else " " * len(whole)


def _cells(events: Iterable[Event]) -> dict[int, str]:
    cells: dict[int, str] = {}
    for frame, group in groupby(events, key=lambda event: event.frame):
        signs = [_sign(event) for event in group]
        cells[frame] = signs[0] if len(signs) == 1 else f"({''.join(signs)})"
    return cells


def _sign(event: Event) -> str:
    name = event.name
    if event.kind != "item" and name in {"#", "|", "^", "!"}:
        return name
    plain = len(name) == 1 and name not in _SPECIAL and not name.isspace()
    return name if plain else repr(name)


def difference(expected: Sequence[Event], got: Sequence[Event]) -> str | None:
    """Return in words where two timelines first differ; None if they don't."""
    for wanted, came in zip_longest(expected, got):
        if wanted != came:
            return f"expected {wanted or 'nothing more'}; got {came or 'nothing more'}"
    return None
