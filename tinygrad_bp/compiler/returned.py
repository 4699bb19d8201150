"""What a step returns, as a recording notes it down, and the backward pass of what is returned with its graph.

Read `recording.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Leaf, Tensor
from ..engine import run_backward
from ..errors import CompileError
from ..mode import MODE
from .capture import PLAIN
from .live import Live
from .program import ARGUMENT, Value
from .results import Output, View
from .tracer import Storage, Tracer

if TYPE_CHECKING:
    from .recording import Run


def shared_output(run: Run, storage: Storage) -> int:
    """The number of the output that holds a whole storage: what is returned in two views is one memory."""
    if id(storage) not in run.output_of:
        run.program.outputs.append(storage.value)
        run.output_of[id(storage)] = len(run.program.outputs) - 1, storage
    return run.output_of[id(storage)][0]

def output(run: Run, leaf: Any) -> Any:
    """What a returned leaf is in the program."""
    program = run.program
    if isinstance(leaf, Tensor) and id(leaf) in run.reach.tensors:
        return leaf
    for i, given in run.inputs.items():
        if leaf is given:
            return Output("argument", i)
    for tensor, place in run.grads:
        if place is not None and leaf is tensor._grad:
            return Output("gradient", place)
    if isinstance(leaf, Live):
        program.numbers.append(leaf.value)
        return Output("number", len(program.numbers) - 1)
    array: Any = leaf.array if isinstance(leaf, Tensor) else leaf
    if not isinstance(array, Tracer) and not isinstance(leaf, Tensor):
        if isinstance(leaf, (*PLAIN, np.ndarray)) or id(leaf) in run.reach.seen:
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
        i = shared_output(run, array.storage)
        freed = node is not None
        return Output(kind, i, freed) if not array.path else View(array, isinstance(leaf, Tensor), i, freed)
    program.outputs.append(run.trace.lower(array))
    if live:
        run.live.append((len(program.outputs) - 1, leaf))
        kind = "live"
    return Output(kind, len(program.outputs) - 1, node is not None)


def differentiate(run: Run) -> None:
    """Record the backward pass of what was returned with its graph, from cotangents that come as arguments."""
    roots = []
    for i, tensor in run.live:
        value = Value(ARGUMENT, tensor.array.shape, tensor.array.dtype, f"d_output_{i}")
        run.program.arguments.append(value)
        like = np.ones(value.shape, value.dtype)
        roots.append((tensor.node, Tracer(Storage(run.trace, like, value), like)))
    wanted = targets_of(run)
    for tensor, _ in run.reach.tensors.values():
        if tensor.node is not None:
            tensor.node.hooks = None  # they run where the gradient arrives: in the caller's own backward
    before, MODE.grad = MODE.grad, False
    try:
        found = {node: g for node, g, _ in run_backward(roots, {node for node, _ in wanted}, False, False)}
    finally:
        MODE.grad = before
    run.targets = [target for node, target in wanted if node in found]
    run.program.outputs += [run.trace.lower(found[node]) for node, _ in wanted if node in found]


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
