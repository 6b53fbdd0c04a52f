"""A work queue on Redis: two consumers share its jobs, and none of them gets lost.

Shows how jobs become entries of a stream (`write_stream`), how each goes to one of the
consumers (`read_group`), and how it stays on the server until it is done (`acknowledge`).
One job can't be done: its consumer falls over, starts again and gets that job first; the
third time it puts it aside. More consumers, on any machine, could join at any time.

    pip install "flowpy-stream[redis]"  # and a server, of Redis or Valkey
    python examples/work_queue.py [--port 6379] [--jobs 12] [--backend asyncio|trio]
"""

from argparse import ArgumentParser

import anyio
import coredis

from flowpy import Flow, run
from flowpy.ext.redis import Message, acknowledge, read_group, write_stream

STREAM = "flowpy:jobs"
BROKEN = 7


def number_of(fields: dict[str, bytes]) -> int:
    """Return the number of a job."""
    return int(fields["number"])


async def do(number: int) -> str:
    """Do a job, which takes a while."""
    await anyio.sleep(0.02)
    if number == BROKEN:
        raise ValueError("it is broken")
    return "done"


async def main(port: int = 6379, jobs: int = 12) -> None:
    """Add jobs, have two consumers do them, and wait until they have."""
    all_done = anyio.Event()
    open_jobs = set(range(1, jobs + 1))

    async def handle(message: Message[int]) -> None:
        try:
            result = await do(message.value)
        except ValueError as error:
            if message.deliveries < 3:
                raise
            result = f"put aside: {error}"
        print(f"job {message.value} is {result}")
        open_jobs.discard(message.value)
        if not open_jobs:
            all_done.set()

    async def consume(client: coredis.Redis[bytes], name: str) -> None:
        messages = read_group(
            client, STREAM, group="workers", consumer=name, decode=number_of, size=2
        )
        while not all_done.is_set():
            try:
                await messages.take_until(all_done.wait).pipe(acknowledge, handle)
            except ValueError as error:
                print(f"a consumer fell over: {error}")

    async with coredis.Redis(port=port) as client:
        await client.delete([STREAM])
        added = Flow(sorted(open_jobs)).map(lambda number: {"number": number})
        print(f"{await added.pipe(write_stream(client, STREAM))} jobs are waiting")
        async with anyio.create_task_group() as group:
            group.start_soon(consume, client, "ann")
            group.start_soon(consume, client, "bob")
        await client.delete([STREAM])


if __name__ == "__main__":
    parser = ArgumentParser(description="Two consumers share the jobs of a queue.")
    parser.add_argument("--port", type=int, default=6379)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    run(main, options.port, options.jobs, backend=options.backend)
