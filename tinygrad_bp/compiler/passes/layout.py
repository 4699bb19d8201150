"""Rules of `algebra.py` about how arrays lie: views of views, copies, operands repeated before their time.

Nothing in a program is overwritten, so a copy is the array itself; who needs memory of his own (an output, a gradient,
a write) gets it where the source is written. Read `bias.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ..program import CONSTANT, Value
from .words import RESHAPE, again, broadcasts, constant, is_call, only_number

if TYPE_CHECKING:
    from ..program import Call

    class Facts(Protocol):
        makers: dict[Value, Call]

        def may_stand(self, value: Value, other: Value) -> bool: ...


def shorter_view(call: Call, facts: Facts) -> Call | Value:
    """x for a view that is all of x in the same order; one view for a view of a view; x[0] of one row as a reshape."""
    x, how = call.args[0], call.args[1] if len(call.args) == 2 else None
    if not isinstance(x, Value) or how is None:
        return call
    if call.prim.name == "getitem" and x.size == call.out.size and x.shape != call.out.shape and forwards(how):
        call = again(call, (x, call.out.shape), RESHAPE)
    if x.shape == call.out.shape and whole(call, how):
        return x
    inner = facts.makers.get(x)
    if inner is None or not is_call(inner, "view", call.prim.name) or len(inner.args) != 2:
        return call
    if call.prim.name == "transpose":
        below, above = axes(inner), axes(call)
        return shorter_view(again(call, (inner.args[0], tuple(below[axis] for axis in above))), facts)
    if call.prim.name in ("reshape", "broadcast_to"):
        return shorter_view(again(call, (inner.args[0], call.out.shape)), facts)
    return call


def whole(call: Call, how: Any) -> bool:
    """Whether a view that keeps the shape keeps the order too."""
    if call.prim.name == "transpose":
        return axes(call) == tuple(range(len(call.out.shape)))
    if call.prim.name == "getitem":
        keys = how if isinstance(how, tuple) else (how,)
        return all(key is Ellipsis or (isinstance(key, slice) and key == slice(None)) for key in keys)
    return call.prim.name in ("reshape", "broadcast_to")


def forwards(key: Any) -> bool:
    """Whether an index keeps the order of the entries, and makes no axis, which it would lay out otherwise."""
    parts = key if isinstance(key, tuple) else (key,)
    return not any(part is None or (isinstance(part, slice) and (part.step or 1) < 0) for part in parts)


def axes(call: Call) -> tuple[int, ...]:
    n = len(call.out.shape)
    return tuple(axis % n for axis in call.args[1])


def superfluous_copy(call: Call, facts: Facts) -> Call | Value:
    """x for a copy of x, and for x in the dtype that it has, where nobody sees a difference."""
    x = call.args[0] if call.args else None
    if call.prim.name not in ("copy", "astype") or not isinstance(x, Value) or x.is_number:
        return call
    alike = (x.shape, x.dtype) == (call.out.shape, call.out.dtype)
    return x if alike and facts.may_stand(call.out, x) else call


def smaller_operands(call: Call, facts: Facts) -> Call:
    """Operands as they were before they were repeated to the shape that the others have anyway."""
    args, found = list(call.args), False
    for i, operand in enumerate(args):
        small = before_repeating(operand, facts)
        if small is not None and broadcasts([*args[:i], small, *args[i + 1 :]], call.out.shape):
            args[i], found = small, True
    return again(call, tuple(args)) if found else call


def before_repeating(operand: Any, facts: Facts) -> Value | None:
    if not isinstance(operand, Value) or operand.is_number or not operand.shape:
        return None
    if operand.kind == CONSTANT:
        one = only_number(operand)
        return None if one is None else constant(one.reshape(()), operand.name)
    maker = facts.makers.get(operand)
    source = maker.args[0] if maker is not None and is_call(maker, "view", "broadcast_to") else None
    return source if isinstance(source, Value) else None
