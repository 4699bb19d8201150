"""Flat memory: arrays laid side by side, so that one call does the same to all of them.

You will know when a tensor's memory may be moved (`movable`: nobody but the tensor holds it), how it is moved (`lay`),
and how what lies side by side is known again (`lying`). A moved array is a `Stretch` of the long one: to everybody
else an array like any other, whose writes are noted as its own. Read `parts.py` next: who is laid beside whom.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..core import Tensor

BLOCK = 1 << 16  # entries: measured best from 2¹² to 2¹⁷; what a rule leaves on its way stays in the second-level cache
_like: Any = wrap(np.empty(1))
ALONE = sys.getrefcount(_like.array)  # references to an array that only its tensor holds, the one that is counted too
MOVES: list[list[tuple[Any, np.ndarray]]] = []  # who wants to know which tensors were moved, and from where
WAITING: list[Callable[[list[np.ndarray]], Any]] = []  # contexts in which nobody works with arrays that are moved


class Stretch:
    """A part of a long array, `flat[start:…]` in a shape: the `base` of the array that looks into it.

    NumPy names the owner of all memory as the base of a view, here the long array. With a Stretch in between a view
    of one part has that part as its base; so a write to it is not taken for one to its neighbours (`memory.py`).
    """

    __slots__ = ("__array_interface__", "flat", "start")

    def __init__(self, flat: np.ndarray, start: int, shape: tuple[int, ...]) -> None:
        self.flat, self.start = flat, start
        whole = flat.__array_interface__
        data = whole["data"][0] + start * flat.itemsize, False
        self.__array_interface__ = {**whole, "shape": shape, "strides": None, "data": data}


def stretches(flat: np.ndarray, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """The parts of a long array, one for each shape, in order and without gaps."""
    starts = accumulate(map(prod, shapes), initial=0)
    return [np.asarray(Stretch(flat, start, shape)) for start, shape in zip(starts, shapes, strict=False)]


def lying(array: Any) -> Stretch | None:
    """Where an array lies in a long one, if it does."""
    base: Any = array.base if type(array) is np.ndarray else None
    return base if isinstance(base, Stretch) else None


def movable(tensor: Tensor) -> bool:
    """Whether a tensor's array may get other memory: row by row, and nobody else holds it or a view of it."""
    return sys.getrefcount(tensor.array) <= ALONE and _alone(tensor.array)


def _alone(array: np.ndarray) -> bool:
    if type(array) is not np.ndarray or not array.flags.c_contiguous or not array.flags.writeable:
        return False
    if array.base is None:
        return bool(array.flags.owndata)
    return sys.getrefcount(array.base) <= ALONE and (lying(array) is not None or _alone(array.base))


def side_by_side(arrays: list[np.ndarray]) -> np.ndarray | None:
    """The piece of a long array of which these are the parts, in order and without gaps; None if they are not."""
    first = lying(arrays[0])
    if first is None:
        return None
    at = first.start
    for array in arrays:
        stretch = lying(array)
        if stretch is None or stretch.flat is not first.flat or stretch.start != at:
            return None
        at += array.size
    return first.flat if at - first.start == first.flat.size else first.flat[first.start : at]


def lay(tensors: list[Any]) -> np.ndarray | None:
    """One array for the entries of tensors of one dtype: they are moved into it, unless they lie side by side already.

    None, and nothing is moved, if one of them must stay where it is.
    """
    flat = side_by_side([t.array for t in tensors])
    if flat is not None or len({t.array.dtype for t in tensors}) > 1 or not all(map(movable, tensors)):
        return flat
    old = [t.array for t in tensors]
    flat = np.empty(sum(array.size for array in old), old[0].dtype)
    new = stretches(flat, [array.shape for array in old])
    with ExitStack() as waiting:
        for context in WAITING:
            waiting.enter_context(context(old))
        for tensor, before, after in zip(tensors, old, new, strict=True):
            after[...] = before
            tensor.array = after
            for moves in MOVES:
                moves.append((tensor, before))
            if after.tobytes() != before.tobytes():  # another thread wrote there, before it could know of the new place
                after[...] = before
    return flat


@contextmanager
def moved_back(always: bool = False) -> Iterator[None]:
    """What is moved inside goes back to where it was: if an error ends the block, or at its end in any case."""
    moves: list[tuple[Any, np.ndarray]] = []
    MOVES.append(moves)
    done = False
    try:
        yield
        done = not always
    finally:
        MOVES[:] = [other for other in MOVES if other is not moves]
        for tensor, before in [] if done else reversed(moves):
            before[...], tensor.array = tensor.array, before


def gather(*arrays: np.ndarray) -> Any:
    """The entries of all arrays, one after another."""
    return np.concatenate(arrays, axis=None)


def blocks(*arrays: Any) -> Iterator[tuple[Any, ...]]:
    """Views of arrays of one shape, a block of entries at a time; None stays None."""
    there = [x for x in arrays if x is not None]
    size = there[0].size
    if size <= BLOCK:
        yield arrays
    elif all(x.flags.c_contiguous for x in there):
        flat = [None if x is None else x.reshape(-1) for x in arrays]
        for start in range(0, size, BLOCK):
            yield tuple([None if x is None else x[start : start + BLOCK] for x in flat])
    else:
        rows = max(1, BLOCK * len(there[0]) // size)
        for start in range(0, len(there[0]), rows):
            part = tuple([None if x is None else x[start : start + rows] for x in arrays])
            if there[0][start : start + rows].size <= BLOCK:
                yield part
            else:  # one row, longer than a block
                yield from blocks(*[None if x is None else x[0] for x in part])
