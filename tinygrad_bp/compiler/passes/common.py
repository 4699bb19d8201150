"""Common subexpressions: the same function of the same things is computed once.

The tape differentiates each operation for itself, so `a - b` of a loss appears in the forward and again in the
backward pass, and each use of a weight transposes it anew. Read `fold.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ... import pytree
from ...pytree import operands
from ..program import CONSTANT, Value
from .words import Products, made_by, rebuilt

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ..program import Call, Program

BY_VALUE = {int, bool, str, bytes, type(None), type(Ellipsis)}
COMPARED_BYTES = 1 << 12  # bytes up to which constants are compared by content


def common(program: Program) -> Program:
    """Merge calls with the same function, arguments and switched-off warnings; effects stay."""
    new: dict[Value, Value] = {}
    seen: dict[Hashable, Call] = {}
    constants: dict[Hashable, Value] = {}
    met: set[Value] = set()
    products, made = Products(program), made_by(program)
    kept = []
    for call in program.calls:
        for value in call.inputs():
            if value.kind == CONSTANT and value not in met:
                met.add(value)
                first_alike = constants.setdefault(key_of(value.array, {}), value)
                if first_alike is not value:
                    new[value] = first_alike
        first = call if call.prim.effect else seen.setdefault(key_of_call(call, new), call)
        if first is call or products.forbid(call.outs[0], first.outs[0], new, made):
            kept.append(call)
            continue
        for out, same in zip(call.outs, first.outs, strict=True):
            new[out] = same
            same.name, same.scope = (same.name, same.scope) if same.name else (out.name, out.scope)
    return rebuilt(program, kept, new) if new else program


def key_of_call(call: Call, new: dict[Value, Value]) -> Hashable:
    """Equal for two calls that compute the same; `new` tells which Values are one."""
    prim = call.prim
    args = [new.get(arg, arg) if arg.__class__ is Value else key_of(arg, new) for arg in call.args]
    named = key_of((call.kwargs, call.quiet), new) if call.kwargs or call.quiet else None
    return (prim.function, prim.kind, prim.name, len(call.outs), named, *args)


def key_of(part: Any, new: dict[Value, Value]) -> Hashable:
    """Equal for two arguments only if no function can tell them apart: 1, 1.0 and True differ, and 0.0 and -0.0."""
    keys: Hashable = pytree.fold(lambda leaf: new.get(leaf, leaf) if isinstance(leaf, Value) else key_of_leaf(leaf),
                                 joined, part, operands)  # fmt: skip
    return keys


def joined(tree: Any, keys: list[Hashable]) -> Hashable:
    names = tuple(tree) if isinstance(tree, dict) else ()
    return (tree.__class__, names, *keys)


def key_of_leaf(part: Any) -> Hashable:
    kind = part.__class__
    if kind in BY_VALUE:
        return kind, part
    if isinstance(part, np.ndarray):
        content = part.tobytes() if part.nbytes <= COMPARED_BYTES and part.dtype != object else id(part)
        return (np.ndarray, part.dtype.str, part.shape, part.strides, content)
    if isinstance(part, np.generic):
        return (kind, part.dtype.str, part.tobytes())
    if isinstance(part, float | complex):
        return (kind, np.asarray(part).tobytes())
    if isinstance(part, type | np.dtype):
        return kind, part
    return (kind, id(part))  # an object of its own: alike only itself
