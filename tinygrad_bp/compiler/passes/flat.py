"""One update for all: parameters, optimiser state and gradients in one piece of memory each.

    p1 - lr · g1, p2 - lr · g2, …    becomes    parameters - lr · gradients

where each p is a view into `parameters` and each gradient is computed into its part of `gradients`. An update of a
hundred tensors takes as many calls as that of one. Parameters are grouped by `chains.py`; a group whose calls cannot be
brought into an order (one member's gradient needs another's new content) is split, or left as it is. Read
`../explain.py` next.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import accumulate, pairwise
from typing import Any

from ..program import GATHER, MEMORY, RESULT, Call, Program, Value, swapped
from .chains import Group, Search, may_move
from .words import GETITEM, RESHAPE, made_by, rebuilt


def flat(program: Program) -> Program:
    """Lay out group after group, until none is left that can be."""
    tried: set[Value] = set()
    while sum(map(may_move, program.writes)) > 1:
        better = None
        for group in Search(program).groups():
            if better is None and group.chain.first not in tried:
                tried.add(group.chain.first)
                better = laid(program, group) or largest_level(program, group)
        if better is None:
            break
        program = better
    return program


def laid(program: Program, group: Group) -> Program | None:
    """The program with one chain for the whole group; None if its calls then have no order."""
    layout = Layout(program, group)
    if any(memory in group.chain.memories and value not in layout.flat for memory, value in program.writes.items()):
        return None
    result = rebuilt(program, layout.calls(), layout.views)
    ordered = in_order(result.calls)
    if ordered is None:
        return None
    result.calls = ordered
    members = {member: memory for memory in group.chain.memories for member in layout.members(memory)}
    result.writes = {memory: value for memory, value in result.writes.items() if memory not in members}
    for memory in group.chain.memories:
        if memory in program.writes:
            result.writes[layout.flat[memory]] = layout.flat[program.writes[memory]]
        result.flat[layout.flat[memory]] = layout.members(memory)
    result.gradients = [(p, layout.gradients.get(g, g)) for p, g in result.gradients]
    return result


class Layout:
    """Where a group's arrays lie in their flat ones, and the calls that come of it.

    flat: Value of the chain → the flat Value in its place. views: Value of a member → the view that readers outside the
    chain get instead. gradients: the same for leaves, which only the list of gradients reads there.
    """

    def __init__(self, program: Program, group: Group) -> None:
        self.program, self.chain, self.group = program, group.chain, group.members
        sizes = [member[self.chain.first].size for member in group.members]
        self.starts, self.size = [0, *accumulate(sizes)][:-1], sum(sizes)
        self.leaves = [leaf for leaf in self.chain.leaves if leaf in self.group[0]]
        made = made_by(program)
        self.own = {made[member[call.out]] for member in self.group for call in self.chain.calls}
        self.order = sorted(self.chain.calls, key=program.calls.index)
        outs = [call.out for call in self.order]
        self.flat = {value: self._flat(value) for value in (*self.chain.memories, *self.leaves, *outs)}
        self.views: dict[Value, Value] = {}
        self.gradients: dict[Value, Value] = {}

    def members(self, value: Value) -> list[Value]:
        return [member[value] for member in self.group]

    def calls(self) -> list[Call]:
        """All calls of the new program, nearly in order: the chain stands where its last member stood."""
        first = [call for memory in self.chain.memories for call in self._views_of(memory, self.views, "forward")]
        wanted = self._read_outside()
        update = [Call(GATHER, tuple(self.members(v)), {}, [self.flat[v]], "", "update") for v in self.leaves]
        for leaf in self.leaves:
            update += self._views_of(leaf, self.gradients, "update", {g for _, g in self.program.gradients})
        for call in self.order:
            args = swapped(call.args, self.flat)
            update.append(Call(call.prim, args, {}, [self.flat[call.out]], "", "update", call.quiet))
            update += self._views_of(call.out, self.views, "update", wanted)
        last = max(i for i, call in enumerate(self.program.calls) if call in self.own)
        before, after = ([c for c in part if c not in self.own]
                         for part in (self.program.calls[:last], self.program.calls[last:]))  # fmt: skip
        return [*first, *before, *update, *after]

    def _flat(self, value: Value) -> Value:
        kind = MEMORY if value in self.chain.memories else RESULT
        return Value(kind, (self.size,), value.dtype, self._name(value))

    def _name(self, value: Value) -> str:
        """`parameters`, `gradients`, `momentum_buffers`; with a number from the second group on."""
        trained = {memory for memory, _ in self.program.gradients}
        gradients = {gradient for _, gradient in self.program.gradients}
        if value in self.chain.memories:
            last = value.name.rpartition(".")[2] or "state"
            name = "parameters" if not trained.isdisjoint(self.members(value)) else last.removesuffix("s") + "s"
        else:
            name = "gradients" if not gradients.isdisjoint(self.members(value)) else ""
        earlier = [v for v in self.program.flat if v.name.startswith("parameters")]
        return f"{name}_{len(earlier) + 1}" if name and earlier else name

    def _views_of(
        self, value: Value, views: dict[Value, Value], phase: str, wanted: set[Value] | None = None
    ) -> list[Call]:
        """The calls that cut a flat array into its members, those that are wanted; entered into `views`."""
        calls = []
        for start, old in zip(self.starts, self.members(value), strict=True):
            if old in views or (wanted is not None and old not in wanted):
                continue
            part = Value(RESULT, (old.size,), old.dtype, old.name, old.scope)
            key = slice(start, start + old.size)
            calls.append(Call(GETITEM, (self.flat[value], key), {}, [part], old.scope, phase))
            if len(old.shape) != 1:
                shaped = Value(RESULT, old.shape, old.dtype, old.name, old.scope)
                calls.append(Call(RESHAPE, (part, old.shape), {}, [shaped], old.scope, phase))
            views[old] = calls[-1].out
        return calls

    def _read_outside(self) -> set[Value]:
        """What is read by others than the chains themselves."""
        moved = {m for memory in self.chain.memories for m in self.members(memory)}
        found = {value for call in self.program.calls if call not in self.own for value in call.inputs()}
        found.update(self.program.outputs, self.program.numbers, (g for _, g in self.program.gradients))
        found.update(value for memory, value in self.program.writes.items() if memory not in moved)
        return found


def largest_level(program: Program, group: Group) -> Program | None:
    """Lay out the most members that wait for the same others: a second net may be trained after the first."""
    outs = {call.out for call in group.chain.calls}
    bit = {member[out]: 1 << i for i, member in enumerate(group.members) for out in outs}
    used: dict[Value, int] = {}  # Value → the members, as bits, whose update went into it
    for call in program.calls:
        mask = 0
        for value in call.inputs():
            mask |= used.get(value, 0) | bit.get(value, 0)
        used.update(dict.fromkeys(call.outs, mask))
    levels: dict[int, list[Any]] = {}
    for member in group.members:
        mask = 0
        for leaf in group.chain.leaves:
            mask |= used.get(member[leaf], 0) | bit.get(member[leaf], 0) if leaf in member else 0
        levels.setdefault(mask, []).append(member)
    part = max(levels.values(), key=len)
    return laid(program, Group(group.chain, part)) if 1 < len(part) < len(group.members) else None


def in_order(calls: list[Call]) -> list[Call] | None:
    """The calls so that each comes after what it reads, and effects keep their order; else as given. None: a circle."""
    made = {out: i for i, call in enumerate(calls) for out in call.outs}
    if all(made.get(value, -1) < i for i, call in enumerate(calls) for value in call.inputs()):
        return calls
    after: list[list[int]] = [[] for _ in calls]
    waiting = [0] * len(calls)
    effects = [i for i, call in enumerate(calls) if call.prim.effect]
    edges = {(made[value], i) for i, call in enumerate(calls) for value in call.inputs() if value in made}
    for before, then in edges | set(pairwise(effects)):
        after[before].append(then)
        waiting[then] += 1
    ready = [i for i, count in enumerate(waiting) if not count]
    heapify(ready)
    ordered = []
    while ready:
        i = heappop(ready)
        ordered.append(calls[i])
        for then in after[i]:
            waiting[then] -= 1
            if not waiting[then]:
                heappush(ready, then)
    return ordered if len(ordered) == len(calls) else None
