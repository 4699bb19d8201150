"""What a step returns, as a recording notes it down, and the backward pass of what is returned with its graph.

Read `recording.py` next.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import FREED, KEEP, Leaf, Tensor
from ..duck import Array
from ..engine import run_backward, run_hooks
from ..errors import CompileError, TensorError
from ..modes import MODE
from .capture import RETURNABLE
from .effects import hung_on
from .program import ARGUMENT, Value
from .regions import Region, regions
from .results import Inner, Made, Output, Part, RegionEntry, View
from .symbolic import SymbolicNumber
from .tracer import Storage, Tracer

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        if leaf.__dict__:
            raise hung_on("a tensor that it returns", leaf)
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
    """Record the backward pass of what was returned with its graph, region by region: see `regions.py`."""
    for tensor, _ in run.reach.tensors.values():
        if tensor.node is not None:
            tensor.node.hooks = None  # they run where the gradient arrives: in the caller's own backward
    places: dict[Any, list[int]] = {}
    for i, tensor in run.live:
        places.setdefault(tensor.node, []).append(i)
    found = regions(list(places))
    ends = dict(targets_of(run))
    for region in found:
        for node in region.entries:
            ends[node] = Inner(len(run.entries))
            run.entries.append(RegionEntry(places.get(node, []), node.shape, node.dtype, KEEP in (node.hooks or ())))
    run.hooks = [
        (ends[node].number, hooked(run, node))
        for region in found
        for node in region.entries
        if node.hooks and not region.leads_to(node)  # else its whole cotangent is known inside alone
    ]
    several = Counter(parent for region in found for parent in {p for n in region.nodes for p, _, _ in n.edges})
    for region in found:
        apart = {node for node, end in ends.items() if isinstance(end, Inner) or (several[node] > 1 and not node.hooks)}
        run.parts.append(differentiated(run, region, ends, apart))


def hooked(run: Run, node: Any) -> Part:
    """Record the hooks that the step left on an entry, apart: they run only if a cotangent comes."""
    node.hooks.pop(KEEP, None)
    value = Value(ARGUMENT, node.shape, node.dtype, "d_output")
    like = np.ones(value.shape, value.dtype)
    part, start = Part([], [value], False), len(run.program.calls)
    before, MODE.grad = MODE.grad, False
    try:
        seed = Tracer(Storage(run.trace, like, value), like)
        run.trace.entering(node, seed)
        part.gradients = [run.trace.lower(run_hooks(node, seed, False))]
    finally:
        MODE.grad, node.hooks = before, None
    part.calls = run.program.calls[start:]
    run.program.arguments.append(value)
    run.program.outputs += part.gradients
    return part


def differentiated(run: Run, region: Region, ends: dict[Any, Any], apart: set[Any]) -> Part:
    """Record the pass through one region, from cotangents that come as arguments to where others begin.

    apart: ends to which other regions contribute too. Each contribution is handed out by itself: sums are the caller's.
    """
    program, entries = run.program, region.entries
    cotangents = [Value(ARGUMENT, node.shape, node.dtype, f"d_output_{ends[node].number}") for node in entries]
    likes = [np.ones(value.shape, value.dtype) for value in cotangents]
    seeds = [Tracer(Storage(run.trace, like, value), like) for like, value in zip(likes, cotangents, strict=True)]
    start = len(program.calls)
    part = Part([ends[node].number for node in entries], cotangents, any(map(keeps, region.nodes)))
    try:
        with cut_off(region, apart) as stumps, np.errstate(all="call", call=lambda *_: None):  # nobody has asked yet
            found = gradients(list(zip(entries, seeds, strict=True)))
    except CompileError:
        raise
    except TensorError as error:  # as eagerly it will be raised when somebody asks
        del program.calls[start:]
        below = {parent for node in region.nodes for parent, _, _ in node.edges}
        part.ends, part.error = [end for node, end in ends.items() if node in below], error
        return part
    wanted = [(ends[end], g) for node, g in found if (end := stumps.get(node, node)) in ends]
    part.ends, part.gradients = [end for end, _ in wanted], [run.trace.lower(g) for _, g in wanted]
    keep(program.calls, start, part.gradients)
    part.calls = program.calls[start:]
    program.arguments += cotangents
    program.outputs += part.gradients
    return part


@contextmanager
def cut_off(region: Region, apart: set[Any]) -> Iterator[dict[Any, Any]]:
    """The graph ends below a region, in a leaf of its own for each edge that leads out to a node of `apart`."""
    before = [(node, node.edges) for node in region.nodes]
    outside, stumps = apart - set(region.nodes), {}

    def end(parent: Any) -> Any:
        if parent not in outside:
            return parent
        stump = Leaf(None, parent)
        stumps[stump] = parent
        return stump

    for node, edges in before:
        node.edges = tuple([(end(parent), index, saved) for parent, index, saved in edges])
    try:
        yield stumps
    finally:
        for node, edges in before:
            node.edges = edges


def gradients(roots: list[Any]) -> list[tuple[Any, Any]]:
    """(leaf, gradient), in the order in which they come."""
    before, MODE.grad = MODE.grad, False
    try:
        return [(node, g) for node, g, _ in run_backward(roots, None, True, False)]
    finally:
        MODE.grad = before


def keep(calls: list[Any], start: int, needed: list[Value]) -> None:
    """Drop the calls from `start` on that do not lead to what is needed."""
    makers, stack = set(), [value.maker for value in needed]
    while stack:
        maker = stack.pop()
        if maker is not None and maker not in makers:
            makers.add(maker)
            stack += [value.maker for value in maker.inputs()]
    calls[start:] = [call for call in calls[start:] if call in makers]


def keeps(node: Any) -> bool:
    """Whether a pass uses this node up: it saved something, which goes when it has been read."""
    every = [saved if type(saved) is tuple else (saved,) for _, _, saved in node.edges]
    return node.op.saves or any(isinstance(value, Array) for saved in every for value in saved)


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
