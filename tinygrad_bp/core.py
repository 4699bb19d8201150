"""The engine: Tensor, Node, and the backward pass. Everything that is circular in autograd is in this file.

A `Tensor` is an array, the node that made it, and a place for its gradient; it knows no mathematics (`methods.py`
gives it every operation of the REGISTRY). A `Node` remembers, for each input that needs a gradient, an edge:
the input's own node, which of the operation's rules leads to it, and the values that this rule reads.
`run_backward` walks the nodes once, each after all its consumers, and asks each for its contributions.

Two readers of the same rules: with `create_graph=False` the rules get plain arrays; with `create_graph=True` they get
Tensors, so that the gradient has a graph of its own. Read `declare.py` next: how an operation is declared.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from .duck import CHANGES, TRACES, Array, tracing
from .errors import DtypeError, GraphError, ShapeError
from .memory import CLOCK, check_saved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._tensor import Tensor as FullTensor

    Hook = Callable[[FullTensor], FullTensor | None]

OUTPUT = -1  # the role of a saved value that is the operation's own output
PLAIN = -2  # the role of a saved value that is no tensor: an axis, a shape, a constant


class Node:
    """One recorded operation: `edges` lead to the nodes of the inputs that need a gradient.

    An edge is (parent node, index of the rule, the values which that rule reads). `edges` is None once freed.
    `shape` and `dtype` are the output's; the cotangent that arrives here has the same.
    """

    __slots__ = ("__weakref__", "dtype", "edges", "hooks", "made", "op", "shape")

    def __init__(self, op: Any, edges: tuple[Any, ...], shape: Any, dtype: Any) -> None:
        self.op = op
        self.edges: tuple[Any, ...] | None = edges
        self.shape = shape
        self.dtype = dtype
        self.made = CLOCK[0]
        self.hooks: dict[int, Hook] | None = None

    def dress(self, edges: tuple[Any, ...], index: int, saved: tuple[Any, ...]) -> list[Any]:
        """The saved values of one edge as Tensors: inputs and outputs get their nodes back."""
        parents = {i: parent for parent, i, _ in edges}
        parents[OUTPUT] = self
        return [
            wrap(value, parents.get(role)) if role != PLAIN and isinstance(value, Array) else value
            for value, role in zip(saved, self.op.roles[index], strict=True)
        ]

    def name(self) -> str:
        """The name that `repr` shows: `TanhBackward`."""
        return "".join(part[:1].upper() + part[1:] for part in self.op.name.split("_")) + "Backward"

    @property
    def next_functions(self) -> tuple[tuple[Node, int], ...]:
        """PyTorch's view of the edges: (node, output index) pairs."""
        return tuple((parent, 0) for parent, _, _ in self.edges or ())

    def __repr__(self) -> str:
        return f"<{self.name()}>"


class _LeafOp:
    name = "accumulate_grad"
    rules = pure = ()


class Leaf(Node):
    """The end of the graph at a tensor that asked for a gradient; it knows its tensor but does not keep it alive."""

    __slots__ = ("owner",)

    def __init__(self, tensor: Tensor) -> None:
        super().__init__(_LeafOp, (), tensor.array.shape, tensor.array.dtype)
        self.owner = weakref.ref(tensor)

    def name(self) -> str:
        return "AccumulateGrad"


class Tensor:
    """An array with a memory: `array` (NumPy's), `node` (what made it, or None), `grad` (a Tensor, or None).

    >>> import tinygrad_bp as tg
    >>> t = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> (t * t).array
    array([1., 4.], dtype=float32)
    """

    __slots__ = ("__weakref__", "array", "grad", "node")
    array: np.ndarray
    node: Node | None
    grad: FullTensor | None

    def __init__(self, *data: Any) -> None:
        from .creation import legacy_array  # the only thing here that reads Python lists

        self.array, self.node, self.grad = legacy_array(*data), None, None

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded; may be set on a leaf."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        CHANGES[0] += 1
        if self.node is not None and not isinstance(self.node, Leaf):
            if not value:
                raise GraphError("requires_grad can only be switched off on a leaf; use `x.detach()` instead")
        elif not value:
            self.node = None
        elif self.node is None:
            require_float(self.array)
            self.node = Leaf(self)


_new: Any = object.__new__


def wrap(array: Any, node: Node | None = None) -> FullTensor:
    """The Tensor around an array, without copying or converting; NumPy scalars become 0-d arrays."""
    tensor: FullTensor = _new(Tensor)
    tensor.array = array if type(array) is np.ndarray else _as_array(array)
    tensor.node = node
    tensor.grad = None
    return tensor


def recorded(op: Any, edges: tuple[Any, ...], array: Any) -> FullTensor:
    """The output of a recorded operation, with its node; written out, since a small network spends its time here."""
    node: Node = _new(Node)
    node.op, node.edges, node.shape, node.dtype = op, edges, array.shape, array.dtype
    node.made, node.hooks = CLOCK[0], None
    tensor: FullTensor = _new(Tensor)
    tensor.array, tensor.node, tensor.grad = array, node, None
    return tensor


def _as_array(value: Any) -> Any:
    """0-d results of ufuncs are NumPy scalars; arrays of another library stay what they are."""
    return value if hasattr(value, "__array_ufunc__") and not isinstance(value, np.generic) else np.asarray(value)


def require_float(array: np.ndarray) -> None:
    if array.dtype.kind not in "fc":
        raise DtypeError(
            f"only floating-point tensors can require gradients, and this one is {array.dtype} of shape "
            f"{array.shape}: convert it first, `x.float().requires_grad_()`"
        )


def run_backward(
    roots: Sequence[tuple[Node, Any]], targets: set[Node] | None, retain: bool, create: bool
) -> list[tuple[Node, Any, bool]]:
    """(node, total cotangent, borrowed) for each leaf reached, or for each of `targets` if they are given.

    Kahn's topological order: a node is ready when all its consumers have contributed. `totals` holds what has
    arrived so far where there are several. A total is *borrowed* while somebody else may hold the same memory (the
    consumer passed its own cotangent on, or a view of it); the first addition makes it ours, later ones add in place.
    """
    waiting, live = _count_consumers(roots, targets)
    totals: dict[Node, tuple[Any, bool]] = {}
    ready: list[tuple[Node, Any, bool]] = []
    found: list[tuple[Node, Any, bool]] = []
    for node, g in roots:
        _arrive(node, g, True, create, waiting, totals, ready)
    while ready:
        node, g, borrowed = ready.pop()
        if node.hooks:
            g, borrowed = run_hooks(node, g, create), True
        if type(node) is Leaf if targets is None else node in targets:
            found.append((node, g, borrowed))
        edges = node.edges
        if not edges:
            continue
        rules = node.op.pure if create else node.op.rules
        if TRACES and (trace := tracing()):
            trace.entering(node, g)
        written = node.made != CLOCK[0]  # something was, since this node was made: is it what a rule will read?
        for parent, index, saved in edges:
            if live is not None and parent not in live:
                continue
            if written:
                check_saved(saved, node.made, node.op.name)
            saved = node.dress(edges, index, saved) if create else saved
            rule = rules[index]  # a call without a star is a quarter of a microsecond shorter, and most read one value
            new = rule(g, saved[0]) if len(saved) == 1 else rule(g, *saved) if saved else rule(g)
            if new.shape != parent.shape or new.dtype is not parent.dtype:
                new = fit(new, parent, node)
            lent = create or new is g or new.base is not None
            if waiting[parent] == 1 and parent not in totals:
                if type(parent) is Leaf and targets is None and not parent.hooks:
                    found.append((parent, new, lent))
                else:
                    ready.append((parent, new, lent))
            else:
                _arrive(parent, new, lent, create, waiting, totals, ready)
        if not retain:
            node.edges = None
    return found


def _arrive(
    node: Node, new: Any, borrowed: bool, create: bool, waiting: dict[Node, int], totals: Any, ready: list[Any]
) -> None:
    """Add a contribution to a node's total; with the last one the node is ready."""
    if node in totals:
        total, lent = totals[node]
        if lent or type(total) is not np.ndarray:
            new, borrowed = total + new, create
        else:
            new, borrowed = np.add(total, new, out=total), False
    waiting[node] -= 1
    if waiting[node]:
        totals[node] = new, borrowed
    else:
        totals.pop(node, None)
        ready.append((node, new, borrowed))


def _count_consumers(
    roots: Sequence[tuple[Node, Any]], targets: set[Node] | None
) -> tuple[dict[Node, int], set[Node] | None]:
    """How many contributions each node waits for, and, where `targets` are given, the nodes that lead to one."""
    waiting: dict[Node, int] = {}
    for node, _ in roots:
        waiting[node] = waiting.get(node, 0) + 1
    order = list(waiting)
    for node in order:  # grows as it is walked
        if node.edges is None:
            raise GraphError(
                f"backward through {node.op.name} a second time: its saved values were freed by the first pass. "
                "Pass `retain_graph=True` to the first backward, or run the forward again"
            )
        for edge in node.edges:
            parent = edge[0]
            if parent in waiting:
                waiting[parent] += 1
            else:
                waiting[parent] = 1
                if type(parent) is not Leaf:  # a leaf has nothing to count
                    order.append(parent)
    return (waiting, None) if targets is None else _restrict(waiting, roots, targets)


def _restrict(
    reached: dict[Node, int], roots: Sequence[tuple[Node, Any]], targets: set[Node]
) -> tuple[dict[Node, int], set[Node]]:
    """Only the edges on a path to a target count."""
    consumers: dict[Node, list[Node]] = {}
    for node in reached:
        for parent, _, _ in node.edges or ():
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
        for parent, _, _ in node.edges or ():
            waiting[parent] += 1
    return waiting, live


def fit(g: Any, parent: Node, node: Node) -> Any:
    """A contribution brought to its parent's shape and dtype: the one place where broadcasting is undone."""
    if parent.shape is None:  # a joint node collects its outputs' cotangents as they come
        return g
    if g.shape != parent.shape:
        lead = len(g.shape) - len(parent.shape)
        if 0 < lead < len(g.shape) and g.shape[lead:] == parent.shape:  # a bias, on every row: the usual case
            g = np.add.reduce(g, axis=tuple(range(lead)))
        elif lead < 0 or any(n not in (1, m) for n, m in zip(parent.shape, g.shape[lead:], strict=True)):
            raise ShapeError(
                f"{node.op.name}: its backward gave a gradient of shape {tuple(g.shape)} for an input of shape "
                f"{tuple(parent.shape)}; a backward must return the input's shape"
            )
        else:
            axes = tuple(range(lead)) + tuple(i for i, n in enumerate(parent.shape, lead) if n == 1 and g.shape[i] != 1)
            g = np.sum(g, axis=axes, keepdims=True).reshape(parent.shape)
    return g if g.dtype == parent.dtype else g.astype(parent.dtype)


def handed_out(g: Any) -> FullTensor:
    """A cotangent as user code may have it: with memory of its own, since others may hold the same total.

    `h + b` hands one array to both; a hook on h that doubles its gradient in place must not double b's.
    """
    return wrap(g.array.copy(), g.node) if isinstance(g, Tensor) else wrap(g.copy("K"))


def run_hooks(node: Node, g: Any, create: bool) -> Any:
    """The cotangent after the hooks, each of which may replace it."""
    tensor: Any = handed_out(g)
    for hook in tuple((node.hooks or {}).values()):
        with_hook = hook(tensor)
        if with_hook is not None:
            if tuple(with_hook.shape) != tuple(node.shape):
                raise ShapeError(
                    f"a hook on {node.op.name} returned shape {tuple(with_hook.shape)}; it must keep {node.shape}"
                )
            tensor = with_hook
    return tensor if create else tensor.array
