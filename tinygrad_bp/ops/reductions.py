"""Folding axes away: sums, means, extremes, variances; and running sums. A rule sees its axes kept as size 1.

Read `norms.py` next.
"""

from __future__ import annotations

import math
from math import inf, nan
from typing import TYPE_CHECKING, Any

import numpy as np

from ..axes import ALONG, ALONG_OR_ALL, normal_axes
from ..declare import Case, composite, fused, linear, publish, reduction
from ..dialect import is_array, reshape, running, total

size_of = math.prod
TIE = "a tie shares the gradient"

if TYPE_CHECKING:
    from ..axes import Axes


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


def whole(dtype: Any) -> bool:
    """NumPy takes a mean of integers where an integer dtype is asked for; nobody means that."""
    return dtype is not None and np.dtype(dtype).kind in "biu"


def _numpy_mean(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
    return NotImplemented if whole(dtype) else a.mean(axis, keepdims, dtype=dtype)


def _along(a: Any, axis: Any) -> Any:
    """NumPy goes along all entries where no axis is named."""
    return a.reshape(-1) if axis is None else a


sum = reduction(
    lambda x, axis, keepdims: total(x, axis, keepdims),
    "total; of integers in int64",
    lambda g: g,
    dtype=True,
    numpy=(np.sum, np.add.reduce),
)
mean = reduction(
    _mean,
    "total divided by the number of entries",
    lambda g, kept, x_shape: g * (size_of(kept) / (size_of(x_shape) or 1)),
    dtype=True,
    numpy={np.mean: _numpy_mean},
)
amax = reduction(
    lambda x, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims),
    "the largest entry; a tie shares the gradient",
    lambda g, x, y, axis: g * _chosen(x, y) / total(_chosen(x, y).astype(g.dtype), axis, True),
    singular={TIE: _tied},
    numpy=(np.amax, np.max, np.maximum.reduce),
)
amin = reduction(
    lambda x, axis, keepdims: np.min(x, axis=axis, keepdims=keepdims),
    "the smallest entry; a tie shares the gradient",
    lambda g, x, y, axis: g * _chosen(x, y) / total(_chosen(x, y).astype(g.dtype), axis, True),
    singular={TIE: _tied},
    numpy=(np.amin, np.min, np.minimum.reduce),
)
def _shared(g: Any, x: Any, y: Any, axis: int | None) -> Any:
    """g at the entries of x that are y, the folded axes put back; a tie shares it."""
    axes = tuple(range(x.ndim)) if axis is None else (axis,)
    kept = tuple([1 if i in axes else n for i, n in enumerate(x.shape)])
    here = _chosen(x, reshape(y, kept))
    return reshape(g, kept) * here / total(here.astype(g.dtype), axes, True)


def _ties(x: Any, axis: int | None) -> Any:
    least, most = np.min(x, axis, keepdims=True), np.max(x, axis, keepdims=True)
    return (np.sum(x == least, axis, keepdims=True) > 1) | (np.sum(x == most, axis, keepdims=True) > 1)


aminmax = fused(
    lambda x, axis=None, keepdims=False: (np.min(x, axis, keepdims=keepdims), np.max(x, axis, keepdims=keepdims)),
    "the smallest and the largest entry, in all or along an axis; a tie shares the gradient",
    lambda g_min, g_max, x, min, max, axis: _shared(g_min, x, min, axis) + _shared(g_max, x, max, axis),
    outputs=("min", "max"),
    singular={TIE: lambda x, axis: _ties(x, axis)},
    axis=ALONG_OR_ALL,
    cases=(Case((2, 3)), Case((2, 3), axis=1), Case((3, 2), axis=0, keepdims=True), Case((), axis=0)),
)
median_of = reduction(
    lambda x, axis, keepdims: _middle(x, axis, keepdims),
    "the middle entry in order, the lower one of two; a tie shares the gradient",
    lambda g, x, y, axis: g * _chosen(x, y) / total(_chosen(x, y).astype(g.dtype), axis, True),
    singular={TIE: _tied},
)
logsumexp = reduction(_logsumexp, "log of the sum of e to the x", lambda g, x, y: g * np.exp(x - y))
cumsum = linear(
    lambda x, axis: running(x, axis),
    "running total along an axis",
    lambda g, axis: np.flip(running(np.flip(g, axis), axis), axis),
    axis=ALONG,
    dtype=True,
    in_place=True,
    numpy={np.cumsum: lambda a, axis=None, dtype=None: _along(a, axis).cumsum(axis or 0, dtype=dtype)},
    cases=(Case((2, 3), axis=1), Case((4,), axis=0), Case((0, 2), axis=0)),
)


@composite(
    axis=ALONG,
    dtype=True,
    in_place=True,
    numpy={np.cumprod: lambda a, axis=None, dtype=None: _along(a, axis).cumprod(axis or 0, dtype=dtype)},
    cases=(Case((2, 3), axis=1), Case((5, 2), axis=0), Case((), axis=0), Case((0,), axis=0)),
)
def cumprod(x: Any, axis: int) -> Any:
    """Running product along an axis, by doubling: its derivative is right at zeros too."""
    step = 1
    if x.dtype.kind in "iub":
        x = x.long()
    if x.shape[axis] < 2:
        return x.clone()
    while step < x.shape[axis]:
        head = (slice(None),) * axis
        rest = x[(*head, slice(step, None))] * x[(*head, slice(None, -step))]
        x = np.concatenate([x[(*head, slice(None, step))], rest], axis=axis)
        step *= 2
    return x


@composite(
    dtype=True,
    numpy=(np.prod, np.multiply.reduce),
    cases=(
        Case((2, 3)),
        Case((5, 2), axis=0),
        Case((2, 3), axis=-1, keepdims=True),
        Case(()),
        Case((0, 2), axis=0),
    ),
)
def prod(x: Any, axis: Axes = None, keepdims: bool = False) -> Any:
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


SPREAD: Any = (
    Case((2, 3)),
    Case((2, 3), axis=1, keepdims=True),
    Case((2, 3), axis=(0, 1), correction=0),
    Case((4,), unbiased=False),
)


def _spreading(
    x: Any, axis: Axes | bool = None, correction: float | None = None, keepdims: bool = False, unbiased: bool = True
) -> Any:
    """n - correction degrees of freedom: 1 less than the number of entries, unless `unbiased` is False."""
    axis, unbiased = (None, axis) if isinstance(axis, bool) else (axis, unbiased)  # PyTorch's `x.var(False)`
    count = size_of([x.shape[i] for i in normal_axes(axis, x.ndim, "var/std")])
    correction = (1 if unbiased else 0) if correction is None else correction
    return x, axis, keepdims, max(float(count - correction), 0.0)


def _numpy_spread(name: str) -> Any:
    def call(
        a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, correction: Any = None
    ) -> Any:
        if whole(dtype):
            return NotImplemented
        a = a if dtype is None else a.to(dtype)
        return getattr(a, name)(axis, ddof if correction is None else correction, keepdims)

    return call


var = reduction(
    _spread,
    "squared distance from the mean, added up and divided by the degrees of freedom",
    lambda g, x, axis, freedom: g * (_centred(x, axis) * (2 / (freedom or nan))),
    front=_spreading,
    numpy={np.var: _numpy_spread("var")},
    cases=SPREAD,
)
std = reduction(
    lambda x, axis, keepdims, freedom=1.0: _deviation(x, axis, keepdims, freedom),
    "square root of the variance; where all entries are equal its gradient is 0",
    lambda g, x, y, axis, freedom: g * (y != 0) * (_centred(x, axis) / ((y + (y == 0)) * freedom)),
    singular={"where all entries are equal the gradient is 0": lambda y: y == 0},
    front=_spreading,
    numpy={np.std: _numpy_spread("std")},
    cases=SPREAD,
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


def _converted(x: Any, axis: int, dtype: Any = None) -> Any:
    return x if dtype is None else x.to(dtype), axis


SOFT = (Case((2, 3), axis=1), Case((3, 2), axis=0), Case((), axis=0), Case((2, 3), axis=-1, dtype=np.float64))
softmax = fused(
    lambda x, axis: _softmax(x, axis),
    "e to the x, divided by its total along an axis: positive numbers that sum to 1",
    lambda g, y, axis: y * (g - total(g * y, (axis,), True)),
    front=_converted,
    axis=ALONG,
    cases=SOFT,
)
log_softmax = fused(
    lambda x, axis: _log_softmax(x, axis),
    "logarithm of softmax, finite and exact for scores of any size",
    lambda g, y, axis: g - np.exp(y) * total(g, (axis,), True),
    front=_converted,
    axis=ALONG,
    cases=SOFT,
)

publish(globals())
