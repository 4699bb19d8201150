"""The Tracer: an array that notes down every NumPy call made on it, and goes on computing.

It stands in a Tensor for the array (`t.array`), so that forward, backward and the optimiser's update, which are all
NumPy calls, write the program while they run. It holds the real array too: shapes and dtypes are NumPy's own answers.

What is written in place is kept apart by `Storage`: a Tracer is a storage and a view of it (`path`, a chain of views).
A write gives the storage a new Value, and every view of it reads from that one from then on.
Read `spelling.py` next: how NumPy's functions become primitives.
"""

from __future__ import annotations

from operator import attrgetter
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from .. import pytree
from ..core import Tensor
from ..duck import Duck
from ..pytree import operands
from . import spelling
from .program import MEMORY

if TYPE_CHECKING:
    from .program import Primitive, Value
    from .trace import Trace

    Path = tuple[tuple[Primitive, tuple[Any, ...]], ...]


class Storage:
    """One piece of memory: the Value that it holds now, and how often it was written to.

    `real` is the array that is there, `actual` what the recording computes with: memory that others see is copied
    before the first write, so that nobody learns of it.
    """

    __slots__ = ("__weakref__", "actual", "home", "parts", "real", "trace", "value", "version", "views")

    def __init__(self, trace: Trace, actual: np.ndarray, value: Value) -> None:
        self.trace, self.value, self.version = trace, value, 0
        self.real: Any = actual
        self.actual: Any = actual
        self.home: Any = None  # the memory of the program that this is, if it outlives the step
        self.views: dict[Any, Any] = {}  # (Value, id of a step on a path) → the view of it, its array, the step
        self.parts: dict[int, Owner] = {}  # where several tensors lie in it: the first step to each, and who it is

    def known(self) -> bool:
        """Whether it still holds what it held before the step, in memory that outlives it."""
        return self.version == 0 and self.home is not None and self.home.kind == MEMORY

    def own(self) -> None:
        """From now on the recording computes with memory of its own, which lies as the real array does."""
        start, end = byte_bounds(self.real)
        block = np.empty(end - start, np.uint8)
        at = self.real.__array_interface__["data"][0] - start
        self.actual = np.ndarray(self.real.shape, self.real.dtype, block, at, self.real.strides)
        self.actual[...] = self.real


class Owner:
    """Whose memory a part of a longer one is: a write to it is none to its neighbours (`memory.py`)."""

    __slots__ = ("__weakref__",)


class Tracer(Duck):
    """An array's stand-in; see the head of this file."""

    __slots__ = ("_actual", "_of", "_read", "path", "storage")
    base = property(lambda self: self.storage if self.path else None)

    def __init__(self, storage: Storage, actual: np.ndarray, path: Path = ()) -> None:
        self.storage, self._actual, self._of, self.path = storage, actual, storage.actual, path
        self._read: tuple[int, Any] = (-1, None)

    # ------------------------------------------------------------ what it is
    @property
    def owner(self) -> Any:
        """What stands for the array that owns this memory."""
        storage = self.storage
        return storage.parts.get(id(self.path[0]), storage) if storage.parts and self.path else storage

    @property
    def actual(self) -> Any:
        """The array that the recording computes with."""
        if self._of is not self.storage.actual:
            writeable = self._actual.flags.writeable  # whether somebody set, or took away, the flag of this view
            self._of, self._actual = self.storage.actual, self.looked(self.storage.actual)
            if self._actual.flags.writeable != writeable:
                self._actual.flags.writeable = writeable
        return self._actual

    def looked(self, array: np.ndarray) -> Any:
        """The same view of another array."""
        for prim, args in self.path:
            array = prim.function(array, *args)
        return array

    shape = property(lambda self: self.actual.shape)
    dtype = property(lambda self: self.actual.dtype)
    ndim = property(lambda self: self.actual.ndim)
    size = property(lambda self: self.actual.size)
    itemsize = property(lambda self: self.actual.itemsize)
    nbytes = property(lambda self: self.actual.nbytes)
    strides = property(lambda self: self._laid_out().strides)
    flags = property(lambda self: self._laid_out().flags)

    def _laid_out(self) -> np.ndarray:
        """The real array, to be asked how it lies in memory: the program then holds for arguments that lie so.

        Memory that outlives the step is the very same array at each call.
        """
        home = self.storage.home
        if home is None or home.kind != MEMORY:
            self.storage.trace.layout = True
        array: np.ndarray = self.actual
        return array

    def __len__(self) -> int:
        return len(self.actual)

    def __iter__(self) -> Any:
        return iter([self[i] for i in range(len(self.actual))])

    def __repr__(self) -> str:
        return f"<traced {self.actual.dtype}{list(self.actual.shape)}>"

    def value(self) -> Value:
        """What a call that reads this array now reads."""
        storage = self.storage
        if not self.path:
            whole: Value = storage.value
            return whole
        if self._read[0] != storage.version:
            value, real = storage.value, storage.actual
            for step in self.path:
                known = storage.views.get((value, id(step)))
                if known is None:
                    prim, args = step
                    real = prim.function(real, *args)
                    known = storage.views[value, id(step)] = storage.trace.view(prim, value, args, real), real, step
                value, real, _ = known
            self._read = storage.version, value
        found: Value = self._read[1]
        return found

    def write(self, new: Any) -> None:
        """Overwrite every entry, as `x[...] = new` does."""
        self.storage.trace.write(self, new)

    # ------------------------------------------------------------ NumPy's two protocols
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented
        return spelling.ufunc(self.storage.trace, ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(kind, Tensor) for kind in types):
            return NotImplemented
        return spelling.function(self.storage.trace, function, args, kwargs)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise self.storage.trace.refusal(
            "a function that does not dispatch (NEP 18) asked for the values of an array",
            "use a function of numpy or of tinygrad_bp, or compute this outside the step and pass the result in",
        )

    # ------------------------------------------------------------ indexing
    def __getitem__(self, key: Any) -> Any:
        return spelling.getitem(self.storage.trace, self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        spelling.setitem(self.storage.trace, self, key, value)

    # ------------------------------------------------------------ values that only a run knows
    def item(self, *args: Any) -> Any:
        """The only entry, as a number that is computed at each run."""
        return self.storage.trace.item(self[args] if args else self)

    def __bool__(self) -> bool:
        return bool(self._known())

    def __float__(self) -> float:
        return float(self._known())

    def __int__(self) -> int:
        return int(self._known())

    def __index__(self) -> int:
        return self._known().__index__()  # type: ignore[no-any-return]

    def _known(self) -> Any:
        """The only entry, if it is known before the step runs: then it is a number like a setting."""
        return self.item() if self.size == 1 and self.storage.known() else self._looked_at()

    def _looked_at(self, *args: Any) -> Any:
        raise self.storage.trace.refusal(
            "Python code needs the value of an array, for a branch or a loop",
            "choose with `tg.where(condition, a, b)`, or compute it outside the step and pass it in",
        )

    __complex__ = tolist = tobytes = __contains__ = __dlpack__ = __dlpack_device__ = _looked_at
    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not self.storage.trace.mine():
            return getattr(theirs(self), name)
        raise self.storage.trace.refusal(
            f"the array's attribute .{name} is not known to the compiler", f"use a function: `np.{name}(x, ...)`"
        )

    # ------------------------------------------------------------ methods: NumPy's functions of the same name
    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, **kwargs)

    def transpose(self, *axes: Any) -> Any:
        given = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return np.transpose(self, given or None)

    T = property(lambda self: np.transpose(self))
    mT = property(lambda self: np.swapaxes(self, -1, -2))
    real = property(lambda self: np.real(self))
    imag = property(lambda self: np.imag(self))

    def astype(self, dtype: Any, *, copy: bool = True, **kwargs: Any) -> Any:
        """The same values in another dtype."""
        return spelling.astype(self.storage.trace, self, np.dtype(dtype), copy)

    def copy(self, order: Any = "C") -> Any:
        """The same values in memory of their own."""
        return spelling.copy(self.storage.trace, self, order)

    def fill(self, value: Any) -> None:
        """Every entry the same number."""
        self.write(value)

    def flatten(self) -> Any:
        """The entries in one dimension, in memory of their own."""
        return np.ravel(self).copy()

    def dot(self, other: Any, out: Any = None) -> Any:
        """The matrix product."""
        return np.dot(self, other, out)

    def __divmod__(self, other: Any) -> Any:
        return np.floor_divide(self, other), np.remainder(self, other)


def _method(name: str) -> Any:
    function = getattr(np, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    method.__name__ = name
    return method


def _operator(ufunc: Any, reflected: bool = False, inplace: bool = False) -> Any:
    def operator(self: Any, other: Any) -> Any:
        if isinstance(other, Tensor) or other is None:
            return NotImplemented
        if inplace:
            return ufunc(self, other, out=self)
        return ufunc(other, self) if reflected else ufunc(self, other)

    return operator


BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "pow": np.power, "matmul": np.matmul, "and": np.bitwise_and, "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}  # fmt: skip
COMPARING = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
}  # fmt: skip
UNARY = {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}
METHODS = (
    "sum", "mean", "prod", "max", "min", "any", "all", "std", "var", "argmax", "argmin", "argsort", "cumsum", "cumprod",
    "clip", "round", "ravel", "squeeze", "swapaxes", "take", "repeat", "nonzero", "conj", "diagonal", "trace",
)  # fmt: skip
for _name, _ufunc in BINARY.items():
    setattr(Tracer, f"__{_name}__", _operator(_ufunc))
    setattr(Tracer, f"__r{_name}__", _operator(_ufunc, reflected=True))
    setattr(Tracer, f"__i{_name}__", _operator(_ufunc, inplace=True))
for _name, _ufunc in COMPARING.items():
    setattr(Tracer, f"__{_name}__", _operator(_ufunc))
POWERS = {1: np.positive, 2: np.square, 0.5: np.sqrt, -1: np.reciprocal}  # what an array's ** does for these


def _power(self: Any, exponent: Any) -> Any:
    if isinstance(exponent, int | float) and self.dtype.kind in "fc" and exponent in POWERS:
        return POWERS[exponent](self)
    return np.power(self, exponent)


setattr(Tracer, "__pow__", _power)  # noqa: B010
for _name, _ufunc in UNARY.items():
    setattr(Tracer, f"__{_name}__", lambda self, ufunc=_ufunc: ufunc(self))
for _name in METHODS:
    setattr(Tracer, _name, _method(_name))


def _by_whom(name: str, method: Any) -> Any:
    """A method as the thread that records calls it; another, which met the stand-in in a list, means the array itself.
    """

    def called(self: Tracer, *args: Any, **kwargs: Any) -> Any:
        if self.storage.trace.mine():
            return method(self, *args, **kwargs)
        args, kwargs = theirs(args), theirs(kwargs)
        if name == "__array_function__":
            return args[0](*args[2], **args[3])
        return getattr(theirs(self), name)(*args, **kwargs)

    called.__name__, called.__doc__ = name, method.__doc__
    return called


for _name, _function in list(vars(Tracer).items()):
    if isinstance(_function, FunctionType) and hasattr(np.ndarray, _name) and _name not in ("__init__", "__repr__"):
        setattr(Tracer, _name, _by_whom(_name, _function))


def theirs(tree: Any) -> Any:
    """A nested structure with the arrays that are there in the place of their stand-ins."""
    return real_of(tree, lambda tracer: tracer.looked(tracer.storage.real))


def real_of(tree: Any, array: Any = attrgetter("actual")) -> Any:
    """A nested structure with the real numbers, and `array(x)` of each Tracer x, in place of what stands for them."""

    def real(leaf: Any) -> Any:
        if isinstance(leaf, Tracer):
            return array(leaf)
        return leaf.actual if hasattr(leaf, "known_number") else leaf

    return pytree.map(real, tree, operands)


def traced(tree: Any) -> bool:
    """Whether a nested structure holds anything that stands for something else."""
    leaves = pytree.leaves(tree, operands)
    return any(isinstance(leaf, Tracer) or hasattr(leaf, "known_number") for leaf in leaves)


__all__ = ["Storage", "Tracer", "real_of", "traced"]
