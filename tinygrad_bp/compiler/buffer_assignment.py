"""Buffer assignment: a value is in memory that is there, in the place of another value, or in a buffer from the pool.

You will know how long each value is needed (liveness), when a call may write over its own input, how a parameter's new
content is computed straight into the parameter, and how freed buffers serve again. Read `loops.py` next: large
arrays, a block at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Block, Variable, identity, is_value, open_ended, same_start, separate, slice_of
from .copy_insertion import COPY, WithCopies
from .loops import Loop, loop_at, shares_rows
from .primitives import accepts, elementwise, independent, is_array
from .program import CONSTANT, MEMORY, RESULT, Call, Value, in_rows
from .strides import extent, laid

FOREVER = 1 << 60


class BufferAssignment:
    """The variables of a program: `place` says where each value is, `steps` which call writes which variable."""

    def __init__(self, final: WithCopies, strides: dict[Value, np.ndarray] | None = None) -> None:
        self.final, self.arrays = final, strides or {}
        self.place: dict[Value, Variable] = {}
        self.steps: list[tuple[Call, Variable | None] | Loop] = []
        self.loop: Loop | None = None  # the one that is being assigned
        self.free: list[Block] = []
        self.blocks: list[Block] = []
        self.views: dict[Any, Variable] = {}
        self.parts: dict[Call, list[tuple[Variable, Value]]] = {}  # of a gather: what is still to be copied
        self.target = {value: memory for memory, value in final.writes.items()}
        self.own = {final.base(g) for g in final.gradients}
        self.fresh = {v for v in final.outputs if not v.is_number}
        self.gathered = self._gathered_directly()
        self.last_use = self._liveness()
        self.index: dict[Call | None, int] = {call: i for i, call in enumerate(final.calls)}
        self.ending: dict[int, list[Block]] = {}
        self._run()

    # ------------------------------------------------------------------------------------------ liveness

    def _gathered_directly(self) -> dict[Value, tuple[Call, int]]:
        """Parts of flat buffers that can be computed where they will be gathered: part → (gather, offset)."""
        found: dict[Value, tuple[Call, int]] = {}
        for call in self.final.calls:
            offset = 0
            for part in call.args if call.prim.kind == "gather" else ():
                whole = self.whole(part)
                made = self.final.made.get(whole)
                busy = whole in found or whole in self.target or whole in self.own or whole in self.fresh
                fits = made is not None and accepts(made, np.empty(whole.shape, whole.dtype)) and in_rows(whole)
                if fits and not busy:
                    found[whole] = (call, offset)
                offset += part.size
        return found

    def whole(self, part: Value) -> Value:
        """The result that a value is the same entries of, in another shape."""
        while (made := self.final.made.get(part)) is not None and made.prim.name == "reshape":
            part = made.args[0]
        return part

    def _liveness(self) -> dict[Value, int]:
        """Liveness: the last call that needs each value, or a view of it."""
        last_use = dict.fromkeys((*self.final.gradients, *self.target, *self.fresh), FOREVER)
        for i, call in zip(reversed(range(len(self.final.calls))), reversed(self.final.calls), strict=True):
            until = max([last_use.get(out, i) for out in call.outs], default=i)
            apart = independent(call)
            for value in call.inputs():
                last = i if apart or value.is_number else until
                if call.prim.kind == "gather" and self.gathered.get(self.whole(value), (None,))[0] is call:
                    last = until
                if last_use.get(value, -1) < last:
                    last_use[value] = last
        for part, (call, _) in self.gathered.items():
            last_use[call.out] = max(last_use.get(call.out, 0), last_use[part])
        return last_use

    def dead_after(self, value: Value, i: int) -> bool:
        return self.last_use.get(value, -1) <= i

    # --------------------------------------------------------------------------------------------- where

    def _run(self) -> None:
        i, calls = 0, self.final.calls
        while i < len(calls):
            loop = loop_at(calls, i, self._fits)
            if loop is None:
                self._step(i, calls[i])
                self._release(i)
            else:
                self._lay_out(loop)
            i = loop.stop if loop else i + 1
        for memory, value in self.final.writes.items():
            if self.place[value].block is not self.at(memory).block:
                made = self.final.made[value]
                out = Value(RESULT, memory.shape, memory.dtype, strides=memory.strides)
                copy = Call(COPY, (value,), {}, [out], made.scope, "update")
                self.place[copy.out] = self.at(memory)
                self.steps.append((copy, self.at(memory)))

    def _release(self, i: int) -> None:
        """After call number i: what was needed up to here is free."""
        for block in self.ending.pop(i, ()):
            if block.kind == "buffer" and self.dead_after(block.owner, i) and block not in self.free:
                self.free.append(block)

    def _fits(self, value: Value, shape: tuple[int, ...]) -> bool:
        """Whether a value can be read or written a block of rows at a time."""
        if self.final.made.get(value) is not None and value not in self.place:  # still to be made
            return value not in self.fresh and (value.shape != shape or in_rows(value))
        like = self.at(value).like
        return shares_rows(value.shape, shape) or (value.shape == shape and (like is None or like.flags.c_contiguous))

    def _lay_out(self, loop: Loop) -> None:
        """A loop: nothing that one round frees may be taken by the next one for something else."""
        self.loop = loop
        calls = self.final.calls[loop.start : loop.stop]
        for value in {v for call in calls for v in call.inputs() if is_array(v) and v in self.place}:
            loop.reading.setdefault(self.place[value].block, set()).add(self.place[value].canonical)
        for i, call in enumerate(calls, loop.start):
            home = self._home(i, call)
            assert home is not None
            loop.steps.append((call, home))
            loop.small += [b for b in self.ending.get(i, ()) if b.kind == "small" and self.dead_after(b.owner, i)]
        self.loop = None
        self.steps.append(loop)
        for block in {home.block for _, home in loop.steps if home.block.kind == "small"}:
            block.kind = "buffer"
            self.free.append(block)
        for i in range(loop.start, loop.stop):
            self._release(i)

    def _passing(self, out: Value) -> bool:
        """Whether a value is made and used up within the loop that is being assigned, and so needs only a block."""
        if self.loop is None or out in self.target or out in self.own or out in self.gathered:
            return False
        return self.last_use.get(out, -1) < self.loop.stop

    def at(self, value: Value) -> Variable:
        """The variable of a value; memory, constants and arguments get theirs when they are first needed."""
        if value not in self.place:
            array: Any = value.array if value.kind == CONSTANT else None
            if value.kind == MEMORY:
                array = self.arrays.get(value)
                array = np.empty(value.shape, value.dtype) if array is None else array
            self.place[value] = Variable(Block(value.kind, value), array, value)
        return self.place[value]

    def _step(self, i: int, call: Call) -> None:
        for value in call.inputs():
            if value not in self.place and not value.is_number:
                self.at(value)
        if call.prim.kind == "view":
            self._view(i, call)
        elif call.prim.kind == "gather":
            self._gather(i, call)
        elif all(out.is_number for out in call.outs):
            self.steps.append((call, None))
        else:
            self.steps.append((call, self._home(i, call)))

    def _home(self, i: int, call: Call) -> Variable | None:
        """Where a call puts its result: None if it makes a new array (or several) instead."""
        out = call.outs[0]
        if len(call.outs) > 1 or out in self.fresh:
            self._new(call)
            return None
        home = self._in_gathered(call, out) or self._in_memory(i, call, out) or self._in_place(i, call, out)
        if home is None:
            like = self.laid_out(call)
            if not accepts(call, like) and out not in self.own:
                self._new(call)
                return None
            home = self._buffer(i, out, like)
        elif home.block.kind != MEMORY and out not in home.values:
            home = self._continued(home, call)
        self._hold(i, home, out)
        return home

    def _continued(self, home: Variable, call: Call) -> Variable:
        """The variable for a result written over another; what backward writes over forward has a name of its own."""
        before = self.final.made.get(home.values[-1]) if home.values else None
        if before is None or before.phase == call.phase:
            home.values.append(call.out)
            return home
        alias = Variable(home.block, home.like, call.out)
        alias.base, alias.call, alias.canonical = home, (identity, ((), {})), home.canonical
        return alias

    def _hold(self, i: int, home: Variable, value: Value) -> None:
        self.place[value] = home
        if value not in self.gathered:
            home.block.owner = value
        if (end := max(self.last_use.get(value, i), i)) < FOREVER:
            self.ending.setdefault(end, []).append(home.block)

    def _new(self, call: Call) -> None:
        for out in call.outs:
            if not out.is_number:
                self.place[out] = Variable(Block("fresh", out), None, out)

    def _in_gathered(self, call: Call, out: Value) -> Variable | None:
        """The part of a flat buffer that the result will be."""
        if out not in self.gathered:
            return None
        gather, offset = self.gathered[out]
        return self.part(self._flat(gather), out, offset)

    def _in_memory(self, i: int, call: Call, out: Value) -> Variable | None:
        """The memory that the result will be written to, if nobody needs the old content any more."""
        memory = self.target.get(out)
        if memory is None:
            return None
        home = self.at(memory)
        assert home.like is not None
        fits = accepts(call, home.like) and home.like.strides == out.strides
        return home if fits and self.may_overwrite(i, call, home) else None

    def _in_place(self, i: int, call: Call, out: Value) -> Variable | None:
        """An input that ends here and that the result may be written over."""
        if out in self.target or not (elementwise(call) or call.prim.kind == "assign"):
            return None
        bases = call.args[:1] if call.prim.kind == "assign" else call.args
        fitting = [self.place[v] for v in bases if is_array(v) and v.shape == out.shape and v.dtype == out.dtype]
        homes = [h for h in fitting if h.like is not None and self._writable(h.block, i, out)]
        homes = [h for h in homes if self.may_overwrite(i, call, h) and separate(h.like)]  # type: ignore[arg-type]
        if not homes:
            return None
        homes = [h for h in homes if h.like is not None and h.like.strides == out.strides]
        return max(homes, key=self._newness) if len(homes) > 1 else next(iter(homes), None)

    def _newness(self, home: Variable) -> tuple[bool, int]:
        """Which of several inputs a result is written over: the newest, and rather no copy."""
        made = self.final.made.get(home.block.owner)
        return made is not None and made.prim is not COPY, self.index.get(made, -1)

    def _writable(self, block: Block, i: int, out: Value) -> bool:
        """Whether `out` may be in a block for as long as it is needed."""
        if self._passing(out) or block.kind == "small":
            return self._passing(out) and block.kind == "small"
        if block.kind in ("buffer", "kept"):
            return out not in self.own or block.kind == "kept"
        if block.kind != "memory":
            return False
        written = next((v for m, v in self.final.writes.items() if self.at(m).block is block), None)
        return written is not None and self.last_use.get(out, i) <= self.index[self.final.made[written]]

    def may_overwrite(self, i: int, call: Call, home: Variable) -> bool:
        """Whether call number i may write to `home`: what is there is dead, or dies here and is read in its place."""
        if not self.dead_after(home.block.owner, i):
            return False
        if self.loop is not None and not self.loop.reading.get(home.block, {home.canonical}) <= {home.canonical}:
            return False
        read = [self.place[v].canonical for v in call.inputs() if is_array(v) and self.place[v].block is home.block]
        if call.prim.kind == "assign":
            return not read or (is_array(call.args[0]) and self.place[call.args[0]].canonical is home.canonical)
        return all(v is home.canonical for v in read) and (not read or elementwise(call))

    # --------------------------------------------------------------------------------- views and gathers

    def _view(self, i: int, call: Call) -> None:
        out, base = call.out, self.place[call.args[0]]
        constant = not any(is_value(a) for a in (*call.args[1:], *call.kwargs.values()))
        home = self.view(base, call.prim.name, call.prim.function, call.args[1:], call.kwargs) if constant else None
        if home is None:  # a scalar, a copy, or a view of what is new each time
            block = base.block if base.block.kind in ("fresh", "argument") else Block("fresh", out)
            home = Variable(block, None, out)
            self.steps.append((call, home))
        elif out not in home.values:
            home.values.append(out)
        self.place[out] = home

    def view(
        self, base: Variable, name: str, function: Any, args: tuple[Any, ...], kwargs: Any = None
    ) -> Variable | None:
        """The variable for a view of an array that is there before the run, each only once."""
        if base.like is None:
            return None
        if name == "getitem":
            args = (open_ended(args[0]),)
        key = (base, function, repr(args), repr(kwargs))
        if key not in self.views:
            like = function(base.like, *args, **(kwargs or {}))
            if not isinstance(like, np.ndarray) or (like.size and not np.may_share_memory(like, base.like)):
                return None
            if like.strides == base.like.strides and like.shape == base.like.shape and same_start(like, base.like):
                return base
            self.views[key] = made = Variable(base.block, like, None)
            made.base, made.call = base, (function, (args, kwargs or {}))
        return self.views[key]

    def _flat(self, gather: Call) -> Variable:
        """The buffer of a gather; it is there from its first part on."""
        if gather.out not in self.place:
            out = gather.out
            block = Block("kept", out, out.size * out.dtype.itemsize)
            self.blocks.append(block)
            self.place[out] = block.first = Variable(block, np.empty(out.shape, out.dtype), out)
        return self.place[gather.out]

    def part(self, flat: Variable, value: Value, offset: int) -> Variable:
        """A part of a flat buffer in the shape of a value."""
        assert flat.like is not None
        like = flat.like[offset : offset + value.size].reshape(value.shape)
        home = Variable(flat.block, like, value)
        home.base, home.call = flat, (slice_of, ((offset, value.size, value.shape), {}))
        return home

    def _gather(self, i: int, call: Call) -> None:
        flat, offset, rest = self._flat(call), 0, []
        for part in call.args:
            if self.gathered.get(self.whole(part)) != (call, offset):
                rest.append((self.part(flat, part, offset), part))
            offset += part.size
        self.parts[call] = rest
        if rest:
            self.steps.append((call, flat))

    # --------------------------------------------------------------------------------------- the buffers

    def laid_out(self, call: Call) -> np.ndarray:
        """An array with the strides that the result of a call has eagerly; in a loop perhaps only a block."""
        out = call.out
        if self._passing(out) and self.loop is not None:
            return np.empty((self.loop.rows, *out.shape[1:]), out.dtype)
        return laid(out.shape, out.dtype, out.strides)

    def _buffer(self, i: int, out: Value, like: np.ndarray) -> Variable:
        """A buffer from the pool: of those that are free the smallest that is large enough, or the largest, grown."""
        nbytes, small = max(like.nbytes, extent(like.shape, like.dtype, like.strides)[1]), self._passing(out)
        block = None
        pool = self.loop.small if small and self.loop and self.loop.small else self.free
        if out not in self.own and pool:
            enough = [b for b in reversed(pool) if b.nbytes >= nbytes]
            block = min(enough, key=lambda b: b.nbytes) if enough else max(pool, key=lambda b: b.nbytes)
            pool.remove(block)
        home = Variable(block or Block("kept" if out in self.own else "buffer", out), like, out)
        home.block.kind = "small" if small else home.block.kind
        if block is None:
            self.blocks.append(home.block)
        if block is None or nbytes > home.block.nbytes:
            home.block.nbytes, home.block.first = nbytes, home
        return home
