"""Constant factors in a row become one: c · (d · x) is (c · d) · x, and x / c / d likewise.

They come from the derivative of a mean (1/n) meeting that of a square (2). Not exact: one rounding less. Read
`flat.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..program import CONSTANT, Primitive, Value
from .words import constant, is_call, like, only_number, rebuilt

if TYPE_CHECKING:
    from ..program import Call, Program

FAR = 2.0**24  # x · 1e30 / 1e30 in float32 is infinite and has to stay so; factors in this range leave room
NONE: tuple[Any, float] = (None, 1.0)
SCALING = {np.multiply, np.true_divide}
MULTIPLY = Primitive("ufunc", "multiply", np.multiply)


def scale(program: Program) -> Program:
    """Merge a multiplication or division by a number with the one before, if that serves nothing else."""
    factors = {call.out: pair for call in program.calls if (pair := factor(call))}
    if not any(x in factors for x, _ in factors.values()):
        return program
    uses, results = program.uses(), set(program.results())
    kept: list[Call] = []
    for call in program.calls:
        x, outer = factors.get(call.out, NONE) if call.outs else NONE
        if x not in factors or len(uses[x]) > 1 or x in results:
            kept.append(call)
            continue
        y, inner = factors[x]
        both = constant(np.array(outer * inner, call.out.dtype), "factor")
        kept.append(like(call, MULTIPLY, (y, both), call.out.shape, call.out))
        factors[call.out] = factor(kept[-1]) or NONE
    return program if kept == program.calls else rebuilt(program, kept)


def factor(call: Call) -> tuple[Any, float] | None:
    """(x, c) where a call is c · x in floats that keep their dtype; None for any other call."""
    if call.prim.function not in SCALING or not is_call(call, "ufunc") or call.out.dtype.kind != "f":
        return None
    for x, other in (call.args, call.args[::-1]):
        c = only_number(other)
        fits = isinstance(x, Value) and (x.shape, x.dtype) == (call.out.shape, call.out.dtype)
        if fits and c is not None and x.kind != CONSTANT and 1 / FAR <= abs(c) <= FAR:
            if call.prim.function is np.multiply:
                return x, float(c)
            return (x, 1 / float(c)) if other is call.args[1] else None
    return None
