"""However a training step is written, compiled it does what it does eagerly.

Weights updated by hand, two steps in one, averages of the weights, two models against each other, a model that is saved
and loaded in between. Read `test_compile_gradients.py` next.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compile_kit import (
    SGD,
    F,
    agrees,
    batch,
    data,
    equal,
    labels,
    net,
    recordings,
    training,
)

import tinygrad_bp as tg
from tinygrad_bp import nn

STEPS = 50


def updated_by(update: Callable[[Any], None]) -> Callable[[], None]:
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 2)

        def step(x: Any, y: Any) -> Any:
            model.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            with tg.no_grad():
                for p in model.parameters():
                    update(p)
            return loss

        step = compile(step)
        for i in range(12):
            see(step(*batch(i)), model)

    return lambda: agrees(script)


def minus(p: Any) -> None:
    p -= 0.1 * p.grad


def minus_data(p: Any) -> None:
    p.data -= 0.1 * p.grad


def entries(p: Any) -> None:
    p[...] = p - 0.1 * p.grad


def rows(p: Any) -> None:
    for i in range(len(p)):
        p[i] -= 0.1 * p.grad[i]


def array(p: Any) -> None:
    p.array -= 0.1 * p.grad.array


@pytest.mark.parametrize(
    "update",
    [
        minus,
        minus_data,
        entries,
        rows,
        array,
        lambda p: p.sub_(0.1 * p.grad),
        lambda p: p.add_(p.grad, alpha=-0.1),
        lambda p: p.data.add_(p.grad, alpha=-0.1),
        lambda p: p.copy_(p - 0.1 * p.grad),
        lambda p: p.lerp_(p - p.grad, 0.1) if hasattr(p, "lerp_") else minus(p),
        lambda p: np.subtract(p.array, 0.1 * p.grad.array, out=p.array),
        lambda p: p.sub_(0.1 * p.grad.clamp_(-0.05, 0.05)),
    ],
)
def test_weights_updated_by_hand(update: Callable[[Any], None]) -> None:
    updated_by(update)()


@equal
def test_a_step_that_makes_two_steps(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

    def two(x: Any, y: Any) -> Any:
        return training(model, optimizer)(x, y), training(model, optimizer)(x * 2, y)

    step = compile(two)
    for i in range(STEPS // 2):
        see(step(*batch(i)), model, optimizer)


@equal
def test_a_closure_given_to_the_optimiser(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        def closure() -> Any:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            return loss

        return optimizer.step(closure)

    step = compile(step)
    for i in range(10):
        see(step(*batch(i)), model)


@equal
def test_parts_under_no_grad_and_detached(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        with tg.no_grad():
            target = model(x)
        out = model(x)
        loss = F.mse_loss(out, y) + F.mse_loss(out, target * 0.5) + out.detach().sum() * out.mean()
        loss.backward()
        optimizer.step()
        return loss, target.requires_grad

    step = compile(step)
    for i in range(STEPS):
        see(step(*batch(i)), model)


@equal
def test_an_average_of_the_weights(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    average = copy.deepcopy(model)
    optimizer = SGD(model.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        loss = training(model, optimizer)(x, y)
        with tg.no_grad():
            for p, q in zip(model.parameters(), average.parameters(), strict=True):
                q.mul_(0.9).add_(p, alpha=0.1)
        return loss

    step = compile(step)
    for i in range(STEPS):
        see(step(*batch(i)), model, average)


@equal
def test_two_models_against_each_other_in_one_step(compile: Any, see: Any) -> None:
    maker, judge = net(2, 4, 3), net(3, 4, 1)
    makes, judges = SGD(maker.parameters(), lr=0.1, momentum=0.5), SGD(judge.parameters(), lr=0.1)
    real = tg.ones(5, 1, dtype=tg.float64)
    loss = F.binary_cross_entropy_with_logits

    def step(z: Any, x: Any) -> Any:
        judges.zero_grad()
        made = maker(z)
        first = loss(judge(x), real) + loss(judge(made.detach()), real * 0)
        first.backward()
        judges.step()
        makes.zero_grad()
        second = loss(judge(made), real)
        second.backward()
        makes.step()
        return first, second

    step = compile(step)
    for i in range(STEPS):
        see(step(data(5, 2, seed=i), data(5, 3, seed=i)), maker, judge, makes)


@equal
def test_two_compiled_steps_that_share_their_models(compile: Any, see: Any) -> None:
    maker, judge = net(2, 4, 3), net(3, 4, 1)
    makes, judges = SGD(maker.parameters(), lr=0.1, momentum=0.5), SGD(judge.parameters(), lr=0.1, momentum=0.9)
    loss = F.binary_cross_entropy_with_logits

    def judging(z: Any, x: Any) -> Any:
        judges.zero_grad()
        value = loss(judge(x), tg.ones(5, 1).double()) + loss(judge(maker(z).detach()), tg.zeros(5, 1).double())
        value.backward()
        judges.step()
        return value

    def making(z: Any) -> Any:
        makes.zero_grad()
        value = loss(judge(maker(z)), tg.ones(5, 1).double())
        value.backward()
        makes.step()
        return value

    judging, making = compile(judging), compile(making)
    for i in range(STEPS):
        see(
            judging(data(5, 2, seed=i), data(5, 3, seed=i)),
            making(data(5, 2, seed=i + 99)),
            maker,
            judge,
            makes,
            judges,
        )
    assert recordings(making) <= 3
    assert recordings(judging) <= 3


@equal
def test_integer_inputs_choose_rows(compile: Any, see: Any) -> None:
    table = nn.Parameter(data(6, 2))
    optimizer = SGD([table], lr=0.1, momentum=0.9)

    def step(rows: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.mse_loss(table[rows], y)
        loss.backward()
        optimizer.step()
        return loss

    step = compile(step)
    for i in range(STEPS):
        see(step(labels(5, 6, i), data(5, 2, seed=i)), table)


def test_a_model_saved_and_loaded_in_between(tmp_path: Path) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 2)
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        step, kept = compile(training(model, optimizer)), {}
        for i in range(STEPS):
            see(step(*batch(i)), model, optimizer)
            if i == 10:
                tg.save(model.state_dict(), tmp_path / "model.npz")
                kept = copy.deepcopy(optimizer.state_dict())
            if i in (20, 35):
                model.load_state_dict(tg.load(tmp_path / "model.npz"))
                optimizer.load_state_dict(kept)
            if i == 30:
                model.load_state_dict(tg.load(tmp_path / "model.npz"), assign=True)
                optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

    agrees(script)
