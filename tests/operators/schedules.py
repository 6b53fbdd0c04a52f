"""Random schedules for the timed operators, and how to play them."""

from __future__ import annotations

from itertools import accumulate

import anyio
from hypothesis import strategies as st

from flowpy import Flow

STEP = 0.5
"""All times are multiples of it, so that sums are exact and instants coincide."""

durations = st.integers(1, 6).map(STEP.__mul__)


@st.composite
def _schedules(draw):
    gaps = draw(st.lists(st.integers(0, 6), max_size=12))
    items = [(STEP * time, number) for number, time in enumerate(accumulate(gaps))]
    return items, STEP * (sum(gaps) + draw(st.integers(0, 9)))


schedules = _schedules()
"""When items come, numbered from 0, and when the source ends."""


def played(items, end, error=None):
    """Make a flow whose items come at their times, by plain timers; then the error."""

    async def source():
        start = anyio.current_time()
        for time, item in items:
            if anyio.current_time() < start + time:
                await anyio.sleep_until(start + time)
            yield item
        if anyio.current_time() < start + end:
            await anyio.sleep_until(start + end)
        if error is not None:
            raise error

    return Flow(source)


async def timed(source, *, pause=0, fails=False):
    """Return the items of a flow with the times at which they came.

    With `fails` return also the error, or None.
    """
    start = anyio.current_time()
    seen = []
    raised = None

    async def note(item):
        seen.append((round(anyio.current_time() - start, 5), item))
        if pause:
            await anyio.sleep(pause)

    try:
        await source.collect(note)
    except Exception as error:
        if not fails:
            raise
        raised = error
    return (seen, raised) if fails else seen
