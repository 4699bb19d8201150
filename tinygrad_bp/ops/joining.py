"""Tensors put together and taken apart. `cat` is the one operation with any number of inputs.

Read `indexing.py` next."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ..alias import SEVERAL, bar
from ..calling import normal_axis, operand, promote, unrecorded
from ..core import PLAIN, Tensor, recorded, wrap
from ..declare import Case, Op, composite, declare, publish
from ..duck import as_array
from ..errors import DtypeError, ShapeError
from ..mode import MODE


class _ForAll(tuple[Any, ...]):
    """One rule for every input, however many there are."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        return tuple.__getitem__(self, 0)


_slice_of = lambda g, axis, start, stop: g[(slice(None),) * axis + (slice(start, stop),)]  # noqa: E731
_op = Op("linear", np.concatenate, "tensors one after another along an axis", (), {
    "numpy": (np.concatenate,), "method": False, "inputs": ("tensors",), "written": (_slice_of,),
    "cases": (Case((2, 3), (1, 3), axis=0), Case((2, 1), (2, 2), (2, 0), axis=1)),
})  # fmt: skip
_op.params = ("axis",)
_op.rules = _op.pure = _ForAll((_slice_of,))
_op.roles = _ForAll(((PLAIN, PLAIN, PLAIN),))


def _cat(tensors: Any, axis: int = 0) -> Any:
    """Tensors one after another along an axis; they agree in every other size."""
    if isinstance(tensors, Tensor) or not hasattr(tensors, "__iter__"):
        raise DtypeError("cat: expected a list or tuple of tensors: `tg.cat([a, b], dim=0)`")
    given: list[Any] = [x if isinstance(x, Tensor) else wrap(as_array(operand(x, _op))) for x in tensors]
    if not given:
        raise ShapeError("cat: the list of tensors is empty")
    if any(x.ndim != 1 for x in given):  # PyTorch lets an empty vector pass
        given = [x for x in given if x.shape != (0,)] or given[:1]
    arrays = promote([x.array for x in given])
    axis = normal_axis(axis, arrays[0].ndim, "cat")
    try:
        y = np.concatenate(arrays, axis)
    except ValueError:
        raise ShapeError(
            f"cat: shapes {[a.shape for a in arrays]} must have the same number of dimensions and agree in every "
            f"size but that of dimension {axis}; use `tg.stack` to join along a new dimension"
        ) from None
    nodes = [x.node for x in given]
    if not MODE.grad or not any(node is not None for node in nodes):
        return unrecorded(_op, y, nodes)
    ends = list(accumulate((a.shape[axis] for a in arrays), initial=0))
    edges = [(node, i, (axis, ends[i], ends[i + 1])) for i, node in enumerate(nodes) if node is not None]
    return recorded(_op, tuple(edges), y)


cat = declare(_op, _cat)


@composite(
    numpy=(np.stack,),
    method=False,
    inputs=(),
    cases=(
        Case((2, 3), (2, 3), axis=1),
        Case((), (), axis=0),
        Case((3,), axis=-1),
    ),
)
def stack(tensors: Any, axis: int = 0) -> Any:
    """Tensors of one shape along a new dimension."""
    shapes = [tuple(x.shape) for x in tensors]
    if len(set(shapes)) != 1:
        raise ShapeError(f"stack: the tensors must be at least one and of one shape, got {shapes}")
    given: list[Any] = [x if isinstance(x, Tensor) else wrap(x) for x in tensors]
    return cat([x.unsqueeze(axis) for x in given], axis)


@composite(numpy=(np.vstack,), method=False, inputs=(), cases=(Case((2, 3), (1, 3)), Case((3,), (3,))))
def vstack(tensors: Any) -> Any:
    """Tensors below one another; a vector counts as a row."""
    return cat([x.reshape(1, -1) if x.ndim < 2 else x for x in tensors], 0)


@composite(numpy=(np.hstack,), method=False, inputs=(), cases=(Case((2, 3), (2, 1)), Case((3,), (1,))))
def hstack(tensors: Any) -> Any:
    """Tensors side by side; vectors one after another."""
    given = [x.reshape(1) if x.ndim == 0 else x for x in tensors]
    return cat(given, 0 if given and given[0].ndim == 1 else 1)


@composite(cases=(Case((5, 2), split_size=2), Case((2, 5), split_size=(1, 4), axis=1)))
def split(x: Any, split_size: Any, axis: int = 0) -> tuple[Any, ...]:
    """Parts along an axis: of one size (the last may be smaller), or of the sizes in a list."""
    i = normal_axis(axis, x.ndim, "split")
    length = _length(x, i, "split")
    if isinstance(split_size, int):
        if split_size < 0 or (split_size == 0 and length):
            raise ShapeError(f"split: the size of a part must be positive, got {split_size}")
        split_size = [min(split_size, length - start) for start in range(0, length, split_size or 1)] or [0]
    if sum(split_size) != length:
        raise ShapeError(f"split: sizes {list(split_size)} add up to {sum(split_size)}, but dimension {i} has {length}")
    ends = list(accumulate(split_size, initial=0))
    head = (slice(None),) * i
    return _several([x[(*head, slice(a, b))] for a, b in pairwise(ends)])


def _several(views: list[Any]) -> tuple[Any, ...]:
    """Views that one call made, which PyTorch lets nobody write to where a graph is recorded."""
    bar(views, SEVERAL)
    return tuple(views)


@composite(cases=(Case((5, 2), chunks=2), Case((2, 6), chunks=4, axis=-1)))
def chunk(x: Any, chunks: int, axis: int = 0) -> tuple[Any, ...]:
    """At most `chunks` parts of equal size along an axis, the last one smaller."""
    if chunks <= 0:
        raise ShapeError(f"chunk: the number of parts must be positive, got {chunks}")
    length = _length(x, normal_axis(axis, x.ndim, "chunk"), "chunk")
    return split(x, [0] * chunks, axis) if not length else split(x, max(-(-length // chunks), 1), axis)


@composite(cases=(Case((2, 3)), Case((2, 3), axis=-1)))
def unbind(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """The slices along an axis, that axis gone."""
    i = normal_axis(axis, x.ndim, "unbind")
    return _several([x[(slice(None),) * i + (k,)] for k in range(_length(x, i, "unbind"))])


def _length(x: Any, axis: int, op: str) -> int:
    if x.ndim == 0:
        raise ShapeError(f"{op}: a 0-d tensor has no dimension to take apart")
    return int(x.shape[axis])


publish(globals())
