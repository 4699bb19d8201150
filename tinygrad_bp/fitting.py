"""Does a number fit where it is to go? Values that are written into a tensor, or meet one of an integer dtype.

Read `calling.py` next.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .duck import Array
from .errors import FORGOT, DtypeError, kind_of

Number = (int, float, complex)


def within(op: str, number: Any, dtype: Any) -> None:
    """Raise if an int cannot stand in an array of an integer dtype; below 0 it counts from the top, as in PyTorch."""
    if isinstance(number, int) and dtype.kind in "iu":
        span = np.iinfo(dtype)
        if not -span.max - (dtype.kind == "i") <= number <= span.max:
            raise DtypeError(f"{op}: {number} does not fit in a tensor of {dtype}; convert first: `x.long()`")


def stored(op: str, number: Any, dtype: Any) -> Any:
    """A number as it stands in an array of this dtype."""
    within(op, number, dtype)
    return np.array(number).astype(dtype).item() if isinstance(number, int) and dtype.kind in "biu" else number


def numbers(op: str, value: Any) -> Any:
    """A value that is to be written: a number, an array or nested lists of numbers; None and text are none."""
    if isinstance(value, (*Number, *Array)) or hasattr(value, "known_number"):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        fix = FORGOT if value is None else "; numbers, tensors, arrays, or lists of numbers can be"
        raise DtypeError(f"{op}: {kind_of(value)} cannot be written into a tensor{fix}")
    return array
