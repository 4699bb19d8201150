"""A compiled step gives what the eager step gives: trainings of 50 steps, for every optimiser option, loss and layer.

Every test is a script that is played eagerly and compiled; see `compile_kit.py`. Read `test_compile_footguns.py` next:
what may change between two calls.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compile_kit import F, agrees, data, equal, labels, net, recordings, training
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.testing import modules

STEPS = 50
SGD = tg.optim.SGD


def batch(i: int, n: int = 5) -> tuple[Any, Any]:
    return data(n, 3, seed=i), data(n, 2, seed=i)


# ----------------------------------------------------------------- optimisers

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


# ----------------------------------------------------------------- how steps are written


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
        for i in range(STEPS):
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


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("where", ["inside", "outside", "after"])
def test_zero_grad(where: str, to_none: bool) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 2)
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            if where == "inside":
                optimizer.zero_grad(to_none)
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            if where == "after":
                optimizer.zero_grad(to_none)
            return loss

        step = compile(step)
        for i in range(STEPS):
            if where == "outside":
                optimizer.zero_grad(to_none)
            see(step(*batch(i)), model, optimizer)
        assert recordings(step) <= 4

    agrees(script)


@pytest.mark.parametrize("to_none", [True, False])
def test_gradients_gathered_over_several_calls(to_none: bool) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 2)
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

        def part(x: Any, y: Any) -> Any:
            loss = F.mse_loss(model(x), y) / 4
            loss.backward()
            return loss

        part = compile(part)
        for i in range(STEPS):
            see(part(*batch(i)), model, optimizer)
            if i % 4 == 3:
                optimizer.step()
                optimizer.zero_grad(to_none)
        assert recordings(part) <= 3

    agrees(script)


@equal
def test_gradients_gathered_inside_one_step(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1)

    def step(parts: Any) -> Any:
        optimizer.zero_grad()
        losses = []
        for x, y in parts:
            loss = F.mse_loss(model(x), y) / len(parts)
            loss.backward()
            losses.append(loss)
        optimizer.step()
        return losses

    step = compile(step)
    for i in range(STEPS):
        see(step([batch(i + j, 2 + j) for j in range(3)]), model)


@equal
def test_backward_twice_through_one_graph(compile: Any, see: Any) -> None:
    model = net(3, 4, 1)

    def step(x: Any) -> Any:
        model.zero_grad()
        loss = model(x).square().sum()
        loss.backward(retain_graph=True)
        loss.backward()
        return loss

    step = compile(step)
    for i in range(4):
        see(step(data(5, 3, seed=i)), model)


@equal
def test_two_losses_of_one_forward(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        out = model(x)
        first, second = F.mse_loss(out, y), F.l1_loss(out, y)
        first.backward(retain_graph=True)
        second.backward()
        optimizer.step()
        return {"mse": first, "l1": second, "sum": first + second}

    step = compile(step)
    for i in range(STEPS):
        see(step(*batch(i)), model)


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


CLIPS: dict[str, Callable[[Any], Any]] = {
    "norm": lambda ps: nn.utils.clip_grad_norm_(ps, 0.5),
    "norm 1": lambda ps: nn.utils.clip_grad_norm_(ps, 1.0, 1.0),
    "largest": lambda ps: nn.utils.clip_grad_norm_(ps, 0.5, math.inf),
    "never": lambda ps: nn.utils.clip_grad_norm_(ps, 1e9),
    "checked": lambda ps: nn.utils.clip_grad_norm_(ps, 0.5, error_if_nonfinite=True),
    "value": lambda ps: nn.utils.clip_grad_value_(ps, 0.1),
}


@pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)
def test_clipped_gradients(clip: Callable[[Any], Any]) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 2)
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            norm = clip(model.parameters())
            optimizer.step()
            return loss, norm

        step = compile(step)
        for i in range(STEPS):
            see(step(*batch(i)), model, optimizer)

    agrees(script)


@equal
def test_a_gradient_penalty(compile: Any, see: Any) -> None:
    model = net(3, 4, 1)
    optimizer = SGD(model.parameters(), lr=0.01)

    def step(x: Any) -> Any:
        x = x.detach().requires_grad_()
        optimizer.zero_grad()
        out = model(x).sum()
        (slope,) = tg.autograd.grad(out, x, create_graph=True)
        loss = ((slope.norm(dim=1) - 1) ** 2).mean() + out**2 * 0.01
        loss.backward()
        optimizer.step()
        return loss, slope

    step = compile(step)
    for i in range(STEPS):
        see(step(data(5, 3, seed=i)), model)


class Cube(tg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


@equal
def test_a_custom_function(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.01)
    step = compile(training(model, optimizer, lambda out, y: F.mse_loss(Cube.apply(out), y)))
    for i in range(STEPS):
        see(step(*batch(i)), model)


CONSTANTS: dict[str, Callable[[Any, Any], Any]] = {
    "product from the left": lambda x, w: tg.ones(2, 5).double() @ (x @ w),
    "product from the right": lambda x, w: x @ w @ tg.eye(4).double(),
    "joined": lambda x, w: tg.cat([tg.ones(1, 4).double(), x @ w]),
    "chosen": lambda x, w: tg.where(tg.eye(5, 4) > 0, x @ w, tg.zeros(5, 4).double()),
    "written into": lambda x, w: written_into(tg.zeros(5, 4).double(), x @ w),
    "indexed by one": lambda x, w: (x @ w)[tg.arange(2)],
    "einsum": lambda x, w: tg.einsum("ij,jk,kl->il", x, w, tg.eye(4).double()),
    "nothing": lambda x, w: x,
    "product with an array": lambda x, w: tg.from_numpy(np.ones((5, 5))) @ (x @ w),
    "weights alone": lambda x, w: tg.ones(5, 3).double() @ w,
}


def written_into(y: Any, x: Any) -> Any:
    y[1:] = x[1:] * 2
    return y


@pytest.mark.parametrize("function", CONSTANTS.values(), ids=CONSTANTS)
@pytest.mark.parametrize("cotangent", ["sum", "ones", "ramp"])
def test_constants_made_in_the_step(function: Callable[[Any, Any], Any], cotangent: str) -> None:
    def script(compile: Any, see: Any) -> None:
        model, w = net(3, 4, 3), nn.Parameter(data(3, 4))

        def step(x: Any) -> Any:
            w.grad = None
            model.zero_grad()
            y = function(model(x), w)
            if cotangent == "sum":
                y.sum().backward()
            else:
                y.backward(
                    tg.ones(y.shape).double()
                    if cotangent == "ones"
                    else tg.tensor(np.linspace(0, 1, y.numel()).reshape(y.shape))
                )
            return y

        step = compile(step)
        for i in range(4):
            see(step(data(5, 3, seed=i)), w, model)

    agrees(script)


# ----------------------------------------------------------------- kinds of nets


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


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.out = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        return self.out(self.inner(self.inner(x).tanh()).tanh())


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.back, self.out = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2)
        self.back.weight = self.into.weight

    def forward(self, x: Any) -> Any:
        return self.out(self.back(self.into(x).tanh()) @ self.into.weight)


class BatchNorm(nn.Module):
    """As in the paper: batch statistics in training, running ones afterwards."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(tg.ones(size)), nn.Parameter(tg.zeros(size))
        self.register_buffer("mean", tg.zeros(size))
        self.register_buffer("var", tg.ones(size))
        self.register_buffer("count", tg.tensor(0))

    def forward(self, x: Any) -> Any:
        mean, var = self.mean, self.var
        if self.training:
            mean, var = x.mean(0), x.var(0, unbiased=False)
            with tg.no_grad():
                self.mean.mul_(0.9).add_(0.1 * mean)
                self.var.mul_(0.9).add_(0.1 * x.var(0))
                self.count += 1
        return (x - mean) / (var + 1e-5).sqrt() * self.weight + self.bias


class Attention(nn.Module):
    """One head, with a causal mask; sequences of three."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(1, 4), nn.Linear(1, 4, bias=False)  # whose gradient would be rounding alone
        self.value, self.out = nn.Linear(1, 4), nn.Linear(12, 2)

    def forward(self, x: Any) -> Any:
        x = x.unsqueeze(-1)
        scores = self.query(x) @ self.key(x).mT / 2
        scores = scores.masked_fill(tg.ones(3, 3).triu(1) > 0, -1e9)
        return self.out((scores.softmax(-1) @ self.value(x)).flatten(1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.over, self.out = nn.Linear(1, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        h = tg.zeros(len(x), 4, dtype=x.dtype)
        for column in x.unbind(1):
            h = (self.into(column[:, None]) + self.over(h)).tanh()
        return self.out(h)


class Products(nn.Module):
    """einsum, matmul, cat, stack, split, where, sort and slices."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(tg.tensor(np.linspace(-1, 1, 12).reshape(3, 4)))
        self.v = nn.Parameter(tg.tensor(np.linspace(-1, 1, 8).reshape(4, 2)))

    def forward(self, x: Any) -> Any:
        h = tg.einsum("ni,ij->nj", x, self.w)
        a, b = h.split(2, 1)
        h = tg.cat([tg.where(a > 0, a, 0.1 * a), b.abs()], 1)
        h = tg.stack([h, h.sort(1)[0]], 0).mean(0)
        h[:, 1:3] = h[:, 1:3] * 2
        return h @ self.v


NETS: dict[str, Callable[[], Any]] = {
    "a layer used twice": Shared,
    "tied weights": Tied,
    "batch norm": lambda: nn.Sequential(nn.Linear(3, 4, bias=False), BatchNorm(4), nn.Tanh(), nn.Linear(4, 2)),
    "attention": Attention,
    "recurrent": Recurrent,
    "products": Products,
    "bilinear": lambda: TwoInputs(),
    "dropout": lambda: nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Tanh(), nn.Dropout(0.2), nn.Linear(4, 2)),
    "deep": lambda: net(3, *[2] * 12, 2),
    "one weight": lambda: net(3, 2),
    "no bias": lambda: nn.Sequential(nn.Linear(3, 4, bias=False), nn.Tanh(), nn.Linear(4, 2, bias=False)),
    "in place": lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2), nn.ELU(inplace=True)),
}


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Bilinear(3, 3, 2)

    def forward(self, x: Any) -> Any:
        return self.both(x, x.flip(1))


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_nets(make: Callable[[], Any]) -> None:
    def script(compile: Any, see: Any) -> None:
        model = make().double()
        optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9)
        step, evaluated = compile(training(model, optimizer)), compile(lambda x: model(x).detach())
        for i in range(STEPS):
            see(step(*batch(i)), model.state_dict(), optimizer)
            if i % 10 == 9:
                model.eval()
                see(evaluated(data(3, 3, seed=i)))
                model.train()
        see(model)

    agrees(script, rtol=1e-11)  # relative to the largest entry; gradients are differences of larger numbers


ACTIVATIONS = [
    nn.ELU(),
    nn.ELU(0.5),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SELU(),
    nn.Hardtanh(-0.5, 0.7),
    nn.LeakyReLU(0.2),
    nn.LogSigmoid(),
    nn.LogSoftmax(-1),
    nn.ReLU(),
    nn.ReLU6(),
    nn.Sigmoid(),
    nn.SiLU(),
    nn.Softmax(-1),
    nn.Softplus(),
    nn.Softplus(2.0, 1.0),
    nn.Softsign(),
    nn.Tanh(),
    nn.Flatten(),
    nn.Identity(),
]


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
@pytest.mark.parametrize("act", ACTIVATIONS, ids=repr)
def test_activations(act: Any, dtype: Any) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 2, act=lambda: act, dtype=dtype)
        optimizer = SGD(model.parameters(), lr=0.1)
        step = compile(training(model, optimizer))
        for i in range(10):
            x, y = batch(i)
            see(step((x * 3).to(dtype), y.to(dtype)), model)
        see(compile(lambda x: act(x))(tg.tensor([[-800.0, -30.0, -0.0, 0.0, 30.0, 800.0]], dtype=dtype)))

    agrees(script)


def test_every_activation_is_among_them() -> None:
    known = {type(act).__name__ for act in ACTIVATIONS}
    assert not [name for name in vars(nn.activation) if name in nn.__all__ and name not in known | {"Module"}]


WEIGHT = tg.tensor([0.5, 1.0, 2.0, 0.1], dtype=tg.float64)


def per_row(y: Any, reduction: str) -> Any:
    return y.mean() if reduction == "mean" else y.sum() if reduction == "sum" else y


OF_CHANCES: dict[str, Callable[..., Any]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,
    "huber 0.3": partial(F.huber_loss, delta=0.3),
    "smooth l1": F.smooth_l1_loss,
    "smooth l1 0.2": partial(F.smooth_l1_loss, beta=0.2),
    "smooth l1 0": partial(F.smooth_l1_loss, beta=0.0),
    "bce": lambda out, y, **o: F.binary_cross_entropy(out.sigmoid(), y, **o),
    "bce weight": lambda out, y, **o: F.binary_cross_entropy(out.sigmoid(), y, weight=WEIGHT, **o),
    "logits": F.binary_cross_entropy_with_logits,
    "logits weights": partial(F.binary_cross_entropy_with_logits, weight=WEIGHT, pos_weight=WEIGHT * 2),
    "cross entropy": lambda out, y, **o: F.cross_entropy(out, y.softmax(1), **o),
    "cross entropy smooth": lambda out, y, **o: F.cross_entropy(out, y.softmax(1), WEIGHT, label_smoothing=0.2, **o),
    "cosine": lambda out, y, reduction: per_row(F.cosine_similarity(out, y), reduction),
}
OF_CLASSES: dict[str, Callable[..., Any]] = {
    "nll": lambda out, y, **o: F.nll_loss(out.log_softmax(1), y, **o),
    "nll weight": lambda out, y, **o: F.nll_loss(out.log_softmax(1), y, WEIGHT, ignore_index=2, **o),
    "cross entropy": F.cross_entropy,
    "cross entropy weight": partial(F.cross_entropy, weight=WEIGHT),
    "cross entropy ignore": partial(F.cross_entropy, ignore_index=1),
    "cross entropy smooth": partial(F.cross_entropy, label_smoothing=0.1, weight=WEIGHT, ignore_index=0),
}


def trained_with(measure: Callable[..., Any], target: Callable[[int], Any], reduction: str) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(4, 4, 4)
        optimizer = SGD(model.parameters(), lr=0.01)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            value = measure(model(x), y, reduction=reduction)
            value.sum().backward()
            optimizer.step()
            return value

        step = compile(step)
        for i in range(6):
            see(step(data(6, 4, seed=i), target(i)), model)
        assert recordings(step) <= 1

    agrees(script)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("measure", OF_CHANCES.values(), ids=OF_CHANCES)
def test_losses(measure: Callable[..., Any], reduction: str) -> None:
    trained_with(measure, lambda i: (data(6, 4, seed=i + 50) * 0.5).sigmoid(), reduction)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("measure", OF_CLASSES.values(), ids=OF_CLASSES)
def test_losses_of_classes(measure: Callable[..., Any], reduction: str) -> None:
    trained_with(measure, lambda i: labels(6, 4, i), reduction)


@pytest.mark.parametrize("make", [nn.CrossEntropyLoss, nn.NLLLoss])
def test_classes_with_more_axes_and_live_targets(make: Any) -> None:
    def script(compile: Any, see: Any) -> None:
        w, criterion = nn.Parameter(data(4)), make(ignore_index=-100, weight=WEIGHT)
        optimizer = SGD([w], lr=0.1)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = criterion((x * w[:, None]).log_softmax(1), y)
            loss.backward()
            optimizer.step()
            return loss

        step = compile(step)
        for i in range(STEPS):
            rng = np.random.default_rng(i)
            y = rng.integers(0, 4, (5, 2))
            y[rng.random((5, 2)) < 0.2] = -100
            see(step(data(5, 4, 2, seed=i), tg.tensor(y)), w)

    agrees(script)


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(modules(in_features=3, out_features=2), st.integers(1, 4), st.booleans())
def test_drawn_nets(model: Any, rows: int, momentum: bool) -> None:
    def script(compile: Any, see: Any) -> None:
        own = copy.deepcopy(model).double()
        optimizer = SGD(own.parameters(), lr=0.1, momentum=0.9 * momentum)
        step = compile(training(own, optimizer))
        for i in range(6):
            see(step(*batch(i, rows)), own, optimizer)

    agrees(script, rtol=1e-11)


# ----------------------------------------------------------------- copies, buffers, randomness


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


# ----------------------------------------------------------------- saved and loaded, shapes


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


@equal
def test_batches_of_every_size_and_no_ping_pong(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1)
    step = compile(training(model, optimizer, partial(F.mse_loss, reduction="sum")))
    for i in range(12):
        for n in (5, 5, 1, 0, 3):
            see(step(*batch(i, n)), model)
    assert recordings(step) in (0, 4)


@equal
def test_full_batches_and_a_smaller_last_one(compile: Any, see: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 2)).double()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    step, evaluated = compile(training(model, optimizer)), compile(lambda x: model(x).detach())
    for epoch in range(10):
        model.train()
        for n in (5, 5, 2):
            see(step(*batch(epoch, n)), model)
        model.eval()
        see(evaluated(data(4, 3)))
    assert recordings(step) <= 3
    assert recordings(evaluated) <= 1


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64, tg.float16, tg.int64, tg.bool])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (2, 0, 3), (2, 3)])
def test_functions_of_every_shape_and_dtype(shape: tuple[int, ...], dtype: Any) -> None:
    def script(compile: Any, see: Any) -> None:
        steps = [compile(f) for f in (lambda x: x + x, lambda x: (x * 2, x.sum()), lambda x: x.float().exp() / 3)]
        for i in range(3):
            for step in steps:
                see(step((data(1, *shape, seed=i)[0] * 3).to(dtype)))

    agrees(script)


@equal
def test_dtypes_that_alternate_in_one_step(compile: Any, see: Any) -> None:
    step = compile(lambda x: (x * 2, x + x, x / 3))
    for _ in range(2):
        for dtype in (tg.float64, tg.float32, tg.int64, tg.float16):
            see(step((data(3) * 5).to(dtype)), step((data(3) * 5).to(dtype).numpy()))
    assert recordings(step) in (0, 8)


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
