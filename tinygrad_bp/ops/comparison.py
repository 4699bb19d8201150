"""Comparisons, tests and positions: answers without a gradient. Read `reductions.py` next."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..calling import normal_axes, normal_axis
from ..declare import Case, constant, publish

eq = constant(np.equal, "a = b", operators=("eq",))
ne = constant(np.not_equal, "a ≠ b", operators=("ne",))
lt = constant(np.less, "a < b", operators=("lt",))
le = constant(np.less_equal, "a ≤ b", operators=("le",))
gt = constant(np.greater, "a > b", operators=("gt",))
ge = constant(np.greater_equal, "a ≥ b", operators=("ge",))

logical_and = constant(np.logical_and, "both nonzero")
logical_or = constant(np.logical_or, "one nonzero")
logical_xor = constant(np.logical_xor, "exactly one nonzero")
logical_not = constant(np.logical_not, "zero")
bitwise_and = constant(np.bitwise_and, "a and b, bit by bit", operators=("and", "rand"), domain=int)
bitwise_or = constant(np.bitwise_or, "a or b, bit by bit", operators=("or", "ror"), domain=int)
bitwise_xor = constant(np.bitwise_xor, "a or else b, bit by bit", operators=("xor", "rxor"), domain=int)
bitwise_not = constant(np.bitwise_not, "every bit turned", operators=("invert",), domain=int)

isnan = constant(np.isnan, "not a number")
isinf = constant(np.isinf, "infinite")
isfinite = constant(np.isfinite, "neither infinite nor NaN")


def _arg(function: Any) -> Any:
    def forward(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return function(x, axis=axis, keepdims=keepdims)

    return forward


def _one(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """One axis or none; a 0-d tensor has axis 0 for who asks, and none in truth."""
    i = None if axis is None else normal_axis(axis, x.ndim, "argmax/argmin")
    return x, i if x.ndim else None, keepdims


def _several(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Any number of axes; an empty tuple folds nothing, as in PyTorch."""
    return x, axis if axis is None or axis in ((), []) else normal_axes(axis, x.ndim, "all/any"), keepdims


def _all_or_several(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Here an empty tuple means all; each axis by its number, since NumPy 2.0 counts otherwise without asking us."""
    return x, normal_axes(axis, x.ndim, "count_nonzero"), keepdims


def _sorting(x: Any, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    return x, normal_axis(axis, x.ndim, "argsort"), descending, stable


FOLDED = (Case((2, 3)), Case((2, 3), axis=1), Case((2, 3), axis=0, keepdims=True), Case(()))


argmax = constant(
    _arg(np.argmax), "position of the largest, the first of a tie", front=_one, numpy=(np.argmax,), cases=FOLDED
)
argmin = constant(
    _arg(np.argmin), "position of the smallest, the first of a tie", front=_one, numpy=(np.argmin,), cases=FOLDED
)
all = constant(_arg(np.all), "whether all are nonzero", front=_several, numpy=(np.all,), cases=FOLDED)
any = constant(_arg(np.any), "whether one is nonzero", front=_several, numpy=(np.any,), cases=FOLDED)
count_nonzero = constant(
    _arg(np.count_nonzero), "how many are nonzero", front=_all_or_several, numpy=(np.count_nonzero,), cases=FOLDED
)
argsort = constant(
    lambda x, axis=-1, descending=False, stable=True: order(x, axis, descending),
    "the indices that sort x along an axis, equal entries in their old order",
    front=_sorting,
    numpy=(np.argsort,),
    cases=(Case((2, 3)), Case((3, 2), axis=0), Case((2, 3), axis=-1, descending=True)),
)
searchsorted = constant(
    lambda a, b, right=False, side=None: np.searchsorted(a, b, side or ("right" if right else "left")),
    "where b would be inserted into the sorted a",
    inputs=("a", "b"),
    method=False,
    numpy=(np.searchsorted,),
    domain="sorted",
    cases=(Case((4,), (2, 3)), Case((4,), (3,), right=True), Case((4,), (), side="left")),
)


def order(x: Any, axis: int, descending: bool) -> Any:
    """The stable sorting order; descending keeps equal entries in their old order too, so it is no mere flip."""
    if not x.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    flipped = np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    return x.shape[axis] - 1 - flipped


publish(globals())
