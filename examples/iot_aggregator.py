"""Temperatures that devices send over UDP: averages, and who is late or has fallen silent.

Shows tumbling windows, in which each reading counts once (`windowed_by_time(period)`), next
to sliding ones, which look further back (`windowed_by_time(…, every=period)`), over one
collection of the source (`share`), and what changed from one to the next (`pairwise`). A
reading that was taken more than a period before it came is late: it tells that a device
is alive, not how warm it is now. A device that has left the sliding window is silent.

    python examples/iot_aggregator.py [--port 9999] [--period SECONDS]
    echo attic 21.5 > /dev/udp/127.0.0.1/9999
"""

from argparse import ArgumentParser
from collections.abc import AsyncIterator
from functools import partial
from math import isfinite
from statistics import mean
from time import time
from typing import NamedTuple

from anyio import create_udp_socket
from anyio.abc import SocketAttribute

from flowpy import Flow, flow, run


class Reading(NamedTuple):
    """What a device has sent, and how many seconds that was under way."""

    device: str
    celsius: float
    age: float


@flow
async def readings(port: int) -> AsyncIterator[Reading]:
    """Give what devices send to a port of this machine; what is no reading is dropped."""
    async with await create_udp_socket(local_host="127.0.0.1", local_port=port) as udp:
        print("listening on port", udp.extra(SocketAttribute.local_port), flush=True)
        async for packet, _ in udp:
            reading = parse(packet)
            if reading is not None:
                yield reading


def parse(packet: bytes) -> Reading | None:
    """Read what a device has sent: its name, a temperature, and when that was taken."""
    try:
        device, celsius, *taken = packet.decode().split()
        age = time() - float(taken[0]) if taken else 0  # some have no clock
        reading = Reading(device, float(celsius), age)
    except ValueError:
        return None
    return reading if isfinite(reading.celsius) and isfinite(age) else None


def averages(window: list[Reading], oldest: float) -> dict[str, float]:
    """Return the average of each device, without what came late."""
    values: dict[str, list[float]] = {}
    for reading in window:
        if reading.age <= oldest:
            values.setdefault(reading.device, []).append(reading.celsius)
    return {device: mean(own) for device, own in sorted(values.items())}


def reports(source: Flow[Reading], period: float) -> Flow[str]:
    """Report on each period, and in parentheses on the last four."""

    def report(
        windows: tuple[list[Reading], tuple[list[Reading], list[Reading]]],
    ) -> str:
        new, (before, recent) = windows
        lately = averages(recent, period)
        late = {reading.device for reading in new if reading.age > period}
        silent = {r.device for r in before} - {r.device for r in recent}
        parts = [
            f"{k} {v:.1f} ({lately[k]:.1f})" for k, v in averages(new, period).items()
        ]
        parts += [f"{device} is late" for device in sorted(late)]
        parts += [f"{device} is silent" for device in sorted(silent)]
        return ", ".join(parts) or "nothing"

    shared = source.share()
    tumbling = shared.windowed_by_time(period)
    sliding = shared.windowed_by_time(4 * period, every=period)
    return tumbling.zip(sliding.start_with([]).pairwise()).map(report)


async def main(port: int, period: float) -> None:
    """Report until Ctrl-C."""
    await reports(readings(port), period).collect(partial(print, flush=True))


if __name__ == "__main__":
    parser = ArgumentParser(description="Report on the temperatures that devices send.")
    parser.add_argument("--port", type=int, default=9999)
    parser.add_argument("--period", type=float, default=5)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="trio")
    options = parser.parse_args()
    run(main, options.port, options.period, backend=options.backend)
