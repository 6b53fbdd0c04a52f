"""flowpy.web behind real servers on loopback, and clients that leave as they like."""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager, closing, suppress
from importlib.util import find_spec
from pathlib import Path
from random import Random
from tempfile import TemporaryFile

import pytest

from flowpy import Flow, run
from flowpy.web import FlowResponse, parse_sse, sse_events, sse_response

ROOT = Path(__file__).parents[2]
APP = "tests.servers.web_app:app"

COMMANDS = {
    "uvicorn": ["uvicorn", "--log-level=warning", "--port={port}"],
    "hypercorn": ["hypercorn", "--bind=127.0.0.1:{port}", "--worker-class=asyncio"],
    "hypercorn-trio": ["hypercorn", "--bind=127.0.0.1:{port}", "--worker-class=trio"],
    "granian": ["granian", "--interface=asgi", "--log-level=error", "--port={port}"],
}

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
LEAVINGS = int(os.environ.get("FLOWPY_LEAVINGS", "1000" if NIGHTLY else "60"))
"""How many clients come and leave."""

pytest.importorskip("starlette", reason="starlette is not installed")
connect = pytest.importorskip(
    "websockets.sync.client", reason="websockets is not installed"
).connect


class Server:
    """A server in a process of its own."""

    def __init__(self, name):
        self.name = name
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # No pipe, which would fill; closed by `stop`.
        self.said = TemporaryFile("w+")  # noqa: SIM115 - see above
        words = [word.format(port=self.port) for word in COMMANDS[name]]
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words, APP],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=self.said,
            stdout=subprocess.DEVNULL,
        )

    def wait_until_it_answers(self):
        last = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < last:
            with suppress(OSError):
                return self.state()
            time.sleep(0.02)
        pytest.fail(f"{self.name} does not start: {self.stop()}")

    def stop(self):
        """Stop it, and return what it said."""
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.said.write("Error: the server did not stop")
        with self.said:
            self.said.seek(0)
            return self.said.read()

    def get(self, path):
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, 5)) as client:
            client.request("GET", path, headers={"Connection": "close"})
            response = client.getresponse()
            return response, response.read()

    def state(self):
        return json.loads(self.get("/state")[1])

    def open(self, path):
        """Return the connection of a client that has begun to read a response."""
        client = socket.create_connection(("127.0.0.1", self.port), 5)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        return client

    def websocket(self, path):
        return connect(f"ws://127.0.0.1:{self.port}{path}", close_timeout=0.2)

    def closed(self, opened):
        """Return the state once so many flows were opened and all are closed again."""
        last = time.monotonic() + 3
        while time.monotonic() < last:
            state = self.state()
            if state["closed"] == state["opened"] == opened:
                break
            time.sleep(0.01)
        return {name: state[name] for name in ("opened", "closed", "closed elsewhere")}


def all_closed(opened):
    return {"opened": opened, "closed": opened, "closed elsewhere": 0}


def cut_off(client):
    """Close a connection without the usual farewell."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.fixture(scope="module", params=COMMANDS)
def running(request):
    module = request.param.partition("-")[0]
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    server = Server(request.param)
    server.wait_until_it_answers()
    yield server
    said = server.stop()

    # One test has a flow fail; nothing else is to be heard of.
    errors = [line for line in said.splitlines() if "Error: " in line]
    assert [line for line in errors if "LookupError: as the test" not in line] == []
    assert "exception was never retrieved" not in said


@pytest.fixture
def server(running):
    state = running.state()
    running.before = state["opened"]
    running.cleaned = state.get("cleaned up", 0)
    return running


def test_the_server_runs_on_the_event_loop_it_says(server):
    assert server.state()["runs"] == ("trio" if "trio" in server.name else "asyncio")


def test_events_arrive_as_they_were_sent(server):
    response, body = server.get("/events/short")

    assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
    assert response.getheader("cache-control") == "no-cache"
    assert response.getheader("x-accel-buffering") == "no"
    assert [e.data for e in run(parse_sse([body]).to_list)] == ["a", "b\nc"]
    assert server.closed(server.before + 1) == all_closed(server.before + 1)


def test_a_flow_that_fails_cuts_the_response_short(server):
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        server.get("/plain/failing")
    assert server.closed(server.before + 1) == all_closed(server.before + 1)


@pytest.mark.parametrize("leave", [socket.socket.close, cut_off])
@pytest.mark.parametrize("name", ["silent", "ticks", "counting", "busy"])
def test_a_client_that_leaves_closes_its_flow(server, name, leave):
    client = server.open(f"/plain/{name}")
    leave(client)

    assert server.closed(server.before + 1) == all_closed(server.before + 1)
    if "trio" not in server.name:  # where a broken connection cancels for good
        assert server.state()["cleaned up"] == server.cleaned + 1


def test_a_client_that_stops_reading_and_leaves_closes_its_flow(server):
    client = server.open("/plain/busy")
    time.sleep(0.3)  # until the server has to wait for it
    client.close()

    assert server.closed(server.before + 1) == all_closed(server.before + 1)


@pytest.mark.parametrize("name", ["counting", "busy"])
def test_others_are_answered_while_a_client_reads_an_endless_flow(server, name):
    client = server.open(f"/plain/{name}")
    read = 0

    def read_on():
        nonlocal read
        with suppress(OSError):
            while data := client.recv(65536):
                read += len(data)

    reader = threading.Thread(target=read_on)
    reader.start()
    last = time.monotonic() + 5
    while read < 100_000 and time.monotonic() < last:
        time.sleep(0.01)
    seen = [(server.state()["opened"], read) for _ in range(20)]
    client.shutdown(socket.SHUT_RDWR)
    reader.join()
    client.close()

    assert [opened for opened, _ in seen] == 20 * [server.before + 1]
    assert 100_000 <= seen[0][1] < seen[-1][1]  # it went on meanwhile
    assert server.closed(server.before + 1) == all_closed(server.before + 1)


def test_clients_that_leave_at_random_leave_nothing_behind(server):
    random = Random(1)
    paths = [
        f"/{kind}/{name}"
        for kind in ("plain", "events")
        for name in ("silent", "ticks", "counting", "busy", "short")
    ]
    clients = []
    for _ in range(LEAVINGS):
        clients.append(server.open(random.choice(paths)))
        if random.random() < 0.3:
            time.sleep(random.uniform(0, 0.005))
        while len(clients) > random.randrange(8):
            leave = random.choice([socket.socket.close, cut_off])
            leave(clients.pop(random.randrange(len(clients))))
    for client in clients:
        client.close()
    opened = server.before + LEAVINGS
    state = server.closed(opened)

    assert state == all_closed(opened)
    assert server.state()["tasks"] == 0


@pytest.mark.parametrize("leave", ["politely", "without a word"])
@pytest.mark.parametrize("name", ["silent", "ticks", "counting", "busy"])
def test_a_client_that_leaves_its_websocket_closes_the_flow(server, name, leave):
    with server.websocket(f"/sends/{name}") as client:
        client.send("not heard")
        if name != "silent":
            client.recv(timeout=2)
        if leave == "without a word":
            client.socket.shutdown(socket.SHUT_RDWR)

    assert server.closed(server.before + 1) == all_closed(server.before + 1)


def test_the_end_of_a_flow_may_close_the_websocket(server):
    with server.websocket("/sends/short") as client:
        assert list(client) == ["a", "b\nc"]
    assert server.closed(server.before + 1) == all_closed(server.before + 1)


def test_messages_are_answered_until_the_client_leaves(server):
    with server.websocket("/answers") as client:
        for word in ("one", "two", "three"):
            client.send(word)
        got = [client.recv(timeout=2) for _ in range(3)]

    assert got == ["ONE", "TWO", "THREE"]
    assert server.closed(server.before + 1) == all_closed(server.before + 1)


def test_messages_of_a_client_that_leaves_have_all_been_read(server):
    before = server.state().get("taken", 0)
    with server.websocket("/takes") as client:
        for n in range(50):
            client.send(str(n))

    assert server.closed(server.before + 1) == all_closed(server.before + 1)
    assert server.state()["taken"] - before == 50


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_reader_of_events_connects_again_where_it_was(server, backend):
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")

    async def main():
        async with httpx.AsyncClient(trust_env=False) as client:

            @asynccontextmanager
            async def connect(last_event_id):
                headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
                url = f"http://127.0.0.1:{server.port}/resumed"
                async with client.stream("GET", url, headers=headers) as response:
                    response.raise_for_status()
                    over = response.status_code == 204
                    yield None if over else response.aiter_bytes()

            events = sse_events(connect, retry=60, max_backoff=60)
            return await events.map(lambda event: event.data).to_list()

    assert run(main, backend=backend) == [f"item {n}" for n in range(1, 7)]
    assert server.closed(server.before + 3) == all_closed(server.before + 3)


def test_fastapi_sends_a_response_of_a_flow_as_it_stands():
    fastapi = pytest.importorskip("fastapi", reason="fastapi is not installed")
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    app = fastapi.FastAPI()
    done = []

    async def numbers(later):
        later.add_task(done.append, "later")
        return FlowResponse(Flow.of("1", "2"), media_type="text/csv")

    async def events():
        return sse_response(Flow.of("a"))

    numbers.__annotations__["later"] = fastapi.BackgroundTasks
    events.__annotations__["return"] = fastapi.Response
    app.get("/numbers")(numbers)
    app.get("/events")(events)

    async def main():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://x"
        ) as client:
            return [await client.get(path) for path in ("/numbers", "/events")]

    first, second = run(main)

    assert first.text == "12"
    assert first.headers["content-type"] == "text/csv; charset=utf-8"
    assert second.text == "data: a\n\n"
    assert done == ["later"]
