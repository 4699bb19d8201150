"""The backward pass: from the nodes of the roots to the leaves, each node once, after all its consumers.

Two readers of the same rules: with `create_graph=False` the rules get plain arrays; with `create_graph=True` they get
Tensors, so that the gradient has a graph of its own. Read `alias.py` next: who looks into whose memory.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from .alarms import heard, rings, silence, warn
from .core import FREED, KEEP, NEVER, ONE, Leaf, Node, Tensor, wrap
from .duck import TRACES, Array, tracing
from .errors import GraphError, ShapeError
from .kernels import total
from .memory import CLOCK, check_saved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._tensor import Tensor as FullTensor


GONE = (None, FREED, (), None)  # the edge of a node that was walked
# With threads that really run at once, two of them might note the same first consumer.
SURE = ONE if getattr(sys, "_is_gil_enabled", lambda: True)() else NEVER


def run_backward(
    roots: Sequence[tuple[Node, Any]], targets: set[Node] | None, retain: bool, create: bool
) -> list[tuple[Node, Any, bool]]:
    """(node, total cotangent, borrowed) for each leaf reached, or for each of `targets` if they are given.

    Kahn's topological order: a node is ready when all its consumers have contributed, and one that has a single
    consumer at once. `totals` holds what has arrived so far at the others, and at leaves, which are done at the end. A
    total is *borrowed* while somebody else may hold the same memory (the consumer passed its own cotangent on, or a
    view of it); the first addition makes it ours, later ones add in place.
    """
    single = SURE if targets is None and len(roots) == 1 else NEVER
    end = Leaf if targets is None else None
    waiting, live = _count_consumers(roots, targets, single, end)
    totals: dict[Node, tuple[Any, bool]] = {}
    ready: list[tuple[Node, Any, bool]] = []
    found: list[tuple[Node, Any, bool]] = []
    for node, g in (roots if live is None else [root for root in roots if root[0] in live]):
        _arrive(node, g, True, create, end, waiting, totals, ready)
    _walk(ready, found, totals, (waiting, live, targets, end, retain, create))
    for node, (g, borrowed) in totals.items():
        found.append((node, run_hooks(node, g, create), True) if node.hooks else (node, g, borrowed))
    return found


def _walk(ready: list[Any], found: list[Any], totals: dict[Node, Any], settings: tuple[Any, ...]) -> None:
    """Every node that is or becomes ready, each once."""
    waiting, live, targets, end, retain, create = settings
    while ready:
        node, g, borrowed = ready.pop()
        if node.hooks:
            g, borrowed = run_hooks(node, g, create), True
        if targets is not None and node in targets:
            found.append((node, g, borrowed))
        if (parent := node.parent) is None:
            continue
        op, index, saved = node.op, node.index, node.saved
        rules, more = op.pure if create else op.rules, node.more
        if TRACES and (trace := tracing()):
            trace.entering(node, g)
        written = node.made != CLOCK[0]  # something was, since this node was made: is it what a rule will read?
        while True:
            if live is None or parent in live:
                if written:
                    check_saved(saved, node.made, op.name)
                saved = node.dress(index, saved) if create else saved
                try:  # a call without a star is a quarter of a microsecond shorter, and most rules read one value
                    if type(saved) is not tuple:
                        new = rules[index](g, saved)
                    else:
                        new = rules[index](g, *saved) if saved else rules[index](g)
                    if new.shape != parent.shape or new.dtype is not parent.dtype:
                        new = fit(new, parent, node)
                except TypeError as error:
                    new = _noisy(error, rules[index], g, saved, parent, node)
                lent = create or new is g or new.base is not None
                if type(parent) is end and parent not in totals:
                    totals[parent] = new, lent
                elif type(parent) is end or parent in waiting:
                    _arrive(parent, new, lent, create, end, waiting, totals, ready)
                else:  # a single consumer; not asked of `fan` again, since rules and hooks may have recorded more
                    ready.append((parent, new, lent))
            if more is None:
                break
            parent, index, saved, more = more
        if not retain and (op.saves or _holds_arrays(node)):  # what holds nothing may be walked again
            node.parent, node.index, node.saved, node.more = GONE


def _holds_arrays(node: Node) -> bool:
    for _, _, saved in node.edges or ():
        for value in saved:
            if isinstance(value, Array):
                return True
    return False


def _noisy(error: TypeError, rule: Any, g: Any, saved: Any, parent: Node, node: Node) -> Any:
    """A contribution again, if all that happened is a warning, which now names the operation."""
    if not rings(error):
        raise error
    values = saved if type(saved) is tuple else (saved,)
    return heard(f"the backward of {node.op.name}", lambda: fit(rule(g, *values), parent, node))


def _noisy_sum(error: TypeError, so_far: Any, new: Any, in_place: bool) -> Any:
    """A sum of contributions, in the same way; one in place is done: NumPy warns when all is written."""
    if not rings(error):
        raise error
    if not in_place:
        return heard("the sum of gradients", np.add, so_far, new)
    warn("overflow or invalid value encountered in the sum of gradients", RuntimeWarning)
    return so_far


def _arrive(
    node: Node, new: Any, borrowed: bool, create: bool, end: Any, waiting: Any, totals: Any, ready: list[Any]
) -> None:
    """Add a contribution to a node's total; with the last one the node is ready."""
    if node in totals:
        so_far, lent = totals[node]
        lent = lent or type(so_far) is not np.ndarray
        try:
            new, borrowed = so_far + new if lent else np.add(so_far, new, out=so_far), create and lent
        except TypeError as error:
            new, borrowed = _noisy_sum(error, so_far, new, not lent), False
    if type(node) is end:
        totals[node] = new, borrowed
        return
    waiting[node] -= 1
    if waiting[node]:
        totals[node] = new, borrowed
    else:
        totals.pop(node, None)
        ready.append((node, new, borrowed))


def _count_consumers(
    roots: Sequence[tuple[Node, Any]], targets: set[Node] | None, single: int, end: Any
) -> tuple[dict[Node, int], set[Node] | None]:
    """How many contributions each node waits for, and, where `targets` are given, the nodes that lead to one.

    A node with a single consumer, and what is at the end, needs no counting.
    """
    waiting: dict[Node, int] = {}
    for node, _ in roots:
        waiting[node] = waiting.get(node, 0) + 1
    order, freed = list(waiting), None
    for node in order:  # grows as it is walked
        parent, more = node.parent, node.more
        if parent is None:
            if node.index != FREED or (targets is not None and len(targets) == 1 and node in targets):
                continue  # the end; what lies before the one target does not count either
            freed = node  # it may lead to what is asked for
            break
        while True:
            if type(parent) is not end:
                if parent.fan == single:
                    order.append(parent)
                elif parent in waiting:
                    waiting[parent] += 1
                else:
                    waiting[parent] = 1
                    order.append(parent)
            if more is None:
                break
            parent, _, _, more = more
    if freed is not None:
        raise GraphError(
            f"backward through {freed.op.name} a second time: its saved values were freed by the first pass. "
            "Pass `retain_graph=True` to the first backward, or run the forward again"
        )
    return (waiting, None) if targets is None else _restrict(waiting, roots, targets)


def _restrict(
    reached: dict[Node, int], roots: Sequence[tuple[Node, Any]], targets: set[Node]
) -> tuple[dict[Node, int], set[Node]]:
    """Only the edges on a path to a target count."""
    consumers: dict[Node, list[Node]] = {}
    for node in reached:
        for parent in node.parents():
            consumers.setdefault(parent, []).append(node)
    live = {node for node in targets if node in reached}
    stack = list(live)
    while stack:
        for consumer in consumers.get(stack.pop(), ()):
            if consumer not in live:
                live.add(consumer)
                stack.append(consumer)
    waiting = dict.fromkeys(reached, 0)
    for node, _ in roots:
        waiting[node] += 1
    for node in live:
        for parent in node.parents():
            waiting[parent] += 1
    return waiting, live


def fit(g: Any, parent: Node, node: Node) -> Any:
    """A contribution brought to its parent's shape and dtype: the one place where broadcasting is undone."""
    if parent.shape is None:  # a joint node collects its outputs' cotangents as they come
        return g
    if g.shape != parent.shape:
        lead = len(g.shape) - len(parent.shape)
        if 0 < lead < len(g.shape) and g.shape[lead:] == parent.shape:  # a bias, on every row: the usual case
            g = total(g, tuple(range(lead)))
        elif lead < 0 or any(n not in (1, m) for n, m in zip(parent.shape, g.shape[lead:], strict=True)):
            raise ShapeError(
                f"{node.op.name}: its backward gave a gradient of shape {tuple(g.shape)} for an input of shape "
                f"{tuple(parent.shape)}; a backward must return the input's shape"
            )
        else:
            axes = tuple(range(lead)) + tuple(i for i, n in enumerate(parent.shape, lead) if n == 1 and g.shape[i] != 1)
            g = total(g, axes, True).reshape(parent.shape)
    return g if g.dtype == parent.dtype else g.astype(parent.dtype)


def handed_out(g: Any) -> FullTensor:
    """A cotangent as user code may have it: with memory of its own, since others may hold the same total.

    `h + b` hands one array to both; a hook on h that doubles its gradient in place must not double b's.
    """
    return wrap(g.array.copy(), g.node) if isinstance(g, Tensor) else wrap(g.copy("K"))


def run_hooks(node: Node, g: Any, create: bool) -> Any:
    """The cotangent after the hooks, each of which may replace it."""
    tensor: Any = handed_out(g)
    hooks = node.hooks or {}
    for key in (*[key for key in hooks if key != KEEP], KEEP):
        hook = hooks.get(key)
        with_hook = None if hook is None else hook(tensor)
        if with_hook is not None:
            if tuple(with_hook.shape) != tuple(node.shape):
                raise ShapeError(
                    f"a hook on {node.op.name} returned shape {tuple(with_hook.shape)}; it must keep {node.shape}"
                )
            tensor = with_hook
    return tensor if create else tensor.array


silence(globals())
