"""Small questions about tensors, as in PyTorch's top level. Read `nn/module.py` next."""

from __future__ import annotations

from typing import Any

import numpy as np

from .core import Tensor
from .dtypes import result_type as _result_type


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor.

    >>> import tinygrad_bp as tg
    >>> tg.is_tensor(tg.ones(1)), tg.is_tensor([1])
    (True, False)
    """
    return isinstance(obj, Tensor)


def numel(input: Any) -> int:
    """The number of entries.

    >>> import tinygrad_bp as tg
    >>> tg.numel(tg.ones(2, 3))
    6
    """
    return int(input.array.size)


def equal(input: Any, other: Any) -> bool:
    """Whether shapes and all entries are the same.

    >>> import tinygrad_bp as tg
    >>> tg.equal(tg.ones(2), tg.ones(2))
    True
    """
    return bool(np.array_equal(input.array, other.array))


def allclose(
    input: Any,
    other: Any,
    rtol: float = 1e-05,
    atol: float = 1e-08,
    equal_nan: bool = False,
) -> bool:
    """Whether |input - other| ≤ atol + rtol · |other| everywhere.

    >>> import tinygrad_bp as tg
    >>> tg.allclose(tg.ones(2), tg.ones(2) + 1e-6)
    True
    """
    return bool(np.allclose(input.array, other.array, rtol, atol, equal_nan))


def result_type(a: Any, b: Any) -> np.dtype[Any]:
    """The dtype in which two tensors meet.

    >>> import tinygrad_bp as tg
    >>> tg.result_type(tg.tensor([1]), tg.tensor([0.5]))
    dtype('float32')
    """
    return _result_type(*[x.array if isinstance(x, Tensor) else np.asarray(x) for x in (a, b)])
