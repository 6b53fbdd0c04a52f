"""process_lines: what a program prints comes as lines, and the program is ended."""

from __future__ import annotations

import os
import signal
import subprocess
from subprocess import CalledProcessError

import anyio
import pytest

from flowpy import run
from flowpy.io import _process, process_lines
from flowpy.io._process import Process

pytestmark = pytest.mark.anyio


@pytest.fixture
def started(monkeypatch):
    """Collect the processes that are started."""
    processes = []

    class Watched(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            processes.append(self)

    monkeypatch.setattr(_process, "Popen", Watched)
    return processes


def shell(script, **options):
    return process_lines("sh", "-c", script, **options)


# ------------------------------------------------------------------------ its lines


async def test_each_line_is_given_as_it_comes(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    flow = shell(f"echo one; exec cat '{pipe}'")
    seen = []
    async with flow.open() as items:
        seen.append(await anext(items))
        with open(pipe, "wb", buffering=0) as writer:
            for data in (b"two\nth", b"ree \xe2\x82", b"\xac\r"):
                writer.write(data)
                if data[-1:] in b"\r\n":
                    seen.append(await anext(items))
            seen.append(await anext(items))
            writer.write(b"\nend")
        seen += [line async for line in items]

    assert seen == ["one", "two", "three €", "end"]


@pytest.fixture
def trees(tmp_path):
    (tmp_path / "trees").write_text("ash\n")
    return tmp_path


async def test_where_and_with_what_it_runs_can_be_said(trees, monkeypatch):
    monkeypatch.setenv("TREE", "elm")
    environment = {"TREE": "oak", "PATH": os.environ["PATH"]}
    flow = shell('cat trees; echo "$TREE"', cwd=trees, env=environment)
    environment["TREE"] = "changed later"

    assert await flow.to_list() == ["ash", "oak"]
    assert await process_lines("cat", trees / "trees").to_list() == ["ash"]
    assert await shell('echo "$TREE"').to_list() == ["elm"]


async def test_each_collection_starts_it_again_and_ends_it(started):
    flow = shell("echo one")

    assert await flow.to_list() == await flow.to_list() == ["one"]
    assert [process.returncode for process in started] == [0, 0]
    assert all(process.stdout.closed for process in started)
    assert all(process.stderr.closed for process in started)


async def test_its_standard_input_is_empty():
    assert await process_lines("cat").to_list() == []


async def test_many_lines_come_through_together():
    flow = shell("i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done")

    assert await flow.map(int).to_list() == list(range(3000))


async def test_other_tasks_get_a_turn_within_a_batch(monkeypatch):
    monkeypatch.setattr("flowpy._iterating.TURN", 0)
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        async with process_lines(
            "printf", "%01000d\\n" * 20, *["0"] * 20
        ).open() as items:
            await anext(items)
            tasks.start_soon(count_turns)
            async for _ in items:
                pass
        tasks.cancel_scope.cancel()

    assert turns >= 15


async def test_what_it_complains_about_is_read_all_the_time():
    flow = shell("head -c 1000000 /dev/zero >&2; echo done")

    assert await flow.to_list() == ["done"]


# --------------------------------------------------------------------- how it has ended


async def test_an_exit_status_other_than_0_is_an_error_after_the_lines(outcome):
    flow = shell("echo one; echo 'no such \xe9' >&2; exit 3")
    items, error = await outcome(flow)

    assert items == ["one"]
    assert type(error) is CalledProcessError
    assert error.returncode == 3
    assert error.cmd[:2] == ["sh", "-c"]
    assert error.stderr == "no such \xe9\n"
    assert error.__notes__ == ["its standard error ended with:\nno such \xe9"]


async def test_only_the_end_of_long_complaints_is_kept(outcome):
    flow = shell("head -c 1000000 /dev/zero >&2; printf '\\377end' >&2; exit 1")
    _, error = await outcome(flow)

    assert error.stderr == "\0" * (8192 - 4) + "\ufffdend"


async def test_without_complaints_there_is_no_note(outcome):
    _, error = await outcome(shell("kill -9 $$"))

    assert error.returncode == -9
    assert not hasattr(error, "__notes__")


async def test_without_check_any_exit_status_will_do():
    assert await shell("echo one; exit 3", check=False).to_list() == ["one"]


async def test_a_program_that_is_not_there_is_an_error_of_the_collection(tmp_path):
    flow = process_lines("no-such-program-anywhere")

    with pytest.raises(FileNotFoundError, match="no-such-program-anywhere"):
        await flow.collect()
    with pytest.raises(FileNotFoundError, match="missing"):
        await shell("", cwd=tmp_path / "missing").collect()
    with pytest.raises(PermissionError):
        await process_lines(tmp_path).collect()


async def test_what_cannot_be_decoded_is_an_error_that_ends_it(outcome, started):
    items, error = await outcome(shell("printf 'one\\nt\\377o\\n'; exec sleep 1000"))

    assert items == ["one"]
    assert type(error) is UnicodeDecodeError
    assert started[0].returncode == -signal.SIGTERM


async def test_complaints_that_another_process_may_go_on_with_are_not_waited_for(
    outcome, monkeypatch
):
    monkeypatch.setattr(_process, "LINGER", 0.05)
    flow = shell("echo oops >&2; sleep 1000 > /dev/null & echo $!; exit 1")
    items, error = await outcome(flow)
    os.kill(int(items[0]), signal.SIGKILL)

    assert error.stderr == "oops\n"


# -------------------------------------------------------------------------- ending it


async def stops_early(flow):
    assert await flow.first() == "one"


async def fails(flow):
    with pytest.raises(ZeroDivisionError):
        await flow.collect(lambda line: 1 / 0)


async def is_left(flow):
    async with flow.open() as items:
        async for _ in items:
            break


async def is_cancelled_between_lines(flow):
    with anyio.CancelScope() as scope:
        await (
            flow.on_each(lambda line: scope.cancel())
            .on_each(lambda line: anyio.sleep_forever())
            .collect()
        )
    assert scope.cancelled_caught


async def is_cancelled_as_it_waits(flow):
    async with flow.open() as items:
        await anext(items)
        with anyio.move_on_after(3600) as scope:
            await anext(items)
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    "collection",
    [
        stops_early,
        fails,
        is_left,
        is_cancelled_between_lines,
        is_cancelled_as_it_waits,
    ],
)
async def test_it_is_ended_when_the_collection(started, collection):
    await collection(shell("echo one; exec sleep 1000"))

    assert [process.returncode for process in started] == [-signal.SIGTERM]
    assert started[0].stdout.closed
    assert started[0].stderr.closed


async def test_one_that_has_closed_its_output_is_waited_for_and_ended(started):
    await is_cancelled_as_it_waits(shell("echo one; exec >&-; exec sleep 1000"))

    assert [process.returncode for process in started] == [-signal.SIGTERM]


async def test_one_that_does_not_want_to_end_is_killed(started):
    flow = shell("trap '' TERM; echo one; exec sleep 1000", grace=0.02)

    assert await flow.first() == "one"
    assert [process.returncode for process in started] == [-signal.SIGKILL]


async def test_nothing_is_started_by_a_collection_that_is_cancelled_before(started):
    with anyio.CancelScope() as scope:
        scope.cancel()
        await shell("echo one").collect()

    assert started == []


def test_a_thread_that_comes_too_late_starts_nothing(started):
    process = Process(("sh",), None, None, 1)
    process._close()

    with pytest.raises(OSError, match="cancel"):
        process.open()
    assert started == []


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_it_runs_on_each_event_loop_in_real_time(backend, started):
    assert run(shell("echo one").to_list, backend=backend) == ["one"]
    assert run(shell("echo one; exec sleep 99").first, backend=backend) == "one"
    assert [process.returncode for process in started] == [0, -signal.SIGTERM]


# ------------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: process_lines(), ValueError, "command must name a program"),
        (lambda: process_lines(["ls"]), TypeError, r"command must be .*\['ls'\]"),
        (lambda: process_lines("ls", 3), TypeError, "command must be .*; got 3"),
        (lambda: process_lines("ls", check=1), TypeError, "check must be bool; got 1"),
        (lambda: process_lines("ls", cwd=1), TypeError, "cwd must be str or PathLike"),
        (lambda: process_lines("ls", encoding="no"), ValueError, "encoding must be"),
        (lambda: process_lines("ls", grace=-1), ValueError, "grace must be finite"),
    ],
)
def test_arguments_are_checked_at_the_call(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_flow_of_a_process_reads_like_the_call_that_made_it():
    assert repr(process_lines("ls", "-l").take(3)) == (
        "process_lines('ls', '-l').take(3)"
    )
