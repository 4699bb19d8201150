"""Losses as layers, which remember their weights and their reduction. Read `utils.py` next."""

from __future__ import annotations

from typing import Any

from ..core import Tensor
from . import functional as F
from . import settings
from .criteria import chosen
from .module import Module


class _Loss(Module):
    """A loss and its reduction: 'mean', 'sum' or 'none'."""

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = chosen(reduction, size_average, reduce)


class _WeightedLoss(_Loss):
    """A loss with a weight, which is a buffer: it goes along to other dtypes and into the state_dict."""

    weight: Any

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if isinstance(weight, Tensor) and weight.node is not None:
            raise settings.wrong(self, "weight", weight)
        self.register_buffer("weight", weight)


class MSELoss(_Loss):
    """The mean of (input - target)², or their sum, or each.

    >>> import tinygrad_bp as tg
    >>> tg.nn.MSELoss()(tg.tensor([1.0, 2.0]), tg.zeros(2))
    tensor(2.5000)
    """

    def forward(self, input: Any, target: Any) -> Any:
        return F.mse_loss(input, target, None, None, self.reduction)


class L1Loss(_Loss):
    """The mean of |input - target|.

    >>> import tinygrad_bp as tg
    >>> tg.nn.L1Loss()(tg.tensor([1.0, 4.0]), tg.zeros(2))
    tensor(2.5000)
    """

    def forward(self, input: Any, target: Any) -> Any:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """Squares near 0, lines beyond `beta`, both divided by beta.

    >>> import tinygrad_bp as tg
    >>> tg.nn.SmoothL1Loss()(tg.tensor([1.0, 4.0]), tg.zeros(2))
    tensor(2.)
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Any, target: Any) -> Any:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """Squares near 0, lines beyond `delta` (Huber 1964).

    >>> import tinygrad_bp as tg
    >>> tg.nn.HuberLoss()(tg.tensor([1.0, 4.0]), tg.zeros(2))
    tensor(2.)
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Any, target: Any) -> Any:
        return F.huber_loss(input, target, self.reduction, self.delta)


class BCELoss(_WeightedLoss):
    """Binary cross-entropy of probabilities; `BCEWithLogitsLoss` is the exact one, for scores.

    >>> import tinygrad_bp as tg
    >>> tg.nn.BCELoss()(tg.tensor([0.5]), tg.tensor([1.0]))
    tensor(0.6931)
    """

    def forward(self, input: Any, target: Any) -> Any:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_WeightedLoss):
    """Binary cross-entropy of scores; `pos_weight` counts the positive ones more.

    >>> import tinygrad_bp as tg
    >>> tg.nn.BCEWithLogitsLoss()(tg.tensor([10000.0]), tg.tensor([0.0]))
    tensor(10000.)
    """

    pos_weight: Any

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Any = None,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Any, target: Any) -> Any:
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class NLLLoss(_WeightedLoss):
    """Minus the log-probability of the right class; rows with `ignore_index` do not count.

    >>> import tinygrad_bp as tg
    >>> tg.nn.NLLLoss()(tg.tensor([[-0.5, -1.0]]), tg.tensor([1]))
    tensor(1.)
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Any, target: Any) -> Any:
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class CrossEntropyLoss(_WeightedLoss):
    """Minus the log-softmax of the right class; the target holds class indices or probabilities.

    >>> import tinygrad_bp as tg
    >>> tg.nn.CrossEntropyLoss()(tg.tensor([[0.0, 10000.0]]), tg.tensor([0]))
    tensor(10000.)
    """

    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Any, target: Any) -> Any:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
