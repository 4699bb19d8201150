"""The trace: one run of a step with Tracers in place of its arrays, written down as a Program.

While it runs it stands last in `duck.TRACES`; modules tell it which layer they are, the engine which node's backward
comes next, and functions that cannot be read step by step, checks and random draws come here as one call each. Read
`symbolic.py` next: the numbers; then `capture.py`.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from threading import get_ident
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dialect, pytree
from ..alarms import silence, sounded
from ..core import Tensor
from ..errors import CompileError
from ..memory import CLOCK, caller
from ..nn import hooks
from ..optim.flat import gather
from ..pytree import operands
from . import spelling, strides, views
from .capture import ArrayOfOne, Place
from .program import ASSIGN, CONSTANT, GATHER, RESULT, SETTING, Call, Primitive, Program, Value, in_rows
from .symbolic import SymbolicNumber
from .tracer import Storage, Tracer, real_of, traced

if TYPE_CHECKING:
    from collections.abc import Callable


PACKAGE = __name__.partition(".")[0]


class Trace:
    """What is written down, and where in the model we are.

    names: id of a module → its path; conditions: what must hold of the settings for the program to be right.
    """

    def __init__(self, names: dict[int, str]) -> None:
        self.program = Program()
        self.names = names
        self.conditions: list[tuple[Any, Value, Any, Any]] = []  # (comparison, or None: is; setting; number; outcome)
        self.derived: list[tuple[Any, Any, Any, bool]] = []  # the same for numbers made of settings: (…, symbol, …, …)
        self.asked: dict[Value, str] = {}  # settings whose value Python code asked for, and where
        self.gathered: dict[Value, Any] = {}  # gradients that an optimiser laid side by side: into what, from where on
        self.notes: dict[Any, Any] = {}  # what optimisers have to know until the end of the step
        self.layout = False  # whether anybody asked how an array lies in memory
        self.written: list[Storage] = []
        self.places: dict[Value, Place] = {}  # where each setting is read
        self._primitives: dict[tuple[Any, ...], Primitive] = {}
        self._constants: dict[int, tuple[Any, Value]] = {}
        self._thread = get_ident()
        self._errors: dict[str, Any] = dict(np.geterr())
        self._scope = ""
        self._times, self._places = [0], [""]  # which layer was running from which time of the engine's clock on
        self._pass: Any = None  # the frame of the backward pass that runs, or ran last
        self._named: set[str] = set()
        self._guarded: list[np.ndarray] = []
        self._states: list[tuple[Any, Any]] = []  # each random generator, and its state after the last draw

    # ------------------------------------------------------------ writing down
    def primitive(self, kind: str, name: str, function: Any, effect: bool = False) -> Primitive:
        """The one Primitive of a function."""
        key = (kind, name, function)
        if key not in self._primitives:
            self._primitives[key] = Primitive(kind, name, function, effect)
        return self._primitives[key]

    def record(self, kind: str, name: str, function: Any, args: Any, kwargs: Any, effect: bool = False) -> Any:
        """Run one call on the real arrays, write it down, and return what stands for its result."""
        prim = self.primitive(kind, name, function, effect)
        run = function.reduce if kind == "reduce" else function
        known: dict[int, Tracer] = {}
        if kind == "call" and not function.__module__.startswith(PACKAGE):  # ours write to nothing, and copy
            result = self._called(name, run, args, kwargs, known)
        else:
            result = sounded(name, lambda: run(*real_of(args), **real_of(kwargs)))
        many = isinstance(result, tuple | list)
        given = result if many else (result,)
        parts = [self._checked(part, name) for part in given]
        outs = [Value(RESULT, part.shape, part.dtype, "", self._scope, part.strides) for part in parts]
        self.write_down(prim, args, kwargs, outs)
        made = [Tracer(Storage(self, part, value), part) for part, value in zip(parts, outs, strict=True)]
        made = [known.get(id(part), tracer) for part, tracer in zip(given, made, strict=True)]
        return type(result)(made) if type(result) is list else tuple(made) if many else made[0]

    def _called(self, name: str, function: Any, args: Any, kwargs: Any, known: dict[int, Tracer]) -> Any:
        """A function of NumPy on arrays that it can only read. `known` will be what each of them stands for: some
        functions answer with their very argument."""
        seen: list[np.ndarray] = []

        def guarded(x: Tracer) -> np.ndarray:
            array: np.ndarray = x.actual.view()
            array.flags.writeable = False
            seen.append(array)
            known[id(array)] = x
            return array

        try:
            result = function(*real_of(args, guarded), **real_of(kwargs, guarded))
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise self.refusal(
                f"np.{name} writes into one of its arguments",
                "write with an index, `x[...] = new`, and leave out=, copy=False, overwrite_input= away",
            ) from None
        for part in result if isinstance(result, tuple | list) else (result,):
            fresh = not isinstance(part, np.ndarray) or id(part) in known or part.size == 0
            if not fresh and any(np.may_share_memory(part, array) for array in seen):
                raise self.refusal(f"np.{name} answers with a view of its argument", "give it a copy, `x.copy()`")
        self._guarded = seen  # alive as long as their identities are asked for
        return result

    def write_down(self, prim: Primitive, args: Any, kwargs: Any, outs: list[Value]) -> None:
        if not self.mine():
            raise self.refusal("another thread uses an array of the step that is being compiled", "compile it before")
        errors: dict[str, Any] = dict(np.geterr())
        quiet = {k: v for k, v in errors.items() if v not in (self._errors[k], "call")}  # call: `alarms` listens
        phase = self.phase()
        self.program.calls.append(
            Call(prim, self.lower(args), self.lower(kwargs), outs, self._scope, phase, quiet)
        )

    def mine(self) -> bool:
        """Whether this trace is being made by the thread that asks."""
        return get_ident() == self._thread

    def _checked(self, part: Any, name: str) -> Any:
        if isinstance(part, np.ndarray):
            return part if part.base is None else strides.copied(part)
        if isinstance(part, np.generic):
            return np.asarray(part)
        raise self.refusal(
            f"np.{name} answers with {type(part).__name__}: it works in place, or on the values of an array",
            "compute it outside the step and pass it in, or use a function that returns a new array",
        )

    def lower(self, tree: Any) -> Any:
        """Values in place of what stands for them, and of arrays, which are constants here."""
        return pytree.map(self._lower, tree, operands)

    def _lower(self, leaf: Any) -> Any:
        if isinstance(leaf, Tracer):
            return leaf.value()
        if isinstance(leaf, SymbolicNumber | Known):
            return leaf.value
        return self.constant(np.asarray(leaf)) if isinstance(leaf, np.ndarray | np.generic) else leaf

    def constant(self, array: np.ndarray) -> Value:
        """A constant: a copy, so that it stays what it is now."""
        _, value = self._constants.get(id(array), (None, None))
        if value is None or value.array.tobytes() != array.tobytes():
            value = Value(CONSTANT, array.shape, array.dtype, strides=array.strides)
            value.array = strides.copied(array)
            self._constants[id(array)] = array, value
        return value

    def view(self, prim: Primitive, value: Value, args: Any, real: np.ndarray) -> Value:
        out = Value(RESULT, real.shape, real.dtype, "", value.scope, real.strides)
        self.program.calls.append(Call(prim, (value, *self.lower(args)), {}, [out], self._scope, self.phase()))
        return out

    def fresh(self, array: np.ndarray) -> Any:
        """A new array made from shapes alone; it may be written to later."""
        if not self.mine():
            return array
        array = strides.copied(array)
        return Tracer(Storage(self, array, self.constant(array)), array)

    def seen(self, array: Any) -> Any:
        """An array as a stand-in: what is computed from it, even by its own methods, is written down."""
        return self.fresh(array) if isinstance(array, np.ndarray) else array

    def empty(self, like: Any) -> Any:
        return self.fresh(np.zeros(like.shape, like.dtype))

    def write(self, target: Tracer, new: Any) -> None:
        """target[...] = new: the storage holds a new Value from now on."""
        if not target.actual.flags.writeable:
            raise ValueError("assignment destination is read-only")
        storage = target.storage
        if storage.version == 0:
            self.written.append(storage)
            if storage.home is not None:
                storage.own()
        new = new if traced(new) else np.asarray(new, target.dtype)
        same = getattr(new, "shape", ()) == target.shape and getattr(new, "dtype", None) == target.dtype
        value, real = self.lower(new), storage.actual
        if target.path or not same or value.strides != real.strides:
            out = Value(RESULT, real.shape, real.dtype, "", self._scope, real.strides)
            self.write_down(ASSIGN, (Known(storage.value), new, target.path), {}, [out])
            value = out
        target.actual[...] = real_of(new)
        storage.value = value
        storage.version += 1

    # ------------------------------------------------------------ what duck.py hands over
    def opaque(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if not self.mine() or not traced(args):
            return function(*args)
        if function is dialect.taken:
            spelling.no_mask(self, args[1])
        name = function.__name__
        return self._gathered(args) if function is gather else self.record("opaque", name, function, args, {})

    def _gathered(self, arrays: tuple[Any, ...]) -> Tracer:
        """An optimiser's gradients side by side: that is where they are from then on."""
        real: Any = gather(*real_of(arrays))
        self.write_down(GATHER, arrays, {}, [out := Value(RESULT, real.shape, real.dtype, "gradients")])
        whole, start = Tracer(Storage(self, real, out), real), 0
        for array in arrays:
            self.gathered.setdefault(self.lower(array), (whole, start))
            start += array.size
        return whole

    def where_gathered(self, value: Value) -> Value:
        """The view of what a value was gathered into, if it was and lies alike there; else the value itself."""
        if value not in self.gathered or not in_rows(value):
            return value
        whole, start = self.gathered[value]
        return Tracer(whole.storage, whole.actual, views.stretch_of(self, start, value.size, value.shape)).value()

    def check(self, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        function(*real_of(args))
        if traced(args):
            self.write_down(self.primitive("opaque", function.__name__, function, True), args, {}, [])

    def draw(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if not self.mine():
            return function(*args, **kwargs)
        self.check_draws()
        drawn = self.record("opaque", function.__name__, function, args, kwargs, effect=True)
        self._states = [(generator, generator.get_state()) for generator, _ in self._states]
        return drawn

    def seeded(self) -> None:
        if self.mine():
            raise self.refusal("a random generator is seeded inside the step", "seed it outside the step")

    def watch(self, generator: Any) -> None:
        self._states.append((generator, generator.get_state()))

    def check_draws(self) -> None:
        """All random numbers must come by `draw`: others would be constants of the program."""
        if any((generator.get_state() != state).any() for generator, state in self._states):
            raise self.refusal(
                "a random generator is seeded, or draws the first weights of a layer, inside the step",
                "seed, and make layers, outside the step",
            )

    def rest(self) -> None:
        """Let go of all that only the recording itself needed: constants, and the frame of the backward pass."""
        self._pass = None
        self._guarded.clear()
        for table in (self.written, self.notes, self.gathered, self._primitives, self._constants, self._states):
            table.clear()

    # ------------------------------------------------------------ numbers
    def item(self, x: Tracer) -> Any:
        if x.size != 1:
            raise ValueError("item: only an array of one entry is a number")
        if x.storage.value.kind == CONSTANT:
            return x.actual.item()
        if x.storage.known():
            place = Place(ArrayOfOne(x.looked(x.storage.real)), 0, x.value().name or x.storage.home.name)
            return self.setting(place, x.actual.item())
        value = Value(RESULT, (), None, scope=self._scope)
        self.write_down(self.primitive("number", "item", item), (x,), {}, [value])
        return SymbolicNumber(self, value, x.actual.item(), None)

    def arithmetic(self, function: Any, args: tuple[Any, ...]) -> SymbolicNumber:
        if not self.mine():  # of another thread, that met the stand-in in a dict
            return function(*real_of(args))  # type: ignore[no-any-return]
        value = Value(RESULT, (), None, scope=self._scope)
        known = [a.settings for a in args if isinstance(a, SymbolicNumber)]
        settings = None if None in known else frozenset().union(*known)  # type: ignore[arg-type]
        self.write_down(self.primitive("number", function.__name__, function), args, {}, [value])
        return SymbolicNumber(self, value, function(*real_of(args)), settings, (function, args))

    def condition(self, compare: Any, symbol: SymbolicNumber, other: Any) -> bool:
        """The answer to a comparison, which must stay the same for the program to hold."""
        if not self.mine():
            return bool(compare(*real_of((symbol, other))))
        if symbol.settings is None or (isinstance(other, SymbolicNumber) and other.settings is None):
            return bool(compare(self.pin(symbol), other.pinned() if isinstance(other, SymbolicNumber) else other))
        outcome = bool(compare(symbol.actual, real_of(other)))
        if isinstance(other, SymbolicNumber) or symbol.made is not None:
            self.derived.append((compare, symbol, other, outcome))
        else:
            self.conditions.append((compare, symbol.value, other, outcome))
        return outcome

    def pin(self, symbol: SymbolicNumber) -> Any:
        """The number itself; all settings that it is computed from must stay as they are."""
        if not self.mine():
            return symbol.actual
        if symbol.settings is None:
            raise self.refusal(
                "Python code asks for a number that the step computes (`.item()`), to branch on it or to print it",
                "return it from the step and look at it there; to choose between values use `tg.where`",
            )
        for value, real in symbol.settings:
            self.asked.setdefault(value, caller())
            self.conditions.append((None, value, real, True))
        return symbol.actual

    def setting(self, place: Place, real: Any) -> SymbolicNumber:
        """A number that is read at a place before each run."""
        real = real if real.__class__ in (int, float) else float(real)  # NumPy's floats are not weak in dtype
        value = Value(SETTING, (), None, place.name)
        self.program.settings.append(value)
        self.places[value] = place
        return SymbolicNumber(self, value, real, frozenset([(value, real)]))

    # ------------------------------------------------------------ where we are
    def phase(self) -> str:
        if self._pass is None:
            return "forward"
        frame: Any = sys._getframe(1)
        while frame is not None and frame is not self._pass:
            frame = frame.f_back
        if frame is None:
            self._scope = ""
            return "update"
        return "backward"

    def layer(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a module; its calls belong to it."""
        if not self.mine():
            return module.forward(*args, **kwargs) if module._hooks is None else hooks.call(module, args, kwargs)
        path, before = self.names.get(id(module), type(module).__name__.lower()), self._scope
        if path and path not in self.program.layers:
            self.program.layers[path] = repr(module) if not module._module_names else type(module).__name__
        self._move(path)
        try:
            output = module.forward(*args, **kwargs) if module._hooks is None else hooks.call(module, args, kwargs)
        finally:
            self._move(before)
        if isinstance(output, Tensor) and isinstance(output.array, Tracer) and not output.array.path:
            value = output.array.storage.value
            if path and not value.name and value.kind == RESULT and value.scope == path:
                value.name = path
        return output

    def _move(self, path: str) -> None:
        CLOCK[0] += 1  # so that a node's time tells its layer
        self._scope, self._pass = path, None
        self._times.append(CLOCK[0])
        self._places.append(path)

    def entering(self, node: Any, g: Any) -> None:
        """The engine comes to a node of the backward pass, whose whole cotangent is g."""
        if not self.mine():
            return
        self._pass = sys._getframe(1)
        self._scope = self._places[bisect_right(self._times, node.made) - 1]
        if isinstance(g, Tracer) and self._scope and not g.path:
            value, name = g.storage.value, f"d_{self._scope}"
            if not value.name and name not in self._named and value.kind == RESULT:
                value.name = name
                self._named.add(name)

    def stray(self, tensor: Any) -> None:
        raise self.refusal(
            "the step reads a tensor that the compiler has not found",
            "pass it as an argument, or keep it in a variable, a list, a dict or an attribute of an object of your own",
        )

    def parallel(self) -> None:
        raise self.refusal("the step starts a thread, which the compiled step would not do", "work in this thread")

    def refusal(self, what: str, instead: str) -> CompileError:
        layer = f" in layer {self._scope!r}" if self._scope else ""
        return CompileError(f"tg.compile: {what}, at {caller()}{layer}. Instead: {instead}")


class Known:
    """A Value among the arguments of a call that is written down."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value


def item(x: Any) -> Any:
    return x.item()


silence(globals())
