"""The sink that adds items to a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, TypeVar, overload

from flowpy._checks import check_count, check_optional_callable, check_optional_count
from flowpy._crew import Crew
from flowpy._flow import as_flow
from flowpy.ext.redis._clients import commands_of
from flowpy.ext.redis._read import check_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowpy._crew import Channel
    from flowpy._types import Callback, Ending, FlowLike
    from flowpy.ext.redis._clients import Client, Packed

T = TypeVar("T")

Writable: TypeAlias = Mapping[str, str | bytes | int | float]
"""What can be written: the fields of an entry, by name."""


@overload
def write_stream(
    client: Client,
    key: str,
    *,
    encode: None = None,
    maxlen: int | None = None,
    size: int = 100,
) -> Callable[[FlowLike[Writable]], Ending[int]]: ...
@overload
def write_stream(
    client: Client,
    key: str,
    *,
    encode: Callback[[T], Writable] | Callable[[T], Writable],
    maxlen: int | None = None,
    size: int = 100,
) -> Callable[[FlowLike[T]], Ending[int]]: ...
def write_stream(
    client: Client,
    key: str,
    *,
    encode: Callable[[Any], Any] | None = None,
    maxlen: int | None = None,
    size: int = 100,
) -> Callable[[FlowLike[Any]], Ending[int]]:
    """Add the items of a flow to a Redis Stream: `flow.pipe(write_stream(client, key))`.

    An item is the fields of an entry, by name; of others, `encode` makes them. Each is
    sent as soon as those before are through; of a fast flow many are sent at once. The
    flow runs in a task of its own.

    Args:
        client: As for `read_group`.
        key: The name of the stream; made if it is not there.
        encode: Makes the fields of an item; plain or async.
        maxlen: How many entries the stream is to keep, roughly, the newest ones; >= 1.
            Left out, all. What is cut off is lost to groups that have not read it.
        size: How many entries are sent at once, at most; >= 1.

    Shape: a function of a flow; awaited, what it returns is the number of entries.
        Holds `2 * size` items at most. What came before an error of the flow is
        written. If sending fails, some of the items that were being sent may have been
        added; a client that tries again may add them twice.

    Raises:
        TypeError: at the call, if an argument is of the wrong type; while running, if
            an item is no mapping of str to str, bytes, int or float.
        ValueError: at the call, if `key` is empty, or `maxlen` or `size` is less than
            1; while running, if an item has no fields.
        RuntimeError: while running, if a client of redis-py is used on trio.
        Exception: while running, those of the client, if a command fails.

    Example:
        >>> sink = write_stream(client, "trees", encode=lambda name: {"name": name})
        >>> run(Flow.of("ash", "elm").pipe, sink)
        2
        >>> run(read_stream(client, "trees").map(lambda x: x.fields).take(2).to_list)
        [{'name': b'ash'}, {'name': b'elm'}]

    Source: Redis XADD, in pipelines.
    """
    commands = commands_of(client)
    check_name("key", key)
    check_optional_callable("encode", encode)
    maxlen = check_optional_count("maxlen", maxlen, 1)
    size = check_count("size", size, 1)

    async def write(flow: FlowLike[Any]) -> int:
        source = as_flow(flow)
        commands.check()
        if encode is not None:
            source = source.map(encode)
        count = 0
        async with Crew("write_stream") as crew:
            channel: Channel[Packed] = crew.channel(size)
            crew.pump(source.map(packed)._open(), channel)
            while channel.items or await channel.more():
                batch = channel.take_all()
                await commands.add(key, batch, maxlen)
                count += len(batch)
        return count

    return write


def packed(item: object) -> Packed:
    """Return the fields of an entry as they are sent."""
    if not is_mapping(item):
        message = (
            "write_stream takes mappings of field names to values, or encode= must make "
            f"one; got {item!r}"
        )
        raise TypeError(message)
    if not item:
        message = "write_stream: an entry must have a field; got an empty mapping"
        raise ValueError(message)
    return {named(name, item): data(value, item) for name, value in item.items()}


def is_mapping(value: object) -> TypeGuard[Mapping[object, object]]:
    """Tell whether `value` is a mapping."""
    return isinstance(value, Mapping)


def named(name: object, item: object) -> bytes:
    """Return the name of a field as it is sent."""
    if isinstance(name, str):
        return name.encode("utf-8", "surrogateescape")  # what `read_stream` may give
    message = f"write_stream: names of fields must be str; got {name!r} in {item!r}"
    raise TypeError(message)


def data(value: object, item: object) -> bytes:
    """Return the value of a field as it is sent."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value).encode()
    message = (
        "write_stream: values of fields must be str, bytes, int or float; got "
        f"{value!r} in {item!r}"
    )
    raise TypeError(message)
