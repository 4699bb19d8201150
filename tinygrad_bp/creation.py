"""Making tensors: from Python data, from arrays, from sizes.

Python floats take the default dtype (float32), Python ints int64, arrays keep their own dtype. Read
`conversion.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import pytree
from .alarms import warn_left
from .core import Leaf, require_float, wrap
from .core import array_of as tensor_array
from .device import cpu_only
from .dtypes import dtype_of, get_default_dtype, native
from .duck import TRACES, Array, Duck, tracing
from .errors import DtypeError, ShapeError, kind_of, require_numbers, require_whole
from .fitting import numbers, stored, within
from .kernels import blank_like
from .modes import MODE
from .ops.shapes import sizes

if TYPE_CHECKING:
    from ._tensor import Tensor
else:
    from .core import Tensor

__all__ = [
    "arange", "as_tensor", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "linspace", "ones",
    "ones_like", "tensor", "zeros", "zeros_like",
]  # fmt: skip


def array_of(data: Any, dtype: Any = None) -> Any:
    """A fresh array of Python data, of an array, or of a Tensor; ragged and non-numeric data are refused."""
    entered(data)
    tensors = _tensors(data)
    if MODE.grad and any(tensor.requires_grad for tensor in tensors):
        warn_left(
            "a new tensor is made of values that require a gradient",
            "Join tensors with `tg.stack([a, b])` or `tg.cat`, copy one with `t.clone()`; where it is meant, write "
            "`t.detach()`",
        )
    dtype = dtype if dtype is None else dtype_of(dtype)
    if isinstance(data, Tensor | Duck):
        array = data.array if isinstance(data, Tensor) else data
        return array.astype(dtype or array.dtype) if isinstance(array, Duck) else native(np.array(array, dtype))
    python = isinstance(data, list | tuple | int | float)
    if tensors:
        data = pytree.map(lambda leaf: leaf.array if isinstance(leaf, Tensor) else leaf, data, pytree.row)
    try:
        array = native(np.array(data))
    except ValueError as error:
        raise ShapeError(f"tensor: the rows of this list differ in length: {error}") from None
    if array.dtype.kind not in "biufc":
        held = f"{array.dtype} {array.shape}" if isinstance(data, np.ndarray) else f"{kind_of(data)}: {data!r:.80}"
        raise DtypeError(f"tensor: numbers, or lists of them, are expected, not {held}")
    if dtype is None and python and array.dtype == np.float64 and not _holds_arrays(data):
        dtype = get_default_dtype()
    if dtype is not None and python and array.size and array.dtype.kind == "i":
        for extreme in (array.min(), array.max()):
            within("tensor", int(extreme), dtype)
    return array if dtype is None else array.astype(dtype, copy=False)


def entered(data: Any) -> None:
    """In the forward of a Function: nobody can tell whether an array, or bare values, depend on its inputs."""
    if MODE.forward is not None and not isinstance(data, int | float):
        MODE.forward.left = True


def _tensors(data: Any) -> list[Any]:
    """The Tensors in nested lists, or the one that `data` is."""
    leaves = pytree.leaves(data, pytree.row)
    if not any(issubclass(kind, Tensor) for kind in set(map(type, leaves))):  # of ten thousand numbers, one look
        return []
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _holds_arrays(data: Any) -> bool:
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return isinstance(data, np.ndarray | np.generic)


def legacy_array(*data: Any) -> Any:
    """What `Tensor(...)` means in PyTorch: data in the default dtype, or sizes for an array of zeros."""
    if len(data) == 1 and not isinstance(data[0], int):
        return array_of(data[0], get_default_dtype())
    return np.zeros(sizes(data), get_default_dtype()) if data else np.zeros(0, get_default_dtype())


def made(array: Any, requires_grad: bool = False) -> Tensor:
    """A fresh tensor, which owns its memory and so is nobody's view."""
    array = native(array if array.base is None else array.copy("K"))
    if TRACES and not isinstance(array, Duck) and (trace := tracing()):
        array = trace.fresh(array)
    tensor = wrap(array)
    if requires_grad:
        require_float(array)
        tensor.node = Leaf(tensor)
    return tensor


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of `data`: numbers, nested lists, arrays, tensors.

    >>> import tinygrad_bp as tg
    >>> tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    tensor([[1., 2.],
            [3., 4.]])
    """
    cpu_only(device)
    return made(array_of(data, dtype), requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, without a copy where none is needed; a Tensor of the right dtype is returned as it is.

    >>> import numpy as np, tinygrad_bp as tg
    >>> a = np.zeros(2)
    >>> tg.as_tensor(a).array is a
    True
    """
    cpu_only(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, Array):
        entered(data)
        return wrap(native(data if dtype is None else data.astype(dtype_of(dtype), copy=False)))
    return made(array_of(data, dtype))


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the array's memory and dtype; of an array in foreign byte order it is a copy.

    >>> import numpy as np, tinygrad_bp as tg
    >>> a = np.zeros(2)
    >>> t = tg.from_numpy(a)
    >>> a[0] = 1
    >>> t
    tensor([1., 0.], dtype=float64)
    """
    given: Any = array
    if not isinstance(given, Array) or given.dtype.kind not in "biufc":
        detail = f"an array of {given.dtype}" if isinstance(given, np.ndarray) else kind_of(given)
        raise DtypeError(f"from_numpy: expected an array of numbers, got {detail}; use `tg.tensor(data)`")
    entered(given)
    return wrap(native(given))


def filled(shape: Any, value: Any, dtype: Any, device: Any, requires_grad: bool, like: Any = None) -> Tensor:
    """One number in each place; `like` is an array of the shape, whose order in memory it takes over."""
    cpu_only(device)
    value = float(value) if hasattr(value, "known_number") else _number(value)  # a compiler's stand-in says what it is
    dtype = dtype_of(dtype)
    try:
        number = stored("full", numbers("full", value), dtype)
        if like is None:
            return made(np.full(shape, number, dtype), requires_grad)
        array = blank_like(like, dtype)
        array[...] = number
        return made(array, requires_grad)
    except ValueError as error:
        raise ShapeError(f"a tensor of shape {shape}: {error}") from None


def _number(value: Any) -> Any:
    """A Tensor of one entry as the number that it is; one with a graph says that it ends here."""
    if not isinstance(value, Tensor):
        return value
    return float(value) if value.requires_grad else value.item()


def _shape(given: tuple[Any, ...], size: Any) -> tuple[int, ...]:
    return sizes(given if size is None else (size,))


def zeros(*shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros of a shape, in the default dtype unless one is given.

    >>> import tinygrad_bp as tg
    >>> tg.zeros(2, 3).shape
    Size([2, 3])
    """
    return filled(_shape(shape, size), 0, dtype or get_default_dtype(), device, requires_grad)


def ones(*shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones of a shape.

    >>> import tinygrad_bp as tg
    >>> tg.ones(2)
    tensor([1., 1.])
    """
    return filled(_shape(shape, size), 1, dtype or get_default_dtype(), device, requires_grad)


def empty(*shape: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor whose entries are still to be written; here they are zeros, so that a mistake repeats itself.

    >>> import tinygrad_bp as tg
    >>> tg.empty(2, 2).numel()
    4
    """
    return filled(_shape(shape, size), 0, dtype or get_default_dtype(), device, requires_grad)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A shape filled with one number, in the number's own dtype unless one is given.

    >>> import tinygrad_bp as tg
    >>> tg.full((2,), 7)
    tensor([7, 7])
    """
    value = _number(fill_value)
    return filled(sizes((size,)), value, dtype or array_of(value).dtype, device, requires_grad)


def _like(value: Any, name: str, example: str) -> Any:
    def like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        source = input if isinstance(input, Tensor) else wrap(np.asarray(input))
        array = source.array
        return filled(array.shape, value, dtype or array.dtype, device, requires_grad, array)

    like.__name__ = like.__qualname__ = name
    like.__doc__ = f"""{example} in the shape and dtype of `input`.

    >>> import tinygrad_bp as tg
    >>> tg.{name}(tg.ones(2)).shape
    Size([2])
    """
    return like


zeros_like = _like(0, "zeros_like", "Zeros")
ones_like = _like(1, "ones_like", "Ones")
empty_like = _like(0, "empty_like", "Entries still to be written (zeros)")


def full_like(
    input: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """One number in the shape and dtype of `input`.

    >>> import tinygrad_bp as tg
    >>> tg.full_like(tg.ones(2), 3)
    tensor([3., 3.])
    """
    array = tensor_array(input, "full_like", "input")
    return filled(array.shape, fill_value, dtype or array.dtype, device, requires_grad, array)


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from start (0) up to, not including, end; int64 if all three are ints.

    >>> import tinygrad_bp as tg
    >>> tg.arange(1, 7, 2)
    tensor([1, 3, 5])
    """
    cpu_only(device)
    first, last = (0, start) if end is None else (start, end)
    first, last, step = map(_number, (first, last, step))
    require_numbers("arange", start=first, end=last, step=step)
    if step == 0 or (last - first) / step < 0:
        raise ShapeError(f"arange: a step of {step} does not lead from {first} to {last}")
    whole = all(isinstance(v, int) for v in (first, last, step))
    numbers: Any = np.arange(first, last, step)
    return made(numbers.astype(dtype_of(dtype or (np.int64 if whole else get_default_dtype()))), requires_grad)


def linspace(
    start: Any, end: Any, steps: int, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """`steps` numbers at equal distances, both ends included.

    >>> import tinygrad_bp as tg
    >>> tg.linspace(0, 1, 3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    cpu_only(device)
    require_numbers("linspace", start=start, end=end)
    require_whole("linspace", steps=steps)
    if steps < 0:
        raise ShapeError(f"linspace: the number of steps must not be negative, got {steps}")
    dtype = dtype_of(dtype or get_default_dtype())
    return made(np.linspace(_number(start), _number(end), steps).astype(dtype), requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal, zeros elsewhere.

    >>> import tinygrad_bp as tg
    >>> tg.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    require_whole("eye", n=n, m=n if m is None else m)
    cpu_only(device)
    return made(np.eye(n, m, dtype=dtype_of(dtype or get_default_dtype())), requires_grad)
