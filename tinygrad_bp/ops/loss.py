"""Losses, each declared whole: fewer nodes than their composition, exact at extremes, and the same derivatives.

Class targets come as an index for each row of scores, with a weight for each row, which also holds the 1/n of a mean
and a 0 for rows that do not count; a sum starts from 0, and from NaN where it is the mean of no rows.
Read `__init__.py` next.
"""

from __future__ import annotations

from math import nan, prod
from typing import Any

import numpy as np

from .. import dialect
from ..declare import Case, elementwise, fused, publish
from ..duck import as_array
from .reductions import log_softmax, softmax


def _mean_square(a: Any, b: Any) -> Any:
    d = a - b
    return np.vdot(d, d) / (d.size or nan)


def _spread(g: Any, factor: float, d: Any) -> Any:
    return (g * (factor / (prod(d.shape) or 1))) * d


def _spread_fast(factor: float) -> Any:
    def rule(g: Any, a: Any, b: Any) -> Any:
        d = a - b
        d *= g.item() * factor / (d.size or 1)
        return d

    return rule


mean_squared_error = fused(
    _mean_square,
    "mean of (a - b)²",
    lambda g, a, b: _spread(g, 2, a - b),
    lambda g, a, b: _spread(g, -2, a - b),
    fast_rules=(_spread_fast(2), _spread_fast(-2)),
    method=False,
    cases=(Case((2, 3), (2, 3)), Case((3, 1), (3, 2)), Case((), ())),
    shown="mse_loss",
    internal=True,
)
huber_of = elementwise(
    lambda x, delta=1.0: np.where(np.abs(x) <= delta, 0.5 * x * x, delta * (np.abs(x) - 0.5 * delta)),
    "x²/2 near 0, a line of slope δ beyond (Huber 1964)",
    lambda g, x, delta: g * np.minimum(np.maximum(x, -delta), delta),
    method=False,
    cases=({"delta": 0.7},),
    singular={"at ±δ the slope goes on, the curvature does not": lambda x, delta: np.abs(x) == delta},
    shown="huber_loss",
    internal=True,
)


def _log(p: Any) -> Any:
    """log(p), at least -100 as in PyTorch; NaN for p < 0, which the caller explains."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(np.log(p), -100)


def _log_rest(p: Any) -> Any:
    """log(1 - p), in the same way; NaN for p > 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(np.log1p(-p), -100)


def _least(dtype: Any) -> float:
    """What a · (1 - a) counts as at least: 10⁻¹², or what is smallest in halves, where that would be 0."""
    return max(1e-12, float(np.finfo(dtype).smallest_subnormal))


binary_cross_entropy_of = elementwise(
    lambda a, b: -(b * _log(a) + (1 - b) * _log_rest(a)),
    "-(b log a + (1 - b) log(1 - a)), the logarithms at least -100",
    lambda g, a, b: g * ((a - b) / np.maximum(a * (1 - a), _least(a.dtype))),
    lambda g, a: g * (_log_rest(a) - _log(a)),
    domain=(0.1, 0.9),
    singular={"at 0 and 1 the logarithm is −100, and the slope that of one at 10⁻¹²": lambda a: (a == 0) | (a == 1)},
    method=False,
    shown="binary_cross_entropy",
    internal=True,
)
bce_with_logits_of = elementwise(
    lambda a, b, pos_weight=1.0: (1 - b) * a + (1 + (pos_weight - 1) * b) * np.logaddexp(0.0, -a),
    "-(w b log σ(a) + (1 - b) log(1 - σ(a))) from the score a",
    lambda g, a, b, pos_weight: g * ((1 - b) - (1 + (pos_weight - 1) * b) * dialect.sigmoid(-a)),
    lambda g, a, pos_weight: g * (pos_weight * np.logaddexp(0.0, -a) - np.logaddexp(0.0, a)),
    domain=(0.1, 0.9),
    method=False,
    cases=({"pos_weight": 1.0}, {"pos_weight": 2.5}),
    shown="binary_cross_entropy_with_logits",
    internal=True,
)


soft_margin_of = elementwise(
    lambda a, b: np.logaddexp(0.0, -a * b),
    "log(1 + e to the -ab)",
    lambda g, a, b: g * (-b * dialect.sigmoid(-a * b)),
    lambda g, a, b: g * (-a * dialect.sigmoid(-a * b)),
    method=False,
    shown="soft_margin_loss",
    internal=True,
)


def _rows(x: Any, target: Any, weight: Any, start: Any) -> Any:
    """-weight · x[row, target of the row], or their sum from `start` on; a weight of 0 hides even an infinite score."""
    weight = as_array(weight, x.dtype)
    picked = dialect.getitem(x, (np.arange(len(x)), target))
    y = np.where(weight == 0, x.dtype.type(0), -picked) * weight
    return y if start is None else dialect.total(y, (0,)) + start


def _column(g: Any) -> Any:
    return g.reshape((-1, 1))


def _one_hot(target: Any, count: int) -> Any:
    return np.equal(_column(target), np.arange(count))


def _softmax(x: Any) -> Any:
    return softmax.op.forward(x, 1) if dialect.is_array(x) else softmax(x, 1)


log_softmax_of = log_softmax.op.forward
CLASSES = (
    Case((3, 4), target=np.array([0, 3, 0]), weight=np.array([0.5, 1.0, 0.0]), start=0.0),
    Case((2, 3), target=np.array([2, 1]), weight=np.array([0.5, 2.0]), start=None),
    Case((2, 3), target=np.array([2, 1]), weight=0.5, start=0.0),
)
nll_rows = fused(
    _rows,
    "minus the log-probability of each row's class, weighted",
    lambda g, target, weight, x_shape: _column(g * -as_array(weight, g.dtype)) * _one_hot(target, x_shape[1]),
    method=False,
    cases=CLASSES,
    shown="nll_loss",
    internal=True,
)
cross_entropy_rows = fused(
    lambda x, target, weight, start: _rows(log_softmax_of(x, 1), target, weight, start),
    "minus the log-softmax of each row's class, weighted",
    lambda g, x, target, weight: (
        _column(g * as_array(weight, g.dtype)) * (_softmax(x) - _one_hot(target, x.shape[1]))
    ),
    method=False,
    cases=CLASSES,
    shown="cross_entropy",
    internal=True,
)


publish(globals())
