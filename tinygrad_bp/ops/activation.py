"""The bends between layers, beyond tanh, sigmoid and relu. At a kink the slope is PyTorch's.

`layer=Layer(…)` names the layer: `F.silu` and `nn.SiLU` follow from its declaration here. Read `loss.py` next.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import kernels
from ..declare import Layer, elementwise, publish
from ..dialect import is_array
from ..dialect import sigmoid as sigmoid_of
from ..errors import ArgumentError

SQRT_HALF, SQRT_2_PI, SQRT_2_OVER_PI = math.sqrt(0.5), math.sqrt(2 * math.pi), math.sqrt(2 / math.pi)
GELU_CUBE = 0.044715 * SQRT_2_OVER_PI
SELU_SCALE = 1.0507009873554804934193349852946
SELU_LOW = SELU_SCALE * 1.6732632423543772848170429916717


def _erf(x: Any) -> Any:
    return kernels.erf(x) if is_array(x) else x.erf()


def _near(x: Any) -> Any:
    """x kept where its square does not overflow; beyond, the tails of the normal distribution are 0 and 1 anyway."""
    return np.minimum(np.maximum(x, -40), 40)


def _tanh_of_cube(x: Any) -> Any:
    return np.tanh(SQRT_2_OVER_PI * x + GELU_CUBE * x * x * x)


silu = elementwise(
    lambda x: x * sigmoid_of(x),
    "x · sigmoid(x) (Elfwing et al. 2017)",
    lambda g, x: g * (sigmoid_of(x) * (1 + x * (1 - sigmoid_of(x)))),
    method=False,
    layer=Layer("SiLU", at=(-0.2689, 0, 1.7616), inplace=True),
)
gelu_exact = elementwise(
    lambda x: 0.5 * x * (1 + _erf(SQRT_HALF * x)),
    "x times the probability that a normal number is below x (Hendrycks and Gimpel 2016)",
    lambda g, x: g * (0.5 * (1 + _erf(SQRT_HALF * x)) + x * np.exp(-0.5 * _near(x) * _near(x)) / SQRT_2_PI),
    method=False,
    shown="gelu",
    internal=True,
)
gelu_tanh = elementwise(
    lambda x: 0.5 * x * (1 + _tanh_of_cube(_near(x))),
    "nearly x times the probability that a normal number is below x, through tanh (Hendrycks and Gimpel 2016)",
    lambda g, x: g * (
        0.5 * (1 + _tanh_of_cube(_near(x)))
        + 0.5 * x * (1 - _tanh_of_cube(_near(x)) ** 2) * (SQRT_2_OVER_PI + 3 * GELU_CUBE * _near(x) * _near(x))
    ),
    method=False,
    internal=True,
)  # fmt: skip
logsigmoid = elementwise(
    lambda x: -np.logaddexp(0.0, -x),
    "the logarithm of sigmoid(x), exact for x of any size",
    lambda g, x: g * sigmoid_of(-x),
    method=False,
    layer=Layer("LogSigmoid", at=(-1.3133, -0.6931, -0.1269)),
)
elu = elementwise(
    lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "x, or α(e to the x - 1) if negative (Clevert et al. 2015)",
    lambda g, x, alpha: np.where(x > 0, g, g * (alpha * np.exp(np.minimum(x, 0)))),
    method=False,
    singular={"at 0 the slope is that from the left, α": lambda x: x == 0},
    layer=Layer("ELU", at=(-0.6321, 0, 2), inplace=True),
)
softsign = elementwise(
    lambda x: x / (1 + np.abs(x)),
    "x / (1 + |x|)",
    lambda g, x: g / (1 + np.abs(x)) / (1 + np.abs(x)),
    method=False,
    singular={"at 0 the curvature steps": lambda x: x == 0},
    layer=Layer("Softsign", at=(-0.5, 0, 0.6667)),
)


def _bounds(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> tuple[Any, float, float]:
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: min_val {min_val} is above max_val {max_val}")
    return x, min_val, max_val


def _apart(owner: str, given: dict[str, Any]) -> None:
    if not given["min_val"] < given["max_val"]:
        raise ArgumentError(f"{owner}: min_val {given['min_val']} must be below max_val {given['max_val']}")


hardtanh = elementwise(
    lambda x, min_val=-1.0, max_val=1.0: np.minimum(np.maximum(x, min_val), max_val),
    "x kept between two numbers, with slope 0 at both",
    lambda g, x, min_val, max_val: g * ((x > min_val) & (x < max_val)),
    front=_bounds,
    method=False,
    singular={"at both bounds the slope is 0": lambda x, min_val, max_val: (x == min_val) | (x == max_val)},
    layer=Layer("Hardtanh", at=(-1, 0, 1), inplace=True, prepare=_apart),
)




def _from_0_to_6(owner: str, given: dict[str, Any]) -> None:
    given.update(min_val=0.0, max_val=6.0)  # what every Hardtanh has


relu6 = elementwise(
    lambda x: np.minimum(np.maximum(x, 0), 6),
    "x kept between 0 and 6",
    lambda g, x: g * ((x > 0) & (x < 6)),
    method=False,
    singular={"at 0 and 6 the slope is 0": lambda x: (x == 0) | (x == 6)},
    layer=Layer("ReLU6", at=(0, 0, 2), inplace=True, base="Hardtanh", prepare=_from_0_to_6),
)
selu = elementwise(
    lambda x: np.where(x > 0, SELU_SCALE * x, SELU_LOW * np.expm1(np.minimum(x, 0))),
    "a scaled elu that keeps mean 0 and variance 1 (Klambauer et al. 2017)",
    lambda g, x: np.where(x > 0, SELU_SCALE * g, g * (SELU_LOW * np.exp(np.minimum(x, 0)))),
    method=False,
    singular={"at 0 the slope is that from the left": lambda x: x == 0},
    layer=Layer("SELU", at=(-1.1113, 0, 2.1014), inplace=True),
)
mish = elementwise(
    lambda x: x * np.tanh(np.logaddexp(0.0, x)),
    "x · tanh(log(1 + e to the x)) (Misra 2019)",
    lambda g, x: g * (
        np.tanh(np.logaddexp(0.0, x)) + x * sigmoid_of(x) * (1 - np.tanh(np.logaddexp(0.0, x)) ** 2)
    ),
    method=False,
    layer=Layer("Mish", at=(-0.3034, 0, 1.9440), inplace=True),
)  # fmt: skip
hardsigmoid = elementwise(
    lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6,
    "0 up to -3, 1 from 3 on, and a line between (Howard et al. 2019)",
    lambda g, x: g * ((x > -3) & (x < 3)) / 6,
    method=False,
    singular={"at ±3 the slope is 0": lambda x: np.abs(x) == 3},
    layer=Layer("Hardsigmoid", at=(0.3333, 0.5, 0.8333), inplace=True, shown=""),
)
hardswish = elementwise(
    lambda x: x * (np.minimum(np.maximum(x + 3, 0), 6) / 6),
    "x · hardsigmoid(x) (Howard et al. 2019)",
    lambda g, x: np.where(np.abs(x) < 3, g * (x / 3 + 0.5), g * (x > 0)),
    method=False,
    singular={"at -3 the slope is 0, and at 3 it is 1": lambda x: np.abs(x) == 3},
    layer=Layer("Hardswish", at=(-0.3333, 0, 1.6667), inplace=True, shown=""),
)


def _not_0(x: Any, alpha: float = 1.0) -> tuple[Any, float]:
    if alpha == 0:
        raise ArgumentError("celu: alpha cannot be 0, since x is divided by it; use `relu`")
    return x, alpha


celu = elementwise(
    lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha)),
    "x, or α(e to the x/α - 1) if negative, so that its slope at 0 is 1 (Barron 2017)",
    lambda g, x, alpha: np.where(x > 0, g, g * np.exp(np.minimum(x, 0) / alpha)),
    front=_not_0,
    method=False,
    cases=({}, {"alpha": 0.5}),
    singular={"at 0 the curvature steps": lambda x: x == 0},
    layer=Layer("CELU", at=(-0.6321, 0, 2), inplace=True),
)

publish(globals())
