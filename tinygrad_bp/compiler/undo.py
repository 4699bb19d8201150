"""Putting things back: after a recording everything is as it was before. Read `recording.py` next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from .capture import Place, holds

if TYPE_CHECKING:
    from ..core import Tensor


def put_back(tensor: Tensor, array: np.ndarray, grad: Any, node: Any) -> None:
    tensor.array, tensor._grad, tensor.node = array, grad, node


def restored(state: dict[Any, Any], before: dict[Any, dict[str, Any]]) -> None:
    """An optimiser's state as it was, in the same dicts."""
    for p in [p for p in state if p not in before]:
        del state[p]
    for p, entries in before.items():
        state[p].clear()
        state[p].update(entries)


def refill(container: Any, content: Any) -> None:
    """A list, dict or set with its old content, if that has changed."""
    if len(container) != len(content):
        container.clear()
        container.extend(content) if isinstance(container, list) else container.update(content)


def put_value(place: Place, value: Any) -> None:
    if not holds(place, value):
        place.set(value)


def foreign_states(generators: list[Any]) -> dict[str, str]:
    """The states of the random generators that are not this package's, as text that can be compared."""
    python, numpy = sys.modules.get("random"), sys.modules.get("numpy.random")
    states: dict[str, Any] = {"random": python.getstate()} if python else {}
    if numpy:
        states["numpy.random"] = numpy.get_state(legacy=False)
    for i, generator in enumerate(generators):
        bits = getattr(generator, "bit_generator", None)
        read = getattr(generator, "getstate", None) or getattr(generator, "get_state", None)
        states[f"generator {i}"] = bits.state if bits is not None else read and read()
    with np.printoptions(threshold=sys.maxsize):
        return {name: repr(state) for name, state in states.items()}


def drawn(before: dict[str, str], now: dict[str, str]) -> bool:
    """Whether a generator moved on; one whose module was imported in between had no state to compare."""
    return any(now[name] != state for name, state in before.items())
