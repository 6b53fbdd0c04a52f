"""The virtual clocks: the same on asyncio and trio, and never real time."""

from __future__ import annotations

import asyncio
import socket
import time

import anyio
import pytest

from flowpy import Flow
from flowpy.testing import VirtualClockEventLoop, run_virtual, virtual_backend

both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.mark.anyio
async def test_an_hour_passes_in_milliseconds():
    real = time.perf_counter()
    start = anyio.current_time()
    await anyio.sleep(3600)

    assert anyio.current_time() - start == 3600
    assert time.perf_counter() - real < 1


@pytest.mark.anyio
async def test_every_test_begins_at_zero():
    assert anyio.current_time() == 0


@pytest.mark.anyio
async def test_timers_fire_in_order_of_time():
    seen = []

    async def wait(seconds):
        await anyio.sleep(seconds)
        seen.append((seconds, anyio.current_time()))

    async with anyio.create_task_group() as group:
        for seconds in (3, 1, 2, 0.1, 0.3):
            group.start_soon(wait, seconds)

    assert seen == [(s, s) for s in (0.1, 0.3, 1, 2, 3)]


@pytest.mark.anyio
async def test_a_timeout_fires_at_its_virtual_time():
    with pytest.raises(TimeoutError):
        with anyio.fail_after(50):
            await anyio.sleep_forever()

    assert anyio.current_time() == 50


@both
def test_years_pass_without_the_loop_spinning(backend):
    async def main():
        await anyio.sleep(9 * 365 * 86400)  # past 2**28 seconds
        await anyio.sleep(0.001)
        return anyio.current_time()

    assert run_virtual(main, backend) == pytest.approx(9 * 365 * 86400 + 0.001)


@both
@pytest.mark.parametrize("k", range(20))
def test_a_deadline_that_rounding_moves_is_passed(backend, k):
    async def main():
        with anyio.move_on_after(1 / 3 + k * 1e-7) as scope:
            await anyio.sleep_forever()
        return scope.cancelled_caught

    assert run_virtual(main, backend)


@both
def test_what_never_comes_is_a_timeout_and_no_hang(backend):
    real = time.perf_counter()

    with pytest.raises(TimeoutError):
        run_virtual(Flow.never().to_list, backend)
    assert time.perf_counter() - real < 5


@both
def test_a_thread_is_waited_for_up_to_the_threshold(backend):
    async def main():
        with anyio.move_on_after(1000) as scope:
            await anyio.to_thread.run_sync(time.sleep, 0.01)
        return scope.cancelled_caught

    assert run_virtual(main, backend, threshold=0.5) is False


@both
def test_run_virtual_gives_the_result_and_takes_endings(backend):
    assert run_virtual(Flow.interval(3600).take(3).to_list, backend) == [0, 1, 2]


@both
def test_run_virtual_raises_the_very_error(backend):
    boom = LookupError()

    with pytest.raises(LookupError) as caught:
        run_virtual(Flow.fail(boom).to_list, backend)
    assert caught.value is boom


def test_sockets_work_on_the_virtual_loop():
    async def main():
        async def answer(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
        return line

    with asyncio.Runner(loop_factory=VirtualClockEventLoop) as runner:
        assert runner.run(main()) == b"hello\n"


def test_a_socket_can_be_read_and_written_at_once():
    async def main():
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        seen = asyncio.Event()
        with left, right:
            loop.add_reader(left, lambda: None)
            loop.add_writer(left, seen.set)  # a second event for the same socket
            await seen.wait()
            loop.remove_writer(left)
            loop.remove_reader(left)

    with asyncio.Runner(loop_factory=VirtualClockEventLoop) as runner:
        runner.run(main())


@pytest.mark.parametrize("backend", ["uvloop", "curio"])
def test_a_loop_whose_clock_is_its_own_is_refused(backend):
    with pytest.raises(ValueError, match=f"backend must be .*; got '{backend}'"):
        virtual_backend(backend)


@pytest.mark.parametrize("threshold", [-1, float("nan"), float("inf")])
def test_a_wrong_threshold_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold must be"):
        run_virtual(Flow.empty().to_list, threshold=threshold)


def test_the_fixture_runs_a_users_test_on_both_backends(pytester):
    pytest.importorskip("trio")
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def anyio_backend(virtual_anyio_backend):
            return virtual_anyio_backend
        """
    )
    pytester.makepyfile(
        """
        import anyio
        import pytest

        @pytest.mark.anyio
        async def test_an_hour():
            await anyio.sleep(3600)
            assert anyio.current_time() == 3600
        """
    )
    result = pytester.runpytest_subprocess("-q")

    result.assert_outcomes(passed=2)
