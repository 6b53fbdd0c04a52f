"""flowpy.ext.redis in virtual time, over a server in memory.

`tests/servers/test_redis_server.py` has the same over a real one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from random import Random

import anyio
import pytest

from flowpy import Flow
from flowpy.ext.redis import (
    _clients,
    acknowledge,
    read_group,
    read_stream,
    write_stream,
)
from tests.ext.redis_double import (
    CoredisDouble,
    RedisPyDouble,
    ResponseError,
    Store,
)

pytestmark = pytest.mark.anyio

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"

FORMS = {
    "coredis": CoredisDouble,
    "coredis, decoding": lambda store: CoredisDouble(store, decode_responses=True),
    "redis-py": RedisPyDouble,
    "redis-py, RESP3": lambda store: RedisPyDouble(
        store, protocol=3, decode_responses=True
    ),
}


@pytest.fixture
def store():
    return Store()


@pytest.fixture(params=FORMS)
def any_client(request, store, monkeypatch):
    monkeypatch.setattr(_clients, "on_asyncio", lambda: True)  # the double is on both
    return FORMS[request.param](store)


@pytest.fixture
def client(store):
    return CoredisDouble(store)


def jobs(client, consumer="one", **options):
    """Return the messages of the streams that most tests are about: numbers."""
    options = {"decode": lambda fields: int(fields["n"])} | options
    return read_group(client, "jobs", group="crew", consumer=consumer, **options)


def fill(store, *numbers, key="jobs"):
    for n in numbers:
        store.add(key, {"n": n})


def deliver(store, consumer="dead"):
    """Deliver all messages to a consumer of which nothing is heard after that."""
    store.create("jobs", "crew", "0")
    store.new("crew", consumer, ["jobs"], None)


def seen(message):
    return message.value, message.deliveries


# -------------------------------------------------------------------- consumer groups


async def test_messages_come_in_order_with_what_they_hold(any_client, store):
    store.add("jobs", {"to": "ann"})
    store.add("jobs", {"to": "bob", "text": "é"})

    first, second = (
        await read_group(any_client, "jobs", group="g", consumer="c").take(2).to_list()
    )

    assert (first.key, first.id, second.id) == ("jobs", "1-0", "2-0")
    assert second.value == second.fields == {"to": b"bob", "text": "é".encode()}
    assert (first.deliveries, first.redelivered) == (1, False)
    assert repr(first) == "<Message 1-0 of 'jobs': {'to': b'ann'}>"


async def test_bytes_that_are_no_text_come_as_they_are(client, store):
    store.add("jobs", {"a": b"\xff"})
    store.add("jobs", {b"\xff": ""})
    entries = await read_stream(client, "jobs").take(2).to_list()
    await Flow(entries).map(lambda x: x.value).pipe(write_stream(client, "copy"))

    assert entries[0].value == {"a": b"\xff"}
    assert entries[1].value == {"\udcff": b""}
    assert list(store.streams["copy"].values()) == [{b"a": b"\xff"}, {b"\xff": b""}]


async def test_what_comes_later_comes_at_once(any_client, store):
    came = []
    start = anyio.current_time()

    def note(message):
        came.append((message.value, anyio.current_time() - start))

    async with anyio.create_task_group() as group:
        group.start_soon(jobs(any_client).take(3).collect, note)
        await anyio.sleep(2.5)
        fill(store, 1, 2)
        await anyio.sleep(10)
        fill(store, 3)

    assert came == [(1, 2.5), (2, 2.5), (3, 12.5)]


async def test_consumers_of_a_group_share_its_messages(client, store):
    fill(store, *range(20))
    got = {"one": [], "two": []}

    async def consume(name):
        own = jobs(client, name, size=1).map(lambda m: got[name].append(m.value))
        await own.take(10).collect(lambda _: anyio.sleep(1))

    async with anyio.create_task_group() as group:
        group.start_soon(consume, "one")
        group.start_soon(consume, "two")

    assert sorted(got["one"] + got["two"]) == list(range(20))


async def test_a_group_is_made_where_it_is_not_there(any_client, store):
    fill(store, 1)
    flow = jobs(any_client, start="$").take(1)
    async with anyio.create_task_group() as group:
        group.start_soon(flow.collect)
        await anyio.sleep(0.5)
        fill(store, 2)
    assert store.pending("jobs", "crew") == {"2-0": "one"}

    fill(store, 3)
    again = await flow.concat(jobs(any_client, "two").take(1)).to_list()

    assert [message.value for message in again] == [2, 3]


async def test_a_group_that_is_not_there_is_an_error_if_it_is_not_to_be_made(client):
    with pytest.raises(ResponseError, match="NOGROUP"):
        await jobs(client, create=False).first()


async def test_any_other_error_of_making_a_group_is_one(any_client, store):
    error = store.failing["xgroup_create"] = ResponseError("WRONGTYPE of key")

    with pytest.raises(ResponseError) as raised:
        await jobs(any_client).first()

    assert raised.value is error


async def test_messages_of_several_streams_come_through_one_call(any_client, store):
    fill(store, 1, 3)
    fill(store, 2, key="more")
    flow = read_group(any_client, "jobs", "more", group="g", consumer="c")

    got = await flow.take(3).map(lambda m: (m.key, m.fields["n"])).to_list()

    assert got == [("jobs", b"1"), ("jobs", b"3"), ("more", b"2")]
    assert len(store.said("xreadgroup")) == 1


async def test_a_failed_command_ends_the_flow_and_retry_goes_on(client, store):
    fill(store, 1)
    store.failing["xreadgroup"] = ConnectionError("gone")

    with pytest.raises(ConnectionError):
        await jobs(client).first()

    store.failing["xreadgroup"] = ConnectionError("gone again")

    assert seen(await jobs(client).retry().first()) == (1, 1)


async def test_a_collection_that_stops_leaves_the_rest_to_the_next_one(
    any_client, store
):
    fill(store, 1, 2, 3)

    await jobs(any_client).take(1).collect()
    fill(store, 4)
    again = await jobs(any_client).take(4).map(seen).to_list()

    assert again == [(1, 2), (2, 1), (3, 1), (4, 1)]


@pytest.mark.parametrize("end", ["stop", "error", "cancellation"])
async def test_what_was_not_passed_on_is_there_for_others_at_once(
    any_client, store, end
):
    fill(store, 1, 2, 3)
    deliver(store)
    await anyio.sleep(60)
    fill(store, 4, key="more")
    flow = read_group(any_client, "jobs", "more", group="crew", consumer="one")
    start = anyio.current_time()

    async def handle(message):
        await anyio.sleep(0 if end == "stop" else 1)
        assert end != "error"

    ending = flow.take(1).collect if end == "stop" else flow.collect
    with (
        suppress(AssertionError),
        anyio.move_on_after(0.5 if end == "cancellation" else 9),
    ):
        await ending(handle)
    got = await jobs(any_client, "two").take(2).map(seen).to_list()

    assert got == [(2, 2), (3, 2)]
    assert anyio.current_time() - start <= 1


async def test_what_another_took_over_is_not_given_back(client, store):
    fill(store, 1, 2, 3)

    async def handle(message):
        await anyio.sleep(25)
        store.claim("jobs", "crew", "two", 10_000, ["2-0"], False, None, None)
        await anyio.sleep(1)

    with anyio.move_on_after(26):
        await jobs(client, claim_after=10).collect(handle)

    assert store.pending("jobs", "crew") == {"1-0": "one", "2-0": "two", "3-0": "one"}
    assert [each.count for each in store.groups["jobs", "crew"][1].values()] == [
        1,
        2,
        0,
    ]


@pytest.mark.parametrize("trouble", ["refused", "no answer"])
async def test_messages_that_cannot_be_given_back_come_again_later(
    client, store, trouble
):
    fill(store, 1, 2)
    start = anyio.current_time()

    def fail(message):
        if trouble == "refused":
            store.failing["xclaim"] = ConnectionError("gone")
        else:
            store.delays["xclaim"] = 3600
        raise LookupError

    with pytest.raises(LookupError) as raised:
        await jobs(client).collect(fail)

    assert anyio.current_time() - start == (0 if trouble == "refused" else 5)
    assert len(raised.value.__notes__) == 1  # in which stage it was
    store.delays.clear()
    assert await jobs(client).take(2).map(seen).to_list() == [(1, 2), (2, 2)]


async def test_what_is_never_to_be_taken_over_is_given_back_uncounted(client, store):
    fill(store, 1, 2)

    await jobs(client, claim_after=None).take(1).collect()
    await anyio.sleep(1)
    own = store.groups["jobs", "crew"][1]["2-0"]

    assert (own.consumer, own.count, own.idle) == ("one", 0, 1000)


# ------------------------------------------------------------------------- redelivery


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
async def test_after_a_restart_its_own_messages_come_first_and_marked(
    any_client, store, size
):
    fill(store, *range(5))
    await jobs(any_client, size=5).take(5).collect()
    fill(store, 5)

    again = await jobs(any_client, size=size).take(6).to_list()

    assert [seen(message) for message in again] == [
        *((n, 2) for n in range(5)),
        (5, 1),
    ]
    assert [message.redelivered for message in again] == 5 * [True] + [False]
    assert repr(again[0]) == "<Message 1-0 of 'jobs', delivery 2: {'n': b'0'}>"


async def test_messages_of_a_consumer_that_died_are_taken_over_in_time(
    any_client, store
):
    fill(store, 1, 2, 3)
    deliver(store)
    start = anyio.current_time()
    came = []

    def note(message):
        came.append((message.value, message.deliveries))
        assert 10 <= anyio.current_time() - start <= 15

    await anyio.sleep(0.25)
    await jobs(any_client, "two", claim_after=10).take(3).collect(note)

    assert came == [(1, 2), (2, 2), (3, 2)]
    assert set(store.pending("jobs", "crew").values()) == {"two"}


async def test_messages_are_taken_over_between_new_ones(client, store):
    fill(store, 1)
    await jobs(client, "dead").take(1).collect()
    fill(store, *range(100, 160))

    got = []

    async def handle(message):
        got.append(seen(message))
        await anyio.sleep(1)

    flow = jobs(client, "two", claim_after=timedelta(seconds=10), size=1)
    await flow.take(40).pipe(acknowledge, handle)

    assert (1, 2) in got[9:16]
    assert [each for each in got if each != (1, 2)] == [(n, 1) for n in range(100, 139)]


async def test_with_no_time_to_take_over_messages_they_are_left(client, store):
    fill(store, 1)
    await jobs(client, "dead").take(1).collect()

    with anyio.move_on_after(1000):
        await jobs(client, "two", claim_after=None).collect()

    assert store.pending("jobs", "crew") == {"1-0": "dead"}


async def test_a_message_that_nobody_acknowledged_comes_again_to_the_same(
    client, store
):
    fill(store, 1)

    got = await jobs(client, claim_after=10).take(3).map(seen).to_list()

    assert got == [(1, 1), (1, 2), (1, 3)]


async def test_of_two_that_take_over_a_message_one_gets_it(client, store):
    fill(store, 1, 2)
    deliver(store)
    await anyio.sleep(20)
    store.delays = {"xclaim": 1}
    got = []

    async def consume(name):
        with anyio.move_on_after(5):
            await jobs(client, name, claim_after=15).map(seen).collect(got.append)

    async with anyio.create_task_group() as group:
        group.start_soon(consume, "two")
        group.start_soon(consume, "three")

    assert sorted(got) == [(1, 2), (2, 2)]


async def test_after_a_restart_what_another_took_meanwhile_is_left_to_it(client, store):
    fill(store, 1)
    await jobs(client, "one").take(1).collect()
    await anyio.sleep(20)
    store.delays = {"xclaim": 1}

    async with anyio.create_task_group() as group:
        group.start_soon(jobs(client, "two", claim_after=15).take(1).collect)
        await anyio.sleep(0.5)
        with anyio.move_on_after(5) as scope:
            await jobs(client, "one", claim_after=15).collect()

    assert scope.cancelled_caught
    assert store.pending("jobs", "crew") == {"1-0": "two"}


async def test_a_message_that_was_deleted_is_spoken_of(client, store, caplog):
    fill(store, 1, 2)
    deliver(store, "one")
    store.delete("jobs", "1-0")

    got = await jobs(client).take(1).map(seen).to_list()

    assert got == [(2, 2)]
    (spoken,) = caplog.messages
    assert spoken == (
        "read_group: message 1-0 of 'jobs' was deleted from the stream before it was "
        "acknowledged"
    )
    assert store.pending("jobs", "crew") == {"2-0": "one"}


async def test_a_message_that_comes_again_and_again_is_spoken_of(client, store, caplog):
    fill(store, 1, 2)
    spoken = []
    for _ in range(4):
        await jobs(client).take(2).collect()
        spoken.append(list(caplog.messages))
        caplog.clear()

    first, rest = (
        "read_group: message 1-0 of 'jobs' has been delivered",
        ("times; in all, 2 of the batch 3 times or more"),
    )
    assert spoken == [[], [], [f"{first} 3 {rest}"], [f"{first} 4 {rest}"]]
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}


async def test_a_value_is_decoded_once_where_it_is_looked_at(client, store):
    fill(store, "7")
    calls = []

    def decode(fields):
        calls.append(fields)
        return json.loads(fields["n"])

    message = await jobs(client, decode=decode).first()
    assert calls == []

    assert (message.value, message.value) == (7, 7)
    assert calls == [{"n": b"7"}]


async def test_what_decoding_raises_is_raised_where_the_message_is_handled(
    client, store
):
    fill(store, "not a number", 2)
    put_aside = []

    def handle(message):
        try:
            return message.value
        except ValueError as error:
            put_aside.append((message.fields, message.deliveries, error.__notes__))

    handled = await jobs(client).take(2).map(handle).to_list()

    assert handled == [None, 2]
    assert put_aside == [
        (
            {"n": b"not a number"},
            1,
            ["in decode, for 1-0 of 'jobs'"],
        )
    ]


# ------------------------------------------------------------ a batch that takes long


async def test_what_waits_behind_a_slow_message_is_not_taken_over(client, store):
    fill(store, *range(10))
    handled = []

    async def consume(name, seconds):
        async def handle(message):
            await anyio.sleep(seconds)
            handled.append((name, *seen(message)))

        await jobs(client, name, claim_after=10).pipe(acknowledge, handle)

    async with anyio.create_task_group() as group:
        group.start_soon(consume, "slow", 4)
        await anyio.sleep(1)
        group.start_soon(consume, "quick", 0)
        await anyio.sleep(60)
        group.cancel_scope.cancel()

    assert handled == [("slow", n, 1) for n in range(10)]


async def test_what_another_took_over_is_not_passed_on(client, store):
    fill(store, *range(5))
    handled = []

    async def consume(name, seconds):
        async def handle(message):
            await anyio.sleep(seconds.get(message.value, 0))
            handled.append((name, *seen(message)))

        await jobs(client, name, claim_after=10).pipe(acknowledge, handle)

    async with anyio.create_task_group() as group:
        group.start_soon(consume, "slow", {1: 25})
        await anyio.sleep(1)
        group.start_soon(consume, "quick", {})
        await anyio.sleep(60)
        group.cancel_scope.cancel()

    # The one that took too long was handled twice; the others were not.
    quick = [each for each in handled if each[0] == "quick"]
    assert quick == [("quick", n, 2) for n in (1, 2, 3, 4)]
    assert [each for each in handled if each not in quick] == [
        ("slow", 0, 1),
        ("slow", 1, 1),
    ]


async def test_what_waits_is_kept_for_each_stream(client, store):
    fill(store, 1, 2)
    fill(store, 3, key="more")
    options = {"group": "g", "consumer": "c", "claim_after": 10}
    slow = read_group(client, "jobs", "more", **options)

    got = await slow.on_each(lambda _: anyio.sleep(6)).map(seen_n).take(3).to_list()

    assert got == [b"1", b"2", b"3"]
    kept = [args for args in store.said("xclaim") if args[-1]]
    assert kept == [
        ["jobs", "g", "c", 1000, ["2-0"], True],
        ["more", "g", "c", 1000, ["1-0"], True],
        ["more", "g", "c", 1000, ["1-0"], True],
    ]


def seen_n(message):
    return message.fields["n"]


# -------------------------------------------------------------------- acknowledgement


async def test_a_message_is_acknowledged_by_itself(any_client, store):
    fill(store, 1, 2)

    await (
        jobs(any_client)
        .take(2)
        .filter(lambda m: m.value == 2)
        .collect(lambda message: message.ack())
    )

    assert store.pending("jobs", "crew") == {"1-0": "one"}


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_messages_are_acknowledged_once_they_are_handled(
    any_client, store, concurrency
):
    fill(store, *range(10))
    handled = []

    async def handle(message):
        await anyio.sleep(1)
        assert message.id in store.pending("jobs", "crew")
        handled.append(message.value)

    flow = jobs(any_client).take(10)
    count = await flow.pipe(acknowledge, handle, concurrency=concurrency)

    assert count == 10
    assert sorted(handled) == list(range(10))
    assert store.pending("jobs", "crew") == {}


async def test_acknowledgements_are_sent_in_batches_of_a_size(client, store):
    fill(store, *range(10))
    count = await jobs(client).take(10).pipe(acknowledge, size=4, within=3600)

    sizes = [len(ids) for *_, ids in store.said("xack")]
    assert count == sum(sizes) == 10
    assert max(sizes) == 4
    assert len(sizes) == 3


async def test_a_handled_message_waits_for_others_so_long_and_no_longer(client, store):
    start = anyio.current_time()
    acknowledged = []
    called = store.called

    async def watched(name, *args):
        if name == "xack":
            acknowledged.append((anyio.current_time() - start, args[-1]))
        await called(name, *args)

    store.called = watched
    async with anyio.create_task_group() as group:
        group.start_soon(acknowledge, jobs(client), print_nothing)
        for second in (1, 3, 6, 20):
            await anyio.sleep(start + second - anyio.current_time())
            fill(store, second)
        await anyio.sleep(10)
        group.cancel_scope.cancel()

    assert acknowledged == [
        (2, ["1-0"]),
        (4, ["2-0"]),
        (7, ["3-0"]),
        (21, ["4-0"]),
    ]


def print_nothing(message):
    pass


async def test_what_fails_is_not_acknowledged_and_what_was_handled_is(client, store):
    fill(store, *range(5))
    error = ValueError("no")

    def handle(message):
        if message.value == 3:
            raise error

    with pytest.raises(ValueError, match="no") as raised:
        await jobs(client).pipe(acknowledge, handle, within=3600)

    assert raised.value is error
    assert error.__notes__ == [f"in stage 1 of {jobs(client)}.map(handle)"]
    assert list(store.pending("jobs", "crew")) == ["4-0", "5-0"]
    assert await jobs(client).take(2).map(seen).to_list() == [(3, 2), (4, 1)]


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_cancellation_leaves_what_is_being_handled(client, store, concurrency):
    fill(store, *range(6))

    async def handle(message):
        await anyio.sleep(10 if message.value > 2 else 0.1)

    with anyio.move_on_after(5) as scope:
        await jobs(client).pipe(
            acknowledge, handle, concurrency=concurrency, within=3600
        )

    assert scope.cancelled_caught
    assert list(store.pending("jobs", "crew")) == ["4-0", "5-0", "6-0"]


async def test_a_task_that_asyncio_cancels_acknowledges_what_it_has_handled(
    client, store, anyio_backend_name
):
    if anyio_backend_name != "asyncio":
        return
    fill(store, *range(6))
    store.delays["xack"] = 1

    async def handle(message):
        await anyio.sleep(10 if message.value > 2 else 0.1)

    flow = jobs(client)
    task = asyncio.create_task(flow.pipe(acknowledge, handle, within=3600))
    await anyio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert list(store.pending("jobs", "crew")) == ["4-0", "5-0", "6-0"]


async def test_a_stop_in_order_finishes_the_message_in_flight(client, store):
    fill(store, *range(6))
    stop = anyio.Event()
    handled = []

    async def handle(message):
        await anyio.sleep(1)
        handled.append(message.id)

    async with anyio.create_task_group() as group:

        async def work():
            messages = jobs(client).take_until(stop.wait)
            await messages.pipe(acknowledge, handle, within=3600)
            group.cancel_scope.cancel()

        group.start_soon(work)
        await anyio.sleep(2.5)
        stop.set()
        await anyio.sleep(3600)

    assert handled[:3] == ["1-0", "2-0", "3-0"]
    assert list(store.pending("jobs", "crew")) == [
        id for id in ("1-0", "2-0", "3-0", "4-0", "5-0", "6-0") if id not in handled
    ]
    again = await jobs(client).take(6 - len(handled)).map(seen).to_list()
    assert again == [(n, 1) for n in range(len(handled), 6)]


async def test_a_stop_in_order_does_not_wait_for_messages(client, store):
    stop = anyio.Event()
    start = anyio.current_time()

    async with anyio.create_task_group() as group:

        async def work():
            flow = jobs(client, block=3600).take_until(stop.wait)
            assert await flow.pipe(acknowledge) == 0

        group.start_soon(work)
        await anyio.sleep(1)
        stop.set()

    assert anyio.current_time() - start == 1


async def test_what_comes_out_of_a_chain_is_acknowledged_without_a_function(
    client, store
):
    fill(store, *range(4))
    saved = []

    flow = jobs(client).take(4).on_each(saved.append).filter(lambda m: m.value != 2)
    count = await flow.pipe(acknowledge)

    assert (len(saved), count) == (4, 3)
    assert store.pending("jobs", "crew") == {"3-0": "one"}


async def test_lists_of_messages_are_handled_at_once(client, store):
    fill(store, *range(7))
    saved = []

    def save(batch):
        saved.append([message.value for message in batch])

    count = await jobs(client).take(7).chunked(3).pipe(acknowledge, save, size=1)

    assert saved == [[0, 1, 2], [3, 4, 5], [6]]
    assert count == 7
    assert store.pending("jobs", "crew") == {}
    assert sum(len(ids) for *_, ids in store.said("xack")) == 7


async def test_messages_of_several_groups_may_be_acknowledged_together(client, store):
    fill(store, 1, 2)
    fill(store, 3, key="more")
    both = read_group(client, "jobs", "more", group="a", consumer="c")
    other = read_group(client, "jobs", group="b", consumer="c")

    count = await both.take(3).merge(other.take(2)).pipe(acknowledge)

    assert count == 5
    assert sorted(args for args in store.said("xack")) == [
        ["jobs", "a", ["1-0", "2-0"]],
        ["jobs", "b", ["1-0", "2-0"]],
        ["more", "a", ["1-0"]],
    ]


@pytest.mark.parametrize("item", [7, [7], None])
@pytest.mark.parametrize("fn", [None, print_nothing])
async def test_what_is_no_message_cannot_be_acknowledged(item, fn):
    with pytest.raises(TypeError, match=re.escape(f"got {item!r}")):
        await acknowledge(Flow.of(item), fn)


async def test_an_acknowledgement_that_fails_ends_the_collection(client, store):
    fill(store, *range(4))
    error = store.failing["xack"] = ConnectionError("gone")

    with pytest.raises(ConnectionError) as raised:
        await jobs(client).pipe(acknowledge, size=2)

    assert raised.value is error
    # It was tried once more at the end.
    assert len(store.pending("jobs", "crew")) < 4


async def test_a_group_that_cannot_be_acknowledged_does_not_keep_others_from_it(
    client, store
):
    fill(store, 1, 2)
    fill(store, 3, key="more")
    fill(store, 4, key="last")
    both = read_group(client, "jobs", "more", "last", group="crew", consumer="one")
    error = store.failing["xack"] = ConnectionError("gone")

    with pytest.raises(ConnectionError) as raised:
        await both.take(4).pipe(acknowledge)

    assert raised.value is error
    assert len(store.pending("jobs", "crew")) == 2
    assert store.pending("more", "crew") == store.pending("last", "crew") == {}


async def test_the_last_acknowledgements_may_fail_too(client, store):
    fill(store, 1)
    store.delays["xack"] = 3600
    start = anyio.current_time()

    with pytest.raises(TimeoutError):
        await jobs(client).take(1).pipe(acknowledge)

    assert anyio.current_time() - start == 5

    def fail(message):
        raise ValueError(message.value)

    fill(store, 2)
    flow = jobs(client, "two").take(1).start_with(await jobs(client).first())
    flow = flow.on_each(lambda message: message.value == 1 or fail(message))
    with pytest.raises(ValueError, match="2") as raised:
        await flow.pipe(acknowledge)

    assert raised.value.__notes__[-1] == "while closing, also raised: TimeoutError()"


async def test_what_is_handled_while_others_are_acknowledged_is_not_lost(client, store):
    fill(store, *range(20))
    store.delays["xack"] = 1.5

    count = (
        await jobs(client)
        .take(20)
        .pipe(acknowledge, lambda _: anyio.sleep(0.5), size=3, within=3600)
    )

    assert count == 20
    assert store.pending("jobs", "crew") == {}


# ------------------------------------------------------------------- consumers that die


class Line:
    """A connection to a store, which may be cut."""

    def __init__(self, store):
        self.store = store
        self.cut = False

    def __getattr__(self, name):
        return getattr(self.store, name)

    async def called(self, *args):
        if self.cut:
            raise ConnectionError
        await self.store.called(*args)


@pytest.mark.parametrize("seed", range(500 if LONG else 10))
async def test_whenever_consumers_die_or_stop_nothing_is_lost_and_all_is_marked(
    store, seed
):
    random = Random(seed)
    store.delays = dict.fromkeys(["xack", "xclaim", "xpending", "xreadgroup"], 0.05)
    fill(store, *range(60))
    handed = defaultdict(list)
    done = set()

    async def handle(message):
        handed[message.value].append(message.deliveries)
        await anyio.sleep(random.choice([0, 0.1, 1, 12]))
        done.add(message.value)

    async def live(name):
        """Stop, in order or not, and come back, until all is done."""
        while len(done) < 60 or store.pending("jobs", "crew"):
            line = Line(store)
            flow = jobs(CoredisDouble(line), name, claim_after=10, size=7)

            async def work(flow=flow):
                with suppress(ConnectionError):
                    await flow.pipe(
                        acknowledge, handle, concurrency=random.choice([1, 3])
                    )

            async with anyio.create_task_group() as own:
                own.start_soon(work)
                await anyio.sleep(random.uniform(0, 30))
                line.cut = random.random() < 0.5
                own.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for name in ("one", "two", "three"):
            group.start_soon(live, name)

    assert done == set(range(60))
    assert [n for n, counts in handed.items() if sorted(set(counts)) != counts] == []


# ---------------------------------------------------------------------------- writing


async def test_items_are_written_as_entries(any_client, store):
    items = [{"a": 1, "b": "é"}, {"a": 2.5, "b": b"\n"}]

    assert await Flow(items).pipe(write_stream(any_client, "k")) == 2

    assert store.streams["k"] == {
        "1-0": {b"a": b"1", b"b": "é".encode()},
        "2-0": {b"a": b"2.5", b"b": b"\n"},
    }


@pytest.mark.parametrize("is_async", [False, True])
async def test_other_items_are_encoded(client, store, is_async):
    def fields(n):
        return {"json": json.dumps([n])}

    async def fields_later(n):
        return fields(n)

    sink = write_stream(client, "k", encode=fields_later if is_async else fields)

    assert await Flow.of(1, 2).pipe(sink) == 2
    assert list(store.streams["k"].values()) == [{b"json": b"[1]"}, {b"json": b"[2]"}]


async def test_many_items_are_sent_at_once_and_few_as_they_come(client, store):
    items = Flow({"n": n} for n in range(10)).start_with({"n": -1}).delay(1)

    count = await items.pipe(write_stream(client, "k", size=4))

    sizes = [count for (count,) in store.said("pipeline")]
    assert count == sum(sizes) == 11
    assert max(sizes) <= 4
    assert len(sizes) <= 5

    store.calls.clear()
    slow = Flow.interval(1).take(3).map(lambda n: {"n": n})

    assert await slow.pipe(write_stream(client, "k")) == 3
    assert store.said("pipeline") == [[1], [1], [1]]


async def test_a_stream_keeps_as_many_entries_as_it_is_told_to(any_client, store):
    if isinstance(any_client, CoredisDouble):
        pytest.importorskip("coredis")  # its word for how the stream is cut
    items = Flow(range(10)).map(lambda n: {"n": n})

    await items.pipe(write_stream(any_client, "k", maxlen=3))

    assert [fields[b"n"] for fields in store.streams["k"].values()] == [
        b"7",
        b"8",
        b"9",
    ]


@pytest.mark.parametrize(
    ("item", "error", "text"),
    [
        ("x", TypeError, "takes mappings of field names"),
        ({}, ValueError, "must have a field"),
        ({1: "x"}, TypeError, "names of fields must be str; got 1 in {1: 'x'}"),
        ({"a": None}, TypeError, "values of fields must be str, bytes, int or float"),
        ({"a": True}, TypeError, "got True in {'a': True}"),
    ],
)
async def test_what_cannot_be_written_is_an_error_after_what_can(
    client, store, item, error, text
):
    with pytest.raises(error, match=re.escape(text)):
        await Flow.of({"n": 1}, {"n": 2}, item, {"n": 3}).pipe(
            write_stream(client, "k")
        )

    assert [fields[b"n"] for fields in store.streams["k"].values()] == [b"1", b"2"]


async def test_what_is_refused_by_the_server_ends_the_writing(any_client, store):
    error = store.failing["pipeline"] = ResponseError("OOM")

    with pytest.raises(ResponseError) as raised:
        await Flow.of({"n": 1}).pipe(write_stream(any_client, "k"))

    assert raised.value is error


# ---------------------------------------------------------------------- plain reading


async def test_a_stream_is_read_from_its_beginning_and_then_live(any_client, store):
    fill(store, 1, 2, 3)
    flow = read_stream(any_client, "jobs", decode=lambda x: int(x["n"]), size=2)
    start = anyio.current_time()
    got = []

    def note(entry):
        got.append((entry.id, entry.value, anyio.current_time() - start))

    async with anyio.create_task_group() as group:
        group.start_soon(flow.take(5).collect, note)
        for n in (4, 5):
            await anyio.sleep(2.25)
            fill(store, n)

    assert got == [
        ("1-0", 1, 0),
        ("2-0", 2, 0),
        ("3-0", 3, 0),
        ("4-0", 4, 2.25),
        ("5-0", 5, 4.5),
    ]


async def test_a_stream_may_be_read_behind_an_id(client, store):
    fill(store, *range(5))

    entry = await read_stream(client, "jobs", start="3-0").first()

    assert (entry.id, entry.value) == ("4-0", {"n": b"3"})
    assert repr(entry) == "<Entry 4-0 of 'jobs': {'n': b'3'}>"


async def test_what_comes_while_nobody_reads_is_not_missed(any_client, store):
    fill(store, 1)
    flow = read_stream(any_client, "jobs", "none", start="$").take(4)
    store.delays["xread"] = 0.5
    got = []

    async with anyio.create_task_group() as group:
        group.start_soon(flow.map(lambda entry: entry.value).collect, got.append)
        for n in range(2, 6):
            await anyio.sleep(0.75)
            fill(store, n)

    assert got == [{"n": b"%d" % n} for n in range(2, 6)]


# ------------------------------------------------------------------ clients, arguments


async def test_a_client_of_redis_py_says_that_it_works_on_asyncio_only(
    anyio_backend_name,
):
    client = RedisPyDouble()
    tries = [
        lambda: Flow.of({"n": 1}).pipe(write_stream(client, "k")),
        read_group(client, "k", group="g", consumer="c").first,
        read_stream(client, "k").first,
    ]

    if anyio_backend_name == "trio":
        for each in tries:
            with pytest.raises(RuntimeError, match="on trio, use one of coredis"):
                await each()
        assert client.store.calls == []
    else:
        for each in tries:
            assert await each()


async def test_a_flow_of_messages_reads_like_the_call():
    client = CoredisDouble()

    assert repr(read_group(client, "a", "b", group="g", consumer="c").take(1)) == (
        "read_group(client, 'a', 'b', group='g', consumer='c').take(1)"
    )
    assert repr(read_stream(client, "a")) == "read_stream(client, 'a')"


def test_what_is_no_async_client_of_redis_is_refused():
    class Plain:
        """A client for plain code, such as `redis.Redis`."""

        xack = xadd = xclaim = xgroup_create = xpending = xread = xreadgroup = print
        pipeline = xrange = xrevrange = print

    for flow in (
        lambda client: read_group(client, "k", group="g", consumer="c"),
        lambda client: read_stream(client, "k"),
        lambda client: write_stream(client, "k"),
    ):
        with pytest.raises(TypeError, match="with __aenter__; got <"):
            flow(Plain())
        with pytest.raises(TypeError, match="xreadgroup, xrevrange; got None"):
            flow(None)


async def decode_later(fields):
    return fields


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"keys": []}, ValueError, "keys must name a stream; got none"),
        ({"keys": [""]}, ValueError, "key must not be empty"),
        ({"keys": [b"k"]}, TypeError, "key must be str; got b'k'"),
        ({"group": ""}, ValueError, "group must not be empty"),
        ({"consumer": 7}, TypeError, "consumer must be str; got 7"),
        ({"decode": 7}, TypeError, "decode must be callable"),
        ({"decode": decode_later}, TypeError, "decode must be a plain function"),
        ({"size": 0}, ValueError, "size must be >= 1"),
        ({"block": 0}, ValueError, "block must be longer than 0"),
        ({"claim_after": 0}, ValueError, "claim_after must be longer than 0"),
        ({"start": "0-"}, ValueError, "start must be '0', '$' or an id"),
        ({"start": 0}, TypeError, "start must be str"),
        ({"create": 1}, TypeError, "create must be bool"),
    ],
)
def test_a_wrong_argument_is_an_error_at_the_call(arguments, error, text):
    given = {"keys": ["k"], "group": "g", "consumer": "c"} | arguments
    keys = given.pop("keys")

    with pytest.raises(error, match=re.escape(text)):
        read_group(CoredisDouble(), *keys, **given)

    alike = {"keys", "decode", "size", "block", "start"}
    if arguments.keys() <= alike:
        del given["group"], given["consumer"]
        with pytest.raises(error, match=re.escape(text)):
            read_stream(CoredisDouble(), *keys, **given)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"key": ""}, ValueError, "key must not be empty"),
        ({"encode": 7}, TypeError, "encode must be callable"),
        ({"maxlen": 0}, ValueError, "maxlen must be >= 1"),
        ({"size": 0}, ValueError, "size must be >= 1"),
    ],
)
def test_a_wrong_argument_of_the_sink_is_an_error_at_the_call(arguments, error, text):
    with pytest.raises(error, match=re.escape(text)):
        write_stream(CoredisDouble(), **{"key": "k"} | arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"fn": 7}, TypeError, "fn must be callable"),
        ({"concurrency": 0}, ValueError, "concurrency must be >= 1"),
        ({"size": 0}, ValueError, "size must be >= 1"),
        ({"within": -1}, ValueError, "within must be finite and not negative"),
        ({"flow": 7}, TypeError, "flow"),
    ],
)
def test_a_wrong_argument_of_acknowledge_is_an_error_at_the_call(
    arguments, error, text
):
    with pytest.raises(error, match=re.escape(text)):
        acknowledge(**{"flow": Flow.empty()} | arguments)
