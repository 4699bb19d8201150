"""Dropout. Read `loss.py` next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ... import random
from ...core import array_of, wrap
from ...declare import Layer
from ...duck import draw
from ...errors import ArgumentError, DtypeError

if TYPE_CHECKING:
    from ..._tensor import Tensor


def _probability(owner: str, given: dict[str, Any]) -> None:
    if not 0 <= given["p"] <= 1:
        raise ArgumentError(f"{owner}: p is a probability, between 0 and 1, not {given['p']}")


@Layer("Dropout", shown="p={p}, inplace={inplace}", prepare=_probability)
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Each entry 0 with probability `p`, else scaled by 1/(1-p), so that the mean stays; in evaluation the input.

    The mask is the one that PyTorch draws from the same seed (Srivastava et al. 2014). With `inplace` it is written
    over the input.

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.nn.functional.dropout(tg.ones(6), p=0.5)
    tensor([0., 0., 2., 0., 0., 0.])
    """
    array = array_of(input, "dropout", "input")
    _probability("dropout", {"p": p})
    if not training or p == 0 or array.size == 0:
        return input
    if array.dtype.kind != "f":
        raise DtypeError(f"dropout: a float tensor is expected, got {array.dtype}; use `x.float()`")
    mask = draw(
        random.dropout_mask, array.shape, 1 - p, strides=None if array.flags.c_contiguous else array.strides
    )
    noise = wrap(mask.astype(array.dtype) / array.dtype.type(1 - p if p < 1 else 1))
    return input.mul_(noise) if inplace else input * noise
