"""Dead code: a call whose results nobody needs goes. Read `common.py` next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .words import rebuilt

if TYPE_CHECKING:
    from ..program import Program


def dead(program: Program) -> Program:
    """Keep the calls that an output, a write, a gradient or a number hangs on, and effects."""
    needed, kept = set(program.results()), []
    for call in reversed(program.calls):
        if call.prim.effect or not needed.isdisjoint(call.outs):
            needed.update(call.inputs())
            kept.append(call)
    return program if len(kept) == len(program.calls) else rebuilt(program, kept[::-1])
