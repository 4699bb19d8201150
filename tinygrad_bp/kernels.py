"""Functions that NumPy lacks, on plain arrays: written for accuracy at the extremes first, then for speed.

Read `dialect.py` next.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .duck import TRACES, opaque

SMALL = 32
# Numbers as arrays of no dimension: in a call on few entries they cost a third less than Python's.
ZERO, ONE = ({np.dtype(kind): np.array(n, kind) for kind in ("f4", "f8")} for n in (0, 1))
_erf = np.frompyfunc(math.erf, 1, 1)


def sigmoid(x: Any) -> Any:
    """1 / (1 + e to the -x); the overflow of e to the -x far below 0 is the right answer 0, and no warning."""
    y = np.negative(x) if x.dtype.kind == "f" else np.multiply(x, -1.0)
    if y.size <= SMALL:  # slower by the entry, but entering errstate costs more than a small net's whole layer
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
