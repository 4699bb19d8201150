"""What one small operation costs: a chain of 100 of it on a 3 × 3 matrix, recorded forward and walked backward.

You will know the µs per operation, forward and backward together, where the arithmetic itself is next to nothing.
Libraries that only work compiled do not take part. Read `update.py` next.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from ..harness import Field, Settings, agreeing, measure
from ..report import Result, Table
from ..stats import paired, shown, shown_ratio

LENGTH = 100
# Each keeps a matrix of thirds finite over the whole chain, and its gradient too: 2¹⁰⁰ is no problem in float64.
OPS: dict[str, Callable[[Any, Any], Any]] = {
    "x + x": lambda x, library: x + x,
    "x * 0.99": lambda x, library: x * 0.99,
    "tanh(x)": lambda x, library: library.tanh(x),
    "x @ x": lambda x, library: x @ x,
    "x.reshape": lambda x, library: x.reshape(3, 3),
    "x[:]": lambda x, library: x[:],
    "x.sum()": lambda x, library: x.sum(),
}
QUICK = ("x + x", "tanh(x)", "x @ x")


def subject(peer: ModuleType, which: str) -> Any:
    """The gradient of the sum of a chain."""
    op = OPS[which]

    def chain(x: Any, library: Any) -> Any:
        for _ in range(LENGTH):
            x = op(x, library)
        return x.sum()

    return peer.make_gradient(chain, np.full((3, 3), 1 / 3))


def run(contenders: Field, settings: Settings) -> Result:
    """All operations, one after another."""
    result = Result("op_overhead", "Overhead per operation")
    seconds: dict[str, dict[str, list[float]]] = {}
    for op in QUICK if settings.quick else OPS:
        workers, reasons = agreeing("op_overhead", op, contenders.who("make_gradient"), 1, 1e-9)
        result.left_out(op, reasons)
        measured = measure("op_overhead", [(worker, op) for worker in workers], settings)
        seconds[op] = {
            worker.peer.name: [time / LENGTH for time in times]
            for worker, times in zip(workers, measured, strict=True)
        }
    result.raw = {"seconds": seconds}
    names = list(dict.fromkeys(name for times in seconds.values() for name in times))
    rows = [[op, *(shown([t * 1e6 for t in times[n]]) if n in times else "–" for n in names)]
            for op, times in seconds.items()]  # fmt: skip
    result.tables.append(Table("µs per operation, forward and backward", ["operation", *names], rows))
    others = [name for name in names if name != "tinygrad_bp"]
    if len(others) < len(names):
        rows = [[op, *(shown_ratio(paired(times["tinygrad_bp"], times[n])) if n in times else "–" for n in others)]
                for op, times in seconds.items()]  # fmt: skip
        result.tables.append(Table("tinygrad_bp / contender", ["operation", *others], rows))
    return result
