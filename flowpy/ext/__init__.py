"""Adapters to other libraries, which are imported late: to import these needs none.

`ray`: an executor for `Flow.map(on=...)`. `redis`: queues on Redis Streams.
`prometheus`, `opentelemetry`: observers for `Flow.measure`. What to install stands in
each of them.
"""
