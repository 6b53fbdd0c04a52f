"""What broke once, or nearly did: behaviour at the edges, found by attacking it."""

from __future__ import annotations

import anyio
import pytest

from flowpy import Flow

pytestmark = pytest.mark.anyio


async def with_task_group():
    """A source that yields inside a task group, as users will in spite of PEP 789."""
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)
        for number in range(100):
            yield number


async def test_zip_closes_its_sides_in_the_reverse_order_of_opening():
    order = []

    async def source(name):
        try:
            while True:
                yield name
        finally:
            order.append(name)

    sides = [Flow(source(name)) for name in "abc"]
    await sides[0].zip(*sides[1:]).first()

    assert order == ["c", "b", "a"]


@pytest.mark.parametrize("combine", [Flow.zip, Flow.interleave, Flow.concat])
async def test_sources_that_hold_task_groups_can_be_combined_and_stopped(combine):
    flow = Flow(with_task_group)

    assert len(await combine(flow, flow, flow).take(3).to_list()) == 3


@pytest.mark.parametrize(
    "group",
    [
        ExceptionGroup("cleanup", [ValueError()]),
        BaseExceptionGroup("cleanup", [ValueError(), KeyboardInterrupt()]),
    ],
    ids=["ExceptionGroup", "BaseExceptionGroup"],
)
async def test_a_group_raised_by_cleanup_arrives_as_the_same_object(group):
    async def source():
        try:
            yield 1
        finally:
            raise group

    with pytest.raises(BaseExceptionGroup) as caught:
        await Flow(source).first()

    assert caught.value is group
