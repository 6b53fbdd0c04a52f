"""Flows from and to the web: server-sent events, streamed responses, websockets.

Nothing of a web framework is imported. What is wanted of one is what ASGI says: a
response is called with `scope`, `receive` and `send`, a websocket has `receive` and
`send` for messages that are dicts.
"""

from __future__ import annotations

import logging
import re
import sys
from codecs import getincrementaldecoder
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    MutableMapping,
)
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    suppress,
)
from dataclasses import dataclass
from functools import partial
from math import inf
from random import random
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from anyio import BrokenResourceError, create_memory_object_stream

from flowpy._callbacks import itself
from flowpy._checks import (
    check_callable,
    check_count,
    check_duration,
    check_error_types,
    check_number,
    check_optional_callable,
    check_optional_count,
    check_period,
    check_type,
)
from flowpy._crew import Channel, Crew
from flowpy._flow import Flow, as_flow, made
from flowpy._iterating import TURN, check_inner, closing, is_async_iterable, opened
from flowpy._operator import name_of, operator
from flowpy._operators.recover import attempts
from flowpy._scheduler import current_scheduler

if TYPE_CHECKING:
    from flowpy._types import Callback, Duration, FlowLike, Items, Result

__all__ = (
    "Event",
    "FlowResponse",
    "WebSocket",
    "parse_sse",
    "send_to_websocket",
    "sse",
    "sse_events",
    "sse_response",
    "websocket",
)

T = TypeVar("T")

Message: TypeAlias = MutableMapping[str, Any]
"""What an ASGI server and an application tell each other."""

Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Chunks: TypeAlias = AsyncIterable[bytes] | Iterable[bytes]
"""The body of a response, in pieces."""

Connection: TypeAlias = Chunks | AbstractAsyncContextManager[Chunks | None] | None

_log = logging.getLogger("flowpy")


# ---------------------------------------------------------------- server-sent events


@dataclass(frozen=True, slots=True)
class Event:
    r"""One server-sent event.

    Args:
        data: What it says; lines may end with `\n`, `\r\n` or `\r`. A client is told of
            no event without it, be the others there or not.
        event: Its type, by which a browser finds the listeners.
        id: Where in the stream it stands; a client that reconnects says the last one.
            None is none: a client stays with the one before.
        retry: Seconds after which a client is to reconnect; >= 0.
        comment: What a client ignores.

    Raises:
        TypeError: at the call, if one of them is of the wrong type.
        ValueError: at the call, if `event` or `id` has a line break, `id` a NUL, or
            `retry` is negative, NaN or infinite. A NUL in `event`, which can be read,
            is refused where it is written.

    Example:
        >>> run(sse(Flow.of(Event("up\n2 %", event="price", id="7"))).to_list)
        [b'id: 7\nevent: price\ndata: up\ndata: 2 %\n\n']

    Source: WHATWG HTML, 9.2 Server-sent events.
    """

    data: str | None = None
    event: str = "message"
    id: str | None = None
    retry: float | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("data", self.data),
            ("event", self.event),
            ("id", self.id),
            ("comment", self.comment),
        ):
            if value is not None or name == "event":
                check_type(name, value, str)
        # Data and comments are written line by line; these two have one line each.
        check_one_line("event", self.event.replace("\0", ""))
        check_one_line("id", self.id or "")
        if self.retry is not None:
            check_number("retry", self.retry, "seconds")

    def _encode(self) -> bytes:
        """Return the lines of it, and the empty one that ends it."""
        check_one_line("event", self.event)
        lines: list[str] = []
        if self.comment is not None:
            lines += [f": {line}" for line in lines_of(self.comment)]
        if self.id is not None:
            lines.append(f"id: {self.id}")
        if self.event != "message":
            lines.append(f"event: {self.event}")
        if self.retry is not None:
            lines.append(f"retry: {round(self.retry * 1000)}")
        if self.data is not None:
            lines += [f"data: {line}" for line in lines_of(self.data)]
        return "\n".join([*lines, "\n"]).encode()


def check_one_line(name: str, value: str) -> None:
    """Check that `value` cannot be read as more than one field of an event."""
    if re.search("[\0\r\n]", value):
        message = f"{name} must have no line break and no NUL; got {value!r}"
        raise ValueError(message)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, as the readers of event streams see them."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def sse(
    flow: FlowLike[T],
    *,
    data: Callable[[T], Result[str | Event]] | None = None,
    event: str | Callable[[T], Result[str]] | None = None,
    id: Callable[[T], Result[str]] | None = None,
    retry: Duration | None = None,
    ping: Duration | None = None,
) -> Flow[bytes]:
    r"""Write items as server-sent events: the bytes of a `text/event-stream`.

    An item is a str, which is the data of an event, or an `Event`. For others, `data`
    says what to write: `sse(rows, data=json.dumps)`. Text in several lines becomes as
    many `data:` lines; nothing in an item can end its event or begin another.

    Args:
        flow: Where the items come from.
        data: Gives the data, or the event, of an item; plain or async, as the next two.
        event: The type of the events that name none, or a function that gives it.
        id: Gives the id of the events that have none.
        retry: Said once, at the start: when a client is to reconnect, in seconds or a
            timedelta; >= 0.
        ping: Writes a comment after so many seconds of silence, so that nobody between
            server and client takes the connection for dead; > 0.

    Shape: n items in, n chunks out, in order; one more for `retry` and for each ping.
        With `ping` it holds 1 item and runs 1 task.

    Raises:
        TypeError: at the call, if an argument is of the wrong type; while running, if
            an item is neither a str nor an `Event`.
        ValueError: at the call, if a time is negative, NaN or infinite, or `event` has
            a line break or a NUL; while running, if that of an item or an id has one.

    Example:
        >>> run(sse(Flow.of("one", "two\nlines")).to_list)
        [b'data: one\n\n', b'data: two\ndata: lines\n\n']
        >>> import json
        >>> prices = Flow.of({"n": 1, "price": 99})
        >>> run(sse(prices, data=json.dumps, id=lambda row: str(row["n"])).to_list)
        [b'id: 1\ndata: {"n": 1, "price": 99}\n\n']
        >>> run(sse(Flow.interval(40, delay=40).map(str), ping=15).take(3).to_list)
        [b': ping\n\n', b': ping\n\n', b'data: 0\n\n']

    Source: WHATWG HTML, 9.2 Server-sent events.
    """
    check_optional_callable("data", data)
    check_optional_callable("id", id)
    if not callable(event) and event is not None:
        check_type("event", event, str)
        check_one_line("event", event)
    source = as_flow(flow)
    if data is None and event is None and id is None:
        stream = source._then(encoded, encode)
    else:
        name = event if callable(event) else partial(constant, event)
        stream = source._then(
            encoded_by, data or itself, name, id or partial(constant, None)
        )
    if retry is not None:
        first = Event(retry=check_duration("retry", retry))
        stream = stream.start_with(first._encode())
    if ping is not None:
        stream = stream._then(pinged, check_period("ping", ping))
    return stream


def constant(value: T, item: object) -> T:
    """Return `value` for any item."""
    return value


def encode(item: object, event: str | None = None, id: str | None = None) -> bytes:
    """Return the event of an item, with a type and an id if it has none."""
    if isinstance(item, str):
        item = Event(item)
    if not isinstance(item, Event):
        message = (
            "sse: items must be str or Event, or data= must make one of them, such as "
            f"json.dumps; got {item!r}"
        )
        raise TypeError(message)
    own = item.event if event is None or item.event != "message" else event
    at = item.id if item.id is not None else id
    return Event(item.data, own, at, item.retry, item.comment)._encode()


@operator(show="pipe(sse)")
async def encoded(source: Items[Any], fn: Callback[[Any], bytes]) -> Items[bytes]:
    async with closing(source):
        async for x in source:
            yield await fn(x)


def describe_sse(data: object, event: object, id: object) -> str:
    """Return how a stage that writes events reads."""
    given: dict[str, Any] = {"data": data, "event": event, "id": id}
    parts: list[str] = []
    for name, value in given.items():
        is_constant = getattr(value, "func", None) is constant
        shown: object = value.args[0] if is_constant else value
        if shown is not None and shown is not itself:
            parts.append(f", {name}={name_of(shown)}")
    return f"pipe(sse{''.join(parts)})"


@operator(show=describe_sse)
async def encoded_by(
    source: Items[Any],
    data: Callback[[Any], object],
    event: Callback[[Any], str | None],
    id: Callback[[Any], str | None],
) -> Items[bytes]:
    async with closing(source):
        async for x in source:
            said = await data(x)
            name = await event(x)
            at = await id(x)
            yield encode(said, name, at)


PING = Event(comment="ping")._encode()


@operator(
    seam="waits for items in a task of its own",
    holds="at most 1 item waits",
    show="pipe(pinged, {})",
)
async def pinged(source: Items[bytes], seconds: float) -> Items[bytes]:
    async with Crew("sse") as crew:
        channel: Channel[bytes] = crew.channel(1)
        crew.pump(source, channel)
        now = crew.scheduler.now
        while True:
            if channel.items or await channel.more(until=now() + seconds):
                yield channel.take()
            elif channel.ended:
                break
            else:
                yield PING


class Parser:
    """Reads the bytes of an event stream, which come in pieces of any size.

    The algorithm is that of WHATWG HTML, 9.2.6, but that the last event id outlives a
    connection, as it does in browsers.
    """

    __slots__ = (
        "_after_return",
        "_data",
        "_decoder",
        "_event",
        "_id",
        "_retry",
        "_unfinished",
        "last_id",
        "retry",
    )

    def __init__(self, last_id: str | None = None) -> None:
        self.last_id = last_id
        """The id of the last event that was complete; None before there was one."""
        self.retry: float | None = None
        """When to reconnect, in seconds, if the stream has said so."""
        self.restart()

    def restart(self) -> None:
        """Begin a new stream; what was not complete is dropped."""
        self._decoder = getincrementaldecoder("utf-8-sig")("replace")
        self._after_return = False
        self._unfinished: list[str] = []
        self._id = self.last_id
        self._begin_event()

    def _begin_event(self) -> None:
        self._data: list[str] = []
        self._event = ""
        self._retry: float | None = None

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that end in `data`."""
        text = self._decoder.decode(data)
        if not text:
            return []
        # A return ends a line at once; a newline behind it, be it a piece later, is
        # part of the same end.
        if self._after_return:
            text = text.removeprefix("\n")
        self._after_return = text.endswith("\r")
        *ended, rest = lines_of(text)
        if ended:
            ended[0] = "".join([*self._unfinished, ended[0]])
            self._unfinished.clear()
        self._unfinished.append(rest)
        events: list[Event] = []
        for line in ended:
            if line:
                self._read(line)
            else:
                events += self._end_event()
        return events

    def _read(self, line: str) -> None:
        """Take note of one field; what is before the colon of a comment is nothing."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                seconds = float(value) / 1000
                if seconds < inf:
                    self.retry = self._retry = seconds
            case _:
                pass

    def _end_event(self) -> list[Event]:
        """Return the event that an empty line ends; none without data."""
        self.last_id = self._id
        data = "\n".join(self._data) if self._data else None
        event, retry = self._event or "message", self._retry
        self._begin_event()
        if data is None:
            return []
        return [Event(data, event, self.last_id, retry)]


def parse_sse(byte_flow: FlowLike[bytes]) -> Flow[Event]:
    r"""Read the bytes of a `text/event-stream`: server-sent events.

    The bytes may be cut anywhere. What is no UTF-8 is replaced; comments, unknown
    fields and an event that the end of the stream cuts short are dropped.

    Args:
        byte_flow: The body, such as `response.aiter_bytes()` of httpx; not its lines.

    Shape: n chunks in, any number of events out, in order. Holds one event, whatever
        its size. `id` is that of the last event that had one; None if none had.

    Raises:
        TypeError: at the call, if `byte_flow` can't be a flow; while running, if an item
            is not bytes.

    Example:
        >>> body = [b"data: a\n", b"\nid: 7\ndata: b\nda", b"ta: c\n\n: nothing\n\n"]
        >>> run(parse_sse(body).map(lambda e: (e.data, e.id)).to_list)
        [('a', None), ('b\nc', '7')]

    Source: WHATWG HTML, 9.2.6 Interpreting an event stream.
    """
    parsed: Flow[Event] = as_flow(byte_flow, "byte_flow")._then(parsed_events)
    return parsed


@operator(show="pipe(parse_sse)")
async def parsed_events(source: Items[bytes]) -> Items[Event]:
    parser = Parser()
    async with closing(source):
        async for data in source:
            for event in parser.feed(data):
                yield event


def sse_events(
    connect: Callable[[str | None], Result[Connection]],
    *,
    last_event_id: str | None = None,
    retry: Duration = 3,
    max_backoff: Duration = 60,
    jitter: bool = True,
    times: int | None = None,
    on: type[Exception] | tuple[type[Exception], ...] = Exception,
) -> Flow[Event]:
    r"""Read server-sent events, and connect again whenever the stream ends or fails.

    `connect(last_event_id)` makes a request, with the header `Last-Event-ID` if it gets
    one, and gives the bytes of the body. Or it is an async context manager around them,
    so that the request is closed before the next one. None ends the flow: the server
    has no more, which it says with status 204. With httpx::

        @asynccontextmanager
        async def connect(last_event_id):
            headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
            async with client.stream("GET", url, headers=headers) as response:
                response.raise_for_status()
                yield None if response.status_code == 204 else response.aiter_bytes()

    Args:
        connect: Gives the bytes of one connection; plain or async.
        last_event_id: Where to begin.
        retry: Time before connecting again, until the server says another; in seconds
            or a timedelta. It doubles with each attempt in a row that gave no event.
        max_backoff: The longest wait, whatever the server says.
        jitter: Whether to wait up to half as long again, at random, so that the clients
            of a server that was down don't come back at once.
        times: How often in a row to connect again in vain before the error is raised;
            None stands for any number.
        on: The errors after which to connect again; any other ends the flow.

    Shape: the events of all connections, in order. Holds one event. What a server sends
        again, or not at all, after `Last-Event-ID` is up to that server.

    Raises:
        TypeError: at the call, if an argument is of the wrong type.
        ValueError: at the call, if a time is negative, NaN or infinite, or `times` < 0.
        ConnectionError: while running, if the last of `times` attempts just ended. One
            that failed raises its own error.

    Example:
        >>> def connect(last_event_id):
        ...     if last_event_id == "2":
        ...         return None
        ...     n = int(last_event_id or 0) + 1
        ...     return [b"id: %d\ndata: item %d\n\n" % (n, n)]
        >>> run(sse_events(connect).map(lambda event: event.data).to_list)
        ['item 1', 'item 2']

    Source: `EventSource` of browsers.
    """
    check_callable("connect", connect)
    if last_event_id is not None:
        check_type("last_event_id", last_event_id, str)
        check_one_line("last_event_id", last_event_id)
    check_error_types("on", on)
    values = (
        connect,
        last_event_id,
        check_duration("retry", retry),
        check_duration("max_backoff", max_backoff),
        bool(jitter),
        check_optional_count("times", times),
        on,
    )
    return made((reconnecting,), (values,))


LEAST = 0.1
"""Seconds to wait at least, after an attempt that gave no event, before doubling."""


class EndedByServer(ConnectionError):
    """The body of an event stream came to its end, which is to come again."""


@operator(seam="connects again", show="sse_events({0})")
def reconnecting(
    connect: Callback[[str | None], Connection],
    last_id: str | None,
    retry: float,
    longest: float,
    jitter: bool,  # noqa: FBT001 - an operator
    times: int | None,
    on: type[Exception] | tuple[type[Exception], ...],
) -> Items[Event]:
    parser = Parser(last_id)

    async def decide(error: Exception, attempt: int) -> float | None:
        if not isinstance(error, (EndedByServer, on)):
            return None
        if times is not None and attempt >= times:
            return None
        first = retry if parser.retry is None else parser.retry
        # A server that asks for no wait, and then gives nothing, is not pestered.
        wait = max(first, LEAST) * 2.0 ** min(attempt, 64) if attempt else first
        # Never less than what the server asked for.
        wait = min(wait * (1 + random() / 2) if jitter else wait, longest)
        _log.info("sse_events: %r; connecting again in %.3g s", error, wait)
        return wait

    return attempts(partial(connected, connect, parser), decide, reset=True)


async def connected(
    connect: Callback[[str | None], Connection], parser: Parser
) -> Items[Event]:
    """Give the events of one connection; raise if its end is not that of the flow."""
    parser.restart()
    async with AsyncExitStack() as stack:
        body = await connect(parser.last_id or None)
        if isinstance(body, AbstractAsyncContextManager):
            body = await stack.enter_async_context(body)
        if body is None:
            return
        chunks = opened(body if is_async_iterable(body) else check_inner(body))
        async with closing(chunks):
            async for data in chunks:
                for event in parser.feed(data):
                    yield event
    message = "the server ended the event stream"
    raise EndedByServer(message)


# ------------------------------------------------------------------------- responses


class FlowResponse:
    r"""A streamed response of a flow, for Starlette, FastAPI or any ASGI server.

    It collects the flow once it is called, and sends each item as it comes. However
    that ends (the flow's end, an error, a cancellation, a client that leaves while the
    flow is silent or busy), the flow has been closed when the call returns, by the task
    that iterates it. What its `finally` blocks await is let happen, unless it is the
    server that cancels the call.

        @app.get("/numbers")
        async def numbers():
            return FlowResponse(Flow.interval(1).map("{}\n".format))

    In FastAPI leave out the return type of such a function, or write `Response`.

    Args:
        flow: Gives the body: bytes, or str, which are sent in UTF-8.
        status_code: That of the response.
        headers: More of its headers.
        media_type: What the body is, such as `"text/csv"`; for a `text/…` the charset
            is added.
        background: An async function of no arguments, called at the very end; Starlette
            and FastAPI have their background tasks here.

    Shape: one collection for each call. Runs 2 tasks.

    Raises:
        TypeError: at the call, if an argument is of the wrong type; while running, if
            an item is neither bytes nor str.
        ValueError: at the call, if a header has a line break or a NUL.

    Example:
        >>> FlowResponse(Flow.of("a,b"), media_type="text/csv").headers
        {'content-type': 'text/csv; charset=utf-8'}

    Source: Starlette `StreamingResponse`, which does not close what it iterates.
    """

    def __init__(
        self,
        flow: FlowLike[bytes | str],
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.flow: Flow[bytes | str] = as_flow(flow)
        self.status_code: int = check_count("status_code", status_code, 100)
        self.media_type: str | None = media_type
        self.headers: dict[str, str] = {}
        if media_type is not None:
            check_type("media_type", media_type, str)
            text = media_type.startswith("text/") and "charset=" not in media_type
            charset = "; charset=utf-8" if text else ""
            self.headers["content-type"] = media_type + charset
        self.headers |= {name.lower(): value for name, value in (headers or {}).items()}
        for name, value in self.headers.items():
            check_one_line(f"header {name!r}", name + value)
        check_optional_callable("background", background)
        self.background: Callable[[], Awaitable[object]] | None = background

    # FastAPI sends what is a `Response` of Starlette as it stands, and takes anything
    # else for data to be serialised. So it is one where Starlette is there.
    @property  # type: ignore[misc]  # mypy has it that a class never varies
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride] - nobody sets it
        starlette = sys.modules.get("starlette.responses")
        own: type = type(self)
        return getattr(starlette, "Response", own)

    async def __call__(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send
    ) -> None:
        """Send the response, as ASGI asks for it."""
        has_body = scope.get("method") != "HEAD"
        await while_there(
            send,
            partial(self._send, has_body=has_body),
            partial(until_gone, receive),
        )
        if self.background is not None:
            await self.background()

    async def _send(self, outlet: Outlet, *, has_body: bool) -> bool:
        encoded = {name.encode("latin-1"): v for name, v in self.headers.items()}
        start: Message = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": [(name, v.encode("latin-1")) for name, v in encoded.items()],
        }
        # Some servers hold the head back until there is a body: here is one, empty.
        body = {"type": "http.response.body", "body": b"", "more_body": True}
        if not (await outlet.put(start) and await outlet.put(dict(body))):
            return False
        if has_body:
            async with self.flow.open() as items:
                async for x in items:
                    if not await outlet.put(body | {"body": as_bytes(x)}):
                        return False
        return await outlet.put(body | {"more_body": False})


def as_bytes(item: object) -> bytes:
    """Return an item as part of a body."""
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, bytes):
        return item
    message = f"FlowResponse: items must be bytes or str; got {item!r}"
    raise TypeError(message)


def sse_response(
    flow: FlowLike[T],
    *,
    data: Callable[[T], Result[str | Event]] | None = None,
    event: str | Callable[[T], Result[str]] | None = None,
    id: Callable[[T], Result[str]] | None = None,
    retry: Duration | None = None,
    ping: Duration | None = 15,
    headers: Mapping[str, str] | None = None,
) -> FlowResponse:
    """Respond with server-sent events, for an `EventSource` in a browser.

    It is `FlowResponse(sse(flow, …))` with the headers that keep caches and proxies from
    holding events back, and a ping every 15 seconds of silence.

    Args:
        flow: Where the items come from.
        data: As for `sse`, the next three too.
        event: See there.
        id: See there.
        retry: See there.
        ping: Seconds of silence before a comment is sent; None for none.
        headers: More headers, or others in place of these.

    Shape: one collection for each call of the response.

    Raises:
        TypeError: at the call, as for `sse` and `FlowResponse`.
        ValueError: at the call, as for them.

    Example:
        >>> sse_response(Flow.of("a")).headers["content-type"]
        'text/event-stream; charset=utf-8'

    Source: sse-starlette, and FastAPI's `EventSourceResponse`.
    """
    return FlowResponse(
        sse(flow, data=data, event=event, id=id, retry=retry, ping=ping),
        headers={"cache-control": "no-cache", "x-accel-buffering": "no"}
        | {name.lower(): value for name, value in (headers or {}).items()},
        media_type="text/event-stream",
    )


async def while_there(
    send: Send,
    work: Callable[[Outlet], Awaitable[bool]],
    gone: Callable[[], Awaitable[object]],
) -> bool:
    """Do work for a client until that has left; return whether it was done by then.

    The work stands in a task of its own, which is cancelled once, and not by a scope: so
    what it cleans up may wait.
    """
    async with Crew("web") as crew:
        left: Channel[None] = crew.channel(1)

        async def do() -> None:
            if not await work(Outlet(send, left)):
                left.offer(None)

        async def watch() -> None:
            await gone()
            left.offer(None)

        crew.spawn(do, feeds=left)
        crew.spawn(watch, needed=False)
        return not await left.more()


async def until_gone(receive: Receive) -> None:
    """Wait until a client has left; what it still says is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Outlet:
    """Sends messages to a client that may have left, and lets others run meanwhile.

    Not every server waits when it sends, nor does every flow between two items. Such a
    loop would keep the event loop from hearing that the client has left.
    """

    __slots__ = ("_due", "_left", "_send")

    def __init__(self, send: Send, left: Channel[None]) -> None:
        self._send = send
        self._left = left
        self._due = monotonic() + TURN

    async def put(self, message: Message) -> bool:
        """Send a message; return False if the client has left."""
        if self._left.over():  # and no cancellation has found this task waiting
            return False
        try:
            await self._send(message)
        except Exception as error:
            if is_of_leaving(error):
                return False
            raise
        if monotonic() >= self._due:
            await current_scheduler().checkpoint()
            self._due = monotonic() + TURN
        return True


def is_of_leaving(error: Exception) -> bool:
    """Tell whether sending failed since the client has left.

    ASGI has servers raise an OSError then, of which Starlette makes its own error.
    """
    return isinstance(error, OSError) or type(error).__name__ == "WebSocketDisconnect"


# ------------------------------------------------------------------------ websockets


class WebSocket(Protocol):
    """What is wanted of a websocket: its ASGI messages. Starlette's has them.

    Source: ASGI 3, "WebSocket Connection Scope".
    """

    async def receive(self) -> Message:
        """Wait for the next message of the client."""
        ...

    async def send(self, message: Message, /) -> None:
        """Send a message to the client."""
        ...


class Client:
    """What the client at the other end of a websocket says, until it leaves."""

    __slots__ = ("_left", "ws")

    def __init__(self, ws: WebSocket) -> None:
        self.ws: WebSocket = ws
        self._left: int | None = None

    def __repr__(self) -> str:
        return f"websocket({name_of(self.ws)})"

    @property
    def is_lost(self) -> bool:
        """Whether it has left without taking leave."""
        return self._left not in {None, 1000, 1001, 1005}

    async def message(self) -> str | bytes | None:
        """Wait for its next message; None once it has left."""
        while self._left is None:
            message = await self.ws.receive()
            if message["type"] == "websocket.disconnect":
                self._left = message.get("code") or 1005
            elif message["type"] == "websocket.receive":
                text: str | None = message.get("text")
                data: bytes = message.get("bytes") or b""
                return data if text is None else text
        return None

    def check(self) -> None:
        """Raise an error if the connection was lost."""
        if self.is_lost:
            message = f"the websocket was closed with code {self._left}"
            raise ConnectionError(message)


def websocket(ws: WebSocket, *, check: bool = False) -> Flow[str | bytes]:
    """Read what a client says over a websocket, until it leaves.

        @app.websocket("/readings")
        async def readings(ws: WebSocket):
            await ws.accept()
            await websocket(ws).map(json.loads).chunked(100).collect(save)

    Args:
        ws: The websocket, accepted: Starlette's, FastAPI's, or anything with their
            `receive`.
        check: Whether a connection that got lost, or was closed with a code other than
            1000, 1001 and 1005 (none given), is an error.

    Shape: each message, str or bytes, in order. Ends when the client leaves. A second
        collection goes on where the one before it stopped.

    Raises:
        TypeError: at the call, if `ws` has no `receive`.
        ConnectionError: while running, at the end, if `check` is true.

    Example:
        >>> class Greeting:
        ...     said = [
        ...         {"type": "websocket.receive", "text": "hello"},
        ...         {"type": "websocket.disconnect", "code": 1000},
        ...     ]
        ...
        ...     async def receive(self):
        ...         return self.said.pop(0)
        >>> run(websocket(Greeting()).to_list)
        ['hello']

    Source: Starlette `WebSocket.iter_text`.
    """
    check_callable("ws.receive", getattr(ws, "receive", None))
    return made((said,), ((Client(ws), bool(check)),))


@operator(show="{}")
async def said(
    client: Client,
    check: bool,  # noqa: FBT001 - an operator
) -> Items[str | bytes]:
    while True:
        message = await client.message()
        if message is None:
            break
        yield message
    if check:
        client.check()


WAITING = 64
"""How many messages of a client wait for the function that reads them, at most."""


async def send_to_websocket(
    ws: WebSocket,
    flow: FlowLike[str | bytes] | Callable[[Flow[str | bytes]], FlowLike[str | bytes]],
) -> bool:
    """Send the items of a flow over a websocket, until its end or the client leaves.

    A loop that only sends hears nothing of a client that leaves while there is nothing
    to send, and with some servers not even then. So the websocket is read meanwhile:
    what the client says is dropped, unless `flow` is a function of it. Once the client
    has left, the flow is cancelled and closed before this returns.

        @app.websocket("/prices")
        async def prices(ws: WebSocket):
            await ws.accept()
            await send_to_websocket(ws, ticker().map(json.dumps))

    Args:
        ws: The websocket, accepted: Starlette's, FastAPI's, or anything with their
            `receive` and `send`.
        flow: What to send: str and bytes. Or a function that makes it from the flow of
            the client's messages, such as `lambda messages: messages.map(answer)`. It
            is to read all of them: while 64 wait for it, the websocket is not read, and
            a client may leave unnoticed. If only the first is of interest, take it
            before, with `await websocket(ws).first()`.

    Shape: n items in, n messages out, in order. The websocket is not closed. Runs 2
        tasks.

    Returns:
        Whether all was sent, so that the websocket is still open.

    Raises:
        TypeError: while running, if an item is neither str nor bytes.
        ValueError: at the await, if the flow itself reads the websocket: then both would
            miss messages. Give a function.

    Example:
        >>> class Quiet:
        ...     async def receive(self):
        ...         await anyio.sleep(10)
        ...         return {"type": "websocket.disconnect", "code": 1001}
        ...
        ...     async def send(self, message):
        ...         print(message["text"])
        >>> run(send_to_websocket, Quiet(), Flow.interval(4).map(str))
        0
        1
        2
        False

    Source: flowpy's own.
    """
    client = Client(ws)
    if not callable(flow):
        return await exchange(client, as_flow(flow), drop)
    inlet, outlet = create_memory_object_stream[str | bytes](WAITING)
    with inlet, outlet:
        answers = as_flow(flow(Flow(outlet)))
        return await exchange(client, answers, inlet.send)


async def drop(message: str | bytes) -> None:
    """Do nothing with a message."""


async def exchange(
    client: Client,
    flow: Flow[str | bytes],
    hear: Callable[[str | bytes], Awaitable[None]],
) -> bool:
    """Send a flow to a client and hear what it says, until one of them ends."""
    readers = [x for own in flow._values for x in own if isinstance(x, Client)]
    if any(reader.ws is client.ws for reader in readers):
        message = (
            "send_to_websocket reads the websocket too: instead of a flow from "
            f"websocket(ws), give a function of its messages; got {flow!r}"
        )
        raise ValueError(message)

    async def send(outlet: Outlet) -> bool:
        async with flow.open() as items:
            async for x in items:
                if not await outlet.put(as_message(x)):
                    return False
        return True

    async def read() -> None:
        while (x := await client.message()) is not None:
            with suppress(BrokenResourceError):  # the function wants no more
                await hear(x)

    return await while_there(client.ws.send, send, read)


def as_message(item: object) -> Message:
    """Return an item as a message to a client."""
    if isinstance(item, str):
        return {"type": "websocket.send", "text": item}
    if isinstance(item, bytes):
        return {"type": "websocket.send", "bytes": item}
    message = f"send_to_websocket: items must be str or bytes; got {item!r}"
    raise TypeError(message)
