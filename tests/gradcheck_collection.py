"""Custom layers with a hand-written backward: the wrong ones, each with its cause, and the right ones that look odd.

Every layer is written once, in `autograd.Function` style, against a module `t` that is either `tinygrad_bp` or
`torch`. `WRONG` holds layers with one planted mistake and a pattern that the diagnosis must match; `RIGHT` those that a
checker must not accuse: kinks, ties, bad scales, bad conditioning, randomness, float32. `Case.build(t, shape, seed)`
gives the function and its inputs. The file is long because it is a list: independent layers of a few lines each. Used
by `test_gradcheck_collection.py` and `benchmarks/suites/gradcheck_quality.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator
Shape = tuple[int, int]
Draw = Callable[[Rng, Shape], list[np.ndarray]]


class Case:
    """One layer: how to make it from `t`, how to draw its inputs, and for a wrong one its cause."""

    def __init__(self, make: Any, kind: str, says: str, draw: Draw, order: int, dtype: Any, points: bool) -> None:
        self.make, self.kind, self.says, self.draw = make, kind, says, draw
        self.order, self.dtype, self.points = order, dtype, points
        self.name: str = make.__name__

    def build(self, t: Any, shape: Shape, seed: int) -> tuple[Any, tuple[Any, ...]]:
        """The function to check and its inputs, float ones requiring a gradient."""
        arrays = self.draw(np.random.default_rng(seed), shape)
        arrays = [a.astype(self.dtype) if a.dtype.kind == "f" else a for a in arrays]
        tensors = tuple(t.tensor(a) for a in arrays)
        for tensor in tensors:
            if tensor.is_floating_point():
                tensor.requires_grad_(True)
        t.manual_seed(seed)
        return self.make(t), tensors

    def __repr__(self) -> str:
        return self.name


WRONG: list[Case] = []
RIGHT: list[Case] = []


def normal(*shapes: str) -> Draw:
    """Standard normal inputs; shapes are written in n and m, such as 'nm', 'mm', 'm', '' (0-d)."""
    return lambda rng, nm: [np.asarray(rng.normal(size=[nm["nm".index(c)] for c in shape])) for shape in shapes]


def positive(*shapes: str) -> Draw:
    """Inputs between about 0.4 and 3."""
    return lambda rng, nm: [0.4 + np.abs(x) for x in normal(*shapes)(rng, nm)]


def spread(*shapes: str) -> Draw:
    """Inputs of both signs in every draw, 0.2 away from 0 and not beyond ±1.8."""

    def draw(rng: Rng, nm: Shape) -> list[np.ndarray]:
        found = []
        for x in normal(*shapes)(rng, nm):
            size = rng.uniform(0.2, 1.8, x.shape)
            signs = rng.permutation(np.resize([1.0, -1.0], x.size)).reshape(x.shape)
            found.append(size * signs)
        return found

    return draw


def wide(rng: Rng, nm: Shape) -> list[np.ndarray]:
    """At least four by four."""
    return [rng.normal(size=(nm[0] + 2, nm[1] + 2))]


def both_sides_of_one(rng: Rng, nm: Shape) -> list[np.ndarray]:
    """Some entries within ±1 and some beyond, in every draw."""
    return [np.resize([0.3, -1.5, -0.4, 1.7, 0.7], nm) + rng.normal(size=nm) * 0.03]


def wrong(kind: str, says: str, draw: Draw | None = None, *, order: int = 1) -> Callable[[Any], Any]:
    """Register a layer with a mistake of this kind; the diagnosis must match the pattern `says`."""

    def register(make: Any) -> Any:
        WRONG.append(Case(make, kind, says, draw or spread("nm"), order, np.float64, False))
        return make

    return register


def right(
    kind: str, draw: Draw | None = None, *, dtype: Any = np.float64, order: int = 1, points: bool = False
) -> Callable[[Any], Any]:
    """Register a right layer; `points` says that its inputs lie on a kink on purpose."""

    def register(make: Any) -> Any:
        RIGHT.append(Case(make, kind, "", draw or spread("nm"), order, dtype, points))
        return make

    return register


def layer(t: Any, forward: Any, backward: Any) -> Any:
    """An autograd.Function: backward(g, y, *inputs) gets the incoming gradient, the output and the inputs."""

    class Layer(t.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, *xs: Any) -> Any:
            y = forward(*xs)
            ctx.save_for_backward(*xs, y)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            *xs, y = ctx.saved_tensors
            return backward(g, y, *xs)

    return Layer.apply


# ---- wrong: the incoming gradient ------------------------------------------------------------------------------------

FORGOT = r"forgot to multiply .*incoming gradient"


@wrong("forgot g", FORGOT)
def tanh_forgets_g(t: Any) -> Any:
    return layer(t, t.tanh, lambda g, y, x: 1 - y * y)


@wrong("forgot g", FORGOT)
def sigmoid_forgets_g(t: Any) -> Any:
    return layer(t, t.sigmoid, lambda g, y, x: y * (1 - y))


@wrong("forgot g", FORGOT)
def mean_square_forgets_g(t: Any) -> Any:
    return layer(t, lambda x: (x * x).mean(), lambda g, y, x: 2 * x / x.numel())


@wrong("forgot g", FORGOT, spread("nm", "nm"))
def product_forgets_g(t: Any) -> Any:
    return layer(t, lambda a, b: a * b, lambda g, y, a, b: (b * 1, a * 1))


@wrong("forgot g", FORGOT, spread("nm", "mm"))
def matmul_forgets_g_for_weight(t: Any) -> Any:
    return layer(t, lambda x, w: x @ w, lambda g, y, x, w: (g @ w.T, x.T @ t.ones_like(g)))


@wrong("forgot g", FORGOT, spread("nm"))
def weight_decay_in_backward(t: Any) -> Any:
    return layer(t, t.exp, lambda g, y, x: g * y + 0.01 * x)


@wrong("g misused", r"incoming gradient g is not used as it comes.*abs\(g\)")
def absolute_g(t: Any) -> Any:
    return layer(t, t.sin, lambda g, y, x: g.abs() * t.cos(x))


@wrong("g misused", r"incoming gradient g is not used as it comes.*g\*\*2")
def squared_g(t: Any) -> Any:
    return layer(t, t.sin, lambda g, y, x: g * g * t.cos(x))


@wrong("g misused", r"incoming gradient")
def clipped_g(t: Any) -> Any:
    return layer(t, t.exp, lambda g, y, x: g.clamp(-0.3, 0.3) * y)


@wrong("g misused", r"incoming gradient")
def summed_g(t: Any) -> Any:
    return layer(t, t.tanh, lambda g, y, x: g.sum() * (1 - y * y))


# ---- wrong: constant factors and signs -------------------------------------------------------------------------------


@wrong("constant", r"constant factor 1/2\b")
def square_forgets_2(t: Any) -> Any:
    return layer(t, lambda x: x * x, lambda g, y, x: g * x)


@wrong("constant", r"constant factor 2\b")
def half_square_with_2(t: Any) -> Any:
    return layer(t, lambda x: 0.5 * x * x, lambda g, y, x: 2 * g * x)


@wrong("constant", r"constant factor.*the number of entries of the input")
def mean_forgets_count(t: Any) -> Any:
    return layer(t, lambda x: x.mean(), lambda g, y, x: g.expand(x.shape))


@wrong("constant", r"constant factor 1/.*the number of entries of the input")
def sum_divides_by_count(t: Any) -> Any:
    return layer(t, lambda x: x.sum(), lambda g, y, x: g.expand(x.shape) / x.numel())


@wrong("constant", r"constant factor.*batch size", spread("nm", "nm"))
def mse_forgets_batch(t: Any) -> Any:
    def backward(g: Any, y: Any, a: Any, b: Any) -> Any:
        d = 2 * g * (a - b)
        return d, -d

    return layer(t, lambda a, b: ((a - b) ** 2).sum() / a.shape[0], backward)


@wrong("constant", r"constant factor .*√", spread("nm", "nm"))
def attention_scores_forget_root(t: Any) -> Any:
    return layer(
        t,
        lambda q, k: q @ k.T / math.sqrt(q.shape[1]),
        lambda g, y, q, k: (g @ k, g.T @ q),
    )


@wrong("constant", r"constant factor (1/\()?ln 10", positive("nm"))
def log10_forgets_ln10(t: Any) -> Any:
    return layer(t, t.log10, lambda g, y, x: g / x)


@wrong("constant", r"constant factor (1/\()?ln 2", positive("nm"))
def log2_forgets_ln2(t: Any) -> Any:
    return layer(t, t.log2, lambda g, y, x: g / x)


@wrong("constant", r"constant factor", positive("nm"))
def dropout_scale_forgotten(t: Any) -> Any:
    return layer(t, lambda x: x * 1.25, lambda g, y, x: g)


@wrong("constant", r"constant factor 1/|constant factor.*batch size")
def batch_mean_twice(t: Any) -> Any:
    return layer(t, lambda x: x.sum(0) / x.shape[0], lambda g, y, x: g.expand(x.shape) / x.shape[0] ** 2)


@wrong("sign", r"^sign: .*minus")
def cos_sign(t: Any) -> Any:
    return layer(t, t.cos, lambda g, y, x: g * t.sin(x))


@wrong("sign", r"^sign: .*minus", spread("nm", "nm"))
def subtraction_sign(t: Any) -> Any:
    return layer(t, lambda a, b: a - b, lambda g, y, a, b: (g, g))


@wrong("sign", r"^sign: .*minus")
def reciprocal_sign(t: Any) -> Any:
    return layer(t, lambda x: 1 / x, lambda g, y, x: g / (x * x))


@wrong("sign", r"^sign: .*minus")
def decay_sign(t: Any) -> Any:
    return layer(t, lambda x: t.exp(-x), lambda g, y, x: g * y)


@wrong("sign", r"^sign: .*minus", spread("nm", "nm"))
def squared_error_sign(t: Any) -> Any:
    def backward(g: Any, y: Any, o: Any, target: Any) -> Any:
        return g * (target - o), g * (target - o)

    return layer(t, lambda o, target: 0.5 * ((o - target) ** 2).sum(), backward)


# ---- wrong: layout ---------------------------------------------------------------------------------------------------


@wrong("transposed", r"transpose", spread("nm", "mm"))
def matmul_w_for_wt(t: Any) -> Any:
    return layer(t, lambda x, w: x @ w, lambda g, y, x, w: (g @ w, x.T @ g))


@wrong("transposed", r"transpose", spread("nm", "mm"))
def weight_gradient_transposed(t: Any) -> Any:
    return layer(t, lambda x, w: x @ w, lambda g, y, x, w: (g @ w.T, g.T @ x))


@wrong("transposed", r"transpose")
def transpose_by_reshape(t: Any) -> Any:
    return layer(t, lambda x: x.T.clone(), lambda g, y, x: g.reshape(x.shape))


@wrong("transposed", r"transpose", spread("nn"))
def square_transpose_forgotten(t: Any) -> Any:
    return layer(t, lambda x: x.T * 2.0, lambda g, y, x: g * 2.0)


@wrong("transposed", r"transpose", spread("nm", "mm"))
def linear_layer_w_for_wt(t: Any) -> Any:
    return layer(t, lambda x, w: x @ w.T, lambda g, y, x, w: (g @ w.T, g.T @ x))


@wrong("places", r"reversed|wrong places", spread("nm"))
def flip_not_undone(t: Any) -> Any:
    return layer(t, lambda x: x.flip(1) * 3.0, lambda g, y, x: g * 3.0)


@wrong("places", r"off by one|transposed|wrong places", lambda rng, nm: [rng.normal(size=(nm[0], nm[1] + 1))])
def roll_the_same_way(t: Any) -> Any:
    return layer(t, lambda x: t.roll(x, 1, 1), lambda g, y, x: t.roll(g, 1, 1))


@wrong("places", r"transpose|reversed|wrong places|other places", spread("nm"))
def cumsum_forwards(t: Any) -> Any:
    return layer(t, lambda x: x.cumsum(1), lambda g, y, x: g.cumsum(1))


@wrong("places", r"turned round", lambda rng, nm: [rng.normal(size=nm[1] + 4), rng.normal(size=3)])
def convolution_kernel_not_turned(t: Any) -> Any:
    """'Same' padding, so that input and output have one size."""

    def forward(x: Any, w: Any) -> Any:
        p = t.cat([t.zeros(1, dtype=x.dtype), x, t.zeros(1, dtype=x.dtype)])
        return sum(p[i : i + x.shape[0]] * w[i] for i in range(3))

    def backward(g: Any, y: Any, x: Any, w: Any) -> Any:
        p = t.cat([t.zeros(1, dtype=x.dtype), x, t.zeros(1, dtype=x.dtype)])
        q = t.cat([t.zeros(1, dtype=x.dtype), g, t.zeros(1, dtype=x.dtype)])
        gw = t.stack([(g * p[i : i + x.shape[0]]).sum() for i in range(3)])
        return sum(q[i : i + x.shape[0]] * w[i] for i in range(3)), gw

    return layer(t, forward, backward)


# ---- wrong: broadcasting and adding up -------------------------------------------------------------------------------


@wrong("broadcast", r"constant factor 1/.*(batch size|feeds)", spread("nm", "m"))
def bias_mean_for_sum(t: Any) -> Any:
    return layer(t, lambda x, b: x + b, lambda g, y, x, b: (g, g.mean(0)))


@wrong("broadcast", r"only the first counts|last write", spread("nm", "m"))
def bias_first_row(t: Any) -> Any:
    return layer(t, lambda x, b: x + b, lambda g, y, x, b: (g, g[0]))


@wrong("broadcast", r"last write wins", spread("nm", "m"))
def scale_last_row(t: Any) -> Any:
    return layer(t, lambda x, s: x * s, lambda g, y, x, s: (g * s, (g * x)[-1]))


@wrong("broadcast", r"summed .*axis 0")
def summed_over_batch(t: Any) -> Any:
    return layer(t, lambda x: 2.0 * x, lambda g, y, x: 2.0 * g.sum(0, keepdim=True).expand(x.shape))


@wrong("broadcast", r"averaged .*axis 1")
def averaged_over_features(t: Any) -> Any:
    return layer(t, lambda x: x * 3.0, lambda g, y, x: 3.0 * g.mean(1, keepdim=True).expand(x.shape))


@wrong("broadcast", r"summed|same number|reshape", spread("nm", "nm"))
def scale_summed_everywhere(t: Any) -> Any:
    return layer(t, lambda x, s: x * s, lambda g, y, x, s: (g * s, (g * x).sum().expand(s.shape)))


def _rows(nm: Shape) -> list[int]:
    return [0, 1, 0, 1, 0]


@wrong("last write", r"last write wins")
def embedding_overwrites(t: Any) -> Any:
    def backward(g: Any, y: Any, w: Any) -> Any:
        rows: dict[int, Any] = {}
        for i, k in enumerate(_rows(w.shape)):
            rows[k] = g[i]
        return t.stack([rows.get(k, t.zeros_like(w[0])) for k in range(w.shape[0])])

    return layer(t, lambda w: t.stack([w[k] for k in _rows(w.shape)]), backward)


@wrong("last write", r"last write wins|only (the first|one) counts|contributions", wide)
def windows_overwrite(t: Any) -> Any:
    """Overlapping windows of two; each entry but the ends lies in two of them."""

    def backward(g: Any, y: Any, x: Any) -> Any:
        return t.cat([g[:, :, 0], g[:, -1:, 1]], 1)

    return layer(t, lambda x: t.stack([x[:, :-1], x[:, 1:]], 2), backward)


@wrong("last write", r"last write wins|only (the first|one) counts|contributions")
def concatenated_twice(t: Any) -> Any:
    return layer(t, lambda x: t.cat([x, x], 0), lambda g, y, x: g[x.shape[0] :])


@wrong("last write", r"constant factor|term|missing")
def residual_branch_dropped(t: Any) -> Any:
    return layer(t, lambda x: x + t.tanh(x), lambda g, y, x: g * (1 - t.tanh(x) ** 2))


# ---- wrong: several inputs -------------------------------------------------------------------------------------------


@wrong("swapped", r"swapped", spread("nm", "nm"))
def product_swapped(t: Any) -> Any:
    return layer(t, lambda a, b: a * b, lambda g, y, a, b: (g * a, g * b))


@wrong("swapped", r"swapped", positive("nm", "nm"))
def quotient_swapped(t: Any) -> Any:
    return layer(t, lambda a, b: a / b, lambda g, y, a, b: (-g * a / b**2, g / b))


@wrong("swapped", r"swapped", spread("mm", "mm"))
def matmul_swapped(t: Any) -> Any:
    return layer(t, lambda a, b: a @ b, lambda g, y, a, b: (a.T @ g, g @ b.T))


@wrong("swapped", r"swapped", spread("nm", "nm"))
def weighted_difference_swapped(t: Any) -> Any:
    return layer(t, lambda a, b: t.sin(a) * t.exp(b), lambda g, y, a, b: (g * y, g * t.cos(a) * t.exp(b)))


@wrong("swapped", r"swapped|other places", spread("nm", "nm"))
def maximum_swapped(t: Any) -> Any:
    return layer(t, t.maximum, lambda g, y, a, b: (t.where(a > b, 0 * g, g), t.where(a > b, g, 0 * g)))


# ---- wrong: one branch, one border -----------------------------------------------------------------------------------

NEGATIVE = r"where .*x.* is negative"


@wrong("branch", NEGATIVE)
def relu_without_mask(t: Any) -> Any:
    return layer(t, t.relu, lambda g, y, x: g)


@wrong("branch", NEGATIVE)
def leaky_relu_slope_forgotten(t: Any) -> Any:
    return layer(t, lambda x: t.where(x > 0, x, 0.1 * x), lambda g, y, x: g * (x > 0))


@wrong("branch", NEGATIVE)
def abs_without_sign(t: Any) -> Any:
    return layer(t, t.abs, lambda g, y, x: g)


@wrong("branch", NEGATIVE)
def elu_forgets_exp(t: Any) -> Any:
    return layer(t, lambda x: t.where(x > 0, x, t.exp(x) - 1), lambda g, y, x: g)


@wrong("branch", r"branches are exchanged")
def relu_mask_reversed(t: Any) -> Any:
    return layer(t, t.relu, lambda g, y, x: g * (x < 0))


@wrong("branch", r"only where", both_sides_of_one)
def hardtanh_without_mask(t: Any) -> Any:
    return layer(t, lambda x: x.clamp(-1, 1), lambda g, y, x: g)


@wrong("branch", r"only where", both_sides_of_one)
def huber_not_clipped(t: Any) -> Any:
    huber = lambda x: t.where(x.abs() < 1, 0.5 * x * x, x.abs() - 0.5)  # noqa: E731
    return layer(t, huber, lambda g, y, x: g * x)


@wrong("branch", r"only where .* is positive")
def two_sided_slope(t: Any) -> Any:
    return layer(t, lambda x: t.where(x > 0, 3 * x, 0.5 * x), lambda g, y, x: g * t.where(x > 0, 2.0, 0.5))


@wrong("border", r"border")
def difference_at_border(t: Any) -> Any:
    """Neighbouring differences; the first column's share is forgotten."""

    def backward(g: Any, y: Any, x: Any) -> Any:
        zero = t.zeros_like(g[:, :1])
        full = t.cat([zero, g], 1) - t.cat([g, zero], 1)
        return t.cat([zero, full[:, 1:]], 1)

    return layer(t, lambda x: x[:, 1:] - x[:, :-1], backward)


@wrong("border", r"border", lambda rng, nm: [rng.normal(size=(nm[0] + 3, nm[1] + 3))])
def padding_at_border(t: Any) -> Any:
    """The frame of the image gets half its gradient."""

    def backward(g: Any, y: Any, x: Any) -> Any:
        inner = t.zeros_like(x)
        inner[1:-1, 1:-1] = 1.0
        return g * t.where(inner > 0, 1.0, 0.5) * t.cos(x)

    return layer(t, t.sin, backward)


@wrong("border", r"border|one entry|positions")
def last_column_sign(t: Any) -> Any:
    return layer(t, lambda x: x * x, lambda g, y, x: t.cat([2 * (g * x)[:, :-1], -2 * (g * x)[:, -1:]], 1))


# ---- wrong: chain factors --------------------------------------------------------------------------------------------

MISSING = r"missing chain factor `"


@wrong("chain factor", MISSING + r"1 - y\*y`")
def tanh_without_derivative(t: Any) -> Any:
    return layer(t, t.tanh, lambda g, y, x: g)


@wrong("chain factor", MISSING + r"y\*\(1 - y\)`")
def sigmoid_without_derivative(t: Any) -> Any:
    return layer(t, t.sigmoid, lambda g, y, x: g)


@wrong("chain factor", MISSING + r"1 - y`")
def sigmoid_half_derivative(t: Any) -> Any:
    return layer(t, t.sigmoid, lambda g, y, x: g * y)


@wrong("chain factor", MISSING + r"(y|exp\(x\))`")
def exp_without_derivative(t: Any) -> Any:
    return layer(t, t.exp, lambda g, y, x: g)


@wrong("chain factor", MISSING + r"1/x`", positive("nm"))
def log_without_derivative(t: Any) -> Any:
    return layer(t, t.log, lambda g, y, x: g)


@wrong("chain factor", MISSING + r"1/y`", positive("nm"))
def sqrt_without_root(t: Any) -> Any:
    return layer(t, t.sqrt, lambda g, y, x: 0.5 * g)


@wrong("chain factor", MISSING + r"cos\(x\)`")
def sin_without_derivative(t: Any) -> Any:
    return layer(t, t.sin, lambda g, y, x: g)


@wrong("chain factor", MISSING + r"2\*x`")
def square_without_derivative(t: Any) -> Any:
    return layer(t, lambda x: x * x, lambda g, y, x: g)


@wrong("chain factor", r"factor `(x|1/x)`")
def cube_with_wrong_power(t: Any) -> Any:
    return layer(t, lambda x: x**3, lambda g, y, x: 3 * g * x**3)


@wrong("chain factor", MISSING + r"1 - y\*y`", spread("nm", "mm", "m"))
def dense_tanh_without_derivative(t: Any) -> Any:
    return layer(
        t, lambda x, w, b: t.tanh(x @ w + b), lambda g, y, x, w, b: (g @ w.T, x.T @ g, g.sum(0))
    )


@wrong("chain factor", MISSING + r"x1`", spread("nm", "nm"))
def product_without_other(t: Any) -> Any:
    return layer(t, lambda a, b: a * b, lambda g, y, a, b: (g, g * a))


@wrong("chain factor", MISSING, positive("nm", "nm"))
def quotient_without_denominator(t: Any) -> Any:
    return layer(t, lambda a, b: a / b, lambda g, y, a, b: (g / b, -g * a))


@wrong("chain factor", r"factor.*(norm|`y`)")
def norm_without_division(t: Any) -> Any:
    return layer(t, lambda x: (x * x).sum().sqrt(), lambda g, y, x: g * x)


@wrong("chain factor", r"`exp|factor.*y")
def logsumexp_unnormalised(t: Any) -> Any:
    return layer(t, lambda x: t.logsumexp(x, 1), lambda g, y, x: g[:, None] * t.exp(x))


@wrong("chain factor", r"term of the derivative is missing.*x\*sigmoid\(x\)")
def silu_half_of_product_rule(t: Any) -> Any:
    return layer(t, lambda x: x * t.sigmoid(x), lambda g, y, x: g * t.sigmoid(x))


@wrong("activation", r"at the activation instead of the pre-activation")
def sigmoid_at_activation(t: Any) -> Any:
    return layer(t, t.sigmoid, lambda g, y, x: g * t.sigmoid(y) * (1 - t.sigmoid(y)))


@wrong("activation", r"at the activation instead of the pre-activation")
def tanh_at_activation(t: Any) -> Any:
    return layer(t, t.tanh, lambda g, y, x: g * (1 - t.tanh(y) ** 2))


@wrong("activation", r"at the activation instead of the pre-activation", spread("nm", "mm"))
def dense_sigmoid_at_activation(t: Any) -> Any:
    def backward(g: Any, y: Any, x: Any, w: Any) -> Any:
        d = g * t.sigmoid(y) * (1 - t.sigmoid(y))
        return d @ w.T, x.T @ d

    return layer(t, lambda x, w: t.sigmoid(x @ w), backward)


@wrong("activation", r"pre-activation instead of the activation")
def tanh_at_pre_activation(t: Any) -> Any:
    return layer(t, t.tanh, lambda g, y, x: g * (1 - x * x))


@wrong("activation", r"one too many.*identity")
def identity_returns_output(t: Any) -> Any:
    return layer(t, lambda x: x * 1.0, lambda g, y, x: g * y)


@wrong("activation", r"one too many", spread("nm", "mm"))
def dense_identity_returns_output(t: Any) -> Any:
    return layer(t, lambda x, w: x @ w, lambda g, y, x, w: ((g * y) @ w.T, x.T @ (g * y)))


# ---- wrong: frozen, outer product, couplings -------------------------------------------------------------------------


@wrong("frozen", r"^frozen", spread("nm", "m"))
def bias_frozen(t: Any) -> Any:
    return layer(t, lambda x, b: x + b, lambda g, y, x, b: (g, t.zeros_like(b)))


@wrong("frozen", r"^frozen: .*axis 0|^frozen.*border|^frozen.*one entry")
def first_row_frozen(t: Any) -> Any:
    return layer(t, t.sin, lambda g, y, x: t.cat([t.zeros_like(g[:1]), (g * t.cos(x))[1:]], 0))


@wrong("frozen", r"^frozen: .*one entry")
def one_entry_frozen(t: Any) -> Any:
    def backward(g: Any, y: Any, x: Any) -> Any:
        keep = t.ones_like(x)
        keep[0, 1] = 0.0
        return g * keep * y

    return layer(t, t.exp, backward)


@wrong("frozen", r"^frozen|detached")
def detached_input(t: Any) -> Any:
    return lambda x: t.tanh(x).detach() * 2.0 + 0.0 * x


@wrong("outer product", r"same number.*outer product", lambda rng, nm: [rng.normal(size=nm), rng.normal(size=nm[1])])
def dot_for_outer(t: Any) -> Any:
    """One sample through one layer; its weights all get the same number."""

    def backward(g: Any, y: Any, w: Any, x: Any) -> Any:
        return (g.sum() * x.sum()).expand(w.shape), g @ w

    return layer(t, lambda w, x: w @ x, backward)


@wrong("cross terms", r"only the diagonal")
def softmax_diagonal_only(t: Any) -> Any:
    return layer(t, lambda x: t.softmax(x, 1), lambda g, y, x: g * y * (1 - y))


@wrong("cross terms", r"axis confusion|wrong axis", spread("nm"))
def softmax_wrong_axis(t: Any) -> Any:
    return layer(t, lambda x: t.softmax(x, 1), lambda g, y, x: y * (g - (g * y).sum(0, keepdim=True)))


@wrong("cross terms", r"cross terms|diagonal|term")
def log_softmax_forgets_sum(t: Any) -> Any:
    return layer(t, lambda x: t.log_softmax(x, 1), lambda g, y, x: g - t.exp(y) * g)


def _standardise(x: Any, axis: int) -> Any:
    return (x - x.mean(axis, keepdim=True)) / (x.var(axis, correction=0, keepdim=True) + 1e-5).sqrt()


@wrong("cross terms", r"cross terms|diagonal", wide)
def layer_norm_statistics_constant(t: Any) -> Any:
    return layer(
        t, lambda x: _standardise(x, 1), lambda g, y, x: g / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    )


@wrong("cross terms", r"cross terms", wide)
def batch_norm_variance_constant(t: Any) -> Any:
    def backward(g: Any, y: Any, x: Any) -> Any:
        return (g - g.mean(0, keepdim=True)) / (x.var(0, correction=0, keepdim=True) + 1e-5).sqrt()

    return layer(t, lambda x: _standardise(x, 0), backward)


@wrong("cross terms", r"cross terms", wide)
def layer_norm_mean_constant(t: Any) -> Any:
    def backward(g: Any, y: Any, x: Any) -> Any:
        return (g - y * (g * y).mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()

    return layer(t, lambda x: _standardise(x, 1), backward)


@wrong("cross terms", r"cross terms|diagonal", wide)
def unit_norm_without_projection(t: Any) -> Any:
    norm = lambda x: (x * x).sum(1, keepdim=True).sqrt()  # noqa: E731
    return layer(t, lambda x: x / norm(x), lambda g, y, x: g / norm(x))


@wrong("mask", r"flows where|mask|factor", wide)
def dropout_mask_forgotten(t: Any) -> Any:
    def forward(x: Any) -> Any:
        keep = t.ones_like(x)
        keep[0, 1] = keep[1, 0] = keep[2, 3] = keep[1, 1] = 0.0
        return x * keep * 2.0

    return layer(t, forward, lambda g, y, x: g * 2.0)


@wrong("mask", r"wrong|other places|positions|place", wide)
def max_to_the_first(t: Any) -> Any:
    def backward(g: Any, y: Any, x: Any) -> Any:
        first = t.zeros_like(x)
        first[:, 0] = g
        return first

    return layer(t, lambda x: x.max(1).values, backward)


@wrong("flat", r"right gradient is 0 everywhere")
def round_straight_through(t: Any) -> Any:
    return layer(t, t.round, lambda g, y, x: g)


# ---- wrong: the second order -----------------------------------------------------------------------------------------

SECOND = r"second order is wrong while the first is right"


@wrong("second order", SECOND, order=2)
def tanh_detached(t: Any) -> Any:
    return layer(t, t.tanh, lambda g, y, x: g * (1 - y * y).detach())


@wrong("second order", SECOND, order=2)
def cube_detached(t: Any) -> Any:
    return layer(t, lambda x: x**3, lambda g, y, x: g * (3 * x * x).detach())


@wrong("second order", SECOND, order=2)
def square_half_detached(t: Any) -> Any:
    return layer(t, lambda x: x**3, lambda g, y, x: 3 * g * x * x.detach())


# ---- wrong: parameters of a module -----------------------------------------------------------------------------------


def _dense(t: Any, backward: Any) -> Any:
    product = layer(t, lambda x, w, b: x @ w.T + b, backward)

    class Dense(t.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight: Any = None

        def forward(self, x: Any) -> Any:
            return product(x, self.weight, self.bias)

    def made() -> Any:
        module = Dense()
        del module.weight
        rng = np.random.default_rng(5)
        module.weight = t.nn.Parameter(t.tensor(rng.normal(size=(3, 4))))
        module.bias = t.nn.Parameter(t.tensor(rng.normal(size=3)))
        return module

    return made()


def four(rng: Rng, nm: Shape) -> list[np.ndarray]:
    """Samples of four features."""
    return [rng.normal(size=(nm[0] + 1, 4))]


@wrong("parameter", r"^sign: .*minus", four)
def module_weight_sign(t: Any) -> Any:
    return _dense(t, lambda g, y, x, w, b: (g @ w, -(g.T @ x), g.sum(0)))


@wrong("parameter", r"^frozen", four)
def module_bias_frozen(t: Any) -> Any:
    return _dense(t, lambda g, y, x, w, b: (g @ w, g.T @ x, t.zeros_like(b)))


@wrong("parameter", r"constant factor 1/.*(batch size|feeds|number)", four)
def module_bias_averaged(t: Any) -> Any:
    return _dense(t, lambda g, y, x, w, b: (g @ w, g.T @ x, g.mean(0)))


# ======================================================================================================================
# Right layers
# ======================================================================================================================


def fixed(*arrays: Any) -> Draw:
    """The same inputs whatever the shape."""
    return lambda rng, nm: [np.array(a, dtype=float) for a in arrays]


def scaled(by: float) -> Draw:
    """Inputs of both signs of this size."""
    return lambda rng, nm: [by * x for x in spread("nm")(rng, nm)]


def with_zeros(rng: Rng, nm: Shape) -> list[np.ndarray]:
    """Both signs, and 0 itself."""
    return [np.resize([0.0, 1.3, -0.7, 0.0, 0.4], nm) + 0.0]


# ---- kinks and ties --------------------------------------------------------------------------------------------------


@right("kink", with_zeros, points=True)
def relu_at_zero(t: Any) -> Any:
    return layer(t, t.relu, lambda g, y, x: g * (x > 0))


@right("kink", with_zeros, points=True)
def relu_at_zero_other_convention(t: Any) -> Any:
    return layer(t, t.relu, lambda g, y, x: g * (x >= 0))


@right("kink", with_zeros, points=True)
def abs_at_zero(t: Any) -> Any:
    return layer(t, t.abs, lambda g, y, x: g * t.sign(x))


@right("kink", lambda rng, nm: [np.resize([1.0, -1.0, 0.5, 2.0, -3.0], nm)], points=True)
def clamp_at_its_bounds(t: Any) -> Any:
    return layer(t, lambda x: x.clamp(-1, 1), lambda g, y, x: g * ((x >= -1) & (x <= 1)))


@right("kink", with_zeros, points=True)
def leaky_relu_at_zero(t: Any) -> Any:
    return layer(t, lambda x: t.where(x > 0, x, 0.1 * x), lambda g, y, x: g * t.where(x > 0, 1.0, 0.1))


@right("kink", lambda rng, nm: [np.resize([1e-7, -1e-7, 1.0, -2.0, 3e-9], nm)], points=True)
def relu_close_to_zero(t: Any) -> Any:
    return layer(t, t.relu, lambda g, y, x: g * (x > 0))


@right("kink", lambda rng, nm: [np.resize([1.0, 2.0, 2.0, 0.5], nm)], points=True)
def max_with_ties(t: Any) -> Any:
    def backward(g: Any, y: Any, x: Any) -> Any:
        share = (x == y[:, None]).to(x.dtype)
        return g[:, None] * share / share.sum(1, keepdim=True)

    return layer(t, lambda x: x.max(1).values, backward)


@right("kink", lambda rng, nm: [np.ones(nm), np.ones(nm)], points=True)
def maximum_of_equals(t: Any) -> Any:
    return layer(t, t.maximum, lambda g, y, a, b: (g * 0.5, g * 0.5))


@right("kink", lambda rng, nm: [np.resize([3.0, 1.0, 1.0, 2.0], nm)], points=True)
def sort_with_ties(t: Any) -> Any:
    def forward(x: Any) -> Any:
        return t.sort(x, 1).values

    def backward(g: Any, y: Any, x: Any) -> Any:
        return g.gather(1, t.argsort(t.argsort(x, 1), 1))

    return layer(t, forward, backward)


@right("sort")
def sort_without_ties(t: Any) -> Any:
    return layer(
        t, lambda x: t.sort(x, 1).values, lambda g, y, x: g.gather(1, t.argsort(t.argsort(x, 1), 1))
    )


@right("kink", fixed([0.0, 0.0, 0.0]), points=True)
def norm_at_zero(t: Any) -> Any:
    def backward(g: Any, y: Any, x: Any) -> Any:
        return g * x / t.where(y > 0, y, t.ones_like(y))

    return layer(t, lambda x: (x * x).sum().sqrt(), backward)


@right("kink", with_zeros, points=True)
def l1_norm(t: Any) -> Any:
    return layer(t, lambda x: x.abs().sum(), lambda g, y, x: g * t.sign(x))


@right("kink", lambda rng, nm: [np.resize([1.0, -1.0, 0.3, 2.0], nm)], points=True)
def huber_at_one(t: Any) -> Any:
    huber = lambda x: t.where(x.abs() < 1, 0.5 * x * x, x.abs() - 0.5)  # noqa: E731
    return layer(t, huber, lambda g, y, x: g * x.clamp(-1, 1))


@right("jump")
def step_function(t: Any) -> Any:
    return layer(t, lambda x: (x > 0).to(x.dtype) + x, lambda g, y, x: g)


# ---- scales and precision --------------------------------------------------------------------------------------------


@right("scale", scaled(1e-8))
def square_of_tiny(t: Any) -> Any:
    return layer(t, lambda x: x * x, lambda g, y, x: 2 * g * x)


@right("scale", scaled(1e8))
def square_of_huge(t: Any) -> Any:
    return layer(t, lambda x: x * x, lambda g, y, x: 2 * g * x)


@right("scale", scaled(1e-8))
def tanh_of_tiny(t: Any) -> Any:
    return layer(t, t.tanh, lambda g, y, x: g * (1 - y * y))


@right("scale", scaled(1e8))
def sum_of_huge(t: Any) -> Any:
    return layer(t, lambda x: x.sum(1), lambda g, y, x: g[:, None].expand(x.shape))


@right("scale", scaled(1e8))
def reciprocal_of_huge(t: Any) -> Any:
    return layer(t, lambda x: 1 / x, lambda g, y, x: -g * y * y)


@right("scale", lambda rng, nm: [1e-8 * (1 + rng.random(nm))])
def log_of_tiny(t: Any) -> Any:
    return layer(t, t.log, lambda g, y, x: g / x)


@right("scale", lambda rng, nm: [rng.normal(size=nm) * np.resize([1e-8, 1.0, 1e8], nm)])
def mixed_scales(t: Any) -> Any:
    return layer(t, lambda x: x * x, lambda g, y, x: 2 * g * x)


@right("scale", lambda rng, nm: [1e8 * rng.normal(size=nm), 1e-8 * rng.normal(size=nm)])
def product_of_huge_and_tiny(t: Any) -> Any:
    return layer(t, lambda a, b: a * b, lambda g, y, a, b: (g * b, g * a))


@right("scale", lambda rng, nm: [1e8 + rng.normal(size=nm)])
def sine_far_out(t: Any) -> Any:
    return layer(t, t.sin, lambda g, y, x: g * t.cos(x))


@right("scale", lambda rng, nm: [30 + 5 * rng.normal(size=nm)])
def saturated_sigmoid(t: Any) -> Any:
    return layer(t, t.sigmoid, lambda g, y, x: g * y * (1 - y))


@right("float32", dtype=np.float32)
def tanh_float32(t: Any) -> Any:
    return layer(t, t.tanh, lambda g, y, x: g * (1 - y * y))


@right("float32", dtype=np.float32)
def softmax_float32(t: Any) -> Any:
    return layer(t, lambda x: t.softmax(x, 1), lambda g, y, x: y * (g - (g * y).sum(1, keepdim=True)))


@right("float32", spread("nm", "mm", "m"), dtype=np.float32)
def dense_float32(t: Any) -> Any:
    return layer(t, lambda x, w, b: x @ w + b, lambda g, y, x, w, b: (g @ w.T, x.T @ g, g.sum(0)))


@right("float32", lambda rng, nm: [100 * rng.normal(size=nm)], dtype=np.float32)
def square_float32(t: Any) -> Any:
    return layer(t, lambda x: (x * x).sum(), lambda g, y, x: 2 * g * x)


@right("float32", positive("nm"), dtype=np.float32)
def logsumexp_float32(t: Any) -> Any:
    return layer(
        t, lambda x: t.logsumexp(x, 1), lambda g, y, x: g[:, None] * t.exp(x - y[:, None])
    )


# ---- bad conditioning ------------------------------------------------------------------------------------------------


@right("conditioning", lambda rng, nm: [rng.normal(size=(nm[0], 6))])
def inverse_of_hilbert(t: Any) -> Any:
    """A linear map of condition 1e7."""
    inverse = t.tensor(np.linalg.inv(1 / (np.add.outer(np.arange(6), np.arange(6)) + 1.0)))
    return layer(t, lambda x: x @ inverse, lambda g, y, x: g @ inverse.T)


@right("conditioning", lambda rng, nm: [np.array([[1.0, 1.0], [1.0, 1.0 + 1e-3]]) + 0 * rng.random()])
def nearly_singular_inverse(t: Any) -> Any:
    def forward(x: Any) -> Any:
        (a, b), (c, d) = (x[0, 0], x[0, 1]), (x[1, 0], x[1, 1])
        return t.stack([t.stack([d, -b]), t.stack([-c, a])]) / (a * d - b * c)

    return layer(t, forward, lambda g, y, x: -(y.T @ g @ y.T))


@right("conditioning", lambda rng, nm: [1e-3 * (1 + rng.random(nm))])
def cancellation(t: Any) -> Any:
    """x - sin(x) near 0 loses most of its digits."""
    return layer(t, lambda x: x - t.sin(x), lambda g, y, x: g * (1 - t.cos(x)))


@right("conditioning", lambda rng, nm: [1e-4 * (1 + rng.random(nm))])
def reciprocal_near_zero(t: Any) -> Any:
    return layer(t, lambda x: 1 / x, lambda g, y, x: -g * y * y)


@right("conditioning", lambda rng, nm: [1e-6 * (1 + rng.random(nm))])
def sqrt_near_zero(t: Any) -> Any:
    return layer(t, t.sqrt, lambda g, y, x: 0.5 * g / y)


@right("conditioning")
def fast_oscillation(t: Any) -> Any:
    return layer(t, lambda x: t.sin(300 * x), lambda g, y, x: 300 * g * t.cos(300 * x))


@right("conditioning", lambda rng, nm: [5 * rng.normal(size=nm)])
def steep_power(t: Any) -> Any:
    return layer(t, lambda x: x**9, lambda g, y, x: 9 * g * x**8)


@right("conditioning", lambda rng, nm: [1000 + rng.normal(size=nm)])
def logsumexp_far_out(t: Any) -> Any:
    return layer(
        t, lambda x: t.logsumexp(x, 1), lambda g, y, x: g[:, None] * t.exp(x - y[:, None])
    )


@right("conditioning", lambda rng, nm: [1 + 1e-4 * rng.normal(size=(nm[0] + 2, nm[1] + 2))])
def standardised_small_variance(t: Any) -> Any:
    def backward(g: Any, y: Any, x: Any) -> Any:
        d = g - g.mean(1, keepdim=True) - y * (g * y).mean(1, keepdim=True)
        return d / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()

    return layer(t, lambda x: _standardise(x, 1), backward)


# ---- layers ----------------------------------------------------------------------------------------------------------


@right("layer")
def softmax(t: Any) -> Any:
    return layer(t, lambda x: t.softmax(x, 1), lambda g, y, x: y * (g - (g * y).sum(1, keepdim=True)))


@right("layer")
def log_softmax(t: Any) -> Any:
    return layer(
        t, lambda x: t.log_softmax(x, 1), lambda g, y, x: g - t.exp(y) * g.sum(1, keepdim=True)
    )


@right("layer", wide)
def batch_norm_by_hand(t: Any) -> Any:
    def backward(g: Any, y: Any, x: Any) -> Any:
        d = g - g.mean(0, keepdim=True) - y * (g * y).mean(0, keepdim=True)
        return d / (x.var(0, correction=0, keepdim=True) + 1e-5).sqrt()

    return layer(t, lambda x: _standardise(x, 0), backward)


@right("module", four)
def batch_norm_module(t: Any) -> Any:
    """Batch norm with a running mean that every forward pass changes."""

    class BatchNorm(t.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = t.nn.Parameter(t.tensor([0.5, 1.0, -1.5, 2.0], dtype=t.float64))
            self.bias = t.nn.Parameter(t.zeros(4, dtype=t.float64))
            self.register_buffer("running_mean", t.zeros(4, dtype=t.float64))

        def forward(self, x: Any) -> Any:
            if self.training:
                self.running_mean = 0.9 * self.running_mean + 0.1 * x.detach().mean(0)
            return _standardise(x, 0) * self.weight + self.bias

    return BatchNorm()


@right("module", four, dtype=np.float32)
def mlp_float32(t: Any) -> Any:
    return t.nn.Sequential(t.nn.Linear(4, 5), t.nn.ReLU(), t.nn.Linear(5, 2))


@right("module", four)
def dense_module(t: Any) -> Any:
    return _dense(t, lambda g, y, x, w, b: (g @ w, g.T @ x, g.sum(0)))


@right("random", wide)
def dropout(t: Any) -> Any:
    return lambda x: t.nn.functional.dropout(t.tanh(x), 0.5)


@right("random", four)
def dropout_module(t: Any) -> Any:
    return t.nn.Sequential(t.nn.Tanh(), t.nn.Dropout(0.3))


@right("several", spread("nm", "m"))
def broadcast_product(t: Any) -> Any:
    return layer(t, lambda x, s: x * s, lambda g, y, x, s: (g * s, (g * x).sum(0)))


@right("several", spread("nm", ""))
def scalar_scale(t: Any) -> Any:
    return layer(t, lambda x, s: x * s, lambda g, y, x, s: (g * s, (g * x).sum()))


@right("several", spread("nm", "mm"))
def matmul(t: Any) -> Any:
    return layer(t, lambda x, w: x @ w, lambda g, y, x, w: (g @ w.T, x.T @ g))


@right("several", lambda rng, nm: [rng.normal(size=nm), np.resize([1, 0], nm[0])])
def rows_taken(t: Any) -> Any:
    """An integer input beside a float one."""

    def backward(g: Any, y: Any, x: Any, i: Any) -> Any:
        taken = (i[:, None] == t.arange(x.shape[0])).to(x.dtype)
        return taken.T @ g, None

    return layer(t, lambda x, i: x[i], backward)


@right("second order", order=2)
def tanh_twice(t: Any) -> Any:
    return layer(t, t.tanh, lambda g, y, x: g * (1 - y * y))


@right("second order", order=2)
def cube_twice(t: Any) -> Any:
    return layer(t, lambda x: x**3, lambda g, y, x: 3 * g * x * x)


@right("flat")
def sign_is_flat(t: Any) -> Any:
    return layer(t, t.sign, lambda g, y, x: t.zeros_like(x))


@right("in place")
def in_place_inside(t: Any) -> Any:
    def forward(x: Any) -> Any:
        y = x * 2.0
        y += 1.0
        return y.exp_()

    return lambda x: forward(x)
