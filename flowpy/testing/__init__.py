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

__all__ = ("VirtualClockEventLoop", "run_virtual", "virtual_backend")
