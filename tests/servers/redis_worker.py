"""A consumer of messages in a process of its own: `redis_worker.py PORT NAME BACKEND STALL`.

It writes down what it has handled, a line each. On SIGTERM it stops in order. At its
message number STALL, if that is not 0, it is busy for ever.
"""

from __future__ import annotations

import os
import signal
import sys

import anyio
import coredis

from flowpy import run
from flowpy.ext.redis import acknowledge, read_group

CLAIM_AFTER = 0.5


async def terminated():
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            return


async def main(port, name, stall):
    count = 0

    async def handle(message):
        nonlocal count
        count += 1
        if count == stall:
            os.write(1, b"stalled\n")
            await anyio.sleep(3600)
        # Nothing of this is lost when the process is killed.
        os.write(1, b"%d %d\n" % (message.value, message.deliveries))
        if count % 10 == 0:
            await anyio.sleep(0.001)

    async with coredis.Redis(port=port) as client:
        messages = read_group(
            client,
            "jobs",
            group="crew",
            consumer=name,
            decode=lambda fields: int(fields["n"]),
            claim_after=CLAIM_AFTER,
        )
        await messages.take_until(terminated).pipe(acknowledge, handle, within=0.2)


if __name__ == "__main__":
    port, name, backend, stall = sys.argv[1:]
    run(main, int(port), name, int(stall), backend=backend)
