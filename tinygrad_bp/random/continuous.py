"""Random reals: how bits become numbers in [0, 1), and what torch does to them afterwards.

After this file you know that float32 takes the low 24 bits of one word, float64 the low 53 bits of two,
and why `fused` exists: torch multiplies and adds with a single rounding. Read `gaussian.py` next.
"""

from __future__ import annotations

import math
from operator import index
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DtypeError, ShapeError, TensorError
from .generator import Generator, default_generator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import DTypeLike, NDArray

    Shape = int | Sequence[int]
    Array = NDArray[Any]
    Real = Array | np.floating[Any]

_LOW_24, _LOW_53 = np.uint64(2**24 - 1), np.uint64(2**53 - 1)


def check_shape(op: str, shape: Shape) -> tuple[int, ...]:
    """`shape` (one size or several) as a tuple of sizes; DtypeError or ShapeError names `op`."""
    sizes = shape if isinstance(shape, (tuple, list)) else (shape,)
    try:
        dims = tuple(index(size) for size in sizes)
    except TypeError:
        raise DtypeError(f"{op}: sizes must be integers, not {shape!r}; write {op}((2, 3))") from None
    if any(size < 0 for size in dims):
        raise ShapeError(f"{op}: shape {dims} has a negative size; sizes start at 0")
    return dims


def check_float(op: str, dtype: DTypeLike) -> np.dtype[Any]:
    """`dtype` if it is float16, float32 or float64; otherwise DtypeError names `op`."""
    kind = np.dtype(dtype)
    if kind.type not in (np.float16, np.float32, np.float64):
        raise DtypeError(f"{op}: draws float16, float32 or float64, not {kind}; "
                         f"draw float32 and convert, or use randint for integers")
    return kind


def unit(generator: Generator, count: int, dtype: DTypeLike) -> Array:
    """`count` numbers in [0, 1): float64 from 53 bits of two words, float32 from 24 bits of one."""
    if np.dtype(dtype) == np.float64:
        return (generator.double_words(count) & _LOW_53) * 2.0**-53
    return (generator.words(count) & _LOW_24).astype(np.float32) * np.float32(2.0**-24)


def fused(a: Array, b: Real, c: Real) -> Array:
    """a·b + c with one rounding at the end, as the processor's fused multiply-add gives it.

    Two float32 factors have an exact product in double. For float64 the rounding errors of the product
    (Dekker 1971) and of the sum (Knuth's two-sum) are computed and added at the end.
    """
    if a.dtype == np.float32:
        wide = a.astype(np.float64)
        wide *= b
        wide += c
        return wide.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        product = a * b
        (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
        product_error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
        total = product + c
        shift = total - product
        total_error = (product - (total - shift)) + (c - shift)
        result = total + (total_error + product_error)
    return np.where(np.isfinite(result), result, total)  # beyond 2⁹⁹⁶ the splitting itself overflows


def _halves(x: Real) -> tuple[Any, Any]:
    """x as a sum of two numbers of 26 bits each (Veltkamp's splitting), so that products are exact."""
    scaled = x * 134217729.0  # 2²⁷ + 1
    high = scaled - (scaled - x)
    return high, x - high


def rand(shape: Shape, dtype: DTypeLike = np.float32, generator: Generator | None = None) -> Array:
    """Uniform numbers in [0, 1), as `torch.rand`; float16, float32 or float64.

    Takes one word per number, float64 two. Raises ShapeError and DtypeError.

    >>> rand((2,), generator=Generator().manual_seed(0))
    array([0.4962566, 0.7682218], dtype=float32)
    """
    return uniform(shape, 0.0, 1.0, dtype, generator, op="rand")


def uniform(
    shape: Shape,
    low: float = 0.0,
    high: float = 1.0,
    dtype: DTypeLike = np.float32,
    generator: Generator | None = None,
    *,
    op: str = "uniform",
) -> Array:
    """Uniform numbers in [low, high), as `Tensor.uniform_`; float16, float32 or float64.

    A number that rounds up to `high` becomes `low`, as in torch. Raises TensorError if low > high or
    the distance is no finite number of the dtype; ShapeError and DtypeError (they name `op`).

    >>> uniform(2, -1.0, 1.0, generator=Generator().manual_seed(0))
    array([-0.00748682,  0.5364436 ], dtype=float32)
    """
    dims, kind = check_shape(op, shape), check_float(op, dtype)
    low, high = float(low), float(high)
    if not low <= high:
        raise TensorError(f"{op}: the range [{low}, {high}) is empty; low must not be above high")
    largest = 1.0 if (low, high) == (0.0, 1.0) else float(np.finfo(kind).max)
    if not (abs(low) <= largest and abs(high) <= largest and high - low <= largest):
        raise TensorError(f"{op}: the range [{low}, {high}) is too wide for {kind}; its largest is {largest}")
    work = np.float64 if kind == np.float64 else np.float32  # float16 is a rounded float32
    numbers = unit(generator or default_generator, math.prod(dims), work)
    if (low, high) != (0.0, 1.0):
        numbers = fused(numbers, work(high) - work(low), work(low))
    elif kind == work:
        return numbers.reshape(dims)  # nothing was rounded, so nothing can have become 1
    out = numbers.astype(kind, copy=False)
    out[out == kind.type(high)] = kind.type(low)
    return out.reshape(dims)


def exponential(
    shape: Shape, rate: float = 1.0, dtype: DTypeLike = np.float32, generator: Generator | None = None
) -> Array:
    """Exponential numbers of mean 1/rate, as `Tensor.exponential_(rate)`; float16, float32 or float64.

    Computed in double as -log(1 - u) / rate from two words each, then rounded. Raises TensorError unless
    rate > 0; ShapeError and DtypeError.

    >>> exponential(2, generator=Generator().manual_seed(0), dtype=np.float64)
    array([3.50832619, 1.23038476])
    """
    dims, kind = check_shape("exponential", shape), check_float("exponential", dtype)
    if not rate > 0:
        raise TensorError(f"exponential: the rate must be above 0, not {rate}; for a mean m write 1 / m")
    count = math.prod(dims)
    u = unit(generator or default_generator, count, np.float64)
    logs = np.fromiter(map(math.log1p, (-u).tolist()), np.float64, count)  # NumPy's log1p has other last bits
    with np.errstate(over="ignore"):
        return (-1.0 / rate * logs).astype(kind, copy=False).reshape(dims)
