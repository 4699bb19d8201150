"""Memory that the step writes may be seen through one array only. Read `recording.py` next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy.lib.array_utils import byte_bounds

from ..errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .tracer import Storage


def no_overlaps(storages: Iterable[Storage], changed: list[Storage]) -> None:
    """Memory that is written must not be seen through two arrays, of which one would not learn of it."""
    written = set(map(id, changed))
    spans = sorted((*byte_bounds(s.real), id(s) in written, s.home.name) for s in storages)
    farthest: dict[bool, tuple[int, str]] = {}  # written or not → how far the arrays of before reach, and which
    for start, end, write, name in spans:
        found = [farthest[kind] for kind in farthest if (kind or write) and farthest[kind][0] > start]
        farthest[write] = max(farthest.get(write, (0, "")), (end, name))
        if found:
            raise CompileError(
                f"tg.compile: {found[0][1]!r} and {name!r} look into the same memory, and the step writes to it; "
                "let the step reach one tensor, and take the views inside the step"
            )
