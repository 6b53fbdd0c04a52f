"""What the operators that go on after an error mean."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from flowpy import Flow

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("nothing", [0, 0.0, timedelta(0)])
@pytest.mark.parametrize("factor", [2, 2.0])
async def test_retry_without_backoff_never_waits_however_often_it_tries(
    nothing, factor
):
    failing = Flow.fail(ConnectionError()).retry(1100, backoff=nothing, factor=factor)

    with pytest.raises(ConnectionError):
        await failing.collect()

    assert anyio.current_time() == 0
