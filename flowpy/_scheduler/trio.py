"""The scheduler of a task that trio runs; imported once trio is running."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


class TrioScheduler:
    """Asks the running trio, at each call: it holds no state."""

    def now(self) -> float:
        return trio.current_time()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def sleep_forever(self) -> None:
        await trio.sleep_forever()

    async def checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()

    def caller(self) -> Callable[[Callable[[], object]], object]:
        return trio.lowlevel.current_trio_token().run_sync_soon
