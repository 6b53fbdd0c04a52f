"""The scheduler of a task that asyncio runs, on whichever of its loops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class AsyncioScheduler:
    """Asks the running loop, at each call: it holds no state."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def sleep_forever(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def checkpoint(self) -> None:
        await asyncio.sleep(0)

    def caller(self) -> Callable[[Callable[[], object]], object]:
        return asyncio.get_running_loop().call_soon_threadsafe
