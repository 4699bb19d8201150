"""Small questions about tensors, as in PyTorch's top level. Read `nn/module.py` next."""

from __future__ import annotations

from typing import Any

import numpy as np

from .core import Tensor, array_of
from .dtypes import result_type as _result_type
from .errors import require_numbers

__all__ = [
    "allclose", "equal", "is_tensor", "numel", "result_type",
]  # fmt: skip


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
    return int(array_of(input, "numel", "input").size)


def equal(input: Any, other: Any) -> bool:
    """Whether shapes and all entries are the same.

    >>> import tinygrad_bp as tg
    >>> tg.equal(tg.ones(2), tg.ones(2))
    True
    """
    return bool(np.array_equal(array_of(input, "equal", "input"), array_of(other, "equal", "other")))


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
    a, b = array_of(input, "allclose", "input"), array_of(other, "allclose", "other")
    require_numbers("allclose", rtol=rtol, atol=atol)
    return bool(np.allclose(a, b, rtol, atol, equal_nan))


def result_type(a: Any, b: Any) -> np.dtype[Any]:
    """The dtype in which two tensors meet.

    >>> import tinygrad_bp as tg
    >>> tg.result_type(tg.tensor([1]), tg.tensor([0.5]))
    dtype('float32')
    """
    return _result_type(*[x.array if isinstance(x, Tensor) else np.asarray(x) for x in (a, b)])
