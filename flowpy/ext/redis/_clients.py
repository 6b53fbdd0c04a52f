"""What is asked of a Redis client: the commands of streams, in one form for all.

Where coredis and redis-py differ, each has a class here; nothing else knows which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeAlias

from flowpy._scheduler import on_asyncio

Fields: TypeAlias = dict[str, bytes]
"""What an entry of a stream holds: its fields, by name."""

Packed: TypeAlias = dict[bytes, bytes]
"""The same as it is sent."""

Entries: TypeAlias = list[tuple[str, Fields]]
"""Entries of one stream: the id of each, and its fields."""

Command: TypeAlias = Callable[..., object]

GRACE = 5
"""Seconds that the last commands may take once a collection is being ended."""


class Client(Protocol):
    """An async client of Redis: `coredis.Redis`, `redis.asyncio.Redis` or the like.

    Source: the commands of Redis Streams, as both clients have them.
    """

    async def __aenter__(self) -> object: ...

    @property
    def pipeline(self) -> Command:
        """Make a pipeline."""
        ...

    @property
    def xack(self) -> Command:
        """Acknowledge messages."""
        ...

    @property
    def xadd(self) -> Command:
        """Add an entry."""
        ...

    @property
    def xclaim(self) -> Command:
        """Make a consumer the owner of messages."""
        ...

    @property
    def xgroup_create(self) -> Command:
        """Make a group."""
        ...

    @property
    def xpending(self) -> Command:
        """Tell what has been delivered and not been acknowledged."""
        ...

    @property
    def xrange(self) -> Command:
        """Return entries of a stream, from one id to another."""
        ...

    @property
    def xrevrange(self) -> Command:
        """Return them from the last one on."""
        ...

    @property
    def xread(self) -> Command:
        """Read entries."""
        ...

    @property
    def xreadgroup(self) -> Command:
        """Read entries for a consumer of a group."""
        ...


NEEDED = (
    *("__aenter__", "pipeline", "xack", "xadd", "xclaim", "xgroup_create"),
    *("xpending", "xrange", "xread", "xreadgroup", "xrevrange"),
)


class Pending(NamedTuple):
    """A message that has been delivered and not been acknowledged."""

    id: str
    idle: int
    """Milliseconds since it was delivered."""
    deliveries: int


class Commands:
    """The commands of streams, as one client has them.

    Times are in milliseconds, for that is what Redis takes.
    """

    __slots__ = ("_client",)

    def __init__(self, client: object) -> None:
        self._client: Any = client

    # The same with both:

    def check(self) -> None:
        """Raise an error if the client does not work on the running event loop."""

    async def create_group(self, key: str, group: str, start: str) -> None:
        """Make a group, and the stream, if they are not there."""
        try:
            await self._client.xgroup_create(key, group, start, mkstream=True)
        except Exception as error:
            # coredis has a class of its own for it, and takes the word away.
            name = type(error).__name__
            if "BUSYGROUP" not in f"{error} {name}" and "Duplicate" not in name:
                raise

    async def read(
        self, positions: Mapping[str, str], size: int, block: int
    ) -> list[tuple[str, Entries]]:
        """Wait for entries behind some ids; none if none came."""
        reply = await self._client.xread(dict(positions), count=size, block=block)
        return by_stream(reply)

    async def read_group(
        self, group: str, consumer: str, keys: Iterable[str], size: int, block: int
    ) -> list[tuple[str, Entries]]:
        """Wait for entries that no consumer of a group has got; none if none came."""
        streams = dict.fromkeys(keys, ">")
        reply = await self._client.xreadgroup(
            group, consumer, streams, count=size, block=block
        )
        return by_stream(reply)

    async def claim(
        self, key: str, group: str, consumer: str, idle: int, ids: Collection[str]
    ) -> Entries:
        """Deliver messages again, those that nobody has got for `idle` milliseconds."""
        reply = await self._client.xclaim(key, group, consumer, idle, list(ids))
        return entries(reply)

    async def keep(
        self, key: str, group: str, consumer: str, idle: int, ids: Collection[str]
    ) -> set[str]:
        """Say that messages are not forgotten; return the ids of those still held."""
        reply: Iterable[str | bytes] = await self._client.xclaim(
            key, group, consumer, idle, list(ids), justid=True
        )
        return set(map(text, reply))

    async def give_back(
        self,
        key: str,
        group: str,
        consumer: str,
        idle: int,
        ids: Collection[str],
        *,
        idle_then: int | None,
        deliveries: int,
    ) -> None:
        """Say that messages held for `idle` milliseconds at least can be taken over."""
        await self._client.xclaim(
            key,
            group,
            consumer,
            idle,
            list(ids),
            idle=idle_then,
            retrycount=deliveries,
            justid=True,
        )

    async def has(self, key: str, id: str) -> bool:
        """Tell whether an entry is still there."""
        return bool(await self._client.xrange(key, id, id, count=1))

    async def last_id(self, key: str) -> str:
        """Return the id of the last entry of a stream, be it there or not."""
        last = entries(await self._client.xrevrange(key, "+", "-", count=1))
        return last[0][0] if last else "0-0"

    # And those that differ:

    async def acknowledge(self, key: str, group: str, ids: Collection[str]) -> None:
        """Acknowledge messages."""
        raise NotImplementedError  # pragma: no cover - both have it

    async def pending(
        self,
        key: str,
        group: str,
        start: str,
        size: int,
        *,
        consumer: str | None,
        idle: int | None,
    ) -> list[Pending]:
        """Return the first messages from `start` on that have not been acknowledged."""
        raise NotImplementedError  # pragma: no cover - both have it

    async def add(
        self, key: str, batch: Collection[Packed], maxlen: int | None
    ) -> None:
        """Add entries, all of them in one turn."""
        raise NotImplementedError  # pragma: no cover - both have it


class Coredis(Commands):
    """A client of coredis."""

    __slots__ = ()

    async def acknowledge(self, key: str, group: str, ids: Collection[str]) -> None:
        await self._client.xack(key, group, list(ids))

    async def pending(
        self,
        key: str,
        group: str,
        start: str,
        size: int,
        *,
        consumer: str | None,
        idle: int | None,
    ) -> list[Pending]:
        rows: Iterable[Any] = await self._client.xpending(
            key, group, start, "+", size, idle=idle, consumer=consumer
        )
        return [Pending(text(row[0]), row[2], row[3]) for row in rows]

    async def add(
        self, key: str, batch: Collection[Packed], maxlen: int | None
    ) -> None:
        limits: dict[str, object] = {}
        if maxlen is not None:
            token: Any = import_module("coredis").PureToken
            limits["trim_strategy"] = token.MAXLEN
            limits["trim_operator"] = token.APPROXIMATELY
            limits["threshold"] = maxlen
        async with self._client.pipeline(transaction=False) as pipeline:
            for fields in batch:
                pipeline.xadd(key, fields, **limits)


class RedisPy(Commands):
    """A client of redis-py, or of what descends from it."""

    __slots__ = ()

    def check(self) -> None:
        if not on_asyncio():
            message = (
                "a client of redis-py works on asyncio only; on trio, use one of "
                f"coredis; got {self._client!r}"
            )
            raise RuntimeError(message)

    async def acknowledge(self, key: str, group: str, ids: Collection[str]) -> None:
        await self._client.xack(key, group, *ids)

    async def pending(
        self,
        key: str,
        group: str,
        start: str,
        size: int,
        *,
        consumer: str | None,
        idle: int | None,
    ) -> list[Pending]:
        rows: Iterable[dict[str, Any]] = await self._client.xpending_range(
            key, group, start, "+", size, consumername=consumer, idle=idle
        )
        return [
            Pending(
                text(row["message_id"]),
                row["time_since_delivered"],
                row["times_delivered"],
            )
            for row in rows
        ]

    async def add(
        self, key: str, batch: Collection[Packed], maxlen: int | None
    ) -> None:
        pipeline: Any
        async with self._client.pipeline(transaction=False) as pipeline:
            for fields in batch:
                pipeline.xadd(key, fields, maxlen=maxlen, approximate=True)
            await pipeline.execute()


def commands_of(client: object) -> Commands:
    """Return the commands of a client."""
    missing = [name for name in NEEDED if not callable(getattr(client, name, None))]
    if missing:
        message = (
            "client must be an async client of Redis, such as coredis.Redis or "
            f"redis.asyncio.Redis, with {', '.join(missing)}; got {client!r}"
        )
        raise TypeError(message)
    return RedisPy(client) if hasattr(client, "xpending_range") else Coredis(client)


def text(value: str | bytes) -> str:
    """Return a name or an id, which clients give as they were told to."""
    if isinstance(value, str):
        return value
    return value.decode("utf-8", "surrogateescape")


def entries(reply: Iterable[Any]) -> Entries:
    """Return entries as both clients give them."""
    return [
        (
            text(entry[0]),
            {
                text(name): value.encode() if isinstance(value, str) else value
                for name, value in entry[1].items()
            },
        )
        for entry in reply
        if entry[0] is not None  # redis-py, of one that Redis 6 knows to be deleted
    ]


def by_stream(reply: Any) -> list[tuple[str, Entries]]:
    """Return the entries of several streams, in any of the forms that clients have."""
    found: list[tuple[str, Entries]] = []
    rows: dict[str | bytes, Any] = dict(reply or ())
    for key, own in rows.items():
        # redis-py has them in one more list where it speaks RESP3.
        nested = bool(own) and isinstance(own[0], list)
        found.append((text(key), entries(own[0] if nested else own)))
    return found
