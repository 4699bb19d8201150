"""One slot against its numeric derivative: entry by entry, or by random directions, until nobody is accused lightly.

An entry is first looked at with one step (four evaluations). Where that disagrees, other steps, a whole sweep, the
Taylor remainder and the complex step are asked; only if the numeric value is known far better than the disagreement is
the entry wrong. Read `check.py` next: what is asked in which order, and what becomes of the answers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .numeric import QUICK, Estimate, Line, complex_slope, noise, power_of_two, quick, scales, sweep, taylor_slope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .evaluate import Slot
    from .numeric import Array

OK, WRONG, KINK, UNCERTAIN, UNSEEN, NONFINITE = range(6)
SWEPT = 24  # at most so many entries of a slot are looked at with all means
CERTAIN = 10.0  # a disagreement counts if it is more than so many error bars


class Tolerance:
    """When two numbers agree: |a − n| ≤ atol + rtol·max(|a|, |n|), besides the numeric error bar."""

    def __init__(self, atol: float | None, rtol: float | None, eps: float, step: float | None) -> None:
        self.eps = eps
        self.rtol = rtol if rtol is not None else 1e-6 if eps < 1e-12 else min(0.05, 2e4 * eps)
        self.atol = atol or 0.0
        self.step = step  # absolute, if the caller wants one
        self.quick = QUICK if eps < 1e-12 else round(np.log2(eps) / 3.5)

    def agree(self, a: Any, n: Any, slack: Any = 0.0) -> Any:
        return np.abs(a - n) <= self.atol + self.rtol * np.maximum(np.abs(a), np.abs(n)) + slack


class Compared:
    """The comparison of one slot with one cotangent: arrays over the slot's flat entries."""

    def __init__(self, slot: Slot, cotangent: Array, analytic: Array | None) -> None:
        size = slot.base.size
        self.c, self.missing = cotangent, analytic is None
        self.analytic = np.zeros(size) if analytic is None else np.asarray(analytic, dtype=np.float64).ravel()
        self.numeric, self.bar = np.full(size, np.nan), np.full(size, np.nan)
        self.state = np.full(size, UNSEEN)
        self.why_kink = ""
        self.direction: tuple[float, Estimate] | None = None  # a random direction that disagrees: analytic, numeric
        self.directions = 0  # how many agreed
        self.slope: float | None = None
        finite = np.abs(self.analytic[np.isfinite(self.analytic)])
        self.largest = float(finite.max()) if finite.size else 0.0

    def count(self, state: int) -> int:
        return int((self.state == state).sum())


class SlotCheck:
    """All comparisons of one slot; `comparisons` holds one for each output and cotangent."""

    def __init__(self, problem: Any, index: int, origin: Array, tolerance: Tolerance, rng: Any) -> None:
        self.problem, self.index, self.slot = problem, index, problem.slots[index]
        self.origin, self.tol, self.rng = origin, tolerance, rng
        self.scale = scales(self.slot.base.astype(np.float64)).ravel()
        self.columns: dict[int, Array] = {}  # entry → numeric column of the Jacobian, while they are few
        self.keep = self.slot.base.size * origin.size <= 1_000_000
        self.bent: set[int] = set()
        self.beside = False  # whether the check is to be repeated a little beside the point

    # ------------------------------------------------------------ lines
    def entry(self, i: int) -> Line:
        """Along one entry."""
        value, start = self.slot.value, float(self.slot.base.flat[i])

        def evaluate(t: float) -> Array:
            value.flat[i] = start + t
            try:
                return self._forward()
            finally:
                value.flat[i] = start

        return Line(evaluate, self.origin)

    def along(self, u: Array) -> Line:
        """Along a direction of the slot's shape."""
        value, base = self.slot.value, self.slot.base

        def evaluate(t: float) -> Array:
            np.add(base, t * u, out=value, casting="same_kind")
            try:
                return self._forward()
            finally:
                value[...] = base

        return Line(evaluate, self.origin)

    def _forward(self) -> Array:
        y: Array = self.problem.forward()
        if y.shape != self.origin.shape:
            return np.full(self.origin.shape, np.nan)  # a size that depends on the values: no derivative across that
        return y

    def complex_line(self, i: int, c: Array) -> float | None:
        def evaluate(t: complex) -> Array:
            change = np.zeros(self.slot.base.shape, dtype=np.complex128)
            change.flat[i] = t
            y: Array = self.problem.complex_forward(self.index, change)
            return y

        return complex_slope(evaluate, c, self.scale[i]) if hasattr(self.problem, "complex_forward") else None

    def step(self, i: int, exponent: float | None = None) -> float:
        if self.tol.step is not None and exponent is None:
            return power_of_two(self.tol.step)
        return power_of_two(self.scale[i]) * 2.0 ** (self.tol.quick if exponent is None else exponent)

    # ------------------------------------------------------------ entry by entry
    def entries(self, chosen: Sequence[int], comparisons: list[Compared]) -> None:
        """Look at the chosen entries with one step, then at those that disagree with more."""
        self._look(chosen, comparisons, None)
        for compared in comparisons:
            self._suspects(compared)
            self._joint_kink(compared)

    def _joint_kink(self, compared: Compared) -> None:
        """Where several entries tie (a median, a sort) each partial derivative may exist and yet there is no
        gradient: the function has a kink across the entries. What disagrees is set aside, and looked at beside it."""
        if not compared.count(WRONG):
            return
        found = sweep(self.along(self._random_direction()), compared.c, 1.0, self.tol.eps)
        if found.kink:
            compared.state[compared.state == WRONG] = KINK
            compared.why_kink, compared.slope = f"across several entries {found.kink}", None
            self.beside = True

    def _random_direction(self) -> Array:
        signs = self.rng.uniform(0.5, 1.5, self.scale.size) * self.rng.choice([-1.0, 1.0], self.scale.size)
        u: Array = (signs * self.scale).reshape(self.slot.base.shape)
        return u

    def _look(self, chosen: Sequence[int], comparisons: list[Compared], exponent: float | None) -> None:
        for i in chosen:
            line, h = self.entry(i), self.step(i, exponent)
            for compared in comparisons:
                self._quick(compared, i, line, h)
            if self.keep and (exponent is None or i not in self.columns):
                with np.errstate(all="ignore"):
                    self.columns[i] = line.slope(h)

    def _quick(self, compared: Compared, i: int, line: Line, h: float) -> None:
        found = quick(line, compared.c, h, self.tol.eps)
        self._settle_quick(compared, i, found.value, found.bar, noise(compared.c, self.origin, self.tol.eps) / h)

    def _settle_quick(self, compared: Compared, i: int, value: float, bar: float, rounding: float) -> None:
        a = compared.analytic[i]
        compared.numeric[i], compared.bar[i] = value, bar
        size = max(abs(a), abs(value))
        telling = a == 0 or 1000 * rounding <= size or abs(a) <= 1e-9 * compared.largest
        agree = bool(self.tol.agree(a, value, CERTAIN * rounding)) and telling
        compared.state[i] = OK if agree else UNCERTAIN

    def again(self, compared: Compared) -> None:
        """Compare for another cotangent, from the columns that are known already."""
        rounding = noise(compared.c, self.origin, self.tol.eps)
        for i, column in self.columns.items():
            if i not in self.bent:
                floor = rounding / self.step(i)
                self._settle_quick(compared, i, float(compared.c @ column), floor, floor)
        self._suspects(compared)
        self._joint_kink(compared)

    def _suspects(self, compared: Compared) -> None:
        """Find a better step for those that disagree, by sweeping a few; then sweep what is left, up to a number."""
        for _ in range(3):
            suspects = np.flatnonzero(compared.state == UNCERTAIN)
            if suspects.size <= SWEPT:
                break
            better = self._sweep_some(compared, suspects[:: -(-suspects.size // 6)])
            rest = [int(i) for i in np.flatnonzero(compared.state == UNCERTAIN)]
            if better is None or not rest:
                break
            self._look(rest, [compared], better)
        suspects = np.flatnonzero(compared.state == UNCERTAIN)
        if suspects.size > SWEPT:
            gap = np.abs(compared.analytic[suspects] - compared.numeric[suspects])
            worst = suspects[np.argsort(-np.nan_to_num(gap, nan=np.inf))[: SWEPT // 2]]
            spread = suspects[:: -(-suspects.size // (SWEPT // 2))]
            self._sweep_some(compared, np.union1d(worst, spread))
            self._extend(compared, np.union1d(worst, spread))
        else:
            self._sweep_some(compared, suspects)

    def _extend(self, compared: Compared, swept: Array) -> None:
        """What the swept entries turned out to be, the others that disagreed as clearly are too."""
        if not (compared.state[swept] == WRONG).any():
            return
        rest = compared.state == UNCERTAIN
        rest[swept] = False
        clear = np.abs(compared.analytic - compared.numeric) > 100 * compared.bar
        compared.state[rest & clear] = WRONG

    def _sweep_some(self, compared: Compared, chosen: Array) -> float | None:
        """Sweep each; the exponent of the step at which one came out right, if one did."""
        better = None
        for i in map(int, chosen):
            line = self.entry(i)
            start = abs(float(self.slot.base.flat[i]))
            found = sweep(line, compared.c, self.scale[i], self.tol.eps, start if start < self.scale[i] else 0.0)
            compared.state[i] = self._weigh(compared, i, line, found)
            compared.numeric[i], compared.bar[i] = found.value, found.bar
            if compared.state[i] == OK and not found.kink:
                better = float(np.log2(found.step / power_of_two(self.scale[i])))
            if self.keep and i in self.columns:
                self.columns[i] = np.full(self.origin.size, np.nan) if found.kink else self._column(line, found.step)
            if found.kink:
                self.bent.add(i)
                compared.why_kink = found.kink
        return better

    @staticmethod
    def _column(line: Line, step: float) -> Array:
        with np.errstate(all="ignore"):
            return line.slope(step)

    def _weigh(self, compared: Compared, i: int, line: Line, found: Estimate) -> int:
        """The verdict on one entry after a sweep."""
        a = float(compared.analytic[i])
        if not np.isfinite(a):
            return NONFINITE  # also where the slope really is infinite (√x at 0): no step can be taken along it
        if np.isfinite(found.bar) and self.tol.agree(a, found.value):
            return OK
        if found.kink:
            return KINK
        gap, size = abs(a - found.value), max(abs(a), abs(found.value))
        if not found.bar * CERTAIN < gap:
            if np.isfinite(found.bar) and (20 * found.bar <= size or size <= 1e-9 * compared.largest or a == 0):
                return OK  # within an error bar that is small, or too small a number to matter
            return self._by_complex_step(compared, i, found)
        slope = taylor_slope(line, compared.c, a, self.scale[i], self.tol.eps)
        if slope is not None and slope > 1.7 and gap < 1e-3 * size:
            return UNCERTAIN
        compared.slope = slope
        return WRONG

    def _by_complex_step(self, compared: Compared, i: int, found: Estimate) -> int:
        """Where differences are too inexact: the complex step, if it lies within their error bar."""
        exact = self.complex_line(i, compared.c) if self.tol.eps < 1e-12 else None
        if exact is None or not abs(exact - found.value) <= 3 * CERTAIN * found.bar:
            return UNCERTAIN
        found.value, found.bar, found.origin = exact, abs(exact) * 1e-14, "complex step"
        return OK if self.tol.agree(float(compared.analytic[i]), exact) else WRONG

    # ------------------------------------------------------------ random directions
    def directions(self, comparisons: list[Compared], count: int) -> None:
        """Compare ⟨c, F(x ± t·u)⟩ with ⟨analytic, u⟩ along dense random directions u."""
        for _ in range(count):
            u = self._random_direction()
            line = self.along(u)
            for compared in comparisons:
                a = compared.analytic @ u.ravel()
                found = self._directional(compared, line, u)
                if found is None:
                    compared.directions += 1
                elif compared.direction is None or abs(a - found.value) > abs(
                    compared.direction[0] - compared.direction[1].value
                ):
                    compared.direction = float(a), found

    def _directional(self, compared: Compared, line: Line, u: Array) -> Estimate | None:
        """None if the direction agrees, or cannot be judged; else the numeric value that contradicts."""
        parts = compared.analytic * u.ravel()
        a, size = float(parts.sum()), float(np.linalg.norm(parts))
        if not np.isfinite(a):
            return None
        spill = self.tol.eps * float(np.linalg.norm(compared.analytic * self.slot.base.ravel()))
        for smaller in (0, 6, 12, 18) if self.tol.eps < 1e-12 else (0,):
            h = 2.0 ** (self.tol.quick - smaller)
            found = quick(line, compared.c, h, self.tol.eps)
            rounding = (noise(compared.c, self.origin, self.tol.eps) + spill) / h
            if abs(a - found.value) <= self.tol.atol + self.tol.rtol * max(size, abs(a)) + CERTAIN * rounding:
                return None
        found = sweep(line, compared.c, 1.0, self.tol.eps)
        found.bar += spill / found.step
        gap = abs(a - found.value)
        if found.kink or not gap > CERTAIN * found.bar or gap <= self.tol.rtol * max(size, abs(a)):
            return None
        slope = taylor_slope(line, compared.c, a, 1.0, self.tol.eps)
        if slope is not None and slope > 1.7 and gap < 1e-3 * max(size, abs(a)):
            return None
        compared.slope = slope
        return found

    def localise(self, compared: Compared, limit: int = 24) -> list[int]:
        """The entry that disagrees most, found by halving: each half along one random direction."""
        low, high = 0, self.slot.base.size
        for _ in range(limit):
            if high - low <= 1:
                break
            middle = (low + high) // 2
            gaps = [self._gap(compared, a, b) for a, b in ((low, middle), (middle, high))]
            low, high = (low, middle) if gaps[0] >= gaps[1] else (middle, high)
        return list(range(low, min(high, low + 4)))

    def _gap(self, compared: Compared, low: int, high: int) -> float:
        u = np.zeros(self.scale.size)
        u[low:high] = self.scale[low:high] * self.rng.choice([-1.0, 1.0], high - low)
        line = self.along(u.reshape(self.slot.base.shape))
        found = quick(line, compared.c, 2.0**self.tol.quick, self.tol.eps)
        return float(np.nan_to_num(abs(compared.analytic @ u - found.value), nan=0.0))

    def sample(self, analytic: Array, count: int) -> list[int]:
        """A stratified choice: both ends, the largest and smallest gradient, and one at random from each stratum."""
        size = self.slot.base.size
        if size <= count:
            return list(range(size))
        edges = np.linspace(0, size, max(count - 4, 1) + 1).astype(int)
        strata = [int(self.rng.integers(a, b)) for a, b in pairwise(edges) if b > a]
        flat = np.nan_to_num(np.abs(analytic.ravel()), nan=np.inf)
        return sorted({0, size - 1, int(flat.argmax()), int(flat.argmin()), *strata})
