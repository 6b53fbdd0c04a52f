"""A dashboard: hundreds of values a second, of which a browser gets some.

Shows how `share` reads a fast source once, however many watch it, and only while somebody
does; how `sample` takes the newest value at each tick and so neither holds the source
back nor lags behind it; and how that becomes server-sent events. The page is
`data/dashboard.html`.

    pip install starlette uvicorn
    python examples/dashboard.py [--port 8000] [--rate 500] [--every SECONDS]
"""

import json
from argparse import ArgumentParser
from pathlib import Path
from random import gauss

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from flowpy import Flow, run
from flowpy.web import FlowResponse, sse_response

PAGE = Path(__file__).parent / "data" / "dashboard.html"

Load = dict[str, float]


def loads(rate: float) -> Flow[Load]:
    """Give the load of three machines in percent, `rate` times a second."""

    def step(load: Load, tick: int) -> Load:
        return {
            name: min(100, max(0, value + gauss(0, 40) / rate**0.5))
            for name, value in load.items()
        }

    return Flow.interval(1 / rate).scan({"web": 40, "database": 60, "queue": 20}, step)


def application(rate: float, every: float) -> Starlette:
    """Return the web application."""
    shared = (
        loads(rate)
        .enumerate(1)
        .on_start(lambda: print("somebody watches", flush=True))
        .on_completion(lambda error: print("nobody watches", flush=True))
        .share()
    )

    async def page(request: Request) -> FileResponse:
        return FileResponse(PAGE)

    async def events(request: Request) -> FlowResponse:
        return sse_response(
            shared.sample(every),
            data=lambda item: json.dumps({"n": item[0], "load": item[1]}),
            event="load",
            retry=1,
        )

    return Starlette(routes=[Route("/", page), Route("/events", events)])


async def main(port: int, rate: float, every: float) -> None:
    """Serve until Ctrl-C."""
    print(f"http://127.0.0.1:{port}/", flush=True)
    config = uvicorn.Config(
        application(rate, every),
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,  # endless responses don't end by themselves
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    parser = ArgumentParser(description="A dashboard of fast values in the browser.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--rate", type=float, default=500, help="values a second")
    parser.add_argument("--every", type=float, default=0.2, help="seconds between two")
    options = parser.parse_args()
    run(main, options.port, options.rate, options.every)
