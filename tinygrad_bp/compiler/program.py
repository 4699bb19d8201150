"""The program: a recorded step as a list of NumPy calls, each value written once.

You will know the language that the tracer writes, the passes rewrite and the source is written from. A `Value` is an
array (or a Python number) that some `Call` makes, or that is there before the first call: an argument, memory that
outlives the step, a constant. Nothing in a program overwrites anything: where the step wrote in place, a new Value
stands for the memory's new content, and `writes` tells which memory has to hold what at the end. Read `tracer.py`
next: how a program is recorded.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import count
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import pytree
from ..optim.flat import gather
from ..pytree import operands
from .strides import Strides, lying, rows

if TYPE_CHECKING:
    from collections.abc import Callable

ARGUMENT, MEMORY, CONSTANT, SETTING, RESULT = "argument", "memory", "constant", "setting", "result"
NESTED = {tuple, list, dict, slice}
_numbers = count()


class Value:
    """An array of fixed shape and dtype, or a Python number (then `dtype` is None and `shape` is ()).

    kind: "argument" (handed in at each call), "memory" (outlives the step: a parameter, optimiser state, a closed-over
    array), "constant" (`array` holds it), "setting" (a Python number read anew at each call, as a learning rate), or
    "result" (made by `maker`). `name` is a hint for the source, `scope` the path of the layer it belongs to.
    `strides`: how its entries lie in memory in the eager step (row by row where nothing is said), since that may show
    in a bit.
    """

    __slots__ = (
        "array", "dtype", "id", "is_number", "kind", "maker", "name", "scope", "shape", "size", "strides",
    )  # fmt: skip

    def __init__(
        self, kind: str, shape: tuple[int, ...], dtype: Any, name: str = "", scope: str = "",
        strides: Strides | None = None,
    ) -> None:  # fmt: skip
        self.id = next(_numbers)
        self.strides = rows(shape, dtype) if strides is None else strides
        self.kind, self.shape, self.dtype, self.name, self.scope = kind, shape, dtype, name, scope
        self.is_number, self.size = dtype is None, prod(shape)
        self.maker: Call | None = None
        self.array: Any = None

    def __repr__(self) -> str:
        kind = "number" if self.is_number else f"{self.dtype}{list(self.shape)}"
        return f"%{self.id}:{kind}{f' {self.name}' if self.name else ''}"


def in_rows(value: Value) -> bool:
    """Whether a value lies row by row, without gaps."""
    return value.strides == rows(value.shape, value.dtype)


class Primitive:
    """What a call computes: a function of arrays, and what a pass has to know of it.

    kind: "ufunc" (`function` is one, entry by entry), "gufunc" (one on whole matrices, as matmul), "reduce" (`function`
    is the ufunc whose `.reduce` is called), "view" (the result looks into the memory of the first argument), "number"
    (arithmetic on Python numbers), "call" (any other function of arrays), "opaque" (a function of this package with no
    NumPy name), "assign" (the first argument with the entries that a chain of views names replaced by the second),
    "gather" (its arguments, flattened, one after another).
    effect: it may not be dropped, merged or moved past another effect (a random draw, a check that may raise).
    """

    __slots__ = ("effect", "function", "kind", "name")

    def __init__(self, kind: str, name: str, function: Callable[..., Any], effect: bool = False) -> None:
        self.kind, self.name, self.function, self.effect = kind, name, function, effect

    def __repr__(self) -> str:
        return self.name


class Call:
    """One NumPy call: `outs` are the Values it makes (nearly always one).

    `args` and `kwargs` hold Values and plain Python objects, also nested in tuples and lists. `phase` is "forward",
    "backward" or "update" (everything after the last backward); `scope` the layer's path ("" for the model itself);
    `quiet` the floating-point warnings that the step had switched off around it, as {"over": "ignore"}.
    """

    __slots__ = ("_inputs", "args", "elementwise", "kwargs", "outs", "phase", "prim", "quiet", "scope")

    def __init__(
        self, prim: Primitive, args: tuple[Any, ...], kwargs: dict[str, Any], outs: list[Value],
        scope: str = "", phase: str = "forward", quiet: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.prim, self.args, self.kwargs, self.outs = prim, args, kwargs, outs
        self.scope, self.phase, self.quiet = scope, phase, quiet or {}
        self._inputs: list[Value] | None = None
        self.elementwise: bool | None = None  # as `primitives.elementwise` finds it
        for value in outs:
            value.maker = self

    @property
    def out(self) -> Value:
        return self.outs[0]

    def inputs(self) -> list[Value]:
        """The Values that it reads, in order, repeated as they are repeated."""
        if self._inputs is None:  # passes ask again and again
            self._inputs = values_in(self.args)
            if self.kwargs:
                self._inputs += values_in(self.kwargs)
        return self._inputs

    def replaced(self, new: dict[Value, Value]) -> Call:
        """A call that makes the same Values from other inputs."""
        if new.keys().isdisjoint(self.inputs()):
            return self
        args, kwargs = swapped(self.args, new), swapped(self.kwargs, new)
        return Call(self.prim, args, kwargs, self.outs, self.scope, self.phase, self.quiet)

    def __repr__(self) -> str:
        named = [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{', '.join(map(repr, self.outs))} = {self.prim}({', '.join([*map(repr, self.args), *named])})"


class Program:
    """A whole step.

    arguments, settings: what each call brings, in order. calls: in an order that respects what each reads.
    outputs: Values handed to the caller, who may keep them: they need memory of their own at each call.
    writes: which memory holds what at the end. gradients: (memory of a leaf, its gradient), which stay readable
    until the next call. numbers: Python numbers that the step leaves behind (an optimiser's count), by index.
    layers: the path of each layer to a description of it. trained: paths of the parameters to their memory.
    """

    def __init__(self) -> None:
        self.arguments: list[Value] = []
        self.settings: list[Value] = []
        self.calls: list[Call] = []
        self.outputs: list[Value] = []
        self.writes: dict[Value, Value] = {}
        self.gradients: list[tuple[Value, Value]] = []
        self.numbers: list[Value] = []
        self.layers: dict[str, str] = {}
        self.removed: dict[str, int] = {}  # pass → how many calls it took away, for `explain`
        self.flat: dict[Value, list[tuple[int, Value]]] = {}  # long memory → where tensors lie in it, and their views

    def results(self) -> list[Value]:
        """What the program is run for: everything that must be there after the last call."""
        return [*self.outputs, *self.writes.values(), *(g for _, g in self.gradients), *self.numbers]

    def memories(self) -> list[Value]:
        """Memory that is read or written, each once, in order of its first use."""
        found: dict[Value, None] = {}
        for call in self.calls:
            found.update(dict.fromkeys(v for v in call.inputs() if v.kind == MEMORY))
        found.update(dict.fromkeys(v for v in (*self.writes, *self.results()) if v.kind == MEMORY))
        return list(found)

    def uses(self) -> dict[Value, list[Call]]:
        """Which calls read each Value."""
        found: defaultdict[Value, list[Call]] = defaultdict(list)
        for call in self.calls:
            for value in call.inputs():
                readers = found[value]
                if not readers or readers[-1] is not call:
                    readers.append(call)
        return found

    def replace(self, new: dict[Value, Value]) -> None:
        """Read other Values instead, everywhere; chains a → b → c are followed."""
        full = {}
        for old, value in new.items():
            while value in new:
                value = new[value]
            full[old] = value
        self.calls = [call.replaced(full) for call in self.calls]
        self.outputs = [full.get(v, v) for v in self.outputs]
        self.writes = {memory: full.get(v, v) for memory, v in self.writes.items()}
        self.gradients = [(memory, full.get(v, v)) for memory, v in self.gradients]
        self.numbers = [full.get(v, v) for v in self.numbers]

    def __repr__(self) -> str:
        lines = [repr(call) for call in self.calls]
        lines += [f"write {memory!r} = {value!r}" for memory, value in self.writes.items()]
        lines += [f"gradient of {memory!r} = {value!r}" for memory, value in self.gradients]
        return "\n".join([*lines, f"return {self.outputs}"])


def values_in(tree: Any) -> list[Value]:
    """The Values in nested tuples, lists, dicts and slices."""
    return [leaf for leaf in pytree.leaves(tree, operands) if leaf.__class__ is Value]


def swapped(tree: Any, new: Any) -> Any:
    """A nested structure with Values replaced: `new` is a mapping, or a function of a Value."""

    def change(leaf: Any) -> Any:
        if leaf.__class__ is not Value:
            return leaf
        return new(leaf) if callable(new) else new.get(leaf, leaf)

    return pytree.map(change, tree, operands)


def run(program: Program, arguments: Any, settings: Any, memory: dict[Value, np.ndarray]) -> tuple[Any, ...]:
    """The plain meaning of a program: call by call, nothing reused; (outputs, writes, gradients, numbers).

    Each result lies in memory as its Value says. Passes are tested against it: a pass is right if the program before
    and after it gives the same here.
    """
    known: dict[Value, Any] = {**memory}
    known.update(zip(program.arguments, arguments, strict=True))
    known.update(zip(program.settings, settings, strict=True))

    def value_of(value: Value) -> Any:
        return value.array if value.kind == CONSTANT else known[value]

    for call in program.calls:
        args, kwargs = swapped(call.args, value_of), swapped(call.kwargs, value_of)
        with np.errstate(**call.quiet):  # type: ignore[arg-type]
            results = compute(call.prim, args, kwargs)
        if not call.outs:
            continue
        for value, result in zip(call.outs, results if len(call.outs) > 1 else (results,), strict=True):
            known[value] = result if value.is_number else np.asarray(result)
            if not value.is_number and call.prim.kind != "view":
                known[value] = lying(known[value], value.strides)
    return (
        [value_of(v) for v in program.outputs],
        {memory: value_of(v) for memory, v in program.writes.items()},
        [value_of(g) for _, g in program.gradients],
        [value_of(v) for v in program.numbers],
    )


def compute(prim: Primitive, args: Any, kwargs: Any) -> Any:
    """One call on arrays."""
    if prim.kind == "reduce":
        return prim.function.reduce(*args, **kwargs)  # type: ignore[attr-defined]
    if prim.kind == "assign":
        base, value, path = args
        base = np.array(base)
        target = base
        for view, view_args in path:
            target = view.function(target, *view_args)
        target[...] = value
        return base
    return prim.function(*args, **kwargs)


ASSIGN: Primitive = Primitive("assign", "assign", lambda base, value, path: compute(ASSIGN, (base, value, path), {}))
GATHER = Primitive("gather", "gather", gather)
