"""The exceptions that flowpy raises on its own account.

An error of a source or a callback is never wrapped in one of these.
"""

from __future__ import annotations

from contextlib import suppress


class FlowError(Exception):
    """Base class of the errors that only flowpy raises."""


class FlowConsumedError(FlowError, RuntimeError):
    """A flow around a one-shot iterator was collected a second time."""


class FlowEmptyError(FlowError, LookupError):
    """An ending that needs an item got none and had no default."""


class BufferOverflowError(FlowError):
    """An item came for a buffer that was full, and was told to raise then."""


class FlowClosedError(FlowError):
    """An item was sent to a flow that has ended."""


def add_note(error: BaseException, text: str) -> None:
    """Note something on an error; one that takes no notes is left as it is."""
    with suppress(Exception):  # of a class whose objects cannot be changed, say
        error.add_note(text)
