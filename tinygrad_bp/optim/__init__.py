"""Optimisers: how a gradient becomes a step. Read `optimizer.py`, then `sgd.py` against its papers."""

from typing import TYPE_CHECKING

from ..errors import guessing
from .optimizer import Optimizer
from .adam import Adam
from .sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer"]

if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = guessing(__name__)
