"""NumPy's functions on Tensors: `np.exp(t)`, `ndarray * t`, `np.sum(t, axis=0)` are the operations of the REGISTRY.

NEP 13 (`__array_ufunc__`) and NEP 18 (`__array_function__`) hand the call over. What has no rule raises if a
gradient is at stake, and is NumPy's own answer otherwise. Read `conversion.py` next.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from . import creation
from .core import Tensor, wrap
from .declare import REGISTRY
from .errors import DtypeError, InplaceError
from .methods import FUNCTIONS

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
EMPTY = {"dtype": None, "out": None, "initial": np._NoValue, "where": np._NoValue, "order": "K", "subok": True}


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


def array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    out = kwargs.pop("out", None)
    if out is not None:
        raise InplaceError(
            f"np.{ufunc.__name__} with out=, or an array `a += tensor`: a result with a graph cannot be written into "
            "an array. Write `a = a + tensor`"
        )
    if method == "__call__" and not kwargs and ufunc in UFUNCS:
        return UFUNCS[ufunc](*inputs)
    if method == "reduce" and ufunc in REDUCE:
        axis = kwargs.get("axis", 0)
        return FUNCTIONS[REDUCE[ufunc]](*inputs, axis=axis, keepdims=kwargs.get("keepdims", False))
    if has_grad(inputs):
        raise DtypeError(
            f"np.{ufunc.__name__} ({method}{f' with {sorted(kwargs)}' if kwargs else ''}) has no derivative "
            "here: use an operation of the package, or `t.detach()` if no gradient is wanted"
        )
    result = getattr(ufunc, method)(*map(plain, inputs), **kwargs)
    return tuple(map(wrap, result)) if isinstance(result, tuple) else wrap(result)


def array_function(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    kwargs = {k: v for k, v in kwargs.items() if not (k in EMPTY and v is EMPTY[k])}
    call = ARRAY_FUNCTIONS.get(function)
    if call is not None and not any(k in EMPTY and k != "dtype" for k in kwargs):
        return call(*args, **kwargs)
    if has_grad((*args, *kwargs.values())):
        raise DtypeError(
            f"np.{function.__name__} has no derivative here{f' with {sorted(kwargs)}' if call else ''}: use "
            "an operation of the package, or `t.detach()` if no gradient is wanted"
        )
    return function(*map(plain, args), **{k: plain(v) for k, v in kwargs.items()})


# ---------------------------------------------------------- where NumPy's spelling is not PyTorch's

F = FUNCTIONS


def _sections(x: Any, sections: Any, axis: int = 0) -> Any:
    if isinstance(sections, int):
        return list(F["split"](x, x.shape[axis] // sections, axis))
    ends = [0, *sections, x.shape[axis]]
    return list(F["split"](x, [b - a for a, b in pairwise(ends)], axis))


def _dot(a: Any, b: Any) -> Any:
    return a * b if np.ndim(a) == 0 or np.ndim(b) == 0 else F["matmul"](a, b)


def _ddof(name: str) -> Any:
    def call(x: Any, axis: Any = None, ddof: float = 0, keepdims: bool = False, correction: Any = None) -> Any:
        return F[name](x, axis, ddof if correction is None else correction, bool(keepdims))

    return call


def _keep(name: str) -> Any:
    def call(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False) -> Any:
        return F[name](x, axis, keepdims is True, **({} if dtype is None else {"dtype": dtype}))

    return call


def _flip(x: Any, axis: Any = None) -> Any:
    return F["flip"](x, tuple(range(x.ndim)) if axis is None else axis)


def _cumulative(name: str) -> Any:
    return lambda x, axis=None, **kind: F[name](*((x.reshape(-1), 0) if axis is None else (x, axis)), **kind)


def _numpy_repeat(x: Any, repeats: Any, axis: Any = None) -> Any:
    return F["repeat_interleave"](x, repeats, axis)


def _clip(x: Any, a_min: Any = None, a_max: Any = None, **bounds: Any) -> Any:
    return F["clamp"](x, bounds.get("min", a_min), bounds.get("max", a_max))


def _flat(x: Any, axis: Any) -> Any:
    return (x.reshape(-1), -1) if axis is None else (x, axis)


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if x.ndim == 2 and axis is None and ord not in (None, "fro"):
        raise DtypeError(f"np.linalg.norm of a matrix with ord={ord!r} has no derivative here; only the Frobenius norm")
    return F["norm"](x, 2 if ord is None else ord, axis, keepdims)


ADAPTED = {
    **{getattr(np, name): _keep(op) for name, op in {
        "sum": "sum", "mean": "mean", "max": "amax", "min": "amin", "amax": "amax", "amin": "amin", "prod": "prod",
        "all": "all", "any": "any", "argmax": "argmax", "argmin": "argmin", "count_nonzero": "count_nonzero"}.items()},
    np.var: _ddof("var"), np.std: _ddof("std"), np.split: _sections, np.dot: _dot, np.flip: _flip, np.clip: _clip,
    np.cumsum: _cumulative("cumsum"), np.cumprod: _cumulative("cumprod"), np.repeat: _numpy_repeat,
    np.linalg.norm: _norm,
    np.take_along_axis: lambda a, indices, axis=-1: F["take_along_dim"](a, indices, axis),
    np.expand_dims: lambda a, axis: F["unsqueeze"](a, axis),
    np.sort: lambda a, axis=-1: F["sort"](*_flat(a, axis)).values,
    np.argsort: lambda a, axis=-1: F["argsort"](*_flat(a, axis)),
    np.transpose: lambda a, axes=None: F["permute"](a, tuple(range(a.ndim))[::-1] if axes is None else axes),
    np.reshape: lambda a, shape: F["reshape"](a, shape),
    np.ravel: lambda a: F["ravel"](a),
    np.nonzero: lambda a: F["nonzero"](a, as_tuple=True),
    np.copy: lambda a: a.clone(),
    np.tile: lambda a, reps: F["tile"](a, reps),
    np.einsum: lambda equation, *operands, optimize=False: F["einsum"](equation, *operands),
    np.trace: lambda a, offset=0: F["diagonal"](a, offset).sum(-1),
    np.zeros_like: lambda a: creation.zeros_like(a), np.ones_like: lambda a: creation.ones_like(a),
    np.full_like: lambda a, fill_value: creation.full_like(a, fill_value),
    np.shape: lambda a: a.shape, np.ndim: lambda a: a.ndim,
    np.size: lambda a, axis=None: a.numel() if axis is None else a.shape[axis],
}  # fmt: skip

fill_tables()
ARRAY_FUNCTIONS.update(ADAPTED)
Tensor.__array_ufunc__ = array_ufunc  # type: ignore[attr-defined]
Tensor.__array_function__ = array_function  # type: ignore[attr-defined]
