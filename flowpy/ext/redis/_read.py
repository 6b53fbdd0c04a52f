"""Sources: the messages of a consumer group, and streams that are just read."""

from __future__ import annotations

import logging
import re
from collections import deque
from contextlib import suppress
from math import ceil, inf
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, overload

from anyio import move_on_after

from flowpy._callbacks import check_plain, itself
from flowpy._checks import (
    check_count,
    check_period,
    check_type,
)
from flowpy._flow import made
from flowpy._operator import names_of, operator
from flowpy._scheduler import current_scheduler
from flowpy.ext.redis._clients import GRACE, commands_of
from flowpy.ext.redis._messages import Entry, Group, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flowpy._flow import Flow
    from flowpy._types import Duration, Items
    from flowpy.ext.redis._clients import Client, Commands, Fields

T = TypeVar("T")

_log = logging.getLogger("flowpy")

OFTEN = 3
"""Deliveries of a message from which on the log speaks of it."""

# -------------------------------------------------------------------- consumer groups


@overload
def read_group(
    client: Client,
    *keys: str,
    group: str,
    consumer: str,
    decode: None = None,
    size: int = 100,
    block: Duration = 1,
    claim_after: Duration | None = 60,
    start: str = "0",
    create: bool = True,
) -> Flow[Message[Fields]]: ...
@overload
def read_group(
    client: Client,
    *keys: str,
    group: str,
    consumer: str,
    decode: Callable[[Fields], T],
    size: int = 100,
    block: Duration = 1,
    claim_after: Duration | None = 60,
    start: str = "0",
    create: bool = True,
) -> Flow[Message[T]]: ...
def read_group(
    client: Client,
    *keys: str,
    group: str,
    consumer: str,
    decode: Callable[[Fields], Any] | None = None,
    size: int = 100,
    block: Duration = 1,
    claim_after: Duration | None = 60,
    start: str = "0",
    create: bool = True,
) -> Flow[Message[Any]]:
    """Read the messages of Redis Streams as a consumer of a group, at least once.

    Each message goes to one consumer of the group, and stays with the server until it
    has been acknowledged: with `acknowledge`, which ends a chain and does it once a
    message has been handled, or with `await message.ack()`.

        async with coredis.Redis() as client:
            jobs = read_group(client, "jobs", group="mailers", consumer="mailer-1")
            await jobs.pipe(acknowledge, send_mail)

    What was delivered and not acknowledged is delivered again, marked as
    `message.redelivered`, with the count of its `deliveries`: to the same consumer when
    it is collected again, before anything new; or, once it has been idle for
    `claim_after` seconds, to whichever consumer asks first, since its own has died, or
    failed to handle it. A message that always fails would come for ever: `flowpy` logs
    a warning from the third delivery on, and whoever handles it can put it aside by the
    count. (A consumer that is killed has had its whole batch delivered, so others of it
    may have been counted too: try a message before it is put aside.)

    To stop in order, end the flow above what handles its messages, such as with
    `take_until(stop.wait)`: the message in flight is finished and acknowledged. However
    a collection ends, messages that have not been passed on are given back: others may
    have them at once, and it does not count as a delivery.

    Args:
        client: One of coredis, on asyncio and trio, or of redis-py (`redis.asyncio`),
            on asyncio. It is used, not closed. One that decodes responses fails at
            bytes that are no text.
        keys: The names of the streams.
        group: The name of the group.
        consumer: The name of this consumer: another one for each that runs at the same
            time, the same one after a restart.
        decode: Makes the `value` of a message from its fields, a dict of str to bytes,
            when it is first looked at; plain. Left out, the value is that dict.
        size: How many messages to ask for at once, of each stream; >= 1.
        block: Seconds to wait for messages in one call, > 0; less than after which the
            client gives up a call.
        claim_after: Seconds after which a message that was not acknowledged is taken
            over, > 0; None for never. More than it takes to handle and acknowledge one,
            or it may be handled twice; those that still wait here are not taken by
            others. The same for all consumers of the group.
        start: Where a group begins that is not there yet: an id, `"0"` for the first
            message, `"$"` for the next one.
        create: Whether to make the group, and the streams, where they are not there.

    Shape: messages in the order of their stream, those delivered again first; has no
        end. Holds `size` messages of each stream. A failed command ends it, and
        `retry` begins where it was.

    Raises:
        TypeError: at the call, if an argument is of the wrong type, a client that is
            not async included.
        ValueError: at the call, if no stream is named, a name is empty, or `size`, a
            time or `start` is not as said above.
        RuntimeError: while running, if a client of redis-py is used on trio.
        Exception: while running, those of the client, if a command fails.

    Example:
        >>> jobs = read_group(client, "jobs", group="mailers", consumer="one")
        >>> run(
        ...     Flow.of({"to": "ann"}, {"to": "bob"}).pipe, write_stream(client, "jobs")
        ... )
        2
        >>> run(jobs.map(lambda message: message.value).take(2).to_list)
        [{'to': b'ann'}, {'to': b'bob'}]
        >>> again = run(jobs.first)  # nothing has been acknowledged
        >>> again.value, again.redelivered, again.deliveries
        ({'to': b'ann'}, True, 2)

    Source: Redis XREADGROUP, XPENDING and XCLAIM; `claim_after` is the visibility
    timeout of SQS.
    """
    commands = commands_of(client)
    check_keys(keys)
    check_name("group", group)
    check_name("consumer", consumer)
    check_decode(decode)
    check_start(start)
    check_type("create", create, bool)
    place = Place(commands, keys, group, consumer)
    options = Options(
        decode or itself,
        check_count("size", size, 1),
        check_period("block", block),
        inf if claim_after is None else check_period("claim_after", claim_after),
        start if create else None,
    )
    return made((delivered,), ((place, options),))


class Place(NamedTuple):
    """Who reads what."""

    commands: Commands
    keys: tuple[str, ...]
    group: str
    consumer: str


class Options(NamedTuple):
    """How it is read."""

    decode: Callable[[Fields], Any]
    size: int
    block: float
    claim_after: float
    create_at: str | None


def describe_group(place: Place, options: Options) -> str:
    """Return how a flow of messages reads."""
    parts = ["client", *names_of(place.keys)]
    parts += [f"group={place.group!r}", f"consumer={place.consumer!r}"]
    return f"read_group({', '.join(parts)})"


@operator(show=describe_group)
async def delivered(place: Place, options: Options) -> Items[Message[Any]]:
    async with Consumer(place, options) as consumer:
        await consumer.begin()
        unread = consumer.unread
        while True:
            await consumer.fetch()
            while unread:
                yield unread.popleft()
                if unread and consumer.is_slow():
                    await consumer.keep()


class Round:
    """A search for messages of a stream that were delivered and not acknowledged."""

    __slots__ = ("consumer", "group", "idle", "start")

    def __init__(self, group: Group, consumer: str | None, idle: int | None) -> None:
        self.group = group
        self.consumer = consumer
        """Whose; None for those of any consumer."""
        self.idle = idle
        """For how many milliseconds, at least."""
        self.start = "-"
        """Where to go on."""


class Consumer:
    """What one collection of a group's messages knows."""

    __slots__ = (
        "_claim_at",
        "_commands",
        "_fetched_at",
        "_groups",
        "_now",
        "_options",
        "_place",
        "_rounds",
        "unread",
    )

    def __init__(self, place: Place, options: Options) -> None:
        self._place = place
        self._options = options
        self._commands = place.commands
        self._groups = {
            key: Group(place.commands, key, place.group) for key in place.keys
        }
        self._now = current_scheduler().now
        self._claim_at = self._fetched_at = self._now()
        # First its own messages, as they may be of this consumer before a restart.
        self._rounds = deque(
            Round(group, place.consumer, None) for group in self._groups.values()
        )
        self.unread: deque[Message[Any]] = deque()
        """What has been delivered and not been passed on."""

    async def begin(self) -> None:
        """Make what is not there."""
        self._commands.check()
        if self._options.create_at is not None:
            for group in self._groups.values():
                await self._commands.create_group(
                    group.key, group.name, self._options.create_at
                )

    async def fetch(self) -> None:
        """Wait until there are messages to pass on."""
        while not self.unread:
            if not self._rounds and self._now() >= self._claim_at:
                self._begin_to_claim()
            if self._rounds:
                await self._search(self._rounds[0])
            else:
                await self._read()

    def is_slow(self) -> bool:
        """Tell whether others might soon take what waits here for forgotten."""
        return self._now() - self._fetched_at >= self._options.claim_after / 2

    async def keep(self) -> None:
        """Have nobody take what waits here, and drop what somebody has taken."""
        waiting, idle = list(self.unread), self._held_for()
        now = self._now()
        held: set[tuple[str, str]] = set()
        for key in self._groups:
            ids = [message.id for message in waiting if message.key == key]
            if ids:
                kept = await self._commands.keep(
                    key, self._place.group, self._place.consumer, idle, ids
                )
                held |= {(key, id) for id in kept}
        self._fetched_at = now
        self.unread.clear()
        self.unread += [x for x in waiting if (x.key, x.id) in held]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        if self.unread:
            # Without it they would come again too, only later.
            with suppress(Exception), move_on_after(GRACE, shield=True):
                await self._give_back()

    async def _give_back(self) -> None:
        """Have others take what waits here at once, as if it had not been delivered."""
        after = self._options.claim_after
        several: dict[tuple[str, int], list[str]] = {}
        for message in self.unread:
            several.setdefault((message.key, message.deliveries), []).append(message.id)
        for (key, deliveries), ids in several.items():
            await self._commands.give_back(
                key,
                self._place.group,
                self._place.consumer,
                self._held_for(),
                ids,
                idle_then=milliseconds(after) if after < inf else None,
                deliveries=deliveries - 1,
            )

    def _held_for(self) -> int:
        """Return for how many milliseconds at least nobody has taken what waits here.

        Who takes a message does so once it has been idle for `claim_after`: then it has
        been so for less than this.
        """
        held = self._now() - self._fetched_at - self._options.claim_after / 2
        return int(max(held, 0) * 1000)

    def _begin_to_claim(self) -> None:
        after = self._options.claim_after
        self._claim_at = self._now() + after / 2
        if after < inf:
            idle = milliseconds(after)
            self._rounds += [Round(each, None, idle) for each in self._groups.values()]

    async def _search(self, search: Round) -> None:
        """Have some messages delivered again."""
        key, name = search.group.key, search.group.name
        size = self._options.size
        rows = await self._commands.pending(
            key, name, search.start, size, consumer=search.consumer, idle=search.idle
        )
        if len(rows) < size:
            self._rounds.popleft()
        else:
            search.start = f"({rows[-1].id}"
        if not rows:
            return
        # One that another consumer takes meanwhile is not that idle any more.
        idle = min(row.idle for row in rows)
        deliveries = {row.id: row.deliveries + 1 for row in rows}
        self._fetched_at = self._now()
        found = await self._commands.claim(
            key, name, self._place.consumer, idle, deliveries
        )
        self.unread += [
            Message(search.group, id, fields, self._options.decode, deliveries[id])
            for id, fields in found
        ]
        await self._tell(search.group, deliveries)

    async def _tell(self, group: Group, deliveries: dict[str, int]) -> None:
        """Log what should not happen again and again, and what is lost."""
        often = sum(message.deliveries >= OFTEN for message in self.unread)
        if often:
            worst = max(self.unread, key=lambda message: message.deliveries)
            _log.warning(
                "read_group: message %s of %r has been delivered %d times; "
                "in all, %d of the batch %d times or more",
                worst.id,
                group.key,
                worst.deliveries,
                often,
                OFTEN,
            )
        missing = deliveries.keys() - {message.id for message in self.unread}
        for id in sorted(missing):
            if not await self._commands.has(group.key, id):
                _log.warning(
                    "read_group: message %s of %r was deleted from the stream before it was acknowledged",
                    id,
                    group.key,
                )

    async def _read(self) -> None:
        """Wait for new messages, but no longer than until it is time to claim others."""
        wait = min(self._options.block, self._claim_at - self._now())
        found = await self._commands.read_group(
            self._place.group,
            self._place.consumer,
            self._groups,
            self._options.size,
            milliseconds(wait),
        )
        self._fetched_at = self._now()
        for key, own in found:
            group = self._groups[key]
            self.unread += [
                Message(group, id, fields, self._options.decode) for id, fields in own
            ]


# --------------------------------------------------------------------- plain reading


@overload
def read_stream(
    client: Client,
    *keys: str,
    decode: None = None,
    size: int = 100,
    block: Duration = 1,
    start: str = "0",
) -> Flow[Entry[Fields]]: ...
@overload
def read_stream(
    client: Client,
    *keys: str,
    decode: Callable[[Fields], T],
    size: int = 100,
    block: Duration = 1,
    start: str = "0",
) -> Flow[Entry[T]]: ...
def read_stream(
    client: Client,
    *keys: str,
    decode: Callable[[Fields], Any] | None = None,
    size: int = 100,
    block: Duration = 1,
    start: str = "0",
) -> Flow[Entry[Any]]:
    """Read the entries of Redis Streams: those that are there, then each as it comes.

    Whoever reads sees all of them; nothing is acknowledged, and the server keeps no
    record. A program that goes on where it was keeps the `id` of the last entry.

    Args:
        client: As for `read_group`.
        keys: The names of the streams; they need not be there yet.
        decode: As for `read_group`.
        size: How many entries to ask for at once, of each stream; >= 1.
        block: As for `read_group`.
        start: The id behind which each collection begins: `"0"` for all entries, `"$"`
            for those that come from then on.

    Shape: entries in the order of their stream; has no end. Holds `size` entries of
        each stream.

    Raises:
        TypeError: at the call, as for `read_group`.
        ValueError: at the call, as for it.
        RuntimeError: while running, if a client of redis-py is used on trio.
        Exception: while running, those of the client, if a command fails.

    Example:
        >>> run(Flow.of({"n": 1}, {"n": 2}).pipe, write_stream(client, "numbers"))
        2
        >>> numbers = read_stream(client, "numbers", decode=lambda x: int(x["n"]))
        >>> run(numbers.map(lambda entry: entry.value).take(2).to_list)
        [1, 2]

    Source: Redis XREAD.
    """
    commands = commands_of(client)
    check_keys(keys)
    check_decode(decode)
    check_start(start)
    size = check_count("size", size, 1)
    seconds = check_period("block", block)
    return made(
        (entries_of,), ((commands, keys, start, decode or itself, size, seconds),)
    )


def describe_stream(_: Commands, keys: tuple[str, ...], *__: object) -> str:
    """Return how a flow of entries reads."""
    return f"read_stream({', '.join(['client', *names_of(keys)])})"


@operator(show=describe_stream)
async def entries_of(
    commands: Commands,
    keys: tuple[str, ...],
    start: str,
    decode: Callable[[Fields], Any],
    size: int,
    block: float,
) -> Items[Entry[Any]]:
    commands.check()
    positions = dict.fromkeys(keys, start)
    if start == "$":  # said to the server again and again, it would miss some
        positions = {key: await commands.last_id(key) for key in keys}
    while True:
        found = await commands.read(positions, size, milliseconds(block))
        for key, own in found:
            for id, fields in own:
                positions[key] = id
                yield Entry(key, id, fields, decode)


def milliseconds(seconds: float) -> int:
    """Return a time as Redis takes it: never 0, which can mean for ever."""
    return max(ceil(seconds * 1000), 1)


# ---------------------------------------------------------------------------- checks


def check_keys(keys: Iterable[str]) -> None:
    """Check the names of streams."""
    names = list(keys)
    for name in names:
        check_name("key", name)
    if not names:
        message = "keys must name a stream; got none"
        raise ValueError(message)


def check_name(name: str, value: str) -> None:
    """Check the name of a stream, a group or a consumer."""
    check_type(name, value, str)
    if not value:
        message = f"{name} must not be empty; got {value!r}"
        raise ValueError(message)


def check_start(value: str) -> None:
    """Check an id to begin at."""
    check_type("start", value, str)
    if not re.fullmatch(r"\$|\d+(-\d+)?", value):
        message = f"start must be '0', '$' or an id such as '1-0'; got {value!r}"
        raise ValueError(message)


def check_decode(value: Callable[[Fields], Any] | None) -> None:
    """Check a function that is called when a value is looked at."""
    if value is not None:
        check_plain("decode", value)
