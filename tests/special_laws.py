"""The laws of special values: what an operation answers at a zero, a tie or the end of the range is what its
neighbourhood, its other dtypes and its own declaration say.

Each law is a function of one operation that raises AssertionError with the operation, the point, which derivative,
what was found and what was expected. No reference but the operation itself is needed: an answer at a point is compared
with the limits of the answers beside it, and those are right by the laws of `laws.py`. Read `test_special_points.py`
next, where the same points are compared with PyTorch's answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from special import Answer, Array, Point, answers, ours, points, weights

import tinygrad_bp as tg
from tinygrad_bp.declare import Op, parameters

STEP = 1e-4  # of a step to either side; the limits are extrapolated, so their error is of second order
FAR = 1e6  # beyond it no step tells anything of a sine
PARTS = ("value", "first derivative", "second derivative")
DIRECTIONS = ([1.0, -0.7, 0.6, -1.3, 0.9, 0.8, -1.1], [-0.8, -1.2, 1.1, 0.7, 1.4, -0.6, 0.9],
              [0.7, 0.6, -1.4, -0.9, -0.8, 1.2, 1.0])  # fmt: skip
JUDGED = ("elementwise", "reduction", "fused", "composite")


def answered(point: Point) -> Answer:
    return answers(tg, ours(point), point.arrays)


def told(point: Point, unit: int, part: str, k: int, found: Any, expected: Any) -> str:
    """A failure in words."""
    at = [by_unit(point, x)[unit].tolist() for x in point.arrays]
    at = [x[0] if len(x) == 1 else x[:8] for x in at]
    what = part if part == "value" else f"{part} by {point.op.inputs[k] if k < len(point.op.inputs) else f'input {k}'}"
    return f"{point.key} {point.named or ''} at {at} ({point.arrays[0].dtype}): {what} is {found}, expected {expected}"


# ------------------------------------------------------------------------------ entries and rows that stand alone


def units(point: Point) -> int:
    """How many entries or rows of a point have nothing to do with one another."""
    return len(point.arrays[0]) if point.alone else 1


def by_unit(point: Point, x: Array | None, like: Array | None = None) -> Array:
    """The numbers of each unit in a row; a derivative that is not there is 0."""
    if x is None:
        x = np.zeros_like(like)
    n = units(point)
    return np.asarray(x, np.float64).reshape(n, x.size // max(n, 1))


def everything(point: Point) -> Array:
    return np.concatenate([by_unit(point, x) for x in point.arrays], axis=1)


def moved(point: Point, direction: list[float], step: float) -> Point:
    """The point a step aside: absolute between 1e-3 and a million, relative elsewhere; a zero moves with the others."""
    numbers = np.abs(everything(point))
    least = np.where((numbers > 0) & np.isfinite(numbers), numbers, 1.0).min(axis=1, keepdims=True, initial=1.0)
    arrays = []
    for k, x in enumerate(point.arrays):
        rows = by_unit(point, x)
        size = np.where(rows == 0, least, np.where(np.abs(rows) < FAR, np.minimum(np.abs(rows), 1), np.abs(rows)))
        aside = step * size * np.resize(np.roll(direction, 2 * k), rows.shape)
        arrays.append((rows + np.where(np.isfinite(rows), aside, 0)).reshape(x.shape))
    return point._replace(arrays=arrays)


class Beside(NamedTuple):
    """The limits of one answer from several sides, where they are one, and where there is none at all."""

    limits: Array
    error: Array
    smooth: Array
    pole: Array


def beside(point: Point, answer: Answer, part: int, k: int, sides: dict[tuple[int, float], Answer]) -> Beside:
    """The limits of answer[part][k] along both directions, from either end."""
    like = answer[part][k]
    limits, errors, grows = [], [], []
    for way in range(len(sides) // 4):
        for sign in (1, -1):
            far, near = (by_unit(point, sides[way, sign * s][part][k], like) for s in (STEP, STEP / 2))
            limits.append(2 * near - far)
            errors.append(np.abs(near - far))
            grows.append((np.abs(near) > 1.15 * np.abs(far)) & (np.abs(near) > 10))
    found, error = np.array(limits), np.array(errors).sum(axis=0)
    close = found.max(axis=0) - found.min(axis=0) <= 1e-3 * np.abs(found).max(axis=0) + 2 * error + 1e-7
    pole = ~np.isfinite(found).all(axis=0) | np.any(grows, axis=0)
    return Beside(found, error, close & ~pole, pole)


# ------------------------------------------------------------------------------------------------------- the laws


def where_singular(point: Point, answer: Answer) -> dict[str, Array]:
    """For each sentence of the declaration the units to which it applies."""
    op = point.op
    known = {**dict(zip(op.inputs, point.arrays, strict=False)), **op.defaults, **point.named}
    known["y"] = answer.values[0]
    if op.word == "reduction" and point.alone:
        known["y"] = np.expand_dims(known["y"], -1)
    found = {}
    for sentence, where in op.singular.items():
        with np.errstate(all="ignore"):
            mask = np.asarray(where(*[known[name] for name in parameters(where)]))
        shape = np.broadcast_shapes(mask.shape, point.arrays[0].shape)
        found[sentence] = by_unit(point, np.broadcast_to(mask, shape)).any(axis=1)
    return found


def judged(op: Op) -> Iterator[Point]:
    """The points of float64 at which an operation has a derivative that depends on where it is."""
    if op.word not in JUDGED:
        return
    for i, point in enumerate(points(op)):
        if not point.alone and i == 0 and op.word == "composite" and all(h is None for h in answered(point).second):
            return  # nothing here depends on the numbers, as with views
        if point.alone or re.search(r" [01]\.0\b", point.key):  # of cases the zeros and the ties
            yield point


@np.errstate(all="ignore")
def limits(op: Op) -> set[str]:
    """At every finite point the answer is the limit of those beside it, unless there is none and `singular` says so.

    Gives the sentences of the declaration that were needed.
    """
    needed: set[str] = set()
    for point in judged(op):
        answer = answered(point)
        if all(g is None for g in answer.first):
            continue
        ways = DIRECTIONS if point.alone else DIRECTIONS[:2]
        sides = {(way, s): answered(moved(point, direction, s)) for way, direction in enumerate(ways)
                 for s in (STEP, STEP / 2, -STEP, -STEP / 2)}  # fmt: skip
        named = where_singular(point, answer)
        used, steady = at_limits(point, answer, sides, named)
        needed |= used
        along_a_tie(point, answer, steady)
    return needed


def at_limits(point: Point, answer: Answer, sides: Any, named: dict[str, Array]) -> tuple[set[str], Array]:
    """One point against its neighbours; gives the sentences that excused something, and where the value is steady."""
    numbers = np.abs(everything(point))
    inside = (np.isfinite(numbers) & ((numbers == 0) | (numbers > 1e-290)) & (numbers < 1e300)).all(axis=1)
    near = inside & ((numbers == 0) | ((numbers > 1e-6) & (numbers < FAR))).all(axis=1)
    values = [by_unit(point, v) for v in answer.values if v.dtype.kind == "f"]
    finite = np.isfinite(np.concatenate(values, axis=1)).all(axis=1)
    excused = np.any(list(named.values()), axis=0) if named else np.zeros(units(point), bool)
    free = excused | (point.op.word == "composite")  # its parts say where they are singular
    kink, steady, needed = (*np.zeros((2, units(point)), bool), set())
    for part, name in enumerate(PARTS):
        rough = np.zeros(units(point), bool)
        views = []
        for k, x in enumerate(answer[part]):
            if x is None or x.dtype.kind != "f":
                continue
            found, by = by_unit(point, x), beside(point, answer, part, k, sides)
            views.append((k, found, by))
            jump = ~(np.abs(found - by.limits[0]) <= 1e-3 * (1 + np.abs(found)) + 2 * by.error)
            rough |= (~by.smooth | (jump & free[:, None] & (part == 0) & finite[:, None])).any(axis=1)
        for unit in np.flatnonzero(rough & ~kink & near & finite):
            if not free[unit]:
                k, found, by = next(v for v in views if not v[2].smooth[unit].all())
                entry = np.flatnonzero(~by.smooth[unit])[0]
                raise AssertionError(told(point, unit, name, k, found[unit, entry],
                    f"one limit, or a sentence in `singular`: beside it {by.limits[:, unit, entry].tolist()}"))
            needed |= {sentence for sentence, where in named.items() if where[unit]}
        for k, found, by in views:
            wanted = by.limits.mean(axis=0)
            room = 1e-3 * np.abs(wanted) + 2 * by.error + 1e-7
            wrong = ~(np.abs(found - wanted) <= room) & (near[:, None] | ~np.isfinite(found)) & by.smooth
            wrong &= (inside & ~kink & ~rough & (finite | (~excused & (part == 0))))[:, None]
            if part == 1 and point.alone:
                one = len(point.arrays) == 1 and found.shape[1] == 1
                wrong |= outside(found, by, one) & (rough & near & finite)[:, None]
            if part == 2 and point.alone:  # a chosen slope is chosen for good: no number is made up for its derivative
                within = np.isfinite(by.limits).all(axis=0)  # not at an end of the domain
                one_of = (np.abs(by.limits - found) <= 1e-3 * np.abs(found)).any(axis=0) | (found == 0)
                wrong |= by.pole & within & np.isfinite(found) & ~one_of & (kink & near & finite)[:, None]
            for unit, entry in zip(*np.nonzero(wrong), strict=True):
                raise AssertionError(told(point, unit, name, k, found[unit, entry], by.limits[:, unit, entry].tolist()))
        kink |= rough
        steady = ~kink if part == 0 else steady
    return needed, steady


def outside(found: Array, by: Beside, one: bool) -> Array:
    """Where an answer is NaN, or of one number outside of the limits from its sides; those that exist count."""
    known = np.where(np.isfinite(by.limits), by.limits, np.nan)
    low, high = np.fmin.reduce(known, axis=0), np.fmax.reduce(known, axis=0)
    room = 1e-3 * np.fmax(np.abs(low), np.abs(high)) + 2 * by.error + 1e-7
    inside = (found >= low - room) & (found <= high + room) if one else ~np.isnan(found)
    return np.isfinite(low) & ~inside & (np.isfinite(room) | np.isnan(found))


def along_a_tie(point: Point, answer: Answer, steady: Array) -> None:
    """Moved all together, so that ties stay ties, the value changes as the gradient says."""
    if not point.alone or not all(x.dtype.kind == "f" for x in point.arrays) or len(answer.values) != 1:
        return
    numbers = np.abs(everything(point))
    near = steady & ((numbers == 0) | ((numbers > 1e-3) & (numbers < FAR))).all(axis=1)

    def weighed(step: float) -> Array:
        y = answered(point._replace(arrays=[x + step for x in point.arrays])).values[0]
        return by_unit(point, y).sum(axis=1)

    y0, h = by_unit(point, answer.values[0]).sum(axis=1), 2**-14
    w = by_unit(point, weights(answer.values[0].shape, np.float64)).sum(axis=1)
    wide, (up, down) = (weighed(16 * h) - weighed(-16 * h)) / (32 * h), (weighed(h), weighed(-h))
    slope, bend = (up - down) / (2 * h), (up - 2 * y0 + down) / h
    room = 1e-3 * np.abs(slope) + 1e-9 * (1 + np.abs(y0))
    smooth = near & (np.abs(wide - slope) <= room) & (np.abs(bend) <= 0.1 * (1e-6 + np.abs(slope)))
    found = sum(by_unit(point, g, x).sum(axis=1) for g, x in zip(answer.first, point.arrays, strict=True))
    expected = w * slope
    wrong = smooth & np.isfinite(expected) & ~(np.abs(found - expected) <= 2 * room)
    for unit in np.flatnonzero(wrong):
        raise AssertionError(told(point, unit, "slope along a shift of all inputs", 0, found[unit], expected[unit]))


@np.errstate(all="ignore")
def other_dtypes(op: Op) -> None:
    """float32 and float16 give what float64 gives for the same numbers, as near as they can: no overflow between.

    Integers have the value of the same floats.
    """
    for dtype in (np.float32, np.float16) if op.word in ("elementwise", "reduction", "fused") else ():
        for point in points(op, dtype):
            if all(not isinstance(v, float) or float(dtype(v)) == v for v in point.named.values()):
                as_wide(point, dtype)
    for dtype in (np.int64, np.int32, np.bool_):  # unsigned ones wrap around below 0
        for point in points(op, dtype):
            if not (op.internal and op.word == "fused") and (point.alone or dtype != np.bool_):
                as_float(point)  # losses ask for floats, and a sum of truths is their `or`


def as_wide(point: Point, dtype: Any) -> None:
    info = np.finfo(dtype)
    op, found, wide = point.op, answered(point), answered(point.of(np.float64))
    numbers = np.abs(everything(point))
    usual = (np.isfinite(numbers) & ((numbers == 0) | (numbers > info.tiny**0.45)) & (numbers < info.max**0.45)).all(1)
    for part, name in enumerate(PARTS):
        for k, (x, y) in enumerate(zip(found[part], wide[part], strict=True)):
            if x is None or y is None or y.dtype.kind != "f":
                continue
            assert x.dtype == dtype or y.dtype != np.float64 or "dtype" in point.named, f"{point.key}: {x.dtype}"
            a, b = by_unit(point, x), by_unit(point, y)
            # Where the answer itself is out of range, it may be lost.
            fits = (b == 0) | ((np.abs(b) < info.max / 16) & (np.abs(b) > 16 * info.tiny)) | ~np.isfinite(b)
            sizes = [np.abs(z).max(axis=1, keepdims=True, initial=0, where=np.isfinite(z)) for z in (b, numbers)]
            room = 0.05 * np.abs(b) + 8 * info.eps * (1 + sizes[0] + np.minimum(sizes[1], 1000))
            wrong = fits & ~((np.abs(a - b) <= room) | same(a, b))
            wrong &= usual[:, None] | ((part == 0) & (op.word == "elementwise"))
            for unit, entry in zip(*np.nonzero(wrong), strict=True):
                raise AssertionError(told(point, unit, name, k, a[unit, entry], f"{b[unit, entry]} as in float64"))


def same(a: Array, b: Array) -> Array:
    return (a == b) | (np.isnan(a) & np.isnan(b))


def as_float(point: Point) -> None:
    try:
        found, wide = answered(point).values, answered(point.of(np.float64)).values
    except (tg.TensorError, RuntimeError):  # bits of a float, a division of integers by 0
        return
    small = (np.abs(everything(point)) < 8).all(axis=1)
    for k, (x, y) in enumerate(zip(found, wide, strict=True)):
        a, b = by_unit(point, x), by_unit(point, y.astype(bool) if x.dtype == bool else y)
        wrong = small[:, None] & ~((np.abs(a - b) <= 1e-6 * np.maximum(1, np.abs(b))) | same(a, b))
        for unit, entry in zip(*np.nonzero(wrong), strict=True):
            raise AssertionError(told(point, unit, "value", k, a[unit, entry], f"{b[unit, entry]} as of floats"))


LAWS = {"S1 limits": limits, "S2 other dtypes": other_dtypes}
