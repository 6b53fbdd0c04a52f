"""What tools that list tasks show of flows: `flowpy.buffer#2`.

Each task that runs while a flow is collected has such a name, that of the operator which
has started it: one that has none, or another's, fails here.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

import anyio
import pytest

from flowpy import BufferOverflowError, Flow, channel_flow, while_subscribed
from flowpy.web import sse
from tests.laws.table import CASES

pytestmark = pytest.mark.anyio

NAME = re.compile(r"flowpy\.(\w+)#\d+")

OTHERS = {"flatten": "flat_map", "to_dict": "zip"}
"""Those whose tasks are named for another: what they are made of in the table."""


class Names:
    """The names of the tasks that were there at one time or another."""

    def __init__(self):
        self._before = {task.id for task in anyio.get_running_tasks()}
        self.seen = set()

    def look(self, *_):
        """Take note of the tasks that there are now."""
        self.seen |= {
            str(task.name)
            for task in anyio.get_running_tasks()
            if task.id not in self._before
        }

    def operators(self):
        """Return for which operators they were started; None where a name does not say."""
        matches = [NAME.fullmatch(name) for name in self.seen]
        return {match and match[1] for match in matches}


async def collected(made):
    with suppress(BufferOverflowError, LookupError):
        await (made.collect() if isinstance(made, Flow) else made)


def slow(look):
    """Return items between which there is time, at each of which tasks are looked at."""

    async def items():
        for n in (1, 2, 3, 4):
            await anyio.sleep(0.05)
            look()
            await anyio.sleep(0.01)
            look()
            yield n

    return Flow(items)


def late(look):
    """Return an async function that takes its time, during which tasks are looked at."""

    def wrap(fn):
        async def call(*args):
            await anyio.sleep(0.01)
            look()
            return fn(*args)

        return call

    return wrap


def needs_a_task(case):
    """Tell whether a case runs a task, as its docstring tells it."""
    made = case.apply(Flow.of(1), lambda fn: fn)
    if not isinstance(made, Flow):
        made.close()
        return case.name == "collect_latest"
    stage = made._stages[-1]
    return bool(stage.holds) or "task" in stage.seam or case.name == "progress"


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_task_of_an_operator_is_named_for_it(case):
    names = Names()
    method = re.split(r"[( ]", case.name)[0]

    await collected(case.apply(slow(names.look), late(names.look)))

    own = OTHERS.get(method, method)
    assert names.operators() <= {own}
    assert names.operators() or not needs_a_task(case)


async def test_the_tasks_of_one_stage_have_the_same_number_those_of_another_do_not():
    names = Names()

    await slow(names.look).buffer(2).merge(slow(names.look)).buffer().collect()

    assert names.operators() == {"buffer", "merge"}
    assert len(names.seen) == 3


async def test_the_tasks_that_feed_and_read_channels_are_named():
    names = Names()

    @channel_flow
    async def numbers(channel):
        await anyio.sleep(1)
        names.look()
        await channel.send(1)

    await numbers().collect()

    assert names.operators() == {"channel_flow"}


STARTED = ["eagerly", "lazily", while_subscribed()]


@pytest.mark.parametrize("started", STARTED, ids=["eagerly", "lazily", "subscribed"])
async def test_the_tasks_that_feed_hot_flows_are_named(started):
    for share in (
        lambda source, group: source.share_in(group, started=started),
        lambda source, group: source.state_in(group, 0, started=started),
    ):
        names = Names()
        async with anyio.create_task_group() as group:
            shared = share(slow(names.look), group)
            assert await shared.take(3).count() == 3
            group.cancel_scope.cancel()
        method = "state_in" if hasattr(shared, "value") else "share_in"

        assert names.operators() == {method}


async def test_the_task_that_feeds_a_state_of_items_is_named():
    names = Names()

    async with anyio.create_task_group() as group:
        await slow(names.look).state_in(group)

    assert names.operators() == {"state_in"}


async def test_the_task_of_a_flow_that_was_launched_is_named(anyio_backend_name):
    names = Names()

    async with anyio.create_task_group() as group:
        slow(names.look).launch_in(group)
    if anyio_backend_name == "asyncio":
        async with asyncio.TaskGroup() as group:
            slow(names.look).launch_in(group)

    assert names.operators() == {"launch_in"}
    assert len(names.seen) == (2 if anyio_backend_name == "asyncio" else 1)


async def test_a_group_of_another_make_that_names_no_tasks_will_do():
    tasks = []

    class Group:
        def create_task(self, coroutine):
            tasks.append(coroutine)
            return self

        def add_done_callback(self, fn):
            pass

    Flow.of(1).launch_in(Group())
    await tasks[0]

    assert len(tasks) == 1


async def test_the_task_that_pings_a_client_is_named():
    names = Names()

    await sse(slow(names.look), data=str, ping=0.01).collect()

    assert names.operators() == {"sse"}
