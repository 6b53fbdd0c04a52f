"""What flowpy asks of an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Scheduler(Protocol):
    """The event loop that runs the current task."""

    def now(self) -> float:
        """Return the loop's clock in seconds; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; at least let other tasks run once."""
        ...

    async def sleep_forever(self) -> None:
        """Wait until cancelled."""
        ...

    async def checkpoint(self) -> None:
        """Let other tasks run once; be cancelled here if that is due."""
        ...

    def caller(self) -> Callable[[Callable[[], object]], object]:
        """Return a function that has the loop call something, from any thread."""
        ...
