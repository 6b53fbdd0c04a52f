"""The programs of `examples/` print what they should: as programs, and on both backends.

Where time matters, their `main` runs in virtual time.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from base64 import b64decode
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from http.client import HTTPConnection
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count, pairwise
from pathlib import Path

import anyio
import pytest

from flowpy import Flow, flow
from tests.servers.redis_server import running as running_redis

ROOT = Path(__file__).parents[1]

ARGUMENTS = {
    "stock_ticker": ["--period", "1e-6"],
    "word_count": ["--size", "2"],  # several batches
}
"""What to call a program with, so that it doesn't last."""

NEEDS = {"word_count": "distributed"}
"""What has to be installed for it."""

SERVERS = {"chat_room", "dashboard", "sse_ticker"}
"""Programs that run until they are stopped, and print where their page is."""

OTHERS = {
    "api_gateway",
    "iot_aggregator",
    "log_alerts",
    "periodic_job",
    "search_as_you_type",
    "token_relay",
}
"""Programs whose tests stand at the end of this file."""

WITH_REDIS = {"work_queue"}
"""Programs that need a Redis server."""

PRINTED = {
    "log_watcher": """\
8 errors in 24 records
  3 payment, the last one: order 70122: card declined
  3 gateway, the last one: POST /orders 402 in 310 ms
  1 catalog, the last one: product 9917: cannot be shown without a price
  1 mailer, the last one: order 70118: mailbox of the customer is full
Minutes with 3 errors or more:
  2025-11-03 09:12: 4 errors
""",
    "rows_into_sqlite": """\
attic: 1234 rows saved in 3 batches, [500, 500, 234]
stopped: the sensor does not answer
cellar: 307 rows saved in 2 batches, [300, 7]
""",
    "stock_ticker": """\
Moves of more than 2.5 %:
  ACME -2.8 %
  BOLT -3.0 %
  CRUX +2.7 %
  BOLT -2.8 %
  CRUX -2.9 %
  BOLT +2.6 %
  CRUX -2.9 %
  CRUX -2.9 %
  BOLT +3.0 %
  BOLT +2.6 %
  CRUX -2.8 %
  CRUX -2.8 %
ACME and the average of its last five prices:
  47.24 is below it
  48.62 is above it
  49.06 is below it
  48.31 is above it
  47.40 is below it
  47.84 is above it
  47.37 is below it
""",
    "word_count": """\
171 words, 97 different ones; the most frequent:
    15 the
     9 or
     9 software
     8 of
     8 to
""",
    "worked_pipeline": """\
packed [0, 2]
packed [4, 5]
packed [6]
packed [0, 2]
packed [4, 5]
packed [6]
the same on both: True
""",
}


def path_of(name):
    return ROOT / "examples" / f"{name}.py"


def load(name):
    spec = spec_from_file_location(name, path_of(name))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def require(name):
    """Skip the test where the program cannot run."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is not installed")


def test_every_example_is_run_here_and_listed_in_their_readme():
    names = {path.stem for path in (ROOT / "examples").glob("*.py")}
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")

    assert set(PRINTED) | SERVERS | OTHERS | WITH_REDIS == names
    assert {name for name in names if f"`{name}.py`" in readme} == names


@pytest.mark.parametrize("name", PRINTED)
def test_as_a_program_it_prints_its_result_and_nothing_else(name):
    require(name)
    program = [sys.executable, "-W", "error", str(path_of(name))]

    done = subprocess.run(
        program + ARGUMENTS.get(name, []),
        capture_output=True,
        check=False,
        cwd=ROOT,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )

    assert (done.stdout, done.stderr, done.returncode) == (PRINTED[name], "", 0)


@pytest.mark.parametrize("name", sorted(PRINTED.keys() - {"worked_pipeline"}))
def test_on_trio_it_prints_the_same(name, monkeypatch, capsys):
    require(name)
    arguments = [*ARGUMENTS.get(name, []), "--backend", "trio"]
    monkeypatch.setattr(sys, "argv", [name, *arguments])

    runpy.run_path(str(path_of(name)), run_name="__main__")

    assert capsys.readouterr().out == PRINTED[name]


@pytest.mark.anyio
async def test_stock_ticker_takes_a_period_for_each_price_of_each_report(capsys):
    start = anyio.current_time()

    await load("stock_ticker").main(period=3600)

    assert anyio.current_time() - start == 2 * 24 * 3600
    assert capsys.readouterr().out == PRINTED["stock_ticker"]


@pytest.mark.anyio
async def test_stock_ticker_with_another_seed_shows_other_prices(capsys):
    await load("stock_ticker").main(period=1, count=6, seed=2)

    assert (
        capsys.readouterr().out
        == """\
Moves of more than 2.5 %:
  ACME +2.7 %
  BOLT +2.7 %
  CRUX -2.7 %
ACME and the average of its last five prices:
  50.92 is above it
  50.71 is below it
"""
    )


@pytest.mark.anyio
async def test_log_watcher_reports_on_the_file_that_it_is_given(tmp_path, capsys):
    log = tmp_path / "app.log"
    log.write_text(
        "2025-01-01 00:00:01 ERROR disk: full\n"
        "no record\n"
        "2025-01-01 00:01:02 ERROR disk: still full\n"
        "2025-01-01 00:01:03 INFO disk: cleaned\n"
        "2025-01-01 00:01:04 ERROR net: down\n",
        encoding="utf-8",
    )

    await load("log_watcher").main(log, burst=2)

    assert (
        capsys.readouterr().out
        == """\
3 errors in 4 records
  2 disk, the last one: still full
  1 net, the last one: down
Minutes with 2 errors or more:
  2025-01-01 00:01: 2 errors
"""
    )


@pytest.mark.anyio
async def test_rows_into_sqlite_fills_a_file_and_may_be_run_again(tmp_path, capsys):
    path = tmp_path / "rows.db"
    example = load("rows_into_sqlite")

    await example.main(str(path))
    await example.main(str(path))

    assert capsys.readouterr().out == 2 * PRINTED["rows_into_sqlite"]
    with closing(sqlite3.connect(path)) as database:
        saved = database.execute("SELECT * FROM measurements").fetchall()
    assert saved == [
        *await example.measurements("attic").to_list(),
        *await example.measurements("cellar").take(307).to_list(),
    ]


@pytest.mark.anyio
async def test_rows_into_sqlite_tries_again_where_the_database_is_locked(
    tmp_path, monkeypatch, capsys
):
    path = tmp_path / "rows.db"
    example = load("rows_into_sqlite")
    is_locked = example.is_locked
    tries = []
    start = anyio.current_time()

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(example.TABLE)
        other.execute("BEGIN IMMEDIATE")

        def release_at_the_second_try(error):
            tries.append(error)
            if len(tries) == 2:
                other.execute("ROLLBACK")
            return is_locked(error)

        monkeypatch.setattr(example, "is_locked", release_at_the_second_try)
        await example.main(str(path))

    assert [str(error) for error in tries] == 2 * ["database is locked"]
    assert 0.075 <= anyio.current_time() - start - 0.75 <= 0.15
    assert capsys.readouterr().out == PRINTED["rows_into_sqlite"]


@pytest.mark.anyio
async def test_rows_into_sqlite_writes_what_comes_slowly_after_half_a_second():
    example = load("rows_into_sqlite")
    rows = Flow.interval(0.2).take(7).map(lambda n: ("roof", n, 20.0))

    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as database:
        database.execute(example.TABLE)
        sizes = await example.save(rows, database)

    assert sizes == [3, 3, 1]


@pytest.mark.anyio
async def test_rows_into_sqlite_gives_up_at_any_other_error_of_the_database():
    example = load("rows_into_sqlite")

    with (
        closing(sqlite3.connect(":memory:", check_same_thread=False)) as database,
        pytest.raises(sqlite3.OperationalError, match="no such table"),
    ):
        await example.save(example.measurements("attic"), database)


@pytest.mark.anyio
async def test_worked_pipeline_gives_parcels_of_priced_orders():
    example = load("worked_pipeline")
    start = anyio.current_time()

    parcels = await example.main()

    assert parcels == [
        [(0, "cafe", "desk", 210), (2, "cafe", "lamp", 39)],
        [(4, "gym", "desk", 210), (5, "bank", "lamp", 39)],
        [(6, "gym", "lamp", 39)],
    ]
    assert anyio.current_time() - start == pytest.approx(7 * 0.015)


@contextmanager
def serving(name, *arguments):
    """Run a server, and give its port and the process; it is to stop without a word."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = subprocess.Popen(
        [
            *(sys.executable, "-W", "error", str(path_of(name))),
            *("--port", str(port), *arguments),
        ],
        cwd=ROOT,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert program.stdout.readline() == f"http://127.0.0.1:{port}/\n"
        last = time.monotonic() + 10
        while time.monotonic() < last:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.02)
        yield port, program
    finally:
        program.terminate()
        try:
            _, errors = program.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            program.kill()
            program.communicate()
            raise
    assert "Traceback" not in errors


def get(port, path, headers=()):
    """Ask for a page, and return the client and its response."""
    client = HTTPConnection("127.0.0.1", port, timeout=10)
    client.request("GET", path, headers=dict(headers))
    return client, client.getresponse()


@pytest.fixture
def served_ticker():
    """Run the program, and give its port and the lines that it prints."""
    pytest.importorskip("fastapi", reason="fastapi is not installed")
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    with serving("sse_ticker", "--period", "0.01") as (port, program):
        yield port, program.stdout


def test_sse_ticker_serves_a_page_and_prices_until_the_visitor_leaves(served_ticker):
    port, printed = served_ticker

    client, response = get(port, "/")
    page = response.read().decode()
    client.close()
    client, response = get(port, "/events")
    first = [response.readline().decode() for _ in range(10)]
    client.close()
    response.close()
    client, response = get(port, "/events", {"Last-Event-ID": "41"})
    again = [response.readline().decode() for _ in range(3)]
    client.close()
    response.close()

    assert 'new EventSource("/events")' in page
    assert first == [
        *("retry: 1000\n", "\n"),
        *("id: 0\n", "event: price\n", 'data: {"tick": 0, "price": 50.0}\n', "\n"),
        *("id: 1\n", "event: price\n", 'data: {"tick": 1, "price": 50.71}\n', "\n"),
    ]
    assert again[2] == "id: 42\n"
    assert [printed.readline() for _ in range(4)] == [
        "a visitor came for tick 0\n",
        "a visitor left\n",
        "a visitor came for tick 42\n",
        "a visitor left\n",
    ]


class Tab:
    """A page in a headless Chromium, or all of that, and how it is steered."""

    def __init__(self, link):
        self.link = link
        self.ids = count(1)

    def do(self, method, **params):
        """Give a command, and return what comes of it."""
        own = next(self.ids)
        self.link.send(json.dumps({"id": own, "method": method, "params": params}))
        while True:
            answer = json.loads(self.link.recv(timeout=5))
            if answer.get("id") == own:
                return answer["result"]

    def evaluate(self, script):
        return self.do("Runtime.evaluate", expression=script)["result"].get("value")

    def wait_until(self, script):
        last = time.monotonic() + 20
        while not self.evaluate(script) and time.monotonic() < last:
            time.sleep(0.02)
        assert self.evaluate(script)

    def picture(self):
        return b64decode(self.do("Page.captureScreenshot")["data"])


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """Start Chromium, once for all tests, and give where it is steered."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    folder = tmp_path_factory.mktemp("chromium")
    program = subprocess.Popen(
        [
            *(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
            *("--no-first-run", "--disable-background-networking", "--disable-sync"),
            *("--disable-component-update", "--remote-debugging-port=0"),
            *(f"--user-data-dir={folder}", "about:blank"),
        ],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        found = folder / "DevToolsActivePort"
        last = time.monotonic() + 10
        while not (found.exists() and found.read_text().count("\n")):
            if time.monotonic() > last:
                pytest.skip("Chromium does not start")
            time.sleep(0.02)
        port, path = found.read_text().split()
        yield f"ws://127.0.0.1:{port}", path
    finally:
        program.terminate()
        program.wait(timeout=5)


@pytest.fixture
def browser(chromium):
    """Give a new tab, which shares nothing with others, nor a connection."""
    connect = pytest.importorskip(
        "websockets.sync.client", reason="websockets is not installed"
    ).connect
    url, path = chromium
    with connect(url + path) as link:
        whole = Tab(link)
        context = whole.do("Target.createBrowserContext")
        page = whole.do("Target.createTarget", url="about:blank", **context)
        address = f"{url}/devtools/page/{page['targetId']}"
        with connect(address, max_size=None) as own:
            yield Tab(own)
        whole.do("Target.disposeBrowserContext", **context)


def test_sse_ticker_shows_its_prices_in_a_browser(served_ticker, browser):
    port, printed = served_ticker

    browser.do("Page.navigate", url=f"http://127.0.0.1:{port}/")
    browser.wait_until("document.querySelectorAll('#last li').length > 2")
    shown = browser.evaluate("document.querySelector('#last').innerText").split()
    numbers = browser.evaluate(
        "[...document.querySelectorAll('#last li')].slice(0, 3).map(li => li.value) + ''"
    )
    picture = browser.picture()
    browser.evaluate("events.close()")  # a page that is left may be kept for a while

    assert shown[:3] == ["50.00", "50.71", "51.41"]
    assert numbers == "0,1,2"
    assert picture.startswith(b"\x89PNG")
    assert len(set(picture)) > 100  # it is not a blank page
    assert printed.readline() == "a visitor came for tick 0\n"
    assert printed.readline() == "a visitor left\n"


@pytest.fixture
def served_dashboard():
    pytest.importorskip("starlette", reason="starlette is not installed")
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    with serving("dashboard", "--rate", "500", "--every", "0.05") as (port, program):
        yield port, program.stdout


def values_of(response, count):
    """Read the data of so many events of a response."""
    values = []
    while len(values) < count:
        field, _, data = response.readline().decode().partition(": ")
        if field == "data":
            values.append(json.loads(data))
    return values


def test_dashboard_shows_the_newest_of_many_values_to_all_who_watch(served_dashboard):
    port, printed = served_dashboard

    first, response = get(port, "/events")
    alone = values_of(response, 4)
    second, other = get(port, "/events")
    together = values_of(other, 1)
    for each in (first, response, second, other):
        each.close()
    watched = [printed.readline() for _ in range(2)]
    first, response = get(port, "/events")
    again = values_of(response, 1)
    first.close()
    response.close()

    steps = [b["n"] - a["n"] for a, b in pairwise(alone)]
    assert max(steps) > 5  # of about 25 values each
    assert together[0]["n"] > alone[-1]["n"]  # it is the same source
    assert watched == ["somebody watches\n", "nobody watches\n"]
    assert again[0]["n"] < alone[-1]["n"]  # it was started anew
    assert all(0 <= load <= 100 for load in alone[-1]["load"].values())


def test_dashboard_draws_its_lines_in_a_browser(served_dashboard, browser):
    port, printed = served_dashboard

    browser.do("Page.navigate", url=f"http://127.0.0.1:{port}/")
    browser.wait_until(
        "document.querySelector('polyline')?.getAttribute('points').split(' ').length > 3"
    )
    names = browser.evaluate(
        "[...document.querySelectorAll('h2')].map(name => name.innerText) + ''"
    )
    count = browser.evaluate("document.querySelector('#count').innerText").split()
    browser.evaluate("events.close()")

    assert names == "web,database,queue"
    assert int(count[0]) > 5 * int(count[3])  # values that came, and those shown
    assert printed.readline() == "somebody watches\n"
    assert printed.readline() == "nobody watches\n"


class Room:
    """A chat room that runs in a process of its own, and those who visit it."""

    def __init__(self, port, program, visitors):
        self.port = port
        self.program = program
        self.visitors = visitors

    def enter(self, name, **options):
        connect = pytest.importorskip("websockets.sync.client").connect
        url = f"ws://127.0.0.1:{self.port}/room?name={name}"
        options = {"close_timeout": 0.2, "max_queue": None} | options
        return Visitor(self.visitors.enter_context(connect(url, **options)))


class Visitor:
    """Somebody who visits a chat room."""

    def __init__(self, client):
        self.client = client
        self.name = json.loads(client.recv(timeout=2))["you"]
        self.say = client.send

    def hear(self, kind):
        """Return the next message of this kind."""
        while True:
            message = json.loads(self.client.recv(timeout=2))
            if kind in message:
                return message[kind]

    def sees(self, *names):
        """Wait until exactly these are here."""
        while self.hear("here") != list(names):
            pass
        return True

    def break_off(self):
        """Reset the connection, without a farewell, as a network does that breaks."""
        own = self.client.socket
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        own.shutdown(socket.SHUT_RD)  # wakes the thread that reads it
        own.close()

    def hears(self, *expected):
        said = [self.hear("said") for _ in expected]
        return [(one["name"], one["text"]) for one in said] == list(expected)


@pytest.fixture(params=["asyncio", "trio"])
def room(request):
    pytest.importorskip("starlette", reason="starlette is not installed")
    pytest.importorskip("websockets", reason="websockets is not installed")
    server = {"asyncio": "uvicorn", "trio": "hypercorn"}[request.param]
    pytest.importorskip(server, reason=f"{server} is not installed")
    with (
        serving("chat_room", "--backend", request.param) as (port, program),
        ExitStack() as visitors,
    ):
        yield Room(port, program, visitors)


def test_chat_room_has_visitors_talk_and_tells_newcomers_what_was_said(room):
    ann, bea = room.enter("Ann"), room.enter("Bea")
    ann.say("hello")
    assert bea.hears(("Ann", "hello"))
    bea.say("  hi <b>Ann</b>  ")
    bea.say("   ")  # nothing
    bea.say(b"nor are bytes a message")
    bea.say("!")

    talk = [("Ann", "hello"), ("Bea", "hi <b>Ann</b>"), ("Bea", "!")]
    assert ann.hears(*talk)
    assert bea.hears(*talk[1:])
    assert room.enter("Carol").hears(*talk)


def test_chat_room_tells_a_newcomer_the_last_fifty_messages(room):
    ann = room.enter("Ann")
    for n in range(1, 61):
        ann.say(str(n))
        assert ann.hears(("Ann", str(n)))

    bea = room.enter("Bea")
    assert bea.hears(*[("Ann", str(n)) for n in range(11, 61)])


def test_chat_room_tells_everybody_who_is_here(room):
    ann = room.enter("Ann")
    assert ann.sees("Ann")
    other = room.enter("Ann")
    nobody = room.enter("")
    assert (other.name, nobody.name) == ("Ann 2", "Somebody")
    assert ann.sees("Ann", "Ann 2", "Somebody")
    assert other.sees("Ann", "Ann 2", "Somebody")

    other.client.close()
    assert ann.sees("Ann", "Somebody")

    nobody.break_off()
    assert ann.sees("Ann")


def test_chat_room_waits_for_no_visitor_who_does_not_read(room):
    slow = room.enter("Slow", max_queue=1, compression=None)
    ann = room.enter("Ann")
    text = "\N{GRINNING FACE}" * 1000  # 12,000 bytes of JSON
    last = 800
    for _ in range(last):
        ann.say(text)
        assert ann.hears(("Ann", text))
    heard = [slow.hear("said")["n"]]
    while heard[-1] < last:
        heard.append(slow.hear("said")["n"])

    assert heard == sorted(set(heard))
    assert len(heard) < last  # some were dropped,
    assert heard[-100:] == list(range(last - 99, last + 1))  # but not the newest


def test_chat_room_forgets_a_visitor_who_does_not_read_and_breaks_off(room):
    slow = room.enter("Slow", max_queue=1, compression=None)
    ann = room.enter("Ann")
    text = "\N{GRINNING FACE}" * 1000
    for _ in range(800):
        ann.say(text)
        assert ann.hears(("Ann", text))
    slow.break_off()

    assert ann.sees("Ann")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_chat_room_sends_its_visitors_away_when_it_is_stopped(room):
    visitors = [room.enter("Ann"), room.enter("Bea")]
    assert visitors[0].sees("Ann", "Bea")
    room.program.terminate()
    code = room.program.wait(timeout=2)
    left = pytest.importorskip("websockets.exceptions").ConnectionClosed
    for visitor in visitors:
        with suppress(left):
            visitor.hear("nothing more")

    # uvicorn sends itself the signal again once it has stopped.
    assert code in {0, -signal.SIGTERM}
    assert {visitor.client.close_code for visitor in visitors} <= {1001, 1012}


def test_chat_room_shows_in_a_browser_what_others_say(room, browser):
    ann = room.enter("Ann")
    ann.say("Is <b>anybody</b> there?")
    browser.do("Page.navigate", url=f"http://127.0.0.1:{room.port}/?name=Bea")
    assert ann.sees("Ann", "Bea")
    browser.wait_until("document.querySelectorAll('#said li').length == 1")
    browser.evaluate("form.elements.text.value = 'I am'; form.requestSubmit()")
    browser.wait_until("document.querySelectorAll('#said li').length == 2")
    said = browser.evaluate("document.querySelector('#said').innerText").split("\n")
    own = browser.evaluate("document.querySelector('#said li.own').innerText")
    here = browser.evaluate("document.querySelector('#here').innerText").split()
    picture = browser.picture()

    assert [line for line in said if line] == [
        *("Ann", "Is <b>anybody</b> there?"),
        *("Bea", "I am"),
    ]
    assert own.split("\n") == ["Bea", "I am"]
    assert here == ["Ann", "Bea"]
    assert len(set(picture)) > 100  # it is not a blank page
    assert ann.hears(("Bea", "I am"))

    browser.do("Page.navigate", url="about:blank")
    assert ann.sees("Ann")


def test_chat_room_asks_for_a_name_and_comes_back_by_itself(room, browser):
    browser.do("Page.navigate", url=f"http://127.0.0.1:{room.port}/")
    browser.wait_until("document.querySelector('#ask')?.open")
    browser.evaluate(
        "ask.querySelector('input').value = 'Cleo'; ask.querySelector('button').click()"
    )
    browser.wait_until("document.querySelector('#here').innerText == 'Cleo'")
    room.enter("Ann").say("hello")
    browser.wait_until("document.querySelectorAll('#said li').length == 1")
    browser.evaluate("socket.close()")
    browser.wait_until("socket.readyState == WebSocket.CLOSED")
    browser.wait_until("socket.readyState == WebSocket.OPEN && last == 1")

    assert browser.evaluate("document.querySelectorAll('#said li').length") == 1
    assert browser.evaluate("document.querySelector('#state').innerText") == "2 here"


@contextmanager
def running(*command, cwd=ROOT):
    """Run Python with these arguments; it is stopped at the latest at the end."""
    program = subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


# --------------------------------------------------------------------- periodic_job


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_periodic_job_ends_its_run_and_cleans_up_on_sigterm(tmp_path, backend):
    lock = tmp_path / "free_space.lock"
    options = [tmp_path, "--every", "0.1", "--backend", backend]

    with running("-W", "error", path_of("periodic_job"), *options) as program:
        before = program.stdout.readline()
        locked = lock.exists()
        program.terminate()
        after, errors = program.communicate(timeout=5)

    assert before == "run 0 begins\n"
    assert after.splitlines() == [
        "SIGTERM: no more runs, but for the one under way",
        "run 0 is done",
        "cleaned up",
    ]
    assert (errors, program.returncode) == ("", 0)
    assert (locked, lock.exists()) == (True, False)
    assert (tmp_path / "free_space.txt").read_text().split()[0] == "0"


@pytest.mark.anyio
async def test_periodic_job_goes_on_after_a_run_that_failed(
    tmp_path, monkeypatch, capsys
):
    example = load("periodic_job")
    report = example.report

    async def fails_once(folder, number):
        if number == 1:
            raise OSError("the disk is busy")
        return await report(folder, number)

    monkeypatch.setattr(example, "report", fails_once)
    await example.main(tmp_path, 60, partial(anyio.sleep, 150))

    assert capsys.readouterr().out.splitlines() == [
        *("run 0 begins", "run 0 is done"),
        "run 1 failed: the disk is busy",
        *("run 2 begins", "run 2 is done"),
        "cleaned up",
    ]


@pytest.mark.anyio
async def test_periodic_job_is_run_once_at_a_time_in_a_folder(tmp_path):
    (tmp_path / "free_space.lock").touch()

    with pytest.raises(FileExistsError):
        await load("periodic_job").main(tmp_path, 60)


# ------------------------------------------------------------------- iot_aggregator


@pytest.mark.anyio
async def test_iot_aggregator_tells_averages_and_who_is_late_or_silent():
    example = load("iot_aggregator")
    sent = {
        1: [("attic", 20, 0), ("cellar", 12, 0)],
        4: [("attic", 22, 0)],
        11: [("attic", 30, 0), ("cellar", 99, 11)],
        12: [("cellar", 14, 10)],
        32: [("attic", 18, 1)],
        53: [("attic", 18, 0)],
    }

    @flow
    async def readings():
        for second, own in sent.items():
            await anyio.sleep(second - anyio.current_time() + start)
            for reading in own:
                yield example.Reading(*reading)

    start = anyio.current_time()
    found = await example.reports(readings(), 10).to_list()

    assert found == [
        "attic 21.0 (21.0), cellar 12.0 (12.0)",
        "attic 30.0 (24.0), cellar 14.0 (13.0), cellar is late",
        "nothing",
        "attic 18.0 (22.5)",
        "nothing",
        "attic 18.0 (18.0), cellar is silent",
    ]


@pytest.mark.parametrize(
    "packet",
    [
        *(b"", b"attic", b"attic warm", b"\xff 20", b"attic 20 today", b"attic nan"),
        *(b"attic inf", b"attic 20 nan", b"attic -inf 0", b"attic 20 -inf"),
    ],
)
def test_iot_aggregator_drops_what_is_no_reading(packet):
    assert load("iot_aggregator").parse(packet) is None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_iot_aggregator_hears_devices_that_send_datagrams(backend):
    options = ["--port", "0", "--period", "0.7", "--backend", backend]
    with (
        running("-W", "error", path_of("iot_aggregator"), *options) as program,
        socket.socket(type=socket.SOCK_DGRAM) as device,
    ):
        port = int(program.stdout.readline().split()[-1])
        device.connect(("127.0.0.1", port))
        device.send(b"cellar 99 1700000000")  # years ago
        for packet in (b"attic 20", b"attic 21", b"\xff", b"attic 22 %f" % time.time()):
            device.send(packet)
        said = program.stdout.readline()

    assert said == "attic 21.0 (21.0), cellar is late\n"


# ----------------------------------------------------------------------- log_alerts


@pytest.mark.anyio
async def test_log_alerts_tells_of_errors_in_bursts_and_of_silence():
    lines = {
        1: "2025-01-01 00:00:01 ERROR disk: full",
        2: "2025-01-01 00:00:02 INFO disk: ERROR is only a word",
        4: "2025-01-01 00:00:04 ERROR disk: full",
        9: "2025-01-01 00:00:09 ERROR net: down",
        10: "2025-01-01 00:00:10 ERROR disk: still full",
        11: "2025-01-01 00:00:11 ERROR disk: still full",
        12: "2025-01-01 00:00:12 ERROR net: down",
        13: "2025-01-01 00:00:13 ERROR net: down",
        60: "2025-01-01 00:01:00 INFO disk: cleaned",
    }
    start = anyio.current_time()
    log = Flow(lines.items()).map(partial(written_at, start)).concat(Flow.never())
    log = log.take_until(partial(anyio.sleep, 200))
    alerts = load("log_alerts").alerts(log, 3, 10, 40)
    found = await alerts.map(lambda text: (seconds_since(start), text)).to_list()

    assert found == [
        (10, "errors: disk"),
        (13, "errors: disk, net"),
        (14, "errors: net"),
        (19, "errors: no more"),
        (53, "silence since: 2025-01-01 00:00:13 ERROR net: down"),
        (100, "silence since: 2025-01-01 00:01:00 INFO disk: cleaned"),
    ]


async def written_at(start, entry):
    second, line = entry
    await anyio.sleep(start + second - anyio.current_time())
    return line


def seconds_since(start):
    return round(anyio.current_time() - start, 3)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_log_alerts_follows_a_file_that_is_written_and_rotated(tmp_path, backend):
    log = tmp_path / "some.log"
    options = ["--within", "1", "--quiet", "0.3", "--backend", backend]
    told = threading.Event()

    def write():
        for n in count():
            with log.open("a") as file:
                file.write(f"2025-01-01 00:00:01 ERROR disk: full for the {n}th time\n")
            if n % 10 == 9:
                log.replace(tmp_path / "some.log.1")
            if told.wait(0.02):
                break

    writer = threading.Thread(target=write)
    with running("-W", "error", path_of("log_alerts"), log, *options) as program:
        first = program.stdout.readline()
        writer.start()
        try:
            found = [program.stdout.readline()]
        finally:
            told.set()
            writer.join()
        for line in program.stdout:
            found.append(line)
            if line == "errors: no more\n":
                break

    assert first == f"following {log}\n"
    assert found[0] == "errors: disk\n"
    assert found[-2].startswith("silence since: 2025-01-01 00:00:01 ERROR disk: full")


# ------------------------------------------------- applications that any server serves

SERVING = {
    "asyncio": ["uvicorn", "--port=0", "--no-access-log"],
    "trio": ["hypercorn", "--bind=127.0.0.1:0", "--worker-class=trio"],
}
"""How to serve an application on a backend, on a port that the system chooses."""


@contextmanager
def served(name, backend):
    """Serve an application, and give its port and what it prints."""
    pytest.importorskip("starlette", reason="starlette is not installed")
    server, *options = SERVING[backend]
    pytest.importorskip(server, reason=f"{server} is not installed")
    # httpx and httpcore leave generators behind where a response is not read to its end,
    # of which trio warns. The response is closed all the same.
    own = "ignore:Async generator 'http:ResourceWarning"
    command = ["-W", "error", "-W", own, "-m", server, *options, f"{name}:app"]
    with running(*command, cwd=ROOT / "examples") as program:
        said, found = [], None
        for line in program.stderr:
            said.append(line)
            if found := re.search(r"unning on http://127\.0\.0\.1:(\d+)", line):
                yield int(found[1]), program.stdout
                break
        program.terminate()
        said.append(program.communicate(timeout=5)[1])
    assert found, "".join(said)
    assert "Traceback" not in "".join(said)


# --------------------------------------------------------------- search_as_you_type


@pytest.mark.anyio
async def test_search_as_you_type_gives_up_what_is_no_longer_wanted(capsys):
    pytest.importorskip("starlette", reason="starlette is not installed")
    typed = [
        *((0, "t"), (0.1, "th"), (0.15, " THIRD")),
        (0.5, "third"),  # once more
        (0.7, "every"),
        (1, "LAST"),
        (3, b"nothing that is typed"),
        (4, ""),
    ]
    messages = Flow.merge(*(Flow.of(text).delay(second) for second, text in typed))
    example = load("search_as_you_type")
    tenth = ["every", "second", "third", "fourth", "fifth", "sixth", "last"]
    example.OPERATORS = {
        f"{n}": tenth[n // 10] if n % 10 == 0 else "" for n in range(70)
    }
    example.OPERATORS["every"] = "the last one"

    answers = example.answers(messages).map(json.loads)
    found = await answers.map(lambda answer: next(iter(answer.values()))).to_list()

    assert found == [
        *("third", "20", 1),
        *("every", "0"),  # it is given up before it comes to the last one
        *("last", "60", "every", 2),
        *("", 0),
    ]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_search_as_you_type_answers_over_a_websocket(backend):
    connect = pytest.importorskip("websockets.sync.client").connect

    with (
        served("search_as_you_type", backend) as (port, printed),
        connect(f"ws://127.0.0.1:{port}/search") as client,
    ):
        for text in ("d", "de", "deb", "debounc", "DEBOUNCE "):
            client.send(text)
        answers = [json.loads(client.recv(timeout=5)) for _ in range(3)]
        search = printed.readline()

    meaning = "Emit an item only after `seconds` of quiet; a newer item replaces it."
    assert answers == [
        {"text": "debounce"},
        {"name": "debounce", "meaning": meaning},
        {"found": 1},
    ]
    assert search == "searching for 'debounce'\n"


def test_search_as_you_type_shows_what_it_finds_in_a_browser(browser):
    with served("search_as_you_type", "asyncio") as (port, printed):
        browser.do("Page.navigate", url=f"http://127.0.0.1:{port}/")
        browser.wait_until("socket.readyState == WebSocket.OPEN")
        browser.evaluate("text.focus()")
        for letter in "debounce":
            browser.do("Input.insertText", text=letter)
        browser.wait_until("state.innerText == '1 found'")
        shown = browser.evaluate("found.innerText")
        picture = browser.picture()
        browser.evaluate("text.select(); document.execCommand('delete')")
        browser.wait_until("state.innerText == ''")
        nothing = browser.evaluate("found.innerText")
        browser.evaluate("socket.close()")
        searches = [printed.readline() for _ in range(2)]

    assert shown.splitlines()[0] == "debounce"
    assert nothing == ""
    assert searches == ["searching for 'debounce'\n", "searching for ''\n"]
    assert len(set(picture)) > 100  # it is not a blank page


# ---------------------------------------------------------------------- token_relay


def token(text):
    """Return an event of a language model."""
    value = {"choices": [{"delta": {"content": text}}]}
    return f"data: {json.dumps(value)}\n\n".encode()


@flow
async def sent(*parts):
    """Give bytes, and wait in between for as many seconds as numbers say."""
    for part in parts:
        if isinstance(part, bytes):
            yield part
        else:
            await anyio.sleep(part)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            [
                *(token("a") + token(None) + token(" b"), 9, token("\n")),
                *(token("c")[:5], token("c")[5:] + b"data: [DONE]\n\n", 99),
            ],
            [(0, "a"), (0.5, " b"), (9, "\n"), (9.5, "c"), (9.5, "end ")],
        ),
        ([token("a"), 11, token("b")], [(0, "a"), (10, "failed TimeoutError")]),
        ([b"data: <html>\n\n"], [(0, "failed JSONDecodeError")]),
        ([], [(0, "end ")]),
    ],
)
async def test_token_relay_gives_words_at_an_even_pace_and_how_they_end(body, expected):
    pytest.importorskip("starlette", reason="starlette is not installed")
    pytest.importorskip("httpx", reason="httpx is not installed")
    start = anyio.current_time()

    words = load("token_relay").words(sent(*body), a_second=2)
    found = await words.map(lambda event: (seconds_since(start), event)).to_list()

    def shown(event):
        return event.data if event.event == "word" else f"{event.event} {event.data}"

    assert [(time, shown(event)) for time, event in found] == expected


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_token_relay_stops_the_model_when_the_visitor_leaves(backend):
    pytest.importorskip("httpx", reason="httpx is not installed")
    with served("token_relay", backend) as (port, printed):
        client, response = get(port, "/ask?question=why%20not")
        said = [response.readline().decode() for _ in range(12)]
        client.close()
        response.close()
        model = [printed.readline() for _ in range(2)]

    words = [line.removeprefix("data: ") for line in said if line.startswith("data")]
    assert words == ["I \n", "was \n", "asked: \n", "why \n"]
    assert model == ["the model begins\n", "the model is stopped\n"]


def test_token_relay_shows_what_the_model_says_until_it_is_stopped(browser):
    pytest.importorskip("httpx", reason="httpx is not installed")
    with served("token_relay", "asyncio") as (port, printed):
        browser.do("Page.navigate", url=f"http://127.0.0.1:{port}/")
        browser.wait_until("!!document.querySelector('#stop')")
        browser.evaluate(
            "form.elements.question.value = 'why not'; form.requestSubmit()"
        )
        browser.wait_until("document.querySelector('#answer').innerText.length > 25")
        shown = browser.evaluate("document.querySelector('#answer').innerText")
        picture = browser.picture()
        browser.evaluate("document.querySelector('#stop').click()")
        model = [printed.readline() for _ in range(2)]
        state = browser.evaluate("document.querySelector('#state').innerText")

    assert shown.startswith("I was asked: why not\nLet me")
    assert model == ["the model begins\n", "the model is stopped\n"]
    assert state == "Stopped."
    assert len(set(picture)) > 100  # it is not a blank page


# ---------------------------------------------------------------------- api_gateway


def offer(n):
    return b'data: {"n": %d}\n\n' % n


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([1, offer(1)[:5], 1, offer(1)[5:]], [(2, "offer", {"n": 1})]),
        (
            [1, offer(1), 1.9, offer(2), 2.1, offer(3)],
            [
                *((1, "offer", {"n": 1}), (2.9, "offer", {"n": 2})),
                (4.9, "failed", {"error": "TimeoutError"}),
            ],
        ),
        (
            [offer(1) + b"data: closed\n\n", 1, offer(2)],
            [(0, "offer", {"n": 1}), (0, "failed", {"error": "JSONDecodeError"})],
        ),
    ],
)
async def test_api_gateway_tells_why_the_offers_of_a_shop_end(parts, expected):
    pytest.importorskip("starlette", reason="starlette is not installed")
    pytest.importorskip("httpx", reason="httpx is not installed")
    example = load("api_gateway")
    example.body = lambda url, params: sent(*parts).on_start(partial(asked.append, url))
    asked = []
    start = anyio.current_time()

    offers = example.offers("lamp", 2, "http://here", "attic")
    found = await offers.map(lambda event: (seconds_since(start), event)).to_list()

    assert asked == ["http://here/shops/attic"]
    assert [(time, event.event, json.loads(event.data)) for time, event in found] == [
        (time, event, {"shop": "attic"} | data) for time, event, data in expected
    ]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_api_gateway_gives_up_its_requests_when_the_visitor_leaves(backend):
    pytest.importorskip("httpx", reason="httpx is not installed")
    with served("api_gateway", backend) as (port, printed):
        client, response = get(port, "/offers?product=lamp%26c")
        found = values_of(response, 8)
        ended = [printed.readline() for _ in range(2)]
        client.close()
        response.close()
        left = printed.readline()

    attic, bazaar = (
        [one for one in found if one["shop"] == shop] for shop in ("attic", "bazaar")
    )
    assert attic == [
        {"shop": "attic", "product": f"lamp&c no. {n}", "price": 10 + n}
        for n in range(5)
    ]
    assert [one.get("error", one.get("price")) for one in bazaar] == [
        10,
        11,
        "JSONDecodeError",
    ]
    assert sorted(ended) == ["attic ends\n", "bazaar ends\n"]
    assert left == "cellar ends\n"


# ---------------------------------------------------------------------- work_queue


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    pytest.importorskip("coredis", reason="coredis is not installed")
    with running_redis(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_work_queue_does_each_job_once_but_for_one_that_is_put_aside(
    redis_server, backend
):
    program = [sys.executable, "-W", "error", str(path_of("work_queue"))]
    options = ["--port", str(redis_server), "--jobs", "30", "--backend", backend]

    done = subprocess.run(
        program + options,
        capture_output=True,
        check=False,
        cwd=ROOT,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    first, *lines = done.stdout.splitlines()

    assert done.returncode == 0
    assert first == "30 jobs are waiting"
    assert sorted(lines) == sorted(
        [f"job {n} is done" for n in range(1, 31) if n != 7]
        + 2 * ["a consumer fell over: it is broken"]
        + ["job 7 is put aside: it is broken"]
    )
    spoken = r"read_group: message \S+ of 'flowpy:jobs' has been delivered 3 times.*\n"
    assert re.fullmatch(spoken, done.stderr)
