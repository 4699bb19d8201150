"""The few words that a rule may use besides operators and NumPy's functions.

Each reads an array or a Tensor: on arrays it is NumPy, on Tensors the operation of the same name, so that
the rule's result can be differentiated again. Read `ops/__init__.py` next: the tables.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from . import kernels
from .alias import shares
from .duck import TRACES, Array, Duck, opaque
from .kernels import total as total

ARRAY_LIKE = (*Array, np.generic)


def is_array(x: Any) -> bool:
    return isinstance(x, ARRAY_LIKE)


def reshape(x: Any, shape: tuple[int, ...]) -> Any:
    return x if x.shape == shape else x.reshape(shape)


def rows(x: Any) -> Any:
    """(…, n) as a matrix of rows (m, n); also right where a size is 0."""
    return x if x.ndim == 2 else x.reshape((prod(x.shape[:-1]), x.shape[-1]))


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """x repeated along sizes of 1, without copying."""
    if x.shape == shape:
        return x
    if not is_array(x):
        return x.broadcast_to(shape)
    if x.size == 1 and isinstance(x, np.ndarray):  # ten times cheaper than np.broadcast_to
        view = np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
        view.flags.writeable = False
        return view
    return np.broadcast_to(x, shape)


def sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    """x summed over the axes along which `shape` was broadcast: the adjoint of broadcast_to."""
    if x.shape == shape:
        return x
    if not is_array(x):
        return x.sum_to_size(shape)
    lead = x.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(i for i, n in enumerate(shape, lead) if n == 1 and x.shape[i] != 1)
    return total(x, axes, True).reshape(shape)


def getitem(x: Any, key: Any) -> Any:
    return opaque(taken, x, key) if TRACES and is_array(x) and not basic(key) else x[key]


def taken(x: Any, key: Any) -> Any:
    return x[key]


def scatter_into(g: Any, key: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of `shape` with g added at `key`: the adjoint of getitem; entries named twice add up."""
    if not is_array(g):
        return g._scatter_into(key, shape)
    return opaque(placed if basic(key) else added_up, g, key, shape)


def placed(g: Any, key: Any, shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, g.dtype)
    out[key] = g
    return out


def added_up(g: Any, key: Any, shape: tuple[int, ...]) -> Any:
    out = np.zeros(shape, np.float32 if g.dtype == np.float16 else g.dtype)
    np.add.at(out, key, g)
    return out.astype(g.dtype, copy=False)


def part(x: Any, steps: Any) -> Any:
    """What view operations look at, one after another."""
    for op, params, _, _ in steps:
        x = op.forward(x, *params) if is_array(x) else op.call(x, *params)
    return x


def with_part(a: Any, b: Any, steps: Any) -> Any:
    """a with the part that view operations look at replaced by b."""
    if not is_array(a):
        return a._part_replaced(b, steps)
    out = a.copy("K") if isinstance(a, Duck) else np.array(a)
    look = part(out, steps)
    if look is out or shares(look, out):
        look[...] = b
        return out
    numbers = part(np.arange(out.size).reshape(out.shape), steps)  # the layout of `a` lets nobody look: by position
    return opaque(replaced, a, b, np.unravel_index(numbers, out.shape))


def basic(key: Any) -> bool:
    """Whether an index is made of ints, slices, None and … only, and so names no entry twice."""
    parts = key if isinstance(key, tuple) else (key,)
    return all(part is None or part is Ellipsis or isinstance(part, slice | int | np.integer) for part in parts)


def running(x: Any, axis: int | None) -> Any:
    return kernels.running(x, axis) if is_array(x) else x.cumsum(axis)


def inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes `axes`."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def sigmoid(x: Any) -> Any:
    return kernels.sigmoid(x) if is_array(x) or isinstance(x, float | int) else x.sigmoid()


def away(a: Any, b: Any) -> Any:
    """False where both are 0: a factor that takes a derivative, and all further ones, to 0 there."""
    return (a != 0) | (b != 0)


def put(g: Any, key: Any) -> Any:
    """g with zeros at `key`."""
    if not is_array(g):
        return g._put(0.0, key)
    return opaque(replaced, g, 0, key)


def replaced(a: Any, b: Any, key: Any) -> Any:
    out = np.array(a)
    out[key] = b
    return out
