"""A stock ticker in the browser: a flow for each visitor, sent as server-sent events.

Shows how a flow becomes an endless response (`flowpy.web.sse_response`), how events with
an id let a browser go on where it was when the connection broke (`Last-Event-ID`), and
that a visitor who leaves ends the flow: the server says so.

    pip install starlette uvicorn
    python examples/sse_ticker.py [--port 8000] [--period SECONDS]
"""

import json
from argparse import ArgumentParser
from math import sin

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from flowpy import Flow, run
from flowpy.web import FlowResponse, sse_response

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Ticker</title>
<h1>ACME <output id="price">…</output></h1>
<ol id="last"></ol>
<script>
  const events = new EventSource("/events");
  events.addEventListener("price", event => {
    const { price } = JSON.parse(event.data);
    document.querySelector("#price").textContent = price.toFixed(2);
    const item = document.createElement("li");
    item.value = event.lastEventId;
    item.textContent = price.toFixed(2);
    document.querySelector("#last").append(item);
  });
</script>
"""

Tick = dict[str, float]


def ticker(first: int, period: float) -> Flow[Tick]:
    """Give a price every `period` seconds, from the tick with number `first` on."""
    return Flow.interval(period).map(
        lambda n: {"tick": first + n, "price": round(50 + 5 * sin((first + n) / 7), 2)}
    )


def application(period: float) -> Starlette:
    """Return the web application."""

    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse(PAGE)

    async def events(request: Request) -> FlowResponse:
        # What the browser sends when it connects again; the first time there is none.
        first = int(request.headers.get("last-event-id", "-1")) + 1
        prices = (
            ticker(first, period)
            .on_start(lambda: print(f"a visitor came for tick {first}", flush=True))
            .on_completion(lambda error: print("a visitor left", flush=True))
        )
        return sse_response(
            prices,
            data=json.dumps,
            event="price",
            id=lambda tick: str(tick["tick"]),
            retry=1,
        )

    return Starlette(routes=[Route("/", page), Route("/events", events)])


async def main(port: int, period: float) -> None:
    """Serve until Ctrl-C."""
    print(f"http://127.0.0.1:{port}/", flush=True)
    config = uvicorn.Config(
        application(period),
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,  # endless responses don't end by themselves
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    parser = ArgumentParser(description="A stock ticker in the browser.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--period", type=float, default=1)
    options = parser.parse_args()
    run(main, options.port, options.period)
