"""SGD: a step against the gradient, with momentum (Polyak 1964), also in Nesterov's form (Sutskever et al. 2013).

Back to `__init__.py`, or on to `adam.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from .method import Method, implementation, setting, state

if TYPE_CHECKING:
    from ..core import Tensor


class SGD(Method):
    """Stochastic gradient descent, number for number PyTorch's.

    Args:
        params: tensors, or groups with settings of their own; see `Optimizer`.
        lr: the step's length, a number or a 0-d Tensor, not negative.
        momentum: the share of the last step that is kept; dampening: what new gradients lose then.
        weight_decay: pulls each parameter towards 0.
        nesterov: look ahead along the momentum; needs momentum and no dampening.
        maximize: climb instead of descending.
        foreach, fused, differentiable: choices of implementation in PyTorch; only the plain one is here, so True is
            refused.

    Raises ArgumentError for values out of range.

    >>> import tinygrad_bp as tg
    >>> w = tg.nn.Parameter(tg.tensor([1.0, 2.0]))
    >>> optimizer = tg.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    Parameter containing:
    tensor([0.8000, 1.6000], requires_grad=True)
    """

    lr: float | Tensor = setting(default=1e-3, least=0)
    momentum: float = setting(default=0, least=0)
    dampening: float = setting(default=0)
    weight_decay: float = setting(default=0, least=0)
    nesterov: bool = setting(default=False)
    maximize: bool = setting(default=False, kw_only=True)
    foreach: bool | None = implementation(default=None, kw_only=True)
    differentiable: bool = implementation(default=False, kw_only=True)
    fused: bool | None = implementation(default=None, kw_only=True)

    momentum_buffer = state(when="momentum")

    def check(self, group: dict[str, Any]) -> None:
        super().check(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ArgumentError("SGD: nesterov needs a momentum above 0 and a dampening of 0")

    @staticmethod
    def rule(
        p: Any, g: Any, momentum_buffer: Any, first: bool, lr: float, momentum: float, dampening: float,
        weight_decay: float, nesterov: bool, maximize: bool,
    ) -> None:  # fmt: skip
        d = -g if maximize else g
        d = d + weight_decay * p if weight_decay else d
        if momentum:
            momentum_buffer *= momentum
            momentum_buffer += d if first or not dampening else (1 - dampening) * d
            d = d + momentum * momentum_buffer if nesterov else momentum_buffer
        p -= lr * d
