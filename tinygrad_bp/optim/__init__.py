"""Optimisers: how a gradient becomes a step. Read `optimizer.py`, then `method.py`, then `sgd.py` against its papers.

A method is a file here, and nothing else: the classes that are declared in one (`method.py`) are found and listed. Type
checkers read `__init__.pyi`, which `python -m tinygrad_bp.stub` writes.
"""

from typing import TYPE_CHECKING

from ..errors import guessing
from .listing import declared
from .optimizer import Optimizer as Optimizer

globals().update(declared())
__all__ = sorted(["Optimizer", *declared()])

if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = guessing(__name__)
