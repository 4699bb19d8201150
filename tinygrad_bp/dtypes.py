"""Dtypes are NumPy's own; what is PyTorch's is the default (float32) and how two of them meet.

Read `core.py` next.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from .duck import CHANGES
from .errors import DtypeError

__all__ = [
    "bool",
    "double",
    "float",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "half",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "long",
    "set_default_dtype",
    "short",
    "uint8",
]  # fmt: skip

float16 = half = np.dtype(np.float16)
float32 = float = np.dtype(np.float32)
float64 = double = np.dtype(np.float64)
int8 = np.dtype(np.int8)
int16 = short = np.dtype(np.int16)
int32 = int = np.dtype(np.int32)
int64 = long = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
bool = np.dtype(np.bool_)

DType: TypeAlias = "np.dtype[Any] | type | str"  # what may name a dtype
_DEFAULT = [float32]
_RANK = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def native(array: Any) -> Any:
    """An array in this machine's order of bytes: a copy of one that was read from a file of another machine."""
    return array if array.dtype.isnative else array.astype(array.dtype.type)


def get_default_dtype() -> np.dtype[Any]:
    """The dtype of tensors made from Python floats: float32 until it is set otherwise.

    >>> import tinygrad_bp as tg
    >>> tg.get_default_dtype()
    dtype('float32')
    """
    return _DEFAULT[0]


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype of tensors made from Python floats, and of float results from integers.

    >>> import tinygrad_bp as tg
    >>> tg.set_default_dtype(tg.float64)
    >>> tg.tensor([1.5]).dtype
    dtype('float64')
    >>> tg.set_default_dtype(tg.float32)
    """
    dtype = dtype_of(dtype)
    if dtype.kind != "f":
        raise DtypeError(f"set_default_dtype: only a floating-point dtype can be the default, not {dtype}")
    _DEFAULT[0] = dtype
    CHANGES[0] += 1


def dtype_of(value: Any) -> np.dtype[Any]:
    """NumPy's dtype for a dtype, its name or its type; DtypeError for anything else.

    >>> dtype_of("float16")
    dtype('float16')
    """
    found: np.dtype[Any] | None
    try:
        found = np.dtype(value)
    except TypeError:
        found = None
    if found is None or found.kind not in "biufc":
        detail = "tg.float32, tg.float64, tg.float16, tg.int64, tg.int32, tg.int16, tg.int8, tg.uint8 and tg.bool"
        raise DtypeError(f"{value!r:.60} is no dtype for a tensor; there are {detail}")
    return np.dtype(found.type)  # the one object that stands for it, in this machine's order of bytes


def result_type(*arrays: Any) -> np.dtype[Any]:
    """The dtype in which arrays meet, by PyTorch's rule: the highest kind wins, and within it arrays with
    dimensions outrank 0-d ones. int64 with float32 is float32, where NumPy would say float64.

    >>> import numpy as np
    >>> result_type(np.ones(2, np.int64), np.ones(2, np.float32))
    dtype('float32')
    """
    best = None
    rank = -1
    for with_dims in (True, False):
        group = [a.dtype for a in arrays if (a.ndim > 0) is with_dims]
        top = max((_RANK[d.kind] for d in group), default=-1)
        if top > rank:
            same = [d for d in group if _RANK[d.kind] == top]
            best, rank = same[0] if len(same) == 1 else np.result_type(*same), top
    if best is None:
        raise DtypeError("result_type: no arrays given")
    return best
