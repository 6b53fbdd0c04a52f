"""An entry of a stream, and one that is to be acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from flowpy._errors import add_note
from flowpy._operator import name_of
from flowpy._types import MISSING, Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from flowpy.ext.redis._clients import Commands, Fields

T_co = TypeVar("T_co", covariant=True)


class Entry(Generic[T_co]):
    """An entry of a stream, as `read_stream` gives it.

    Example:
        >>> run(Flow.of({"n": 7}).pipe, write_stream(client, "numbers"))
        1
        >>> entry = run(read_stream(client, "numbers").first)
        >>> entry
        <Entry 1-0 of 'numbers': {'n': b'7'}>
        >>> entry.key, entry.id, entry.value
        ('numbers', '1-0', {'n': b'7'})

    Source: Redis XREAD.
    """

    __slots__ = ("_decode", "_value", "fields", "id", "key")

    def __init__(
        self, key: str, id: str, fields: Fields, decode: Callable[[Fields], T_co]
    ) -> None:
        self.key: str = key
        """The name of the stream."""
        self.id: str = id
        """Where in the stream it stands, such as `"1700000000000-0"`."""
        self.fields: Fields = fields
        """What it holds, as it came."""
        self._decode: Callable[[Fields], T_co] = decode
        self._value: T_co | Missing = MISSING

    @property
    def value(self) -> T_co:
        """What `decode` makes of the fields; made when it is first asked for.

        So what `decode` raises is raised where the entry is handled.
        """
        if self._value is MISSING:
            try:
                self._value = self._decode(self.fields)
            except Exception as error:
                # Not what it holds, which may be nobody's business in a log.
                add_note(error, f"in decode, for {self.id} of {self.key!r}")
                raise
        return self._value

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.id} of {self.key!r}: {name_of(self.fields)}>"
        )


class Group:
    """Where messages of one stream are acknowledged."""

    __slots__ = ("commands", "key", "name")

    def __init__(self, commands: Commands, key: str, name: str) -> None:
        self.commands: Commands = commands
        self.key: str = key
        self.name: str = name

    async def acknowledge(self, ids: Collection[str]) -> None:
        """Acknowledge messages."""
        await self.commands.acknowledge(self.key, self.name, ids)


class Message(Entry[T_co]):
    """An entry that was delivered to a consumer, until it is acknowledged.

    One that is not will be delivered again: see `read_group`.

    Example:
        >>> run(Flow.of({"n": 7}).pipe, write_stream(client, "jobs"))
        1
        >>> jobs = read_group(client, "jobs", group="crew", consumer="one")
        >>> run(jobs.first)
        <Message 1-0 of 'jobs': {'n': b'7'}>
        >>> again = run(jobs.first)
        >>> again, again.redelivered
        (<Message 1-0 of 'jobs', delivery 2: {'n': b'7'}>, True)
        >>> run(again.ack)

    Source: Redis XREADGROUP.
    """

    __slots__ = ("_group", "deliveries")

    def __init__(
        self,
        group: Group,
        id: str,
        fields: Fields,
        decode: Callable[[Fields], T_co],
        deliveries: int = 1,
    ) -> None:
        super().__init__(group.key, id, fields, decode)
        self._group: Group = group
        self.deliveries: int = deliveries
        """How many times it has been delivered, to any consumer, this one included."""

    @property
    def redelivered(self) -> bool:
        """Whether it has been delivered before, and so may have been handled."""
        return self.deliveries > 1

    async def ack(self) -> None:
        """Acknowledge it now, alone; `acknowledge` does it for many at once.

        Raises:
            Exception: those of the client, if the command fails.
        """
        await self._group.acknowledge([self.id])

    def __repr__(self) -> str:
        again = f", delivery {self.deliveries}" if self.redelivered else ""
        return f"<Message {self.id} of {self.key!r}{again}: {name_of(self.fields)}>"
