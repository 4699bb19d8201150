"""How good a gradient checker is: found, falsely accused, cause named, time; ours beside PyTorch's.

The collection of `tests/gradcheck_collection.py`, wrong and right layers, goes through `tg.autograd.gradcheck` and,
where it is installed, through `torch.autograd.gradcheck`, each with its own module's layers and the same inputs.
PyTorch's checker names no causes and looks at no module's parameters; float32 inputs it gets as they are, as its users
would pass them. An answer that is an exception for want of float64 counts as an accusation.

    python benchmarks/gradcheck_quality.py [--draws 3]
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

import numpy as np  # noqa: E402
from gradcheck_collection import RIGHT, WRONG, Case  # noqa: E402

import tinygrad_bp as tg  # noqa: E402
from tinygrad_bp.gradcheck import gradcheck, gradgradcheck  # noqa: E402


class Tally:
    """The counts of one checker over one list of layers."""

    def __init__(self) -> None:
        self.runs = self.rejected = self.named = 0
        self.seconds = 0.0
        self.kinds: collections.Counter[str] = collections.Counter()
        self.layers: set[str] = set()  # rejected (right ones) or missed (wrong ones) in at least one draw


def ours(case: Case, shape: tuple[int, int], seed: int) -> tuple[bool, bool, float]:
    """(accepted, cause named, seconds) of one layer in one draw."""
    function, inputs = case.build(tg, shape, seed)
    check: Any = gradgradcheck if case.order == 2 else gradcheck
    start = time.perf_counter()
    report = check(function, inputs, raise_exception=False)
    seconds = time.perf_counter() - start
    sentences = [sentence for finding in report.findings for sentence in finding.diagnosis]
    return bool(report), any(re.search(case.says, sentence) for sentence in sentences), seconds


def theirs(case: Case, shape: tuple[int, int], seed: int) -> tuple[bool, bool, float]:
    """The same through PyTorch."""
    import torch

    function, inputs = case.build(torch, shape, seed)
    check = torch.autograd.gradgradcheck if case.order == 2 else torch.autograd.gradcheck
    start = time.perf_counter()
    with warnings.catch_warnings():  # it warns about float32 and fails a moment later
        warnings.simplefilter("ignore")
        try:
            accepted = bool(check(function, inputs, raise_exception=False))
        except Exception:
            accepted = False
    return accepted, False, time.perf_counter() - start


def tally(checker: Any, cases: list[Case], draws: int, *, wanted: bool) -> Tally:
    """All draws of all cases; `wanted` is the right answer."""
    counts, rng = Tally(), np.random.default_rng(7)
    for case in cases:
        for seed in range(draws):
            n, m = map(int, rng.integers(2, 5, 2))
            accepted, named, seconds = checker(case, (n, m), seed)
            counts.runs += 1
            counts.rejected += not accepted
            counts.named += named
            counts.seconds += seconds
            if accepted is not wanted:
                counts.layers.add(case.name)
                counts.kinds[case.kind] += 1
    return counts


def row(name: str, checker: Any, draws: int, names_causes: bool) -> str:
    """One row of the table, and what went wrong below it."""
    checker(WRONG[0], (2, 2), 0)  # first calls load modules
    bad = tally(checker, WRONG, draws, wanted=False)
    good = tally(checker, RIGHT, draws, wanted=True)
    named = f"{bad.named}/{bad.runs} ({bad.named / bad.runs:.0%})" if names_causes else "never"
    milliseconds = 1e3 * (bad.seconds + good.seconds) / (bad.runs + good.runs)
    cells = (
        name, f"{bad.rejected}/{bad.runs} ({bad.rejected / bad.runs:.0%})",
        f"{good.rejected}/{good.runs} ({good.rejected / good.runs:.0%})", named, f"{milliseconds:.0f} ms",
    )  # fmt: skip
    lines = ["| " + " | ".join(cells) + " |"]
    for what, counts in (("missed", bad), ("accused", good)):
        if counts.layers:
            kinds = ", ".join(f"{kind} {n}" for kind, n in counts.kinds.most_common())
            lines.append(f"\n{name} {what} {len(counts.layers)} layers in at least one draw, by kind: {kinds}")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=3, help="shapes and inputs drawn for each layer")
    draws = parser.parse_args().draws
    print(f"{len(WRONG)} wrong and {len(RIGHT)} right layers, {draws} draws each\n")
    print("| checker | faults found | falsely accused | cause named | time per check |")
    print("|---|---|---|---|---|")
    results = [row("tinygrad_bp", ours, draws, True)]
    if importlib.util.find_spec("torch") is not None:
        results.append(row("PyTorch", theirs, draws, False))
    print("\n".join(result.split("\n")[0] for result in results))
    print("\n".join(line for result in results for line in result.split("\n")[1:] if line))


if __name__ == "__main__":
    main()
