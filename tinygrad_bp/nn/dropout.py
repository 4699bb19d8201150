"""Dropout, the layer that behaves otherwise in training than afterwards. Read `loss.py` next."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from . import functional as F
from .module import Module


class Dropout(Module):
    """In training each entry is 0 with probability `p` and else scaled by 1/(1-p); after `eval()` it passes all on.

    With the same seed the entries are those that PyTorch drops. `inplace` writes over the input.

    >>> import tinygrad_bp as tg
    >>> layer = tg.nn.Dropout(0.5)
    >>> layer.eval()(tg.ones(3))
    tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"Dropout: p is a probability, between 0 and 1, not {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Any) -> Any:
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
