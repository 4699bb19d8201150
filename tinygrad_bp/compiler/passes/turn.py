"""A weight laid out in memory as it is read: (in, out), where only x Wᵀ reads it.

    y = x · transpose(W),  dW = transpose(d) · x    become    y = x · V,  dV = transpose(x) · d,  W = transpose(V)

BLAS first packs a transposed operand; for the first layer of a net, wide and short, that costs a quarter of both
products (784 → 128, batch 64: 264 µs instead of 341). W itself, its gradient and its momentum become transposed views
of the new memory; nobody sees a difference but in `strides`. Layers that also need the gradient of their input read W
both ways, and stay. Not exact: a product may add in another order. Read `stack.py` next.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..program import MEMORY, RESULT, Call, Program, Value
from .words import DOT, TRANSPOSE, again, made_by, rebuilt

LEAST, SHORT = 1 << 14, 256  # entries of a weight, and its outputs: below and above, packing costs nothing measurable


def turn(program: Program) -> Program:
    """Turn one weight after another, until none is left that can be."""
    for memory, gradient in program.gradients:
        turned = Turning(program, memory, gradient).program() if suits(memory, program) else None
        if turned is not None:
            return turn(turned)
    return program


def suits(memory: Value, program: Program) -> bool:
    """Whether a weight is long and short, and may be moved."""
    long = len(memory.shape) == 2 and memory.shape[0] <= SHORT and memory.shape[1] >= 2 * memory.shape[0]
    free = memory.kind == MEMORY and memory.movable and memory in program.writes and memory not in program.turned
    return long and free and memory.size >= LEAST and memory.dtype is not None and memory.dtype.kind == "f"


class Turning:
    """One weight being turned. `new` holds for each Value of the update the Value of which it is the transpose.

    In the list of gradients the weight's own is turned too: `Program.turned` tells who must look at its transpose.
    """

    def __init__(self, program: Program, memory: Value, gradient: Value) -> None:
        self.before, self.memory, self.gradient = program, memory, gradient
        self.new: dict[Value, Value] = {}
        self.memories: dict[Value, Value] = {}

    def turn_memory(self, memory: Value) -> None:
        value = Value(MEMORY, memory.shape[::-1], memory.dtype, memory.name, memory.scope)
        value.movable = True
        self.memories[memory] = self.new[memory] = value

    def program(self) -> Program | None:
        """The program with the weight turned; None if something reads it otherwise."""
        calls = self.calls()
        if calls is None:
            return None
        writes = {}
        for memory, value in self.before.writes.items():
            if memory in self.memories and value not in self.new:
                return None
            writes[self.memories.get(memory, memory)] = self.new[value] if memory in self.memories else value
        if any(memory not in self.before.writes for memory in self.memories):
            return None
        after = rebuilt(self.before, calls)
        after.writes = writes
        after.turned = {**self.before.turned, **{new: old for old, new in self.memories.items()}}
        after.gradients = [
            (memory, self.new.get(g, g) if memory in self.memories else g) for memory, g in self.before.gradients
        ]
        results = {*after.outputs, *after.numbers}
        return None if results & set(self.memories) else after

    def calls(self) -> list[Call] | None:
        made = made_by(self.before)
        product = made.get(self.gradient)
        if product is None or product.prim.name != "dot" or product.kwargs or self.gradient.shape != self.memory.shape:
            return None
        for memory in self.states():
            if not memory.movable or memory not in self.before.writes:
                return None
            self.turn_memory(memory)
        calls: list[Call] = []
        for call in self.before.calls:
            if call is product:
                calls += self.turned_product(call)
                continue
            written = self.written(call)
            if written is None:
                return None
            calls += written
        return calls

    def states(self) -> list[Value]:
        """The weight, and the memories that its update combines with it entry by entry, as its momentum."""
        joined, size = {self.memory, self.gradient}, 0
        while len(joined) > size:
            size = len(joined)
            for call in self.before.calls:
                row = [v for v in (*call.inputs(), *call.outs) if v.shape == self.memory.shape]
                if call.phase == "update" and call.prim.kind == "ufunc" and not joined.isdisjoint(row):
                    joined.update(row)
        return [self.memory, *(v for v in self.before.memories() if v in joined and v is not self.memory)]

    def turned_product(self, call: Call) -> list[Call]:
        """(a · b)ᵀ = bᵀ · aᵀ."""
        a, b = call.args
        views = [self.view(value, call) for value in (b, a)]
        out = Value(RESULT, self.memory.shape[::-1], call.out.dtype, call.out.name, call.out.scope)
        self.new[call.out] = out
        dot = Call(DOT, tuple(view.out for view in views), {}, [out], call.scope, call.phase, call.quiet)
        return [*views, dot, self.view(out, call, call.out)]

    def view(self, value: Value, call: Call, out: Value | None = None) -> Call:
        made = out or Value(RESULT, value.shape[::-1], value.dtype, "", value.scope, value.strides[::-1])
        return Call(TRANSPOSE, (value, (1, 0)), {}, [made], call.scope, call.phase)

    def written(self, call: Call) -> list[Call] | None:
        """A call as it is now: the weight's transpose is the new memory, the update is made on turned arrays."""
        mine = [value for value in call.inputs() if value in self.new]
        if not any(value in self.memories for value in mine) and not self.updates(call):
            return [call]  # what else reads the gradient reads its view
        if call.prim.kind == "view" and call.prim.name == "transpose" and call.args[1] == (1, 0):
            copy = Value(RESULT, call.out.shape, call.out.dtype)  # twice turned: the new memory itself
            there = self.view(self.new[mine[0]], call, copy)
            return [there, again(call, (copy, (1, 0)))]
        if not self.updates(call):
            return None
        args: list[Any] = []
        for arg in call.args:
            if isinstance(arg, Value) and arg.shape == self.memory.shape and arg not in self.new:
                return None
            args.append(self.new.get(arg, arg) if isinstance(arg, Value) else arg)
        out = Value(RESULT, self.memory.shape[::-1], call.out.dtype, call.out.name, call.out.scope)
        self.new[call.out] = out
        turned = Call(call.prim, tuple(args), {}, [out], call.scope, call.phase, call.quiet)
        return [turned, self.view(out, call, call.out)]

    def updates(self, call: Call) -> bool:
        """Whether a call is a part of the update, entry by entry."""
        shapes = {np.shape(arg) if not isinstance(arg, Value) else arg.shape for arg in call.args}
        entrywise = call.prim.kind == "ufunc" and not call.kwargs and len(call.outs) == 1
        fits = entrywise and call.out.shape == self.memory.shape and shapes <= {self.memory.shape, ()}
        return fits and any(isinstance(arg, Value) and arg in self.new for arg in call.args)
