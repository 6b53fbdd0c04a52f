"""The ending that acknowledges messages once they have been handled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Self, TypeGuard, TypeVar

from anyio import fail_after

from flowpy._callbacks import awaiting
from flowpy._checks import check_count, check_duration, check_optional_callable
from flowpy._crew import Channel, Crew, first_of
from flowpy._flow import Flow, as_flow
from flowpy._iterating import keep_first
from flowpy.ext.redis._clients import GRACE
from flowpy.ext.redis._messages import Group, Message

if TYPE_CHECKING:
    from types import TracebackType

    from flowpy._types import Duration, Ending, FlowLike

M = TypeVar("M", bound=Message[object] | Sequence[Message[object]])


def acknowledge(
    flow: FlowLike[M],
    fn: Callable[[M], object] | None = None,
    *,
    concurrency: int = 1,
    size: int = 100,
    within: Duration = 1,
) -> Ending[int]:
    """Handle messages and acknowledge each once that is done, many in one command.

    A message is acknowledged after `fn` has returned, or, without `fn`, when it comes
    out of the chain: after all that the chain does with it. One that fails, is being
    handled when the collection is cancelled, or is dropped on the way, is not, and so
    will be delivered again.

        await messages.pipe(acknowledge, handle, concurrency=8)
        await messages.chunked(500, within=2).pipe(acknowledge, insert)

    However the collection ends (the flow's end, an error, a cancellation), what has
    been handled is acknowledged before this returns or raises; for at most 5 seconds,
    if the server does not answer.

    Args:
        flow: Gives messages of `read_group`, or lists of them.
        fn: Handles a message, or a list of them; plain or async.
        concurrency: How many calls of `fn` may run at once; >= 1. Then messages are
            acknowledged as they are done.
        size: How many messages make one acknowledgement, >= 1.
        within: Seconds that a handled message waits for others at most, >= 0.

    Shape: messages in, their number out. The flow runs in a task of its own; in it at
        most `size` items are handled while others are being acknowledged.

    Raises:
        TypeError: at the call, if an argument is of the wrong type; while running, if
            an item is neither a message nor a list of them.
        ValueError: at the call, if a number is too small, or `within` is negative, NaN
            or infinite.
        Exception: while running, that of the flow, of `fn`, or of the client.

    Example:
        >>> run(Flow.of({"n": 1}, {"n": 2}).pipe, write_stream(client, "orders"))
        2
        >>> orders = read_group(client, "orders", group="shops", consumer="one")
        >>> run(acknowledge, orders.take(2), lambda message: print(message.value))
        {'n': b'1'}
        {'n': b'2'}
        2

    Source: flowpy's own; batches as in Kafka's consumers.
    """
    source: Flow[Any] = as_flow(flow)
    check_optional_callable("fn", fn)
    return acknowledged(
        source,
        fn,
        check_count("concurrency", concurrency, 1),
        check_count("size", size, 1),
        check_duration("within", within),
    )


async def acknowledged(
    source: Flow[Any],
    fn: Callable[[Any], object] | None,
    concurrency: int,
    size: int,
    within: float,
) -> int:
    """Do what `acknowledge` says."""
    async with Handled() as handled:
        if fn is None:
            done = source.on_each(handled.add)
        else:
            done = source.map(handled.by(fn), concurrency=concurrency, ordered=False)
        async with Crew("acknowledge") as crew:
            channel: Channel[Any] = crew.channel(size)
            crew.pump(done._open(), channel)
            now = crew.scheduler.now
            due: float | None = None
            while await channel.more(until=due) or not channel.ended:
                channel.take_all()
                if due is None:
                    due = now() + within
                if handled.waiting >= size or now() >= due:
                    await handled.flush()
                    due = None
    return handled.count


class Handled:
    """Messages that have been handled, until they are acknowledged."""

    __slots__ = ("_ids", "count", "waiting")

    def __init__(self) -> None:
        self._ids: dict[Group, list[str]] = {}
        self.waiting = 0
        """How many are to be acknowledged."""
        self.count = 0
        """How many have been handled."""

    def by(self, fn: Callable[[Any], object]) -> Callable[[Any], Awaitable[None]]:
        """Return a function that handles a message and takes note of it."""
        call = awaiting(fn)

        # What it handled counts as soon as `fn` has returned: a result may still wait
        # for its turn in the chain when that is cancelled.
        @wraps(fn)
        async def handle(item: Any) -> None:
            messages = messages_of(item)
            await call(item)
            self._note(messages)

        return handle

    def add(self, item: Any) -> None:
        """Take note that a message, or several of them, has been handled."""
        self._note(messages_of(item))

    def _note(self, messages: Iterable[Message[Any]]) -> None:
        for message in messages:
            self._ids.setdefault(message._group, []).append(message.id)
            self.waiting += 1
            self.count += 1

    async def flush(self) -> None:
        """Acknowledge what is to be."""
        while self._ids:
            await self._acknowledge(next(iter(self._ids)))

    async def _flush_each(self) -> None:
        """Do that for each group, though it fails for another one."""
        error: BaseException | None = None
        for group in tuple(self._ids):
            try:
                await self._acknowledge(group)
            except Exception as late:  # noqa: BLE001 - raised below
                error = first_of(error, late)
        try:
            if error is not None:
                raise error
        finally:
            del error  # or it and this frame would keep each other alive

    async def _acknowledge(self, group: Group) -> None:
        ids = self._ids[group]
        some = len(ids)  # others may be added meanwhile
        await group.acknowledge(ids[:some])
        del ids[:some]
        self.waiting -= some
        if not ids:
            del self._ids[group]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with fail_after(GRACE, shield=True):
                await self._flush_each()
        except Exception as late:  # noqa: BLE001 - noted or raised
            keep_first(error, late)


def messages_of(item: object) -> Sequence[Message[object]]:
    """Return the messages that an item of a flow stands for."""
    several = item if is_several(item) else (item,)
    messages = [each for each in several if is_message(each)]
    if len(messages) < len(several):
        message = (
            "acknowledge takes messages of read_group, or lists of them, which have to "
            f"come out of the chain as they are; got {item!r}"
        )
        raise TypeError(message)
    return messages


def is_several(value: object) -> TypeGuard[Sequence[object]]:
    """Tell whether `value` is a list or a tuple."""
    return isinstance(value, (list, tuple))


def is_message(value: object) -> TypeGuard[Message[object]]:
    """Tell whether `value` is a message."""
    return isinstance(value, Message)
