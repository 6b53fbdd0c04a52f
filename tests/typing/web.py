"""flowpy.web: what comes from the web and goes there."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict, assert_type

from flowpy import Flow, run
from flowpy.web import (
    Event,
    FlowResponse,
    parse_sse,
    send_to_websocket,
    sse,
    sse_events,
    sse_response,
    websocket,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket


class Row(TypedDict):
    n: int


async def number(row: Row) -> str:
    return str(row["n"])


async def body() -> AsyncIterator[bytes]:
    yield b""


@asynccontextmanager
async def connect(
    last_event_id: str | None,
) -> AsyncGenerator[AsyncIterator[bytes] | None, None]:
    yield body() if last_event_id is None else None


async def connect_later(last_event_id: str | None) -> list[bytes] | None:
    return [b""] if last_event_id is None else None


def written(words: Flow[str], rows: Flow[Row], events: Flow[Event]) -> None:
    assert_type(sse(words), Flow[bytes])
    assert_type(sse(["a"], ping=15, retry=timedelta(seconds=1)), Flow[bytes])
    assert_type(sse(events, event="tick"), Flow[bytes])
    assert_type(sse(rows, data=json.dumps, id=lambda row: str(row["n"])), Flow[bytes])
    assert_type(sse(rows, data=number, event=number, id=number), Flow[bytes])
    assert_type(rows.pipe(sse, data=number), Flow[bytes])
    assert_type(sse_response(rows, data=number, ping=None), FlowResponse)


def read(chunks: Flow[bytes]) -> None:
    assert_type(parse_sse(chunks), Flow[Event])
    assert_type(parse_sse(body()), Flow[Event])
    assert_type(chunks.pipe(parse_sse).map(lambda event: event.data), Flow[str | None])
    assert_type(sse_events(connect), Flow[Event])
    assert_type(sse_events(connect_later, on=(OSError, EOFError)), Flow[Event])
    assert_type(sse_events(lambda last_event_id: Flow.of(b"")), Flow[Event])
    assert_type(run(sse_events(connect, times=3).first), Event)


async def responses(words: Flow[str], chunks: Flow[bytes]) -> None:
    assert_type(FlowResponse(words, media_type="text/plain").headers, dict[str, str])
    FlowResponse(chunks, headers={"a": "b"}, status_code=201)


async def numbers(request: Request) -> FlowResponse:
    return FlowResponse(Flow.of(request.url.path))


async def sockets(ws: WebSocket) -> None:
    assert_type(websocket(ws), Flow[str | bytes])
    assert_type(await send_to_websocket(ws, Flow.of("a")), bool)
    assert_type(await send_to_websocket(ws, [b"a", "b"]), bool)
    assert_type(await send_to_websocket(ws, lambda messages: messages.take(1)), bool)


def routes() -> list[Route | WebSocketRoute]:
    return [Route("/numbers", numbers), WebSocketRoute("/sockets", sockets)]


async def wrong(words: Flow[str], rows: Flow[Row], ws: WebSocket) -> None:
    Event(b"a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sse(words, event=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sse(rows, data=len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    parse_sse(words)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    sse_events(words)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    FlowResponse(rows)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    websocket("ws://a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await send_to_websocket(ws, rows)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
