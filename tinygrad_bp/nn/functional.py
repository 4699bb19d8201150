"""What layers compute, as functions without state: the linear map, activations, dropout, and small helpers.

The losses are in `criteria.py`, and are reached from here too. Read `linear.py` next: a layer around a function.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import random
from ..axes import normal_axis
from ..core import Tensor, array_of, wrap
from ..duck import check, draw
from ..errors import FORGOT, ArgumentError, AxisError, DtypeError, ShapeError, guessing, kind_of
from ..inplace import in_place
from ..ops import activations, arithmetic, reductions, transcendental
from ..ops.joining import cat
from ..ops.linalg import affine
from .criteria import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)

__all__ = [
    "bilinear", "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_similarity", "cross_entropy",
    "dropout", "elu", "gelu", "hardtanh", "huber_loss", "l1_loss", "leaky_relu", "linear", "log_softmax", "logsigmoid",
    "mse_loss", "nll_loss", "normalize", "one_hot", "pad", "relu", "relu6", "selu", "sigmoid", "silu", "smooth_l1_loss",
    "softmax", "softmin", "softplus", "softsign", "tanh",
]  # fmt: skip

SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
relu_of, leaky_relu_of = arithmetic.relu, arithmetic.leaky_relu


# ---------------------------------------------------------------- linear maps
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """x Wᵀ + b: input (…, in), weight (out, in) or (in,), bias (out,) or None; all of one float dtype.

    Raises ShapeError and DtypeError, which show all shapes and dtypes.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.linear(tg.ones(1, 2), tg.tensor([[1.0, 2.0], [3.0, 4.0]]), tg.ones(2))
    tensor([[4., 8.]])
    """
    if isinstance(weight, Tensor) and weight.array.ndim == 1:  # one output, and no dimension for it
        _check_linear(input, weight, bias)
        product = (input * weight).sum(-1)
        return product if bias is None else product + bias
    return matrix_linear(input, weight, bias)


def matrix_linear(input: Any, weight: Any, bias: Any) -> Any:
    """The linear map of a layer, whose weight is a matrix."""
    try:
        if input.array.dtype is not weight.array.dtype:
            _check_linear(input, weight, bias)
        return affine(input, weight, bias)
    except (ShapeError, AttributeError):
        _check_linear(input, weight, bias)
        raise


def _check_linear(x: Any, w: Any, b: Any) -> None:
    """Say what does not fit together."""
    for name, value in (("input", x), ("weight", w)):
        if not isinstance(value, Tensor):
            fix = FORGOT if value is None else f"; write `tg.as_tensor({name})`"
            raise DtypeError(f"linear: {name} must be a Tensor, not {kind_of(value)}{fix}")
    given = {"input": x, "weight": w, "bias": b}
    told = ", ".join(f"{name} {t.array.shape} {t.array.dtype}" for name, t in given.items() if t is not None)
    if x.array.dtype != w.array.dtype:
        fix = f"`x.to(tg.{w.array.dtype})`, or `model.to(x.dtype)`"
        raise DtypeError(f"linear: one dtype is needed, got {told}; write {fix}")
    if x.array.ndim == 0 or w.array.ndim not in (1, 2) or x.array.shape[-1] != w.array.shape[-1]:
        raise ShapeError(
            f"linear: {told} do not fit: the input's last size must be the weight's last size, "
            f"in_features = {w.array.shape[-1] if w.array.ndim else '?'}{_flattened(x.array.shape, w.array.shape[-1:])}"
        )
    if b is not None and b.array.shape != w.array.shape[:-1]:
        raise ShapeError(f"linear: {told} do not fit: the bias needs shape {w.array.shape[:-1]}, (out_features,)")


def _flattened(shape: tuple[int, ...], features: tuple[int, ...]) -> str:
    """The advice for pictures that a linear layer is given as they are."""
    fits = len(shape) > 2 and features == (math.prod(shape[1:]),)
    return ": write `x.flatten(1)`, or begin the model with nn.Flatten()" if fits else ""


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """x₁ᵀ W x₂ + b for each output: inputs (…, in1) and (…, in2), weight (out, in1, in2), bias (out,) or None.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.bilinear(tg.ones(1, 2), tg.ones(1, 3), tg.ones(4, 2, 3))
    tensor([[6., 6., 6., 6.]])
    """
    given = {"input1": input1, "input2": input2, "weight": weight}
    a, b, w = (array_of(x, "bilinear", name).shape for name, x in given.items())
    if len(w) != 3 or a[:-1] != b[:-1] or a[-1:] != w[1:2] or b[-1:] != w[2:]:
        raise ShapeError(
            f"bilinear: inputs {a} and {b} do not fit weight {w}: they need (…, in1) and (…, in2) with equal leading "
            "sizes, and the weight (out, in1, in2)"
        )
    left = affine(input1, weight.permute(0, 2, 1).reshape(w[0] * w[2], w[1])).reshape((*a[:-1], w[0], w[2]))
    y = (left * input2.unsqueeze(-2)).sum(-1)
    return y if bias is None else y + bias


# ---------------------------------------------------------------- activations
def relu(input: Any, inplace: bool = False) -> Any:
    """x, or 0 if negative; with `inplace` written over the input."""
    return input.relu_() if inplace else relu_of(input)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x, or `negative_slope` · x if negative."""
    return input.leaky_relu_(negative_slope) if inplace else leaky_relu_of(input, negative_slope)


sigmoid, tanh = transcendental.sigmoid, transcendental.tanh
logsigmoid = activations.logsigmoid


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + e to the βx) / β; the line x itself where βx is above the threshold."""
    return transcendental.softplus(input, beta, threshold)


def _applied(inplace: bool, call: Any, *args: Any) -> Any:
    """The result, or the first argument overwritten with it."""
    return in_place(call, f"{call.__name__}_")(*args) if inplace else call(*args)


def _selu(x: Any) -> Any:
    return SELU_SCALE * activations.elu(x, SELU_ALPHA)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x, or α(e to the x - 1) if negative (Clevert et al. 2015)."""
    return _applied(inplace, activations.elu, input, alpha)


def selu(input: Any, inplace: bool = False) -> Any:
    """A scaled elu that keeps mean 0 and variance 1 (Klambauer et al. 2017).

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.selu(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.1113,  0.0000,  2.1014])
    """
    return _applied(inplace, _selu, input)


def silu(input: Any, inplace: bool = False) -> Any:
    """x · sigmoid(x) (Elfwing et al. 2017)."""
    return _applied(inplace, activations.silu, input)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x kept between two numbers."""
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: min_val {min_val} is above max_val {max_val}")
    return _applied(inplace, activations.hardtanh, input, min_val, max_val)


def relu6(input: Any, inplace: bool = False) -> Any:
    """x kept between 0 and 6.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.relu6(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return hardtanh(input, 0.0, 6.0, inplace)


def gelu(input: Any, approximate: str = "none") -> Any:
    """x times the probability that a normal number is below x; 'tanh' is the cheaper formula of the same paper.

    Hendrycks and Gimpel 2016.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.gelu(tg.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.0000,  0.8413])
    """
    if approximate == "none":
        return activations.gelu_exact(input)
    if approximate != "tanh":
        raise ArgumentError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}")
    return 0.5 * input * (1 + tanh(math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input)))


def softsign(input: Any) -> Any:
    """x / (1 + |x|).

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.softsign(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.5000,  0.0000,  0.6667])
    """
    return input / (1 + abs(input))


def _dim(name: str, dim: int | None) -> int:
    if dim is None:
        raise AxisError(f"{name}: say over which dimension: `dim=-1` for the last, `dim=1` for classes of (n, classes)")
    return dim


def softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """e to the x, divided by its total along `dim`: positive numbers that sum to 1.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.softmax(tg.tensor([0.0, 10000.0]), dim=0)
    tensor([0., 1.])
    """
    return reductions.softmax(input, _dim("softmax", dim), dtype)


def softmin(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """softmax of -x.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.softmin(tg.tensor([-1.0, 0.0, 2.0]), dim=0)
    tensor([0.7054, 0.2595, 0.0351])
    """
    return reductions.softmax(-input, _dim("softmin", dim), dtype)


def log_softmax(input: Any, dim: int | None = None, dtype: Any = None) -> Any:
    """Logarithm of softmax, exact for scores of any size."""
    return reductions.log_softmax(input, _dim("log_softmax", dim), dtype)


# ---------------------------------------------------------------- dropout
def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Each entry 0 with probability `p`, else scaled by 1/(1-p), so that the mean stays; in evaluation the input.

    The mask is the one that PyTorch draws from the same seed (Srivastava et al. 2014).

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.nn.functional.dropout(tg.ones(6), 0.5)
    tensor([0., 0., 2., 0., 0., 0.])
    """
    array = array_of(input, "dropout", "input")
    if not 0 <= p <= 1:
        raise ArgumentError(f"dropout: p is a probability, between 0 and 1, not {p}")
    if not training or p == 0 or array.size == 0:
        return input
    if array.dtype.kind != "f":
        raise DtypeError(f"dropout: a float tensor is expected, got {array.dtype}; use `x.float()`")
    mask = draw(
        random.dropout_mask, array.shape, 1 - p, strides=None if array.flags.c_contiguous else array.strides
    )
    noise = wrap(mask.astype(array.dtype) / array.dtype.type(1 - p if p < 1 else 1))
    return input.mul_(noise) if inplace else input * noise


# ---------------------------------------------------------------- helpers
def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """int64 tensor with one more dimension: 1 at the class, 0 elsewhere; -1 takes the largest class there is.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.one_hot(tg.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    classes = array_of(tensor, "one_hot", "tensor")
    if classes.dtype.kind not in "iu":
        raise DtypeError(f"one_hot: classes are integers, not {classes.dtype}; use `x.long()`")
    if num_classes == -1:
        if not classes.size:
            raise ShapeError("one_hot: no classes to count in an empty tensor; pass num_classes")
        num_classes = int(classes.max()) + 1
    check(_counted, classes, num_classes)
    return wrap((classes[..., None] == np.arange(num_classes)).astype(np.int64))


def _counted(classes: Any, count: int) -> None:
    if classes.size and not 0 <= classes.min() <= classes.max() < count:
        raise AxisError(f"one_hot: classes from {classes.min()} to {classes.max()} do not lie in 0 … {count - 1}")


def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Any:
    """x divided by its p-norm along `dim`, or by `eps` where the norm is smaller.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.normalize(tg.tensor([3.0, 4.0]), dim=0)
    tensor([0.6000, 0.8000])
    """
    array_of(input, "normalize", "input")
    return input / input.norm(p, dim, True).clamp(min=eps)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """The cosine of the angle between x1 and x2 along `dim`; lengths count as at least `eps`.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.cosine_similarity(tg.tensor([1.0, 0.0]), tg.tensor([1.0, 1.0]), dim=0)
    tensor(0.7071)
    """
    for name, x in (("x1", x1), ("x2", x2)):
        array_of(x, "cosine_similarity", name)
    lengths = [x.norm(2, dim, True).clamp(min=eps) for x in (x1, x2)]
    return (x1 / lengths[0] * (x2 / lengths[1])).sum(dim)


def pad(input: Any, pad: Any, mode: str = "constant", value: float | None = None) -> Any:
    """`value` (0) put around: (left, right) of the last dimension, then of the one before it, and so on.

    Negative widths cut off; `mode` can only be 'constant'.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.pad(tg.ones(1, 2), (1, 0, 0, 1))
    tensor([[0., 1., 1.],
            [0., 0., 0.]])
    """
    if mode != "constant":
        raise ArgumentError(f"pad: only mode='constant' is there, not {mode!r}")
    if not isinstance(pad, tuple | list):
        raise DtypeError(f"pad: a pair of widths for each dimension is expected, (left, right, …), not {kind_of(pad)}")
    if len(pad) % 2 or len(pad) > 2 * input.array.ndim:
        raise ShapeError(f"pad: {tuple(pad)} needs a pair of widths for each of at most {input.array.ndim} dimensions")
    for i in range(len(pad) // 2):
        input = _pad_one(input, input.array.ndim - 1 - i, pad[2 * i], pad[2 * i + 1], value or 0.0)
    return input


def _pad_one(x: Any, axis: int, before: int, after: int, value: float) -> Any:
    axis, size = normal_axis(axis, x.array.ndim, "pad"), x.array.shape[axis]
    if size + before + after < 0:
        raise ShapeError(f"pad: widths ({before}, {after}) cut more than the {size} entries of dimension {axis}")
    kept = x[(slice(None),) * axis + (slice(max(-before, 0), size - max(-after, 0)),)]
    parts = [_filled(x, axis, before, value), kept, _filled(x, axis, after, value)]
    return cat([part for part in parts if part is not None], axis)


def _filled(x: Any, axis: int, width: int, value: float) -> Any:
    shape = [width if i == axis else n for i, n in enumerate(x.array.shape)]
    return wrap(np.full(shape, value, x.array.dtype)) if width > 0 else None

if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = guessing(__name__)
