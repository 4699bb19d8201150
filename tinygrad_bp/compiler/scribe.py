"""The words of the generated function: how values, numbers, functions and indices are spelled.

You will know why an array gets the name it has, and how a Python number in a ufunc becomes an array of no dimensions,
which costs half as much. Read `source.py` next: how the lines become a function.
"""

from __future__ import annotations

from math import isfinite, prod
from typing import Any

import numpy as np

from .arrays import Block, Variable
from .buffer_assignment import BufferAssignment
from .literals import index, literal
from .loops import Loop
from .names import NAME_OF_CALL, Names, of_layer, of_memory, of_number
from .program import ARGUMENT, CONSTANT, MEMORY, Call, Primitive, Value

SUFFIX = {"transpose": "T", "getitem": "part", "broadcast_to": "spread", "slice_of": "part"}


class Scribe:
    """Spells what the lines of a plan are made of, and remembers what has to be there before the run.

    globals: name → object. variables: those that have a name, in order. before: lines that must come first.
    """

    def __init__(self, assignment: BufferAssignment) -> None:
        self.assignment, self.layers = assignment, assignment.final.program.layers
        self.names, self.globals = Names(), dict[str, Any]()
        self.variables: list[Variable] = []
        self.locals: dict[Value, str] = {}
        self.before: list[str] = []
        self.loop: Loop | None = None
        self.blocks: dict[Variable, str] = {}  # of the loop that is being written: what it cuts → a block's name
        self._scalars: dict[Any, Variable] = {}
        self._cuts: dict[Variable, str] = {}  # the same in every loop
        self._bound: dict[int, str] = {}
        self._layers: dict[str, str] = {}  # path → how it is spelled
        self.filled: dict[Variable, Value] = {}  # arrays of no dimensions → the number put into them at each run
        self._gradients = {whereabouts(assignment.place[g]): leaf for (leaf, _), g in zip(
            assignment.final.program.gradients, assignment.final.gradients, strict=True)}  # fmt: skip
        for value in (*assignment.final.program.arguments, *assignment.final.program.settings):
            self.operand(value)

    # -------------------------------------------------------------------------------------------- values

    def operand(self, x: Any) -> str:
        """The name of a Value, or the text of anything else."""
        if not isinstance(x, Value):
            return self.literal(x)
        if not x.is_number:
            return self.cut(self.assignment.at(x), x.shape)
        if x.kind == CONSTANT:
            return self.literal(x.array)
        if x not in self.locals:
            self.locals[x] = self.names.pick(x.name or "number")
        return self.locals[x]

    def cut(self, variable: Variable, shape: tuple[int, ...]) -> str:
        """The name of a variable; inside a loop over blocks of rows that of what the loop cuts from it."""
        if self.loop is None or shape != self.loop.shape:
            return self.name(variable)
        if variable not in self.blocks:
            if variable not in self._cuts:
                self._cuts[variable] = self._cut(variable, self.loop.shape[0])
            self.blocks[variable] = self._cuts[variable]
        return self.blocks[variable]

    def _cut(self, variable: Variable, total: int) -> str:
        """`x_rows` for some rows of x; `x_block` for an array that itself is no larger than a block."""
        if variable.like is None or len(variable.like) == total:
            return self.names.pick(f"{self.name(variable)}_rows")
        if not variable.name:
            variable.name = self.names.pick(f"{self._hint(variable)}_block")
            self.variables.append(variable)
        return variable.name

    def name(self, variable: Variable) -> str:
        """The name of a variable, chosen when it is first asked for."""
        if not variable.name:
            variable.name = self.names.pick(self._hint(variable))
            if variable.static:
                self.variables.append(variable)
        return variable.name

    def _hint(self, variable: Variable) -> str:
        named = [v for v in variable.values if v.name]
        if variable.values and variable.values[-1] in self.assignment.fresh and variable.values[-1].shape == ():
            return "loss"
        value = named[-1] if named else variable.values[0] if variable.values else None
        leaf = None if named else self._gradients.get(whereabouts(variable))
        if leaf is not None and variable.like is not None and variable.like.shape == leaf.shape:
            return f"d_{of_memory(leaf.name or 'leaf', self.layers)}"
        if variable.base is not None and variable.canonical is variable and (value is None or not value.name):
            return f"{self.name(variable.base)}_{suffix(variable)}"
        if value is None:
            return "value"
        if value.kind == CONSTANT and not value.name:
            return of_number(value.array.item()) if value.array.size == 1 else "constant"
        if value.kind in (ARGUMENT, MEMORY, CONSTANT) or value.name:
            return self._spelled(value.name or value.kind)
        return self._unnamed(value)

    def _spelled(self, name: str) -> str:
        d, rest = ("d_", name[2:]) if name.startswith("d_") else ("", name)
        return d + (self._layer(rest) if rest in self.layers else of_memory(rest, self.layers))

    def _layer(self, path: str) -> str:
        if path not in self._layers:
            self._layers[path] = of_layer(path, self.layers)
        return self._layers[path]

    def _unnamed(self, value: Value) -> str:
        """After the layer that a value belongs to, or after what made it."""
        call = self.assignment.final.made.get(value)
        phase, prim = (call.phase, call.prim.name) if call else ("forward", "value")
        if phase == "update":
            return "change"
        scope = self._layer(value.scope) if value.scope else NAME_OF_CALL.get(prim, prim)
        return f"d_{scope}" if phase == "backward" else scope

    def scalar(self, x: Any, dtype: Any) -> str:
        """An array of no dimensions that holds a number; one that is new at each run is filled when first used."""
        number = x.array if isinstance(x, Value) and x.kind == CONSTANT else x
        known = not isinstance(number, Value)
        key = (repr(number) if known else number, type(number), np.dtype(dtype))
        if key not in self._scalars:
            array = np.empty((), dtype)
            if known:
                try:
                    with np.errstate(over="raise"):
                        array = np.array(number, dtype)
                except (OverflowError, FloatingPointError, ValueError, TypeError):
                    return self.literal(number)
                if not isfinite(number) or array.dtype.kind == "c":
                    return self.literal(number)
            self._scalars[key] = made = Variable(Block(CONSTANT, Value(CONSTANT, (), array.dtype)), array, None)
            made.name = self.names.pick(of_number(number) if known else f"{self.operand(number)}_array")
            self.variables.append(made)
        made = self._scalars[key]
        if not known and made not in self.filled:
            self.filled[made] = number
            self.before.append(f"{made.name}[()] = {self.operand(number)}")
        return made.name

    # --------------------------------------------------------------------------------------------- views

    def flat(self, value: Any) -> str:
        """An array as a vector."""
        place = self.assignment.at(value)
        if place.like is None or not place.like.flags.c_contiguous:
            return f"{self.operand(value)}.ravel()"
        view = self.assignment.view(place, "reshape", np.reshape, (place.like.size,))
        assert view is not None
        return self.name(view)

    def shaped(self, value: Value, shape: tuple[int, ...] | None) -> str:
        """An input of an elementwise call; in the shape of the result if it only lacks sizes of 1, which is faster."""
        if shape is None or value.shape == shape or value.size < 2 or value.size != prod(shape):
            return self.operand(value)
        place = self.assignment.at(value)
        if place.like is None:
            return self.operand(value)
        view = self.assignment.view(place, "reshape", np.reshape, (shape,))
        return self.operand(value) if view is None else self.name(view)

    def target(self, value: Value, path: Any) -> str:
        """The part of an array that a chain of views names."""
        place = self.assignment.place[value]
        for prim, args in path:
            view = self.assignment.view(place, prim.name, prim.function, args)
            assert view is not None
            place = view
        return self.name(place)

    def parts_to_copy(self, call: Call) -> list[tuple[str, Value]]:
        return [(self.name(place), part) for place, part in self.assignment.parts[call]]

    # --------------------------------------------------------------------------------------------- texts

    def function(self, prim: Primitive) -> str:
        return self.bound(prim.function, prim.name.removesuffix(".reduce"))

    def bound(self, thing: Any, hint: str) -> str:
        """The global name of an object."""
        if id(thing) not in self._bound:
            name = self.names.pick(hint)
            self._bound[id(thing)], self.globals[name] = name, thing
        return self._bound[id(thing)]

    def called(self, call: Call) -> str:
        """A call as it was recorded."""
        prim = call.prim
        parts = [*map(self.operand, call.args), *self.keywords(call.kwargs)]
        text = f"{self.function(prim)}{'.reduce' * (prim.kind == 'reduce')}({', '.join(parts)})"
        whole = len(call.outs) == 1 and not call.out.is_number and call.out.shape == () and prim.kind != "view"
        return f"{self.bound(np.asarray, 'asarray')}({text})" if whole else text

    def keywords(self, kwargs: dict[str, Any]) -> list[str]:
        return [f"{key}={self.operand(value)}" for key, value in kwargs.items()]

    def literal(self, x: Any) -> str:
        """Python values as text, Values by their names; everything else by a global name."""
        return literal(x, self._named)

    def _named(self, x: Any) -> str:
        if isinstance(x, Value):
            return self.operand(x)
        if type(x) is float:
            return self.bound(x, "nan" if x != x else "inf" if x > 0 else "minus_inf")
        return self.bound(x, x.name if isinstance(x, np.dtype) else getattr(x, "__name__", type(x).__name__))

    def key(self, x: Any) -> str:
        """An index as it stands between square brackets."""
        return index(x, self.literal)


def whereabouts(variable: Variable) -> Any:
    """Which memory a variable covers, in whatever shape."""
    if variable.like is None:
        return variable
    return variable.block, variable.like.__array_interface__["data"][0], variable.like.nbytes


def suffix(variable: Variable) -> str:
    """What a view's name adds to the name of what it is a view of."""
    assert variable.like is not None
    function = variable.call[0].__name__ if variable.call else ""
    return SUFFIX.get(function, "flat" if variable.like.ndim == 1 else "view")
