"""Whether two recordings of a step are the same program, and if not, where they part. Read `recording.py` next."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import pytree
from ..pytree import operands
from .kinds import by_value
from .program import CONSTANT, Call, Program, Value
from .results import Output, View
from .tree import leaves_of, mapped

if TYPE_CHECKING:
    from .recording import Run


def difference(a: Program, b: Program) -> str:
    """"" if both programs are the same; else the first thing that differs, in words."""
    pairs: dict[Value, Value] = dict(zip_longest([*a.arguments, *a.settings], [*b.arguments, *b.settings]))
    for one, other in zip_longest(a.calls, b.calls):
        if one is None or other is None:
            return f"one run made {len(a.calls)} calls and the other {len(b.calls)}"
        detail = _calls(one, other, pairs)
        if detail:
            return detail
    ends = [
        ("outputs", a.outputs, b.outputs), ("numbers", a.numbers, b.numbers),
        ("written memory", list(a.writes.items()), list(b.writes.items())), ("gradients", a.gradients, b.gradients),
    ]  # fmt: skip
    return next((f"its {name} differ" for name, x, y in ends if not _same(x, y, pairs)), "")


def _calls(one: Call, other: Call, pairs: dict[Value, Value]) -> str:
    where = f" in layer {one.scope!r}" if one.scope else ""
    if (one.prim.kind, one.prim.name) != (other.prim.kind, other.prim.name):
        return f"one run called {one.prim} and the other {other.prim}{where}"
    if not _same((one.args, one.kwargs), (other.args, other.kwargs), pairs):
        return f"{one.prim} is given another constant, or other values{where}"
    if [(v.shape, v.dtype) for v in one.outs] != [(v.shape, v.dtype) for v in other.outs]:
        return f"{one.prim} gives other shapes{where}"
    pairs.update(zip(one.outs, other.outs, strict=True))
    return ""


def _same(x: Any, y: Any, pairs: dict[Value, Value]) -> bool:
    return all(_same_leaf(a, b, pairs) for _, a, b in pytree.pairs(x, y))


def _same_leaf(x: Any, y: Any, pairs: dict[Value, Value]) -> bool:
    if isinstance(x, Value):
        if not isinstance(y, Value) or x.kind != y.kind or x.dtype != y.dtype or x.shape != y.shape:
            return False
        if x.kind == CONSTANT:
            return bool(x.array.tobytes() == y.array.tobytes())
        return pairs.setdefault(x, y) is y
    if x is y or type(x) is not type(y) or operands(x):  # containers come here only where they are of another form
        return x is y
    if isinstance(x, float):
        return x == y or (x != x and y != y)
    return bool(x == y) or (hasattr(x, "__qualname__") and x.__qualname__ == y.__qualname__) or hasattr(x, "function")


def unlike(first: Run, second: Run) -> str:
    """What two recordings do differently, in words; "" if it is nothing."""
    detail = difference(first.program, second.program)
    one, other = ([run.out, [x for _, x in run.numbers], [x for _, _, x in run.births]] for run in (first, second))
    return detail or "what it returns or leaves behind differs" * (comparable(one) != comparable(other))


def comparable(tree: Any) -> Any:
    """What a step returned, such that two are equal if nobody can tell them from each other."""
    return mapped(tree, _comparable)


def _comparable(leaf: Any) -> Any:
    if isinstance(leaf, Output):
        return "output", leaf.kind, leaf.index, leaf.freed, comparable(leaf.grad)
    if isinstance(leaf, View):
        return "view", leaf.tensor, leaf.index, len(leaf.path), comparable(leaf.grad)
    if type(leaf) is np.ndarray:
        return "array", leaf.shape, leaf.dtype, leaf.tobytes()
    return (type(leaf), repr(leaf)) if by_value(leaf) else id(leaf)


def ids(tree: Any) -> set[int]:
    """The leaves of a tree, by identity."""
    return set(map(id, leaves_of(tree)))
