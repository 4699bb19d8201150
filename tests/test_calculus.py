"""The values themselves, against 50 digits of mpmath, and at the extremes: right, finite and silent.

`filterwarnings = error` makes every overflow that NumPy mentions a failure here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_bp as tg
from tinygrad_bp import kernels

mpmath.mp.dps = 50
BIG = 1e4


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


# name: (the function in mpmath, its derivative, arguments)
EXACT: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], list[float]]] = {
    "exp": (mpmath.exp, mpmath.exp, [-700, -1, 0, 1e-10, 3.3, 700]),
    "exp2": (lambda x: mpmath.mpf(2) ** x, lambda x: mpmath.mpf(2) ** x * mpmath.log(2), [-1000, 0, 0.5, 1000]),
    "expm1": (mpmath.expm1, mpmath.exp, [-40, -1e-12, 1e-12, 2.0, 700]),
    "log": (mpmath.log, lambda x: 1 / x, [1e-300, 0.5, 1.0, 1e300]),
    "log2": (lambda x: mpmath.log(x, 2), lambda x: 1 / (x * mpmath.log(2)), [1e-300, 0.5, 8.0]),
    "log10": (mpmath.log10, lambda x: 1 / (x * mpmath.log(10)), [1e-300, 0.5, 100.0]),
    "log1p": (mpmath.log1p, lambda x: 1 / (1 + x), [-0.999, -1e-14, 1e-14, 5.0]),
    "sin": (mpmath.sin, mpmath.cos, [-2.0, 0.0, 1e-8, 100.0]),
    "cos": (mpmath.cos, lambda x: -mpmath.sin(x), [-2.0, 0.0, 1e-8, 100.0]),
    "tan": (mpmath.tan, lambda x: 1 / mpmath.cos(x) ** 2, [-1.5, 0.0, 1e-8, 1.5]),
    "asin": (mpmath.asin, lambda x: 1 / mpmath.sqrt(1 - x * x), [-0.99, 0.0, 1e-9, 0.5]),
    "acos": (mpmath.acos, lambda x: -1 / mpmath.sqrt(1 - x * x), [-0.99, 0.0, 0.5]),
    "atan": (mpmath.atan, lambda x: 1 / (1 + x * x), [-1e4, 0.0, 1e-9, 1e4]),
    "sinh": (mpmath.sinh, mpmath.cosh, [-700, 0.0, 1e-9, 20.0]),
    "cosh": (mpmath.cosh, mpmath.sinh, [-700, 0.0, 1e-9, 20.0]),
    "tanh": (mpmath.tanh, lambda x: 1 - mpmath.tanh(x) ** 2, [-3.0, 0.0, 1e-9, 2.0]),
    "asinh": (mpmath.asinh, lambda x: 1 / mpmath.sqrt(x * x + 1), [-1e4, 0.0, 1e-9, 3.0]),
    "acosh": (mpmath.acosh, lambda x: 1 / mpmath.sqrt(x * x - 1), [1.01, 2.0, 1e4]),
    "atanh": (mpmath.atanh, lambda x: 1 / (1 - x * x), [-0.99, 0.0, 1e-9, 0.5]),
    "sqrt": (mpmath.sqrt, lambda x: 1 / (2 * mpmath.sqrt(x)), [1e-300, 2.0, 1e300]),
    "rsqrt": (lambda x: 1 / mpmath.sqrt(x), lambda x: -mpmath.mpf(x) ** -1.5 / 2, [1e-100, 2.0, 1e100]),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x)), [-700, -30, -1e-9, 0.0, 2.5, 30]),
    "erf": (mpmath.erf, lambda x: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x), [-5, -0.5, 0.0, 1e-12, 1.0, 5]),
    "softplus": (lambda x: mpmath.log1p(mpmath.exp(x)), sigmoid, [-700, -30, -1e-9, 0.0, 2.5, 19.9]),
    "square": (lambda x: x * x, lambda x: 2 * x, [-1e150, 0.0, 3.0]),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2, [-1e100, 1e-100, 3.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_values_and_slopes_to_the_last_digits(name: str) -> None:
    f, slope, points = EXACT[name]
    x = tg.tensor(points, dtype=tg.float64, requires_grad=True)
    y = getattr(tg, name)(x) if hasattr(tg, name) else tg.nn.functional.softplus(x)
    y.sum().backward()
    exact, slopes = ([float(g(mpmath.mpf(p))) for p in points] for g in (f, slope))
    np.testing.assert_allclose(y.array, exact, rtol=4e-15, atol=5e-324)
    np.testing.assert_allclose(x.grad.array, slopes, rtol=2e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
@pytest.mark.parametrize(
    ("program", "value", "gradient"),
    [
        ("x.sigmoid()", [0, 0.5, 1], [0, 0.25, 0]),
        ("F.softplus(x)", [0, math.log(2), BIG], [0, 0.5, 1]),
        ("F.softplus(x, beta=2)", [0, math.log(2) / 2, BIG], [0, 0.5, 1]),
        ("F.logsigmoid(x)", [-BIG, -math.log(2), 0], [1, 0.5, 0]),
        ("x.tanh()", [-1, 0, 1], [0, 1, 0]),
        ("x.log_softmax(0)", [-2 * BIG, -BIG, 0], [1, 1, -2]),
        ("x.softmax(0)", [0, 0, 1], [0, 0, 0]),
        ("x.logsumexp(0)", BIG, [0, 0, 1]),
        ("(-x).logsumexp(0)", BIG, [-1, 0, 0]),
        ("x.logsumexp(0) - x.max()", 0, [0, 0, 0]),
        ("F.silu(x)", [0, 0, BIG], [0, 0.5, 1]),
        ("F.gelu(x)", [0, 0, BIG], [0, 0.5, 1]),
        ("x.relu()", [0, 0, BIG], [0, 0, 1]),
        ("x.atan()", [-math.pi / 2 + 1e-4, 0, math.pi / 2 - 1e-4], [1e-8, 1, 1e-8]),
        ("x.erf()", [-1, 0, 1], [0, 2 / math.sqrt(math.pi), 0]),
        ("F.binary_cross_entropy_with_logits(x, tg.tensor([1.0, 0.0, 0.0]).to(x.dtype), reduction='sum')",
        2 * BIG + math.log(2), [-1, 0.5, 1]),
        ("F.cross_entropy(x, tg.tensor(0))", 2 * BIG, [-1, 0, 1]),
        ("F.softmin(x, 0)", [1, 0, 0], [0, 0, 0]),
    ],
)  # fmt: skip
def test_at_ten_thousand_and_at_zero(program: str, value: Any, gradient: list[float], dtype: Any) -> None:
    """At −1e4, 0 and 1e4: the right limit, and no warning on the way there or back."""
    function = program.partition("F.")[2].partition("(")[0]
    if function and not hasattr(tg.nn.functional, function):
        pytest.skip(f"nn.functional has no {function}")
    x = tg.tensor([-BIG, 0.0, BIG], dtype=dtype, requires_grad=True)
    y = eval(program, {"x": x, "tg": tg, "F": tg.nn.functional})
    np.testing.assert_allclose(y.array, value, rtol=1e-6, atol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.array, gradient, rtol=1e-3, atol=1e-7)
    assert y.dtype == dtype
    assert x.grad.dtype == dtype


@pytest.mark.parametrize("program",
    ["x.sigmoid()", "x.softmax(0)", "x.log_softmax(0)", "x.logsumexp(0)", "x.tanh()", "tg.nn.functional.softplus(x)"])
def test_second_derivatives_at_the_extremes_are_finite_and_silent(program: str) -> None:
    x = tg.tensor([-BIG, 0.0, BIG], dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(eval(program, {"x": x, "tg": tg}).sum(), x, create_graph=True)
    if g.requires_grad:
        (h,) = tg.autograd.grad((g * tg.tensor([1.0, 2.0, 3.0])).sum(), x)
        assert np.isfinite(h.array).all()


@pytest.mark.parametrize("program",
    ["x.norm()", "x.norm(dim=0)", "x.norm(3)", "x.norm(1)", "x.norm(p=2, dim=-1, keepdim=True)", "x.std()",
        "x.norm(p=float('inf'))"])
def test_the_gradient_of_a_norm_at_0_is_0(program: str) -> None:
    x = tg.zeros(3, dtype=tg.float64, requires_grad=True)
    y = eval(program, {"x": x})
    y.sum().backward()
    assert y.array.sum() == 0
    assert x.grad.tolist() == [0, 0, 0]


def test_a_row_of_zeros_does_not_spoil_the_others() -> None:
    x = tg.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    x.norm(dim=1).sum().backward()
    np.testing.assert_allclose(x.grad.array, [[0, 0], [0.6, 0.8]], rtol=1e-6)


def test_second_derivative_of_a_norm_at_0_is_finite() -> None:
    x = tg.zeros(3, dtype=tg.float64, requires_grad=True)
    (g,) = tg.autograd.grad(x.norm(), x, create_graph=True)
    (h,) = tg.autograd.grad(g.sum(), x)
    assert np.isfinite(h.array).all()


def test_slopes_at_the_kinks() -> None:
    """PyTorch's choices: 0 for relu, abs and sign; half each for a tie of maximum; the bound of clamp passes."""
    x = tg.tensor(0.0, requires_grad=True)
    for f, slope in (
        (lambda t: t.relu(), 0), (lambda t: t.abs(), 0), (lambda t: t.sign(), 0),
        (lambda t: tg.maximum(t, 0.0 * t.detach()), 0.5),
        (lambda t: t.clamp(0, 1), 1), (lambda t: t.clamp(-1, 0), 1), (lambda t: t.clamp(min=0), 1),
        (lambda t: tg.nn.functional.leaky_relu(t, 0.25), 0.25),
        (lambda t: t**0, 0), (lambda t: t**1, 1), (lambda t: t**2, 0), (lambda t: t**3, 0),
    ):  # fmt: skip
        assert tg.autograd.grad(f(x), x)[0].item() == slope


@pytest.mark.parametrize("zeros", [(), (1,), (0, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("name", ["prod", "cumprod"])
def test_products_are_differentiable_at_zeros(name: str, zeros: tuple[int, ...]) -> None:
    values = np.array([2.0, -3.0, 0.5, 4.0])
    values[list(zeros)] = 0
    x = tg.tensor(values, requires_grad=True)
    y = x.prod() if name == "prod" else x.cumprod(0)
    y.sum().backward()
    expected = [
        sum(np.prod(np.delete(values[:n], i)) for n in ([4] if name == "prod" else range(i + 1, 5))) for i in range(4)
    ]
    np.testing.assert_allclose(x.grad.array, expected, rtol=1e-13)


def test_means_and_variances_of_large_offsets_keep_their_digits() -> None:
    x = tg.tensor(1e8 + np.arange(5.0))
    assert x.var().item() == 2.5
    assert x.std().item() == math.sqrt(2.5)


def test_logsumexp_of_infinities() -> None:
    inf = float("inf")
    assert tg.tensor([-inf, -inf]).logsumexp(0).item() == -inf
    assert tg.tensor([inf, 1.0]).logsumexp(0).item() == inf
    x = tg.tensor([-inf, 0.0], requires_grad=True)
    x.logsumexp(0).backward()
    assert x.grad.tolist() == [0, 1]
    y = tg.tensor([0.0, -inf], requires_grad=True)
    y.softmax(0).backward(tg.tensor([1.0, 0.0]))
    assert y.grad.tolist() == [0, 0]


FINITE = st.floats(-1e4, 1e4)


@given(st.lists(FINITE, min_size=1, max_size=6))
def test_softmax_sums_to_one_and_its_log_agrees(values: list[float]) -> None:
    x = tg.tensor(values, dtype=tg.float64)
    np.testing.assert_allclose(x.softmax(0).sum().item(), 1, rtol=1e-12)
    exact = [mpmath.mpf(v) for v in values]
    total = mpmath.log(mpmath.fsum(map(mpmath.exp, exact)))
    np.testing.assert_allclose(x.logsumexp(0).item(), float(total), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(x.log_softmax(0).array, [float(v - total) for v in exact], rtol=1e-11, atol=1e-11)


@given(FINITE, FINITE)
def test_atan2_is_the_angle_in_every_quadrant(a: float, b: float) -> None:
    np.testing.assert_allclose(tg.atan2(tg.tensor(a, dtype=tg.float64), b).item(), math.atan2(a, b), rtol=1e-15)


@given(st.floats(-50, 50), st.floats(0.1, 5), st.floats(1, 30))
def test_softplus_with_every_beta_and_threshold(x: float, beta: float, threshold: float) -> None:
    ours = tg.nn.functional.softplus(tg.tensor(x, dtype=tg.float64), beta, threshold).item()
    exact = x if beta * x > threshold else float(mpmath.log1p(mpmath.exp(mpmath.mpf(beta) * x)) / beta)
    np.testing.assert_allclose(ours, exact, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, kernels.FEW, kernels.FEW + 1, 1000])
def test_sigmoid_is_the_same_function_for_small_and_for_large_arrays(size: int, dtype: type) -> None:
    x = np.linspace(-80, 80, size, dtype=dtype)
    right = [1 / (1 + math.exp(-v)) for v in x.tolist()]
    np.testing.assert_allclose(kernels.sigmoid(x), right, rtol=64 * np.finfo(dtype).eps, atol=0)
