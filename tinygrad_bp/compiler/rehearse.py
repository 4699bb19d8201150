"""A step run eagerly on copies of everything it reaches: what an exported file is held against.

You will know how to find out what a step does without doing it: each tensor gets a copy of its array for the time of
the run, and everything else is put back as in a recording. Read `export.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Tensor
from ..optim.flat import MOVES
from ..optim.method import Method
from .recording import Run
from .tree import Leaves, mapped

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
        self.private.__enter__()
        self.moves, MOVES[:] = MOVES[:], []  # what is moved from here on are copies
        self._remember()
        copies: dict[int, np.ndarray] = {}  # tensors that share an array go on sharing one
        for tensor, _ in self.reach.tensors.values():
            tensor.array = copies.setdefault(id(tensor.array), np.array(tensor.array))
        for place in self.reach.arrays:
            place.set(copies.setdefault(id(place.get()), np.array(place.get())))
        return self

    def __exit__(self, *exception: object) -> None:
        self.private.__exit__(*exception)
        MOVES[:] = self.moves
        for optimizer in self.reach.optimizers:
            if isinstance(optimizer, Method):
                optimizer.arrange()  # of the tensors' own memory again

    def perform(self) -> Any:
        """One run; what it returns, as plain arrays and numbers."""
        args, kwargs = self.leaves.filled(lambda i, leaf: leaf)
        return mapped(self.function(*args, **kwargs), copy_of)


def copy_of(leaf: Any) -> Any:
    """A copy of a tensor's or an array's content; anything else as it is."""
    if isinstance(leaf, Tensor | np.ndarray):
        return np.array(leaf.array if isinstance(leaf, Tensor) else leaf)
    return leaf


def where(place: Place) -> tuple[int, Any]:
    """A place, as far as it can be found again."""
    return id(place.container), place.key
