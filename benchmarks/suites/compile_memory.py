"""What `tg.compile` costs in memory: while a step is recorded, between its calls, and when it is dropped.

You will know, for each net, what Python and NumPy allocate above weights and data, as tracemalloc counts it: so the
figures are the same at each run, and rounds are not needed. Each net has a process of its own. Read
`import_time.py` next.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tracemalloc
from typing import Any

from .. import nets, user_code
from ..harness import ENVIRONMENT, HERE, Field, Settings
from ..report import Result, Table
from ..stats import significant

CALLS = 3
HEAD = [
    "net", "weights", "eager: peak of a step", "first compiled call: peak", "kept between calls",
    "peak of a later call", "left by a dropped step",
]  # fmt: skip


def above(base: int, call: Any) -> tuple[float, float]:
    """KiB above `base`: the peak during a call, and what is left after it."""
    gc.collect()
    tracemalloc.reset_peak()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    gc.collect()
    return (peak - base) / 1024, (tracemalloc.get_traced_memory()[0] - base) / 1024


def figures(name: str) -> list[float]:
    """KiB in the order of `HEAD`."""
    import tinygrad_bp as tg

    net = nets.NETS[name]
    warm = user_code.make_model("tinygrad_bp", nets.WARM)
    tg.compile(user_code.full_batch("tinygrad_bp", nets.WARM, warm))()  # loads the last parts of the library
    model = user_code.make_model("tinygrad_bp", net)
    step = user_code.full_batch("tinygrad_bp", net, model)
    nets.start.cache_clear()
    gc.collect()
    tracemalloc.start()
    base = tracemalloc.get_traced_memory()[0]
    eager, _ = above(base, step)
    model.restart()
    tracemalloc.stop()
    tracemalloc.start()  # gradients of before no longer count
    base = tracemalloc.get_traced_memory()[0]
    compiled = [tg.compile(step)]
    first, kept = above(base, compiled[0])
    later = max(above(base, compiled[0])[0] for _ in range(CALLS))
    _, left = above(base, compiled.clear)
    weights = sum(w.nbytes for row in nets.parameters(net) for w in row) / 1024
    return [weights, eager, first, kept, later, left]


def run(contenders: Field, settings: Settings) -> Result:
    """A fresh process for each net."""
    result = Result("compile_memory", "Memory of tg.compile")
    code = f"import json, sys; from {__name__} import figures; print(json.dumps(figures(sys.argv[1])))"
    rows = []
    for net in nets.NETS:
        command = [sys.executable, "-c", code, net]
        done = subprocess.run(
            command, env=ENVIRONMENT, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=True
        )
        result.raw[net] = json.loads(done.stdout.splitlines()[-1])
        rows.append([net, *(f"{significant(value)} KiB" for value in result.raw[net])])
    result.tables.append(Table("Allocated by Python and NumPy, above weights and data", HEAD, rows))
    return result
