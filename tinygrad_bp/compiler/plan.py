"""A plan: one program, linked to its arrays, and the conditions under which it may run.

Before each run guards check that everything that the program was made for is still so: shapes and dtypes of the
arguments, the Python values that were read, the arrays of the parameters, grad mode. They, too, are a function
written for this plan (`guards.py`). Read `compiled.py` next.
"""

from __future__ import annotations

import os
import sys
import weakref
from _thread import allocate_lock as Lock
from contextlib import contextmanager
from operator import attrgetter, is_, sub
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Node, Tensor, wrap
from ..dtypes import get_default_dtype
from ..duck import CHANGES
from ..errors import CompileError
from ..memory import STAMPS, buffer_of, stamp_all
from ..modes import MODE
from ..optim.flat import WAITING
from .capture import holds
from .differentiable import Backward, cut
from .effects import marks
from .guards import MISS, guarded_call, moved
from .passes import optimise
from .program import MEMORY, Value
from .results import Output, View
from .source import write
from .strides import lying
from .tree import leaves_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .recording import Run


PLANS: weakref.WeakSet[Plan] = weakref.WeakSet()


def note_holders() -> None:
    """Before a recording, which takes hold of gradients itself: who else has kept one gets it for good."""
    for plan in list(PLANS):
        plan.let_go()


def free_locks() -> None:
    """In a child process: a program that another thread ran when this one forked is run by nobody here."""
    for plan in list(PLANS):
        plan.lock._at_fork_reinit()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=free_locks)


class CompiledOp:
    """What made a tensor that a compiled step returned; its graph was used up inside the step."""

    name = "compiled_step"
    rules = pure = ()
    saves = True


class Plan:
    """A program that runs; `enter(args, kwargs)` runs it, or returns MISS if it is not made for this call."""

    guards_text: str
    names: dict[str, Any]  # the globals of `enter`

    def __init__(self, run: Run, patterns: list[tuple[Tensor, Any]], without: Iterable[str]) -> None:
        self.run, self.patterns, self.leaves = run, patterns, run.leaves
        self.recorded, second, handed = cut(run) if run.in_graph else (run.program, [], {})
        self.program_memory = {value: array_at(holder) for value, holder in run.memory}
        self.given = dict(self.program_memory)
        self.program = optimise(self.recorded, without)
        used = {value for call in self.program.calls for value in call.inputs()} | set(self.program.results())
        self.program.settings = [value for value in self.program.settings if value in used]
        self.mode, self.lock = (MODE.grad, MODE.inference), Lock()
        self.source = write(self.program, self.program_memory)
        self.handed = len(handed)
        self.backward = Backward(run, second, without, self.program_memory) if run.in_graph else None
        self.used = self._used()
        self.marks = [(t, marks(t)) for t, _ in run.reach.tensors.values()]
        self.default = get_default_dtype()
        self.tensors_given = [isinstance(x, Tensor) for x in run.leaves.arrays]
        run.leaves.rest(run.reach.tensors)
        self.seen = [CHANGES[0]]
        needed = set(self.program.memories())
        self.program_memory = {value: array for value, array in self.program_memory.items() if value in needed}
        self.renew()
        PLANS.add(self)
        for plan in list(PLANS):
            plan.count()

    def renew(self) -> None:
        """Link the program, with buffers of its own for everything that does not outlive the step."""
        self.linked = self.source.link(self.program_memory)
        self.gradients = self._gradients()
        self.gradient_arrays = [g.array for g in self.gradients]
        self.leaves_of = [t for t, i in self.run.grads if i is not None]
        self.stamps = self._stamps()
        self.owners = {id(buffer_of(array)) for array in self._written()}
        self.own_memory = any(array.base is None for array in self._written())
        self.counts: list[int] = []
        self.enter = guarded_call(self)
        self.count()

    def _gradients(self) -> list[Any]:
        """The gradients as their leaves have them; a function of its own, so that no variable goes on holding one."""
        return [wrap(g) for g in self.linked.gradients]

    # ------------------------------------------------------------ gradients that somebody kept
    def references(self) -> list[int]:
        """How many hold each gradient, and its array, apart from the leaf whose gradient it is."""
        there = map(is_, map(attrgetter("_grad"), self.leaves_of), self.gradients)
        tensors = map(sub, map(sys.getrefcount, self.gradients), there)  # by map: a loop's variable would be one more
        return [*tensors, *map(sys.getrefcount, self.gradient_arrays)]

    def count(self) -> None:
        """Take those who hold the gradients now as known: this plan, and recordings that read them."""
        self.counts[:] = self.references()

    def let_go(self) -> bool:
        """Whether somebody kept a gradient; then the next run gets new buffers, and theirs stays as it is."""
        if any(now > known for now, known in zip(self.references(), self.counts, strict=True)):
            self.renew()
            return True
        return False

    # ------------------------------------------------------------ memory
    def _used(self) -> list[tuple[Value, Any, np.ndarray]]:
        """The memories that the program reads or writes, as tensors, or places, have them."""
        used = set(self.program.memories()) | set(self.backward.memories() if self.backward else ())
        used.update(view.home for view in leaves_of(self.run.out) if isinstance(view, View) and view.index is None)
        whole = [(value, holder) for value, holder in (*self.run.memory, *self.run.aliases) if value in used]
        inside = [(one.value, one.tensor) for one in self.run.members if one.whole in used]
        return [(value, holder, array_at(holder)) for value, holder in (*whole, *inside)]

    def looked(self, view: View) -> np.ndarray:
        """A view of memory: through the tensor whose memory it is, where several lie in one."""
        for one in self.run.members:
            n = len(one.path)
            if one.whole is view.home and view.path[:n] == one.path:
                return view.of(one.tensor.array, n)
        return view.of(self.given[view.home])

    def _written(self) -> list[np.ndarray]:
        written = {value for value in self.program.writes if value.kind == MEMORY}
        inside = [one.tensor.array for one in self.run.members if one.whole in written]
        return [*(self.program_memory[value] for value in written), *inside, *self.linked.gradients]

    def _stamps(self) -> list[Any]:
        """The marks by which the engine sees that memory was overwritten; made once, moved at each run."""
        owners = {id(o): o for o in map(buffer_of, self._written())}
        if owners:
            stamp_all(list(owners.values()), "a compiled step", "tg.compile")
        return [STAMPS[key] for key in owners]

    def close(self) -> None:
        """Take the circle apart that a plan and its `enter` are, so that all of it goes at once."""
        self.names.clear()
        self.enter = lambda args, kwargs: MISS

    # ------------------------------------------------------------ guards
    def recheck(self) -> bool:
        """After a module or optimiser was changed: whether nothing that matters was."""
        reach = self.run.reach
        if not all(holds(place, value) for place, value in reach.kept):
            return False
        if any(len(container) != n for container, n, _ in reach.sizes) or self.default is not get_default_dtype():
            return False
        if any(marks(tensor) != known for tensor, known in self.marks):
            return False
        self.seen[0] = CHANGES[0]
        return True

    # ------------------------------------------------------------ after a run
    def is_tensor(self, i: int) -> bool:
        """Whether the i-th array among the arguments is a Tensor."""
        return self.tensors_given[i]

    def node(self, output: Output | View) -> Any:
        """The node of a returned tensor whose graph was used up: it requires a gradient, and has none to give."""
        value = self.program.outputs[output.index or 0]
        node = Node(CompiledOp, (), value.shape, value.dtype)
        node.edges = None
        return node

    def leave(self, values: tuple[Any, ...]) -> None:
        """What the step did besides returning something: an optimiser's numbers and its new state."""
        for place, number in self.run.numbers:
            place.set(self.result_of(number, values))
        for state, p, entries in self.run.births:
            state.setdefault(p, {}).update({key: self.result_of(spec, values) for key, spec in entries.items()})

    def result_of(self, spec: Any, values: tuple[Any, ...]) -> Any:
        if isinstance(spec, View) and spec.index is not None:
            return wrap(np.array(spec.of(values[spec.index])))  # of what is made for several at once
        if not isinstance(spec, Output):
            return spec
        count = len(self.program.outputs)
        if spec.kind == "number":
            return values[count + spec.index]
        return wrap(lying(np.asarray(values[spec.index]), self.recorded.outputs[spec.index].strides))

    def failed(self, error: BaseException) -> None:
        """Say whether an error came before or after the first change of a parameter."""
        trace, first = error.__traceback__, self.linked.source.first_write
        while trace is not None:
            if trace.tb_frame.f_code is self.linked.run.__code__ and 0 < first <= trace.tb_lineno:
                raise CompileError(
                    f"tg.compile: the compiled step stopped at its line {trace.tb_lineno}, after it had begun to "
                    "write: parameters, gradients or the optimizer's state may be half updated. Load a saved state "
                    f"before you go on. What stopped it: {type(error).__name__}: {error}"
                ) from error
            trace = trace.tb_next

    def shared(self, array: np.ndarray) -> None:
        """Refuse an argument that looks into memory which the step writes."""
        if id(buffer_of(array)) in self.owners:
            raise CompileError(
                f"tg.compile: an argument of shape {array.shape} shares memory with a parameter, gradient or state "
                "that the step overwrites; pass a copy, `x.clone()`"
            )


@contextmanager
def resting(arrays: list[np.ndarray]) -> Iterator[None]:
    """No program runs meanwhile; those that were linked to these arrays do not run again."""
    plans, ids = list(PLANS), {id(array) for array in arrays}
    for plan in plans:
        plan.lock.acquire()
    try:
        yield
        for plan in plans:
            if not ids.isdisjoint([id(array) for _, _, array in plan.used]):
                plan.names["run"] = moved
    finally:
        for plan in plans:
            plan.lock.release()


WAITING.append(resting)


def array_at(holder: Any) -> np.ndarray:
    """The array that a tensor, or a place, has now."""
    return holder.array if isinstance(holder, Tensor) else holder.get()


__all__ = ["MISS", "Plan"]
