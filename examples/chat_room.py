"""A chat room: a page, a websocket for each visitor, and two hot flows in between.

Shows how a `SharedFlow` hands on what is said and replays the last of it to whoever comes
in, how a `StateFlow` tells everybody who is here, and that a visitor who can't keep up
misses the oldest messages while nobody waits for them. It is the same application on
asyncio (uvicorn) and on trio (hypercorn); the page is `data/chat_room.html`.

    pip install starlette uvicorn websockets hypercorn
    python examples/chat_room.py [--port 8000] [--backend trio]
"""

import json
import signal
from argparse import ArgumentParser
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from flowpy import Flow, SharedFlow, StateFlow, run
from flowpy.web import send_to_websocket

PAGE = Path(__file__).parent / "data" / "chat_room.html"


class Room:
    """Where everybody hears everybody, until it is closed."""

    def __init__(self) -> None:
        self.said = SharedFlow[str](replay=50, capacity=100, on_overflow="drop_oldest")
        self.names = StateFlow[tuple[str, ...]](())
        self.here = self.names.map_state(lambda names: json.dumps({"here": names}))
        self.numbers = count(1)
        self.closed = anyio.Event()

    async def visit(self, ws: WebSocket) -> None:
        """Let a visitor in, and stay with them until they leave or the room closes."""
        wanted = ws.query_params.get("name", "").strip()[:30] or "Somebody"
        choices = (wanted if n == 1 else f"{wanted} {n}" for n in count(1))
        await ws.accept()
        name = next(name for name in choices if name not in self.names.value)
        self.names.update(lambda names: (*names, name))
        try:
            if await send_to_websocket(ws, partial(self.talk, name)):
                await ws.close(1001)  # the visitor is still there, the room is not
        finally:
            self.names.update(lambda names: tuple(n for n in names if n != name))

    def talk(self, name: str, messages: Flow[str | bytes]) -> Flow[str]:
        """Return what a visitor gets to hear, given what they say."""
        own = messages.filter_is_instance(str).map_not_none(partial(self.say, name))
        return (
            self.said.merge(self.here, own)
            .start_with(json.dumps({"you": name}))
            .take_until(self.closed.wait)
        )

    def say(self, name: str, text: str) -> None:
        """Tell everybody; the number shows what somebody has missed."""
        if text := text.strip()[:1000]:
            message = {"n": next(self.numbers), "name": name, "text": text}
            self.said.try_emit(json.dumps({"said": message}))


async def page(request: Request) -> FileResponse:
    """Send the page."""
    return FileResponse(PAGE)


async def main(port: int, backend: str) -> None:
    """Serve until Ctrl-C."""
    room = Room()
    app = Starlette(routes=[Route("/", page), WebSocketRoute("/room", room.visit)])
    print(f"http://127.0.0.1:{port}/", flush=True)
    if backend == "asyncio":
        import uvicorn  # noqa: PLC0415 - one of the two servers will do

        config = uvicorn.Config(app, port=port, log_level="warning", ws_max_size=2**14)
        await uvicorn.Server(config).serve()  # closes the websockets when it stops
    else:
        import hypercorn.trio  # noqa: PLC0415 - see above

        async def until_told() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                await Flow(signals).first()
            room.closed.set()

        settings = hypercorn.Config()
        settings.bind, settings.loglevel = [f"127.0.0.1:{port}"], "WARNING"
        settings.websocket_max_message_size = 2**14
        # Its type of an application is not that of Starlette.
        server: Any = hypercorn.trio
        await server.serve(app, settings, shutdown_trigger=until_told)


if __name__ == "__main__":
    parser = ArgumentParser(description="A chat room in the browser.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    run(main, options.port, options.backend, backend=options.backend)
