"""A gateway that asks several services at once, and streams what they say as it comes.

Shows how the streamed answers of many services become one (httpx, `parse_sse`, `flat_map`
with `concurrency`), how a service that fails or hangs is told of and does no harm to the
others (`timeout`, `catch`), and that all requests are given up when the visitor leaves.
Three shops stand in for the services, in the same application; one talks nonsense in the
end, one hangs.

    pip install starlette httpx uvicorn hypercorn
    cd examples
    uvicorn api_gateway:app
    hypercorn --worker-class trio api_gateway:app
    curl --no-buffer 'http://127.0.0.1:8000/offers?product=lamp'
"""

import json
from collections.abc import AsyncIterator
from functools import partial

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from flowpy import Flow, flow
from flowpy.web import Event, FlowResponse, parse_sse, sse_response

SHOPS = {"attic": 0.1, "bazaar": 0.2, "cellar": 60}
"""How many seconds each shop takes for an offer."""


@flow
async def body(url: str, params: dict[str, str]) -> AsyncIterator[bytes]:
    """Make a request, and give the body of its response as it comes."""
    async with (
        httpx.AsyncClient() as client,
        client.stream("GET", url, params=params) as response,
    ):
        response.raise_for_status()
        async for chunk in response.aiter_bytes():
            yield chunk


def offers(product: str, patience: float, address: str, shop: str) -> Flow[Event]:
    """Give the offers of one shop, and if they break off, why."""

    def failed(error: Exception) -> list[Event]:
        said = {"shop": shop, "error": type(error).__name__}
        return [Event(json.dumps(said), event="failed")]

    return (
        parse_sse(body(f"{address}/shops/{shop}", {"product": product}))
        .map(lambda event: {"shop": shop} | json.loads(event.data or ""))
        .map(lambda offer: Event(json.dumps(offer), event="offer"))
        .timeout(patience)
        .catch(handler=failed)
    )


async def gateway(request: Request) -> FlowResponse:
    """Send the offers of all shops."""
    product = request.query_params["product"]
    address = f"http://127.0.0.1:{request.scope['server'][1]}"
    found = Flow(SHOPS).flat_map(
        partial(offers, product, 10, address), concurrency=len(SHOPS)
    )
    # An EventSource would come again and again, were it not told of the end.
    return sse_response(found.end_with(Event("", event="end")))


async def shop(request: Request) -> FlowResponse:
    """Stand in for a shop that offers something from time to time."""
    name, product = request.path_params["name"], request.query_params["product"]

    def offer(n: int) -> str:
        if name == "bazaar" and n == 2:
            return "We have closed."
        return json.dumps({"product": f"{product} no. {n}", "price": 10 + n})

    prices = Flow.interval(SHOPS[name], delay=SHOPS[name]).take(5).map(offer)
    return sse_response(
        prices.on_completion(lambda error: print(name, "ends", flush=True))
    )


app = Starlette(routes=[Route("/offers", gateway), Route("/shops/{name}", shop)])
