"""Large elementwise calls, a block at a time, so that what lies between them stays in the cache.

You will know which calls in a row become one loop over blocks of rows (`loop_at`), and why a value that only they see
needs no more memory than a block. Read `scribe.py` next: how lines are spelled.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from .primitives import elementwise, is_array
from .program import Call, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from .arrays import Block, Variable

LARGE = 1 << 18  # bytes from which an array is worth cutting: about what the second-level cache holds
ENTRIES = 1 << 15  # in a block


class Loop:
    """Calls start … stop - 1, done on `rows` rows at a time.

    reading: through which variables each block of memory is read: what is also read in another way, or shifted, may not
    be written over before the last round. small: the buffers of a block's size that are free again.
    """

    __slots__ = ("reading", "rows", "shape", "small", "start", "steps", "stop")

    def __init__(self, start: int, stop: int, shape: tuple[int, ...]) -> None:
        self.start, self.stop, self.shape, self.rows = start, stop, shape, rows_of(shape)
        self.steps: list[tuple[Call, Variable]] = []
        self.reading: dict[Block, set[Variable]] = {}
        self.small: list[Block] = []


def rows_of(shape: tuple[int, ...]) -> int:
    return max(1, ENTRIES // max(1, prod(shape[1:])))


def loop_at(calls: list[Call], start: int, fits: Callable[[Value, tuple[int, ...]], bool]) -> Loop | None:
    """The loop that begins with this call, if there is one; `fits`: whether a value can be cut into such blocks."""
    first = calls[start]
    if not elementwise(first) or first.out.size * first.out.dtype.itemsize < LARGE:
        return None
    shape, stop, inside = first.out.shape, start, set[Value]()
    while stop < len(calls):
        call = calls[stop]
        if not elementwise(call) or call.out.shape != shape or call.quiet != first.quiet:
            break
        if not all(v in inside or fits(v, shape) for v in (*call.inputs(), call.out) if is_array(v)):
            break
        inside.add(call.out)
        stop += 1
    rows = rows_of(shape)
    useful = stop - start > 1 and rows < shape[0] and rows * prod(shape[1:]) <= 4 * ENTRIES
    return Loop(start, stop, shape) if useful else None


def shares_rows(shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether an operand of this shape is the same for each row of a larger one."""
    return len(shape) < len(whole) or (shape[0] == 1 < whole[0])


def blocks(arrays: list[np.ndarray], rows: int, total: int, sliced: bool) -> list[tuple[object, ...]]:
    """Round by round each array's part; arrays of a block's size serve in every round. `sliced`: the slice first."""
    rounds = []
    for start in range(0, total, rows):
        stop = min(start + rows, total)
        parts = [a[start:stop] if len(a) == total else a[: stop - start] for a in arrays]
        rounds.append((*[slice(start, stop)] * sliced, *parts))
    return rounds
