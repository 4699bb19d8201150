"""The two entrances to the engine: `backward`, which fills `.grad`, and `grad`, which returns gradients.

Read `function.py` next: an operation with a hand-written backward.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..alias import on_its_own
from ..core import Leaf, Node, Tensor, array_of, nobody, wrap
from ..duck import TRACES, Array, as_array, tracing
from ..engine import run_backward
from ..errors import GraphError, ShapeError
from ..memory import buffer_of, coincide, stamp
from ..modes import MODE, enable_grad

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
    roots = (tensors,) if isinstance(tensors, Tensor) else _several(tensors, "backward", "tensors")
    cotangents = (None,) if grad_tensors is None and len(roots) == 1 else _listed(grad_tensors, len(roots), "backward")
    targets = None
    if inputs is not None:
        targets = {_leaf_node(x) for x in ((inputs,) if isinstance(inputs, Tensor) else inputs)}
    found = _start(roots, cotangents, targets, retain_graph, create_graph)
    for node, g, borrowed in found:  # after the whole pass has succeeded
        leaf: Any = node.owner()  # type: ignore[attr-defined]  # without targets only leaves are found, with them too
        if leaf is None or leaf.node is None:  # it is gone, or asks no more
            taken: Any = node.taken() if leaf is None and not create_graph else None  # type: ignore[attr-defined]
            if taken is not None and taken.node is None:  # somebody kept its .grad, to which PyTorch goes on adding
                np.add(taken.array, g, out=taken.array)
                stamp(taken.array, "backward, which added to .grad", "backward")
            continue
        if leaf._grad is None and not create_graph:
            leaf._grad = wrap(g.copy("K") if borrowed else g)
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
    roots = (outputs,) if isinstance(outputs, Tensor) else _several(outputs, "grad", "outputs")
    wanted = (inputs,) if isinstance(inputs, Tensor) else _several(inputs, "grad", "inputs")
    for i, x in enumerate(wanted):
        if x.node is None:
            raise GraphError(f"grad: input {i} of shape {x.array.shape} does not require a gradient")
    found = _start(
        roots, _listed(grad_outputs, len(roots), "grad"), {x.node for x in wanted}, retain_graph, create_graph
    )
    totals = {node: (g, lent) for node, g, lent in found if not (isinstance(node, Leaf) and node.owner is nobody)}
    if allow_unused is None:
        allow_unused = materialize_grads
    missing = [i for i, x in enumerate(wanted) if x.node not in totals]
    if missing and not allow_unused:
        raise GraphError(
            f"grad: the outputs do not depend on input {missing}; pass `allow_unused=True` to get None for it, or "
            "`materialize_grads=True` for zeros"
        )
    given = grad_outputs if isinstance(grad_outputs, tuple | list) else (grad_outputs,)
    taken = {id(buffer_of(t.array)) for t in (*wanted, *given) if isinstance(t, Tensor)}
    taken.update(id(one) for one in _ONES.values())
    results = []
    for x in wanted:
        result = _result(x, totals, create_graph, materialize_grads, taken)
        if result is not None:
            taken.add(id(buffer_of(result.array)))
            if getattr(result, "_view", None) is not None:
                on_its_own(result)
        results.append(result)
    return tuple(results)


def _several(given: Any, op: str, name: str) -> tuple[Any, ...]:
    """Several tensors as a tuple; DtypeError if one of them is none."""
    several = tuple(given) if isinstance(given, Iterable) else (given,)
    for x in several:
        array_of(x, op, name)
    return several


def _result(x: Any, totals: dict[Any, Any], create: bool, zeros: bool, taken: set[int]) -> Any:
    """The gradient of x in memory of its own: `a + b` hands one array to both, and a write shows in one only."""
    if x.node not in totals:
        return wrap(np.zeros_like(x.array)) if zeros else None
    g, borrowed = totals[x.node]
    if create:
        return _own(g) if id(buffer_of(g.array)) in taken or coincide(g.array) else g
    return wrap(g.copy("K") if borrowed or id(buffer_of(g)) in taken else g)


def _own(g: Any) -> Any:
    """A gradient with memory of its own, still in its graph."""
    with enable_grad():
        return g.clone()


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
            "or it was made under no_grad. Create a leaf with `requires_grad=True`; a weight that was replaced, "
            "`w = w - lr * w.grad`, is none any more: write `with tg.no_grad(): w -= lr * w.grad`"
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
    """Add a total to a leaf's `.grad`: in place, unless the gradient is to have a graph."""
    if create:
        with enable_grad():
            leaf._grad = _own(g) if leaf._grad is None else leaf._grad + g
        return
    array = leaf._grad.array
    if array.shape != g.shape or (array.dtype is not g.dtype and array.dtype != g.dtype):
        raise ShapeError(
            f"backward: a gradient of shape {g.shape} {g.dtype} cannot be added to a .grad of shape "
            f"{leaf._grad.array.shape} {leaf._grad.array.dtype}; set `.grad = None` where `.data` was changed"
        )
    try:
        np.add(array, g, out=array)
    except ValueError:  # read-only: an expanded view that somebody assigned
        leaf._grad = wrap(array + g)
    else:
        stamp(array, "backward, which added to .grad", "backward")
