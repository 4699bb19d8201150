"""One node of which several tensors come: a decomposition, the largest entry with its place, a user's `Function`.

Each output has a small node of its own that leads to the joint one, and the joint node's cotangent is the collection
of theirs. Read `alias.py` next.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .core import OUTPUT, PLAIN, Node, wrap
from .duck import Array

FIRST = OUTPUT - 9  # the role of a saved value that is a joint node's output 0; those of the others lie below


class Parts:
    """The cotangents of a joint node's outputs, as they arrive; it has neither shape nor dtype."""

    shape = dtype = None
    base = True  # never owned by the engine

    def __init__(self, parts: dict[int, Any]) -> None:
        self.parts = parts

    def __add__(self, other: Parts) -> Parts:
        both = dict(self.parts)
        for index, g in other.parts.items():
            both[index] = both[index] + g if index in both else g
        return Parts(both)


class OutputOp:
    """The way from one output to the joint node."""

    saves = False

    def __init__(self, name: str, index: int) -> None:
        self.name, self.index = name, index
        self.rules = self.pure = (lambda g: Parts({index: g}),)
        self.roles = ((),)


class JointNode(Node):
    """The node of a declared operation with several outputs."""

    __slots__ = ()

    def dress(self, index: int, saved: Any) -> tuple[Any, ...]:
        parents = {i: parent for parent, i, _ in self.edges or ()}
        roles = self.op.roles[index]
        return tuple([self._dressed(value, role, parents) for value, role in zip(saved, roles, strict=True)])

    def _dressed(self, value: Any, role: int, parents: dict[int, Any]) -> Any:
        if role == PLAIN or not isinstance(value, Array):
            return value
        return wrap(value, output_node(self, FIRST - role, value) if role <= FIRST else parents.get(role))


def output_node(joint: Node, index: int, array: Any) -> Node:
    """The node of one output, an array of a float dtype."""
    return Node(OutputOp(joint.op.name, index), ((joint, 0, ()),), array.shape, array.dtype)


def reading_all(rule: Any, wanted: tuple[int, ...]) -> Any:
    """A rule of the cotangents `wanted`, as the engine calls it: with what arrived, and zeros for what did not."""

    def through(g: Parts, like: Any, *saved: Any) -> Any:
        return rule(*[g.parts[k] if k in g.parts else np.zeros(*like[k]) for k in wanted], *saved)

    return through


def outputs_of(op: Any, edges: tuple[Any, ...], arrays: tuple[Any, ...]) -> Any:
    """The outputs of an operation: those of a float dtype lead to its node, if there is anything to lead to."""
    if not edges:
        return op.result(*map(wrap, arrays))
    joint = JointNode(op, edges, None, None)
    nodes = [output_node(joint, k, y) if y.dtype.kind in "fc" else None for k, y in enumerate(arrays)]
    return op.result(*map(wrap, arrays, nodes))
