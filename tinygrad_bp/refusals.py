"""What went wrong in a call, in the words of its operation: names, shapes and dtypes, and what to write instead.

An operation that fails gets the error to raise from here; one that NumPy warned of is computed again, so that the
warning names it (`alarms.py`). Read `calling.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .alarms import heard, rings
from .core import Tensor
from .duck import Array
from .errors import FORGOT, ArgumentError, AxisError, DtypeError, ShapeError, TensorError, kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .declare import Op

ndarray = np.ndarray
Number = (int, float, complex)


def no_tensor(op: Op, value: Any) -> DtypeError:
    """The refusal of what is no tensor, no array and no number, or a number where that is not enough."""
    detail = f"{value.dtype} {value.shape}" if isinstance(value, ndarray) else kind_of(value)
    kinds = "a Tensor or an array" if isinstance(value, Number) else "a Tensor, an array or a number"
    fix = FORGOT if value is None else "; make a tensor of it first: `tg.tensor(...)`"
    return DtypeError(f"{op.name}: expected {kinds}, got {detail}{fix}")


ABOUT_NAMES = ("positional argument", "keyword argument", "multiple values", "keyword-only")
UNCLEAR = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError)


def unclear(op: Op, args: Any, kwargs: dict[str, Any], error: Exception) -> Exception:
    """An accident with an argument as an error of ours: it is no tensor, or not what the operation can take.

    What is ours already, and Python's complaints about names of arguments, stay as they are.
    """
    if isinstance(error, TensorError) or (isinstance(error, TypeError) and any(w in str(error) for w in ABOUT_NAMES)):
        return error
    culprit = getattr(error, "obj", op)
    if any(culprit is value for value in args) and not isinstance(culprit, Tensor):
        return no_tensor(op, culprit)
    detail = ", ".join([*map(kind_of, args), *[f"{name}={kind_of(value)}" for name, value in kwargs.items()]])
    kind: type[TensorError] = ArgumentError if isinstance(error, ValueError) else DtypeError
    return kind(f"{op.name}: called with ({detail}): {error}")


def once_more(op: Op, arrays: Sequence[Any], params: tuple[Any, ...], error: Exception) -> Any:
    """The forward again, if all that happened is a warning that now names the operation; else the refusal."""
    if rings(error):
        try:
            return heard(f"{op.name} ({operands(op, arrays)})", op.forward, *arrays, *params)
        except (ValueError, TypeError, IndexError) as another:
            error = another
    raise (error if isinstance(error, TensorError) else explain(op, arrays, error)) from None


def operands(op: Op, arrays: Sequence[Any]) -> str:
    return ", ".join(
        f"{name} {a.shape} {a.dtype}" if isinstance(a, Array) else f"{name} {type(a).__name__}"
        for name, a in zip(op.inputs, arrays, strict=False)
    )


def fit_together(shapes: Sequence[Any]) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def explain(op: Op, arrays: Sequence[Any], error: Exception) -> TensorError:
    """NumPy's complaint with the operation, all shapes and dtypes, and what to do."""
    detail = operands(op, arrays)
    shapes = [a.shape for a in arrays if isinstance(a, Array)]
    if isinstance(error, IndexError):
        return AxisError(f"{op.name}: {detail}: {error}")
    if not isinstance(error, ValueError):
        return DtypeError(f"{op.name}: {detail}: {error}")
    if op.word == "elementwise" and fit_together(shapes):  # so it was the values
        return ArgumentError(f"{op.name}: {detail}: {error}")
    if op.word == "elementwise" and len(shapes) > 1:
        return ShapeError(
            f"{op.name}: these shapes do not broadcast: {detail}. Aligned from the right, sizes must be equal or 1: "
            "insert a dimension with `x.unsqueeze(dim)`, or reshape one of them"
        )
    if op.name in ("matmul", "linear") and len(shapes) > 1:
        return ShapeError(
            f"{op.name}: the inner sizes do not fit: {detail}. {op.name} needs (…, n, k) and "
            f"{'(…, k, m): transpose one with `.mT`' if op.name == 'matmul' else '(m, k): k is in_features'}"
        )
    return ShapeError(f"{op.name}: {detail}: {error}")
