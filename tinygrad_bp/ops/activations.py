"""The bends between layers, beyond tanh, sigmoid and relu. At a kink the slope is PyTorch's. Read `losses.py` next."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import kernels
from ..declare import elementwise, publish
from ..dialect import is_array
from ..dialect import sigmoid as sigmoid_of

SQRT_HALF, SQRT_2_PI = math.sqrt(0.5), math.sqrt(2 * math.pi)


def _erf(x: Any) -> Any:
    return kernels.erf(x) if is_array(x) else x.erf()


silu = elementwise(
    lambda x: x * sigmoid_of(x),
    "x · sigmoid(x)",
    lambda g, x: g * (sigmoid_of(x) * (1 + x * (1 - sigmoid_of(x)))),
    method=False,
)
gelu_exact = elementwise(
    lambda x: 0.5 * x * (1 + _erf(SQRT_HALF * x)),
    "x times the probability that a normal number is below x (Hendrycks and Gimpel 2016)",
    lambda g, x: g * (0.5 * (1 + _erf(SQRT_HALF * x)) + x * np.exp(-0.5 * x * x) / SQRT_2_PI),
    method=False,
    shown="gelu",
    internal=True,
)
logsigmoid = elementwise(
    lambda x: -np.logaddexp(0.0, -x), "logarithm of sigmoid(x)", lambda g, x: g * sigmoid_of(-x), method=False
)
elu = elementwise(
    lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "x, or α(e to the x - 1) if negative (Clevert et al. 2015)",
    lambda g, x, alpha: np.where(x > 0, g, g * (alpha * np.exp(np.minimum(x, 0)))),
    method=False,
    singular={"at 0 the slope is that from the left, α": lambda x: x == 0},
)
hardtanh = elementwise(
    lambda x, min_val=-1.0, max_val=1.0: np.minimum(np.maximum(x, min_val), max_val),
    "x kept between two numbers, with slope 0 at both",
    lambda g, x, min_val, max_val: g * ((x > min_val) & (x < max_val)),
    method=False,
    singular={"at both bounds the slope is 0": lambda x, min_val, max_val: (x == min_val) | (x == max_val)},
)

publish(globals())
