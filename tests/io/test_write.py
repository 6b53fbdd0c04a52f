"""write_lines: the items of a flow become lines of a file, all of them or what came."""

from __future__ import annotations

import asyncio
import errno
import os
import threading

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpy import Flow, FlowConsumedError, _iterating, flow
from flowpy.io import lines, write_lines
from flowpy.io._write import Writer

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trees"


@flow
async def failing_after(*items):
    for item in items:
        yield item
    raise ZeroDivisionError


# ------------------------------------------------------------------- what is written


@pytest.mark.parametrize("options", [{}, {"append": True}, {"atomic": True}])
async def test_each_item_becomes_a_line_and_their_number_is_returned(path, options):
    sink = write_lines(path, **options)

    assert await Flow.of("ash", "", "élm").pipe(sink) == 3
    assert path.read_bytes() == "ash\n\nélm\n".encode()


async def test_what_was_there_is_overwritten_or_kept(path):
    path.write_text("old\n")
    await Flow.of("ash").pipe(write_lines(str(path), append=True))
    appended = path.read_text()
    await Flow.of("elm").pipe(write_lines(path))
    overwritten = path.read_text()
    await Flow.of("oak").pipe(write_lines(path, atomic=True))

    assert (appended, overwritten) == ("old\nash\n", "elm\n")
    assert path.read_text() == "oak\n"


@pytest.mark.parametrize("atomic", [False, True])
async def test_an_empty_flow_makes_an_empty_file(path, atomic):
    assert await Flow.empty().pipe(write_lines(path, atomic=atomic)) == 0
    assert path.read_bytes() == b""


async def test_building_it_opens_nothing(path):
    ending = Flow.of("ash").pipe(write_lines(path))
    opened = path.exists()
    await ending

    assert not opened


async def test_a_sink_takes_many_flows_and_what_is_like_one(path):
    sink = write_lines(path, append=True)
    await sink(["ash", "elm"])
    await sink(Flow.of("oak"))
    once = Flow(iter(["fir"]))
    await once.pipe(sink)

    assert path.read_text() == "ash\nelm\noak\nfir\n"
    with pytest.raises(FlowConsumedError):
        await once.pipe(sink)


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"))
    ),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-7"]),
    st.booleans(),
)
async def test_what_is_written_is_what_is_read(tmp_path, items, encoding, atomic):
    path = tmp_path / "some.txt"
    sink = write_lines(path, atomic=atomic, encoding=encoding)

    assert await Flow(items).pipe(sink) == len(items)
    assert await lines(path, encoding=encoding).to_list() == items


async def test_what_cannot_be_encoded_may_be_replaced(path):
    sink = write_lines(path, encoding="ascii", errors="backslashreplace")
    await Flow.of("élm").pipe(sink)

    assert path.read_text() == "\\xe9lm\n"


async def test_a_line_is_in_the_file_before_the_next_one_comes(path):
    seen = []

    @flow
    async def slow():
        for name in ("ash", "elm"):
            yield name
            while not path.exists() or name not in path.read_text():
                await anyio.sleep(0.01)
            seen.append(path.read_text())

    await slow().pipe(write_lines(path))

    assert seen == ["ash\n", "ash\nelm\n"]


async def test_many_lines_share_one_hop_to_a_worker_thread(path, monkeypatch):
    batches = []
    write = Writer._write

    def note(self, batch):
        batches.append((len(batch), threading.current_thread()))
        write(self, batch)

    monkeypatch.setattr(Writer, "_write", note)

    assert await Flow(range(10_000)).map(str).pipe(write_lines(path)) == 10_000
    assert await lines(path).map(int).to_list() == list(range(10_000))
    assert len(batches) < 200
    assert max(size for size, _ in batches) <= 1024
    assert all(thread is not threading.main_thread() for _, thread in batches)


# ------------------------------------------------------------------------ when it fails


async def test_what_came_before_an_error_is_in_the_file(path):
    with pytest.raises(ZeroDivisionError):
        await failing_after("ash", "elm").pipe(write_lines(path))

    assert path.read_text() == "ash\nelm\n"


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        (3, TypeError, "write_lines takes items of type str; got 3"),
        (b"a", TypeError, "write_lines takes items of type str; got b'a'"),
        ("é", UnicodeEncodeError, "ascii"),
    ],
)
async def test_what_came_before_an_item_that_is_no_line_is_in_the_file(
    path, item, error, message
):
    sink = write_lines(path, encoding="ascii")

    with pytest.raises(error, match=message):
        await Flow.of("ash", item, "elm").pipe(sink)
    assert path.read_text() == "ash\n"


async def is_cancelled(sink):
    with anyio.CancelScope() as scope:
        await Flow.of("ash").on_each(lambda _: scope.cancel()).pipe(sink)
    assert scope.cancelled_caught


async def waits_and_is_cancelled(sink):
    with anyio.CancelScope() as scope:

        async def cancel():
            scope.cancel()
            await anyio.sleep_forever()

        await Flow.of("ash").concat(Flow(range(1)).map(lambda _: cancel())).pipe(sink)
    assert scope.cancelled_caught


async def fails(sink):
    with pytest.raises(ZeroDivisionError):
        await failing_after("ash").pipe(sink)


async def is_no_line(sink):
    with pytest.raises(TypeError):
        await Flow.of("ash", None).pipe(sink)


@pytest.mark.parametrize(
    "collection", [is_cancelled, waits_and_is_cancelled, fails, is_no_line]
)
@pytest.mark.parametrize("old", [None, "old\n"])
async def test_an_atomic_file_stays_as_it_was_when_the_collection(
    path, collection, old
):
    if old is not None:
        path.write_text(old)
    await collection(write_lines(path, atomic=True))

    assert os.listdir(path.parent) == ([path.name] if old else [])
    assert old is None or path.read_text() == old


async def test_until_the_end_an_atomic_file_is_as_it_was(path):
    path.write_text("old\n")
    seen = []
    noted = Flow.of("ash", "elm").on_each(lambda _: seen.append(path.read_text()))
    await noted.pipe(write_lines(path, atomic=True))

    assert seen == ["old\n", "old\n"]
    assert os.listdir(path.parent) == [path.name]


async def test_an_atomic_file_keeps_its_mode_and_the_links_to_it(path):
    path.write_text("old\n")
    path.chmod(0o640)
    link = path.with_name("link")
    link.symlink_to(path)
    await Flow.of("ash").pipe(write_lines(link, atomic=True))

    assert link.is_symlink()
    assert path.read_text() == "ash\n"
    assert path.stat().st_mode & 0o777 == 0o640


async def test_only_a_regular_file_can_be_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(OSError, match="only a regular file can be replaced"):
            await Flow.of("ash").pipe(write_lines(path, atomic=True))

    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize("atomic", [False, True])
async def test_a_file_that_cannot_be_made_is_an_error_of_the_collection(
    tmp_path, atomic
):
    sink = write_lines(tmp_path / "missing" / "trees", atomic=atomic)
    pulled = []

    with pytest.raises(FileNotFoundError):
        await Flow.of("ash").on_each(pulled.append).pipe(sink)
    assert pulled == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has /dev/full")
async def test_a_full_disk_is_an_error_that_ends_the_flow(monkeypatch):
    monkeypatch.setattr(_iterating, "TURN", 60)  # it waits for room, and nowhere else
    closed = []
    source = Flow(range(10**9)).map(str).on_completion(closed.append)

    with pytest.raises(OSError, match="No space left") as caught:
        await source.pipe(write_lines("/dev/full"))
    assert caught.value.errno == errno.ENOSPC
    assert closed == [None]


async def test_where_the_system_cannot_sync_a_folder_the_file_is_replaced(
    path, monkeypatch
):
    def fails(*args):
        raise PermissionError

    monkeypatch.setattr(os, "open", fails)
    await Flow.of("ash").pipe(write_lines(path, atomic=True))
    monkeypatch.undo()

    assert path.read_text() == "ash\n"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("atomic", [False, True])
async def test_a_file_that_a_thread_still_writes_is_closed_after_that(
    path, monkeypatch, atomic
):
    writing, go_on, done = (threading.Event() for _ in range(3))
    log = []
    write, close = Writer._write, Writer._close

    def slow(self, batch):
        with self._lock:
            log.append("write")
            writing.set()
            go_on.wait()
        write(self, batch)
        log.append("has written")
        done.set()

    def note(self):
        close(self)
        log.append("closed")

    monkeypatch.setattr(Writer, "_write", slow)
    monkeypatch.setattr(Writer, "_close", note)
    sink = write_lines(path, atomic=atomic)
    task = asyncio.create_task(Flow.of("ash").pipe(sink))
    await anyio.to_thread.run_sync(writing.wait)
    task.cancel()  # as asyncio.timeout and Ctrl-C do, which does not wait for threads
    await anyio.lowlevel.checkpoint()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    await anyio.to_thread.run_sync(done.wait)
    assert set(log) == {"write", "has written", "closed"}
    assert os.listdir(path.parent) == ([] if atomic else [path.name])


def test_a_thread_that_comes_too_late_opens_and_writes_nothing(path):
    writer = Writer(path, "utf-8", "strict", append=False, atomic=False)
    writer._close()
    writer._open()
    writer._write(["ash"])
    writer._finish()

    assert not path.exists()


# ------------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: write_lines(3), TypeError, "path must be str or PathLike; got 3"),
        (lambda: write_lines("a", append=1), TypeError, "append must be bool; got 1"),
        (lambda: write_lines("a", atomic=1), TypeError, "atomic must be bool; got 1"),
        (lambda: write_lines("a", encoding="no"), ValueError, "encoding must be"),
        (lambda: write_lines("a", errors="no"), ValueError, "errors must be"),
        (
            lambda: write_lines("a", append=True, atomic=True),
            ValueError,
            "append and atomic exclude each other",
        ),
    ],
)
def test_arguments_are_checked_at_the_call(make, error, message):
    with pytest.raises(error, match=message):
        make()


async def test_what_is_no_flow_is_refused(path):
    with pytest.raises(TypeError, match="flow must be an async iterable"):
        await write_lines(path)(3)
    assert not path.exists()
