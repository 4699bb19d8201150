"""Copies of tensors by `copy` and `pickle`: what shared memory shares it again, in the copy.

A deep copy lies in memory as the original does, gaps and repeated entries included. Of a base and its view, of a tensor
and its `detach()`, the copies look into one memory too; parts of one buffer that do not overlap get memory of their
own, since nobody can tell, and a large buffer may be the work of an optimiser. Read `attributes.py` next.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from .alias import class_of
from .conversion import leave
from .core import Leaf, wrap
from .errors import GraphError
from .memory import buffer_of


class Piece:
    """Part of a buffer that was copied: the addresses that it reaches over, and the new tensors that look into it."""

    def __init__(self, first: int, end: int) -> None:
        self.first, self.end = first, end
        self.block: np.ndarray | None = None  # the copy, where more than one tensor looks into it
        self.tensors: list[tuple[Any, np.ndarray]] = []  # and the array that each is a copy of

    def join(self, tensor: Any, array: np.ndarray) -> None:
        """Let a tensor look into the copy."""
        assert self.block is not None
        at = start_of(array) - self.first
        tensor.array = np.ndarray(array.shape, array.dtype, self.block, at, array.strides)
        tensor.array[...] = array
        self.tensors.append((tensor, array))


def start_of(array: np.ndarray) -> int:
    """The address of the first entry."""
    return int(array.__array_interface__["data"][0])


def span(array: np.ndarray) -> tuple[int, int]:
    """The first address that an array reaches, and the one after its last."""
    reaches = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)]
    start = start_of(array)
    return start + sum(r for r in reaches if r < 0), start + sum(r for r in reaches if r > 0) + array.itemsize


def copy_into(tensor: Any, array: Any, memo: dict[Any, Any]) -> None:
    """Give a new tensor the copy of an array, as part of a deep copy."""
    if not isinstance(array, np.ndarray) or not array.size:
        tensor.array = array.copy("K")
        return
    first, end = span(array)
    pieces = memo.setdefault(("memory", id(buffer_of(array))), [])
    met = [piece for piece in pieces if piece.first < end and first < piece.end]
    if not met:
        piece = Piece(first, end)
        dense = end - first == array.nbytes and 0 not in array.strides
        if dense:
            tensor.array = array.copy("K")
            piece.tensors.append((tensor, array))
        else:
            piece.block = np.zeros(end - first, np.uint8)
            piece.join(tensor, array)
        pieces.append(piece)
    elif len(met) == 1 and met[0].block is not None and met[0].first <= first and end <= met[0].end:
        met[0].join(tensor, array)
    else:
        whole = Piece(min(first, *(piece.first for piece in met)), max(end, *(piece.end for piece in met)))
        whole.block = np.zeros(whole.end - whole.first, np.uint8)
        for one, original in [*(pair for piece in met for pair in piece.tensors), (tensor, array)]:
            whole.join(one, original)
        pieces[:] = [*(piece for piece in pieces if piece not in met), whole]


class Copies:
    """Tensor's methods (`_tensor.py`); `self` is always a Tensor."""

    array: Any
    node: Any
    _grad: Any

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        if self.node is not None and not isinstance(self.node, Leaf):
            raise GraphError(
                "deepcopy: only leaves can be copied with their place in the graph; use `t.detach().clone()`"
            )
        new = memo[id(self)] = object.__new__(class_of(self))
        new.__setstate__((self.array, False))
        copy_into(new, self.array, memo)
        if self.node is not None:
            new.node = Leaf(new)
        if self._grad is not None:
            new._grad = memo.get(id(self._grad))
            if new._grad is None:
                new._grad = memo[id(self._grad)] = wrap(self._grad.array)
                copy_into(new._grad, self._grad.array, memo)
        if self.__dict__:
            new.__dict__.update(deepcopy(self.__dict__, memo))
        return new

    def __copy__(self) -> Any:
        new = object.__new__(class_of(self))
        new.__setstate__((self.array, self.node is not None, *([self.__dict__] if self.__dict__ else [])))
        return new

    def __reduce__(self) -> Any:
        if self.node is not None and not isinstance(self.node, Leaf):
            leave(self, "pickle")
        state = (self.array, self.node is not None, *([self.__dict__] if self.__dict__ else []))
        return _blank, (class_of(self),), state

    def __setstate__(self, state: Any) -> None:
        self.array, needs, *attributes = state
        self.node, self._grad = None, None
        if needs:
            self.node = Leaf(self)  # type: ignore[arg-type]
        for held in attributes:
            self.__dict__.update(held)


def _blank(kind: Any) -> Any:
    return object.__new__(kind)


METHODS = {name: vars(Copies)[name] for name in ("__deepcopy__", "__copy__", "__reduce__", "__setstate__")}
