"""Activations: each operation that says how it stands in `nn` is a function here; what has no other home follows.

`F.elu(input, alpha=1.0, inplace=False)` comes from the declaration of `elu` in `ops/activation.py`. Read `dropout.py`
next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...declare import Layer
from ...errors import ArgumentError, AxisError
from ...ops import reductions
from ...ops.activation import gelu_exact, gelu_tanh
from ..written import functions_for

if TYPE_CHECKING:
    from ..._tensor import Tensor

globals().update(functions_for(__name__))


@Layer("GELU")
def gelu(input: Tensor, approximate: str = "none") -> Any:
    """x times the probability that a normal number is below x; 'tanh' is the cheaper formula of the same paper.

    Hendrycks and Gimpel 2016.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.gelu(tg.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.0000,  0.8413])
    """
    if approximate == "none":
        return gelu_exact(input)
    if approximate != "tanh":
        raise ArgumentError(f"gelu: approximate is 'none' or 'tanh', not {approximate!r}")
    return gelu_tanh(input)


def _dim(name: str, dim: int | None) -> int:
    if dim is None:
        raise AxisError(f"{name}: say over which dimension: `dim=-1` for the last, `dim=1` for classes of (n, classes)")
    return dim


@Layer("Softmax", settings=("dim",))
def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Any:
    """e to the x, divided by its total along `dim`: positive numbers that sum to 1.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.softmax(tg.tensor([0.0, 10000.0]), dim=0)
    tensor([0., 1.])
    """
    return reductions.softmax(input, _dim("softmax", dim), dtype)


@Layer("Softmin", settings=("dim",))
def softmin(input: Tensor, dim: int | None = None, dtype: Any = None) -> Any:
    """softmax of -x.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.softmin(tg.tensor([-1.0, 0.0, 2.0]), dim=0)
    tensor([0.7054, 0.2595, 0.0351])
    """
    return reductions.softmax(-input, _dim("softmin", dim), dtype)


@Layer("LogSoftmax", settings=("dim",))
def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Any:
    """Logarithm of softmax, exact for scores of any size.

    >>> import tinygrad_bp as tg
    >>> tg.nn.functional.log_softmax(tg.tensor([-1.0, 0.0, 2.0]), dim=0)
    tensor([-3.1698, -2.1698, -0.1698])
    """
    return reductions.log_softmax(input, _dim("log_softmax", dim), dtype)
