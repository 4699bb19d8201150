"""Normal numbers by Box–Muller, in the two ways of torch: one by one below 16 elements, in blocks from 16 on.

After this file you know why `randn(15)` and `randn(16)` of one seed have nothing in common, and how a
float32 logarithm, sine and cosine are made of a short polynomial. Read `discrete.py` next.

Sources: Box and Muller, Ann. Math. Stat. 29 (1958); the polynomials are those of S. Moshier's Cephes
library (`logf`, `sinf`, `cosf`), which torch's AVX2 kernel uses with fused multiply-adds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ShapeError, TensorError
from .continuous import check_float, check_shape, fused, unit
from .generator import Generator, default_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import DTypeLike

    from .continuous import Array, Shape

_F = np.float32


def _floats(values: Iterable[float]) -> tuple[np.float32, ...]:
    return tuple(_F(value) for value in values)


_LOG = _floats((7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
                -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1))
_SIN = _floats((-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
_COS = _floats((2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2))
_LN2_HIGH, _LN2_LOW = _floats((0.693359375, -2.12194440e-4))  # ln 2 in two pieces; the first has few bits
_MINUS_QUARTER_PI = _floats((-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8))  # in three
_SQRT_HALF, _FOUR_OVER_PI, _TWO_PI = _floats((0.707106781186547524, 1.27323954473516, 2 * math.pi))
_HALF, _ONE = _floats((0.5, 1.0))
_STRETCH = 2**15  # numbers worked on at a time, so that the intermediate arrays stay in the processor's cache


def _polynomial(coefficients: tuple[np.float32, ...], x: Array) -> Array:
    """Horner's scheme, highest power first, one rounding per step."""
    y = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        y = fused(y, x, coefficient)
    return y


def _log(u: Array) -> Array:
    """Natural logarithm of float32 numbers in (0, 1]: u = m·2ᵉ, then a polynomial in m - 1 around m = 1."""
    mantissa, exponent = np.frexp(u)
    small = mantissa < _SQRT_HALF  # double those, so that m lies in [√½, √2)
    x = np.where(small, (mantissa - _ONE) + mantissa, mantissa - _ONE)
    e = (exponent - small).astype(_F)
    square = x * x
    y = fused(_polynomial(_LOG, x) * x, square, e * _LN2_LOW)
    return fused(e, _LN2_HIGH, x + fused(square, -_HALF, y))


def _sin_cos(angle: Array) -> tuple[Array, Array]:
    """Sine and cosine of float32 angles in [0, 2π): reduce by octants, then a polynomial on [-π/4, π/4]."""
    octant = ((angle * _FOUR_OVER_PI).astype(np.int32) + 1) & ~1
    x, multiple = angle, octant.astype(_F)
    for piece in _MINUS_QUARTER_PI:
        x = fused(multiple, piece, x)
    square = x * x
    cosine = fused(_polynomial(_COS, square) * square, square, -_HALF * square) + _ONE
    sine = fused(_polynomial(_SIN, square) * square, x, x)
    swapped = (octant & 2) != 0
    sine, cosine = np.where(swapped, cosine, sine), np.where(swapped, sine, cosine)
    return np.where(octant & 4, -sine, sine), np.where((octant + 2) & 4, -cosine, cosine)


def _each(function: Callable[[float], float], x: Array) -> Array:
    """`function` of the C library on each element: NumPy's vector versions can differ in the last bit."""
    return np.fromiter(map(function, x.ravel().tolist()), np.float64, x.size).reshape(x.shape)


def _block_normals(uniforms: Array) -> Array:
    """Normals from rows of 16 uniforms: the first 8 of each give the radius, the last 8 the angle."""
    away, turn = 1 - uniforms[:, :8], uniforms[:, 8:]  # 1 - u lies in (0, 1], where the logarithm is finite
    out = np.empty_like(uniforms)
    if uniforms.dtype == np.float32:
        radius, (sine, cosine) = np.sqrt(_F(-2) * _log(away)), _sin_cos(_TWO_PI * turn)
    else:
        radius, angle = np.sqrt(-2 * _each(math.log, away)), 2 * math.pi * turn
        sine, cosine = _each(math.sin, angle), _each(math.cos, angle)
    np.multiply(radius, cosine, out=out[:, :8])
    np.multiply(radius, sine, out=out[:, 8:])
    return out


def _many(generator: Generator, count: int, kind: np.dtype[np.floating]) -> Array:
    """16 or more standard normals, in float32 (also for float16) or float64.

    Uniforms first, then whole rows of 16; if some are left over, the *last* 16 places are drawn anew.
    """
    work = np.float64 if kind == np.float64 else np.float32
    whole = count - count % 16
    uniforms = unit(generator, whole if kind == np.float16 else count, work)  # float16 skips the rest
    out = np.empty(count, work)
    for start in range(0, whole, _STRETCH):
        stop = min(start + _STRETCH, whole)
        out[start:stop] = _block_normals(uniforms[start:stop].reshape(-1, 16)).ravel()
    if whole < count:
        out[-16:] = _block_normals(unit(generator, 16, work).reshape(1, 16))[0]
    return out


def _few(generator: Generator, count: int) -> Array:
    """Standard normals one by one in double: the cosine is given out, the sine waits in the generator."""
    out: list[float] = []
    if count and generator.spare_normal is not None:
        out.append(generator.spare_normal)
        generator.spare_normal = None
    pairs = (count - len(out) + 1) // 2
    uniforms = unit(generator, 2 * pairs, np.float64).tolist()
    for turn, away in zip(uniforms[::2], uniforms[1::2], strict=True):
        radius, angle = math.sqrt(-2.0 * math.log1p(-away)), 2.0 * math.pi * turn
        out += (radius * math.cos(angle), radius * math.sin(angle))
    if len(out) > count:
        generator.spare_normal = out.pop()
    return np.array(out)


def randn(shape: Shape, dtype: DTypeLike = np.float32, generator: Generator | None = None) -> Array:
    """Standard normal numbers, as `torch.randn`; float16, float32 or float64.

    Raises ShapeError and DtypeError.

    >>> randn(3, generator=Generator().manual_seed(0))
    array([ 1.5409961, -0.2934289, -2.1787894], dtype=float32)
    """
    return _filled("randn", shape, 0.0, 1.0, dtype, generator)


def _filled(
    op: str, shape: Shape, mean: float, std: float, dtype: DTypeLike, generator: Generator | None
) -> Array:
    dims, kind = check_shape(op, shape), check_float(op, dtype)
    if not std >= 0:
        raise TensorError(f"{op}: the standard deviation must not be negative, unlike {std}; write abs(std)")
    source, count = generator or default_generator, math.prod(dims)
    numbers = _few(source, count) if count < 16 else _many(source, count, kind)
    if (mean, std) != (0.0, 1.0):
        work = numbers.dtype.type
        numbers = fused(numbers, work(std), work(mean))
    return numbers.astype(kind, copy=False).reshape(dims)


def normal(
    shape: Shape | None = None,
    mean: float | Array = 0.0,
    std: float | Array = 1.0,
    dtype: DTypeLike | None = None,
    generator: Generator | None = None,
) -> Array:
    """Normal numbers of given mean and standard deviation.

    With two Python numbers this is `Tensor.normal_(mean, std)`: `shape` is needed, the dtype is float32
    unless given. With an array for `mean` or `std` it is `torch.normal`: the two broadcast, `shape` must
    agree if it is given, and the dtype is that of `mean`, or of `std` where `mean` is a number. Raises
    TensorError for a negative deviation; ShapeError and DtypeError.

    >>> normal(3, 10.0, 2.0, generator=Generator().manual_seed(0))
    array([13.081992 ,  9.413142 ,  5.6424212], dtype=float32)
    >>> normal(mean=np.zeros((2, 1)), std=np.ones(3)).shape
    (2, 3)
    """
    if not (isinstance(mean, np.ndarray) or isinstance(std, np.ndarray)):
        if shape is None:
            raise ShapeError("normal: two numbers need a shape; write normal((2, 3), mean, std)")
        kind = np.float32 if dtype is None else dtype
        return _filled("normal", shape, float(mean), float(std), kind, generator)
    return _per_element(shape, mean, std, dtype, generator)


def _per_element(
    shape: Shape | None,
    mean: float | Array,
    std: float | Array,
    dtype: DTypeLike | None,
    generator: Generator | None,
) -> Array:
    """`torch.normal` with an array: draw, multiply and add as three separate roundings."""
    first = mean if isinstance(mean, np.ndarray) else std
    kind = check_float("normal", np.asarray(first).dtype if dtype is None else dtype)
    try:
        dims = np.broadcast_shapes(np.shape(mean), np.shape(std))
    except ValueError:
        raise ShapeError(f"normal: mean of shape {np.shape(mean)} and std of shape {np.shape(std)} "
                         f"do not broadcast; give both one shape") from None
    if shape is not None and check_shape("normal", shape) != dims:
        raise ShapeError(f"normal: mean and std make shape {dims}, not {shape}; leave the shape out")
    if isinstance(std, np.ndarray):
        if (std < 0).any():
            raise TensorError("normal: some elements of std are negative; write np.abs(std)")
        numbers = _filled("normal", dims, 0.0, 1.0, kind, generator)
        np.multiply(numbers, std, out=numbers, casting="same_kind")
    else:
        numbers = _filled("normal", dims, 0.0, std, kind, generator)
    return np.add(numbers, mean, out=numbers, casting="same_kind")
