"""Numeric derivatives along a line, each with its own error bar, and whether the function has a kink there.

A `Line` is t ↦ F(x + t·direction) with its values remembered. `quick` needs four values; `sweep` tries steps over
thirteen decades, extrapolates each (Richardson 1911; Ridders 1982), and takes the step at which neighbouring steps
agree best, since no single step is right for every function. Read `evaluate.py` next: where the values come from.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, np.dtype[Any]]

NARROW, RATIO = -45, 3  # a sweep's steps are scale·2⁰, 2⁻³, …, 2⁻⁴⁵
QUICK = -12  # and the step to begin with is scale·2⁻¹²: truncation and rounding errors are both near 10⁻¹³ there


class Line:
    """t ↦ F(x + t·direction), a flat vector; every value is computed once."""

    def __init__(self, evaluate: Callable[[float], Array], origin: Array) -> None:
        self.evaluate = evaluate
        self.values: dict[float, Array] = {0.0: origin}

    def at(self, t: float) -> Array:
        found = self.values.get(t)
        if found is None:
            found = self.values[t] = self.evaluate(t)
        return found

    def slope(self, h: float) -> Array:
        """Richardson's combination of the central differences with steps h and h/2: the error falls as h⁴."""
        slope: Array = (8.0 * (self.at(h / 2) - self.at(-h / 2)) - (self.at(h) - self.at(-h))) / (6.0 * h)
        return slope


class Estimate:
    """A numeric derivative: `value`, its `bar` of error, the `step` it came from, and whether there is a `kink`."""

    __slots__ = ("bar", "kink", "origin", "step", "value")

    def __init__(self, value: float, bar: float, step: float, kink: str = "", origin: str = "differences") -> None:
        self.value, self.bar, self.step, self.kink, self.origin = value, bar, step, kink, origin

    @property
    def reliable(self) -> bool:
        """Whether the error bar is small against the value, so that a disagreement means something."""
        return math.isfinite(self.value) and 20 * self.bar <= abs(self.value)


def power_of_two(x: float) -> float:
    """The power of two next to x: x + h is then exact in floating point, and so is the step."""
    return float(2.0 ** round(math.log2(x)))


def scales(x: Array) -> Array:
    """What counts as a small change of each entry: its own size, or the tensor's typical size where it is near zero."""
    size = np.abs(x)
    some = size[(size > 0) & np.isfinite(size)]
    typical = float(np.median(some)) if some.size else 1.0
    return np.maximum(size, typical if typical > 1e-300 else 1.0)


def noise(c: Array, y: Array, eps: float) -> float:
    """The rounding error of ⟨c, y⟩, if every entry of y is right to the last bit."""
    smallest = 1.2e-7 if eps > 1e-4 else 0.0  # float16 has subnormal numbers not far below 1: steps of 6·10⁻⁸
    return float(2 * np.sqrt(np.sum(np.square(c * (eps * np.abs(y) + smallest)))))


def project(c: Array, y: Array) -> float:
    """⟨c, y⟩; where c is 0 (an output that is not asked about) y may be anything."""
    return float(c @ y)


def quick(line: Line, c: Array, h: float, eps: float) -> Estimate:
    """Four values: the slope at step h, and how far halving the step moves it, as the error bar."""
    with np.errstate(all="ignore"):
        f = project_all(line, c, h)
        wide, half = (f[0] - f[3]) / (2 * h), (f[1] - f[2]) / h
        rounding = noise(c, line.values[0.0], eps) / h
        return Estimate((4 * half - wide) / 3, abs(half - wide) + rounding, h)


def project_all(line: Line, c: Array, h: float) -> tuple[float, float, float, float]:
    """φ at h, h/2, −h/2, −h, each less φ(0), where φ = ⟨c, F⟩: subtracting first keeps the digits."""
    origin = line.values[0.0]
    a, b, d, e = [project(c, line.at(t) - origin) for t in (h, h / 2, -h / 2, -h)]
    return a, b, d, e


def sweep(line: Line, c: Array, scale: float, eps: float, smallest: float = 0.0) -> Estimate:
    """The best estimate over steps from `scale` down to 2⁻⁴⁵ of it (or of `smallest`, if that is less).

    A step's error is what separates its value from the nearer of its two neighbours', and at least the rounding error:
    ε·|F|/h, or the function's own grain over h where it is coarser than float64 (it rounds to float32 inside, say).
    """
    top = power_of_two(scale)
    bottom = top * 2.0**NARROW
    if smallest:
        bottom = min(bottom, power_of_two(smallest) * 2.0**-20)
    if eps > 1e-12:  # single precision: smaller steps than this change nothing
        bottom = top * eps / 2
    count = max(4, math.ceil((math.log2(top / bottom)) / RATIO))
    steps = [top * 2.0 ** (-RATIO * k) for k in range(count + 1)]
    with np.errstate(all="ignore"):
        table = np.array([project_all(line, c, h) for h in steps])
        size = float(np.abs(c) @ np.abs(line.at(0.0)))
        return _choose(np.array(steps), table, noise(c, line.values[0.0], eps), size, careful=eps > 1e-12)


def _choose(h: Array, f: Array, rounding: float, size: float, careful: bool) -> Estimate:
    """`careful`: with few digits two neighbours come close by chance, so the other one counts too."""
    wide, half = (f[:, 0] - f[:, 3]) / (2 * h), (f[:, 1] - f[:, 2]) / h
    value = (4 * half - wide) / 3
    grain = max(rounding, _grain(f, size))
    floor = grain / h
    change = np.abs(np.diff(value))
    change[np.isnan(change)] = np.inf
    above, below = np.append(np.inf, change), np.append(change, np.inf)
    error = np.minimum(above, below)
    if careful:
        error = np.minimum(np.maximum(above, below), 8 * error)
    error = np.where(np.isfinite(value), np.maximum(error, floor), np.inf)
    best = int(np.argmin(error))
    estimate = Estimate(float(value[best]), float(error[best]), float(h[best]))
    if not np.isfinite(estimate.bar):
        one_sided = np.isfinite(f[-1, :2]).all() != np.isfinite(f[-1, 2:]).all()
        estimate.kink = "the function ends here: it has values on one side only" if one_sided else ""
    elif _bent(f[best], max(grain, float(error[best] * h[best]))):
        estimate.kink = "the one-sided slopes differ"
    elif _jumps(f, grain):
        estimate.kink = "the function jumps, or its slope is infinite"
    return estimate


def _grain(f: Array, size: float) -> float:
    """The smallest change where tiny steps change nothing: a function that rounds to float32 inside moves in grains."""
    moved = np.abs(f[:, 0] - f[:, 3])
    moved = moved[np.isfinite(moved)]
    if not moved.size or moved[-1] != 0 or not moved.any():
        return 0.0
    grain = float(moved[moved > 0].min())
    return grain if grain < 1e-2 * size else 0.0  # more than that is a jump, not rounding


def _bent(f: Array, grain: float) -> bool:
    """Two tests at one step: the gap between the one-sided slopes does not halve with the step as a parabola's does,
    and the best parabola through the five points leaves more than rounding errors."""
    gap, half_gap = f[0] + f[3], f[1] + f[2]  # times h and h/2: second differences, 4 : 1 for a parabola
    kinked = abs(gap) > 20 * grain and abs(half_gap) > 0.36 * abs(gap)
    points = np.array([f[3], f[2], 0.0, f[1], f[0]])
    t = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    basis = np.stack([np.ones(5), t, t * t], axis=1)
    misfit = points - basis @ np.linalg.lstsq(basis, points, rcond=None)[0]
    return bool(kinked and np.abs(misfit).max() > 3 * grain)


def _jumps(f: Array, grain: float) -> bool:
    """Whether the change from −h to h, or to one side, falls much slower than h over the smallest steps: a jump, or a
    root's infinite slope. It must do so evenly; rounding errors do not."""
    small = f[-5:]
    for change in (np.abs(small[:, 0] - small[:, 3]), np.maximum(np.abs(small[:, 0]), np.abs(small[:, 3]))):
        if np.isfinite(change).all() and change.min() > 100 * grain:
            falls = np.diff(np.log2(change))
            if falls.mean() > -0.75 * RATIO and np.ptp(falls) < 0.3:
                return True
    return False


def taylor_slope(line: Line, c: Array, analytic: float, scale: float, eps: float) -> float | None:
    """The power of t with which |φ(t) − φ(0) − t·analytic| falls: 2 where `analytic` is right, 1 where it is wrong.

    None where the remainder drowns in rounding errors (a linear function whose gradient is right, for one).
    """
    top = power_of_two(scale)
    grain = 50 * noise(c, line.values[0.0], eps)
    points = []
    with np.errstate(all="ignore"):
        for k in range(0, 27, RATIO):
            t = top * 2.0**-k
            remainder = abs(project(c, line.at(t) - line.values[0.0]) - t * analytic)
            if np.isfinite(remainder) and remainder > grain:
                points.append((math.log2(t), math.log2(remainder)))
    if len(points) < 3:
        return None
    x, y = np.array(points[-4:]).T  # the smallest steps that can still be seen
    return float(np.polyfit(x, y, 1)[0])


def complex_slope(evaluate: Callable[[complex], Array], c: Array, scale: float) -> float | None:
    """Im φ(x + ih)/h with h far below rounding: exact to the last digits where F is analytic (Squire and Trapp 1998).

    None where F does not take complex numbers, or leaves the imaginary part behind.
    """
    h = power_of_two(scale) * 2.0**-60
    try:
        with np.errstate(all="ignore"):
            y = evaluate(complex(0.0, h))
    except Exception:
        return None  # any refusal of complex numbers, in whatever library the function is written
    if not np.iscomplexobj(y):
        return None
    value = float(c @ y.imag) / h
    return value if math.isfinite(value) else None
