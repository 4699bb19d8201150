"""The graph: Tensor, Node and Leaf, which know each other. Everything that is circular in autograd is in this file.

A `Tensor` is an array, the node that made it, and a place for its gradient; it knows no mathematics (`methods.py`
gives it every operation of the REGISTRY). A `Node` remembers, for each input that needs a gradient, an edge:
the input's own node, which of the operation's rules leads to it, and the values that this rule reads.

Read `engine.py` next: how gradients flow back through the nodes.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from .alarms import warn
from .duck import CHANGES, Array
from .errors import FORGOT, DtypeError, GraphError, ShapeError, kind_of
from .memory import CLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._tensor import Tensor as FullTensor

    Hook = Callable[[FullTensor], FullTensor | None]

RESTING: dict[int, Leaf] = {}  # by the id of their tensors, which ask for no gradient at present
OUTPUT = -1  # the role of a saved value that is the operation's own output
PLAIN = -2  # the role of a saved value that is no tensor: an axis, a shape, a constant
KEEP = -1  # the key of the hook that keeps a gradient (`retain_grad`): it runs last, and stays with its tensor


# How many nodes lead to a node, as far as it matters, and what that becomes with one more, MORE[fan]; unused in leaves.
UNUSED, ONE, SEVERAL, NEVER = range(4)
MORE = (ONE, SEVERAL, SEVERAL)
FREED = -1  # the index in a node whose edges were dropped by a backward pass
NO_EDGE: tuple[Any, ...] = (None, 0, (), None)


def linked(edges: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Edges in the form in which a node holds them: each (parent, index, saved, the next one or None).

    The parents but the first are told that they have one consumer more; the first is by whoever makes the node.
    """
    more: Any = None
    for edge in reversed(edges):
        if more:
            more[0].fan = MORE[more[0].fan]
        more = (*edge, more)
    return more or NO_EDGE


class Node:
    """One recorded operation: its edges lead to the nodes of the inputs that need a gradient.

    An edge is (parent node, index of the rule, the values which that rule reads); `edges` shows them all, None once
    freed. The first edge lies in `parent`, `index` and `saved`; `more` is the next one, as a tuple (parent, index,
    saved, more), or None. So a node of a long chain is a single object for the garbage collector to walk. `saved` is a
    tuple, or the only value itself if that is no tuple. `fan` tells how many nodes lead here, so far as it matters.
    `shape` and `dtype` are the output's; the cotangent that arrives here has the same.
    """

    __slots__ = ("__weakref__", "dtype", "fan", "hooks", "index", "made", "more", "op", "parent", "saved", "shape")

    def __init__(self, op: Any, edges: tuple[Any, ...], shape: Any, dtype: Any) -> None:
        self.op = op
        self.edges = edges
        self.shape = shape
        self.dtype = dtype
        self.made = CLOCK[0]
        self.fan = UNUSED
        self.hooks: dict[int, Hook] | None = None

    @property
    def edges(self) -> tuple[tuple[Node, int, tuple[Any, ...]], ...] | None:
        """All edges; the hot path reads the slots themselves."""
        found: list[Any] = []
        parent, index, saved, more = self.parent, self.index, self.saved, self.more
        while parent is not None:
            found.append((parent, index, saved if type(saved) is tuple else (saved,)))
            parent, index, saved, more = more or NO_EDGE
        return None if self.index == FREED else tuple(found)

    @edges.setter
    def edges(self, edges: Sequence[tuple[Node, int, tuple[Any, ...]]] | None) -> None:
        self.parent, self.index, self.saved, self.more = NO_EDGE if edges is None else linked(edges)
        if self.parent is not None:
            self.parent.fan = MORE[self.parent.fan]
        if edges is None:
            self.index = FREED

    def parents(self) -> list[Node]:
        """Where the edges lead, in order."""
        found, parent, more = [], self.parent, self.more
        while parent is not None:
            found.append(parent)
            parent, _, _, more = more or NO_EDGE
        return found

    def dress(self, index: int, saved: Any) -> tuple[Any, ...]:
        """The saved values of one edge as Tensors: inputs and outputs get their nodes back."""
        parents: dict[int, Node] = {i: parent for parent, i, _ in self.edges or ()}
        parents[OUTPUT] = self
        values = saved if type(saved) is tuple else (saved,)
        return tuple([
            wrap(value, parents.get(role)) if role != PLAIN and isinstance(value, Array) else value
            for value, role in zip(values, self.op.roles[index], strict=False)  # *xs has any number of roles
        ])

    def name(self) -> str:
        """The name that `repr` shows: `TanhBackward`."""
        return "".join(part[:1].upper() + part[1:] for part in self.op.name.split("_")) + "Backward"

    @property
    def next_functions(self) -> tuple[tuple[Node, int], ...]:
        """PyTorch's view of the edges: (node, output index) pairs."""
        return tuple((parent, 0) for parent in self.parents())

    def __repr__(self) -> str:
        return f"<{self.name()}>"


def nobody() -> None:
    """The owner of a Leaf whose gradient nobody gets."""


class _LeafOp:
    name = "accumulate_grad"
    rules = pure = ()
    saves = False


class Leaf(Node):
    """The end of the graph at a tensor that asked for a gradient; it knows its tensor but does not keep it alive.

    A tensor that asks no more keeps its leaf, hooks and all, among the `RESTING`: graphs made before lead to it still.
    """

    __slots__ = ("owner", "taken")

    def __init__(self, tensor: Tensor | None, like: Any = None) -> None:
        """The end at a tensor; or, without one, the end of a way that leads nowhere, for values like an array."""
        array = like if tensor is None else tensor.array
        super().__init__(_LeafOp, (), array.shape, array.dtype)
        self.owner: Any = nobody if tensor is None else weakref.ref(tensor)
        self.taken: Any = nobody  # the `.grad` that somebody read, who may keep it longer than its tensor

    @staticmethod
    def of(tensor: Tensor) -> Leaf:
        """The leaf of a tensor that asks for a gradient: the one it had before, or its first."""
        leaf = RESTING.pop(id(tensor), None)
        if leaf is None or leaf.owner() is not tensor:
            return Leaf(tensor)
        leaf.shape, leaf.dtype = tensor.array.shape, tensor.array.dtype
        return leaf

    def rest(self, tensor: Tensor) -> None:
        """Remember this leaf for as long as its tensor lives."""
        key = id(tensor)
        self.owner = weakref.ref(tensor, lambda dead: RESTING.pop(key, None))
        RESTING[key] = self

    def name(self) -> str:
        return "AccumulateGrad"


class Inside(Node):
    """A value computed inside the forward of a `Function`, where nothing is recorded; see `autograd/inside.py`.

    It leads to the inputs on which the value depends. To its user the tensor is a constant.
    """

    __slots__ = ()


class Tensor:
    """An array with a memory: `array` (NumPy's), `node` (what made it, or None), `grad` (a Tensor, or None).

    >>> import tinygrad_bp as tg
    >>> t = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> (t * t).array
    array([1., 4.], dtype=float32)
    """

    __slots__ = ("__dict__", "__weakref__", "_grad", "_kin", "_view", "_views", "array", "node")  # _view…: alias.py
    array: np.ndarray
    node: Node | None
    _grad: FullTensor | None  # what the package itself reads and writes, since `grad` asks and checks

    def __init__(self, *data: Any) -> None:
        from .creation import legacy_array  # the only thing here that reads Python lists

        self.array, self.node, self._grad = legacy_array(*data), None, None

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded; may be set on a leaf."""
        return self.node is not None and type(self.node) is not Inside

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        CHANGES[0] += 1
        if self.node is not None and not isinstance(self.node, Leaf):
            if not value:
                raise GraphError("requires_grad can only be switched off on a leaf; use `x.detach()` instead")
        elif not value:
            if self.node is not None:
                self.node.rest(self)
            self.node = None
            for view in self._living_views():
                view._view.root_rests(view)
        elif self.node is None or self.node.owner is nobody:  # a view that gives its gradient to nobody
            require_float(self.array)
            self.node = Leaf.of(self)
            for view in self._living_views():
                view._view.root_asks(view)

    def _living_views(self) -> list[Any]:
        """The tensors that look into the memory of this one, as far as it knows them; see `alias.py`."""
        refs = getattr(self, "_views", None) or ()
        return [v for ref in refs if (v := ref()) is not None and v._view is not None and v._view.root is self]

    @property
    def grad(self) -> FullTensor | None:
        """The gradient that backward passes have added up so far; None before the first one."""
        node: Any = self.node
        if type(node) is Leaf:
            if self._grad is not None:
                node.taken = weakref.ref(self._grad)
        elif self._grad is None and self.requires_grad and not self.retains_grad:
            warn(
                f"the .grad of a tensor of shape {self.array.shape} is read, but backward fills it only for leaves, "
                f"and this was computed by {node.op.name}: call `t.retain_grad()` before backward, or read a leaf. A "
                "weight that was replaced, `w = w - lr * w.grad`, is none: write `with tg.no_grad(): w -= lr * w.grad`"
            )
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            check_grad(self, value)
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad` was called for this tensor, which is no leaf."""
        return self.node is not None and self.node.hooks is not None and KEEP in self.node.hooks


_new: Any = object.__new__


def wrap(array: Any, node: Node | None = None) -> FullTensor:
    """The Tensor around an array, without copying or converting; NumPy scalars become 0-d arrays."""
    tensor: FullTensor = _new(Tensor)
    tensor.array = array if type(array) is np.ndarray else _as_array(array)
    tensor.node = node
    tensor._grad = None
    return tensor


def recorded(op: Any, edges: Sequence[tuple[Any, ...]], array: Any) -> FullTensor:
    """The output of a recorded operation, with its node."""
    parent, index, saved, more = linked(edges)
    return leading(op, parent, index, saved, more, array)


def leading(op: Any, parent: Any, index: int, saved: Any, more: Any, array: Any) -> FullTensor:
    """The same, with edges as a node holds them; written out, since a small network spends its time here."""
    if type(parent) is not Leaf:
        parent.fan = MORE[parent.fan]
    node: Node = _new(Node)
    node.op = op
    node.parent = parent
    node.index = index
    node.saved = saved
    node.more = more
    node.shape = array.shape
    node.dtype = array.dtype
    node.made = CLOCK[0]
    node.fan = UNUSED
    node.hooks = None
    tensor: FullTensor = _new(Tensor)
    tensor.array = array
    tensor.node = node
    tensor._grad = None
    return tensor


def _as_array(value: Any) -> Any:
    """0-d results of ufuncs are NumPy scalars; arrays of another library stay what they are."""
    return value if hasattr(value, "__array_ufunc__") and not isinstance(value, np.generic) else np.asarray(value)


def check_grad(tensor: Tensor, value: Any) -> None:
    """Raise unless `value` may be the gradient of `tensor`: another tensor of its shape and dtype."""
    if not isinstance(value, Tensor):
        raise DtypeError(f".grad is a Tensor or None, not {type(value).__name__}: make one, `tg.tensor(...)`")
    if value is tensor:
        raise GraphError("a tensor cannot be its own .grad; write `t.grad = t.detach().clone()`")
    want, given = tensor.array, value.array
    if given.shape != want.shape:
        raise ShapeError(f".grad of a tensor of shape {want.shape} must have its shape, not {given.shape}")
    if given.dtype != want.dtype:
        raise DtypeError(
            f".grad of a tensor of {want.dtype} must have its dtype, not {given.dtype}: write `t.grad = g.to(t.dtype)`"
        )


def array_of(x: Any, op: str, name: str) -> Any:
    """The array of a Tensor; DtypeError, with the name of the argument, for anything else."""
    if isinstance(x, Tensor):
        return x.array
    fix = FORGOT if x is None else f"; write `tg.as_tensor({name})`"
    raise DtypeError(f"{op}: {name} must be a Tensor, not {kind_of(x)}{fix}")


def require_float(array: np.ndarray) -> None:
    if array.dtype.kind not in "fc":
        raise DtypeError(
            f"only floating-point tensors can require gradients, and this one is {array.dtype} of shape "
            f"{array.shape}: convert it first, `x.float().requires_grad_()`"
        )
