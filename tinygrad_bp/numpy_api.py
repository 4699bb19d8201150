"""NumPy's functions on Tensors: `np.exp(t)`, `ndarray * t`, `np.sum(t, axis=0)` are the operations of the REGISTRY.

NEP 13 (`__array_ufunc__`) and NEP 18 (`__array_function__`) hand the call over. What has no rule raises if a
gradient is at stake, and is NumPy's own answer otherwise. Arguments are read by NumPy's own signature: a keyword is
honoured or refused, never ignored. Read `conversion.py` next.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np

from . import creation
from .core import Tensor, wrap
from .declare import REGISTRY, Op
from .errors import DtypeError, InplaceError
from .grammar import grammar
from .methods import FUNCTIONS

UFUNCS: dict[Any, Any] = {}
REDUCE: dict[Any, Op] = {}  # ufunc → the operation that is its `reduce`
ARRAY_FUNCTIONS: dict[Any, tuple[Any, Any]] = {}  # function → (operation, its keywords in our words, or a function)
WRITING = (np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal)
# What says nothing, beside a parameter's own default. Whoever sorts here sorts stably, which is every kind's promise.
SAYS_NOTHING: dict[str, tuple[Any, ...]] = {
    "kind": ("quicksort", "heapsort", "mergesort", "stable"), "stable": (True, False), "where": (True,),
    "keepdims": (False,), "device": ("cpu",), "optimize": (True, False, "greedy", "optimal"), "subok": (True, False),
}  # fmt: skip


def fill_tables() -> None:
    """Every NumPy function that a declaration names, as forward or as `numpy=`."""
    for op in REGISTRY.values():
        forward = op.pure_forward
        if isinstance(forward, np.ufunc) and not op.internal:
            UFUNCS.setdefault(forward, op.call)
        for function, words in op.numpy.items():
            if isinstance(function, np.ufunc):
                UFUNCS[function] = op.call
            elif isinstance(ufunc := getattr(function, "__self__", None), np.ufunc):  # np.add.reduce
                REDUCE[ufunc] = op
            else:
                ARRAY_FUNCTIONS[function] = op, words


def has_grad(values: Any) -> bool:
    return any(
        (isinstance(v, Tensor) and v.node is not None) or (isinstance(v, list | tuple) and has_grad(v)) for v in values
    )


def arrays_in(value: Any) -> Any:
    """The arrays in place of the Tensors."""
    if isinstance(value, Tensor):
        return value.array
    return type(value)(map(arrays_in, value)) if type(value) in (list, tuple) else value


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
        return REDUCE[ufunc].call(*inputs, axis=told.get("axis", 0), keepdims=told.get("keepdims", False))
    if has_grad(inputs):
        raise DtypeError(
            f"np.{ufunc.__name__} ({method}{f' with {sorted(told)}' if told else ''}) has no derivative "
            "here: use an operation of the package, or `t.detach()` if no gradient is wanted"
        )
    result = getattr(ufunc, method)(*map(arrays_in, inputs), **kwargs)
    return tuple(map(wrap, result)) if isinstance(result, tuple) else wrap(result)


def array_function(self: Any, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    if kwargs.get("out") is not None or function in WRITING:
        raise InplaceError(
            f"np.{function.__name__} writes into an array, and would do so past the graph: take its result, "
            "or write into a tensor with `t.copy_(...)` or `t[...] = ...`"
        )
    refused = ""
    if function in ARRAY_FUNCTIONS:
        op, words = ARRAY_FUNCTIONS[function]
        operands, given = by_name(function, args, kwargs)
        call, known, unknown = understood(function, op, words, given)
        result = NotImplemented if unknown else call(*operands, **known)
        if result is not NotImplemented:
            return result
        refused = f" with {', '.join(f'{name}=' for name in unknown or list(given)[1:])}"
    if has_grad((*args, *kwargs.values())):
        raise DtypeError(
            f"np.{function.__name__}{refused} has no derivative here: use "
            "an operation of the package, or `t.detach()` if no gradient is wanted"
        )
    return function(*map(arrays_in, args), **{k: arrays_in(v) for k, v in kwargs.items()})


@cache
def signature(function: Any) -> Any:
    try:
        return inspect.signature(function)
    except ValueError:  # before NumPy 2.4 its C functions do not tell
        return inspect.signature(ARRAY_FUNCTIONS[function][1])


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


def understood(function: Any, op: Any, words: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any], list[str]]:
    """(what to call, the arguments in its words, those that it does not know).

    A declaration gives a function with NumPy's own parameters, or says what some of NumPy's words are in ours; the
    first of NumPy's parameters are the inputs, and the rest is called as here.
    """
    if callable(words):
        known = signature(words).parameters
        for name in list(known)[: len(op.inputs) if op else 0]:
            if isinstance(given.get(name), np.ndarray):
                given[name] = wrap(given[name])
        return words, given, [name for name in given if name not in known]
    words = {**dict(zip(signature(function).parameters, op.inputs, strict=False)), **words}
    ours = {name: words.get(name, name) for name in given}
    unknown = [name for name in given if ours[name] not in grammar(op).inner]
    return FUNCTIONS[op.key] if op.public else op.call, {ours[name]: value for name, value in given.items()}, unknown


def _like(name: str) -> Any:
    return lambda a, dtype=None: getattr(creation, name)(a, dtype=dtype)


# What is no operation: questions, and new arrays after an old one's form.
ARRAY_FUNCTIONS.update({function: (None, words) for function, words in {
    np.zeros_like: _like("zeros_like"), np.ones_like: _like("ones_like"),
    np.full_like: lambda a, fill_value, dtype=None: creation.full_like(a, fill_value, dtype=dtype),
    np.copy: lambda a: a.clone(),
    np.shape: lambda a: a.shape, np.ndim: lambda a: a.ndim, np.size: lambda a, axis=None: np.size(a.array, axis),
}.items()})  # fmt: skip
fill_tables()
METHODS = {"__array_ufunc__": array_ufunc, "__array_function__": array_function}
