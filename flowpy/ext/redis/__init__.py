"""Redis Streams as flows: consumer groups at least once, plain reading, writing.

Nothing is imported of a client: one of coredis works on asyncio and trio, one of
redis-py (`redis.asyncio`) on asyncio. `pip install "flowpy-stream[redis]"` brings
coredis. The server is Redis 6.2 or newer, or Valkey.
"""

from __future__ import annotations

from flowpy.ext.redis._acknowledge import acknowledge
from flowpy.ext.redis._clients import Client
from flowpy.ext.redis._messages import Entry, Message
from flowpy.ext.redis._read import read_group, read_stream
from flowpy.ext.redis._write import write_stream

__all__ = (
    "Client",
    "Entry",
    "Message",
    "acknowledge",
    "read_group",
    "read_stream",
    "write_stream",
)

for _public in (
    *(Client, Entry, Message),
    *(acknowledge, read_group, read_stream, write_stream),
):
    _public.__module__ = __name__  # where users import it from
