"""Gradients, optimiser states and groups may change between two calls of a compiled step.

Read `test_compile_callables.py` next.
"""

from __future__ import annotations

import copy
from typing import Any

from compile_kit import (
    SGD,
    F,
    batch,
    data,
    equal,
    net,
    trained,
    training,
)

import tinygrad_bp as tg
from tinygrad_bp import nn


@equal
def test_gradients_changed_between_calls(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    for i in range(6):
        see(step(*batch(i)), model)
        if i == 2:
            model.zero_grad()
        if i == 3:
            model[0].weight.grad.fill_(9.0)
        if i == 4:
            model[0].weight.grad = tg.ones(4, 3).double()


@equal
def test_gradients_that_the_user_adds_to(compile: Any, see: Any) -> None:
    w = nn.Parameter(data(3))

    def step(x: Any) -> None:
        (w * x).sum().backward()

    step = compile(step)
    for i in range(8):
        step(data(3, seed=i))
        see(w)
        if i == 1:
            w.grad = None
        if i == 3:
            w.grad.mul_(0.5)
        if i == 4:
            w.grad = w.grad.clone()
        if i == 5:
            w.grad = tg.zeros(3).double()


@equal
def test_a_gradient_that_a_step_reads(compile: Any, see: Any) -> None:
    x = data(3).requires_grad_()
    step = compile(lambda: x.detach() * 2 if x.grad is None else x.grad * 3)
    see(step())
    for grad in (data(3, seed=1), data(3, seed=2), None, data(3, seed=3)):
        x.grad = grad
        see(step())
        if grad is not None:
            grad.fill_(4.0)
            see(step())


@equal
def test_a_gradient_that_was_there_before_the_first_call(compile: Any, see: Any) -> None:
    x = data(3).requires_grad_()
    x.grad = tg.ones(3).double()
    step = compile(lambda: x.grad * 2)
    for grad in (x.grad, tg.zeros(3).double(), data(3)):
        x.grad = grad
        see(step())


@equal
def test_a_parameter_that_gets_no_gradient(compile: Any, see: Any) -> None:
    model, other = net(3, 4, 2), nn.Parameter(data(2))
    other.grad = tg.ones(2).double()
    optimizer = SGD([*model.parameters(), other], lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        model.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step = compile(step)
    for i in range(8):
        see(step(*batch(i)), model, optimizer, other)
        if i == 2:
            other.grad = None
        if i == 3:
            other.grad = tg.ones(2).double()
        if i == 5:
            other.grad.fill_(2.0)


@equal
def test_the_optimisers_state_loaded_cleared_and_changed(compile: Any, see: Any) -> None:
    model, optimizer, step = trained(compile)
    kept: Any = None
    bias = model[0].bias
    for i in range(18):
        see(step(*batch(i)), model, optimizer)
        if i == 1:
            kept = copy.deepcopy(optimizer.state_dict())
        if i == 3:
            optimizer.load_state_dict(kept)
        if i == 5:
            optimizer.state.clear()
        if i == 7:
            optimizer.state.pop(bias)
        if i == 9:
            optimizer.state[bias]["momentum_buffer"] = tg.zeros(4).double()
        if i == 11:
            optimizer.state[bias]["momentum_buffer"].fill_(1.0)
        if i == 13:
            optimizer.state[bias]["momentum_buffer"] = None
        if i == 15:
            optimizer.state = {}


@equal
def test_groups_added_swapped_and_taken_away(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model[0].parameters(), lr=0.1, momentum=0.9)
    step = compile(training(model, optimizer))
    for i in range(12):
        see(step(*batch(i)), model)
        groups = optimizer.param_groups
        if i == 2:
            optimizer.add_param_group({"params": model[2].parameters(), "lr": 0.01})
        if i == 4:
            groups.reverse()
        if i == 6:
            groups[0]["params"].reverse()
        if i == 8:
            groups.pop()
        if i == 10:
            groups[0]["params"].pop()


@equal
def test_an_optimiser_replaced(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        return training(model, optimizer)(x, y)

    step = compile(step)
    for i in range(6):
        see(step(*batch(i)), model, optimizer)
        if i == 2:
            optimizer = SGD(model.parameters(), lr=0.01)
