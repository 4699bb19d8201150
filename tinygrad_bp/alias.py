"""Who looks into whose memory: what keeps the graph true when a tensor is written through one of its aliases.

Memory is shared and really written; the graph is what has to follow. A *view* knows its root, the tensor that is no
view itself, and the steps that lead from there; a root knows its living views, weakly. A write through any of them
(`inplace.py`) ends with this: the root gets the node that says "the old value, with this part replaced", and every view
the node that says "these steps from the root's new node", made when it is first asked for. So no reader ever meets a
stale node, and nobody has to look for one.

As in PyTorch, `detach()` and `.data` share memory and no graph: they are roots of their own, and what they overwrite is
found by its stamp (`memory.py`). A view made under `no_grad` of what requires a gradient requires one too, and gives it
to nobody; so does one that was made before its root asked for a gradient. Read `refusals.py` next.
"""

from __future__ import annotations

import sys
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np

from .core import KEEP, Leaf, Node, Tensor, nobody, wrap
from .duck import Duck
from .errors import InplaceError
from .modes import MODE

_new: Any = object.__new__
NO_GRAD = "was made under no_grad"
FUNCTION = "is what a Function returned of its input's memory"
SEVERAL = "is one of several views made by one call (split, chunk, unbind, iteration)"

# One view operation on the way from a root: (operation, parameters, shape before, shape after).
Step = tuple[Any, tuple[Any, ...], tuple[int, ...], tuple[int, ...]]


class View:
    """How one tensor looks into another.

    `barred` says why it may not be written to while it is part of a graph; `behind`, that a write came when it was not.
    """

    __slots__ = ("barred", "behind", "root", "steps")

    def __init__(self, root: Tensor, steps: tuple[Step, ...], barred: str) -> None:
        self.root, self.steps, self.barred, self.behind = root, steps, barred, False

    def node(self, root_node: Node) -> Node:
        """These steps, taken from the root's node."""
        node, dtype = root_node, self.root.array.dtype
        for op, params, before, after in self.steps:  # a linear map's rule reads shapes and parameters, and no values
            saved = op.pick[0]((SimpleNamespace(shape=before), SimpleNamespace(shape=after), *params))
            node = Node(op, ((node, 0, saved),), after, dtype)
        return node

    def root_asks(self, tensor: Any) -> None:
        """The root asks for a gradient; `tensor`, made before, is its view as PyTorch has it.

        It requires a gradient as well, but gives none to the root, unless a write came in between.
        """
        if plain_node(tensor) is None:
            tensor.node = self.node(self.root.node) if self.behind and self.root.node else nowhere(tensor)

    def root_rests(self, tensor: Any) -> None:
        """The root asks for a gradient no more."""
        node = plain_node(tensor)
        if isinstance(node, Leaf) and node.owner is nobody:
            tensor.node = None


class StaleView(Tensor):
    """A view whose root was written to since: it is brought up to date when somebody asks for its node.

    A tensor is of this class only so long; so nobody else ever has to look whether a node is stale. A barred view
    stays as it is: its memory is new, its graph is not, so its use in a graph raises.
    """

    __slots__ = ()

    _view: View

    @property
    def node(self) -> Any:
        """The node of what the view looks at now."""
        old, view = plain_node(self), self._view
        if view.root.node is None and (old is None or isinstance(old, Leaf)):
            self.__class__, view.behind = Tensor, True  # type: ignore[assignment]
            return old
        if not view.barred:
            self.__class__ = Tensor  # type: ignore[assignment]
            give(self, view.node(view.root.node or nowhere(view.root)))
            return self.node
        if MODE.grad:
            raise InplaceError(
                f"a view of shape {self.array.shape} {view.barred}, and its base, or another view of it, was "
                "changed in place since. Take it again after the change, by an index (`x[0]`)"
            )
        return old

    @node.setter
    def node(self, value: Any) -> None:
        vars(Tensor)["node"].__set__(self, value)

    @property
    def requires_grad(self) -> bool:
        """Whether what it looks at requires a gradient."""
        return self._view.root.node is not None or plain_node(self) is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.node is None or not value:  # a look that brings it up to date
            REQUIRES_GRAD.__set__(self, value)


def plain_node(tensor: Any) -> Any:
    """What is in the slot, where the property of a stale view would do more."""
    return vars(Tensor)["node"].__get__(tensor, Tensor)


StaleView.__name__ = StaleView.__qualname__ = Tensor.__name__  # whoever asks sees a Tensor
REQUIRES_GRAD: Any = vars(Tensor)["requires_grad"]


def nowhere(tensor: Any) -> Leaf:
    """A leaf that is nobody's: PyTorch says of some views that they require a gradient, and gives it to nobody."""
    return Leaf(None, tensor.array)


def class_of(tensor: Any) -> Any:
    """The class of a copy."""
    return Tensor if isinstance(tensor, StaleView) else type(tensor)


def shares(view: Any, array: Any) -> bool:
    """Whether what NumPy gave for a view of an array is one, and no copy."""
    if isinstance(view, Duck):
        return isinstance(array, Duck) and view.storage is array.storage
    base = view.base
    return base is not None and (base is array or base is array.base or np.may_share_memory(view, array))


def register(view: Any, x: Any, op: Any, params: tuple[Any, ...]) -> None:
    """Note that `view`, made by a view operation, looks into the memory of `x` (unless NumPy had to copy)."""
    array, made = x.array, view.array
    if made.base is not array and not shares(made, array):
        return
    over = None if type(array) is np.ndarray and array.base is None else getattr(x, "_view", None)
    look: View = _new(View)
    if over is None:
        root, look.steps, look.barred = x, ((op, params, array.shape, made.shape),), ""
    else:
        root, look.barred = over.root, over.barred
        look.steps = (*over.steps, (op, params, array.shape, made.shape))
    look.root, look.behind = root, False
    if not MODE.grad:
        look.barred = look.barred or NO_GRAD
        if root.node is not None and MODE.forward is None:
            view.node = nowhere(view)
    view._view = look
    _enter(root, view)


def bind(made: Any, x: Any, reason: str) -> None:
    """Note that `made` looks into the memory of `x` in a way that no steps tell: in a graph nobody may write there."""
    made._view = View(root_of(x), (), reason)
    _enter(made._view.root, made)


def _enter(root: Any, view: Any) -> None:
    try:
        _append(root._views, view)
    except AttributeError:  # a slot that nobody has set yet
        root._views = [weakref.ref(view)]


def _append(refs: list[Any], tensor: Any) -> None:
    if len(refs) >= 16 and not len(refs) & (len(refs) - 1):  # at 16, 32, 64 …: those that are gone make room
        refs[:] = [ref for ref in refs if ref() is not None]
    refs.append(weakref.ref(tensor))


def on_its_own(view: Any) -> None:
    """A view of what an operation computed on its way, and nobody else has, is no view for its caller."""
    if sys.getrefcount(view._view.root) <= 2:  # the view's own, and this call's
        view._view = None


def root_of(tensor: Any) -> Any:
    """The tensor into whose memory this one looks: itself, if it is no view."""
    view = getattr(tensor, "_view", None)
    return tensor if view is None else view.root


def rests(root: Any) -> None:
    """A root left its graph: views that required a gradient only because it did, do so no more."""
    for view in root._living_views():
        view._view.root_rests(view)


def nobody_looks(tensor: Any) -> bool:
    """Whether a tensor has its memory to itself, as far as the package knows."""
    array, kin = tensor.array, getattr(tensor, "_kin", None) or ()
    alone = array.base is None and not getattr(array, "path", ())
    return alone and not tensor._living_views() and not any(ref() not in (None, tensor) for ref in kin)


def bar(views: Any, reason: str) -> None:
    """Forbid writes through these views where a graph is recorded."""
    for tensor in views:
        view = getattr(tensor, "_view", None)
        if view is not None:
            view.barred = view.barred or reason


def written(root: Any) -> None:
    """After a write to the memory of a root: all views that look into it are stale, those of its detached twins too."""
    if getattr(root, "_views", None) is None:
        return
    for other in _kin(root):
        for view in other._living_views():
            node = plain_node(view)
            if other.node is None and (node is None or isinstance(node, Leaf)):
                view._view.behind = True
            else:
                view.__class__ = StaleView


def twin(tensor: Any) -> Any:
    """The same memory without the graph, as a root of its own that hears of writes."""
    made: Any = wrap(tensor.array)
    root = root_of(tensor)
    kin = getattr(root, "_kin", None)
    if kin is None:
        root._kin = kin = [weakref.ref(root)]
        root._views = getattr(root, "_views", None) or []  # so that `written` has one question to ask
    _append(kin, made)
    made._kin, made._views = kin, []
    return made


def _kin(root: Any) -> list[Any]:
    kin = getattr(root, "_kin", None)
    return [root] if kin is None else [other for ref in kin if (other := ref()) is not None]


def give(tensor: Any, node: Node | None) -> None:
    """A tensor's new node. A kept gradient goes with the tensor; hooks stay with the value that they were meant for."""
    old, tensor.node = tensor.node, node
    if old is not None and node is not None and old.hooks and KEEP in old.hooks:
        node.hooks = node.hooks or {}
        node.hooks[KEEP] = old.hooks.pop(KEEP)


def part_ways(tensor: Any) -> None:
    """The tensor is about to get other memory: it is no view any more, and its views keep the old memory together."""
    if getattr(tensor, "_view", None) is not None:
        tensor.node = tensor.node  # up to date for the last time
        tensor.__class__, tensor._view = class_of(tensor), None
    views = tensor._living_views()
    if views:
        stand_in: Any = wrap(tensor.array, tensor.node)
        for view in views:
            view._view = View(stand_in, view._view.steps, view._view.barred)
            _enter(stand_in, view)
        tensor._views = []
