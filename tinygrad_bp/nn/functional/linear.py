"""Linear maps. Read `activation.py` next."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...core import Tensor as CoreTensor
from ...core import array_of
from ...errors import FORGOT, DtypeError, ShapeError, kind_of
from ...ops.linalg import affine

if TYPE_CHECKING:
    from ..._tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    """x Wᵀ + b: input (…, in), weight (out, in) or (in,), bias (out,) or None; all of one float dtype.

    Raises ShapeError and DtypeError, which show all shapes and dtypes.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.linear(tg.ones(1, 2), tg.tensor([[1.0, 2.0], [3.0, 4.0]]), tg.ones(2))
    tensor([[4., 8.]])
    """
    try:
        matrix = weight.array
        if input.array.dtype is not matrix.dtype or matrix.ndim != 2:
            _check_linear(input, weight, bias)
            if matrix.ndim == 1:  # one output, and no dimension for it
                product = (input * weight).sum(-1)
                return product if bias is None else product + bias
        return affine(input, weight, bias)
    except (ShapeError, AttributeError):
        _check_linear(input, weight, bias)
        raise


def _check_linear(x: Any, w: Any, b: Any) -> None:
    """Say what does not fit together."""
    for name, value in (("input", x), ("weight", w)):
        if not isinstance(value, CoreTensor):
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


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
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
