"""Functions that NumPy lacks, on plain arrays: written for accuracy at the extremes first, then for speed.

Read `dialect.py` next.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .alarms import silence
from .duck import TRACES, Array, Duck, opaque
from .memory import coincide

FEW = 32
MANY, PARTS = 256, 8  # so many entries may be added up one by one; more of them are first laid over one another
HALF, SINGLE, DOUBLE = np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)
add_up: Any = np.add.reduce  # half the cost of np.sum on small arrays
# Numbers as arrays of no dimension: in a call on few entries they cost a third less than Python's.
ZERO, ONE = ({np.dtype(kind): np.array(n, kind) for kind in ("f4", "f8")} for n in (0, 1))
_erf = np.frompyfunc(math.erf, 1, 1)


def total(x: Any, axes: tuple[int, ...], keepdims: bool = False) -> Any:
    """The sum over `axes`, as exact for a million rows as for a hundred; of integers in int64.

    Across an axis that is not contiguous NumPy adds one row after the other, and float32 loses a digit for every ten
    thousand of them. The shape alone decides which way is taken, so that a compiled step adds in the same order.
    """
    read: Any = isinstance(x, Array)
    if not read:  # a Tensor, or a single number
        return add_up(x, axis=axes, keepdims=keepdims)
    dtype = x.dtype
    if dtype.kind != "f":
        return add_up(x, axes, np.int64 if dtype.kind in "iub" else None, None, keepdims)
    if dtype is HALF:
        return total(x.astype(SINGLE), axes, keepdims).astype(HALF)
    if x.size <= MANY or math.prod([x.shape[i] for i in axes]) <= MANY:
        return add_up(x, axes, None, None, keepdims)
    for axis in axes:
        x = _total_along(x, axis)
    return x if keepdims else x.reshape([n for i, n in enumerate(x.shape) if i not in axes])


def _total_along(x: Any, axis: int) -> Any:
    """The sum over one axis, kept as size 1: an eighth of the rows laid over the other seven, until few are left.

    Splitting an axis in two never copies, wherever the entries lie.
    """
    rows, before, after = x.shape[axis], x.shape[:axis], x.shape[axis + 1 :]
    if rows <= MANY:
        return add_up(x, axis, None, None, True)
    part, head = rows // PARTS, (slice(None),) * axis
    even = x[(*head, slice(PARTS * part))].reshape((*before, PARTS, part, *after))
    y = _total_along(add_up(even, axis), axis)
    return y if rows == PARTS * part else y + add_up(x[(*head, slice(PARTS * part, None))], axis, None, None, True)


def running(x: Any, axis: int | None) -> Any:
    """The running total along an axis, in float64 as in PyTorch, and rounded at the end; of integers in int64."""
    if x.dtype.kind != "f":
        return np.cumsum(x, axis, np.int64 if x.dtype.kind in "iub" else None)
    return np.cumsum(x, axis, DOUBLE).astype(x.dtype, copy=False)


def converted(x: Any, dtype: Any) -> Any:
    return (dense(x) if coincide(x) else x).astype(dtype)


# ------------------------------------------------------------ how the entries lie in memory
def dense(x: Any) -> Any:
    """A copy without gaps, whose axes follow one another in memory as those of x do: PyTorch's `preserve_format`."""
    if (type(x) is np.ndarray and 0 not in x.strides) or not coincide(x):
        return x.copy("K")
    order = in_memory(x)
    return np.transpose(np.transpose(x, order).copy(), np.argsort(order))


def blank_like(x: Any, dtype: Any) -> np.ndarray:
    """New memory of the shape of x, laid out as a dense copy of it would be."""
    order = in_memory(x)
    if order == tuple(range(len(order))):
        return np.empty(x.shape, dtype)
    return np.empty([x.shape[axis] for axis in order], dtype).transpose(np.argsort(order))


def in_memory(x: Any) -> tuple[int, ...]:
    """The axes of x in the order of their strides, the longest first; one along which nothing moves keeps its place."""
    array = x.actual if isinstance(x, Duck) else x
    if array.flags.c_contiguous:
        return tuple(range(array.ndim))
    steps, order = [abs(step) for step in array.strides], [*range(array.ndim)][::-1]
    for start in range(1, array.ndim):  # an insertion sort, since what has no place of its own has no order either
        here = start
        for there in range(start - 1, -1, -1):
            inner, outer = order[there], order[here]
            if not steps[inner] or not steps[outer]:
                continue
            if (steps[inner], array.shape[inner]) > (steps[outer], array.shape[outer]):
                order[there], order[here] = outer, inner
                here = there
            elif steps[inner] < steps[outer]:
                break
    return tuple(order[::-1])


def widened(x: Any) -> Any:
    """Halves, or a list of them, as float32."""
    if isinstance(x, list):
        return list(map(widened, x))
    return x.astype(SINGLE) if getattr(x, "dtype", None) is HALF else x


def in_single(function: Any, last: bool = False) -> Any:
    """A forward or a rule that reads halves as float32; a forward rounds its result at the end, the engine a rule's."""

    def wide(*values: Any) -> Any:
        y = function(*map(widened, values))
        if last and type(y) is tuple:
            return tuple([part.astype(HALF) if part.dtype is SINGLE else part for part in y])
        return y.astype(HALF) if last else y

    return wide


def sigmoid(x: Any) -> Any:
    """1 / (1 + e to the -x); the overflow of e to the -x far below 0 is the right answer 0, and no warning."""
    y = np.negative(x) if x.dtype.kind == "f" else np.multiply(x, -1.0)
    if y.size <= FEW:  # slower by the entry, but entering errstate costs more than a small net's whole layer
        zero = 0 if TRACES else ZERO.get(y.dtype, 0)
        return np.exp(np.negative(np.logaddexp(zero, y)))
    with np.errstate(over="ignore"):
        np.exp(y, out=y)
    y += 1
    return np.reciprocal(y, out=y)


def through_sigmoid(g: Any, y: Any) -> Any:
    """g · y · (1 - y), in one piece of memory."""
    d = (1 if TRACES else ONE.get(y.dtype, 1)) - y
    d *= y
    d *= g
    return d


def through_tanh(g: Any, y: Any) -> Any:
    """g · (1 - y²), in one piece of memory."""
    d = y * y
    d = np.subtract(1 if TRACES else ONE.get(y.dtype, 1), d, d if d.ndim else None)  # without dimensions d is no array
    d *= g
    return d


def erf(x: Any) -> Any:
    """The error function, entry by entry through the C library: exact, at about 0.1 µs an entry."""
    return opaque(_erf_of, x)


def _erf_of(x: Any) -> Any:
    dtype = getattr(x, "dtype", None)
    y = np.asarray(_erf(x), dtype=np.float64)
    return y.astype(dtype) if dtype is not None and dtype.kind == "f" else y


silence(globals())
