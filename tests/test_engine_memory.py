"""Depth, and what stays alive for how long; threads, modes, and tensors cut off from their graph.

Everything here runs with the collector off: what dies, dies by its reference count.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import pytest
from engine_side import equal, leaf, no_collector, scalar

import tinygrad_bp as tg
from tinygrad_bp.core import Leaf

DEPTH = 100_000


# ---------------------------------------------------------------------------------------------------------- depth


def test_depth_100_000_without_recursion_deletion_included() -> None:
    x = scalar(1.0)
    y = x
    for _ in range(DEPTH):
        y = y + 1e-6
    y.backward()
    assert x.grad.item() == 1
    del y


def test_a_deep_graph_that_is_never_walked_is_deleted_without_recursion() -> None:
    x = scalar(1.0)
    y = x
    for _ in range(DEPTH):
        y = y * 1.0
    refs = weakref.ref(y.grad_fn)
    with no_collector():
        del y
        assert refs() is None


def test_deep_second_order() -> None:
    x = scalar(1.0)
    y = x
    for _ in range(2_000):
        y = y * 1.0001
    (g,) = tg.autograd.grad(y * y, x, create_graph=True)
    g.backward()
    np.testing.assert_allclose(x.grad.item(), 2 * 1.0001**4000, rtol=1e-9)


def test_a_wide_graph() -> None:
    x = scalar(1.0)
    tg.stack([x * k for k in range(1000)]).sum().backward()
    assert x.grad.item() == 999 * 500


# ---------------------------------------------------------------------------------------------------------- memory


def test_memory_goes_with_the_graph_without_the_collector() -> None:
    x = leaf(1.0, 2.0)
    with no_collector():
        y = (x * x).exp()
        z = (y @ y).tanh()
        refs = [weakref.ref(t) for t in (y, z, y.array, z.array, y.grad_fn, z.grad_fn)]
        z.backward()
        del y, z
        assert [r() for r in refs] == [None] * len(refs)


def test_a_graph_that_was_never_walked_has_no_cycle() -> None:
    x = leaf(1.0, 2.0)
    with no_collector():
        for make in (
            lambda: x.exp(), lambda: x.softmax(0), lambda: x[[0, 1]], lambda: tg.cat([x, x]), lambda: x.max(0).values,
            lambda: tg.einsum("i,j->ij", x, x), lambda: x.std(), lambda: x.norm(), lambda: x.clone().mul_(2),
        ):  # fmt: skip
            y = make()
            refs = [weakref.ref(y), weakref.ref(y.array), weakref.ref(y.grad_fn)]
            del y
            assert [r() for r in refs] == [None] * 3


def test_create_graph_leaves_no_cycle() -> None:
    x = scalar(0.5)
    with no_collector():
        y = x.exp().sin()
        (g,) = tg.autograd.grad(y, x, create_graph=True)
        (h,) = tg.autograd.grad(g, x, create_graph=True)
        refs = [weakref.ref(t) for t in (y, g, h, y.grad_fn, g.grad_fn, h.grad_fn)]
        del y, g, h
        assert [r() for r in refs] == [None] * len(refs)


def test_hooks_and_retain_grad_leave_no_cycle() -> None:
    x = scalar(0.5)
    with no_collector():
        y = x.exp()
        y.retain_grad()
        y.register_hook(lambda g: g * 2)
        (y * 2).backward()
        refs = [weakref.ref(y), weakref.ref(y.grad)]
        del y
        assert [r() for r in refs] == [None, None]


def test_functions_leave_no_cycle() -> None:
    class Product(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            y = a * b
            ctx.save_for_backward(a, b, y)
            return y, y + 1

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            a, b, _ = ctx.saved_tensors
            return (g + h) * b, (g + h) * a

    a, b = scalar(2.0), scalar(3.0)
    with no_collector():
        y, z = Product.apply(a, b)
        (y * z).backward()
        refs = [weakref.ref(t) for t in (y, z, y.array, y.grad_fn)]
        del y, z
        assert [r() for r in refs] == [None] * len(refs)


def test_backward_frees_saved_arrays_as_it_goes() -> None:
    """When a rule near the leaves runs, what the rules near the root had saved is gone already."""
    x = leaf(1.0, 2.0)
    with no_collector():
        y = x * 2
        big = (y + 1).exp()
        alive = weakref.ref(big.array)
        z = big.sin()
        seen: list[bool] = []
        y.register_hook(lambda g: seen.append(alive() is not None))
        root = z.sum()
        del big, z, y
        root.backward()
        assert seen == [False]


def test_a_leaf_dies_although_its_graph_lives() -> None:
    with no_collector():
        x = leaf(1.0, 2.0)
        y = x + 1
        ref = weakref.ref(x)
        del x
        assert ref() is None
        y.sum().backward()


def test_total_loss_in_floats_keeps_no_graph() -> None:
    x = leaf(1.0)
    with no_collector():
        loss = (x * x).sum()
        ref = weakref.ref(loss.grad_fn)
        total = 0.0 + loss.item()
        del loss
        assert ref() is None
        assert total == 1


# --------------------------------------------------------------------------------------------------- no_grad, modes


def test_no_grad_in_all_its_forms() -> None:
    x = leaf(1.0)

    @tg.no_grad()
    def decorated() -> Any:
        return x * 2

    @tg.no_grad
    def bare() -> Any:
        return x * 2

    @tg.inference_mode()
    def inferring() -> Any:
        return x * 2

    for f in (decorated, bare, inferring):
        assert not f().requires_grad
        assert tg.is_grad_enabled()
    switch = tg.no_grad()
    with switch, switch:
        assert not (x * 2).requires_grad
        with tg.enable_grad():
            assert (x * 2).requires_grad
        with tg.set_grad_enabled(True):
            assert (x * 2).requires_grad
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()
    tg.set_grad_enabled(False)
    assert not (x * 2).requires_grad
    tg.set_grad_enabled(True)
    with pytest.raises(ZeroDivisionError), tg.no_grad():
        raise ZeroDivisionError
    assert tg.is_grad_enabled()


def test_an_exception_in_a_decorated_function_restores_the_mode() -> None:
    @tg.no_grad()
    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert tg.is_grad_enabled()


def test_a_leaf_made_under_no_grad_still_asks_for_a_gradient() -> None:
    with tg.no_grad():
        w = tg.ones(2, requires_grad=True)
    assert w.requires_grad
    assert isinstance(w.node, Leaf)
    assert w.grad_fn is None


def test_backward_works_under_no_grad() -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    with tg.no_grad():
        y.backward()
    equal(x.grad, [2, 4])


def test_no_grad_in_one_thread_leaves_the_others_alone() -> None:
    inside, done = threading.Event(), threading.Event()
    found: list[bool] = []

    def predicting() -> None:
        with tg.no_grad():
            inside.set()
            done.wait(10)
            found.append(tg.is_grad_enabled())

    thread = threading.Thread(target=predicting)
    thread.start()
    assert inside.wait(10)
    x = leaf(3.0)
    y = (x * x).sum()
    assert y.requires_grad
    y.backward()
    done.set()
    thread.join()
    assert found == [False]
    equal(x.grad, [6])


def test_threads_that_build_and_walk_graphs_of_their_own() -> None:
    results: dict[int, float] = {}

    def work(k: int) -> None:
        x = scalar(1.0 + k)
        for _ in range(50):
            (x * x * x).backward()
        results[k] = x.grad.item()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {k: 50 * 3 * (1.0 + k) ** 2 for k in range(4)}


# ------------------------------------------------------------------------------------------------------ detach, data


def test_detach_cuts_and_shares_memory() -> None:
    x = leaf(1.0, 2.0)
    y = x * 2
    d = y.detach()
    assert d.array is y.array or np.shares_memory(d.array, y.array)
    assert not d.requires_grad
    (y * d).sum().backward()
    equal(x.grad, 2 * 2 * x.array)


def test_requires_grad_switches_on_leaves() -> None:
    x = tg.ones(2)
    x.requires_grad = True
    assert x.is_leaf
    x.requires_grad_(False)
    assert not (x * 2).requires_grad
    assert (x * leaf(1.0, 2.0)).requires_grad


def test_a_gradient_arrives_in_the_dtype_of_its_leaf() -> None:
    half, single, double = (tg.ones(2, dtype=d, requires_grad=True) for d in (tg.float16, tg.float32, tg.float64))
    (half * single * double).sum().backward()
    assert [t.grad.dtype for t in (half, single, double)] == [tg.float16, tg.float32, tg.float64]
    whole = tg.ones(2, dtype=tg.int64)
    (whole * single).sum().backward()
    assert whole.grad is None
