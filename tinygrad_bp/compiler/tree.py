"""Arguments and results as trees: tuples, lists and dicts whose leaves are tensors, arrays, numbers or anything else.

Read `recording.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Container


def mapped(tree: Any, change: Callable[[Any], Any]) -> Any:
    """The tree with every leaf changed; namedtuples stay what they are."""
    if isinstance(tree, tuple):
        parts = [mapped(part, change) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if isinstance(tree, list):
        return [mapped(part, change) for part in tree]
    if type(tree) is dict:
        return {key: mapped(part, change) for key, part in tree.items()}
    return change(tree)


def note_orders(tree: Any, orders: list[tuple[Any, ...]]) -> None:
    """The keys of every dict in a tree, in the order in which its leaves come."""
    if type(tree) is dict:
        orders.append(tuple(tree))
    for part in tree.values() if type(tree) is dict else tree if isinstance(tree, tuple | list) else ():
        note_orders(part, orders)


def key_orders(tree: Any) -> list[tuple[Any, ...]]:
    """The keys of every dict in a tree, in the order in which its leaves come."""
    orders: list[tuple[Any, ...]] = []
    note_orders(tree, orders)
    return orders


def count(tree: Any) -> int:
    """How many tensors and arrays a tree has."""
    found: list[Any] = []
    mapped(tree, found.append)
    return sum(isinstance(leaf, Tensor | np.ndarray) for leaf in found)


class Fixed:
    """A leaf that is no array: the program holds for this value only."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fixed):
            return False
        plain = isinstance(self.value, bool | int | float | complex | str | slice)
        same = plain and type(self.value) is type(other.value)
        return self.value is other.value or (same and repr(self.value) == repr(other.value))  # 0.0 and -0.0 are two

    __hash__ = None  # type: ignore[assignment]


class Kind:
    """A leaf that is an array: its class, shape, dtype, strides, whether a gradient is wanted and whether one is there.

    `first` is the number of the first array that is this very object.
    """

    __slots__ = ("facts", "first")

    def __init__(self, leaf: Any, first: int) -> None:
        array, node = (leaf.array, leaf.node) if isinstance(leaf, Tensor) else (leaf, None)
        self.first = first  # the number of the first array that is this very object
        grad = isinstance(leaf, Tensor) and leaf._grad is not None
        self.facts = (isinstance(leaf, Tensor), array.shape, array.dtype, array.strides, node is not None, grad)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kind) and self.facts == other.facts and self.first == other.first

    __hash__ = None  # type: ignore[assignment]


class Leaves:
    """The arguments of a call: `arrays` are its tensors and arrays in order, `spec` everything else about it."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], code: Any = None) -> None:
        self.tree: Any = (args, kwargs)
        self.arrays: list[Any] = []
        self.fixed: list[Any] = []  # leaves that are no arrays
        self.orders: list[tuple[Any, ...]] = []  # the keys of each dict, in order
        note_orders(self.tree, self.orders)
        self.spec = mapped(self.tree, self._take)
        self.names = self._names(code)

    def _take(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor | np.ndarray):
            self.fixed.append(leaf)
            return Fixed(leaf)
        first = next((i for i, other in enumerate(self.arrays) if other is leaf), len(self.arrays))
        self.arrays.append(leaf)
        return Kind(leaf, first)

    def _names(self, code: Any) -> list[str]:
        """A name for each array: the parameter's where it is one, else its number."""
        args, kwargs = self.tree
        names = list(code.co_varnames[: code.co_argcount]) if code is not None else []
        names += [f"x{i}" for i in range(len(names), len(args))]
        found: list[str] = []
        for name, part in [*zip(names, args, strict=False), *kwargs.items()]:
            below = count(part)
            found += [name] if below == 1 else [f"{name}_{i}" for i in range(below)]
        return found

    def rest(self, kept: Container[int]) -> None:
        """Let go of the arguments, but of those arrays whose identity is `kept`, which somebody else holds anyway."""
        self.tree = None
        self.fixed = []
        self.arrays = [x if id(x) in kept else None for x in self.arrays]

    def filled(self, make: Callable[[int, Any], Any]) -> Any:
        """(args, kwargs) with make(i, leaf) in the place of the i-th array."""
        numbers = iter(range(len(self.arrays)))
        return mapped(
            self.tree, lambda leaf: make(next(numbers), leaf) if isinstance(leaf, Tensor | np.ndarray) else leaf
        )
