"""Looking at gradients as they pass: hooks on tensors, and `retain_grad` for what is no leaf.

Read `functional.py` next."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

from ..core import KEEP, Leaf, Tensor, nobody
from ..duck import CHANGES
from ..errors import DtypeError, GraphError, kind_of
from .passes import backward

_ids = itertools.count()


class RemovableHandle:
    """Takes its hook away again: `handle.remove()`, or at the end of a `with` block.

    >>> import tinygrad_bp as tg
    >>> x = tg.ones(2, requires_grad=True)
    >>> with x.register_hook(lambda g: 10 * g):
    ...     x.sum().backward()
    >>> x.grad
    tensor([10., 10.])
    """

    def __init__(self, hooks: dict[int, Any]) -> None:
        self.hooks, self.id = hooks, next(_ids)

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        self.hooks.pop(self.id, None)
        CHANGES[0] += 1

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def register_hook(self: Any, hook: Any) -> RemovableHandle:
    """Call `hook(gradient)` when this tensor's whole gradient is known; what it returns replaces the gradient."""
    if not callable(hook):
        raise DtypeError(f"register_hook: a hook is a function of the gradient, not {kind_of(hook)}")
    node = self.node
    if node is None:
        raise GraphError("register_hook: this tensor does not require a gradient, so none will pass here")
    if isinstance(node, Leaf) and node.owner is nobody:  # no gradient is for this view, see alias.nowhere
        return RemovableHandle({})
    if node.hooks is None:
        node.hooks = {}
    handle = RemovableHandle(node.hooks)
    node.hooks[handle.id] = hook
    CHANGES[0] += 1
    return handle


def retain_grad(self: Any) -> None:
    """Keep the gradient of a tensor that is no leaf in its `.grad`."""
    if self.node is None:
        raise GraphError("retain_grad: this tensor does not require a gradient")
    if isinstance(self.node, Leaf):
        return
    if self.node.hooks is not None and KEEP in self.node.hooks:
        return  # asked twice, kept once
    this = weakref.ref(self)

    def keep(g: Any) -> None:
        tensor = this()
        if tensor is not None:
            kept = g.clone()
            tensor._grad = kept if tensor._grad is None else tensor._grad + kept

    self.node.hooks = self.node.hooks or {}
    self.node.hooks[KEEP] = keep
    CHANGES[0] += 1


def backward_method(
    self: Any, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
) -> None:
    """Add the gradient of this tensor to the `.grad` of the leaves it was made from; see `autograd.backward`."""
    backward(self, gradient, retain_graph, create_graph, inputs)


def bind() -> None:
    methods: dict[str, Any] = {
        "register_hook": register_hook, "retain_grad": retain_grad, "backward": backward_method,
    }  # fmt: skip
    for name, method in methods.items():
        method.__name__, method.__qualname__ = name, f"Tensor.{name}"  # what an error of the call calls it
        setattr(Tensor, name, method)


bind()
