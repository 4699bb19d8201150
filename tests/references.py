"""Derivatives found without any rule: what the laws compare the rules with.

Four references, the best one first: the adjoint identity (exact, for linear maps), the complex step (exact to the last
digits, for analytic functions), central differences with Richardson's extrapolation (about ten digits, for whatever
is smooth), and a detector of kinks, where no difference quotient means anything. Read `test_laws.py` next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
STEP = 1e-3  # Richardson leaves an error of h⁴, about 1e-12, beside a rounding error of 1e-16 / h


def inner(a: Any, b: Any) -> float:
    """⟨a, b⟩ in float64."""
    return float(np.sum(np.asarray(a, np.float64) * np.asarray(b, np.float64)))


def complex_step(f: Callable[[Array], Array], x: Array) -> Array:
    """f′ entry by entry for an analytic elementwise f: Im f(x + ih) / h loses no digit, because nothing is subtracted.

    Squire and Trapp, "Using complex variables to estimate derivatives of real functions", 1998.
    """
    h = 1e-30
    return np.asarray(f(x + 1j * h)).imag / h


def slope(phi: Callable[[float], float], h: float = STEP) -> tuple[float, bool]:
    """(φ′(0), whether there is a kink or a jump within h of 0).

    With S(h) = (φ(h) − 2φ(0) + φ(−h)) / h a smooth φ gives 2·S(h/2) = S(h) up to h³, a kink gives twice that, and a
    jump is worse. So a kink shows itself wherever it lies in the interval, at 0 too, where both quotients agree.
    """
    middle = phi(0.0)
    pairs = [(phi(s), phi(-s)) for s in (h, h / 2)]
    wide, narrow = ((up - down) / (2 * s) for (up, down), s in zip(pairs, (h, h / 2), strict=True))
    bend, half_bend = ((up - 2 * middle + down) / s for (up, down), s in zip(pairs, (h, h / 2), strict=True))
    kink = not abs(2 * half_bend - bend) <= 1e-4 * (1 + abs(narrow))
    return (4 * narrow - wide) / 3, kink


def numeric_gradient(phi: Callable[..., float], arrays: Sequence[Array], k: int) -> tuple[Array, Array]:
    """(gradient of φ(*arrays) with respect to arrays[k], mask of the entries where it means something)."""
    gradient, smooth = np.zeros(arrays[k].shape), np.ones(arrays[k].shape, bool)
    for index in np.ndindex(arrays[k].shape):

        def along(s: float, index: tuple[int, ...] = index) -> float:
            moved = list(arrays)
            moved[k] = arrays[k].copy()
            moved[k][index] += s
            return phi(*moved)

        gradient[index], kink = slope(along)
        smooth[index] = not kink
    return gradient, smooth


def directional(phi: Callable[..., float], arrays: Sequence[Array], directions: Sequence[Array]) -> tuple[float,
    bool]:
    """(the derivative of φ at the arrays along the directions, whether there is a kink)."""
    return slope(lambda s: phi(*[x + s * v for x, v in zip(arrays, directions, strict=True)]))
