"""Hot flows: what goes in comes out, derived states have the type of their function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, assert_type

from flowpy import Flow, SharedFlow, StateFlow, while_subscribed

if TYPE_CHECKING:
    import asyncio

    import trio
    from anyio.abc import TaskGroup

T = TypeVar("T")


async def shared(news: SharedFlow[int]) -> None:
    assert_type(news.try_emit(1), bool)
    assert_type(news.replay_cache, list[int])
    assert_type(news.subscribers, StateFlow[int])
    assert_type(news.subscribers_lag(), list[int])
    assert_type(news.on_subscription(lambda: news.emit(1)), SharedFlow[int])
    assert_type(news.map(str), Flow[str])
    assert_type(await news.first(), int)
    assert_type(SharedFlow[str](2, on_overflow="drop_oldest"), SharedFlow[str])


def states(count: StateFlow[int], name: StateFlow[str]) -> None:
    assert_type(count.value, int)
    assert_type(count.update(lambda n: n + 1), int)
    assert_type(count.compare_and_set(1, 2), bool)
    assert_type(count.map_state(lambda n: [n]), StateFlow[list[int]])
    assert_type(StateFlow("a", equal=lambda old, new: old is new), StateFlow[str])
    assert_type(count.filter(bool), Flow[int])
    both = StateFlow.combine_state(count, name, fn=lambda n, text: (n, text))
    assert_type(both, StateFlow[tuple[int, str]])
    assert_type(
        StateFlow.combine_state(count, name, lambda n, text: [text] * n),
        StateFlow[list[str]],
    )
    assert_type(StateFlow.combine_state(count, fn=str), StateFlow[str])


async def started(
    numbers: Flow[int],
    group: TaskGroup,
    nursery: trio.Nursery,
    tasks: asyncio.TaskGroup,
) -> None:
    assert_type(numbers.share(2, linger=5), Flow[int])
    assert_type(numbers.share_in(group), SharedFlow[int])
    assert_type(numbers.share_in(nursery, started="lazily"), SharedFlow[int])
    assert_type(numbers.share_in(tasks, started=while_subscribed(5)), SharedFlow[int])
    assert_type(await numbers.state_in(group), StateFlow[int])
    assert_type(numbers.state_in(tasks, 0), StateFlow[int])
    assert_type(numbers.state_in(nursery, None), StateFlow[int | None])


class Room(Generic[T]):
    """Inside generic code the item type stays the type variable."""

    def __init__(self, first: T) -> None:
        self.news = SharedFlow[T](1)
        self.state = StateFlow(first)

    async def run(self) -> None:
        assert_type(self.state.value, T)
        assert_type(self.news.on_each(self.news.emit), Flow[T])
        await self.news.emit(self.state.value)


async def wrong(news: SharedFlow[int], count: StateFlow[int], group: TaskGroup) -> None:
    await news.emit("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    news.try_emit(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    count.value = "1"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    count.update(str)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SharedFlow[int](on_overflow="error")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    news.share_in(group, started="now")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    news.share_in(5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    news.share(linger="5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
