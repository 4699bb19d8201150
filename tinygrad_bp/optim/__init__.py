"""Optimisers: how a gradient becomes a step. Read `optimizer.py`, then `sgd.py` against its papers."""

from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Optimizer"]
