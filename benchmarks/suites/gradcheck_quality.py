"""How good a gradient checker is: found, falsely accused, cause named, time; ours beside PyTorch's.

The collection of `tests/gradcheck_collection.py`, wrong and right layers, goes through `tg.autograd.gradcheck` and,
where it is installed, through `torch.autograd.gradcheck`, each with its own module's layers and the same inputs.
PyTorch's checker names no causes and looks at no module's parameters; float32 inputs it gets as they are, as its users
would pass them. An answer that is an exception for want of float64 counts as an accusation. Read `../report.py` next.
"""

from __future__ import annotations

import collections
import re
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ..harness import HERE, Field, Settings, WorkerError, fresh
from ..report import Result, Table

if TYPE_CHECKING:
    from types import ModuleType

    Case = Any  # a layer of the collection

CHECKERS = {"tinygrad_bp": "ours", "torch": "theirs"}
QUICK = 8  # every so-manieth layer


class Tally:
    """The counts of one checker over one list of layers."""

    def __init__(self) -> None:
        self.runs = self.rejected = self.named = 0
        self.seconds = 0.0
        self.kinds: collections.Counter[str] = collections.Counter()
        self.layers: set[str] = set()  # rejected (right ones) or missed (wrong ones) in at least one draw


def ours(case: Case, shape: tuple[int, int], seed: int) -> tuple[bool, bool, float]:
    """(accepted, cause named, seconds) of one layer in one draw."""
    import tinygrad_bp as tg
    from tinygrad_bp.gradcheck import gradcheck, gradgradcheck

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


def judged(peer: ModuleType, checker: str, draws: int, every: int) -> dict[str, Any]:
    """One checker over the collection; called in a process of its own."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from gradcheck_collection import RIGHT, WRONG

    check = globals()[checker]
    check(WRONG[0], (2, 2), 0)  # first calls load modules
    bad = tally(check, WRONG[::every], draws, wanted=False)
    good = tally(check, RIGHT[::every], draws, wanted=True)
    return {
        "wrong": bad.runs, "found": bad.rejected, "named": bad.named, "missed kinds": dict(bad.kinds.most_common()),
        "right": good.runs, "accused": good.rejected, "accused kinds": dict(good.kinds.most_common()),
        "seconds": bad.seconds + good.seconds,
    }  # fmt: skip


def run(contenders: Field, settings: Settings) -> Result:
    """Both checkers, one after the other."""
    result = Result("gradcheck_quality", "The gradient checker")
    rows = []
    for worker in contenders.workers:
        if worker.peer.name not in CHECKERS:
            continue
        arguments = [CHECKERS[worker.peer.name], 1 if settings.quick else 3, QUICK if settings.quick else 1]
        try:
            with fresh([worker]) as [alone]:
                found = alone.ask("call", suite="gradcheck_quality", function="judged", arguments=arguments)
        except WorkerError as error:
            result.left_out("the collection", {worker.peer.name: str(error)})
            continue
        result.raw[worker.peer.name] = found
        rows.append(row(worker.peer.name, found))
        for what in ("missed", "accused"):
            if kinds := found[f"{what} kinds"]:
                listed = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
                result.notes.append(f"{worker.peer.name} {what}, by kind: {listed}")
    head = ["checker", "faults found", "falsely accused", "cause named", "ms per check"]
    result.tables.append(Table("wrong and right layers, shapes and inputs drawn for each", head, rows))
    return result


def row(name: str, found: dict[str, Any]) -> list[str]:
    """Counts as shares."""
    wrong, right = found["wrong"], found["right"]
    named = f"{found['named']}/{wrong} ({found['named'] / wrong:.0%})" if name == "tinygrad_bp" else "never"
    return [
        name, f"{found['found']}/{wrong} ({found['found'] / wrong:.0%})",
        f"{found['accused']}/{right} ({found['accused'] / right:.0%})", named,
        f"{1e3 * found['seconds'] / (wrong + right):.0f}",
    ]  # fmt: skip
