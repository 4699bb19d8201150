"""A compiled forward pass whose result is differentiated by whoever called it: the program cut in two.

While the step is recorded its backward pass is recorded too, from cotangents that come as arguments. The calls before
become the program that runs at the call; those after become the program of its backward, and what the second reads of
the first is handed over. In the caller's graph both together are one `autograd.Function`. Read `entrance.py` next.
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
    return forward, backward, list(handed)


class Backward:
    """The second program, linked; `apply` puts the outputs of the first into the caller's graph."""

    def __init__(self, run: Run, program: Program, without: Iterable[str], memory: dict[Value, np.ndarray]) -> None:
        self.recorded, self.program = program, optimise(program, without)
        self.source = write(self.program, memory)
        self.linked = self.source.link(memory)
        self.count, self.targets = len(run.live), run.targets
        self.places = [i for i, _ in run.live]
        self.read = [h for v, h in run.memory if v in self.program.memories() and isinstance(h, Tensor)]

    def apply(self, values: tuple[Any, ...], outputs: int, arguments: list[Any]) -> list[Any]:
        """The live outputs, in the order of `places`, as tensors of the caller's graph."""
        inputs = [arguments[target] if isinstance(target, int) else target for target in self.targets]
        residuals = values[outputs : len(values)]
        found = CompiledForward.apply(self, [values[i] for i in self.places], residuals, *inputs)
        return list(found)


class CompiledForward(Function):
    """One call of a compiled forward pass in its caller's graph."""

    @staticmethod
    def forward(ctx: Any, program: Any, live: Any, residuals: Any, *inputs: Any) -> Any:
        ctx.program, ctx.residuals = program, residuals
        ctx.nodes = [x.node for x in inputs if isinstance(x, Tensor) and x.node is not None]
        ctx.save_for_backward(*program.read)  # so that a backward after they were overwritten raises
        return tuple(wrap(y) for y in live)

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        _ = ctx.saved_tensors
        found = [wrap(g) for g in ctx.program.linked.run(*ctx.residuals, *(g.array for g in cotangents))]
        if MODE.grad:  # a gradient with a graph depends on the inputs, and on the cotangents, in a way not recorded
            depends = [*(wrap(np.zeros(node.shape, node.dtype), node) for node in ctx.nodes), *cotangents]
            found = [Unknown.apply(g, *depends) for g in found]
        return (None, None, None, *found)


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

