"""Tensors put together and taken apart.

Read `indexing.py` next."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..alias import SEVERAL, bar
from ..axes import PLACE, normal_axis
from ..declare import Case, composite, linear, publish
from ..errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core import Tensor


def _along(tensors: Any, axis: int = 0) -> Any:
    """The axis of the first; PyTorch lets an empty vector pass between others."""
    if any(x.array.ndim != 1 for x in tensors):
        tensors = [x for x in tensors if x.array.shape != (0,)] or tensors[:1]
    return tensors, normal_axis(axis, tensors[0].array.ndim, "cat")


def _joined(tensors: Any, axis: int) -> Any:
    try:
        return np.concatenate(tensors, axis)
    except ValueError:
        raise ShapeError(
            f"cat: shapes {[a.shape for a in tensors]} must have the same number of dimensions and agree in every "
            f"size but that of dimension {axis}; use `tg.stack` to join along a new dimension"
        ) from None


def _new_axis(tensors: Any, axis: int = 0) -> Any:
    shapes = [x.array.shape for x in tensors]
    if any(shape != shapes[0] for shape in shapes):
        raise ShapeError(f"stack: the tensors must be at least one and of one shape, got {shapes}")
    return tensors, normal_axis(axis, len(shapes[0]) + 1, "stack")


def _segment(g: Any, axis: int, i: int, shapes: Any) -> Any:
    """The part of g that came of tensor i."""
    start = sum(shape[axis] for shape in shapes[:i])
    return g[(slice(None),) * axis + (slice(start, start + shapes[i][axis]),)]


def _numpy_cat(arrays: Any, axis: Any = 0) -> Any:
    return cat([np.ravel(a) for a in arrays], 0) if axis is None else cat(arrays, axis)


cat = linear(
    _joined,
    "tensors one after another along an axis; they agree in every other size",
    lambda g, axis, i, shapes: _segment(g, axis, i, shapes),
    inputs="tensors",
    front=_along,
    method=False,
    alias=("concat", "concatenate"),
    numpy={np.concatenate: _numpy_cat},
    cases=(Case((2, 3), (1, 3), axis=0), Case((2, 1), (2, 2), (2, 0), axis=1)),
)
stack = linear(
    lambda tensors, axis=0: np.stack(tensors, axis),
    "tensors of one shape along a new dimension",
    lambda g, axis, i: g[(slice(None),) * axis + (i,)],
    inputs="tensors",
    front=_new_axis,
    method=False,
    numpy=(np.stack,),
    cases=(Case((2, 3), (2, 3), axis=1), Case((), (), axis=0), Case((3,), axis=-1)),
)


@composite(numpy=(np.vstack,), method=False, inputs="tensors", cases=(Case((2, 3), (1, 3)), Case((3,), (3,))))
def vstack(tensors: Any) -> Any:
    """Tensors below one another; a vector counts as a row."""
    return cat([x.reshape(1, -1) if x.ndim < 2 else x for x in tensors], 0)


@composite(numpy=(np.hstack,), method=False, inputs="tensors", cases=(Case((2, 3), (2, 1)), Case((3,), (1,))))
def hstack(tensors: Any) -> Any:
    """Tensors side by side; vectors one after another."""
    given = [x.reshape(1) if x.ndim == 0 else x for x in tensors]
    return cat(given, 0 if given and given[0].ndim == 1 else 1)


def _numpy_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    axis, cuts = normal_axis(axis, ary.ndim, "np.split"), indices_or_sections
    size = ary.shape[axis]
    if not np.ndim(cuts):
        if cuts < 1 or size % cuts:
            raise ShapeError(
                f"np.split: {size} entries of {tuple(ary.shape)} along axis {axis} do not divide into {cuts} equal "
                "parts; give the places to cut at, or use `tg.chunk`"
            )
        cuts = range(size // cuts, size, size // cuts)
    ends = [None, *map(int, cuts), None]
    return [ary[(slice(None),) * axis + (slice(a, b),)] for a, b in pairwise(ends)]


@composite(
    torch={"x": "tensor", "split_size": ("split_size_or_sections", "split_size")},
    numpy={np.split: _numpy_split},
    axis=PLACE,
    cases=(Case((5, 2), split_size=2), Case((2, 5), split_size=(1, 4), axis=1)),
)
def split(x: Any, split_size: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Parts along an axis: of one size (the last may be smaller), or of the sizes in a list."""
    length = _length(x, axis, "split")
    if isinstance(split_size, int):
        if split_size < 0 or (split_size == 0 and length):
            raise ShapeError(f"split: the size of a part must be positive, got {split_size}")
        split_size = [min(split_size, length - start) for start in range(0, length, split_size or 1)] or [0]
    if sum(split_size) != length:
        told = f"sizes {list(split_size)} add up to {sum(split_size)}"
        raise ShapeError(f"split: {told}, but dimension {axis} has {length}")
    ends = list(accumulate(split_size, initial=0))
    head = (slice(None),) * axis
    return _several([x[(*head, slice(a, b))] for a, b in pairwise(ends)])


def _several(views: list[Any]) -> tuple[Any, ...]:
    """Views that one call made, which PyTorch lets nobody write to where a graph is recorded."""
    bar(views, SEVERAL)
    return tuple(views)


@composite(axis=PLACE, cases=(Case((5, 2), chunks=2), Case((2, 6), chunks=4, axis=-1)))
def chunk(x: Any, chunks: int, axis: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` parts of equal size along an axis, the last one smaller."""
    if chunks <= 0:
        raise ShapeError(f"chunk: the number of parts must be positive, got {chunks}")
    length = _length(x, axis, "chunk")
    return split(x, [0] * chunks, axis) if not length else split(x, max(-(-length // chunks), 1), axis)


@composite(axis=PLACE, cases=(Case((2, 3)), Case((2, 3), axis=-1)))
def unbind(x: Any, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices along an axis, that axis gone."""
    return _several([x[(slice(None),) * axis + (k,)] for k in range(_length(x, axis, "unbind"))])


def _length(x: Any, axis: int, op: str) -> int:
    if x.ndim == 0:
        raise ShapeError(f"{op}: a 0-d tensor has no dimension to take apart")
    return int(x.shape[axis])


publish(globals())
