"""The same entries in another shape: linear maps, each with its adjoint beside it.

broadcast_to ↔ sum_to_size · reshape ↔ reshape back · transpose ↔ the inverse permutation · Read
`copies.py` next.
"""

from __future__ import annotations

from builtins import all as all_of
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dialect, kernels
from ..alias import shares
from ..axes import LISTED, NAMED, PLACE, each_axis, normal_axis
from ..core import Tensor
from ..declare import Case, composite, linear, publish
from ..duck import Duck
from ..errors import AxisError, DtypeError, ShapeError, kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..axes import Axes


def sizes(shape: Any) -> tuple[int, ...]:
    """Sizes given one by one, or as one tuple, list or Size."""
    if len(shape) == 1 and not hasattr(shape[0], "__index__"):
        shape = shape[0]
    try:
        return tuple([n.__index__() for n in shape])
    except (AttributeError, TypeError, ShapeError):  # ShapeError: of a Tensor that is asked for its one entry
        given = shape if isinstance(shape, tuple | list) else (shape,)
        told = next((kind_of(n) for n in given if not hasattr(n, "__index__") or isinstance(n, Tensor)), repr(shape))
        fix = "; `n // 2` is an int, `n / 2` a float" if any(isinstance(n, float) for n in given) else ""
        raise DtypeError(f"a shape is made of ints, not {told}{fix}") from None


def fill_in(shape: tuple[int, ...], size: int, have: tuple[int, ...]) -> tuple[int, ...]:
    """One -1 replaced by what is left over."""
    known = prod([n for n in shape if n != -1])
    fits = known == size if -1 not in shape else shape.count(-1) == 1 and known > 0 and size % known == 0
    if not fits or any(n < -1 for n in shape):
        raise ShapeError(
            f"reshape: {size} entries of shape {have} do not fit in {shape}; the product of the sizes must be "
            f"{size}, and one of them may be -1"
        )
    return tuple(size // known if n == -1 else n for n in shape)


def _once(op: str, given: tuple[Any, ...], shape: Any) -> tuple[int, ...]:
    if bool(given) is (shape is not None):
        raise DtypeError(f"{op}: the sizes are given one by one, as one tuple, or as shape=, and only once")
    return sizes(given or (shape,))


def _reshape(x: Any, *sizes: int | Sequence[int], shape: Sequence[int] | None = None) -> Any:
    return x, fill_in(_once("reshape", sizes, shape), prod(x.shape), tuple(x.shape))


def _expand(x: Any, *sizes: int | Sequence[int], shape: Sequence[int] | None = None) -> Any:
    wanted = _once("expand", sizes, shape)
    lead = len(wanted) - x.ndim
    have = (1,) * lead + tuple(x.shape)
    full = tuple(have[i] if n == -1 and i >= lead else n for i, n in enumerate(wanted))
    if lead < 0 or any(m not in (1, n) for m, n in zip(have, full, strict=True)):
        raise ShapeError(f"expand: shape {tuple(x.shape)} cannot be expanded to {wanted}: only sizes of 1 can grow")
    return x, full


def _sum_to(x: Any, *shape: int | Sequence[int]) -> Any:
    wanted = sizes(shape)
    lead = x.ndim - len(wanted)
    if lead < 0 or any(n not in (1, m) for n, m in zip(wanted, x.shape[lead:], strict=True)):
        raise ShapeError(f"sum_to_size: shape {tuple(x.shape)} cannot be summed to {wanted}")
    return x, wanted


def _axes(x: Any, *axes: int | Sequence[int]) -> Any:
    given: Any = axes[0] if len(axes) == 1 and not hasattr(axes[0], "__index__") else axes
    found = each_axis(tuple(given) if hasattr(given, "__iter__") else given, x.ndim, "permute")
    if len(found) != x.ndim:
        raise ShapeError(f"permute: {found} must name each of the {x.ndim} dimensions once")
    return x, found


def _wide(x: Any, shape: Any) -> Any:
    """The view; unlike NumPy's own it may be written to, as PyTorch's: `inplace.py` sees to entries that coincide."""
    if prod(shape) == x.size:
        return x.reshape(shape)
    if type(x) is not np.ndarray or not x.flags.writeable:
        view: Any = np.broadcast_to(x, shape)
        if isinstance(view, Duck):
            view.flags.writeable = x.actual.flags.writeable
        return view
    lead = len(shape) - x.ndim
    steps = [0] * lead + [0 if n != m else step for n, m, step in zip(x.shape, shape[lead:], x.strides, strict=True)]
    return np.lib.stride_tricks.as_strided(x, shape, steps)


reshape = linear(
    lambda x, shape: x.reshape(shape),
    "the same entries, in order, in another shape",
    lambda g, x_shape: dialect.reshape(g, x_shape),
    front=_reshape,
    view=True,
    torch={"shape": ("shape", "size")},
    numpy={np.reshape: lambda a, shape: a.reshape(shape)},
    cases=(Case((2, 6), shape=(3, 4)), Case((4,), shape=(2, 2)), Case((), shape=(1, 1)), Case((0, 3), shape=(3, 0))),
)
broadcast_to = linear(
    _wide,
    "x repeated along sizes of 1, without copying",
    lambda g, x_shape: dialect.sum_to(g, x_shape),
    front=_expand,
    view=True,
    torch={"shape": "size"},
    alias=("expand",),
    numpy=(np.broadcast_to,),
    cases=(Case((3, 1), shape=(2, 3, 4)), Case((), shape=(2,)), Case((2, 1), shape=(2, 0))),
)
sum_to_size = linear(
    lambda x, shape: dialect.sum_to(x, shape),
    "x summed down to a shape from which it could have been broadcast",
    lambda g, x_shape: dialect.broadcast_to(g, x_shape),
    front=_sum_to,
    view=True,
    torch={"shape": "size"},
    cases=(Case((2, 3, 4), shape=(3, 1)), Case((2, 3), shape=())),
)
permute = linear(
    lambda x, axes: np.transpose(x, axes),
    "the dimensions in another order",
    lambda g, axes: np.transpose(g, dialect.inverse(axes)),
    front=_axes,
    view=True,
    torch={"axes": "dims"},
    numpy={np.transpose: lambda a, axes=None: a.permute(tuple(range(a.ndim))[::-1] if axes is None else axes)},
    cases=(Case((2, 3, 4), axes=(2, 0, 1)), Case((2, 3), axes=(1, 0)), Case((), axes=())),
)


def _flip(x: Any, *axis: int | Sequence[int]) -> Any:
    return x, axis[0] if len(axis) == 1 else axis



flip = linear(
    lambda x, axis: kernels.dense(np.flip(x, axis)),  # with memory of its own, as in PyTorch
    "back to front along axes",
    lambda g, axis: np.flip(g, axis),
    front=_flip,
    axis=LISTED,
    torch={"axis": "dims"},
    numpy={np.flip: lambda m, axis=None: m.flip(tuple(range(m.ndim)) if axis is None else axis)},
    cases=(Case((2, 3), axis=(1,)), Case((2, 3), axis=(0, 1))),
)


def _roll(x: Any, shifts: int | Sequence[int], axis: Axes = None) -> Any:
    by = sizes((shifts,))
    axes = () if axis is None else tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    if len(by) != (len(axes) or 1):
        raise ShapeError(f"roll: {len(by)} shifts {by} for {len(axes) or 'all'} dimensions: one for each is needed")
    if axes and not x.ndim:
        raise AxisError(f"roll: dimension {axes[0]} is out of range for a tensor of 0 dimensions")
    return (x, by, tuple(normal_axis(a, x.ndim, "roll") for a in axes)) if axes else (x, by[0], None)


def _negative(shifts: Any) -> Any:
    return tuple(-n for n in shifts) if isinstance(shifts, tuple | list) else -shifts


def _numpy_roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """NumPy lets one shift count for several axes, and several shifts for one axis."""
    if axis is None:
        return roll(a, int(np.sum(shift)))
    shifts, axes = np.broadcast_arrays(shift, axis)
    return roll(a, tuple(shifts.ravel().tolist()), tuple(axes.ravel().tolist()))


roll = linear(
    lambda x, shifts, axis: np.roll(x, shifts, axis),
    "shifted along axes, what falls off coming in again at the other end",
    lambda g, shifts, axis: np.roll(g, _negative(shifts), axis),
    front=_roll,
    torch={"axis": "dims"},
    numpy={np.roll: _numpy_roll},
    cases=(Case((2, 3), shifts=1, axis=1), Case((5,), shifts=2), Case((2, 3), shifts=(1, -1), axis=(0, 1))),
)


def _matrices(x: Any, diagonal: int = 0) -> Any:
    if x.ndim < 2:
        raise ShapeError(f"tril/triu: a matrix, or several, is expected, not a tensor of shape {tuple(x.shape)}")
    return x, diagonal.__index__()


tril = linear(
    lambda x, diagonal=0: np.tril(x, diagonal),
    "the lower triangle, zeros above the diagonal",
    lambda g, diagonal: np.tril(g, diagonal),
    front=_matrices,
    in_place=True,
    numpy={np.tril: {"k": "diagonal"}},
    cases=(Case((3, 4), diagonal=0), Case((2, 3, 3), diagonal=-1)),
)
triu = linear(
    lambda x, diagonal=0: np.triu(x, diagonal),
    "the upper triangle, zeros below the diagonal",
    lambda g, diagonal: np.triu(g, diagonal),
    front=_matrices,
    in_place=True,
    numpy={np.triu: {"k": "diagonal"}},
    cases=(Case((3, 4), diagonal=0), Case((2, 3, 3), diagonal=1)),
)


@composite(cases=(Case((2, 3, 4), dim0=0, dim1=-1), Case((2, 3), dim0=0, dim1=1), Case((), dim0=0, dim1=-1)))
def transpose(x: Any, dim0: int, dim1: int) -> Any:
    """Two dimensions swapped; `permute` takes all of them in a new order."""
    axes = list(range(x.ndim))
    i, j = normal_axis(dim0, x.ndim, "transpose"), normal_axis(dim1, x.ndim, "transpose")
    if x.ndim:
        axes[i], axes[j] = axes[j], axes[i]
    return permute(x, tuple(axes))


@composite(
    torch={"axis0": ("axis0", "dim0"), "axis1": ("axis1", "dim1")},
    numpy={np.swapaxes: {"axis1": "axis0", "axis2": "axis1"}},
    alias=("swapdims",),
    cases=(Case((2, 3, 4), axis0=0, axis1=-1),),
)
def swapaxes(x: Any, axis0: int, axis1: int) -> Any:
    """Two dimensions swapped."""
    return transpose(x, axis0, axis1)


@composite(cases=(Case((2, 3)), Case((3,)), Case(())))
def t(x: Any) -> Any:
    """The transpose of a matrix; vectors and scalars as they are."""
    if x.ndim > 2:
        raise ShapeError(f"t: a tensor of at most 2 dimensions is expected, got {tuple(x.shape)}; use `.mT` or permute")
    return permute(x, tuple(range(x.ndim))[::-1])


@composite(
    numpy=(np.moveaxis,),
    alias=("moveaxis",),
    cases=(
        Case((2, 3, 4), source=0, destination=-1),
        Case((2, 3, 4), source=(0, 1), destination=(1, 2)),
    ),
)
def movedim(x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """Dimensions moved to other places, the others keeping their order."""
    here, there = each_axis(source, x.ndim, "movedim"), each_axis(destination, x.ndim, "movedim")
    if len(here) != len(there):
        raise ShapeError(f"movedim: {len(here)} dimensions cannot go to {len(there)} places")
    if not x.ndim:
        return permute(x, ())
    rest = iter([i for i in range(x.ndim) if i not in here])
    place = dict(zip(there, here, strict=True))
    return permute(x, tuple(place[i] if i in place else next(rest) for i in range(x.ndim)))


@composite(
    cases=(Case((2, 3, 4)), Case((2, 3, 4), start_dim=1), Case((2, 3, 4), start_dim=0, end_dim=-2), Case(())),
)
def flatten(x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The dimensions from start to end made one."""
    first, last = normal_axis(start_dim, x.ndim, "flatten"), normal_axis(end_dim, x.ndim, "flatten")
    if first > last:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    if first == last and x.ndim:
        return x
    return reshape(x, (*x.shape[:first], prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


@composite(numpy={np.ravel: lambda a: a.ravel()}, cases=(Case((2, 3)), Case(()), Case((0, 2))))
def ravel(x: Any) -> Any:
    """All entries in one dimension: a view where they lie in order, else a copy."""
    return reshape(x.contiguous(), (prod(x.shape),))


@composite(axis=PLACE, cases=(Case((2, 6), axis=-1, sizes=(2, -1)), Case((4,), axis=0, sizes=(2, 2))))
def unflatten(x: Any, axis: int, sizes: Sequence[int]) -> Any:
    """One dimension made several."""
    i = axis
    return reshape(x, (*x.shape[:i], *fill_in(tuple(sizes), x.shape[i], (x.shape[i],)), *x.shape[i + 1 :]))


@composite(
    axis=NAMED,
    numpy=(np.squeeze,),
    cases=(
        Case((1, 3, 1)),
        Case((1, 3, 1), axis=0),
        Case((1, 3, 1), axis=(0, -1)),
        Case((1,)),
    ),
)
def squeeze(x: Any, axis: Any = None) -> Any:
    """Dimensions of size 1 taken away: all, or those named (where they are of size 1)."""
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in axis))


def _expand_dims(a: Any, axis: Any) -> Any:
    return reshape(a, np.expand_dims(np.broadcast_to(0, a.shape), axis).shape)


@composite(
    numpy={np.expand_dims: _expand_dims}, cases=(Case((2, 3), axis=0), Case((2, 3), axis=-1), Case((), axis=0))
)
def unsqueeze(x: Any, axis: int) -> Any:
    """A dimension of size 1 put in before `axis`."""
    i = normal_axis(axis, x.ndim + 1, "unsqueeze")
    return reshape(x, (*x.shape[:i], 1, *x.shape[i:]))


@composite(
    torch={"sizes_": "repeats"},
    cases=(Case((2, 3), sizes_=(2, 1, 2)), Case((), sizes_=(3,)), Case((2,), sizes_=(0,))),
)
def repeat(x: Any, *sizes_: int | Sequence[int]) -> Any:
    """The whole tensor laid side by side: `repeat(2, 3)` twice along the first dimension, 3 times along the second."""
    times = sizes(sizes_)
    if len(times) < x.ndim or any(n < 0 for n in times):
        raise ShapeError(f"repeat: {times} needs a number for each of the {x.ndim} dimensions, none negative")
    shape = (1,) * (len(times) - x.ndim) + tuple(x.shape)
    if all_of(k == 1 for k in times):
        return reshape(x, shape).clone()
    spread = reshape(x, tuple(n for size in shape for n in (1, size)))
    spread = broadcast_to(spread, tuple(n for pair in zip(times, shape, strict=True) for n in pair))
    y = reshape(spread, tuple(k * n for k, n in zip(times, shape, strict=True)))
    return y.clone() if shares(y.array, x.array) else y  # of a single entry the expanded view is the whole


@composite(numpy={np.tile: lambda A, reps: A.tile(reps)}, cases=(Case((2, 3), dims=(2,)), Case((3,), dims=(2, 2))))
def tile(x: Any, *dims: int | Sequence[int]) -> Any:
    """As `repeat`, with missing leading numbers taken as 1."""
    times = sizes(dims)
    return repeat(x, (1,) * (x.ndim - len(times)) + times)


@composite(
    numpy={np.repeat: lambda a, repeats, axis=None: a.repeat_interleave(repeats, axis)},
    cases=(
        Case((2, 3), repeats=2),
        Case((2, 3), repeats=np.array([2, 0, 1]), axis=1),
        Case((2, 3), repeats=3, axis=-2),
    ),
)
def repeat_interleave(x: Any, repeats: int | Tensor, axis: int | None = None) -> Any:
    """Each entry along an axis repeated: the same number of times, or each its own."""
    x, i = (ravel(x), 0) if axis is None else (x, normal_axis(axis, x.ndim, "repeat_interleave"))
    count = repeats.array if isinstance(repeats, Tensor) else np.asarray(repeats)
    x = x if x.ndim else ravel(x)
    if count.dtype.kind not in "iu" or (count.size and count.min() < 0):
        raise ShapeError(f"repeat_interleave: a number of repeats is an int, at least 0, not {repeats!r:.60}")
    if count.ndim and count.size not in (1, x.shape[i]):
        raise ShapeError(f"repeat_interleave: {count.size} repeats for {x.shape[i]} entries")
    return x[(slice(None),) * i + (np.repeat(np.arange(x.shape[i]), count),)]


publish(globals())
