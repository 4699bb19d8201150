"""A compiled forward pass whose results are differentiated by whoever called it: the program cut into several.

While the step is recorded its backward pass is recorded too, one program for each region of its graph (`regions.py`),
from cotangents that come as arguments. The calls before become the program that runs at the call, and what the others
read of it is handed over. In the caller's graph each region is one node: only those to which a cotangent
leads are run, and one result may be asked for its gradient with respect to another. Read `guards.py` next.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd.function import Function
from ..core import PLAIN, Node, Tensor, wrap
from ..errors import CompileError, GraphError
from ..joint import Parts, output_node
from ..memory import CLOCK, check_saved
from ..modes import MODE
from .passes import optimise
from .program import ARGUMENT, RESULT, SETTING, Call, Program, Value
from .results import Inner, Made, Part
from .source import write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .recording import Run

HOOKS = -2  # the key of what the step registered on an entry: it runs before all that comes later
Handed = dict[Value, int]  # a value of the forward pass that a backward reads → its number among those handed over


def cut(run: Run) -> tuple[Program, list[tuple[Program, list[int]]], Handed]:
    """(forward, the backward of each part with the numbers of what it is handed, all that is handed over).

    After the parts come the hooks that the step left on entries.
    The arguments of a backward are what it is handed, then the cotangents of its part's entries.
    """
    whole, handed = run.program, Handed()
    parts = [*run.parts, *(part for _, part in run.hooks)]
    makers = {out: (call, i >= run.split) for i, call in enumerate(whole.calls) for out in call.outs}
    foreign = set(whole.arguments[run.given_in :])
    backward = [behind(part, makers, foreign, handed) for part in parts]
    for program, _ in backward:
        program.layers, program.flat = whole.layers, whole.flat
    forward = Program()
    forward.arguments, forward.settings = whole.arguments[: run.given_in], whole.settings
    forward.calls, forward.outputs = whole.calls[: run.split], [*whole.outputs[: run.returned], *handed]
    forward.writes, forward.gradients, forward.numbers = whole.writes, whole.gradients, whole.numbers
    forward.layers, forward.flat = whole.layers, whole.flat
    return forward, backward, handed


def behind(
    part: Part, makers: dict[Value, tuple[Call, bool]], foreign: set[Value], handed: Handed
) -> tuple[Program, list[int]]:
    """The backward program of one part, and what it is handed.

    makers: who made a value, and whether that was after the forward pass. foreign: the cotangents of all parts.
    """
    given: dict[Value, Value] = {}  # a value of the forward pass → the argument in its place
    anew: dict[Value, Value] = {}  # and what is not handed over, but made once more, in this program
    made = {out for call in part.calls for out in call.outs} | set(part.cotangents)
    moved: list[Call] = []

    def need(value: Value) -> None:
        if value in made or value in given or value in anew or value.kind not in (RESULT, ARGUMENT, SETTING):
            return
        maker, later = makers.get(value, (None, False))
        if maker is not None and (maker.prim.kind == "view" or later):
            for needed in maker.inputs():
                need(needed)
            anew.update({v: Value(RESULT, v.shape, v.dtype, v.name, v.scope, v.strides) for v in maker.outs})
            moved.append(maker)
            return
        if value in foreign:
            raise CompileError(
                "tg.compile: the backward of one result reads what the backward of another one computed (a Function or "
                "a hook keeps it). Compute it in forward"
            )
        handed.setdefault(value, len(handed))
        given[value] = Value(ARGUMENT, value.shape, value.dtype, value.name, value.scope, value.strides)

    for value in [*(value for call in part.calls for value in call.inputs()), *part.gradients]:
        need(value)
    program = Program()
    program.calls = [
        Call(c.prim, c.args, c.kwargs, [anew.get(out, out) for out in c.outs], c.scope, c.phase, c.quiet)
        for c in (*moved, *part.calls)
    ]
    program.arguments, program.outputs = [*given.values(), *part.cotangents], part.gradients
    program.replace(given | anew)
    return program, [handed[value] for value in given]


class Backward:
    """The backward programs, linked; `apply` puts the outputs of the forward into the caller's graph."""

    def __init__(
        self, run: Run, programs: list[tuple[Program, list[int]]], without: Iterable[str], memory: dict[Value, Any]
    ) -> None:
        parts = [*run.parts, *(part for _, part in run.hooks)]
        linked = [
            Linked(run, part, optimise(program, without), numbers, memory)
            for part, (program, numbers) in zip(parts, programs, strict=True)
        ]
        self.parts = linked[: len(run.parts)]
        self.hooks = [(i, hook) for (i, _), hook in zip(run.hooks, linked[len(run.parts) :], strict=True)]
        self.made = [i for i, _ in run.made]
        self.entries = [entry.places for entry in run.entries]
        self.retains = [i for i, entry in enumerate(run.entries) if entry.retains and entry.places]
        self.blanks = [np.broadcast_to(np.zeros((), entry.dtype), entry.shape) for entry in run.entries]
        self.places = [*(i for i, _ in run.live), *self.made]

    def memories(self) -> set[Value]:
        """The memory that these programs read."""
        linked = [*self.parts, *(hook for _, hook in self.hooks)]
        return {value for part in linked for value in part.program.memories()}

    def apply(self, values: tuple[Any, ...], outputs: int, arguments: list[Any]) -> list[Any]:
        """The outputs with a graph, in the order of `places`, as tensors of the caller's graph."""
        known: dict[int, Any] = {i: wrap(values[i]).requires_grad_() for i in self.made}
        entries: dict[int, Any] = {}

        def input_of(end: Any) -> Any:
            if type(end) is int:
                return arguments[end]
            return known[end.place] if type(end) is Made else entries[end.number] if type(end) is Inner else end

        for part in self.parts:
            live = [values[self.entries[i][0]] if self.entries[i] else self.blanks[i] for i in part.entries]
            residuals = [values[outputs + i] for i in part.numbers]
            made = part.into_graph(live, residuals, [input_of(end).node for end in part.ends])
            for i, tensor in zip(part.entries, made, strict=True):
                entries[i] = tensor
                known.update((place, tensor) for place in self.entries[i][:1])
                known.update((place, wrap(values[place], tensor.node)) for place in self.entries[i][1:])
        for i, hook in self.hooks:
            entries[i].node.hooks = {HOOKS: partial(hook.hook, [values[outputs + k] for k in hook.numbers])}
        for i in self.retains:
            entries[i].retain_grad()
        return [known[place] for place in self.places]


class Linked:
    """The backward program of one part with its arrays: the op of the nodes that stand for it in callers' graphs."""

    name = "CompiledForward"

    def __init__(
        self, run: Run, part: Part, program: Program, numbers: list[int], memory: dict[Value, np.ndarray]
    ) -> None:
        self.program, self.numbers = program, numbers
        self.source = write(program, memory)
        self.linked = self.source.link(memory)
        self.entries, self.ends, self.error, self.saves = part.entries, part.ends, part.error, part.saves
        read = {value for call in program.calls for value in call.inputs()} | set(program.memories())
        self.read = [h for v, h in run.memory if v in read and v not in program.flat and isinstance(h, Tensor)]
        self.read += [one.tensor for one in run.members if one.value in read]
        self.likes = [(value.shape, value.dtype) for value in part.cotangents]
        self.rules = self.pure = tuple(partial(self.rule, i) for i in range(len(part.ends)))
        self.roles = ((PLAIN,),) * len(part.ends)

    def into_graph(self, live: list[Any], residuals: list[Any], nodes: list[Any]) -> list[Any]:
        """The entries of this part as tensors that lead to the nodes of its ends."""
        call = Pass(self, residuals, nodes)
        edges = tuple([(node, i, (call,)) for i, node in enumerate(nodes)])
        if len(live) == 1:
            (made,) = map(wrap, live)
            made.node = Node(self, edges, made.array.shape, made.array.dtype)
            return [made]
        joint = Node(self, edges, None, None)
        return [wrap(y, output_node(joint, i, y)) for i, y in enumerate(live)]

    def rule(self, index: int, g: Any, call: Pass) -> Any:
        """The gradient of one end; the program runs once for all of them."""
        if call.last[0] is not g:
            call.last = g, self.gradients(g.parts if isinstance(g, Parts) else {0: g}, call)
        found = call.last[1][index]
        if index == len(self.ends) - 1:
            call.last = None, ()
        return found if MODE.grad else found[...]

    def gradients(self, given: dict[int, Any], call: Pass) -> list[Any]:
        """The gradients of all ends, from the cotangents that came."""
        if self.error is not None:
            raise type(self.error)(*self.error.args)
        check_saved(call.saved, call.made, self.name)
        arrays = [np.asarray(getattr(given[i], "array", given[i])) if i in given else np.zeros(*like)
                  for i, like in enumerate(self.likes)]  # fmt: skip
        found = list(map(np.asarray, self.linked.run(*call.residuals, *arrays)))
        if not MODE.grad:
            return found
        # A gradient with a graph depends on the inputs, and on the cotangents, in a way not recorded.
        depends = [*(wrap(np.zeros(node.shape, node.dtype), node) for node in call.nodes), *given.values()]
        return [Unknown.apply(wrap(g), *depends) for g in found]

    def hook(self, residuals: list[Any], g: Any) -> Any:
        """The program as a hook."""
        (new,) = self.linked.run(*residuals, g.array)
        return Unknown.apply(wrap(new), g) if MODE.grad else wrap(new)


class Pass:
    """What one call of a compiled forward leaves for the backward of a part."""

    __slots__ = ("last", "made", "nodes", "residuals", "saved")

    def __init__(self, part: Linked, residuals: list[Any], nodes: list[Any]) -> None:
        self.residuals, self.nodes, self.made = residuals, nodes, CLOCK[0]
        self.saved = (*residuals, *[tensor.array for tensor in part.read])
        self.last: tuple[Any, Any] = None, ()


class Unknown(Function):
    """A gradient that a compiled backward computed: whoever wants its derivative is told that there is none."""

    @staticmethod
    def forward(ctx: Any, gradient: Any, *depends: Any) -> Any:
        return wrap(gradient.array)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        raise GraphError(
            "a second derivative through a compiled forward pass, whose backward is differentiable once. Put the first "
            "derivative inside the compiled function, `tg.autograd.grad(…, create_graph=True)`, or differentiate the "
            "model itself, which is not compiled"
        )

