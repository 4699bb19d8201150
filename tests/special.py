"""The special points of every operation, and what an operation answers there: values, first and second derivative.

Nothing is listed by name: an operation on entries meets every pair of special numbers, a reduction meets rows of
them, and any other is tried on its declared cases, filled in several ways. The same functions ask PyTorch
(`torch_record.py`) and ourselves (`special_laws.py`, `test_special_points.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, product
from typing import Any, NamedTuple

import numpy as np
from draws import arguments, cases_of
from numpy.typing import NDArray

from tinygrad_bp.declare import Case, Op

Array = NDArray[Any]
INF, NAN = float("inf"), float("nan")


class Point(NamedTuple):
    """One call of an operation: a name for messages, its own parameters, and the arrays of its inputs."""

    key: str
    op: Op
    named: dict[str, Any]
    arrays: list[Array]
    alone: bool = False  # whether entries (of several inputs, pair by pair) or rows have nothing to do with one another

    def of(self, dtype: Any) -> Point:
        with np.errstate(all="ignore"):
            return self._replace(arrays=[x.astype(dtype) for x in self.arrays])


# ------------------------------------------------------------------------------------------------- special numbers


def numbers(dtype: Any, count: int) -> list[float]:
    """Zeros, ties, bounds, the ends of the range and what is no number, fewer of them where `count` inputs meet."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return [0, 1]
    if kind.kind in "iu":
        ends = [np.iinfo(kind).max, np.iinfo(kind).min][: 2 if count == 1 else 1]
        return [0, 1, 2, 3, *([-1, -2] if kind.kind == "i" else [7]), *ends]
    info = np.finfo(kind)
    huge, tiny, smallest = float(info.max), float(info.tiny), float(info.smallest_subnormal)
    if count == 3:
        return [-1.0, 0.0, 1.0, INF, NAN]
    plain = [0.0, -0.0, 0.5, 1.0, -1.0, 2.0, 1000.0, INF, -INF, NAN, tiny]
    if count == 2:
        return [*plain[:-1], tiny**0.5, huge**0.5]
    ends = [huge**0.75, -(huge**0.75), huge, -huge, -tiny, smallest]
    return [*plain, -0.5, 1.5, -1.5, -2.0, 3.0, 300.0, -300.0, -1000.0, *ends]


def rows(dtype: Any) -> Array:
    """Rows of three: equal entries, zeros, one that outweighs the others, infinities, what is no number."""
    if np.dtype(dtype).kind != "f":
        return np.array([[0, 0, 0], [1, 1, 0], [3, 1, 2], [2, 2, 2], [1, 0, 0]]).astype(dtype)
    info = np.finfo(dtype)
    big, small = float(info.max) ** 0.75, float(info.tiny)
    found = [[0, 0, 0], [-0.0, 0, -0.0], [1, 1, 1], [1, 2, 2], [-1, -1, 0], [0, 3, -4], [small, 0, 0], [0, 0, 2],
             [0.5, -0.5, 0], [300, 1, 0], [1000, 1000, 1000], [1000, -1000, 0], [big, 1, 0], [big, big, -big],
             [INF, 1, 0], [-INF, 1, 0], [INF, INF, 0], [INF, -INF, 0], [-INF, -INF, -INF], [-INF, -INF, 2],
             [NAN, 1, 0], [1, NAN, INF]]  # fmt: skip
    return np.array(found, dtype)


def fillings(shape: Sequence[int], dtype: Any, low: float, high: float, n: int = 0) -> Iterator[tuple[str, Array]]:
    """Arrays of a shape for input n: all equal, and one special number (or two) among ordinary ones between bounds."""
    size = int(np.prod(shape))
    base = low + (high - low) * ((np.arange(size) * 0.618034 + 0.1 * n) % 1.0)
    kind = np.dtype(dtype)
    if kind.kind != "f":
        top = 1 if kind.kind == "b" else np.iinfo(kind).max
        yield "ordinary", (np.arange(size) % 5).reshape(shape).astype(dtype)
        yield "zeros", np.zeros(shape, dtype)
        yield "largest", np.full(shape, top, dtype)
        return
    info = np.finfo(kind)
    yield "ordinary", base.reshape(shape).astype(dtype)
    for value in (0.0, 1.0, 300.0, INF, -INF, NAN, float(info.tiny), float(info.max) ** 0.75):
        yield f"all {value}", np.full(shape, value, dtype)
        if size > 1 and value != float(info.tiny):
            for places in ([size // 2], [0, size - 1]) if value in (0, -INF) else ([size // 2],):
                mixed = base.copy()
                mixed[places] = value
                yield f"{value} at {places}", mixed.reshape(shape).astype(dtype)


def points(op: Op, dtype: Any = np.float64) -> Iterator[Point]:
    """Every special point of an operation, many of them in one call where its entries or rows are on their own."""
    if op.domain in (int, "sorted") and np.dtype(dtype).kind == "f":
        return
    for i, case in enumerate(cases_of(op)):
        named = dict(case.kwargs) if isinstance(case, Case) else dict(case)
        if isinstance(case, Case):
            low, high = op.domain if isinstance(op.domain, tuple) else (-1.5, 1.5)
            filled = [dict(fillings(shape, dtype, low, high, n)) for n, shape in enumerate(case.shapes)]
            for what in dict.fromkeys(chain.from_iterable(filled)):  # in all inputs, and in one at a time
                for only in (-1, *range(len(filled) if len(filled) > 1 and " at " in what else 0)):
                    chosen = [what if only in (-1, n) and what in one else "ordinary" for n, one in enumerate(filled)]
                    arrays = [one[which] for one, which in zip(filled, chosen, strict=True)]
                    yield Point(f"{op.key} {i} {what} {'' if only < 0 else only}", op, named, arrays)
        elif op.word == "reduction":
            yield Point(f"{op.key} {i}", op, {"axis": -1, "keepdims": False, **named}, [rows(dtype)], True)
        else:
            count = len(op.inputs)
            own = {k: ({**op.defaults, **named})[k] for k in op.params}
            usual = numbers(dtype, count)
            usual += [float(v) for v in own.values() if isinstance(v, int | float) and v not in usual]
            with np.errstate(all="ignore"):
                grid = np.array(list(product(usual, repeat=count))).astype(dtype)
            yield Point(f"{op.key} {i}", op, own, [np.ascontiguousarray(x) for x in grid.T], True)


# --------------------------------------------------------------------------------------------------- what is answered


class Answer(NamedTuple):
    """Values, ∂(w · values), and ∂(u · ∂(w · values)); None where there is no such derivative."""

    values: list[Array]
    first: list[Array | None]
    second: list[Array | None]


def weights(shape: Sequence[int], dtype: Any, start: int = 0) -> Array:
    """A cotangent that is nowhere 0, sums to nothing in particular, and is another one for another `start`."""
    return np.resize(np.roll([1.0, -0.5, 2.0, 0.25, -1.5], start), tuple(shape)).astype(dtype)


def answers(module: Any, call: Callable[..., Any], arrays: Sequence[Array]) -> Answer:
    """What `call` gives on leaves made of the arrays; `module` is tinygrad_bp or torch."""
    xs = [module.from_numpy(np.array(x)) for x in arrays]
    leaves = [x.requires_grad_() for x, array in zip(xs, arrays, strict=True) if array.dtype.kind == "f"]
    result = call(*xs)
    ys = [y for y in (result if isinstance(result, tuple | list) else (result,)) if hasattr(y, "requires_grad")]
    values = [bare(y) for y in ys]
    first = pulled(module, [y for y in ys if y.requires_grad], leaves, create_graph=True)
    try:
        second = pulled(module, [g for g in first if g is not None and g.requires_grad], leaves)
    except RuntimeError:  # PyTorch has no second derivative of everything
        second = [None] * len(leaves)
    return Answer(values, *[[None if g is None else bare(g) for g in gs] for gs in (first, second)])


def bare(t: Any) -> Array:
    return np.array(t.detach().clone().numpy())


def pulled(module: Any, ys: list[Any], xs: list[Any], **options: Any) -> list[Any]:
    if not ys or not xs:
        return [None] * len(xs)
    ws = [module.from_numpy(np.array(weights(y.shape, bare(y).dtype, k))) for k, y in enumerate(ys)]
    return list(module.autograd.grad(ys, xs, ws, allow_unused=True, **options))


def ours(point: Point) -> Callable[..., Any]:
    """The call of a point's operation on its inputs alone."""
    def call(*xs: Any) -> Any:
        args, kwargs = arguments(point.op, xs, point.named)
        return point.op.call(*args, **kwargs)

    return call


__all__ = ["Answer", "Point", "answers", "bare", "ours", "points", "weights"]
