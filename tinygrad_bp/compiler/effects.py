"""What a step did besides computing: what a program could not do again is refused, and said in one sentence.

Read `returned.py` next: what it gives back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core import Leaf, Tensor
from ..errors import CompileError
from .capture import holds
from .results import Unreadable
from .tracer import Tracer

if TYPE_CHECKING:
    from .program import Value
    from .recording import Run


def written_to(home: Value, what: str) -> CompileError:
    return CompileError(
        f"tg.compile: the step {what} its argument {home.name!r} of shape {home.shape}; write into a "
        "copy, `x = x.clone()`, or let the step reach the tensor without being given it"
    )


def hung_on(what: str, tensor: Tensor) -> CompileError:
    return CompileError(
        f"tg.compile: the step hangs attributes ({', '.join(map(repr, tensor.__dict__))}) on {what}, of shape "
        f"{tensor.array.shape}, which would not happen again in the compiled step. Do it outside the step"
    )


def outlives(name: str, tensor: Tensor) -> CompileError:
    return CompileError(
        f"tg.compile: the step writes a value with a graph into {name!r} of shape {tensor.array.shape}, which outlives "
        f"it, so that each call would go on with the graph of the one before. Write into a copy, `y = {name}.clone()`, "
        f"or numbers alone: `{name}.copy_(value.detach())`"
    )


def marks(tensor: Tensor) -> tuple[Any, ...]:
    """Whether a tensor wants a gradient, and the hooks that its gradient passes."""
    node = tensor.node
    return (None,) if node is None else (id(node), *(node.hooks or ()))


def given_back(run: Run) -> None:
    """What the step did to the tensors that it was given, beyond reading them."""
    for i, tensor in run.inputs.items():
        if not isinstance(tensor, Tensor) or id(tensor) in run.reach.tensors:
            continue
        home, node, hooks = run.given[i]
        if tensor.__dict__:
            raise hung_on(f"its argument {home.name!r}", tensor)
        if not isinstance(tensor.array, Tracer) or tensor.array.path or tensor.array.storage.home is not home:
            raise written_to(home, "gives other memory, or in place a graph, to")
        if not isinstance(tensor._grad, Unreadable | None):
            raise CompileError(
                "tg.compile: the step computes the gradient of one of its arguments (`backward()` inside). Return "
                "it instead: `return tg.autograd.grad(loss, x)`"
            )
        if tensor.node is not node or marks(tensor) != hooks:
            raise CompileError(
                f"tg.compile: the step changes requires_grad, or the hooks, of its argument {home.name!r} of shape "
                f"{home.shape}, which would not happen again in the compiled step. Do it outside the step, or to a "
                "tensor of its own: `x = x.detach()`"
            )


def only_computes(run: Run) -> None:
    """What the step did in Python, which a program does not do."""
    for tensor, node, _, name in run.nodes:
        if tensor.node is not node and tensor.node is not None and not isinstance(tensor.node, Leaf):
            raise outlives(name, tensor)
    born = [id(c) for state, p, _ in run.births for c in (state, state[p])]
    facts = (*run.reach.facts, *run.reach.kept)
    changed = [place.name for place, value in facts if id(place.container) not in born and not holds(place, value)]
    lengths = (*run.reach.lengths, *run.reach.sizes)
    changed += [f"{name}.requires_grad" for t, node, _, name in run.nodes if t.node is not node]
    changed += [f"hooks of {name}" for t, node, hooks, name in run.nodes if t.node is node and marks(t) != hooks]
    changed += [place.name for place, stand_in in run.places if place.get() is not stand_in]
    changed += run.snapshot.changed()
    changed += [name for c, n, name in lengths if len(c) != n and id(c) not in born]
    changed += [name for value, name in run.reach.bare if vars(value)]
    changed += [guard.name for guard in run.reach.guards if not guard.holds()]
    changed += [name for c, keys, name in run.reach.orders if id(c) not in born and list(c) != keys]
    if changed:
        named = ", ".join(map(repr, dict.fromkeys(changed)))
        raise CompileError(
            f"tg.compile: the step (or another thread, while it was recorded) changes {named}, which is plain "
            "Python and would not happen again in the compiled step. Do it outside the step (as "
            "`scheduler.step()`), or return the value"
        )
