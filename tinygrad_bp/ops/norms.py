"""Lengths of vectors: the norms, each with its derivative at 0. Read `shapes.py` next."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from ..axes import normal_axes
from ..declare import Case, composite, publish, reduction
from ..dialect import total
from ..errors import ShapeError
from .arithmetic import STEP, ZERO
from .arithmetic import abs as abs_of
from .reductions import amax, amin

if TYPE_CHECKING:
    from ..axes import Axes


def _norm(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.sqrt(total(x * x, axis, keepdims))


def _norm_p(x: Any, axis: Any, keepdims: bool, p: float = 2.0) -> Any:
    return total(np.abs(x) ** p, axis, keepdims) ** (1 / p)


norm_0 = reduction(
    lambda x, axis, keepdims: total((x != 0).astype(x.dtype), axis, keepdims),
    "how many are nonzero",
    lambda g: ZERO(g),
    flat=True,
    singular={STEP: lambda x: x == 0},
)
norm_2 = reduction(
    _norm,
    "Euclidean length; at 0 the gradient is 0",
    lambda g, x, y: g * (y != 0) * (x / (y + (y == 0))),
    singular={"at 0 the gradient is 0": lambda y: y == 0},
)
norm_p = reduction(
    _norm_p,
    "p-norm, 0 < p < ∞; at 0 the gradient is 0",
    lambda g, x, y, p: g * np.sign(x) * ((np.abs(x) + (x == 0)) / (y + (y == 0))) ** (p - 1),
    cases=({"p": 3.0}, {"p": 1.0}, {"p": 2.5}),
    singular={"at 0 the gradient is 0": lambda x, y, p: (y == 0) | ((x == 0) & (p < 2))},
)


def _numpy_norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """A vector's norm, or a matrix's where `ord` is given for two axes; NumPy's own answer for singular values."""
    if ord is None:
        return norm(x, 2, axis, keepdims)
    axes = normal_axes(axis, x.ndim, "np.linalg.norm")
    if len(axes) == 1:
        return norm(x, ord, axes, keepdims)
    if len(axes) != 2:
        raise ShapeError(f"np.linalg.norm: ord={ord!r} is of a vector or a matrix, not of {len(axes)} axes")
    if ord == "fro":
        return norm(x, 2, axes, keepdims)
    if isinstance(ord, str) or abs(ord) not in (1, inf):
        return NotImplemented
    added, left = axes if abs(ord) == 1 else axes[::-1]
    y = (amax if ord > 0 else amin)(abs_of(x).sum(added, True), left, True)
    return y if keepdims else y.squeeze(axes)


@composite(
    bodies=(norm_0, norm_2, norm_p),
    numpy={np.linalg.norm: _numpy_norm},
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
def norm(x: Any, p: float | str | None = 2, axis: Axes = None, keepdims: bool = False) -> Any:
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


publish(globals())
