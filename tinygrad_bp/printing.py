"""How a tensor prints: as PyTorch does it, four digits, one common format, long ones shortened.

Read `autograd` next."""

from __future__ import annotations

from typing import Any

import numpy as np

from .core import Leaf
from .dtypes import get_default_dtype
from .duck import Duck

PRECISION, THRESHOLD, EDGE, LINE = 4, 1000, 3, 80


class _Format:
    """One number format for a whole tensor: integers with a point, fixed, or scientific."""

    def __init__(self, shown: np.ndarray) -> None:
        self.kind = shown.dtype.kind
        self.style = "int"
        if self.kind == "f":
            shown = shown.astype(np.float64)
            shown = shown[np.isfinite(shown) & (shown != 0)]  # the others do not count, not even for the width
            if shown.size:
                self.style = self._choose(np.abs(shown))
        self.width = max((len(self.raw(v)) for v in shown.ravel().tolist()), default=1)

    def _choose(self, finite: np.ndarray) -> str:
        low, high = float(finite.min()), float(finite.max())
        if np.all(finite == np.ceil(finite)):
            return "e" if high / low > 1000 or high > 1e8 else "point"
        return "e" if high / low > 1000 or high > 1e8 or low < 1e-4 else "fixed"

    def raw(self, value: Any) -> str:
        if self.kind != "f":
            return str(value)
        if not np.isfinite(value):
            return str(value)
        if self.style == "e":
            return f"{value:.{PRECISION}e}"
        return f"{value:.0f}." if self.style in ("point", "int") else f"{value:.{PRECISION}f}"

    def __call__(self, value: Any) -> str:
        return self.raw(value).rjust(self.width)


def _row(values: list[str], indent: int) -> str:
    per_line = max(1, (LINE - indent) // (len(values[0]) + 2)) if values else 1
    lines = [", ".join(values[i : i + per_line]) for i in range(0, len(values), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(array: np.ndarray, form: _Format, indent: int, short: bool) -> str:
    if array.ndim == 0:
        return form.raw(array.item())
    cut = short and len(array) > 2 * EDGE
    if array.ndim == 1:
        ends = [*array[:EDGE].tolist(), *array[-EDGE:].tolist()] if cut else array.tolist()
        values = [form(v) for v in ends]
        if cut:
            values.insert(EDGE, " ...")
        return _row(values, indent)
    rows = [*array[:EDGE], *array[-EDGE:]] if cut else list(array)
    parts = [_nested(row, form, indent + 1, short) for row in rows]
    if cut:
        parts.insert(EDGE, "...")
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _shown(array: np.ndarray, short: bool) -> np.ndarray:
    """The entries that will be printed."""
    for axis in range(array.ndim if short else 0):
        if array.shape[axis] > 2 * EDGE:
            array = np.concatenate([array.take(range(EDGE), axis), array.take(range(-EDGE, 0), axis)], axis)
    return array


def text(tensor: Any) -> str:
    """`tensor([…], dtype=…, grad_fn=<…>)`, the dtype only where it is not the default for such data."""
    array = tensor.array
    prefix = f"{'Parameter containing:' + chr(10) if type(tensor).__name__ == 'Parameter' else ''}tensor("
    short = array.size > THRESHOLD
    if isinstance(array, Duck):
        refusal = array.storage.trace.refusal
        raise refusal("the step prints or formats a tensor", "return it, and print it outside the step")
    if array.size:
        body = _nested(array, _Format(_shown(array, short)), len("tensor("), short)
    else:
        body = "[]" + (f", size={tuple(array.shape)}" if array.ndim != 1 else "")
    usual = (get_default_dtype(), np.dtype(np.int64), np.dtype(np.bool_))
    tail = "" if array.dtype in usual else f", dtype={array.dtype}"
    if isinstance(tensor.node, Leaf):
        tail += ", requires_grad=True"
    elif tensor.node is not None:
        tail += f", grad_fn={tensor.node!r}"
    return f"{prefix}{body}{tail})"


METHODS = {"__repr__": text}
