"""A compiled forward pass whose result is differentiated by whoever called it: the program cut in two.

While the step is recorded its backward pass is recorded too, from cotangents that come as arguments. The calls before
become the program that runs at the call; those after become the program of its backward, and what the second reads of
the first is handed over. In the caller's graph both together are one `autograd.Function`. Read `guards.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd.function import Function
from ..core import Tensor, wrap
from ..errors import GraphError
from ..mode import MODE
from .passes import optimise
from .program import ARGUMENT, RESULT, SETTING, Call, Program, Value
from .results import Made
from .source import write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .recording import Run


def cut(run: Run) -> tuple[Program, Program, list[Value]]:
    """(forward, backward, the values handed on); the backward's arguments are those, then the cotangents."""
    whole, split, count = run.program, run.split, len(run.live)
    cotangents = whole.arguments[len(whole.arguments) - count :]
    handed: dict[Value, Value] = {}  # a value of the forward pass → the backward program's argument in its place
    moved: list[Call] = []
    gradients = whole.outputs[run.returned :]
    made = {out for call in whole.calls[split:] for out in call.outs} | set(cotangents)

    def need(value: Value) -> None:
        if value in made or value in handed or value.kind not in (RESULT, ARGUMENT, SETTING):
            return
        maker = value.maker
        if maker is not None and maker.prim.kind == "view":  # a view is made anew, not handed over
            for part in maker.inputs():
                need(part)
            made.add(value)
            moved.append(maker)
            return
        handed[value] = Value(ARGUMENT, value.shape, value.dtype, value.name, value.scope, value.strides)

    for call in whole.calls[split:]:
        for value in call.inputs():
            need(value)
    for value in gradients:
        need(value)
    forward, backward = Program(), Program()
    forward.arguments, forward.settings = whole.arguments[: len(whole.arguments) - count], whole.settings
    forward.calls, forward.outputs = whole.calls[:split], [*whole.outputs[: run.returned], *handed]
    forward.writes, forward.gradients, forward.numbers = whole.writes, whole.gradients, whole.numbers
    calls = [*moved, *whole.calls[split:]]
    backward.calls = [Call(c.prim, c.args, c.kwargs, c.outs, c.scope, c.phase, c.quiet) for c in calls]
    backward.arguments, backward.outputs = [*handed.values(), *cotangents], gradients
    backward.replace(handed)
    forward.layers = backward.layers = whole.layers
    forward.flat = backward.flat = whole.flat
    return forward, backward, list(handed)


class Backward:
    """The second program, linked; `apply` puts the outputs of the first into the caller's graph."""

    def __init__(self, run: Run, program: Program, without: Iterable[str], memory: dict[Value, np.ndarray]) -> None:
        self.recorded, self.program = program, optimise(program, without)
        self.source = write(self.program, memory)
        self.linked = self.source.link(memory)
        self.targets, self.groups = run.targets, run.groups
        cotangents = program.arguments[len(program.arguments) - len(run.live) :]
        self.like = [(value.shape, value.dtype) for value in cotangents]
        self.made, self.lost = [i for i, _ in run.made], run.lost
        self.places = [*(i for i, _ in run.live), *self.made, *(i for i, _, _ in run.lost)]
        read = {value for call in program.calls for value in call.inputs()} | set(self.program.memories())
        self.read = [h for v, h in run.memory if v in read and v not in program.flat and isinstance(h, Tensor)]
        self.read += [one.tensor for one in run.members if one.value in read]

    def apply(self, values: tuple[Any, ...], outputs: int, arguments: list[Any]) -> list[Any]:
        """The outputs with a graph, in the order of `places`, as tensors of the caller's graph."""
        made = {i: wrap(values[i]).requires_grad_() for i in self.made}

        def inputs(targets: list[Any]) -> list[Any]:
            """If none is left, a tensor that nobody knows stands for the leaves that only the step knew."""
            found = [arguments[t] if type(t) is int else made[t.place] if type(t) is Made else t for t in targets]
            return found or [wrap(np.zeros(())).requires_grad_()]

        residuals = values[outputs : len(values)]
        found: dict[int, Any] = {}
        for ends, places in self.groups.items():  # what was not made from a leaf gives it no gradient, not even 0
            live = [values[self.places[place]] for place in places]
            wanted = inputs([self.targets[k] for k in ends])
            made_from = CompiledForward.apply(self, (ends, places), live, residuals, *wanted)
            found.update(zip(places, made_from, strict=True))
        lost = [Overwritten.apply(values[i], error, *inputs(targets)) for i, error, targets in self.lost]
        return [*(found[place] for place in range(len(found))), *made.values(), *lost]


class CompiledForward(Function):
    """One call of a compiled forward pass in its caller's graph."""

    @staticmethod
    def forward(ctx: Any, program: Any, group: Any, live: Any, residuals: Any, *inputs: Any) -> Any:
        ctx.program, ctx.group, ctx.residuals = program, group, residuals
        ctx.nodes = [x.node for x in inputs if isinstance(x, Tensor) and x.node is not None]
        ctx.save_for_backward(*program.read)  # so that a backward after they were overwritten raises
        return tuple(wrap(y) for y in live)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        _ = ctx.saved_tensors
        ends, places = ctx.group
        given = dict(zip(places, (g.array for g in cotangents), strict=True))
        full = [given[i] if i in given else np.zeros(*like) for i, like in enumerate(ctx.program.like)]
        whole = ctx.program.linked.run(*ctx.residuals, *full)
        found: list[Any] = [wrap(whole[k]) for k in ends]
        if MODE.grad:  # a gradient with a graph depends on the inputs, and on the cotangents, in a way not recorded
            depends = [*(wrap(np.zeros(node.shape, node.dtype), node) for node in ctx.nodes), *cotangents]
            found = [Unknown.apply(g, *depends) for g in found]
        return (None, None, None, None, *(found or [None]))


class Overwritten(Function):
    """An output whose backward raises, since the step overwrote what it needs."""

    @staticmethod
    def forward(ctx: Any, value: Any, error: Exception, *inputs: Any) -> Any:
        ctx.error = error
        return wrap(value)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        raise type(ctx.error)(*ctx.error.args)


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

