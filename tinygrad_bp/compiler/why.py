"""Why a step was recorded again: the first thing that is not as it was for another plan, in words.

Read `compiled.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core import Tensor
from .kinds import by_value, same_value
from .places import Cache, holds
from .results import THERE
from .tree import Leaves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .plan import Plan

AS_TENSOR = "Pass what changes as a tensor, in few different shapes"


def changed(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """What a plan was not made for in this call, and what to write instead."""
    found = next(differences(plan, args, kwargs), None)
    return found or f"arguments that are no tensors, shapes, or captured tensors change from call to call. {AS_TENSOR}"


def differences(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[str]:
    yield from arguments(plan, Leaves(args, kwargs))
    run = plan.run
    for compare, value, number, _ in run.trace.conditions:
        place = run.trace.places[value]
        if compare is None and not same_value(now := place.get(), number):
            yield (
                f"the number {place.name!r} changes from call to call ({number!r}, now {now!r}), and Python code asks "
                f"for its value at {run.trace.asked.get(value, 'some place')}. Write arithmetic on it, which costs "
                "nothing (`x ** 0.5` for `math.sqrt(x)`, no `float()`, no `int()`)"
            )
    for place, value in (*run.reach.facts, *run.reach.kept):
        if not holds(place, value):
            yield f"{place.name!r} changes from call to call{detail(place, value)}. {AS_TENSOR}"
    for container, n, name in (*run.reach.lengths, *run.reach.sizes):
        if len(container) != n:
            yield f"{name!r} grows or shrinks from call to call ({n} entries, now {len(container)}). {AS_TENSOR}"
    for guard in run.reach.guards:
        if not (isinstance(guard, Cache) or guard.holds()):
            yield f"{guard.name!r} changes from call to call. {AS_TENSOR}"
    for value, holder, array in plan.used:
        if isinstance(holder, Tensor) and holder.array is not array:
            yield (
                f"the tensor {value.name!r} gets another array from call to call. Write into the one that it has: "
                "`with tg.no_grad(): x.copy_(new)`"
            )
    for tensor, grad in plan.patterns:
        if tensor._grad is None if grad is THERE else tensor._grad is not grad:
            yield (
                f"the gradient of a tensor of shape {tuple(tensor.array.shape)} is another one, or comes and goes, "
                "from call to call. Call `optimizer.zero_grad()` in the step"
            )


def arguments(plan: Plan, leaves: Leaves) -> Iterator[str]:
    """What differs in the arguments."""
    for name, was, now in zip(plan.leaves.titles, plan.leaves.fixed, leaves.fixed, strict=False):
        if not same_value(now, was):
            shown = f" ({was!r}, now {now!r})" if by_value(was) and by_value(now) else ""
            yield f"the argument {name!r} changes from call to call{shown}. {AS_TENSOR}"
    for name, was, now in zip(plan.leaves.names, plan.leaves.kinds, leaves.kinds, strict=False):
        if was.facts[1:3] != now.facts[1:3]:
            (shape, dtype), (new_shape, new_dtype) = was.facts[1:3], now.facts[1:3]
            yield (
                f"the argument {name!r} changes from call to call ({dtype}{tuple(shape)}, now "
                f"{new_dtype}{tuple(new_shape)}). Pass it in few different shapes"
            )


def detail(place: Any, value: Any) -> str:
    """The value of before and of now, where both can be shown in a few words."""
    try:
        now = place.get()
    except (KeyError, IndexError, ValueError, AttributeError):
        return ", and is not there any more"
    return f" ({value!r}, now {now!r})" if by_value(value) and by_value(now) else ""
