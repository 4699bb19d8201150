"""A compiled step that is a part: its caller runs the backward, the update, or asks for a second derivative.

Read `test_compile_several.py` next.
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


@equal
def test_a_result_gives_no_gradient_to_a_leaf_that_it_was_not_made_from(compile: Any, see: Any) -> None:
    w, v = (tg.ones(3, dtype=tg.float64, requires_grad=True) for _ in range(2))
    step = compile(lambda x: (w * x, v.exp() * x, w * v))
    for k in range(3):
        w.grad = v.grad = None
        step(data(3))[k].sum().backward()
        see(w, v)
        see(tg.autograd.grad(step(data(3))[k].sum(), (w, v), allow_unused=True))


@equal
def test_results_whose_saved_values_were_overwritten(compile: Any, see: Any) -> None:
    """Only their backward raises, as PyTorch has it; the other results have theirs."""
    w = tg.ones(3, dtype=tg.float64, requires_grad=True)

    @compile
    def step(x: Any) -> Any:
        y = w * x
        z, square = y + 1, y * y
        y.mul_(3)
        return y, z, square, square.detach()

    for k in (0, 2, 1, 2):
        w.grad = None
        results = step(data(3))
        see(*results)
        try:
            results[k].sum().backward()
        except tg.InplaceError as error:
            see(str(error).partition(" at ")[0])
        see(w)
    with pytest.raises(tg.InplaceError, match="overwritten"):
        tg.autograd.grad(step(data(3))[2].sum(), w, allow_unused=True)


@equal
def test_leaves_that_the_step_makes(compile: Any, see: Any) -> None:
    w = tg.ones(3, dtype=tg.float64, requires_grad=True)

    @compile
    def step(x: Any) -> Any:
        y = (x * 2).requires_grad_()
        hidden = (x + 1).requires_grad_()
        return y, (y * w).sum(), [y], x.detach().requires_grad_(), (hidden * hidden).sum()

    for i in range(3):
        w.grad = None
        y, loss, (again,), leaf, alone = step(data(3, seed=i))
        see(y is again, [(t.requires_grad, t.is_leaf) for t in (y, loss, leaf, alone)])
        loss.backward()
        alone.backward()
        see(y, y.grad, leaf.grad, w.grad)


@equal
def test_results_keep_the_gradient_that_they_have(compile: Any, see: Any) -> None:
    w = tg.ones(3, dtype=tg.float64, requires_grad=True)

    @compile
    def step(x: Any) -> Any:
        y = w * x
        y.retain_grad()
        (y * y).sum().backward()
        return y, y[1:].detach()

    for i in range(3):
        y, part = step(data(3, seed=i))
        see(y, y.grad, part, part.grad, w)


@equal
def test_a_kept_gradient_is_filled_by_a_backward_outside(compile: Any, see: Any) -> None:
    w = tg.ones(3, dtype=tg.float64, requires_grad=True)

    @compile
    def step(x: Any) -> Any:
        y = w * x
        y.retain_grad()
        return y, y.sum()

    for i in range(3):
        y, total = step(data(3, seed=i))
        total.backward()
        see(y.grad, w)


@pytest.mark.parametrize("create", [False, True])
def test_a_gradient_that_is_one_number_is_written_to(create: bool) -> None:
    @equal
    def script(compile: Any, see: Any) -> None:
        w = tg.ones(2, 3, dtype=tg.float64, requires_grad=True)

        @compile
        def step(x: Any) -> Any:
            w.grad = None
            (w.sum() * 2).backward()
            w.grad.mul_(0.5)
            (g,) = tg.autograd.grad(w.sum() + x.sum(), w, create_graph=create)
            return g.add_(1)

        for i in range(3):
            see(step(data(3, seed=i)), w.grad)

    script()


@pytest.mark.parametrize("look", ["detach()", "view(-1).detach()", "data", "detach().numpy()"])
def test_a_returned_look_into_memory_that_is_exchanged(look: str) -> None:
    @equal
    def script(compile: Any, see: Any) -> None:
        for shape in ((), (2,)):
            w = tg.ones(shape, dtype=tg.float64, requires_grad=True)
            step = compile(eval(f"lambda: w.{look}", {"w": w}))
            see(step())
            for _ in range(3):
                w.data = w.data * 2
                see(step())

    script()


@pytest.mark.parametrize("through", ["b.add_(w)", "b[1:].mul_(w.sum())", "b.view(-1)[0].copy_(w[0])"])
def test_a_graph_written_into_what_outlives_the_step_is_refused(through: str) -> None:
    w, b = tg.ones(3, requires_grad=True), tg.zeros(3)
    step = tg.compile(eval(f"lambda: {through}", {"w": w, "b": b}))
    with pytest.raises(tg.CompileError, match=r"writes a value with a graph into 'b' of shape \(3,\).*b.clone\(\)"):
        step()
    assert not b.requires_grad
    assert b.tolist() == [0, 0, 0]


def test_so_is_one_that_a_view_of_what_the_step_does_not_reach_would_keep() -> None:
    w, base = tg.ones(3, requires_grad=True), tg.zeros(3)
    b = base[1:]
    with pytest.raises(tg.CompileError, match="writes a value with a graph into 'b'"):
        tg.compile(lambda: b.add_(w[1:]))()
    assert not base.requires_grad
    assert base.tolist() == [0, 0, 0]


@equal
def test_classes_and_functions_that_exec_made_in_a_bare_namespace(compile: Any, see: Any) -> None:
    scope: dict[str, Any] = {}
    exec("class C: k = 2.0\n@staticmethod\ndef f(): return C.k", scope)
    exec("def step(x): return x * C.k * f()", scope)
    step = compile(scope["step"])
    see(step(data(3)))
    scope["C"].k = 3.0
    see(step(data(3)))
    scope["f"] = eval("lambda: 5.0", {})
    see(step(data(3)))
