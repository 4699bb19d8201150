"""Blocks of memory, the variables that are arrays in them, and what an array's strides say.

Read `buffer_assignment.py` next: which value is where.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import pytree
from ..pytree import operands
from .program import Value


class Block:
    """A piece of memory. kind: "memory", "constant", "argument", "fresh" (new at each run), "buffer" (from the pool),
    or "kept" (a buffer whose content outlives the step). owner: the value that it holds now."""

    __slots__ = ("first", "kind", "nbytes", "owner")

    def __init__(self, kind: str, owner: Value, nbytes: int = 0) -> None:
        self.kind, self.owner, self.nbytes = kind, owner, nbytes
        self.first: Variable | None = None  # the array that it was made for


class Variable:
    """A name in the code: one array, or what is made anew at each run (then `like` is None).

    like: an array of the same shape, dtype and strides. base, call: the variable that it is a view of, and the view.
    values: what it holds, one after another.
    """

    __slots__ = ("base", "block", "call", "canonical", "like", "name", "values")

    def __init__(self, block: Block, like: np.ndarray | None, value: Value | None) -> None:
        self.block, self.like = block, like
        self.values = [] if value is None else [value]
        self.base: Variable | None = None
        self.call: tuple[Any, tuple[Any, ...]] | None = None
        self.canonical = self  # the first of the variables that are one array under several names
        self.name = ""

    @property
    def static(self) -> bool:
        """Whether the array is there before the run."""
        return self.like is not None


def is_value(tree: Any) -> bool:
    """Whether an operand is an array, or holds one."""
    return any(isinstance(leaf, Value | np.ndarray) for leaf in pytree.leaves(tree, operands))


def open_ended(key: Any) -> Any:
    """An index that gives an array even where only one entry is left: x[0, ...] in the place of x[0]."""
    parts = key if isinstance(key, tuple) else (key,)
    return key if any(part is Ellipsis for part in parts) else (*parts, ...)


def identity(array: np.ndarray) -> np.ndarray:
    return array


def slice_of(flat: np.ndarray, offset: int, size: int, shape: tuple[int, ...]) -> np.ndarray:
    return flat[offset : offset + size].reshape(shape)


def separate(array: np.ndarray) -> bool:
    """Whether each entry of an array has an address of its own, and may be written."""
    flags = array.flags
    if not flags.writeable or flags.c_contiguous:
        return bool(flags.writeable)
    reach = array.itemsize
    for stride, n in sorted(zip(map(abs, array.strides), array.shape, strict=True)):
        if n > 1:
            if stride < reach:
                return False
            reach = stride * (n - 1) + reach
    return True


def same_start(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.__array_interface__["data"] == b.__array_interface__["data"]
