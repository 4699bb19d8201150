"""What may be compiled: methods, modules, compiled functions, recursion, threads; a forward to be differentiated later.

Read `test_compile_refusals.py` next: what may not.
"""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
from compile_kit import (
    SGD,
    F,
    agrees,
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
def test_methods_of_several_instances(compile: Any, see: Any) -> None:
    class Trainer:
        def __init__(self) -> None:
            self.model, self.factor = net(3, 4, 2), 1.0
            self.optimizer = SGD(self.model.parameters(), lr=0.1)

        @compile
        def step(self, x: Any, y: Any) -> Any:
            return training(self.model, self.optimizer)(x * self.factor, y)

    first, second = Trainer(), Trainer()
    for i in range(5):
        see(first.step(*batch(i)), second.step(*batch(i + 7)), first.model, second.model)
        second.factor += 1.0 * (i == 2)
    first.model = net(3, 2)
    first.optimizer = SGD(first.model.parameters(), lr=0.1)
    see(first.step(*batch(9)), first.model)


@equal
def test_static_class_and_unbound_methods(compile: Any, see: Any) -> None:
    class Owner:
        factor = 2.0

        @staticmethod
        @compile
        def static(x: Any) -> Any:
            return x * 2

        @classmethod
        def of_class(cls, x: Any) -> Any:
            return x * cls.factor

        @compile
        def method(self, x: Any) -> Any:
            return x * self.factor

    owner, of_class = Owner(), compile(Owner.of_class)
    for Owner.factor in (2.0, 3.0):
        see(Owner.static(data(3)), owner.static(data(3)), of_class(data(3)))
        see(Owner.method(owner, data(3)), owner.method(data(3)))


@equal
def test_a_compiled_forward_of_a_module_of_ones_own(compile: Any, see: Any) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net(3, 4, 2)

        @compile
        def forward(self, x: Any) -> Any:
            return self.inner(x).detach()

    own = Own()
    for i in range(3):
        see(own(data(2, 3, seed=i)), list(own.state_dict()), len(list(own.modules())), own)
    other = copy.deepcopy(own)
    with tg.no_grad():
        other.inner[0].weight.mul_(2)
    see(own(data(2, 3)), other(data(2, 3)), own, other)


@equal
def test_compiled_in_compiled(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1)
    inner = compile(lambda x: model(x))
    step = compile(lambda x, y: training(inner, optimizer)(x, y))
    whole = compile(training(compile(model), optimizer))
    for i in range(5):
        see(step(*batch(i)), whole(*batch(i)), model)


@equal
def test_recursion(compile: Any, see: Any) -> None:
    def plain(x: Any, n: int) -> Any:
        return x if n == 0 else plain(x * 2, n - 1)

    def through(x: Any, n: int) -> Any:
        return x if n == 0 else compiled(x * 2, n - 1)

    compiled = compile(through)
    step = compile(plain)
    see(step(data(3), 3), step(data(3), 2), compiled(data(3), 3), compiled(data(3), 2))


@pytest.mark.parametrize("warm", [True, False])
def test_threads(warm: bool) -> None:
    def script(compile: Any, see: Any) -> None:
        step, found = compile(lambda x: (x * 2 + 1).sum(0)), [None] * 4
        if warm:
            step(data(4, 3))

        def work(i: int) -> None:
            for _ in range(50):
                found[i] = step(data(4, 3, seed=i))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        see(found)

    agrees(script)


@equal
def test_the_backward_of_a_compiled_forward(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    step, square = compile(lambda x: model(x)), compile(lambda x: x * x)
    for i in range(3):
        model.zero_grad()
        first, second = step(data(2, 3, seed=i)), step(data(2, 3, seed=i + 5))
        (first * second).sum().backward()
        x = data(3, seed=i).requires_grad_()
        square(square(x) * 2).sum().backward()
        see(model, x, first)


@equal
def test_a_compiled_forward_in_an_eager_training(compile: Any, see: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 2)).double()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    forward = compile(model)
    for i in range(20):
        x, y = batch(i)
        optimizer.zero_grad()
        loss = F.mse_loss(forward(x), y) + (forward(x * 2) ** 2).mean()
        loss.backward()
        optimizer.step()
        see(loss, model, optimizer)


@equal
def test_forwards_whose_backwards_come_later(compile: Any, see: Any) -> None:
    """What one call keeps for its backward is not overwritten by the next."""
    model = net(3, 4, 2)
    forward, both = compile(model), compile(lambda x: {"a": model(x), "b": [model(x).exp(), x * 2]})
    for i in range(4):
        model.zero_grad()
        ys = [forward(data(5, 3, seed=10 * i + k)) for k in range(4)]
        found = both(data(5, 3, seed=i))
        loss = sum((y**2).sum() for y in ys) + found["b"][0].sum()
        loss.backward(retain_graph=True)
        loss.backward()
        with pytest.raises(tg.GraphError):
            loss.backward()
        see(model, ys)


@equal
def test_weights_changed_between_a_compiled_forward_and_its_backward(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    step = compile(lambda x: model(x))
    for i in range(2):
        y = step(data(2, 3, seed=i))
        with tg.no_grad():
            model[2].weight.mul_(2.0)
        with pytest.raises(tg.InplaceError):
            y.sum().backward()
        see(y.detach())


@equal
def test_a_graph_from_before_the_step_is_refused_as_in_eager(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    step(*batch(0))
    for i in range(3):
        before = (model(data(2, 3)) ** 2).sum()
        step(*batch(i))
        with pytest.raises(tg.InplaceError):
            before.backward()
        see(model)


@equal
def test_the_loss_of_a_step_has_no_graph_left(compile: Any, see: Any) -> None:
    _, _, step = trained(compile)
    for i in range(3):
        loss = step(*batch(i))
        see(loss.requires_grad)
        with pytest.raises(tg.GraphError):
            loss.backward()
