"""Nothing of the caller's state changes: what a function can reach is saved, set back before each evaluation, and
restored at the end, also after an interruption.

Reachable are the module itself, modules and tensors that a function closes over or names, and the random streams:
the package's, NumPy's, Python's, and generators kept as attributes. Read `evaluate.py` next.
"""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Tensor
from ..random import Generator, default_generator

if TYPE_CHECKING:
    from collections.abc import Iterator


def reachable(fn: Any, depth: int = 3) -> Iterator[Any]:
    """What a function holds: its closure, defaults, bound object, partial arguments and the globals that it names."""
    if depth == 0:
        return
    if isinstance(fn, functools.partial):
        held = [fn.func, *fn.args, *fn.keywords.values()]
    else:
        code, names = getattr(fn, "__code__", None), getattr(fn, "__globals__", {})
        held = [getattr(fn, "__self__", None), getattr(fn, "__wrapped__", None)]
        held += getattr(fn, "__defaults__", None) or ()
        held += [names[name] for name in (code.co_names if code else ()) if name in names]
        for cell in getattr(fn, "__closure__", None) or ():
            try:
                held.append(cell.cell_contents)
            except ValueError:  # a name that is not bound yet
                continue
    for thing in held:
        yield thing
        if isinstance(thing, list | tuple):
            yield from thing
        if callable(thing) and (hasattr(thing, "__code__") or isinstance(thing, functools.partial)):
            yield from reachable(thing, depth - 1)


class Streams:
    """The random streams, as they are now; `rewind` starts every evaluation from the same place."""

    def __init__(self, seed: int, generators: list[Any]) -> None:
        self.seed = seed
        self.own = default_generator.get_state()
        self.numpy, self.python = np.random.get_state(), random.getstate()  # noqa: NPY002
        self.others = [(g, _generator_state(g)) for g in generators]
        self.watch = True  # whether a function that has drawn from a stream is still to be looked for
        self.uses_numpy = self.uses_python = False

    def rewind(self) -> None:
        default_generator.manual_seed(self.seed)
        if self.uses_numpy:
            np.random.set_state(self.numpy)  # noqa: NPY002
        if self.uses_python:
            random.setstate(self.python)
        for generator, state in self.others:
            _set_generator(generator, state)

    def look(self) -> None:
        """After an evaluation: which of the foreign streams did it draw from? Rewinding costs, so only those."""
        now: Any = np.random.get_state()  # noqa: NPY002
        then: Any = self.numpy
        self.uses_numpy = self.uses_numpy or now[2] != then[2] or not np.array_equal(now[1], then[1])
        self.uses_python = self.uses_python or random.getstate() != self.python

    def restore(self) -> None:
        np.random.set_state(self.numpy)  # noqa: NPY002
        random.setstate(self.python)
        for generator, state in self.others:
            _set_generator(generator, state)
        default_generator.set_state(self.own)


def _generator_state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state() if isinstance(generator, Generator | np.random.RandomState) else generator.getstate()


def _set_generator(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, Generator | np.random.RandomState):
        generator.set_state(state)
    else:
        generator.setstate(state)


GENERATORS = (np.random.Generator, np.random.RandomState, Generator, random.Random)


class Modules:
    """The attributes and tensors of some modules: saved once, set back before every evaluation."""

    def __init__(self, modules: list[Any]) -> None:
        every = {id(m): m for module in modules for m in module.modules()}
        self.fields = [(m.__dict__, dict(m.__dict__)) for m in every.values()]
        self.containers = [(c, c.copy()) for fields, _ in self.fields for c in fields.values() if _changeable(c)]
        tensors = {id(t): t for module in modules for t in [*module.parameters(), *module.buffers()]}
        self.tensors = [(t, t.array, t.node, t._grad, _copied(t._grad)) for t in tensors.values()]
        self.buffers: list[tuple[Any, Any]] = []
        self.list = modules

    def widen(self, dtype: Any) -> None:
        """Every parameter and buffer replaced by a copy, floats in `dtype` if one is given; the originals stay."""
        for tensor, array, *_ in self.tensors:
            tensor.data = array.astype(dtype) if dtype is not None and array.dtype.kind == "f" else array.copy()
        buffers = [b for module in self.list for b in module.buffers()]
        self.buffers = [(b, b.array.copy()) for b in buffers]

    def rewind(self) -> None:
        for tensor, value in self.buffers:
            tensor.array = value.copy()
        for fields, saved in self.fields:
            if fields.keys() != saved.keys() or any(fields[key] is not value for key, value in saved.items()):
                fields.clear()
                fields.update(saved)
        for container, saved in self.containers:
            _refill(container, saved)

    def restore(self) -> None:
        for fields, saved in self.fields:
            fields.clear()
            fields.update(saved)
        for container, saved in self.containers:
            _refill(container, saved)
        for tensor, array, node, grad, values in self.tensors:
            tensor.node = node
            tensor.data = array
            tensor._grad = grad
            if grad is not None:
                grad.array[...] = values


def _changeable(value: Any) -> bool:
    return isinstance(value, list | dict | set)


def _copied(grad: Any) -> Any:
    return None if grad is None else grad.array.copy()


def _refill(container: Any, saved: Any) -> None:
    unchanged = len(container) == len(saved) and all(a is b for a, b in zip(container, saved, strict=True))
    if unchanged and not (isinstance(container, dict) and any(container[k] is not v for k, v in saved.items())):
        return
    container.clear()
    (container.extend if isinstance(container, list) else container.update)(saved)


class Held:
    """Tensors that a function closes over: their values and gradients, put back at the end."""

    def __init__(self, tensors: list[Any]) -> None:
        self.saved = [(t, t.array, t.array.copy(), t.node, t._grad, _copied(t._grad)) for t in tensors]

    def restore(self) -> None:
        for tensor, array, values, node, grad, grad_values in self.saved:
            if array.flags.writeable and not np.array_equal(array, values, equal_nan=array.dtype.kind in "fc"):
                array[...] = values
            tensor.array, tensor.node, tensor._grad = array, node, grad
            if grad is not None:
                grad.array[...] = grad_values


class Guard:
    """A context in which a function may be called at will."""

    def __init__(self, fn: Any, module: Any, given: list[Any], seed: int, dtype: Any) -> None:
        from ..nn.module import Module

        things = list(reachable(fn)) if module is None else []
        modules = {id(x): x for x in ([*things, module]) if isinstance(x, Module)}
        fields = [value for m in modules.values() for part in m.modules() for value in vars(part).values()]
        self.captured = [m for m in modules.values() if m is not module]
        generators = {id(x): x for x in [*things, *given, *fields] if isinstance(x, GENERATORS)}
        tensors = {id(x): x for x in [*things, *given] if isinstance(x, Tensor)}
        generators.pop(id(default_generator), None)
        self.parts: tuple[Any, Any, Any] = (
            Held(list(tensors.values())),
            Modules(list(modules.values())),
            Streams(seed, list(generators.values())),
        )
        self.dtype = dtype

    def __enter__(self) -> Guard:
        self.parts[1].widen(self.dtype)
        return self

    def __exit__(self, *error: object) -> None:
        for part in self.parts:
            part.restore()

    def rewind(self) -> None:
        """The same modules and the same random numbers for every evaluation."""
        self.parts[1].rewind()
        self.parts[2].rewind()

    def look(self) -> None:
        """See `Streams.look`."""
        self.parts[2].look()
