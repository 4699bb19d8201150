"""Putting things back: after a recording everything is as it was before, whatever the step did, and however it ended.

Tensors and random generators need nothing (`private.py`). What is left is Python: lists, dicts and sets, attributes,
closures, globals, hooks, the modes that a thread is in, and the generators of Python and NumPy. `Before` knows them as
they were. Read `recording.py` next.
"""

from __future__ import annotations

import dis
import sys
import types
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import get_default_dtype, set_default_dtype
from ..mode import MODE
from .capture import holds
from .kinds import in_python
from .places import Entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .capture import Reach

NOTHING = object()  # where there is nothing
STORING = ("STORE_GLOBAL", "DELETE_GLOBAL")


class Before:
    """All that a step reaches and could change in its place."""

    def __init__(self, reach: Reach) -> None:
        self.containers = [(c, kept(c)) for c in containers(reach)]
        self.places = [(place, place.get()) for place in (*reach.arrays, *reach.settings)]
        self.places += [*reach.facts, *reach.kept]
        self.attributes = [(*named, read(*named[:2])) for named in attributes(reach)]
        self.classes = [(kind, set(vars(kind))) for kind in classes(reach)]
        self.arrays = [(array, array.copy(), name) for array, _, name in reach.frozen]
        self.modes = [(name, get(), put) for name, get, put in modes()]
        self.foreign = [(get(), put, get) for get, put in foreign(reach.foreign)]
        self.failed, self.moved = True, list[Any]()  # unless the run says otherwise, the step drew what was drawn

    def changed(self) -> list[str]:
        """The names of what is not as it was, apart from what a recording looks at itself."""
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
        return not all(same_state(get(), state) for state, _, get in self.foreign)

    def put_back(self) -> None:
        for container, content in self.containers:
            refill(container, content)
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
        moved = [(put, get(), state) for state, put, get in self.foreign if self.failed]
        self.moved = [(put, now) for put, now, state in moved if not same_state(now, state)]
        for put, now, state in moved:
            if not same_state(now, state):
                put(state)

    def by_others(self) -> None:
        """It was another thread that drew: it goes on from where it was."""
        for put, state in self.moved:
            put(state)


def alone() -> bool:
    """Whether there is no other thread."""
    return len(sys._current_frames()) == 1


# ------------------------------------------------------------------------------------------------ what there is


def containers(reach: Reach) -> list[Any]:
    """The lists, dicts and sets that the step reaches, each once."""
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


def foreign(captured: list[Any]) -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """How the state of each random generator that is not this package's is read, and set."""
    python, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
    if python:
        yield python.getstate, python.setstate
    if numpy:
        yield lambda: numpy.get_state(legacy=False), numpy.set_state
    for generator in captured:
        bits = getattr(generator, "bit_generator", None)
        if bits is not None:
            yield partial(getattr, bits, "state"), partial(setattr, bits, "state")
        elif hasattr(generator, "getstate"):
            if type(generator).__name__ == "SystemRandom":  # has no state; two runs will tell
                continue
            yield generator.getstate, generator.setstate
        else:
            yield generator.get_state, generator.set_state


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


def kept(container: Any) -> Any:
    """What is in a container, in order."""
    if isinstance(container, Entries):
        return container.copy()
    return dict(container) if isinstance(container, dict) else list(container)


def refill(container: Any, content: Any) -> None:
    """A list, dict or set with its old content, in its old order, if that has changed."""
    now = kept(container)
    if isinstance(container, dict | Entries):
        if not alike([*now.keys(), *now.values()], [*content.keys(), *content.values()]):
            if list(now) != list(content):
                container.clear()
            container.update(content)
    elif isinstance(container, set):
        if container != set(content):
            container.clear()
            container.update(content)
    elif not isinstance(container, frozenset) and not alike(now, content):
        container.clear()
        container.extend(content)


def alike(a: list[Any], b: list[Any]) -> bool:
    """Whether two lists hold the same objects."""
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def same_state(a: Any, b: Any) -> bool:
    """Whether two states of a random generator are the same: tuples or dicts of numbers and arrays."""
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    if isinstance(a, dict):
        return all(same_state(a[key], b[key]) for key in a)
    return bool(a == b)
