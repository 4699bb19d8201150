"""What a step can reach: the tensors, arrays, settings and plain Python values that it reads without being given them.

A step is a function with a closure; from its cells and the globals that its code names everything else is reached:
modules and their parameters, optimisers with groups and state, lists, dicts, objects. Tensors and arrays become memory
of the program, an optimiser's numbers become settings, and every other value is a fact: the program holds as long as it
is what it was. What is of a kind that `kinds.py` does not know is refused, if the step's code can get at it.
Read `recording.py` next: a traced run from beginning to end.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..core import Tensor
from ..nn.module import TABLES, Module
from ..optim.flat import lying
from ..optim.method import Method
from ..optim.optimizer import Optimizer
from ..optim.parts import Part
from ..random import Generator, default_generator
from .kinds import RETURNABLE
from .objects import Objects
from .packages import of_library
from .places import ArrayOfOne, Attributes, Numbers, Place, holds

if TYPE_CHECKING:
    import numpy as np

HELD = ("param_groups", "state")  # of an optimiser: guarded entry by entry
OWN = ("defaults", "_parts")  # of an optimiser: what it makes of these itself


class Reach(Objects):
    """Everything found, with the tensors, modules, optimisers and random generators among it."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: dict[int, tuple[Tensor, str]] = {}
        self.settings: list[Place] = []
        self.sizes: list[tuple[Any, int, str]] = []  # how much a module holds
        self.modules: dict[int, str] = {}
        self.flats: dict[int, tuple[np.ndarray, str]] = {}  # long arrays in which several tensors lie, and their names
        self.parts: list[Part] = []  # the parameters that optimisers update together
        self.optimizers: list[Optimizer] = []
        self.foreign: list[Any] = []  # random generators of Python and NumPy
        self.generators: list[Generator] = [default_generator]
        self.rows: list[tuple[Any, list[Any], str]] = []  # what an optimiser's lists hold, object by object
        self._models: list[str] = []

    def inside(self, value: Any, name: str) -> None:
        """As for any object, and before it what only this package, or a random generator, has."""
        kind = type(value)
        if issubclass(kind, Generator):
            self.generators.append(value)
        elif issubclass(kind, foreign_generators()):
            self.foreign.append(value)
            self.ways.doubts[id(value)] = (
                f"tg.compile: the step reaches {name!r}, a generator of random numbers of Python or of NumPy, which "
                "would be the same at each call. Use tinygrad_bp's (`tg.rand`, `tg.randint`), or draw outside the step "
                "and pass the numbers in"
            )
        elif getattr(kind, "is_compiled_step", False):
            self.visit(value.function, name)
        elif issubclass(kind, logger()):
            self.logger(value, name)
        elif issubclass(kind, Tensor):
            self.tensor(value, name)
            if not of_library(kind):
                self.attributes(value, name, ("array", "grad", "node"))
            elif hasattr(value, "__dict__"):
                self.members(value, name)
        elif issubclass(kind, Module):
            self.module(value, name)
        elif issubclass(kind, Optimizer):
            self.optimizer(value, name)
        else:
            super().inside(value, name)

    def logger(self, value: Any, name: str) -> None:
        """Of a logger only what decides whether it writes."""
        for owner, key in ((value, "level"), (value, "disabled"), (value, "parent"), (value.manager, "disable")):
            self.slot(owner, key, name)

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
                self.ways.add(entry, None)
                with self.ways.within(id(entry)):
                    self.layer(entry, start + key)
            elif key in TABLES:
                self.sizes.append((entry, len(entry), start + key))
            else:
                self.visit(entry, place.name, place, key)
        for key in ("__dict__", "__class__"):
            self.kept.append((Place(Attributes(value), key, f"{start}{key}"), getattr(value, key)))
        self._clocked = before
        self.class_of(value, path or type(value).__name__)

    def part(self, part: Part) -> None:
        """Memory in which several parameters, or their state, lie side by side."""
        self.parts.append(part)
        number = f"_{len(self.parts)}" if len(self.parts) > 1 else ""
        whole = [("parameters", part.memory, part.arrays[0])]
        whole += [(f"{name}s", kept.whole, kept.arrays[0]) for name, kept in part.kept.items()]
        for name, tensor, first in whole if len(part.members) > 1 else ():
            stretch = lying(first)
            if stretch is not None:
                self.flats.setdefault(id(stretch.flat), (stretch.flat, name + number))
                self.tensors[id(tensor)] = tensor, name + number

    def optimizer(self, value: Optimizer, name: str) -> None:
        self.optimizers.append(value)
        for part in value.arrange() if isinstance(value, Method) else ():
            self.part(part)
        for key in HELD:
            self.facts.append((Place(value.__dict__, key, f"{name}.{key}"), value.__dict__[key]))
        for i, group in enumerate(value.param_groups):
            for key, entry in group.items():
                place = Place(group, key, key if i == 0 else f"{key}_{i}")
                if is_number(entry):
                    self.settings.append(place)
                elif isinstance(value, Method) and isinstance(entry, tuple) and all(map(is_number, entry)):
                    self.settings += [Place(Numbers(group, key, len(entry)), k, f"{place.name}_{k + 1}")
                                      for k in range(len(entry))]  # fmt: skip
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
                if is_number(entry):
                    self.settings.append(place)
                else:
                    self.visit(entry, place.name, place)
        for key, entry in list(vars(value).items()):
            if key not in HELD and key not in OWN[not of_library(type(value)) :]:
                self.visit(entry, f"{name}.{key}", Place(vars(value), key, f"{name}.{key}"), key)
        if not of_library(type(value)):
            self.lengths.append((vars(value), len(vars(value)), name))
            self.class_of(value, name)


def is_number(entry: Any) -> bool:
    """Whether an entry of an optimiser's group is a number that is read anew at each call."""
    return isinstance(entry, int | float) and not isinstance(entry, bool)


def foreign_generators() -> tuple[type, ...]:
    """The classes of random generators that are not this package's, as far as they are imported."""
    python, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
    return ((python.Random,) if python else ()) + ((numpy.Generator, numpy.RandomState) if numpy else ())


def logger() -> tuple[type, ...]:
    """The class of Python's loggers, if it is imported."""
    logging = sys.modules.get("logging")
    return (logging.Logger,) if logging else ()


__all__ = ["RETURNABLE", "ArrayOfOne", "Attributes", "Place", "Reach", "holds"]
