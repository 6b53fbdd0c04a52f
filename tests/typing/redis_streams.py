"""flowpy.ext.redis: what type checkers infer for messages, with both clients."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, assert_type

from flowpy import Flow
from flowpy.ext.redis import (
    Entry,
    Message,
    acknowledge,
    read_group,
    read_stream,
    write_stream,
)

if TYPE_CHECKING:
    import coredis
    import redis.asyncio


class Order(NamedTuple):
    number: int
    text: str


def order(fields: dict[str, bytes]) -> Order:
    return Order(int(fields["n"]), fields["text"].decode())


def fields_of(order: Order) -> dict[str, str | int]:
    return {"n": order.number, "text": order.text}


async def fields_later(order: Order) -> dict[str, str | int]:
    return fields_of(order)


async def handle(message: Message[Order]) -> None:
    await message.ack()


async def handle_all(messages: list[Message[Order]]) -> int:
    return len(messages)


def sources(client: coredis.Redis[bytes], other: redis.asyncio.Redis) -> None:
    plain = read_group(client, "a", "b", group="g", consumer="c")
    assert_type(plain, Flow[Message[dict[str, bytes]]])
    assert_type(plain.map(lambda m: m.value["n"]), Flow[bytes])
    orders = read_group(
        other, "a", group="g", consumer="c", decode=order, block=timedelta(seconds=1)
    )
    assert_type(orders, Flow[Message[Order]])
    assert_type(orders.map(lambda m: m.value.number), Flow[int])
    assert_type(
        read_group(client, "a", group="g", consumer="c", decode=lambda x: len(x["n"])),
        Flow[Message[int]],
    )
    assert_type(read_stream(other, "a", start="$"), Flow[Entry[dict[str, bytes]]])
    assert_type(read_stream(client, "a", decode=order), Flow[Entry[Order]])


def parts(message: Message[Order]) -> None:
    assert_type(message.value, Order)
    assert_type(message.fields, dict[str, bytes])
    assert_type((message.key, message.id), tuple[str, str])
    assert_type((message.deliveries, message.redelivered), tuple[int, bool])
    assert_type(message.value.text, str)


async def acknowledged(orders: Flow[Message[Order]]) -> None:
    assert_type(await acknowledge(orders), int)
    assert_type(await acknowledge(orders, handle, concurrency=8), int)
    assert_type(await acknowledge(orders, lambda m: print(m.value.number)), int)
    assert_type(await acknowledge(orders.chunked(9), handle_all, within=2), int)
    assert_type(await orders.pipe(acknowledge), int)
    assert_type(await orders.pipe(acknowledge, handle, size=9), int)
    assert_type(await orders.chunked(9).pipe(acknowledge, handle_all), int)


async def sinks(
    client: coredis.Redis[str],
    other: redis.asyncio.Redis,
    orders: Flow[Order],
    rows: Flow[dict[str, str]],
) -> None:
    assert_type(await rows.pipe(write_stream(client, "a")), int)
    assert_type(await write_stream(other, "a", maxlen=9)([{"a": 1, "b": b""}]), int)
    assert_type(await orders.pipe(write_stream(client, "a", encode=fields_of)), int)
    assert_type(await orders.pipe(write_stream(other, "a", encode=fields_later)), int)


async def wrong(
    client: coredis.Redis[bytes], orders: Flow[Message[Order]], numbers: Flow[int]
) -> None:
    read_group("localhost", "a", group="g", consumer="c")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    read_group(client, "a", group="g")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    read_stream(client, "a", decode=handle)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await acknowledge(numbers)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    await acknowledge(orders.chunked(2), handle)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await numbers.pipe(write_stream(client, "a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
