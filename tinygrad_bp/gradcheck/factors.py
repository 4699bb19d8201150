"""Factors and terms that are missing or too many: constants, expressions in x and y, derivatives at the wrong point.

After reading you know what may occur in a factor: the input `x`, the output `y`, the other inputs, products of two
inputs and a few statistics of x, each spread over the Jacobian's rows or columns. The ratio of wrong to right, entry by
entry, is fitted against expressions in these. Read `partial.py` next: what to say when nothing fits everywhere.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .patterns import (
    EXPRESSIONS,
    RTOL,
    Variable,
    close,
    constant_of,
    expressions,
    fit,
    is_simple,
    name_constant,
    over,
    show,
    sigmoid,
    times,
)  # fmt: skip
from .structure import Case

if TYPE_CHECKING:
    from .diagnose import Evidence

Array = Any
ENOUGH = 128  # entries are enough to fit a factor


# ---- what may occur in a factor --------------------------------------------------------------------------------------


def name_variables(evidence: Evidence, case: Case) -> list[Variable]:
    """x, y, the other inputs, products of inputs and statistics of x, each where it fits the rows or the columns."""
    several = len(evidence.inputs) > 1
    found: list[Variable] = []
    if evidence.output is not None:
        found += _spread_over("y", evidence.output, case)
    if evidence.value is not None and evidence.value.shape == case.in_shape:
        found.append(("x", evidence.value.reshape(1, -1)))
    others = [(f"x{i}" if several else "x", v) for i, v in enumerate(evidence.inputs) if i != evidence.index]
    for name, v in others:
        found += _spread_over(name, v, case)
    for v in _activations_between(evidence):
        found += _spread_over("a", v, case)
    for name, v in _products(evidence):
        found += _spread_over(name, v, case)
    if evidence.value is not None:
        found += list(_statistics(evidence.value, case))
    if not case.full and evidence.cotangent is not None and evidence.cotangent.shape == case.in_shape:
        found.insert(1, ("g", evidence.cotangent.reshape(1, -1)))
    single = [("y", evidence.output), *others] if evidence.output is not None else others
    case.scalars = [(name, v.reshape(1, 1)) for name, v in single if v.size == 1]
    return [(name, v) for name, v in found if np.isfinite(v).all()]


def _spread_over(name: str, v: Array, case: Case) -> list[Variable]:
    """A variable as a factor per row (it fits the output) and per column (it fits the input)."""
    found: list[Variable] = []
    if case.full and v.size > 1 and _fits(v.shape, case.out_shape):
        found.append((name, np.broadcast_to(v, case.out_shape).reshape(-1, 1)))
    alone = case.out_shape == case.in_shape and case.elementwise
    if v.size > 1 and _fits(v.shape, case.in_shape) and not (found and alone):
        label = f"{name}[at the input's place]" if found else name
        found.append((label, np.broadcast_to(v, case.in_shape).reshape(1, -1)))
    return found


def _fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, into) == into
    except ValueError:
        return False


def _products(evidence: Evidence) -> Iterator[tuple[str, Array]]:
    """Matrix products of two inputs, with a third added where it fits: the value before an activation."""
    arrays = [(f"x{i}" if i != evidence.index else "x", v) for i, v in enumerate(evidence.inputs[:5])]
    matrices = [(name, v) for name, v in arrays if v.ndim == 2]
    for (p, u), (q, v) in itertools.permutations(matrices, 2):
        for text, w in ((f"{p} @ {q}", v), (f"{p} @ {q}.T", v.T)):
            if u.shape[1] != w.shape[0]:
                continue
            z = u @ w
            yield f"({text})", z
            yield from ((f"({text} + {b})", z + c) for b, c in arrays if c.ndim < 2 and c.shape == z.shape[-1:])


def _activations_between(evidence: Evidence) -> Iterator[Array]:
    """For one sample, what enters a layer: its weights' gradient over its bias's."""
    numeric = [np.asarray(n, dtype=float) for _, n in evidence.others.values()]
    for weight, bias in itertools.product(numeric, numeric):
        if weight.ndim != 2 or bias.ndim != 1 or not bias.all():
            continue
        for w in (weight, weight.T):
            if w.shape[1] == bias.shape[0] > 1:
                a = w / bias
                if np.isfinite(a).all() and close(a, a[:, :1], 1e-5 * np.abs(a).max()).all():
                    yield a[:, 0]


def _statistics(x: Array, case: Case) -> Iterator[Variable]:
    """Standard deviation, norm, sum, … of x over the axes that layers normalise over."""
    if x.ndim == 0 or x.size < 2 or x.shape != case.in_shape:
        return
    choices: dict[str, tuple[int, ...]] = {"": tuple(range(x.ndim))}
    if x.ndim > 1:
        choices |= {f", axis={k}": (k,) for k in range(x.ndim)}
        choices[", all axes but 1"] = tuple(k for k in range(x.ndim) if k != 1)
        choices[", all axes but 0"] = tuple(range(1, x.ndim))
    for label, axes in choices.items():
        for name, v in (
            ("std", x.std(axes, keepdims=True)), ("rms", np.sqrt((x * x).mean(axes, keepdims=True))),
            ("norm", np.sqrt((x * x).sum(axes, keepdims=True))),
            ("sum", x.sum(axes, keepdims=True)), ("sum of exp", np.exp(x).sum(axes, keepdims=True)),
        ):  # fmt: skip
            yield f"{name}(x{label})", np.broadcast_to(v, x.shape).reshape(1, -1)


def legend(text: str) -> str:
    """What the letters in a formula stand for.

    >>> legend("1 - y*y")
    ' (y: the output)'
    """
    known = {"x": "this input", "y": "the output", "g": "the incoming gradient"}
    known["a"] = "the activation before the next layer"
    names = dict.fromkeys(re.findall(r"\b(x\d*|y|g|a)\b", text))
    detail = [f"{n}: {known.get(n) or f'input {n[1:]}'}" for n in names]
    return f" ({', '.join(detail)})" if detail else ""


# ---- one constant ----------------------------------------------------------------------------------------------------


def constant_factor(case: Case) -> str | None:
    """The same factor at every entry."""
    if case.zero_a[case.live].any() or case.zero_n[case.live].any():
        return None
    c = constant_of(case.ratio(case.live))
    if c is None or abs(c - 1) < 1e-2 * is_close_to_one(case):
        return None
    named = name_constant(c, case.sizes())
    ratio = f"(analytic / numeric = {show(c)})"
    if math.isclose(c, -1, rel_tol=RTOL):
        return f"sign: your gradient is minus the right one everywhere {ratio}"
    source = _scalar_source(case, c)
    if source:
        return f"constant factor {show(c)}: {source} {ratio}"
    flipped = " and the sign is flipped" if c < 0 else ""
    return f"constant factor {named}: your gradient is {show(c)} times the right one everywhere{flipped} {ratio}"


def is_close_to_one(case: Case) -> bool:
    """Whether the disagreement is below a thousandth: an approximation, not a forgotten factor."""
    return bool(np.all(np.abs(case.ratio(case.live) - 1) < 1e-3))


def _scalar_source(case: Case, c: float) -> str | None:
    """A constant that is a known function of a value that happens to be one number here."""
    if is_simple(c) or any(math.isclose(c, f, rel_tol=RTOL) for n in case.sizes().values() if n for f in (n, 1 / n)):
        return None
    for name, values in [*case.scalars, *case.variables]:
        v = values.reshape(-1)
        if np.ptp(v) > 1e-9 * abs(v[0]):
            continue
        for text, f in itertools.islice(EXPRESSIONS.items(), 18):
            for power, value in ((-1, 1 / f(v[0])), (1, f(v[0]))):
                for k in (1.0, -1.0, 2.0, 0.5):
                    if value and math.isclose(c, k * value, rel_tol=1e-6):
                        expression = text.replace("{v}", name)
                        written = over(k, expression) if power < 0 else times(k, expression)
                        return f"it is `{written}`{legend(written)}, a chain factor missing or too many"
    return None


# ---- one expression --------------------------------------------------------------------------------------------------


def _sample(mask: Array) -> Array:
    """At most ENOUGH entries of a mask, evenly taken."""
    where = np.flatnonzero(mask)
    if where.size <= ENOUGH:
        return mask
    chosen = np.zeros(mask.size, dtype=bool)
    chosen[where[np.linspace(0, where.size - 1, ENOUGH).astype(int)]] = True
    return chosen.reshape(mask.shape)


def elementwise_factor(case: Case, mask: Array = None, any_constant: bool = False) -> str | None:
    """An expression in x, y and the rest that is missing, or one too many, at every entry (of a mask).

    A ratio with two values, one of them 1, is a branch and no factor.
    """
    live = case.live if mask is None else mask
    both = live & ~case.zero_a & ~case.zero_n
    if both.sum() < 2 or (live & ~both).sum() > 0:
        return None
    keep = _sample(both)
    if mask is None and case.good.any() and np.unique(np.round(case.ratio(keep), 5)).size < 3:
        return None
    found = fit(case.ratio(keep), expressions(case.variables, case.shape, keep))
    if found is None or not (any_constant or is_simple(found[1])):
        return None
    text, c, power = found
    right_is_plain = constant_of(case.numeric[keep]) is not None
    if power < 0:
        missing, extra = times(1 / c, text), over(c, text)
        detail = f"missing chain factor `{missing}`"
    elif right_is_plain or constant_of(case.analytic[keep]) is None:
        missing, extra = over(1 / c, text), times(c, text)
        detail = f"the factor `{extra}` is one too many (missing chain factor `{missing}`)"
    else:
        missing, extra = over(1 / c, text), times(c, text)
        detail = f"missing chain factor `{missing}`"
    fits = right_is_plain or not case.elementwise
    if text in ("y", "a") and power > 0 and fits and math.isclose(c, 1, rel_tol=RTOL):
        detail += ", as when the derivative of the identity, 1, is given as its output"
    return f"{detail}: analytic / numeric = {extra} everywhere{legend(text)}{_examples(case, keep)}"


def _examples(case: Case, keep: Array) -> str:
    ratio = case.ratio(keep)
    shown = ratio[np.linspace(0, ratio.size - 1, min(3, ratio.size)).astype(int)]
    return f", for example {', '.join(show(float(r)) for r in shown)}"


# ---- a right derivative at a wrong point -----------------------------------------------------------------------------

# name: (derivative in terms of the pre-activation, the same in terms of the activation)
_ACTIVATIONS: dict[str, tuple[Any, Any]] = {
    "tanh": (lambda v: 1 - np.tanh(v) ** 2, lambda y: 1 - y * y),
    "sigmoid": (lambda v: sigmoid(v) * sigmoid(-v), lambda y: y * (1 - y)),
    "exp": (np.exp, lambda y: y),
    "softplus": (sigmoid, lambda y: -np.expm1(-y)),
    "log": (lambda v: 1 / v, lambda y: np.exp(-y)),
    "sqrt": (lambda v: 0.5 / np.sqrt(v), lambda y: 0.5 / y),
    "square": (lambda v: 2 * v, None),
    "cube": (lambda v: 3 * v * v, None),
    "sin": (np.cos, None),
    "cos": (lambda v: -np.sin(v), None),
    "arctan": (lambda v: 1 / (1 + v * v), None),
    "silu": (lambda v: sigmoid(v) * (1 + v * sigmoid(-v)), None),
    "softsign": (lambda v: 1 / (1 + np.abs(v)) ** 2, None),
    "gelu": (lambda v: EXPRESSIONS["Φ({v})"](v) + v * EXPRESSIONS["exp(-{v}**2/2)/√(2π)"](v), None),
    "reciprocal": (lambda v: -1 / (v * v), lambda y: -y * y),
}


def wrong_point(case: Case) -> str | None:
    """The derivative taken at the activation instead of the pre-activation, or the other way round."""
    both = case.live & ~case.zero_a & ~case.zero_n
    if both.sum() < 2 or (case.live & ~both).any():
        return None
    keep = _sample(both)
    ratio = case.ratio(keep)
    flat: dict[str, Array] = {}
    for name, values in case.variables:
        flat.setdefault(name, np.broadcast_to(values, case.shape)[keep])
    if case.live.sum() < 3 or (case.good.any() and np.unique(np.round(ratio, 5)).size < 3):
        return None
    for name in [name for name in ("y", "a") if name in flat]:
        detail = _at_wrong_point(case, keep, ratio, name, flat)
        if detail:
            return detail
    return None


def _at_wrong_point(case: Case, keep: Array, ratio: Array, output: str, flat: dict[str, Array]) -> str | None:
    """One variable taken for an activation: does the ratio show its derivative at the wrong point?"""
    y, before = flat[output], [(n, v) for n, v in flat.items() if n == "x" or n[:2] == "(x" or n[0] == "x"]
    for name, (at_x, at_y) in _ACTIVATIONS.items():
        right = [at_y(y)] if at_y is not None else []
        right += [at_x(v) for n, v in before if n == "x" and case.elementwise]
        for r in right:
            if _matches(ratio, at_x(y) / r) and _is_activation(case, keep, r):
                return (
                    f"gradient taken at the activation instead of the pre-activation: {name}'s derivative is evaluated "
                    f"at {output}, its output, not at what goes into it "
                    f"(analytic / numeric = {name}'({output})/{name}'(x))"
                )
            for n, v in before:
                if at_y is not None and _matches(ratio, at_y(v) / r) and _is_activation(case, keep, r):
                    return (
                        f"gradient taken at the pre-activation instead of the activation: {name}'s derivative is "
                        f"written in its output {output}, and gets {n} (analytic / numeric = f({n})/f({output}))"
                    )
    return None


def _is_activation(case: Case, keep: Array, right: Array) -> bool:
    """For an elementwise function the derivative is known, so the name must be the right one."""
    return not case.elementwise or bool(close(case.numeric[keep], right, 10 * case.atol).all())


def _matches(ratio: Array, prediction: Array) -> bool:
    finite = bool(np.isfinite(prediction).all()) and np.ptp(prediction) > 1e-2 * np.abs(prediction).max()
    return finite and bool(np.all(np.abs(ratio - prediction) <= 2 * RTOL * np.abs(prediction)))


# ---- a term ----------------------------------------------------------------------------------------------------------


def missing_term(case: Case, mask: Array = None) -> str | None:
    """An additive term of the derivative that is missing or too many: the forgotten half of a product rule."""
    live = case.live if mask is None else mask
    if not case.elementwise or live.sum() < 3:
        return None
    keep = _sample(live)
    difference = case.numeric[keep] - case.analytic[keep]
    c = constant_of(difference)
    if c is not None:
        return f"a term of the derivative is missing: numeric - analytic = {show(c)} at every entry"
    found = fit(difference, expressions(case.variables, case.shape, keep))
    if found and is_simple(found[1]):
        text, c, power = found
        term = times(c, text) if power > 0 else over(c, text)
        return f"a term of the derivative is missing: numeric - analytic = `{term}` at every entry{legend(text)}"
    a, n = (fit(v[keep], expressions(case.variables, case.shape, keep)) for v in (case.analytic, case.numeric))
    if a and is_simple(a[1]):
        mine = times(a[1], a[0]) if a[2] > 0 else over(a[1], a[0])
        other = "" if not n else times(n[1], n[0]) if n[2] > 0 else over(n[1], n[0])
        if other == mine:
            return None
        right = f", and the right one is `{other}`" if other else ""
        return f"the formula is another function's: your derivative is `{mine}`{right}{legend(mine + right)}"
    return None
