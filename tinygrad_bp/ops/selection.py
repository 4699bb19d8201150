"""Largest, smallest, sorted: a position is found without a gradient, and the value is read there with one.

Read `linalg.py` next.
"""

from __future__ import annotations

from builtins import all as all_of
from math import nan
from typing import Any, NamedTuple, overload

import numpy as np

from ..axes import ALONG, ALONG_OR_ALL, PLACE, normal_axis
from ..core import Tensor
from ..declare import Case, composite, publish
from ..errors import ShapeError
from .arithmetic import maximum, minimum
from .comparison import argmax, argmin, argsort, isnan, numpy_order
from .indexing import take_along_dim
from .reductions import amax, amin, median_of


class Found(NamedTuple):
    """Entries, and where they stand along the axis."""

    values: Tensor
    indices: Tensor



def _extreme(x: Any, axis: Any, keepdims: bool, whole: Any, position: Any) -> Any:
    if axis is None:
        return whole(x)
    axis = normal_axis(axis, x.ndim, "max")
    if x.ndim == 0:
        return Found(x.clone(), position(x))
    if x.shape[axis] == 0:
        raise ShapeError(f"max/min: dimension {axis} of shape {tuple(x.shape)} is empty and has no largest entry")
    indices = position(x, axis=axis, keepdims=True)
    values = take_along_dim(x, indices, axis)
    return Found(values, indices) if keepdims else Found(values.squeeze(axis), indices.squeeze(axis))


@overload
def max(x: Any) -> Tensor: ...
@overload
def max(x: Any, axis: int, keepdims: bool = False) -> Found: ...
@overload
def max(x: Any, axis: Tensor, /) -> Tensor: ...
@composite(
    torch={"axis": ("dim", "other")},
    cases=(Case((2, 3)), Case((2, 3), axis=1), Case((2, 3), axis=0, keepdims=True), Case((2, 3), (3,))),
)
def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest entry; along an axis (values, indices); with a second tensor the larger of each pair.

    Over everything a tie shares the gradient; along an axis the first of a tie takes it.
    """
    return maximum(x, axis) if isinstance(axis, Tensor) else _extreme(x, axis, keepdims, amax, argmax)


@overload
def min(x: Any) -> Tensor: ...
@overload
def min(x: Any, axis: int, keepdims: bool = False) -> Found: ...
@overload
def min(x: Any, axis: Tensor, /) -> Tensor: ...
@composite(
    torch={"axis": ("dim", "other")},
    cases=(Case((2, 3)), Case((2, 3), axis=1), Case((2, 3), axis=0, keepdims=True), Case((2, 3), (3,))),
)
def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest entry; along an axis (values, indices); with a second tensor the smaller of each pair."""
    return minimum(x, axis) if isinstance(axis, Tensor) else _extreme(x, axis, keepdims, amin, argmin)


@composite(
    axis=ALONG,
    numpy={np.sort: lambda a, axis=-1, descending=False: _numpy_sorted(a, axis, descending)},
    cases=(Case((2, 3)), Case((3, 2), axis=0, descending=True), Case(())),
)
def sort(x: Any, axis: int = -1, descending: bool = False, stable: bool = True) -> Found:
    """(values, indices) in order along an axis; equal entries keep their old order."""
    indices = argsort(x, axis=axis, descending=descending)
    return Found(take_along_dim(x, indices, axis), indices)


@composite(axis=PLACE, cases=(Case((2, 3), k=2), Case((4, 2), k=3, axis=0, largest=False)))
def topk(x: Any, k: int, axis: int = -1, largest: bool = True, sorted: bool = True) -> Found:
    """(values, indices) of the k largest (or smallest) entries along an axis, in order."""
    if x.ndim == 0 and k in (0, 1):
        return Found(x.clone(), argsort(x))
    if not x.ndim or not 0 <= k <= x.shape[axis]:
        raise ShapeError(f"topk: k = {k} is out of range for dimension {axis} of shape {tuple(x.shape)}")
    indices = argsort(x, axis=axis, descending=largest)[(slice(None),) * axis + (slice(0, k),)]
    return Found(take_along_dim(x, indices, axis), indices)


@overload
def median(x: Any) -> Tensor: ...
@overload
def median(x: Any, axis: int, keepdims: bool = False) -> Found: ...
@composite(
    bodies=(median_of,),
    axis=ALONG_OR_ALL,
    cases=(Case((5,)), Case((2, 2)), Case((2, 3), axis=1), Case((3, 4), axis=0, keepdims=True)),
)
def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle entry in order, of two the lower one; along an axis (values, indices)."""
    if axis is None and x.dtype.kind == "f" and not all_of(x.shape):
        return x.sum() * nan
    if axis is None and not all_of(x.shape):
        raise ShapeError(f"median: an empty tensor of shape {tuple(x.shape)} has no middle entry")
    if axis is None:
        return median_of(x)
    i = axis
    if not x.shape[i]:
        raise ShapeError(f"median: dimension {i} of shape {tuple(x.shape)} is empty and has no middle entry")
    count = isnan(x).sum(axis=i, keepdims=True)  # they are sorted last, and one of them decides, the first
    place = np.where(count > 0, x.shape[i] - count, (x.shape[i] - 1) // 2)
    indices = take_along_dim(argsort(x, axis=i), place, i)
    values = take_along_dim(x, indices, i)
    return Found(values, indices) if keepdims else Found(values.squeeze(i), indices.squeeze(i))


def _numpy_sorted(a: Any, axis: Any, descending: Any) -> Any:
    x, along = (a.reshape(-1), 0) if axis is None else (a, axis)
    return take_along_dim(x, numpy_order(a, axis, True), along) if descending else sort(x, along).values


publish(globals())
