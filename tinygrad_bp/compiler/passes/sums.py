"""Other small sums as products with ones: over the columns of a matrix (softmax), and of all entries (a loss).

Not exact, for the same reason as `bias.py`. Read `sigmoid.py` next.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from .bias import LONGEST, Ones, product, summed_axes
from .words import RESHAPE, like, rebuilt

if TYPE_CHECKING:
    from ..program import Call, Program


def sums(program: Program) -> Program:
    """Write sums over the columns of a matrix, and short sums of all entries, as products."""
    kept: list[Call] = []
    ones = Ones()
    for call in program.calls:
        axes, x = summed_axes(call)
        n = 0 if x is None else len(x.shape)
        if not n or prod(x.shape[axis] for axis in axes) > LONGEST:
            kept.append(call)
        elif len(axes) == n:
            flat = [] if n == 1 else [like(call, RESHAPE, (x, (x.size,)), (x.size,))]
            kept += [*flat, *product(call, (flat[0].out if flat else x, ones[x.size, x.dtype]), ())]
        elif n == 2 and axes == (1,):
            kept += product(call, (x, ones[x.shape[1], x.dtype]), (x.shape[0],))
        else:
            kept.append(call)
    return program if kept == program.calls else rebuilt(program, kept)
