"""Whose memory an array is: may the compiler lay it into a longer buffer, and does it lie in one already?

A parameter is moved only if nobody else can notice: no other array looks into its memory, and nobody but its tensor
holds the array. Read `recording.py` next.
"""

from __future__ import annotations

import sys
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from ..errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..core import Tensor
    from .tracer import Storage

FLAT: dict[int, Any] = {}  # id → weak reference: the long buffers in which the compiler laid several memories
ALONE = 2  # references to an array that only its tensor has: the tensor's, and the one that is being counted


def movable(tensor: Tensor) -> bool:
    """Whether a tensor's array may be laid into a longer buffer, or lies in one."""
    return in_flat(tensor.array) or (sys.getrefcount(tensor.array) <= ALONE and alone(tensor.array))


def in_flat(array: np.ndarray) -> bool:
    """Whether an array is a part of a long buffer that the compiler made."""
    reference = FLAT.get(id(array.base))
    return reference is not None and reference() is array.base


def alone(array: np.ndarray) -> bool:
    """Whether an array has memory of its own, of which nobody else has a view."""
    if not array.flags.c_contiguous or not array.flags.writeable:
        return False
    base: Any = array.base
    if base is None:
        return bool(array.flags.owndata)
    return isinstance(base, np.ndarray) and sys.getrefcount(base) <= 3 and alone(base)  # a view that nobody else has


def forget(key: int, reference: Any) -> None:
    if FLAT.get(key) is reference:
        del FLAT[key]


def one_piece(parts: list[np.ndarray]) -> np.ndarray | None:
    """The long buffer of which these arrays are already the parts, in order and without gaps, if there is one."""
    base = parts[0].base
    if base is None or FLAT.get(id(base)) is None or any(p.base is not base for p in parts):
        return None
    start = at = (parts[0].ctypes.data - base.ctypes.data) // base.itemsize
    for part in parts:
        if part.ctypes.data != base.ctypes.data + at * base.itemsize or not part.flags.c_contiguous:
            return None
        at += prod(part.shape)
    found: np.ndarray = base[start:at]
    return base if found.shape == base.shape else found


def no_overlaps(storages: Iterable[Storage], changed: list[Storage]) -> None:
    """Memory that is written must not be seen through two arrays, of which one would not learn of it."""
    written = set(map(id, changed))
    spans = sorted((*byte_bounds(s.real), id(s) in written, s.home.name) for s in storages)
    farthest: dict[bool, tuple[int, str]] = {}  # written or not → how far the arrays of before reach, and which
    for start, end, write, name in spans:
        found = [farthest[kind] for kind in farthest if (kind or write) and farthest[kind][0] > start]
        farthest[write] = max(farthest.get(write, (0, "")), (end, name))
        if found:
            raise CompileError(
                f"tg.compile: {found[0][1]!r} and {name!r} look into the same memory, and the step writes to it; "
                "let the step reach one tensor, and take the views inside the step"
            )
