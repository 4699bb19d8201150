"""Words for numbers: which constant, which expression in x and y, which entries.

After reading you know how a bare ratio such as 0.25 becomes "1/4, and 4 is the batch size", how an elementwise ratio
becomes "the factor `1 - y*y` is missing", and how a set of bad entries becomes "where x is negative". Nothing here
knows about gradients: two matrices go in, a piece of a sentence comes out. Read `structure.py` next.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = Any  # an ndarray of float64 or bool
Variable = tuple[str, Array]  # a name for the sentence, and values that broadcast to (outputs, inputs)

RTOL = 2e-4  # two numbers of a pattern agree within this, and within the error bar


def show(value: float) -> str:
    """A number as it stands in a sentence.

    >>> show(0.5), show(-3.0), show(1 / 3)
    ('0.5', '-3', '0.3333')
    """
    return f"{value:.4g}"


def close(a: Array, b: Array, atol: float | Array = 0.0) -> Array:
    """Entrywise agreement within RTOL and the absolute error; NaN agrees with everything (it was set aside)."""
    with np.errstate(invalid="ignore", over="ignore"):
        same = np.abs(a - b) <= RTOL * np.maximum(np.abs(a), np.abs(b)) + atol
    return same | np.isnan(a) | np.isnan(b) | (a == b)


def largest(a: Array) -> float:
    """The largest finite magnitude, 0 if there is none."""
    a = np.abs(np.asarray(a, dtype=np.float64))
    return float(np.max(a[np.isfinite(a)], initial=0.0))


# ---- constants -------------------------------------------------------------------------------------------------------

_NAMED = {
    "π": math.pi, "2π": 2 * math.pi, "√π": math.sqrt(math.pi), "√(2π)": math.sqrt(2 * math.pi),
    "2/√π": 2 / math.sqrt(math.pi), "√(2/π)": math.sqrt(2 / math.pi), "ln 2": math.log(2), "ln 10": math.log(10),
    "√2": math.sqrt(2), "√3": math.sqrt(3), "e": math.e, "180/π": 180 / math.pi,
}  # fmt: skip


def _of_size(c: float, n: int, derived: bool) -> str | None:
    """c as n, 1/n or √n of a size n > 1; or (derived) as n - 1, n/(n - 1), 2/n and the like."""
    if derived:
        forms = {f"{n}²": n * n, f"1/{n}²": 1 / n**2, f"{n}/{n - 1}": n / (n - 1), f"{n - 1}/{n}": (n - 1) / n,
                 f"2/{n}": 2 / n, f"{n}/2": n / 2, f"{n} - 1": n - 1, f"1/({n} - 1)": 1 / (n - 1)}  # fmt: skip
    else:
        forms = {f"{n}": n, f"1/{n}": 1 / n, f"√{n}": math.sqrt(n), f"1/√{n}": 1 / math.sqrt(n)}
    return next((form for form, v in forms.items() if v != 1 and math.isclose(c, v, rel_tol=RTOL)), None)


def name_constant(c: float, sizes: dict[str, int]) -> str:
    """What a constant probably is: a size, a small fraction, a known number; else the number itself.

    >>> name_constant(0.25, {"the batch size": 4})
    '1/4 (4 = the batch size)'
    >>> name_constant(2.302585093, {})
    'ln 10'
    """
    sign, c = ("-", -c) if c < 0 else ("", c)
    sizes = {what: n for what, n in sizes.items() if n > 1}
    short = next((s for s, v in _NAMED.items() if math.isclose(c, v, rel_tol=RTOL)), "")
    short = short or next((f"1/({s})" for s, v in _NAMED.items() if math.isclose(c, 1 / v, rel_tol=RTOL)), "")
    short = short or _fraction(c) or next((s for n in sizes.values() if (s := _of_size(c, n, False))), "") or show(c)
    named = {what: (n, form) for what, n in sizes.items() if (form := _of_size(c, n, False))}
    if not named and not is_simple(c):
        named = {what: (n, form) for what, n in sizes.items() if (form := _of_size(c, n, True))}
    words = [f"{'' if form == short else form + ', '}{n} = {what}" for what, (n, form) in named.items()]
    return sign + short + (f" ({'; or '.join(words[:2])})" if words else "")


def _fraction(c: float) -> str:
    for q in range(1, 13):
        for p in range(1, 13):
            if math.isclose(c, p / q, rel_tol=RTOL):
                return f"{p}" if q == 1 else f"{p}/{q}"
    return ""


def is_simple(c: float) -> bool:
    """±1, ±2, ±1/2, ±3, … : a constant that people write."""
    return any(math.isclose(abs(c), v, rel_tol=RTOL) for v in (1, 2, 0.5, 3, 1 / 3, 4, 0.25, 6))


# ---- expressions -----------------------------------------------------------------------------------------------------


def sigmoid(v: Array) -> Array:
    """1 / (1 + exp(-v)) without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * v))


def bell(v: Array) -> Array:
    """The density of the standard normal."""
    return np.exp(-0.5 * v * v) / math.sqrt(2 * math.pi)


def _erf(v: Array) -> Array:
    return np.vectorize(math.erf, otypes=[float])(v)


# short first: the first that fits is named
EXPRESSIONS: dict[str, Callable[[Array], Array]] = {
    "{v}": lambda v: v,
    "1 - {v}*{v}": lambda v: 1 - v * v,
    "{v}*(1 - {v})": lambda v: v * (1 - v),
    "1 - {v}": lambda v: 1 - v,
    "1 + {v}": lambda v: 1 + v,
    "{v}**2": lambda v: v * v,
    "{v}**3": lambda v: v**3,
    "sqrt({v})": lambda v: np.sqrt(v),
    "exp({v})": np.exp,
    "log({v})": lambda v: np.log(v),
    "cos({v})": np.cos,
    "sin({v})": np.sin,
    "sigmoid({v})": sigmoid,
    "tanh({v})": np.tanh,
    "sign({v})": np.sign,
    "1 - tanh({v})**2": lambda v: 1 - np.tanh(v) ** 2,
    "sigmoid({v})*(1 - sigmoid({v}))": lambda v: sigmoid(v) * sigmoid(-v),
    "1 - sigmoid({v})": lambda v: sigmoid(-v),
    "1 + {v}*{v}": lambda v: 1 + v * v,
    "sqrt(1 - {v}*{v})": lambda v: np.sqrt(1 - v * v),
    "sqrt(1 + {v}*{v})": lambda v: np.sqrt(1 + v * v),
    "(1 - {v})**2": lambda v: (1 - v) ** 2,
    "(1 + {v})**2": lambda v: (1 + v) ** 2,
    "(1 + abs({v}))**2": lambda v: (1 + np.abs(v)) ** 2,
    "1 + abs({v})": lambda v: 1 + np.abs(v),
    "{v}**4": lambda v: v**4,
    "cosh({v})": np.cosh,
    "sinh({v})": np.sinh,
    "tan({v})": np.tan,
    "arctan({v})": np.arctan,
    "log1p(exp({v}))": lambda v: np.logaddexp(0, v),
    "exp(-{v}**2)": lambda v: np.exp(-v * v),
    "exp(-{v}**2/2)/√(2π)": bell,
    "Φ({v})": lambda v: 0.5 * (1 + _erf(v / math.sqrt(2))),
    "1 - exp(-{v})": lambda v: -np.expm1(-v),
    "exp({v}) - 1": np.expm1,
    "log({v}) + 1": lambda v: np.log(v) + 1,
    "{v}*sigmoid({v})*(1 - sigmoid({v}))": lambda v: v * sigmoid(v) * sigmoid(-v),
    "{v}*sigmoid({v})": lambda v: v * sigmoid(v),
    "{v}*exp({v})": lambda v: v * np.exp(v),
    "{v}*cos({v})": lambda v: v * np.cos(v),
    "{v}*sin({v})": lambda v: v * np.sin(v),
    "{v}*(1 - tanh({v})**2)": lambda v: v * (1 - np.tanh(v) ** 2),
    "{v}*exp(-{v}**2/2)/√(2π)": lambda v: v * bell(v),
    "log({v})**2": lambda v: np.log(v) ** 2,
}

_PAIRS: dict[str, Callable[[Array, Array], Array]] = {
    "{u}*{v}": lambda u, v: u * v,
    "({u} - {v})": lambda u, v: u - v,
    "({u} + {v})": lambda u, v: u + v,
    "{u}/{v}": lambda u, v: u / v,
    "({u} > {v})": lambda u, v: (u > v) + 0.0,
    "hypot({u}, {v})": np.hypot,
    "({u}**2 + {v}**2)": lambda u, v: u * u + v * v,
    "{u}**{v}": lambda u, v: u**v,
    "{u}**({v} - 1)": lambda u, v: u ** (v - 1),
    "log({u})*{u}**{v}": lambda u, v: np.log(u) * u**v,
    "exp({u} - {v})": lambda u, v: np.exp(u - v),
    "sign({u} - {v})": lambda u, v: np.sign(u - v),
    "{u}*{v}**2": lambda u, v: u * v * v,
    "{u}*(1 - {v})": lambda u, v: u * (1 - v),
}


def expressions(variables: list[Variable], shape: tuple[int, int], keep: Array) -> Iterator[tuple[str, Array, int]]:
    """Every expression of the dictionary over every variable (and pair: rank 2) at the kept entries."""
    with np.errstate(all="ignore"):
        flat = [(name, np.broadcast_to(values, shape)[keep]) for name, values in variables]
        for text, f in EXPRESSIONS.items():
            for name, v in flat:
                yield text.replace("{v}", name), f(v), 3 if text == "tan({v})" else 0
        for (a, u), (b, v) in itertools.permutations(flat[:6], 2):
            for text, f2 in _PAIRS.items():
                yield text.replace("{u}", a).replace("{v}", b), f2(u, v), 2


def constant_of(ratio: Array) -> float | None:
    """The one number that all ratios are, or None."""
    if ratio.size == 0 or not np.all(np.isfinite(ratio)):
        return None
    c = float(np.median(ratio))
    return c if c != 0 and bool(np.all(np.abs(ratio - c) <= 2 * RTOL * abs(c))) else None


def _spread(f: Array) -> bool:
    """Whether an expression takes values different enough that a fit says something."""
    return bool(np.all(np.isfinite(f))) and float(np.ptp(f)) > 1e-2 * float(np.max(np.abs(f)))


def _level(r: Array) -> bool:
    """A quick look: whether the first entry, the last and a middle one are the same number."""
    first, middle, last = float(r[0]), float(r[r.size // 2]), float(r[-1])
    allowed = 4 * RTOL * abs(first)
    return abs(first - last) <= allowed and abs(first - middle) <= allowed


def fit(ratio: Array, candidates: Iterator[tuple[str, Array, int]]) -> tuple[str, float, int] | None:
    """(text, c, power) such that ratio = c · f**power, power ±1; simple expressions and simple constants win.

    With fewer than three entries almost anything fits, so there only c = 1 counts.
    """
    best: tuple[int, str, float, int] | None = None
    if ratio.size == 0 or not _spread(ratio):
        return None
    for text, f, rank in candidates:
        with np.errstate(all="ignore"):
            tried = [(power, r) for power, r in ((1, ratio / f), (-1, ratio * f)) if _level(r)]
        if not tried or not _spread(f):
            continue
        for power, c in ((power, constant_of(r)) for power, r in tried):
            if c is None or (ratio.size < 3 and not math.isclose(c, 1, rel_tol=RTOL)):
                continue
            total = rank + (0 if math.isclose(c, 1, rel_tol=RTOL) else 1 if is_simple(c) else 4)
            if best is None or total < best[0]:
                best = (total, text, c, power)
            if total == 0:
                return best[1:]
    return best[1:] if best else None


def times(c: float, text: str) -> str:
    """`c*text` as one writes it.

    >>> times(2.0, "x"), times(-1.0, "sin(x)"), times(1.0, "1 - y*y")
    ('2*x', '-sin(x)', '1 - y*y')
    """
    if math.isclose(c, 1, rel_tol=RTOL):
        return text
    inner = f"({text})" if _is_sum(text) else text
    return f"-{inner}" if math.isclose(c, -1, rel_tol=RTOL) else f"{name_constant(c, {})}*{inner}"


def _is_sum(text: str) -> bool:
    depth = 0
    for i, ch in enumerate(text):
        depth += (ch in "([") - (ch in ")]")
        if depth == 0 and ch in "+-" and i and text[i - 1] == " ":
            return True
    return False


def over(c: float, text: str) -> str:
    """`c/text` as one writes it.

    >>> over(1.0, "x"), over(0.5, "y"), over(-1.0, "1 + x")
    ('1/x', '1/(2*y)', '-1/(1 + x)')
    """
    inner = f"({text})" if _is_sum(text) or "*" in text or "/" in text else text
    if abs(c) < 0.9 and math.isclose(1 / abs(c), round(1 / abs(c)), rel_tol=RTOL):
        return f"{'-' if c < 0 else ''}1/({round(1 / abs(c))}*{inner})"
    return f"{name_constant(c, {})}/{inner}"


# ---- places ----------------------------------------------------------------------------------------------------------

_LABELS = {"x": "the input x", "y": "the output y", "g": "the incoming gradient g"}
_THRESHOLDS = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 6.0)


def value_region(bad: Array, good: Array, variables: list[Variable]) -> str | None:
    """Where the bad entries lie in terms of values: "the input x is negative", "abs(x) > 1", "the output y is 0".

    The sign of any variable comes before other thresholds, x before the other inputs and these before y.
    """
    order = sorted(variables[:8], key=lambda item: (item[0] != "x", item[0] == "y"))
    for only_sign in (True, False):
        for name, values in order:
            v = np.broadcast_to(values, bad.shape)
            label = _LABELS.get(name) or re.sub(r"^x(\d+)", r"input \1", name)
            text = _split(label, v[bad], v[good], only_sign)
            if not text and not only_sign:
                text = _split(f"abs({name})", np.abs(v[bad]), np.abs(v[good]), False)
            if text:
                return text
    return None


def _split(label: str, inside: Array, outside: Array, only_sign: bool) -> str | None:
    if not inside.size or not outside.size:
        return None
    absolute = label.startswith("abs")
    if not inside.any() and outside.all():
        return f"{label} is 0"
    for t in _THRESHOLDS[:1] if only_sign else _THRESHOLDS[absolute:]:
        if inside.max() <= t <= outside.min() and inside.max() < outside.min():
            return f"{label} is negative" if t == 0 else f"{label} < {show(t)}"
        if outside.max() <= t <= inside.min() and outside.max() < inside.min():
            return f"{label} is positive" if t == 0 else f"{label} > {show(t)}"
    if only_sign or min(inside.size, outside.size) < 4:  # so few can always be told apart
        return None
    if inside.max() < outside.min():
        return f"{label} < about {show(0.5 * (inside.max() + outside.min()))}"
    if outside.max() < inside.min():
        return f"{label} > about {show(0.5 * (inside.min() + outside.max()))}"
    return None


def place(bad: Array, good: Array, shape: tuple[int, ...], what: str) -> str | None:
    """Where the bad entries of an array lie in terms of positions: first, last, border, one entry, one row."""
    if not bad.any() or not good.any() or not shape:
        return None
    where_bad, where_good = np.argwhere(bad.reshape(shape)), np.argwhere(good.reshape(shape))
    if len(where_bad) == 1 and len(where_good) > 1:
        index = tuple(map(int, where_bad[0]))
        return f"at one entry of {what}, {index if len(index) > 1 else index[0]}{_which_end(index, shape)}"
    for axis, n in enumerate(shape):
        inside, outside = set(where_bad[:, axis].tolist()), set(where_good[:, axis].tolist())
        if inside & outside or (len(inside) > 6 and len(where_bad) < bad.size / 3):
            continue
        along = f"along axis {axis} of {what}"
        if inside <= {0, n - 1}:
            kind = "first" if inside == {0} else "last" if inside == {n - 1} else "first and last"
            return f"at the border: the {kind} position {along}"
        return f"at positions {_listed(inside)} {along}"
    edge = np.any((where_bad == 0) | (where_bad == np.array(shape) - 1), axis=1)
    edge_good = np.any((where_good == 0) | (where_good == np.array(shape) - 1), axis=1)
    return f"at the border of {what}" if edge.all() and not edge_good.any() else None


def _which_end(index: tuple[int, ...], shape: tuple[int, ...]) -> str:
    if not any(index):
        return " (the first)"
    return " (the last)" if all(i == n - 1 for i, n in zip(index, shape, strict=True)) else ""


def _listed(positions: set[int]) -> str:
    listed = sorted(positions)
    if len(listed) > 2 and len({b - a for a, b in itertools.pairwise(listed)}) == 1 and listed[1] - listed[0] > 1:
        return f"{listed[0]}, {listed[1]}, …, {listed[-1]}"
    return ", ".join(map(str, listed[:6])) + (", …" if len(listed) > 6 else "")
