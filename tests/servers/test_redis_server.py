"""flowpy.ext.redis with real clients and a real server, whose consumers are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from inspect import isawaitable
from itertools import chain
from pathlib import Path
from random import Random

import anyio
import pytest

from flowpy import Flow, run
from flowpy.ext.redis import acknowledge, read_group, read_stream, write_stream
from flowpy.ext.redis._clients import Pending, commands_of
from tests.ext.redis_double import CoredisDouble, RedisPyDouble, Store
from tests.servers.redis_server import running

coredis = pytest.importorskip("coredis", reason="coredis is not installed")
redis = pytest.importorskip("redis", reason="redis-py is not installed")
redis_asyncio = pytest.importorskip("redis.asyncio")

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("redis_worker.py")

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
MESSAGES = 20_000 if LONG else 2_000
"""How many messages two consumers share, of whom one is killed."""

CLIENTS = {
    "coredis": lambda port: coredis.Redis(port=port),
    "coredis, decoding": lambda port: coredis.Redis(port=port, decode_responses=True),
    "redis-py": lambda port: redis_asyncio.Redis(port=port),
    "redis-py, decoding": lambda port: redis_asyncio.Redis(
        port=port, decode_responses=True
    ),
    "redis-py, RESP2": lambda port: redis_asyncio.Redis(port=port, protocol=2),
    "redis-py, RESP3": lambda port: redis_asyncio.Redis(port=port, protocol=3),
}
WAYS = [
    ("asyncio", "coredis"),
    ("trio", "coredis"),
    ("trio", "coredis, decoding"),
    ("asyncio", "redis-py"),
    ("asyncio", "redis-py, RESP3"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture
def plain(server):
    """Give a client for plain code, and an empty server."""
    with redis.Redis(port=server) as client:
        client.flushall()
        yield client


@pytest.fixture(params=WAYS, ids="-".join)
def on(request, server, plain):
    """Give a function that runs another one with a client."""
    backend, name = request.param

    def run_with_client(fn):
        async def main():
            async with CLIENTS[name](server) as client:
                return await fn(client)

        return run(main, backend=backend)

    return run_with_client


def jobs(client, consumer="one", **options):
    options = {"decode": lambda fields: int(fields["n"])} | options
    return read_group(client, "jobs", group="crew", consumer=consumer, **options)


def numbers(n):
    return Flow(range(n)).map(lambda i: {"n": i})


def test_what_is_written_is_read_and_acknowledged(on, plain):
    async def main(client):
        assert await numbers(250).pipe(write_stream(client, "jobs")) == 250
        got = []
        flow = jobs(client).take(250)
        count = await flow.pipe(acknowledge, lambda m: got.append(m.value))
        return count, got

    assert on(main) == (250, list(range(250)))
    assert plain.xpending("jobs", "crew")["pending"] == 0


def test_messages_come_again_after_a_restart_and_after_a_death(on, plain):
    async def main(client):
        await numbers(5).pipe(write_stream(client, "jobs", maxlen=1000))
        await jobs(client).take(2).collect()
        again = await jobs(client, size=2).take(5).to_list()
        await anyio.sleep(0.05)
        claimed = await jobs(client, "two", claim_after=0.05).take(5).to_list()
        await claimed[0].ack()
        plain.xdel("jobs", claimed[1].id)
        last = await jobs(client, "two").take(3).to_list()
        return [
            [(m.value, m.deliveries) for m in each] for each in (again, claimed, last)
        ]

    # The last three of the first batch were given back, and so are not counted.
    assert on(main) == [
        [(0, 2), (1, 2), (2, 1), (3, 1), (4, 1)],
        [(0, 3), (1, 3), (2, 2), (3, 2), (4, 2)],
        [(2, 3), (3, 3), (4, 3)],
    ]
    assert plain.xpending("jobs", "crew")["consumers"] == [
        {"name": b"two", "pending": 3}
    ]


def test_a_stop_in_order_while_nothing_comes_leaves_the_client_usable(on, plain):
    async def main(client):
        await numbers(3).pipe(write_stream(client, "jobs"))
        stop = anyio.Event()
        handled = []

        async def handle(message):
            handled.append(message.value)
            if message.value == 2:
                stop.set()
                await anyio.sleep(0.05)  # is let happen

        flow = jobs(client, block=4).take_until(stop.wait)
        count = await flow.pipe(acknowledge, handle, within=60)
        with anyio.move_on_after(0.05):  # and no later
            await jobs(client, block=4).collect()
        return count, handled, await client.ping()

    started = time.monotonic()
    count, handled, answer = on(main)

    assert (count, handled) == (3, [0, 1, 2])
    assert answer in {True, b"PONG", "PONG"}
    assert time.monotonic() - started < 3
    assert plain.xpending("jobs", "crew")["pending"] == 0


def test_a_stream_is_read_from_its_end_on(on, plain):
    plain.xadd("jobs", {"n": 0})

    async def main(client):
        got = []
        async with anyio.create_task_group() as group:
            flow = read_stream(client, "jobs", "none", start="$")
            group.start_soon(flow.take(3).map(lambda x: x.fields).collect, got.append)
            await anyio.sleep(0.1)
            await numbers(3).pipe(write_stream(client, "jobs"))
        return got

    assert on(main) == [{"n": b"0"}, {"n": b"1"}, {"n": b"2"}]


def test_where_connections_break_retry_loses_nothing(on, plain):
    async def main(client):
        got = set()
        all_came = anyio.Event()

        def handle(message):
            got.add(message.value)
            if len(got) == 40:
                all_came.set()

        async with anyio.create_task_group() as group:
            flow = jobs(client, block=4).retry(backoff=0.01).take_until(all_came.wait)
            group.start_soon(flow.pipe, acknowledge, handle)
            for n in range(40):
                await anyio.sleep(0.005)
                if n % 10 == 5:
                    plain.client_kill_filter(_type="normal", skipme=True)
                plain.xadd("jobs", {"n": n})
        return got

    assert on(main) == set(range(40))


# ---------------------------------------------------------- the double of virtual time


SCRIPT = [
    lambda c, s: c.create_group("k", "g", "0"),
    lambda c, s: c.create_group("k", "g", "0"),
    *(lambda c, s, n=n: s.add("k", {"n": n, "é": "é"}, f"{n}-0") for n in range(1, 6)),
    lambda c, s: c.read_group("g", "one", ["k"], 3, 10),
    lambda c, s: c.read_group("g", "two", ["k"], 3, 10),
    lambda c, s: c.read_group("g", "two", ["k"], 3, 10),
    lambda c, s: c.read_group("none", "two", ["k"], 3, 10),
    lambda c, s: c.pending("k", "g", "-", 10, consumer=None, idle=None),
    lambda c, s: c.pending("k", "g", "(2-0", 10, consumer="one", idle=None),
    lambda c, s: c.pending("k", "g", "-", 2, consumer=None, idle=0),
    lambda c, s: c.pending("k", "g", "-", 2, consumer=None, idle=3_600_000),
    lambda c, s: c.claim("k", "g", "two", 3_600_000, ["1-0"]),
    lambda c, s: c.claim("k", "g", "two", 0, ["1-0", "2-0", "9-0"]),
    lambda c, s: c.keep("k", "g", "two", 3_600_000, ["1-0"]),
    lambda c, s: c.keep("k", "g", "two", 0, ["3-0", "9-0"]),
    lambda c, s: c.pending("k", "g", "-", 10, consumer="two", idle=None),
    *(
        lambda c, s, n=n: c.give_back(
            *("k", "g", "two", n, ["4-0", "5-0"]), idle_then=900_000, deliveries=n
        )
        for n in (900_000, 0)
    ),
    lambda c, s: c.pending("k", "g", "-", 10, consumer=None, idle=800_000),
    lambda c, s: c.acknowledge("k", "g", ["1-0", "9-0"]),
    lambda c, s: s.delete("k", "2-0"),
    lambda c, s: c.claim("k", "g", "one", 0, ["2-0", "3-0"]),
    lambda c, s: c.pending("k", "g", "-", 10, consumer=None, idle=None),
    lambda c, s: c.read({"k": "3-0", "none": "0"}, 10, 10),
    lambda c, s: c.read({"k": "0"}, 2, 10),
    lambda c, s: c.read({"k": "5-0"}, 2, 10),
    lambda c, s: c.has("k", "4-0"),
    lambda c, s: c.has("k", "2-0"),
    lambda c, s: c.last_id("k"),
    lambda c, s: c.last_id("none"),
    lambda c, s: c.create_group("k", "late", "$"),
    lambda c, s: c.read_group("late", "one", ["k"], 3, 10),
    lambda c, s: c.add("added", [{b"a": b"1", b"b": b"\n"}, {b"a": b"2"}], 1000),
    lambda c, s: c.read({"added": "0"}, 10, 10),
]


class Real:
    """The real server, to be changed as the one in memory is."""

    def __init__(self, plain):
        self.plain = plain

    def add(self, key, fields, id):
        self.plain.xadd(key, fields, id=id)

    def delete(self, key, id):
        self.plain.xdel(key, id)


async def play(client, server):
    """Give what a client answers to each command of the script."""
    commands = commands_of(client)
    answers = []
    for number, step in enumerate(SCRIPT):
        try:
            answer = step(commands, server)
            if isawaitable(answer):
                answers.append((number, comparable(await answer)))
        except Exception as error:  # noqa: BLE001 - is compared
            answers.append((number, "No such" in str(error) or "NOGROUP" in str(error)))
    return answers


def comparable(answer):
    """Return an answer without times, be it what there was or what is made then."""
    rows = answer if isinstance(answer, list) else []
    if rows and isinstance(rows[0], Pending):
        return [row._replace(idle=0) for row in rows]
    if rows and rows[0][0] == "added":
        return [fields for _, fields in rows[0][1]]
    return answer


DOUBLES = {
    "coredis": CoredisDouble,
    "coredis, decoding": lambda store: CoredisDouble(store, decode_responses=True),
    "redis-py": RedisPyDouble,
    "redis-py, RESP2": RedisPyDouble,
    "redis-py, RESP3": lambda store: RedisPyDouble(store, protocol=3),
    "redis-py, decoding": lambda store: RedisPyDouble(store, decode_responses=True),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_the_double_answers_as_the_real_client_does(name, server, plain):
    async def main():
        store = Store()
        double = await play(DOUBLES[name](store), store)
        async with CLIENTS[name](server) as client:
            return double, await play(client, Real(plain))

    double, real = run(main)

    assert double == real
    assert [answer for _, answer in real].count(True) == 2  # no group; there it is


# ---------------------------------------------------------------- consumers that die


class Workers:
    """Consumers in processes of their own."""

    def __init__(self, port, folder):
        self.port = port
        self.folder = folder
        self.processes = {}

    def start(self, name, backend, stall=0):
        with (self.folder / name).open("ab") as written:
            self.processes[name] = subprocess.Popen(
                [
                    *(sys.executable, "-W", "error", str(WORKER)),
                    *(str(self.port), name, backend, str(stall)),
                ],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=written,
            )

    def lines(self, name):
        return (self.folder / name).read_text().splitlines()

    def handled(self, name):
        """Return what a worker has handled: pairs of value and deliveries."""
        lines = [line.split() for line in self.lines(name)]
        return [tuple(map(int, line)) for line in lines if line != ["stalled"]]

    def wait_until(self, fn):
        last = time.monotonic() + (120 if LONG else 20)
        while not fn():
            assert time.monotonic() < last
            assert all(each.poll() is None for each in self.processes.values())
            time.sleep(0.005)

    def kill(self, name):
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    def stop(self, name):
        """Ask one to stop, in order."""
        process = self.processes.pop(name)
        process.terminate()
        assert process.wait(timeout=10) == 0


@contextmanager
def workers(port, folder):
    own = Workers(port, folder)
    try:
        yield own
    finally:
        for process in own.processes.values():
            process.kill()
            process.wait()


def is_done(plain):
    (group,) = plain.xinfo_groups("jobs")
    return group["pending"] == group["lag"] == 0


def consumers(plain):
    """Return the names of those that have asked for messages."""
    with suppress(redis.ResponseError):  # there is no group yet
        return {each["name"].decode() for each in plain.xinfo_consumers("jobs", "crew")}


def pending_of(plain, name):
    consumers = plain.xpending("jobs", "crew")["consumers"]
    return {each["name"].decode(): each["pending"] for each in consumers}.get(name, 0)


def fill(plain, n):
    with plain.pipeline(transaction=False) as pipeline:
        for number in range(n):
            pipeline.xadd("jobs", {"n": number})
        pipeline.execute()


def check_that_all_were_handled(n, *handled):
    """Check that nothing was lost, and that what came twice is marked."""
    deliveries = defaultdict(list)
    for value, count in chain.from_iterable(handled):
        deliveries[value].append(count)

    assert deliveries.keys() == set(range(n))
    assert all(len(set(counts)) == len(counts) for counts in deliveries.values())
    return [value for value, counts in deliveries.items() if len(counts) > 1]


STALL = 130
"""Which message keeps a consumer busy for ever: one in the midst of its second batch."""

LEFT = 200 - (STALL - 1)
"""Those of its batch that it has not handled."""


@pytest.mark.timeout(180)
def test_of_a_consumer_that_is_killed_in_mid_batch_another_takes_over_the_rest(
    server, plain, tmp_path
):
    fill(plain, 500)
    with workers(server, tmp_path) as own:
        own.start("one", "asyncio", STALL)
        own.wait_until(lambda: "stalled" in own.lines("one"))
        # It is still there to acknowledge what it has handled.
        own.wait_until(lambda: pending_of(plain, "one") == LEFT)
        own.kill("one")
        own.start("two", "trio")
        own.wait_until(lambda: is_done(plain))
        own.stop("two")

    handled = own.handled("two")
    assert check_that_all_were_handled(500, own.handled("one"), handled) == []
    assert [value for value, count in handled if count > 1] == list(
        range(STALL - 1, 200)
    )


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(5 if LONG else 1))
def test_two_consumers_of_whom_one_is_killed_at_any_time_lose_nothing(
    server, plain, tmp_path, seed
):
    first = Random(seed).randrange(MESSAGES // 20, MESSAGES // 8)
    with workers(server, tmp_path) as own:
        own.start("one", "asyncio")
        own.start("two", "trio")
        own.wait_until(lambda: consumers(plain) == {"one", "two"})
        fill(plain, MESSAGES)
        own.wait_until(lambda: len(own.handled("one")) > first)
        own.kill("one")
        left = pending_of(plain, "one")
        own.wait_until(lambda: is_done(plain))
        own.stop("two")

    twice = check_that_all_were_handled(
        MESSAGES, own.handled("one"), own.handled("two")
    )
    again = [value for value, count in own.handled("two") if count > 1]
    print(
        f"{MESSAGES} messages, {left} left by the dead, {len(again)} delivered again, "
    )
    print(f"{len(twice)} handled twice, 0 lost")
    assert set(twice) <= set(again)
    assert len(again) >= left


@pytest.mark.timeout(180)
def test_a_consumer_that_is_killed_and_comes_back_begins_with_its_own(
    server, plain, tmp_path
):
    fill(plain, 300)
    with workers(server, tmp_path) as own:
        own.start("one", "trio", STALL)
        own.wait_until(lambda: "stalled" in own.lines("one"))
        own.wait_until(lambda: pending_of(plain, "one") == LEFT)
        own.kill("one")
        before = own.handled("one")
        own.start("one", "asyncio")
        own.wait_until(lambda: is_done(plain))
        own.stop("one")

    after = own.handled("one")[len(before) :]
    assert [count for _, count in after] == LEFT * [2] + 100 * [1]
    assert [value for value, _ in before + after] == list(range(300))
