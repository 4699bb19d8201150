"""The usual mistakes are named from plain Jacobians: no framework, no finite differences, only NumPy arrays.

Each test makes the right Jacobian of a known function by hand, spoils it as people do, and reads the sentence. The same
through the whole checker: `test_gradcheck_collection.py`.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_bp.gradcheck.diagnose import Evidence, diagnose

RNG = np.random.default_rng(0)
X = RNG.permutation(np.linspace(-1.7, 1.9, 12)).reshape(3, 4)  # both signs, no zero, no ±1
W = RNG.normal(size=(4, 4))
SHAPES = st.tuples(st.integers(2, 4), st.integers(2, 4))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def jacobians(analytic: Any, numeric: Any, x: Any, y: Any, **more: Any) -> list[str]:
    """The sentences for two Jacobians, with a random cotangent that agrees with them."""
    g = np.random.default_rng(1).normal(size=np.shape(y))
    known = {
        "jac_analytic": analytic, "jac_numeric": numeric, "cotangent": g, "inputs": [x], "index": 0, "output": y,
        "vjp_analytic": (g.ravel() @ analytic).reshape(x.shape), "vjp_numeric": (g.ravel() @ numeric).reshape(x.shape),
        "vjp_ones_analytic": analytic.sum(0).reshape(x.shape), "error_bar": 1e-10,
    }  # fmt: skip
    return diagnose(Evidence(**(known | more)))


def elementwise(analytic: Any, numeric: Any, y: Any, x: Any = X, **more: Any) -> list[str]:
    """The sentences for a function that acts entry by entry, given its derivative, wrong and right."""
    return jacobians(np.diag(np.ravel(analytic + 0 * x)), np.diag(np.ravel(numeric + 0 * x)), x, y, **more)


def only(sentences: list[str], pattern: str) -> None:
    assert len(sentences) == 1, sentences
    assert re.search(pattern, sentences[0]), sentences[0]


Y = np.tanh(X)
S = sigmoid(X)


@pytest.mark.parametrize(
    ("analytic", "numeric", "y", "pattern"),
    [
        (X, 2 * X, X * X, r"^constant factor 1/2\b.* \(analytic / numeric = 0\.5\)$"),
        (12 * X, X, X * X, r"^constant factor 12 \(12 = the number of entries of the input"),
        (X / 3, X, X * X, r"^constant factor 1/3 \(3 = the batch size"),
        (X * 2.302585093, X, X * X, r"^constant factor ln 10"),
        (-X, X, X * X, r"^sign: your gradient is minus the right one"),
        (1, 1 - Y * Y, Y, r"^missing chain factor `1 - y\*y`"),
        (1, S * (1 - S), S, r"^missing chain factor `y\*\(1 - y\)`"),
        (1, np.cos(X), np.sin(X), r"^missing chain factor `cos\(x\)`"),
        (1, 2 * X, X * X, r"^missing chain factor `2\*x`"),
        (1, 1 / X, np.log(abs(X)), r"^missing chain factor `1/x`"),
        (3 * X**3, 3 * X**2, X**3, r"^the factor `x` is one too many"),
        (X, 1, X, r"derivative of the identity, 1, is given as its output"),
        (1 - np.tanh(Y) ** 2, 1 - Y * Y, Y, r"^gradient taken at the activation instead of the pre-activation: tanh"),
        (X * (1 - X), S * (1 - S), S, r"^gradient taken at the pre-activation instead of the activation: sigmoid"),
        (S, S + X * S * (1 - S), X * S, r"term of the derivative is missing.*`x\*sigmoid\(x\)\*\(1 - sigmoid\(x\)\)`"),
        (1, X > 0, X * (X > 0), r"^wrong only where the input x is negative; there the right one is 0"),
        (X > 0, np.where(X > 0, 1, 0.1), X, r"^wrong only where the input x is negative: your gradient is 0 there"),
        (1, np.sign(X), abs(X), r"^wrong only where the input x is negative; there its sign is flipped"),
        (1, abs(X) < 1, np.clip(X, -1, 1), r"^wrong only where abs\(x\) > 1; there the right one is 0"),
        (X < 0, X > 0, X * (X > 0), r"^the branches are exchanged: where the input x is negative"),
        (0, 1 - Y * Y, Y, r"^frozen: your gradient is 0 at every entry"),
        (1, 0, np.round(X), r"right gradient is 0 everywhere and yours is not"),
        (np.where(np.arange(4) == 3, -2, 2) * X, 2 * X, X * X, r"^wrong only at the border: the last position"),
        (np.where(np.arange(12).reshape(3, 4) == 5, 0, S), S, X, r"^frozen: .* at one entry .*\(1, 1\)"),
        (1.0003 * S, S, np.logaddexp(0, X), r"^constant factor|^nearly right"),
        (S + 1e-3 * X**2, S, np.logaddexp(0, X), r"^nearly right|term"),
    ],
)
def test_elementwise_mistakes_are_named(analytic: Any, numeric: Any, y: Any, pattern: str) -> None:
    only(elementwise(analytic, numeric, y), pattern)


def test_right_numbers_need_no_cause() -> None:
    assert elementwise(1 - Y * Y, 1 - Y * Y, Y) == []
    assert diagnose(Evidence()) == []


@given(SHAPES, st.sampled_from([-3.0, -1.0, 0.5, 2.0, 7.0, 0.3]))
def test_any_constant_factor_is_shown(shape: tuple[int, int], c: float) -> None:
    jac = np.random.default_rng(2).normal(size=(5, shape[0] * shape[1]))
    only(jacobians(c * jac, jac, np.ones(shape), np.ones(5)), re.escape(f"(analytic / numeric = {c:.4g})"))


def test_forgotten_incoming_gradient_is_told_from_a_factor() -> None:
    d = (1 - Y * Y).ravel()
    forgot = {"vjp_analytic": d.reshape(3, 4), "vjp_ones_analytic": d.reshape(3, 4)}
    only(jacobians(np.tile(d, (12, 1)), np.diag(d), X, Y, **forgot), "forgot to multiply by the incoming gradient")


@pytest.mark.parametrize(
    ("name", "h"), [("abs(g)", np.abs), ("g**2", np.square), ("max(g, 0)", lambda g: np.maximum(g, 0))]
)
def test_a_backward_that_bends_the_incoming_gradient_is_caught(name: str, h: Any) -> None:
    """With one-hot cotangents these Jacobians are right: only the random cotangent shows the mistake."""
    jac, g = RNG.normal(size=(6, 12)), RNG.normal(size=6)
    bent = {"cotangent": g, "vjp_analytic": (h(g) @ jac).reshape(3, 4), "vjp_numeric": (g @ jac).reshape(3, 4)}
    only(jacobians(jac, jac, X, np.ones(6), **bent), re.escape(f"`{name}` stands where `g` belongs"))


def test_weight_decay_in_a_backward_is_named() -> None:
    jac, g = RNG.normal(size=(6, 12)), RNG.normal(size=6)
    right = (g @ jac).reshape(3, 4)
    decayed = {"cotangent": g, "vjp_analytic": right + 0.1 * X, "vjp_numeric": right}
    only(jacobians(jac + 0.1 * X.ravel(), jac, X, np.ones(6), **decayed), "0.1 times the input itself")


def product_jacobian(n: int, w: Any) -> Any:
    """Of x @ w with respect to x of n rows."""
    return np.kron(np.eye(n), w.T)


@given(SHAPES)
def test_a_matrix_for_its_transpose(shape: tuple[int, int]) -> None:
    n, m = shape
    w = np.random.default_rng(n).normal(size=(m, m))
    x = np.ones((n, m))
    only(jacobians(product_jacobian(n, w.T), product_jacobian(n, w), x, x @ w), "^transposed: your Jacobian")


@given(SHAPES)
def test_a_gradient_in_transposed_order(shape: tuple[int, int]) -> None:
    n, m = shape
    jac = np.random.default_rng(n + m).normal(size=(3, n, m))
    spoilt = jac.transpose(0, 2, 1).reshape(3, n * m)
    only(jacobians(spoilt, jac.reshape(3, n * m), np.ones(shape), np.ones(3)), "^transposed: your gradient is")


@given(SHAPES, st.sampled_from([0, 1]), st.booleans())
def test_summed_or_averaged_over_an_axis_that_is_not_broadcast(shape: tuple[int, int], axis: int, mean: bool) -> None:
    jac = np.random.default_rng(3).normal(size=(3, *shape))
    total = np.broadcast_to((jac.mean if mean else jac.sum)(axis=1 + axis, keepdims=True), jac.shape)
    word = f"^{'averaged' if mean else 'summed'} over axis {axis}"
    only(jacobians(total.reshape(3, -1), jac.reshape(3, -1), np.ones(shape), np.ones(3)), word)


@pytest.mark.parametrize(("kept", "word"), [(-1, "^last write wins"), (0, "^only the first counts")])
def test_a_bias_that_hears_one_sample(kept: int, word: str) -> None:
    right = np.tile(np.eye(4), (3, 1))
    wrong = np.zeros((3, 4, 4))
    wrong[kept] = np.eye(4)
    only(jacobians(wrong.reshape(12, 4), right, np.ones(4), X), word)


def test_an_unsummed_gradient_is_a_wrong_shape() -> None:
    g = RNG.normal(size=(3, 4))
    only(
        diagnose(Evidence(inputs=[np.ones(4)], vjp_analytic=g, vjp_numeric=g.sum(0), output=X, cotangent=g)),
        r"shape \(3, 4\), its input \(4,\): not summed over the broadcast axes \(0,\); summed, it agrees",
    )


def test_a_transposed_shape_is_named() -> None:
    g = RNG.normal(size=(3, 4))
    only(diagnose(Evidence(inputs=[X], vjp_analytic=g.T, vjp_numeric=g, output=X)), "transposed; its transpose agrees")


def test_exchanged_gradients_are_named_on_both_sides() -> None:
    a, b = RNG.normal(size=(2, 3, 4))
    g = np.ones((3, 4)) * RNG.normal(size=(3, 4))
    more = {"vjp_analytic": g * a, "vjp_numeric": g * b, "others": {"input 1": (g * b, g * a)}, "inputs": [a, b]}
    only(jacobians(np.diag(a.ravel()), np.diag(b.ravel()), a, a * b, cotangent=g, **more), "^swapped with input 1")


def test_softmax_without_cross_terms_and_along_the_wrong_axis() -> None:
    y = np.exp(X) / np.exp(X).sum(1, keepdims=True)
    same = [np.equal.outer(i, i) for i in (np.arange(12) // 4, np.arange(12) % 4)]
    outer = np.outer(y, y)
    right, columns = np.diag(y.ravel()) - outer * same[0], np.diag(y.ravel()) - outer * same[1]
    only(jacobians(np.diag(np.diag(right)), right, X, y), "only the diagonal of the Jacobian")
    only(jacobians(columns, right, X, y), "axis confusion: .* mixes entries along axis 1, your backward along axis 0")


def test_layer_norm_says_which_term_is_missing() -> None:
    x = X[0]
    y = (x - x.mean()) / x.std()
    centre, n = np.eye(4) - 0.25, 4
    right = (centre - np.outer(y, y) / n) / x.std()
    only(jacobians(centre / x.std(), right, x, y), "cross terms missing: .* input is scaled.*norm or variance")
    no_mean = (np.eye(4) - np.outer(y, y) / n) / x.std()
    only(jacobians(no_mean, right, x, y), "cross terms missing: .* constant is added.*through the mean")


def test_the_tutorials_dot_product_for_an_outer_product() -> None:
    """T5: delta · (input · w) for delta · outer(input, w), from one number per weight."""
    x, w, delta = np.array([2.0, 3.0]), np.array([0.2, 0.01]), -0.7829
    right, dot = delta * np.outer(x, w), np.full((2, 2), delta * (x @ w))
    first = np.array([[0.34, 0.05], [0.13, 0.07]])
    known = {"inputs": [first], "output": np.array(0.3), "vjp_analytic": dot, "vjp_numeric": right}
    only(diagnose(Evidence(**known)), r"same number \(-0\.3366\).*outer product belongs; it is the sum of the diagonal")


def test_the_tutorials_derivative_of_no_activation() -> None:
    """T4: the layer multiplies by its output where the derivative of the identity, 1, belongs."""
    x, w = X[:, :2], RNG.normal(size=(2, 3))
    y = x @ w
    right = np.kron(x, np.eye(3))
    only(jacobians(y.reshape(-1, 1) * right, right, w, y, inputs=[w, x]), "the factor `y` is one too many")


@pytest.mark.parametrize(
    ("spoil", "pattern"),
    [
        (lambda a: a, r"the factor `a` is one too many.*derivative of the identity, 1, is given as its output"),
        (lambda a: 1 / (1 - a * a), r"missing chain factor `1 - a\*a`.*a: the activation before the next layer"),
    ],
)
def test_a_hidden_layer_is_judged_by_the_gradients_of_the_next(spoil: Any, pattern: str) -> None:
    """One sample: the next layer's gradients are outer(a, d) and d, so a, which nobody passed in, is known."""
    x, a, d = RNG.normal(size=3), RNG.uniform(0.2, 0.9, 4), RNG.normal(size=2)
    delta = RNG.normal(size=4)
    right, wrong = np.outer(x, delta), np.outer(x, delta * spoil(a))
    following = {"input 2": (np.outer(a, d), np.outer(a, d)), "input 3": (d, d)}
    known = {"inputs": [right], "output": np.array(0.3), "vjp_analytic": wrong, "vjp_numeric": right}
    only(diagnose(Evidence(**known, others=following)), pattern)


def test_projections_alone_name_what_they_can() -> None:
    """A large input has no Jacobian, only one random cotangent."""
    g = RNG.normal(size=(3, 4))
    base = {"inputs": [X], "output": Y, "cotangent": g, "vjp_numeric": g * (1 - Y * Y)}
    only(diagnose(Evidence(**base, vjp_analytic=g)), r"missing chain factor `1 - y\*y`")
    only(diagnose(Evidence(**base, vjp_analytic=-g * (1 - Y * Y))), "^sign")
    masked = np.where(X > 0, base["vjp_numeric"], 0)
    only(diagnose(Evidence(**base, vjp_analytic=masked)), "where the input x is negative")


def test_the_second_order_is_said_to_be_the_second() -> None:
    sentences = elementwise(0, -2 * Y * (1 - Y * Y), Y, second_order=True)
    only(sentences, "second order is wrong while the first is right: .*detached")


def test_nan_in_a_backward_says_where() -> None:
    d = np.array([1.0, np.nan, 1.0])
    x = np.array([2.0, 0.0, 1.0])
    sentences = jacobians(np.diag(d), np.eye(3), x, x)
    only(sentences, r"NaN .* at 1 of 3 entries, first at \(1,\), where the input is 0")


def test_entries_set_aside_do_not_hide_a_cause() -> None:
    d = 2 * X.ravel()
    numeric = np.diag(d)
    numeric[:, 3] = np.nan
    only(jacobians(0.5 * np.diag(d), numeric, X, X * X), "^constant factor 1/2")


@given(SHAPES, st.integers(0, 2**32 - 1))
def test_unrelated_numbers_get_no_invented_cause(shape: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, n = rng.normal(size=(2, 7, shape[0] * shape[1]))
    only(jacobians(a, n, rng.normal(size=shape), rng.normal(size=7)), "^no usual mistake fits")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_odd_numbers_never_raise(bad: float) -> None:
    for shape in ((), (0,), (1,), (2, 0), (3, 4)):
        x = np.full(shape, bad)
        size = x.size
        jac = np.full((size, size), bad)
        known = {"inputs": [x], "output": x, "cotangent": np.ones(shape), "vjp_analytic": x + 1, "vjp_numeric": x}
        assert isinstance(diagnose(Evidence(jac_analytic=jac + 1, jac_numeric=jac, vjp_ones_analytic=x, **known)), list)
        assert isinstance(diagnose(Evidence(**known)), list)
