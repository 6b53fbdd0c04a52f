"""Testing flows: virtual time, marble diagrams, and a probe.

Virtual time
------------
An hour's `sleep` takes milliseconds, on asyncio and trio::

    from flowpy.testing import run_virtual

    run_virtual(main)
    run_virtual(main, "trio")

In pytest, with anyio's plugin, every test marked `anyio` runs in virtual time on both
after::

    @pytest.fixture
    def anyio_backend(virtual_anyio_backend):
        return virtual_anyio_backend

Marble diagrams
---------------
`assert_marbles` plays diagrams to a flow and compares what comes of it::

    await assert_marbles(
        lambda a: a.debounce(2),
        "ab---c--d|",
        expected="---b---c-(d|)",
    )

Frame 0 is the first sign; a frame is one second unless `frame=` says otherwise.

========== ===========================================================================
`-`        a frame in which nothing happens
`a`        an item, for one frame: any sign that stands for nothing else here
`'ten'`    an item with a longer name, in single or double quotes, as Python writes it
`(ab|)`    what happens in one and the same frame, in this order
`|`        the end
`#`        an error
`<20>`     20 frames in which nothing happens; `<1.5h>`, `<2m>`, `<5s>`, `<200ms>`: so
           much time, which has to be whole frames
`^` `!`    a collection starts, is closed; in `expected`, `!` is where the consumer stops
spaces     nothing: they put diagrams in line
========== ===========================================================================

A diagram without an end, an error or a stop goes on for ever in silence.

What happens in the same frame has an order, on every event loop. Inputs come one after
the other, as they were given. Diagrams come before timers of that frame, and so do
those that a callback plays with `marbles`, which come after those made before them. To
that end a diagram comes up to a hundred thousandth of its time early, which is not seen
in frames, but by who reads the clock.

A probe
-------
Where a test goes on step by step, `probe` collects a flow in a task of its own and is
asked for what it did::

    async with probe(flow) as p:
        assert await p.next_item() == 1
        await p.expect_no_events(5)
        await p.expect_end()
"""

from __future__ import annotations

from flowpy.testing._clock import VirtualClockEventLoop, run_virtual, virtual_backend
from flowpy.testing._marbles import assert_marbles, hot, marbles, record
from flowpy.testing._probe import Probe, probe
from flowpy.testing._timeline import Event, MarbleError, Timeline, diagram

__all__ = (
    "Event",
    "MarbleError",
    "Probe",
    "Timeline",
    "VirtualClockEventLoop",
    "assert_marbles",
    "diagram",
    "hot",
    "marbles",
    "probe",
    "record",
    "run_virtual",
    "virtual_backend",
)

for _public in (
    Event,
    MarbleError,
    Probe,
    Timeline,
    VirtualClockEventLoop,
    assert_marbles,
    diagram,
    hot,
    marbles,
    probe,
    record,
    run_virtual,
    virtual_backend,
):
    _public.__module__ = "flowpy.testing"  # where users find them
