"""Time of one full training step: hand-written NumPy, PyTorch eager and tinygrad_bp on five nets.

    python benchmarks/train_step.py --rounds 30 --json train_step.json

You will know what a step costs in µs and, round by round, how it compares. Every contender first has to
show the same losses from the same weights. Read `README.md` next for how to read the table.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

from harness import Worker, WorkerError, machine, shown, table, verdict
from nets import NETS, Net

CONTENDERS = ("handwritten", "torch", "tinygrad_bp")

# A BLAS thread that has nothing to do spins for some tens of milliseconds before it sleeps: wait until the
# last contender's threads are off the cores.
SETTLE = 0.1


def main() -> int:
    """Measure, print the table, write the raw figures; 1 if a contender failed or the losses disagree."""
    options = arguments()
    print(machine())
    workers = start_workers()
    results, failed = {}, False
    for name in options.nets:
        try:
            agree(NETS[name], workers)
            results[name] = measure(name, workers, options.rounds, options.seconds)
            print(f"measured {name}", flush=True)
        except WorkerError as error:
            print(f"{name}: {error}")
            failed = True
    for worker in workers:
        worker.close()
    report(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    return int(failed)


def arguments() -> argparse.Namespace:
    """The command line; `--quick` only shows that everything runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 short rounds: a check, not a measurement")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS), metavar="NET")
    parser.add_argument("--rounds", type=int, help="rounds per net (default 30)")
    parser.add_argument("--json", type=Path, help="write µs per step of every round to this file")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 30)
    options.seconds = 0.01 if options.quick else 0.1
    return options


def start_workers() -> list[Worker]:
    """One process for each contender that is installed; says its versions and threads."""
    workers = []
    for contender in CONTENDERS:
        worker = Worker(contender)
        try:
            facts = worker.ask("about")
        except WorkerError as error:
            print(f"note: left out, {error}")
            worker.close()
            continue
        print(f"{contender}: " + ", ".join(f"{key} {value}" for key, value in facts.items()))
        workers.append(worker)
    return workers


def agree(net: Net, workers: list[Worker], steps: int = 6) -> None:
    """Raise unless all contenders show the same losses, and losses that training has moved."""
    tolerance = 1e-9 if net.dtype == "float64" else 1e-4
    losses = {worker.contender: worker.ask("losses", net=net.name, steps=steps) for worker in workers}
    first = next(iter(losses.values()))
    if abs(first[-1] - first[0]) < 50 * tolerance * first[0]:
        raise WorkerError(f"the loss hardly moves ({first[0]} to {first[-1]}): agreement would prove nothing")
    for contender, found in losses.items():
        if any(abs(a - b) > tolerance * abs(a) for a, b in zip(first, found, strict=True)):
            raise WorkerError(f"the contenders compute different things: {contender} {found}, not {first}")


def measure(net: str, workers: list[Worker], rounds: int, enough: float) -> dict[str, list[float]]:
    """µs per step of each contender in each round; all take a turn per round, in shuffled order."""
    steps = {worker: calibrated(net, worker, enough) for worker in workers}
    micros: dict[str, list[float]] = {worker.contender: [] for worker in workers}
    order, shuffle = list(workers), random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for worker in order:
            time.sleep(SETTLE)
            taken = worker.ask("seconds", net=net, steps=steps[worker])
            micros[worker.contender].append(taken / steps[worker] * 1e6)
    return micros


def calibrated(net: str, worker: Worker, enough: float) -> int:
    """How many steps take at least `enough` seconds."""
    steps = 1
    while True:
        time.sleep(SETTLE)
        taken = worker.ask("seconds", net=net, steps=steps)
        if taken >= enough:
            return steps
        steps = max(steps + 1, min(steps * 10, round(1.2 * steps * enough / max(taken, 1e-9))))


def report(results: dict[str, dict[str, list[float]]]) -> None:
    """The two tables: times, then paired ratios with their targets."""
    contenders = [name for name in CONTENDERS if any(name in micros for micros in results.values())]
    if not contenders:
        return
    print("\nµs per step: median [quartiles] over the rounds")
    rows = [[net, *(shown(micros[c], ".1f") for c in contenders)] for net, micros in results.items()]
    print(table(["net", *contenders], rows))
    if "tinygrad_bp" not in contenders:
        return
    print("\ntime of tinygrad_bp over that of another, paired by round: median [quartiles]")
    others = [c for c in contenders if c != "tinygrad_bp"]
    rows = [[net, *compared(micros, others, NETS[net])] for net, micros in results.items()]
    print(table(["net", *(f"/ {other}" for other in others), "target / torch"], rows))


def compared(micros: dict[str, list[float]], others: list[str], net: Net) -> list[Any]:
    """The ratios of one net, and the verdict on the ratio to PyTorch."""
    ratios = {
        other: [ours / theirs for ours, theirs in zip(micros["tinygrad_bp"], micros[other], strict=True)]
        for other in others
    }
    aim = verdict(ratios["torch"], net.target) if "torch" in ratios else f"≤ {net.target:g} not measured"
    return [*(shown(ratios[other]) for other in others), aim]


if __name__ == "__main__":
    raise SystemExit(main())
