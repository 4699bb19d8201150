"""Random tensors: the arrays of `random/`, which are PyTorch's own stream, as Tensors and as in-place methods.

Read `nn/module.py` next.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .core import array_of as tensor_array
from .core import wrap
from .creation import array_of, made
from .device import cpu_only
from .dtypes import get_default_dtype
from .duck import TRACES, draw, tracing
from .errors import DtypeError, require_numbers
from .inplace import copy_
from .kernels import in_memory
from .ops.shapes import sizes

if TYPE_CHECKING:
    from ._tensor import Tensor
else:
    from .core import Tensor

__all__ = [
    "bernoulli", "multinomial", "normal", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like",
    "randperm",
]  # fmt: skip


def stream() -> Any:
    """The package `random`, loaded at the first draw; in a trace each draw is noted down."""
    from . import random

    return _Noted(random) if TRACES and tracing() else random


class _Noted:
    """The package `random` with each of its functions called through `draw`."""

    def __init__(self, package: Any) -> None:
        self.package = package

    def __getattr__(self, name: str) -> Any:
        return partial(draw, getattr(self.package, name))


def rand(
    *shape: Any, size: Any = None, generator: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Uniform numbers in [0, 1), those that PyTorch draws for the same seed.

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.rand(3)
    tensor([0.4963, 0.7682, 0.0885])
    """
    cpu_only(device)
    wanted = sizes(shape if size is None else (size,))
    return made(stream().rand(wanted, dtype or get_default_dtype(), generator), requires_grad)


def randn(
    *shape: Any, size: Any = None, generator: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Standard normal numbers, those that PyTorch draws for the same seed.

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.randn(3)
    tensor([ 1.5410, -0.2934, -2.1788])
    """
    cpu_only(device)
    wanted = sizes(shape if size is None else (size,))
    return made(stream().randn(wanted, dtype or get_default_dtype(), generator), requires_grad)


def randint(
    low: int, high: Any = None, size: Any = None, *, generator: Any = None, dtype: Any = None, device: Any = None,
    requires_grad: bool = False,
) -> Tensor:  # fmt: skip
    """Integers from `low` (0) up to, not including, `high`: `randint(10, (5,))` or `randint(0, 10, (5,))`.

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.randint(0, 10, (5,))
    tensor([4, 9, 3, 0, 3])
    """
    cpu_only(device)
    if size is None and high is None:
        raise DtypeError("randint: no size is given: write `tg.randint(high, (n,))` or `tg.randint(low, high, (n,))`")
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    return made(stream().randint(low, high, sizes((size,)), dtype or "int64", generator), requires_grad)


def randperm(n: int, *, generator: Any = None, dtype: Any = None, device: Any = None) -> Tensor:
    """The numbers 0 … n - 1 in random order.

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.randperm(8)
    tensor([4, 0, 7, 3, 2, 5, 1, 6])
    """
    cpu_only(device)
    return wrap(stream().randperm(n, dtype or "int64", generator))


def bernoulli(input: Any, p: Any = None, *, generator: Any = None) -> Tensor:
    """Ones with the probabilities in `input` (or with probability `p`, in its shape), otherwise zeros.

    >>> import tinygrad_bp as tg
    >>> tg.bernoulli(tg.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    array = tensor_array(input, "bernoulli", "input")
    if p is None:
        return wrap(stream().bernoulli(array, generator=generator))
    require_numbers("bernoulli", p=p)
    return wrap(stream().bernoulli(p, array.shape, array.dtype, generator))


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Any = None, dtype: Any = None, device: Any = None
) -> Tensor:
    """Normal numbers: of one mean and deviation in a shape, or of a tensor of means or deviations.

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.normal(10.0, 2.0, (2,))
    tensor([13.0820,  9.4131])
    """
    cpu_only(device)
    mean, std = (v.array if isinstance(v, Tensor) else v for v in (mean, std))
    if size is not None:
        return wrap(stream().normal(sizes((size,)), mean, std, dtype or get_default_dtype(), generator))
    return wrap(stream().normal(None, mean, std, dtype, generator))


def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Tensor:
    """Positions drawn in proportion to the weights in `input`, for each row.

    >>> import tinygrad_bp as tg
    >>> tg.multinomial(tg.tensor([0.0, 1.0]), 1)
    tensor([1])
    """
    return wrap(stream().multinomial(array_of(input), num_samples, replacement, generator))


def drawn_like(array: Any, draw: Any, dtype: Any) -> Any:
    """Numbers in the shape of an array, drawn in the order in which its entries lie in memory."""
    order = in_memory(array)
    numbers = draw(tuple([array.shape[axis] for axis in order]), dtype)
    return np.transpose(numbers, np.argsort(order)) if order != tuple(range(len(order))) else numbers


def _like(draw: str, what: str) -> Any:
    def like(input: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        cpu_only(device)
        array = tensor_array(input, f"{draw}_like", "input")
        return made(drawn_like(array, getattr(stream(), draw), dtype or array.dtype), requires_grad)

    like.__name__ = like.__qualname__ = f"{draw}_like"
    like.__doc__ = f"""{what} in the shape and dtype of `input`.

    >>> import tinygrad_bp as tg
    >>> tg.{draw}_like(tg.ones(2, 3)).shape
    Size([2, 3])
    """
    return like


rand_like = _like("rand", "Uniform numbers in [0, 1)")
randn_like = _like("randn", "Standard normal numbers")


def randint_like(input: Any, low: int, high: Any = None, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Integers from `low` up to, not including, `high`, in the shape and dtype of `input`.

    >>> import tinygrad_bp as tg
    >>> tg.randint_like(tg.zeros(3), 1, 2)
    tensor([1., 1., 1.])
    """
    array = tensor_array(input, "randint_like", "input")
    cpu_only(device)
    low, high = (0, low) if high is None else (low, high)
    return made(drawn_like(array, lambda shape, kind: stream().randint(low, high, shape, kind), dtype or array.dtype))


# ------------------------------------------------------------------------------ in-place forms


def uniform_(self: Any, a: float = 0.0, b: float = 1.0, *, generator: Any = None) -> Any:
    """Filled with uniform numbers in [a, b)."""
    return copy_(self, wrap(stream().uniform(self.array.shape, a, b, self.array.dtype, generator)))


def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    """Filled with normal numbers."""
    return copy_(self, wrap(stream().normal(self.array.shape, mean, std, self.array.dtype, generator)))


def bernoulli_(self: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
    """Filled with ones with probability `p`, otherwise zeros."""
    chance = p.array if isinstance(p, Tensor) else p
    return copy_(self, wrap(stream().bernoulli(chance, self.array.shape, self.array.dtype, generator)))


def random_(self: Any, low: int = 0, high: int | None = None, *, generator: Any = None) -> Any:
    """Filled with integers from `low` up to, not including, `high`; `random_(n)` means from 0 up to n."""
    if high is None:
        low, high = 0, low or _whole_range(self.array.dtype)
    return copy_(self, wrap(stream().randint(low, high, self.array.shape, self.array.dtype, generator)))


def _whole_range(dtype: np.dtype[Any]) -> int:
    """PyTorch's range where none is named: all non-negative integers that the dtype holds exactly."""
    return 2 ** (np.finfo(dtype).nmant + 1) + 1 if dtype.kind == "f" else int(np.iinfo(dtype).max) + 1


def exponential_(self: Any, lambd: float = 1.0, *, generator: Any = None) -> Any:
    """Filled with exponential numbers of rate `lambd`."""
    return copy_(self, wrap(stream().exponential(self.array.shape, lambd, self.array.dtype, generator)))


METHODS = {
    method.__name__: method
    for method in (uniform_, normal_, bernoulli_, random_, exponential_, multinomial, bernoulli)
}
