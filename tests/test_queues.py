"""Flow.from_queue: items come out of a queue."""

from __future__ import annotations

import asyncio
import sys

import anyio
import pytest

from flowpy import Flow, run
from tests.laws.probes import Boom


class QueueShutDown(Exception):
    """What other packages raise, by the same name."""


class OtherQueue:
    def __init__(self, *items, error=None):
        self.items = list(items)
        self.error = error

    async def get(self):
        await anyio.sleep(1)
        if self.items:
            return self.items.pop(0)
        raise self.error


def filled(*items):
    queue = asyncio.Queue()
    for item in items:
        queue.put_nowait(item)
    return queue


def test_it_gives_the_items_of_a_queue_in_order():
    async def main():
        queue = filled(1, None)
        made = Flow.from_queue(queue)
        first = await made.take(2).to_list()
        asyncio.get_running_loop().call_later(0.001, queue.put_nowait, 3)
        return first, await made.first(), repr(made)

    first, later, name = run(main)
    assert (first, later) == ([1, None], 3)
    assert name.startswith("Flow.from_queue(<Queue")


def test_it_takes_no_item_that_nobody_asked_for():
    async def main():
        queue = filled(1, 2, 3)
        items = await Flow.from_queue(queue).take(1).to_list()
        return items, queue.qsize()

    assert run(main) == ([1], 2)


def test_a_cancellation_loses_no_item():
    async def main():
        queue = filled()
        with anyio.move_on_after(0.001):
            await Flow.from_queue(queue).to_list()
        queue.put_nowait(1)
        return await Flow.from_queue(queue).first()

    assert run(main) == 1


@pytest.mark.skipif(sys.version_info < (3, 13), reason="has no shutdown of queues")
def test_it_ends_when_the_queue_has_been_shut_down_and_is_empty():
    async def main():
        queue = filled(1, 2)
        queue.shutdown()
        return await Flow.from_queue(queue).to_list()

    assert run(main) == [1, 2]


@pytest.mark.anyio
async def test_another_queue_ends_by_an_error_of_that_name():
    queue = OtherQueue(1, 2, error=QueueShutDown())

    assert await Flow.from_queue(queue).to_list() == [1, 2]


@pytest.mark.anyio
async def test_any_other_error_of_the_queue_is_raised():
    boom = Boom()
    with pytest.raises(Boom) as caught:
        await Flow.from_queue(OtherQueue(1, error=boom)).to_list()

    assert caught.value is boom


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_queue_that_is_never_empty_can_be_timed_out(backend):
    class Endless:
        async def get(self):
            return 1

    async def main():
        with anyio.move_on_after(0.01) as scope:
            await Flow.from_queue(Endless()).count()
        return scope.cancelled_caught

    assert run(main, backend=backend)


def test_a_queue_of_asyncio_is_refused_on_trio():
    made = Flow.from_queue(filled(1))

    with pytest.raises(RuntimeError, match="works on asyncio only"):
        run(made.to_list, backend="trio")


@pytest.mark.parametrize("wrong", [3, [1], None])
def test_what_is_no_queue_is_refused(wrong):
    with pytest.raises(TypeError, match="queue must have a method get"):
        Flow.from_queue(wrong)
