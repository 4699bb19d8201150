"""The sigmoid of few numbers in three calls instead of four.

    exp(-log(e⁰ + eʷ))   is   (1/e) to the log(e⁰ + eʷ),   with w = -x

The recorded form (`kernels.py`) is right at every x and never overflows, and so is this one; a small net pays for the
call, not for the power. With L = log(e⁰ + eʷ) the two differ by less than L · 10⁻¹⁶ of the result, below 10⁻¹³ wherever
it is not 0; in float32 that would be 10⁻⁵, so only float64 is rewritten. Read `scale.py` next.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np

from ..program import Primitive
from .words import constant, is_ufunc, like, made_by, only_number, rebuilt

if TYPE_CHECKING:
    from ..program import Call, Program

FEW = 32  # entries: beyond, two cheap passes over the entries cost less than a power
POWER = Primitive("ufunc", "power", np.power)


def sigmoid(program: Program) -> Program:
    """Rewrite each exp(-logaddexp(0, w)) of few entries whose negative serves nothing else."""
    if not any(map(is_small_exp, program.calls)):
        return program
    makers, uses, results = made_by(program), program.uses(), set(program.results())
    kept: list[Call] = []
    for call in program.calls:
        exponent: Any = call.args[0] if is_small_exp(call) else None
        minus = makers.get(exponent)
        log: Any = minus.args[0] if minus is not None and is_ufunc(minus, np.negative) else None
        if is_log_of_sum(makers.get(log)) and len(uses[exponent]) == 1 and exponent not in results:
            call = like(call, POWER, (constant(np.array(exp(-1)), "one_over_e"), log), call.out.shape, call.out)
        kept.append(call)
    return program if kept == program.calls else rebuilt(program, kept)


def is_small_exp(call: Call) -> bool:
    return is_ufunc(call, np.exp) and call.out.dtype == np.float64 and call.out.size <= FEW


def is_log_of_sum(call: Call | None) -> bool:
    """Whether a call is logaddexp(0, w)."""
    return call is not None and is_ufunc(call, np.logaddexp) and bool(only_number(call.args[0]) == 0)
