"""What `progress` shows, where, and how often."""

from __future__ import annotations

import sys
from io import StringIO
from types import ModuleType

import anyio
import pytest
import tqdm

from flowpy import Flow, _progress, flow
from flowpy._reporter import Reporter

pytestmark = pytest.mark.anyio


class Terminal(StringIO):
    """A file that lines can be drawn over in, and keeps all that was."""

    encoding = "utf-8"

    def isatty(self):
        return True

    def pictures(self):
        return self.getvalue().replace("\r", "\n").replace("\x1b[A", "").split("\n")


@pytest.fixture
def terminal(monkeypatch):
    file = Terminal()
    monkeypatch.setattr(_progress, "standard_error", lambda: file)
    return file


@pytest.fixture
def log(monkeypatch):
    file = StringIO()
    monkeypatch.setattr(_progress, "standard_error", lambda: file)
    return file


def every(seconds, items):
    return Flow(items).on_each(lambda _: anyio.sleep(seconds))


# ------------------------------------------------------------------------ a terminal


async def test_a_bar_says_how_many_items_have_passed_of_how_many(terminal):
    assert await Flow([3, 1, 2]).progress("load", total=3).to_list() == [3, 1, 2]

    first, *_, last, after = terminal.pictures()[1:]
    assert first.startswith("load:   0%|")
    assert last.startswith("load: 100%|██")
    assert "| 3/3 [00:00<" in last
    assert after == ""


async def test_without_a_total_there_is_no_bar(terminal):
    async def items():
        for n in range(5):
            await anyio.sleep(1)
            yield n

    await Flow(items).progress().collect()

    assert terminal.pictures()[-2].rstrip() == "5it [00:05,  1.00it/s]"


async def test_it_is_drawn_at_most_every_100_ms_of_the_event_loops_time(terminal):
    await every(0.001, range(1000)).progress().collect()

    drawn = [text for text in terminal.pictures() if "%|" in text]
    assert len(drawn) == 11
    assert "| 100/1000 [00:00<" in drawn[1]
    assert "| 1000/1000 [00:01<00:00, 1000.00it/s]" in drawn[-1]


async def test_while_nothing_comes_only_its_time_goes_on(terminal):
    async with Flow([1]).progress(total=2).open() as items:
        await anext(items)
        await anyio.sleep(3.05)
    drawn = [text for text in terminal.pictures() if "%|" in text]
    times = [text.partition("[")[2][:5] for text in drawn]

    assert times == ["00:00", "00:00", "00:01", "00:02", "00:03"]


async def test_a_source_that_never_lets_others_run_is_drawn_at_its_items(
    terminal, monkeypatch
):
    time = 0.0

    async def enter(self, begin=Reporter.__aenter__):
        await begin(self)
        self._now = lambda: time
        self._started = self._looked = self._told = time
        return self

    @flow
    async def busy():
        nonlocal time
        for n in range(1000):
            time += 0.01
            yield n

    monkeypatch.setattr(Reporter, "__aenter__", enter)
    await busy().progress().collect()

    drawn = [text for text in terminal.pictures() if "it [" in text]
    assert 30 < len(drawn) <= 101


@pytest.mark.parametrize("end", ["end", "error", "stop", "cancelled"])
async def test_the_bar_is_closed_however_the_collection_ends(terminal, end):
    bars = len(tqdm.tqdm._instances)
    source = every(0.2, range(5))
    if end == "error":
        source = source.on_each(lambda n: 1 // (2 - n))
    with anyio.move_on_after(0.5 if end == "cancelled" else 60):
        try:
            await source.progress("load").take(3 if end == "stop" else 9).collect()
        except ZeroDivisionError:
            assert end == "error"
    written = terminal.getvalue()
    await anyio.sleep(5)

    passed = {"end": 5, "error": 2, "stop": 3, "cancelled": 2}[end]
    assert f"| {passed}/5 [" in terminal.pictures()[-2] or end == "error"
    assert written.endswith("\n")
    assert terminal.getvalue() == written
    assert len(tqdm.tqdm._instances) == bars


async def test_two_bars_at_once_stand_one_under_the_other(terminal):
    async with anyio.create_task_group() as group:
        group.start_soon(every(0.3, range(3)).progress("first").collect)
        group.start_soon(every(0.3, range(3)).progress("second").collect)

    assert "\x1b[A" in terminal.getvalue()  # a line up, from the lower one
    assert terminal.getvalue().count("3/3") >= 2


async def test_no_thread_watches_the_bars(terminal):
    before = tqdm.tqdm.monitor

    await Flow([1]).progress().collect()

    assert tqdm.tqdm.monitor is before


# -------------------------------------------------------------------------- the total


class Sized:
    def __iter__(self):
        return iter("abc")

    def __len__(self):
        return 3


@pytest.mark.parametrize(
    ("made", "total"),
    [
        (Flow.of(1, 2, 3), "3"),
        (Flow([1, 2, 3]), "3"),
        (Flow(Sized()), "3"),
        (Flow({1: 2}).map(str).enumerate().on_each(print).buffer(2).delay(1), "1"),
        (Flow([1]).map(str, concurrency=2).on_start(print).pace(1, 1).log(), "1"),
        (Flow([1, 2]).progress().measure(print), "2"),
        (Flow(lambda: [1, 2]), None),
        (Flow(iter([1, 2])), None),
        (Flow.empty(), None),
        (Flow([1, 2]).filter(bool), None),
        (Flow([1, 2]).map(str, on_error=print), None),
        (Flow([1, 2]).concat([3]), None),
        (Flow([1, 2]).flat_map(range), None),
        (Flow([1, 2]).take(1), None),
    ],
    ids=lambda value: repr(value),
)
def test_the_total_is_the_length_of_the_source_if_all_stages_keep_it(made, total):
    sized = _progress.sized_source(made._stages, made._values)

    assert _progress.length(sized) == (total and int(total))


async def test_the_total_is_that_of_the_moment_at_which_a_collection_begins(log):
    items = [1]
    shown = Flow(items).progress()
    items.append(2)

    await shown.collect()

    assert "2/2" in log.getvalue()


async def test_a_source_too_long_to_say_its_length_has_no_total(log):
    await Flow(range(10**30)).progress().take(2).collect()

    assert log.getvalue().startswith("2it [")


# ------------------------------------------------------------------------ lines of text


async def test_what_is_no_terminal_gets_a_line_every_ten_seconds(log):
    await every(0.5, range(50)).progress("load").collect()

    assert log.getvalue() == (
        "load:  40% 20/50 [00:10<00:15,  2.00it/s]\n"
        "load:  80% 40/50 [00:20<00:05,  2.00it/s]\n"
        "load: 100% 50/50 [00:25<00:00,  2.00it/s]\n"
    )


async def test_what_is_no_terminal_gets_no_line_while_nothing_comes(log):
    async with Flow([1, 2]).progress().open() as items:
        await anext(items)
        await anyio.sleep(95)

    assert log.getvalue() == (
        " 50% 1/2 [00:10<00:10, 10.00s/it]\n 50% 1/2 [01:35<01:35, 95.00s/it]\n"
    )


async def test_a_program_without_standard_error_shows_nothing(monkeypatch):
    monkeypatch.setattr(_progress, "standard_error", lambda: None)

    assert await Flow([1]).progress().to_list() == [1]


async def test_standard_error_that_is_closed_shows_nothing(monkeypatch):
    closed, closing = StringIO(), StringIO()
    closed.close()
    monkeypatch.setattr(_progress, "standard_error", lambda: closed)
    assert await Flow([1, 2]).progress().to_list() == [1, 2]

    monkeypatch.setattr(_progress, "standard_error", lambda: closing)
    await Flow([1, 2]).progress().collect(lambda _: closing.close())

    assert closing.closed


async def test_standard_error_may_be_an_object_that_can_only_be_written_to(monkeypatch):
    class Written:
        def __init__(self):
            self.lines = []

        def write(self, line):
            self.lines.append(line)

        def flush(self):
            pass

    file = Written()
    monkeypatch.setattr(_progress, "standard_error", lambda: file)

    await Flow([1, 2]).progress("load", total=2).collect()

    assert len(file.lines) == 1
    assert file.lines[0].startswith("load: 100% 2/2 ")


async def test_an_error_of_the_display_comes_after_the_items(monkeypatch):
    class Full(StringIO):
        def write(self, text):
            raise OSError("no space left")

    full = Full()
    monkeypatch.setattr(_progress, "standard_error", lambda: full)
    items = []

    with pytest.raises(OSError, match="no space left"):
        await Flow([1, 2]).progress().collect(items.append)

    assert items == [1, 2]


async def test_a_terminal_that_cannot_be_drawn_on_leaves_no_task(monkeypatch):
    class Gone(Terminal):
        def write(self, text):
            raise OSError("no such device")

    gone = Gone()
    monkeypatch.setattr(_progress, "standard_error", lambda: gone)
    before = len(anyio.get_running_tasks())

    with pytest.raises(OSError, match="no such device"):
        await Flow([1, 2]).progress().collect()

    assert len(anyio.get_running_tasks()) == before


# --------------------------------------------------------------------------- a notebook


@pytest.fixture
def kernel(monkeypatch):
    monkeypatch.setitem(
        sys.modules, "ipykernel.zmqshell", ModuleType("ipykernel.zmqshell")
    )


async def test_a_notebook_has_a_widget(monkeypatch, log, kernel):
    drawn = []

    class Widget:
        def __init__(self, **options):
            drawn.append(options["desc"])

        def refresh(self):
            drawn.append((self.n, self.format_dict["elapsed"]))

        def close(self):
            drawn.append("closed")

        @property
        def format_dict(self):
            return {"n": self.n}

    notebook = ModuleType("tqdm.notebook")
    notebook.tqdm = Widget
    monkeypatch.setitem(sys.modules, "tqdm.notebook", notebook)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)

    await every(0.06, range(3)).progress("load").collect()

    assert drawn == ["load", (1, pytest.approx(0.1)), "closed"]
    assert log.getvalue() == ""


async def test_a_notebook_without_widgets_has_a_bar_of_text(monkeypatch, log, kernel):
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "ipywidgets" else name
    )

    await Flow([1]).progress("load").collect()

    assert "\rload: 100%|" in log.getvalue()


async def test_the_widgets_of_ipywidgets_show_it(kernel, log, capsys):
    pytest.importorskip("ipywidgets", reason="pip install ipywidgets")
    notebook = pytest.importorskip("tqdm.notebook")
    bars = []

    class Bar(notebook.tqdm):
        def __init__(self, *args, **options):
            super().__init__(*args, display=False, **options)
            bars.append(self)

    kind, notebook.tqdm = notebook.tqdm, Bar
    try:
        await Flow([1, 2]).progress("<b>").collect()
    finally:
        notebook.tqdm = kind

    left, bar, right = bars[0].container.children
    assert (bar.value, bar.max) == (2, 2)
    assert "&lt;b&gt;" in left.value
    assert "2/2" in right.value


# -------------------------------------------------------------------------- tqdm itself


def test_without_tqdm_the_call_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ModuleNotFoundError, match=r"flowpy-stream\[progress\]"):
        Flow([1]).progress()
