"""Arithmetic: the operators, powers, and what is piecewise linear or piecewise constant.

At a kink a rule takes PyTorch's choice: relu and abs have slope 0 at 0, a tie of maximum goes half to each, clamp
passes the gradient at its bounds. Read `comparison.py` next.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..core import Tensor
from ..declare import Case, Layer, composite, elementwise, publish
from ..dialect import away
from ..dtypes import get_default_dtype
from ..duck import check
from ..errors import ArgumentError, DtypeError
from ..fitting import within

if TYPE_CHECKING:
    from ..calling import Operand

ZERO = np.zeros_like  # the derivative of a staircase
STEP, TIE = "a step; the slope is 0 there too", "a tie goes half to each"


def _steps(a: Any, b: Any) -> Any:
    """Where a / b is whole, or there is no quotient."""
    return (b == 0) | (np.floor(a / b) == a / b)



def _add(input: Operand, other: Any, *, alpha: float = 1) -> Any:
    """input + alpha · other."""
    return add(input, other if alpha == 1 else other * alpha)


def _sub(input: Operand, other: Any, *, alpha: float = 1) -> Any:
    """input - alpha · other."""
    return sub(input, other if alpha == 1 else other * alpha)


def _div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Any:
    """input / other; with `rounding_mode` 'floor' or 'trunc' rounded to a whole number."""
    if rounding_mode not in (None, "floor", "trunc"):
        raise DtypeError(f"div: rounding_mode is None, 'floor' or 'trunc', not {rounding_mode!r}")
    if rounding_mode == "floor":
        return floor_divide(input, other)
    return trunc_divide(input, other) if rounding_mode else div(input, other)


add = elementwise(np.add, "a + b", lambda g: g, lambda g: g, operators=("add", "radd"), public=_add)
sub = elementwise(
    np.subtract, "a - b", lambda g: g, lambda g: -g, operators=("sub", "rsub"), public=_sub, alias=("subtract",)
)
mul = elementwise(
    np.multiply, "a · b", lambda g, b: g * b, lambda g, a: g * a, operators=("mul", "rmul"), alias=("multiply",)
)
div = elementwise(
    np.true_divide,
    "a / b",
    lambda g, b: g / b,
    lambda g, a, b: -g * (a / b) / b,  # not y, so that the quotient may be changed in place
    operators=("truediv",),
    domain=(0.3, 3.0),
    public=_div,
    alias=("divide", "true_divide"),
)


def _whole(a: Any, b: Any) -> bool:
    """Whether a and b meet in integers: then there is no infinity that could stand for a division by 0."""
    return np.result_type(*[x if isinstance(x, int | float) else x.dtype for x in (a, b)]).kind in "iub"


def _not_zero(b: Any) -> None:
    if not np.all(b):
        raise ArgumentError("division of integers by 0: use floats, `a.float() / b`, or `tg.where(b == 0, 1, b)`")


def _divided(function: Any, a: Any, b: Any) -> Any:
    if _whole(a, b):
        check(_not_zero, b)
    return function(a, b)


floor_divide = elementwise(
    lambda a, b: _divided(np.floor_divide, a, b), "a / b rounded down", ZERO_A := lambda g: ZERO(g), ZERO_A,
    operators=("floordiv", "rfloordiv"), numpy=(np.floor_divide,), domain=(0.3, 3.0), flat=True,
    singular={STEP: _steps},
)  # fmt: skip
trunc_divide = elementwise(
    lambda a, b: _divided(_towards_zero, a, b), "a / b rounded towards 0", ZERO_A, ZERO_A,
    internal=True, shown="div", domain=(0.3, 3.0), flat=True, singular={STEP: _steps},
)  # fmt: skip


def _towards_zero(a: Any, b: Any) -> Any:
    return (a - np.fmod(a, b)) // b if _whole(a, b) else np.trunc(np.true_divide(a, b))


remainder = elementwise(
    lambda a, b: _divided(np.remainder, a, b),
    "what is left of a after whole b's, with the sign of b",
    lambda g: g,
    lambda g, a, b: -g * np.floor_divide(a, b),
    operators=("mod", "rmod"),
    numpy=(np.remainder,),
    domain=(0.3, 3.0),
    singular={"where a / b is whole it falls to 0; the slope is that from above": _steps},
)
power = elementwise(
    lambda a, b: a**b,
    "a to the b, both tensors",
    lambda g, a, b: g * (b * away(a, b) * a ** (b - away(a, b))),
    lambda g, a, b, y: g * (y * ((a != 0) * np.log(a + (a == 0)) + np.minimum(np.sign(b), 0) * (a == 0))),
    domain=(0.2, 3.0),
    singular={
        "at a = 0 the slope by b is 0, and at 0 to the 0 both are": lambda a: a == 0,
        "below 0 only whole b have a power": lambda a: a < 0,
    },
)
pow_number = elementwise(
    lambda x, exponent=2.0: x**exponent,
    "x to a number",
    lambda g, x, exponent: g * (exponent * x ** (exponent - 1 if exponent else exponent)),
    domain=(0.2, 3.0),
    cases=({}, {"exponent": 3}, {"exponent": -0.5}, {"exponent": 1}, {"exponent": 0}),
)

neg = elementwise(np.negative, "-x", lambda g: -g, operators=("neg",), analytic=True, alias=("negative",))
abs = elementwise(
    np.absolute, "distance from 0", lambda g, x: g * np.sign(x), operators=("abs",), alias=("absolute",),
    singular={"at 0 the slope is 0": lambda x: x == 0},
)  # fmt: skip
reciprocal = elementwise(  # not np.reciprocal, which rounds to 0 for integers
    lambda x: np.true_divide(1, x), "1 / x", lambda g, y: -g * y * y,
    numpy=(np.reciprocal,), domain=(0.3, 3.0), analytic=True,
)  # fmt: skip
square = elementwise(
    lambda x: np.square(x if x.dtype.kind != "b" else x.astype(np.int64)), "x squared", lambda g, x: g * (2 * x),
    numpy=(np.square,), analytic=True,
)  # fmt: skip
sqrt = elementwise(
    np.sqrt, "square root", lambda g, y: 0.5 * g / y, domain=(0.1, 4.0), analytic=True,
    singular={"at 0 the slope is infinite": lambda x: x == 0},
)  # fmt: skip
rsqrt = elementwise(
    lambda x: 1 / np.sqrt(x), "1 / square root", lambda g, y: -0.5 * g * (y * y * y), domain=(0.1, 4.0), analytic=True
)


def _decimals(x: Any, decimals: int = 0) -> Any:
    return x, int(decimals)


def _rounded(x: Any, decimals: int) -> Any:
    """A number too large to be multiplied by 10 has no decimals to lose."""
    if not decimals or x.dtype.kind != "f":
        return x.round(decimals)
    with np.errstate(over="ignore"):
        y = x.round(decimals)
    return np.where(np.isfinite(y), y, x)


sign = elementwise(
    lambda x: np.sign(x) if x.dtype.kind != "b" else x | x, "-1, 0 or 1", lambda g: ZERO(g),
    numpy=(np.sign,), flat=True, singular={STEP: lambda x: x == 0},
)  # fmt: skip
floor = elementwise(np.floor, "rounded down", lambda g: ZERO(g), flat=True, singular={STEP: lambda x, y: x == y})
ceil = elementwise(np.ceil, "rounded up", lambda g: ZERO(g), flat=True, singular={STEP: lambda x, y: x == y})
trunc = elementwise(
    np.trunc, "rounded towards 0", lambda g: ZERO(g), flat=True, alias=("fix",), singular={STEP: lambda x, y: x == y}
)
round = elementwise(
    lambda x, decimals=0: _rounded(x, decimals),
    "rounded to `decimals` places, halves to even; its gradient is 0",
    lambda g: ZERO(g),
    front=_decimals,
    flat=True,
    operators=("round",),
    numpy=(np.round, np.around),
    cases=({}, {"decimals": 1}),
    singular={STEP: lambda x, decimals: np.remainder(x * 10.0**decimals, 1) == 0.5},
)

maximum = elementwise(
    np.maximum, "the larger one",
    lambda g, a, b: np.where(a < b, 0.0, np.where(a == b, 0.5 * g, g)),
    lambda g, a, b: np.where(b < a, 0.0, np.where(a == b, 0.5 * g, g)),
    singular={TIE: lambda a, b: a == b},
    in_place=False,
)  # fmt: skip
minimum = elementwise(
    np.minimum, "the smaller one",
    lambda g, a, b: np.where(a > b, 0.0, np.where(a == b, 0.5 * g, g)),
    lambda g, a, b: np.where(b > a, 0.0, np.where(a == b, 0.5 * g, g)),
    singular={TIE: lambda a, b: a == b},
    in_place=False,
)  # fmt: skip
relu = elementwise(
    lambda x: np.maximum(x, 0), "x, or 0 if negative",
    lambda g, y: g * (y != 0),  # so that what is no number stays in sight
    singular={"at 0 the slope is 0": lambda x: x == 0},
    layer=Layer("ReLU", at=(0, 0, 2), inplace=True),
)  # fmt: skip
leaky_relu = elementwise(
    lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
    "x, or `negative_slope` · x if negative",
    lambda g, x, negative_slope: np.where(x > 0, g, negative_slope * g),
    cases=({}, {"negative_slope": 0.3}),
    singular={"at 0 the slope is that from the left": lambda x: x == 0},
    layer=Layer("LeakyReLU", at=(-0.01, 0, 2), inplace=True),
)
clip_numbers = elementwise(
    lambda x, low=-inf, high=inf: np.minimum(np.maximum(x, low), high),
    "x kept between two numbers",
    lambda g, x, low, high: g * ((x >= low) & (x <= high)),
    cases=({"low": -0.5, "high": 0.7}, {"high": 0.3}),
    singular={"at its bounds the gradient passes": lambda x, low, high: (x == low) | (x == high)},
)
clip_tensors = elementwise(
    lambda a, b, c: np.minimum(np.maximum(a, b), c),
    "a kept between tensors b and c; where b > c it is c",
    lambda g, a, b, c: g * ((a >= b) & (a <= c)),
    lambda g, a, b, c: g * ((a < b) & (b < c)),
    lambda g, a, b, c: g * ((np.maximum(a, b) > c) | ((a < b) & (b == c))),
    singular={"at its bounds a takes the gradient": lambda a, b, c: (np.maximum(a, b) == c) | ((a == b) & (a <= c))},
)
select = elementwise(
    lambda a, b, condition: np.where(condition, a, b),
    "a where the condition holds, b elsewhere",
    lambda g, condition: np.where(condition, g, 0.0),
    lambda g, condition: np.where(condition, 0.0, g),
    cases=(Case((2, 3), (3,), condition=True), Case((2, 3), (3,), condition=np.array([[True], [False]]))),
)


@composite(
    bodies=(power, pow_number),
    numpy=(np.power,),
    operators=("pow", "rpow"),
    torch={"b": "exponent"},
    in_place=True,
    inputs=("a", "b"),
    cases=(Case((3,), (2, 3)), Case((3,), b=2), Case((3,), b=-1.5), Case((3,), a=2.0)),
    domain=(
        0.2,
        3.0,
    ),
)
def pow(a: Any, b: Any) -> Any:
    """a to the b.

    A number as exponent keeps only `a`; the derivative at 0 to the 0 is 0.
    """
    if isinstance(b, int | float) and isinstance(a, Tensor):
        a = cast("Any", a)
        if isinstance(b, float) and a.dtype.kind in "biu":
            a = a.to(get_default_dtype())
        a = a.long() if a.dtype.kind == "b" and not isinstance(b, bool) else a
        return square(a) if b == 2 else pow_number(a, b)
    return power(a, b)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    return a.clone() if low is None and high is None else clamp(a, low, high)


@composite(
    bodies=(clip_numbers, clip_tensors),
    numpy={np.clip: _clip},
    alias=("clip",),
    in_place=True,
    cases=(
        Case((2, 3), min=-0.5, max=0.7),
        Case((2, 3), min=-0.2),
        Case((2, 3), (3,), (2, 1)),
    ),
)
def clamp(x: Any, min: Operand | None = None, max: Operand | None = None) -> Any:
    """x kept between `min` and `max`, numbers or tensors; None leaves a side open."""
    if min is None and max is None:
        raise ArgumentError("clamp: at least one of min and max must be given")
    bounds = [bound for bound in (min, max) if bound is not None]
    for bound in bounds:
        within("clamp", bound, x.dtype)
    whole = x.dtype.kind in "biu" and not any(isinstance(b, Tensor) and b.array.dtype.kind == "f" for b in bounds)
    low, high = -inf if min is None else min, inf if max is None else max
    if not whole and (isinstance(low, Tensor) or isinstance(high, Tensor)):
        return clip_tensors(x, low, high)
    if whole:  # an open side must not turn integers into floats
        x = x if min is None else maximum(x, min)
        return x if max is None else minimum(x, max)
    return clip_numbers(x, low, high)


def _numpy_where(condition: Any, x: Any = None, y: Any = None) -> Any:
    return where(condition, x, y)


def _where_method(self: Any, condition: Any, other: Any) -> Any:
    return where(condition, self, other)


@composite(
    bodies=(select,),
    numpy={np.where: _numpy_where},
    method=_where_method,
    torch={"a": ("input", "self"), "b": "other"},
    inputs=("condition", "a", "b"),
    cases=(
        Case((2, 3), (3,), condition=np.array([[True], [False]])),
        Case((2, 1), (), condition=np.array([True, False])),
    ),
)
def where(condition: Any, a: Any = None, b: Any = None) -> Any:
    """`a` where the condition holds and `b` elsewhere; with the condition alone, the indices where it holds."""
    if a is None and b is None:
        return condition.nonzero(as_tuple=True)
    for number, other in ((a, b), (b, a)):
        if isinstance(other, Tensor):
            within("where", number, other.array.dtype)
    return select(a, b, condition)


@composite(
    in_place=True,
    torch={"b": "end"},
    inputs=("a", "b", "weight"),
    cases=(Case((2, 3), (3,), (2, 1)), Case((3,), (3,), weight=0.3)),
)
def lerp(a: Any, b: Any, weight: Any) -> Any:
    """a + weight · (b - a), counted from the nearer end, so that a weight of 1 gives b itself."""
    if isinstance(weight, int | float):
        start, part = (a, weight) if -0.5 < weight < 0.5 else (b, weight - 1)
    else:
        near = abs(weight) < 0.5
        start, part = select(a, b, near), select(weight, weight - 1, near)
    return start + part * (b - a)


@composite(
    in_place=True,
    torch={"a": "tensor1", "b": "tensor2"},
    inputs=("x", "a", "b"),
    cases=(Case((2, 3), (3,), (2, 1)), Case((3,), (3,), (3,), value=-0.5)),
)
def addcmul(x: Any, a: Any, b: Any, value: float = 1.0) -> Any:
    """x + value · a · b."""
    return x + (a * b if value == 1 else value * (a * b))


@composite(
    in_place=True,
    torch={"a": "tensor1", "b": "tensor2"},
    inputs=("x", "a", "b"),
    cases=(Case((2, 3), (3,), (2, 1)), Case((3,), (3,), (3,), value=-0.5)),
    domain=(
        0.3,
        3.0,
    ),
)
def addcdiv(x: Any, a: Any, b: Any, value: float = 1.0) -> Any:
    """x + value · a / b."""
    return x + (a / b if value == 1 else value * (a / b))


@composite(numpy=(np.positive,), operators=("pos",), cases=(Case((2, 3)), Case(())))
def positive(x: Any) -> Any:
    """x itself."""
    return x


publish(globals())
