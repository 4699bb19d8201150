"""Comparisons, tests and positions: answers without a gradient. Read `reductions.py` next."""

from __future__ import annotations

from typing import Any

import numpy as np

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
        return function(x, axis=tuple(axis) if isinstance(axis, list) else axis, keepdims=keepdims)

    return forward


FOLDED = (Case((2, 3)), Case((2, 3), axis=1), Case((2, 3), axis=0, keepdims=True), Case(()))


def _count_nonzero(x: Any, axis: Any, keepdims: bool) -> Any:
    every = axis is None or axis == ()  # () means all, as in PyTorch
    return np.count_nonzero(x, axis=tuple(range(x.ndim)) if every else axis, keepdims=keepdims)


argmax = constant(_arg(np.argmax), "position of the largest, the first of a tie", numpy=(np.argmax,), cases=FOLDED)
argmin = constant(_arg(np.argmin), "position of the smallest, the first of a tie", numpy=(np.argmin,), cases=FOLDED)
all = constant(_arg(np.all), "whether all are nonzero", numpy=(np.all,), cases=FOLDED)
any = constant(_arg(np.any), "whether one is nonzero", numpy=(np.any,), cases=FOLDED)
count_nonzero = constant(_arg(_count_nonzero), "how many are nonzero", numpy=(np.count_nonzero,), cases=FOLDED)
argsort = constant(
    lambda x, axis=-1, descending=False, stable=True: order(x, axis, descending),
    "the indices that sort x along an axis, equal entries in their old order",
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
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    flipped = np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    return x.shape[axis] - 1 - flipped if x.ndim else flipped


publish(globals())
