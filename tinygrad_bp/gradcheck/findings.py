"""From compared arrays to a `Finding`: the verdict, the worst entries, and the evidence for a diagnosis.

Read `diagnose.py` next: how a cause is recognised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TensorError
from .diagnose import Evidence, diagnose
from .report import Entry, Finding
from .verdicts import KINK, NONFINITE, OK, UNCERTAIN, UNSEEN, WRONG, Compared

if TYPE_CHECKING:
    from .evaluate import Output
    from .numeric import Array
    from .verdicts import SlotCheck

SHOWN = 5
MATRIX = 65_536  # entries of a Jacobian that is computed for the diagnosis, and at most so many backward passes:
ROWS = 256


def finding_of(check: SlotCheck, compared: Compared, output: Output, order: int) -> Finding:
    """The verdict on one slot and one output."""
    slot = check.slot
    finding = Finding(slot.name, _verdict(compared), output=output.index, label=output.label, order=order)
    looked = slot.base.size - compared.count(UNSEEN)
    finding.counts = {
        "checked": compared.count(OK) + compared.count(WRONG),
        "wrong": compared.count(WRONG) + compared.count(NONFINITE),
        "kinks": compared.count(KINK), "uncertain": compared.count(UNCERTAIN),
        "directions": compared.directions, "of": slot.base.size if looked < slot.base.size else 0,
    }  # fmt: skip
    finding.analytic = compared.analytic.reshape(slot.base.shape)
    finding.numeric = compared.numeric.reshape(slot.base.shape)
    finding.slope = compared.slope
    finding.entries = _worst(compared, slot.base.shape)
    finding.note = _note(finding, compared)
    return finding


def _verdict(compared: Compared) -> str:
    """The worst thing that is certain."""
    wrong = compared.count(WRONG) > 0 or compared.direction is not None
    if compared.count(NONFINITE):
        return "NONFINITE"
    if wrong:
        return "FAIL" if compared.analytic.any() else "NO_GRAD_PATH"
    if not compared.analytic.size or not compared.c.any():
        return "PASS"
    if compared.missing:
        return "VACUOUS"
    if compared.count(OK) or compared.directions:
        return "PASS"
    if compared.count(KINK):
        return "KINK"
    return "INCONCLUSIVE"


def _note(finding: Finding, compared: Compared) -> str:
    if finding.verdict == "VACUOUS":
        return "the output does not depend on it, as far as could be seen"
    if not compared.analytic.size or not compared.c.any():
        return "it, or the output, is empty: there is nothing to compare"
    if finding.verdict == "PASS" and not compared.analytic.any():
        return "the gradient is zero, and right: the function is constant around this input"
    if finding.verdict == "KINK":
        return f"every entry sits on a kink: {compared.why_kink}"
    if finding.verdict == "NO_GRAD_PATH":
        reached = "no gradient reaches it" if compared.missing else "its gradient is zero"
        return f"the output depends on it, but {reached}"
    return ""


def _worst(compared: Compared, shape: tuple[int, ...]) -> list[Entry]:
    """The wrong entries, the largest relative error first; then a direction, if that is all there is."""
    bad = np.flatnonzero((compared.state == WRONG) | (compared.state == NONFINITE))
    made = [
        Entry(
            tuple(int(k) for k in np.unravel_index(i, shape)), compared.analytic[i], compared.numeric[i],
            compared.bar[i], "NONFINITE" if compared.state[i] == NONFINITE else "FAIL",
        )
        for i in map(int, bad)
    ]  # fmt: skip
    made.sort(key=lambda entry: -np.nan_to_num(entry.abs_error, nan=np.inf))
    if not made and compared.direction is not None:
        analytic, found = compared.direction
        made = [Entry(None, analytic, found.value, found.bar)]
    return made[:SHOWN]


# ------------------------------------------------------------ the cause
def explain(examination: Any, finding: Finding, k: int | None, slot: Any, checks: Any = ()) -> None:
    """Gather the evidence about a wrong finding (output k) and let `diagnose` put the cause into words."""
    problem = examination.problem
    inputs = [s for s in problem.slots if s.kind != "parameter"]
    index = next((i for i, s in enumerate(inputs) if s is slot), None)
    out = problem.outputs[k or 0]
    known: dict[str, Any] = {}
    if k is not None:
        known = _measured(examination, finding, k, slot, checks)
    else:
        known = {"vjp_analytic": finding.analytic, "cotangent": examination.random[0].reshape(out.shape)}
    evidence = Evidence(
        inputs=[s.base for s in inputs], index=index, value=slot.base, names=[s.name for s in inputs],
        output=examination.origin[out.part].reshape(out.shape), second_order=examination.order == 2, **known,
    )  # fmt: skip
    finding.diagnosis = diagnose(evidence)


def _measured(examination: Any, finding: Finding, k: int, slot: Any, checks: Any) -> dict[str, Any]:
    problem, out = examination.problem, examination.problem.outputs[k]
    check, compared = next((c, all_[k]) for c, all_ in checks if c.slot is slot)
    numeric = np.where(np.isin(compared.state, (OK, WRONG, NONFINITE)), compared.numeric, np.nan)
    known = {
        "cotangent": compared.c[out.part].reshape(out.shape),
        "vjp_analytic": finding.analytic, "vjp_numeric": numeric.reshape(slot.base.shape),
        "vjp_ones_analytic": _ask(examination, [examination.cotangent(k, np.ones(out.size))], check.index)[0],
        "others": {c.slot.name: tuple(a.reshape(c.slot.base.shape) for a in (all_[k].analytic, all_[k].numeric))
                   for c, all_ in checks if c.slot is not slot},
        "error_bar": float(np.nanmax(compared.bar, initial=0.0)),
    }  # fmt: skip
    if out.size <= ROWS and out.size * slot.base.size <= MATRIX and check.columns:
        known["jac_numeric"] = _columns(check, out)
        known["other_outputs"] = {
            o.label: _columns(check, o) for o in problem.outputs if o is not out and o.size * slot.base.size <= MATRIX
        }
        units = [examination.cotangent(k, row) for row in np.eye(out.size)]
        rows = _ask(examination, units, check.index)
        if all(row is not None for row in rows):
            known["jac_analytic"] = np.stack([row.ravel() for row in rows])
    return known


def _columns(check: SlotCheck, out: Any) -> Array:
    """The numeric Jacobian of one output, NaN where a column is not known or has a kink."""
    matrix = np.full((out.size, check.slot.base.size), np.nan)
    for i, column in check.columns.items():
        matrix[:, i] = column[out.part]
    return matrix


def _ask(examination: Any, rows: list[Any], index: int) -> list[Any]:
    try:
        return [row[index] for row in examination.problem.gradients(rows)]
    except TensorError:  # a backward that cannot take every cotangent; the evidence does without
        return [None] * len(rows)
