"""Parameter: a tensor that a Module finds by itself and an optimiser trains. Read `module.py` next."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor
from ..alarms import warn_left
from ..core import Leaf, require_float
from ..creation import array_of
from ..dtypes import native
from ..modes import MODE


class Parameter(Tensor):
    """A leaf that a `Module` registers when it is assigned as an attribute.

    Args:
        data: a Tensor or an array, whose memory it shares, or Python numbers; the graph of `data` is left behind.
        requires_grad: whether gradients are wanted; False freezes it.

    Raises DtypeError for integers that are to have a gradient.

    >>> import tinygrad_bp as tg
    >>> tg.nn.Parameter(tg.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __init__(self, data: Any = (), requires_grad: bool = True) -> None:
        if isinstance(data, Tensor):
            self.array = data.array
            if data.node is not None and not isinstance(data.node, Leaf) and MODE.grad:
                warn_left(
                    f"nn.Parameter(t) of a tensor that was computed ({data.node.op.name})",
                    "Keep the leaf as the Parameter and compute in forward; for a start value write "
                    "`nn.Parameter(t.detach())`",
                )
        else:
            self.array = native(data) if hasattr(data, "__array_ufunc__") else array_of(data)
        self.node = self._grad = None
        if requires_grad:
            require_float(self.array)
            self.node = Leaf(self)
