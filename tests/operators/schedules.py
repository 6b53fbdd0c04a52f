"""Random schedules for the timed operators, and how to play them."""

from __future__ import annotations

import anyio
from hypothesis import strategies as st

from flowpy import Flow

STEP = 0.5
"""All times are multiples of it, so that no sum of them is rounded."""

gaps = st.lists(st.integers(0, 6), max_size=12)
"""Steps before each item."""

steps = st.integers(1, 6)


def schedules(draw_gaps, tail):
    """Return when items come that have these gaps, and when the source ends."""
    times, now = [], 0.0
    for gap in draw_gaps:
        now += gap * STEP
        times.append(now)
    return list(enumerate_times(times)), now + tail * STEP


def enumerate_times(times):
    return ((time, number) for number, time in enumerate(times))


def play(schedule, end, error=None):
    """Make a flow whose items come at their times, by plain timers."""

    async def source():
        start = anyio.current_time()
        for time, item in schedule:
            if time > anyio.current_time() - start:
                await anyio.sleep_until(start + time)
            yield item
        await anyio.sleep_until(start + end)
        if error is not None:
            raise error

    return Flow(source)


async def timed(source, *, pause=0.0):
    """Return the items of a flow with the times at which they came."""
    start = anyio.current_time()
    seen = []

    async def note(item):
        seen.append((round(anyio.current_time() - start, 5), item))
        if pause:
            await anyio.sleep(pause)

    await source.collect(note)
    return seen
