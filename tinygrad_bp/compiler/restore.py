"""Snapshot and restore: after a recording everything is as it was before, whatever the step did, however it ended.

Tensors and random generators need nothing (`private.py`). What is left is Python: lists, dicts and sets, attributes,
closures, globals, hooks, the modes that a thread is in, and the generators of Python and NumPy; `Snapshot` knows them
as they were. Read `recording.py` next.
"""

from __future__ import annotations

import dis
import sys
import types
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import get_default_dtype, set_default_dtype
from ..modes import MODE
from ..snapshot import Containers, Generators
from .capture import holds
from .kinds import in_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .capture import Reach

NOTHING = object()  # where there is nothing
STORING = ("STORE_GLOBAL", "DELETE_GLOBAL")


class Snapshot:
    """All that a step reaches and could change in its place, as it is now."""

    def __init__(self, reach: Reach) -> None:
        self.containers = Containers(containers(reach))
        self.places = [(place, place.get()) for place in (*reach.arrays, *reach.settings)]
        self.places += [*reach.facts, *reach.kept]
        self.attributes = [(*named, read(*named[:2])) for named in attributes(reach)]
        self.classes = [(kind, set(vars(kind))) for kind in classes(reach)]
        self.arrays = [(array, array.copy(), name) for array, _, name in reach.frozen]
        self.modes = [(name, get(), put) for name, get, put in modes()]
        self.generators = Generators(foreign(reach.foreign))
        self.failed, self.theirs = True, Generators([])  # unless the run says otherwise, the step drew what was drawn

    def changed(self) -> list[str]:
        """The names of what is not as it was, apart from what a recording checks itself."""
        found = [name for array, before, name in self.arrays if array.tobytes() != before.tobytes()]
        looked_at = {(id(getattr(p.container, "owner", p.container)), p.key or "cell_contents") for p, _ in self.places}
        for owner, key, name, value in self.attributes:
            found += [name] if read(owner, key) is not value and (id(owner), key) not in looked_at else []
        found += [f"{kind.__name__}.{key}" for kind, key in self.new_attributes()]
        now = [get() for _, get, _ in modes()]
        return found + [name for (name, before, _), value in zip(self.modes, now, strict=True) if value != before]

    def new_attributes(self) -> list[tuple[type, str]]:
        """The attributes that classes were given."""
        return [(kind, key) for kind, known in self.classes for key in vars(kind) if key not in known]

    def drawn(self) -> bool:
        """Whether a random generator that is not this package's moved on."""
        return bool(self.generators.moved())

    def restore(self) -> None:
        self.containers.restore()
        for place, value in self.places:
            if not holds(place, value) and not isinstance(place.container, types.MappingProxyType):
                place.set(value)
        for owner, key, _, value in self.attributes:
            if read(owner, key) is not value:
                write(owner, key, value)
        for kind, key in self.new_attributes():
            delattr(kind, key)
        for array, before, _ in self.arrays:
            if array.tobytes() != before.tobytes():
                array[...] = before
        for (_, before, put), (_, get, _) in zip(self.modes, modes(), strict=True):
            if get() != before:
                put(before)
        if self.failed:
            moved = self.generators.moved()
            self.theirs = Generators(moved)
            self.generators.restore(moved)

    def by_others(self) -> None:
        """It was another thread that drew: it goes on from where it was."""
        self.theirs.restore()


def alone() -> bool:
    """Whether there is no other thread."""
    return len(sys._current_frames()) == 1


# ------------------------------------------------------------------------------------------------ what there is


def containers(reach: Reach) -> list[Any]:
    """The lists, dicts and sets that the step reaches."""
    tables = (reach.lengths, reach.sizes, reach.rows, reach.orders)
    found = [entry[0] for table in tables for entry in table]
    for optimizer in reach.optimizers:
        found += [vars(optimizer), optimizer.param_groups, *optimizer.param_groups]
        found += [optimizer.state, *optimizer.state.values()]
    for tensor, _ in reach.tensors.values():
        found.append(vars(tensor))
        found += [tensor.node.hooks] if tensor.node is not None and tensor.node.hooks else []
    found += [vars(value) for value, _ in reach.bare]
    return list({id(container): container for container in found}.values())


def attributes(reach: Reach) -> Iterator[tuple[Any, str, str]]:
    """(owner, key, name) of the attributes of classes, the globals that the code sets, and the cells of closures."""
    for value in list(reach.seen.values()):
        if isinstance(value, types.FunctionType):
            yield from ((value.__globals__, key, key) for key in stored(value.__code__))
            for key, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
                yield cell, "cell_contents", key
    for kind in classes(reach):
        yield from ((kind, key, f"{kind.__name__}.{key}") for key in vars(kind) if key[:2] != "__")


def classes(reach: Reach) -> list[type]:
    """The classes that the step reaches."""
    found = [value for value in reach.seen.values() if isinstance(value, type) and in_python(value)]
    return list(dict.fromkeys(found))


def stored(code: Any) -> list[str]:
    """The globals that a function sets, those of the functions inside it too."""
    inner = [key for constant in code.co_consts if isinstance(constant, types.CodeType) for key in stored(constant)]
    return [i.argval for i in dis.get_instructions(code) if i.opname in STORING] + inner


def modes() -> list[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    """(name, how it is read, how it is set) of what the whole thread, or the whole process, is in."""
    return [
        ("grad mode", lambda: (MODE.grad, MODE.inference), put_grad_mode),
        ("np.seterr", np.geterr, lambda errors: np.seterr(**errors)),
        ("the default dtype", get_default_dtype, set_default_dtype),
    ]


def put_grad_mode(flags: tuple[bool, bool]) -> None:
    MODE.grad, MODE.inference = flags


def foreign(captured: list[Any]) -> list[Any]:
    """The random generators that are not this package's: the modules', as far as they are imported, and those found."""
    found = [module for name in ("random", "numpy.random") if (module := sys.modules.get(name))]
    return found + [one for one in captured if type(one).__name__ != "SystemRandom"]  # has no state; two runs will tell


# ------------------------------------------------------------------------------------------------ one thing


def read(owner: Any, key: str) -> Any:
    if isinstance(owner, dict):
        return owner.get(key, NOTHING)
    if isinstance(owner, type):
        return vars(owner).get(key, NOTHING)
    try:
        return getattr(owner, key)
    except ValueError:  # a cell that is still empty
        return NOTHING


def write(owner: Any, key: str, value: Any) -> None:
    if value is not NOTHING:
        owner.__setitem__(key, value) if isinstance(owner, dict) else setattr(owner, key, value)
    elif isinstance(owner, dict):
        owner.pop(key, None)
    else:
        delattr(owner, key)
