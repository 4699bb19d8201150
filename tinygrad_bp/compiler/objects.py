"""What objects hold: entries, attributes, classes, functions with all that their code names.

Here is everything of a step's reach that Python itself knows; `capture.py`, to be read next, adds tensors, modules and
optimisers.
"""

from __future__ import annotations

import builtins
import types
from typing import TYPE_CHECKING, Any

import numpy as np

from .codes import Names
from .kinds import GUARDED, OTHERWISE, constant, in_python, instead, native
from .packages import imported, of_library
from .places import Attributes, Cache, Entries, Filled, Hidden, Members, Missing, Place, Row
from .variables import Variables

if TYPE_CHECKING:
    from collections.abc import Iterable

MAKING = ("__init__", "__new__", "__post_init__", "__init_subclass__", "__class_getitem__", "__set_name__", "__del__")
FORMAL = {
    "__module__", "__dict__", "__weakref__", "__doc__", "__slots__", "__annotations__", "__qualname__",
    "__match_args__", "__parameters__", "__orig_bases__", "__abstractmethods__", "_abc_impl", "__hash__",
    "__static_attributes__", "__firstlineno__", "__annotate_func__", "__annotations_cache__", "__classdictcell__",
    "__dataclass_fields__", "__dataclass_params__", "__test__",
}  # fmt: skip  # what Python itself notes down in a class
DEFAULTS = ("__defaults__", "__kwdefaults__", "__code__")
# Modules of base classes whose code reads no attribute that a user gave.
BASES = ("tinygrad_bp", "abc", "typing", "enum", "collections.abc", "types", "argparse")


class Objects(Variables):
    """What was found. `facts` have guards before each run, `kept` only when a module or optimiser was changed."""

    def __init__(self) -> None:
        super().__init__()
        self.arrays: list[Place] = []
        self.kept: list[tuple[Place, Any]] = []
        self.lengths: list[tuple[Any, int, str]] = []  # how much a container holds, guarded before each run
        self.orders: list[tuple[Any, list[Any], str]] = []  # the keys of dicts, in order
        self.frozen: list[tuple[np.ndarray, np.ndarray, str]] = []  # arrays of which the content counts
        self.seen: dict[Any, Any] = {}
        self._clocked = False
        self.asks = False  # whether the code asks for attributes that may be there or not
        self.bare: list[tuple[Any, str]] = []  # functions, and tensors, without attributes of their own

    def visit(self, value: Any, name: str, place: Place | None = None, by: str | None = None) -> None:
        """Take in a value, found at a place, and all that it leads to; code gets at it by the attribute `by`."""
        self.ways.add(value, by)
        self.reads(value)
        if issubclass(type(value), np.ndarray):
            self.array(value, name, place)
            return
        if place is not None:
            (self.kept if self._clocked else self.facts).append((place, value))
        self._enter(value, name)
        if issubclass(type(value), type):
            self.making(value)

    def _enter(self, value: Any, name: str) -> None:
        if constant(type(value)) or id(value) in self.seen:
            return
        self.seen[id(value)] = value
        clocked, self._clocked = self._clocked, False  # only what a module itself holds is under a clock
        with self.ways.within(id(value)):
            self.inside(value, name)
        self._clocked = clocked

    def inside(self, value: Any, name: str) -> None:
        """What an object holds, by its kind."""
        kind = native(type(value))
        content = "" if constant(kind) else GUARDED.get(kind)
        if content is None:
            self.unknown(value, name)
            return
        if content:
            getattr(self, content)(value, name)
        if content not in ("class_", "function", "package", "cached", "cache"):
            self.attributes(value, name)

    def unknown(self, value: Any, name: str) -> None:
        """An object that no guard can check: refused, if the step's code can get at it."""
        kind = type(value)
        detail = f"'{kind.__module__}.{kind.__qualname__}'".replace("builtins.", "")
        if hasattr(kind, "__next__") and not hasattr(kind, "readline") and instead(kind) == OTHERWISE:
            self.ways.doubts[id(value)] = (
                f"tg.compile: the step reaches the iterator {name!r}, which would be advanced while the step is "
                f"recorded, and not in later calls. Take `next({name})` outside the step, and pass the result in"
            )
        else:
            self.ways.doubts[id(value)] = (
                f"tg.compile: the step reaches {name!r}, of class {detail}, of which nobody can check before each "
                f"call whether it has changed. Instead: {instead(kind)}"
            )

    def array(self, value: Any, name: str, place: Place | None) -> None:
        """An array becomes memory where another can be put in its place; else its content has a guard."""
        if type(value) is not np.ndarray or value.dtype.kind in "OV":
            self.seen[id(value)] = value
            self.ways.doubts[id(value)] = (
                f"tg.compile: the step reaches {name!r}, of class '{type(value).__name__}' and dtype {value.dtype}; "
                "only arrays of numbers can be checked before each call. Instead: use `np.asarray(x)` or its fields"
            )
        elif place is not None:
            where = "array", id(getattr(place.container, "owner", place.container)), place.key
            if where not in self.seen:  # two functions may name one variable
                self.seen[where] = value
                self.arrays.append(place)
        else:
            self.frozen.append((value, value.copy(), name))

    # ------------------------------------------------------------ containers
    def dict_(self, value: dict[Any, Any], name: str) -> None:
        entries: Any = value if type(value) is dict else Entries(value)
        self.lengths.append((entries, len(entries), name))
        self.orders.append((entries, list(entries), name))
        for key in entries:
            self.visit(key, f"a key of {name}")
            self.visit(entries[key], f"{name}.{key}", Place(entries, key, f"{name}[{key!r}]"))
        if hasattr(type(value), "default_factory"):
            self.slot(value, "default_factory", name)

    def list_(self, value: list[Any], name: str) -> None:
        if type(value) is not list:
            self.row(value, name)
            return
        self.lengths.append((value, len(value), name))
        for i, entry in enumerate(value):
            self.visit(entry, f"{name}.{i}", Place(value, i, f"{name}[{i}]"))

    def tuple_(self, value: Any, name: str) -> None:
        for i, entry in enumerate(native(type(value)).__iter__(value)):  # type: ignore[attr-defined]
            self.visit(entry, f"{name}.{i}")

    def slice_(self, value: slice, name: str) -> None:
        self.tuple_((value.start, value.stop, value.step), name)

    def row(self, value: Any, name: str) -> None:
        """A container that is compared as a whole."""
        row = Row(value, name)
        self.guards.append(row)
        for i, entry in enumerate(row.content if not hasattr(value, "tobytes") else ()):
            self.visit(entry, f"{name}.{i}")

    mapping = row

    # ------------------------------------------------------------ attributes
    def slot(self, value: Any, key: str, name: str, by: str | None = None) -> None:
        """An attribute that no dict holds."""
        place = Place(Attributes(value), key, f"{name}.{key}")
        try:
            self.visit(object.__getattribute__(value, key), place.name, place, by)
        except AttributeError:
            if not of_library(type(value)):
                self.guards.append(Missing(place.container, key, place.name))

    def attributes(self, value: Any, name: str, without: tuple[str, ...] = ()) -> None:
        """What an object's `__dict__` and slots hold, and its class."""
        kind = type(value)
        walked = all(base is object or not of_library(base) or base.__module__.startswith(BASES)
            for base in kind.__mro__)  # fmt: skip
        for base in kind.__mro__:
            for key, entry in list(vars(base).items()):
                if getattr(type(entry), "is_compiled_step", False):
                    getattr(value, key)  # a compiled method makes its place in the instance's dict
        hidden = isinstance(kind.__getattribute__, types.FunctionType)
        owner = (Hidden if hidden else Attributes)(value)
        fields = instance_fields(value)
        if fields is not None:
            self.facts.append((Place(owner, "__dict__", f"{name}.__dict__"), fields))
            if not of_library(kind):
                self.facts.append((Place(owner, "__class__", f"{name}.__class__"), kind))
            self.lengths.append((fields, len(fields), name))
            self.orders.append((fields, list(fields), name))
            for key in [key for key in fields if key not in without]:
                place = Place(fields, key, f"{name}.{key}")
                self.visit(fields[key], place.name, place, key if walked else None)
        for base in kind.__mro__:
            for key, member in vars(base).items() if in_python(base) else ():
                if isinstance(member, types.MemberDescriptorType) and key not in without:
                    self.slot(value, key, name, key if walked else None)
        self.class_of(value, name)

    def class_of(self, value: Any, name: str) -> None:
        """The classes of an object, which the step asks for attributes and methods, but does not call."""
        kind = type(value)
        self.ways.add_class(kind)
        self._enter(kind, name)

    def class_(self, kind: type, name: str) -> None:
        """Attributes of a class that a user wrote, and what its methods reach."""
        if of_library(kind):
            return
        self.facts.append((Place(Attributes(kind), "__bases__", f"{name}.__bases__"), kind.__bases__))
        self.guards.append(Members(kind, name))
        for key, value in list(vars(kind).items()):
            if key in FORMAL or isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType):
                continue
            if key not in MAKING:
                container: Any = vars(kind) if hasattr(type(value), "__get__") else Attributes(kind)
                by = None if key.startswith("__") and key.endswith("__") else key
                called = key if isinstance(value, types.FunctionType) else f"{name}.{key}"
                self.visit(value, called, Place(container, key, f"{name}.{key}"), by)
        for base in (*kind.__bases__, type(kind)):
            self.ways.add_class(base)
            self._enter(base, name)

    def making(self, kind: type) -> None:
        """What runs when a class is called."""
        if ("made", id(kind)) in self.seen:
            return
        self.seen["made", id(kind)] = kind
        with self.ways.within(("made", id(kind))):
            for base in kind.__mro__:
                for key in MAKING if not of_library(base) else ():
                    if key in vars(base):
                        self.visit(vars(base)[key], key, Place(vars(base), key, f"{kind.__name__}.{key}"))

    # ------------------------------------------------------------ functions
    def partial_(self, value: Any, name: str) -> None:
        for part in (value.func, value.args, value.keywords):
            self.visit(part, name)

    def builtin(self, value: Any, name: str) -> None:
        if not isinstance(value.__self__, types.ModuleType | None):  # the list of a bound `log.append`
            self.visit(value.__self__, name)

    def method(self, value: Any, name: str) -> None:
        self.visit(value.__self__, name)
        self.visit(value.__func__, name)

    def property_(self, value: property, name: str) -> None:
        for part in (value.fget, value.fset, value.fdel):
            self.visit(part, name)

    def cached(self, value: Any, name: str) -> None:
        self.visit(value.func, name)

    def cache(self, value: Any, name: str) -> None:
        self.guards.append(Cache(value, name))

    def wrapped(self, value: Any, name: str) -> None:
        self.visit(value.__func__, name)

    def function(self, value: types.FunctionType, name: str) -> None:
        """A function's cells, defaults, attributes, and the globals that its code names."""
        if of_library(value) and len(self.seen) > 1:  # a library's, unless it is the step itself
            return
        package = value.__globals__.get("__package__")
        names = self.ways.names[id(value)] = Names(value.__code__, package if isinstance(package, str) else None)
        for key, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            if key == "__class__":  # of `super()`
                self.ways.add_class(cell.cell_contents)
                self._enter(cell.cell_contents, key)
            elif key in Filled(cell):
                self.variable(cell.cell_contents, key, Place(cell, None, key), names)
            else:
                self.guards.append(Missing(Filled(cell), key, key))
        for key in DEFAULTS:
            if getattr(value, key):  # a call that gave all arguments goes on without those that come later
                self.facts.append((Place(Attributes(value), key, f"{name}.{key}"), getattr(value, key)))
        for i, default in enumerate(value.__defaults__ or ()):
            self.visit(default, f"{name}.default{i}")
        if value.__kwdefaults__:
            self.visit(value.__kwdefaults__, f"{name}.__kwdefaults__")
        self.members(value, name)
        for key in names.variables:
            if key in value.__globals__:
                self.variable(value.__globals__[key], key, Place(value.__globals__, key, key), names)
            else:
                self.guards.append(Missing(value.__globals__, key, key))
                self.ways.add(vars(builtins).get(key), None)
                self.reads(vars(builtins).get(key))
        for key in names.imports:
            found = imported(key) or self.imported_for(key)
            if found is not None:
                self.visit(found, key)
        self.unseen(value, names)

    def members(self, value: Any, name: str) -> None:
        """The attributes of what has none as a rule."""
        if value.__dict__:
            self.guards.append(Members(value, name))
            for key, entry in list(value.__dict__.items()):
                self.visit(entry, f"{name}.{key}", Place(value.__dict__, key, f"{name}.{key}"), key)
        else:
            self.bare.append((value, name))

    def unseen(self, value: types.FunctionType, names: Names) -> None:
        """Refuse what finds variables that no code names."""
        if names.unseen:
            self.ways.doubts[id(value)] = (
                f"tg.compile: the step uses `{names.unseen[0]}`, which finds variables or objects by names that are "
                "not in the code. Instead: write the names, or do this outside the step and pass the result in"
            )

    # ------------------------------------------------------------ at the end
    def formal(self, keys: set[str]) -> None:
        """Names and texts of functions and classes, where some code asks for such."""
        for value in list(self.seen.values()):
            if isinstance(value, types.FunctionType | type) and not of_library(value):
                for key in sorted(keys - {"__dict__", "__weakref__", "_abc_impl"}):
                    if hasattr(value, key):
                        self.visit(getattr(value, key), key, Place(Attributes(value), key, f"{value.__name__}.{key}"))

    def finish(self) -> None:
        """What depends on all the code that was found: modules handed about, attributes that may come; refusals."""
        self.handed()
        codes = self.ways.names.values()
        self.asks = any(names.asks for names in codes)
        if self.asks:
            self.guards += [Members(value, name) for value, name in self.bare]
        self.formal(set().union(*(names.attributes for names in codes)) & {"__name__", *DEFAULTS, *FORMAL})
        self.ways.refuse()

    def readable(self, attributes: Iterable[str]) -> list[str]:
        """Those attributes of a tensor that the code that was found could read."""
        named = set().union(*(names.attributes for names in self.ways.names.values()))
        return [key for key in attributes if self.asks or key in named]


def instance_fields(value: Any) -> dict[str, Any] | None:
    """An object's `__dict__`, whatever its class makes of reading attributes."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return found if isinstance(found, dict) else None
