"""What to say when no mistake explains every entry: where it is wrong, and which law of the function it breaks.

After reading you know the fall-backs: wrong for one branch or at a border (and what is wrong there), entries coupled
along the wrong axis, a term missing that a normalisation needs, and finally a plain description of the difference.
Read `patterns.py` for how places are put into words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .factors import elementwise_factor, missing_term
from .patterns import close, constant_of, name_constant, place, show, value_region
from .structure import Case, axes_in_words, coupled_axes

if TYPE_CHECKING:
    from .diagnose import Evidence

Array = Any


def only_there(evidence: Evidence, case: Case) -> str | None:
    """Wrong for one branch or at one place, right elsewhere."""
    if not case.good.any():
        return None
    by_value = value_region(case.bad, case.good, case.variables[:6])
    bad, good = case.bad.any(axis=0), case.good.any(axis=0)
    where = place(bad, good, case.in_shape, "the input") if not (bad & good).any() else None
    if where is None and case.full:
        rows, fine = case.bad.any(axis=1), case.good.any(axis=1)
        where = place(rows, fine, case.out_shape, "the output") if not (rows & fine).any() else None
    if by_value is None and where is None:
        return _scattered(case)
    detail = where or ""
    if by_value:
        detail = f"where {by_value}" + (f" ({where})" if where and "positions" not in where else "")
    if by_value and by_value.endswith("y is 0") and case.zero_n[case.bad].all():
        detail += ", so a mask of the forward (dropout, a selection) is not applied in backward"
    return f"wrong only {detail}; {_what_there(case, case.bad)}; elsewhere it is right"


def _what_there(case: Case, mask: Array) -> str:
    """What is wrong at the entries of a mask."""
    a, n = case.analytic[mask], case.numeric[mask]
    if case.zero_a[mask].all():
        return f"there yours is 0 and the right one is not (for example {show(n[0])})"
    if case.zero_n[mask].all():
        return f"there the right one is 0 and yours is not (for example {show(a[0])})"
    c = constant_of(case.ratio(mask))
    if c is not None and abs(c + 1) < 1e-3:
        return "there its sign is flipped (analytic / numeric = -1)"
    if c is not None:
        return f"there it is {show(c)} times the right one (factor {name_constant(c, case.sizes())})"
    fitted = elementwise_factor(case, mask) or missing_term(case, mask)
    return f"there: {fitted}" if fitted else f"there analytic is for example {show(a[0])} and numeric {show(n[0])}"


def two_branches(evidence: Evidence, case: Case) -> str | None:
    """Two constant factors, one on either side of a threshold: branches exchanged, or a slope forgotten."""
    if case.good.any():
        return None
    zero = case.bad & case.zero_n
    rest = case.bad & ~case.zero_n
    ratio = np.full(case.shape, np.nan)
    ratio[rest] = case.ratio(rest)
    values = sorted({round(float(r), 4) for r in ratio[rest]})
    if zero.any() and case.zero_a[rest].all() and (case.elementwise or not case.full):
        where = value_region(zero, rest, case.variables[:6])
        if where:
            detail = "the right gradient is 0 and yours is not, elsewhere the other way round"
            return f"the branches are exchanged: where {where} {detail}"
    if zero.any() or len(values) != 2:
        return None
    low = rest & (np.abs(ratio - values[0]) < 1e-3 * max(1.0, abs(values[0])))
    where = value_region(low, rest & ~low, case.variables[:6])
    if where is None:
        return None
    return f"wrong in both branches: where {where} analytic / numeric = {show(values[0])}, elsewhere {show(values[1])}"


def _scattered(case: Case) -> str | None:
    """Right and wrong entries with no place in common: say what the wrong ones have in common."""
    if not case.elementwise and case.full and case.in_shape == case.out_shape:
        return None
    n_bad, n_live = int(case.bad.sum()), int(case.live.sum())
    start = f"wrong at {n_bad} of {n_live} entries with no pattern of place: "
    if case.zero_n[case.bad].all():
        return start + (
            "gradient flows where the right one is 0: a mask of the forward (dropout, a selection, a comparison) is "
            "not applied in backward, or another mask is"
        )
    if case.zero_a[case.bad].all():
        return start + "yours is 0 there and the right one is not: contributions are dropped or overwritten"
    if (case.zero_a | case.zero_n)[case.bad].all():
        return start + "the right numbers in other places: another entry is selected, or an index or order is confused"
    c = constant_of(case.ratio(case.bad))
    if c is not None:
        return start + f"there analytic / numeric = {show(c)}"
    c = constant_of((case.analytic - case.numeric)[case.bad])
    detail = f"there analytic - numeric = {show(c or 0)}: a constant is not subtracted (a one-hot target, for example)"
    return start + detail if c is not None and case.bad.sum() > 1 else None


def selection(evidence: Evidence, case: Case) -> str | None:
    """Each output takes one entry of the input (a maximum, a choice), and backward gives its gradient to others too."""
    if not case.full or (case.bad & ~case.zero_n).any() or not case.good.any():
        return None
    right, mine = (case.live & ~case.zero_n).sum(axis=1), (case.live & ~case.zero_a).sum(axis=1)
    if not (right <= 1).all() or not (mine > 1).any():
        return None
    return (
        "each output depends on one entry of the input only (a maximum, a selection), your backward gives its gradient "
        f"to up to {int(mine.max())}: the mask of the selected entry is not applied"
    )


def couplings(evidence: Evidence, case: Case) -> str | None:
    """Which axes a layer mixes, against which its backward mixes; and right numbers in wrong places."""
    rows = zip(np.sort(case.analytic, axis=1), np.sort(case.numeric, axis=1), strict=True)
    known = np.isfinite(case.analytic) & np.isfinite(case.numeric)
    if known.all() and case.shape[1] > 1 and all(close(a, n, 3 * case.atol).all() for a, n in rows):
        return "the right numbers in the wrong places (a permutation): an index, an order or a direction is confused"
    if case.full and case.in_shape == case.out_shape:
        mine = coupled_axes(case.analytic, case.in_shape, case.atol)
        right = coupled_axes(case.numeric, case.in_shape, case.atol)
        if not mine and right:
            return (
                "cross terms missing: only the diagonal of the Jacobian is there, while each output depends on the "
                f"other entries along {axes_in_words(right)} too"
            )
        if mine != right:
            return (
                f"axis confusion: the function mixes entries along {axes_in_words(right)}, your backward along "
                f"{axes_in_words(mine)}: a sum in it runs over the wrong axis"
            )
    return None


def laws_broken(evidence: Evidence, case: Case) -> str | None:
    """Laws that the right Jacobian keeps and the analytic one breaks: they name the term of a normalisation."""
    if not case.full or not np.isfinite(case.analytic + case.numeric).all():
        return None
    ones, x = np.ones(case.shape[1]), evidence.value
    size = 1e-5 * np.abs(case.numeric).sum(axis=1) + 10 * case.atol
    through = "the term that goes through the"
    laws = [("does not change when a constant is added to the input", f"{through} mean (or the sum)", ones)]
    if x is not None and x.size == case.shape[1]:
        laws.append(("does not change when the input is scaled", f"{through} norm or variance", x.ravel()))
    for law, term, direction in laws:
        scale = size * max(1.0, float(np.abs(direction).max()))
        right, mine = np.abs(case.numeric @ direction), np.abs(case.analytic @ direction)
        if (right <= 1e2 * scale).all() and (mine > 1e3 * scale).any():
            return (
                f"cross terms missing: the function {law}, so each row of its Jacobian times that direction is 0; "
                f"yours gives {show(float(mine.max()))}: {term} is missing (a mean or variance treated as constant)"
            )
    columns, mine = np.abs(case.numeric.sum(axis=0)), np.abs(case.analytic.sum(axis=0))
    scale = 1e-5 * np.abs(case.numeric).sum(axis=0) + 10 * case.atol
    if (columns <= scale).all() and (mine > 1e2 * scale).any():
        return (
            "cross terms missing: the outputs always add up to the same number, so each column of the Jacobian sums to "
            f"0; yours sums to {show(float(mine.max()))}: the term that subtracts the common part is missing"
        )
    return None


def nearly(evidence: Evidence, case: Case) -> str | None:
    """Off by a little everywhere: an approximation or a lower precision, not a mistake of the formula."""
    error = np.abs(case.analytic - case.numeric)[case.live].max() / np.abs(case.numeric[case.live]).max()
    if error > 2e-2:
        return None
    return (
        f"nearly right: the largest difference is {show(float(error))} of the largest entry, so the formula has the "
        "right shape; look for an approximation, an eps or rounded constant in backward only, or a lower precision"
    )


def last_resort(evidence: Evidence, case: Case) -> str | None:
    """A description, where no usual mistake fits; with the other inputs as witnesses of where it must be."""
    near = {name for name, (a, n) in evidence.others.items() if np.shape(a) == np.shape(n) and _agree(a, n, case.atol)}
    both = case.live & ~case.zero_a & ~case.zero_n
    ratio = case.ratio(both)
    text = f"no usual mistake fits: {int(case.bad.sum())} of {int(case.live.sum())} entries are wrong"
    if ratio.size:
        text += f", analytic / numeric lies between {show(float(ratio.min()))} and {show(float(ratio.max()))}"
        same_sign = float((ratio > 0).mean())
        text += f", the sign is right in {same_sign:.0%}"
    if near:
        detail = f"{', '.join(sorted(near)[:4])} {'is' if len(near) == 1 else 'are'} right"
        text += f"; {detail}, so the fault lies in the backward between there and here"
    if case.shape[0] == 1 and case.full:
        text += "; check the layer alone, or with one sample, where more can be told"
    elif not case.full:
        text += "; check it with a smaller input, where the whole Jacobian can be compared"
    return text


def _agree(a: Array, n: Array, atol: float) -> bool:
    return bool(close(np.asarray(a, dtype=float), np.asarray(n, dtype=float), 10 * atol).all())
