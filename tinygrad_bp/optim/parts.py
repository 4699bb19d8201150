"""Parts: the parameters of a group that step together, with their memory and their state side by side.

A part is what a method's rule is applied to in one call. Its members have one dtype, equally much state and the same
count of steps; where a parameter cannot be moved it is a part of its own, and the same lines update it alone. A part
only ever gets smaller: who misses a gradient that others have steps apart from then on, in the memory that it has.
Read `method.py` next: how a method is declared.
"""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from operator import attrgetter, is_, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core import Tensor, wrap
from ..duck import TRACES, opaque, stand_in, tracing
from ..errors import StateDictError, kind_of
from ..memory import CLOCK, STAMPS, buffer_of, stamp_all
from .flat import BLOCK, blocks, gather, lay, lying, movable, side_by_side, stretches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

concatenate = np.concatenate
COPIED = 1 << 12  # entries up to which copying a gradient costs less than calls of its own
STEP = "optimizer.step"  # where a write came from, in messages
COUNT = "step"  # the name of the count in a parameter's state, where a rule asks for t
ARRAY = attrgetter("array")


class Sentence(NamedTuple):
    """A method's rule, the state that it reads, whether it asks for t and for `first`, and its name in messages."""

    rule: Callable[..., None]
    states: tuple[str, ...]
    counts: bool
    asks_first: bool
    by: str

    def of(self, dtype: Any) -> Callable[..., None]:
        """The rule for a dtype: of complex numbers the two parts step as two real ones would."""
        return self.rule if dtype.kind != "c" else partial(by_parts, self.rule)


def by_parts(rule: Callable[..., None], *arguments: Any) -> None:
    """Apply a rule to the real parts of all complex arrays, and to the imaginary ones."""
    for part in (np.real, np.imag):
        rule(*[part(x) if getattr(getattr(x, "dtype", None), "kind", "") == "c" else x for x in arguments])


class Kept(NamedTuple):
    """One kind of state: the tensor that holds it for the whole part, and the members' arrays."""

    whole: Any
    arrays: list[np.ndarray]


class Part:
    """Members that step together. `memory` holds all their entries, `kept` their state, by name."""

    def __init__(self, members: list[Any]) -> None:
        self.members = members
        self.memory = members[0] if len(members) == 1 else wrap(lay(members))
        self.arrays = [p.array for p in members]
        self.look = [(array, array.shape, array.dtype) for array in self.arrays]
        self.entries: list[dict[str, Any]] = []
        self.kept: dict[str, Kept] = {}
        self.rows: list[Any] = []
        self.marks: list[Any] = []  # where the members' memory is stamped
        self.active: Any = None  # the names of the state for which the rows are cut

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The members' shapes."""
        return [shape for _, shape, _ in self.look]

    # ------------------------------------------------------------ is all as it was?
    def gradients(self, members: list[Any]) -> list[np.ndarray] | None:
        """The members' gradients, [] if none has one; None if memory is not what it was, or a gradient does not fit."""
        grads = []
        for p, (array, shape, dtype) in zip(members, self.look, strict=True):
            grad = p._grad
            if grad is None or p.array is not array:
                return None if any(p._grad is not None for p in members) else []
            g = grad.array
            if g.shape != shape or not array.flags.writeable or (g.dtype is not dtype and g.dtype != dtype):
                return None
            grads.append(g)
        return grads

    def knows(self, members: list[Any], state: Mapping[Any, Any], active: tuple[str, ...]) -> bool:
        """Whether the state is the one that this part keeps, and nothing of it is missing."""
        if not active and not self.kept:
            return True
        if any(name not in self.kept for name in active):
            return False
        if not all(map(is_, map(state.get, members), self.entries)):
            return False
        try:
            for name, kept in self.kept.items():
                if not all(map(is_, map(ARRAY, map(itemgetter(name), self.entries)), kept.arrays)):
                    return False
        except (KeyError, AttributeError):
            return False
        return self.alike()

    def counts(self) -> bool:
        """Whether there are counts that might differ."""
        return COUNT in self.kept and len(self.members) > 1

    def alike(self) -> bool:
        """Whether all members have stepped equally often, as far as anybody counts."""
        if not self.counts():
            return True
        counts = self.kept[COUNT].whole.array
        return bool(counts.tobytes() == counts[:1].tobytes() * len(self.members))

    # ------------------------------------------------------------ state
    def adopt(self, state: Mapping[Any, Any], names: tuple[str, ...], method: str) -> bool:
        """Take up the state as somebody else left it, side by side; False if the members' is not alike."""
        found = [state.get(p) or {} for p in self.members]
        present = [[name for name in names if entries.get(name) is not None] for entries in found]
        if any(have != present[0] for have in present):
            return False
        kept = {}
        for name in present[0]:
            tensors = [entries[name] for entries in found]
            for tensor, shape in zip(tensors, self.shapes, strict=True):
                require_state(method, name, tensor, () if name == COUNT else shape)
            flat = tensors[0].array if len(tensors) == 1 else lay(tensors)
            if flat is None:
                return False
            whole = tensors[0] if len(tensors) == 1 else wrap(flat)
            kept[name] = Kept(whole, [t.array for t in tensors])
        self.kept, self.entries, self.active = kept, found if kept else [], None
        return self.alike()

    def born(self, state: Any, names: Iterable[str]) -> dict[str, Any]:
        """State of nothing but zeros, entered for each member; the whole of each name."""
        traced, made = bool(TRACES and tracing()), dict[str, Any]()
        entries = [state.setdefault(p, {}) for p in self.members]
        for name in names:
            shapes: list[tuple[int, ...]] = self.shapes if name != COUNT else [()] * len(self.members)
            dtype = np.dtype(np.float32) if name == COUNT else self.arrays[0].dtype
            if len(shapes) == 1:
                parts = [stand_in(np.zeros(shapes[0], dtype))]
                tensors = [wrap(parts[0])]
                made[name] = tensors[0]
            else:
                sizes = [int(np.prod(shape)) for shape in shapes]
                flat = stand_in(np.zeros(sum(sizes), dtype))
                parts = cut(flat, shapes) if traced else stretches(flat, shapes)
                tensors = list(map(wrap, parts))
                made[name] = wrap(flat)
            for entry, tensor in zip(entries, tensors, strict=True):
                entry[name] = tensor
            if not traced:
                self.kept[name] = Kept(made[name], parts)
        if not traced:
            self.entries = entries
        return made

    # ------------------------------------------------------------ smaller parts
    def between(self, start: int, stop: int) -> Part:
        """The part of some members that stand side by side."""
        if (start, stop) == (0, len(self.members)):
            return self
        found: Part = object.__new__(Part)
        found.members, found.arrays = self.members[start:stop], self.arrays[start:stop]
        found.look, found.entries = self.look[start:stop], self.entries[start:stop]
        found.rows, found.marks, found.active, found.kept = [], [], None, {}
        ends = [0, *accumulate(int(np.prod(shape)) for shape in self.shapes)]
        found.memory = self.members[start] if stop - start == 1 else wrap(self.memory.array[ends[start] : ends[stop]])
        for name, kept in self.kept.items():
            at, to = (start, stop) if name == COUNT else (ends[start], ends[stop])
            alone = stop - start == 1
            if alone and name not in found.entries[0]:  # somebody took it away: it begins anew
                continue
            whole = found.entries[0][name] if alone else wrap(kept.whole.array[at:to])
            found.kept[name] = Kept(whole, kept.arrays[start:stop])
        return found

    def runs(self, flags: list[Any]) -> list[tuple[Any, Part]]:
        """The parts of members that stand side by side and have the same flag, with that flag."""
        ends = [i for i in range(1, len(flags)) if flags[i] != flags[i - 1]]
        return [(flags[i], self.between(i, j)) for i, j in zip([0, *ends], [*ends, len(flags)], strict=True)]

    # ------------------------------------------------------------ the step
    def step(self, sentence: Sentence, grads: list[Any], state: Any, active: tuple[str, ...], values: Any) -> None:
        """Apply a rule to all members."""
        new = active is not self.active and self.lay_out(sentence.states, active, state)
        rule, rows = sentence.of(self.arrays[0].dtype), self.rows
        moment = self.moment(sentence, self.kept, new) if sentence.counts else (new,) if sentence.asks_first else ()
        for i, j, p, states in rows:
            if j - i > 1:
                rule(p, concatenate(grads if len(rows) == 1 else grads[i:j], None), *states, *moment, *values)
            elif p.size <= BLOCK:
                g = grads[i]
                rule(p, g if g.ndim else g.reshape(1), *states, *moment, *values)
            else:
                for part, g, *rest in blocks(p, grads[i], *states):
                    rule(part, g, *rest, *moment, *values)

    def mark(self, by: str) -> None:
        """Stamp the members' memory: a step has just written there."""
        if not self.marks:
            stamp_all(self.arrays, by, STEP)
            self.marks = [STAMPS[id(buffer_of(array))] for array in self.arrays]
        CLOCK[0] = now = CLOCK[0] + 1
        for mark in self.marks:
            mark.time, mark.by, mark.where = now, by, STEP

    def moment(self, sentence: Sentence, kept: Mapping[str, Kept], new: bool) -> tuple[Any, ...]:
        """The count of steps, this one included, and whether it is the first one with this state, if the rule asks."""
        found: tuple[Any, ...] = ()
        if sentence.counts:
            counts = kept[COUNT].whole.array
            counts += 1
            found = (counts.item(0) if counts.ndim else counts.item(),)
        return (*found, new) if sentence.asks_first else found

    def lay_out(self, states: tuple[str, ...], active: tuple[str, ...], state: Any) -> bool:
        """Make the rows for the active state, and what is missing of it; whether something was."""
        missing = [name for name in active if name not in self.kept]
        if missing:
            self.born(state, missing)
        self.active, self.rows = active, self.cut_up(states, active)
        return bool(missing)

    def cut_up(self, states: tuple[str, ...], active: tuple[str, ...]) -> list[Any]:
        """(first member, last + 1, parameters, state) of each call: small members that lie side by side take one."""
        kept = [self.kept[name] if name in active else None for name in states]
        if len(self.members) == 1:
            return [(0, 1, *axis(self.arrays[0], [k and k.arrays[0] for k in kept]))]
        sizes = [array.size for array in self.arrays]
        ends, rows, i = [0, *accumulate(sizes)], [], 0
        while i < len(sizes):
            j = i + 1
            while j < len(sizes) and max(sizes[i], sizes[j]) <= COPIED and ends[j + 1] - ends[i] <= BLOCK:
                j += 1
            if j - i > 1:
                at = slice(ends[i], ends[j])
                rows.append((i, j, self.memory.array[at], [k and k.whole.array[at] for k in kept]))
            else:
                rows.append((i, j, *axis(self.arrays[i], [k and k.arrays[i] for k in kept])))
            i = j
        return rows

    def record(self, sentence: Sentence, state: Any, active: tuple[str, ...], values: Any) -> list[Any]:
        """The same in a trace, which brings its own blocks and keeps nothing; the members that stepped."""
        have = [p._grad is not None for p in self.members]
        if not all(have):
            parts = [part for there, part in self.runs(have) if there]
            return [p for part in parts for p in part.record(sentence, state, active, values)]
        kept = self.kept_in_trace(state, active)
        if kept is None:
            alone = [self.between(i, i + 1) for i in range(len(self.members))]
            return [p for part in alone for p in part.record(sentence, state, active, values)]
        missing = [name for name in active if name not in kept]
        if missing:
            new = {name: Kept(whole, []) for name, whole in self.born(state, missing).items()}
            kept = tracing().notes[self.key()] = {**kept, **new}
        grads = [p._grad.array for p in self.members]
        g = grads[0] if len(grads) == 1 else opaque(gather, *grads)
        states = [kept[name].whole.array if name in active else None for name in sentence.states]
        moment = self.moment(sentence, kept, bool(missing))
        sentence.of(self.memory.array.dtype)(self.memory.array, g, *states, *moment, *values)
        return self.members


    def key(self) -> tuple[int, ...]:
        """What tells a trace which part this is."""
        return tuple(map(id, self.members))

    def kept_in_trace(self, state: Any, active: tuple[str, ...]) -> dict[str, Kept] | None:
        """The state, with what this trace has made; None if it made that for other parts."""
        kept: dict[str, Kept] = tracing().notes.get(self.key(), self.kept)
        entries = [state.get(p) or {} for p in self.members]
        found = [name for name in active if name not in kept and any(one.get(name) is not None for one in entries)]
        if found and len(self.members) > 1:
            return None
        return {**kept, **{name: Kept(entries[0][name], []) for name in found}}


class Parts:
    """The parts of one group. `rest` are the parameters that have had no gradient yet."""

    def __init__(self, group: dict[str, Any]) -> None:
        self.group, self.params = group, list(group["params"])
        self.parts: list[Part] = []
        self.rest: list[Any] = self.params
        self.settings: Any = None  # of the group, for which the next two hold
        self.active: tuple[str, ...] = ()
        self.values: tuple[Any, ...] = ()

    def of(self, group: dict[str, Any]) -> bool:
        """Whether these are the parts of a group as it is now."""
        params = group["params"]
        return group is self.group and len(params) == len(self.params) and all(map(is_, params, self.params))

    def ready(self, params: list[Any], state: Any, new: bool = False) -> list[Any] | None:
        """(part, gradients, state, settings) of those that step; None if something is not as it was.

        new: they have just been arranged, so that only what is to be made at this step is missing.
        """
        active, values, parts = self.active, self.values, self.parts
        if len(parts) != 1 or len(params) != len(parts[0].members):
            if not self.of(self.group) or any(p._grad is not None for p in self.rest):
                return None
            params = []
        found = []
        for part in parts:
            members = params or part.members
            grads = part.gradients(members)
            if grads is None or (grads and not (new or part.knows(members, state, active))):
                return None
            if grads:
                found.append((part, grads, active, values))
        return found

    def arrange(self, state: Any, names: tuple[str, ...], method: str, wanted: Callable[[Any], bool] | None) -> None:
        """Form the parts anew, of those that have a gradient, or of those that are `wanted`."""
        asked = wanted or has_gradient
        parts, taken = [], set[int]()
        for part in self.parts:
            flags = [p.array is a and (wanted is not None or asked(p)) if p.array is a else None
                     for p, a in zip(part.members, part.arrays, strict=True)]  # fmt: skip
            parts += [smaller for flag, smaller in part.runs(flags) if flag is not None]
        taken.update(id(p) for part in parts for p in part.members)
        new = [p for p in self.params if id(p) not in taken and asked(p)]
        self.parts = []
        for part in [*parts, *formed(new, state, names)]:
            alike = part.adopt(state, names, method)
            alone = [part] if alike else [part.between(i, i + 1) for i in range(len(part.members))]
            self.parts += alone
            if not alike:
                for one in alone:
                    one.adopt(state, names, method)
        taken.update(map(id, new))
        self.rest = [p for p in self.params if id(p) not in taken]


def has_gradient(p: Any) -> bool:
    return p._grad is not None


def formed(params: list[Any], state: Any, names: tuple[str, ...]) -> list[Part]:
    """Parts of parameters that are in none: as large as dtype, state and memory allow."""
    alike: dict[Any, list[Any]] = {}
    for p in params:
        entries = state.get(p) or {}
        have = frozenset(name for name in names if entries.get(name) is not None)
        count = entries[COUNT].array.tobytes() if COUNT in have and isinstance(entries[COUNT], Tensor) else b""
        alike.setdefault((p.array.dtype, have, count), []).append(p)
    return [Part(members) for one in alike.values() for members in runs_in_memory(one)]


def runs_in_memory(params: list[Any]) -> list[list[Any]]:
    """Those that lie side by side already, those that may be moved, and the others one by one."""
    runs: list[list[Any]] = []
    for p in params:
        if lying(p.array) is not None and runs and side_by_side([runs[-1][-1].array, p.array]) is not None:
            runs[-1].append(p)
        else:
            runs.append([p])
    moved = [run[0] for run in runs if len(run) == 1 and movable(run[0])]
    known = set(map(id, moved))
    return [run for run in runs if id(run[0]) not in known or len(run) > 1] + ([moved] if moved else [])


def require_state(method: str, name: str, value: Any, shape: tuple[int, ...]) -> None:
    """Raise unless what stands in the state can be what the method remembers of a parameter."""
    fits = isinstance(value, Tensor) and value.array.shape == shape and value.array.dtype.kind in "biufc"
    if not fits:
        given = f"of shape {value.array.shape}" if isinstance(value, Tensor) else kind_of(value)
        raise StateDictError(f"{method}.step: {name!r} in the state must be a tensor of shape {shape}, not {given}")


def cut(flat: Any, shapes: list[tuple[int, ...]]) -> list[Any]:
    """Views of a stand-in, one for each shape."""
    ends = [0, *accumulate(int(np.prod(shape)) for shape in shapes)]
    return [flat[i:j].reshape(shape) for i, j, shape in zip(ends, ends[1:], shapes, strict=False)]


def axis(p: np.ndarray, states: list[Any]) -> tuple[np.ndarray, list[Any]]:
    """The same arrays with at least one axis, as NumPy's results with none are numbers."""
    if p.ndim:
        return p, states
    return p.reshape(1), [s if s is None else s.reshape(1) for s in states]
