"""A compiled step that is a part: its caller runs the backward, the update, or asks for a second derivative.

Read `test_compile_errors.py` next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from compile_kit import SGD, F, data, equal, net

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.autograd import functional


@pytest.mark.parametrize("there", [(), (0,), (0, 1, 2, 3), (3,)])
def test_gradients_that_a_forward_does_not_touch(there: tuple[int, ...]) -> None:
    """Whichever leaves had a gradient at the recording, and whichever come and go later."""

    @equal
    def script(compile: Any, see: Any) -> None:
        model, other = net(3, 4, 2), nn.Parameter(data(2))
        leaves = [*model.parameters(), other]
        for i in there:
            leaves[i].grad = data(*leaves[i].shape)
        forward = compile(lambda x: model(x) * other)
        for i in range(6):
            loss = (forward(data(5, 3, seed=i)) ** 2).sum()
            see([p.grad for p in leaves])
            if i != 2:
                loss.backward()
            see([p.grad for p in leaves])
            leaves[i % 5].grad = None if i % 2 else data(*leaves[i % 5].shape)
            with tg.no_grad():
                see(forward(data(5, 3)), [p.grad for p in leaves])

    script()


@equal
def test_hooks_of_leaves_run_once(compile: Any, see: Any) -> None:
    model, x = net(3, 4, 2), data(5, 3)
    calls: list[float] = []
    model[0].weight.register_hook(lambda g: calls.append(g.sum().item()) or g * 2)
    forward = compile(model)
    for i in range(4):
        given = x.detach().requires_grad_()
        given.register_hook(lambda g: g * 3)
        (forward(given) ** 2).sum().backward()
        see(calls, given.grad, model)
        if i == 1:
            model[2].bias.register_hook(lambda g: -g)


@pytest.mark.parametrize("zeroed", ["outside", "inside", "never", "outside, to zeros", "by hand"])
def test_backward_inside_and_the_update_outside(zeroed: str) -> None:
    @equal
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 2)
        optimizer = SGD(model.parameters(), lr=0.05, momentum=0.5)

        def function(x: Any, y: Any) -> Any:
            if zeroed == "inside":
                optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            return loss.detach()

        step = compile(function)
        for i in range(6):
            if zeroed.startswith("outside"):
                optimizer.zero_grad(set_to_none="zeros" not in zeroed)
            if zeroed == "by hand":
                for p in model.parameters():
                    p.grad = None
            see(step(data(5, 3, seed=i), data(5, 2, seed=i)), model)
            optimizer.step()
            see(model, optimizer)

    script()


def hessian(f: Any, x: Any) -> Any:
    return functional.hessian(lambda x: f(x).sum(), x.detach())


def through_grad(f: Any, x: Any) -> Any:
    f(x).sum().backward(create_graph=True)
    x.grad.sum().backward()


def through_weights(f: Any, x: Any) -> Any:
    f(x).sum().backward(create_graph=True)
    next(f.function.parameters()).grad.sum().backward()


def penalty(f: Any, x: Any) -> Any:
    y = f(x)
    (g,) = tg.autograd.grad(y, x, tg.ones(*y.shape).double(), create_graph=True)
    ((g.norm() - 1) ** 2).backward()


SECOND: dict[str, Callable[[Any, Any], Any]] = {
    "grad of grad": lambda f, x: tg.autograd.grad(tg.autograd.grad(f(x).sum(), x, create_graph=True)[0].sum(), x),
    "backward of grad": lambda f, x: tg.autograd.grad(f(x).sum(), x, create_graph=True)[0].sum().backward(),
    "through .grad": through_grad,
    "through a weight's .grad": through_weights,
    "hessian": hessian,
    "hvp": lambda f, x: functional.hvp(lambda x: f(x).sum(), x.detach(), tg.ones(*x.shape).double()),
    "penalty": penalty,
}  # fmt: skip


@pytest.mark.parametrize("name", SECOND)
def test_a_second_derivative_through_a_compiled_forward_is_refused(name: str) -> None:
    forward = tg.compile(net(3, 4, 2))
    for _ in range(2):
        with pytest.raises(tg.GraphError, match="second derivative through a compiled forward"):
            SECOND[name](forward, data(5, 3).requires_grad_())


def test_a_first_derivative_with_a_graph_is_no_second() -> None:
    model = net(3, 4, 2)
    forward, x = tg.compile(model), data(5, 3).requires_grad_()
    (g,) = tg.autograd.grad(forward(x).sum(), x, create_graph=True)
    (expected,) = tg.autograd.grad(model(x).sum(), x)
    assert (g.detach() - expected).abs().max().item() < 1e-12
    forward(x).sum().backward(create_graph=True)
    assert forward(x).shape == (5, 2)  # gradients with a graph are there, and nobody reads them


@pytest.mark.parametrize("what", ["requires_grad", "hook", "graph in place", "data", "gradient"])
def test_what_a_step_may_not_do_to_its_argument(what: str) -> None:
    w = nn.Parameter(data(3))

    def step(x: Any) -> Any:
        if what == "requires_grad":
            x.requires_grad_()
        elif what == "hook":
            (x * 1).sum()
            x.register_hook(lambda g: g * 2)
        elif what == "graph in place":
            x += w
        elif what == "data":
            x.data = x.data * 2
        else:
            (x * w).sum().backward()
        return (x * 2).detach()

    x = data(3)
    if what in ("hook", "gradient"):
        x.requires_grad_()
    before = x.detach().clone(), x.node
    with pytest.raises(tg.CompileError, match=r"argument"):
        tg.compile(step)(x)
    assert bool((x.detach() == before[0]).all())
    assert x.node is before[1]
    assert x.grad is None
