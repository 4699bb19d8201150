"""`step.explain()` tells what a step computes and where: its numbers, counted by hand.

Read `test_compiler_source.py` next.
"""

from __future__ import annotations

import numpy as np
from program_kit import (
    Build,
    training_step,
)

from tinygrad_bp.compiler.explain import explain
from tinygrad_bp.compiler.passes import optimise


def test_explain_tells_calls_operations_and_memory() -> None:
    program = training_step((4, 5, 1), batch=4, bias=True)
    after = optimise(program, without="stack")  # which belongs to no layer
    told = explain(program, after, [("hidden", (3, 5), np.dtype(float), 120)], "def step():\n    # why\n    return 1\n")
    lines = told.splitlines()
    calls = [call for call in after.calls if call.prim.kind not in ("view", "gather")]
    assert lines[0] == f"{len(calls)} NumPy calls"
    assert "2 lines of Python" in lines[1]
    row = next(line for line in lines if line.strip().startswith("layer0"))
    assert row.endswith("Linear(in_features=4, out_features=5, bias=True)")
    dots = 2 * 4 * 4 * 5 * 2 + 2 * 4 * 5  # forward and to the weight; ones · g for the bias
    entrywise = 4 * 5 * (1 + 3 + 3)  # + bias; the sigmoid in three calls, its derivative in three
    assert row.split()[1:5] == ["5", "5", "·", str(dots + entrywise)]
    assert "layer0.weight  (5, 4)  float64  160 B" in told
    assert "hidden    (3, 5)  float64  120 B" in told
    assert "none" in told.split("new arrays at each call")[1]


def test_explain_lists_what_allocates_and_what_is_not_counted() -> None:
    b = Build()
    b.output(b.function(np.cumsum, b.ufunc(np.exp, b.argument((3,)))))
    told = explain(b.program, optimise(b.program), allocating=["y = cumsum(x)"])
    assert told.splitlines()[0] == "2 NumPy calls"
    assert "y = cumsum(x)" in told
    assert "exp: each entry counts as one operation" in told
    assert "cumsum: operations not counted" in told
