"""Calls of every operation that has an axis, with every kind of axis: what is asked of PyTorch and of ourselves.

Found from the declarations: an operation is here because a parameter of it is called as an axis is. Read `test_axes.py`
next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from draws import arguments, signature

from tinygrad_bp.declare import REGISTRY, Case, Op

AXES = {"axis", "axes", "axis0", "axis1", "dim0", "dim1", "dim2", "start_dim", "end_dim", "source", "destination"}
SHAPES = ((), (0,), (3,), (2, 3), (2, 0, 3), (1, 3, 1))
GIVEN: tuple[Any, ...] = (0, 1, -1, -2, 2, -3, (0, 1), (0, -1), (), [], (0, 0), [0], (0, 5), (0, 1.0), True, 1.0, None,
    "0", np.int64(0), np.array(0))  # fmt: skip  # the array is given as a tensor


class Call(NamedTuple):
    """One call: its name in the record, the operation, the array of each input, parameters, and which one is tried."""

    key: str
    op: Op
    arrays: list[np.ndarray]
    named: dict[str, Any]
    tried: str

    def with_axis(self, axis: Any) -> Call:
        return self._replace(named={**self.named, self.tried: axis})

    def without(self) -> Call:
        return self._replace(named={k: v for k, v in self.named.items() if k != self.tried})


def calls() -> Iterator[Call]:
    for op in REGISTRY.values():
        tried = [name for name in signature(op) if name in AXES]
        if op.internal or not tried:
            continue
        case = next((c for c in op.cases if isinstance(c, Case)), Case((2, 3)))
        for shape in SHAPES:
            for dtype in ("float32", "int64"):
                x = (np.arange(np.prod(shape, dtype=int)) * 7 % 5 - 1).reshape(shape).astype(dtype)
                named = {**case.kwargs, **fitting(op, x)}
                count = 1 if "src" in named else len(case.shapes)
                for name in tried:
                    for given in GIVEN:
                        key = f"{op.key} {name}={given!r} {shape} {dtype}"
                        yield Call(key, op, [x] * count, {**named, name: given}, name)


def fitting(op: Op, x: np.ndarray) -> dict[str, Any]:
    """Parameters whose sizes go with the input's."""
    zeros = np.zeros(x.shape, np.int64)
    index = np.zeros(2, np.int64) if op.key == "index_select" else zeros
    usual = {"index": index, "indices": zeros, "repeats": 2, "src": x}
    return {name: value for name, value in usual.items() if name in signature(op)}


def outcome(module: Any, call: Callable[..., Any], one: Call, refusals: Any) -> Any:
    """[[dtype, shape, values] of each result], or None if the call is refused."""
    named = {k: module.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v for k, v in one.named.items()}
    try:
        args, kwargs = arguments(one.op, [module.from_numpy(x.copy()) for x in one.arrays], named)
        return shown(call(*args, **kwargs))
    except refusals:
        return None


def shown(result: Any) -> Any:
    if isinstance(result, tuple | list):
        return [shown(part) for part in result]
    entries = [round(v, 5) for v in result.reshape(-1).tolist()]
    return [str(result.dtype).rpartition(".")[2], list(result.shape), entries]
