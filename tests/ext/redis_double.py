"""A Redis server in memory, as far as streams go, and clients of it in two forms.

`tests/servers/test_redis_server.py` compares what they say with what a real server says
to real clients. Times are those of the event loop, so they pass in virtual time.
"""

from __future__ import annotations

from collections import defaultdict
from math import inf

import anyio
from anyio.lowlevel import checkpoint


class ResponseError(Exception):
    """What the server refuses."""


class StreamDuplicateConsumerGroupError(Exception):
    """What coredis makes of a group that is there already."""


def number(id):
    """Return an id such that ids can be compared."""
    if id in {"-", "+"}:
        return (-inf,) if id == "-" else (inf,)
    ms, _, own = id.lstrip("(").partition("-")
    return int(ms), int(own or 0)


def packed(value):
    """Return what is sent of a name or a value."""
    return value if isinstance(value, bytes) else str(value).encode()


class Delivery:
    """Whose a message is, since when, and how many times it was delivered."""

    def __init__(self, consumer):
        self.consumer = consumer
        self.count = 0

    def happen(self, consumer, count=1):
        self.consumer = consumer
        self.at = anyio.current_time()
        self.count += count

    @property
    def idle(self):
        return int((anyio.current_time() - self.at) * 1000 + 1e-6)


class Store:
    """What the server holds."""

    def __init__(self):
        self.streams = defaultdict(dict)
        self.last = defaultdict(int)
        self.groups = {}
        self.changed = None
        self.calls = []
        """The commands that came, by name, each with its arguments."""
        self.failing = {}
        """Errors that commands raise, by name; each once."""
        self.delays = {}
        """How many seconds commands take, by name."""

    async def called(self, name, *args):
        self.calls.append((name, *args))
        await anyio.sleep(
            self.delays[name]
        ) if name in self.delays else await checkpoint()
        if name in self.failing:
            raise self.failing.pop(name)

    def said(self, name):
        """Return the arguments of the commands of a name."""
        return [args for own, *args in self.calls if own == name]

    def delete(self, key, id):
        del self.streams[key][id]

    def add(self, key, fields, id=None, maxlen=None):
        if id is None:
            self.last[key] += 1
            id = f"{self.last[key]}-0"
        stream = self.streams[key]
        stream[id] = {packed(name): packed(value) for name, value in fields.items()}
        while maxlen is not None and len(stream) > maxlen:
            del stream[next(iter(stream))]
        if self.changed is not None:
            self.changed.set()
            self.changed = None
        return id

    def create(self, key, group, start):
        if (key, group) in self.groups:
            return False
        stream = self.streams[key]
        after = (
            max(map(number, stream), default=(0, 0)) if start == "$" else number(start)
        )
        self.groups[key, group] = [after, {}]
        return True

    def group(self, key, name):
        if (key, name) not in self.groups:
            message = f"NOGROUP No such key {key!r} or consumer group {name!r}"
            raise ResponseError(message)
        return self.groups[key, name]

    def pending(self, key, group):
        """Return whose messages are, by id."""
        return {id: each.consumer for id, each in self.group(key, group)[1].items()}

    def behind(self, key, after, count):
        found = [id for id in self.streams[key] if number(id) > after]
        return sorted(found, key=number)[:count]

    async def wait(self, look, block):
        """Return what is found, once there is something or the time is over."""
        end = anyio.current_time() + block / 1000
        while not (found := look()):
            left = end - anyio.current_time()
            if left <= 0:
                break
            changed = self.changed = self.changed or anyio.Event()
            with anyio.move_on_after(left):
                await changed.wait()
        return found

    def new(self, group, consumer, keys, count):
        found = {}
        for key in keys:
            state = self.group(key, group)
            ids = self.behind(key, state[0], count)
            for id in ids:
                state[0] = number(id)
                state[1][id] = Delivery(consumer)
                state[1][id].happen(consumer)
            if ids:
                found[key] = {id: self.streams[key][id] for id in ids}
        return found

    def unacknowledged(self, key, group, start, count, consumer, idle):
        rows = []
        for id, each in sorted(
            self.group(key, group)[1].items(), key=lambda item: number(item[0])
        ):
            first = number(start)
            after = number(id) > first if start[0] == "(" else number(id) >= first
            if after and consumer in {None, each.consumer} and each.idle >= (idle or 0):
                rows.append((id, each.consumer, each.idle, each.count))
        return rows[:count]

    def claim(self, key, group, consumer, idle, ids, justid, idle_then, count):
        """Return the entries that a consumer has now, as it may after `idle` ms."""
        own = self.group(key, group)[1]
        found = {}
        for id in ids:
            if id in own and id not in self.streams[key]:
                del own[id]  # was deleted from the stream
            if id in own and own[id].idle >= idle:
                own[id].happen(consumer, 0 if justid else 1)
                own[id].at -= (idle_then or 0) / 1000
                if count is not None:
                    own[id].count = count
                found[id] = self.streams[key][id]
        return found


class Client:
    """What the clients have in common."""

    def __init__(self, store=None, *, decode_responses=False):
        self.store = Store() if store is None else store
        self.decodes = decode_responses

    async def __aenter__(self):
        return self

    async def __aexit__(self, *raised):
        pass

    def text(self, value):
        value = packed(value)
        return value.decode() if self.decodes else value

    def entries(self, found):
        return tuple(
            (self.text(id), {self.text(n): self.text(v) for n, v in fields.items()})
            for id, fields in found.items()
        )

    async def xread(self, streams, count=None, block=None):
        await self.store.called("xread", dict(streams), count, block)

        def look():
            found = {}
            for key, after in streams.items():
                ids = self.store.behind(key, number(after), count)
                if ids:
                    found[key] = {id: self.store.streams[key][id] for id in ids}
            return found

        return self.several(await self.store.wait(look, block))

    async def xreadgroup(self, group, consumer, streams, count=None, block=None):
        await self.store.called("xreadgroup", group, consumer, streams, count, block)
        assert set(streams.values()) == {">"}
        assert block > 0  # 0 is for ever

        def look():
            return self.store.new(group, consumer, streams, count)

        return self.several(await self.store.wait(look, block))

    async def xclaim(
        self,
        key,
        group,
        consumer,
        least,
        ids,
        *,
        idle=None,
        retrycount=None,
        justid=False,
    ):
        await self.store.called("xclaim", key, group, consumer, least, ids, justid)
        found = self.store.claim(
            key, group, consumer, least, ids, justid, idle, retrycount
        )
        return tuple(map(self.text, found)) if justid else self.entries(found)

    async def xrange(self, key, start, end, count=None):
        await self.store.called("xrange", key, start, end)
        return self.entries(
            {
                id: fields
                for id, fields in self.store.streams[key].items()
                if number(start) <= number(id) <= number(end)
            }
        )

    async def xrevrange(self, key, end, start, count=None):
        await self.store.called("xrevrange", key, end, start)
        last = self.store.behind(key, (-inf,), None)[-count:]
        return self.entries({id: self.store.streams[key][id] for id in last})


class CoredisDouble(Client):
    """In the form of coredis."""

    def several(self, found):
        return {self.text(k): self.entries(own) for k, own in found.items()} or None

    async def xgroup_create(self, key, group, identifier, *, mkstream):
        await self.store.called("xgroup_create", key, group, identifier)
        if not self.store.create(key, group, identifier):
            message = "Consumer Group name already exists"
            raise StreamDuplicateConsumerGroupError(message)
        return True

    async def xack(self, key, group, identifiers):
        await self.store.called("xack", key, group, list(identifiers))
        own = self.store.group(key, group)[1]
        return sum(own.pop(id, None) is not None for id in identifiers)

    async def xpending(
        self, key, group, start, end, count, *, idle=None, consumer=None
    ):
        await self.store.called("xpending", key, group, start, count, consumer, idle)
        rows = self.store.unacknowledged(key, group, start, count, consumer, idle)
        return tuple((self.text(a), self.text(b), *rest) for a, b, *rest in rows)

    def xadd(self, key, fields, *, identifier=None):
        raise NotImplementedError

    def pipeline(self, *, transaction):
        return CoredisPipeline(self.store)


class Pipeline:
    """Commands that are sent together."""

    def __init__(self, store):
        self.store = store
        self.commands = []

    async def execute(self):
        await self.store.called("pipeline", len(self.commands))
        commands, self.commands = self.commands, []
        return [self.store.add(*command) for command in commands]

    async def __aenter__(self):
        return self


class CoredisPipeline(Pipeline):
    """In the form of coredis: what it holds is sent at its end."""

    async def __aexit__(self, kind, *raised):
        if kind is None:
            await self.execute()

    def xadd(
        self, key, fields, *, trim_strategy=None, trim_operator=None, threshold=None
    ):
        if threshold is not None:
            assert trim_strategy == b"MAXLEN"
            assert trim_operator == b"~"
        self.commands.append((key, fields, None, threshold))


class RedisPyDouble(Client):
    """In the form of redis-py."""

    def __init__(self, store=None, *, protocol=2, decode_responses=False):
        super().__init__(store, decode_responses=decode_responses)
        self.protocol = protocol

    def several(self, found):
        each = {self.text(key): list(self.entries(own)) for key, own in found.items()}
        if self.protocol == 2:
            return [list(both) for both in each.items()]
        return {key: [own] for key, own in each.items()}

    async def xgroup_create(self, name, groupname, id, *, mkstream):
        await self.store.called("xgroup_create", name, groupname, id)
        if not self.store.create(name, groupname, id):
            message = "BUSYGROUP Consumer Group name already exists"
            raise ResponseError(message)
        return True

    async def xack(self, name, groupname, *ids):
        await self.store.called("xack", name, groupname, list(ids))
        own = self.store.group(name, groupname)[1]
        return sum(own.pop(id, None) is not None for id in ids)

    async def xpending_range(
        self, name, groupname, min, max, count, consumername, idle
    ):
        await self.store.called(
            "xpending", name, groupname, min, count, consumername, idle
        )
        rows = self.store.unacknowledged(
            name, groupname, min, count, consumername, idle
        )
        names = "message_id", "consumer", "time_since_delivered", "times_delivered"
        return [
            dict(zip(names, (self.text(a), self.text(b), *rest), strict=True))
            for a, b, *rest in rows
        ]

    def xpending(self, name, groupname):
        raise NotImplementedError

    def xadd(self, name, fields, id="*"):
        raise NotImplementedError

    def pipeline(self, *, transaction):
        return RedisPyPipeline(self.store)


class RedisPyPipeline(Pipeline):
    """In the form of redis-py."""

    async def __aexit__(self, *raised):
        self.commands = []

    def xadd(self, name, fields, *, maxlen=None, approximate=True):
        self.commands.append((name, fields, None, maxlen))
