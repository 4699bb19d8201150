"""Random integers, permutations, coin tosses and choices: remainders and comparisons of the same stream.

After this file you know which draws take one word and which take two, the thing to watch when two
programs are to stay in step. Back to `__init__.py` for the table of what is bit-equal.
"""

from __future__ import annotations

import math
from operator import index
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DtypeError, ShapeError, TensorError
from .continuous import check_float, check_shape, exponential, unit
from .generator import Generator, default_generator

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import DTypeLike, NDArray

    from .continuous import Array, Shape

_TWO_WORDS_FROM = 2**28  # a range this wide takes two words, so that the remainder stays nearly uniform
_INSIDE_OUT_FROM = (2**32 - 1) // 20  # permutations this long are built the other way round


def randint(
    low: int, high: int, shape: Shape, dtype: DTypeLike = np.int64, generator: Generator | None = None
) -> Array:
    """Integers from `low` to `high - 1`, as `torch.randint`, in any integer, float or bool dtype.

    One word each, two if high - low ≥ 2²⁸. Raises TensorError if the range is empty or does not fit the
    dtype (for floats: beyond the integers that it holds exactly); ShapeError and DtypeError.

    >>> randint(0, 10, 5, generator=Generator().manual_seed(0))
    array([4, 9, 3, 0, 3])
    """
    dims, kind = check_shape("randint", shape), np.dtype(dtype)
    try:
        low, high = index(low), index(high)
    except TypeError:
        raise DtypeError(f"randint: bounds are integers, not {low!r} and {high!r}; write int(high)") from None
    if low >= high:
        raise TensorError(f"randint: no integer lies in [{low}, {high}); the bound high must be above low")
    smallest, largest = _integers_of(kind)
    if low < smallest or high - 1 > largest:
        raise TensorError(f"randint: {kind} holds the integers from {smallest} to {largest}, "
                          f"not all of [{low}, {high}); draw int64 or narrow the range")
    source, count, width = generator or default_generator, math.prod(dims), high - low
    words = source.double_words(count) if width >= _TWO_WORDS_FROM else source.words(count)
    shifted = words % np.uint64(width) + np.uint64(low % 2**64)  # modulo 2⁶⁴, so a negative low works too
    return shifted.view(np.int64).astype(kind, copy=False).reshape(dims)


def _integers_of(kind: np.dtype[Any]) -> tuple[int, int]:
    """The smallest and largest int64 up to which `kind` holds every integer."""
    if kind.kind == "b":
        return 0, 1
    if kind.kind == "f":
        bound = 2 ** (np.finfo(kind).nmant + 1)
        return -bound, bound
    if kind.kind not in "iu":
        raise DtypeError(f"randint: cannot make {kind}; choose an integer, float or bool dtype")
    return int(np.iinfo(kind).min), min(int(np.iinfo(kind).max), 2**63 - 1)


def randperm(n: int, dtype: DTypeLike = np.int64, generator: Generator | None = None) -> Array:
    """The numbers 0 … n-1 in random order, as `torch.randperm`.

    Fisher–Yates from the front, one word per swap; from n = 214748364 on the inside-out variant with two
    words per element (Durstenfeld 1964; Knuth, TAOCP 2, 3.4.2). Raises ShapeError if n is negative,
    TensorError if the dtype cannot hold n - 1; DtypeError.

    >>> randperm(8, generator=Generator().manual_seed(0))
    array([4, 0, 7, 3, 2, 5, 1, 6])
    """
    (n,), kind = check_shape("randperm", (n,)), np.dtype(dtype)
    if n - 1 > _integers_of(kind)[1]:
        raise TensorError(f"randperm: {kind} cannot hold {n - 1}; write randperm({n}, dtype=np.int64)")
    source = generator or default_generator
    if n >= _INSIDE_OUT_FROM:
        return _inside_out(source, n).astype(kind, copy=False)
    here = np.arange(max(n - 1, 0), dtype=np.int64)
    there = here + (source.words(len(here)) % (n - here).astype(np.uint64)).astype(np.int64)
    order = list(range(n))
    for i, j in enumerate(there.tolist()):
        order[i], order[j] = order[j], order[i]
    return np.array(order, kind)


def _inside_out(source: Generator, n: int) -> NDArray[np.int64]:
    """Element i goes to a random place up to i, and what stood there moves to place i."""
    out = np.empty(n, np.int64)
    order = out.data  # a list of so many integers would need eight times the memory
    for start in range(0, n, 2**20):
        steps = np.arange(start, min(start + 2**20, n), dtype=np.uint64)
        places = source.double_words(len(steps)) % (steps + np.uint64(1))
        for i, place in enumerate(places.tolist(), start):
            order[i] = order[place]
            order[place] = i
    return out


def bernoulli(
    p: float | Array,
    shape: Shape | None = None,
    dtype: DTypeLike | None = None,
    generator: Generator | None = None,
) -> Array:
    """Ones with probability `p`, otherwise zeros, as `torch.bernoulli` and `Tensor.bernoulli_`.

    A number `p` needs a `shape` and takes two words each. An array `p` broadcasts to `shape` (default: its
    own) and takes one word each, two if it is float64. The dtype is float32, or that of the array `p`,
    unless given. Raises TensorError unless all of `p` is in [0, 1]; ShapeError and DtypeError.

    >>> bernoulli(0.5, 6, generator=Generator().manual_seed(0))
    array([0., 0., 1., 0., 0., 0.], dtype=float32)
    >>> bernoulli(np.full(4, 0.5, np.float32), generator=Generator().manual_seed(0))
    array([1., 0., 1., 1.], dtype=float32)
    """
    source = generator or default_generator
    if isinstance(p, np.ndarray):
        chance, dims = p, _shape_of_chances(p, shape)
        work = check_float("bernoulli", p.dtype)
    elif shape is None:
        raise ShapeError("bernoulli: a single probability needs a shape; write bernoulli(0.5, (2, 3))")
    else:
        chance, dims, work = np.asarray(float(p)), check_shape("bernoulli", shape), np.dtype(np.float64)
    if not ((chance >= 0) & (chance <= 1)).all():
        raise TensorError(f"bernoulli: probabilities lie in [0, 1], unlike {p}; logits need a sigmoid first")
    if dtype is None:
        dtype = p.dtype if isinstance(p, np.ndarray) else np.float32
    return np.asarray(unit(source, math.prod(dims), work).reshape(dims) < chance).astype(dtype)


def _shape_of_chances(p: Array, shape: Shape | None) -> tuple[int, ...]:
    dims = p.shape if shape is None else check_shape("bernoulli", shape)
    try:
        np.broadcast_to(p, dims)
    except ValueError:
        raise ShapeError(f"bernoulli: probabilities of shape {p.shape} do not broadcast to {dims}; "
                         f"leave the shape out") from None
    return dims


def dropout_mask(
    shape: Shape, p_keep: float, generator: Generator | None = None, strides: tuple[int, ...] | None = None
) -> NDArray[np.bool_]:
    """True where `torch.nn.functional.dropout` with p = 1 - p_keep keeps an element (scaled by 1/p_keep).

    Torch draws along memory, so a transposed input gets a transposed mask: pass its `strides` for that.
    As in torch, p_keep of 0 or 1 draws nothing. Raises TensorError unless p_keep is in [0, 1]; ShapeError.

    >>> dropout_mask(6, 0.5, Generator().manual_seed(0))
    array([False, False,  True, False, False, False])
    """
    dims = check_shape("dropout_mask", shape)
    if not 0 <= p_keep <= 1:
        raise TensorError(f"dropout_mask: p_keep lies in [0, 1], unlike {p_keep}; it is 1 - p of dropout(p)")
    if p_keep in (0, 1):
        return np.full(dims, p_keep == 1)
    if strides is None:
        return bernoulli(p_keep, dims, np.bool_, generator)
    order = sorted(range(len(dims)), key=lambda axis: -abs(strides[axis]))  # outermost in memory first
    along_memory = bernoulli(p_keep, [dims[axis] for axis in order], np.bool_, generator)
    return along_memory.transpose([order.index(axis) for axis in range(len(dims))])


def multinomial(
    weights: Array, num_samples: int, replacement: bool = False, generator: Generator | None = None
) -> NDArray[np.int64]:
    """Indices of categories drawn in proportion to `weights`, as `torch.multinomial`.

    `weights` is float32 or float64, shape (categories,) or (rows, categories); the result is int64 of
    shape (num_samples,) or (rows, num_samples). Without replacement (and for a single sample) the largest
    of weight/exponential win (Efraimidis and Spirakis 2006); with it, each sample is one uniform double
    looked up in the cumulative weights. Raises ShapeError for a wrong number of dimensions or samples,
    TensorError for weights that are negative, infinite, NaN or all zero; DtypeError.

    >>> multinomial(np.array([0.1, 0.7, 0.2]), 2, generator=Generator().manual_seed(0))
    array([1, 2])
    """
    _check_weights(weights, num_samples, replacement)
    source, rows = generator or default_generator, np.atleast_2d(weights)
    if replacement and num_samples > 1:
        chosen = _with_replacement(source, rows, num_samples)
    else:
        waits = exponential(rows.shape, 1.0, rows.dtype, source)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            chosen = np.argsort(-(rows / waits), axis=1, kind="stable")[:, :num_samples]
    return chosen.reshape((*weights.shape[:-1], num_samples))


def _with_replacement(source: Generator, rows: Array, samples: int) -> NDArray[np.int64]:
    with np.errstate(over="ignore", invalid="ignore"):  # a sum beyond the dtype is infinite in torch, too
        cumulative = np.cumsum(rows, axis=1)
        cumulative /= cumulative[:, -1:].copy()
    points = unit(source, len(rows) * samples, np.float64).reshape(len(rows), samples)
    chosen = np.empty(points.shape, np.int64)
    for row, (steps, wanted) in enumerate(zip(cumulative, points, strict=True)):
        chosen[row] = np.searchsorted(steps.astype(np.float64), wanted)
    return chosen


def _check_weights(weights: Array, num_samples: int, replacement: bool) -> None:
    if weights.dtype not in (np.float32, np.float64):
        raise DtypeError(f"multinomial: weights are float32 or float64, not {weights.dtype}; "
                         f"write weights.astype(np.float32)")
    if weights.ndim not in (1, 2):
        raise ShapeError(f"multinomial: weights of shape {weights.shape} must be one row, or rows; "
                         f"write weights.reshape(-1, categories)")
    categories = weights.shape[-1]
    if num_samples <= 0 or (not replacement and num_samples > categories):
        raise ShapeError(f"multinomial: cannot take {num_samples} samples of {categories} categories; "
                         f"take 1 to {categories}, or write replacement=True")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (weights > 0).any(axis=-1).all()):
        raise TensorError("multinomial: weights must be finite, not negative, and not all zero in a row; "
                          "for logits apply softmax first")
