"""Constant folding: what depends on nothing is computed once, while the step is compiled. Read `algebra.py` next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..program import CONSTANT, Value, compute, swapped
from ..strides import lying
from .words import constant, rebuilt

if TYPE_CHECKING:
    from ..program import Call, Program

LARGE = 1 << 20  # bytes: a result of more is folded only if its inputs were as large


def fold(program: Program) -> Program:
    """Replace calls of constants by their result; one that would warn stays, so that it warns at each step."""
    new: dict[Value, Value] = {}
    kept = []
    for call in program.calls:
        result = None if call.prim.effect or len(call.outs) != 1 or call.out.is_number else folded(call, new)
        if result is None:
            kept.append(call)
        else:
            new[call.out] = constant(result, call.out.name)
            new[call.out].scope = call.out.scope
    return rebuilt(program, kept, new) if new else program


def folded(call: Call, new: dict[Value, Value]) -> Any:
    """The result of a call, laid out as it would be, or None if it is not constant, or not worth its memory."""
    for value in call.inputs():
        if value.kind != CONSTANT and value not in new:
            return None
    inputs = [new.get(value, value) for value in call.inputs()]
    size = call.out.size * call.out.dtype.itemsize
    if size > max(LARGE, sum(np.asarray(value.array).nbytes for value in inputs)):
        return None
    arrays = {value: known.array for value, known in zip(call.inputs(), inputs, strict=True)}
    args, kwargs = swapped(call.args, arrays), swapped(call.kwargs, arrays)
    heard = {kind: "ignore" if call.quiet.get(kind) == "ignore" else "raise" for kind in ("over", "divide", "invalid")}
    try:
        with np.errstate(**heard):  # type: ignore[arg-type]
            result = np.asarray(compute(call.prim, args, kwargs))
    except FloatingPointError:
        return None
    return result if call.prim.kind == "view" else lying(result, call.out.strides)
