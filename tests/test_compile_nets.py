"""Nets of every kind train compiled as they do eagerly: shared weights, batch norm, attention, recurrence, drawn ones.

Read `test_compile_losses.py` next.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compile_kit import (
    SGD,
    agrees,
    batch,
    data,
    net,
    training,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_table import CASES

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.testing import modules

STEPS = 50


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


# A softmax over the rows does not see a bias, whose gradient is noise around 0.
ACTIVATIONS = [getattr(nn, name)(**options) for name, options in CASES if options.get("dim") != 0]
ACTIVATIONS += [nn.Flatten(), nn.Identity()]


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
