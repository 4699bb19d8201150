"""Random numbers of a compiled step go on from call to call, and out of the same stream as eagerly.

Read `test_compile_shapes.py` next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from compile_kit import (
    SGD,
    F,
    agrees,
    batch,
    data,
    equal,
    training,
)

import tinygrad_bp as tg
from tinygrad_bp import nn

STEPS = 50


@equal
def test_dropout_draws_from_the_one_stream(compile: Any, see: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).double()
    step = compile(training(model, SGD(model.parameters(), lr=0.01, momentum=0.5)))
    kept = None
    for i in range(STEPS):
        see(step(*batch(i)), model, tg.get_rng_state())
        if i % 10 == 4:
            tg.manual_seed(i)
        if i % 10 == 7:
            see(tg.rand(3))
        if i == 20:
            kept = tg.get_rng_state()
        if i == 30:
            tg.set_rng_state(kept)


@equal
def test_generators_of_ones_own(compile: Any, see: Any) -> None:
    first, second = tg.Generator().manual_seed(1), tg.Generator().manual_seed(2)
    step = compile(lambda x: x + tg.rand(3, generator=first) + tg.randn(3, generator=second) * tg.rand(3))
    for i in range(8):
        see(step(data(3)), first, second)
        if i == 3:
            first.manual_seed(3)
        if i == 5:
            first = tg.Generator().manual_seed(4)


@equal
def test_a_generator_as_an_argument(compile: Any, see: Any) -> None:
    step = compile(lambda x, generator: x + tg.rand(3, generator=generator))
    for seed in (1, 2):
        generator = tg.Generator().manual_seed(seed)
        for _ in range(3):
            see(step(data(3), generator), generator)


DRAWS: dict[str, Callable[[Any], Any]] = {
    "rand": lambda x: tg.rand(3, 2),
    "rand float64": lambda x: tg.rand(3, dtype=tg.float64),
    "randn": lambda x: tg.randn(5),
    "randn many": lambda x: tg.randn(40),
    "randint": lambda x: tg.randint(0, 9, (3,)),
    "randperm": lambda x: tg.randperm(5),
    "bernoulli of constants": lambda x: tg.bernoulli(tg.full((3,), 0.5)),
    "bernoulli": lambda x: tg.bernoulli(x.sigmoid()),
    "normal of numbers": lambda x: tg.normal(0.0, 1.0, (3,)),
    "normal": lambda x: tg.normal(x, 1.0),
    "normal twice": lambda x: tg.normal(x, x.abs()),
    "rand_like": tg.rand_like,
    "randn_like": tg.randn_like,
    "randint_like": lambda x: tg.randint_like(x, 0, 5),
    "multinomial of constants": lambda x: tg.multinomial(tg.ones(4), 2),
    "multinomial": lambda x: tg.multinomial(x.abs(), 2),
    "shuffled": lambda x: x[tg.randperm(4)],
    "uniform_": lambda x: tg.empty(3).uniform_(),
    "normal_": lambda x: tg.empty(3).normal_(),
    "bernoulli_": lambda x: tg.empty(3).bernoulli_(),
    "exponential_": lambda x: tg.empty(3).exponential_(),
    "random_": lambda x: tg.empty(3).random_(),
    "dropout": lambda x: F.dropout(x, 0.5),
    "two alike": lambda x: (tg.rand(3), tg.rand(3), tg.rand(3) - tg.rand(3)),
    "unused": lambda x: (tg.rand(3), tg.rand(2))[1],
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_random_draws_go_on(draw: Callable[[Any], Any]) -> None:
    def script(compile: Any, see: Any) -> None:
        step = compile(draw)
        for i in range(4):
            see(step(data(4, 3, seed=i)), tg.get_rng_state(), tg.rand(1))

    agrees(script)
