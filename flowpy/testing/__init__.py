"""Testing flows: virtual clocks, so that an hour's `sleep` takes milliseconds.

    from flowpy.testing import run_virtual

    run_virtual(main)
    run_virtual(main, "trio")

In pytest, with anyio's plugin, every test marked `anyio` runs in virtual time on
asyncio and trio after:

    @pytest.fixture
    def anyio_backend(virtual_anyio_backend):
        return virtual_anyio_backend
"""

from __future__ import annotations

from flowpy.testing._clock import VirtualClockEventLoop, run_virtual, virtual_backend
from flowpy.testing._marbles import assert_marbles, hot, marbles, record
from flowpy.testing._timeline import Event, MarbleError, Timeline, diagram

__all__ = (
    "Event",
    "MarbleError",
    "Timeline",
    "VirtualClockEventLoop",
    "assert_marbles",
    "diagram",
    "hot",
    "marbles",
    "record",
    "run_virtual",
    "virtual_backend",
)
