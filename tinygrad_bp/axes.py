"""Axes as they are given and as operations see them: negative and several, none and too many, of 0-d and empty tensors.

A declaration says how its parameter `axis` is read (`axis=ALONG`); the call then hands the operation a non-negative
int, or a tuple of distinct ones, and operations look no further. What holds for all is PyTorch's: a 0-d tensor has
the axes 0 and -1 for who asks. Read `core.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .errors import AxisError, DtypeError, ShapeError, TensorError, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def normal_axes(axis: Any, ndim: int, op: str) -> tuple[int, ...]:
    """`axis` (None, an int, or several) as a tuple of distinct ints from 0 to ndim − 1; None and () mean all."""
    if type(axis) is int and -ndim <= axis < ndim:  # the usual case
        return (axis % ndim,)
    if axis is None:
        return tuple(range(ndim))
    axes = each_axis(axis, ndim, op)
    if ndim == 0:  # which has the axes 0 and -1 for who asks, and none in truth
        return ()
    return axes or tuple(range(ndim))  # an empty tuple means all, as in PyTorch


def normal_axis(axis: Any, ndim: int, op: str) -> int:
    """`axis` as an int from 0 to ndim - 1; of a 0-d tensor it is 0."""
    if type(axis) is int and -ndim <= axis < ndim:  # the usual case
        return axis % ndim
    try:
        if type(axis) is bool or getattr(axis, "dtype", None) == "bool":
            raise TypeError
        found = axis.__index__()
    except (AttributeError, TypeError, TensorError):
        raise DtypeError(f"{op}: a dimension is an int, not {kind_of(axis)}") from None
    size = max(ndim, 1)  # a 0-d tensor has axes 0 and -1, as in PyTorch
    if not -size <= found < size:
        raise AxisError(f"{op}: dimension {found} is out of range for a tensor of {ndim} dimensions")
    return int(found % size)


def each_axis(axes: Any, ndim: int, op: str) -> tuple[int, ...]:
    """Axes that must be named, an int or several: each once, none missing its number."""
    found = tuple([normal_axis(a, ndim, op) for a in (axes if isinstance(axes, tuple | list) else (axes,))])
    if len(set(found)) < len(found):
        raise ShapeError(f"{op}: axis {tuple(axes)} names the same dimension twice")
    return found


def _or_none(axis: Any, ndim: int, op: str) -> int | None:
    return None if axis is None else normal_axis(axis, ndim, op)


def _named(axis: Any, ndim: int, op: str) -> tuple[int, ...]:
    return () if isinstance(axis, tuple | list) and not axis else normal_axes(axis, ndim, op)


def _listed(axis: Any, ndim: int, op: str) -> tuple[int, ...]:
    axes = each_axis(axis, ndim, op)
    return axes if ndim else ()


class Axis(NamedTuple):
    """How a parameter called `axis` is read."""

    read: Callable[[Any, int, str], Any]
    vector: bool = False  # a 0-d input counts as a vector of one entry, and the result is 0-d again


Axes: TypeAlias = "int | Sequence[int] | None"
ALONG = Axis(normal_axis, vector=True)  # the operation goes along one axis: cumsum, sort, softmax
ALONG_OR_ALL = Axis(_or_none, vector=True)  # along one axis, or over all entries: argmax, max
PLACE = Axis(normal_axis)  # one axis is meant, and a 0-d tensor is the operation's own business: gather, unbind
SEVERAL = Axis(normal_axes)  # any number of axes; None and () mean all: sum, count_nonzero
NAMED = Axis(_named)  # any number of axes; None means all, and () none: all, any, squeeze
LISTED = Axis(_listed)  # any number of axes, and they must be named: flip
