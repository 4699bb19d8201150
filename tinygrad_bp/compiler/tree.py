"""Arguments and results as trees: tuples, lists and dicts whose leaves are tensors, arrays, numbers or anything else.

Read `recording.py` next.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import pytree
from ..alias import class_of
from ..core import Tensor
from ..pytree import plain_container
from .kinds import same_value

if TYPE_CHECKING:
    from collections.abc import Callable, Container


def mapped(tree: Any, change: Callable[[Any], Any]) -> Any:
    """An argument or a result with every leaf changed. Lists and dicts of classes of their own are leaves."""
    return pytree.map(change, tree, plain_container)


def leaves_of(tree: Any) -> list[Any]:
    """All leaves of an argument or a result, in order."""
    return pytree.leaves(tree, plain_container)


def structure_of(tree: Any) -> list[tuple[Any, ...]]:
    """What an argument or a result is without its leaves."""
    return pytree.structure(tree, plain_container)


def is_array(leaf: Any) -> bool:
    """Whether a leaf is a Tensor or an array, and does not only say so, as a weak proxy of one does."""
    return issubclass(type(leaf), Tensor | np.ndarray)


def count(tree: Any, kind: Callable[[Any], bool]) -> int:
    """How many leaves of a kind a tree has."""
    return sum(map(kind, leaves_of(tree)))


class Fixed:
    """A leaf that is no array: the program holds for this value only."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fixed):
            return False
        if type(self.value) is type(other.value) is slice:
            ends = ("start", "stop", "step")
            return all(same_value(getattr(self.value, end), getattr(other.value, end)) for end in ends)
        return same_value(self.value, other.value)  # 0.0 and -0.0 are two

    __hash__ = None  # type: ignore[assignment]


class Kind:
    """A leaf that is an array: Tensor's class or None, shape, dtype, strides, whether a gradient is wanted, is there.

    `first` is the number of the first array that is this very object.
    """

    __slots__ = ("facts", "first", "writeable")

    def __init__(self, leaf: Any, first: int) -> None:
        array, node = (leaf.array, leaf.node) if isinstance(leaf, Tensor) else (leaf, None)
        self.first = first  # the number of the first array that is this very object
        self.writeable = bool(array.flags.writeable)  # guarded only where the step asks for it
        grad = isinstance(leaf, Tensor) and leaf._grad is not None
        kind = class_of(leaf) if isinstance(leaf, Tensor) else None
        self.facts = (kind, array.shape, array.dtype, array.strides, node is not None, grad)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kind) and self.facts == other.facts and self.first == other.first

    __hash__ = None  # type: ignore[assignment]


class Leaves:
    """The arguments of a call: `arrays` are its tensors and arrays in order, `spec` everything else about it."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], code: Any = None) -> None:
        self.tree: Any = (args, kwargs)
        self.arrays: list[Any] = []
        self.kinds: list[Kind] = []  # of the arrays
        self.fixed: list[Any] = []  # leaves that are no arrays
        self.structure = structure_of(self.tree)
        self.spec = mapped(self.tree, self._take)
        self._code = code

    @cached_property
    def names(self) -> list[str]:
        """Names of the arrays."""
        return self._names(is_array)

    @cached_property
    def titles(self) -> list[str]:
        """Names of all other leaves."""
        return self._names(lambda leaf: not is_array(leaf))

    def _take(self, leaf: Any) -> Any:
        if not is_array(leaf):
            self.fixed.append(leaf)
            return Fixed(leaf)
        first = next((i for i, other in enumerate(self.arrays) if other is leaf), len(self.arrays))
        self.arrays.append(leaf)
        self.kinds.append(Kind(leaf, first))
        return self.kinds[-1]

    def _names(self, kind: Callable[[Any], bool]) -> list[str]:
        """A name for each leaf of a kind: the parameter's where it is one, else its number."""
        (args, kwargs), code = self.tree, self._code
        names = list(code.co_varnames[: code.co_argcount]) if code is not None else []
        names += [f"x{i}" for i in range(len(names), len(args))]
        found: list[str] = []
        for name, part in [*zip(names, args, strict=False), *kwargs.items()]:
            below = count(part, kind)
            found += [name] if below == 1 else [f"{name}_{i}" for i in range(below)]
        return found

    def rest(self, kept: Container[int]) -> None:
        """Let go of the arguments, but of those arrays whose identity is `kept`, which somebody else holds anyway."""
        _ = self.names, self.titles  # read from the tree for the last time
        self.tree = None
        self.arrays = [x if id(x) in kept else None for x in self.arrays]

    def filled(self, make: Callable[[int, Any], Any]) -> Any:
        """(args, kwargs) with make(i, leaf) in the place of the i-th array."""
        numbers = iter(range(len(self.arrays)))
        return mapped(self.tree, lambda leaf: make(next(numbers), leaf) if is_array(leaf) else leaf)
