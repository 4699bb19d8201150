"""Folding axes away: sums, means, extremes, norms; and running sums. A rule sees its axes kept as size 1.

Read `shapes.py` next.
"""

from __future__ import annotations

import math
from math import inf, nan
from typing import Any

import numpy as np

from ..calling import normal_axes, normal_axis
from ..declare import Case, composite, fused, linear, publish, reduction
from ..dialect import is_array, running, total
from .arithmetic import STEP, ZERO
from .arithmetic import abs as abs_of

size_of = math.prod
TIE = "a tie shares the gradient"


def _chosen(x: Any, y: Any) -> Any:
    """Where the extreme entry stands; one that is no number counts as the extreme, as in the value."""
    return (x == y) | (x != x)


def _tied(x: Any, y: Any, axis: Any) -> Any:
    return np.sum(x == y, axis=axis, keepdims=True) > 1


def _mean(x: Any, axis: Any, keepdims: bool) -> Any:
    n = x.size if len(axis) == x.ndim else size_of([x.shape[i] for i in axis])
    y = total(x, axis, keepdims)
    return y / n if n else y * np.nan


def _logsumexp(x: Any, axis: Any, keepdims: bool) -> Any:
    """Shifted by the largest entry, so that e to the x never overflows; infinities keep their meaning."""
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    top = np.max(x, axis=axis, keepdims=True, initial=-inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore", over="ignore"):
        y = np.log(total(np.exp(x - top), axis, True)) + top
    return y if keepdims else y.reshape([n for i, n in enumerate(x.shape) if i not in axis])


def _middle(x: Any, axis: Any, keepdims: bool) -> Any:
    rest = [i for i in range(x.ndim) if i not in axis]
    flat = np.transpose(x, (*rest, *axis)).reshape((*[x.shape[i] for i in rest], -1))
    if not flat.shape[-1]:
        raise ValueError("there is no middle entry of no entries")
    flat = np.sort(flat, axis=-1)
    y = np.where(flat[..., -1] == flat[..., -1], flat[..., (flat.shape[-1] - 1) // 2], flat[..., -1])  # NaN is last
    return y.reshape([1 if i in axis else n for i, n in enumerate(x.shape)]) if keepdims else y


def _norm(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.sqrt(total(x * x, axis, keepdims))


def _norm_p(x: Any, axis: Any, keepdims: bool, p: float = 2.0) -> Any:
    return total(np.abs(x) ** p, axis, keepdims) ** (1 / p)


sum = reduction(
    lambda x, axis, keepdims: total(x, axis, keepdims),
    "total; of integers in int64",
    lambda g: g,
    numpy=(np.sum,),
)
mean = reduction(
    _mean,
    "total divided by the number of entries",
    lambda g, kept, x_shape: g * (size_of(kept) / (size_of(x_shape) or 1)),
    numpy=(np.mean,),
)
amax = reduction(
    lambda x, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims),
    "the largest entry; a tie shares the gradient",
    lambda g, x, y, axis: g * _chosen(x, y) / total(_chosen(x, y).astype(g.dtype), axis, True),
    singular={TIE: _tied},
    numpy=(np.amax,),
)
amin = reduction(
    lambda x, axis, keepdims: np.min(x, axis=axis, keepdims=keepdims),
    "the smallest entry; a tie shares the gradient",
    lambda g, x, y, axis: g * _chosen(x, y) / total(_chosen(x, y).astype(g.dtype), axis, True),
    singular={TIE: _tied},
    numpy=(np.amin,),
)
median_of = reduction(
    lambda x, axis, keepdims: _middle(x, axis, keepdims),
    "the middle entry in order, the lower one of two; a tie shares the gradient",
    lambda g, x, y, axis: g * _chosen(x, y) / total(_chosen(x, y).astype(g.dtype), axis, True),
    singular={TIE: _tied},
    method=False,
    shown="median",
    internal=True,
)
logsumexp = reduction(_logsumexp, "log of the sum of e to the x", lambda g, x, y: g * np.exp(x - y))
norm_0 = reduction(
    lambda x, axis, keepdims: total((x != 0).astype(x.dtype), axis, keepdims),
    "how many are nonzero",
    lambda g: ZERO(g),
    flat=True,
    singular={STEP: lambda x: x == 0},
    shown="norm",
    internal=True,
)
norm_2 = reduction(
    _norm,
    "Euclidean length; at 0 the gradient is 0",
    lambda g, x, y: g * (y != 0) * (x / (y + (y == 0))),
    singular={"at 0 the gradient is 0": lambda y: y == 0},
    shown="norm",
    internal=True,
)
norm_p = reduction(
    _norm_p,
    "p-norm, 0 < p < ∞; at 0 the gradient is 0",
    lambda g, x, y, p: g * np.sign(x) * ((np.abs(x) + (x == 0)) / (y + (y == 0))) ** (p - 1),
    cases=({"p": 3.0}, {"p": 1.0}, {"p": 2.5}),
    singular={"at 0 the gradient is 0": lambda x, y, p: (y == 0) | ((x == 0) & (p < 2))},
    shown="norm",
    internal=True,
)


def _one_axis(x: Any, axis: int) -> tuple[Any, int]:
    return x, normal_axis(axis, x.ndim, "cumsum")


cumsum = linear(
    lambda x, axis: running(x, axis if x.ndim else None).reshape(x.shape),
    "running total along an axis",
    lambda g, axis: np.flip(running(np.flip(g, axis), axis), axis) if g.ndim else g,
    front=_one_axis,
    cases=(Case((2, 3), axis=1), Case((4,), axis=0), Case((0, 2), axis=0)),
)


@composite(cases=(Case((2, 3), axis=1), Case((5, 2), axis=0), Case((), axis=0), Case((0,), axis=0)))
def cumprod(x: Any, axis: int) -> Any:
    """Running product along an axis, by doubling: its derivative is right at zeros too."""
    axis, step = normal_axis(axis, x.ndim, "cumprod"), 1
    if x.dtype.kind in "iub":
        x = x.long()
    if not x.ndim or x.shape[axis] < 2:
        return x.clone()
    while step < x.shape[axis]:
        head = (slice(None),) * axis
        rest = x[(*head, slice(step, None))] * x[(*head, slice(None, -step))]
        x = np.concatenate([x[(*head, slice(None, step))], rest], axis=axis)
        step *= 2
    return x


@composite(
    numpy=(np.prod,),
    cases=(
        Case((2, 3)),
        Case((5, 2), axis=0),
        Case((2, 3), axis=-1, keepdims=True),
        Case(()),
        Case((0, 2), axis=0),
    ),
)
def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Product, by halving: its derivative is right at zeros too."""
    axes, numel = normal_axes(axis, x.ndim, "prod"), x.numel()
    if x.dtype.kind in "iub":
        x = x.long()
    for i in axes:
        head = (slice(None),) * i
        while x.ndim and x.shape[i] > 1:
            half = x.shape[i] // 2
            left, right = x[(*head, slice(0, half))], x[(*head, slice(half, 2 * half))]
            rest = x[(*head, slice(2 * half, None))]
            x = left * right if x.shape[i] == 2 * half else np.concatenate([left * right, rest], axis=i)
        if x.ndim and x.shape[i] == 0:
            x = x.sum(axis=i, keepdims=True) + 1
    y = x if keepdims else x.reshape([n for i, n in enumerate(x.shape) if i not in axes])
    return y.clone() if y.numel() == numel else y  # nothing was multiplied: still no view of x


def _centred(x: Any, axis: Any) -> Any:
    return x - mean_of(x, axis)


def mean_of(x: Any, axis: Any) -> Any:
    return _mean(x, axis, True) if is_array(x) else mean(x, axis, True)


def _spread(x: Any, axis: Any, keepdims: bool, freedom: float = 1.0) -> Any:
    d = _centred(x, axis)
    y = total(d * d, axis, keepdims)
    return y / freedom if freedom else y * np.where(y > 0, inf, nan).astype(x.dtype)


def _deviation(x: Any, axis: Any, keepdims: bool, freedom: float) -> Any:
    """In float64, as in PyTorch: the square of a deviation that float32 can hold may be too large or small for it."""
    if x.dtype != np.float32:
        return np.sqrt(_spread(x, axis, keepdims, freedom))
    return np.sqrt(_spread(x.astype(np.float64), axis, keepdims, freedom)).astype(x.dtype)


variance = reduction(
    _spread,
    "squared distance from the mean, added up and divided by the degrees of freedom",
    lambda g, x, axis, freedom: g * (_centred(x, axis) * (2 / (freedom or nan))),
    cases=({"freedom": 2.0}, {"freedom": 0.5}),
    shown="var",
    internal=True,
)
deviation = reduction(
    lambda x, axis, keepdims, freedom=1.0: _deviation(x, axis, keepdims, freedom),
    "square root of the variance; where all entries are equal its gradient is 0",
    lambda g, x, y, axis, freedom: g * (y != 0) * (_centred(x, axis) / ((y + (y == 0)) * freedom)),
    singular={"where all entries are equal the gradient is 0": lambda y: y == 0},
    cases=({"freedom": 2.0}, {"freedom": 0.5}),
    shown="std",
    internal=True,
)
SPREAD = (
    Case((2, 3)),
    Case((2, 3), axis=1, keepdims=True),
    Case((2, 3), axis=(0, 1), correction=0),
    Case((4,), unbiased=False),
)


@composite(cases=SPREAD)
def var(x: Any, axis: Any = None, correction: Any = None, keepdims: bool = False, unbiased: bool = True) -> Any:
    """Mean squared distance from the mean, divided by n - correction (1 unless `unbiased` is False)."""
    axis, unbiased = (None, axis) if isinstance(axis, bool) else (axis, unbiased)  # PyTorch's `x.var(False)`
    return variance(x, axis, keepdims, _freedom(x, axis, correction, unbiased, "var"))


@composite(cases=SPREAD)
def std(x: Any, axis: Any = None, correction: Any = None, keepdims: bool = False, unbiased: bool = True) -> Any:
    """Square root of the variance; where all entries are equal its gradient is 0."""
    axis, unbiased = (None, axis) if isinstance(axis, bool) else (axis, unbiased)
    return deviation(x, axis, keepdims, _freedom(x, axis, correction, unbiased, "std"))


def _freedom(x: Any, axis: Any, correction: Any, unbiased: bool, op: str) -> float:
    count = size_of([x.shape[i] for i in normal_axes(axis, x.ndim, op)])
    correction = (1 if unbiased else 0) if correction is None else correction
    return max(float(count - correction), 0.0)


@composite(
    cases=(
        Case((2, 3)),
        Case((2, 3), p="fro"),
        Case((2, 3), p=1, axis=1),
        Case((2, 3), p=3, axis=(0, 1), keepdims=True),
        Case((2, 3), p=inf, axis=0),
        Case((2, 3), p=-inf),
        Case((2, 3), p=0),
    ),
)
def norm(x: Any, p: Any = 2, axis: Any = None, keepdims: bool = False) -> Any:
    """The p-norm over `axis`: 2 and 'fro' Euclidean, inf and -inf extremes, 0 the count of nonzeros."""
    if p in (2, "fro", None):
        return norm_2(x, axis, keepdims)
    if p == inf:
        return amax(abs_of(x), axis, keepdims)
    if p == -inf:
        return amin(abs_of(x), axis, keepdims)
    if p == 0:
        return norm_0(x, axis, keepdims)
    return norm_p(x, axis, keepdims, p)


softmax_along = fused(
    lambda x, axis: _softmax(x, axis),
    "e to the x, divided by its total along an axis",
    lambda g, y, axis: y * (g - total(g * y, (axis,), True)),
    cases=(Case((2, 3), axis=1), Case((3, 2), axis=0), Case((4,), axis=0)),
    method=False,
    shown="softmax",
    internal=True,
)
log_softmax_along = fused(
    lambda x, axis: _log_softmax(x, axis),
    "x minus logsumexp along an axis",
    lambda g, y, axis: g - np.exp(y) * total(g, (axis,), True),
    cases=(Case((2, 3), axis=1), Case((3, 2), axis=0), Case((4,), axis=0)),
    method=False,
    shown="log_softmax",
    internal=True,
)


def _below_largest(x: Any, axis: int) -> Any:
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    return x - np.max(x, axis=axis, keepdims=True, initial=-inf)


def _softmax(x: Any, axis: int) -> Any:
    y = np.exp(_below_largest(x, axis))
    return y / total(y, (axis,), True)


def _log_softmax(x: Any, axis: int) -> Any:
    """Subtracted in this order, so that scores of 10⁸ keep the digits behind the point."""
    d = _below_largest(x, axis)
    return d if not d.size else d - np.log(total(np.exp(d), (axis,), True))


def _along(op: Any, x: Any, axis: int, dtype: Any) -> Any:
    x, i = x if dtype is None else x.to(dtype), normal_axis(axis, x.ndim, op.op.name)
    return op(x, i) if x.ndim else op(x.reshape(1), 0).reshape(())


@composite(
    cases=(
        Case((2, 3), axis=1),
        Case((3, 2), axis=0),
        Case((), axis=0),
        Case((2, 3), axis=-1, dtype=np.float64),
    ),
)
def softmax(x: Any, axis: int, dtype: Any = None) -> Any:
    """e to the x, divided by its total along an axis: positive numbers that sum to 1."""
    return _along(softmax_along, x, axis, dtype)


@composite(
    cases=(
        Case((2, 3), axis=1),
        Case((3, 2), axis=0),
        Case((), axis=0),
        Case((2, 3), axis=-1, dtype=np.float64),
    ),
)
def log_softmax(x: Any, axis: int, dtype: Any = None) -> Any:
    """Logarithm of softmax, finite and exact for scores of any size."""
    return _along(log_softmax_along, x, axis, dtype)


publish(globals())
