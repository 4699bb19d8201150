"""The words that switch recording, on functions that pause: the setting acts while the body runs, and only then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import tinygrad_bp as tg

W = tg.ones(2, requires_grad=True)


def recorded() -> bool:
    return bool((W * 2).requires_grad)


WORDS = [
    (tg.no_grad, False),
    (tg.no_grad(), False),
    (tg.inference_mode(), False),
    (tg.set_grad_enabled(False), False),
    (tg.enable_grad, True),
    (tg.enable_grad(), True),
    (tg.inference_mode(False), True),
]
tg.set_grad_enabled(True)


@pytest.fixture(params=range(len(WORDS)))
def word(request: Any) -> Any:
    """(the decorator, what holds inside), with the opposite outside."""
    decorate, inside = WORDS[request.param]
    with tg.set_grad_enabled(not inside):
        yield decorate, inside


def test_a_generator_runs_under_it_and_its_consumer_does_not(word: Any) -> None:
    decorate, inside = word
    seen = []

    @decorate
    def walk(n: int) -> Any:
        """Steps."""
        try:
            for _ in range(n):
                sent = yield recorded()
                seen.append((recorded(), sent))
        except KeyError:
            yield recorded()
        finally:
            seen.append((recorded(), "end"))
        return "done"

    assert walk.__name__ == "walk"
    assert walk.__doc__ == "Steps."
    steps = walk(2)
    assert next(steps) is inside
    assert recorded() is not inside
    assert steps.send("hello") is inside
    assert steps.throw(KeyError("x")) is inside
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert stop.value.value == "done"
    assert seen == [(inside, "hello"), (inside, "end")]
    steps = walk(2)
    next(steps)
    steps.close()
    assert seen[-1] == (inside, "end")
    assert recorded() is not inside


def test_a_coroutine_runs_under_it_and_others_meanwhile_do_not(word: Any) -> None:
    decorate, inside = word
    seen: list[bool] = []

    @decorate
    async def inner() -> Any:
        before = recorded()
        await asyncio.sleep(0)
        return before, recorded()

    async def other() -> None:
        for _ in range(3):
            seen.append(recorded())
            await asyncio.sleep(0)

    async def both() -> Any:
        return (await asyncio.gather(inner(), other()))[0]

    assert asyncio.iscoroutinefunction(inner)
    assert asyncio.run(both()) == (inside, inside)
    assert seen == [not inside] * 3


def test_an_async_generator_runs_under_it(word: Any) -> None:
    decorate, inside = word
    seen: list[Any] = []

    @decorate
    async def walk() -> Any:
        try:
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append((yield recorded()))
        except KeyError:
            yield "caught", recorded()
        finally:
            await asyncio.sleep(0)
            seen.append(recorded())

    async def consume() -> None:
        async for found in walk():
            assert found is inside
            assert recorded() is not inside
        assert seen == [None, None, None, inside]
        steps = walk()
        await steps.asend(None)
        assert await steps.asend("hello") is inside
        assert await steps.athrow(KeyError("x")) == ("caught", inside)
        await steps.aclose()
        assert seen[-2:] == ["hello", inside]

    asyncio.run(consume())


def test_an_error_in_a_body_leaves_the_callers_setting(word: Any) -> None:
    decorate, inside = word

    @decorate
    def walk() -> Any:
        yield 1
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        list(walk())
    assert recorded() is not inside


def test_a_class_is_constructed_under_it_with_a_warning() -> None:
    with pytest.warns(FutureWarning, match="decorate `__init__`"):

        @tg.no_grad()
        class Net:
            def __init__(self) -> None:
                self.made = recorded()

    assert Net().made is False
    assert recorded()
