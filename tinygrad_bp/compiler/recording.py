"""A recording: a step run once with stand-ins in place of everything that it reads, and what it did.

`Run` swaps the stand-ins in, calls the step, notes what changed, and puts everything back as it was, whatever happens;
so a step that cannot be compiled leaves nothing half-done. `record` does it twice, the second time with the gradients
of before there or away, as they were not the first time: what differs then cannot be compiled, or depends on them.
Read `plan.py` next: how a program is run again.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from ..core import Leaf, Tensor, run_backward, wrap
from ..duck import TRACES
from ..errors import CompileError
from ..mode import MODE
from .capture import PLAIN, Place, Reach, holds
from .live import Live
from .ownership import movable
from .program import ARGUMENT, MEMORY, Program, Value
from .results import THERE, Output, Unreadable, View
from .same import ids, unlike
from .trace import Trace
from .tracer import Storage, Tracer
from .tree import Leaves, mapped
from .undo import drawn, foreign_states, put_back, put_value, refill, restored

if TYPE_CHECKING:
    from collections.abc import Callable

CALL_OUTSIDE = "use a function of numpy or tinygrad_bp that dispatches, or call it outside the step"


class Run:
    """One traced run. After `go`: `program`, and what the step did besides computing."""

    def __init__(self, function: Callable[..., Any], reach: Reach, leaves: Leaves) -> None:
        self.function, self.reach, self.leaves = function, reach, leaves
        self.trace = Trace(reach.modules)
        self.program: Program = self.trace.program
        self.memory: list[tuple[Value, Any]] = []  # a Value, and the tensor or the place that keeps its array
        self.aliases: list[tuple[Value, Any]] = []  # other tensors with the very same array
        self.grads: list[tuple[Tensor, int | None]] = []  # leaves whose .grad was replaced: its place in the program
        self.births: list[tuple[dict[Any, Any], Any, dict[str, Any]]] = []  # (state of an optimiser, parameter, new)
        self.settings: list[Live] = []
        self.numbers: list[tuple[Place, Any]] = []  # settings that the step changed, and to what
        self.live: list[Any] = []  # returned tensors with a graph that was not used up
        self.inputs: dict[int, Any] = {}  # the stand-ins of the tensors given as arguments, by their number
        self.out: Any = None
        self.targets: list[Any] = []  # of whom the caller may want gradients: numbers of arguments, and captured leaves
        self.split = self.returned = 0  # calls and outputs of the step itself; what follows is the caller's backward
        self._nodes: list[tuple[Tensor, Any, str]] = []
        self._output_of: dict[int, tuple[int, Storage]] = {}
        self._storages: dict[int, Storage] = {}  # by the identity of the real array
        self._undo: list[Callable[[], Any]] = []
        self.strange: dict[int, Any] = {}  # gradients put in place only to see whether anybody looks: (leaf, storage)

    # ------------------------------------------------------------ before
    def _memory(self, array: np.ndarray, name: str, holder: Any) -> Tracer:
        storage = self._storages.get(id(array))
        if storage is None:
            value = Value(MEMORY, array.shape, array.dtype, name, name.rpartition(".")[0])
            value.movable = id(array) in self.reach.movable
            storage = self._storages[id(array)] = Storage(self.trace, array, value)
            storage.home = value
            self.memory.append((value, holder))
        else:
            self.aliases.append((storage.home, holder))
        return Tracer(storage, array)

    def enter(self, toggle: bool) -> None:
        """Stand-ins everywhere. With `toggle`, leaves that have a gradient lose it, and others get a strange one."""
        self._foreign = foreign_states(self.reach.foreign)
        self._remember()
        self._is_grad = {id(t.grad) for t, _ in self.reach.tensors.values()}
        for tensor, name in list(self.reach.tensors.values()):
            if tensor.node is not None and not isinstance(tensor.node, Leaf):
                raise CompileError(
                    f"tg.compile: the step reads {name!r}, of shape {tensor.array.shape}, whose graph was made outside "
                    "of it. Compute it inside the step, or use `.detach()`"
                )
            self._tensor(tensor, name, toggle)
        for place in self.reach.arrays:
            place.set(self._memory(place.get(), place.name, place))
        for place in self.reach.settings:
            self.settings.append(self.trace.setting(place, place.get()))
            place.set(self.settings[-1])
        for generator in self.reach.generators:
            self.trace.watch(generator)

    def _remember(self) -> None:
        """All that the step reaches is to be afterwards what it is now."""
        for tensor, _ in self.reach.tensors.values():
            self._undo.append(partial(put_back, tensor, tensor.array, tensor.grad, tensor.node))
        for optimizer in self.reach.optimizers:
            before = {p: dict(entries) for p, entries in optimizer.state.items()}
            self._undo.append(partial(restored, optimizer.state, before))
        for generator in self.reach.generators:
            self._undo.append(partial(generator.set_state, generator.get_state()))
        for place in (*self.reach.arrays, *self.reach.settings):
            self._undo.append(partial(place.set, place.get()))
        for place, value in (*self.reach.facts, *self.reach.kept):
            self._undo.append(partial(put_value, place, value))
        for container, _, _ in (*self.reach.lengths, *self.reach.sizes):  # undone first: places need their containers
            self._undo.append(partial(refill, container, container.copy()))
        self._undo += [watch.restore for watch in self.reach.watched]

    def _tensor(self, tensor: Tensor, name: str, toggle: bool) -> None:
        array, grad = tensor.array, tensor.grad
        self._nodes.append((tensor, tensor.node, name))
        traced: Any = self._memory(array, name, tensor)
        tensor.array = traced
        if toggle and isinstance(tensor.node, Leaf) and id(tensor) not in self._is_grad:
            strange = self.trace.fresh(np.full(array.shape, 7, array.dtype))
            tensor.grad = None if grad is not None else wrap(strange)
            if grad is None:
                self.strange[id(tensor.grad)] = tensor, strange.storage

    def _argument(self, i: int, leaf: Any) -> Any:
        """What stands for an argument; the same object twice is one, and what the step reaches anyway is that."""
        first = next(k for k, other in enumerate(self.leaves.arrays) if other is leaf)
        array = leaf.array if isinstance(leaf, Tensor) else leaf
        value = Value(ARGUMENT, array.shape, array.dtype, self.leaves.names[i])
        self.program.arguments.append(value)
        if first != i:
            return self.inputs[first]
        if id(leaf) in self.reach.tensors:
            self.inputs[i] = leaf
            return leaf
        storage = Storage(self.trace, array, value)
        storage.home = value
        tracer = Tracer(storage, array)
        if not isinstance(leaf, Tensor):
            self.inputs[i] = tracer
            return tracer
        tensor: Any = object.__new__(type(leaf))
        tensor.array, tensor.node, tensor.grad = tracer, None, None
        if leaf.node is not None:
            tensor.node = Leaf(tensor)
        if leaf.grad is not None:
            tensor.grad = Unreadable(self.trace, value.name)
        self.inputs[i] = tensor
        return tensor

    # ------------------------------------------------------------ the run
    def go(self, toggle: bool = False) -> Run:
        """Run the step; afterwards, and after any error, everything is as it was before."""
        try:
            self.enter(toggle)
            args, kwargs = self.leaves.filled(self._argument)
            TRACES.append(self.trace)
            try:
                result = self.function(*args, **kwargs)
                self._collect(result)
            except TypeError as error:  # C code that was handed a stand-in
                if any(name in str(error) for name in ("'Tracer'", "'Live'")):
                    told = f"a function needs the values of an array ({error})"
                    raise self.trace.refusal(told, CALL_OUTSIDE) from error
                raise
            finally:
                TRACES.remove(self.trace)
        finally:
            for storage in self.trace.written:
                storage.actual[...] = storage.before
            for undo in reversed(self._undo):
                undo()
        return self

    # ------------------------------------------------------------ after
    def _collect(self, result: Any) -> None:
        program = self.program
        for storage in self.trace.written:
            home = storage.home
            if home is not None and home.kind == ARGUMENT:
                raise CompileError(
                    f"tg.compile: the step writes into its argument {home.name!r} of shape {home.shape}; write into a "
                    "copy, `x = x.clone()`, or let the step reach the tensor without being given it"
                )
            if home is not None and storage.value is not home:
                program.writes[home] = storage.value
        self._overlaps()
        self._gradients()
        self._births()
        for place, live in zip(self.reach.settings, self.settings, strict=True):
            if place.get() is not live:
                self.numbers.append((place, self._output(place.get())))
        self._side_effects()
        self.trace.check_draws()
        if drawn(self._foreign, foreign_states(self.reach.foreign)):
            raise CompileError(
                "tg.compile: the step draws random numbers of Python or of NumPy, which would be the same at each "
                "call. Use tinygrad_bp's (`tg.rand`, `tg.randint`), or draw outside the step and pass the numbers in"
            )
        self.out = mapped(result, self._output)
        self.split, self.returned = len(program.calls), len(program.outputs)
        if self.live:
            self._differentiate()

    def _differentiate(self) -> None:
        """Record the backward pass of what was returned with its graph, from cotangents that come as arguments."""
        roots = []
        for i, tensor in self.live:
            value = Value(ARGUMENT, tensor.array.shape, tensor.array.dtype, f"d_output_{i}")
            self.program.arguments.append(value)
            like = np.ones(value.shape, value.dtype)
            roots.append((tensor.node, Tracer(Storage(self.trace, like, value), like)))
        wanted = targets_of(self)
        before, MODE.grad = MODE.grad, False
        try:
            found = {node: g for node, g, _ in run_backward(roots, {node for node, _ in wanted}, False, False)}
        finally:
            MODE.grad = before
        self.targets = [target for node, target in wanted if node in found]
        self.program.outputs += [self.trace.lower(found[node]) for node, _ in wanted if node in found]

    def _overlaps(self) -> None:
        """Memory that is written must not be seen through two arrays, of which one would not learn of it."""
        written = {id(storage) for storage in self.trace.written}
        spans = sorted((*byte_bounds(s.actual), id(s) in written, s.home.name) for s in self._storages.values())
        farthest: dict[bool, tuple[int, str]] = {}  # written or not → how far the arrays of before reach, and which
        for start, end, changed, name in spans:
            found = [farthest[kind] for kind in farthest if (kind or changed) and farthest[kind][0] > start]
            farthest[changed] = max(farthest.get(changed, (0, "")), (end, name))
            if found:
                raise CompileError(
                    f"tg.compile: {found[0][1]!r} and {name!r} look into the same memory, and the step writes to it; "
                    "let the step reach one tensor, and take the views inside the step"
                )

    def _gradients(self) -> None:
        for tensor, name in self.reach.tensors.values():
            array: Any = tensor.array
            storage = self._storages.get(id(array.actual)) if isinstance(array, Tracer) and not array.path else None
            if storage is None or storage is not array.storage:
                raise CompileError(
                    f"tg.compile: the step gives {name!r} another array (`.data = …`). Write into it: `with "
                    f"tg.no_grad(): {name}.copy_(new)`, or do it outside the step"
                )
            grad: Any = tensor.grad
            if grad is not None and id(grad) in self.reach.tensors:
                continue
            if grad is None:
                self.grads.append((tensor, None))
            elif id(grad) not in self.strange or grad.array.storage.version:
                self.grads.append((tensor, len(self.program.gradients)))
                self.program.gradients.append((storage.home, self.trace.lower(grad.array)))
        for tensor in self.inputs.values():
            if isinstance(tensor, Tensor) and not isinstance(tensor.grad, Unreadable | None) and (
                id(tensor) not in self.reach.tensors
            ):
                raise CompileError(
                    "tg.compile: the step computes the gradient of one of its arguments (`backward()` inside). Return "
                    "it instead: `return tg.autograd.grad(loss, x)`"
                )

    def _births(self) -> None:
        """State that an optimiser made for a parameter that had none."""
        for optimizer in self.reach.optimizers:
            for p, entries in optimizer.state.items():
                new = {
                    key: entry
                    for key, entry in entries.items()
                    if id(entry) not in self.reach.tensors and not isinstance(entry, Live)
                }
                if new:
                    made = {key: self._output(entry) for key, entry in entries.items()}
                    self.births.append((optimizer.state, p, made))

    def _side_effects(self) -> None:
        born = [id(c) for state, p, _ in self.births for c in (state, state[p])]
        facts = (*self.reach.facts, *self.reach.kept)
        changed = [
            place.name for place, value in facts if id(place.container) not in born and not holds(place, value)
        ]
        lengths = (*self.reach.lengths, *self.reach.sizes)
        changed += [f"{name}.requires_grad" for t, node, name in self._nodes if t.node is not node]
        changed += [name for c, n, name in lengths if len(c) != n and id(c) not in born]
        changed += [watch.name for watch in self.reach.watched if not watch.same()]
        changed += [name for c, keys, name in self.reach.orders if id(c) not in born and list(c) != keys]
        if changed:
            named = ", ".join(map(repr, dict.fromkeys(changed)))
            raise CompileError(
                f"tg.compile: the step changes {named}, which is plain Python and would not "
                "happen again in the compiled step. Do it outside the step (as `scheduler.step()`), or return the value"
            )

    def _shared_output(self, storage: Storage) -> int:
        """The number of the output that holds a whole storage: what is returned in two views is one memory."""
        if id(storage) not in self._output_of:
            self.program.outputs.append(storage.value)
            self._output_of[id(storage)] = len(self.program.outputs) - 1, storage
        return self._output_of[id(storage)][0]

    def _output(self, leaf: Any) -> Any:
        """What a returned leaf is in the program."""
        program = self.program
        if isinstance(leaf, Tensor) and id(leaf) in self.reach.tensors:
            return leaf
        for i, given in self.inputs.items():
            if leaf is given:
                return Output("argument", i)
        for tensor, place in self.grads:
            if place is not None and leaf is tensor.grad:
                return Output("gradient", place)
        if isinstance(leaf, Live):
            program.numbers.append(leaf.value)
            return Output("number", len(program.numbers) - 1)
        array: Any = leaf.array if isinstance(leaf, Tensor) else leaf
        if not isinstance(array, Tracer) and not isinstance(leaf, Tensor):
            if isinstance(leaf, (*PLAIN, np.ndarray)) or id(leaf) in self.reach.seen:
                return leaf
            raise CompileError(
                f"tg.compile: the step returns a {type(leaf).__name__}, which the compiled step cannot make anew; "
                "return tensors, numbers, and tuples, lists and dicts of them"
            )
        node = leaf.node if isinstance(leaf, Tensor) else None
        live = node is not None and usable(node)
        if isinstance(array, Tracer) and array.storage.home is not None and not live:
            return View(array, isinstance(leaf, Tensor))
        kind = "tensor" if isinstance(leaf, Tensor) else "array"
        if isinstance(array, Tracer) and not live:
            i = self._shared_output(array.storage)
            freed = node is not None
            return Output(kind, i, freed) if not array.path else View(array, isinstance(leaf, Tensor), i, freed)
        program.outputs.append(self.trace.lower(array))
        if live:
            self.live.append((len(program.outputs) - 1, leaf))
            kind = "live"
        return Output(kind, len(program.outputs) - 1, node is not None)


def targets_of(run: Run) -> list[tuple[Any, Any]]:
    """(node, what it stands for) for all that a gradient may be wanted of: argument numbers, and captured leaves."""
    given = [
        (x.node, i)
        for i, x in run.inputs.items()
        if isinstance(x, Tensor) and x.node is not None and id(x) not in run.reach.tensors
    ]
    leaves = [(t.node, t) for t, _ in run.reach.tensors.values() if isinstance(t.node, Leaf)]
    return [*given, *leaves]


def usable(node: Any) -> bool:
    """Whether a backward pass could start here: nothing below was used up by another."""
    seen, stack = {node}, [node]
    while stack:
        edges = stack.pop().edges
        if edges is None:
            return False
        stack += [parent for parent, _, _ in edges if parent not in seen]
        seen.update(parent for parent, _, _ in edges)
    return True


def looked_at(run: Run, strange: Run | None, same: bool) -> list[tuple[Tensor, Any]]:
    """The leaves whose gradient of before the step reads, with that gradient (None, or THERE, if no more counts).

    `strange` is a run in which leaves without a gradient had one; None if that run failed. same: it went like others.
    """
    read = {value for call in run.program.calls for value in call.inputs()} | set(run.program.results())
    there = {id(holder) for value, holder in run.memory if value in read or value in run.program.writes}
    tensors = [t for t, _ in run.reach.tensors.values()]
    found: list[Any] = [(t, t.grad) for t in tensors if t.grad is not None and id(t.grad) in there]
    leaves = [t for t in tensors if isinstance(t.node, Leaf)]
    if strange is None:
        return [(t, t.grad) for t in leaves]
    read = {value for call in strange.program.calls for value in call.inputs()} | set(strange.program.results())
    found += [(t, None) for t, storage in strange.strange.values() if storage.version or storage.value in read]
    if same:
        return found
    known, returned = {id(t) for t, _ in found}, {id(None), *ids(run.out)}
    rest = [t for t in leaves if id(t) not in known]  # of these it may count whether there is one
    return found + [(t, t.grad if id(t.grad) in returned else THERE) for t in rest]


def record(function: Callable[..., Any], reach: Reach, leaves: Leaves) -> tuple[Run, list[tuple[Tensor, Any]]]:
    """The step as a program, and the gradients of before on which it depends: (leaf, its gradient or None)."""
    reach.movable = {id(t.array) for t, _ in reach.tensors.values() if movable(t)}
    first = Run(function, reach, leaves).go()
    second: Run | None = Run(function, reach, leaves)
    try:
        same = not unlike(first, second.go(toggle=True))  # type: ignore[union-attr]
    except Exception:  # the step does not work without, or with, the gradients of before
        same, second = False, None
    if same and second is not None:
        had = any(t.grad is not None for t, _ in reach.tensors.values() if isinstance(t.node, Leaf))
        return (first if had else second), looked_at(first, second, same)
    third = Run(function, reach, leaves).go()
    told = unlike(first, third)
    if told:
        raise CompileError(
            f"tg.compile: the step is not the same when it is run twice with the same arguments: {told}. It draws "
            "numbers that are not tinygrad_bp's, reads a clock, a file or an iterator: pass what changes as an argument"
        )
    return third, looked_at(third, second, same)
