"""The losses: targets are checked, the mean is taken, and NaN is traced to the target if it came from there.

`functional.py` names these functions too; `loss.py` has the layers around them. Read `functional.py` next.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from .. import dialect
from ..core import Tensor, array_of, wrap
from ..dialect import getitem
from ..duck import TRACES, check, opaque
from ..errors import ArgumentError, AxisError, DtypeError, NonFiniteError, ShapeError
from ..kernels import HALF, SINGLE
from ..ops.arithmetic import abs as abs_of
from ..ops.arithmetic import select, square
from ..ops.losses import (
    bce_with_logits_of,
    binary_cross_entropy_of,
    cross_entropy_rows,
    huber_of,
    mean_squared_error,
    nll_rows,
)
from ..ops.reductions import log_softmax, mean
from ..ops.reductions import sum as sum_of

ndarray = np.ndarray


# ---------------------------------------------------------------- what all losses share
def chosen(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The reduction, also as PyTorch's two old flags say it."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(
            f"size_average and reduce are old names: write reduction={reduction!r}", UserWarning, stacklevel=3
        )
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError(f"reduction is 'none', 'mean' or 'sum', not {reduction!r}")
    return reduction


def reduced(loss: Any, reduction: str) -> Any:
    return mean(loss) if reduction == "mean" else sum_of(loss) if reduction == "sum" else loss


def checked(op: str, loss: Any, target: Any) -> Any:
    """The loss; NaN that the target brought in is an error. A NaN of the prediction passes, as the user's to find."""
    value = loss.array
    if type(value) is not ndarray or value.ndim or value.item() != value.item():
        check(no_nan_from, op, value, target.array)
    return loss


def no_nan_from(op: str, value: Any, target: Any) -> None:
    """Raise if the loss is NaN and the target has NaN."""
    if isinstance(value, ndarray | np.generic):
        total = (np.add.reduce(value, axis=None) if value.ndim else value).item()
        if total != total:
            bad = np.isnan(target)
            if bad.any():
                first = tuple(int(i) for i in np.argwhere(bad)[0])
                raise NonFiniteError(
                    f"{op}: the target of shape {bad.shape} has {int(bad.sum())} NaN, the first at {first}; drop these "
                    "entries (`keep = ~target.isnan()`) or fill them in"
                )


def meeting(op: str, input: Any, target: Any) -> None:
    """Shapes of a regression that differ: a warning if they broadcast, since that is rarely meant."""
    a, b = array_of(input, op, "input").shape, array_of(target, op, "target").shape
    if a == b:
        return
    fix = f"`target.reshape({a})`" if math.prod(a) == math.prod(b) else "give both the same shape"
    try:
        shape = np.broadcast_shapes(a, b)
    except ValueError:
        raise ShapeError(f"{op}: input {a} and target {b} do not fit together: {fix}") from None
    text = f"{op}: input {a} and target {b} differ and broadcast to {shape}, which is rarely meant: {fix}"
    warnings.warn(text, UserWarning, stacklevel=3)


# ---------------------------------------------------------------- regression
def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """(input - target)², its mean or its sum; both of one shape.

    Warns where shapes differ and broadcast; raises ShapeError where they do not, NonFiniteError for NaN in the target.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.mse_loss(tg.tensor([1.0, 2.0]), tg.tensor([0.0, 0.0]))
    tensor(2.5000)
    """
    if reduction != "mean" or size_average is not None or reduce is not None:
        reduction = chosen(reduction, size_average, reduce)
    if not (isinstance(input, Tensor) and isinstance(target, Tensor)) or input.array.shape != target.array.shape:
        meeting("mse_loss", input, target)
    loss = mean_squared_error(input, target) if reduction == "mean" else reduced(square(input - target), reduction)
    return checked("mse_loss", loss, target)


def l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """|input - target|, its mean or its sum; shapes and errors as in `mse_loss`.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.l1_loss(tg.tensor([1.0, 4.0]), tg.zeros(2))
    tensor(2.5000)
    """
    meeting("l1_loss", input, target)
    return checked("l1_loss", reduced(abs_of(input - target), chosen(reduction, size_average, reduce)), target)


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    """d²/2 for a distance d up to `delta`, delta·(d - delta/2) beyond (Huber 1964).

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.huber_loss(tg.tensor([1.0, 4.0]), tg.zeros(2))
    tensor(2.)
    """
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta must be above 0, not {delta}")
    meeting("huber_loss", input, target)
    return checked("huber_loss", reduced(huber_of(input - target, delta), chosen(reduction)), target)


def smooth_l1_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Any:
    """d²/(2·beta) for a distance d up to `beta`, d - beta/2 beyond; with beta 0 the l1 loss.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.smooth_l1_loss(tg.tensor([1.0, 4.0]), tg.zeros(2))
    tensor(2.)
    """
    if not beta >= 0:
        raise ArgumentError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, size_average, reduce, reduction)
    meeting("smooth_l1_loss", input, target)
    loss = reduced(huber_of(input - target, beta) / beta, chosen(reduction, size_average, reduce))
    return checked("smooth_l1_loss", loss, target)


# ---------------------------------------------------------------- yes or no
def _same_shape(op: str, input: Any, target: Any) -> None:
    a, b = array_of(input, op, "input"), array_of(target, op, "target")
    if a.dtype.kind != "f":
        raise DtypeError(f"{op}: input {a.shape} must be floating point, not {a.dtype}; use `x.float()`")
    if a.shape != b.shape:
        fix = f": `target.reshape({a.shape})`" if a.size == b.size else ""
        raise ShapeError(f"{op}: input {a.shape} and target {b.shape} must have the same shape{fix}")


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """-(t log p + (1 - t) log(1 - p)) of probabilities p = input; the logarithms are at least -100.

    Raises NonFiniteError for NaN in the target, ArgumentError for an input outside [0, 1].

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.binary_cross_entropy(tg.tensor([0.5]), tg.tensor([1.0]))
    tensor(0.6931)
    """
    op = "binary_cross_entropy"
    _same_shape(op, input, target)
    loss = binary_cross_entropy_of(input, target.to(input.array.dtype))
    loss = reduced(loss if weight is None else loss * weight, chosen(reduction, size_average, reduce))
    check(probabilities, op, loss.array, input.array)
    return checked(op, loss, target)


def probabilities(op: str, loss: Any, p: Any) -> None:
    """Raise if the loss is NaN and a probability lies outside [0, 1]."""
    if isinstance(loss, ndarray | np.generic) and np.isnan(loss).any() and ((p < 0) | (p > 1)).any():
        raise ArgumentError(
            f"{op}: the input must be probabilities in [0, 1], and runs from {p.min()} to {p.max()}; for scores use "
            "binary_cross_entropy_with_logits"
        )


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Any:
    """The same from scores, whose sigmoid is the probability: exact for scores of any size.

    `weight` scales each entry, `pos_weight` the share of the positive ones; both broadcast.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.binary_cross_entropy_with_logits(tg.tensor([0.0, 1e4]), tg.ones(2))
    tensor(0.3466)
    """
    op = "binary_cross_entropy_with_logits"
    _same_shape(op, input, target)
    positive: Any = 1.0
    if pos_weight is not None:
        positive = array_of(pos_weight, op, "pos_weight").astype(input.array.dtype, copy=False)
    loss = bce_with_logits_of(input, target.to(input.array.dtype), positive)
    loss = loss if weight is None else loss * weight
    return checked(op, reduced(loss, chosen(reduction, size_average, reduce)), target)


# ---------------------------------------------------------------- one class of several
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


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Minus the log-probability of the right class: input (n, classes, …), target of integers (n, …).

    The mean is over the weights of the rows that count; a target equal to `ignore_index` does not.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.nll_loss(tg.tensor([[-0.5, -1.0]]), tg.tensor([1]))
    tensor(1.)
    """
    return _indexed("nll_loss", nll_rows, input, target, weight, ignore_index, chosen(reduction, size_average, reduce))


def _indexed(op: str, rows_of: Any, input: Any, target: Any, weight: Any, ignore: int, reduction: str) -> Any:
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


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Minus the log-softmax of the right class: input (n, classes, …), exact for scores of any size.

    Args:
        target: class indices of shape (n, …), or probabilities of the input's shape.
        weight: a factor for each class.
        ignore_index: rows with this index do not count; has no meaning for probabilities.
        label_smoothing: this share of each target is spread evenly over all classes (Szegedy et al. 2015).

    Raises AxisError for a class out of range, DtypeError for indices that are no integers, ShapeError,
    NonFiniteError for NaN among probabilities.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.cross_entropy(tg.tensor([[0.0, 10000.0]]), tg.tensor([0]))
    tensor(10000.)
    """
    op, reduction = "cross_entropy", chosen(reduction, size_average, reduce)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"{op}: label_smoothing lies in [0, 1], not {label_smoothing}")
    soft = array_of(target, op, "target").shape == array_of(input, op, "input").shape and target.array.ndim > 0
    if not soft and not label_smoothing:
        return _indexed(op, cross_entropy_rows, input, target, weight, ignore_index, reduction)
    rows, shape = _scores(op, input)
    count, dtype = rows.array.shape[1], rows.array.dtype
    weights = _class_weights(op, weight, count, dtype)
    if soft:
        if target.array.dtype.kind != "f":
            raise DtypeError(
                f"{op}: a target of the input's shape {target.array.shape} holds probabilities and must be floating "
                f"point, not {target.array.dtype}; class indices have shape {shape}"
            )
        share = _scores(op, target)[0] * (1 - label_smoothing) + label_smoothing / count
        share, total = share if weights is None else share * wrap(weights), None
    else:
        classes, keep = _classes(op, target, shape, count, ignore_index)
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
        return checked(op, loss.sum() * factor + start, target)
    return checked(op, loss.reshape(shape) if reduction == "none" else reduced(loss, reduction), target)
