"""launch_in: what task groups it takes."""

from __future__ import annotations

import asyncio
from typing import assert_type

import trio
from anyio.abc import TaskGroup

from flowpy import Flow, Job


async def launching(
    numbers: Flow[int], group: TaskGroup, own: asyncio.TaskGroup, nursery: trio.Nursery
) -> None:
    job = numbers.launch_in(group)
    assert_type(job, Job)
    assert_type(numbers.launch_in(own), Job)
    assert_type(numbers.launch_in(nursery), Job)
    assert_type(job.cancel(), None)
    assert_type(await job.wait(), None)


def wrong(numbers: Flow[int]) -> None:
    numbers.launch_in()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.launch_in([])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.launch_in(numbers)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
