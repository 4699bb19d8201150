"""Why a gradient is wrong: the usual mistakes, recognised by how the analytic numbers differ from the numeric ones.

After reading you know the one method used: each mistake predicts the wrong Jacobian from the right one (twice it,
its transpose, only its diagonal, …), and the mistake whose prediction comes true everywhere is named. Where none
does, the wrong entries are looked at by place and by value. `diagnose` asks in that order, most telling first. Read
`structure.py` for the predictions, `factors.py` for the fitted factors, `patterns.py` for the words.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .before import not_finite, not_linear, wrong_shape
from .factors import constant_factor, elementwise_factor, missing_term, name_variables, wrong_point
from .partial import couplings, last_resort, laws_broken, nearly, only_there, selection, two_branches
from .patterns import close, constant_of, largest, place, show, value_region
from .structure import Case, axes_in_words, coupled_axes, predictions

Array = Any
MOST = 2  # sentences that say the same thing in other words help nobody


class Evidence:
    """What is known about one output and one input (or parameter) whose gradient is wrong.

    `jac_analytic`, `jac_numeric`: (entries of the output, entries of the input), NaN where set aside, or None.
    `cotangent`: a random one, shaped like the output; `vjp_analytic`, `vjp_numeric`: what belongs to it, shaped like
    the input; `vjp_ones_analytic`: what backward returns for ones. `inputs` and `index`: all inputs, and which one it
    is (None for a parameter, whose value then goes into `value`). `output`: the function's value. `others`: name →
    (vjp_analytic, vjp_numeric) of the other inputs, to find exchanged gradients; `other_outputs`: name → jac_numeric
    of the other outputs. `error_bar`: how far off the numeric values may be, one number or one per entry of the input.

    >>> x = np.array([1.0, 2.0, 3.0])
    >>> diagnose(Evidence(jac_analytic=np.diag(4 * x), jac_numeric=np.diag(2 * x), inputs=[x], index=0, output=x * x))
    ['constant factor 2: your gradient is 2 times the right one everywhere (analytic / numeric = 2)']
    """

    def __init__(
        self,
        *,
        jac_analytic: Array = None,
        jac_numeric: Array = None,
        cotangent: Array = None,
        vjp_analytic: Array = None,
        vjp_numeric: Array = None,
        vjp_ones_analytic: Array = None,
        inputs: Sequence[Array] = (),
        index: int | None = 0,
        value: Array = None,
        output: Array = None,
        others: dict[str, tuple[Array, Array]] | None = None,
        other_outputs: dict[str, Array] | None = None,
        names: Sequence[str] | None = None,
        second_order: bool = False,
        error_bar: Array = 0.0,
    ) -> None:
        self.jac_analytic, self.jac_numeric = _float(jac_analytic), _float(jac_numeric)
        self.cotangent, self.vjp_ones_analytic = _float(cotangent), _float(vjp_ones_analytic)
        self.vjp_analytic, self.vjp_numeric = _float(vjp_analytic), _float(vjp_numeric)
        self.inputs = [_float(x) for x in inputs]
        self.index, self.output = index, _float(output)
        self.value = _float(value) if index is None else self.inputs[index] if inputs else None
        self.others, self.other_outputs = others or {}, other_outputs or {}
        self.names, self.second_order = names, second_order
        self.error_bar = self._set_aside_doubtful(np.asarray(error_bar if error_bar is not None else 0.0, dtype=float))

    def _set_aside_doubtful(self, bar: Array) -> float:
        """Numeric values that are all error bar become NaN; returns the largest bar of the others."""
        n = self.vjp_numeric
        if n is None or not bar.size or np.broadcast_shapes(bar.shape, n.shape) != n.shape:
            return largest(bar)
        most = largest(n)
        doubtful = np.broadcast_to(bar > 1e-3 * most, n.shape)
        if bar.ndim == 0:  # one bar for all: only small values, exact zeros aside, can be told to be doubtful
            doubtful = doubtful & (np.abs(n) <= 2 * bar) & (np.abs(n) > 1e-7 * most)
        if not doubtful.any() or 2 * doubtful.sum() > doubtful.size:
            return largest(bar)
        self.vjp_numeric = np.where(doubtful, np.nan, n)
        if self.jac_numeric is not None and self.jac_numeric.shape[-1] == n.size:
            self.jac_numeric = np.where(doubtful.reshape(1, -1), np.nan, self.jac_numeric)
        return largest(bar) if bar.ndim == 0 else largest(bar[~doubtful])

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The shape of the input that is looked at."""
        known = self.value if self.value is not None else self.vjp_numeric
        if known is not None:
            return tuple(known.shape)
        return (self.jac_numeric.shape[1],) if self.jac_numeric is not None else ()

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The shape of the output."""
        known = self.output if self.output is not None else self.cotangent
        if known is not None:
            return tuple(known.shape)
        return (self.jac_numeric.shape[0],) if self.jac_numeric is not None else ()


def _float(x: Array) -> Array:
    if x is None:
        return None
    x = np.asarray(x)
    return x.astype(np.float64) if x.dtype.kind in "biuf" else np.full(x.shape, np.nan)


def diagnose(evidence: Evidence) -> list[str]:
    """The likely causes, most telling first, one sentence each; empty if the numbers agree or are not known.

    A pure function of the evidence; it never raises for odd numbers (NaN, infinities, empty arrays).
    """
    with np.errstate(all="ignore"):
        found = list(itertools.islice(_sentences(evidence), MOST))
    if found and evidence.second_order:
        start = "the second order is wrong while the first is right: "
        return [start + found[0], *found[1:]]
    return found


def _sentences(evidence: Evidence) -> Iterator[str]:
    """The first family of mistakes that has something to say; within it, what it says."""
    said = False
    for before in (wrong_shape, not_finite, not_linear):
        for sentence in before(evidence):
            said = True
            yield sentence
        if said:
            return
    case = case_of(evidence)
    if case is None or not case.bad.any():
        return
    families: tuple[Callable[[Evidence, Case], str | None], ...] = (
        _all_zero, _sign_or_exchanged, _factor, _contributions_lost, two_branches, _one_number, _predicted,
        selection, only_there, _term, couplings, _odd_factor, laws_broken, nearly, last_resort,
    )  # fmt: skip
    yield from itertools.islice((text for family in families if (text := family(evidence, case))), 1)


def case_of(evidence: Evidence) -> Case | None:
    """The pair of matrices to compare: whole Jacobians if known, else the one row of a random cotangent."""
    shapes = evidence.out_shape, evidence.in_shape
    case = None
    if evidence.jac_analytic is not None and evidence.jac_numeric is not None:
        case = Case(evidence.jac_analytic, evidence.jac_numeric, *shapes, full=True, atol=evidence.error_bar)
    elif evidence.vjp_analytic is not None and evidence.vjp_numeric is not None:
        if evidence.vjp_analytic.shape != evidence.vjp_numeric.shape:
            return None
        rows = evidence.vjp_analytic.reshape(1, -1), evidence.vjp_numeric.reshape(1, -1)
        case = Case(*rows, *shapes, full=False, atol=evidence.error_bar)
    if case is None or case.numeric.size == 0 or case.analytic.shape != case.numeric.shape:
        return None
    case.variables = name_variables(evidence, case)
    return case


# ---- mistakes that explain every entry -------------------------------------------------------------------------------


def _all_zero(evidence: Evidence, case: Case) -> str | None:
    if case.zero_a[case.live].all():
        if evidence.second_order:
            return (
                "your backward's result does not depend on this input as far as the graph knows: it was computed on "
                "detached values or plain arrays, so what depends on them counts as constant (every entry is 0)"
            )
        return (
            "frozen: your gradient is 0 at every entry while the right one is not: the input is detached, "
            "overwritten, or its gradient is not returned"
        )
    if case.zero_n[case.live].all():
        return (
            "the right gradient is 0 everywhere and yours is not: the function is flat here (a rounding, a sign, a "
            "comparison, a detached input), or yours belongs to another function"
        )
    return None


def _sign_or_exchanged(evidence: Evidence, case: Case) -> str | None:
    text = constant_factor(case)
    return text if text and text.startswith("sign") else exchanged_inputs(evidence, case, both_ways=True) or text


def _factor(evidence: Evidence, case: Case) -> str | None:
    return wrong_point(case) or exchanged_inputs(evidence, case) or elementwise_factor(case)


def _odd_factor(evidence: Evidence, case: Case) -> str | None:
    return elementwise_factor(case, any_constant=True)


def _predicted(evidence: Evidence, case: Case) -> str | None:
    return next((sentence for sentence, value in predictions(case) if case.explains(value)), None)


def _term(evidence: Evidence, case: Case) -> str | None:
    return missing_term(case)


def _mostly(a: Array, b: Array, case: Case) -> bool:
    """Agreement in three of four entries, two at least: beside a kink another input's numbers may be off."""
    live = (np.abs(a) > case.atol) | (np.abs(b) > case.atol)
    equal = close(a, b, 3 * case.atol)[live]
    return equal.size > 0 and bool(equal.all() or (equal.sum() > 1 and 4 * equal.sum() >= 3 * equal.size))


def exchanged_inputs(evidence: Evidence, case: Case, both_ways: bool = False) -> str | None:
    """This input got another's gradient (and, `both_ways`, the other got this one's)."""
    a, n = evidence.vjp_analytic, evidence.vjp_numeric
    for name, (their_a, their_n) in evidence.others.items() if a is not None and n is not None else ():
        if np.shape(their_n) != a.shape or not a.size:
            continue
        mine, theirs = _float(their_a), _float(their_n)
        for sign, also in ((1, ""), (-1, ", with the sign flipped as well")):
            if not _mostly(sign * a, theirs, case):
                continue
            if _mostly(sign * mine, n, case):
                return f"swapped with {name}: its gradient is returned here and this one there{also}; keep their order"
            if not both_ways and sign == 1:
                return f"swapped: this is the gradient of {name}, returned here as well"
    for name, jac in evidence.other_outputs.items():
        if np.shape(jac) == case.analytic.shape and case.full and case.explains(_float(jac)):
            return f"swapped outputs: the incoming gradient of this output is used as if it were that of {name}"
    return None


def _one_number(evidence: Evidence, case: Case) -> str | None:
    for row_a, row_n in zip(case.analytic, case.numeric, strict=True):
        if row_a.size < 2 or constant_of(row_a) is None or constant_of(row_n) is not None:
            return None
    row, shape = case.analytic[0], case.in_shape
    text = f"every entry of your gradient is the same number ({show(row[0])}) while the right ones differ: "
    text += "a dot product (or a total) where the outer product belongs"
    if len(shape) == 2:
        trace = float(np.trace(case.numeric[0].reshape(shape)))
        text += f"; it is the sum of the diagonal of the right one, {show(trace)}" if close(row[0], trace).all() else ""
    return text


def _contributions_lost(evidence: Evidence, case: Case) -> str | None:
    """Entries are either right or 0: which contributions are missing tells what happened to them."""
    lost = case.bad & case.zero_a
    if not case.good.any() or (case.bad & ~lost).any():
        return None
    if not case.full:
        return _frozen(case)
    fan_out, kept = case.live.sum(axis=0), case.good.sum(axis=0)
    shared = fan_out > 1
    own = np.eye(*case.shape, dtype=bool)
    if case.out_shape == case.in_shape and not lost[own].any() and not case.good[~own].any():
        along = axes_in_words(coupled_axes(case.numeric, case.in_shape, case.atol))
        return (
            "only the diagonal of the Jacobian is there, the cross terms are missing: each output depends on the "
            f"other entries along {along} too"
        )
    if shared.any() and (kept[fan_out > 0] == 1).all():
        last = all(case.good[np.flatnonzero(case.live[:, j])[-1], j] for j in np.flatnonzero(shared))
        first = all(case.good[np.flatnonzero(case.live[:, j])[0], j] for j in np.flatnonzero(shared))
        which = "last write wins" if last else "only the first counts" if first else "only one counts"
        return (
            f"{which}: an entry feeds up to {int(fan_out.max())} outputs and only one of these contributions arrives; "
            "contributions add up (`+=`, `np.add.at`, a sum over the broadcast axis)"
        )
    return _frozen(case) or _rows_lost(case)


def _frozen(case: Case) -> str | None:
    bad, good = case.bad.any(axis=0), case.good.any(axis=0)
    if (bad & good).any():
        return None
    where = place(bad, good, case.in_shape, "the input")
    by_value = value_region(case.bad, case.good, case.variables)
    count = f"{int(bad.sum())} of {int((bad | good).sum())} entries"
    if by_value and not where:
        example = show(float(case.numeric[case.bad][0]))
        detail = f"your gradient is 0 there, the right one is not (for example {example})"
        return f"wrong only where {by_value}: {detail}; {count}"
    also = f", which is also where {by_value}" if by_value else ""
    where = where or "at some entries"
    return f"frozen: your gradient is 0 {where} ({count}), the right one is not{also}; elsewhere it is right"


def _rows_lost(case: Case) -> str | None:
    bad, good = case.bad.any(axis=1), case.good.any(axis=1)
    if (bad & good).any():
        return (
            f"contributions are missing: {int(case.bad.sum())} of {int(case.live.sum())} entries of the Jacobian are 0 "
            "that should not be; where an input is used several times its contributions add up"
        )
    where = place(bad, good, case.out_shape, "the output") or "at some places of the output"
    return f"the incoming gradient is ignored {where}: what comes from there is not added"
