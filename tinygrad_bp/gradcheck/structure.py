"""What each mistake makes of a right Jacobian: the predictions that `diagnose.py` compares with the wrong one.

After reading you know a mistake as a map: transposed → axes exchanged, summed too much → summed and repeated, kernel
not turned round → flipped at both ends, and so on. `Case` is the pair of matrices with everything that may occur in a
factor beside them. Read `factors.py` next.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .patterns import Variable, close, largest

Array = Any


class Case:
    """Two matrices to be told apart, `analytic` and `numeric`, of shape (outputs, inputs), NaN where not known.

    Where only one random cotangent was tried there is a single row and `full` is false. `bad` are the entries that
    disagree, `good` those that agree and are not zero, `live` both together.
    """

    def __init__(self, analytic: Array, numeric: Array, out_shape: Any, in_shape: Any, full: bool, atol: float) -> None:
        self.analytic, self.numeric, self.full = analytic, numeric, full
        self.out_shape, self.in_shape = tuple(out_shape), tuple(in_shape)
        known = np.isfinite(analytic) & np.isfinite(numeric)
        most = largest(numeric[known])
        self.atol = min(atol, 1e-3 * most) + 1e-7 * most  # one hopeless error bar must not excuse every entry
        self.zero_a, self.zero_n = np.abs(analytic) <= self.atol, np.abs(numeric) <= self.atol
        self.live = known & ~(self.zero_a & self.zero_n)
        self.bad = self.live & ~close(analytic, numeric, self.atol)
        self.good = self.live & ~self.bad
        self.variables: list[Variable] = []
        self.scalars: list[Variable] = []

    @property
    def shape(self) -> tuple[int, int]:
        return (int(self.numeric.shape[0]), int(self.numeric.shape[1]))

    @property
    def elementwise(self) -> bool:
        """Whether each output depends on the input at its own place only."""
        if not self.full or self.out_shape != self.in_shape:
            return False
        return not self.live[~np.eye(self.shape[1], dtype=bool)].any()

    def explains(self, prediction: Array) -> bool:
        """Whether a prediction of the analytic matrix comes true, at the bad entries as well."""
        with np.errstate(invalid="ignore"):
            compared = (self.live | (np.abs(prediction) > self.atol)) & np.isfinite(prediction + self.analytic)
        if not (compared & self.bad).any() or 2 * compared.sum() < self.live.sum():
            return False
        return bool(close(self.analytic, prediction, 3 * self.atol)[compared].all())

    def ratio(self, mask: Array) -> Array:
        """Analytic over numeric at the entries of a mask."""
        with np.errstate(all="ignore"):
            return self.analytic[mask] / self.numeric[mask]

    def sizes(self) -> dict[str, int]:
        """The sizes that people forget to divide by, by their names."""
        n_out, n_in = math.prod(self.out_shape), math.prod(self.in_shape)
        named: dict[str, int] = {}
        for what, shape in (("input", self.in_shape), ("output", self.out_shape)):
            for axis, n in enumerate(shape):
                kind = "the batch size, that is the size of axis 0" if axis == 0 else f"the size of axis {axis}"
                named[f"{kind} of the {what}"] = n
        named |= {"the number of entries of the input": n_in, "the number of entries of the output": n_out}
        if n_out > n_in:
            named["the number of outputs that each input entry feeds"] = n_out // n_in
        elif n_in > n_out > 0:
            named["the number of input entries per output"] = n_in // n_out
        return named

    def tensor(self) -> Array:
        """The numeric matrix with the axes of the output before those of the input."""
        return self.numeric.reshape(self.row_shape + self.in_shape)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return self.out_shape if self.full else (1,)


def predictions(case: Case) -> Iterator[tuple[str, Array]]:
    """(sentence, the analytic matrix if that sentence is true), the likeliest first."""
    yield from exchanged(case)
    yield from summed(case)
    yield from moved(case)


def exchanged(case: Case) -> Iterator[tuple[str, Array]]:
    """Transposes: of the gradient, of the incoming gradient, of the matrix between them; reshape for transpose."""
    t, outs, ins = case.tensor(), len(case.row_shape), len(case.in_shape)
    shape = case.numeric.shape
    if ins > 1 and ins <= 4:
        for perm in list(itertools.permutations(range(ins)))[1:]:
            moved_ = t.transpose(*range(outs), *(outs + p for p in perm))
            fits = tuple(case.in_shape[p] for p in perm) == case.in_shape
            yield _transposed("your gradient is", "right gradient", perm, fits), moved_.reshape(shape)
    if not case.full:
        return
    if outs > 1 and outs <= 4:
        for perm in list(itertools.permutations(range(outs)))[1:]:
            moved_ = t.transpose(*perm, *range(outs, outs + ins))
            fits = tuple(case.out_shape[p] for p in perm) == case.out_shape
            yield _transposed("the incoming gradient is used", "output", perm, fits), moved_.reshape(shape)
    why = (
        "a matrix is used where its transpose belongs (`g @ W` for `g @ W.T`), a permutation where its inverse does, "
        "or a convolution's kernel is not turned round"
    )
    if shape[0] == shape[1]:
        yield f"transposed: your Jacobian is the transpose of the right one: {why}", case.numeric.T
    for p, q in itertools.product(range(outs), range(outs, outs + ins)):
        if t.shape[p] == t.shape[q] > 1:
            text = f"transposed: axis {p} of the output and axis {q - outs} of the input are exchanged: {why}"
            yield text, t.swapaxes(p, q).reshape(shape)


def _transposed(start: str, what: str, perm: tuple[int, ...], fits: bool) -> str:
    if fits:
        order = "" if len(perm) == 2 else f" (axes {perm})"
        return f"transposed: {start} the transpose of the {what}'s layout{order}; exchange its axes"
    return f"transposed: {start} reshaped where a transpose belongs: the right numbers in the {what}'s transposed order"


def summed(case: Case) -> Iterator[tuple[str, Array]]:
    """A sum or a mean over axes that must not be summed, repeated to the old shape."""
    t, outs = case.tensor(), len(case.row_shape)
    for what, offset, shape in (("input", outs, case.in_shape), ("output", 0, case.row_shape)):
        axes = [k for k, n in enumerate(shape) if n > 1]
        for k in range(1, min(len(axes), 4) + 1):
            for chosen in itertools.combinations(axes, k):
                where = tuple(offset + a for a in chosen)
                total = np.broadcast_to(t.sum(axis=where, keepdims=True), t.shape).reshape(case.numeric.shape)
                count = math.prod(shape[a] for a in chosen)
                along = f"axis {chosen[0]}" if k == 1 else f"axes {chosen}"
                for word, value in (("summed", total), ("averaged", total / count)):
                    yield _sum_sentence(what, word, along, value, case), value


def _sum_sentence(what: str, word: str, along: str, value: Array, case: Case) -> str:
    if what == "output":
        detail = f"the incoming gradient is {word} over {along} of the output before it is used"
        return f"{word} where it must not be: {detail}"
    text = f"{word} over {along} of the input, which is not a broadcast axis: your gradient repeats one number along it"
    first = value[0]
    if np.ptp(first) == 0:
        text += f" (every entry is {first[0]:.4g}: a dot product or a total where the outer product belongs)"
    return text


def moved(case: Case) -> Iterator[tuple[str, Array]]:
    """The right numbers one place further, or in reverse order."""
    t, outs = case.tensor(), len(case.row_shape)
    shape = case.numeric.shape
    places = [("your gradient is the right one", "input", outs + k, k, n) for k, n in enumerate(case.in_shape)]
    if case.full:
        places += [("the incoming gradient is taken", "output", k, k, n) for k, n in enumerate(case.out_shape)]
    for start, what, k, axis, n in places:
        if n < 2:
            continue
        yield f"reversed: {start} flipped along axis {axis} of the {what}", np.flip(t, k).reshape(shape)
        for step in (1, -1):
            text = f"off by one: {start} shifted by {step} along axis {axis} of the {what}"
            yield text, np.roll(t, step, k).reshape(shape)
            if n > 2:
                yield text + " (nothing comes back in at the other end)", _shifted(t, step, k).reshape(shape)
    if case.full and outs == len(case.in_shape) and not case.elementwise:
        for axes in _some_axes(case):
            both = (*axes, *(outs + a for a in axes))
            text = f"reversed: the kernel is not turned round along axis {axes if len(axes) > 1 else axes[0]}"
            yield text + ", as the transposed convolution needs", np.flip(t, both).reshape(shape)


def _some_axes(case: Case) -> Iterator[tuple[int, ...]]:
    axes = [k for k, n in enumerate(case.in_shape) if n > 1]
    for k in range(1, min(len(axes), 3) + 1):
        yield from itertools.combinations(axes, k)


def _shifted(t: Array, step: int, axis: int) -> Array:
    rolled = np.roll(t, step, axis)
    index: list[Any] = [slice(None)] * t.ndim
    index[axis] = 0 if step > 0 else -1
    rolled[tuple(index)] = 0
    return rolled


def axes_in_words(axes: set[int]) -> str:
    """As it stands in a sentence.

    >>> axes_in_words({1, 0}), axes_in_words(set())
    ('axes 0, 1', 'no axis')
    """
    listed = ", ".join(map(str, sorted(axes)))
    return f"{'axis' if len(axes) == 1 else 'axes'} {listed}" if axes else "no axis"


def coupled_axes(matrix: Array, shape: tuple[int, ...], atol: float) -> set[int]:
    """The axes along which a square Jacobian mixes entries: output i depends on input j, and i, j differ there."""
    rows, columns = np.nonzero(np.nan_to_num(np.abs(matrix)) > atol)
    if not shape or rows.size == 0:
        return set()
    here, there = np.array(np.unravel_index(rows, shape)), np.array(np.unravel_index(columns, shape))
    return {axis for axis in range(len(shape)) if (here[axis] != there[axis]).any()}
