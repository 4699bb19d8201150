"""The two entrances to the engine: `backward`, which fills `.grad`, and `grad`, which returns gradients.

Read `function.py` next: an operation with a hand-written backward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Leaf, Node, Tensor, run_backward, wrap
from ..duck import TRACES, Array, as_array, tracing
from ..errors import GraphError, ShapeError
from ..memory import stamp
from ..mode import MODE

if TYPE_CHECKING:
    from collections.abc import Sequence

_ONES: dict[Any, np.ndarray] = {}


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradient of each tensor to the `.grad` of the leaves it was made from.

    Args:
        tensors: one tensor or several; each a scalar unless a gradient is given for it.
        grad_tensors: the cotangents, of the tensors' shapes; None means 1 for a scalar.
        retain_graph: keep the saved values for another pass; by default only with `create_graph`.
        create_graph: let the gradients have a graph, so that they can be differentiated again.
        inputs: fill only these leaves.

    Raises:
        GraphError: there is no graph, it was freed, or a tensor is not a scalar. InplaceError: a saved value was
        overwritten. Nothing is added to any `.grad` then.

    >>> import tinygrad_bp as tg
    >>> w = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> w.grad
    tensor([2., 4.])
    """
    roots = (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)
    cotangents = (None,) if grad_tensors is None and len(roots) == 1 else _listed(grad_tensors, len(roots), "backward")
    targets = None
    if inputs is not None:
        targets = {_leaf_node(x) for x in ((inputs,) if isinstance(inputs, Tensor) else inputs)}
    found = _start(roots, cotangents, targets, retain_graph, create_graph)
    for node, g, borrowed in found:  # after the whole pass has succeeded
        leaf: Any = node.owner()  # type: ignore[attr-defined]  # without targets only leaves are found, with them too
        if leaf is None:
            continue
        if leaf.grad is None and not create_graph:
            leaf.grad = wrap(g.copy("K") if borrowed else g)
        else:
            _accumulate(leaf, g, create_graph)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of `outputs` with respect to `inputs`, as a tuple; no `.grad` is touched.

    Args:
        outputs, inputs: a tensor or several; inputs need not be leaves.
        grad_outputs: cotangents of the outputs' shapes; None means 1 for a scalar.
        retain_graph, create_graph: as in `backward`.
        allow_unused: give None for an input on which the outputs do not depend, instead of raising.
        materialize_grads: give zeros for such an input.

    >>> import tinygrad_bp as tg
    >>> x = tg.tensor(3.0, requires_grad=True)
    >>> (g,) = tg.autograd.grad(x**3, x, create_graph=True)
    >>> tg.autograd.grad(g, x)
    (tensor(18.),)
    """
    roots = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    wanted = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    for i, x in enumerate(wanted):
        if x.node is None:
            raise GraphError(f"grad: input {i} of shape {x.array.shape} does not require a gradient")
    found = _start(
        roots, _listed(grad_outputs, len(roots), "grad"), {x.node for x in wanted}, retain_graph, create_graph
    )
    totals = {node: (g, borrowed) for node, g, borrowed in found}
    if allow_unused is None:
        allow_unused = materialize_grads
    missing = [i for i, x in enumerate(wanted) if x.node not in totals]
    if missing and not allow_unused:
        raise GraphError(
            f"grad: the outputs do not depend on input {missing}; pass `allow_unused=True` to get None for it, or "
            "`materialize_grads=True` for zeros"
        )
    return tuple(_result(x, totals, create_graph, materialize_grads) for x in wanted)


def _result(x: Any, totals: dict[Any, Any], create: bool, zeros: bool) -> Any:
    if x.node not in totals:
        return wrap(np.zeros_like(x.array)) if zeros else None
    g, borrowed = totals[x.node]
    return g if create else wrap(g.copy("K") if borrowed else g)


def _listed(given: Any, count: int, name: str) -> Sequence[Any]:
    if given is None:
        return (None,) * count
    gradients = (given,) if isinstance(given, (Tensor, *Array)) else tuple(given)
    if len(gradients) != count:
        raise ShapeError(f"{name}: {count} tensors, but {len(gradients)} gradients for them")
    return gradients


def _leaf_node(tensor: Any) -> Node:
    if not isinstance(tensor.node, Leaf):
        raise GraphError(
            f"backward(inputs=…): a tensor of shape {tensor.array.shape} is no leaf that requires a gradient; "
            "use `tg.autograd.grad` for gradients of intermediate values"
        )
    return tensor.node


def _seed(tensor: Any, gradient: Any, create: bool) -> tuple[Node, Any]:
    """The node to start from and its cotangent: `gradient`, or 1 for a scalar."""
    node = tensor.node
    if node is None:
        raise GraphError(
            f"backward: this tensor of shape {tensor.array.shape} has no graph: no input requires a gradient, "
            "or it was made under no_grad. Create a leaf with `requires_grad=True`"
        )
    if gradient is None:
        if tensor.array.size != 1:
            raise GraphError(
                f"backward: a gradient of 1 is implied only for a scalar, and this has shape {tensor.array.shape}. "
                "Reduce it first, `y.sum().backward()`, or pass the cotangent: `y.backward(gradient)`"
            )
        one = _ONES.get((node.shape, node.dtype))
        if one is None:
            one = _ONES[node.shape, node.dtype] = np.ones(node.shape, node.dtype)
            one.flags.writeable = False
        if TRACES and (trace := tracing()):  # so that whatever is computed from it is seen
            one = trace.fresh(one)
        return node, wrap(one) if create else one
    if not isinstance(gradient, Tensor):
        gradient = wrap(as_array(gradient, node.dtype))
    if gradient.array.shape != tensor.array.shape:
        raise ShapeError(
            f"backward: the gradient has shape {gradient.array.shape}, the tensor {tensor.array.shape}: make them equal"
        )
    gradient = gradient if gradient.array.dtype == node.dtype else gradient.to(node.dtype)
    if TRACES and not create and (trace := tracing()):
        return node, trace.seen(gradient.array)
    return node, gradient if create else gradient.array


def _start(
    tensors: Sequence[Any], gradients: Sequence[Any], targets: set[Any] | None, retain: bool | None, create: bool
) -> list[tuple[Node, Any, bool]]:
    """Seed the roots and run; recording is on only if the gradient is to have a graph."""
    roots = list(map(_seed, tensors, gradients, (create,) * len(tensors)))
    before = MODE.grad
    MODE.grad = create
    try:
        return run_backward(roots, targets, create if retain is None else retain, create)
    finally:
        MODE.grad = before


def _accumulate(leaf: Any, g: Any, create: bool) -> None:
    """Add a total to a leaf's `.grad`: in place, unless a graph needs the old value."""
    if leaf.grad is None:
        leaf.grad = g
    elif create or leaf.grad.node is not None:
        leaf.grad = leaf.grad + (g if create else wrap(g))
    else:
        np.add(leaf.grad.array, g, out=leaf.grad.array)
        stamp(leaf.grad.array, "backward, which added to .grad", "backward")
