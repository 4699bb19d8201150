"""Common subexpressions: the same function of the same things is computed once.

The tape differentiates each operation for itself, so `a - b` of a loss appears in the forward and again in the
backward pass, and each use of a weight transposes it anew. Read `fold.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..program import CONSTANT, Primitive, Value
from .words import rebuilt

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ..program import Call, Program

SMALL = 1 << 12  # bytes up to which constants are compared by content


def common(program: Program) -> Program:
    """Merge calls with the same function, arguments and switched-off warnings; effects stay."""
    new: dict[Value, Value] = {}
    seen: dict[Hashable, Call] = {}
    constants: dict[Hashable, Value] = {}
    kept = []
    for call in program.calls:
        for value in call.inputs():
            if value.kind == CONSTANT and constants.setdefault(key_of(value, {}), value) is not value:
                new[value] = constants[key_of(value, {})]
        first = call
        if not call.prim.effect:
            parts = (call.prim, call.args, call.kwargs, call.quiet, len(call.outs))
            first = seen.setdefault(key_of(parts, new), call)
        if first is call:
            kept.append(call)
            continue
        for out, same in zip(call.outs, first.outs, strict=True):
            new[out] = same
            same.name, same.scope = (same.name, same.scope) if same.name else (out.name, out.scope)
    return rebuilt(program, kept, new) if new else program


def key_of(part: Any, new: dict[Value, Value]) -> Hashable:
    """Equal for two arguments only if no function can tell them apart: 1, 1.0 and True differ, and 0.0 and -0.0."""
    if isinstance(part, Value):
        value = new.get(part, part)
        return key_of(value.array, new) if value.kind == CONSTANT else value
    if isinstance(part, np.ndarray):
        content = part.tobytes() if part.nbytes <= SMALL and part.dtype != object else id(part)
        return (np.ndarray, part.dtype.str, part.shape, part.strides, content)
    if isinstance(part, np.generic):
        return (type(part), part.dtype.str, part.tobytes())
    if isinstance(part, float | complex):
        return (type(part), np.asarray(part).tobytes())
    if isinstance(part, tuple | list):
        return (type(part), *[key_of(item, new) for item in part])
    if isinstance(part, dict):
        return (dict, *[(name, key_of(item, new)) for name, item in sorted(part.items())])
    if isinstance(part, slice):
        return (slice, key_of((part.start, part.stop, part.step), new))
    if isinstance(part, Primitive):
        return (Primitive, part.kind, part.name, part.function)
    if part is None or isinstance(part, bool | int | str | bytes | type | np.dtype):
        return (type(part), part)
    return (type(part), id(part))  # an object of its own: alike only itself
