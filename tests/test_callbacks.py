"""When the result of a user's function is awaited."""

from __future__ import annotations

import pytest

from flowpy import SKIP, Flow
from flowpy._types import MISSING

pytestmark = pytest.mark.anyio


async def fetch(n):
    return n * 10


async def test_after_a_coroutine_each_result_is_tested():
    mixed = Flow.of(1, 2, 3).map(lambda n: n if n == 2 else fetch(n))

    assert await mixed.to_list() == [10, 2, 30]


async def test_after_a_plain_result_none_is_tested():
    coroutine = fetch(2)
    mixed = Flow.of(1, coroutine).map(lambda item: item)

    assert await mixed.to_list() == [1, coroutine]
    coroutine.close()


async def test_each_collection_decides_anew():
    results = iter([1, fetch(2)])
    flow = Flow.of(None).map(lambda _: next(results))

    assert await flow.to_list() == [1]
    assert await flow.to_list() == [20]


def test_sentinels_read_like_their_names():
    assert (repr(SKIP), repr(MISSING)) == ("SKIP", "MISSING")


@pytest.mark.parametrize("period", [0, 0.0])
def test_a_period_must_be_longer_than_nothing(period):
    with pytest.raises(ValueError, match="period must be longer than 0; got 0"):
        Flow.interval(period)
