"""Values put around a tensor. Read `loss.py` next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...axes import normal_axis
from ...core import wrap
from ...errors import ArgumentError, DtypeError, ShapeError, kind_of
from ...ops.joining import cat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..._tensor import Tensor


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """`value` (0) put around: (left, right) of the last dimension, then of the one before it, and so on.

    Negative widths cut off; `mode` can only be 'constant'.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.pad(tg.ones(1, 2), (1, 0, 0, 1))
    tensor([[0., 1., 1.],
            [0., 0., 0.]])
    """
    if mode != "constant":
        raise ArgumentError(f"pad: only mode='constant' is there, not {mode!r}")
    if not isinstance(pad, tuple | list):
        raise DtypeError(f"pad: a pair of widths for each dimension is expected, (left, right, …), not {kind_of(pad)}")
    if len(pad) % 2 or len(pad) > 2 * input.array.ndim:
        raise ShapeError(f"pad: {tuple(pad)} needs a pair of widths for each of at most {input.array.ndim} dimensions")
    for i in range(len(pad) // 2):
        input = _pad_one(input, input.array.ndim - 1 - i, pad[2 * i], pad[2 * i + 1], value or 0.0)
    return input


def _pad_one(x: Any, axis: int, before: int, after: int, value: float) -> Any:
    axis, size = normal_axis(axis, x.array.ndim, "pad"), x.array.shape[axis]
    if size + before + after < 0:
        raise ShapeError(f"pad: widths ({before}, {after}) cut more than the {size} entries of dimension {axis}")
    kept = x[(slice(None),) * axis + (slice(max(-before, 0), size - max(-after, 0)),)]
    parts = [_filled(x, axis, before, value), kept, _filled(x, axis, after, value)]
    return cat([part for part in parts if part is not None], axis)


def _filled(x: Any, axis: int, width: int, value: float) -> Any:
    shape = [width if i == axis else n for i, n in enumerate(x.array.shape)]
    return wrap(np.full(shape, value, x.array.dtype)) if width > 0 else None
