"""Writing into a tensor: `x += 1`, `x[0] = 2`, `x.zero_()`; and why it never makes a gradient wrong.

The new value is computed out of place, by the ordinary operation, and copied into the old memory, so that whoever looks
into it sees it. `adopt` then tells the graph: the tensor, the one into which it looks, and all other views of that one
get the nodes that describe what is there now (`alias.py`). What a rule had saved from the old memory is stamped, and a
backward that would read it raises. Everything that can be refused is refused before anything is written. Read
`methods.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import dialect
from .alarms import warn
from .alias import give, root_of, written
from .core import Leaf, Tensor, wrap
from .duck import Duck, as_array
from .errors import DtypeError, InplaceError, ShapeError
from .fitting import numbers, stored
from .memory import coincide, stamp
from .modes import MODE
from .ops.indexing import getitem, put
from .ops.keys import steps
from .ops.keys import write as write_at
from .ops.parts import part_node

if TYPE_CHECKING:
    from collections.abc import Callable


# ------------------------------------------------------------ what may not be written to
def refuse(tensor: Any, by: str, graph: bool = False) -> None:
    """Raise if this tensor may not be written to, by a value that brings a graph or by one that does not."""
    root = root_of(tensor)
    if MODE.grad and (graph or tensor.node is not None or root.node is not None):
        _refuse_in_graph(tensor, root, by)
    if not tensor.array.flags.writeable:
        raise InplaceError(
            f"{by}: this tensor of shape {tensor.array.shape} is in read-only memory (made from a read-only array, or "
            "expanded); write to a copy: `x = x.clone()`"
        )


def _refuse_in_graph(tensor: Any, root: Any, by: str) -> None:
    shape = tensor.array.shape
    if tensor is not root and tensor._view.barred:
        raise InplaceError(
            f"{by}: a view of shape {shape} {tensor._view.barred}, so it may not be changed in place where a graph is "
            "recorded. Take the view by an index instead (`v = x[0]`), or make a new tensor: `y = v + 1`"
        )
    if isinstance(root.node, Leaf) or isinstance(tensor.node, Leaf):
        what = f"a view of shape {shape} of a leaf" if tensor is not root else f"a leaf of shape {shape}"
        raise InplaceError(
            f"{by}: {what} that requires a gradient cannot be changed in place: the gradient belongs to its value. Do "
            "it under `with tg.no_grad():`, or change a copy: `y = x.clone()`"
        )


def refuse_coinciding(tensor: Any, by: str) -> None:
    if coincide(tensor.array):
        raise InplaceError(
            f"{by}: several entries of this expanded tensor of shape {tensor.array.shape} are one number in memory; "
            "write to a copy: `x = x.clone()`"
        )


# ------------------------------------------------------------ the write, and what follows from it
def written_from(value: Any) -> None:
    """In the forward of a Function: what is written into a tensor may come from its inputs."""
    if MODE.forward is not None and isinstance(value, Tensor) and value.node is not None:
        MODE.forward.left = True


def write(tensor: Any, value: Any, node: Any, by: str) -> Any:
    """The numbers into the memory, and the node that made them into the graph; returns the tensor."""
    tensor.array[...] = value
    stamp(tensor.array, by)
    adopt(tensor, node)
    return tensor


def adopt(tensor: Any, node: Any) -> None:
    """After a write of a value that `node` made (None: a constant): the nodes of the tensor, its root and its views."""
    root = root_of(tensor)
    if MODE.grad and (node is not None or root.node is not None):
        steps = () if tensor is root else tensor._view.steps
        give(root, part_node(root, node, steps) if steps or node is None else node)
    written(root)
    if MODE.grad:
        _ = tensor.node  # the view that was written is up to date at once, as in PyTorch; others when they are asked


def overwrite(tensor: Any, new: Any, by: str) -> Any:
    """Put the value and the node of `new`, of the same shape, into `tensor`."""
    written_from(new)
    array = tensor.array
    new = new if isinstance(new, Tensor) else wrap(as_array(new))
    if np.broadcast_shapes(new.array.shape, array.shape) != array.shape:
        raise ShapeError(f"{by}: a result of shape {new.array.shape} does not fit in place into shape {array.shape}")
    if not np.can_cast(new.array.dtype, array.dtype, "same_kind"):
        raise DtypeError(
            f"{by}: a result of dtype {new.array.dtype} cannot be written into {array.dtype}; convert first"
        )
    if new.node is not None:  # else it was asked before
        refuse(tensor, by, True)
    refuse_coinciding(tensor, by)
    node = fitted(new, tensor).node if MODE.grad and new.node is not None else None
    return write(tensor, new.array, node, by)


def fitted(value: Any, like: Any) -> Any:
    """A value with a graph, in the dtype of what it is written to, and broadcast to its shape."""
    if value.array.dtype != like.array.dtype:
        value = value.to(like.array.dtype)
    surplus = value.array.ndim - like.array.ndim
    if surplus > 0:
        value = value.reshape(value.array.shape[surplus:])
    return value if value.array.shape == like.array.shape else value.broadcast_to(like.array.shape)


def before(tensor: Any) -> Any:
    """The tensor as it is now, with memory of its own, so that a rule may keep the old value.

    A view comes with a node made anew from its root's, as in PyTorch: hooks on the view see what reads the view.
    """
    if not MODE.grad:
        return tensor
    node, root = tensor.node, root_of(tensor)
    if root is not tensor and root.node is not None and node is not None:
        node = tensor._view.node(root.node)
    return wrap(tensor.array.copy(), node)


def in_place(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The in-place form of an operation."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        refuse(self, name)
        return overwrite(self, call(before(self), *args, **kwargs), name)

    method.__name__ = name
    return method


# ------------------------------------------------------------ values put in
def put_in(tensor: Any, value: Any, by: str) -> Any:
    """Every entry of `tensor` from `value`, a number, an array or a Tensor, which broadcasts and is converted."""
    written_from(value)
    given = value.array if isinstance(value, Tensor) else numbers(by, value)
    graph = MODE.grad and isinstance(value, Tensor) and value.node is not None
    refuse(tensor, by, graph)
    if graph or by not in ("zero_", "fill_"):
        refuse_coinciding(tensor, by)
    if isinstance(given, int):
        given = stored(by, given, tensor.array.dtype)
    shape, target = np.shape(given), tensor.array.shape
    surplus = len(shape) - len(target)
    if any(n not in (1, m) for n, m in zip(shape[max(surplus, 0) :], target[max(-surplus, 0) :], strict=True)) or any(
        n != 1 for n in shape[: max(surplus, 0)]
    ):
        raise ShapeError(f"{by}: a value of shape {shape} does not broadcast to {target}, which is to be written")
    node = fitted(value, tensor).node if graph else None
    if node is not None and root_of(tensor) is tensor:
        node = part_node(tensor, node, ())  # what led here gets a gradient of 0, and a leaf's node stays its own
    return write(tensor, given, node, by)


def setitem(self: Any, key: Any, value: Any) -> None:
    """x[key] = value, for every kind of index; the value broadcasts, leading sizes of 1 may be too many."""
    by = "x[...] = value"
    graph = MODE.grad and (self.node is not None or (isinstance(value, Tensor) and value.node is not None))
    array = self.array
    whole = type(array) is np.ndarray and array.base is None and array.flags.writeable  # nobody's view
    if not graph and (whole or not coincide(array) or repeated(array, key)):
        if not whole:
            refuse(self, by)
        written_from(value)
        write_at(array, key, value.array if isinstance(value, Tensor) else value)
        stamp(array, by)
        written(self if whole else root_of(self))
        return
    *first, last = steps(key, self.array.shape)
    part = getitem(self, first[0]) if first else self
    if dialect.basic(last):
        part = getitem(part, last)
        if same_part(part, value):
            written(root_of(part))
        else:
            put_in(part, value, by)
        return
    refuse(part, by, graph)
    if isinstance(value, Tensor) and value.array.dtype != part.array.dtype:
        value = value.to(part.array.dtype)  # type: ignore[attr-defined]
    overwrite(part, put(before(part), value, last), by)


def repeated(array: Any, key: Any) -> bool:
    """Whether this is a write by a mask or by indices to entries that coincide: the last one wins, as in PyTorch."""
    if isinstance(array, Duck) or all(dialect.basic(step) for step in steps(key, array.shape)):
        return False
    warn_repeated("x[...] = value by a mask or by indices", array)
    return True


def warn_repeated(by: str, array: Any) -> None:
    warn(
        f"{by}: several entries of this expanded tensor of shape {array.shape} are one number in memory, and each "
        "write to one of them shows in all. Write to a copy: `x = x.clone()`"
    )


def filling(call: Callable[..., Any]) -> Callable[..., Any]:
    """The in-place form of `masked_fill`, which PyTorch allows on entries that coincide."""
    usual = in_place(call, "masked_fill_")

    def masked_fill_(self: Any, mask: Any, value: Any) -> Any:
        """The entries where `mask` is true replaced by `value`, in place."""
        graph = MODE.grad and (self.node is not None or getattr(value, "node", None) is not None)
        if graph or isinstance(self.array, Duck) or not coincide(self.array):
            return usual(self, mask, value)
        refuse(self, "masked_fill_")
        new = call(self, mask, value).array  # which says what does not fit
        where = np.broadcast_to(mask.array, self.array.shape)
        warn_repeated("masked_fill_", self.array)
        self.array[where] = new[where]
        stamp(self.array, "masked_fill_")
        written(root_of(self))
        return self

    return masked_fill_


def same_part(part: Any, value: Any) -> bool:
    """`x[0] += w` ends with `x[0] = changed`, where `changed` is the part itself: nothing is left to do."""
    if not isinstance(value, Tensor) or root_of(value) is not root_of(part) or root_of(value) is value:
        return False
    if value._view.barred:  # type: ignore[attr-defined]
        return False
    ours, theirs = (x.actual if isinstance(x, Duck) else x for x in (part.array, value.array))
    return (ours.ctypes.data, ours.shape, ours.strides) == (theirs.ctypes.data, theirs.shape, theirs.strides)


def zero_(self: Any) -> Any:
    """Every entry 0; what led here gets a gradient of 0."""
    return put_in(self, 0, "zero_")


def fill_(self: Any, value: Any) -> Any:
    """Every entry `value`, a number or a 0-d tensor."""
    if np.ndim(value.array if isinstance(value, Tensor) else value):
        raise ShapeError(f"fill_: the value is a number or a 0-d tensor, not of shape {tuple(np.shape(value))}")
    return put_in(self, value, "fill_")


def copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
    """The entries of `src`, which broadcasts and is converted; the gradient goes to `src`."""
    if np.ndim(src.array if isinstance(src, Tensor) else src) > self.array.ndim:
        raise ShapeError(
            f"copy_: {tuple(np.shape(src))} has more dimensions than {self.array.shape}; use `x[...] = src`"
        )
    return put_in(self, src, "copy_")


METHODS = {"__setitem__": setitem, "zero_": zero_, "fill_": fill_, "copy_": copy_}
