"""The graph of a write through a view: the old value, with a part of it replaced.

A part is told by the steps of `alias.View`: view operations one after another. Memory has been written by NumPy when
`part_node` is asked for; it makes the node that describes what is there now. Read `selection.py` next.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dialect
from ..alias import Step
from ..core import Node
from ..declare import Case, fused, publish
from .indexing import getitem
from .shapes import permute, reshape


def steps_of(shape: tuple[int, ...], *calls: tuple[Any, tuple[Any, ...]]) -> tuple[Step, ...]:
    """The steps that these view operations take from an array of a shape."""
    found, x = [], np.zeros(shape)
    for call, params in calls:
        y = call.op.forward(x, *params)
        found.append((call.op, params, x.shape, y.shape))
        x = y
    return tuple(found)


_ROW = steps_of((3, 4), (getitem, ((1, Ellipsis),)))
_CORNER = steps_of((2, 3, 2), (permute, ((2, 0, 1),)), (getitem, ((slice(None), slice(None), slice(1, 3)),)))
_LINE = steps_of((2, 6), (reshape, ((3, 4),)), (getitem, ((slice(None), 0, Ellipsis),)))

part_replaced = fused(
    lambda a, b, steps: dialect.with_part(a, b, steps),
    "a with the part that some view operations look at replaced by b",
    lambda g, steps: dialect.with_part(g, 0, steps),
    lambda g, steps: dialect.part(g, steps),
    cases=(
        Case((3, 4), (4,), steps=_ROW),
        Case((2, 3, 2), (2, 2, 2), steps=_CORNER),
        Case((2, 6), (3,), steps=_LINE),
        Case((2,), (2,), steps=()),
    ),
    shown="copy_slices",
    internal=True,
    method="_part_replaced",
)
publish(globals())


def part_node(root: Any, node: Any, steps: tuple[Step, ...]) -> Node:
    """What describes the root after a value made by `node` (None: a constant) was written to a part of it."""
    edges = [] if root.node is None else [(root.node, 0, (steps,))]
    edges += [] if node is None else [(node, 1, (steps,))]
    return Node(part_replaced.op, tuple(edges), root.array.shape, root.array.dtype)
