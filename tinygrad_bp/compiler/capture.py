"""What a step can reach: the tensors, arrays, settings and plain Python values that it reads without being given them.

A step is a function with a closure; from its cells and the globals that its code names everything else is reached:
modules and their parameters, optimisers with groups and state, lists, dicts, objects. Tensors and arrays become memory
of the program, an optimiser's numbers become settings, and every other value is a fact: the program holds as long as it
is what it was. Read `recording.py` next: a traced run from beginning to end.
"""

from __future__ import annotations

import dis
import sys
import types
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..core import Tensor
from ..errors import CompileError
from ..nn.module import TABLES, Module
from ..optim.optimizer import Optimizer
from ..random import Generator, default_generator

PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype, type)
SKIPPED = ("numpy", "tinygrad_bp", *sys.stdlib_module_names)


class Attributes:
    """An object's attributes, read and set as the entries of a dict are."""

    __slots__ = ("owner",)

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __getitem__(self, key: str) -> Any:
        return getattr(self.owner, key)

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self.owner, key, value)


class Entry:
    """An array of one entry, read as a list of one number."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __getitem__(self, key: int) -> Any:
        return self.array.item()


class Place(NamedTuple):
    """Where a value is kept: a key of a dict or a list, or (key None) a closure's cell."""

    container: Any
    key: Any
    name: str

    def get(self) -> Any:
        return self.container.cell_contents if self.key is None else self.container[self.key]

    def set(self, value: Any) -> None:
        if self.key is None:
            self.container.cell_contents = value
        else:
            self.container[self.key] = value


class Reach:
    """Everything found. `facts` are looked at before each run, `kept` only when a module or optimiser was changed."""

    def __init__(self) -> None:
        self.tensors: dict[int, tuple[Tensor, str]] = {}
        self.arrays: list[Place] = []
        self.settings: list[Place] = []
        self.facts: list[tuple[Place, Any]] = []
        self.kept: list[tuple[Place, Any]] = []
        self.lengths: list[tuple[Any, int, str]] = []  # how much a container holds, looked at before each run
        self.sizes: list[tuple[Any, int, str]] = []  # the same for modules
        self.frozen: list[tuple[np.ndarray, np.ndarray, str]] = []  # arrays of which the content counts
        self.modules: dict[int, str] = {}
        self.movable: set[int] = set()  # arrays that may be laid into a larger buffer
        self.optimizers: list[Optimizer] = []
        self.foreign: list[Any] = []  # random generators of Python and NumPy
        self.generators: list[Generator] = [default_generator]
        self.seen: dict[Any, Any] = {}
        self.rows: list[tuple[Any, list[Any], str]] = []  # what a dict or list holds, object by object
        self.orders: list[tuple[Any, list[Any], str]] = []  # the keys of dicts, in order
        self.sets: list[tuple[Any, frozenset[Any], str]] = []
        self._models: list[str] = []
        self._clocked = False

    def visit(self, value: Any, name: str, place: Place | None = None) -> None:
        """Take in a value, found at a place, and all that it leads to."""
        if isinstance(value, np.ndarray):
            if place is not None:
                self.arrays.append(place)
            else:
                self.frozen.append((value, value.copy(), name))
            return
        if place is not None:
            (self.kept if self._clocked else self.facts).append((place, value))
        if isinstance(value, type) and id(value) not in self.seen:
            self.seen[id(value)] = value
            self.class_(value, name)
        if isinstance(value, PLAIN) or id(value) in self.seen:
            return
        self.seen[id(value)] = value
        visitor = self._visitor(value)
        if visitor is not None:
            clocked, self._clocked = self._clocked, False  # only what a module itself holds is under a clock
            visitor(value, name)
            self._clocked = clocked

    def _visitor(self, value: Any) -> Any:
        kinds: list[tuple[Any, Any]] = [
            (Tensor, self.tensor), (Module, self.module), (Optimizer, self.optimizer), (dict, self.dict_),
            (list, self.list_), (tuple, self.tuple_), (types.FunctionType, self.function),
            (types.MethodType, self.method), (partial, self.partial_), (types.BuiltinMethodType, self.builtin),
            (Generator, lambda value, name: self.generators.append(value)),
        ]  # fmt: skip
        for kind, visitor in kinds:
            if isinstance(value, kind):
                return visitor
        inner = getattr(value, "__wrapped__", None)
        if isinstance(inner, types.FunctionType | types.MethodType):  # a decorated or compiled function
            return lambda value, name: self.visit(inner, name)
        if hasattr(value, "__next__") and type(value).__module__ in ("builtins", "itertools"):
            return self.iterator
        if any(isinstance(value, kind) for kind in foreign_generators()):
            return lambda value, name: self.foreign.append(value)
        if isinstance(value, set | frozenset):
            return lambda value, name: self.sets.append((value, frozenset(value), name))
        if isinstance(value, types.SimpleNamespace):
            return self.object_
        if isinstance(value, types.ModuleType) or own(type(value).__module__):
            return None
        return self.object_

    def tensor(self, value: Any, name: str) -> None:
        self.tensors[id(value)] = value, name
        for hook in (value.node.hooks or {}).values() if value.node is not None else ():
            self.visit(hook, f"hook of {name}")
        if value._grad is not None:
            self.tensor(value._grad, f"{name}.grad")

    def module(self, value: Module, name: str) -> None:
        if next(value.parameters(), None) is not None:
            self._models.append(name)
        self.layer(value, name)

    def named(self) -> Reach:
        """Where there is one model, its own path is left out, so that parameters are called as in its state_dict."""
        if len(self._models) == 1:
            start = f"{self._models[0]}."
            self.tensors = {i: (t, name.removeprefix(start)) for i, (t, name) in self.tensors.items()}
            self.modules = {i: (path + ".").removeprefix(start)[:-1] for i, path in self.modules.items()}
        return self

    def layer(self, value: Module, path: str) -> None:
        if id(value) in self.modules:
            return
        self.seen[id(value)] = value
        self.modules[id(value)] = path
        start = f"{path}." if path else ""
        before, self._clocked = self._clocked, True
        if value._hooks is not None:
            for table in vars(value._hooks).values():
                self.dict_(table, f"hooks of {path or type(value).__name__}")
        self.sizes.append((value.__dict__, len(value.__dict__), path or type(value).__name__))
        for key, entry in list(value.__dict__.items()):
            place = Place(value.__dict__, key, start + key)
            if isinstance(entry, Module):
                self.kept.append((place, entry))
                self.layer(entry, start + key)
            elif key in TABLES:
                self.sizes.append((entry, len(entry), start + key))
            else:
                self.visit(entry, place.name, place)
        self._clocked = before
        self.class_(type(value), path or type(value).__name__)

    def class_(self, kind: type, name: str) -> None:
        """Attributes of the classes that a user wrote, and what their methods reach."""
        for base in kind.__mro__:
            if own(base.__module__) or (id(base), "class") in self.seen:
                continue
            self.seen[id(base), "class"] = base
            for key, value in list(vars(base).items()):
                function = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
                if isinstance(function, types.FunctionType):
                    if key == "__call__" or not key.startswith("__"):
                        self.facts.append((Place(vars(base), key, f"{name}.{key}"), value))
                    self.visit(function, key)
                elif not (key.startswith("__") or isinstance(value, types.MemberDescriptorType)):
                    container = vars(base) if hasattr(type(value), "__get__") else Attributes(base)
                    clocked, self._clocked = self._clocked, False
                    self.visit(value, f"{name}.{key}", Place(container, key, f"{name}.{key}"))
                    self._clocked = clocked

    def optimizer(self, value: Optimizer, name: str) -> None:
        self.optimizers.append(value)
        for key in ("param_groups", "state"):
            self.facts.append((Place(value.__dict__, key, f"{name}.{key}"), value.__dict__[key]))
        for i, group in enumerate(value.param_groups):
            for key, entry in group.items():
                place = Place(group, key, key if i == 0 else f"{key}_{i}")
                if isinstance(entry, int | float) and not isinstance(entry, bool):
                    self.settings.append(place)
                elif key == "params":
                    self.lengths.append((entry, len(entry), f"{name}.param_groups[{i}]['params']"))
                    self.rows.append((entry, list(entry), f"{name}.param_groups[{i}]['params']"))
                    for k, p in enumerate(entry):
                        self.visit(p, f"{name}.{i}.{k}")
                else:
                    self.visit(entry, place.name, place)
        self.lengths.append((value.param_groups, len(value.param_groups), f"{name}.param_groups"))
        self.rows.append((value.param_groups, list(value.param_groups), f"{name}.param_groups"))
        self.lengths.append((value.state, len(value.state), f"{name}.state"))
        self.rows.append((value.state, list(value.state.values()), f"{name}.state"))
        for p, state in value.state.items():
            owner = self.tensors[id(p)][1] if id(p) in self.tensors else name
            self.lengths.append((state, len(state), f"{name}.state"))
            for key, entry in state.items():
                place = Place(state, key, f"{owner}.{key}")
                if isinstance(entry, int | float) and not isinstance(entry, bool):
                    self.settings.append(place)
                else:
                    self.visit(entry, place.name, place)

    def dict_(self, value: dict[Any, Any], name: str) -> None:
        self.lengths.append((value, len(value), name))
        self.orders.append((value, list(value), name))
        for key, entry in list(value.items()):
            self.visit(entry, f"{name}.{key}", Place(value, key, f"{name}[{key!r}]"))

    def list_(self, value: list[Any], name: str) -> None:
        self.lengths.append((value, len(value), name))
        for i, entry in enumerate(value):
            self.visit(entry, f"{name}.{i}", Place(value, i, f"{name}[{i}]"))

    def tuple_(self, value: tuple[Any, ...], name: str) -> None:
        for i, entry in enumerate(value):
            self.visit(entry, f"{name}.{i}")

    def object_(self, value: Any, name: str) -> None:
        for base in type(value).__mro__:
            for key, entry in vars(base).items():
                if getattr(type(entry), "is_compiled_step", False):
                    getattr(value, key)  # a compiled method makes its place in the instance's dict
        if hasattr(value, "__dict__"):
            self.dict_(value.__dict__, name)
        for base in type(value).__mro__:
            slots = vars(base).get("__slots__", ())
            for key in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, key):
                    place = Place(Attributes(value), key, f"{name}.{key}")
                    self.visit(getattr(value, key), place.name, place)
        self.class_(type(value), name)

    def partial_(self, value: Any, name: str) -> None:
        for part in (value.func, *value.args, *value.keywords.values()):
            self.visit(part, name)

    def builtin(self, value: Any, name: str) -> None:
        if not isinstance(value.__self__, types.ModuleType | None):  # the list of a bound `log.append`
            self.visit(value.__self__, name)

    def iterator(self, value: Any, name: str) -> None:
        raise CompileError(
            f"tg.compile: the step reaches the iterator {name!r}, which would be advanced while the step is recorded "
            f"and never again. Take `next({name})` outside the step, and pass the result in"
        )

    def method(self, value: Any, name: str) -> None:
        self.visit(value.__self__, name)
        self.visit(value.__func__, name)

    def function(self, value: types.FunctionType, name: str) -> None:
        """A function's cells, defaults, and the globals that its code names."""
        if own(value.__module__ or "") and len(self.seen) > 1:  # a library's, unless it is the step itself
            return
        for key, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            if cell_is_filled(cell):
                self.visit(cell.cell_contents, key, Place(cell, None, key))
        for key in ("__defaults__", "__kwdefaults__", "__code__") if not name.startswith("__") else ():
            self.facts.append((Place(Attributes(value), key, f"{name}.{key}"), getattr(value, key)))
        for i, default in enumerate(value.__defaults__ or ()):
            self.visit(default, f"{name}.default{i}")
        if value.__kwdefaults__:
            self.visit(value.__kwdefaults__, f"{name}.__kwdefaults__")
        for key in sorted_names(value.__code__):
            if key in value.__globals__:
                found = value.__globals__[key]
                if isinstance(found, types.ModuleType):
                    self.package(found, key, value.__code__)
                else:
                    self.visit(found, key, Place(value.__globals__, key, key))

    def package(self, value: types.ModuleType, name: str, code: Any) -> None:
        """The attributes of a module of the user's that the code names: `config.rate`."""
        if own(value.__name__) or "site-packages" in (getattr(value, "__file__", None) or ""):
            return
        for key in code.co_names:
            if key in vars(value) and not isinstance(vars(value)[key], types.ModuleType):
                self.visit(vars(value)[key], key, Place(vars(value), key, f"{name}.{key}"))


def foreign_generators() -> list[Any]:
    """The classes of random generators that are not this package's, as far as they are imported."""
    python, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
    return ([python.Random] if python else []) + ([numpy.Generator, numpy.RandomState] if numpy else [])


def own(module: str) -> bool:
    """Whether code of this module is a library's, whose state is not the step's."""
    return module.partition(".")[0] in SKIPPED and module != "__main__"


def cell_is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def sorted_names(code: Any) -> list[str]:
    """The globals that a function's code reads, in order, those of the functions inside it too."""
    names = dict.fromkeys(i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(dict.fromkeys(sorted_names(constant)))
    return list(names)


def holds(place: Place, value: Any) -> bool:
    """Whether a fact is still one."""
    try:
        now = place.get()
    except (KeyError, IndexError, ValueError, AttributeError):
        return False
    return now is value or (isinstance(value, PLAIN) and type(now) is type(value) and repr(now) == repr(value))
