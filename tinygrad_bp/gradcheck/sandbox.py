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
from ..snapshot import Containers, Generators, Tensors

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
        self.own, self.others = Generators([default_generator]), Generators(generators)
        self.foreign = Generators([np.random, random])
        self.drawn: list[Any] = []  # the foreign streams that the function draws from

    def rewind(self) -> None:
        default_generator.manual_seed(self.seed)
        self.foreign.restore(self.drawn)
        self.others.restore()

    def look(self) -> None:
        """After an evaluation: which of the foreign streams did it draw from? Rewinding costs, so only those."""
        self.drawn = self.foreign.moved()

    def restore(self) -> None:
        for streams in (self.foreign, self.others, self.own):
            streams.restore()


GENERATORS = (np.random.Generator, np.random.RandomState, Generator, random.Random)


class Modules:
    """The attributes and tensors of some modules: saved once, set back before every evaluation."""

    def __init__(self, modules: list[Any]) -> None:
        every = {id(m): m for module in modules for m in module.modules()}
        fields = [vars(m) for m in every.values()]
        held = [value for table in fields for value in table.values() if isinstance(value, list | dict | set)]
        self.containers = Containers([*fields, *held])
        self.tensors = Tensors([t for module in modules for t in [*module.parameters(), *module.buffers()]])
        self.buffers: list[tuple[Any, Any]] = []
        self.list = modules

    def widen(self, dtype: Any) -> None:
        """Every parameter and buffer replaced by a copy, floats in `dtype` if one is given; the originals stay."""
        for tensor, array, *_ in self.tensors.saved:
            tensor.data = array.astype(dtype) if dtype is not None and array.dtype.kind == "f" else array.copy()
        buffers = [b for module in self.list for b in module.buffers()]
        self.buffers = [(b, b.array.copy()) for b in buffers]

    def rewind(self) -> None:
        for tensor, value in self.buffers:
            tensor.array = value.copy()
        self.containers.restore()

    def restore(self) -> None:
        self.containers.restore()
        self.tensors.restore()


class Sandbox:
    """A context in which a function may be called at will: at its end everything is as it was."""

    def __init__(self, fn: Any, module: Any, given: list[Any], seed: int, dtype: Any) -> None:
        from ..nn.module import Module

        things = list(reachable(fn)) if module is None else []
        modules = {id(x): x for x in ([*things, module]) if isinstance(x, Module)}
        fields = [value for m in modules.values() for part in m.modules() for value in vars(part).values()]
        self.captured = [m for m in modules.values() if m is not module]
        generators = {id(x): x for x in [*things, *given, *fields] if isinstance(x, GENERATORS)}
        tensors = {id(x): x for x in [*things, *given] if isinstance(x, Tensor)}
        generators.pop(id(default_generator), None)
        self.tensors = Tensors(tensors.values())
        self.modules = Modules(list(modules.values()))
        self.streams = Streams(seed, list(generators.values()))
        self.dtype = dtype

    def __enter__(self) -> Sandbox:
        self.modules.widen(self.dtype)
        return self

    def __exit__(self, *error: object) -> None:
        for part in (self.tensors, self.modules, self.streams):
            part.restore()

    def rewind(self) -> None:
        """The same modules and the same random numbers for every evaluation."""
        self.modules.rewind()
        self.streams.rewind()

    def look(self) -> None:
        """See `Streams.look`."""
        self.streams.look()
