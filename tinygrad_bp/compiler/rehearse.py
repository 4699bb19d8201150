"""A step run eagerly on copies of everything it reaches: what an exported file is held against.

You will know how to find out what a step does without doing it: each tensor gets a copy of its array for the time of
the run, and everything else is put back as in a recording. Read `export.py` next.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Tensor
from ..nn.module import Module
from ..nn.state import places
from .recording import Run
from .tree import Leaves, mapped
from .undo import restored

if TYPE_CHECKING:
    from collections.abc import Callable

    from .capture import Place, Reach


class Rehearsal(Run):
    """With `with`: arrays are copies inside. `before` has the originals, by the identity of the tensor that held them;
    `numbers_before` and `arrays_before` those of settings and of bare arrays, by their place."""

    def __init__(self, function: Callable[..., Any], reach: Reach, leaves: Leaves) -> None:
        super().__init__(function, reach, leaves)
        self.before = {key: t.array for key, (t, _) in reach.tensors.items()}
        self.numbers_before = {where(place): place.get() for place in reach.settings}
        self.arrays_before = {where(place): place.get() for place in reach.arrays}

    def __enter__(self) -> Rehearsal:
        self._contents()
        for tensor, _ in list(self.reach.tensors.values()):
            self._undo.append(partial(put_back, tensor, tensor.array, tensor.grad, tensor.node))
        for place in (*self.reach.arrays, *self.reach.settings):
            self._undo.append(partial(place.set, place.get()))
        for optimizer in self.reach.optimizers:
            before = {p: dict(entries) for p, entries in optimizer.state.items()}
            self._undo.append(partial(restored, optimizer.state, before))
        for generator in self.reach.generators:
            self._undo.append(partial(generator.set_state, generator.get_state()))
        copies: dict[int, np.ndarray] = {}  # tensors that share an array go on sharing one
        for tensor, _ in self.reach.tensors.values():
            tensor.array = copies.setdefault(id(tensor.array), np.array(tensor.array))
        for place in self.reach.arrays:
            place.set(copies.setdefault(id(place.get()), np.array(place.get())))
        return self

    def __exit__(self, *exception: object) -> None:
        for undo in reversed(self._undo):
            undo()

    def perform(self) -> Any:
        """One run; what it returns, as plain arrays and numbers."""
        args, kwargs = self.leaves.filled(lambda i, leaf: leaf)
        return mapped(self.function(*args, **kwargs), plain)


def put_back(tensor: Tensor, array: np.ndarray, grad: Any, node: Any) -> None:
    tensor.array, tensor.grad, tensor.node = array, grad, node


def plain(leaf: Any) -> Any:
    """A copy of a tensor's or an array's content; anything else as it is."""
    if isinstance(leaf, Tensor | np.ndarray):
        return np.array(leaf.array if isinstance(leaf, Tensor) else leaf)
    return leaf


def where(place: Place) -> tuple[int, Any]:
    """A place, as far as it can be found again."""
    return id(place.container), place.key


def models(reach: Reach) -> dict[str, Module]:
    """The models that a step reaches, by their paths; layers of a model are none of their own."""
    found = {path: reach.seen[key] for key, path in reach.modules.items()}
    inside = {id(part) for model in found.values() for part in model.modules() if part is not model}
    return {path: model for path, model in found.items() if id(model) not in inside and any(places(model))}


def weights(reach: Reach) -> dict[str, Tensor]:
    """All that the models' state_dicts hold, by key; with several models each key begins with its model's path."""
    found = models(reach)
    start = {path: f"{path}." if len(found) > 1 and path else "" for path in found}
    return {start[path] + key: tensor for path, model in found.items() for key, _, _, tensor in places(model)}


def entitle(reach: Reach) -> None:
    """Call each tensor as the state_dict does, and its gradient and state after it, whoever reached it first."""
    keys: dict[int, str] = {}
    for key, tensor in weights(reach).items():
        keys.setdefault(id(tensor), key)
    for place, value in (*reach.facts, *reach.kept):  # a tensor of no model: as its variable
        if isinstance(value, Tensor):
            keys.setdefault(id(value), place.name)
    moved = {name: keys[i] for i, (_, name) in reach.tensors.items() if i in keys}
    for i, (tensor, name) in list(reach.tensors.items()):
        owner, _, last = name.rpartition(".")
        reach.tensors[i] = tensor, keys.get(i) or (f"{moved[owner]}.{last}" if owner in moved else name)
