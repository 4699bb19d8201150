"""The backward pass: what accumulates, what is freed, what raises, and that memory goes when the graph goes.

The values of the gradients are the business of `test_laws.py`; here is how they travel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from engine_side import equal, leaf, nodes_of, scalar

import tinygrad_bp as tg

# ----------------------------------------------------------------------------------------------- order and totals


def test_a_value_used_twice_collects_both_contributions_before_it_passes_on() -> None:
    """b = a + a; c = b + b: a walk that did not wait for all consumers of b would give 2 + 4 or worse."""
    a = scalar(3.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.item() == 4


def test_diamond_with_arms_of_different_length() -> None:
    x = scalar(0.7)
    short, long = x * 2, x.exp().sin().exp()
    (short * long + short).backward()
    s, e = 0.7 * 2, np.exp(np.sin(np.exp(0.7)))
    equal(x.grad, 2 * e + s * e * np.cos(np.exp(0.7)) * np.exp(0.7) + 2)


def test_leaves_accumulate_and_intermediates_do_not() -> None:
    x = leaf(1.0, 2.0)
    for n in (1, 2, 3):
        y = x * x
        y.sum().backward()
        equal(x.grad, n * 2 * x.array)
        with pytest.warns(UserWarning, match="only for leaves"):
            assert y.grad is None


def test_second_backward_over_a_retained_graph_adds_the_same_again() -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).exp().sum()
    y.backward(retain_graph=True)
    once = x.grad.array.copy()
    y.backward(retain_graph=True)
    equal(x.grad, 2 * once)
    y.backward()
    equal(x.grad, 3 * once)


def test_the_gradient_belongs_to_its_tensor_alone() -> None:
    """Two leaves that receive the same cotangent, or the caller's own gradient, do not share memory."""
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = tg.ones(2, dtype=tg.float64)
    (a + b).backward(seed)
    a.grad.zero_()
    equal(b.grad, [1, 1])
    equal(seed, [1, 1])
    c = leaf(1.0, 2.0)
    c.backward(seed)
    c.grad.fill_(5)
    equal(seed, [1, 1])
    first, second = tg.autograd.grad((a + b).sum(), (a, b))
    first.fill_(7)
    equal(second, [1, 1])


def test_gradient_of_a_leaf_itself() -> None:
    x = scalar(2.0)
    x.backward()
    x.backward()
    assert x.grad.item() == 2


def test_several_roots() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    tg.autograd.backward([y, (y * y).sum()], [tg.tensor([1.0, 10.0], dtype=tg.float64), None])
    equal(x.grad, [3 + 18, 30 + 36])


def test_the_same_root_twice_counts_twice() -> None:
    x = scalar(2.0)
    y = x * x
    tg.autograd.backward([y, y])
    assert x.grad.item() == 8


def test_a_root_inside_the_graph_of_another() -> None:
    x = scalar(2.0)
    y = x * x
    z = y * 3
    tg.autograd.backward([z, y])
    assert x.grad.item() == 16


def test_only_live_edges_are_walked() -> None:
    """Constants get no edge, and a graph above an unrelated input is not visited by grad()."""
    x, constant = scalar(2.0), tg.tensor(3.0, dtype=tg.float64)
    y = x * constant
    assert len(y.grad_fn.next_functions) == 1
    calls: list[str] = []
    a, b = scalar(1.0), scalar(1.0)
    left, right = a * 2, b * 2
    right.register_hook(lambda g: calls.append("right"))
    left.register_hook(lambda g: calls.append("left"))
    tg.autograd.grad(left + right, a)
    assert calls == ["left"]


def test_one_node_for_one_operation() -> None:
    w, x = tg.ones(3, 2, dtype=tg.float64, requires_grad=True), tg.ones(4, 3, dtype=tg.float64)
    loss = (x @ w).sigmoid().square().sum()
    assert sorted(n.op.key for n in nodes_of(loss) if n.next_functions) == ["matmul_nd", "sigmoid", "square", "sum"]
    assert [n.name() for n in nodes_of(loss) if not n.next_functions] == ["AccumulateGrad"]


# -------------------------------------------------------------------------------------------------- freed graphs


@pytest.mark.parametrize("again", [lambda y, x: y.backward(), lambda y, x: tg.autograd.grad(y, x)])
def test_a_freed_graph_raises_and_names_the_way_out(again: Callable[[Any, Any], Any]) -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward()
    before = x.grad.array.copy()
    with pytest.raises(tg.GraphError, match="retain_graph=True"):
        again(y, x)
    equal(x.grad, before)


def test_a_freed_part_shared_with_a_living_graph_raises() -> None:
    x = leaf(1.0, 2.0)
    shared = x.exp()
    shared.sum().backward()
    with pytest.raises(tg.GraphError, match="exp"):
        (shared * 2).sum().backward()


def test_grad_frees_only_what_it_walked() -> None:
    a, b = scalar(1.0), scalar(2.0)
    left, right = a.exp(), b.exp()
    y = left * right
    tg.autograd.grad(y, a)
    right.backward()
    equal(b.grad, np.exp(2.0))


def test_create_graph_retains_by_itself() -> None:
    x = scalar(2.0)
    y = x**3
    y.backward(create_graph=True)
    y.backward()
    assert x.grad.item() == 24


# ------------------------------------------------------------------------------------------------- higher orders


@pytest.mark.parametrize(
    ("f", "derivatives"),
    [
        (lambda x: x**4, lambda v: [4 * v**3, 12 * v**2, 24 * v]),
        (lambda x: x.sin(), lambda v: [np.cos(v), -np.sin(v), -np.cos(v)]),
        (lambda x: 1 / x, lambda v: [-1 / v**2, 2 / v**3, -6 / v**4]),
        (lambda x: x.exp() * x, lambda v: [np.exp(v) * (v + 1), np.exp(v) * (v + 2), np.exp(v) * (v + 3)]),
        (lambda x: (x * x).sqrt().log(), lambda v: [1 / v, -1 / v**2, 2 / v**3]),
    ],
)
def test_third_derivatives(f: Callable[[Any], Any], derivatives: Callable[[float], list[float]]) -> None:
    x = scalar(0.7)
    y = f(x)
    for expected in derivatives(0.7):
        (y,) = tg.autograd.grad(y, x, create_graph=True)
        np.testing.assert_allclose(y.item(), expected, rtol=1e-12)


def test_gradient_penalty_through_backward() -> None:
    """.grad with a graph can itself be part of a loss, and is then differentiated."""
    w = leaf(1.0, -2.0)
    (w**3).sum().backward(create_graph=True)
    penalty = (w.grad**2).sum()
    (g,) = tg.autograd.grad(penalty, w)
    equal(g, 2 * 3 * w.array**2 * 6 * w.array)


def test_without_create_graph_the_gradient_has_no_graph() -> None:
    x = leaf(1.0, 2.0)
    (g,) = tg.autograd.grad((x * x).sum(), x)
    assert not g.requires_grad
    (x * x).sum().backward()
    assert not x.grad.requires_grad


# ------------------------------------------------------------------------------------------------- hooks, retain


def test_a_hook_sees_the_whole_gradient_once_and_may_replace_it() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    seen: list[Any] = []
    y.register_hook(lambda g: seen.append(g.array.copy()))
    handle = y.register_hook(lambda g: g * 10)
    (y.sum() + (3 * y).sum()).backward()
    assert [s.tolist() for s in seen] == [[4, 4]]
    equal(x.grad, [80, 80])
    handle.remove()
    handle.remove()
    x.grad = None
    z = x * 2
    z.register_hook(lambda g: None)
    z.sum().backward()
    equal(x.grad, [2, 2])


def test_hooks_run_in_their_order_on_leaves_too() -> None:
    x = leaf(1.0)
    x.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: g * 10)
    (x * 3).sum().backward()
    equal(x.grad, [40])


def test_a_hook_that_changes_the_shape_is_refused_and_leaves_grad_alone() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    y.register_hook(lambda g: g.sum())
    with pytest.raises(tg.ShapeError, match="hook"):
        y.sum().backward()
    assert x.grad is None


def test_a_hook_needs_a_graph() -> None:
    with pytest.raises(tg.GraphError, match="register_hook"):
        tg.ones(2).register_hook(print)
    with pytest.raises(tg.GraphError, match="retain_grad"):
        tg.ones(2).retain_grad()


def test_hooks_see_differentiable_gradients_under_create_graph() -> None:
    x = scalar(2.0)
    y = x**3
    seen: list[bool] = []
    x.register_hook(lambda g: seen.append(g.requires_grad))
    tg.autograd.grad(y, x, create_graph=True)
    assert seen == [True]


def test_retain_grad_keeps_an_intermediate_gradient_of_its_own() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    (y * y).sum().backward()
    equal(y.grad, 2 * y.array)
    y.grad.zero_()
    equal(x.grad, 8 * x.array)


# ----------------------------------------------------------------------------------------------- grad() and inputs


def test_grad_of_intermediates_touches_no_grad() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    z = y.exp().sum()
    gy, gx = tg.autograd.grad(z, (y, x))
    equal(gy, np.exp(y.array))
    equal(gx, np.exp(y.array) * 2 * x.array)
    assert x.grad is None
    with pytest.warns(UserWarning, match="only for leaves"):
        assert y.grad is None


def test_grad_of_an_output_with_respect_to_itself() -> None:
    x = scalar(2.0)
    y = x * x
    assert [g.item() for g in tg.autograd.grad(y, (y, x))] == [1, 4]


def test_unused_inputs() -> None:
    x, other = leaf(1.0, 2.0), leaf(5.0)
    y = (x * x).sum()
    with pytest.raises(tg.GraphError, match="allow_unused"):
        tg.autograd.grad(y, (x, other), retain_graph=True)
    g, none = tg.autograd.grad(y, (x, other), allow_unused=True, retain_graph=True)
    assert none is None
    equal(g, [2, 4])
    equal(tg.autograd.grad(y, (x, other), materialize_grads=True)[1], [0])


def test_backward_inputs_fills_only_these() -> None:
    a, b = scalar(2.0), scalar(3.0)
    (a * b).backward(inputs=[a])
    assert a.grad.item() == 3
    assert b.grad is None
    with pytest.raises(tg.GraphError, match="leaf"):
        (a * b).backward(inputs=[a * 1])


def test_wrong_starts_are_refused() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(tg.GraphError, match=r"scalar.*\(2,\)"):
        (x * x).backward()
    with pytest.raises(tg.GraphError, match="requires_grad=True"):
        tg.ones(()).backward()
    with pytest.raises(tg.ShapeError, match=r"\(3,\)"):
        (x * x).backward(tg.ones(3))
    with pytest.raises(tg.ShapeError):
        tg.autograd.backward([x * x], [tg.ones(2), tg.ones(2)])
    with pytest.raises(tg.GraphError, match="input 0"):
        tg.autograd.grad((x * x).sum(), tg.ones(2))
    with pytest.raises(tg.DtypeError, match="float"):
        tg.ones(2, dtype=tg.int64).requires_grad_()
    with pytest.raises(tg.DtypeError, match="int64"):
        tg.tensor([1, 2], requires_grad=True)
    with pytest.raises(tg.GraphError, match="detach"):
        (x * x).requires_grad = False
    assert x.grad is None


def test_a_cotangent_of_one_entry_is_implied_for_any_shape_of_size_1() -> None:
    x = tg.ones(1, 1, requires_grad=True)
    (x * 2).backward()
    assert x.grad.tolist() == [[2]]


# ------------------------------------------------------------------------------------------------- failing rules


def test_a_rule_that_fails_leaves_every_grad_untouched() -> None:
    class Fails(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            raise ZeroDivisionError("on purpose")

    a, b = leaf(1.0), leaf(2.0)
    b.grad = tg.tensor([7.0], dtype=tg.float64)
    with pytest.raises(ZeroDivisionError):
        (a * 2 + b * 3 + Fails.apply(b)).sum().backward()
    assert a.grad is None
    equal(b.grad, [7])
    assert tg.is_grad_enabled()


# ------------------------------------------------------------------- user code that writes into what it is handed


class Negated(tg.autograd.Function):
    """Writes into the cotangent that it is given."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g.mul_(-1)


def doubled(g: Any) -> None:
    g.mul_(2)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_hook_that_writes_into_its_gradient_changes_no_other(create_graph: bool) -> None:
    a, b = leaf(1.0, 1.0), leaf(1.0, 1.0)
    h = a * 1
    h.register_hook(doubled)
    (h + b).backward(tg.ones(2, dtype=tg.float64), create_graph=create_graph)
    equal(a.grad, [2.0, 2.0])
    equal(b.grad, [1.0, 1.0])


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_function_that_writes_into_its_cotangent_changes_no_other(create_graph: bool) -> None:
    a, b = leaf(1.0, 1.0), leaf(1.0, 1.0)
    given = tg.ones(2, dtype=tg.float64)
    (Negated.apply(a * 2) + b).backward(given, create_graph=create_graph)
    equal(a.grad, [-2.0, -2.0])
    equal(b.grad, [1.0, 1.0])
    equal(given, [1.0, 1.0])


def test_a_freed_node_beside_the_way() -> None:
    """What was freed matters if it may lead to what is asked for, also where another way is open."""
    w = tg.ones(2, requires_grad=True)
    a, b = w.exp(), w.sin()
    c = a * a
    c.sum().backward()
    with pytest.raises(tg.GraphError, match="second time"):
        tg.autograd.grad((b + c).sum(), w)
    h = w * 2
    y = h * 3
    h.sum().backward()
    assert tg.autograd.grad(y.sum(), h)[0].tolist() == [3, 3]  # what lies before h does not count
    with pytest.raises(tg.GraphError, match="second time"):
        tg.autograd.grad((h * 3).sum(), [h, w])


def test_nodes_that_saved_nothing_may_be_walked_again() -> None:
    w = tg.ones(3, requires_grad=True)
    y = (w + 1)[1:].sum()
    y.backward()
    y.backward()
    assert w.grad.tolist() == [0, 2, 2]


def test_a_function_that_returns_its_input_or_a_view_of_it() -> None:
    class Same(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.view(-1)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g.view(2, 1) * 5

    w = tg.ones(2, 1, requires_grad=True)
    with pytest.raises(tg.InplaceError, match="Function"):
        Same.apply(w).mul_(2)
    assert w.tolist() == [[1], [1]]
    h = w * 1
    v = Same.apply(h)
    h.mul_(3)
    with pytest.raises(tg.InplaceError, match="Function"):
        v.sum()


@pytest.mark.parametrize("write", ["t[0] = v", "t.fill_(v)", "t.copy_(v)", "t[t == 0] = v", "t[[0, 1]] = [1, v]"])
@pytest.mark.parametrize("value", [None, "3", b"3"])
def test_what_is_no_number_is_not_written(write: str, value: Any) -> None:
    t = tg.zeros(3)
    with pytest.raises(tg.DtypeError, match="cannot be written"):
        exec(write, {"t": t, "v": value})
    assert t.tolist() == [0, 0, 0]
