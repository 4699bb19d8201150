"""The compiler: a step is run once with stand-ins for its arrays, and from then on as straight-line NumPy.

Reading order: `program.py` (the language) → `tracer.py`, `spelling.py`, `trace.py`, `symbolic.py` (how it is recorded)
→ `kinds.py`, `codes.py`, `places.py`, `packages.py`, `readers.py`, `ways.py`, `variables.py`, `objects.py`,
`capture.py`, `tree.py`, `recording.py` (what a step can reach), `effects.py`, `returned.py` (what it does and gives
back) → `passes/` → `copy_insertion.py`, `buffer_assignment.py`, `source.py`, `link.py` (how it is written and run) →
`guards.py`, `plan.py`, `compiled.py` (when it may be run again).
`export.py` writes what was recorded into a file of its own.
"""

from typing import TYPE_CHECKING

from ..errors import guessing
from .compiled import Compiled, compile
from .export import export_numpy
from .passes import PASSES

__all__ = ["PASSES", "Compiled", "compile", "export_numpy"]

if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = guessing(__name__)
