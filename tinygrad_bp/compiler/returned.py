"""What a step returns, as a recording notes it down, and the backward pass of what is returned with its graph.

Read `recording.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import FREED, Leaf, Tensor
from ..engine import run_backward
from ..errors import CompileError, TensorError
from ..mode import MODE
from .capture import RETURNABLE
from .program import ARGUMENT, Value
from .results import Made, Output, View
from .symbolic import SymbolicNumber
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
    """What a returned leaf is in the program, with the gradient that it has."""
    found = result_of(run, leaf)
    own = isinstance(found, View) or (isinstance(found, Output) and found.kind in ("tensor", "live"))
    if own and isinstance(leaf, Tensor):
        if leaf.retains_grad and id(leaf) in {id(tensor) for _, tensor in run.live}:
            raise CompileError(
                f"tg.compile: the step returns a tensor of shape {leaf.array.shape} after `retain_grad()`, and its "
                "gradient would come from a backward outside, which does not know what the step made of it. Return "
                "the gradient: `return tg.autograd.grad(loss, y)`"
            )
        found.grad = None if leaf._grad is None else output(run, leaf._grad)
    return found


def result_of(run: Run, leaf: Any) -> Any:
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
    if isinstance(leaf, SymbolicNumber):
        program.numbers.append(leaf.value)
        return Output("number", len(program.numbers) - 1)
    array: Any = leaf.array if isinstance(leaf, Tensor) else leaf
    if not isinstance(array, Tracer) and not isinstance(leaf, Tensor):
        if isinstance(leaf, (*RETURNABLE, np.ndarray)) or id(leaf) in run.reach.seen:
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
    if live:
        return in_graph(run, leaf)
    program.outputs.append(run.trace.lower(array))
    return Output(kind, len(program.outputs) - 1, node is not None)


def in_graph(run: Run, leaf: Any) -> Output:
    """A tensor with a graph; returned twice it is one."""
    table = run.made if isinstance(leaf.node, Leaf) else run.live
    place = next((i for i, tensor in table if tensor is leaf), None)
    if place is None:
        run.program.outputs.append(run.trace.lower(leaf.array))
        place = len(run.program.outputs) - 1
        table.append((place, leaf))
    return Output("live", place, True)


def differentiate(run: Run) -> None:
    """Record the backward pass of what was returned with its graph, from cotangents that come as arguments."""
    roots: dict[int, Any] = {}
    cotangents: dict[int, Value] = {}
    for i, tensor in run.live:
        value = cotangents[i] = Value(ARGUMENT, tensor.array.shape, tensor.array.dtype, f"d_output_{i}")
        like = np.ones(value.shape, value.dtype)
        roots[i] = tensor.node, Tracer(Storage(run.trace, like, value), like)
    for tensor, _ in run.reach.tensors.values():
        if tensor.node is not None:
            tensor.node.hooks = None  # they run where the gradient arrives: in the caller's own backward
    wanted = targets_of(run)
    try:
        found = gradients(list(roots.values()), wanted)
    except CompileError:
        raise
    except TensorError:
        for i, error in alone(roots, wanted):
            led_to = below(roots.pop(i)[0])
            run.lost.append((i, error, [target for node, target in wanted if node in led_to]))
        run.live = [(i, tensor) for i, tensor in run.live if i in roots]
        found = gradients(list(roots.values()), wanted)
        keep(run.program.calls, run.split, [run.trace.lower(g) for g in found.values()])
    run.program.arguments += [cotangents[i] for i in roots]
    reached = [(node, target) for node, target in wanted if node in found]
    run.targets = [target for _, target in reached]
    for place, (node, _) in enumerate(roots.values()):
        led_to = below(node)
        ends = tuple(k for k, (end, _) in enumerate(reached) if end in led_to)
        run.groups.setdefault(ends, []).append(place)
    run.program.outputs += [run.trace.lower(found[node]) for node, _ in reached]


def gradients(roots: list[Any], wanted: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """The gradients of what is wanted, by node."""
    before, MODE.grad = MODE.grad, False
    try:
        return {node: g for node, g, _ in run_backward(roots, {node for node, _ in wanted}, True, False)}
    finally:
        MODE.grad = before


def alone(roots: dict[int, Any], wanted: list[tuple[Any, Any]]) -> list[tuple[int, TensorError]]:
    """The outputs whose own backward raises, and what."""
    failed = []
    for i, root in roots.items():
        try:
            gradients([root], wanted)
        except CompileError:
            raise
        except TensorError as error:
            failed.append((i, type(error)(*error.args)))
    return failed


def keep(calls: list[Any], start: int, needed: list[Value]) -> None:
    """Drop the calls from `start` on that do not lead to what is needed."""
    makers, stack = set(), [value.maker for value in needed]
    while stack:
        maker = stack.pop()
        if maker is not None and maker not in makers:
            makers.add(maker)
            stack += [value.maker for value in maker.inputs()]
    calls[start:] = [call for call in calls[start:] if call in makers]


def targets_of(run: Run) -> list[tuple[Any, Any]]:
    """(node, what it stands for) for all that a gradient may be wanted of: argument numbers, and captured leaves."""
    given = [
        (x.node, i)
        for i, x in run.inputs.items()
        if isinstance(x, Tensor) and x.node is not None and id(x) not in run.reach.tensors
    ]
    leaves = [(t.node, t) for t, _ in run.reach.tensors.values() if isinstance(t.node, Leaf)]
    return [*given, *leaves, *((t.node, Made(i)) for i, t in run.made)]


def usable(node: Any) -> bool:
    """Whether a backward pass could start here: nothing below was used up by another."""
    return all(one.index != FREED for one in below(node))


def below(node: Any) -> dict[Any, None]:
    """A node and all that it was made from."""
    found, stack = {node: None}, [node]
    while stack:
        for parent in stack.pop().parents():
            if parent not in found:
                found[parent] = None
                stack.append(parent)
    return found
