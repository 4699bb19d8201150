"""Which parameters are updated by the very same calls: the search behind `flat.py`.

A chain is what the optimiser does to one parameter: elementwise calls that lead from its memories (the parameter,
momentum …) and its gradient, the leaf, to their new contents. Two parameters with equal chains (the same functions,
numbers, settings and dtypes, slot by slot) can be updated by one chain on both, laid one after the other. Read
`flat.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..program import MEMORY, NESTED, RESULT, Value, in_rows
from .common import key_of
from .words import made_by, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..program import Call, Program

# Functions whose result is the one nearest number (or no rounding at all), so that it cannot depend on how an array is
# cut: NumPy computes exp of the entries at an array's end by other code than those before, and a last bit may differ.
ROUNDED_ONCE = {
    np.add, np.subtract, np.multiply, np.true_divide, np.reciprocal, np.square, np.sqrt, np.negative, np.positive,
    np.absolute, np.sign, np.copysign, np.maximum, np.minimum, np.fmax, np.fmin, np.floor, np.ceil, np.trunc, np.rint,
    np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, np.isnan, np.isfinite,
    np.logical_and, np.logical_or, np.logical_not,
}  # fmt: skip


class Chain:
    """The update of one parameter: its `memories` (the first is the one that it was found by), the calls, the leaves
    (arrays of its shape from outside), the scalars (numbers and 0-d arrays from outside)."""

    def __init__(self, first: Value) -> None:
        self.memories: dict[Value, None] = {first: None}
        self.calls: dict[Call, None] = {}
        self.leaves: dict[Value, None] = {}
        self.scalars: set[Value] = set()

    @property
    def first(self) -> Value:
        return next(iter(self.memories))


class Group(NamedTuple):
    """Two or more parameters with chains like `chain`: each member maps the chain's Values to its own."""

    chain: Chain
    members: list[dict[Value, Value]]


class Search:
    """All chains of a program, and which of them are alike."""

    def __init__(self, program: Program) -> None:
        self.program, self.writes = program, program.writes
        self.makers, self.shown = made_by(program), shown(program)
        self.order = {call: i for i, call in enumerate(program.calls)}
        self.shared = self._shared_scalars()
        self.reached_by: dict[Any, list[Value]] = {}  # call or written Value → the memories whose content it makes
        for memory in self.writes:
            for part in self._reach(memory):
                self.reached_by.setdefault(part, []).append(memory)

    def groups(self) -> Iterator[Group]:
        """Chains that occur more than once, each with all who have it."""
        taken: set[Any] = set()
        candidates = [memory for memory in self.writes if may_move(memory)]
        for memory in sorted(candidates, key=lambda m: m.shape == ()):  # others first: they tell scalars from leaves
            if memory in taken:
                continue
            chain = self.chain(memory)
            if not chain.calls or not all(v in self.writes or may_move(v) for v in chain.memories):
                continue
            members = []
            for other in candidates:
                known = self.match(chain, other) if other not in taken else None
                if known is None or not all(map(self.lies_in_rows, known.values())):
                    continue
                if taken.isdisjoint(parts := self._owned(chain, known)):
                    taken |= parts
                    members.append(known)
            if len(members) > 1:
                yield Group(chain, members)

    def lies_in_rows(self, value: Value) -> bool:
        """Whether a value may lie row by row, as all do in one piece; movable memory that does not was turned."""
        return value not in self.shown or in_rows(value) or may_move(value)

    # ------------------------------------------------------------------------------------ one chain alone

    def link(self, value: Value, shape: tuple[int, ...]) -> Call | None:
        """The call that makes a value, if a chain of this shape may contain it."""
        call = self.makers.get(value)
        if call is None or value.shape != shape or call.phase != "update" or call.prim.kind != "ufunc":
            return None
        if call.prim.effect or call.prim.function not in ROUNDED_ONCE or len(call.outs) != 1 or value in self.shared:
            return None
        if call.kwargs or any(arg.__class__ in NESTED for arg in call.args) or value.dtype.kind not in "fiub":
            return None
        for v in call.inputs():
            if not v.is_number and (v.shape not in ((), shape) or v.dtype.kind not in "fiub"):
                return None
        return call

    def chain(self, first: Value) -> Chain:
        """The chain of a memory, with all memories that hang together with it."""
        chain, todo = Chain(first), [first]
        while todo:
            memory = todo.pop()
            before = len(chain.memories)
            if memory in self.writes:
                self._walk(self.writes[memory], chain)
            todo += list(chain.memories)[before:]
            for part in (*chain.calls, *chain.leaves):
                for other in self.reached_by.get(part, ()):
                    if other not in chain.memories and may_move(other) and other.shape == first.shape:
                        chain.memories[other] = None
                        todo.append(other)
        return chain

    def _walk(self, value: Value, chain: Chain) -> None:
        """Enter what a value is made of into the chain."""
        shape, todo = chain.first.shape, [value]
        while todo:
            value = todo.pop()
            call = self.link(value, shape)
            if call is not None:
                if call not in chain.calls:
                    chain.calls[call] = None
                    todo += call.inputs()
            elif may_move(value) and value.shape == shape:
                chain.memories.setdefault(value)
            elif value.is_number or value.shape != shape or (shape == () and self._scalar(value)):
                chain.scalars.add(value)
            else:
                chain.leaves[value] = None

    def _reach(self, memory: Value) -> list[Any]:
        """The calls of a memory's own chain; where there are none, the Value itself."""
        chain = Chain(memory)
        self._walk(self.writes[memory], chain)
        return list(chain.calls) or [self.writes[memory]]

    def _scalar(self, value: Value) -> bool:
        """Whether a 0-d value from outside a 0-d chain is a number for all rather than the parameter's own."""
        return value in self.shared or value.kind not in (RESULT, MEMORY)

    def _shared_scalars(self) -> set[Value]:
        """0-d values that scale an array, or that several gradients' parameters depend on: no chain's own."""
        self.shared = set()
        scaling = [call for call in self.program.calls if any(out.shape for out in call.outs)]
        found = {v for call in scaling for v in call.inputs() if not v.shape}
        seen: set[Value] = set()
        for memory in dict.fromkeys(m for m, _ in self.program.gradients if m.shape == () and m in self.writes):
            chain = Chain(memory)
            self._walk(self.writes[memory], chain)
            own = {call.out for call in chain.calls}
            found |= seen & own
            seen |= own
        return {v for v in found if v.kind != MEMORY}

    # ------------------------------------------------------------------------------------- two chains alike

    def match(self, chain: Chain, first: Value) -> dict[Value, Value] | None:
        """Which Values of the chain found by `first` stand where those of `chain` stand; None if they differ."""
        known: dict[Value, Value] = {}
        if not self._pair(chain, chain.first, first, known, first.shape):
            return None
        for memory in chain.memories:
            if memory in known:
                pairs = self._written_alike(chain, memory, known[memory], known, first.shape)
                if pairs is None:
                    return None
                known = pairs
                continue
            for candidate in self._related(known):  # written from what is known, but not read by it
                pairs = dict(known)
                alike = self._pair(chain, memory, candidate, pairs, first.shape)
                found = self._written_alike(chain, memory, candidate, pairs, first.shape) if alike else None
                if found is not None:
                    known = found
                    break
            else:
                return None
        outs = {known[call.out] for call in chain.calls if call.out in known}
        return known if len(outs) == len(chain.calls) else None

    def _related(self, known: dict[Value, Value]) -> list[Value]:
        """Memories written from Values of one member, other than those that it has already."""
        parts = [part for value in known.values() for part in (value, self.makers.get(value))]
        found = dict.fromkeys(memory for part in parts for memory in self.reached_by.get(part, ()))
        return [memory for memory in found if memory not in known.values()]

    def _written_alike(
        self, chain: Chain, a: Value, b: Value, known: dict[Value, Value], shape: tuple[int, ...]
    ) -> dict[Value, Value] | None:
        """What is known once both memories' new contents are seen to be alike."""
        if (a in self.writes) != (b in self.writes):
            return None
        pairs = dict(known)
        good = a not in self.writes or self._pair(chain, self.writes[a], self.writes[b], pairs, shape)
        return pairs if good else None

    def _pair(
        self, chain: Chain, a: Value, b: Value, known: dict[Value, Value], shape: tuple[int, ...]
    ) -> bool:
        """Whether b may stand for a, entering into `known` what follows from that."""
        todo = [(a, b)]
        while todo:
            a, b = todo.pop()
            if a in known or a in chain.scalars:
                if known.get(a, a) is not b:
                    return False
                continue
            if b.is_number or (b.shape, b.dtype) != (shape, a.dtype):
                return False
            if a in chain.memories and not (may_move(b) and b not in known.values()):
                return False
            known[a] = b
            call = self.makers.get(a)
            if call is None or call not in chain.calls:
                continue
            other = self.link(b, shape)
            if other is None or not alike(call, other):
                return False
            todo += [pair for pair in zip(call.args, other.args, strict=True) if isinstance(pair[0], Value)]
        return True

    def _owned(self, chain: Chain, known: dict[Value, Value]) -> set[Any]:
        """What no other member may have too: memories and results."""
        return {known[v] for v in (*chain.memories, *(call.out for call in chain.calls))}


def may_move(value: Value) -> bool:
    return value.kind == MEMORY and value.movable


def alike(a: Call, b: Call) -> bool:
    """Whether two calls apply the same function, and have the same plain arguments in the same places."""
    if a.prim.function is not b.prim.function or len(a.args) != len(b.args) or a.quiet != b.quiet:
        return False
    return all(
        x.__class__ is y.__class__ and (isinstance(x, Value) or key_of(x, {}) == key_of(y, {}))
        for x, y in zip(a.args, b.args, strict=True)
    )
