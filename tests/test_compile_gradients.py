"""Gradients come out of a compiled step as of an eager one: gathered, cleared, clipped, of second order, made by hand.

Read `test_compile_nets.py` next.
"""

from __future__ import annotations

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
    trained,
    training,
)

import tinygrad_bp as tg
from tinygrad_bp import nn

STEPS = 50


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
        for i in range(15):
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
        for i in range(20):
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


@equal
def test_gradients_that_the_step_assigns_or_forgets(compile: Any, see: Any) -> None:
    model, optimizer, _ = trained(lambda function: function)
    w = nn.Parameter(data(3))
    other = SGD([w], lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        loss = training(model, optimizer)(x, y)
        model[0].weight.grad = None
        w.grad = (x[0] * 2).detach()
        other.step()
        return loss

    step = compile(step)
    for i in range(5):
        see(step(*batch(i)), model, optimizer, w, other)


@equal
def test_hooks_and_kept_gradients_of_what_the_step_makes(compile: Any, see: Any) -> None:
    w = nn.Parameter(data(3))

    def step(x: Any) -> Any:
        w.grad = None
        h = x * w
        h.register_hook(lambda g: g * 2)
        h.retain_grad()
        (h**2).sum().backward()
        return h.grad

    step = compile(step)
    for i in range(3):
        see(step(data(3, seed=i)), w)


@pytest.mark.parametrize("layers", [1, 10])  # few gradients are looked at one by one, many in a row
def test_gradients_that_are_kept_again_and_again(layers: int) -> None:
    """Each time that somebody keeps a gradient, as a tensor or as its array, the next run takes new buffers."""
    model = nn.Sequential(*[nn.Linear(3, 3) for _ in range(layers)])
    step = tg.compile(training(model, SGD(model.parameters(), lr=0.1)))
    x, y = tg.rand(5, 3), tg.rand(5, 3)
    step(x, y)
    keepers: list[Callable[[], Any]] = [
        lambda: model[0].weight.grad, lambda: model[0].bias.grad.array, lambda: model[0].weight.grad.array,
        lambda: model[0].bias.grad,
    ]  # fmt: skip
    for keeper in keepers * 2:
        kept = keeper()
        before = np.array(getattr(kept, "array", kept))
        linked = step._plan.linked
        step(x, y)
        assert step._plan.linked is not linked
        np.testing.assert_array_equal(getattr(kept, "array", kept), before)
        linked = step._plan.linked
        step(x, y)
        step(x, y)
        assert step._plan.linked is linked
