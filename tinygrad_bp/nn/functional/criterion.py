"""What every loss does beside its own formula: the reduction, its two old flags, the shapes, and NaN in the target.

`@loss("MSELoss")` makes a loss of a formula: what it returns is reduced, and what has no dimensions is reduced already.
Read `classes.py` next: targets that are classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...alarms import warn
from ...core import Tensor, array_of
from ...declare import Layer, parameters
from ...duck import check
from ...errors import ArgumentError, DtypeError, NonFiniteError, ShapeError
from ...ops.reductions import mean
from ...ops.reductions import sum as sum_of
from ..written import define

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
REDUCTIONS = ("none", "mean", "sum")
ndarray = np.ndarray


def loss(layer: str, shapes: Any = None, also: Any = None) -> Callable[[F], F]:
    """A loss from its formula, which is written with the parameters of the loss, in PyTorch's order.

    layer: the name of its layer. shapes: `meeting` or `alike`, which looks at the input and the target before.
    also: a check of values, `also(op, loss, input)`, where the loss may be NaN. The formula is called with the
    reduction as it was chosen; it may take the mean itself, in one operation, and returns a tensor of no dimensions
    then. NaN that the target brings in is an error.
    """

    def made(formula: F) -> F:
        names, op = parameters(formula), formula.__name__
        flags = [name for name in ("size_average", "reduce") if name in names]
        unusual = " or ".join(["reduction != 'mean'", *(f"{flag} is not None" for flag in flags)])
        call = f"_finished({op!r}, _formula({', '.join(names)}), reduction, {names[0]}, target, _also)"
        body = f"if {unusual}: reduction = _chosen({', '.join(['reduction', *flags])})"
        if shapes:
            body += f"\n    _shapes({op!r}, input, target)"
        reads = {"_formula": formula, "_shapes": shapes, "_also": also, "_chosen": chosen, "_finished": finished}
        function = define(formula.__module__, op, names, f"{body}\n    return {call}", reads)
        function.__defaults__, function.__annotations__ = formula.__defaults__, formula.__annotations__
        function.__doc__, function.__wrapped__ = formula.__doc__, formula
        needed = len(names) - len(formula.__defaults__ or ())
        function.layer = Layer(layer, inputs=needed, shown="", prepare=one_choice)
        return function  # type: ignore[no-any-return]

    return made


def one_choice(owner: str, given: dict[str, Any]) -> None:
    """Of the settings of a loss's layer: only the reduction stays, as the old flags may have said it."""
    given["reduction"] = chosen(given["reduction"], given.pop("size_average", None), given.pop("reduce", None))


def chosen(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The reduction, also as PyTorch's two old flags say it."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warn(f"size_average and reduce are old names: write reduction={reduction!r}")
    if reduction not in REDUCTIONS:
        raise ArgumentError(f"reduction is 'none', 'mean' or 'sum', not {reduction!r}")
    return reduction


def finished(op: str, loss: Any, reduction: str, input: Any, target: Any, also: Any) -> Any:
    """The loss reduced. NaN of the target is an error; NaN of the prediction passes, as the user's to find."""
    if loss.array.ndim and reduction != "none":
        loss = mean(loss) if reduction == "mean" else sum_of(loss)
    value = loss.array
    if type(value) is not ndarray or value.ndim or value.item() != value.item():
        if also:
            check(also, op, value, input.array)
        if target.array.dtype.kind == "f":
            check(no_nan_from, op, value, target.array)
    return loss


def no_nan_from(op: str, value: Any, target: Any) -> None:
    """Raise if the loss is NaN and the target has NaN."""
    if isinstance(value, ndarray | np.generic):
        total = (np.add.reduce(value, axis=None) if value.ndim else value).item()
        if total != total:
            bad = np.isnan(target)
            if bad.any():
                first = tuple(int(i) for i in np.argwhere(bad)[0])
                raise NonFiniteError(
                    f"{op}: the target of shape {bad.shape} has {int(bad.sum())} NaN, the first at {first}; drop these "
                    "entries (`keep = ~target.isnan()`) or fill them in"
                )


def probabilities(op: str, loss: Any, p: Any) -> None:
    """Raise if the loss is NaN and a probability lies outside [0, 1]."""
    if isinstance(loss, ndarray | np.generic) and np.isnan(loss).any() and ((p < 0) | (p > 1)).any():
        raise ArgumentError(
            f"{op}: the input must be probabilities in [0, 1], and runs from {p.min()} to {p.max()}; for scores use "
            "binary_cross_entropy_with_logits"
        )


def meeting(op: str, input: Any, target: Any) -> None:
    """Shapes of a regression that differ: a warning if they broadcast, since that is rarely meant."""
    if isinstance(input, Tensor) and isinstance(target, Tensor) and input.array.shape == target.array.shape:
        return
    a, b = array_of(input, op, "input").shape, array_of(target, op, "target").shape
    fix = f"`target.reshape({a})`" if math.prod(a) == math.prod(b) else "give both the same shape"
    try:
        shape = np.broadcast_shapes(a, b)
    except ValueError:
        raise ShapeError(f"{op}: input {a} and target {b} do not fit together: {fix}") from None
    warn(f"{op}: input {a} and target {b} differ and broadcast to {shape}, which is rarely meant: {fix}")


def alike(op: str, input: Any, target: Any) -> None:
    """Raise unless the input is of floats and the target of its shape."""
    a, b = array_of(input, op, "input"), array_of(target, op, "target")
    if a.dtype.kind != "f":
        raise DtypeError(f"{op}: input {a.shape} must be floating point, not {a.dtype}; use `x.float()`")
    if a.shape != b.shape:
        fix = f": `target.reshape({a.shape})`" if a.size == b.size else ""
        raise ShapeError(f"{op}: input {a.shape} and target {b.shape} must have the same shape{fix}")
