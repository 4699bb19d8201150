"""Peak memory of the `wide` training step, and memory per node of a recorded graph, each in a process of its own.

You will know how far the resident memory rises during a few steps above where it stood with the library, weights,
data and optimiser loaded (activations, gradients, what BLAS needs, what is compiled), and what a node of a long chain
keeps until it is dropped. Target: no more than PyTorch for the step. Linux only, since it reads /proc. Read
`compile_memory.py` next.
"""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .. import nets
from ..harness import Field, Settings, Worker, WorkerError, fresh
from ..report import Result, Table
from ..stats import paired, shown, shown_ratio, verdict

TARGET = 1.0  # tinygrad_bp / torch
STATUS = Path("/proc/self/status")
STEPS = 5
NODES = 100_000
FACTOR = 1 + 2**-20


def status_kib(field: str) -> int:
    """VmRSS (resident now) or VmHWM (the highest it has been) of this process, in KiB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1])


def trim() -> None:
    """Hand free heap back: a step would fill it without its memory ever rising."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def step_peak(peer: ModuleType) -> float:
    """MiB that some training steps of `wide` add at their highest."""
    peer.make_step(nets.WARM)()  # the library loads its last parts
    step = peer.make_step(nets.NETS["wide"])
    nets.start.cache_clear()
    trim()
    Path("/proc/self/clear_refs").write_text("5")  # the mark falls to what is resident now
    base = status_kib("VmRSS")
    for _ in range(STEPS):
        step()
    return (status_kib("VmHWM") - base) / 1024


def per_node(peer: ModuleType) -> float:
    """Bytes that a chain of `NODES` multiplications of one number holds, per node, before it goes backward."""
    grown = 0

    def chain(x: Any, library: Any) -> Any:
        nonlocal grown
        trim()
        base = status_kib("VmRSS")
        for _ in range(NODES):
            x = x * FACTOR
        grown = status_kib("VmRSS") - base
        raise GraphComplete

    try:
        peer.make_gradient(chain, np.array(1, np.float32))()
    except GraphComplete:
        return grown * 1024 / NODES
    raise AssertionError("the chain has not been run")


class GraphComplete(Exception):
    """Ends the measurement where the graph is complete, so that no backward pass can fail on its depth."""


def run(contenders: Field, settings: Settings) -> Result:
    """Both figures for everybody."""
    result = Result("memory", "Memory")
    if not STATUS.exists():
        result.notes.append("left out: this system has no /proc to read the memory of a process from")
        return result
    but = ("torch_compile",) if settings.quick else ()
    result.left_out("memory", dict.fromkeys(but, "compiling takes too long for --quick"))
    rounds = 1 if settings.quick else max(3, settings.rounds // 4)
    peaks = repeated("step_peak", contenders.who("make_step", but), rounds, result)
    nodes = repeated("per_node", contenders.who("make_gradient"), rounds, result)
    result.raw = {"MiB": peaks, "bytes per node": nodes}
    for title, found, bound in (
        ("MiB above the start, at the highest in a step of wide", peaks, TARGET),
        (f"bytes per node of a chain of {NODES:,}", nodes, None),
    ):
        result.tables.append(Table(title, ["contender", "memory", "tinygrad_bp / contender", "verdict"],
                                   rows(found, bound)))  # fmt: skip
    return result


def repeated(function: str, workers: list[Worker], rounds: int, result: Result) -> dict[str, list[float]]:
    """What a function of this file returns for each contender in a new process, some times over."""
    found: dict[str, list[float]] = {worker.peer.name: [] for worker in workers}
    for _ in range(rounds):
        with fresh([worker for worker in workers if worker.peer.name in found]) as loaded:
            for worker in loaded:
                try:
                    value = worker.ask("call", suite="memory", function=function, arguments=[])
                    found[worker.peer.name].append(value)
                except WorkerError as error:
                    result.left_out(function, {worker.peer.name: str(error)})
                    del found[worker.peer.name]
    return found


def rows(found: dict[str, list[float]], bound: float | None) -> list[list[str]]:
    """Memory and the ratio of ours to each; the bound is for PyTorch."""
    table = []
    for name, values in found.items():
        ratios = paired(found["tinygrad_bp"], values) if "tinygrad_bp" in found and min(values) > 0 else []
        aim = f"≤ {bound:g} {verdict(ratios, bound)}" if bound and name == "torch" and ratios else ""
        shows = shown_ratio(ratios) if ratios and name != "tinygrad_bp" else "–"
        table.append([name, shown(values), shows, aim])
    return table
