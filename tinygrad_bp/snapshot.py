"""Snapshot and restore: things as they are now, and the means to make them so again.

A checker calls a function a hundred times, the compiler runs a step to see what it does, and both leave everything as
they found it: containers, tensors, generators of random numbers. What a function can reach is for its caller to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import pytree
from .random import Generator

if TYPE_CHECKING:
    from collections.abc import Iterable


class Containers:
    """Lists, dicts and sets, with what is in them.

    >>> names = ["a", "b"]
    >>> snapshot = Containers([names])
    >>> names.clear()
    >>> snapshot.restore()
    >>> names
    ['a', 'b']
    """

    def __init__(self, containers: Iterable[Any]) -> None:
        once = {id(container): container for container in containers}
        self.saved = [(container, content(container)) for container in once.values()]

    def restore(self) -> None:
        for container, then in self.saved:
            refill(container, then)


class Tensors:
    """Tensors, with their arrays and what is in them, their graphs and their gradients."""

    def __init__(self, tensors: Iterable[Any]) -> None:
        once = {id(tensor): tensor for tensor in tensors}
        self.saved = [(t, t.array, t.array.copy(), t.node, t._grad, copied(t._grad)) for t in once.values()]

    def restore(self) -> None:
        for tensor, array, values, node, grad, slope in self.saved:
            tensor.node = node
            if tensor.array is not array:
                tensor.data = array
            if array.flags.writeable and not np.array_equal(array, values, equal_nan=array.dtype.kind in "fc"):
                array[...] = values
            tensor._grad = grad
            if grad is not None:
                grad.array[...] = slope


class Generators:
    """Generators of random numbers, with their states: this package's, NumPy's, Python's, and the two modules."""

    def __init__(self, generators: Iterable[Any]) -> None:
        self.saved = [(generator, state_of(generator)) for generator in generators]

    def moved(self) -> list[Any]:
        """Those that have been drawn from meanwhile."""
        return [generator for generator, then in self.saved if not same_state(state_of(generator), then)]

    def restore(self, only: list[Any] | None = None) -> None:
        """All of them, or `only` some."""
        chosen = {id(generator) for generator, _ in self.saved} if only is None else set(map(id, only))
        for generator, state in self.saved:
            if id(generator) in chosen:
                set_state(generator, state)


# ------------------------------------------------------------------------------------------------ one thing


def content(container: Any) -> Any:
    """What is in a container, in order: a dict for what is filled as one, else a list."""
    if isinstance(container, dict):
        return dict(container)
    as_dict = hasattr(container, "update") and hasattr(container, "__getitem__")
    return container.copy() if as_dict else list(container)


def refill(container: Any, then: Any) -> None:
    """A container with its old content, in its old order, if that has changed."""
    now = content(container)
    if isinstance(now, dict):
        if not identical([*now.keys(), *now.values()], [*then.keys(), *then.values()]):
            if list(now) != list(then):
                container.clear()
            container.update(then)
    elif isinstance(container, set):
        if container != set(then):
            container.clear()
            container.update(then)
    elif not isinstance(container, frozenset) and not identical(now, then):
        container.clear()
        container.extend(then)


def identical(a: list[Any], b: list[Any]) -> bool:
    """Whether two lists hold the same objects."""
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def copied(grad: Any) -> Any:
    return None if grad is None else grad.array.copy()


def state_of(generator: Any) -> Any:
    """The state of a generator of random numbers, of whatever kind."""
    if isinstance(generator, Generator):
        return generator.get_state()
    if hasattr(generator, "getstate"):  # Python's
        return generator.getstate()
    new = isinstance(generator, np.random.Generator)
    return generator.bit_generator.state if new else generator.get_state(legacy=False)


def set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        (generator.setstate if hasattr(generator, "setstate") else generator.set_state)(state)


def same_state(a: Any, b: Any) -> bool:
    """Whether two states of a generator are the same: trees of numbers and arrays."""
    both = zip(pytree.leaves(a), pytree.leaves(b), strict=True)
    return all(np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y for x, y in both)
