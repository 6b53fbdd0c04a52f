"""Faults that need a process or a thread of their own: Ctrl-C, plain code."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
from contextvars import ContextVar

import anyio
import pytest

from flowpy import Flow, channel_flow
from tests.laws.probes import Boom, Source

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])

PROGRAM = """
import sys, time
from itertools import count
import anyio
from flowpy import Flow, run

opened = closed = 0

async def source():
    global opened, closed
    opened += 1
    try:
        for n in count():
            await anyio.sleep(0.001)
            yield n
    finally:
        closed += 1

async def waits(n):
    await anyio.sleep(0.001)
    return n

def endless(n):
    if n == 3:
        print("ready", flush=True)
        while True:
            pass
    return n

def tell(n):
    if n == 3:
        print("ready", flush=True)

fn, backend = {"waits": waits, "endless": endless}[sys.argv[1]], sys.argv[2]
flow = Flow(source).map(fn).buffer(3).merge(Flow(source)).conflate().buffer()
if fn is waits:
    flow = flow.on_each(tell)
try:
    run(flow.collect, backend=backend)
except KeyboardInterrupt:
    print("interrupted", opened - closed)
"""


def interrupted(kind, backend):
    """Run the program, press Ctrl-C when it is ready; return what it printed then."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, kind, backend]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            return process.communicate(timeout=20)
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
@BACKENDS
def test_ctrl_c_ends_a_flow_that_waits_and_closes_its_sources(backend):
    assert interrupted("waits", backend) == ("interrupted 0\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")
def test_ctrl_c_interrupts_an_endless_callback_in_a_task_of_its_own_on_trio():
    assert interrupted("endless", "trio") == ("interrupted 0\n", "")


# ------------------------------------------------------------- context of the collector


@pytest.mark.anyio
async def test_callbacks_of_stages_with_tasks_see_the_variables_of_the_collector():
    variable = ContextVar("variable", default="unset")
    seen = []

    async def look(_):
        seen.append(variable.get())

    @channel_flow
    async def produce(channel):
        await channel.send(await look(0))

    made = (
        Flow([1])
        .on_each(look)
        .buffer()
        .on_each(look)
        .merge(Flow([2]).on_each(look), produce())
        .on_each(look)
        .conflate()
    )
    variable.set("of the collector")
    await made.collect(look)

    assert len(seen) >= 8
    assert set(seen) == {"of the collector"}


# ------------------------------------------------------------------ from plain code


def of_tasks(*sources):
    first, *others = (Flow(source.generator).buffer(2) for source in sources)
    return first.merge(*others).buffer()


def read(items, fn):
    for item in items:
        fn(item)


def fail(item):
    raise Boom(item)


def threads():
    return [each for each in threading.enumerate() if "flowpy" in each.name]


@BACKENDS
def test_plain_code_reads_flows_with_tasks_to_their_end(backend):
    one, two = Source(1, 2, 3), Source(4, 5)
    items = list(of_tasks(one, two).iter_blocking(backend=backend))

    assert sorted(items) == [1, 2, 3, 4, 5]
    assert one.is_closed
    assert two.is_closed
    assert threads() == []


@BACKENDS
def test_plain_code_that_leaves_the_loop_finds_every_source_closed(backend):
    one, two = Source(*range(99), hangs=True), Source(hangs=True)
    for _ in of_tasks(one, two).iter_blocking(backend=backend):
        break
    gc.collect()

    assert one.is_closed
    assert two.is_closed
    assert threads() == []


@BACKENDS
def test_plain_code_gets_the_error_of_a_task_after_the_items_before(backend):
    boom, other = Boom(), Source(hangs=True)
    seen = []
    items = of_tasks(Source(1, error=boom), other).iter_blocking(backend=backend)
    with pytest.raises(Boom) as caught:
        read(items, seen.append)

    assert caught.value is boom
    assert seen == [1]
    assert other.is_closed
    assert threads() == []


@BACKENDS
def test_plain_code_that_fails_keeps_its_error_and_closes_the_sources(backend):
    source = Source(*range(9), hangs=True)
    with pytest.raises(Boom, match="0"):
        read(of_tasks(source).iter_blocking(backend=backend), fail)
    gc.collect()

    assert source.is_closed
    assert threads() == []


@BACKENDS
def test_plain_code_in_several_threads_reads_one_flow_each(backend):
    made = of_tasks(Source(1, 2), Source(3))
    results = []

    def read_all():
        results.append(sorted(made.iter_blocking(backend=backend)))

    readers = [threading.Thread(target=read_all) for _ in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    assert results == [[1, 2, 3]] * 3


@BACKENDS
def test_plain_code_reads_what_a_thread_sends(backend):
    @channel_flow(capacity=1)
    async def produce(channel):
        def work():
            for n in range(5):
                channel.send_from_thread(n)

        await anyio.to_thread.run_sync(work)

    assert list(produce().iter_blocking(backend=backend)) == list(range(5))
