"""By which ways a step's code gets at what it reaches: an object that no guard can check is refused only if it does.

Everything reached is a point, and arrows lead from an owner to what it owns. An arrow along an attribute can be gone
only by code that names this attribute; code is at hand where the way to its function has been gone. So a trainer may
own a log file, as long as the compiled step, and what it calls, do not touch it. Read `variables.py` next.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import CompileError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from .codes import Names

START = 0


class Ways:
    """Points are the ids of objects; ("made", id) is a class that code calls, so that its constructor runs."""

    def __init__(self) -> None:
        self.arrows: dict[Hashable, list[tuple[Hashable, str | None]]] = {}
        self.names: dict[Hashable, Names] = {}  # of functions
        self.methods: dict[Hashable, dict[str, Hashable]] = {}  # gone only by code with just this name in it
        self.doubts: dict[Hashable, str] = {}  # what no guard can check, and what to say
        self._owner: Hashable = START

    def add(self, value: Any, by: str | None) -> None:
        """An arrow from the owner of the moment to a value."""
        self.arrows.setdefault(self._owner, []).append((id(value), by))
        if issubclass(type(value), type):  # `isinstance` asks the value
            self.arrows[self._owner].append((("made", id(value)), by))

    def add_class(self, kind: type) -> None:
        """An arrow to the class of an object, which is not called by this."""
        self.arrows.setdefault(self._owner, []).append((id(kind), None))

    @contextmanager
    def within(self, owner: Hashable) -> Iterator[None]:
        """What is added inside belongs to the point `owner`."""
        before, self._owner = self._owner, owner
        try:
            yield
        finally:
            self._owner = before

    def gone(self) -> dict[Hashable, None]:
        """The points that the step's code can get at."""
        found: dict[Hashable, None] = {START: None}
        named: set[str] = set()
        everything, before = False, -1
        while len(found) + len(named) + everything != before:
            before = len(found) + len(named) + everything
            stack = list(found)
            while stack:
                point = stack.pop()
                if point in self.names:
                    named |= self.names[point].attributes
                    everything |= self.names[point].made_up
                for end, by in self.arrows.get(point, ()):
                    if end not in found and (by is None or everything or by in named):
                        found[end] = None
                        stack.append(end)
                found |= {end: None for key, end in self.methods.get(point, {}).items() if key in named}
        return found

    def refuse(self) -> None:
        """Raise for the first thing that the step can get at and that no guard can check."""
        if self.doubts:
            gone = self.gone()
            for point, detail in self.doubts.items():
                if point in gone:
                    raise CompileError(detail)
