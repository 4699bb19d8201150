"""The words that the passes share: a program with other calls, the numbers in it, what depends on a layout.

A pass leaves the program that it is given as it was, and returns it unchanged (the same object) if it found nothing.
Read `dead.py` next, the shortest pass.
"""

from __future__ import annotations

import operator
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..program import CONSTANT, RESULT, Call, Primitive, Program, Value

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
    value = Value(CONSTANT, array.shape, array.dtype, name, strides=array.strides)
    value.array = array
    return value


def made_by(program: Program) -> dict[Value, Call]:
    return {out: call for call in program.calls for out in call.outs}


def is_call(call: Call | None, kind: str, name: str = "") -> bool:
    """Whether a call is of this kind (and name) and brings nothing but its plain arguments."""
    return call is not None and call.prim.kind == kind and name in ("", call.prim.name) and not call.kwargs


def is_ufunc(call: Call | None, function: Any) -> bool:
    return call is not None and call.prim.function is function and call.prim.kind == "ufunc" and not call.kwargs


def only_number(operand: Any) -> Any:
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

# A sum adds in the order in which entries lie in memory, and BLAS has other code for other layouts, so the same numbers
# laid out otherwise may give another last bit. An exact pass may change the layout of a Value only where none sees it.


def shown(program: Program) -> set[Value]:
    """Values whose layout may show: what the caller gets, what is read by more than one entry at a time, and what
    either is made of entry by entry: a call that keeps a layout may go, and then its input is read in its place."""
    found = {*program.outputs, *(g for _, g in program.gradients)}
    for call in reversed(program.calls):
        entrywise = call.prim.kind in ("ufunc", "view", "assign") or call.prim.name in ("copy", "astype")
        if call.prim.kind != "gather" and (not entrywise or any(out in found for out in call.outs)):
            found.update(call.inputs())
    return found


def replaceable(value: Value, other: Value, visible: set[Value]) -> bool:
    """Whether another value with the same entries may stand for this one, as far as layouts go.

    Where NumPy takes the entries backwards it computes exp and others by other code.
    """
    return value.strides == other.strides or (value not in visible and min(other.strides, default=0) >= 0)


class Products:
    """The products a · b of a program in which a might become the transpose of b, because they become one.

    BLAS multiplies a matrix with its own transpose by code of its own, so that two equal matrices that are made twice
    may not be made once if there is a product of them.
    """

    def __init__(self, program: Program) -> None:
        made = made_by(program)
        self.pairs = [
            {root(value, made) for value in call.args}
            for call in program.calls
            if call.prim.name in ("dot", "matmul") and turned(*call.args[:2])
        ]

    def forbid(self, value: Value, other: Value, new: dict[Value, Value], made: dict[Value, Call]) -> bool:
        """Whether one may not stand for the other; `new`: what stands for other Values already."""
        if not self.pairs:
            return False
        pair = {newest(root(value, made), new), newest(root(other, made), new)}
        return any({newest(part, new) for part in both} == pair for both in self.pairs if len(both) > 1)


def turned(a: Any, b: Any) -> bool:
    """Whether two operands have shapes that are each other's transposed."""
    both = isinstance(a, Value) and isinstance(b, Value) and 1 < len(a.shape) == len(b.shape)
    return both and a.shape[-2:] == b.shape[:-3:-1]


def root(value: Any, made: dict[Value, Call]) -> Any:
    """The value that a view looks into, through all views between."""
    while (call := made.get(value)) is not None and call.prim.kind == "view":
        value = call.args[0]
    return value


def newest(value: Value, new: dict[Value, Value]) -> Value:
    while value in new:
        value = new[value]
    return value


def broadcasts(operands: Sequence[Any], shape: tuple[int, ...]) -> bool:
    """Whether operands of an elementwise function give a result of this shape."""
    shapes = [operand.shape for operand in operands if isinstance(operand, Value)]
    return np.broadcast_shapes(*shapes) == shape
