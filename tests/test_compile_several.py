"""A compiled function with several results, whose caller goes back from any of them: each contributes only if asked.

Read `test_compile_errors.py` next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compile_kit import F, data, equal, net

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.compiler.regions import regions

Fn = Callable[[Any, Any], Any]


class Both(tg.autograd.Function):
    """Two outputs of one call."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x, x.exp()

    @staticmethod
    def backward(ctx: Any, g: Any, h: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 2 * x + h * x.exp()


def trunk(x: Any, w: Any) -> Any:
    """Two results of one hidden value that is not returned."""
    h = (x @ w).tanh()
    return h.sin(), h.exp().sum()


def chain(x: Any, w: Any) -> Any:
    """Each result is made from the one before."""
    y = (x @ w).tanh()
    z = (y * w).sin()
    return y, z, (z * y).sum()


def mixed(x: Any, w: Any) -> Any:
    """The first result leads past the second to what that was made from."""
    h = x @ w
    y = h.sin()
    return (y * h).exp(), y


def recurrent(x: Any, w: Any) -> Any:
    h, c = x, x * 0.5
    for _ in range(4):
        a, b = (h @ w).sigmoid(), (h @ w.T).tanh()
        c = c * a + b
        h = c.tanh() * a
    return h, c


def hooked(x: Any, w: Any) -> Any:
    h = x @ w
    y = h.tanh()
    y.register_hook(lambda g: g * 3)
    h.register_hook(lambda g: g + 1)
    return y, (y * h).sum(), h.exp()


def hooked_beside(x: Any, w: Any) -> Any:
    a, b = Both.apply(x @ w)
    b.register_hook(lambda g: g + 1)
    return a, (b * w).sum()


def hooked_within(x: Any, w: Any) -> Any:
    """The hook sees what comes from inside its region and from outside in one sum."""
    h = x.T
    h.register_hook(lambda g: g * 2 + 1)
    a, b = Both.apply(h * w)
    return (b * 2).exp().sum(), h + b, a


def views(x: Any, w: Any) -> Any:
    y = (x @ w).exp()
    return y, y[0], y.T, (y[1:] * 2).sum()


def written(x: Any, w: Any) -> Any:
    y = x @ w
    a = y * 2
    y += 1
    y[0] = a[1]
    return a, y, y + a


FUNCTIONS: dict[str, Fn] = {
    "singular": lambda x, w: ((x * w).sum(), (x - x.detach()).sqrt().sum(), (w * 0).log().sum()),
    "infinite": lambda x, w: (x.exp(), (x * 1e200).exp() * w),
    "trunk": trunk,
    "chain": chain,
    "mixed": mixed,
    "recurrent": recurrent,
    "hooks": hooked,
    "views": views,
    "written": written,
    "apart": lambda x, w: (x.sin(), w.cos().sum()),
    "one result twice": lambda x, w: [y := (x @ w).sin(), y, y * 2],
    "dict": lambda x, w: {"a": (h := x @ w).sum(), "b": {"c": h.exp(), "d": (h, 3)}},
    "arguments and results": lambda x, w: (x, x * w, w, w.exp()),
    "a Function's two outputs": lambda x, w: Both.apply(x @ w),
    "a Function's outputs, used": lambda x, w: (lambda a, b: (a.sin(), b * w, a * b))(*Both.apply(x @ w)),
    "a hook on what gets no cotangent": hooked_beside,
    "a hook in the middle": hooked_within,
    "a view that several read": lambda x, w: [(h := (x @ w).exp().T).log().sum(), (h * h).sum(), h / x, h[0] * h[1]],
    "unbound": lambda x, w: (x @ w).unbind(),
    "a constant among them": lambda x, w: (x.detach() * 2, x * w, (w > 0)),
    "a leaf of its own": lambda x, w: (v := x.detach().requires_grad_(), v * w, v.exp()),
    "0-d and empty": lambda x, w: (x.sum(), x[:0] * w[:0], x[0, 0] * w[1, 1]),
}


def tensors(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, tuple | list):
        return [t for part in tree for t in tensors(part)]
    return [tree] if isinstance(tree, tg.Tensor) and tree.requires_grad else []


def inputs(i: int) -> tuple[Any, Any]:
    return tuple(data(3, 3, seed=10 * i + k).requires_grad_() for k in (1, 2))


@pytest.mark.filterwarnings("ignore:.*encountered")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_set_of_results_alone(name: str) -> None:
    """One, two or all of the results get a cotangent: the others contribute nothing, not even 0 times infinity."""

    @equal
    def script(compile: Any, see: Any) -> None:
        function = compile(FUNCTIONS[name])
        count = len(tensors(FUNCTIONS[name](*inputs(0))))
        for which in [{i, j} for i in range(count) for j in range(i, count)] + [set(range(count))]:
            x, w = inputs(1)
            results = tensors(function(x, w))
            chosen = [results[i] for i in sorted(which)]
            tg.autograd.backward(chosen, [tg.ones_like(y) * (i + 2) for i, y in enumerate(chosen)])
            see(which, x.grad, w.grad)

    script()


@pytest.mark.filterwarnings("ignore:.*encountered")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_result_by_another(name: str) -> None:
    @equal
    def script(compile: Any, see: Any) -> None:
        function = compile(FUNCTIONS[name])
        for i in range(2):
            x, w = inputs(i)
            ends = [x, w, *tensors(function(x, w))]
            for y in ends[2:]:
                for end in ends:
                    found = tg.autograd.grad(y, end, tg.ones_like(y), retain_graph=True, allow_unused=True)
                    see(found)

    script()


@equal
def test_a_loss_of_all_results(compile: Any, see: Any) -> None:
    """What is made of the results outside leads back through all of them at once, as eagerly."""
    model, head = net(3, 4, 4), nn.Linear(4, 2).double()

    def function(x: Any) -> Any:
        h = model(x)
        return {"hidden": h, "out": head(h), "norm": (h * h).mean()}

    function = compile(function)
    for i in range(5):
        x = data(5, 3, seed=i).requires_grad_()
        found = function(x)
        found["hidden"].register_hook(lambda g: g * 2)
        found["hidden"].retain_grad()
        (F.mse_loss(found["out"], data(5, 2, seed=i)) + found["norm"] + found["hidden"].sum()).backward()
        see(x.grad, found["hidden"].grad, model, head)


@equal
def test_the_graph_is_kept_or_used_up(compile: Any, see: Any) -> None:
    function = compile(trunk)
    for i in range(3):
        x, w = inputs(i)
        y, z = function(x, w)
        y.sum().backward(retain_graph=True)
        z.backward(retain_graph=i == 1)
        see(x.grad, w.grad)
        for late in (lambda y=y: y.sum().backward(), lambda z=z: z.backward()):
            try:
                late()
                see("went on", x.grad)
            except tg.errors.GraphError:
                see("used up", x.grad)


@equal
def test_each_call_has_a_graph_of_its_own(compile: Any, see: Any) -> None:
    function = compile(chain)
    calls = [(*given, function(*given)) for given in map(inputs, range(3))]
    for x, w, (y, z, total) in reversed(calls):
        (g,) = tg.autograd.grad(total, z, retain_graph=True)
        (y.sum() + (z * g).sum()).backward()
        see(g, x.grad, w.grad)


@equal
def test_a_result_that_is_a_parameter(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    function = compile(lambda x: (model(x), model[0].weight, model[0].weight.square().sum()))
    for i in range(3):
        out, weight, penalty = function(data(5, 3, seed=i))
        see(weight is model[0].weight, tg.autograd.grad(penalty, weight, retain_graph=True))
        (out.sum() + weight.sum() + penalty).backward()
        see(model)


@equal
def test_an_error_of_one_backward_is_that_of_one(compile: Any, see: Any) -> None:
    def function(x: Any, w: Any) -> Any:
        h = x * w
        y = h.exp()
        z = y.sin()
        with tg.no_grad():
            y.mul_(2)
        return h, z, h.cos()

    function = compile(function)
    for asked in ((0,), (2,), (0, 2), (1,), (0, 1)):
        x, w = inputs(1)
        results = function(x, w)
        try:
            sum(results[i].sum() for i in asked).backward()
            see(asked, x.grad, w.grad)
        except tg.errors.InplaceError:
            see(asked, "refused", x.grad)


def test_what_nobody_asked_for_does_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    x = tg.tensor([0.0, 1.0], requires_grad=True)
    function = tg.compile(lambda x: (x.square().sum(), x.sqrt().sum()))
    for _ in range(2):
        function(x)[0].backward()
    assert x.grad.tolist() == [0.0, 4.0]
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_few_programs() -> None:
    """A long chain below two results that share nearly all of it is three regions, not one for each step."""
    x, w = inputs(0)
    h, c = recurrent(x, w)
    assert len(regions([h.node, c.node])) <= 5
    (y,) = tensors(x.sin())
    assert len(regions([y.node])) == 1


@equal
def test_what_the_step_watches(compile: Any, see: Any) -> None:
    """Hooks and kept gradients of results are there before those of the caller."""
    seen: list[Any] = []

    def function(x: Any, w: Any) -> Any:
        y = (x @ w).tanh()
        y.register_hook(lambda g: g * w)
        y.retain_grad()
        z = (y * 2).exp()
        z.retain_grad()
        return y, z

    function = compile(function)
    for i in range(3):
        x, w = inputs(i)
        y, z = function(x, w)
        y.register_hook(lambda g: seen.append(g.array.copy()) or g + 1)
        z.sum().backward(retain_graph=True)
        z.sum().backward()
        see(y.grad, z.grad, seen)


def test_a_later_write_is_harmless() -> None:
    function = tg.compile(lambda x: (x * x).sin())
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = function(x)
    with tg.no_grad():
        x.mul_(2)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.array, 2 * np.array([1, 2]) * np.cos([1, 4]), rtol=1e-6)
