"""What only the thread that records sees: other arrays in tensors, other hooks, other states of random generators.

While a step is recorded, stand-ins take the places of its arrays. They must not be seen by other threads, which may
use the same model at the same moment; so a tensor's slots keep what they hold, and for the recording thread alone a
table is looked into first. At the end the table is thrown away: what the step did to these objects never happened.

    with Private() as private:
        private.take(tensor)      # from now on this thread may change the tensor, and nobody else will see it

One thread records at a time (`RECORDING`); recordings of one thread may lie in one another. Read `restore.py` next:
what cannot be kept apart in this way.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock, get_ident
from functools import partial
from typing import Any

from ..core import Leaf, Node, Tensor
from ..duck import TRACES
from ..random import Generator

RECORDING = RLock()
ACTIVE: list[Private] = []  # the innermost last; all of one thread


UNSET = object()  # in a slot that nothing was put into


class Slot:
    """In a class, in the place of one of its slots, as long as a step is recorded."""

    def __init__(self, slot: Any, thread: int) -> None:
        self.slot, self.thread = slot, thread
        self.contents: dict[int, Any] = {}

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        if owner is None:
            return self
        if get_ident() == self.thread:
            found = self.contents.get(id(owner), self)
            if found is not self:
                if found is UNSET:
                    raise AttributeError("nothing was put there")
                return found
            return self.other(owner)
        return self.slot.__get__(owner, kind)

    def other(self, owner: Any) -> Any:
        """What an object holds that is not private."""
        return self.slot.__get__(owner)

    def __set__(self, owner: Any, value: Any) -> None:
        if id(owner) in self.contents and get_ident() == self.thread:
            self.contents[id(owner)] = value
        else:
            self.slot.__set__(owner, value)

    def __delete__(self, owner: Any) -> None:
        if id(owner) in self.contents and get_ident() == self.thread:
            self.contents[id(owner)] = UNSET
        else:
            self.slot.__delete__(owner)


class ArraySlot(Slot):
    """`Tensor.array`: it sees every tensor that a step makes, and so every one that it reads without having made it."""

    def __init__(self, slot: Any, thread: int) -> None:
        super().__init__(slot, thread)
        self.made: set[int] = set()
        self.stray: Any = None  # what is called with a tensor that was there before, and that nobody has found

    def other(self, owner: Any) -> Any:
        if self.stray is not None and id(owner) not in self.made:
            self.stray(owner)
        return self.slot.__get__(owner)

    def __set__(self, owner: Any, value: Any) -> None:
        if id(owner) not in self.contents and get_ident() == self.thread:
            self.made.add(id(owner))
        super().__set__(owner, value)


class Private:
    """A time during which this thread may change tensors and generators, and nobody else sees it."""

    def __init__(self) -> None:
        self.thread = get_ident()
        self._slots: dict[tuple[type, str], Slot] = {}
        self._taken: dict[int, Any] = {}  # kept alive, so that an identity stands for one object
        self.undo: list[Any] = []  # for what is changed in its place: called at the end, the last first

    def __enter__(self) -> Private:
        RECORDING.acquire()
        self.thread = get_ident()
        ACTIVE.append(self)
        for kind, names in PRIVATE.items():
            for name in names:
                made = ArraySlot if name == "array" else Slot
                slot = self._slots[kind, name] = made(vars(kind)[name], self.thread)
                setattr(kind, name, slot)
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            while self.undo:  # one is struck off when it is done, for whoever has to finish this (`after_fork`)
                self.undo[-1]()
                self.undo.pop()
        finally:
            self._restore()
            ACTIVE.remove(self)
            RECORDING.release()

    def _restore(self) -> None:
        for (kind, name), slot in self._slots.items():
            setattr(kind, name, slot.slot)
        self._slots, self._taken = {}, {}

    def take(self, thing: Any) -> None:
        """Keep what this thread does to a tensor or a generator to itself."""
        if id(thing) in self._taken:
            return
        self._taken[id(thing)] = thing
        for (kind, _), slot in self._slots.items():
            if isinstance(thing, kind):
                try:
                    slot.contents[id(thing)] = slot.slot.__get__(thing, kind)
                except AttributeError:
                    slot.contents[id(thing)] = UNSET
        if isinstance(thing, Generator):
            thing.set_state(thing.get_state())  # a twister of its own

    def watch(self, stray: Any) -> None:
        """Call `stray(tensor)` when one is read that was neither taken nor made meanwhile; None: no more."""
        slot: Any = self._slots[Tensor, "array"]
        slot.stray = stray

    def no_threads(self, refuse: Any) -> None:
        """Call `refuse` where this thread starts another: what that one computes would not be seen."""
        threads = sys.modules.get("threading")
        if threads is None:
            return
        start = threads.Thread.start

        def guarded(thread: Any) -> None:
            if get_ident() == self.thread:
                refuse()
            start(thread)

        self.undo.append(partial(setattr, threads.Thread, "start", start))
        threads.Thread.start = guarded

    def abandon(self) -> None:
        """In a process that was forked while another thread recorded: restore everything for it."""
        for undo in reversed(self.undo):
            undo()
        self._restore()


def slots(kind: type) -> list[str]:
    """The slots of a class that hold something."""
    return [name for name in kind.__slots__ if not name.startswith("__")]  # type: ignore[attr-defined]


PRIVATE: dict[type, list[str]] = {
    Tensor: slots(Tensor), Generator: slots(Generator), Node: ["hooks"],
    Leaf: [name for name in slots(Leaf) if name != "owner"],
}  # fmt: skip


def after_fork() -> None:
    """A child has only the thread that forked: the lock of any other is nobody's, and its recording ends here."""
    if RECORDING._is_owned():  # type: ignore[attr-defined]
        return
    for private in reversed(ACTIVE):
        private.abandon()
    ACTIVE.clear()
    TRACES.clear()
    RECORDING._at_fork_reinit()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)
