"""NumPy's functions on Tensors: `np.exp(t)`, `ndarray * t`, `np.sum(t, axis=0)` are the operations of the REGISTRY.

NEP 13 (`__array_ufunc__`) and NEP 18 (`__array_function__`) hand the call over. What has no rule raises if a
gradient is at stake, and is NumPy's own answer otherwise. Arguments are read by NumPy's own signature: a keyword is
honoured or refused, never ignored. Read `conversion.py` next.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from . import creation
from .calling import normal_axes, normal_axis
from .core import Tensor, wrap
from .declare import REGISTRY
from .errors import DtypeError, InplaceError, ShapeError
from .methods import FUNCTIONS, names_of

UFUNCS: dict[Any, Any] = {}
ARRAY_FUNCTIONS: dict[Any, Any] = {}
REDUCE = {
    np.add: "sum",
    np.multiply: "prod",
    np.maximum: "amax",
    np.minimum: "amin",
    np.logical_and: "all",
    np.logical_or: "any",
}
WRITING = (np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal)
# What says nothing, beside a parameter's own default. Whoever sorts here sorts stably, which is every kind's promise.
SAYS_NOTHING: dict[str, tuple[Any, ...]] = {
    "kind": ("quicksort", "heapsort", "mergesort", "stable"), "stable": (True, False), "where": (True,),
    "keepdims": (False,), "device": ("cpu",), "optimize": (True, False, "greedy", "optimal"), "subok": (True, False),
}  # fmt: skip


def fill_tables() -> None:
    """Every NumPy function that a declaration names, as forward or as `numpy=`."""
    for op in REGISTRY.values():
        for function in (op.pure_forward, *op.numpy):
            if isinstance(function, np.ufunc):
                UFUNCS.setdefault(function, op.call)
            elif not hasattr(function, "__code__") or function in op.numpy:
                ARRAY_FUNCTIONS.setdefault(function, op.call)
    UFUNCS[np.power] = REGISTRY["pow"].call
    UFUNCS[np.matmul] = REGISTRY["matmul"].call


def has_grad(values: Any) -> bool:
    return any(
        (isinstance(v, Tensor) and v.node is not None) or (isinstance(v, list | tuple) and has_grad(v)) for v in values
    )


def plain(value: Any) -> Any:
    """The arrays in place of the Tensors."""
    if isinstance(value, Tensor):
        return value.array
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def silent(name: str, value: Any, default: Any) -> bool:
    """Whether an argument says what NumPy does anyway."""
    if value is default or value is np._NoValue or (value is None and name != "axis"):
        return True
    known = (default, *SAYS_NOTHING.get(name, ()))
    return isinstance(value, bool | int | float | str) and any(type(value) is type(k) and value == k for k in known)


def array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    if kwargs.pop("out", None) is not None or method == "at":
        how = ".at" if method == "at" else " with out=, or an array `a += tensor`"
        raise InplaceError(
            f"np.{ufunc.__name__}{how}: NumPy would write past the graph of a tensor. Write `a = a + tensor`, or "
            "`t.copy_(x)` to write into a tensor, and `t.scatter_add` for places of it"
        )
    told = {k: v for k, v in kwargs.items() if k == "axis" or not silent(k, v, None)}
    if method == "__call__" and not told and ufunc in UFUNCS:
        return UFUNCS[ufunc](*inputs)
    if method == "reduce" and ufunc in REDUCE and told.keys() <= {"axis", "keepdims"}:
        return FUNCTIONS[REDUCE[ufunc]](*inputs, axis=told.get("axis", 0), keepdims=told.get("keepdims", False))
    if has_grad(inputs):
        raise DtypeError(
            f"np.{ufunc.__name__} ({method}{f' with {sorted(told)}' if told else ''}) has no derivative "
            "here: use an operation of the package, or `t.detach()` if no gradient is wanted"
        )
    result = getattr(ufunc, method)(*map(plain, inputs), **kwargs)
    return tuple(map(wrap, result)) if isinstance(result, tuple) else wrap(result)


def array_function(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    if kwargs.get("out") is not None or function in WRITING:
        raise InplaceError(
            f"np.{function.__name__} writes into an array, and would do so past the graph: take its result, "
            "or write into a tensor with `t.copy_(...)` or `t[...] = ...`"
        )
    call, refused = ARRAY_FUNCTIONS.get(function), ""
    if call is not None:
        operands, given = by_name(function, args, kwargs)
        values, known, unknown = understood(function, call, given)
        result = NotImplemented if unknown else call(*operands, *values, **known)
        if result is not NotImplemented:
            return result
        refused = f" with {', '.join(f'{name}=' for name in unknown or list(given)[1:])}"
    if has_grad((*args, *kwargs.values())):
        raise DtypeError(
            f"np.{function.__name__}{refused} has no derivative here: use "
            "an operation of the package, or `t.detach()` if no gradient is wanted"
        )
    return function(*map(plain, args), **{k: plain(v) for k, v in kwargs.items()})


@cache
def signature(function: Any) -> Any:
    import inspect  # costs more than this whole module, and is asked for here alone

    try:
        return inspect.signature(function)
    except ValueError:  # before NumPy 2.4 its C functions do not tell
        return inspect.signature(ADAPTED[function])


def by_name(function: Any, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """(what NumPy takes as *operands, the other arguments under NumPy's names), less what says nothing."""
    try:
        bound = signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise DtypeError(f"np.{function.__name__}: {error}") from None
    operands: list[Any] = []
    given: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        parameter = signature(function).parameters[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            operands = list(value)
        elif parameter.kind is parameter.VAR_KEYWORD:
            given |= {k: v for k, v in value.items() if not silent(k, v, None)}
        elif parameter.default is parameter.empty or not silent(name, value, parameter.default):
            given[name] = value
    return operands, given


def understood(function: Any, call: Any, given: dict[str, Any]) -> tuple[list[Any], dict[str, Any], list[str]]:
    """(positional, by name, what is not known): an adapted call has NumPy's names, an operation NumPy's order."""
    if function in ADAPTED:
        known: Any = signature(call).parameters
        return [], given, [name for name in given if name not in known]
    parameters = list(signature(function).parameters.values())[: len(names_of(call.op))]
    known = [p.name for p in parameters]
    last = max((known.index(name) for name in given if name in known), default=-1)
    values = [given.get(p.name, p.default) for p in parameters[: last + 1]]
    return values, {}, [name for name in given if name not in known]


# ---------------------------------------------------------- where NumPy's spelling is not PyTorch's

F = FUNCTIONS


def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
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


def _dot(a: Any, b: Any) -> Any:
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    return F["matmul"](a, b) if np.ndim(b) < 3 else F["tensordot"](a, b, ((-1,), (-2,)))


def _spread(name: str) -> Any:
    def call(
        a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False, correction: Any = None
    ) -> Any:
        if whole(dtype):
            return NotImplemented
        a = a if dtype is None else a.to(dtype)
        return F[name](a, axis, ddof if correction is None else correction, keepdims)

    return call


def _fold(name: str) -> Any:
    return lambda a, axis=None, keepdims=False: F[name](a, axis, keepdims)


def _adding(name: str) -> Any:
    def call(a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        return NotImplemented if name == "mean" and whole(dtype) else F[name](a, axis, keepdims, dtype=dtype)

    return call


def whole(dtype: Any) -> bool:
    """NumPy takes a mean of integers where an integer dtype is asked for; nobody means that."""
    return dtype is not None and np.dtype(dtype).kind in "biu"


def _flat(x: Any, axis: Any) -> Any:
    return (x.reshape(-1), 0) if axis is None else (x, axis)


def _cumulative(name: str) -> Any:
    return lambda a, axis=None, dtype=None: F[name](*_flat(a, axis), dtype=dtype)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    return a.clone() if low is None and high is None else F["clamp"](a, low, high)


def _order(a: Any, axis: Any = -1, descending: Any = False) -> Any:
    """The indices that sort. NumPy puts NaN last even where the largest comes first, whereas PyTorch begins with it."""
    x, axis = _flat(a, axis)
    if descending and x.dtype.kind == "f":
        return F["argsort"](-x, axis)
    return F["argsort"](x, axis, bool(descending))


def _sorted(a: Any, axis: Any = -1, descending: Any = False) -> Any:
    x, along = _flat(a, axis)
    return F["take_along_dim"](x, _order(a, axis, True), along) if descending else F["sort"](x, along).values


def _roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """NumPy lets one shift count for several axes, and several shifts for one axis."""
    if axis is None:
        return F["roll"](a, int(np.sum(shift)))
    shifts, axes = np.broadcast_arrays(shift, axis)
    return F["roll"](a, tuple(shifts.ravel().tolist()), tuple(axes.ravel().tolist()))


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if ord is None:
        return F["norm"](x, 2, axis, keepdims)
    axes = normal_axes(axis, x.ndim, "np.linalg.norm")
    if len(axes) == 1:
        return F["norm"](x, ord, axes, keepdims)
    if len(axes) != 2:
        raise ShapeError(f"np.linalg.norm: ord={ord!r} is of a vector or a matrix, not of {len(axes)} axes")
    if ord == "fro":
        return F["norm"](x, 2, axes, keepdims)
    if isinstance(ord, str) or abs(ord) not in (1, np.inf):
        return NotImplemented  # singular values
    added, left = axes if abs(ord) == 1 else axes[::-1]
    y = F["amax" if ord > 0 else "amin"](F["sum"](F["abs"](x), added, True), left, True)
    return y if keepdims else F["squeeze"](y, axes)


def _expand_dims(a: Any, axis: Any) -> Any:
    return a.reshape(np.expand_dims(np.broadcast_to(0, a.shape), axis).shape)


def _trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    return F["sum"](F["diagonal"](a, offset, axis1, axis2), -1, dtype=dtype)


def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    return F["take_along_dim"](*_flat(arr, axis)[:1], indices, 0 if axis is None else axis)


def _like(name: str) -> Any:
    return lambda a, dtype=None: getattr(creation, name)(a, dtype=dtype)


ADAPTED = {
    **{getattr(np, name): _adding(name) for name in ("sum", "mean", "prod")},
    **{getattr(np, name): _fold(op) for name, op in {
        "max": "amax", "min": "amin", "amax": "amax", "amin": "amin", "all": "all", "any": "any", "argmax": "argmax",
        "argmin": "argmin", "count_nonzero": "count_nonzero"}.items()},
    np.var: _spread("var"), np.std: _spread("std"), np.split: _split, np.dot: _dot, np.clip: _clip,
    np.cumsum: _cumulative("cumsum"), np.cumprod: _cumulative("cumprod"), np.linalg.norm: _norm, np.trace: _trace,
    np.take_along_axis: _take_along_axis, np.expand_dims: _expand_dims,
    np.flip: lambda m, axis=None: F["flip"](m, tuple(range(m.ndim)) if axis is None else axis),
    np.repeat: lambda a, repeats, axis=None: F["repeat_interleave"](a, repeats, axis),
    np.sort: _sorted, np.argsort: _order, np.roll: _roll,
    np.searchsorted: lambda a, v, side="left": F["searchsorted"](a, v, side=side),
    np.transpose: lambda a, axes=None: F["permute"](a, tuple(range(a.ndim))[::-1] if axes is None else axes),
    np.where: lambda condition, x=None, y=None: F["where"](condition, x, y),
    np.concatenate: lambda arrays, axis=0: F["cat"](
        arrays if axis is not None else [np.ravel(a) for a in arrays], axis or 0
    ),
    np.outer: lambda a, b: F["outer"](np.ravel(a), np.ravel(b)),
    np.reshape: lambda a, shape: F["reshape"](a, shape),
    np.ravel: lambda a: F["ravel"](a),
    np.nonzero: lambda a: F["nonzero"](a, as_tuple=True),
    np.copy: lambda a: a.clone(),
    np.tile: lambda A, reps: F["tile"](A, reps),
    np.einsum: lambda *operands: F["einsum"](*operands),
    np.zeros_like: _like("zeros_like"), np.ones_like: _like("ones_like"),
    np.full_like: lambda a, fill_value, dtype=None: creation.full_like(a, fill_value, dtype=dtype),
    np.shape: lambda a: a.shape, np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: np.size(a.array, axis),
}  # fmt: skip

fill_tables()
ARRAY_FUNCTIONS.update(ADAPTED)
Tensor.__array_ufunc__ = array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = array_function  # type: ignore[attr-defined]
