"""What a step returns, as a recording notes it down: tensors of the program, views, gradients, numbers.

Read `recording.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from .program import Call, Value
    from .trace import Trace
    from .tracer import Tracer


THERE = object()  # in the place of a gradient of before of which only counts that it is there


class Output:
    """A leaf of what the step returns: where in the program's outputs, or numbers, it stands.

    kind: "tensor", "array", "number", or "live", a tensor whose graph the caller goes on with.
    """

    __slots__ = ("freed", "grad", "index", "kind")

    def __init__(self, kind: str, index: int, freed: bool = False) -> None:
        self.kind, self.index, self.freed = kind, index, freed
        self.grad: Any = None  # what its `.grad` holds when it is returned


class View:
    """A returned view of an argument, of memory, or of another output: it looks into the same memory as in eager.

    index: the number of the output that it is a view of, or None.
    """

    __slots__ = ("freed", "grad", "home", "index", "path", "tensor")

    def __init__(self, tracer: Tracer, tensor: bool, index: int | None = None, freed: bool = False) -> None:
        self.home, self.path, self.tensor = tracer.storage.home, tracer.path, tensor
        self.index, self.freed = index, freed
        self.grad: Any = None

    def of(self, array: np.ndarray, done: int = 0) -> np.ndarray:
        """The same look into an array, of which the first steps are `done`."""
        for prim, args in self.path[done:]:
            array = prim.function(array, *args)
        return array


class Made(NamedTuple):
    """A returned leaf of the step's own, as something of which the caller may want the gradient."""

    place: int


class Inner(NamedTuple):
    """An entry of a region, by its number: a result, or a node that several results were made from."""

    number: int


class RegionEntry(NamedTuple):
    """What an entry is: in which places it is returned (none, if it is no result), and whether it keeps its gradient.
    """

    places: list[int]
    shape: Any
    dtype: Any
    retains: bool


class Part:
    """The backward pass through one region of the graph: from its entries' cotangents to the gradients of its ends.

    entries: their numbers. ends: numbers of arguments, captured leaves, `Made` and `Inner`. saves: whether the pass
    uses the region up. error: what is raised instead, as eagerly.
    """

    def __init__(self, entries: list[int], cotangents: list[Value], saves: bool) -> None:
        self.entries, self.cotangents, self.saves = entries, cotangents, saves
        self.ends: list[Any] = []
        self.gradients: list[Value] = []
        self.calls: list[Call] = []
        self.error: Any = None


class Unreadable:
    """What stands for a gradient that the program cannot know: an argument's, or one with a graph from outside."""

    def __init__(self, trace: Trace, what: str, instead: str) -> None:
        self.__dict__.update(trace=trace, what=what, instead=instead)

    def __getattr__(self, key: str) -> Any:
        raise self.trace.refusal(f"the step reads the gradient of {self.what}", self.instead)


def _refused(self: Unreadable, *args: Any) -> Any:
    return self.__getattr__("")


for _name in ("add", "sub", "mul", "truediv", "pow", "matmul", "neg", "getitem", "setitem", "iadd", "imul", "isub"):
    for _side in ("", "r"):
        setattr(Unreadable, f"__{_side}{_name}__", _refused)
