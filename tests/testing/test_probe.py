"""The probe: what a test may ask, and what it is told when it is wrong."""

from __future__ import annotations

import anyio
import pytest

from flowpy import Flow
from flowpy.testing import MarbleError, marbles, probe

pytestmark = pytest.mark.anyio
BOOM = LookupError("boom")


async def test_items_and_the_end_are_asked_for_one_by_one():
    async with probe(marbles("a-b-|")) as p:
        assert await p.next_item() == "a"
        assert await p.next_item() == "b"
        await p.expect_end()


async def test_an_error_is_returned_as_it_came():
    async with probe(Flow.of(1).concat(Flow.fail(BOOM))) as p:
        assert await p.next_item() == 1
        assert await p.expect_error(LookupError) is BOOM


async def test_silence_lasts_until_just_before_an_event():
    async with probe(marbles("<10>a<10>|")) as p:
        await p.expect_no_events(10)
        assert await p.next_item() == "a"
        assert anyio.current_time() == pytest.approx(10, abs=1e-3)
        await p.expect_no_events(5)
        await p.expect_no_events(5)
        await p.expect_end()


async def test_silence_is_broken_by_what_comes():
    with pytest.raises(
        AssertionError, match=r"^expected nothing for 10 s, and after 9 s; got item 'a'"
    ):
        async with probe(marbles("---------a")) as p:
            await p.expect_no_events(10)


async def test_silence_now_lets_run_what_can_run():
    with pytest.raises(AssertionError, match=r"^expected nothing, and .*; got item 1$"):
        async with probe(Flow.of(1)) as p:
            await p.expect_no_events()


async def test_silence_now_is_kept_by_what_waits():
    async with probe(marbles("-a|")) as p:
        await p.expect_no_events()
        assert await p.next_item() == "a"
        await p.expect_end()


async def test_what_waits_to_be_asked_for_breaks_the_silence():
    async with probe(Flow.of(1, 2)) as p:
        assert await p.next_item() == 1
        with pytest.raises(AssertionError, match="got item 2"):
            await p.expect_no_events(1)
        assert await p.next_item() == 2
        await p.expect_end()


async def test_a_wrong_event_is_named():
    cases = [
        (Flow.empty(), lambda p: p.next_item(), "an item; got the end"),
        (Flow.of(None), lambda p: p.expect_end(), "the end; got item None"),
        (
            Flow.empty(),
            lambda p: p.expect_error(OSError),
            "an error of type OSError; got the end",
        ),
        (
            Flow.of(OSError()),
            lambda p: p.expect_error(OSError),
            r"an error of type OSError; got item OSError\(\)",
        ),
    ]
    for flow, ask, text in cases:
        with pytest.raises(AssertionError, match=f"^expected {text}$"):
            async with probe(flow) as p:
                await ask(p)


async def test_an_error_that_was_not_expected_is_the_cause_of_the_failure():
    with pytest.raises(AssertionError, match="got error LookupError") as caught:
        async with probe(Flow.fail(BOOM)) as p:
            await p.expect_error(OSError)

    assert caught.value.__cause__ is BOOM


async def test_an_event_that_does_not_come_in_time_is_a_failure():
    with pytest.raises(
        AssertionError, match=r"^expected the end; nothing came within 60 s$"
    ):
        async with probe(Flow.never()) as p:
            await p.expect_end()

    assert anyio.current_time() == pytest.approx(60)


async def test_the_timeout_can_be_set():
    async with probe(marbles("<2h>a|"), timeout=7300) as p:
        assert await p.next_item() == "a"
        await p.expect_end()


async def test_events_that_nobody_asked_for_are_a_failure():
    with pytest.raises(AssertionError) as caught:
        async with probe(Flow.of(1, "b").concat(Flow.fail(BOOM))):
            await anyio.sleep(1)

    assert str(caught.value) == (
        "the probe was left before these were asked for: item 1, item 'b', "
        "error LookupError('boom') (ignore_rest=True leaves them out)"
    )
    assert caught.value.__cause__ is BOOM


async def test_events_that_nobody_asked_for_may_be_ignored():
    async with probe(marbles("ab|"), ignore_rest=True) as p:
        assert await p.next_item() == "a"


async def test_what_the_block_raises_comes_out_as_it_is():
    closed = []
    with pytest.raises(LookupError) as caught:  # noqa: PT012 - the block is the test
        async with probe(Flow.never().on_completion(closed.append)):
            await anyio.sleep(1)
            raise BOOM

    assert caught.value is BOOM
    assert len(closed) == 1


async def test_an_exit_of_the_program_comes_out_as_it_is():
    with pytest.raises(SystemExit):
        async with probe(Flow.never()):
            raise SystemExit


async def test_a_cancelled_block_closes_the_flow():
    closed = []
    with anyio.move_on_after(1) as scope:
        async with probe(Flow.never().on_completion(closed.append)):
            await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert len(closed) == 1


async def test_stopping_closes_the_flow_and_keeps_what_came():
    closed = []
    source = marbles("a<20>b").on_completion(closed.append)
    async with probe(source) as p:
        await anyio.sleep(1)
        await p.stop()

        assert len(closed) == 1
        assert await p.next_item() == "a"
        await p.expect_no_events(100)


async def test_an_error_while_closing_is_an_event():
    async def fail(_):
        raise BOOM

    with pytest.raises(AssertionError, match="error LookupError") as caught:
        async with probe(Flow.never().on_completion(fail)):
            await anyio.sleep(1)

    assert caught.value.__cause__ is BOOM


async def test_two_probes_run_side_by_side():
    async with probe(marbles("-a|")) as p, probe(marbles("--#")) as q:
        assert await p.next_item() == "a"
        await q.expect_error(MarbleError)
        await p.expect_end()


async def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="timeout must be longer than 0; got 0"):
        async with probe(Flow.empty(), timeout=0):
            pass
    async with probe(Flow.never()) as p:
        with pytest.raises(TypeError, match="kind must be subclasses of Exception"):
            await p.expect_error(KeyboardInterrupt)
        with pytest.raises(ValueError, match="seconds must be finite"):
            await p.expect_no_events(-1)
