"""The order of a check: call the function, ask its backward, compare each input and parameter, say what was found.

`examine` works on a problem (see `evaluate.py`): anything with slots, outputs, `forward()` and `gradients()`.
`gradcheck`, `gradgradcheck` and `gradcheck_numpy` are three ways to make one. Read `api.py` next.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..errors import ArgumentError, DtypeError, GraphError, InplaceError, ShapeError, TensorError
from .findings import explain, finding_of
from .report import Finding, GradcheckReport
from .verdicts import KINK, NONFINITE, OK, UNCERTAIN, WRONG, Compared, SlotCheck, Tolerance

ENTRYWISE = 256  # slots up to this size are looked at entry by entry, unless fast_mode says otherwise,
ENTRYWISE_IN_LARGE = 16  # and in a model of more numbers than LARGE, where a forward pass takes long, up to this
LARGE = 50_000
SAMPLE = 16  # entries of a larger slot that are looked at one by one, besides the random directions
DIRECTIONS = 2
BUDGET = 50_000  # forward passes


class Plan:
    """Which slots are looked at entry by entry, and how many forward passes that will take.

    >>> print(Plan([4, 1_000_000], None))
    about 180 forward passes: 1 of 2 inputs and parameters entry by entry, 1 by random directions and a sample
    """

    def __init__(self, sizes: list[int], fast_mode: bool | None, budget: int = BUDGET) -> None:
        by_size = ENTRYWISE if sum(sizes) <= LARGE else ENTRYWISE_IN_LARGE
        limit = 0 if fast_mode else by_size if fast_mode is None else max(sizes, default=0)
        self.fast_mode, self.budget = fast_mode, budget
        self.entrywise = [size <= limit or size <= 4 for size in sizes]
        if fast_mode is None and self._cost(sizes) > budget // 2:
            self.entrywise = [size <= 4 for size in sizes]
        self.passes = self._cost(sizes)

    def _cost(self, sizes: list[int]) -> int:
        sampled = 4 * (SAMPLE + DIRECTIONS)
        return 4 + sum(4 * size if whole else sampled + 88 for size, whole in zip(sizes, self.entrywise, strict=True))

    def __str__(self) -> str:
        whole = sum(self.entrywise)
        return (
            f"about {self.passes} forward passes: {whole} of {len(self.entrywise)} inputs and parameters entry by "
            f"entry, {len(self.entrywise) - whole} by random directions and a sample"
        )

    def admit(self, name: str, seconds: float) -> None:
        """Refuse beyond the budget, naming the argument that would make it possible."""
        if self.passes <= self.budget:
            return
        hint = "fast_mode=True (random directions and a sample)" if self.fast_mode is False else ""
        raise ArgumentError(
            f"gradcheck of {name} would take {self} (about {self.passes * seconds:.0f} s), more than budget="
            f"{self.budget}. Pass {hint + ', or ' if hint else ''}budget={self.passes}"
        )


class Stop(Exception):
    """A finding after which nothing more can be asked."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__()
        self.findings = findings


class Examination:
    """One check of one problem."""

    def __init__(
        self,
        problem: Any,
        *,
        eps: float | None = None,
        atol: float | None = None,
        rtol: float | None = None,
        nondet_tol: float = 0.0,
        fast_mode: bool | None = None,
        budget: int = BUDGET,
        order: int = 1,
        undefined: bool = True,
        dtypes: bool = True,
    ) -> None:
        self.problem, self.order, self.undefined, self.dtypes = problem, order, undefined, dtypes
        self.tolerance = Tolerance(atol, rtol, problem.eps, eps)
        self.nondet_tol, self.fast_mode, self.budget = nondet_tol, fast_mode, budget
        self.rng = np.random.default_rng(problem.seed)
        self.notes: list[str] = []

    # ------------------------------------------------------------ the order of things
    def run(self) -> list[Finding]:
        """All findings; a disaster (other values each time, overwritten inputs, …) ends the check with its own."""
        try:
            self._prepare()
            checks = self._compare_all()
            findings = self._findings(checks)
            return findings + self._nearby(checks)
        except Stop as stop:
            return stop.findings

    def _prepare(self) -> None:
        problem, start = self.problem, time.perf_counter()
        self.origin = problem.forward()
        seconds = time.perf_counter() - start
        self.plan = Plan([slot.base.size for slot in problem.slots], self.fast_mode, self.budget)
        self.plan.admit(problem.name, seconds)
        self._stop_if_overwritten()
        if not np.isfinite(self.origin).all():
            raise Stop([self._nonfinite_output(out) for out in problem.outputs
                        if not np.isfinite(self.origin[out.part]).all()])  # fmt: skip
        again = problem.forward()
        spread = float(np.abs(again - self.origin).max(initial=0.0)) if again.shape == self.origin.shape else np.inf
        if spread > self.nondet_tol + 16 * problem.eps * float(np.abs(self.origin).max(initial=0.0)):
            detail = f"two calls with the same input and the same seed differ by {spread:.3g}"
            raise Stop([self._finding(slot.name, "NONDETERMINISTIC", detail) for slot in problem.slots])
        self._ask_backward()

    def _finding(self, name: str, verdict: str, note: str, output: int = 0) -> Finding:
        return Finding(name, verdict, output=output, note=note, order=self.order)

    def _nonfinite_output(self, out: Any) -> Finding:
        flat = self.origin[out.part]
        where = np.unravel_index(int(np.flatnonzero(~np.isfinite(flat))[0]), out.shape)
        detail = f"the output holds {flat[~np.isfinite(flat)][0]} at {[int(i) for i in where]}, already in the forward"
        return self._finding(f"output {out.index}", "NONFINITE", detail, out.index)

    # ------------------------------------------------------------ the backward
    def cotangent(self, k: int, values: Any) -> list[Any]:
        """The list of cotangents in which only output k has one; the others have None, or zeros."""
        outputs = self.problem.outputs
        others = [None if self.undefined else np.zeros(out.shape) for out in outputs]
        return [values.reshape(out.shape) if i == k else others[i] for i, out in enumerate(outputs)]

    def _ask_backward(self) -> None:
        """Gradients for one random cotangent an output: of both signs, below and above 1, never ones (unless the
        function is a loss whose backward takes none: then the report shows the caller's own numbers)."""
        outputs = self.problem.outputs
        self.random = [self.rng.uniform(0.5, 2.0, o.size) * self.rng.choice([-1.0, 1.0], o.size) for o in outputs]
        if getattr(self.problem, "own_cotangent", False):
            self.random = [np.ones(1)]
        rows = [self.cotangent(k, v) for k, v in enumerate(self.random)]
        joint = [v.reshape(o.shape) for v, o in zip(self.random, outputs, strict=True)]
        if len(outputs) > 1:
            rows.append(joint)
        self.analytic = self._gradients(rows)
        self._stop_if_overwritten()
        self._same_again(rows)

    def _stop_if_overwritten(self) -> None:
        changed = self.problem.overwritten()
        if changed:
            note = "its values are other ones after the call: work on a copy, or mark it as changed (`ctx.mark_dirty`)"
            raise Stop([self._finding(name, "MUTATED_INPUT", note) for name in changed])

    def _gradients(self, rows: list[Any]) -> list[list[Any]]:
        try:
            found: list[list[Any]] = self.problem.gradients(rows)
        except TensorError as error:
            raise Stop(self._refused(rows, error)) from None
        for slot, g in zip(self.problem.slots, found[0], strict=True):
            if g is not None and g.shape != slot.base.shape:
                raise Stop([self._shaped(slot, g)])
            if self.dtypes and g is not None and g.dtype != slot.base.dtype:
                detail = f"the gradient is {g.dtype}, the input {slot.base.dtype}; give it the input's dtype"
                raise Stop([self._finding(slot.name, "DTYPE", detail)])
        return found

    def _refused(self, rows: list[Any], error: TensorError) -> list[Finding]:
        """A backward that raises: which slots does it fail for?"""
        findings = []
        for i, slot in enumerate(self.problem.slots):
            try:
                self.problem.gradients(rows[:1], only=i)
            except TensorError as alone:
                findings.append(self._finding(slot.name, _verdict_of(alone), _raised(alone)))
        return findings or [self._finding("backward", _verdict_of(error), _raised(error))]

    def _shaped(self, slot: Any, g: Any) -> Finding:
        detail = f"the gradient has shape {g.shape}, the input {slot.base.shape}"
        finding = self._finding(slot.name, "SHAPE", detail)
        finding.analytic = np.asarray(g, dtype=np.float64)
        explain(self, finding, None, slot)
        return finding

    def _same_again(self, rows: list[Any]) -> None:
        """The backward once more: a gradient that changes was computed from something that the backward overwrote."""
        again = self._gradients(rows)
        for slot, first, second in zip(self.problem.slots, self.analytic[0], again[0], strict=True):
            if first is None or second is None or np.array_equal(first, second, equal_nan=True):
                continue
            spread = float(np.abs(first - second).max())
            if not spread <= self.nondet_tol + 1e-12 * float(np.abs(first).max()):
                detail = f"two backward passes for the same input and cotangent differ by {spread:.3g}"
                raise Stop([self._finding(slot.name, "NONDETERMINISTIC", detail)])

    # ------------------------------------------------------------ comparing
    def _compare_all(self) -> list[tuple[SlotCheck, list[Compared]]]:
        checks = []
        for i, slot in enumerate(self.problem.slots):
            check = SlotCheck(self.problem, i, self.origin, self.tolerance, self.rng)
            compared = [Compared(slot, self._flat(k, v), self.analytic[k][i]) for k, v in enumerate(self.random)]
            self._compare(check, compared, self.plan.entrywise[i])
            checks.append((check, compared))
        self._second_cotangent(checks)
        return checks

    def _flat(self, k: int, values: Any) -> Any:
        c = np.zeros(self.origin.size)
        c[self.problem.outputs[k].part] = values
        return c

    def _compare(self, check: SlotCheck, compared: list[Compared], entrywise: bool) -> None:
        if entrywise:
            check.entries(range(check.slot.base.size), compared)
            return
        check.directions(compared, DIRECTIONS)
        total = np.sum([np.abs(c.analytic) for c in compared], axis=0)
        check.entries(check.sample(total, SAMPLE), compared)
        for one in compared:
            if one.direction is not None and not one.count(WRONG):
                check.entries(check.localise(one), compared)

    def _second_cotangent(self, checks: list[tuple[SlotCheck, list[Compared]]]) -> None:
        """Once more for a cotangent that gives every entry of the output the same weight, and is 100 times larger.

        A wrong gradient of a small output cannot hide behind large ones, nor a backward that is not linear in the
        cotangent behind one size of it. It costs no forward pass, since the columns are known.
        """
        if not all(check.keep and len(check.columns) == check.slot.base.size for check, _ in checks):
            return
        norm2 = np.zeros(self.origin.size)
        for check, _ in checks:
            for i, column in check.columns.items():
                norm2 += np.square(np.nan_to_num(column, posinf=0.0, neginf=0.0) * check.scale[i])
        size = np.sqrt(norm2)
        typical = float(np.median(size[size > 0])) if (size > 0).any() else 1.0
        seen = size > 4e6 * self.problem.eps * np.abs(self.origin)  # less is rounding errors
        weight = np.where(seen, typical / np.where(seen, size, 1.0), 1.0)
        weights = [100 * weight[o.part] * self.rng.uniform(-1, 1, o.size) for o in self.problem.outputs]
        found = self._gradients([self.cotangent(k, w) for k, w in enumerate(weights)])
        for check, compared in checks:
            for k, (old, w) in enumerate(zip(list(compared), weights, strict=True)):
                if not old.missing and not old.count(WRONG) and np.isfinite(w).all():
                    new = Compared(check.slot, self._flat(k, w), found[k][check.index])
                    check.again(new)
                    if new.count(WRONG) or new.count(NONFINITE):
                        compared[k] = new

    # ------------------------------------------------------------ telling
    def _findings(self, checks: list[tuple[SlotCheck, list[Compared]]]) -> list[Finding]:
        findings = []
        for check, compared in checks:
            for k, one in enumerate(compared):
                finding = finding_of(check, one, self.problem.outputs[k], self.order)
                findings.append(finding)
                if not finding.passed:
                    explain(self, finding, k, check.slot, checks)
        if len(self.problem.outputs) > 1 and all(finding.passed for finding in findings):
            findings += self._joint()
        return findings

    def _joint(self) -> list[Finding]:
        """The backward of all outputs at once must be the sum of the single ones."""
        findings = []
        for i, slot in enumerate(self.problem.slots):
            parts = [row[i] for row in self.analytic[:-1] if row[i] is not None]
            joint = self.analytic[-1][i]
            if not parts or joint is None:
                continue
            total, size = np.sum(parts, axis=0), np.sum(np.abs(parts), axis=0)
            slack = self.tolerance.atol + 1e3 * self.problem.eps * size.max(initial=0.0)
            if not (np.abs(total - joint) <= 1e-6 * size + slack).all():
                detail = "the gradient for all outputs at once is not the sum of the gradients for each of them"
                findings.append(self._finding(slot.name, "FAIL", detail))
        return findings

    def _nearby(self, checks: list[tuple[SlotCheck, list[Compared]]]) -> list[Finding]:
        """Where an input sits on kinks and nothing could be compared: once more a little beside it."""
        stuck = [check for check, compared in checks if check.beside or any(map(_mostly_kinks, compared))]
        if not stuck:
            return []
        for check in stuck:
            shift = 0.01 * check.scale * self.rng.uniform(-1, 1, check.scale.size)
            check.slot.base += shift.reshape(check.slot.base.shape).astype(check.slot.base.dtype)
            check.slot.value[...] = check.slot.base
        beside = Examination(self.problem, nondet_tol=self.nondet_tol, budget=self.budget, order=self.order)
        beside.tolerance, beside.fast_mode = self.tolerance, self.fast_mode
        beside._nearby = lambda checks: []  # type: ignore[method-assign]
        found = [f for f in beside.run() if not f.passed and f.verdict != "NONFINITE"]
        names = ", ".join(check.slot.name for check in stuck)
        self.notes.append(f"{names}: on kinks of the function, so the gradient was also checked a little beside them")
        for finding in found:
            finding.note = f"found a little beside the given input, which sits on kinks. {finding.note}".strip()
        return found


def _mostly_kinks(compared: Compared) -> bool:
    return compared.count(KINK) > compared.count(OK) and not compared.count(WRONG)


def _verdict_of(error: TensorError) -> str:
    kinds = (
        (ShapeError, "SHAPE"),
        (InplaceError, "MUTATED_INPUT"),
        (GraphError, "NO_GRAD_PATH"),
        (DtypeError, "DTYPE"),
    )
    return next((verdict for kind, verdict in kinds if isinstance(error, kind)), "FAIL")


def _raised(error: TensorError) -> str:
    return str(error) if isinstance(error, InplaceError) else f"the backward raises: {error}"


def examine(problem: Any, **options: Any) -> GradcheckReport:
    """The whole check of one problem, as a report."""
    start = time.perf_counter()
    examination = Examination(problem, **options)
    with np.errstate(all="ignore"):  # steps may leave a function's domain: that is what the checker looks at
        findings = examination.run()
    cost = {"forward": problem.calls, "backward": problem.passes, "seconds": time.perf_counter() - start}
    return GradcheckReport(
        problem.name, findings, skipped=problem.skipped, notes=problem.notes + examination.notes, cost=cost,
        seed=problem.seed, outputs=len(problem.outputs),
    )  # fmt: skip


__all__ = ["BUDGET", "OK", "UNCERTAIN", "Examination", "Plan", "examine"]
