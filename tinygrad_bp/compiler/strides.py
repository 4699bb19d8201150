"""How the entries of an array lie in memory, which shows in the last bits of what is computed from them.

A sum adds in the order of the addresses, and BLAS multiplies a transposed matrix by other code than one that lies row
by row. So a program knows of each value how the eager step has it (`Value.strides`), and that is kept wherever it
shows. Read `program.py` next.
"""

from __future__ import annotations

from itertools import accumulate
from operator import mul
from typing import Any

import numpy as np

Strides = tuple[int, ...]


def rows(shape: tuple[int, ...], dtype: Any) -> Strides:
    """The strides of an array that lies row by row."""
    if 0 in shape:
        return np.empty(shape, dtype).strides
    return tuple(accumulate(shape[:0:-1], mul, initial=np.dtype(dtype).itemsize))[::-1] if shape else ()


def extent(shape: tuple[int, ...], dtype: Any, strides: Strides) -> tuple[int, int]:
    """(bytes before the first entry, bytes in all) that an array of these strides reaches over."""
    reaches = [(n - 1) * stride for n, stride in zip(shape, strides, strict=True) if n > 1]
    before = -sum(reach for reach in reaches if reach < 0)
    return before, before + sum(reach for reach in reaches if reach > 0) + np.dtype(dtype).itemsize


def laid(shape: tuple[int, ...], dtype: Any, strides: Strides) -> np.ndarray:
    """A new array whose entries lie so; what is in it is not said."""
    if strides == rows(shape, dtype):
        return np.empty(shape, dtype)
    before, size = extent(shape, dtype, strides)
    return np.ndarray(shape, dtype, np.empty(size, np.uint8).data, before, strides)


def lying(array: np.ndarray, strides: Strides) -> np.ndarray:
    """The array, or if it lies otherwise a copy that lies so."""
    if array.strides == strides:
        return array
    copy = laid(array.shape, array.dtype, strides)
    copy[...] = array
    return copy


def copied(array: np.ndarray) -> np.ndarray:
    """A copy that lies as the array does, gaps and repeated entries included."""
    copy = laid(array.shape, array.dtype, array.strides)
    copy[...] = array
    return copy


def same_layout(shape: tuple[int, ...], one: Strides, other: Strides) -> bool:
    """Whether two arrays of a shape lie alike; how an axis of one entry goes on tells nothing."""
    return one == other or all(a == b for n, a, b in zip(shape, one, other, strict=True) if n > 1) or 0 in shape


def seen(value: Any) -> np.ndarray:
    """An array to look at, not to read, that lies as a Value does: no memory is behind it."""
    return np.lib.stride_tricks.as_strided(np.empty((), value.dtype), value.shape, value.strides)


def compact(value: Any, dtype: Any = None) -> Strides:
    """The strides of a Value's copy, perhaps in another dtype: the axes in the same order, no gaps."""
    return np.empty_like(seen(value), dtype).strides
