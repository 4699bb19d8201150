"""Constant factors in a row become one: c · (d · x) is (c · d) · x, and x / c / d likewise.

They come from the derivative of a mean (1/n) meeting that of a square (2). Not exact: one rounding less. Read
`flat.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..program import CONSTANT, Primitive, Value
from .words import constant, is_ufunc, like, made_by, number, rebuilt

if TYPE_CHECKING:
    from ..program import Call, Program

FAR = 2.0**24  # x · 1e30 / 1e30 in float32 is infinite and has to stay so; factors in this range leave room
MULTIPLY = Primitive("ufunc", "multiply", np.multiply)


def scale(program: Program) -> Program:
    """Merge a multiplication or division by a number with the one before, if that serves nothing else."""
    makers, uses, results = made_by(program), program.uses(), set(program.results())
    kept: list[Call] = []
    for call in program.calls:
        x, outer = factor(call)
        y, inner = factor(makers[x]) if x in makers and len(uses[x]) == 1 and x not in results else (None, None)
        if outer is None or inner is None or y is None:
            kept.append(call)
            continue
        dtype = call.out.dtype
        both = np.array(outer * inner, dtype)
        kept.append(like(call, MULTIPLY, (y, constant(both, "factor")), call.out.shape, call.out))
        makers[call.out] = kept[-1]
    return program if kept == program.calls else rebuilt(program, kept)


def factor(call: Call) -> tuple[Any, float | None]:
    """(x, c) where a call is c · x in floats that keep their dtype; (None, None) for any other call."""
    if not (is_ufunc(call, np.multiply) or is_ufunc(call, np.true_divide)) or call.out.dtype.kind != "f":
        return None, None
    for x, other in (call.args, call.args[::-1]):
        c = number(other)
        fits = isinstance(x, Value) and (x.shape, x.dtype) == (call.out.shape, call.out.dtype)
        if fits and c is not None and x.kind != CONSTANT and 1 / FAR <= abs(c) <= FAR:
            if call.prim.function is np.multiply:
                return x, float(c)
            return (x, 1 / float(c)) if other is call.args[1] else (None, None)
    return None, None
