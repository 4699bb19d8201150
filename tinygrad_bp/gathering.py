"""Calls of operations whose arguments need more than an order: a list of inputs, a composite's own signature.

Read `declare.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .alarms import silence
from .alias import on_its_own
from .calling import as_number, fill, operand, promote, unrecorded
from .core import Tensor, recorded, wrap
from .dtypes import native
from .duck import Array, as_array
from .errors import DtypeError, ShapeError
from .kernels import HALF
from .modes import MODE
from .refusals import UNCLEAR, once_more, unclear

if TYPE_CHECKING:
    from collections.abc import Callable

    from .declare import Op


def listed(op: Op, args: tuple[Any, ...]) -> list[list[Any]]:
    """The inputs of an operation that takes any number of them, as Tensors."""
    if not args or isinstance(args[0], (Tensor, *Array)) or not hasattr(args[0], "__iter__"):
        raise DtypeError(f"{op.name}: a list or tuple of tensors is expected: `tg.{op.name}([a, b], dim=0)`")
    given = [x if isinstance(x, Tensor) else wrap(as_array(operand(x, op))) for x in args[0]]
    if not given:
        raise ShapeError(f"{op.name}: the list of tensors is empty")
    return [given]


def gathering(op: Op) -> Callable[..., Any]:
    """The call of an operation with any number of inputs, which come in a list."""
    front = op.front

    def call(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        (given,) = listed(op, (tensors,))
        try:
            given, *params = front(given, *args, **kwargs) if front else fill(op, [given, *args], kwargs)
        except UNCLEAR as error:
            raise unclear(op, (given, *args), kwargs, error) from None
        arrays, nodes = list(promote([x.array for x in given])), [x.node for x in given]
        of = op.halves if op.adds_up and arrays[0].dtype is HALF else op
        try:
            y = as_array(of.forward(arrays, *params))
        except (ValueError, TypeError, LookupError) as error:
            y = once_more(of, (arrays,), tuple(params), error)
        if not MODE.grad or not op.rules or not any(node is not None for node in nodes):
            return unrecorded(op, y, nodes)
        pick, shapes = op.pick, tuple([a.shape for a in arrays])
        edges = [(n, i, pick(i, arrays, shapes, y, params)) for i, n in enumerate(nodes) if n is not None]
        return recorded(of, tuple(edges), y)

    return call


def composed(op: Op, function: Callable[..., Any]) -> Callable[..., Any]:
    """The call of a composite: its inputs become Tensors, the rest is the function's own business."""
    count = len(op.inputs)
    function = reading_axis(op, function) if op.axis else function

    def call(*args: Any, **kwargs: Any) -> Any:
        given = listed(op, args) if op.many else [wrap(native(x)) if isinstance(x, Array) else x for x in args[:count]]
        try:
            result = function(*given, *args[count:], **kwargs)
        except UNCLEAR as error:
            raise unclear(op, args, kwargs, error) from None
        for part in result if isinstance(result, tuple) else (result,):
            if getattr(part, "_view", None) is not None:
                on_its_own(part)
        return result

    return call


def reading_axis(op: Op, function: Any) -> Callable[..., Any]:
    """`function` with its axis as the declaration says; a 0-d input may count as a vector of one entry."""
    place = function.__code__.co_varnames.index("axis")
    back = function.__code__.co_argcount - place
    default = (function.__defaults__ or ())[-back:-back + 1 or None] if len(function.__defaults__ or ()) >= back else ()

    def read(x: Any, *args: Any, **kwargs: Any) -> Any:
        given = [x, *args]
        if not isinstance(x, Tensor) or not (len(given) > place or "axis" in kwargs or default):
            return function(*given, **kwargs)
        axis = given[place] if len(given) > place else kwargs.get("axis", *default)
        axis = op.axis.read(axis, x.array.ndim, op.name)
        if op.axis.vector and not x.array.ndim:
            return as_number(read(x.reshape(1), *args, **kwargs))  # type: ignore[attr-defined]
        if len(given) > place:
            given[place] = axis
        else:
            kwargs["axis"] = axis
        return function(*given, **kwargs)

    return read


silence(globals())
