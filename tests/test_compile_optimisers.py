"""Training compiled gives what training eagerly gives, for every option of the optimiser and every schedule.

Groups with settings of their own, learning rates that change between the steps, inside them and while they run.
Read `test_compile_training.py` next: how else steps are written.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
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
    net,
    recordings,
    training,
)

import tinygrad_bp as tg
from tinygrad_bp import nn

STEPS = 50


OPTIONS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "dampening": {"momentum": 0.9, "dampening": 0.3},
    "weight decay": {"weight_decay": 0.1},
    "maximize": {"maximize": True, "lr": 1e-3},
    "maximize with momentum": {"maximize": True, "lr": 1e-3, "momentum": 0.5},
    "decay and nesterov": {"weight_decay": 0.01, "momentum": 0.5, "nesterov": True},
    "all": {"momentum": 0.5, "weight_decay": 0.01, "dampening": 0.1, "maximize": True, "lr": 1e-4},
    "lr of nothing": {"lr": 0.0, "momentum": 0.9},
    "whole lr": {"lr": 1, "weight_decay": 1},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_sgd(options: dict[str, Any]) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 2)
        optimizer = SGD(model.parameters(), **{"lr": 0.1, **options})
        step = compile(training(model, optimizer))
        for i in range(STEPS):
            see(step(*batch(i)), model, optimizer)
        assert recordings(step) <= 2, "momentum is new in the first step, and never again"

    agrees(script)


ADAMS = {
    "plain": {}, "decay": {"weight_decay": 0.1}, "decoupled": {"weight_decay": 0.1, "decoupled_weight_decay": True},
    "amsgrad": {"amsgrad": True}, "maximize": {"maximize": True, "lr": 1e-3}, "betas": {"betas": (0.5, 0.0)},
}  # fmt: skip


@pytest.mark.parametrize("options", ADAMS.values(), ids=ADAMS)
def test_adam(options: dict[str, Any]) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 2)
        optimizer = tg.optim.Adam(model.parameters(), **{"lr": 0.1, **options})
        step = compile(training(model, optimizer))
        for i in range(30):
            see(step(*batch(i)), model, optimizer)
            group = optimizer.param_groups[0]
            group["lr"], group["betas"], group["eps"] = group["lr"] * 0.97, (0.9, 0.99 - i / 100), 1e-8 * (i + 1)
        assert recordings(step) <= 2, "all numbers are live"

    agrees(script)


@equal
def test_adams_state_is_cleared_loaded_and_counted_otherwise(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.1)
    step, kept = compile(training(model, optimizer)), None
    for i in range(14):
        see(step(*batch(i)), model, optimizer)
        if i == 1:
            kept = copy.deepcopy(optimizer.state_dict())
        if i == 3:
            optimizer.load_state_dict(kept)
        if i == 5:
            optimizer.state.clear()
        if i == 7:
            optimizer.state[model[0].bias]["step"].fill_(20)
        if i == 9:
            optimizer.state[model[2].weight]["exp_avg"] = tg.ones(2, 4).double()
        if i == 11:
            model[2].bias.data = model[2].bias.detach() * 2


@equal
def test_eager_and_compiled_steps_take_turns(compile: Any, see: Any) -> None:
    """And some parameters miss a gradient at some of the eager ones."""
    model = net(3, 4, 2)
    optimizer = tg.optim.Adam(model.parameters(), lr=0.1)
    eager = training(model, optimizer)
    step = compile(eager)
    for i in range(12):
        see((eager if i % 3 == 0 else step)(*batch(i)), model, optimizer)
        if i in (4, 7):
            model[0].weight.grad = None
            optimizer.step()


@equal
def test_parameters_without_a_gradient_among_others(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    idle = [nn.Parameter(data(3)), nn.Parameter(data(2))]
    optimizer = SGD([idle[0], *model.parameters(), idle[1]], lr=0.1, momentum=0.9)
    step = compile(training(model, optimizer))
    for i in range(6):
        see(step(*batch(i)), model, optimizer, idle)


def test_an_update_is_one_however_many_parameters_there_are() -> None:
    lines = []
    for depth in (1, 5):
        model = net(*[3] * (depth + 1), 2)
        step = tg.compile(training(model, tg.optim.Adam(model.parameters(), lr=0.1)))
        for i in range(2):
            step(*batch(i))
        lines.append(step.source.partition("    # update\n")[2].count("\n") - 1)
        assert "exp_avgs" in step.source
        assert "0.weight" in step.explain()
    assert lines[0] == lines[1] <= 30


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64, tg.float16])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "weight_decay": 0.1}], ids=["plain", "momentum"])
def test_sgd_in_every_dtype(dtype: Any, options: dict[str, Any]) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 2, dtype=dtype)
        optimizer = SGD(model.parameters(), lr=0.01, **options)
        step = compile(training(model, optimizer))
        for i in range(20):
            see(step(*(t.to(dtype) for t in batch(i))), model, optimizer)

    agrees(script)


@equal
def test_a_parameter_longer_than_the_optimisers_block(compile: Any, see: Any) -> None:
    model = net(300, 300, 2)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    step = compile(training(model, optimizer))
    for i in range(4):
        see(step(data(3, 300, seed=i), data(3, 2, seed=i)), model, optimizer)


@pytest.mark.parametrize("kind", ["permuted", "scalar", "empty", "mixed dtypes"])
def test_unusual_parameters(kind: str) -> None:
    def script(compile: Any, see: Any) -> None:
        w = nn.Parameter(data(4, 3).T if kind == "permuted" else data(3, 4))
        other = nn.Parameter(
            tg.tensor(0.5, dtype=tg.float64)
            if kind == "scalar"
            else tg.zeros(0).double()
            if kind == "empty"
            else tg.ones(4)
        )
        optimizer = SGD([w, other], lr=0.1, momentum=0.9, weight_decay=0.1)
        step = compile(training(lambda x: x @ w * (other.sum() + 1 if kind == "empty" else other), optimizer))
        for i in range(6):
            see(step(data(5, 3, seed=i), data(5, 4, seed=i)), w, other, optimizer)

    agrees(script)


@equal
def test_groups_with_settings_of_their_own(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    groups = [
        {"params": model[0].parameters()},
        {"params": [model[2].weight], "lr": 0.01, "momentum": 0.5, "nesterov": True},
        {"params": [model[2].bias], "weight_decay": 0},
    ]
    optimizer = SGD(groups, lr=0.1, weight_decay=0.1)
    step = compile(training(model, optimizer))
    for i in range(STEPS):
        see(step(*batch(i)), model, optimizer)
        for group in optimizer.param_groups:
            group["lr"] *= 0.95


@equal
def test_lr_as_a_tensor(compile: Any, see: Any) -> None:
    model, lr = net(3, 4, 2), tg.tensor(0.1, dtype=tg.float64)
    step = compile(training(model, SGD(model.parameters(), lr=lr)))
    for i in range(10):
        see(step(*batch(i)), model)
        lr.fill_(0.1 / (i + 1))


SCHEDULES: dict[str, Callable[[int], float]] = {
    "every ten": lambda i: 0.1 * 0.5 ** (i // 10),
    "exponential": lambda i: 0.1 * 0.97**i,
    "cosine": lambda i: 0.05 * (1 + math.cos(math.pi * i / STEPS)),
    "warm-up": lambda i: 0.1 * min(1.0, (i + 1) / 10),
}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_a_schedule_between_the_steps(schedule: Callable[[int], float], momentum: float) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 2)
        optimizer = SGD(model.parameters(), lr=0.1, momentum=momentum)
        step = compile(training(model, optimizer))
        for i in range(STEPS):
            optimizer.param_groups[0]["lr"] = schedule(i)
            see(step(*batch(i)), model, optimizer)
        assert recordings(step) <= 2, "a learning rate is live"

    agrees(script)


@equal
def test_a_schedule_inside_the_step(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        loss = training(model, optimizer)(x, y)
        optimizer.param_groups[0]["lr"] *= 0.97
        return loss

    step = compile(step)
    for i in range(STEPS):
        see(step(*batch(i)), model, optimizer)
    assert recordings(step) <= 2


@equal
def test_every_setting_changed_on_the_way(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    changes: list[tuple[str, Any]] = [
        ("lr", 0),
        ("lr", 1),
        ("lr", np.float64(0.1)),
        ("lr", 0.01),
        ("momentum", 0.5),
        ("momentum", 0),
        ("momentum", 0.8),
        ("weight_decay", 0.1),
        ("weight_decay", 0),
        ("dampening", 0.5),
        ("dampening", 0),
        ("nesterov", True),
        ("maximize", True),
        ("nesterov", False),
        ("maximize", False),
    ]
    step = compile(training(model, optimizer))
    for i, (name, value) in enumerate(changes):
        see(step(*batch(2 * i)), step(*batch(2 * i + 1)), model, optimizer)
        optimizer.param_groups[0][name] = value


@pytest.mark.parametrize("number", [np.float64, np.float32])
def test_lr_as_a_number_of_numpys_in_float32(number: Any) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 2, dtype=tg.float32)
        optimizer = SGD(model.parameters(), lr=0.1)
        step = compile(training(model, optimizer))
        for i in range(4):
            see(step(*(t.float() for t in batch(i))), model)
            optimizer.param_groups[0]["lr"] = number(0.1)

    agrees(script)


@equal
def test_two_optimisers_in_one_step(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    first, second = SGD(model[0].parameters(), lr=0.1), SGD(model[2].parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        first.zero_grad()
        second.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        first.step()
        second.step()
        return loss

    step = compile(step)
    for i in range(STEPS):
        see(step(*batch(i)), model, first, second)


@equal
def test_a_learning_rate_in_a_closure_and_one_that_is_returned(compile: Any, see: Any) -> None:
    w, lr = nn.Parameter(data(3)), 0.1
    optimizer = SGD([w], lr=0.1)

    def step(x: Any) -> Any:
        w.grad = None
        loss = ((w - x) ** 2).sum()
        loss.backward()
        with tg.no_grad():
            w.sub_(lr * w.grad * optimizer.param_groups[0]["lr"])
        return loss, optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["lr"] * 2

    step = compile(step)
    for i in range(5):
        see(step(data(3, seed=i)), w)
        lr *= 0.9
        optimizer.param_groups[0]["lr"] *= 0.8


@equal
def test_a_branch_on_the_learning_rate(compile: Any, see: Any) -> None:
    model, optimizer = net(3, 4, 2), None
    optimizer = SGD(model.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        scale = 1.0 if optimizer.param_groups[0]["lr"] > 0.05 else 3.0
        return training(model, optimizer)(x * scale, y)

    step = compile(step)
    for i in range(10):
        see(step(*batch(i)), model)
        optimizer.param_groups[0]["lr"] *= 0.8
    assert recordings(step) <= 2
