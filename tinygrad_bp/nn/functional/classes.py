"""Losses of one class of several: scores and class indices brought into the form that `ops/loss.py` declares.

Read `loss.py` next.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import dialect
from ...core import array_of, wrap
from ...dialect import getitem
from ...duck import TRACES, check, opaque
from ...errors import AxisError, DtypeError, ShapeError
from ...kernels import HALF, SINGLE
from ...ops.arithmetic import select
from ...ops.reductions import log_softmax


def _scores(op: str, input: Any) -> tuple[Any, tuple[int, ...]]:
    """The scores as rows (n, classes), and the shape of a target of class indices."""
    array = array_of(input, op, "input")
    if array.ndim == 0 or array.dtype.kind != "f":
        raise DtypeError(f"{op}: input must be floating-point scores (n, classes, …), got {array.shape} {array.dtype}")
    if array.ndim == 1:
        return input.reshape((1, array.shape[0])), ()
    shape = (array.shape[0], *array.shape[2:])
    if array.ndim > 2:
        input = input.movedim(1, -1).reshape((math.prod(shape), array.shape[1]))
    return input, shape


def _class_weights(op: str, weight: Any, count: int, dtype: Any) -> Any:
    if weight is None:
        return None
    array = array_of(weight, op, "weight")
    if array.shape != (count,):
        raise ShapeError(f"{op}: weight of shape {array.shape} needs an entry for each of the {count} classes")
    return array.astype(dtype, copy=False)


def _classes(op: str, target: Any, shape: tuple[int, ...], count: int, ignore: int) -> tuple[Any, Any]:
    """The classes as a vector of valid indices, and which rows count (None: all)."""
    array = array_of(target, op, "target")
    if array.dtype.kind not in "iu":
        raise DtypeError(
            f"{op}: target {array.shape} of class indices must be integers, not {array.dtype}; use `target.long()`"
        )
    if array.shape != shape:
        raise ShapeError(f"{op}: target has shape {array.shape}, and for this input class indices need {shape}")
    classes = array.reshape(-1)
    keep = classes != ignore
    if not TRACES and keep.all():
        keep = None
    else:
        classes = np.where(keep, classes, 0)
    check(in_range, op, classes, array.shape, count)
    return classes, keep


def in_range(op: str, classes: Any, shape: tuple[int, ...], count: int) -> None:
    """Raise if a class is none of 0 … count - 1."""
    if classes.size and not (classes.min() >= 0 and classes.max() < count):
        bad = classes.max() if classes.max() >= count else classes.min()
        raise AxisError(f"{op}: target {shape} holds class {bad}, and the {count} classes are 0 … {count - 1}")


def _row_weights(classes: Any, keep: Any, weights: Any, dtype: Any) -> Any:
    dtype = SINGLE if dtype is HALF else dtype  # a half counts rows only to 2048
    rows = np.ones(classes.shape, dtype) if weights is None else getitem(weights, classes).astype(dtype, copy=False)
    return rows if keep is None else np.where(keep, rows, dtype.type(0))


def _averaging(total: Any) -> tuple[Any, Any]:
    """(1 / total, what a sum starts from): (0, NaN) if there is nothing to take the mean of, so no gradient flows."""
    return opaque(_one_over, total), opaque(_nan_of_none, total)


def _one_over(total: Any) -> Any:
    return 1 / total if total else total


def _nan_of_none(total: Any) -> Any:
    return total * 0 if total else total * math.nan


def indexed(op: str, rows_of: Any, input: Any, target: Any, weight: Any, ignore: int, reduction: str) -> Any:
    """The loss of class indices; `rows_of` is its declared operation on rows of scores."""
    rows, shape = _scores(op, input)
    count, dtype = rows.array.shape[1], rows.array.dtype
    classes, keep = _classes(op, target, shape, count, ignore)
    share = _row_weights(classes, keep, _class_weights(op, weight, count, dtype), dtype)
    start: Any = None if reduction == "none" else 0.0
    if reduction == "mean":
        alike = weight is None and keep is None
        factor, start = _averaging(share.dtype.type(share.size) if alike else dialect.total(share, (0,)))
        share = share * factor
    loss = rows_of(rows, classes, share, start)
    return loss.reshape(shape) if reduction == "none" else loss


def smoothed(
    op: str, input: Any, target: Any, weight: Any, ignore: int, reduction: str, label_smoothing: float
) -> Any:
    """The cross-entropy of targets that share a row among several classes: probabilities, or smoothed labels."""
    rows, shape = _scores(op, input)
    count, dtype = rows.array.shape[1], rows.array.dtype
    weights = _class_weights(op, weight, count, dtype)
    if holds_probabilities(op, input, target):
        if target.array.dtype.kind != "f":
            raise DtypeError(
                f"{op}: a target of the input's shape {target.array.shape} holds probabilities and must be floating "
                f"point, not {target.array.dtype}; class indices have shape {shape}"
            )
        share = _scores(op, target)[0] * (1 - label_smoothing) + label_smoothing / count
        share, total = share if weights is None else share * wrap(weights), None
    else:
        classes, keep = _classes(op, target, shape, count, ignore)
        one_hot = (classes[:, None] == np.arange(count)).astype(dtype)
        spread = one_hot * dtype.type(1 - label_smoothing) + dtype.type(label_smoothing / count)
        total = dialect.total(_row_weights(classes, keep, weights, dtype), (0,))
        if weights is not None:  # the target's own share takes its class's weight, what is spread each class's
            spread = spread * weights
        share = wrap(spread if keep is None else spread * keep[:, None])
    log_p = log_softmax(rows, 1)
    log_p = select(0.0, log_p, (log_p.array == -math.inf) & (share.array == 0))  # 0 · log 0 is 0
    loss = -(log_p * share).sum(1)
    if reduction == "mean" and total is not None:
        factor, start = _averaging(total)
        return loss.sum() * factor + start
    return loss.reshape(shape) if reduction == "none" else loss


def holds_probabilities(op: str, input: Any, target: Any) -> bool:
    """Whether a target is of the input's shape, and not class indices."""
    shape: tuple[int, ...] = array_of(target, op, "target").shape
    return shape != () and bool(shape == array_of(input, op, "input").shape)
