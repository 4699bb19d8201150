"""Reading and writing at an index: getitem ↔ scatter_into, and what is made of them. Read `selection.py` next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np

from .. import dialect
from ..axes import PLACE, normal_axis
from ..core import Tensor
from ..declare import Case, composite, constant, fused, linear, publish
from ..duck import as_array, opaque
from ..errors import DtypeError, ShapeError
from ..fitting import stored
from .arithmetic import select
from .keys import fitting, steps

if TYPE_CHECKING:
    from ..calling import Operand


def _reading(x: Any, key: Any) -> Any:
    """x and a NumPy key for it; where one does not say it, what the first of two has read already."""
    *views, last = steps(key, x.shape)
    return getitem(x, views[0]) if views else x, last


def _writing(a: Any, b: Any, key: Any) -> Any:
    """The same for a write: where one key does not say it, the part that the first reads is written by the second."""
    *views, last = steps(key, a.shape)
    if views:
        return a, put(getitem(a, views[0]), b, last), views[0]
    return a, fitting(b, last, a.shape), last


def winners(key: Any, shape: tuple[int, ...]) -> Any:
    """1 where an assignment at `key` stays, 0 where a later entry of the same assignment overwrote it."""
    if dialect.basic(key):
        return 1
    return opaque(_last_written, key, shape)


def _last_written(key: Any, shape: tuple[int, ...]) -> Any:
    ids = np.zeros(shape, np.int64)
    count = np.arange(ids[key].size).reshape(ids[key].shape)
    ids[key] = count
    return ids[key] == count


getitem = linear(
    lambda x, key: dialect.getitem(x, key),
    "the entries at an index",
    lambda g, key, x_shape: dialect.scatter_into(g, key, x_shape),
    front=_reading,
    view=True,
    operators=("getitem",),
    cases=(
        Case((3, 4), key=1),
        Case((3, 4), key=(slice(None, None, 2), slice(1, 3))),
        Case((3, 4), key=(Ellipsis, None, -1)),
        Case((3, 4), key=np.array([0, 2, 0])),
        Case((3, 2), key=np.array([[True, False], [False, True], [True, True]])),
        Case((3, 4), key=(np.array([2, 2]), slice(None))),
    ),
    internal=True,
)
scatter_into = linear(
    lambda x, key, shape: dialect.scatter_into(x, key, shape),
    "zeros of a shape with x added at an index, entries named twice adding up",
    lambda g, key: dialect.getitem(g, key),
    method="_scatter_into",
    cases=(Case((4,), key=1, shape=(3, 4)), Case((3,), key=np.array([0, 2, 0]), shape=(3,))),
    internal=True,
)
put = fused(
    lambda a, b, key: opaque(dialect.replaced, a, b, key),
    "a with the entries at an index replaced by b",
    lambda g, key: dialect.put(g, key),
    lambda g, key, a_shape: dialect.getitem(g, key) * winners(key, a_shape),
    front=_writing,
    method="_put",
    cases=(
        Case((3, 4), (4,), key=1),
        Case((3, 4), (), key=(slice(None), 2)),
        Case((), (), key=Ellipsis),
        Case((3,), (3,), key=np.array([0, 2, 0])),
    ),
    internal=True,
)


@composite(
    numpy={np.take_along_axis: lambda arr, indices, axis=-1: arr.take_along_dim(indices, axis)},
    cases=(
        Case((2, 3), indices=np.array([[0, 2], [1, 1]]), axis=1),
        Case((2, 3), indices=np.array([[1, 0, 1]]), axis=0),
        Case((2, 3), indices=np.array([5, 0, 0]), axis=None),
    ),
)
def take_along_dim(x: Any, indices: Tensor, axis: int | None = None) -> Any:
    """The entries that `indices` names along an axis; the other sizes broadcast."""
    if axis is None:
        return x.reshape(-1)[np.ravel(cast("Any", indices))]
    i = normal_axis(axis, x.ndim, "take_along_dim")
    index = _integers(indices, "take_along_dim")
    if index.ndim != x.ndim:
        raise ShapeError(f"take_along_dim: x {tuple(x.shape)} and indices {index.shape} need as many dimensions")
    sizes = np.broadcast_shapes(*[tuple(1 if k == i else n for k, n in enumerate(s)) for s in (x.shape, index.shape)])
    index = np.broadcast_to(index, [index.shape[i] if k == i else n for k, n in enumerate(sizes)])
    wide = x.broadcast_to(tuple(x.shape[i] if k == i else n for k, n in enumerate(sizes)))
    return getitem(wide, _grid(index, i))


@composite(
    axis=PLACE,
    cases=(Case((2, 3), axis=1, index=np.array([[0, 2, 2, 1]])), Case((3,), axis=-1, index=np.array([1, 1]))),
)
def gather(x: Any, axis: int, index: Tensor) -> Any:
    """out[i][j] = x[index[i][j]][j] for axis 0; `index` may be smaller than x along the other axes."""
    return getitem(_listed(x), _checked_grid("gather", x.shape, axis, index)).reshape(np.shape(cast("Any", index)))


@composite(
    axis=PLACE,
    in_place=True,
    cases=(
        Case((2, 3), (2, 4), axis=1, index=np.array([[0, 2, 2, 1], [1, 1, 1, 1]])),
        Case((3, 2), (2, 2), axis=0, index=np.array([[2, 0]])),
    ),
)
def scatter_add(x: Any, axis: int, index: Tensor, src: Tensor) -> Any:
    """x with the entries of `src` added at the places that `index` names along an axis: gather's adjoint."""
    key = _checked_grid("scatter_add", x.shape, axis, index)
    return x + scatter_into(_source(src, index, "scatter_add"), key, tuple(x.shape) or (1,)).reshape(x.shape)


@composite(
    axis=PLACE,
    in_place=True,
    cases=(
        Case((2, 3), (2, 2), axis=1, index=np.array([[0, 2], [1, 0]])),
        Case((3,), axis=0, index=np.array([1]), src=7.0),
    ),
)
def scatter(x: Any, axis: int, index: Tensor, src: Operand) -> Any:
    """x with the entries at the places that `index` names along an axis replaced by those of `src`, or a number."""
    key = _checked_grid("scatter", x.shape, axis, index)
    return put(_listed(x), _source(src, index, "scatter"), key).reshape(x.shape)


@composite(
    axis=PLACE,
    cases=(Case((2, 3), axis=1, index=np.array([2, 0, 2])), Case((3,), axis=0, index=np.array([-1]))),
)
def index_select(x: Any, axis: int, index: Tensor) -> Any:
    """The slices along an axis that a vector of indices names."""
    numbers = _integers(index, "index_select")
    key = (slice(None),) * axis + (numbers.reshape(-1),)
    return getitem(x, key) if x.ndim else getitem(_listed(x), key).reshape(())


@composite(
    in_place=True,
    cases=(
        Case((2, 3), mask=np.array([True, False, True]), value=0.5),
        Case((2, 2), (), mask=np.array([[True], [False]])),
    ),
)
def masked_fill(x: Any, mask: Tensor, value: Operand) -> Any:
    """x with `value` wherever the mask is true; the mask broadcasts."""
    if isinstance(value, int | float) and x.dtype.kind in "biu":
        if not float(value).is_integer():
            raise DtypeError(f"masked_fill: {value} does not fit in a tensor of {x.dtype}; convert first: `x.float()`")
        value = stored("masked_fill", int(value), x.dtype)
    return select(value, x, _mask(mask, "masked_fill"))


@composite(
    cases=(
        Case((2, 3), mask=np.array([True, False, True])),
        Case((2, 1), mask=np.array([[True, False], [False, True]])),
    ),
)
def masked_select(x: Any, mask: Tensor) -> Any:
    """The entries of x where the mask is true, in one dimension; both broadcast."""
    keep = _mask(mask, "masked_select")
    shape = np.broadcast_shapes(tuple(x.shape), keep.shape)
    return getitem(x.broadcast_to(shape), np.broadcast_to(keep, shape))


def _nonzero(x: Any, as_tuple: bool = False) -> Any:
    return np.stack(np.nonzero(x), axis=1) if x.ndim else np.zeros((int(x != 0), 0), np.int64)


nonzero_rows = constant(
    _nonzero, "the indices of the nonzero entries, a row each", cases=(Case((2, 3)), Case(()))
)


@overload
def nonzero(x: Any) -> Tensor: ...
@overload
def nonzero(x: Any, as_tuple: Literal[True]) -> tuple[Tensor, ...]: ...
@overload
def nonzero(x: Any, as_tuple: bool) -> Tensor | tuple[Tensor, ...]: ...
@composite(
    bodies=(nonzero_rows,),
    numpy={np.nonzero: lambda a: a.nonzero(as_tuple=True)},
    cases=(Case((2, 3)), Case((2, 3), as_tuple=True), Case((0,))),
)
def nonzero(x: Any, as_tuple: bool = False) -> Any:
    """The indices of the nonzero entries, a row each; with `as_tuple` one vector for each dimension."""
    rows = nonzero_rows(x.reshape(1) if as_tuple and not x.ndim else x)
    x = x.reshape(1) if as_tuple and not x.ndim else x
    return tuple(rows[:, i] for i in range(x.ndim)) if as_tuple else rows


def _integers(index: Any, op: str) -> np.ndarray:
    array: np.ndarray = index.array if isinstance(index, Tensor) else as_array(index)
    if array.dtype.kind not in "iu":
        raise DtypeError(f"{op}: an index must be an integer tensor, not {array.dtype}: use `index.long()`")
    return array


def _mask(mask: Any, op: str) -> np.ndarray:
    array: np.ndarray = mask.array if isinstance(mask, Tensor) else as_array(mask)
    if array.dtype.kind != "b":
        raise DtypeError(f"{op}: a mask must be boolean, not {array.dtype}: use `mask.bool()`")
    return array


def _grid(index: np.ndarray, axis: int) -> tuple[Any, ...]:
    """The full index of which `index` is the part along `axis`."""
    return tuple(index if i == axis else grid for i, grid in enumerate(np.ogrid[tuple(map(slice, index.shape))]))


def _listed(x: Any) -> Any:
    """A single number as a list of one, for operations that go along a dimension."""
    return x if x.ndim else x.reshape(1)


def _checked_grid(op: str, shape: Any, axis: int, index: Any) -> tuple[Any, ...]:
    i, numbers = axis, _integers(index, op)
    shape, numbers = shape or (1,), numbers if numbers.ndim else numbers.reshape(1)
    if numbers.ndim != len(shape) or any(
        n > m for k, (n, m) in enumerate(zip(numbers.shape, shape, strict=False)) if k != i
    ):
        raise ShapeError(
            f"{op}: index of shape {numbers.shape} does not fit a tensor of shape {tuple(shape)}: as many "
            f"dimensions, and no size larger except along dimension {i}"
        )
    return _grid(numbers, i)


def _source(src: Any, index: Any, op: str) -> Any:
    """The part of `src` that `index` covers."""
    if not isinstance(src, Tensor):
        return src
    src, index = _listed(cast("Any", src)), _listed(index)
    if src.ndim != len(index.shape) or any(n > m for n, m in zip(index.shape, src.shape, strict=False)):
        raise ShapeError(f"{op}: index {tuple(index.shape)} is larger than src {tuple(src.shape)}")
    return getitem(src, tuple(slice(0, n) for n in index.shape))


publish(globals())
