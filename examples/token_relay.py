"""What a language model writes, passed on to the browser word by word, at an even pace.

Shows how a streamed answer is read with httpx in the form that most models have
(`parse_sse`), how what comes in bursts is shown evenly (`buffer` reads on while `pace`
waits), what happens to a model that hangs (`timeout`, `catch`), and that a visitor who
leaves stops the model, which would go on at your expense. The model is a stand-in, part of
the same application, unless MODEL is the address of another one. The page is
`data/token_relay.html`.

    pip install starlette httpx uvicorn hypercorn
    cd examples
    uvicorn token_relay:app
    hypercorn --worker-class trio token_relay:app
"""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from flowpy import Flow, flow
from flowpy.web import Event, FlowResponse, parse_sse, sse_response

PAGE = Path(__file__).parent / "data" / "token_relay.html"


@flow
async def answer(model: str, question: str) -> AsyncIterator[bytes]:
    """Ask a model, and give its answer as it comes: the bytes of an event stream."""
    asked = {"messages": [{"role": "user", "content": question}], "stream": True}
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", model, json=asked) as response,
    ):
        response.raise_for_status()
        async for chunk in response.aiter_bytes():
            yield chunk


def word(event: Event) -> Event | None:
    """Return what an event adds to the answer, if it does."""
    text = json.loads(event.data or "")["choices"][0]["delta"].get("content")
    return Event(text, event="word") if text else None


def words(body: Flow[bytes], a_second: int = 20) -> Flow[Event]:
    """Give the words of an answer, so many a second, and how it ends."""
    return (
        parse_sse(body)
        .take_while(lambda event: event.data != "[DONE]")
        .map_not_none(word)
        .timeout(10)
        .buffer(10_000)
        .pace(a_second, per=1)
        .end_with(Event("", event="end"))
        .catch(handler=lambda error: [Event(type(error).__name__, event="failed")])
    )


async def page(request: Request) -> FileResponse:
    """Send the page."""
    return FileResponse(PAGE)


async def ask(request: Request) -> FlowResponse:
    """Relay the answer to a question."""
    here = f"http://127.0.0.1:{request.scope['server'][1]}/model"
    model = os.environ.get("MODEL", here)
    return sse_response(words(answer(model, request.query_params["question"])))


async def model(request: Request) -> FlowResponse:
    """Answer as a language model does: sometimes nothing, then many words at once."""
    question = (await request.json())["messages"][-1]["content"]
    text = f"I was asked: {question}\n" + 100 * "Let me think about it. "
    tokens = [
        {"choices": [{"delta": {"content": f"{word} "}}]} for word in text.split(" ")
    ]
    bursts = Flow(tokens).map(json.dumps).end_with("[DONE]").chunked(10)
    return sse_response(
        Flow.interval(0.5)
        .zip(bursts)
        .flat_map(lambda pair: pair[1])
        .on_start(lambda: print("the model begins", flush=True))
        .on_completion(
            lambda error: print(
                "the model is", "stopped" if error else "done", flush=True
            )
        )
    )


app = Starlette(
    routes=[
        Route("/", page),
        Route("/ask", ask),
        Route("/model", model, methods=["POST"]),
    ]
)
