"""Time per node of chains of 100 to 1,000,000 nodes, forward and backward, in tinygrad_bp and in PyTorch.

    python benchmarks/depth.py

You will know whether the cost of a node grows with the depth of the graph (it should not: the engine is
linear and never recursive) and what a node costs forward, backward, and when the graph is dropped. Each chain
runs in a process of its own. Read `train_step.py` next if you came here first.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from time import perf_counter

from harness import fresh, installed, machine, shown, table

DEPTHS = (100, 1_000, 10_000, 100_000, 1_000_000)
FACTOR = 1 + 2**-20  # exact in float32; a million of them make 2.6, which is far from overflow
PARTS = ("forward", "backward", "drop", "total")


def per_node(library: str, depth: int) -> list[float]:
    """µs per node for forward, backward, dropping the graph, and all three; short chains run many times."""
    torch = import_module(library)
    x = torch.tensor(1.0, requires_grad=True)
    runs = []
    for _ in range(max(1, 20_000 // depth)):
        times = [perf_counter()]
        y = x
        for _ in range(depth):
            y = y * FACTOR
        times.append(perf_counter())
        y.backward()
        times.append(perf_counter())
        del y
        times.append(perf_counter())
        runs.append([times[1] - times[0], times[2] - times[1], times[3] - times[2], times[3] - times[0]])
        if abs(x.grad.item() / FACTOR**depth - 1) > 0.05:  # float32 rounds at every one of a million nodes
            raise SystemExit(f"wrong gradient: {x.grad.item()}, not {FACTOR**depth}")
        x.grad = None
    middle = sorted(runs, key=lambda run: run[-1])[len(runs) // 2]
    return [seconds / depth * 1e6 for seconds in middle]


def main() -> None:
    """Every depth a few times in turn, then a table for each library."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="once, up to 10,000 nodes")
    parser.add_argument("--repeats", type=int, help="default 5")
    options = parser.parse_args()
    print(machine())
    depths = DEPTHS[:3] if options.quick else DEPTHS
    repeats = options.repeats or (1 if options.quick else 5)
    for library in [library for library in ("tinygrad_bp", "torch") if installed(library)]:
        measured: dict[int, list[list[float]]] = {depth: [] for depth in depths}
        for _ in range(repeats):
            for depth in depths:
                measured[depth].append(fresh(__file__, "--per-node", library, str(depth)))
        print(f"\n{library}: µs per node, median [quartiles]; growth is the total over the first row's")
        shortest = [run[-1] for run in measured[depths[0]]]
        rows = []
        for depth, runs in measured.items():
            growth = [run[-1] / first for run, first in zip(runs, shortest, strict=True)]
            rows.append([f"{depth:,}", *(shown(part) for part in zip(*runs, strict=True)), shown(growth)])
        print(table(["nodes", *PARTS, "growth"], rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--per-node"]:
        print(json.dumps(per_node(sys.argv[2], int(sys.argv[3]))))
    else:
        main()
