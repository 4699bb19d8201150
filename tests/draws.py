"""What an operation is tried on, drawn from its own declaration, and how it is called with that.

Read `laws.py` next.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes
from numpy.typing import NDArray

import tinygrad_bp as tg
from tinygrad_bp.core import wrap
from tinygrad_bp.declare import Case, Op
from tinygrad_bp.grammar import grammar
from tinygrad_bp.joint import OutputOp

Array = NDArray[Any]
AWKWARD = ((), (0,), (1,), (1, 1), (2, 0, 3), (1, 3), (3, 1, 2))
LAYOUTS = ("plain", "permuted", "backwards", "every other", "read-only")


class Draw(NamedTuple):
    """The arrays of the inputs, the operation's own parameters by name, and a source of cotangents."""

    arrays: list[Array]
    named: dict[str, Any]
    seed: int

    def cotangents(self, ys: Sequence[Any], salt: int = 1) -> list[Array]:
        rng = np.random.default_rng([self.seed, salt])
        return [np.asarray(rng.uniform(0.5, 2.0, y.shape) * rng.choice([-1.0, 1.0], y.shape)) for y in ys]

    def like(self, arrays: Sequence[Array]) -> Draw:
        return Draw(list(arrays), self.named, self.seed)


# ------------------------------------------------------------------------------- what an operation is tried on


def signature(op: Op) -> tuple[str, ...]:
    return grammar(op).names if op.word == "composite" or op.front else (*op.inputs, *op.params)


@st.composite
def settings_of(draw: Any, op: Op, case: Any, shapes: Any = None) -> tuple[Sequence[tuple[int, ...]], dict[str, Any]]:
    """(shapes of the inputs, parameters): a declared case, or whatever broadcasts, or any shape with any axis."""
    if isinstance(case, Case):
        return case.shapes, dict(case.kwargs)
    if op.word != "reduction" and len(op.inputs) > 1 and shapes is None:
        return draw(mutually_broadcastable_shapes(num_shapes=len(op.inputs), max_dims=3,
            max_side=3)).input_shapes, dict(case)
    shape = draw(array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3) if shapes is None else shapes)
    if op.word != "reduction":
        return [shape] * len(op.inputs), dict(case)
    one = st.integers(-len(shape), len(shape) - 1) if shape else st.none()
    several = st.permutations(range(len(shape))).flatmap(lambda p: st.integers(1,
        max(len(p), 1)).map(lambda n: tuple(p[:n])))
    axis = draw(st.none() | one | several)
    return [shape], {"axis": axis, "keepdims": draw(st.booleans()), **case}


def cases_of(op: Op) -> tuple[Any, ...]:
    """The declared cases (shapes and parameters, or parameters alone); every one of them is tried."""
    return op.cases or ({},)


@st.composite
def draws(draw: Any, op: Op, case: Any, shapes: Any = None) -> Draw:
    sizes, named = draw(settings_of(op, case, shapes))
    seed = draw(st.integers(0, 2**32 - 1))
    return Draw(values(op, sizes, seed), named, seed)


def values(op: Op, sizes: Sequence[tuple[int, ...]], seed: int) -> list[Array]:
    """Arrays of these shapes, of numbers that the operation says it takes."""
    rng = np.random.default_rng(seed)
    if op.domain is int:
        return [rng.integers(0, 8, shape) for shape in sizes]
    low, high = op.domain if isinstance(op.domain, tuple) else (-2.0, 2.0)
    arrays = [np.asarray(rng.uniform(low, high, shape)) for shape in sizes]
    if op.domain == "sorted":
        arrays[0].sort()
    return arrays


def layout(array: Array, kind: str) -> Array:
    """The same entries, lying otherwise in memory."""
    if kind == "permuted":
        return array.copy().T.copy().T
    if kind == "backwards":
        return np.flip(np.flip(array).copy())
    if kind == "every other" and array.ndim:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    array = array.copy()
    array.flags.writeable = kind != "read-only"
    return array


# -------------------------------------------------------------------------------------------- calling and pulling


def arguments(op: Op, tensors: Sequence[Any], named: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The tensors take, in order, the places that `named` leaves free; what follows a gap goes by name."""
    names, left, rest = signature(op), dict(named), list(tensors)
    if op.many:
        return [rest], left
    args: list[Any] = []
    for name in names:
        if name not in left and not rest:
            break
        args.append(left.pop(name) if name in left else rest.pop(0))
    if rest or any(name not in names for name in left):  # *operands, or *sizes
        args, left = [*args, *rest, *left.values()], {}
    return args, left


def outputs(value: Any) -> list[Any]:
    """The Tensors of a result, which may be a tuple of them."""
    return [value] if isinstance(value, tg.Tensor) else [part for part in value if isinstance(part, tg.Tensor)]


def run(op: Op, tensors: Sequence[Any], named: dict[str, Any]) -> list[Any]:
    args, kwargs = arguments(op, tensors, named)
    return outputs(op.call(*args, **kwargs))


def leaves(arrays: Sequence[Array]) -> list[Any]:
    return [wrap(x).requires_grad_(x.dtype.kind == "f") for x in arrays]


def recorded(op: Op, d: Draw) -> tuple[list[Any], list[Any]]:
    """(leaves, those outputs that have a graph)."""
    assume(not refused(op, d))
    xs = leaves(d.arrays)
    return xs, [y for y in run(op, xs, d.named) if y.requires_grad]


def refused(op: Op, d: Draw) -> bool:
    """NumPy has no largest entry of an empty array, and neither have we."""
    if all(x.size for x in d.arrays):
        return False
    try:
        run(op, list(map(wrap, d.arrays)), d.named)
    except tg.ShapeError:
        return True
    return False


def pull(ys: Sequence[Any], xs: Sequence[Any], ws: Sequence[Any], **options: Any) -> list[Any]:
    """Jᵀw for every input, zeros where there is no path."""
    ws = [w if isinstance(w, tg.Tensor) else wrap(w.astype(y.dtype, copy=False)) for w, y in zip(ws, ys, strict=True)]
    return list(tg.autograd.grad(ys, xs, ws, materialize_grads=True, **options))


def way_back(y: Any, w: Any) -> tuple[Any, Any]:
    """(the node of the operation that made y, the cotangent that arrives there): one of several outputs leads to it."""
    node = y.grad_fn
    return (node.edges[0][0], node.op.rules[0](w)) if isinstance(node.op, OutputOp) else (node, w)


def contributions(op: Op, y: Any, w: Array, rules: Any = None) -> list[tuple[Any, Any]]:
    """(parent node, what the rule gives for it), before the engine undoes any broadcasting."""
    node, g = way_back(y, w)
    if node.op.name != op.name:  # a 0-d input counted as a vector, and the result was made 0-d again
        return []
    return [(parent, (rules or op.rules)[index](g, *saved)) for parent, index, saved in node.edges]


def numpy_call(function: Any, op: Op, inputs: Sequence[Any], named: dict[str, Any]) -> Any:
    """function(inputs, parameters) in NumPy's spelling; NotImplemented if NumPy has no such form."""
    args, kwargs = arguments(op, inputs, named)
    if isinstance(function, np.ufunc):
        return NotImplemented if kwargs else function(*args)
    try:
        spelled = inspect.signature(function)
    except ValueError:  # written in C
        return NotImplemented if kwargs else function(*args)
    if set(named) <= set(spelled.parameters) and "equation" not in named and "condition" not in named:
        first = [list(inputs)] if op.many else inputs
        return function(*first, **named)
    try:
        spelled.bind(*args, **kwargs)
    except TypeError:
        return NotImplemented
    return function(*args, **kwargs) if op.word == "composite" else NotImplemented


def numpy_functions(op: Op) -> list[Any]:
    """The NumPy functions with the operation's own parameters; `test_numpy_keywords.py` tries those with others."""
    own = [] if hasattr(op.pure_forward, "__code__") else [op.pure_forward]
    alike = [f for f, words in op.numpy.items() if not callable(words) and not hasattr(f, "__self__")]
    return [*own, *(f for f in alike if f not in own)]


def close(ours: Any, reference: Any, rtol: float = 1e-12, atol: float | None = None, what: str = "") -> None:
    np.testing.assert_allclose(ours, reference, rtol=rtol, atol=rtol if atol is None else atol, err_msg=what,
        strict=True)
