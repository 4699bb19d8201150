"""A recording: a step run once with stand-ins in place of everything that it reads, and what it did.

`Run` swaps the stand-ins in (this thread alone sees them), calls the step, notes what changed, and puts everything back
as it was, whatever happens; so a step that cannot be compiled leaves nothing half-done. `record` does it twice, the
second time with the gradients of before there or away, as they were not the first time: what differs then cannot be
compiled, or depends on them. Read `plan.py` next: how a program is run again.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..alias import class_of, root_of
from ..core import Leaf, Tensor, wrap
from ..duck import begin_trace, end_trace
from ..errors import CompileError
from ..optim.flat import lying
from .capture import Place, Reach
from .compare import ids, unlike
from .effects import given_back, marks, only_computes, outlives, written_to
from .overlaps import no_overlaps
from .private import Private
from .program import ARGUMENT, MEMORY, Program, Value
from .restore import Snapshot, alone
from .results import THERE, Output, Part, RegionEntry, Unreadable
from .returned import differentiate, output
from .symbolic import SymbolicNumber
from .trace import Trace
from .tracer import Owner, Storage, Tracer
from .tree import Leaves, mapped, structure_of
from .views import stretch_of

if TYPE_CHECKING:
    from collections.abc import Callable

TRIES = 5  # of a run during which random generators moved, while there are other threads that may have moved them
CALL_OUTSIDE = "use a function of numpy or tinygrad_bp that dispatches, or call it outside the step"


class Member(NamedTuple):
    """A tensor that lies beside others: its Value, a view by `path` of the memory `whole`."""

    value: Value
    tensor: Tensor
    whole: Value
    path: Any


class Run:
    """One traced run. After `go`: `program`, and what the step did besides computing."""

    def __init__(self, function: Callable[..., Any], reach: Reach, leaves: Leaves) -> None:
        self.function, self.reach, self.leaves = function, reach, leaves
        self.trace = Trace(reach.modules)
        self.program: Program = self.trace.program
        self.memory: list[tuple[Value, Any]] = []  # a Value, and the tensor or the place that keeps its array
        self.aliases: list[tuple[Value, Any]] = []  # other tensors with the very same array
        self.members: list[Member] = []  # tensors that lie beside others in one memory
        self.grads: list[tuple[Tensor, int | None]] = []  # leaves whose .grad was replaced: its place in the program
        self.births: list[tuple[dict[Any, Any], Any, dict[str, Any]]] = []  # (state of an optimiser, parameter, new)
        self.places: list[tuple[Place, Tracer]] = []  # of arrays that no tensor holds
        self.settings: list[SymbolicNumber] = []
        self.numbers: list[tuple[Place, Any]] = []  # settings that the step changed, and to what
        self.live: list[Any] = []  # returned tensors with a graph that was not used up, and their places
        self.made: list[Any] = []  # returned tensors that the step asked gradients for: leaves of the caller's graph
        self.inputs: dict[int, Any] = {}  # the stand-ins of the tensors given as arguments, by their number
        self.out: Any = None
        self.parts: list[Part] = []  # the backward pass of what is returned with a graph, each before those above it
        self.entries: list[RegionEntry] = []  # of all parts, by their numbers
        self.hooks: list[tuple[int, Part]] = []  # those that the step registered on entries
        self.split = self.returned = self.given_in = 0  # calls, outputs, arguments of the step; then come its parts
        self.nodes: list[tuple[Tensor, Any, Any, str]] = []
        self._grads: dict[int, Any] = {}  # what the run began with, by the identity of the leaf
        self._stand_ins: dict[int, tuple[Tracer, Value]] = {}  # of each tensor, and its Value at the beginning
        self.given: dict[int, Any] = {}  # of the tensors among the arguments: (Value, node, hooks) at the beginning
        self.output_of: dict[int, tuple[int, Storage]] = {}
        self._storages: dict[int, Storage] = {}  # by the identity of the real array
        self.snapshot: Any = None  # of all that is not private
        self.drew = False  # whether a random generator of Python's or NumPy's moved
        self.cleared: list[Tensor] = []  # leaves that had a gradient, and have none any more
        self.private: Private = Private()
        self.strange: dict[int, Any] = {}  # gradients put in place only to see whether anybody looks: (leaf, storage)

    # ------------------------------------------------------------ before
    def _memory(self, array: np.ndarray, name: str, holder: Any) -> Tracer:
        storage = self._storages.get(id(array))
        if storage is None:
            if (found := self._member(array, name, holder)) is not None:
                return found
            value = Value(MEMORY, array.shape, array.dtype, name, name.rpartition(".")[0], array.strides)
            storage = self._storages[id(array)] = Storage(self.trace, array, value)
            storage.home = value
            self.memory.append((value, holder))
        else:
            self.aliases.append((storage.home, holder))
        return Tracer(storage, array)

    def _member(self, array: np.ndarray, name: str, holder: Any) -> Tracer | None:
        """A tensor that lies beside others, or some that do, as a view of the memory that all have together."""
        stretch, base = lying(array), array.base
        storage = self._storages.get(id(base if stretch is None else stretch.flat))
        if storage is None or not isinstance(holder, Tensor) or id(storage.real) not in self.reach.flats:
            return None
        start = stretch.start if stretch else (array.ctypes.data - storage.real.ctypes.data) // array.itemsize
        view = Tracer(storage, array, stretch_of(self.trace, start, array.size, array.shape))
        if stretch is not None:
            storage.parts[id(view.path[0])] = Owner()
        value = view.value()
        for call in self.program.calls[-len(view.path) :]:  # the views just made
            call.out.name, call.out.scope = name, name.rpartition(".")[0]
        self.members.append(Member(value, holder, storage.home, view.path))
        if stretch is not None:
            self.program.flat.setdefault(storage.home, []).append((start, value))
        return view

    def enter(self, toggle: bool) -> None:
        """Stand-ins everywhere. With `toggle`, leaves that have a gradient lose it, and others get a strange one."""
        self._remember()
        self._is_grad = {id(t._grad) for t, _ in self.reach.tensors.values()}
        for array, name in self.reach.flats.values():
            self._memory(array, name, wrap(array))
        for tensor, name in list(self.reach.tensors.values()):
            if tensor.node is not None and not isinstance(tensor.node, Leaf) and id(tensor) not in self._is_grad:
                raise CompileError(
                    f"tg.compile: the step reads {name!r}, of shape {tensor.array.shape}, whose graph was made outside "
                    "of it. Compute it inside the step, or use `.detach()`"
                )
            self._tensor(tensor, name, toggle)
        for place in self.reach.arrays:
            self.places.append((place, self._memory(place.get(), place.name, place)))
            place.set(self.places[-1][1])
        for place in self.reach.settings:
            self.settings.append(self.trace.setting(place, place.get()))
            place.set(self.settings[-1])
        for generator in self.reach.generators:
            self.trace.watch(generator)

    def _remember(self) -> None:
        """All that the step reaches is to be afterwards what it is now."""
        self.snapshot = Snapshot(self.reach)
        self.private.undo.append(self.snapshot.restore)
        for tensor, _ in self.reach.tensors.values():
            self.private.take(tensor)
            if tensor.node is not None:
                self.private.take(tensor.node)
                tensor.node.hooks = dict(tensor.node.hooks) if tensor.node.hooks else None
        for generator in self.reach.generators:
            self.private.take(generator)
        self.private.undo += [guard.restore for guard in self.reach.guards]

    def _tensor(self, tensor: Tensor, name: str, toggle: bool) -> None:
        array, grad = tensor.array, tensor._grad
        self.nodes.append((tensor, tensor.node, marks(tensor), name))
        traced: Any = self._memory(array, name, tensor)
        tensor.array, self._stand_ins[id(tensor)] = traced, (traced, traced.value())
        if toggle and isinstance(tensor.node, Leaf) and id(tensor) not in self._is_grad:
            strange = self.trace.fresh(np.full(array.shape, 7, array.dtype))
            tensor._grad = None if grad is not None else wrap(strange)
            if grad is None:
                self.strange[id(tensor._grad)] = tensor, strange.storage
        elif grad is not None and grad.node is not None and not isinstance(grad.node, Leaf):
            detail = f"{name!r}, whose graph was made outside of it", f"`{name}.grad = {name}.grad.detach()` before"
            tensor._grad = Unreadable(self.trace, *detail)  # type: ignore[assignment]
        self._grads[id(tensor)] = tensor._grad

    def _argument(self, i: int, leaf: Any) -> Any:
        """What stands for an argument; the same object twice is one, and what the step reaches anyway is that."""
        first = next(k for k, other in enumerate(self.leaves.arrays) if other is leaf)
        array = leaf.array if isinstance(leaf, Tensor) else leaf
        value = Value(ARGUMENT, array.shape, array.dtype, self.leaves.names[i], "", array.strides)
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
        tensor: Any = object.__new__(class_of(leaf))
        tensor.array, tensor.node, tensor._grad = tracer, None, None
        if leaf.node is not None:
            tensor.node = Leaf(tensor)
        if leaf._grad is not None:
            detail = f"its argument {value.name!r}", f"pass it as an argument too: `{value.name}.grad`"
            tensor._grad = Unreadable(self.trace, *detail)
        self.inputs[i] = tensor
        self.given[i] = value, tensor.node, marks(tensor)
        return tensor

    # ------------------------------------------------------------ the run
    def go(self, toggle: bool = False) -> Run:
        """Run the step; afterwards, and after any error, everything is as it was before."""
        with self.private:
            self.enter(toggle)
            args, kwargs = given = self.leaves.filled(self._argument)
            shape = mapped(given, id), structure_of(given)
            begin_trace(self.trace)
            self.private.watch(self._stray)
            self.private.no_threads(self.trace.parallel)
            try:
                result = self.function(*args, **kwargs)
                self._collect(result)
                if (mapped(given, id), structure_of(given)) != shape:
                    raise CompileError(
                        "tg.compile: the step changes a list or a dict among its arguments, which would not happen "
                        "again in the compiled step. Change a copy, `dict(batch)`, or return the new entries"
                    )
            except TypeError as error:  # C code that was handed a stand-in
                if any(name in str(error) for name in ("'Tracer'", "'SymbolicNumber'")):
                    detail = f"a function needs the values of an array ({error})"
                    raise self.trace.refusal(detail, CALL_OUTSIDE) from error
                raise
            else:
                self.snapshot.failed = False
            finally:
                self.private.watch(None)
                end_trace(self.trace)
                self.trace.rest()
        self._rest()
        return self

    def _stray(self, tensor: Tensor) -> None:
        """A tensor is read that nobody has found; the base of a known view is read to give it a graph."""
        for known, name in self.reach.tensors.values():
            if root_of(known) is tensor:
                raise outlives(name, known)
        self.trace.stray(tensor)

    def _rest(self) -> None:
        """Let go of what only the run itself needed: stand-ins with their arrays, graphs, what was to be put back."""
        self.snapshot, self.private = None, Private()
        self.live, self.made = ([(i, None) for i, _ in some] for some in (self.live, self.made))
        for _, storage in self.strange.values():
            storage.real = storage.actual = None
        for table in (
            self.inputs, self.settings, self.output_of, self._storages, self._stand_ins, self.given, self._grads,
            self.nodes, self.places,
        ):  # fmt: skip
            table.clear()

    # ------------------------------------------------------------ after
    def _collect(self, result: Any) -> None:
        program = self.program
        for storage in self.trace.written:
            home = storage.home
            if home is not None and home.kind == ARGUMENT:
                raise written_to(home, "writes into")
            if home is not None and storage.value is not home:
                program.writes[home] = storage.value
        given_back(self)
        no_overlaps(self._storages.values(), self.trace.written)
        self._gradients()
        self._births()
        for place, live in zip(self.reach.settings, self.settings, strict=True):
            if place.get() is not live:
                self.numbers.append((place, output(self, place.get())))
        only_computes(self)
        self.trace.check_draws()
        self.drew = self.snapshot.drawn()
        if self.drew:
            raise CompileError(
                "tg.compile: the step draws random numbers of Python or of NumPy, which would be the same at each "
                "call. Use tinygrad_bp's (`tg.rand`, `tg.randint`), or draw outside the step and pass the numbers in"
            )
        self.out = mapped(result, partial(output, self))
        self.split, self.returned, self.given_in = len(program.calls), len(program.outputs), len(program.arguments)
        if self.in_graph:
            differentiate(self)

    @property
    def in_graph(self) -> bool:
        """Whether something returned goes on in the caller's graph."""
        return bool(self.live or self.made)

    def _gradients(self) -> None:
        for tensor, name in self.reach.tensors.values():
            array: Any = tensor.array
            known, value = self._stand_ins[id(tensor)]
            if not isinstance(array, Tracer) or array.storage is not known.storage or array.path != known.path:
                raise CompileError(
                    f"tg.compile: the step gives {name!r} another array (`.data = …`). Write into it: `with "
                    f"tg.no_grad(): {name}.copy_(new)`, or do it outside the step"
                )
            grad, before = tensor._grad, self._grads[id(tensor)]
            if grad is None:
                self.cleared += [tensor] if before is not None else []
            elif grad is not before and id(grad) in self.reach.tensors:
                raise CompileError(
                    f"tg.compile: the step makes {self.reach.tensors[id(grad)][1]!r} the gradient of {name!r}; give "
                    f"it a copy, `{name}.grad = g.clone()`"
                )
            elif grad is not before or (id(grad) in self.strange and self.strange[id(grad)][1].version):
                self.grads.append((tensor, len(self.program.gradients)))
                self.program.gradients.append((value, self.trace.where_gathered(self.trace.lower(grad.array))))

    def _births(self) -> None:
        """State that an optimiser made for a parameter that had none."""
        for optimizer in self.reach.optimizers:
            for p, entries in optimizer.state.items():
                new = {
                    key: entry
                    for key, entry in entries.items()
                    if id(entry) not in self.reach.tensors and not isinstance(entry, SymbolicNumber)
                }
                if new:
                    made = {key: output(self, entry) for key, entry in entries.items()}
                    self.births.append((optimizer.state, p, made))


def gradients_read(run: Run, strange: Run | None, same: bool) -> list[tuple[Tensor, Any]]:
    """The leaves whose gradient of before the step reads, with that gradient (None, or THERE, if no more counts).

    `strange` is a run in which leaves without a gradient had one; None if that run failed. same: it went like others.
    """
    read = {value for call in run.program.calls for value in call.inputs()} | set(run.program.results())
    there = {id(holder) for value, holder in run.memory if value in read or value in run.program.writes}
    tensors = [t for t, _ in run.reach.tensors.values()]
    found: list[Any] = [(t, t._grad) for t in tensors if t._grad is not None and id(t._grad) in there]
    leaves = [t for t in tensors if isinstance(t.node, Leaf)]
    if strange is None:
        return [(t, t._grad) for t in leaves]
    read = {value for call in strange.program.calls for value in call.inputs()} | set(strange.program.results())
    found += [(t, None) for t, storage in strange.strange.values() if storage.version or storage.value in read]
    if same:
        return found
    known, returned = {id(t) for t, _ in found}, {id(None), *ids(run.out)}
    rest = [t for t in leaves if id(t) not in known]  # of these it may count whether there is one
    return found + [(t, t._grad if id(t._grad) in returned else THERE) for t in rest]


def attempt(function: Callable[..., Any], reach: Reach, leaves: Leaves, toggle: bool = False) -> Run:
    """One recorded run. Where there are other threads, it may be they who drew: if not each time, it was not the step.
    """
    failed: list[Run] = []
    for again in range(TRIES, 0, -1):
        run = Run(function, reach, leaves)
        try:
            run.go(toggle)
        except CompileError:
            if again == 1 or not run.drew or alone():
                raise
            failed.append(run)
            continue
        for earlier in failed[-1:]:
            earlier.snapshot.by_others()
        break
    return run


def set_by_others(first: Run, second: Run) -> None:
    """A setting that only one of two runs changed was changed by another thread: it stays as that thread wants it."""
    there: list[dict[Any, tuple[Place, Any]]] = [{}, {}]
    for table, run in zip(there, (first, second), strict=True):
        table.update({(id(p.container), p.key): (p, new) for p, new in run.numbers if not isinstance(new, Output)})
    for key in there[0].keys() ^ there[1].keys():
        place, new = (there[0] | there[1])[key]
        place.set(new)
        raise CompileError(
            f"tg.compile: {place.name!r} was set to {new!r} while the step was recorded, and not each time the step "
            "ran: by another thread. It is kept, and nothing else has changed; call the step again"
        )


def record(function: Callable[..., Any], reach: Reach, leaves: Leaves) -> tuple[Run, list[tuple[Tensor, Any]]]:
    """The step as a program, and the gradients of before on which it depends: (leaf, its gradient or None)."""
    first = attempt(function, reach, leaves)
    second: Run | None = None
    try:
        second = attempt(function, reach, leaves, toggle=True)
        same = not unlike(first, second)
    except Exception:  # the step does not work without, or with, the gradients of before
        same, second = False, None
    if second is not None:
        set_by_others(first, second)
    if same and second is not None:
        had = any(t._grad is not None for t, _ in reach.tensors.values() if isinstance(t.node, Leaf))
        run = first if had else second
        run.grads += [(t, None) for t in {id(t): t for t in (*first.cleared, *second.cleared)}.values()]
        return run, gradients_read(first, second, same)
    third = attempt(function, reach, leaves)
    third.grads += [(t, None) for t in third.cleared]
    set_by_others(first, third)
    detail = unlike(first, third)
    if detail:
        raise CompileError(
            f"tg.compile: the step is not the same when it is run twice with the same arguments: {detail}. It draws "
            "numbers that are not tinygrad_bp's, reads a clock, a file or an iterator: pass what changes as an argument"
        )
    return third, gradients_read(third, second, same)
