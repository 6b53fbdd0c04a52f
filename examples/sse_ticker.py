"""A stock ticker in the browser: a flow for each visitor, sent as server-sent events.

Shows how a flow becomes an endless response of FastAPI (`flowpy.web.sse_response`), how
events with an id let a browser go on where it was when the connection broke
(`Last-Event-ID`), and that a visitor who leaves ends the flow: the server says so.

    pip install fastapi uvicorn
    python examples/sse_ticker.py [--port 8000] [--period SECONDS]
"""

import json
from argparse import ArgumentParser
from math import sin
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Header, Response
from fastapi.responses import HTMLResponse

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


def application(period: float) -> FastAPI:
    """Return the web application."""
    app = FastAPI()

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE)

    # The flow's response is one of FastAPI's own while it runs, but for type checkers
    # it is not: hence no model.
    @app.get("/events", response_model=None, response_class=Response)
    async def events(last_event_id: Annotated[int, Header()] = -1) -> FlowResponse:
        # What the browser sends when it connects again; the first time there is none.
        first = last_event_id + 1
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

    return app


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
