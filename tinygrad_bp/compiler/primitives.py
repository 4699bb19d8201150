"""How each primitive is written in code, with its result put where it belongs.

You will know which NumPy calls can compute into memory that is there (`accepts`), which may do so over one of their own
inputs (`elementwise`), and what line stands for each (`written`). Whatever is not known here is called as it was
recorded, and allocates. Read `source.py` next: it puts the lines together.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from .program import Call, Value, in_rows
from .strides import compact

if TYPE_CHECKING:
    from collections.abc import Callable

    from .scribe import Scribe

OPERATORS: dict[Any, str] = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//",
    operator.mod: "%", operator.pow: "**",
}  # fmt: skip
SYMBOLS: dict[Any, str] = {np.add: "+", np.subtract: "-", np.multiply: "*", np.true_divide: "/"}
# Functions with an `out=` that computes exactly what they return without it.
WITH_OUT = {
    "concatenate", "stack", "cumsum", "cumprod", "einsum", "clip", "max", "min", "amax", "amin", "sum", "prod",
    "any", "all",
}  # fmt: skip
# Functions whose results are never views of their inputs; those of all others may be.
FRESH = WITH_OUT - {"einsum"} | {"dot", "vdot", "copy", "where", "take", "take_along_axis", "repeat", "tile", "outer"}
# Ufuncs that raise no floating-point warning, whatever they are given.
SILENT = {"negative", "positive", "absolute", "maximum", "minimum", "copy", "logical_not", "sign", "copysign"}
BY_KEYWORD = {"maximum", "minimum"}  # NumPy deprecates their output by position: it looks like a third input
REDUCE = ("array", "axis", "dtype", "out", "keepdims", "initial", "where")


def elementwise(call: Call) -> bool:
    """Whether each entry of the result follows from the entries in its place, so that it may be written over them."""
    if call.elementwise is None:  # asked again and again
        ufunc: Any = call.prim.function
        call.elementwise = call.prim.kind == "ufunc" and ufunc.signature is None and plain_ufunc(call)
    return call.elementwise


def plain_ufunc(call: Call) -> bool:
    ufunc: Any = call.prim.function
    named = call.kwargs.keys() <= {"dtype", "casting"} if call.kwargs else True
    return named and len(call.outs) == 1 and len(call.args) == ufunc.nin


def is_array(x: Any) -> bool:
    return isinstance(x, Value) and not x.is_number


def arrays(call: Call) -> list[Value]:
    return [value for value in call.inputs() if is_array(value)]


def real(*values: Any) -> bool:
    return all(is_array(v) and v.dtype.kind in "biuf" for v in values)


def accepts(call: Call, like: np.ndarray) -> bool:
    """Whether a call can compute into memory with the shape, dtype and strides of `like`."""
    kind, name, args = call.prim.kind, call.prim.name, call.args
    if len(call.outs) != 1 or kind in ("view", "number", "opaque"):
        return False
    if kind in ("ufunc", "gufunc"):
        return plain_ufunc(call)
    if kind == "reduce":
        return "out" not in call.kwargs and len(args) <= 3
    if kind in ("gather", "assign") or name in ("copy", "astype"):
        return True
    if name == "dot":
        whole = len(args) == 2 and not call.kwargs and all(is_array(a) and 1 <= len(a.shape) <= 2 for a in args)
        return whole and like.flags.c_contiguous
    if name == "vdot":
        return len(args) == 2 and real(*args) and args[0].size == args[1].size
    if name == "where":
        return len(args) == 3 and is_array(args[0]) and args[0].dtype == bool
    if name == "einsum" and (call.kwargs.get("optimize") or any(compact(v) != v.strides for v in arrays(call))):
        return False  # into memory that is there it adds up entries with gaps between them in another order
    return name in WITH_OUT and "out" not in call.kwargs and like.dtype == call.out.dtype


def independent(call: Call) -> bool:
    """Whether the results certainly have memory of their own, and not their inputs'."""
    return call.prim.kind in ("ufunc", "gufunc", "reduce", "number", "gather", "assign") or call.prim.name in FRESH


def written(call: Call, w: Scribe, out: str) -> list[str]:
    """The lines that compute a call into the array called `out`; where it cannot, into the new variable `out`."""
    kind, name = call.prim.kind, call.prim.name
    write = WRITERS.get(name if kind == "call" else kind)
    return write(call, w, out) if write else [f"{out}[...] = {w.called(call)}"]


def computed(call: Call, w: Scribe) -> str:
    """The expression that makes a result with memory of its own."""
    kind, name, args = call.prim.kind, call.prim.name, call.args
    if kind == "view":
        return view(call, w)
    if kind == "number" and call.prim.function in OPERATORS and len(args) == 2:
        return f"{w.operand(args[0])} {OPERATORS[call.prim.function]} {w.operand(args[1])}"
    if kind in ("ufunc", "gufunc") and plain_ufunc(call):
        if on_scalars(call, w):
            a, b = (f"{w.operand(x)}[()]" if is_array(x) else w.operand(x) for x in args)
            return f"{a} {SYMBOLS[call.prim.function]} {b}"
        return f"{w.function(call.prim)}({', '.join([*ufunc_operands(call, w), *w.keywords(call.kwargs)])})"
    if kind == "reduce":
        return f"{w.function(call.prim)}.reduce({', '.join(reduce_arguments(call, w, ''))})"
    if name in ("copy", "astype"):
        return copied(call, w)
    return w.called(call)


def on_scalars(call: Call, w: Scribe) -> bool:
    """Whether a call is arithmetic on single entries: NumPy's scalars do it in a quarter of a ufunc's time."""
    if call.out.shape != () or call.out.dtype not in (np.float64, np.float32) or call.kwargs:
        return False
    given = [a for a in call.args if is_array(a)]
    same = all(a.dtype == call.out.dtype and w.assignment.at(a).static for a in given)
    numbers = [a for a in call.args if not is_array(a)]
    return call.prim.function in SYMBOLS and bool(given) and same and all(type(n) in (int, float) for n in numbers)


def copied(call: Call, w: Scribe) -> str:
    source = call.args[0]
    if not is_array(source):
        return f"{w.bound(np.array, 'array')}({w.operand(source)}, {w.literal(call.out.dtype)})"
    if call.prim.name == "astype":
        return f"{w.operand(source)}.astype({w.literal(call.out.dtype)})"
    order = "" if in_rows(call.out) else '"K"'
    return f"{w.operand(source)}.copy({order})" if source.shape else f"{w.operand(source)}[()]"


# ------------------------------------------------------------------------------------------ the arguments


def ufunc_operands(call: Call, w: Scribe) -> list[str]:
    """The inputs of a ufunc; Python numbers become arrays of the dtype that NumPy would turn them into."""
    loop = number_dtypes(call) or (None,) * len(call.args)
    shape = call.out.shape if elementwise(call) else None
    return [
        w.shaped(a, shape) if is_array(a) else w.operand(a) if dtype is None else w.scalar(a, dtype)
        for a, dtype in zip(call.args, loop, strict=False)
    ]


def number_dtypes(call: Call) -> tuple[Any, ...] | None:
    """The dtypes that a ufunc computes in, if arrays of these dtypes may stand for its Python numbers."""
    ufunc: Any = call.prim.function
    if call.kwargs or ufunc.signature is not None or all(is_array(a) for a in call.args):
        return None
    found = set()
    for kind in (float, int):  # a setting may be either
        inputs = [a.dtype if is_array(a) else kind if isinstance(a, Value) else type(a) for a in call.args]
        try:
            loop = ufunc.resolve_dtypes((*inputs, None))
            same = ufunc.resolve_dtypes((*(loop[i] if isinstance(t, type) else t for i, t in enumerate(inputs)), None))
        except (TypeError, ValueError):
            return None
        found.add(loop if loop == same and loop[-1] == call.out.dtype else None)
    return found.pop() if len(found) == 1 else None


def reduce_arguments(call: Call, w: Scribe, out: str) -> list[str]:
    """The arguments of ufunc.reduce, as far as possible by position, which is cheaper."""
    given = {**dict(zip(REDUCE, call.args, strict=False)), **call.kwargs}
    parts = [w.operand(given["array"]), w.literal(given.get("axis", 0))]
    keep = given.get("keepdims", False)
    if out or keep or given.get("dtype") is not None:
        parts += [w.literal(given.get("dtype")), out or "None", *(["True"] if keep else [])]
    return [*parts, *w.keywords({k: v for k, v in given.items() if k in ("initial", "where")})]


def view(call: Call, w: Scribe) -> str:
    """A view that is made at each run, because what it looks into is new each time."""
    name, base, rest = call.prim.name, w.operand(call.args[0]), call.args[1:]
    if call.kwargs or len(rest) != 1:
        return w.called(call)
    if name == "getitem":
        return f"{base}[{w.key(rest[0])}]"
    if name == "transpose":
        axes = rest[0]
        swapped = axes is None or tuple(axes) == tuple(reversed(range(len(axes))))
        return f"{base}.T" if swapped else f"{base}.transpose({w.literal(axes)})"
    return f"{base}.reshape({w.literal(rest[0])})" if name == "reshape" else w.called(call)


# ------------------------------------------------------------------------- one line (or two) for each kind


def _ufunc(call: Call, w: Scribe, out: str) -> list[str]:
    place = f"out={out}" if call.prim.name in BY_KEYWORD else out
    parts = [*ufunc_operands(call, w), place, *w.keywords(call.kwargs)]
    return [f"{w.function(call.prim)}({', '.join(parts)})"]


def _reduce(call: Call, w: Scribe, out: str) -> list[str]:
    return [f"{w.function(call.prim)}.reduce({', '.join(reduce_arguments(call, w, out))})"]


def _copy(call: Call, w: Scribe, out: str) -> list[str]:
    return [f"{out}[...] = {w.operand(call.args[0])}"]


def _dot(call: Call, w: Scribe, out: str) -> list[str]:
    a, b = call.args
    return [f"{w.operand(a)}.dot({w.operand(b)}, {out})"]


def _vdot(call: Call, w: Scribe, out: str) -> list[str]:
    a, b = (w.flat(v) for v in call.args)
    return [f"{a}.dot({b}, {out})"]


def _where(call: Call, w: Scribe, out: str) -> list[str]:
    condition, a, b = map(w.operand, call.args)
    return [f"{out}[...] = {b}", f"{w.bound(np.copyto, 'copyto')}({out}, {a}, where={condition})"]


def _gather(call: Call, w: Scribe, out: str) -> list[str]:
    return [f"{name}[...] = {w.operand(part)}" for name, part in w.parts_to_copy(call)]


def _assign(call: Call, w: Scribe, out: str) -> list[str]:
    base, value, path = call.args
    copy = [] if w.operand(base) == out else [f"{out}[...] = {w.operand(base)}"]
    return [*copy, f"{w.target(call.out, path)}[...] = {w.operand(value)}"]


def _with_out(call: Call, w: Scribe, out: str) -> list[str]:
    parts = [*map(w.operand, call.args), *w.keywords(call.kwargs), f"out={out}"]
    return [f"{w.function(call.prim)}({', '.join(parts)})"]


WRITERS: dict[str, Callable[[Call, Any, str], list[str]]] = {
    "ufunc": _ufunc, "gufunc": _ufunc, "reduce": _reduce, "gather": _gather, "assign": _assign, "copy": _copy,
    "astype": _copy, "dot": _dot, "vdot": _vdot, "where": _where, **dict.fromkeys(WITH_OUT, _with_out),
}  # fmt: skip
