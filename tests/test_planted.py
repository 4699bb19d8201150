"""Who tests the tests: rules that are wrong on purpose, one of each kind, each caught by the law named beside it.

The wrong operations are declared with the usual words but never published, so the REGISTRY stays clean.
Each comes with a right sister, which every law must let pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from draws import cases_of, draws
from hypothesis import Phase, given, settings
from laws import LAWS
from special_laws import LAWS as SPECIAL_LAWS

from tinygrad_bp import dialect
from tinygrad_bp.calling import unary
from tinygrad_bp.compiler.tracer import real_of
from tinygrad_bp.core import OUTPUT, Tensor
from tinygrad_bp.declare import REGISTRY, Case, Op, composite, constant, elementwise, fused, linear, reduction

SEARCH = settings(max_examples=12, phases=[Phase.generate], derandomize=True, database=None, deadline=None)
MATRICES = (Case((2, 3), (3, 4)), Case((2, 2), (2, 2)))


def escaped(x: Any) -> Any:
    """A value that slips out of the graph."""
    return x.array if isinstance(x, Tensor) else x


def halve_in_place(g: Any) -> Any:
    g *= 0.5
    return 2 * g


def write_into(x: Any, g: Any) -> Any:
    x[...] = 0
    return g


def square(*rules: Callable[..., Any], **options: Any) -> Any:
    return elementwise(np.square, "x squared", *rules, **options)


def matmul(*rules: Callable[..., Any]) -> Any:
    return fused(np.matmul, "matrix product", *rules, cases=MATRICES)


def total(rule: Callable[..., Any]) -> Any:
    return reduction(lambda x, axis, keepdims: np.add.reduce(x, axis=axis, keepdims=keepdims), "total", rule)


# kind of mistake: (the wrong operation, the laws that catch it)
WRONG: dict[str, tuple[Any, str]] = {
    "wrong factor": (square(lambda g, x: g * (3 * x)), "L3"),
    "almost right factor": (square(lambda g, x: g * (2.0001 * x)), "L3"),
    "wrong factor where analytic": (square(lambda g, x: g * ((2 + 1e-9) * x), analytic=True), "L3"),
    "forgot g": (square(lambda g, x: 2 * x + 0 * g), "L3 L9"),
    "g squared": (square(lambda g, x: g * g * (2 * x)), "L3 L9"),
    "wrong sign": (elementwise(np.cos, "cosine", lambda g, x: g * np.sin(x)), "L3"),
    "wrong constant offset": (elementwise(np.tanh, "tanh", lambda g, y: g * (1 - y)), "L3"),
    "output and input confused": (elementwise(np.tanh, "tanh", lambda g, x: g * (1 - x * x)), "L3"),
    "inputs swapped": (elementwise(np.multiply, "a · b", lambda g, a: g * a, lambda g, b: g * b), "L3"),
    "sign of the second input": (elementwise(np.subtract, "a - b", lambda g: g, lambda g: g), "L3"),
    "missing term": (elementwise(lambda a, b: a * b + a, "a b + a", lambda g, b: g * b, lambda g, a: g * a), "L3"),
    "transposed": (matmul(lambda g, b: g @ b.mT, lambda g, a: (a.mT @ g).mT), "L3 L5 L8"),
    "transposed where it fits": (fused(np.matmul, "a @ b", lambda g, b: g @ b, lambda g, a: a.mT @ g,
    cases=(Case((2, 2), (2, 2)),)), "L3"),
    "not the adjoint": (linear(lambda x: np.cumsum(x, axis=0), "running total", lambda g: np.cumsum(g, axis=0),
    cases=(Case((4,)),)), "L3"),
    "assigns where it should add": (
        linear(lambda x: x[[0, 0, 1]], "gathered", lambda g,
            x_shape: dialect.scatter_into(g, np.array([0, 2, 1]), x_shape), cases=(Case((3,)),)),
        "L3",
    ),
    "wrong shape": (linear(lambda x: x.reshape(-1), "flat", lambda g: g, cases=(Case((2, 3)),)), "L3 L5"),
    "wrong dtype": (elementwise(np.sin, "sine", lambda g, x: g * np.cos(x) * np.ones(1)), "L5"),
    "float64 by a NumPy constant": (elementwise(lambda x: x * 2**0.5, "√2 x", lambda g: g * np.sqrt(2)), "L5"),
    "float64 by a count": (reduction(lambda x, axis, keepdims: np.max(x, axis=axis, keepdims=keepdims), "largest",
                                     lambda g, x, y, axis: g * (x == y) / np.sum(x == y, axis=axis, keepdims=True)),
                                     "L5"),
    "float32 by haste": (elementwise(np.sin, "sine", lambda g, x: g * np.cos(x).astype(np.float32), analytic=True),
    "L3"),
    "forward in float64": (elementwise(lambda x: np.sin(x, dtype=np.float64), "sine", lambda g, x: g * np.cos(x)),
    "L5"),
    "writes into the cotangent": (elementwise(np.negative, "-x", lambda g: -halve_in_place(g)), "L6"),
    "writes into an input": (elementwise(np.positive, "x", lambda g, x: write_into(x, g)), "L6"),
    "forward writes into its input": (elementwise(lambda x: np.square(x, out=x), "x squared", lambda g,
    y: g * 2 * np.sqrt(y)), "L6"),
    "un-broadcasts inside": (elementwise(np.multiply, "a · b", lambda g, b, a_shape: dialect.sum_to(g * b, a_shape),
    lambda g, a: g * a), "L7"),
    "un-broadcasts wrongly": (elementwise(np.add, "a + b", lambda g,
    a_shape: g.sum(0) if len(a_shape) < g.ndim else g, lambda g: g), "L7"),
    "mean for sum over the repetitions": (
        elementwise(np.add, "a + b", lambda g, a_shape: g if g.shape == a_shape else g / max(1, g.size),
            lambda g: g), "L3 L7"),
    "not pointwise": (elementwise(np.positive, "x", lambda g: np.flip(g)), "L3"),
    "wrong at second order only": (elementwise(np.sin, "sine", lambda g, x: g * np.cos(escaped(x))), "L4"),
    "second order cut by the output": (elementwise(np.exp, "e to the x", lambda g, y: g * escaped(y)), "L4"),
    "second order cut by the cotangent": (square(lambda g, x: escaped(g) * (2 * x)), "L4"),
    "readers differ": (square(lambda g, x: g * 2 * x if isinstance(x, np.ndarray) else g * 3 * x), "L4 L8"),
    "fast rule that is another": (square(lambda g, x: g * (2 * x), fast_rules=(lambda g, x: g * (2.5 * x),)),
    "L3 L8"),
    "fast forward that is another": (square(lambda g, x: g * (2 * x), fast=lambda x: x * x * 1.001), "L1"),
    "forward is not the NumPy function": (elementwise(lambda x: x * x * x, "x squared", lambda g, x: g * 3 * x * x,
    numpy=(np.square,)), "L1"),
    "reduced axes not spread": (total(lambda g: g * 0.5), "L3"),
    "mean by the wrong count": (reduction(lambda x, axis, keepdims: np.mean(x, axis=axis, keepdims=keepdims),
    "mean", lambda g, x_shape: g / max(1, x_shape[0] if x_shape else 1)), "L3"),
    "forgets its layout": (elementwise(lambda x: x.ravel("K").reshape(x.shape), "x", lambda g: g), "L12"),
    "scalar only": (elementwise(np.sin, "sine", lambda g, x: g * np.cos(x.max())), "L3"),
    "constant zero": (square(lambda g: g * 0), "L3"),
    "constant with a gradient's look": (constant(lambda x: x * 2, "twice x", numpy=(np.square,)), "L1"),
    "composite of the wrong thing": (composite(lambda x: x.detach() * x, cases=(Case((3,)),)), "L3"),
    "forward with values of the first run": (constant(lambda x: x * real_of(x), "x squared"), "L10"),
    "rule with values of the first run": (square(lambda g, x: g * (2 * real_of(x))), "L10"),
    "asks for a value": (square(lambda g, x: g * (2 * x if np.all(x < 9) else x + x)), "L10"),
    "composite that leaves the graph": (composite(lambda x: x * float(x.detach().sum()), cases=(Case((3,)),)), "L3"),
}  # fmt: skip

RIGHT: dict[str, Any] = {
    "square": square(lambda g, x: g * (2 * x)),
    "square, analytic": square(lambda g, x: g * (2 * x), analytic=True),
    "square, with a fast rule": square(lambda g, x: g * (2 * x), fast_rules=(lambda g, x: (x + x) * g,),
    fast=lambda x: x * x),
    "product": elementwise(np.multiply, "a · b", lambda g, b: g * b, lambda g, a: g * a),
    "matmul": matmul(lambda g, b: g @ b.mT, lambda g, a: a.mT @ g),
    "total": total(lambda g: g),
    "running total": linear(lambda x: np.cumsum(x, axis=0), "running total",
    lambda g: np.flip(np.cumsum(np.flip(g, 0), axis=0), 0), cases=(Case((4,)),)),
}  # fmt: skip


def length(rule: Callable[..., Any], **options: Any) -> Any:
    return reduction(lambda x, axis, keepdims: np.sqrt(np.add.reduce(x * x, axis=axis, keepdims=keepdims)), "length",
        rule, **options)  # fmt: skip


def larger(first: Callable[..., Any], second: Callable[..., Any]) -> Any:
    return elementwise(np.maximum, "larger", first, second, singular={"a tie": lambda a, b: a == b})


AT_0 = {"at 0": lambda x: x == 0}
# kind of mistake at a special value: (the wrong operation, the special law that catches it); no law of `laws.py` does
SPECIAL: dict[str, tuple[Any, str]] = {
    "0 / 0, as y / x": (square(lambda g, x, y: g * 2 * y / x), "S1"),
    "0 / 0, of a power": (elementwise(lambda x, exponent=3.0: x**exponent, "x to a number",
    lambda g, x, y, exponent: g * (exponent * y / x)), "S1"),
    "0 / 0 in the value": (elementwise(lambda x: np.sin(x) / x, "sinc",
    lambda g, x: g * (np.cos(x) / x - np.sin(x) / (x * x))), "S1"),
    "0 / 0 in a composite": (composite(lambda x: (x * x).sqrt() * x, cases=(Case((3,)),)), "S1"),
    "0 / 0 in a reduction": (reduction(lambda x, axis, keepdims: np.add.reduce(x * x, axis=axis, keepdims=keepdims),
    "squares", lambda g, x, y: g * 2 * x * y / y), "S1"),
    "inf - inf": (elementwise(np.tanh, "tanh",
    lambda g, x: g * ((np.cosh(x) ** 2 - np.sinh(x) ** 2) / np.cosh(x) ** 2)), "S1"),
    "inf / inf": (elementwise(lambda x: np.logaddexp(0.0, x), "softplus",
    lambda g, x: g * (np.exp(x) / (1 + np.exp(x)))), "S1"),
    "inf · 0": (elementwise(lambda x: np.exp(-np.logaddexp(0.0, -x)), "sigmoid",
    lambda g, x, y: g * (np.exp(-x) * y * y)), "S1"),
    "log(0) · 0": (elementwise(np.power, "a to the b", lambda g, a, b: g * b * a ** (b - 1),
    lambda g, a, y: g * y * np.log(a), singular={"no power": lambda a: a <= 0}), "S1"),
    "infinite slope · 0": (elementwise(lambda x: np.sqrt(x**4), "x squared",
    lambda g, x, y: g * (0.5 / y) * (4 * x**3)), "S1"),
    "overflow in the value": (elementwise(lambda x: np.exp(x) / (1 + np.exp(x)), "sigmoid",
    lambda g, y: g * y * (1 - y)), "S2"),
    "overflow in a row": (reduction(lambda x, axis, keepdims: np.log(np.add.reduce(np.exp(x), axis=axis,
    keepdims=keepdims)), "log of the sum", lambda g, x, y: g * np.exp(x - y)), "S2"),
    "overflow of a square": (elementwise(lambda x: np.sqrt(x * x + 1), "root", lambda g, x, y: g * x / y), "S2"),
    "a constant that halves do not have": (elementwise(lambda x: x / np.maximum(x * x, 1e-12), "1 / x, nearly",
    lambda g: g), "S2"),
    "0 from a distance on": (elementwise(np.arctan, "atan", lambda g, x: g / (1 + x * x) * (np.abs(x) < 100)), "S1"),
    "wrong at 0 alone": (elementwise(np.exp, "exp", lambda g, x, y: g * y * (x != 0)), "S1"),
    "wrong at -0 alone": (elementwise(np.exp, "exp",
    lambda g, x, y: g * y * (np.arctan2(x, -1.0) != -math.pi)), "S1"),
    "wrong at 0 at second order": (elementwise(np.exp, "exp", lambda g, x, y: g * (y + x * (x == 0))), "S1"),
    "both get all of a tie": (larger(lambda g, a, b: g * (a >= b), lambda g, a, b: g * (b >= a)), "S1"),
    "nobody gets a tie": (larger(lambda g, a, b: g * (a > b), lambda g, a, b: g * (b > a)), "S1"),
    "a slope outside of the kink": (elementwise(lambda x: np.maximum(x, 0), "relu",
    lambda g, x: g * ((x > 0) + 2.0 * (x == 0)), singular=AT_0), "S1"),
    "a curvature that is made up": (length(lambda g, x, y: g * (x / (y + (y == 0))),
    singular={"at 0": lambda y: y == 0}), "S1"),
    "NaN for a slope to be chosen": (length(lambda g, x, y: g * x / y, singular={"at 0": lambda y: y == 0}), "S1"),
    "a kink that is not named": (elementwise(np.absolute, "abs", lambda g, x: g * np.sign(x)), "S1"),
    "a name for what is smooth": (square(lambda g, x: g * 2 * x, singular=AT_0), "S1"),
    "wrong for integers": (elementwise(np.reciprocal, "1 / x", lambda g, y: -g * y * y, domain=(0.3, 3.0)), "S2"),
}  # fmt: skip
SISTERS = {
    "square": square(lambda g, x: g * (2 * x)),
    "abs": elementwise(np.absolute, "abs", lambda g, x: g * np.sign(x), singular=AT_0),
    "larger": larger(lambda g, a, b: g * ((a > b) + 0.5 * (a == b)), lambda g, a, b: g * ((b > a) + 0.5 * (a == b))),
    "length": length(lambda g, x, y: g * (y != 0) * (x / (y + (y == 0))), singular={"at 0": lambda y: y == 0}),
    "sigmoid": elementwise(lambda x: np.exp(-np.logaddexp(0.0, -x)), "sigmoid", lambda g, y: g * y * (1 - y)),
}  # fmt: skip


def guilty(law: str, op: Op) -> str:
    """What a special law says against the operation; nothing if it lets it pass."""
    function = next(f for name, f in SPECIAL_LAWS.items() if name.split()[0] == law)
    op.key = op.name = "planted"
    try:
        needed = function(op)
    except AssertionError as error:
        return str(error)
    unneeded = set(op.singular) - needed if needed is not None else set()
    return f"planted: {unneeded}" if unneeded else ""


@pytest.mark.parametrize("kind", SPECIAL)
def test_a_planted_mistake_at_a_special_value_is_caught(kind: str) -> None:
    wrong, law = SPECIAL[kind]
    told = guilty(law, wrong.op)
    assert told.startswith("planted")
    if "expected" in told:
        assert "float" in told or "int" in told
        assert "value" in told or "derivative" in told or "slope" in told


@pytest.mark.parametrize("kind", SISTERS)
def test_its_right_sister_passes_the_special_laws(kind: str) -> None:
    assert [told for law in ("S1", "S2") if (told := guilty(law, SISTERS[kind].op))] == []


def broken(law: str, op: Op) -> bool:
    """Whether the law, on every case and a dozen draws, finds the operation guilty."""
    function = next(f for name, f in LAWS.items() if name.split()[0] == law)
    op.name = op.name or "planted"
    for case in cases_of(op):

        @SEARCH
        @given(draws(op, case))
        def check(d: Any) -> None:
            function(op, d)

        try:
            check()
        except (AssertionError, ValueError, RuntimeError, TypeError, AttributeError, IndexError, ExceptionGroup):
            return True
    return False


@pytest.mark.parametrize(("kind", "law"), [(kind, law) for kind, (_, laws) in WRONG.items() for law in laws.split()])
def test_a_planted_mistake_is_caught(kind: str, law: str) -> None:
    assert broken(law, WRONG[kind][0].op)


@pytest.mark.parametrize("kind", RIGHT)
def test_its_right_sister_passes_every_law(kind: str) -> None:
    assert [law for law in LAWS if broken(law.split()[0], RIGHT[kind].op)] == []


def test_a_node_that_keeps_too_much_is_caught() -> None:
    """L11: the declaring word decides what is kept, so the mistake must be planted behind its back."""
    op = square(lambda g, x: g * (2 * x)).op
    assert not broken("L11", op)
    op = elementwise(np.exp, "e to the x", lambda g, y: g * y, fast_rules=(lambda g, y, x: g * y,)).op
    op.pick, op.roles = (lambda values: (values[1], values[0]),), ((OUTPUT, 0),)
    op.call = unary(op)
    assert broken("L11", op)


def test_declarations_that_make_no_sense_are_refused_at_once() -> None:
    for declare in (
        lambda: elementwise(np.sin, "sine", lambda x, g: g),  # the cotangent comes first
        lambda: elementwise(np.sin, "sine", lambda g, z: g * z),  # there is no z
        lambda: elementwise(np.sin, "sine", lambda g, b: g),  # nor a second input
        lambda: elementwise(np.sin, "sine", lambda g: g, nonsense=1),  # an option that nobody reads
    ):
        with pytest.raises(TypeError):
            declare()


def test_nothing_here_entered_the_registry() -> None:
    assert not any(op is wrong.op for op in REGISTRY.values() for wrong, _ in (*WRONG.values(), *SPECIAL.values()))
