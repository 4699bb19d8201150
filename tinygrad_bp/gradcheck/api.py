"""`gradcheck` and `gradgradcheck`: the two entrances, with PyTorch's arguments and a few more.

Read `state.py` and `evaluate.py` next: how a function is called without a trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ArgumentError
from .check import BUDGET, Examination, Plan, examine
from .evaluate import Subject
from .report import GradcheckError, GradcheckReport
from .second import SecondOrder

_ONLY = {
    "check_sparse_nnz": False, "check_batched_grad": False, "check_batched_forward_ad": False,
    "check_forward_ad": False, "check_backward_ad": True, "masked": (None, False), "gen_non_contig_grad_outputs": False,
    "check_fwd_over_rev": False, "check_rev_over_rev": True,
}  # fmt: skip


def _torch_only(**given: Any) -> None:
    """Arguments of PyTorch's that have no meaning here are accepted at their default alone."""
    for name, value in given.items():
        only = _ONLY[name]
        if value not in (only if isinstance(only, tuple) else (only,)):
            raise ArgumentError(
                f"gradcheck: {name}={value!r} is not available: no sparse, batched or forward-mode derivatives"
            )


def _native(dtype: Any) -> bool:
    if dtype not in (None, "native") and np.dtype(dtype) != np.float64:
        raise ArgumentError(f"gradcheck: dtype is None (float64 under the hood) or 'native' (as given), not {dtype!r}")
    return isinstance(dtype, str) and dtype == "native"


def _detail(report: GradcheckReport, raise_exception: bool) -> GradcheckReport:
    if raise_exception and not report:
        raise GradcheckError(report)
    return report


def _second_opinion(report: GradcheckReport, wide: GradcheckReport, eps: float) -> None:
    """Differences of few digits accuse nobody alone: a gradient that agrees with the one in float64, which passed, is
    right to its precision."""
    right = {(f.name, f.output): f for f in wide.findings if f.verdict == "PASS"}
    for finding in report.findings:
        other = right.get((finding.name, finding.output))
        if finding.verdict != "FAIL" or other is None or finding.analytic is None or other.analytic is None:
            continue
        largest = float(np.abs(other.analytic).max(initial=0.0))
        if np.abs(finding.analytic - other.analytic).max(initial=0.0) <= min(0.05, 2e4 * eps) * largest:
            finding.verdict, finding.entries, finding.diagnosis, finding.slope = "PASS", [], [], None
            finding.counts["uncertain"] = finding.counts.get("uncertain", 0) + finding.counts.pop("wrong", 0)
            finding.note = "too few digits for differences; the gradient agrees with the one in float64, which passed"


def gradcheck(
    fn: Any,
    inputs: Any,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    check_sparse_nnz: bool = False,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = True,
    check_batched_grad: bool = False,
    check_batched_forward_ad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool | None = None,
    masked: bool | None = None,
    *,
    check_params: bool = True,
    budget: int = BUDGET,
    seed: int = 0,
    kwargs: dict[str, Any] | None = None,
    dtype: Any = None,
    names: Any = None,
) -> GradcheckReport:
    """Compare the gradients that a function's or module's backward gives with finite differences of its forward.

    Args:
        fn: a function of Tensors, or a Module, whose parameters are then checked too.
        inputs: a Tensor or a tuple of arguments; float tensors that require a gradient are checked (all of them, if
            none does and there are no parameters), the others listed as skipped.
        eps: the step to begin with, in the input's unit; by default 2⁻¹² of each entry's size. Others are tried too.
        atol, rtol: numbers agree if |analytic − numeric| ≤ atol + rtol·max; default 0 and 10⁻⁶, besides the error bar.
        raise_exception: raise GradcheckError, which carries the report, instead of returning a report that is false.
        nondet_tol: by how much two calls with the same input and seed may differ.
        check_undefined_grad: leave out the cotangents of the other outputs (they are None or zeros for the backward).
        fast_mode: True: random directions and a sample of entries; False: every entry; None: by size.
        check_params: whether to check a module's parameters. budget: forward passes that may be spent.
        kwargs: keyword arguments for `fn`. dtype: 'native' checks in the given precision. names: of inputs.

    The function runs on copies in float64, under the same seed each time; parameters, buffers, gradients, attributes
    and random streams are as before afterwards, also after an interruption.

    >>> import tinygrad_bp as tg
    >>> x = tg.tensor([[0.5, -1.0], [2.0, 0.1]], requires_grad=True)
    >>> print(gradcheck(tg.sigmoid, (x,)).verdict)
    PASS
    """
    _torch_only(check_sparse_nnz=check_sparse_nnz, check_batched_grad=check_batched_grad, masked=masked,
                check_batched_forward_ad=check_batched_forward_ad, check_forward_ad=check_forward_ad,
                check_backward_ad=check_backward_ad)  # fmt: skip
    options: dict[str, Any] = {
        "eps": eps, "atol": atol, "rtol": rtol, "nondet_tol": nondet_tol, "fast_mode": fast_mode, "budget": budget,
        "undefined": check_undefined_grad, "dtypes": check_grad_dtypes,
    }  # fmt: skip
    common: dict[str, Any] = {"check_params": check_params, "seed": seed, "names": names}
    with Subject(fn, inputs, kwargs, native=_native(dtype), **common) as subject:
        report = examine(subject, **options)
    if subject.native and any(finding.verdict == "FAIL" for finding in report.findings):
        with Subject(fn, inputs, kwargs, **common) as wide:
            _second_opinion(report, examine(wide, **options), subject.eps)
    return _detail(report, raise_exception)


def gradgradcheck(
    fn: Any,
    inputs: Any,
    grad_outputs: Any = None,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = True,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool | None = None,
    masked: bool | None = None,
    *,
    check_params: bool = True,
    budget: int = BUDGET,
    seed: int = 0,
    kwargs: dict[str, Any] | None = None,
    dtype: Any = None,
    names: Any = None,
) -> GradcheckReport:
    """Check the first derivative, then the second: the backward is itself differentiated, by inputs and cotangents.

    Where the first is wrong the second is not looked at. `grad_outputs` are the cotangents, drawn at random if left
    out; the other arguments are those of `gradcheck`.

    >>> import tinygrad_bp as tg
    >>> gradgradcheck(lambda x: x**3, (tg.tensor([1.0, 2.0], requires_grad=True),)).verdict
    'PASS'
    """
    _torch_only(gen_non_contig_grad_outputs=gen_non_contig_grad_outputs, check_batched_grad=check_batched_grad,
                check_fwd_over_rev=check_fwd_over_rev, check_rev_over_rev=check_rev_over_rev,
                masked=masked)  # fmt: skip
    common: dict[str, Any] = {"check_params": check_params, "native": _native(dtype), "seed": seed, "names": names}
    options: dict[str, Any] = {
        "eps": eps, "atol": atol, "rtol": rtol, "nondet_tol": nondet_tol, "fast_mode": fast_mode, "budget": budget,
        "undefined": check_undefined_grad, "dtypes": check_grad_dtypes,
    }  # fmt: skip
    with Subject(fn, inputs, kwargs, **common) as subject:
        first = examine(subject, **options)
    if not first:
        first.notes.append("the second derivative was not checked, since the first is wrong")
        return _detail(first, raise_exception)
    common.update(cotangents=_cotangents(grad_outputs, subject, seed), of=subject.differentiable)
    with SecondOrder(fn, inputs, kwargs, **common) as twice:
        second = examine(twice, order=2, **options)
    return _detail(_merged(first, second), raise_exception)


def _merged(first: GradcheckReport, second: GradcheckReport) -> GradcheckReport:
    second.findings = first.findings + second.findings
    second.notes = list(dict.fromkeys(first.notes + second.notes))
    second.cost = {key: value + first.cost[key] for key, value in second.cost.items()}
    return second


def _cotangents(given: Any, subject: Subject, seed: int) -> list[Any]:
    shapes = [out.shape for out in subject.outputs]
    if given is None:
        rng = np.random.default_rng(seed + 1)
        return [rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape) for shape in shapes]
    listed = given if isinstance(given, tuple | list) else (given,)
    arrays = [np.asarray(g.array if hasattr(g, "array") else g, dtype=np.float64) for g in listed]
    if [a.shape for a in arrays] != shapes:
        found = [a.shape for a in arrays]
        raise ArgumentError(f"gradgradcheck: grad_outputs have shapes {found}, the outputs {shapes}")
    return arrays


def forecast(
    fn: Any, inputs: Any, *, fast_mode: bool | None = None, check_params: bool = True, kwargs: Any = None
) -> Plan:
    """What a check would cost, before it is made: how many forward passes, and which inputs entry by entry.

    >>> import tinygrad_bp as tg
    >>> print(forecast(tg.nn.Linear(3, 2), tg.ones(1, 3)))
    about 36 forward passes: 2 of 2 inputs and parameters entry by entry, 0 by random directions and a sample
    """
    with Subject(fn, inputs, kwargs, check_params=check_params) as subject:
        return Plan([slot.base.size for slot in subject.slots], fast_mode)


__all__ = ["Examination", "forecast", "gradcheck", "gradgradcheck"]
