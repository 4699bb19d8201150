"""Sums over many rows, and sums of halves, are as exact as PyTorch's.

What adds up is the operations that say so (reductions, products, losses), the running totals, and the engine where it
undoes broadcasting. The reference is float64; where PyTorch is installed its error is the measure, else a few ulps are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp.declare import REGISTRY
from tinygrad_bp.kernels import MANY, total

ULPS = {np.float16: 2.0**-10, np.float32: 2.0**-23, np.float64: 2.0**-52}
RNG = np.random.default_rng(0)


def exact_sum(x: Any, axes: tuple[int, ...]) -> Any:
    rest = [i for i in range(x.ndim) if i not in axes]
    rows = x.astype(np.float64).transpose(*rest, *axes).reshape(*[x.shape[i] for i in rest], -1)
    return np.apply_along_axis(math.fsum, -1, rows)


def error(found: Any, reference: Any) -> float:
    found, reference = np.asarray(found, np.float64), np.asarray(reference, np.float64)
    scale = np.abs(reference).max(initial=0.0)
    return float(np.abs(found - reference).max(initial=0.0) / (scale or 1.0))


LAYOUTS = {
    "rows": lambda x: x, "columns": lambda x: np.asfortranarray(x), "backwards": lambda x: x[::-1],
    "every other": lambda x: np.repeat(x, 2, axis=0)[::2],
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("lay", LAYOUTS)
@pytest.mark.parametrize("shape", [(100_003, 3), (MANY + 1, 40), (4097, 2, 2), (70_000,), (30, 300, 20)], ids=str)
def test_sums_along_every_axis(dtype: Any, lay: str, shape: tuple[int, ...]) -> None:
    x = LAYOUTS[lay](RNG.uniform(0, 0.4, shape).astype(dtype))
    for axes in [(i,) for i in range(len(shape))] + [tuple(range(len(shape)))]:
        reference = exact_sum(x, axes)
        if dtype is np.float16 and reference.max() > 60_000:
            continue
        for keep in (False, True):
            found = total(x, axes, keep)
            assert found.dtype == dtype
            assert found.shape == x.sum(axis=axes, keepdims=keep).shape
            assert error(found.reshape(reference.shape), reference) <= 8 * ULPS[dtype]


def test_the_shape_alone_decides_the_order() -> None:
    """A compiled step may hold the same array otherwise in memory; NumPy's own order along one axis is its own."""
    x = RNG.uniform(size=(3000, 4)).astype(np.float32)
    assert (total(x, (0,)) == total(x.copy(), (0,))).all()
    assert (total(x, (0,)) == total(x[:, :2].copy(), (0,)).tolist() + total(x[:, 2:].copy(), (0,)).tolist()).all()


# (program in `T`, whose inputs are x, 70,000 × 1 of the dtype, and b, which broadcasts)
PROGRAMS = {
    "mean": "x.mean()", "mean 0": "x.mean(0)", "sum 0": "(x / 64).sum(0)", "var": "x.var()", "std": "x.std()",
    "std 0": "x.std(0, unbiased=False)", "norm": "(x / 16).norm()", "norm 3": "(x / 16).norm(3)",
    "norm 1": "(x / 64).norm(1)",
    "cumsum": "(x / 64).cumsum(0)", "logsumexp": "x.logsumexp(0)", "softmax": "x.softmax(0)",
    "log_softmax": "x.log_softmax(0)", "mse": "T.nn.functional.mse_loss(x, x * 0)",
    "l1": "T.nn.functional.l1_loss(x, x * 0)", "dot": "(x / 64).reshape(-1) @ x.reshape(-1)",
    "matmul": "(x / 64).t() @ x", "einsum": "T.einsum('ij,ik->jk', x / 64, x)", "bias": "((x + b) / 64).sum()",
    "scale": "((x * b) / 64).mean()",
    "linear": "T.nn.functional.linear(x / 64, b.reshape(1, 1), b).mean()",
    "cross_entropy": "T.nn.functional.cross_entropy(T.cat([x, x * 0], 1), (x[:, 0] * 0).long())",
}  # fmt: skip


def gradients(module: Any, program: str, x: np.ndarray, b: np.ndarray) -> list[Any]:
    scope = {"x": module.from_numpy(x.copy()).requires_grad_(), "b": module.from_numpy(b.copy()).requires_grad_()}
    y = eval(program, {"T": module, **scope})
    y.mean().backward()
    return [t.detach().numpy() for t in (y, *(s.grad for s in scope.values() if s.grad is not None))]


@pytest.mark.parametrize("dtype", [np.float16, np.float32], ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_over_many_rows(name: str, dtype: Any) -> None:
    """Values and gradients as exact as PyTorch's, or to a few ulps of the largest entry."""
    x, b = RNG.uniform(0.5, 1.5, (70_000, 1)).astype(dtype), np.array([0.75], dtype)
    exact = gradients(tg, PROGRAMS[name], x.astype(np.float64), b.astype(np.float64))
    theirs = gradients(pytest.importorskip("torch"), PROGRAMS[name], x, b)
    allowed = [max(8 * ULPS[dtype], 2 * error(t, e)) for t, e in zip(theirs, exact, strict=True)]
    for found, reference, limit in zip(gradients(tg, PROGRAMS[name], x, b), exact, allowed, strict=True):
        assert found.dtype == dtype
        wrong = error(found, reference)
        assert wrong <= limit, f"{name}: {wrong:.2g} off, {limit:.2g} allowed"


def test_a_bias_over_a_million_rows() -> None:
    b = tg.zeros(3, requires_grad=True)
    g = RNG.uniform(size=(1_000_000, 3)).astype(np.float32)
    (tg.zeros(1_000_000, 3) + b).backward(tg.from_numpy(g))
    assert error(b.grad.array, g.astype(np.float64).sum(0)) < 5e-7
    layer = tg.nn.Linear(1, 3)
    layer(tg.ones(1_000_000, 1)).backward(tg.from_numpy(g))
    assert error(layer.bias.grad.array, g.astype(np.float64).sum(0)) < 5e-7


def test_halves_that_would_overflow_on_the_way() -> None:
    def half(*values: float) -> Any:
        return tg.tensor(values, dtype=tg.float16, requires_grad=True)

    assert half(*[300.0] * 10).norm().item() == 948.5
    assert tg.ones(70_000, dtype=tg.float16).mean().item() == 1
    assert tg.ones(5000, dtype=tg.float16).cumsum(0)[-1].item() == 5000
    assert (half(*[300.0] * 10).std(correction=0) == 0).item()
    assert tg.arange(0.0, 2000.0, 2.0).half().std().item() == 577.5
    x = half(300.0, 400.0)
    x.norm().backward()
    np.testing.assert_allclose(x.grad.array, [0.6, 0.8], rtol=1e-3)
    (g,) = tg.autograd.grad(half(300.0, 400.0).norm().log(), [y := half(1.0)], allow_unused=True)
    assert g is None
    assert y.grad is None


@pytest.mark.parametrize("name", [n for n, op in REGISTRY.items() if op.adds_up])
def test_what_adds_up_has_a_twin_for_halves(name: str) -> None:
    twin = REGISTRY[name].halves
    assert twin.name == REGISTRY[name].name
    assert len(twin.rules) == len(REGISTRY[name].rules)
    assert not twin.adds_up


def test_the_second_derivative_of_halves() -> None:
    x = tg.tensor([300.0, 400.0], dtype=tg.float16, requires_grad=True)
    (g,) = tg.autograd.grad(((x / 16) * (x / 16)).mean().sqrt(), x, create_graph=True)
    assert g.dtype == tg.float16
    (h,) = tg.autograd.grad(g.sum(), x)
    assert h.dtype == tg.float16
    assert np.isfinite(h.array).all()


def test_compiled_sums_are_the_eager_ones() -> None:
    for dtype in (np.float16, np.float32):
        x = tg.from_numpy(RNG.uniform(0, 0.1, (5000, 3)).astype(dtype))
        w = tg.from_numpy(RNG.uniform(size=3).astype(dtype)).requires_grad_()

        def step(x: Any, w: Any = w) -> Any:
            loss = ((x * w).std(0) + (x + w).mean(0)).sum() + (x @ w).logsumexp(0)
            return loss, tg.autograd.grad(loss, w)[0]

        compiled = tg.compile(step)
        for _ in range(2):
            for mine, other in zip(compiled(x), step(x), strict=True):
                assert mine.dtype == other.dtype == dtype
                np.testing.assert_allclose(mine.detach(), other.detach(), rtol=1e-6)
