"""The losses: each is its formula for one entry, or one row, under the name and with the parameters of PyTorch.

Reduction, shapes and NaN are the business of `criterion.py`, layers that of `../layer.py`. Read `embedding.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core import array_of
from ...errors import ArgumentError
from ...ops.arithmetic import abs as abs_of
from ...ops.arithmetic import square
from ...ops.loss import (
    bce_with_logits_of,
    binary_cross_entropy_of,
    cross_entropy_rows,
    huber_of,
    mean_squared_error,
    nll_rows,
    soft_margin_of,
)
from .classes import holds_probabilities, indexed, smoothed
from .criterion import alike, loss, meeting, probabilities

if TYPE_CHECKING:
    from ..._tensor import Tensor


# ---------------------------------------------------------------- regression
@loss("MSELoss", meeting)
def mse_loss(
    input: Tensor,
    target: Tensor,
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
    return mean_squared_error(input, target) if reduction == "mean" else square(input - target)


@loss("L1Loss", meeting)
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """|input - target|, its mean or its sum; shapes and errors as in `mse_loss`.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.l1_loss(tg.tensor([1.0, 4.0]), tg.zeros(2))
    tensor(2.5000)
    """
    return abs_of(input - target)


@loss("HuberLoss", meeting)
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Any:
    """d²/2 for a distance d up to `delta`, delta·(d - delta/2) beyond (Huber 1964).

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.huber_loss(tg.tensor([1.0, 4.0]), tg.zeros(2))
    tensor(2.)
    """
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta must be above 0, not {delta}")
    return huber_of(input - target, delta)


@loss("SmoothL1Loss", meeting)
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
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
    return huber_of(input - target, beta) / beta if beta else abs_of(input - target)


# ---------------------------------------------------------------- yes or no
@loss("BCELoss", alike, probabilities)
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """-(t log p + (1 - t) log(1 - p)) of probabilities p = input; the logarithms are at least -100.

    `weight` scales each entry, and broadcasts. Raises NonFiniteError for NaN in the target, ArgumentError for an input
    outside [0, 1].

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.binary_cross_entropy(tg.tensor([0.5]), tg.tensor([1.0]))
    tensor(0.6931)
    """
    each = binary_cross_entropy_of(input, target.to(input.array.dtype))
    return each if weight is None else each * weight


@loss("BCEWithLogitsLoss", alike)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Any:
    """Binary cross-entropy from scores, whose sigmoid is the probability: exact for scores of any size.

    `weight` scales each entry, `pos_weight` the share of the positive ones; both broadcast.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.binary_cross_entropy_with_logits(tg.tensor([0.0, 1e4]), tg.ones(2))
    tensor(0.3466)
    """
    dtype, positive = input.array.dtype, 1.0
    if pos_weight is not None:
        positive = array_of(pos_weight, "binary_cross_entropy_with_logits", "pos_weight").astype(dtype, copy=False)
    each = bce_with_logits_of(input, target.to(dtype), positive)
    return each if weight is None else each * weight


@loss("SoftMarginLoss", meeting)
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """log(1 + e to the -target · input) of targets that are 1 or -1: exact for scores of any size.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.soft_margin_loss(tg.tensor([0.0, 1e4]), tg.ones(2))
    tensor(0.3466)
    """
    return soft_margin_of(input, target)


# ---------------------------------------------------------------- one class of several
@loss("NLLLoss")
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
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
    return indexed("nll_loss", nll_rows, input, target, weight, ignore_index, reduction)


@loss("CrossEntropyLoss")
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
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
    op = "cross_entropy"
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"{op}: label_smoothing lies in [0, 1], not {label_smoothing}")
    if label_smoothing or holds_probabilities(op, input, target):
        return smoothed(op, input, target, weight, ignore_index, reduction, label_smoothing)
    return indexed(op, cross_entropy_rows, input, target, weight, ignore_index, reduction)
