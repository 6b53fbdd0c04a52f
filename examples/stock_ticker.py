"""A simulated stock ticker: large moves, and a price against its moving average.

Shows how ticks of the clock meet prices (`interval`, `zip`), how neighbouring items are
compared (`pairwise`, `windowed`), and how what is not news is left out (`filter`,
`distinct_until_changed`). The flow is cold: both reports collect it from its beginning,
and the seed makes them see the same prices.

    python examples/stock_ticker.py [--period SECONDS] [--backend asyncio|trio]
"""

from argparse import ArgumentParser
from collections.abc import Iterator
from functools import partial
from random import Random

from flowpy import Flow, run

Prices = dict[str, float]


def random_walk(seed: int) -> Iterator[Prices]:
    """Give the prices of all stocks, time after time, each a little off the last."""
    random = Random(seed)
    prices = {"ACME": 50.0, "BOLT": 120.0, "CRUX": 9.0}
    while True:
        yield prices
        prices = {
            stock: round(price * random.uniform(0.97, 1.03), 2)
            for stock, price in prices.items()
        }


def ticker(seed: int, period: float) -> Flow[Prices]:
    """Give new prices every `period` seconds."""
    walk = Flow(partial(random_walk, seed))  # a function: each collection starts anew
    return Flow.interval(period).zip(walk).map(lambda tick: tick[1])


def moves(pair: tuple[Prices, Prices]) -> list[tuple[str, float]]:
    """Return by how many percent each stock has changed."""
    old, new = pair
    return [(stock, 100 * (new[stock] / old[stock] - 1)) for stock in new]


def against_average(window: list[float]) -> str:
    """Say where the last price stands."""
    average = sum(window) / len(window)
    return "above" if window[-1] > average else "below"


async def main(period: float, count: int = 25, seed: int = 1) -> None:
    """Report on the first `count` prices."""
    prices = ticker(seed, period).take(count)

    print("Moves of more than 2.5 %:")
    await (
        prices.pairwise()
        .flat_map(moves)
        .filter(lambda move: abs(move[1]) > 2.5)
        .collect(lambda move: print(f"  {move[0]} {move[1]:+.1f} %"))
    )

    print("ACME and the average of its last five prices:")
    await (
        prices.map(lambda now: now["ACME"])
        .windowed(5)
        .map(lambda window: (window[-1], against_average(window)))
        .distinct_until_changed(key=lambda pair: pair[1])
        .collect(lambda pair: print(f"  {pair[0]:.2f} is {pair[1]} it"))
    )


if __name__ == "__main__":
    parser = ArgumentParser(description="A simulated stock ticker.")
    parser.add_argument("--period", type=float, default=0.1)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    run(main, options.period, backend=options.backend)
