"""What `progress` shows: a bar in a terminal or a notebook, elsewhere lines of text.

tqdm draws them; here stands when, and by which clock. It is imported at the first
collection.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeGuard

from flowpy._iterating import read_in_turns
from flowpy._reporter import Reporter

if TYPE_CHECKING:
    from flowpy._operator import Stages, Values

REFRESH = 0.1
"""Seconds between two pictures of a bar, at least."""

IDLE = 1
"""Seconds after which the time that a bar shows goes on though nothing has come."""

LINES = 10
"""Seconds between two lines of text, at least."""


class Progress(Reporter):
    """The display of one collection."""

    __slots__ = (
        "_description",
        "_display",
        "_is_bar",
        "_shown",
        "_shown_at",
        "_total",
        "items",
    )

    _display: Any

    def __init__(
        self, description: str | None, total: int | None, sized: object
    ) -> None:
        self._is_bar = draws_bars()
        super().__init__("progress", REFRESH if self._is_bar else LINES)
        self._description = description
        self._total = length(sized) if total is None else total
        self._shown = 0
        self._shown_at = 0.0
        self.items = 0

    async def __aenter__(self) -> Self:
        # First: what cannot be drawn on leaves no task.
        kind: Any = bar_kind() if self._is_bar else Lines
        self._display = kind(
            desc=self._description,
            total=self._total,
            file=standard_error(),
            dynamic_ncols=True,
            mininterval=0,
        )
        return await super().__aenter__()

    def passed(self) -> int:
        return self.items

    async def tell(self, *, ended: bool) -> None:
        seconds = self.seconds()
        if not ended and self._shown == self.items and seconds < self._shown_at + IDLE:
            return
        self._shown, self._shown_at = self.items, seconds
        self._display.n, self._display.seconds = self.items, seconds
        if ended:
            self._display.close()
        else:
            self._display.refresh()


class Lines:
    """A display that writes lines of text, where none of them can be drawn over."""

    def __init__(
        self,
        desc: str | None,
        total: int | None,
        file: TextIO | None,
        **options: object,
    ) -> None:
        self._description = desc
        self._total = total
        self._file = file
        self._written = 0
        self.n = 0
        self.seconds = 0.0

    def refresh(self) -> None:
        """Write a line, if there is something new."""
        if self.n != self._written:
            self._write()

    def close(self) -> None:
        """Write the last line."""
        self._write()

    def _write(self) -> None:
        if not is_open(self._file):
            return
        self._written = self.n
        bar: Any = import_module("tqdm").tqdm
        text = bar.format_meter(
            self.n, self._total, self.seconds, ncols=0, prefix=self._description or ""
        )
        self._file.write(f"{text}\n")
        self._file.flush()


def standard_error() -> TextIO | None:
    """Return where programs tell what they do; a program without a console has none."""
    return sys.stderr


def is_open(file: TextIO | None) -> TypeGuard[TextIO]:
    """Tell whether it can be written to; not every file says so."""
    return file is not None and not getattr(file, "closed", False)


def in_kernel() -> bool:
    """Tell whether a kernel of Jupyter runs this program."""
    return "ipykernel.zmqshell" in sys.modules


def draws_bars() -> bool:
    """Tell whether what is written can be drawn over."""
    file = standard_error()
    return in_kernel() or (is_open(file) and bool(getattr(file, "isatty", bool)()))


def bar_kind() -> Any:
    """Return the class of bars for where this program runs, as `tqdm.auto` chooses.

    That warns: of itself, and if a notebook lacks the package that draws bars.
    """
    from importlib.util import find_spec  # noqa: PLC0415 - slow to import

    if in_kernel() and find_spec("ipywidgets") is not None:
        return timed(import_module("tqdm.notebook").tqdm)
    return timed(import_module("tqdm").tqdm)


@cache
def timed(kind: Any) -> Any:
    """Return a class of bars with a clock that is set from outside, and no thread."""

    def format_dict(bar: Any) -> Any:
        return kind.format_dict.fget(bar) | {"elapsed": bar.seconds}

    members = {
        "format_dict": property(format_dict),
        "monitor_interval": 0,
        "seconds": 0.0,
    }
    return type("Bar", (kind,), members)


def length(sized: Any) -> int | None:
    """Return the length of a source, if it tells one."""
    try:
        return len(sized)
    except (OverflowError, TypeError):  # a long range, or None
        return None


def sized_source(stages: Stages, values: Values) -> object:
    """Return what has as many items as come through these stages, or None."""
    kept = all(stage.keeps_count for stage in stages[1:])
    sized = kept and stages[0].run is read_in_turns
    return values[0][0] if sized else None
