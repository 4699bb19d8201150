"""Inputs brought to one size. Read `distance.py` next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core import array_of

if TYPE_CHECKING:
    from ..._tensor import Tensor


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """x divided by its p-norm along `dim`, or by `eps` where the norm is smaller.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.normalize(tg.tensor([3.0, 4.0]), dim=0)
    tensor([0.6000, 0.8000])
    """
    array_of(input, "normalize", "input")
    return input / input.norm(p, dim, True).clamp(min=eps)
