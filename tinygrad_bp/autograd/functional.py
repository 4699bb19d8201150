"""Derivatives of functions: vjp, jvp, jacobian, hessian, hvp; as in `torch.autograd.functional`.

`jvp` is two reverse passes: the gradient of ⟨v, Jᵀu⟩ with respect to u is Jv (Townsend's trick, 2017). Read
`../nn/module.py` next.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Tensor, wrap
from ..errors import DtypeError, GraphError, ShapeError
from ..modes import enable_grad
from .passes import grad


def _tuple(value: Any, what: str) -> tuple[bool, tuple[Any, ...]]:
    single = isinstance(value, Tensor)
    values = (value,) if single else tuple(value) if isinstance(value, tuple | list) else (value,)
    for x in values:
        if not isinstance(x, Tensor):
            raise DtypeError(f"{what}: a Tensor or a tuple of Tensors is expected, got {type(x).__name__}")
    return single, values


def _evaluate(func: Any, inputs: Any, create_graph: bool) -> Any:
    single_in, given = _tuple(inputs, "inputs")
    fresh = tuple((x * 1 if x.node is not None else x.detach().requires_grad_()) if create_graph
                  else x.detach().requires_grad_() for x in given)  # fmt: skip
    single_out, outputs = _tuple(func(*fresh), "the function's result")
    return single_in, fresh, single_out, outputs


def _grads(outputs: Any, inputs: Any, cotangents: Any, create: bool, strict: bool, retain: bool | None = None) -> Any:
    """Gradients with zeros where there is no dependence (or an error where `strict`)."""
    kept = [(y, g) for y, g in zip(outputs, cotangents, strict=True) if y.node is not None]
    found: tuple[Any, ...] = (None,) * len(inputs)
    if kept:
        ys, gs = zip(*kept, strict=True)
        found = grad(ys, inputs, gs, create_graph=create, retain_graph=retain, allow_unused=True)
    if strict and any(g is None for g in found):
        raise GraphError("strict: an output does not depend on one of the inputs")
    return tuple(wrap(np.zeros_like(x.array)) if g is None else g for g, x in zip(found, inputs, strict=True))


def _directions(v: Any, like: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    if v is None:
        if len(like) == 1 and like[0].array.size == 1:
            return (wrap(np.ones_like(like[0].array)),)
        raise ShapeError(f"{what}: v may be left out only for one scalar")
    _, given = _tuple(v, "v")
    if [x.array.shape for x in given] != [x.array.shape for x in like]:
        raise ShapeError(
            f"{what}: v has shapes {[x.array.shape for x in given]}, expected {[x.array.shape for x in like]}"
        )
    return given


def _out(values: tuple[Any, ...], single: bool, create: bool) -> Any:
    done = values if create else tuple(x.detach() for x in values)
    return done[0] if single else done


@enable_grad()
def vjp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), vᵀJ).

    >>> import tinygrad_bp as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.vjp(lambda x: x * x, x, tg.tensor([1.0, 10.0]))[1]
    tensor([ 2., 40.])
    """
    single_in, fresh, single_out, outputs = _evaluate(func, inputs, create_graph)
    found = _grads(outputs, fresh, _directions(v, outputs, "vjp"), create_graph, strict)
    return _out(outputs, single_out, create_graph), _out(found, single_in, create_graph)


@enable_grad()
def jvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), Jv).

    >>> import tinygrad_bp as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.jvp(lambda x: x * x, x, tg.tensor([1.0, 10.0]))[1]
    tensor([ 2., 40.])
    """
    _, fresh, single_out, outputs = _evaluate(func, inputs, create_graph)
    v = _directions(v, fresh, "jvp")
    dual = tuple(wrap(np.zeros_like(y.array)).requires_grad_() for y in outputs)
    pulled = _grads(outputs, fresh, dual, True, strict)
    tangents = _grads(pulled, dual, v, create_graph, strict)
    return _out(outputs, single_out, create_graph), _out(tangents, single_out, create_graph)


@enable_grad()
def jacobian(func: Any, inputs: Any, create_graph: bool = False, strict: bool = False) -> Any:
    """All derivatives: for output and input a tensor of shape (*output.shape, *input.shape); tuples nest likewise.

    >>> import tinygrad_bp as tg
    >>> tg.autograd.functional.jacobian(lambda x: x * x, tg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    single_in, fresh, single_out, outputs = _evaluate(func, inputs, create_graph)
    table = []
    for y in outputs:
        rows = []
        for i in range(y.array.size):
            g = np.zeros(y.array.size, y.array.dtype)
            g[i] = 1
            rows.append(_grads((y,), fresh, (wrap(g.reshape(y.array.shape)),), create_graph, strict, True))
        columns = [_stacked([row[k] for row in rows], y, x) for k, x in enumerate(fresh)]
        table.append(_out(tuple(columns), single_in, create_graph))
    return table[0] if single_out else tuple(table)


def _stacked(rows: list[Any], y: Any, x: Any) -> Any:
    from ..ops.joining import stack

    shape = (*y.array.shape, *x.array.shape)
    return stack(rows).reshape(shape) if rows else wrap(np.zeros(shape, x.array.dtype))


def _scalar(func: Any) -> Any:
    def checked(*inputs: Any) -> Any:
        y = func(*inputs)
        if not isinstance(y, Tensor) or y.array.size != 1:
            raise ShapeError(
                f"hessian: the function must return one number, got {getattr(y, 'shape', type(y).__name__)}"
            )
        return y

    return checked


@enable_grad()
def hessian(func: Any, inputs: Any, create_graph: bool = False, strict: bool = False) -> Any:
    """All second derivatives of a function that returns one number.

    >>> import tinygrad_bp as tg
    >>> tg.autograd.functional.hessian(lambda x: (x**3).sum(), tg.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    single = isinstance(inputs, Tensor)

    def gradient(*xs: Any) -> Any:
        fresh = tuple(x if x.node is not None else x.requires_grad_() for x in xs)
        found = _grads((_scalar(func)(*fresh).reshape(()),), fresh, (None,), True, strict)
        return found[0] if single else found

    return jacobian(gradient, inputs, create_graph, strict)


@enable_grad()
def hvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple[Any, Any]:
    """(func(inputs), Hv) of a function that returns one number, without the matrix.

    >>> import tinygrad_bp as tg
    >>> x = tg.tensor([1.0, 2.0])
    >>> tg.autograd.functional.hvp(lambda x: (x**3).sum(), x, tg.ones(2))[1]
    tensor([ 6., 12.])
    """
    single_in, fresh, single_out, outputs = _evaluate(_scalar(func), inputs, create_graph)
    first = _grads((outputs[0].reshape(()),), fresh, (None,), True, strict)
    second = _grads(first, fresh, _directions(v, fresh, "hvp"), create_graph, strict)
    return _out(outputs, single_out, create_graph), _out(second, single_in, create_graph)


vhp = hvp  # the Hessian is symmetric
