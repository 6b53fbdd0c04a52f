"""Search as you type: what is still wanted after a pause is looked for, and nothing else.

Shows how a websocket's messages become its answers (`send_to_websocket` with a function):
each key that is pressed sends what has been typed so far; `debounce` waits for a pause,
`distinct_until_changed` leaves out what was asked just before, and `flat_map_latest` gives
up a search that is still under way when there is another one, so that an old answer never
follows a new one. It is searched for operators of flowpy. The page is
`data/search_as_you_type.html`.

    pip install starlette uvicorn websockets hypercorn
    cd examples
    uvicorn search_as_you_type:app
    hypercorn --worker-class trio search_as_you_type:app
"""

import json
from collections.abc import AsyncIterator
from inspect import getdoc
from pathlib import Path

from anyio import sleep
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from flowpy import Flow, flow
from flowpy.web import send_to_websocket

PAGE = Path(__file__).parent / "data" / "search_as_you_type.html"

OPERATORS = {
    name: (getdoc(getattr(Flow, name)) or "").partition("\n")[0]
    for name in sorted(vars(Flow))
    if not name.startswith("_")
}


@flow
async def search(text: str) -> AsyncIterator[str]:
    """Give the operators that have a text in their name or meaning, as they are found."""
    print(f"searching for {text!r}", flush=True)
    yield json.dumps({"text": text})  # what was found before is no longer of interest
    found = 0
    for name, meaning in OPERATORS.items() if text else ():
        await sleep(0.005)  # a large catalogue, far away
        if text in f"{name} {meaning}".lower():
            found += 1
            yield json.dumps({"name": name, "meaning": meaning})
    yield json.dumps({"found": found})


def answers(messages: Flow[str | bytes]) -> Flow[str]:
    """Return what is found, given what is typed."""
    return (
        messages.filter_is_instance(str)
        .map(lambda text: text.strip().lower()[:100])
        .debounce(0.2)
        .distinct_until_changed()
        .flat_map_latest(search)
    )


async def page(request: Request) -> FileResponse:
    """Send the page."""
    return FileResponse(PAGE)


async def visit(ws: WebSocket) -> None:
    """Answer a visitor until they leave."""
    await ws.accept()
    await send_to_websocket(ws, answers)


app = Starlette(routes=[Route("/", page), WebSocketRoute("/search", visit)])
