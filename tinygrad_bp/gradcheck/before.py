"""Mistakes that show before any entry is compared: a wrong shape, NaN, a backward that is not linear in what comes in.

After reading you know why a random cotangent is used beside the one-hot ones: a backward that forgets the incoming
gradient, or bends it, may be right for every one-hot. Read `structure.py` next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .patterns import close, constant_of, largest, show

if TYPE_CHECKING:
    from .diagnose import Evidence

Array = Any


def wrong_shape(evidence: Evidence) -> Iterator[str]:
    a, n, shape = evidence.vjp_analytic, evidence.vjp_numeric, evidence.in_shape
    if a is None or a.shape == shape:
        return
    start = f"your gradient has shape {a.shape}, its input {shape}: "
    atol = evidence.error_bar + 1e-7 * largest(n) if n is not None else 0.0
    agrees = "; summed, it agrees" if n is not None and same(_sum_to(a, shape), n, atol) else ""
    if a.shape[::-1] == shape:
        yield start + "transposed" + ("; its transpose agrees" if n is not None and same(a.T, n, atol) else "")
    elif _sum_to(a, shape) is not None:
        lead, tail = a.ndim - len(shape), a.shape[a.ndim - len(shape) :]
        axes = (*range(lead), *(lead + k for k, (p, q) in enumerate(zip(tail, shape, strict=True)) if p != q))
        yield start + f"not summed over the broadcast axes {axes}" + agrees
    elif a.size == int(np.prod(shape)):
        agrees = "; reshaped, it agrees" if n is not None and same(a.reshape(shape), n, atol) else ""
        yield start + "not reshaped back to its input's shape" + agrees
    elif a.size < int(np.prod(shape)):
        yield start + "summed over an axis that is not a broadcast axis, so that entries are lost"
    else:
        yield start + "a gradient has the shape of its input, whatever the output's is"


def _sum_to(a: Array, shape: tuple[int, ...]) -> Array | None:
    lead = a.ndim - len(shape)
    if lead < 0 or any(q not in (1, p) for p, q in zip(a.shape[lead:], shape, strict=True)):
        return None
    axes = tuple(k for k, (p, q) in enumerate(zip(a.shape[lead:], shape, strict=True)) if p != q)
    return a.sum(axis=tuple(range(lead))).sum(axis=axes, keepdims=True)


def same(a: Array | None, b: Array, atol: float) -> bool:
    return a is not None and a.shape == b.shape and bool(close(a, b, atol).all())


def not_finite(evidence: Evidence) -> Iterator[str]:
    a = evidence.jac_analytic if evidence.jac_analytic is not None else evidence.vjp_analytic
    n = evidence.jac_numeric if evidence.jac_numeric is not None else evidence.vjp_numeric
    if a is None or n is None or a.shape != n.shape:
        return
    whole = evidence.jac_analytic is not None  # of a sampled gradient, NaN only says that an entry was not looked at
    bad = ~np.isfinite(a) & (np.isfinite(n) | whole | np.isinf(a))
    if not bad.any():
        return
    columns = bad.reshape(-1, int(np.prod(evidence.in_shape))).any(axis=0)
    where = tuple(map(int, np.argwhere(columns.reshape(evidence.in_shape))[0])) if evidence.in_shape else ()
    what = "NaN (0/0, inf·0 or log of a negative)" if np.isnan(a[bad]).any() else "infinite (a division by zero)"
    x = evidence.value
    at = f", where the input is {show(float(x[where]))}" if x is not None and x.shape == evidence.in_shape else ""
    right = "the right one is finite" if np.isfinite(n[bad]).all() else "0 is the usual choice at a kink"
    yield f"your gradient is {what} at {int(columns.sum())} of {columns.size} entries, first at {where}{at}; {right}"


def not_linear(evidence: Evidence) -> Iterator[str]:
    """A backward is a linear map of the incoming gradient; here it is not."""
    a, n, g = evidence.vjp_analytic, evidence.vjp_numeric, evidence.cotangent
    if a is None or n is None or g is None or g.size == 0 or a.shape != n.shape:
        return
    atol = 3 * (min(evidence.error_bar, 1e-3 * largest(n)) + 1e-7 * largest(n))
    if same(a, n, atol) or not np.any(np.abs(a) > atol):
        return
    ones = evidence.vjp_ones_analytic
    if ones is not None and same(a, ones, atol) and not same(g, np.ones_like(g), 1e-9):
        yield (
            "forgot to multiply by the incoming gradient: your backward returns the same numbers whatever gradient "
            "comes in, so it is right only where that gradient is 1"
        )
        return
    jac, right = evidence.jac_analytic, evidence.jac_numeric
    if jac is None or right is None or np.isnan(jac).any() or jac.shape[0] != g.size:
        return
    extra = jac - right
    added = len(extra) > 1 and largest(extra) > atol and bool(close(extra, extra[:1], atol).all())
    if added and close((a - n).reshape(-1), extra[0], atol).all():
        yield _offset(evidence, extra[0])
        return
    # 2e-3: rounding to a low precision is not linear either, and is told elsewhere
    if close(g.reshape(-1) @ jac, a.reshape(-1), atol * max(1.0, float(np.abs(g).sum())) + 2e-3 * largest(a)).all():
        return
    yield from _what_became_of_g(evidence, atol)


def _what_became_of_g(evidence: Evidence, atol: float) -> Iterator[str]:
    a, g = evidence.vjp_analytic.reshape(-1), evidence.cotangent
    right = evidence.jac_numeric
    made: dict[str, Array] = {
        "abs(g)": np.abs(g), "g**2": g * g, "sign(g)": np.sign(g), "max(g, 0)": np.maximum(g, 0), "-abs(g)": -np.abs(g),
        "clip(g, -1, 1)": np.clip(g, -1, 1), "clip(g, 0, 1)": np.clip(g, 0, 1), "g/norm(g)": g / np.linalg.norm(g),
        "g/max(abs(g))": g / np.max(np.abs(g)), "g.mean()": np.full_like(g, g.mean()), "tanh(g)": np.tanh(g),
        "1": np.ones_like(g), "clip(g, -0.5, 0.5)": np.clip(g, -0.5, 0.5), "clip(g, -0.1, 0.1)": np.clip(g, -0.1, 0.1),
        "g**3": g**3, "round(g)": np.round(g), "g + 1": g + 1, "1/g": 1 / g,
    }  # fmt: skip
    for text, h in made.items():
        if not np.isnan(right).any() and close(h.reshape(-1) @ right, a, atol * g.size).all():
            yield f"the incoming gradient g is not used as it comes: `{text}` stands where `g` belongs"
            return
    yield "not linear in the incoming gradient: a backward may multiply it, add it up and move it, nothing else"


def _offset(evidence: Evidence, d: Array) -> str:
    """What is added to the gradient whatever comes in."""
    x, d = evidence.value, np.nan_to_num(d)
    c = constant_of(d / x.reshape(-1)) if x is not None and x.size == d.size else None
    what = f"{show(c)} times the input itself (weight decay does not belong in a backward)" if c else "a fixed array"
    return f"forgot to multiply one term by the incoming gradient: {what} is added whatever gradient comes in"
