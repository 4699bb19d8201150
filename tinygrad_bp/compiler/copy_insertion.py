"""Copy insertion: results that need memory of their own get it by a copy.

You will know why a step may return its argument, swap two parameters, or use one value as output, gradient and new
content of a parameter at once: here every such result becomes one that a call of its own makes. Read
`buffer_assignment.py` next: where the results then are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .primitives import elementwise, independent, is_array
from .program import MEMORY, RESULT, Call, Primitive, Program, Value, in_rows, swapped
from .strides import Strides, compact, laid, same_layout, seen

CHEAP_COPY = 1 << 12  # entries; beyond, the memory that a copy takes costs more than the calls
COPY = Primitive("call", "copy", np.array)


class WithCopies:
    """A program in which each result has memory of its own; the program that it was made from stays as it is.

    outputs: values made anew at each run, for the caller to keep (numbers too). writes: memory → a result that no
    one else needs. gradients: a result, or a view of one that overlaps with no other gradient.
    """

    def __init__(self, program: Program) -> None:
        self.program, self.calls = program, list(program.calls)
        self.made = {out: call for call in program.calls for out in call.outs}
        self.taken: set[Value] = set()  # results that somebody owns
        self.parts: dict[Value, tuple[int, int]] = {}  # results that several gradients share → bytes that are given
        self.early: list[Call] = []
        self.gradients = [self._gradient(leaf, g) for leaf, g in program.gradients]
        self.writes = {m: self._write(m, v) for m, v in program.writes.items() if m is not v}
        self.outputs = [v if v.is_number else self._output(v) for v in program.outputs]
        self.calls[:0] = self.early
        spread: list[Call] = []
        for call in self.calls:
            small = elementwise(call) and call.out.size <= CHEAP_COPY
            repeated = [v for v in call.inputs() if 1 < v.size < call.out.size] if small else []
            spread += self._spread(call, repeated) if repeated else [call]
        self.calls = spread

    def _spread(self, call: Call, repeated: list[Value]) -> list[Call]:
        """A small elementwise call, its broadcast inputs copied out first: NumPy adds a row to each row of a matrix in
        twice the time that it takes to copy the row that often and to add two matrices, and allocates for it."""
        new = {
            v: Value(RESULT, call.out.shape, v.dtype, f"{v.name}_rows" if v.name else "",
                     strides=compact(call.out, v.dtype))
            for v in repeated
        }  # fmt: skip
        if not same_layout(call.out.shape, natural(swapped(call.args, new), call.out), call.out.strides):
            return [call]
        copies = [Call(COPY, (v,), {}, [out], call.scope, call.phase) for v, out in new.items()]
        call = call.replaced(new)
        self.made[call.out] = call
        self.made.update((made.out, made) for made in copies)
        return [*copies, call]

    def base(self, value: Value) -> Value:
        """The value of which this one is a view."""
        while (call := self.made.get(value)) is not None and call.prim.kind == "view":
            value = call.args[0]
        return value

    def _gradient(self, leaf: Value, g: Value) -> Value:
        base = self.base(g)
        made = self.made.get(base)
        if made is None or base in self.taken or len(made.outs) > 1 or not self._disjoint(base, g):
            return self._copied(g, f"d_{leaf.name}")
        return g

    def _disjoint(self, base: Value, g: Value) -> bool:
        """Whether g's part of its base can be had, and is from now on taken."""
        if g is base and base not in self.parts:
            self.parts[base] = 0, base.size * base.dtype.itemsize
            return True
        root = laid(base.shape, base.dtype, base.strides)
        array, path = root, []
        while g is not base:
            path.append(self.made[g])
            g = path[-1].args[0]
        for call in reversed(path):
            array = call.prim.function(array, *call.args[1:], **call.kwargs)
        apart = bool(path) and array.size > 0 and not np.may_share_memory(root, array)
        if apart or isinstance(array, np.generic):
            return False
        low, high = np.lib.array_utils.byte_bounds(array)
        low, high = low - root.ctypes.data, high - root.ctypes.data
        first, last = self.parts.get(base, (low, low))
        overlapping = any(stride == 0 and n > 1 for stride, n in zip(array.strides, array.shape, strict=True))
        if overlapping or (low < last and high > first):
            return False
        self.parts[base] = min(first, low), max(last, high)
        return True

    def _write(self, memory: Value, value: Value) -> Value:
        made = self.made.get(value)
        same = (value.shape, value.dtype) == (memory.shape, memory.dtype)
        if same and made is not None and independent(made) and self._free(value):
            self.taken.add(value)
            return value
        return self._copied(value, "", memory)

    def _output(self, value: Value) -> Value:
        made = self.made.get(value)
        if made is not None and made.prim.kind != "gather" and independent(made) and self._free(value) and lies(made):
            self.taken.add(value)
            return value
        return self._copied(value, value.name)

    def _free(self, value: Value) -> bool:
        return value not in self.taken and value not in self.parts

    def _copied(self, value: Value, name: str, like: Value | None = None) -> Value:
        """A copy of a value, made at the end; what memory held before it is written is copied at the start."""
        source = value if like is None else like
        out = Value(RESULT, source.shape, source.dtype, name, strides=compact(source))
        last = self.calls[-1] if self.calls else None
        phase = last.phase if last else "forward"
        call = Call(COPY, (value,), {}, [out], last.scope if last else "", phase)
        self.made[out] = call
        self.taken.add(out)
        if like is None and (base := self.base(value)).kind == MEMORY and base in self.program.writes:
            call.scope, call.phase = "", "forward"
            self.early += [*self._views(value), call]
        else:
            self.calls.append(call)
        return out

    def _views(self, value: Value) -> list[Call]:
        """The calls that make a view of memory, to be done earlier."""
        found: list[Call] = []
        while (call := self.made.get(value)) is not None:
            found.insert(0, call)
            value = call.args[0]
        self.calls = [call for call in self.calls if call not in found]
        self.early = [call for call in self.early if call not in found]
        return found


def lies(call: Call) -> bool:
    """Whether NumPy gives a new result of a call the layout that it has eagerly, although inputs may lie otherwise."""
    if call.prim.name in ("copy", "astype"):
        return compact(call.args[0]) == call.out.strides or (call.prim.name == "copy" and in_rows(call.out))
    return not elementwise(call) or same_layout(call.out.shape, natural(call.args, call.out), call.out.strides)


def natural(args: Any, out: Value) -> Strides:
    """The strides that NumPy gives the result of an elementwise function of these arguments."""
    inputs = [seen(v) for v in args if is_array(v)]
    flags: Any = ["zerosize_ok", "refs_ok"]
    ways: Any = [["readonly"]] * len(inputs) + [["writeonly", "allocate"]]
    with np.nditer([*inputs, None], flags, ways, order="K", casting="unsafe") as iterator:
        return np.empty_like(iterator.operands[-1], dtype=out.dtype).strides
