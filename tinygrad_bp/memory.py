"""In-place writes: which memory was written, when, by whom; so that no gradient is computed from a value that is gone.

A node keeps the time of its making (`now`); every in-place write moves the clock and stamps the buffer it
wrote to. Two questions are answered from the stamps:

* backward: was an array that a rule is about to read overwritten after the node saved it? (`check_saved`)
* forward: does this tensor share memory with one whose *graph* was changed in place since? Its values are
  new but its node is old, so its gradient would be silently wrong. (`check_alias`)

Views share the stamp of the buffer they look into. Read `core.py` next.
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
REWRITTEN: dict[int, Rewrite] = {}  # buffers whose in-place write was recorded in a graph


class Stamp(weakref.ref[np.ndarray]):
    """The last write to one buffer; it dies with the buffer."""

    __slots__ = ("by", "key", "time", "where")
    key: int
    time: int
    by: str
    where: str


class Rewrite(weakref.ref[np.ndarray]):
    """The node that describes a buffer since an in-place operation was recorded on it."""

    __slots__ = ("abandoned", "by", "key", "node", "time", "where")
    key: int
    time: int
    by: str
    where: str
    node: weakref.ref[Any]
    abandoned: Any  # the view that took a graph and left this buffer for memory of its own; else None


def now() -> int:
    return CLOCK[0]


def buffer_of(array: Any) -> Any:
    """The array that owns the memory that `array` looks into."""
    if isinstance(array, Duck):
        return array.storage
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


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


def rewrite(array: np.ndarray, node: Any, by: str, abandoned: bool = False) -> None:
    """Record that the memory of `array` is, from now on, described by `node`, or was left when `node` came.

    A constant that takes a graph gets new memory: whoever still looks into the old one is a constant and would not
    learn of the gradient, so its use is refused; whoever detaches the tensor later looks into the new one.
    """
    owner = buffer_of(array)
    entry = Rewrite(owner, lambda dead: REWRITTEN.pop(dead.key, None) if REWRITTEN.get(dead.key) is dead else None)
    entry.key, entry.time, entry.by, entry.where = id(owner), CLOCK[0], by, caller()
    entry.node, entry.abandoned = weakref.ref(node), view_of(array) if abandoned else None
    REWRITTEN[entry.key] = entry


def view_of(array: Any) -> tuple[Any, ...]:
    """Which entries of its buffer an array looks at."""
    array = array.actual if isinstance(array, Duck) else array
    return array.ctypes.data, array.shape, array.strides, array.dtype


def settle(part: np.ndarray, value: np.ndarray, node: Any) -> None:
    """`x[0] += w` ends with `x[0] = changed`: the owner takes the change of its own part into its graph."""
    entry = REWRITTEN.get(id(buffer_of(part)))
    if entry is None or node is None or entry.node() is not node:
        return
    if view_of(part) == (entry.abandoned or view_of(value)):
        del REWRITTEN[entry.key]


def check_saved(saved: tuple[Any, ...], made: int, op: str) -> None:
    """Raise if an array in `saved`, kept by a node of `op` made at time `made`, was overwritten since."""
    for value in saved:
        if isinstance(value, Array):
            entry = STAMPS.get(id(buffer_of(value)))
            if entry is not None and entry.time > made:
                raise InplaceError(
                    f"{op}: a value of shape {value.shape} that its backward needs was overwritten in place by "
                    f"{entry.by} at {entry.where}, after {op} had used it. Write a new tensor instead "
                    f"(`y = x + 1`, not `x += 1`), or give {op} a copy: `x.clone()`"
                )


def check_alias(array: Any, node: Any, op: str) -> None:
    """Raise if `array`, described by `node`, lies in a buffer that was given another node in place."""
    entry = REWRITTEN.get(id(buffer_of(array)))
    if entry is None or entry() is None:
        return
    if entry.abandoned is None if node is None else entry.node() is node or node.made >= entry.time:
        return
    raise InplaceError(
        f"{op}: this tensor of shape {array.shape} shares memory with one that {entry.by} changed in place at "
        f"{entry.where}, so its graph no longer describes its values. Take the view again after the change "
        f"(`v = x[0]`), or change a copy (`x.clone()`)"
    )


def caller() -> str:
    """The file and line outside this package from which the present call came."""
    frame = sys._getframe(1)
    package = __name__.partition(".")[0]
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
