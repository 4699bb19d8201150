"""How long one row takes through a net, with no gradient in mind: a NumPy row in, a NumPy row out.

You will know what a prediction costs in a program that makes them one at a time. The nets with biases, so that the
hand-written loop serves all of them. Read `backward_ratio.py` next.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

from ..harness import Field, Settings, agreeing, measure
from ..nets import NETS, start
from ..report import Result, Table
from ..stats import paired, shown, shown_ratio
from .train_step import OURS

QUICK = ("binary_and", "mlp")


def subject(peer: ModuleType, which: str) -> Any:
    """The prediction for the first row of a net's inputs."""
    _, x, _ = start(NETS[which])
    return partial(peer.make_training(NETS[which]).predict, x[:1])


def run(contenders: Field, settings: Settings) -> Result:
    """All nets, one after another."""
    result = Result("latency", "One row through a net")
    seconds: dict[str, dict[str, list[float]]] = {}
    chosen = [net for net in settings.nets or (QUICK if settings.quick else NETS) if NETS[net].bias]
    but = ("torch_compile",) if settings.quick else ()
    result.left_out("one row", dict.fromkeys(but, "compiling takes too long for --quick"))
    for net in chosen:
        tolerance = 1e-9 if NETS[net].dtype == "float64" else 1e-4
        workers, reasons = agreeing("latency", net, contenders.who("make_training", but), 1, tolerance)
        result.left_out(net, reasons)
        measured = measure("latency", [(worker, net) for worker in workers], settings)
        seconds[net] = {worker.peer.name: times for worker, times in zip(workers, measured, strict=True)}
    result.raw = {"seconds": seconds}
    names = list(dict.fromkeys(name for times in seconds.values() for name in times))
    rows = [[n, *(shown([s * 1e6 for s in seconds[net][n]]) if n in seconds[net] else "–" for net in chosen)]
            for n in names]  # fmt: skip
    result.tables.append(Table("µs per row", ["contender", *chosen], rows))
    for ours in OURS:
        if ours in names:
            rows = [[n, *(ratio(seconds[net], ours, n) for net in chosen)] for n in names if n != ours]
            result.tables.append(Table(f"{ours} / contender", ["contender", *chosen], rows))
    return result


def ratio(times: dict[str, list[float]], ours: str, theirs: str) -> str:
    """One ratio, or a dash for who is not there."""
    return shown_ratio(paired(times[ours], times[theirs])) if ours in times and theirs in times else "–"
