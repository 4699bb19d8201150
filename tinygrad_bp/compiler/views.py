"""Functions of NumPy that answer with a view of their argument: in a trace they are views too.

What is written into such a view arrives in the array, and later writes into the array are seen in the view. A few views
serve for all of them: an index, a transposition, a reshape, a broadcast, and the functions that NumPy has for the rest
(`diagonal`, `real`, `imag`, sliding windows, einsum of one array). Read `trace.py` next.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from .trace import Trace
    from .tracer import Tracer

RESHAPING = {np.reshape, np.ravel, np.squeeze, np.expand_dims, np.atleast_1d, np.atleast_2d, np.atleast_3d}
TRANSPOSING = {
    np.transpose, np.swapaxes, np.moveaxis, np.rollaxis, np.matrix_transpose, np.permute_dims,
    np.linalg.matrix_transpose,
}  # fmt: skip
FLIPPING = {np.flip, np.fliplr, np.flipud}
SPLITTING = {np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit}
SPLITTING |= {np.unstack} if hasattr(np, "unstack") else set()
SAME = {np.real, np.real_if_close}  # for real numbers, the array itself


def reshape(x: Any, shape: tuple[int, ...]) -> Any:
    return x.reshape(shape)


def transpose(x: Any, axes: tuple[int, ...]) -> Any:
    return x.transpose(axes)


def getitem_of(x: Any, key: Any) -> Any:
    return x[key]


def stretch_of(trace: Trace, start: int, size: int, shape: tuple[int, ...]) -> Any:
    """The path to what lies in a long array from an entry on, in a shape."""
    steps = ((trace.primitive("view", "getitem", getitem_of), ((slice(start, start + size), Ellipsis),)),)
    return steps if len(shape) == 1 else (*steps, (trace.primitive("view", "reshape", reshape), (shape,)))


def diagonal_of(x: Any, offset: int, i: int, j: int) -> Any:
    """A diagonal that may be written to where x may; NumPy's own is read-only until somebody sets its flag."""
    view = np.diagonal(x, offset, i, j)
    view.flags.writeable = x.flags.writeable
    return view


def spread(x: Any, shape: tuple[int, ...]) -> Any:
    """x repeated, in a view that may be written to where x may, as `Tensor.expand` has it; NumPy's own may not."""
    view = np.broadcast_to(x, shape)
    view.flags.writeable = x.flags.writeable
    return view


def einsum_of(x: Any, subscripts: str) -> Any:
    """A diagonal or a transposition, in einsum's words."""
    return np.einsum(subscripts, x)


def view_in_trace(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a function of `LOOKS` answers."""
    if not args:  # by name
        name = next(iter(inspect.signature(function).parameters))
        args = (kwargs.pop(name),)
    return VIEWS[function](trace, function, args, kwargs)


def seen(trace: Trace, x: Tracer, name: str, function: Any, args: tuple[Any, ...], real: Any) -> Any:
    """The view of x, or, where NumPy had to copy, the call that copies."""
    from .tracer import Tracer

    if real.size and not np.may_share_memory(real, x.actual):
        return trace.record("call", name, function, (x, *args), {})
    return Tracer(x.storage, real, (*x.path, (trace.primitive("view", name, function), args)))


def _reshaped(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) > 1 and str(function.__name__).startswith("atleast"):
        return tuple(function(x) for x in args)
    from .tracer import real_of

    x, bound = args[0], inspect.signature(function)
    order = bound.bind(*args, **kwargs).arguments.get("order", "C") if "order" in bound.parameters else "C"
    if order in ("A", "K") and x.ndim > 1:
        home = x.storage.home
        if home is None or home.kind != "memory":
            raise trace.refusal(f"np.{function.__name__} with order={order!r}, which depends on how an array happens "
                                "to lie in memory", "say order='C' or order='F'")  # fmt: skip
        rows = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis])) if order == "K" else None
        if rows is not None:
            return np.reshape(np.transpose(x, rows), -1)
        order = "F" if x.flags.fnc else "C"
    real = function(*real_of(args), **real_of(kwargs))
    if order == "F" and x.ndim:
        return np.transpose(np.reshape(np.transpose(x), real.shape[::-1]))
    return seen(trace, x, "reshape", reshape, (real.shape,), real)


def _transposed(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from .tracer import real_of

    x = args[0]
    real = function(*real_of(args), **real_of(kwargs))
    marks = np.empty(tuple(range(2, 2 + x.ndim)), np.bool_)  # sizes that tell the axes apart
    moved = function(marks, *real_of(args[1:]), **real_of(kwargs))
    return seen(trace, x, "transpose", transpose, (tuple(n - 2 for n in moved.shape),), real)


def _broadcast(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from .tracer import real_of

    real = function(*real_of(args), **real_of(kwargs))
    return seen(trace, args[0], "broadcast_to", spread, (real.shape,), real)


def _broadcast_all(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    shape = np.broadcast_shapes(*map(np.shape, args))
    return type(function(0, 0))(x if np.shape(x) == shape else np.broadcast_to(x, shape) for x in args)


def _flipped(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x = args[0]
    if function is np.flip:
        axis = kwargs.get("axis", args[1] if len(args) > 1 else None)
        axes = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)
    else:
        axes = (1,) if function is np.fliplr else (0,)
        if x.ndim <= axes[0]:
            raise ValueError(f"np.{function.__name__}: the array has {x.ndim} dimensions, and {axes[0] + 1} are needed")
    key = tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(x.ndim))
    return seen(trace, x, "getitem", getitem_of, (key,), x.actual[key])


def _rotated(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """np.rot90, in flips and a transposition."""
    given = inspect.signature(function).bind(*args, **kwargs)
    given.apply_defaults()
    x, times, (a, b) = given.args
    function(np.empty(x.shape, np.bool_), times, (a, b))  # raises what it has to say about the axes
    times %= 4
    if times == 2:
        return np.flip(np.flip(x, a), b)
    return (
        x[...] if times == 0 else np.swapaxes(np.flip(x, b), a, b) if times == 1 else np.flip(np.swapaxes(x, a, b), b)
    )


def _split(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """np.split and its like: each part an index, found by cutting the numbers 0 … n - 1."""
    from .tracer import real_of

    x = args[0]
    real = function(*real_of(args), **real_of(kwargs))  # raises what it has to say
    given = inspect.signature(function).bind(*args, **kwargs)
    given.apply_defaults()
    axis = {np.hsplit: min(x.ndim - 1, 1), np.vsplit: 0, np.dsplit: 2}.get(function, given.arguments.get("axis", 0))
    before = (slice(None),) * (axis % x.ndim)
    if "indices_or_sections" not in given.arguments:
        return tuple(x[(*before, i, ...)] for i in range(len(real)))
    cuts = np.array_split(np.arange(x.shape[axis]), real_of(given.arguments["indices_or_sections"]))
    return [x[(*before, slice(int(cut[0]), int(cut[-1]) + 1) if cut.size else slice(0, 0))] for cut in cuts]


def _diagonal(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from .tracer import real_of

    x = args[0]
    if function is np.diag and x.ndim == 1:
        return trace.record("call", "diag", np.diag, args, kwargs)
    given = inspect.signature(function).bind(*real_of(args), **real_of(kwargs)).arguments
    last = (-2, -1) if function is np.linalg.diagonal else (0, 1)
    how = (given.get("offset", given.get("k", 0)), given.get("axis1", last[0]), given.get("axis2", last[1]))
    return seen(trace, x, "diagonal", diagonal_of, how, function(*real_of(args), **real_of(kwargs)))


def _part(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The real or the imaginary part."""
    x = args[0]
    if x.dtype.kind == "c" and function is np.real_if_close:
        raise trace.refusal(
            "np.real_if_close makes an array whose dtype depends on values", "take `np.real(x)`, or keep it complex"
        )
    if x.dtype.kind != "c":
        return x if function in SAME else trace.fresh(np.zeros(x.shape, x.dtype))
    return seen(trace, x, function.__name__, function, (), function(x.actual))


def _windows(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from .tracer import real_of

    given = inspect.signature(function).bind(*real_of(args), **real_of(kwargs))
    given.apply_defaults()
    shape, axis, writeable = (given.arguments[key] for key in ("window_shape", "axis", "writeable"))
    if writeable:
        raise trace.refusal("sliding windows lie over one another, and are to be written to", "leave writeable= away")
    return seen(trace, args[0], "sliding_window_view", function, (shape, axis), function(args[0].actual, shape, axis))


def _crossed(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """np.ix_: each index along a dimension of its own."""
    if any(np.ndim(x) != 1 or getattr(x, "dtype", None) == np.bool_ for x in args):
        raise trace.refusal("np.ix_ of masks or of no vectors", "give it vectors of integers")
    return tuple(np.reshape(x, (*[1] * i, -1, *[1] * (len(args) - i - 1))) for i, x in enumerate(args))


def _einsum(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from .tracer import Tracer, real_of

    if len(args) == 2 and isinstance(args[0], str) and isinstance(args[1], Tracer):
        real = np.einsum(*real_of(args), **real_of(kwargs))
        if np.may_share_memory(real, args[1].actual):
            return seen(trace, args[1], "einsum", einsum_of, (args[0],), real)
    return trace.record("call", "einsum", np.einsum, args, kwargs)


VIEWS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(RESHAPING, _reshaped), **dict.fromkeys(TRANSPOSING, _transposed),
    **dict.fromkeys(FLIPPING, _flipped), **dict.fromkeys(SPLITTING, _split),
    **dict.fromkeys((np.diagonal, np.diag, np.linalg.diagonal), _diagonal),
    **dict.fromkeys((np.real, np.imag, np.real_if_close), _part),
    np.ix_: _crossed, np.broadcast_to: _broadcast, np.broadcast_arrays: _broadcast_all, np.rot90: _rotated,
    sliding_window_view: _windows, np.einsum: _einsum,
}  # fmt: skip
