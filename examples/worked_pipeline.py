"""One pipeline from `Flow` to `to_list`, run on asyncio and then on trio.

Orders arrive, an async call adds the price, small ones are left out, a customer gets
no more than two through, and what is left is packed in parcels. `orders` and
`at_most_each` are made with `@flow`: the first is a source, the second an operator,
because its first parameter is a flow.

    python examples/worked_pipeline.py
"""

from collections import Counter
from collections.abc import AsyncIterator
from typing import NamedTuple

from anyio import sleep

from flowpy import Flow, flow, run

PRICES = {"lamp": 39.0, "cable": 4.5, "desk": 210.0}


class Order(NamedTuple):
    """What a customer wants."""

    number: int
    customer: str
    product: str
    price: float = 0


@flow
async def orders(every: float) -> AsyncIterator[Order]:
    """Give orders as they come in."""
    customers = ["cafe", "bank", "cafe", "cafe", "gym", "bank", "gym"]
    products = ["desk", "cable", "lamp", "lamp", "desk", "lamp", "lamp"]
    for number, (customer, product) in enumerate(zip(customers, products, strict=True)):
        await sleep(every)
        yield Order(number, customer, product)


async def with_price(order: Order) -> Order:
    """Look the price up, as a service would."""
    await sleep(0.005)
    return order._replace(price=PRICES[order.product])


@flow
async def at_most_each(source: Flow[Order], limit: int) -> AsyncIterator[Order]:
    """Pass on the first `limit` orders of each customer."""
    seen: Counter[str] = Counter()  # fresh for each collection
    async for order in source:
        seen[order.customer] += 1
        if seen[order.customer] <= limit:
            yield order


async def main() -> list[list[Order]]:
    """Return the parcels."""
    return await (
        orders(every=0.01)
        .map(with_price)
        .filter(lambda order: order.price >= 10)
        .pipe(at_most_each, limit=2)
        .chunked(2)
        .on_each(lambda parcel: print("packed", [order.number for order in parcel]))
        .to_list()
    )


if __name__ == "__main__":
    on_asyncio = run(main)
    on_trio = run(main, backend="trio")
    print("the same on both:", on_asyncio == on_trio)
