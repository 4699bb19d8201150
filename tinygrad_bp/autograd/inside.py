"""What a Function's forward computes on its way: values that nothing records, and that a second derivative may need.

`forward` runs unrecorded, and `backward` is written by hand; so a gradient of a gradient that should pass a value
which is neither input nor output would end there, and be silently wrong. Here such values remember on which inputs
they depend. For the time of a backward that is to be differentiated they stand in the graph again, and the gradient
that reaches one raises, and names it. Comparisons, casts of masks and staircases depend on nothing. Read `hooks.py`
next.
"""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, Any

from .. import pytree
from ..core import Inside, Tensor
from ..errors import GraphError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Lost:
    """The op of such a value; its only rule refuses."""

    roles = ((),)
    saves = False

    def __init__(self, function: str, by: str, shape: Any) -> None:
        self.name, self.function, self.by, self.shape = by, function, by, shape
        self.where = ""

    @property
    def rules(self) -> Any:
        return (self.refuse,)

    pure = rules

    def refuse(self, g: Any) -> Any:
        raise GraphError(
            f"{self.function}: a second derivative passes {self.where or 'a value'} of shape {tuple(self.shape)} which "
            f"forward computed ({self.by}) and which is neither an input nor an output, so its own derivative is lost. "
            f"Save the inputs and compute it again in backward, or return it as an output; if it is a constant, say so "
            f"in backward: `.detach()`"
        )


class Forward:
    """One run of a forward whose call is recorded: `made` are the tensors computed in it, each with its node."""

    def __init__(self, function: str, nodes: list[Any]) -> None:
        self.function = function
        self.nodes = [node for node in nodes if node is not None]  # of the inputs that need a gradient
        self.made: list[tuple[weakref.ref[Any], Inside]] = []
        self.left = False  # whether values went where nothing can be followed: `detach`, NumPy

    def follow(self, tensor: Any, by: str, nodes: Any) -> Any:
        """`tensor`, computed by an operation from inputs of which some have `nodes`."""
        edges = tuple((node, 0, ()) for node in nodes if node is not None)
        if edges and tensor.array.dtype.kind in "fc":
            op = Lost(self.function, by, tensor.array.shape)
            tensor.node = Inside(op, edges, tensor.array.shape, tensor.array.dtype)
            self.made.append((weakref.ref(tensor), tensor.node))
        return tensor

    def end(self, ctx: Any, inputs: Any, outputs: list[Any]) -> list[tuple[weakref.ref[Any], Inside]]:
        """Forward is over: its tensors are constants again; what is left of them, but for inputs and outputs."""
        if not self.made and not self.left:
            return []
        known = {id(t) for t in (*inputs, *outputs)}
        kept = dict(_kept(ctx))
        if self.left:  # whatever has no known origin may come from the inputs
            for tensor in kept.values():
                if tensor.node is None and id(tensor) not in known:
                    self.follow(tensor, "outside the package's operations", self.nodes)
        names = {id(tensor): name for name, tensor in reversed(kept.items())}
        rest = [(tensor, node) for this, node in self.made if (tensor := this()) is not None and tensor.node is node]
        self.forget()
        for tensor, node in rest:
            node.op.where = names.get(id(tensor), "")
        return [(weakref.ref(tensor), node) for tensor, node in rest if id(tensor) not in known]

    def forget(self) -> None:
        """Constants again."""
        for this, node in self.made:
            tensor = this()
            if tensor is not None and tensor.node is node:
                tensor.node = None


def _kept(ctx: Any) -> Iterator[tuple[str, Any]]:
    """The tensors that a context keeps, and how backward reads them."""
    for i, (tensor, _, _) in enumerate(ctx._saved):
        if tensor is not None:
            yield f"ctx.saved_tensors[{i}]", tensor
    for name, value in vars(ctx).items():
        if not name.startswith("_"):
            yield from ((path, leaf) for path, leaf in pytree.paths(value, f"ctx.{name}") if isinstance(leaf, Tensor))


@contextlib.contextmanager
def standing(rest: list[tuple[weakref.ref[Any], Any]]) -> Iterator[None]:
    """The values in the graph, for the time of a backward."""
    there = [(tensor, node) for this, node in rest if (tensor := this()) is not None and tensor.node is None]
    for tensor, node in there:
        tensor.node = node
    try:
        yield
    finally:
        for tensor, node in there:
            if tensor.node is node:
                tensor.node = None
