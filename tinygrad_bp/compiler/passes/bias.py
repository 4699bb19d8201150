"""The gradient of a bias as a product: the sum over the rows of g is (1 … 1) · g.

A product with ones costs a sixth of `add.reduce` on small matrices, and a batch of one needs no sum at all. The order
of additions changes, hence the last bits (and 0.0 may come out where -0.0 went in). Read `sums.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .words import DOT, RESHAPE, constant, like, rebuilt

if TYPE_CHECKING:
    from ..program import Call, Program, Value

LONGEST = 1 << 12  # terms: beyond, a sum in pairs loses fewer digits than a product, and costs no more


def bias(program: Program) -> Program:
    """Write each sum over the rows of a matrix of floats as a product."""
    kept: list[Call] = []
    ones = Ones()
    for call in program.calls:
        axes, x = summed_axes(call)
        if x is None or len(x.shape) != 2 or axes != (0,) or x.shape[0] > LONGEST:
            kept.append(call)
        elif x.shape[0] == 1:
            kept.append(like(call, RESHAPE, (x, call.out.shape), call.out.shape, call.out))
        else:
            kept += product(call, (ones[x.shape[0], x.dtype], x), (x.shape[1],))
    return program if kept == program.calls else rebuilt(program, kept)


def summed_axes(call: Call) -> tuple[tuple[int, ...], Any]:
    """(axes, x) of a plain sum of floats, not of nothing; (…, None) for any other call."""
    if call.prim.kind != "reduce" or call.prim.function is not np.add or len(call.args) > 5:
        return (), None
    named = dict(zip(("x", "axis", "dtype", "out", "keepdims"), call.args, strict=False)) | call.kwargs
    x, axis = named.pop("x"), named.pop("axis", 0)
    named.pop("keepdims", None)
    kind = named.pop("dtype", None)
    if x.is_number or not x.shape or x.dtype not in (np.float32, np.float64) or not x.size or call.out.dtype != x.dtype:
        return (), None
    if any(value is not None for value in named.values()) or kind not in (None, x.dtype):
        return (), None
    n = len(x.shape)
    axes = range(n) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return tuple(sorted(a % n for a in axes)), x


class Ones(dict[tuple[int, Any], "Value"]):
    """`ones[n, dtype]` is a vector of n ones, each made once."""

    def __missing__(self, key: tuple[int, Any]) -> Value:
        self[key] = constant(np.ones(*key), "ones")
        return self[key]


def product(call: Call, factors: tuple[Any, Any], shape: tuple[int, ...]) -> list[Call]:
    """The calls that make a call's result as a product of this shape."""
    if shape == call.out.shape:
        return [like(call, DOT, factors, shape, call.out)]
    made = like(call, DOT, factors, shape)
    return [made, like(call, RESHAPE, (made.out, call.out.shape), call.out.shape, call.out)]
