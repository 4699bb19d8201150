"""In-place writes: which memory was written, when, by whom; so that no gradient is computed from a value that is gone.

A node keeps the time of its making (`now`); every in-place write moves the clock and stamps the buffer it wrote to.
From the stamps backward learns whether an array that a rule is about to read was overwritten after the node saved it
(`check_saved`). Views, detached twins and `.data` share the stamp of the buffer they look into. Read `core.py` next.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any

import numpy as np

from .duck import Array, Duck
from .errors import InplaceError

CLOCK = [0]  # one cell, so that every module sees the same number
STAMPS: dict[int, Stamp] = {}


class Stamp(weakref.ref[np.ndarray]):
    """The last write to one buffer; it dies with the buffer."""

    __slots__ = ("by", "key", "time", "where")
    key: int
    time: int
    by: str
    where: str


def now() -> int:
    return CLOCK[0]


def buffer_of(array: Any) -> Any:
    """The array that owns the memory that `array` looks into."""
    if isinstance(array, Duck):
        return array.owner
    while (base := array.base) is not None:
        if not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)  # `as_strided` puts an object of its own between the two
            if not isinstance(base, np.ndarray):
                break
        array = base
    return array


def coincide(array: Any) -> bool:
    """Whether several entries lie at one place, as in an expanded tensor."""
    array = array.actual if isinstance(array, Duck) else array
    if 0 not in array.strides or array.size < 2:
        return False
    return any(step == 0 and n > 1 for step, n in zip(array.strides, array.shape, strict=True))


def stamp(array: np.ndarray, by: str, where: str | None = None) -> None:
    """Record that `by` has just written to the memory of `array`."""
    stamp_all([array], by, where or caller())


def stamp_all(arrays: list[np.ndarray], by: str, where: str) -> None:
    """Record that `by` has just written to the memory of all these arrays."""
    CLOCK[0] = time = CLOCK[0] + 1
    for array in arrays:
        owner = array if type(array) is np.ndarray and array.base is None else buffer_of(array)
        entry = STAMPS.get(id(owner))
        if entry is None or entry() is not owner:
            entry = Stamp(owner, lambda dead: STAMPS.pop(dead.key, None) if STAMPS.get(dead.key) is dead else None)
            entry.key = id(owner)
            STAMPS[entry.key] = entry
        entry.time, entry.by, entry.where = time, by, where


def check_saved(saved: Any, made: int, op: str) -> None:
    """Raise if an array in `saved`, kept by a node of `op` made at time `made`, was overwritten since."""
    for value in saved if type(saved) is tuple else (saved,):
        if isinstance(value, Array):
            entry = STAMPS.get(id(buffer_of(value)))
            if entry is not None and entry.time > made:
                raise InplaceError(
                    f"{op}: a value of shape {value.shape} that its backward needs was overwritten in place by "
                    f"{entry.by} at {entry.where}, after {op} had used it. Write a new tensor instead "
                    f"(`y = x + 1`, not `x += 1`), or give {op} a copy: `x.clone()`"
                )


def caller() -> str:
    """The file and line outside this package from which the present call came."""
    frame = sys._getframe(1)
    package = __name__.partition(".")[0]
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
