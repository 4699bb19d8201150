"""First weights: how far random numbers must spread for signals to keep their size from layer to layer.

Every function writes into the tensor it is given, and returns it; no graph is recorded. With the same seed the numbers
are PyTorch's. Read `linear.py` next.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import random
from ..core import Tensor
from ..errors import ArgumentError, DtypeError, ShapeError, guessing, require_numbers
from ..inplace import put_in, refuse
from ..modes import no_grad

GAINS = {
    "linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75,
    **dict.fromkeys((f"conv{'_transpose' * t}{d}d" for t in (0, 1) for d in (1, 2, 3)), 1.0),
}  # fmt: skip


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights must grow to make up for what an activation takes away.

    `param` is leaky_relu's slope (0.01).

    >>> import tinygrad_bp as tg
    >>> tg.nn.init.calculate_gain("relu") ** 2
    2.0000000000000004
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float):
            raise ArgumentError(f"calculate_gain: the slope of leaky_relu is a number, not {slope!r}")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in GAINS:
        raise ArgumentError(
            f"calculate_gain: unknown nonlinearity {nonlinearity!r}; there are {['leaky_relu', *GAINS]}"
        )
    return GAINS[nonlinearity]


def fans(tensor: Any, name: str = "fans") -> tuple[int, int]:
    """(fan_in, fan_out): how many numbers flow into and out of one unit of a weight (out, in, …).

    >>> import tinygrad_bp as tg
    >>> tg.nn.init.fans(tg.ones(4, 3))
    (3, 4)
    """
    shape = _array(tensor, name).shape
    if len(shape) < 2:
        raise ShapeError(f"{name}: fan in and fan out need a weight (out, in, …) of at least 2 dimensions, not {shape}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def _array(tensor: Any, name: str) -> np.ndarray:
    if not isinstance(tensor, Tensor):
        raise DtypeError(f"{name}: a Tensor is expected, not {type(tensor).__name__}")
    with no_grad():
        refuse(tensor, name)
    return tensor.array


def _filled(tensor: Any, values: Any, name: str) -> Any:
    _array(tensor, name)
    with no_grad():
        return put_in(tensor, values, f"nn.init.{name}")


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Numbers spread evenly over [a, b).

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.nn.init.uniform_(tg.empty(2))
    tensor([0.4963, 0.7682])
    """
    array = _array(tensor, "uniform_")
    require_numbers("uniform_", a=a, b=b)
    return _filled(tensor, random.uniform(array.shape, a, b, array.dtype, generator, op="uniform_"), "uniform_")


def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Normal numbers of a mean and a standard deviation.

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.nn.init.normal_(tg.empty(2, 2))
    tensor([[ 1.5410, -0.2934],
            [-2.1788,  0.5684]])
    """
    array = _array(tensor, "normal_")
    require_numbers("normal_", mean=mean, std=std)
    return _filled(tensor, random.normal(array.shape, mean, std, array.dtype, generator), "normal_")


def constant_(tensor: Any, val: float) -> Any:
    """Every entry `val`.

    >>> import tinygrad_bp as tg
    >>> tg.nn.init.constant_(tg.empty(2, 2), 0.5)
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    return _filled(tensor, val, "constant_")


def ones_(tensor: Any) -> Any:
    """Every entry 1.

    >>> import tinygrad_bp as tg
    >>> tg.nn.init.ones_(tg.empty(2, 2))
    tensor([[1., 1.],
            [1., 1.]])
    """
    return constant_(tensor, 1.0)


def zeros_(tensor: Any) -> Any:
    """Every entry 0.

    >>> import tinygrad_bp as tg
    >>> tg.nn.init.zeros_(tg.empty(2, 2))
    tensor([[0., 0.],
            [0., 0.]])
    """
    return constant_(tensor, 0.0)


def eye_(tensor: Any) -> Any:
    """Ones on the diagonal of a matrix, zeros elsewhere.

    >>> import tinygrad_bp as tg
    >>> tg.nn.init.eye_(tg.empty(2, 2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    shape = _array(tensor, "eye_").shape
    if len(shape) != 2:
        raise ShapeError(f"eye_: a matrix is expected, not shape {shape}")
    return _filled(tensor, np.eye(*shape), "eye_")


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Even numbers of variance gain² · 2/(fan_in + fan_out) (Glorot and Bengio 2010).

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.nn.init.xavier_uniform_(tg.empty(2, 2))
    tensor([[-0.0092,  0.6570],
            [-1.0080, -0.9013]])
    """
    bound = math.sqrt(3) * (gain * math.sqrt(2 / sum(fans(tensor, "xavier_uniform_"))))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Normal numbers of variance gain² · 2/(fan_in + fan_out) (Glorot and Bengio 2010).

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.nn.init.xavier_normal_(tg.empty(2, 2))
    tensor([[ 1.0896, -0.2075],
            [-1.5406,  0.4019]])
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor, "xavier_normal_"))), generator)


def _kaiming_std(tensor: Any, a: float, mode: str, nonlinearity: str, name: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"{name}: mode is 'fan_in' or 'fan_out', not {mode!r}")
    fan = fans(tensor, name)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Any, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Even numbers of variance gain²/fan (He et al. 2015); `a` is leaky_relu's slope.

    `mode` 'fan_in' keeps the size of signals going forward, 'fan_out' that of gradients going back.

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.nn.init.kaiming_uniform_(tg.empty(2, 2))
    tensor([[-0.0130,  0.9291],
            [-1.4256, -1.2747]])
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Any, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Normal numbers of variance gain²/fan (He et al. 2015).

    >>> import tinygrad_bp as tg
    >>> _ = tg.manual_seed(0)
    >>> tg.nn.init.kaiming_normal_(tg.empty(2, 2))
    tensor([[ 1.5410, -0.2934],
            [-2.1788,  0.5684]])
    """
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_"), generator)


def orthogonal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Rows (or columns, if they are fewer) at right angles and of length `gain` (Saxe et al. 2013).

    The orthogonal factor of a normal matrix, its signs fixed by the diagonal of the other factor; dimensions after
    the first count as one. Equal to PyTorch's to rounding: two builds of LAPACK differ in the last digits.

    >>> import tinygrad_bp as tg
    >>> w = tg.nn.init.orthogonal_(tg.empty(3, 3))
    >>> tg.allclose(w @ w.T, tg.eye(3), atol=1e-6)
    True
    """
    array = _array(tensor, "orthogonal_")
    if array.ndim < 2:
        raise ShapeError(f"orthogonal_: at least 2 dimensions are needed, not shape {array.shape}")
    if array.size == 0:
        return tensor
    rows, cols = array.shape[0], array.size // array.shape[0]
    flat = random.normal((rows, cols), 0.0, 1.0, array.dtype, generator)
    q, r = np.linalg.qr(flat.T if rows < cols else flat)
    q = q * np.sign(np.diag(r))
    return _filled(tensor, (gain * (q.T if rows < cols else q)).reshape(array.shape), "orthogonal_")

if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = guessing(__name__)
