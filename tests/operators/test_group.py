"""What the operators that make lists of neighbouring items mean."""

from __future__ import annotations

import pytest

from flowpy import Flow

pytestmark = pytest.mark.anyio


async def test_a_window_that_is_changed_downstream_does_not_change_the_next():
    windows = Flow(range(5)).windowed(3, partial=True)

    mins = windows.map(lambda window: (window.sort(reverse=True), window.pop())[1])

    assert await mins.to_list() == [0, 1, 2, 3, 4]
