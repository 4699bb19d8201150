"""Algebra that holds to the last bit: x · 1, -(-x), a copy that nobody writes into, a view of a view.

What looks like an identity often is none: -0.0 + 0 is 0.0, NaN · 0 is not 0, and an array of float32 times a float64
constant is an array of float64. So a rule asks for the very number (0 and -0.0 differ), and for the same shape and
dtype before and after. Read `layout.py` next: the rules for views and copies.
"""

from __future__ import annotations

from functools import cached_property
from math import copysign, inf
from typing import TYPE_CHECKING, Any

import numpy as np

from ..program import CONSTANT, Value
from .layout import shorter_view, smaller_operands, superfluous_copy
from .words import Products, is_ufunc, made_by, only_number, rebuilt, replaceable, shown

if TYPE_CHECKING:
    from ..program import Call, Program

# ufunc → the number that leaves the other operand as it is, and on which sides it may stand
NEUTRAL: dict[Any, tuple[float, tuple[int, ...]]] = {
    np.multiply: (1.0, (0, 1)),
    np.true_divide: (1.0, (1,)),
    np.power: (1.0, (1,)),
    np.add: (-0.0, (0, 1)),
    np.subtract: (0.0, (1,)),
    np.maximum: (-inf, (0, 1)),
    np.minimum: (inf, (0, 1)),
}


class Facts:
    """What the rules ask about the program as it stands."""

    def __init__(self, program: Program) -> None:
        self.program, self.makers = program, made_by(program)
        self.new: dict[Value, Value] = {}  # what was found simpler so far → what stands for it

    @cached_property
    def shown(self) -> set[Value]:
        return shown(self.program)

    @cached_property
    def products(self) -> Products:
        return Products(self.program)

    def may_stand(self, value: Value, other: Value) -> bool:
        """Whether another Value with the same entries may stand for one, and no bit of anything changes."""
        return replaceable(value, other, self.shown) and not self.products.forbid(value, other, self.new, self.makers)


def algebra(program: Program) -> Program:
    """Go through the calls once; a rule finds its operands already simplified."""
    facts, kept = Facts(program), []
    new, changed = facts.new, False
    for call in program.calls:
        call = call.replaced(new)
        better = simpler(call, facts)
        changed |= better is not call
        if isinstance(better, Value):
            better.name, better.scope = (better.name or call.out.name), (better.scope or call.out.scope)
            new[call.out] = better
            continue
        for out in better.outs:
            facts.makers[out] = better
        kept.append(better)
    return rebuilt(program, kept, new) if changed else program


def simpler(call: Call, facts: Facts) -> Call | Value:
    """What a call comes to: a Value that is there already, a simpler call, or itself."""
    if call.prim.effect or len(call.outs) != 1 or call.out.is_number or call.kwargs:
        return call
    if call.prim.kind == "ufunc":
        unchanged = neutral(call) or double_negative(call, facts)
        return unchanged if unchanged and facts.may_stand(call.out, unchanged) else smaller_operands(call, facts)
    if call.prim.kind == "view":
        return shorter_view(call, facts)
    return superfluous_copy(call, facts)


def neutral(call: Call) -> Value | None:
    """x where a call is x · 1, x / 1, x to the 1, x + (-0.0), x - 0, max(x, -∞), min(x, ∞), +x."""
    found = None
    if call.prim.function is np.positive:
        found = call.args[0]
    elif call.prim.function in NEUTRAL:
        unit, sides = NEUTRAL[call.prim.function]
        for side in sides:
            if is_number(call.args[side], unit, call.out.dtype):
                found = call.args[1 - side]
    return found if isinstance(found, Value) and stays(found, call.out) else None


def stays(x: Value, out: Value) -> bool:
    return x.kind != CONSTANT and (x.shape, x.dtype) == (out.shape, out.dtype) and x.dtype.kind in "fiub"


def is_number(operand: Any, unit: float, dtype: Any) -> bool:
    """Whether an operand is `unit` throughout; among integers there is one 0."""
    value = only_number(operand)
    if value is None or np.iscomplexobj(value) or value != unit:
        return False
    return bool(dtype.kind != "f" or unit or copysign(1, value) == copysign(1, unit))


def double_negative(call: Call, facts: Facts) -> Value | None:
    inner = facts.makers.get(call.args[0]) if is_ufunc(call, np.negative) else None
    if inner is None or not is_ufunc(inner, np.negative):
        return None
    x = inner.args[0]
    return x if isinstance(x, Value) and stays(x, call.out) else None
