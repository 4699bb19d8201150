"""Adam: each entry's step in units of its gradient's own size (Kingma and Ba 2015, algorithm 1).

With `amsgrad` as Reddi et al. 2018, with `decoupled_weight_decay` as Loshchilov and Hutter 2019 (AdamW). Back to
`__init__.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .method import Method, implementation, setting, state

if TYPE_CHECKING:
    from ..core import Tensor


class Adam(Method):
    """Adaptive moment estimation, number for number PyTorch's.

    Args:
        params: tensors, or groups with settings of their own; see `Optimizer`.
        lr: the longest step that an entry makes, about, a number or a 0-d Tensor, not negative.
        betas: how much of the means of gradients, and of their squares, is kept at each step; from 0 to below 1.
        eps: added to the root of the mean square, so that nothing is divided by 0.
        weight_decay: pulls each parameter towards 0: by way of the gradient, or directly if `decoupled_weight_decay`.
        amsgrad: divide by the largest mean square so far.
        maximize: climb instead of descending.
        foreach, capturable, differentiable, fused: choices of implementation in PyTorch; only the plain one is here,
            so True is refused.

    Raises ArgumentError for values out of range.

    >>> import tinygrad_bp as tg
    >>> w = tg.nn.Parameter(tg.tensor([1.0, 2.0]))
    >>> optimizer = tg.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Parameter containing:
    tensor([0.9000, 1.9000], requires_grad=True)
    >>> optimizer.state[w]["step"]
    tensor(1.)
    """

    lr: float | Tensor = setting(default=1e-3, least=0)
    betas: tuple[float, float] = setting(default=(0.9, 0.999), least=0, below=1)
    eps: float = setting(default=1e-8, least=0)
    weight_decay: float = setting(default=0, least=0)
    amsgrad: bool = setting(default=False)
    maximize: bool = setting(default=False, kw_only=True)
    foreach: bool | None = implementation(default=None, kw_only=True)
    capturable: bool = implementation(default=False, kw_only=True)
    differentiable: bool = implementation(default=False, kw_only=True)
    fused: bool | None = implementation(default=None, kw_only=True)
    decoupled_weight_decay: bool = setting(default=False, kw_only=True)

    exp_avg = state()
    exp_avg_sq = state()
    max_exp_avg_sq = state(when="amsgrad")

    @staticmethod
    def rule(
        p: Any, g: Any, exp_avg: Any, exp_avg_sq: Any, max_exp_avg_sq: Any, t: float, lr: float,
        betas: tuple[float, float], eps: float, weight_decay: float, maximize: bool, decoupled_weight_decay: bool,
    ) -> None:  # fmt: skip
        beta1, beta2 = betas
        g = -g if maximize else g
        if weight_decay and decoupled_weight_decay:
            p *= 1 - lr * weight_decay
        elif weight_decay:
            g = g + weight_decay * p
        exp_avg *= beta1
        exp_avg += (1 - beta1) * g
        exp_avg_sq *= beta2
        exp_avg_sq += (1 - beta2) * g * g
        v = exp_avg_sq if max_exp_avg_sq is None else np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
        p -= lr / (1 - beta1**t) * exp_avg / (np.sqrt(v) / (1 - beta2**t) ** 0.5 + eps)
