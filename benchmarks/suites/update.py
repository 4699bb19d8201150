"""What an optimiser's update costs, gradients given: small tensors, where the arithmetic itself is next to nothing.

You will know the µs of one eager `optimizer.step()`, and, in the column `compiled`, those of the eager update of
parameters that a compiled step has trained before: it may not be slower. Read `latency.py` next.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..harness import Field, Settings, agreeing, measure
from ..report import Result, Table
from ..stats import paired, shown, shown_ratio
from .train_step import OURS

CASES = [f"{method}, {n}" for n in (6, 128) for method in ("SGD", "SGD momentum", "Adam")]


def subject(peer: ModuleType, which: str) -> Any:
    """The update by a method, of a number of tensors."""
    method, _, tensors = which.partition(", ")
    return peer.make_update(method, int(tensors))


def run(contenders: Field, settings: Settings) -> Result:
    """All methods, one after another."""
    result = Result("update", "An optimiser's update")
    seconds: dict[str, dict[str, list[float]]] = {}
    for case in CASES:
        workers, reasons = agreeing("update", case, contenders.who("make_update"), 3, 1e-5)
        result.left_out(case, reasons)
        measured = measure("update", [(worker, case) for worker in workers], settings)
        seconds[case] = {worker.peer.name: times for worker, times in zip(workers, measured, strict=True)}
    result.raw = {"seconds": seconds}
    names = list(dict.fromkeys(name for times in seconds.values() for name in times))
    rows = [[case, *(shown([t * 1e6 for t in times[n]]) if n in times else "–" for n in names)]
            for case, times in seconds.items()]  # fmt: skip
    result.tables.append(Table("µs per update", ["method, tensors", *names], rows))
    for ours in OURS:
        others = [name for name in names if name != ours]
        if ours in names:
            rows = [[case, *(ratio(times, ours, n) for n in others)] for case, times in seconds.items()]
            result.tables.append(Table(f"{ours} / contender", ["method, tensors", *others], rows))
    return result


def ratio(times: dict[str, list[float]], ours: str, theirs: str) -> str:
    """One ratio, or a dash for who is not there."""
    return shown_ratio(paired(times[ours], times[theirs])) if ours in times and theirs in times else "–"
