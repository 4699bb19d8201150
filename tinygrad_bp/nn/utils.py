"""Gradients kept from growing too large, between backward and the step. Read `../optim/optimizer.py` next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Tensor, wrap
from ..duck import TRACES, check, opaque, tracing
from ..errors import ArgumentError, DtypeError, NonFiniteError, guessing, kind_of, require_numbers
from ..memory import stamp

if TYPE_CHECKING:
    from collections.abc import Iterable


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[np.ndarray]:
    """The arrays of all gradients that there are, each once."""
    if hasattr(parameters, "named_parameters"):
        raise DtypeError("clip_grad: the parameters are expected, not the model itself: write `model.parameters()`")
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for p in given:
        if not isinstance(p, Tensor):
            raise DtypeError(f"clip_grad: tensors are expected, not {kind_of(p)}: write `model.parameters()`")
    grads = {id(p._grad.array): p._grad.array for p in given if p._grad is not None}
    return list(grads.values())


def _total(grads: list[np.ndarray], p: float) -> np.ndarray:
    """The norm of all gradients as one long vector, in float64."""
    with np.errstate(over="ignore"):
        return np.asarray(np.linalg.norm([_norm(g, p) for g in grads], p) if grads else 0.0, np.float64)


def _scale(total: np.ndarray, max_norm: float, dtype: Any) -> np.ndarray:
    """The factor that brings a norm down to max_norm; 1 if it is not above, NaN if it is NaN."""
    return np.minimum(max_norm / (total + 1e-6), 1.0).astype(dtype)


def _finite(total: np.ndarray, norm_type: float) -> None:
    if not np.isfinite(total):
        raise NonFiniteError(
            f"clip_grad_norm_: the {norm_type}-norm of the gradients is {total}, so nothing was scaled"
        )


def _norm(g: np.ndarray, p: float) -> float:
    """The p-norm of all entries, summed in float64 so that large float32 gradients do not overflow."""
    if not g.size:
        return 0.0
    if p == 2:
        flat = g.reshape(-1)
        return float(np.sqrt(np.einsum("i,i->", flat, flat, dtype=np.float64)))
    return float(np.linalg.norm(g.reshape(-1).astype(np.float64), p))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Any:
    """Scale all gradients, as one long vector, so that its norm is at most `max_norm`; returns the norm it had.

    Args:
        norm_type: 2, 1, inf, or any other p.
        error_if_nonfinite: raise NonFiniteError, and change nothing, if the norm is NaN or infinite.
        foreach: a choice of implementation in PyTorch; there is one here, so only None and False are taken.

    Pascanu, Mikolov and Bengio 2013.

    >>> import tinygrad_bp as tg
    >>> w = tg.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> tg.nn.utils.clip_grad_norm_(w, 1.0)
    tensor(10.)
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    _only_one(foreach)
    require_numbers("clip_grad_norm_", max_norm=max_norm, norm_type=norm_type)
    grads, p = _gradients(parameters), float(norm_type)
    total = opaque(_total, grads, p)
    if error_if_nonfinite:
        check(_finite, total, norm_type)
    scales = {g.dtype: opaque(_scale, total, float(max_norm), g.dtype) for g in grads}
    with np.errstate(over="ignore", invalid="ignore"):
        for g in grads:
            if (TRACES and tracing()) or scales[g.dtype] != 1:
                np.multiply(g, scales[g.dtype], out=g)
                stamp(g, "clip_grad_norm_", "clip_grad_norm_")
        return wrap(total.astype(grads[0].dtype if grads else np.float32))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None) -> None:
    """Keep each entry of the gradients between -clip_value and clip_value.

    >>> import tinygrad_bp as tg
    >>> w = tg.tensor([0.1, 4.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> tg.nn.utils.clip_grad_value_(w, 1.0)
    >>> w.grad
    tensor([0.2000, 1.0000])
    """
    _only_one(foreach)
    require_numbers("clip_grad_value_", clip_value=clip_value)
    bound = float(clip_value)
    if not bound >= 0:
        raise ArgumentError(f"clip_grad_value_: the bound must not be negative or NaN, got {clip_value}")
    for g in _gradients(parameters):
        np.clip(g, -bound, bound, out=g)
        stamp(g, "clip_grad_value_", "clip_grad_value_")


def _only_one(foreach: bool | None) -> None:
    if foreach:
        raise ArgumentError("foreach=True names an implementation that is not here; leave it out")

if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = guessing(__name__)
