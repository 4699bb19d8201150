"""The words that the passes share: a program with other calls, the numbers in it, what depends on a layout.

A pass leaves the program that it is given as it was, and returns it unchanged (the same object) if it found nothing.
Read `dead.py` next, the shortest pass.
"""

from __future__ import annotations

import operator
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..program import CONSTANT, MEMORY, RESULT, Call, Primitive, Program, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

GETITEM = Primitive("view", "getitem", operator.getitem)
RESHAPE = Primitive("view", "reshape", np.reshape)
TRANSPOSE = Primitive("view", "transpose", np.transpose)
DOT = Primitive("call", "dot", np.dot)


def rebuilt(program: Program, calls: list[Call], new: dict[Value, Value] | None = None) -> Program:
    """The program with these calls, and with Values replaced everywhere; `program` itself stays as it was."""
    after = Program()
    vars(after).update({name: copy(part) for name, part in vars(program).items()})
    after.calls = calls
    if new:
        after.replace(new)
    return after


def again(call: Call, args: tuple[Any, ...] | None = None, prim: Primitive | None = None) -> Call:
    """A copy of a call that makes the same Values, perhaps from other arguments or by another function."""
    args = call.args if args is None else args
    return Call(prim or call.prim, args, call.kwargs, call.outs, call.scope, call.phase, call.quiet)


def like(call: Call, prim: Primitive, args: tuple[Any, ...], shape: tuple[int, ...], out: Value | None = None) -> Call:
    """A call in the place of another: same layer, phase and dtype; it makes `out`, or a new Value of that shape."""
    made = out or Value(RESULT, shape, call.out.dtype, call.out.name, call.out.scope)
    return Call(prim, args, {}, [made], call.scope, call.phase, call.quiet)


def constant(array: Any, name: str = "") -> Value:
    value = Value(CONSTANT, array.shape, array.dtype, name)
    value.array = array
    return value


def made_by(program: Program) -> dict[Value, Call]:
    return {out: call for call in program.calls for out in call.outs}


def is_call(call: Call | None, kind: str, name: str = "") -> bool:
    """Whether a call is of this kind (and name) and brings nothing but its plain arguments."""
    return call is not None and call.prim.kind == kind and name in ("", call.prim.name) and not call.kwargs


def is_ufunc(call: Call | None, function: Any) -> bool:
    return call is not None and call.prim.function is function and call.prim.kind == "ufunc" and not call.kwargs


def number(operand: Any) -> Any:
    """The one number that a literal or a constant is made of, or None."""
    if not isinstance(operand, Value):
        return operand if isinstance(operand, bool | int | float | np.generic) else None
    if operand.kind != CONSTANT or operand.is_number or not operand.size:
        return None
    first: Any = operand.array[(0,) * len(operand.shape)]
    if operand.size == 1:
        return first
    alike = (operand.array == first).all() and (np.signbit(operand.array) == np.signbit(first)).all() \
        if first.dtype.kind == "f" else (operand.array == first).all()  # fmt: skip
    return first if alike else None


# ----------------------------------------------------------------------------------------------------- layouts

# A sum adds in the order in which entries lie in memory, so the same array in another order of strides may give
# another last bit. A pass that is exact may change the layout of a Value only where nobody adds along it.


def plain(program: Program) -> set[Value]:
    """Values that surely lie row by row."""
    found: set[Value] = set()
    for call in program.calls:
        inputs = [v for v in call.inputs() if not v.is_number]
        rows = all(v in found or len(v.shape) < 1 or _lies_plain(v) for v in inputs)
        if call.prim.name == "dot" or (rows and (call.prim.kind != "view" or _keeps_rows(call))):
            found.update(call.outs)
    return found


def _keeps_rows(view: Call) -> bool:
    """Whether a view of rows lies row by row: in another shape, or some rows that follow each other."""
    if view.kwargs or len(view.args) != 2:
        return False
    key = view.args[1]
    some = view.prim.name == "getitem" and isinstance(key, slice) and key.step in (None, 1)
    return some or view.prim.name == "reshape"


def _lies_plain(value: Value) -> bool:
    if value.kind == CONSTANT:
        return bool(value.array.flags.c_contiguous)
    return value.kind == MEMORY and value.movable


def summed(program: Program) -> set[Value]:
    """Values whose layout may show in a last bit of something: what reductions and products read, and what that is
    made of."""
    found: set[Value] = set()
    for call in reversed(program.calls):
        entrywise = call.prim.kind in ("ufunc", "view", "assign") or call.prim.name in ("copy", "astype")
        fresh = call.prim.kind == "gather"
        if not fresh and (not entrywise or any(out in found for out in call.outs)):
            found.update(call.inputs())
    return found


def broadcasts(operands: Sequence[Any], shape: tuple[int, ...]) -> bool:
    """Whether operands of an elementwise function give a result of this shape."""
    shapes = [operand.shape for operand in operands if isinstance(operand, Value)]
    return np.broadcast_shapes(*shapes) == shape
