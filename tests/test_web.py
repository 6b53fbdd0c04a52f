"""flowpy.web: what is written can't be forged, and who leaves is noticed."""

from __future__ import annotations

import itertools
import json
import logging
import math
import os
import random
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import example, given
from hypothesis import strategies as st

from flowpy import Flow, flow
from flowpy.testing import assert_marbles
from flowpy.web import (
    Event,
    FlowResponse,
    Parser,
    parse_sse,
    send_to_websocket,
    sse,
    sse_events,
    sse_response,
    websocket,
)

pytestmark = pytest.mark.anyio

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"

# ------------------------------------------------------------------- writing events


@pytest.mark.parametrize(
    ("item", "written"),
    [
        ("a", b"data: a\n\n"),
        ("", b"data: \n\n"),
        (" a ", b"data:  a \n\n"),
        ("a\nb\r\nc\rd", b"data: a\ndata: b\ndata: c\ndata: d\n\n"),
        ("a\n\n", b"data: a\ndata: \ndata: \n\n"),
        ("a\u2028b\x85c\0", "data: a\u2028b\x85c\0\n\n".encode()),
        ("id: 7", b"data: id: 7\n\n"),
        (Event("a"), b"data: a\n\n"),
        (Event("a", event="message"), b"data: a\n\n"),
        (Event("a", event="b", id="c"), b"id: c\nevent: b\ndata: a\n\n"),
        (Event(id=""), b"id: \n\n"),
        (Event(retry=1.5), b"retry: 1500\n\n"),
        (Event("a", retry=0), b"retry: 0\ndata: a\n\n"),
        (Event(comment="a\r\ndata: b"), b": a\n: data: b\n\n"),
        (Event(), b"\n"),
    ],
)
async def test_an_item_is_written_as_one_event(item, written):
    assert await sse([item]).to_list() == [written]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"event": "a\ndata: b"}, ValueError, "event must have no line break"),
        ({"event": "a\rb"}, ValueError, "event must have no line break"),
        ({"id": "a\n\ndata: b"}, ValueError, "id must have no line break"),
        ({"id": "a\0"}, ValueError, "id must have no line break and no NUL"),
        ({"data": b"a"}, TypeError, "data must be str; got b'a'"),
        ({"event": None}, TypeError, "event must be str; got None"),
        ({"id": 7}, TypeError, "id must be str; got 7"),
        ({"comment": 7}, TypeError, "comment must be str; got 7"),
        ({"retry": "1"}, TypeError, "retry must be seconds; got '1'"),
        ({"retry": -1}, ValueError, "retry must be finite and not negative; got -1"),
        ({"retry": math.inf}, ValueError, "retry must be finite"),
    ],
)
async def test_an_event_refuses_what_would_be_read_as_another(fields, error, message):
    with pytest.raises(error, match=message):
        Event(**fields)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"data": "a"}, TypeError, "data must be callable"),
        ({"id": "a"}, TypeError, "id must be callable"),
        ({"event": 1}, TypeError, "event must be str"),
        ({"event": "a\nb"}, ValueError, "event must have no line break"),
        ({"event": "a\0"}, ValueError, "event must have no line break and no NUL"),
        ({"retry": -1}, ValueError, "retry must be finite"),
        ({"ping": 0}, ValueError, "ping must be longer than 0"),
        ({"ping": math.nan}, ValueError, "ping must be finite"),
    ],
)
async def test_sse_checks_its_arguments_at_the_call(options, error, message):
    with pytest.raises(error, match=message):
        sse(Flow.of("a"), **options)
    with pytest.raises(error, match=message):
        sse_response(Flow.of("a"), **options)


async def test_what_is_no_text_and_no_event_has_to_be_made_one():
    with pytest.raises(
        TypeError, match=r"data= must make .* json\.dumps; got {'n': 1}"
    ):
        await sse([{"n": 1}]).to_list()


async def test_a_nul_in_an_event_that_was_read_is_not_written_on():
    read = await parse_sse([b"event: a\0\ndata: b\n\n"]).to_list()

    assert read == [Event("b", event="a\0")]
    with pytest.raises(ValueError, match="event must have no line break and no NUL"):
        await sse(read).to_list()


async def lower(text):
    await checkpoint()
    return text.lower()


async def test_functions_give_the_data_the_type_and_the_id_of_an_item():
    items = ["A", "B"]
    numbers = itertools.count(1)

    assert await sse(items, data=lower, event=lower, id=lambda _: "7").to_list() == [
        b"id: 7\nevent: a\ndata: a\n\n",
        b"id: 7\nevent: b\ndata: b\n\n",
    ]
    assert await sse(
        items, data=lambda x: Event(x, id=str(next(numbers)))
    ).to_list() == [
        b"id: 1\ndata: A\n\n",
        b"id: 2\ndata: B\n\n",
    ]


async def test_an_event_keeps_the_type_and_the_id_that_it_has():
    items = ["a", Event("b", event="own"), Event("c", id="own")]

    assert await sse(items, event="tick", id=lambda _: "0").to_list() == [
        b"id: 0\nevent: tick\ndata: a\n\n",
        b"id: 0\nevent: own\ndata: b\n\n",
        b"id: own\nevent: tick\ndata: c\n\n",
    ]


async def test_a_line_break_in_what_a_function_gives_is_an_error_that_names_the_field():
    with pytest.raises(ValueError, match="id must have no line break"):
        await sse(["a"], id=lambda _: "1\n\ndata: forged").to_list()
    with pytest.raises(ValueError, match="event must have no line break"):
        await sse(["a"], event=lambda _: "x\r").to_list()


async def test_retry_is_said_once_before_all_others():
    assert await sse(["a", "b"], retry=timedelta(seconds=2.5)).to_list() == [
        b"retry: 2500\n\n",
        b"data: a\n\n",
        b"data: b\n\n",
    ]


async def test_pings_come_in_each_silence():
    await assert_marbles(
        lambda a: sse(a, ping=3).map(lambda x: "." if x[:1] == b":" else chr(x[6])),
        "a--b-------c----|",
        expected="a--b--.--.-c--.-|",
        values={".": "."},
    )


async def test_pings_come_until_the_error_of_the_flow():
    await assert_marbles(
        lambda a: sse(a, ping=3).map(lambda x: "." if x[:1] == b":" else chr(x[6])),
        "a---#",
        expected="a--.#",
        values={".": "."},
    )


async def test_the_time_that_a_slow_reader_takes_is_no_silence():
    await assert_marbles(
        lambda a: sse(a, ping=3).map(lambda x: "." if x[:1] == b":" else chr(x[6])),
        "ab--------------|",
        expected="a---b------.----|",
        values={".": "."},
        pause=4,
    )


async def test_a_flow_of_events_reads_like_the_call():
    source = Flow.of("a")

    assert repr(sse(source)) == "Flow.of('a').pipe(sse)"
    assert (
        repr(sse(source, data=json.dumps, event="x", id=str))
        == "Flow.of('a').pipe(sse, data=dumps, event='x', id=str)"
    )
    assert repr(sse(source, event=str)) == "Flow.of('a').pipe(sse, event=str)"
    assert repr(sse(source, ping=5)) == "Flow.of('a').pipe(sse).pipe(pinged, 5)"
    assert repr(parse_sse(Flow.empty())) == "Flow.empty().pipe(parse_sse)"
    assert repr(sse_events(print)) == "sse_events(print)"


# ------------------------------------------------------------------- reading events


@pytest.mark.parametrize(
    ("body", "events"),
    [
        # The examples of WHATWG HTML, 9.2.6.
        (
            "data: YHOO\ndata: +2\ndata: 10\n\n",
            [Event("YHOO\n+2\n10")],
        ),
        (
            """: test stream

data: first event
id: 1

data:second event
id

data:  third event
""",
            [Event("first event", id="1"), Event("second event", id="")],
        ),
        ("data\n\ndata\ndata\n\ndata:", [Event(""), Event("\n")]),
        ("data:test\n\ndata: test\n\n", [Event("test"), Event("test")]),
        # Its rules, one by one.
        ("", []),
        ("\n\n\n", []),
        ("\ufeffdata: a\n\n", [Event("a")]),
        ("\ufeff\ufeffdata: a\n\n", []),
        ("data: a\n\n\ufeffdata: b\n\n", [Event("a")]),
        (
            "data: a\r\rdata: b\r\n\r\ndata: c\n\r\n",
            [Event("a"), Event("b"), Event("c")],
        ),
        ("data: a\u2028\x85\x0b\x0cb\n\n", [Event("a\u2028\x85\x0b\x0cb")]),
        ("data: a\n", []),
        ("data: a", []),
        ("data: a\n:comment\ndata: b\n\n", [Event("a\nb")]),
        ("data:: a\n\n", [Event(": a")]),
        (" data: a\nDATA: a\ndata : a\nother: a\n\n", []),
        ("event: x\n\ndata: a\n\n", [Event("a")]),
        ("event: x\ndata: a\n\ndata: b\n\n", [Event("a", event="x"), Event("b")]),
        ("event: x\nevent\ndata: a\n\n", [Event("a")]),
        ("id: 1\n\ndata: a\n\n", [Event("a", id="1")]),
        ("id: 1\ndata: a\n\ndata: b\n\n", [Event("a", id="1"), Event("b", id="1")]),
        ("id: 1\nid: 2\0\ndata: a\n\n", [Event("a", id="1")]),
        ("retry: 1500\ndata: a\n\ndata: b\n\n", [Event("a", retry=1.5), Event("b")]),
        ("retry: 1s\nretry\nretry: -1\nretry: 1.5\ndata: a\n\n", [Event("a")]),
        ("retry: \u0663\ndata: a\n\n", [Event("a")]),
        (f"retry: {'9' * 5000}\ndata: a\n\n", [Event("a")]),
        # What browsers are tested with (web-platform-tests, eventsource).
        (
            "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\n\n",
            [Event("\0\n 2\n1")],
        ),
        (
            "data:3\rdata:\r\n data:32\ndata:4\n\n",
            [Event("3\n\n4")],
        ),
        ("data:\ttest\rdata: \ndata:test\n\n", [Event("\ttest\n\ntest")]),
        ("data:test\r\ndata\ndata:test\r\n\r\n", [Event("test\n\ntest")]),
        (
            f"data:1\r:\0\n:\r\ndata:2\n:{'x' * 2048}\rdata:3\n:data:fail\r\n\n",
            [Event("1\n2\n3")],
        ),
        ("retry:3000\nretry:1000x\ndata:x\n\n", [Event("x", retry=3)]),
        ("id:\u2026\nid\ndata:1\n\ndata:2\n\n", [Event("1", id=""), Event("2", id="")]),
    ],
)
async def test_a_stream_is_read_as_the_standard_says(body, events):
    assert await parse_sse([body.encode()]).to_list() == events


async def test_what_is_no_utf_8_is_replaced():
    assert await parse_sse([b"data: \xff\xc3", b"(\xe2\x82", b"\n\n"]).to_list() == [
        Event("\ufffd\ufffd(\ufffd")
    ]


async def test_an_event_is_given_as_soon_as_its_empty_line_is_there():
    parser = Parser()
    pieces = [b"data: a\r", b"\r", b"", b"\ndata: b\r", b"\n\r", b"\n\n"]

    assert [len(parser.feed(piece)) for piece in pieces] == [0, 1, 0, 0, 1, 0]


def in_pieces(body, cuts):
    ends = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return [body[a:b] for a, b in pairwise(ends)]


lines = st.sampled_from(
    [
        "data: a",
        "data:é€😀",
        "data",
        "event: x",
        "id: 1",
        "id",
        "id:\0",
        "retry: 5",
        ":",
        "",
    ]
) | st.text(st.sampled_from("dat: \0\ufeff\x85é😀"), max_size=6)
bodies = st.lists(st.tuples(lines, st.sampled_from(["\n", "\r", "\r\n"]))).map(
    lambda parts: "".join(itertools.chain.from_iterable(parts)).encode()
)


@given(bodies | st.binary(), st.lists(st.integers(0), max_size=30), st.booleans())
@example(b"data: a\r\n\n", range(11), False)
async def test_bytes_cut_anywhere_give_the_same_events(body, cuts, mark):
    body = b"\xef\xbb\xbf" * mark + body

    assert (
        await parse_sse(in_pieces(body, cuts)).to_list()
        == await parse_sse([body]).to_list()
    )


EVERYTHING = """\
: nothing

event: x
data: YHOO
data
data:é€😀

id: 1
retry: 5
data:  \u2028\x85 \x0c

id
data: {}

id:\0
event: 😀
other: a
data: \ufeff


data::

data: cut off"""


@pytest.mark.parametrize("marked", [False, True])
def test_random_splits_of_the_same_bytes_give_the_same_events(marked):
    choose = random.Random(9 + marked)
    ends = [choose.choice(["\n", "\r", "\r\n"]) for _ in EVERYTHING]
    lines = zip(EVERYTHING.split("\n"), ends, strict=False)
    body = ("\ufeff" * marked + "".join(line + end for line, end in lines)).encode()
    expected = Parser().feed(body)

    assert expected == [
        Event("YHOO\n\né€😀", "x"),
        Event(" \u2028\x85 \x0c", id="1", retry=0.005),
        Event("{}", id=""),
        Event("\ufeff", "😀", id=""),
        Event(":", id=""),
    ]
    for _ in range(5_000 if NIGHTLY else 250):
        cuts = choose.choices(range(len(body)), k=choose.randrange(len(body)))
        parser = Parser()
        pieces = in_pieces(body, cuts)
        assert [e for piece in pieces for e in parser.feed(piece)] == expected, cuts


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_line_ends_in_any_order_and_pieces_give_the_same_events(size):
    for parts in itertools.product([b"\r", b"\n", b"data:a", b"id:1"], repeat=6):
        body = b"".join(parts)
        parser = Parser()
        pieces = [body[k : k + size] for k in range(0, len(body), size)]
        found = [event for piece in pieces for event in parser.feed(piece)]

        assert found == Parser().feed(body), body


def reference(body):
    """Read an event stream by the letter of the standard, all at once."""
    text = body.decode(errors="replace").removeprefix("\ufeff")
    *ended, _ = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    data, kind, last, events = "", "", None, []
    for line in ended:
        name, value = line, ""
        if ":" in line:
            name, value = line.split(":", 1)
            value = value[1:] if value[:1] == " " else value
        if not line:
            if data:
                events.append((data[:-1], kind or "message", last))
            data = kind = ""
        elif name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last = value
    return events


@given(bodies | st.binary())
async def test_any_bytes_are_read_by_the_letter_of_the_standard(body):
    found = await parse_sse([body]).to_list()

    assert [(e.data, e.event, e.id) for e in found] == reference(body)


one_line = st.text(st.characters(exclude_characters="\0\r\n", codec="utf-8"))
events = st.builds(
    Event,
    data=st.text(st.characters(codec="utf-8")),
    event=one_line.filter(bool),
    id=one_line,
    retry=st.none() | st.integers(0, 10**9).map(lambda ms: ms / 1000),
    comment=st.none() | st.text(st.characters(codec="utf-8")),
)


@given(st.lists(events), st.lists(st.integers(0), max_size=30))
async def test_what_is_written_is_read_again(written, cuts):
    body = b"".join(await sse(written).to_list())
    read = await parse_sse(in_pieces(body, cuts)).to_list()

    assert [(e.event, e.id, e.retry) for e in read] == [
        (e.event, e.id, e.retry) for e in written
    ]
    assert [e.data for e in read] == [
        e.data.replace("\r\n", "\n").replace("\r", "\n") for e in written
    ]


@given(st.lists(st.text(st.characters(codec="utf-8"))))
async def test_text_makes_as_many_events_as_there_are_items(texts):
    body = b"".join(await sse(texts, event="x", retry=1, id=lambda _: "7").to_list())
    read = await parse_sse([body]).to_list()

    assert [(e.event, e.id) for e in read] == [("x", "7")] * len(texts)


# --------------------------------------------------------------------- reconnecting


class Server:
    """Connections that are there one after another, and what was asked of them."""

    def __init__(self, *bodies):
        self.bodies = list(bodies)
        self.asked = []
        self.open = 0

    def connect(self, last_event_id):
        self.asked.append((anyio.current_time(), last_event_id))
        body = self.bodies.pop(0)
        if isinstance(body, Exception):
            raise body
        return body


def data_of(event):
    return event.data


async def test_it_connects_again_with_the_id_of_the_last_event():
    server = Server(
        [b"id: 1\ndata: a\n\n", b"id: 2\ndata: cut short"],
        [b"data: b\n\nid: 3\n\n"],
        [],
        None,
    )
    start = anyio.current_time()
    flow = sse_events(server.connect, retry=1, jitter=False)

    assert await flow.map(data_of).to_list() == ["a", "b"]
    assert [(round(t - start, 6), at) for t, at in server.asked] == [
        (0, None),
        (1, "1"),
        (2, "3"),
        (4, "3"),  # the second attempt in a row without an event
    ]


async def test_it_waits_as_long_as_the_server_says():
    server = Server([b"retry: 250\n\n"], [b"data: a\n\n"], OSError("down"), None)
    start = anyio.current_time()
    await sse_events(server.connect, jitter=False).to_list()

    assert [round(t - start, 6) for t, _ in server.asked] == [0, 0.25, 0.5, 1]


async def test_waits_double_up_to_a_bound_until_an_event_comes():
    down = [OSError("down")] * 5
    server = Server(*down, [b"data: a\n\n"], *down[:1], None)
    start = anyio.current_time()
    await sse_events(server.connect, retry=1, max_backoff=5, jitter=False).to_list()
    times = [t for t, _ in server.asked]

    assert times[0] == start
    assert [round(b - a, 6) for a, b in pairwise(times)] == [1, 2, 4, 5, 5, 1, 2]


async def test_a_server_that_asks_for_no_wait_is_not_pestered():
    server = Server([b"retry: 0\n\n"], [], [], None)
    start = anyio.current_time()
    await sse_events(server.connect, jitter=False).to_list()

    assert [round(t - start, 6) for t, _ in server.asked] == [0, 0, 0.2, 0.6]


async def test_no_server_can_ask_for_more_than_the_longest_wait():
    server = Server([b"retry: 999999999999\n\n"], [], None)
    start = anyio.current_time()
    await sse_events(server.connect, max_backoff=7).to_list()

    assert [round(t - start, 6) for t, _ in server.asked] == [0, 7, 14]


async def test_jitter_makes_waits_longer_by_half_at_most():
    server = Server(*[[b"data: a\n\n"]] * 20, None)
    await sse_events(server.connect, retry=10).to_list()
    waits = [b - a for (a, _), (b, _) in pairwise(server.asked)]

    assert all(10 - 1e-6 <= wait <= 15 + 1e-6 for wait in waits)
    assert max(waits) - min(waits) > 0.1


async def test_an_error_of_another_kind_ends_the_flow():
    error = KeyError("refused")
    server = Server([b"data: a\n\n"], error)
    seen = []

    with pytest.raises(KeyError) as raised:
        await sse_events(server.connect, on=(OSError,)).collect(seen.append)
    assert raised.value is error
    assert seen == [Event("a")]


async def test_after_so_many_attempts_in_vain_the_last_error_is_raised():
    down = OSError("down")
    server = Server([b"data: a\n\n"], down)
    with pytest.raises(OSError, match="down") as raised:
        await sse_events(server.connect, times=1).to_list()
    with pytest.raises(ConnectionError, match="the server ended the event stream"):
        await sse_events(Server([], []).connect, times=1).to_list()

    assert raised.value is down


async def test_a_context_manager_around_the_bytes_is_left_before_the_next_attempt():
    log = []

    @asynccontextmanager
    async def connect(last_event_id):
        log.append(f"open {last_event_id}")
        try:
            yield None if last_event_id == "2" else Flow.of(b"id: 2\ndata: a\n\n")
        finally:
            await checkpoint()
            log.append("closed")

    start = [
        e async for e in sse_events(connect, last_event_id="1").on_each(log.append)
    ]

    assert start == [Event("a", id="2")]
    assert log == ["open 1", Event("a", id="2"), "closed", "open 2", "closed"]


async def test_connect_may_be_async_and_an_early_stop_closes_the_connection():
    closed = []

    async def body():
        try:
            yield b"data: a\n\ndata: b\n\n"
        finally:
            await checkpoint()
            closed.append(True)

    async def connect(last_event_id):
        await checkpoint()
        return body()

    assert await sse_events(connect).first() == Event("a")
    assert closed == [True]


async def test_it_can_be_cancelled_while_it_waits_to_connect_again():
    server = Server(OSError("down"))

    with anyio.move_on_after(1) as scope:
        await sse_events(server.connect, retry=2).to_list()
    assert scope.cancelled_caught


async def test_each_collection_starts_anew():
    bodies = [[b"id: 1\ndata: a\n\n"], None] * 2
    server = Server(*bodies)
    events = sse_events(server.connect, last_event_id="0", retry=0)
    both = [await events.to_list(), await events.to_list()]

    assert both == [[Event("a", id="1")]] * 2
    assert [at for _, at in server.asked] == ["0", "1"] * 2


async def test_what_connect_gives_has_to_be_iterable():
    with pytest.raises(TypeError, match="expected a flow, an async iterable"):
        await sse_events(lambda last_event_id: 7, times=0).to_list()


async def test_connecting_again_is_logged(caplog):
    caplog.set_level(logging.INFO, "flowpy")
    server = Server(OSError("down"), None)
    await sse_events(server.connect, retry=1, jitter=False).to_list()

    assert caplog.messages == ["sse_events: OSError('down'); connecting again in 1 s"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"connect": 1}, TypeError, "connect must be callable"),
        ({"last_event_id": 1}, TypeError, "last_event_id must be str"),
        ({"last_event_id": "1\r\nX: y"}, ValueError, "last_event_id must have no line"),
        ({"retry": -1}, ValueError, "retry must be finite"),
        ({"max_backoff": math.inf}, ValueError, "max_backoff must be finite"),
        ({"times": -1}, ValueError, "times must be >= 0"),
        ({"on": BaseException}, TypeError, "on must be subclasses of Exception"),
    ],
)
async def test_sse_events_checks_its_arguments_at_the_call(options, error, message):
    with pytest.raises(error, match=message):
        sse_events(**{"connect": print} | options)


# ------------------------------------------------------------------------ responses


class Peer:
    """The server's end of one request, and a client that may leave."""

    def __init__(self, *, full=False, send_error=None):
        self.sent = []
        self.gone = anyio.Event()
        self.full = full
        self.send_error = send_error
        self.said = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive(self):
        if self.said:
            return self.said.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if self.send_error is not None and len(self.sent) == 3:
            raise self.send_error
        self.sent.append(message)
        if self.full:
            await anyio.sleep_forever()

    @property
    def body(self):
        return b"".join(message["body"] for message in self.sent[1:])

    async def serve(self, response, method="GET"):
        await response({"type": "http", "method": method}, self.receive, self.send)


@pytest.fixture
def watched():
    """Make flows that tell by which task they were opened and closed."""

    class Watched:
        opened = closed = 0
        tasks = ()

        def flow(self, items):
            @flow
            async def source():
                self.opened += 1
                self.tasks += (anyio.get_current_task().id,)
                try:
                    async with Flow(items).open() as opened:
                        async for x in opened:
                            yield x
                finally:
                    await anyio.sleep(1)  # what cleans up may wait
                    self.closed += 1
                    self.tasks += (anyio.get_current_task().id,)

            return source()

        def check(self):
            assert (self.opened, self.closed) == (1, 1)
            assert self.tasks[0] == self.tasks[1]

    return Watched()


async def test_a_response_sends_the_items_of_a_flow_and_its_end(watched):
    peer = Peer()
    response = FlowResponse(
        watched.flow(["é", b"\xff"]),
        status_code=201,
        headers={"X-Answer": "42"},
        media_type="text/plain",
    )
    await peer.serve(response)

    assert peer.sent == [
        {
            "type": "http.response.start",
            "status": 201,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"x-answer", b"42"),
            ],
        },
        {"type": "http.response.body", "body": b"", "more_body": True},
        {"type": "http.response.body", "body": "é".encode(), "more_body": True},
        {"type": "http.response.body", "body": b"\xff", "more_body": True},
        {"type": "http.response.body", "body": b"", "more_body": False},
    ]
    watched.check()


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({}, {}),
        ({"media_type": "image/png"}, {"content-type": "image/png"}),
        (
            {"media_type": "text/csv; charset=utf-16"},
            {"content-type": "text/csv; charset=utf-16"},
        ),
        (
            {"media_type": "text/csv", "headers": {"Content-Type": "a/b"}},
            {"content-type": "a/b"},
        ),
    ],
)
async def test_the_headers_of_a_response(options, headers):
    assert FlowResponse(Flow.empty(), **options).headers == headers


async def test_events_are_sent_with_headers_that_keep_proxies_from_holding_them():
    peer = Peer()
    response = sse_response(["a"], retry=1, headers={"Cache-Control": "no-store"})
    await peer.serve(response)

    assert response.headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
    }
    assert peer.body == b"retry: 1000\n\ndata: a\n\n"


async def test_an_answer_to_head_has_no_body_and_starts_no_flow(watched):
    peer = Peer()
    await peer.serve(FlowResponse(watched.flow(itertools.count())), "HEAD")

    assert [m["type"] for m in peer.sent] == ["http.response.start"] + 2 * [
        "http.response.body"
    ]
    assert peer.body == b""
    assert not peer.sent[-1]["more_body"]
    assert watched.opened == 0


async def leave(peer, after):
    await anyio.sleep(after)
    peer.gone.set()


@pytest.mark.parametrize(
    "items",
    [
        pytest.param(Flow.never(), id="silent"),
        pytest.param(Flow.interval(1).map(str), id="now and then"),
        pytest.param(sse(Flow.never(), ping=1), id="pings"),
        pytest.param(Flow.interval(1).map(str).buffer(), id="with a task"),
    ],
)
async def test_a_flow_is_closed_when_the_client_leaves(watched, items):
    peer = Peer()
    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(leave, peer, 3.5)
        await peer.serve(FlowResponse(watched.flow(items)))

    assert anyio.current_time() - start == pytest.approx(4.5)
    watched.check()


async def test_a_flow_is_closed_when_the_client_leaves_while_sending_waits(watched):
    peer = Peer(full=True)
    async with anyio.create_task_group() as group:
        group.start_soon(leave, peer, 1)
        await peer.serve(FlowResponse(watched.flow(["a", "b"])))

    assert len(peer.sent) == 1
    assert watched.opened == 0  # the start of the response had to wait


async def endless():
    for n in itertools.count():
        yield f"{n}"


@pytest.mark.parametrize("items", [Flow(itertools.count).map(str), Flow(endless)])
async def test_a_client_may_leave_a_flow_that_never_waits(watched, items):
    peer = Peer()

    async def hear_of_it():
        for _ in range(20):  # turns of the loop, which a flow must not keep
            await checkpoint()
        peer.gone.set()

    async with anyio.create_task_group() as group:
        group.start_soon(hear_of_it)
        await peer.serve(FlowResponse(watched.flow(items)))

    watched.check()
    assert len(peer.sent) > 1


class WebSocketDisconnect(Exception):
    """Starlette has such an error."""


@pytest.mark.parametrize("error", [OSError("gone"), WebSocketDisconnect(1006)])
async def test_a_server_may_say_by_an_error_that_the_client_has_left(watched, error):
    peer = Peer(send_error=error)
    await peer.serve(FlowResponse(watched.flow(["a", "b", "c"])))

    assert peer.body == b"a"
    watched.check()


async def test_another_error_of_the_server_is_raised_as_it_is(watched):
    error = RuntimeError("bad message")
    peer = Peer(send_error=error)

    with pytest.raises(RuntimeError) as raised:
        await peer.serve(FlowResponse(watched.flow(["a", "b", "c"])))
    assert raised.value is error
    watched.check()


async def test_no_flow_is_started_for_a_client_that_has_left_before(watched):
    peer = Peer()

    async def send(message):
        raise OSError("gone")

    await FlowResponse(watched.flow(["a"]))({"method": "GET"}, peer.receive, send)

    assert watched.opened == 0


async def test_the_error_of_a_flow_comes_out_plain_after_what_came_before():
    peer = Peer()
    error = OSError("disk")

    with pytest.raises(OSError, match="disk") as raised:
        await peer.serve(FlowResponse(Flow.of("a").concat(Flow.fail(error))))
    assert raised.value is error
    assert peer.body == b"a"


async def test_the_error_of_cleaning_up_comes_out_when_the_client_leaves():
    error = ValueError("while closing")

    @flow
    async def source():
        try:
            yield "a"
            await anyio.sleep_forever()
        finally:
            raise error

    peer = Peer()
    peer.gone.set()

    with pytest.raises(ValueError, match="while closing") as raised:
        await peer.serve(FlowResponse(source()))
    assert raised.value is error


async def test_the_error_of_receiving_comes_out_plain(watched):
    async def receive():
        await checkpoint()
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        await FlowResponse(watched.flow(Flow.never()))({}, receive, Peer().send)
    watched.check()


async def test_a_response_can_be_cancelled(watched):
    with anyio.move_on_after(1) as scope:
        await Peer().serve(FlowResponse(Flow.interval(3).map(str)))
    assert scope.cancelled_caught


@pytest.mark.parametrize("item", [1, None, ["a"]])
async def test_a_response_refuses_what_is_no_text(item):
    with pytest.raises(TypeError, match="FlowResponse: items must be bytes or str"):
        await Peer().serve(FlowResponse([item]))


async def test_a_background_task_runs_after_all(watched):
    log = []

    async def background():
        log.append(watched.closed)

    await Peer().serve(FlowResponse(watched.flow(["a"]), background=background))

    assert log == [1]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"flow": 1}, TypeError, "flow must be an async iterable"),
        ({"status_code": "1"}, TypeError, "status_code must be an integer"),
        ({"status_code": 0}, ValueError, "status_code must be >= 100"),
        ({"media_type": 1}, TypeError, "media_type must be str"),
        (
            {"media_type": "a\r\nb"},
            ValueError,
            "header 'content-type' must have no line",
        ),
        (
            {"headers": {"a": "b\nc: d"}},
            ValueError,
            "header 'a' must have no line break",
        ),
        ({"background": 1}, TypeError, "background must be callable"),
    ],
)
async def test_a_response_checks_its_arguments_at_the_call(options, error, message):
    with pytest.raises(error, match=message):
        FlowResponse(**{"flow": Flow.empty()} | options)


async def test_a_response_is_one_of_starlette_where_that_is_there(monkeypatch):
    class Response:
        pass

    class Module:
        pass

    Module.Response = Response
    response = FlowResponse(Flow.empty())
    monkeypatch.setitem(sys.modules, "starlette.responses", None)
    without = isinstance(response, Response)
    monkeypatch.setitem(sys.modules, "starlette.responses", Module)

    assert not without
    assert isinstance(response, Response)
    assert isinstance(response, FlowResponse)


# ----------------------------------------------------------------------- websockets


class Socket:
    """A websocket whose client says some things and then leaves, or stays."""

    def __init__(self, *said, code=1000, stays=False):
        self.said = [{"type": "websocket.connect"}, *map(self.message, said)]
        self.code = code
        self.sent = []
        self.over = False
        self.gone = anyio.Event()
        if not stays:
            self.gone.set()

    @staticmethod
    def message(item):
        kind = "text" if isinstance(item, str) else "bytes"
        return {"type": "websocket.receive", kind: item}

    async def receive(self):
        assert not self.over
        await checkpoint()
        if self.said:
            return self.said.pop(0)
        await self.gone.wait()
        self.over = True
        return {"type": "websocket.disconnect", "code": self.code}

    async def send(self, message):
        await checkpoint()
        assert message["type"] == "websocket.send"
        self.sent.append(message["text"] if "text" in message else message["bytes"])


async def test_messages_come_as_text_or_bytes_until_the_client_leaves():
    ws = Socket("a", b"b", "", b"")
    ws.said.append({"type": "websocket.receive", "text": None, "bytes": b"c"})
    ws.said.append({"type": "websocket.receive", "text": "d", "bytes": None})

    assert await websocket(ws).to_list() == ["a", b"b", "", b"", b"c", "d"]


async def test_a_second_collection_of_messages_goes_on():
    messages = websocket(Socket("name", "a", "b"))

    assert await messages.first() == "name"
    assert await messages.to_list() == ["a", "b"]
    assert await messages.to_list() == []


@pytest.mark.parametrize("code", [1000, 1001, 1005, None])
async def test_a_client_that_takes_leave_is_no_error(code):
    assert await websocket(Socket("a", code=code), check=True).to_list() == ["a"]


async def test_a_lost_connection_is_an_error_if_that_is_asked_for():
    seen = []

    with pytest.raises(ConnectionError, match="closed with code 1006"):
        await websocket(Socket("a", code=1006), check=True).collect(seen.append)
    assert seen == ["a"]
    assert await websocket(Socket("a", code=1006)).to_list() == ["a"]


async def test_a_websocket_has_to_be_one():
    with pytest.raises(TypeError, match=r"ws\.receive must be callable"):
        websocket("ws://localhost")


async def test_a_flow_of_messages_reads_like_the_call():
    assert repr(websocket(Socket())).startswith("websocket(<")


async def test_all_of_a_flow_is_sent(watched):
    ws = Socket("not heard", stays=True)

    assert await send_to_websocket(ws, watched.flow(["a", b"b"])) is True
    assert ws.sent == ["a", b"b"]
    watched.check()


@pytest.mark.parametrize(
    "items",
    [
        Flow.never(),
        Flow.interval(1).map(str),
        Flow(endless),
        Flow(itertools.count).map(str),
    ],
)
async def test_a_flow_is_closed_when_the_client_leaves_its_websocket(watched, items):
    ws = Socket("not", "heard")

    assert await send_to_websocket(ws, watched.flow(items)) is False
    watched.check()


@pytest.mark.parametrize("error", [OSError("gone"), WebSocketDisconnect(1006)])
async def test_sending_may_be_the_first_to_hear_of_it(watched, error):
    ws = Socket(stays=True)

    async def send(message):
        raise error

    ws.send = send

    assert await send_to_websocket(ws, watched.flow(["a", "b"])) is False
    watched.check()


async def test_errors_of_flow_and_socket_come_out_plain(watched):
    error = ValueError("bad")
    with pytest.raises(ValueError, match="bad") as raised:
        await send_to_websocket(Socket(stays=True), Flow.fail(error))
    ws = Socket(stays=True)
    ws.send = ws.said.__getitem__  # raises a TypeError
    with pytest.raises(TypeError):
        await send_to_websocket(ws, watched.flow(["a"]))

    assert raised.value is error
    watched.check()


async def test_a_function_answers_the_messages_of_the_client():
    ws = Socket("a", "b", stays=True)
    sent = await send_to_websocket(ws, lambda messages: messages.take(2).map(str.upper))

    assert sent is True
    assert ws.sent == ["A", "B"]


async def test_answers_end_when_the_client_leaves(watched):
    ws = Socket("a", "b", stays=True)

    async with anyio.create_task_group() as group:
        group.start_soon(leave, ws, 2.5)
        sent = await send_to_websocket(
            ws, lambda messages: watched.flow(messages.flat_map(Flow.of)).map(str.upper)
        )

    assert sent is False
    assert ws.sent == ["A", "B"]
    watched.check()


async def test_what_the_function_does_not_want_is_dropped():
    ws = Socket("two", *map(str, range(200)), stays=True)

    def prices(messages):
        return messages.take(1).concat(Flow.interval(1).map(str))

    async with anyio.create_task_group() as group:
        group.start_soon(leave, ws, 2.5)
        sent = await send_to_websocket(ws, prices)

    assert sent is False
    assert ws.sent == ["two", "0", "1", "2"]
    assert ws.said == []


async def test_the_first_message_may_say_what_to_send(watched):
    ws = Socket("topic", *map(str, range(200)), stays=True)

    topic = await websocket(ws).first()
    async with anyio.create_task_group() as group:
        group.start_soon(leave, ws, 2.5)
        sent = await send_to_websocket(
            ws, watched.flow(Flow.interval(1).map(lambda n: f"{topic} {n}"))
        )

    assert sent is False
    assert ws.sent == ["topic 0", "topic 1", "topic 2"]
    watched.check()


async def test_a_function_that_is_slow_holds_back_the_client():
    ws = Socket(*map(str, range(200)), stays=True)

    async def one_an_hour(message):
        await anyio.sleep(3600)
        return message

    with anyio.move_on_after(3600 * 3.5):
        await send_to_websocket(ws, lambda messages: messages.map(one_an_hour))

    assert ws.sent == ["0", "1", "2"]
    assert (
        len(ws.said) == 200 - 4 - 64 - 1
    )  # answered, waiting, and one that has no room


async def test_a_generator_function_can_answer():
    async def answers(messages):
        async for message in messages:
            yield f"1 {message}"
            yield f"2 {message}"

    ws = Socket("a", stays=True)
    with anyio.move_on_after(1):
        await send_to_websocket(ws, answers)

    assert ws.sent == ["1 a", "2 a"]


async def test_a_flow_from_the_same_websocket_would_miss_messages():
    ws = Socket("a")
    other = Socket("b", stays=True)

    with pytest.raises(ValueError, match="give a function of its messages"):
        await send_to_websocket(ws, websocket(ws).map(str.upper))
    assert await send_to_websocket(other, websocket(ws)) is True
    assert other.sent == ["a"]


@pytest.mark.parametrize("item", [1, None])
async def test_a_websocket_takes_only_text_and_bytes(item):
    with pytest.raises(TypeError, match="items must be str or bytes"):
        await send_to_websocket(Socket(stays=True), [item])
