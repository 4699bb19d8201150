"""RMSprop: each entry's step divided by the root mean square of its gradients (Tieleman and Hinton 2012, lecture 6.5).

With `centered` as Graves 2013: the variance in the place of the mean square. Back to `__init__.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .method import Method, implementation, setting, state

if TYPE_CHECKING:
    from ..core import Tensor


class RMSprop(Method):
    """Root mean square propagation, number for number PyTorch's.

    Args:
        params: tensors, or groups with settings of their own; see `Optimizer`.
        lr: the longest step that an entry makes, about, a number or a 0-d Tensor, not negative.
        alpha: how much of the mean of squares is kept at each step.
        eps: added to the root of the mean square, so that nothing is divided by 0.
        weight_decay: pulls each parameter towards 0.
        momentum: the share of the last step that is kept.
        centered: divide by the standard deviation of the gradients.
        maximize: climb instead of descending.
        capturable, foreach, differentiable: choices of implementation in PyTorch; only the plain one is here, so True
            is refused.

    Raises ArgumentError for values out of range.

    >>> import tinygrad_bp as tg
    >>> w = tg.nn.Parameter(tg.tensor([1.0, 2.0]))
    >>> optimizer = tg.optim.RMSprop([w], lr=0.01)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Parameter containing:
    tensor([0.9000, 1.9000], requires_grad=True)
    """

    lr: float | Tensor = setting(default=1e-2, least=0)
    alpha: float = setting(default=0.99, least=0)
    eps: float = setting(default=1e-8, least=0)
    weight_decay: float = setting(default=0, least=0)
    momentum: float = setting(default=0, least=0)
    centered: bool = setting(default=False)
    capturable: bool = implementation(default=False)
    foreach: bool | None = implementation(default=None)
    maximize: bool = setting(default=False)
    differentiable: bool = implementation(default=False)

    square_avg = state()
    momentum_buffer = state(when="momentum")
    grad_avg = state(when="centered")

    @staticmethod
    def rule(
        p: Any, g: Any, square_avg: Any, momentum_buffer: Any, grad_avg: Any, t: float, lr: float, alpha: float,
        eps: float, weight_decay: float, momentum: float, maximize: bool,
    ) -> None:  # fmt: skip
        g = -g if maximize else g
        g = g + weight_decay * p if weight_decay else g
        square_avg *= alpha
        square_avg += (1 - alpha) * g * g
        v = square_avg
        if grad_avg is not None:
            grad_avg *= alpha
            grad_avg += (1 - alpha) * g
            v = v - grad_avg * grad_avg
        step = g / (np.sqrt(v) + eps)
        if momentum_buffer is not None:
            momentum_buffer *= momentum
            momentum_buffer += step
            step = momentum_buffer
        p -= lr * step
