"""SGD: a step against the gradient, with momentum (Polyak 1964), also in Nesterov's form (Sutskever et al. 2013).

    d = ∇ (or -∇ to maximise) + weight_decay · p
    m = d at first, then momentum · m + (1 - dampening) · d
    p = p - lr · (m, or d + momentum · m in Nesterov's form)

All is done in place, a block at a time, so that a large parameter is not copied and what a block needs stays in the
processor's cache. Back to `__init__.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import wrap
from ..duck import TRACES, empty, tracing
from ..errors import ArgumentError
from .given import require_kinds
from .optimizer import Optimizer, number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .optimizer import Params

BLOCK = 1 << 16  # entries: measured best from 2¹² to 2¹⁸; a scratch of this size stays in the second cache
SMALL = 1 << 10  # entries: up to here a fresh array costs less than a view of the scratch


class SGD(Optimizer):
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

    numbers = ("lr", "momentum", "dampening", "weight_decay")
    flags = ("nesterov", "maximize", "foreach", "differentiable", "fused")
    remembered = ("momentum_buffer",)

    def __init__(
        self,
        params: Params,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        self._scratch: dict[Any, np.ndarray] = {}
        settings = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        }  # fmt: skip
        super().__init__(params, settings)

    def check(self, group: dict[str, Any]) -> None:
        lr, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
        try:
            lr = number(lr)
            fine = lr >= 0 and momentum >= 0 and decay >= 0
        except (TypeError, ValueError):
            require_kinds(self, group)
            raise
        if not fine:
            told = f"lr {lr}, momentum {momentum} and weight_decay {decay}"
            raise ArgumentError(f"SGD: {told} must not be negative or NaN")
        if group["nesterov"] and (momentum == 0 or group["dampening"] != 0):
            raise ArgumentError("SGD: nesterov needs a momentum above 0 and a dampening of 0")
        if group["foreach"] or group["fused"] or group["differentiable"]:
            raise ArgumentError("SGD: foreach, fused and differentiable name other implementations; leave them out")

    def update(self, group: dict[str, Any], params: list[Any]) -> None:
        lr, plain = number(group["lr"]), not (group["momentum"] or group["weight_decay"])
        length = step = -lr if group["maximize"] else lr
        dtype = None
        for p in params:
            array, g = p.array, p._grad.array
            if plain and array.size <= SMALL:
                if array.dtype is not dtype and not TRACES:  # an array of no dimension is a cheaper factor than a float
                    dtype = array.dtype
                    step = np.array(length, dtype)
                np.subtract(array, g * step, array)
                continue
            scratch = self._scratch.get(array.dtype)
            if scratch is None:
                scratch = self._scratch[array.dtype] = np.empty((2, BLOCK), array.dtype)
            buffer, first = self._buffer(p, group)
            if TRACES and tracing():  # the compiler brings its own buffers and blocks
                descend(array, g, *buffer, scratch=None, group=group, first=first, lr=lr)
                continue
            for block in blocks(array, g, *buffer):
                descend(*block, scratch=scratch, group=group, first=first, lr=lr)

    def _buffer(self, p: Any, group: dict[str, Any]) -> tuple[tuple[np.ndarray, ...], bool]:
        """The momentum of p, if there is one, and whether this is its first step."""
        if not group["momentum"]:
            return (), False
        state = self.state.setdefault(p, {})
        first = state.get("momentum_buffer") is None
        if first:
            state["momentum_buffer"] = wrap(empty(p.array))
        return (state["momentum_buffer"].array,), first


def blocks(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Views of arrays of one shape, a block of entries at a time."""
    size = arrays[0].size
    if size <= BLOCK:
        yield arrays
    elif all(x.flags.c_contiguous for x in arrays):
        flat = [x.reshape(-1) for x in arrays]
        for start in range(0, size, BLOCK):
            yield tuple([x[start : start + BLOCK] for x in flat])
    else:
        for parts in zip(*arrays, strict=True):
            yield from blocks(*parts)


def descend(
    a: np.ndarray, g: np.ndarray, m: Any = None, *, scratch: Any, group: dict[str, Any], first: bool, lr: float
) -> None:
    """The three lines of the formula on a block a of the parameter, g of its gradient, m of its momentum."""
    d = g
    part, product = (None, None) if scratch is None else [s[: a.size].reshape(a.shape) for s in scratch]
    if group["maximize"]:
        d = np.negative(d, part)
    if group["weight_decay"]:
        d = np.add(d, np.multiply(a, group["weight_decay"], product), part)
    if m is not None:
        momentum, fresh = group["momentum"], 1 - group["dampening"]
        if first:
            m[...] = d
        else:
            np.multiply(m, momentum, m)
            np.add(m, d if fresh == 1 else np.multiply(d, fresh, product), m)
        d = np.add(d, np.multiply(m, momentum, product), part) if group["nesterov"] else m
    np.subtract(a, np.multiply(d, lr, product), a)
