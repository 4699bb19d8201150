"""Entries measured by the spread of their neighbours. A weight may be given or not. Read `loss.py` next."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..declare import Case, fused, publish
from ..dialect import total
from ..errors import ShapeError
from .shapes import sizes

if TYPE_CHECKING:
    from ..calling import Operand


def _last_dimensions(
    x: Any, normalized_shape: int | Sequence[int], weight: Operand | None = None, eps: float | None = None
) -> Any:
    """The axes that the shape names, which are the last ones; `eps` is the dtype's own where it is not given."""
    shape = sizes((normalized_shape,))
    if not shape or tuple(x.shape[-len(shape) :]) != shape:
        raise ShapeError(f"rms_norm: the last sizes of {tuple(x.shape)} are not normalized_shape {shape}")
    given: Any = weight
    if weight is not None and tuple(given.shape) != shape:
        raise ShapeError(f"rms_norm: the weight has shape {tuple(given.shape)}, and normalized_shape is {shape}")
    least = float(np.finfo(x.dtype if x.dtype.kind == "f" else np.float32).eps) if eps is None else eps
    return x, weight, tuple(range(x.ndim - len(shape), x.ndim)), least


def _per_length(a: Any, axes: tuple[int, ...], eps: float) -> Any:
    """1 / the root of the mean square."""
    return 1 / np.sqrt(_mean(a * a, axes) + eps)


def _mean(a: Any, axes: tuple[int, ...]) -> Any:
    return total(a, axes, True) / (prod([a.shape[i] for i in axes]) or 1)


def _weighted(a: Any, b: Any) -> Any:
    return a if b is None else a * b


rms_norm = fused(
    lambda a, b=None, axes=(-1,), eps=1e-6: _weighted(a * _per_length(a, axes, eps), b),
    "x divided by its root mean square over the last dimensions, times a weight (Zhang and Sennrich 2019)",
    lambda g, a, b, axes, eps: _per_length(a, axes, eps) * (
        _weighted(g, b) - a * _per_length(a, axes, eps) ** 2 * _mean(a * _weighted(g, b), axes)
    ),
    lambda g, a, axes, eps: g * a * _per_length(a, axes, eps),
    front=_last_dimensions,
    method=False,
    cases=(
        Case((2, 3), normalized_shape=(3,), eps=0.5),
        Case((2, 3), (3,), normalized_shape=(3,), eps=0.1),
        Case((2, 3, 2), (3, 2), normalized_shape=(3, 2), eps=0.2),
        Case((4,), normalized_shape=4, eps=0.3),
    ),
)  # fmt: skip

publish(globals())
