"""What a tensor tells of itself and what it can be turned into: shape, numbers, arrays, dtypes.

These are the methods that are no mathematics; the loud exits from the graph are here too. Read `pickling.py` next.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .alarms import sounded, warn_left
from .alias import SEVERAL, bar, nobody_looks, part_ways, rests, root_of, shares, twin
from .axes import normal_axis
from .core import Inside, Leaf, Tensor, array_of, require_float, wrap
from .device import cpu_only, device
from .dtypes import bool as bool_
from .dtypes import dtype_of, float16, float32, float64, int8, int16, int32, int64, native, uint8
from .duck import CHANGES, as_array
from .errors import DtypeError, GraphError, ShapeError
from .kernels import converted
from .modes import MODE
from .ops.copies import cast, clone, contiguous

CPU = device()


class Size(tuple[int, ...]):
    """A shape: a tuple of ints with PyTorch's `numel()`.

    >>> import tinygrad_bp as tg
    >>> tg.ones(2, 3).shape
    Size([2, 3])
    """

    __slots__ = ()

    def numel(self) -> int:
        """The number of entries.

        >>> Size((2, 3)).numel()
        6
        """
        return int(np.prod(self, dtype=np.int64))

    def __repr__(self) -> str:
        return f"Size({list(self)})"


class Methods:
    """Tensor's methods (`_tensor.py`); `self` is always a Tensor."""

    array: Any
    node: Any
    grad: Any
    requires_grad: Any

    # ------------------------------------------------------------ what it is
    @property
    def shape(self) -> Size:
        """The sizes."""
        return Size(self.array.shape)

    @property
    def dtype(self) -> Any:
        """NumPy's dtype."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return int(self.array.ndim)

    @property
    def device(self) -> str:
        """Always 'cpu'."""
        return CPU

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it."""
        return self.node is None or isinstance(self.node, Leaf | Inside)

    @property
    def grad_fn(self) -> Any:
        """The node of the operation that made it; None for a leaf."""
        return None if self.is_leaf else self.node

    @property
    def data(self) -> Any:
        """The same memory without the graph; a write through it is seen where a gradient would need the old value."""
        left(self)
        return wrap(self.array)

    @data.setter
    def data(self, value: Any) -> None:
        array = value.array if isinstance(value, Tensor) else native(as_array(value))
        if isinstance(self.node, Leaf):
            require_float(array)
            self.node.shape, self.node.dtype = array.shape, array.dtype
        elif self.node is not None and (array.shape != self.array.shape or array.dtype != self.array.dtype):
            raise GraphError("data: a tensor in the middle of a graph must keep its shape and dtype")
        part_ways(self)
        self.array = array

    def size(self, dim: Any = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.shape if dim is None else self.array.shape[normal_axis(dim, self.array.ndim, "size")]

    def dim(self) -> int:
        """The number of dimensions."""
        return int(self.array.ndim)

    def numel(self) -> int:
        """The number of entries."""
        return int(self.array.size)

    def element_size(self) -> int:
        """Bytes of one entry."""
        return int(self.array.itemsize)

    def is_contiguous(self) -> bool:
        """Whether the entries lie in memory in order."""
        return bool(self.array.flags.c_contiguous)

    def contiguous(self) -> Any:
        """Itself if its entries lie in order, else a copy."""
        return self if self.array.flags.c_contiguous else contiguous(self)

    def stride(self, dim: Any = None) -> Any:
        """How many entries lie in memory between one and the next, along each dimension or along one."""
        array = self.array
        if array.size:
            steps = tuple([step // array.itemsize for step in array.strides])
        else:  # nothing lies anywhere: as if each size were at least 1
            steps = tuple([prod([max(n, 1) for n in array.shape[i + 1 :]]) for i in range(array.ndim)])
        return steps if dim is None else steps[normal_axis(dim, array.ndim, "stride")]

    def is_floating_point(self) -> bool:
        """Whether its dtype is a float."""
        return bool(self.array.dtype.kind == "f")

    # ------------------------------------------------------------ numbers and arrays
    def item(self) -> Any:
        """The only entry, as a Python number."""
        if self.array.size != 1:
            raise ShapeError(f"item: only a tensor of one entry is a number, and this has shape {self.array.shape}")
        return self.array.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        left(self)
        return self.array.tolist()

    def numpy(self) -> Any:
        """The array itself, sharing memory; refused where it would leave the graph unnoticed."""
        leave(self, "numpy()")
        return self.array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        leave(self, "np.asarray(t)")
        return np.array(self.array, dtype, copy=copy)

    def __float__(self) -> float:
        value = float(Methods.item(self))
        if MODE.grad and self.requires_grad:
            warn_left("float(t), or a function of Python's `math`, takes the number out of a tensor that requires a "
                      "gradient", "Compute with tensors, `t.sqrt()` for `math.sqrt(t)`; to show it, write `t.item()`")
        return value

    def __int__(self) -> int:
        return int(Methods.item(self))

    def __index__(self) -> int:
        value = Methods.item(self)
        if not isinstance(value, int):
            raise DtypeError(f"only an integer tensor can be an index, not {self.array.dtype}")
        return int(value)

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise ShapeError(
                f"the truth of a tensor of shape {self.array.shape} is ambiguous: use `t.any()` or `t.all()`"
            )
        return bool(self.array.item())

    def __len__(self) -> int:
        if self.array.ndim == 0:
            raise DtypeError("len() of a 0-d tensor: it has no dimension to count")
        return len(self.array)

    def __iter__(self) -> Any:
        if self.array.ndim == 0:
            raise DtypeError("iteration over a 0-d tensor: it has no dimension to walk along")
        views = [self[i] for i in range(len(self.array))]  # type: ignore[index]
        bar(views, SEVERAL)
        return iter(views)

    def __contains__(self, value: Any) -> bool:
        return bool(np.any(self.array == (value.array if isinstance(value, Tensor) else value)))

    def __hash__(self) -> int:
        return id(self)

    def __format__(self, spec: str) -> str:
        if spec and self.array.size == 1:
            return format(self.array.item(), spec)
        try:
            return format(repr(self), spec)
        except ValueError:
            raise DtypeError(
                f"format: {spec!r} is for one number, and this tensor has shape {self.array.shape}: format one entry, "
                f"`t.mean()`, or each: `[f'{{v:{spec}}}' for v in t.tolist()]`"
            ) from None

    # ------------------------------------------------------------ dtypes
    def to(self, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False, **kwargs: Any) -> Any:
        """In another dtype (`t.to(tg.float64)`, `t.to(other)`); the device can only be 'cpu'."""
        kwargs.pop("non_blocking", None)
        for arg in args:
            if isinstance(arg, Tensor):
                dtype = arg.array.dtype
            elif isinstance(arg, str) and arg.partition(":")[0].isalpha() and not _is_dtype(arg):
                device = arg
            elif arg is not None and not isinstance(arg, bool):
                dtype = arg
        cpu_only(device)
        if dtype is None or (dtype := dtype_of(dtype)) == self.array.dtype:
            return clone(self) if copy else self
        return _cast(self, dtype)

    def astype(self, dtype: Any) -> Any:
        """In another dtype, by NumPy's name for it."""
        return Methods.to(self, dtype)

    def type(self, dtype: Any = None) -> Any:
        """The dtype's name, or the tensor in another dtype."""
        return f"tinygrad_bp.{self.array.dtype}" if dtype is None else Methods.to(self, dtype)

    def type_as(self, other: Any) -> Any:
        """In the dtype of `other`."""
        return Methods.to(self, array_of(other, "type_as", "other").dtype)

    def cpu(self) -> Any:
        """Itself: tensors are on the CPU."""
        return self

    def cuda(self, device: Any = None) -> Any:
        """Refused: there is no GPU here."""
        cpu_only("cuda", "`.cuda()`")
        return self

    # ------------------------------------------------------------ the graph
    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Ask for a gradient, in place; returns itself."""
        self.requires_grad = requires_grad
        return self

    def detach(self) -> Any:
        """The same memory, outside the graph."""
        left(self)
        return twin(self)

    def detach_(self) -> Any:
        """Cut it off from what made it; returns itself."""
        if root_of(self) is not self:
            raise GraphError(f"detach_: a view of shape {self.array.shape} stays a view of its base; use `x.detach()`")
        if self.is_leaf:
            self.requires_grad = False
        CHANGES[0] += 1
        self.node = None
        rests(self)
        return self

    def view(self, *shape: Any) -> Any:
        """The same memory in another shape; where that would take a copy it raises, and `reshape` does not."""
        made = self.reshape(*shape)  # type: ignore[attr-defined]
        if not shares(made.array, self.array) and nobody_looks(self):
            self.array = self.array.copy()  # the entries in order, where PyTorch's results lie so from the beginning
            made = self.reshape(*shape)  # type: ignore[attr-defined]
        if made.array.size and not shares(made.array, self.array):
            raise ShapeError(
                f"view: the entries of this tensor of shape {self.array.shape} do not lie in memory in such an order "
                f"that shape {made.array.shape} could look at them; use `x.reshape(...)`, which copies where it must"
            )
        return made

    def view_as(self, other: Any) -> Any:
        """The same memory in the shape of `other`."""
        return self.view(array_of(other, "view_as", "other").shape)

    def reshape_as(self, other: Any) -> Any:
        """Reshaped to the shape of `other`, by a copy where a view will not do."""
        return self.reshape(array_of(other, "reshape_as", "other").shape)  # type: ignore[attr-defined]

    def expand_as(self, other: Any) -> Any:
        """Expanded to the shape of `other`."""
        return self.expand(array_of(other, "expand_as", "other").shape)  # type: ignore[attr-defined]


def _is_dtype(name: str) -> bool:
    try:
        np.dtype(name)
    except TypeError:
        return False
    return True


def left(tensor: Any) -> None:
    """In the forward of a Function: from here on nobody can tell what is computed from this tensor."""
    if MODE.forward is not None and tensor.node is not None:
        MODE.forward.left = True


def leave(tensor: Any, how: str) -> None:
    left(tensor)
    if MODE.grad and tensor.node is not None and not isinstance(tensor.node, Inside):
        raise GraphError(
            f"{how} on a tensor of shape {tensor.array.shape} that requires a gradient would leave the graph: "
            "use `t.detach().numpy()`"
        )


def _cast(x: Any, dtype: np.dtype[Any]) -> Any:
    """A float cast stays in the graph; a cast to integers leaves it, as in PyTorch."""
    if dtype.kind in "fc" and x.node is not None:
        return cast(x, dtype)
    return wrap(sounded(f"a conversion to {dtype}", converted, x.array, dtype))


def _converter(dtype: Any, name: str) -> Any:
    def convert(self: Any) -> Any:
        return self if self.array.dtype == dtype else _cast(self, dtype)

    convert.__name__, convert.__doc__ = name, f"In dtype {dtype}."
    return convert


CONVERTERS = {
    "float": float32, "double": float64, "half": float16, "int": int32, "long": int64, "short": int16, "char": int8,
    "byte": uint8, "bool": bool_,
}  # fmt: skip


NO_METHODS = ("__module__", "__dict__", "__weakref__", "__annotations__", "__doc__", "__qualname__")
METHODS = {
    **{name: value for name, value in vars(Methods).items() if name not in NO_METHODS},
    **{name: _converter(dtype, name) for name, dtype in CONVERTERS.items()},
    "nelement": Methods.numel, "ndimension": Methods.dim,
}  # fmt: skip
