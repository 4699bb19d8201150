"""Products of vectors, matrices and tensors. Read `loss.py` next."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..axes import each_axis
from ..declare import Case, bilinear, composite, fused, linear, publish
from ..dialect import inverse, rows, total
from ..dialect import scatter_into as scatter_into_of
from ..errors import ShapeError
from ..kernels import HALF, MANY
from .indexing import scatter_into
from .shapes import permute, reshape, transpose

matmul_nd = bilinear(
    np.matmul,
    "matrix product of the last two dimensions, the others broadcasting",
    lambda g, b: g @ b.mT,
    lambda g, a: a.mT @ g,
    cases=(Case((2, 3), (3, 4)), Case((5, 2, 3), (3, 4)), Case((2, 1, 2, 3), (4, 3, 2)), Case((0, 2), (2, 3))),
)


ndarray = np.ndarray

# On plain arrays the method `dot` is the cheapest way to a matrix product: np.dot and np.matmul dispatch first.


def _to_input(g: Any, b: Any) -> Any:
    return g.dot(b)


def _to_weight(g: Any, a: Any) -> Any:
    return g.T.dot(a) if g.ndim == 2 else rows(g).T.dot(rows(a))


def _product(a: Any, b: Any, c: Any = None) -> Any:
    y = a.dot(b.T) if a.ndim == 2 else np.matmul(a, b.T)
    if c is not None:
        y += c
    return y


_ONES: dict[Any, Any] = {}


def _to_bias(g: Any) -> Any:
    """The sum over the rows; of a few as a product with ones, which costs a quarter of `add.reduce`."""
    g = g if g.ndim == 2 else rows(g)
    count = len(g)
    if count == 1:
        return g[0].copy()
    if not 1 < count <= MANY or g.dtype.kind != "f" or g.dtype is HALF:
        return total(g, (0,))
    ones = _ONES.get((count, g.dtype))
    if ones is None:
        ones = _ONES[count, g.dtype] = np.ones(count, g.dtype)
    return ones.dot(g) if type(g) is ndarray else np.dot(ones, g)


affine = fused(
    _product,
    "x Wᵀ + b, or x Wᵀ",
    lambda g, b: g @ b,
    lambda g, a: rows(g).mT @ rows(a),
    lambda g: total(rows(g), (0,)),
    fast_rules=(_to_input, _to_weight, _to_bias),
    cases=(
        Case((2, 3), (4, 3), (4,)), Case((3,), (2, 3), (2,)), Case((2, 5, 3), (4, 3), (4,)),
        Case((2, 3), (4, 3)), Case((3,), (2, 3)), Case((2, 5, 3), (4, 3)), Case((0, 3), (4, 3)),
    ),
    shown="linear",
    internal=True,
)


@composite(
    bodies=(matmul_nd,),
    numpy=(np.matmul,),
    operators=("matmul", "rmatmul"),
    inputs=("a", "b"),
    cases=(
        Case((2, 3), (3, 4)),
        Case((3,), (3,)),
        Case((2, 3), (3,)),
        Case((3,), (2, 3, 4)),
        Case((2, 1, 2, 3), (3, 3, 2)),
    ),
)
def matmul(a: Any, b: Any) -> Any:
    """Matrix product in every rank: a vector on the left counts as a row, on the right as a column."""
    if a.ndim > 1 and b.ndim > 1:
        return matmul_nd(a, b)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"matmul: both need at least 1 dimension, got {tuple(a.shape)} and {tuple(b.shape)}; use `*`")
    try:
        y = matmul_nd(a if a.ndim > 1 else a.unsqueeze(0), b if b.ndim > 1 else b.unsqueeze(1))
    except ShapeError:
        told = f"a {tuple(a.shape)} {a.dtype}, b {tuple(b.shape)} {b.dtype}"
        raise ShapeError(f"matmul: the inner sizes do not fit: {told}; a vector has only one") from None
    shape = tuple(y.shape)
    if b.ndim == 1:
        shape = shape[:-1]
    return reshape(y, shape[:-1] if a.ndim == b.ndim == 1 else shape if a.ndim > 1 else (*shape[:-2], shape[-1]))


def _ranks(op: str, a: Any, b: Any, rank_a: int, rank_b: int) -> None:
    if a.ndim != rank_a or b.ndim != rank_b:
        raise ShapeError(
            f"{op}: needs tensors of {rank_a} and {rank_b} dimensions, got {tuple(a.shape)} and {tuple(b.shape)}; "
            "`tg.matmul` takes every rank"
        )


@composite(torch={"b": "mat2"}, inputs=("a", "b"), cases=(Case((2, 3), (3, 4)), Case((0, 3), (3, 2))))
def mm(a: Any, b: Any) -> Any:
    """Product of two matrices."""
    _ranks("mm", a, b, 2, 2)
    return matmul_nd(a, b)


@composite(torch={"b": "mat2"}, inputs=("a", "b"), cases=(Case((2, 2, 3), (2, 3, 4)),))
def bmm(a: Any, b: Any) -> Any:
    """Products of two batches of matrices, pair by pair."""
    _ranks("bmm", a, b, 3, 3)
    if a.shape[0] != b.shape[0]:
        raise ShapeError(f"bmm: batches of {a.shape[0]} and {b.shape[0]}; `tg.matmul` would broadcast a batch of 1")
    return matmul_nd(a, b)


@composite(torch={"b": "vec"}, inputs=("a", "b"), cases=(Case((2, 3), (3,)),))
def mv(a: Any, b: Any) -> Any:
    """Product of a matrix and a vector."""
    _ranks("mv", a, b, 2, 1)
    return matmul(a, b)


def _numpy_dot(a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    return matmul(a, b) if np.ndim(b) < 3 else tensordot(a, b, ((-1,), (-2,)))


@composite(
    torch={"b": "tensor"},
    numpy={np.dot: _numpy_dot},
    inputs=("a", "b"),
    cases=(Case((3,), (3,)), Case((0,), (0,))),
)
def dot(a: Any, b: Any) -> Any:
    """Sum of the products of two vectors' entries."""
    _ranks("dot", a, b, 1, 1)
    return matmul(a, b)


def _numpy_outer(a: Any, b: Any) -> Any:
    return outer(np.ravel(a), np.ravel(b))


@composite(
    torch={"b": "vec2"},
    alias=("ger",),
    numpy={np.outer: _numpy_outer},
    inputs=("a", "b"),
    cases=(Case((2,), (3,)),),
)
def outer(a: Any, b: Any) -> Any:
    """All products of an entry of a with an entry of b."""
    _ranks("outer", a, b, 1, 1)
    return a.unsqueeze(1) * b.unsqueeze(0)


@composite(
    in_place=True,
    torch={"a": "mat1", "b": "mat2"},
    inputs=("x", "a", "b"),
    cases=(
        Case((4,), (2, 3), (3, 4)),
        Case((2, 4), (2, 3), (3, 4), beta=0.5, alpha=-2.0),
    ),
)
def addmm(x: Any, a: Any, b: Any, beta: float = 1.0, alpha: float = 1.0) -> Any:
    """beta · x + alpha · (a @ b)."""
    y = mm(a, b) if alpha == 1 else alpha * mm(a, b)
    if beta == 0:  # then NaN in x counts for nothing either
        return y + np.zeros(np.broadcast_shapes(x.shape, y.shape), x.dtype)
    return (x if beta == 1 else beta * x) + y


def _places(shape: Any, offset: int, i: int, j: int) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
    """Where a diagonal lies once dimensions i and j are the last ones: (index, shape then, the permutation)."""
    axes = (*[k for k in range(len(shape)) if k not in (i, j)], i, j)
    steps = np.arange(max(0, min(shape[i] + min(offset, 0), shape[j] - max(offset, 0))))
    return (Ellipsis, steps + max(-offset, 0), steps + max(offset, 0)), tuple(shape[k] for k in axes), axes


def _diagonal(x: Any, offset: int, i: int, j: int) -> Any:
    view = np.diagonal(x, offset, i, j)
    view.flags.writeable = x.flags.writeable  # NumPy gives a read-only view; PyTorch's may be written
    return view


def _diagonal_back(g: Any, x_shape: Any, offset: int, i: int, j: int) -> Any:
    key, shape, axes = _places(x_shape, offset, i, j)
    return np.transpose(scatter_into_of(g, key, shape), inverse(axes))


def _two_dims(x: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    return x, offset, *each_axis((dim1, dim2), x.ndim, "diagonal")


diagonal = linear(
    _diagonal,
    "the entries (k, k + offset) of two dimensions, as the last dimension: a view",
    _diagonal_back,
    front=_two_dims,
    view=True,
    numpy={np.diagonal: {"axis1": "dim1", "axis2": "dim2"}},
    cases=(
        Case((3, 4)),
        Case((2, 3, 4), offset=1, dim1=-1, dim2=0),
        Case((3, 2), offset=-1),
        Case((2, 2), offset=5),
    ),
)


@composite(cases=(Case((2, 3)), Case((2,), offset=-1)))
def diag_embed(x: Any, offset: int = 0) -> Any:
    """Matrices with the last dimension of x on a diagonal."""
    n = x.shape[-1] + (offset if offset > 0 else -offset)
    steps = np.arange(x.shape[-1])
    key = (Ellipsis, steps + max(-offset, 0), steps + max(offset, 0))
    return scatter_into(x, key, (*x.shape[:-1], n, n))


@composite(numpy={np.diag: {"k": "diagonal"}}, cases=(Case((3,)), Case((3, 4), diagonal=1), Case((2,), diagonal=-2)))
def diag(x: Any, diagonal: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    if x.ndim == 1:
        return diag_embed(x, diagonal)
    if x.ndim != 2:
        raise ShapeError(f"diag: needs a vector or a matrix, got {tuple(x.shape)}; use diagonal or diag_embed")
    return diagonal_of(x, diagonal).clone()


diagonal_of = diagonal


def _numpy_trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    return a.diagonal(offset, axis1, axis2).sum(-1, dtype=dtype)


@composite(numpy={np.trace: _numpy_trace}, cases=(Case((3, 3)), Case((2, 4))))
def trace(x: Any) -> Any:
    """Sum of a matrix's diagonal."""
    if x.ndim != 2:
        raise ShapeError(f"trace: needs a matrix, got {tuple(x.shape)}")
    return diagonal_of(x).sum()


@composite(
    numpy=(np.tensordot,),
    torch={"axes": "dims"},
    inputs=("a", "b"),
    cases=(
        Case((2, 3, 4), (3, 4, 2)),
        Case((2, 3), (2, 3), axes=((0, 1), (0, 1))),
        Case((2,), (3,), axes=0),
        Case((2, 3), (4, 3), axes=((1,), (1,))),
    ),
)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Products summed over the last `axes` dimensions of a and the first of b, or over two lists of dimensions."""
    if hasattr(axes, "__index__"):
        count = axes.__index__()
        if not 0 <= count <= min(a.ndim, b.ndim):
            raise ShapeError(f"tensordot: {tuple(a.shape)} and {tuple(b.shape)} need {count} dimensions each")
        axes = (range(a.ndim - count, a.ndim), range(count))
    left, right = (tuple(d) if hasattr(d, "__iter__") else (d,) for d in axes)
    over_a, over_b = each_axis(left, a.ndim, "tensordot"), each_axis(right, b.ndim, "tensordot")
    for i, j in zip(over_a, over_b, strict=False):  # a size of 1 meets every entry of the other, as in PyTorch
        if 1 in (n := (a.shape[i], b.shape[j])) and n[0] != n[1]:
            a, b = (a, b.sum(j, True)) if n[0] == 1 else (a.sum(i, True), b)
    if [a.shape[i] for i in over_a] != [b.shape[i] for i in over_b]:
        raise ShapeError(f"tensordot: dimensions {over_a} of {tuple(a.shape)} and {over_b} of {tuple(b.shape)} differ")
    keep_a = [i for i in range(a.ndim) if i not in over_a]
    keep_b = [i for i in range(b.ndim) if i not in over_b]
    inner = prod([a.shape[i] for i in over_a])
    shape_a, shape_b = [a.shape[i] for i in keep_a], [b.shape[i] for i in keep_b]
    flat_a = reshape(permute(a, (*keep_a, *over_a)), (prod(shape_a), inner))
    flat_b = reshape(permute(b, (*over_b, *keep_b)), (inner, prod(shape_b)))
    return reshape(matmul_nd(flat_a, flat_b), (*shape_a, *shape_b))


@composite(method=property, public=False, numpy=(np.matrix_transpose,), cases=(Case((2, 3)), Case((2, 3, 4))))
def mT(x: Any) -> Any:
    """The last two dimensions swapped."""
    if x.ndim == 1:
        raise ShapeError(f"mT: needs at least 2 dimensions, got {tuple(x.shape)}")
    return transpose(x, -2, -1) if x.ndim else x


@composite(method=property, public=False, cases=(Case((2, 3)), Case((2, 3, 4))))
def T(x: Any) -> Any:
    """All dimensions in reverse order."""
    return permute(x, tuple(range(x.ndim))[::-1])


publish(globals())
