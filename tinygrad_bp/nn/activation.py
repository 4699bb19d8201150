"""Activations as layers, so that they can stand in a Sequential. Read `dropout.py` next."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from . import functional as F
from .module import Module


class Sigmoid(Module):
    """1 / (1 + e to the -x).

    >>> import tinygrad_bp as tg
    >>> tg.nn.Sigmoid()(tg.tensor([0.0]))
    tensor([0.5000])
    """

    def forward(self, input: Any) -> Any:
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent.

    >>> import tinygrad_bp as tg
    >>> tg.nn.Tanh()(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.7616,  0.0000,  0.9640])
    """

    def forward(self, input: Any) -> Any:
        return F.tanh(input)


class LogSigmoid(Module):
    """The logarithm of the sigmoid, exact for x of any size.

    >>> import tinygrad_bp as tg
    >>> tg.nn.LogSigmoid()(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.3133, -0.6931, -0.1269])
    """

    def forward(self, input: Any) -> Any:
        return F.logsigmoid(input)


class Softsign(Module):
    """x / (1 + |x|).

    >>> import tinygrad_bp as tg
    >>> tg.nn.Softsign()(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.5000,  0.0000,  0.6667])
    """

    def forward(self, input: Any) -> Any:
        return F.softsign(input)


class _Inplace(Module):
    """An activation that can write over its input."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU(_Inplace):
    """x, or 0 if negative.

    >>> import tinygrad_bp as tg
    >>> tg.nn.ReLU()(tg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, input: Any) -> Any:
        return F.relu(input, self.inplace)


class SELU(_Inplace):
    """A scaled elu that keeps mean 0 and variance 1 (Klambauer et al. 2017).

    >>> import tinygrad_bp as tg
    >>> tg.nn.SELU()(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.1113,  0.0000,  2.1014])
    """

    def forward(self, input: Any) -> Any:
        return F.selu(input, self.inplace)


class SiLU(_Inplace):
    """x · sigmoid(x) (Elfwing et al. 2017).

    >>> import tinygrad_bp as tg
    >>> tg.nn.SiLU()(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.2689,  0.0000,  1.7616])
    """

    def forward(self, input: Any) -> Any:
        return F.silu(input, self.inplace)


class LeakyReLU(_Inplace):
    """x, or `negative_slope` · x if negative.

    >>> import tinygrad_bp as tg
    >>> tg.nn.LeakyReLU(0.5)(tg.tensor([-1.0, 2.0]))
    tensor([-0.5000,  2.0000])
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def forward(self, input: Any) -> Any:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}{', inplace=True' if self.inplace else ''}"


class ELU(_Inplace):
    """x, or alpha(e to the x - 1) if negative (Clevert et al. 2015).

    >>> import tinygrad_bp as tg
    >>> tg.nn.ELU()(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.6321,  0.0000,  2.0000])
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Any) -> Any:
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}{', inplace=True' if self.inplace else ''}"


class Hardtanh(_Inplace):
    """x kept between two numbers.

    >>> import tinygrad_bp as tg
    >>> tg.nn.Hardtanh()(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if not min_val < max_val:
            raise ArgumentError(f"Hardtanh: min_val {min_val} must be below max_val {max_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, input: Any) -> Any:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}{', inplace=True' if self.inplace else ''}"


class ReLU6(Hardtanh):
    """x kept between 0 and 6.

    >>> import tinygrad_bp as tg
    >>> tg.nn.ReLU6()(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class GELU(Module):
    """x times the probability that a normal number is below x; `approximate='tanh'` is the cheaper formula.

    >>> import tinygrad_bp as tg
    >>> tg.nn.GELU()(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.1587,  0.0000,  1.9545])
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Any) -> Any:
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softplus(Module):
    """log(1 + e to the βx) / β; the line x itself where βx is above the threshold.

    >>> import tinygrad_bp as tg
    >>> tg.nn.Softplus()(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([0.3133, 0.6931, 2.1269])
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Any) -> Any:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class _Along(Module):
    """An activation along one dimension."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_Along):
    """e to the x, divided by its total along `dim`: positive numbers that sum to 1.

    >>> import tinygrad_bp as tg
    >>> tg.nn.Softmax(dim=1)(tg.zeros(1, 4))
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """

    def forward(self, input: Any) -> Any:
        return F.softmax(input, self.dim)


class LogSoftmax(_Along):
    """The logarithm of softmax, exact for scores of any size.

    >>> import tinygrad_bp as tg
    >>> tg.nn.LogSoftmax(dim=0)(tg.tensor([-1.0, 0.0, 2.0]))
    tensor([-3.1698, -2.1698, -0.1698])
    """

    def forward(self, input: Any) -> Any:
        return F.log_softmax(input, self.dim)
