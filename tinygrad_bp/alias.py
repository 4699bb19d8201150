"""Who looks into whose memory: what keeps the graph true when a tensor is written through one of its aliases.

Memory is shared and really written; the graph is what has to follow. A *view* knows its root, the tensor that is no
view itself, and the steps that lead from there; a root knows its living views, weakly. A write through any of them
(`inplace.py`) ends with this: the root gets the node that says "the old value, with this part replaced", and every view
the node that says "these steps from the root's new node". So no reader ever meets a stale node, and nobody has to look.

As in PyTorch, `detach()` and `.data` share memory and no graph: they are roots of their own, and what they overwrite is
found by its stamp (`memory.py`). Read `dialect.py` next.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import numpy as np

from .core import KEEP, Leaf, Node, Tensor, wrap
from .duck import Duck
from .errors import InplaceError
from .mode import MODE

NO_GRAD = "was made under no_grad"
SEVERAL = "is one of several views made by one call (split, chunk, unbind, iteration)"


class Step(NamedTuple):
    """One view operation on the way from a root: its parameters, what its rule reads, and the shape after it."""

    op: Any
    params: tuple[Any, ...]
    saved: tuple[Any, ...]
    shape: tuple[int, ...]


class View:
    """How one tensor looks into another. `barred` says why it may not be written to while it is part of a graph."""

    __slots__ = ("barred", "root", "steps")

    def __init__(self, root: Tensor, steps: tuple[Step, ...], barred: str) -> None:
        self.root, self.steps, self.barred = root, steps, barred

    def node(self, root_node: Node) -> Node:
        """These steps, taken from the root's node."""
        node, dtype = root_node, self.root.array.dtype
        for step in self.steps:
            node = Node(step.op, ((node, 0, step.saved),), step.shape, dtype)
        return node


class BarredView(Tensor):
    """A view that may not follow a write to its root: its memory is new, its graph is not, so its use raises."""

    __slots__ = ()
    requires_grad = property(lambda self: True)  # what it looks at does

    @property
    def node(self) -> Any:
        """Its node; asking for it where a graph is recorded raises."""
        if MODE.grad:
            view: Any = getattr(self, "_view", None)
            raise InplaceError(
                f"a view of shape {self.array.shape} {view.barred}, and its base, or another view of it, was "
                "changed in place since. Take it again after the change, by an index (`x[0]`)"
            )
        return _slot.__get__(self)

    @node.setter
    def node(self, value: Any) -> None:
        _slot.__set__(self, value)


_slot: Any = vars(Tensor)["node"]


def shares(view: Any, array: Any) -> bool:
    """Whether what NumPy gave for a view of an array is one, and no copy."""
    if isinstance(view, Duck):
        return isinstance(array, Duck) and view.storage is array.storage
    base = view.base
    return base is not None and (base is array or base is array.base or np.may_share_memory(view, array))


def register(view: Any, x: Any, op: Any, params: tuple[Any, ...]) -> None:
    """Note that `view`, made by a view operation, looks into the memory of `x` (unless NumPy had to copy)."""
    if not shares(view.array, x.array):
        return
    step = Step(op, params, op.pick[0]((x.array, view.array, *params)), view.array.shape)
    over: View | None = getattr(x, "_view", None)
    root = x if over is None else over.root
    barred = "" if over is None else over.barred
    view._view = View(root, (step,) if over is None else (*over.steps, step), barred or ("" if MODE.grad else NO_GRAD))
    _enter(root, view)


def _enter(root: Any, view: Any) -> None:
    views = getattr(root, "_views", None)
    if views is None:
        root._views = views = []
    elif len(views) >= 16 and not len(views) & (len(views) - 1):  # at 16, 32, 64 …: those that are gone make room
        views[:] = [ref for ref in views if ref() is not None]
    views.append(weakref.ref(view))


def root_of(tensor: Any) -> Any:
    """The tensor into whose memory this one looks: itself, if it is no view."""
    view = getattr(tensor, "_view", None)
    return tensor if view is None else view.root


def bar(views: Any, reason: str) -> None:
    """Forbid writes through these views where a graph is recorded."""
    for tensor in views:
        view = getattr(tensor, "_view", None)
        if view is not None:
            view.barred = view.barred or reason


def refresh(root: Any) -> None:
    """Every living view gets its node anew from the root's."""
    for ref in getattr(root, "_views", None) or ():
        tensor = ref()
        view = None if tensor is None else tensor._view
        if view is None or view.root is not root:
            continue
        if root.node is None:
            if not isinstance(_slot.__get__(tensor), Leaf):
                tensor.node = None
        elif view.barred:
            tensor.__class__ = BarredView
        else:
            give(tensor, view.node(root.node))


def give(tensor: Any, node: Node | None) -> None:
    """A tensor's new node. A kept gradient goes with the tensor; hooks stay with the value that they were meant for."""
    old, tensor.node = tensor.node, node
    if old is not None and node is not None and old.hooks and KEEP in old.hooks:
        node.hooks = node.hooks or {}
        node.hooks[KEEP] = old.hooks.pop(KEEP)


def part_ways(tensor: Any) -> None:
    """The tensor is about to get other memory: it is no view any more, and its views keep the old memory together."""
    if getattr(tensor, "_view", None) is not None:
        tensor._view = None
    views = [v for ref in getattr(tensor, "_views", None) or () if (v := ref()) is not None and v._view is not None]
    if views:
        stand_in: Any = wrap(tensor.array, tensor.node)
        for view in views:
            if view._view.root is tensor:
                view._view = View(stand_in, view._view.steps, view._view.barred)
                _enter(stand_in, view)
        tensor._views = None
