"""Where a step keeps what it reads: entries, attributes, cells, and containers that are compared as a whole.

Read `capture.py` next.
"""

from __future__ import annotations

import array
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from .kinds import native, same_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

ABSENT = object()  # the value of what is not there


class Attributes:
    """An object's attributes, read and set as the entries of a dict are."""

    __slots__ = ("owner",)

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __getitem__(self, key: str) -> Any:
        return getattr(self.owner, key)

    def __setitem__(self, key: str, value: Any) -> None:
        setattr(self.owner, key, value)

    def __contains__(self, key: str) -> bool:
        return hasattr(self.owner, key)

    def __delitem__(self, key: str) -> None:
        delattr(self.owner, key)


class Hidden(Attributes):
    """The same for an object with a `__getattribute__` of its own, which is not asked."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        return object.__getattribute__(self.owner, key)

    def __setitem__(self, key: str, value: Any) -> None:
        object.__setattr__(self.owner, key, value)


class Filled:
    """A closure's cell, asked whether it holds anything."""

    __slots__ = ("cell",)

    def __init__(self, cell: Any) -> None:
        self.cell = cell

    def __contains__(self, key: str) -> bool:
        try:
            self.cell.cell_contents  # noqa: B018
        except ValueError:
            return False
        return True

    def __delitem__(self, key: str) -> None:
        del self.cell.cell_contents


class ArrayOfOne:
    """An array of one entry, read as a list of one number."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __getitem__(self, key: int) -> Any:
        return self.array.item()


class Numbers:
    """The numbers of a tuple in a dict, read and set one by one: an optimiser's `betas`."""

    __slots__ = ("key", "n", "owner")

    def __init__(self, owner: dict[str, Any], key: str, n: int) -> None:
        self.owner, self.key, self.n = owner, key, n

    def __getitem__(self, i: int) -> Any:
        numbers = self.owner[self.key]
        if len(numbers) != self.n:
            raise IndexError(f"{self.key} has {self.n} entries")
        return numbers[i]

    def __setitem__(self, i: int, value: Any) -> None:
        numbers = self.owner[self.key]
        self.owner[self.key] = (*numbers[:i], value, *numbers[i + 1 :])


class Entries:
    """The entries of an object of a subclass of dict: reading them runs nothing that the subclass changed."""

    __slots__ = ("owner",)

    def __init__(self, owner: dict[Any, Any]) -> None:
        self.owner = owner

    def __getitem__(self, key: Any) -> Any:
        return dict.get(self.owner, key, ABSENT)

    def __setitem__(self, key: Any, value: Any) -> None:
        dict.__setitem__(self.owner, key, value)

    def __len__(self) -> int:
        return dict.__len__(self.owner)

    def __iter__(self) -> Iterator[Any]:
        return (OrderedDict if isinstance(self.owner, OrderedDict) else dict).__iter__(self.owner)

    def copy(self) -> dict[Any, Any]:
        return {key: self[key] for key in self}

    def clear(self) -> None:
        (OrderedDict if isinstance(self.owner, OrderedDict) else dict).clear(self.owner)

    def update(self, content: dict[Any, Any]) -> None:
        for key, value in content.items():
            (OrderedDict if isinstance(self.owner, OrderedDict) else dict).__setitem__(self.owner, key, value)


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


class Missing:
    """A name that is not there, and must not come: a global that would hide a built-in, a slot that is empty."""

    def __init__(self, container: Any, key: str, name: str) -> None:
        self.container, self.key, self.name = container, key, name

    def holds(self) -> bool:
        return self.key not in self.container

    def restore(self) -> None:
        if not self.holds():
            del self.container[self.key]


class Absent:
    """Names that a module used as a whole lacks, and that must not come: `getattr(config, "rate", 2.0)`."""

    def __init__(self, fields: dict[str, Any], names: set[str], name: str) -> None:
        self.fields, self.names, self.name = fields, names, name

    def holds(self) -> bool:
        return self.fields.keys().isdisjoint(self.names)

    def restore(self) -> None:
        for key in self.names.intersection(self.fields):
            del self.fields[key]


class Members:
    """The names of the attributes of a class or a function: one that comes may hide another."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name, self.fields = owner, name, vars(owner)
        self.keys = frozenset(self.fields)

    def holds(self) -> bool:
        return len(self.fields) == len(self.keys)

    def restore(self) -> None:
        for key in [key for key in self.fields if key not in self.keys]:
            delattr(self.owner, key)


class Cache:
    """A function under `functools.lru_cache`: a step may own one, but calling it would keep stand-ins in the cache.

    Others call it between the steps, so that it is asked after a recording only.
    """

    def __init__(self, function: Any, name: str) -> None:
        self.function, self.name = function, f"the cache of {name}"
        self.hits, self.misses = function.cache_info()[:2]

    def holds(self) -> bool:
        return bool(self.function.cache_info()[:2] == (self.hits, self.misses))

    def restore(self) -> None:
        if self.function.cache_info()[1] != self.misses:
            self.function.cache_clear()


READ: dict[type, Any] = {
    list: list, set: list, deque: list, bytearray: list, array.array: lambda a: [a.typecode, *a],
    type(vars(object)): lambda mapping: [part for item in mapping.items() for part in item],
}  # fmt: skip
WRITE: dict[type, Any] = {
    list: lambda owner, content: list.__setitem__(owner, slice(None), content),
    set: lambda owner, content: (set.clear(owner), set.update(owner, content)),
    deque: lambda owner, content: (deque.clear(owner), deque.extend(owner, content)),
    bytearray: lambda owner, content: bytearray.__setitem__(owner, slice(None), bytes(content)),
    array.array: lambda owner, content: array.array.__setitem__(
        owner, slice(None), array.array(content[0], content[1:])
    ),
}


class Row:
    """What a container holds, one after the other, where its entries are not places of their own."""

    def __init__(self, owner: Any, name: str) -> None:
        self.owner, self.name, self.kind = owner, name, native(type(owner))
        self.content = self.read()

    def read(self) -> list[Any]:
        kind: Any = self.kind
        iterated = kind.__iter__(self.owner) if kind in (list, set, deque) else self.owner
        found: list[Any] = READ[kind](iterated)
        return found

    def holds(self) -> bool:
        now = self.read()
        return len(now) == len(self.content) and all(map(same_value, now, self.content))

    def restore(self) -> None:
        if self.kind in WRITE and not self.holds():
            WRITE[self.kind](self.owner, self.content)


def holds(place: Place, value: Any) -> bool:
    """Whether a fact is still one."""
    try:
        return same_value(place.get(), value)
    except (KeyError, IndexError, ValueError, AttributeError):
        return False
