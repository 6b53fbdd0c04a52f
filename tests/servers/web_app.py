"""What the servers of test_web_servers.py serve: flows that count what they open."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter

import anyio
import sniffio
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from flowpy import Flow, flow
from flowpy.web import Event, FlowResponse, send_to_websocket, sse_response, websocket

counts = Counter(dict.fromkeys(["opened", "closed", "closed elsewhere"], 0))


@flow
async def counted(source):
    """Count how often it is opened, and how often closed by the task that opened it."""
    opener = anyio.get_current_task().id
    counts["opened"] += 1
    try:
        async for x in source:
            yield x
    finally:
        try:
            await anyio.sleep(0.001)
            counts["cleaned up"] += 1
        finally:
            counts["closed"] += 1
        counts["closed elsewhere"] += anyio.get_current_task().id != opener


async def never_waiting():
    for n in itertools.count():
        yield f"{n}\n"


async def failing():
    yield "a"
    raise LookupError("as the test wants it")


ITEMS = {
    "silent": Flow.never(),
    "ticks": Flow.interval(0.001).map(str),
    "counting": Flow(itertools.count).map(str),
    "busy": Flow(never_waiting),
    "short": Flow.of("a", "b\nc"),
    "failing": Flow(failing),
}


def names_of_tasks():
    if sniffio.current_async_library() == "asyncio":
        yield from (task.get_name() for task in asyncio.all_tasks())
        return
    import trio  # noqa: PLC0415 - an extra

    tasks = [trio.lowlevel.current_root_task()]
    for task in tasks:
        yield task.name
        tasks += [each for one in task.child_nurseries for each in one.child_tasks]


async def state(request):
    own = sum(name.startswith("flowpy.") for name in names_of_tasks())
    runs = sniffio.current_async_library()
    return JSONResponse(counts | {"tasks": own, "runs": runs})


async def plain(request):
    return FlowResponse(counted(ITEMS[request.path_params["name"]]))


async def events(request):
    return sse_response(counted(ITEMS[request.path_params["name"]]), ping=0.01)


async def resumed(request):
    """Give two events for each connection, from the one after the last on."""
    last = int(request.headers.get("last-event-id", "0"))
    if last >= 6:
        return Response(status_code=204)
    numbers = counted(Flow(range(last + 1, last + 3)))
    return sse_response(
        numbers, data=lambda n: Event(f"item {n}", id=str(n)), retry=0.01
    )


async def sends(ws):
    await ws.accept()
    if await send_to_websocket(ws, counted(ITEMS[ws.path_params["name"]])):
        await ws.close()


async def answers(ws):
    await ws.accept()
    await send_to_websocket(ws, lambda messages: counted(messages).map(str.upper))


async def takes(ws):
    await ws.accept()
    counts["taken"] += len(await counted(websocket(ws)).to_list())


app = Starlette(
    routes=[
        Route("/state", state),
        Route("/plain/{name}", plain),
        Route("/events/{name}", events),
        Route("/resumed", resumed),
        WebSocketRoute("/sends/{name}", sends),
        WebSocketRoute("/answers", answers),
        WebSocketRoute("/takes", takes),
    ]
)
