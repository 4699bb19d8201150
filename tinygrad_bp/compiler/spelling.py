"""How NumPy's functions become primitives: one spelling for what NumPy can say in several ways.

`np.sum(x)`, `x.sum()` and `np.add.reduce(x)` are one call of the program; views stand in `views.py`; a
function that is not named here is kept as it is. Read `views.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dialect
from .views import VIEWS, getitem_of, seen, view_in_trace

if TYPE_CHECKING:
    from .trace import Trace
    from .tracer import Tracer

REDUCTIONS = {
    np.sum: np.add, np.prod: np.multiply, np.max: np.maximum, np.min: np.minimum, np.any: np.logical_or,
    np.all: np.logical_and, np.amax: np.maximum, np.amin: np.minimum,
}  # fmt: skip
NEW = {np.zeros_like, np.ones_like, np.empty_like, np.full_like}
ABOUT = {np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.may_share_memory, np.iscomplexobj, np.isrealobj}
COUNTING = {
    np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.unique_all, np.unique_counts, np.unique_inverse,
    np.unique_values, np.compress, np.extract, np.trim_zeros, np.repeat, np.bincount, np.delete, np.insert,
    np.intersect1d, np.union1d, np.setdiff1d, np.setxor1d, np.histogram_bin_edges, np.resize,
}  # fmt: skip


def cast(x: Any, dtype: Any) -> Any:
    return x.astype(dtype)


def copied(x: Any) -> Any:
    return x.copy("K")


# ------------------------------------------------------------------------------ NEP 13: ufuncs
def ufunc(trace: Trace, function: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A ufunc, or one of its methods, on Tracers."""
    from .tracer import real_of

    if not trace.mine():  # of another thread, that met a number's stand-in
        return getattr(function, method)(*real_of(inputs), **real_of(kwargs))
    out = kwargs.pop("out", (None,))
    out = out if isinstance(out, tuple) else (out,)
    where = kwargs.pop("where", True)
    if method == "at":
        raise trace.refusal(
            f"np.{function.__name__}.at writes in place at indices", "use `tg.scatter_add`, or `x.scatter_into`"
        )
    if where is not True and (method != "__call__" or out[0] is None):
        raise trace.refusal(f"np.{function.__name__} with where= and no out=", "use `np.where(mask, a, b)`")
    if method == "reduce":
        result = reduce(trace, function, inputs[0], *inputs[1:], **kwargs)
    elif method == "__call__":
        kind = "ufunc" if function.signature is None else "gufunc"
        result = trace.record(kind, function.__name__, function, inputs, kwargs)
    else:
        result = trace.record("call", f"{function.__name__}.{method}", getattr(function, method), inputs, kwargs)
    if out[0] is None:
        return result
    results = result if isinstance(result, tuple) else (result,)
    for target, new in zip(out, results, strict=True):
        put_out(trace, target, new if where is True else np.where(where, new, target), function.__name__)
    return out[0] if len(out) == 1 else out


def put_out(trace: Trace, target: Any, new: Any, name: str) -> None:
    """Write a result where out= says."""
    from .tracer import Tracer

    if not isinstance(target, Tracer):
        raise trace.refusal(
            f"np.{name} writes (out=) into an array that was made outside the step or inside it without a tensor",
            "leave out= away; the compiler finds its own buffers",
        )
    if not np.can_cast(new.dtype, target.dtype, "same_kind"):
        raise TypeError(f"np.{name}: a result of {new.dtype} cannot be written into {target.dtype}")
    target.write(new)


def reduce(
    trace: Trace, function: Any, x: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: Any = False,
    initial: Any = np._NoValue, where: Any = np._NoValue,
) -> Any:  # fmt: skip
    """ufunc.reduce, its defaults left out."""
    if where is not np._NoValue and where is not True:
        raise trace.refusal("a reduction with where=", "multiply by the mask before, or use `np.where`")
    given = {"axis": tuple(axis) if isinstance(axis, list) else axis, "keepdims": bool(keepdims)}
    if dtype is not None:
        given["dtype"] = np.dtype(dtype)
    if initial is not np._NoValue and initial is not None:
        given["initial"] = initial
    result = trace.record("reduce", f"{function.__name__}.reduce", function, (x,), given)
    if out is None:
        return result
    put_out(trace, out, result, function.__name__)
    return out


# ------------------------------------------------------------------------------ NEP 18: other functions
def function(trace: Trace, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Any other function of NumPy on Tracers."""
    from .tracer import real_of

    out = kwargs.pop("out", None)
    if function in ABOUT:
        return function(*real_of(args), **real_of(kwargs))
    if function in NEW:
        function = np.zeros_like if function is np.empty_like else function  # not what happens to lie in memory
        return trace.fresh(function(*real_of(args), **real_of(kwargs)))
    if function in COUNTING or (function is np.where and len(args) == 1):
        raise trace.refusal(
            f"np.{function.__name__} makes an array whose size depends on values",
            "keep arrays of one size (`np.where` with three arguments), or compute it outside the step and pass it in",
        )
    if function in REDUCTIONS:
        result = reduction(trace, function, *args, **kwargs)
    elif function is np.copyto:
        return copyto(*args, **kwargs)
    elif function is np.dot and len(args) == 3:
        result, out = trace.record("call", "dot", np.dot, args[:2], {}), args[2]
    elif function in VIEWS and out is None:
        return view_in_trace(trace, function, args, kwargs)
    elif function is np.copy:
        return copy(trace, args[0], kwargs.get("order", "K"))
    else:
        result = trace.record("call", function.__name__, function, args, kwargs)
    if out is None:
        return result
    put_out(trace, out, result, function.__name__)
    return out


def reduction(
    trace: Trace, function: Any, a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = False,
    initial: Any = np._NoValue, where: Any = np._NoValue,
) -> Any:  # fmt: skip
    """np.sum and its like as the ufunc's reduce; np.max and the others know no dtype, so their places shift."""
    if function not in (np.sum, np.prod):
        if out is not None or dtype is not None:
            raise trace.refusal(f"np.{function.__name__} with out=", "leave out= away")
        given = {} if initial is np._NoValue else {"initial": initial}
        kind = np.bool_ if function in (np.any, np.all) else None
        return reduce(trace, REDUCTIONS[function], a, axis, kind, None, keepdims, where=where, **given)
    return reduce(trace, REDUCTIONS[function], a, axis, dtype, out, keepdims, initial, where)


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    dst.write(src if where is True else np.where(where, src, dst))


# ------------------------------------------------------------------------------ indices, casts, copies
def no_mask(trace: Trace, key: Any) -> None:
    """Refuse a boolean index that only the step knows: how many entries it takes depends on its values."""
    for part in key if isinstance(key, tuple) else (key,):
        if hasattr(part, "path") and part.dtype == np.bool_:
            raise trace.refusal(
                "an index by a mask, which takes as many entries as its values say",
                "keep all entries and choose with `tg.where(mask, x, 0)`; for a mean `(x * mask).sum() / mask.sum()`",
            )


def getitem(trace: Trace, x: Tracer, key: Any) -> Any:
    """x[key]: a view for a basic index, else a call."""
    from .tracer import traced

    no_mask(trace, key)
    parts = key if isinstance(key, tuple) else (key,)
    if traced(parts) or not dialect.basic(key):
        return trace.opaque(dialect.taken, (x, key))
    entry = not any(part is Ellipsis for part in parts)
    parts = (*parts, Ellipsis) if entry else parts
    view = seen(trace, x, "getitem", getitem_of, (parts,), x.actual[parts])
    return view.copy() if entry and view.ndim == 0 else view  # NumPy hands out a single entry by value


def setitem(trace: Trace, x: Tracer, key: Any, value: Any) -> None:
    """x[key] = value."""
    from .tracer import real_of, traced

    if np.ndim(real_of(value)):
        no_mask(trace, key)
    parts = key if isinstance(key, tuple) else (key,)
    if traced(parts) or not dialect.basic(key):
        x.write(trace.opaque(dialect.replaced, (x, value, key)))
        return
    parts = parts if any(part is Ellipsis for part in parts) else (*parts, Ellipsis)
    whole = parts == (Ellipsis,)
    (x if whole else seen(trace, x, "getitem", getitem_of, (parts,), x.actual[parts])).write(value)


def astype(trace: Trace, x: Tracer, dtype: Any, copy: bool) -> Any:
    if not copy and dtype == x.dtype:
        return x
    return trace.record("call", "astype", cast, (x, dtype), {})


def copy(trace: Trace, x: Any, order: Any) -> Any:
    if not hasattr(x, "path"):
        return np.copy(x, order)
    if order in ("C", "F") and not x.actual.flags[f"{order}_CONTIGUOUS"]:
        function = np.ascontiguousarray if order == "C" else np.asfortranarray
        return trace.record("call", function.__name__, function, (x,), {})
    return trace.record("call", "copy", copied, (x,), {})
