"""From the source to a function that runs: which array each name stands for.

You will know that a linked step is a plain function whose globals are arrays, so that replacing a parameter's array is
an assignment in a dict. Read `program.py` again, and then step through a generated function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .loops import blocks
from .strides import extent

if TYPE_CHECKING:
    from collections.abc import Callable

    from .program import Value
    from .source import Source


class ArraySource(NamedTuple):
    """How one array comes about: "memory" (value), "constant" (array), "buffer" (its block's number, shape, dtype and
    strides), "view" (the number of the entry that it is a view of, function, arguments, keywords), or "blocks" (the
    numbers of the entries that a loop cuts, its rows in a round, all its rows, and whether it needs their slice)."""

    name: str
    kind: str
    made_of: tuple[Any, ...]


class Linked:
    """A step with its arrays.

    run(*arguments, *settings) returns (outputs…, numbers…). gradients: arrays in the order of the program's gradients,
    overwritten by the next run.
    """

    def __init__(self, source: Source, memory: dict[Value, np.ndarray]) -> None:
        self.source, self.memory = source, dict(memory)
        self.namespace: dict[str, Any] = dict(source.globals)
        self._blocks = [allocated(nbytes) for nbytes in source.blocks]
        self._arrays: list[Any] = []
        self._look_up()
        exec(source.code, self.namespace)
        self.run: Callable[..., tuple[Any, ...]] = self.namespace.pop("step")  # its globals would be a circle

    def rebind(self, value: Value, array: np.ndarray) -> None:
        """Go on with another array of the same shape, dtype and strides in the place of a memory."""
        self.memory[value] = array
        self._look_up()

    @property
    def gradients(self) -> list[np.ndarray]:
        return [self._arrays[i] for i in self.source.gradients]

    def _look_up(self) -> None:
        """Give each name its array."""
        self._arrays = arrays = []
        for entry in self.source.entries:
            arrays.append(self._array(entry))
            if entry.name:
                self.namespace[entry.name] = arrays[-1]

    def _array(self, entry: ArraySource) -> Any:
        if entry.kind == "memory":
            return self.memory[entry.made_of[0]]
        if entry.kind == "constant":
            return entry.made_of[0]
        if entry.kind == "buffer":
            block, shape, dtype, strides = entry.made_of
            return np.ndarray(shape, dtype, self._blocks[block], extent(shape, dtype, strides)[0], strides)
        if entry.kind == "blocks":
            cut, rows, total, sliced = entry.made_of
            return blocks([self._arrays[i] for i in cut], rows, total, sliced)
        base, function, args, kwargs = entry.made_of
        return function(self._arrays[base], *args, **kwargs)


def allocated(nbytes: int) -> Any:
    """Uninitialised memory that begins where a cache line does."""
    block = np.empty(nbytes + 64, np.uint8)
    start = -block.ctypes.data % 64
    return block[start : start + nbytes + 1].data
