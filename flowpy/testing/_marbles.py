"""Flows that play marble diagrams, and what a flow did as a diagram.

What happens in one frame happens in a fixed order on every event loop, by tiny shifts
in time: trio shuffles tasks that wake at the same instant on purpose.
"""

from __future__ import annotations

from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import anyio

from flowpy._checks import (
    check_callable,
    check_number,
    check_optional_count,
    check_period,
)
from flowpy._flow import Flow
from flowpy._scheduler import in_event_loop
from flowpy.testing._clock import check_virtual
from flowpy.testing._timeline import (
    SIGNS,
    Errors,
    Event,
    Kind,
    Names,
    Timeline,
    Values,
    diagram,
    difference,
    draw,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from flowpy._types import Duration, FlowLike

# In frames. An event of frame k comes a little earlier than a timer that is due then,
# and the earlier the later k is: so it also comes before a timer that was started by an
# event of an earlier frame. Of the diagrams that have one in the same frame, the one
# that was made first is first. The second shift stays below the first.
_EARLY = 1e-5
_LATER = 1e-11
_DIAGRAMS = 1_000_000

_OFF = 0.01
"""How far from a frame something may come, in frames."""

_HORIZON = 10_000
"""Frames after which a flow that has not ended is taken not to end."""

_MORE = 10
"""Items more than expected after which a wrong flow has been watched long enough."""

_numbers = count()


class Marbles:
    """An async iterable that plays a diagram, and logs its collections."""

    def __init__(
        self, timeline: Timeline, start: float | None, *, is_hot: bool
    ) -> None:
        self.timeline = timeline
        self.log: list[tuple[float, Kind]] = []
        self._start = start
        self._is_hot = is_hot
        self._number = next(_numbers)
        self._collections = 0

    def come_last(self) -> int:
        """Come after the diagrams that there are so far; return the log's length."""
        self._number = next(_numbers)
        return len(self.log)

    def _zero(self, now: float) -> float:
        """Return when frame 0 of a collection that starts now is, or was."""
        if not self._is_hot:
            return now
        if self._start is None:
            self._start = now
        return self._start

    async def __aiter__(self) -> AsyncGenerator[Any, None]:
        began = anyio.current_time()
        self.log.append((began, "start"))
        # A second collection at the same time comes after the first one.
        number = next(_numbers) if self._collections else self._number
        self._collections += 1
        zero = self._zero(began)
        later = number % _DIAGRAMS * _LATER
        try:
            for event in self.timeline.events:
                frames = event.frame * (1 - _EARLY) + later
                due = zero + frames * self.timeline.frame
                now = anyio.current_time()
                if now < due:
                    await anyio.sleep_until(due)
                elif self._is_hot and due < began and event.kind == "item":
                    continue
                if event.kind == "end":
                    return
                if event.kind == "error":
                    raise _error_of(event)
                yield event.value
            await anyio.sleep_forever()
        finally:
            self._collections -= 1
            self.log.append((anyio.current_time(), "stop"))


def _error_of(event: Event) -> Exception:
    error: Any = event.value
    fresh: Exception = error() if isinstance(error, type) else error
    # Without the frames of earlier collections, which would pile up on it.
    return fresh.with_traceback(None)


def _player_of(flow: Flow[Any]) -> Marbles | None:
    """Return what plays the diagram that a flow was made of."""
    _, values = flow._parts()
    source = values[0][0] if values[0] else None
    return source if isinstance(source, Marbles) else None


def marbles(
    diagram: str | Timeline,
    *,
    values: Values | None = None,
    errors: Errors | None = None,
    frame: Duration = 1,
) -> Flow[Any]:
    """Make a cold flow that plays a diagram: frame 0 is when a collection starts.

    What was not pulled in time comes as soon as it is pulled; the frames of what
    follows don't move by that. Without an end the flow goes on for ever.

    Args:
        diagram: A marble diagram, in the notation that `flowpy.testing` describes, or
            a timeline.
        values: What the names of items stand for: a mapping, in which those left out
            stand for themselves, or a function of the name.
        errors: Which names stand for errors: exceptions, which are raised themselves,
            or classes, of which each collection raises an instance. Left out, `#`
            stands for `MarbleError`.
        frame: The length of a frame, in seconds or a timedelta; > 0.

    Shape: the items of the diagram, in their frames; any number of collections.

    Raises:
        ValueError: at the call, if `diagram` is none; it names the position.
        TypeError: at the call, if one of `errors` is no exception.

    Example:
        >>> run_virtual(marbles("1-2--|", values=int).sum)
        3

    Source: RxJS `cold`.
    """
    timeline = _played(diagram, values, errors, frame)
    return Flow(Marbles(timeline, None, is_hot=False))


def hot(
    diagram: str | Timeline,
    *,
    values: Values | None = None,
    errors: Errors | None = None,
    frame: Duration = 1,
) -> Flow[Any]:
    """Make a flow whose items come whether or not it is being collected.

    Frame 0 is the moment of this call or, if no event loop is running then, that of
    the first collection. A collection that starts later misses the items before it,
    but not the end or the error.

    Args:
        diagram: A marble diagram, or a timeline.
        values: What the names of items stand for, as in `marbles`.
        errors: Which names stand for errors, as in `marbles`.
        frame: The length of a frame, in seconds or a timedelta; > 0.

    Shape: the items of the diagram from the start of the collection on.

    Raises:
        ValueError: at the call, if `diagram` is none; it names the position.
        TypeError: at the call, if one of `errors` is no exception.

    Example:
        >>> async def main():
        ...     numbers = hot("1-2-3-4|")
        ...     await anyio.sleep(3)
        ...     return await numbers.to_list()
        >>> run_virtual(main)
        ['3', '4']

    Source: RxJS `hot`.
    """
    timeline = _played(diagram, values, errors, frame)
    start = anyio.current_time() if in_event_loop() else None
    return Flow(Marbles(timeline, start, is_hot=True))


def _played(
    text: str | Timeline,
    values: Values | None,
    errors: Errors | None,
    frame: Duration,
) -> Timeline:
    """Return a diagram that can be played."""
    timeline = text
    if not isinstance(timeline, Timeline):
        timeline = diagram(timeline, values=values, errors=errors, frame=frame)
    for event in timeline.events:
        if event.kind in {"start", "stop"}:
            message = f"a source neither starts nor stops; got {event} of {str(text)!r}"
            raise ValueError(message)
    return timeline


# -------------------------------------------------------------------- recording

_Seen = tuple[float, Kind, Any]
"""When something happened, and what: the item or the error."""


def _timeline(seen: list[_Seen], zero: float, frame: float, names: Names) -> Timeline:
    """Return in frames what was seen in seconds."""
    events: list[Event] = []
    for time, kind, value in sorted(seen, key=itemgetter(0)):
        frames = (time - zero) / frame
        nearest = round(frames)
        if kind == "item":
            event = names.item(nearest, value)
        elif kind == "error":
            event = names.error(nearest, value)
        else:
            event = Event(nearest, kind, name=SIGNS[kind])
        if abs(frames - nearest) > _OFF + nearest * _EARLY:
            message = (
                f"between two frames, after {frames:.3f} of them: {event.what}; "
                "choose a frame of which all times are multiples"
            )
            raise AssertionError(message)
        events.append(event)
    return Timeline(tuple(events), frame, max((e.frame + 1 for e in events), default=0))


async def _watch(
    flow: Flow[Any], seen: list[_Seen], *, last: float, most: int | None, pause: float
) -> bool:
    """Collect a flow and add to `seen` what comes; return whether time ran out.

    Args:
        flow: What to collect.
        seen: What came, the consumer's own stop after `most` items included.
        last: When to cancel the collection.
        most: How many items to take.
        pause: How many seconds to take for each of them.
    """

    def note(kind: Kind, value: object = None) -> None:
        seen.append((anyio.current_time(), kind, value))

    with anyio.CancelScope(deadline=last) as scope:
        try:
            async with flow.open() as items:
                async for item in items:
                    note("item", item)
                    if len(seen) == most:
                        note("stop")
                        break
                    if pause:
                        await anyio.sleep(pause)
                else:
                    note("end")
        except Exception as error:  # noqa: BLE001 - that is what came
            note("error", error)
    return scope.cancel_called


async def record(
    flow: Flow[Any],
    *,
    until: int | None = None,
    pause: float = 0,
    values: Values | None = None,
    errors: Errors | None = None,
    frame: Duration = 1,
) -> Timeline:
    """Collect a flow and return as a timeline what it did.

    Args:
        flow: The flow; frame 0 is when its collection starts.
        until: The frame in which the collection is cancelled, which the timeline
            shows as `!`. Left out, a flow that has not ended is watched for 10,000
            frames.
        pause: How many frames the consumer takes for each item.
        values: What names items have: a mapping from a name to a value. Others are
            drawn as they print.
        errors: What names errors have. Others are drawn as `#`.
        frame: The length of a frame, in seconds or a timedelta; > 0.

    Raises:
        AssertionError: if something came between two frames.
        ValueError: at the await, if `frame` is not longer than 0, `until` or `pause`
            is negative.

    Example:
        >>> print(run_virtual(lambda: record(Flow.interval(2).take(3))))
        0-1-(2|)
        >>> async def main():
        ...     got = await record(Flow.interval(2).map(str), until=5)
        ...     assert got == diagram("0-1-2!")
        >>> run_virtual(main)

    Source: reactivex `TestScheduler.start`, whose records are (time, notification).
    """
    seconds = check_period("frame", frame)
    check_optional_count("until", until)
    names = Names(values, errors)
    return await _record(flow, names, seconds, stop=until, most=None, pause=pause)


async def _record(
    flow: Flow[Any],
    names: Names,
    frame: float,
    *,
    stop: int | None,
    most: int | None,
    pause: float,
) -> Timeline:
    wait = check_number("pause", pause) * frame
    seen: list[_Seen] = []
    zero = anyio.current_time()
    last = zero + (_HORIZON if stop is None else stop) * frame
    # A little later, so that what is due in that frame comes first.
    late = await _watch(flow, seen, last=last + _OFF / 2 * frame, most=most, pause=wait)
    if late and stop is not None:
        seen.append((last + _OFF / 2 * frame, "stop", None))
    return _timeline(seen, zero, frame, names)


# -------------------------------------------------------------------- asserting


async def assert_marbles(
    build: Callable[..., FlowLike[Any]],
    *inputs: str | Flow[Any],
    expected: str,
    collected: str | Sequence[str | None] | None = None,
    pause: float = 0,
    values: Values | None = None,
    errors: Errors | None = None,
    frame: Duration = 1,
) -> None:
    """Check in virtual time that a flow made of diagrams does what a diagram says.

    Args:
        build: Makes the flow from the inputs, each of them a flow.
        inputs: Diagrams, played as `marbles` does, or flows, such as `hot(...)`.
            What they do in the same frame happens in their order.
        expected: What the flow is to do, from the start of its collection. `!` is
            where the consumer stops: `(b!)` by a `break` as b arrives, `!` alone by
            being cancelled while it waits. Without an end or a stop, nothing more may
            come for 10,000 frames.
        collected: When the inputs are to be collected, one diagram for each, None for
            those that don't matter: `^` where a collection starts, `!` where it has
            been closed. With one input, its diagram.
        pause: How many frames the consumer takes for each item.
        values: What the names of items stand for, in all diagrams: a mapping, in
            which those left out stand for themselves, or a function of the name.
        errors: Which names stand for errors, in all diagrams: exceptions, of which
            that very object is expected, or classes, of which any instance is. Left
            out, `#` stands for `MarbleError`.
        frame: The length of a frame, in seconds or a timedelta; > 0.

    Raises:
        AssertionError: if it does something else; the message draws the diagrams one
            under the other. Also if something came between two frames.
        ValueError: at the await, if a diagram is none; it names the position. Also if
            there are not as many diagrams in `collected` as inputs.
        TypeError: at the await, if one of `errors` is no exception.
        RuntimeError: at the await, if the event loop's clock is not a virtual one.

    Example:
        In a test in virtual time; from plain code with `run_virtual`:

        >>> async def test():
        ...     await assert_marbles(
        ...         lambda a, b: a.zip(b).map("".join),
        ...         "a-b---c|",
        ...         "---x-y--|",
        ...         expected="---'ax'-'by'--|",
        ...         collected=["^-------!", "^-------!"],
        ...     )
        >>> run_virtual(test)

        >>> try:
        ...     run_virtual(
        ...         lambda: assert_marbles(
        ...             lambda a: a.take(2), "a-b-c|", expected="a-b-|"
        ...         )
        ...     )
        ... except AssertionError as error:
        ...     print(error)
        expected the end in frame 4; got the end in frame 2
        input 1   a-b   -c|
        expected  a-b   -|
        got       a-(b|)

    Source: RxJS `TestScheduler` (`expectObservable`, `expectSubscriptions`); a group
        takes one frame, as in Swift's AsyncSequenceValidation.
    """
    __tracebackhide__ = True  # pytest shows the test's line instead
    check_virtual("assert_marbles")
    check_callable("build", build)
    seconds = check_period("frame", frame)
    names = Names(values, errors)

    def read(text: str) -> Timeline:
        return diagram(text, values=values, errors=errors, frame=seconds)

    wanted = _expected(read(expected))
    sources = [
        marbles(read(each)) if isinstance(each, str) else each for each in inputs
    ]
    players = [_player_of(each) for each in sources]
    spans = [
        None if each is None else read(each) for each in _spans(collected, players)
    ]
    zero = anyio.current_time()
    stop, most = _stop_of(wanted)
    before = [player.come_last() if player else 0 for player in players]
    flow = Flow(build(*sources))
    got = await _record(flow, names, seconds, stop=stop, most=most, pause=pause)
    rows = {
        f"input {k}": player.timeline for k, player in enumerate(players, 1) if player
    }
    rows |= {"expected": wanted, "got": got}
    fault = difference(wanted.events, got.events)
    faults = [fault] if fault else []
    for k, (span, player) in enumerate(zip(spans, players, strict=True)):
        if span is not None and player is not None:
            log: list[_Seen] = [(t, kind, None) for t, kind in player.log[before[k] :]]
            was = _timeline(log, zero, seconds, names)
            fault = difference(span.events, was.events)
            if fault:
                faults.append(f"input {k + 1} was collected otherwise: {fault}")
                rows |= {f"collected {k + 1}": span, f"got {k + 1}": was}
    if faults:
        raise AssertionError("\n".join([*faults, draw(rows)]))


def _expected(timeline: Timeline) -> Timeline:
    """Return what is expected, if a flow and a consumer can do that."""
    for event in timeline.events:
        if event.kind == "start" or (
            event.kind == "stop" and event is not timeline.events[-1]
        ):
            message = (
                "expected must be items, then an end, an error or a stop; "
                f"got {event} of {str(timeline)!r}"
            )
            raise ValueError(message)
    return timeline


def _stop_of(wanted: Timeline) -> tuple[int | None, int]:
    """Return in which frame the consumer stops, and after how many items."""
    frames = [event.frame for event in wanted.events if event.kind == "item"]
    enough = len(frames) + _MORE
    if not wanted.events or wanted.events[-1].kind != "stop":
        return None, enough
    stop = wanted.events[-1].frame
    return stop, len(frames) if frames and frames[-1] == stop else enough


def _spans(
    collected: str | Sequence[str | None] | None, players: list[Marbles | None]
) -> Sequence[str | None]:
    """Return when each input is to be collected."""
    if collected is None:
        return [None] * len(players)
    spans = [collected] if isinstance(collected, str) else collected
    if len(spans) != len(players):
        message = f"collected must be {len(players)} diagrams, as inputs are"
        raise ValueError(f"{message}; got {collected!r}")
    for span, player in zip(spans, players, strict=True):
        if span is not None and player is None:
            message = "collected must be None for inputs that play no diagram"
            raise ValueError(f"{message}; got {span!r}")
    return spans
