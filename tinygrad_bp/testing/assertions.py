"""Two assertions for tests: values that are close, gradients that are right.

After this file you know what is compared (structure, shape, dtype, then values), by how much values may differ in each
dtype, and what a failure shows: how many entries, which one is worst, and a map of where they lie.
Read `strategies.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import pytree
from ..core import Tensor
from ..errors import ArgumentError, DtypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..gradcheck import GradcheckReport

# dtype: (rtol, atol), those of torch.testing.assert_close, so a test means the same in both; other dtypes are exact
TOLERANCES = {"float16": (1e-3, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}
SHOWN = 5  # entries in the table of a failure
MAP = (16, 64)  # rows and columns of the largest map


def assert_close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_dtype: bool = True,
    msg: str | None = None,
) -> None:
    """Raise AssertionError unless |actual − expected| ≤ atol + rtol·|expected| everywhere, and say where not.

    Tensors, arrays, numbers, or lists, tuples and dicts of them (a state_dict, say). Shapes must be equal, and dtypes
    too unless `check_dtype` is False or one of the two is a Python number or a list of them. Without tolerances those
    of the less exact dtype hold: 1e-7 and 1e-7 for float64, 1.3e-6 and 1e-5 for float32, 1e-3 and 1e-5 for float16,
    exact for others. NaN differs from everything, also from NaN unless `equal_nan`.

    >>> assert_close(np.array([1.0, 2.0]), np.array([1.0, 2.5]))
    Traceback (most recent call last):
        ...
    AssertionError: values differ: 1 of 2 entries, allowed is 1e-07 + 1e-07·|expected|
      entry  actual  expected  abs. error  rel. error
        [1]     2.0       2.5    5.00e-01    2.00e-01
      where (x differs): .x
    """
    if (rtol is None) != (atol is None):
        raise ArgumentError("assert_close: pass both rtol and atol, or neither")
    options = (rtol, atol, equal_nan, check_dtype)
    problem = _compare("values", actual, expected, options)
    if problem:
        raise AssertionError(f"{msg}\n{problem}" if msg else problem)


def _compare(path: str, actual: Any, expected: Any, options: tuple[Any, ...]) -> str:
    """What is wrong at `path`, or ''."""
    parts = pytree.pairs(expected, actual, path, _have_parts)
    wrong = (_structure(e, a, path) or _compare_arrays(path, a, e, options) for path, e, a in parts)
    return next(filter(None, wrong), "")


def _have_parts(expected: Any, actual: Any) -> bool:
    """Whether two are compared part by part."""
    return not (_numbers(expected) and _numbers(actual)) and not _structure(expected, actual)


def _numbers(value: Any) -> bool:
    """An array, or what may be made one: a number, or a list of numbers, but no list of tensors or arrays."""
    if pytree.keyed(value) or not pytree.row(value):
        return not pytree.keyed(value)
    return not any(isinstance(leaf, (Tensor, np.ndarray, dict)) for leaf in pytree.leaves(value, pytree.row))


def _structure(expected: Any, actual: Any, path: str = "values") -> str:
    """How two containers differ before their parts are looked at, or ''."""
    if _numbers(expected) and _numbers(actual):
        return ""
    if pytree.keyed(expected) and pytree.keyed(actual):
        missing, extra = [k for k in expected if k not in actual], [k for k in actual if k not in expected]
        return f"{path}: keys differ; missing {missing}, unexpected {extra}" if missing or extra else ""
    if not (pytree.row(expected) and pytree.row(actual)):
        return f"{path}: one is a {type(actual).__name__}, the other a {type(expected).__name__}"
    different = len(actual) != len(expected)
    return f"{path}: {len(actual)} elements, expected {len(expected)}" if different else ""


def _array(value: Any) -> tuple[np.ndarray, bool]:
    """(array, whether it has a dtype of its own)."""
    if isinstance(value, Tensor):
        return value.array, True
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise DtypeError(f"assert_close: numbers are expected, got {type(value).__name__} ({array.dtype})")
    return array, isinstance(value, np.ndarray | np.generic)


def _compare_arrays(path: str, actual: Any, expected: Any, options: tuple[Any, ...]) -> str:
    rtol, atol, equal_nan, check_dtype = options
    (a, a_typed), (e, e_typed) = _array(actual), _array(expected)
    if a.shape != e.shape:
        return f"{path}: shape {a.shape}, expected {e.shape}"
    if check_dtype and a_typed and e_typed and a.dtype != e.dtype:
        return f"{path}: dtype {a.dtype}, expected {e.dtype} (pass check_dtype=False to compare values only)"
    if rtol is None:
        typed = [x.dtype.name for x, has in ((a, a_typed), (e, e_typed)) if has] or ["float64"]
        rtol, atol = max(TOLERANCES.get(name, (0.0, 0.0)) for name in typed)
    wide = np.result_type(a, e, np.complex128 if "c" in (a.dtype.kind, e.dtype.kind) else np.float64)
    if a.dtype.kind in "biu" and e.dtype.kind in "biu" and not rtol and not atol:
        bad = np.asarray(a != e)  # int64 does not fit into float64
    else:
        bad = ~np.isclose(a.astype(wide), e.astype(wide), rtol=rtol, atol=atol, equal_nan=equal_nan)
    return _difference(path, a, e, bad, f"{atol:g} + {rtol:g}·|expected|") if bad.any() else ""


def _difference(path: str, a: np.ndarray, e: np.ndarray, bad: np.ndarray, allowed: str) -> str:
    """The entries that differ, worst first (NaN before all), and where they lie."""
    with np.errstate(all="ignore"):
        wide = np.result_type(a, e, np.float64)
        error = np.abs(a.astype(wide) - e.astype(wide))
        relative = error / np.abs(e.astype(wide))
    order = np.argsort(np.where(np.isnan(error), -np.inf, -error)[bad], kind="stable")[:SHOWN]
    rows = [["entry", "actual", "expected", "abs. error", "rel. error"]]
    for index in np.argwhere(bad)[order]:
        i = tuple(index.tolist())
        rows.append(
            [f"[{', '.join(map(str, i))}]", str(a[i]), str(e[i]), f"{error[i]:.2e}", f"{relative[i]:.2e}"]
        )
    more = np.count_nonzero(bad) - SHOWN
    lines = [f"{path} differ: {np.count_nonzero(bad)} of {bad.size} entries, allowed is {allowed}", *_aligned(rows)]
    return "\n".join([*lines, *([f"  and {more} more"] if more > 0 else []), *_map(bad)])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(cell.rjust(n) for cell, n in zip(row, widths, strict=True)) for row in rows]


def _map(bad: np.ndarray) -> list[str]:
    """A picture of a vector or a matrix: `x` where it differs; of larger arrays, what all differences share."""
    grid = np.atleast_2d(bad)
    if bad.all() and bad.size > 1:
        return ["  where: everywhere"]
    if bad.ndim in (1, 2) and grid.shape[0] <= MAP[0] and grid.shape[1] <= MAP[1]:
        drawn = ["".join(np.where(row, "x", ".")) for row in grid]
        return [f"  where (x differs): {drawn[0]}", *[" " * 21 + row for row in drawn[1:]]]
    where = np.argwhere(bad)
    shared = [f"index {where[0, k]} of axis {k}" for k in range(bad.ndim) if np.ptp(where[:, k]) == 0]
    return [f"  where: only at {', '.join(shared)}"] if shared and len(where) > 1 else []


def assert_gradcheck(fn: Any, inputs: Any, *, order: int = 1, **options: Any) -> GradcheckReport:
    """Check the gradients of a function or a Module, with `order=2` the second ones too; return the report.

    `inputs` and `options` are those of `tg.autograd.gradcheck`. Raises GradcheckError (an AssertionError) whose
    message is the report and, where the inputs are small, the call with its values as a line of Python.

    >>> import tinygrad_bp as tg
    >>> assert_gradcheck(tg.sigmoid, (tg.tensor([0.5, -1.0]),), order=2).passed
    True
    """
    __tracebackhide__ = True  # pytest shows the test's own line, not this one
    if order not in (1, 2):
        raise ArgumentError(f"assert_gradcheck: order is 1 or 2, not {order!r}")
    from ..gradcheck import GradcheckError, gradcheck, gradgradcheck
    from .reproduce import call_line

    check = gradgradcheck if order == 2 else gradcheck  # which begins with the first derivative
    report: GradcheckReport = check(fn, inputs, **{**options, "raise_exception": False})
    if report:
        return report
    error, line = GradcheckError(report), call_line(check.__name__, fn, inputs, options)
    if line:
        error.args = (f"{error.args[0]}\n  the call: {line}",)
    raise error
