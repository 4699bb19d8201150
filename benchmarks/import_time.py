"""What `import tinygrad_bp` costs on top of `import numpy`, in fresh processes that take turns.

    python benchmarks/import_time.py --rounds 40

You will know two figures: the difference between the two whole imports, paired by round, and the time of
`import tinygrad_bp` alone once NumPy is there (the steadier one). Target: 15 ms for either. Read `memory.py`
next.
"""

from __future__ import annotations

import argparse
import json
import sys
from time import perf_counter

from harness import fresh, installed, machine, shown, table, verdict

TARGET_MS = 15.0


def timed(*modules: str) -> list[float]:
    """Milliseconds that each module takes to import, in this process and in this order."""
    taken = []
    for module in modules:
        began = perf_counter()
        __import__(module)
        taken.append((perf_counter() - began) * 1e3)
    return taken


def main() -> None:
    """Take turns in both orders, then print medians and quartiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 rounds: a check, not a measurement")
    parser.add_argument("--rounds", type=int, help="default 40")
    options = parser.parse_args()
    print(machine())
    if not installed("tinygrad_bp"):
        return
    both = ("numpy", "tinygrad_bp")
    fresh(__file__, "--timed", *both)  # writes the bytecode, fills the disk cache
    numpy, ours, alone = [], [], []
    for round_ in range(options.rounds or (3 if options.quick else 40)):
        turns = [("numpy",), both]
        for modules in turns if round_ % 2 else turns[::-1]:
            taken = fresh(__file__, "--timed", *modules)
            if modules == both:
                ours.append(sum(taken))
                alone.append(taken[1])
            else:
                numpy.append(taken[0])
    difference = [b - a for a, b in zip(numpy, ours, strict=True)]
    rows = [
        ["import numpy", shown(numpy), ""],
        ["import numpy, tinygrad_bp", shown(ours), ""],
        ["  difference, paired", shown(difference), verdict(difference, TARGET_MS)],
        ["  tinygrad_bp after numpy", shown(alone), verdict(alone, TARGET_MS)],
    ]
    print(table(["milliseconds", "median [quartiles]", "target"], rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--timed"]:
        print(json.dumps(timed(*sys.argv[2:])))
    else:
        main()
