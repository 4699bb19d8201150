"""Writing into a tensor: `x += 1`, `x[0] = 2`, `x.zero_()`; and why it never makes a gradient wrong.

The new value is computed out of place, by the ordinary operation, and then copied into the old memory; the tensor takes
the new node. What had been saved from the old memory is stamped, so a backward that would read it raises; other
tensors that look into the same memory raise when they are used. Read `methods.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import dialect
from .core import Leaf, Tensor, wrap
from .duck import as_array
from .errors import DtypeError, InplaceError, ShapeError
from .memory import REWRITTEN, check_alias, rewrite, settle, stamp
from .mode import MODE
from .ops.indexing import put
from .ops.keys import steps, write

if TYPE_CHECKING:
    from collections.abc import Callable


def refuse_leaf(tensor: Tensor, by: str) -> None:
    """A leaf in a graph keeps its value: the gradient belongs to it."""
    if MODE.grad and isinstance(tensor.node, Leaf):
        raise InplaceError(
            f"{by}: a leaf of shape {tensor.array.shape} that requires a gradient cannot be changed in place. Do it "
            "under `with tg.no_grad():`, or make a new tensor: `y = x + 1`"
        )
    if not tensor.array.flags.writeable:
        raise InplaceError(
            f"{by}: this tensor of shape {tensor.array.shape} is read-only (an expanded view, or made from a read-only "
            "array); write to a copy: `x = x.clone()`"
        )


def written_from(value: Any) -> None:
    """In the forward of a Function: what is written into a tensor may come from its inputs."""
    if MODE.forward is not None and isinstance(value, Tensor) and value.node is not None:
        MODE.forward.left = True


def overwrite(tensor: Tensor, new: Any, by: str) -> Any:
    """Put the value and the node of `new` into `tensor`."""
    written_from(new)
    array = tensor.array
    value = new.array if isinstance(new, Tensor) else as_array(new)
    node = new.node if isinstance(new, Tensor) and MODE.grad else None
    if np.broadcast_shapes(value.shape, array.shape) != array.shape:
        raise ShapeError(f"{by}: a result of shape {value.shape} does not fit in place into shape {array.shape}")
    if not np.can_cast(value.dtype, array.dtype, "same_kind"):
        raise DtypeError(f"{by}: a result of dtype {value.dtype} cannot be written into {array.dtype}; convert first")
    if node is not None and (node.shape != array.shape or node.dtype != array.dtype):
        raise ShapeError(
            f"{by}: a result of shape {node.shape} {node.dtype} with a graph cannot replace {array.shape} {array.dtype}"
        )
    if node is not None and tensor.node is None:
        rewrite(array, node, by, abandoned=True)
        tensor.array = array = array.copy()
    array[...] = value
    stamp(array, by)
    if node is not None or (MODE.grad and tensor.node is not None and not isinstance(tensor.node, Leaf)):
        tensor.node = node
        if node is not None:
            rewrite(array, node, by)
    return tensor


def before(tensor: Tensor, by: str) -> Any:
    """The tensor as it is now, with memory of its own, so that a rule may keep the old value."""
    if not MODE.grad:
        return tensor
    if REWRITTEN:
        check_alias(tensor.array, tensor.node, by)
    return wrap(tensor.array.copy(), tensor.node)


def in_place(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The in-place form of an operation."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_leaf(self, name)
        return overwrite(self, call(before(self, name), *args, **kwargs), name)

    method.__name__ = name
    return method


def setitem(self: Any, key: Any, value: Any) -> None:
    """x[key] = value, for every kind of index; the value broadcasts."""
    refuse_leaf(self, "x[...] = value")
    needs = MODE.grad and (self.node is not None or (isinstance(value, Tensor) and value.node is not None))
    if needs:
        if REWRITTEN and isinstance(value, Tensor) and dialect.basic(plain := steps(key, self.array.shape)[-1]):
            settle(self.array[plain], value.array, value.node)
        overwrite(self, put(self, value, key), "x[...] = value")
        return
    written_from(value)
    write(self.array, key, value.array if isinstance(value, Tensor) else value)
    stamp(self.array, "x[...] = value")


def zero_(self: Any) -> Any:
    """Every entry 0; what led here gets no gradient any more."""
    setitem(self, Ellipsis, 0)
    return self


def fill_(self: Any, value: Any) -> Any:
    """Every entry `value`, a number or a 0-d tensor."""
    setitem(self, Ellipsis, value)
    return self


def copy_(self: Any, src: Any) -> Any:
    """The entries of `src`, which broadcasts and is converted; the gradient goes to `src`."""
    setitem(self, Ellipsis, src)
    return self
