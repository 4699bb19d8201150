"""The calculus page: each line is a function, its name in words, and its derivative.

`g` is the cotangent, `x` the input, `y` the output. Read `arithmetic.py` next.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import kernels
from ..declare import Layer, elementwise, publish
from ..dialect import away
from ..dialect import sigmoid as sigmoid_of

LN2, LN10, TWO_OVER_SQRT_PI = math.log(2), math.log(10), 2 / math.sqrt(math.pi)
EDGE = "at the end of the domain the slope is infinite"
POSITIVE, UNIT, ABOVE_1, OVER_MINUS_1 = (0.1, 4.0), (-0.95, 0.95), (1.1, 4.0), (-0.9, 4.0)


def _distance_2(a: Any, b: Any) -> Any:
    """The squared distance of the point (b, a) from the origin; 1 at the origin, where a and b are 0 anyway."""
    return a * a + b * b + np.logical_not(away(a, b))


exp = elementwise(np.exp, "e to the x", lambda g, y: g * y, analytic=True)
exp2 = elementwise(np.exp2, "2 to the x", lambda g, y: g * (y * LN2))
expm1 = elementwise(np.expm1, "e to the x, minus 1, exact near 0", lambda g, y: g * (y + 1), analytic=True)
log = elementwise(np.log, "natural logarithm", lambda g, x: g / x, domain=POSITIVE, analytic=True)
log2 = elementwise(np.log2, "logarithm to base 2", lambda g, x: g / (x * LN2), domain=POSITIVE, analytic=True)
log10 = elementwise(np.log10, "logarithm to base 10", lambda g, x: g / (x * LN10), domain=POSITIVE, analytic=True)
log1p = elementwise(np.log1p, "log(1 + x), exact near 0", lambda g, x: g / (1 + x), domain=OVER_MINUS_1, analytic=True)

sin = elementwise(np.sin, "sine", lambda g, x: g * np.cos(x), analytic=True)
cos = elementwise(np.cos, "cosine", lambda g, x: -g * np.sin(x), analytic=True)
tan = elementwise(np.tan, "tangent", lambda g, y: g * (1 + y * y), domain=(-1.3, 1.3), analytic=True)
asin = elementwise(
    np.arcsin, "inverse sine", lambda g, x: g / np.sqrt(1 - x * x), domain=UNIT, analytic=True, alias=("arcsin",),
    singular={EDGE: lambda x: np.absolute(x) == 1},
)
acos = elementwise(
    np.arccos, "inverse cosine", lambda g, x: -g / np.sqrt(1 - x * x), domain=UNIT, analytic=True, alias=("arccos",),
    singular={EDGE: lambda x: np.absolute(x) == 1},
)
atan = elementwise(np.arctan, "inverse tangent", lambda g, x: g / (1 + x * x), analytic=True, alias=("arctan",))
atan2 = elementwise(
    np.arctan2,
    "angle of the point (b, a), in its quadrant; at the origin the gradient is 0",
    lambda g, a, b: g * away(a, b) * (b / _distance_2(a, b)),
    lambda g, a, b: -g * away(a, b) * (a / _distance_2(a, b)),
    singular={
        "at the origin the gradient is 0": lambda a, b: (a == 0) & (b == 0),
        "for b below 0 the angle steps by 2π at a = 0": lambda a, b: (a == 0) & (b < 0),
    },
    domain=POSITIVE,
    alias=("arctan2",),
)

sinh = elementwise(np.sinh, "hyperbolic sine", lambda g, x: g * np.cosh(x), analytic=True)
cosh = elementwise(np.cosh, "hyperbolic cosine", lambda g, x: g * np.sinh(x), analytic=True)
tanh = elementwise(
    np.tanh, "hyperbolic tangent", lambda g, y: g * (1 - y * y), fast_rules=(kernels.through_tanh,), analytic=True,
    layer=Layer("Tanh", at=(-0.7616, 0, 0.9640)),
)  # fmt: skip
asinh = elementwise(
    np.arcsinh, "inverse hyperbolic sine", lambda g, x: g / np.sqrt(x * x + 1), analytic=True, alias=("arcsinh",)
)
acosh = elementwise(
    np.arccosh, "inverse hyperbolic cosine", lambda g, x: g / np.sqrt(x * x - 1), domain=ABOVE_1, analytic=True,
    alias=("arccosh",), singular={EDGE: lambda x: x == 1},
)
atanh = elementwise(
    np.arctanh, "inverse hyperbolic tangent", lambda g, x: g / (1 - x * x), domain=UNIT, analytic=True,
    alias=("arctanh",),
)  # fmt: skip

sigmoid = elementwise(
    kernels.sigmoid,
    "1 / (1 + e to the -x)",
    lambda g, y: g * (y * (1 - y)),
    fast_rules=(kernels.through_sigmoid,),
    layer=Layer("Sigmoid", at=(0.2689, 0.5, 0.8808)),
)
softplus = elementwise(
    lambda x, beta=1.0, threshold=20.0: np.where(beta * x > threshold, x, np.logaddexp(0.0, beta * x) / beta),
    "log(1 + e to the βx) / β, the line x itself above the threshold",
    lambda g, x, beta, threshold: np.where(beta * x > threshold, g, g * sigmoid_of(beta * x)),
    cases=({}, {"beta": 0.5}, {"beta": 2.0, "threshold": 1.0}),
    singular={"at the threshold the curve ends, and its slope holds": lambda x, beta, threshold: beta * x == threshold},
    layer=Layer("Softplus", at=(0.3133, 0.6931, 2.1269)),
)
logaddexp = elementwise(
    np.logaddexp,
    "log(e to the a + e to the b), without overflow",
    lambda g, a, b: g * sigmoid_of(a - b),
    lambda g, a, b: g * sigmoid_of(b - a),
    in_place=False,
)
erf = elementwise(kernels.erf, "error function", lambda g, x: g * (TWO_OVER_SQRT_PI * np.exp(-x * x)))

publish(globals())
