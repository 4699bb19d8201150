"""Time per node of chains of 100 to 1,000,000 nodes: recorded forward, walked backward, dropped.

You will know whether the cost of a node grows with the depth of the graph (in tinygrad_bp it should not: the engine is
linear and never recursive), and where the recursive ones end. Read `digits.py` next.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from ..harness import Field, Settings, WorkerError, measure, same
from ..report import Result, Table
from ..stats import paired, shown, shown_ratio

DEPTHS = (100, 1_000, 10_000, 100_000, 1_000_000)
QUICK = DEPTHS[:3]
FACTOR = 1 + 2**-20  # exact in float32; a million of them make 2.6, which is far from overflow
TOLERANCE = 0.05  # float32 rounds at every one of a million nodes


def subject(peer: ModuleType, which: int) -> Any:
    """The gradient of a chain of multiplications."""

    def chain(x: Any, library: Any) -> Any:
        for _ in range(which):
            x = x * FACTOR
        return x

    return peer.make_gradient(chain, np.array(1, np.float32))


def run(contenders: Field, settings: Settings) -> Result:
    """All depths, from the shallowest; who fails at one is not asked for the deeper ones."""
    result = Result("depth", "Depth of the graph")
    seconds: dict[int, dict[str, list[float]]] = {}
    workers = contenders.who("make_gradient")
    for depth in QUICK if settings.quick else DEPTHS:
        for worker in list(workers):
            try:
                found = worker.ask("values", suite="depth", which=depth, calls=1)
                failure = None if same([FACTOR**depth], found, TOLERANCE) else f"wrong gradient {found}"
            except WorkerError as error:
                failure = str(error)
            if failure:
                result.left_out(f"depths from {depth:,}", {worker.peer.name: failure})
                workers.remove(worker)
        rounds = max(3, settings.rounds // 6) if depth >= 100_000 else settings.rounds
        measured = measure("depth", [(worker, depth) for worker in workers], settings, rounds)
        seconds[depth] = {
            worker.peer.name: [time / depth for time in times]
            for worker, times in zip(workers, measured, strict=True)
        }
    result.raw = {"seconds per node": seconds}
    names = list(seconds[DEPTHS[0]])
    rows = [[f"{depth:,}", *(shown([t * 1e6 for t in times[n]]) if n in times else "–" for n in names)]
            for depth, times in seconds.items()]  # fmt: skip
    result.tables.append(Table("µs per node, forward, backward and drop", ["nodes", *names], rows))
    others = [name for name in names if name != "tinygrad_bp"]
    if len(others) < len(names):
        rows = [[f"{depth:,}", *(shown_ratio(paired(times["tinygrad_bp"], times[n])) if n in times else "–"
                 for n in others)] for depth, times in seconds.items()]  # fmt: skip
        result.tables.append(Table("tinygrad_bp / contender", ["nodes", *others], rows))
    return result
