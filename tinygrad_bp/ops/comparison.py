"""Comparisons, tests and positions: answers without a gradient. Read `reductions.py` next."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..axes import ALONG, ALONG_OR_ALL, NAMED, SEVERAL
from ..declare import Case, constant, publish

eq = constant(np.equal, "a = b", operators=("eq",), in_place=True)
ne = constant(np.not_equal, "a ≠ b", operators=("ne",), alias=("not_equal",), in_place=True)
lt = constant(np.less, "a < b", operators=("lt",), alias=("less",), in_place=True)
le = constant(np.less_equal, "a ≤ b", operators=("le",), alias=("less_equal",), in_place=True)
gt = constant(np.greater, "a > b", operators=("gt",), alias=("greater",), in_place=True)
ge = constant(np.greater_equal, "a ≥ b", operators=("ge",), alias=("greater_equal",), in_place=True)

logical_and = constant(np.logical_and, "both nonzero", in_place=True)
logical_or = constant(np.logical_or, "one nonzero", in_place=True)
logical_xor = constant(np.logical_xor, "exactly one nonzero", in_place=True)
logical_not = constant(np.logical_not, "zero", in_place=True)
bitwise_and = constant(np.bitwise_and, "a and b, bit by bit", operators=("and", "rand"), domain=int, in_place=True)
bitwise_or = constant(np.bitwise_or, "a or b, bit by bit", operators=("or", "ror"), domain=int, in_place=True)
bitwise_xor = constant(np.bitwise_xor, "a or else b, bit by bit", operators=("xor", "rxor"), domain=int, in_place=True)
bitwise_not = constant(np.bitwise_not, "every bit turned", operators=("invert",), domain=int, in_place=True)

isnan = constant(np.isnan, "not a number")
isinf = constant(np.isinf, "infinite")
isfinite = constant(np.isfinite, "neither infinite nor NaN")


def _arg(function: Any) -> Any:
    def forward(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return function(x, axis=axis, keepdims=keepdims)

    return forward


FOLDED = (Case((2, 3)), Case((2, 3), axis=1), Case((2, 3), axis=0, keepdims=True), Case(()))


argmax = constant(
    _arg(np.argmax), "position of the largest, the first of a tie", axis=ALONG_OR_ALL, numpy=(np.argmax,), cases=FOLDED
)
argmin = constant(
    _arg(np.argmin), "position of the smallest, the first of a tie", axis=ALONG_OR_ALL, numpy=(np.argmin,), cases=FOLDED
)
all = constant(_arg(np.all), "whether all are nonzero", axis=NAMED, numpy=(np.all, np.logical_and.reduce), cases=FOLDED)
any = constant(_arg(np.any), "whether one is nonzero", axis=NAMED, numpy=(np.any, np.logical_or.reduce), cases=FOLDED)
count_nonzero = constant(
    _arg(np.count_nonzero), "how many are nonzero", axis=SEVERAL, numpy=(np.count_nonzero,), cases=FOLDED
)
def _numpy_search(a: Any, v: Any, side: Any = "left") -> Any:
    return searchsorted(a, v, side=side)


def _searchsorted(a: Any, b: Any, right: bool = False, side: Any = None) -> Any:
    return np.searchsorted(a, b, side or ("right" if right else "left"))


argsort = constant(
    lambda x, axis=-1, descending=False, stable=True: order(x, axis, descending),
    "the indices that sort x along an axis, equal entries in their old order",
    axis=ALONG,
    numpy={np.argsort: lambda a, axis=-1, descending=False: numpy_order(a, axis, descending)},
    cases=(Case((2, 3)), Case((3, 2), axis=0), Case((2, 3), axis=-1, descending=True)),
)
searchsorted = constant(
    _searchsorted,
    "where b would be inserted into the sorted a",
    inputs=("a", "b"),
    method=False,
    torch={"a": "sorted_sequence", "b": "input"},
    numpy={np.searchsorted: _numpy_search},
    domain="sorted",
    cases=(Case((4,), (2, 3)), Case((4,), (3,), right=True), Case((4,), (), side="left")),
)


def order(x: Any, axis: int, descending: bool) -> Any:
    """The stable sorting order; descending keeps equal entries in their old order too, so it is no mere flip."""
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    flipped = np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    return x.shape[axis] - 1 - flipped


def numpy_order(a: Any, axis: Any = -1, descending: Any = False) -> Any:
    """The indices that sort. NumPy puts NaN last even where the largest comes first, whereas PyTorch begins with it."""
    x, along = (a.reshape(-1), 0) if axis is None else (a, axis)
    return argsort(-x, along) if descending and x.dtype.kind == "f" else argsort(x, along, bool(descending))


publish(globals())
