"""Time of one full training step of every net: gradients cleared, forward, loss, backward, SGD update, in full batches.

You will know what a step costs in µs, how tinygrad_bp and its compiled step compare with everybody round by round,
whether the targets are met, and what the first call of a contender that compiles takes. Read `op_overhead.py` next.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..harness import Field, Settings, Worker, WorkerError, agreeing, measure, moves
from ..nets import ALL, NETS, WARM
from ..report import Result, Table
from ..stats import paired, shown, shown_ratio, significant, verdict

# The aims: upper bounds of ratios, (ours, theirs) → net → bound.
TARGETS = {
    ("tinygrad_bp", "torch"): {"exam_scores": 0.25, "binary_and": 0.25, "deep": 0.45, "mlp": 0.95, "wide": 1.0},
    ("compiled", "handwritten"): {"exam_scores": 0.65, "binary_and": 0.65, "deep": 0.8, "mlp": 0.95, "wide": 1.0},
    ("compiled", "jax"): {"exam_scores": 0.95, "binary_and": 0.95, "deep": 0.8, "mlp": 1.0, "wide": 1.0},
}
COMPILE_TARGET = 0.1  # seconds, for the first call of the compiled step
OURS = ("tinygrad_bp", "compiled")
# The nets that torch.compile takes part in with --quick: none, since it takes half a minute for its first one.
QUICK_TORCH_COMPILE: tuple[str, ...] = ()

Seconds = dict[str, dict[str, list[float]]]  # net → contender → seconds per step, by round


def subject(peer: ModuleType, which: str) -> Any:
    """One step of a net."""
    return peer.make_step(ALL[which])


def run(contenders: Field, settings: Settings) -> Result:
    """All nets, one after another."""
    result = Result("train_step", "A training step")
    seconds: Seconds = {}
    firsts: dict[str, dict[str, float]] = {}
    for net in settings.nets or NETS:
        but = () if not settings.quick or net in QUICK_TORCH_COMPILE else ("torch_compile",)
        everyone = contenders.who("make_step", but)
        result.left_out(net, dict.fromkeys(but, "compiling takes too long for --quick"))
        firsts[net] = first_calls(net, everyone, settings)
        tolerance = 1e-9 if NETS[net].dtype == "float64" else 1e-4
        if not moves(everyone[0].ask("values", suite="train_step", which=net, calls=6), tolerance):
            result.notes.append(f"{net}: the loss hardly moves, agreement would prove nothing: not timed")
            continue
        workers, reasons = agreeing("train_step", net, everyone, 6, tolerance)
        result.left_out(net, reasons)
        measured = measure("train_step", [(worker, net) for worker in workers], settings)
        seconds[net] = {worker.peer.name: times for worker, times in zip(workers, measured, strict=True)}
    result.raw = {"seconds": seconds, "first_call": firsts, "targets": [[*k, v] for k, v in TARGETS.items()]}
    result.tables = tables(seconds, firsts)
    return result


def first_calls(net: str, workers: list[Worker], settings: Settings) -> dict[str, float]:
    """Seconds of the first step of a net in a process that has trained another one before."""
    taken = {}
    for worker in workers:
        try:
            if not (settings.quick and worker.peer.name == "torch_compile"):  # its first net takes half a minute
                worker.ask("values", suite="train_step", which=WARM.name, calls=3)
            taken[worker.peer.name] = worker.ask("first", suite="train_step", which=net)
        except WorkerError:
            continue  # `agreeing` meets the same error and says so
    return taken


def tables(seconds: Seconds, firsts: dict[str, dict[str, float]]) -> list[Table]:
    """Times, ratios of ours to all, the targets, the first calls."""
    nets = list(seconds)
    names = list(dict.fromkeys(name for times in seconds.values() for name in times))
    rows = [[name, *(cell(seconds[net].get(name), 1e6) for net in nets)] for name in names]
    found = [Table("µs per step", ["contender", *nets], rows)]
    for ours in OURS:
        if ours in names:
            rows = [[name, *(compared(seconds[net], ours, name) for net in nets)] for name in names if name != ours]
            found.append(Table(f"{ours} / contender, smaller is better for {ours}", ["contender", *nets], rows))
    found.append(Table("targets", ["ratio", "net", "found", "target", "verdict"], aims(seconds)))
    rows = [[name, *(milliseconds(firsts[net].get(name)) for net in nets)] for name in names]
    if any("compiled" in firsts[net] for net in nets):
        held = ["met" if firsts[net].get("compiled", 1e9) < COMPILE_TARGET else "MISSED" for net in nets]
        rows.append([f"compiled < {COMPILE_TARGET * 1e3:g} ms", *held])
    found.append(Table("ms for the first step, compilation included", ["contender", *nets], rows))
    return found


def cell(values: list[float] | None, unit: float) -> str:
    """A time with its quartiles, or a dash for who is not there."""
    return shown([value * unit for value in values]) if values else "–"


def milliseconds(seconds: float | None) -> str:
    """One first call."""
    return "–" if seconds is None else significant(seconds * 1e3)


def compared(times: dict[str, list[float]], ours: str, theirs: str) -> str:
    """One ratio."""
    both = ours in times and theirs in times
    return shown_ratio(paired(times[ours], times[theirs])) if both else "–"


def aims(seconds: Seconds) -> list[list[str]]:
    """Every target with what was found."""
    rows = []
    for (ours, theirs), bounds in TARGETS.items():
        for net, bound in bounds.items():
            times = seconds.get(net, {})
            ratios = paired(times[ours], times[theirs]) if ours in times and theirs in times else None
            answer = verdict(ratios, bound) if ratios else "not measured"
            rows.append([f"{ours} / {theirs}", net, compared(times, ours, theirs), f"≤ {bound:g}", answer])
    return rows
