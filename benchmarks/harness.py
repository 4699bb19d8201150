"""What the suites share: a process for each contender, one at work at a time, rounds in shuffled order.

Contenders are compared round by round (paired): whatever slows the machine for a while slows all. Read
`suites/train_step.py` next.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent

# Processes that the benchmarks start find the package in this checkout, installed or not.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH")))),
}
# Without its bytecode a package is compiled at every import, and that is what would be timed.
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)
# The kernel is the one that NumPy chooses for this processor, as a user has it.
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    ENVIRONMENT.pop(name, None)


class WorkerError(Exception):
    """A worker answered with an error, or ended without an answer."""


@dataclass(frozen=True)
class Peer:
    """A row of peers.txt."""

    name: str
    library: str
    what: str

    def installed(self) -> bool:
        """Whether the library can be found."""
        sys.path.append(str(HERE.parent))
        spec = find_spec(self.library)
        sys.path.pop()
        return spec is not None and spec.origin is not None  # a folder without __init__.py has no origin


def peers() -> list[Peer]:
    """All rows of peers.txt, installed or not."""
    lines = (HERE / "peers.txt").read_text("utf-8").splitlines()
    return [Peer(*line.split(maxsplit=2)) for line in lines if line.strip() and not line.startswith("#")]


@dataclass(frozen=True)
class Settings:
    """How thoroughly to measure. `quick` shows in two minutes that everything runs; its figures mean little."""

    quick: bool = False
    rounds: int = 30
    nets: tuple[str, ...] = ()

    @property
    def enough(self) -> float:
        """Seconds that a turn lasts at least."""
        return 0.01 if self.quick else 0.1

    @property
    def settle(self) -> float:
        """Seconds before a turn. A BLAS thread that has nothing to do spins for some tens of milliseconds before it
        sleeps: wait until the last contender's threads are off the cores."""
        return 0.02 if self.quick else 0.1

    @property
    def warm(self) -> float:
        """Seconds of calls at the beginning of a turn that are not counted."""
        return 0.02 if self.quick else 0.1


class Worker:
    """A persistent process that runs one contender, and sleeps on its pipe while it is not asked."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.functions: list[str] = []  # what its file in peers/ offers
        self.facts: dict[str, str] = {}
        self.start()

    def start(self) -> None:
        """A fresh process; the library loads with the first command."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", self.peer.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if "BENCHMARKS_TRACEBACKS" in os.environ else subprocess.DEVNULL,
            env=ENVIRONMENT,
            text=True,
        )

    def send(self, do: str, **arguments: Any) -> None:
        """One command, without waiting."""
        assert self.process.stdin is not None
        if self.process.poll() is not None:  # the last command killed it (recursion in C, memory)
            self.close()
            self.start()
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to the last command."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"the process ended, status {self.process.wait()}")
        found = json.loads(line)
        if "error" in found:
            raise WorkerError(found["error"])
        return found["value"]

    def ask(self, do: str, **arguments: Any) -> Any:
        """Send one command and wait for its answer."""
        self.send(do, **arguments)
        return self.answer()

    def close(self) -> None:
        """End the process and wait for it."""
        self.process.communicate()


@contextmanager
def fresh(workers: Sequence[Worker]) -> Iterator[list[Worker]]:
    """The same contenders in new processes, which have loaded their libraries side by side and done nothing else."""
    started = [Worker(worker.peer) for worker in workers]
    try:
        for worker in started:
            worker.send("about", library=worker.peer.library)
        for worker in started:
            worker.answer()
        yield started
    finally:
        for worker in started:
            worker.close()


@dataclass
class Field:
    """All contenders that are here, and why the others are not."""

    workers: list[Worker] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def enter(self) -> None:
        """Start everybody of peers.txt; they load their libraries side by side."""
        started = []
        for peer in peers():
            if not peer.installed():
                self.left_out[peer.name] = f"{peer.library} is not installed"
                continue
            started.append(Worker(peer))
            started[-1].send("about", library=peer.library)
        for worker in started:
            try:
                found = worker.answer()
            except WorkerError as error:
                self.left_out[worker.peer.name] = str(error)
                worker.close()
                continue
            worker.facts, worker.functions = found["facts"], found["functions"]
            self.workers.append(worker)

    def leave(self) -> None:
        """End all processes."""
        for worker in self.workers:
            worker.close()

    def who(self, function: str, but: Sequence[str] = ()) -> list[Worker]:
        """Those whose file in peers/ has a function, in the order of peers.txt."""
        return [w for w in self.workers if function in w.functions and w.peer.name not in but]


def agreeing(
    suite: str, which: Any, workers: Sequence[Worker], calls: int, tolerance: float
) -> tuple[list[Worker], dict[str, str]]:
    """Who returns the same numbers as the yardstick, and for the others the reason why they are left out.

    The yardstick is the hand-written code, or the first contender that returns anything.
    """
    found, left_out = {}, {}
    for worker in workers:
        try:
            found[worker] = worker.ask("values", suite=suite, which=which, calls=calls)
        except WorkerError as error:
            left_out[worker.peer.name] = str(error)
    yardstick = next((w for w in found if w.peer.name == "handwritten"), next(iter(found), None))
    for worker in list(found):
        assert yardstick is not None
        if not same(found[yardstick], found[worker], tolerance):
            left_out[worker.peer.name] = f"computes {brief(found[worker])}, not {brief(found[yardstick])}"
            del found[worker]
    return list(found), left_out


def same(expected: Sequence[float], found: Sequence[float], tolerance: float) -> bool:
    """Whether two lists of numbers agree, each to a tolerance relative to the largest expected one (nan never does)."""
    if len(expected) != len(found):
        return False
    scale = max((abs(value) for value in expected), default=0.0)
    return all(abs(a - b) <= tolerance * scale for a, b in zip(expected, found, strict=True))


def brief(values: Sequence[float]) -> str:
    """The first few of many numbers."""
    return ", ".join(f"{value:.6g}" for value in values[:6]) + (" …" if len(values) > 6 else "")


def moves(losses: Sequence[float], tolerance: float) -> bool:
    """Whether training has changed the loss by so much that agreement proves something."""
    return abs(losses[-1] - losses[0]) >= 50 * tolerance * abs(losses[0])


def measure(
    suite: str, subjects: Sequence[tuple[Worker, Any]], settings: Settings, rounds: int | None = None
) -> list[list[float]]:
    """Seconds per call of each subject in each round; all take a turn per round, in shuffled order."""
    calls = [calibrated(suite, worker, which, settings) for worker, which in subjects]
    seconds: list[list[float]] = [[] for _ in subjects]
    order, shuffle = list(range(len(subjects))), random.Random(0).shuffle
    for _ in range(rounds or settings.rounds):
        shuffle(order)
        for i in order:
            worker, which = subjects[i]
            time.sleep(settings.settle)
            taken = worker.ask("seconds", suite=suite, which=which, calls=calls[i], warm=settings.warm)
            seconds[i].append(taken / calls[i])
    return seconds


def calibrated(suite: str, worker: Worker, which: Any, settings: Settings) -> int:
    """How many calls take at least `settings.enough` seconds."""
    calls, long_enough = 1, 0
    while True:
        time.sleep(settings.settle / 2)
        taken = worker.ask("seconds", suite=suite, which=which, calls=calls, warm=settings.warm)
        long_enough = long_enough + 1 if taken >= settings.enough else 0
        if long_enough == 2 or taken >= 10 * settings.enough:  # once may have been a hiccup
            return calls
        if long_enough:
            continue
        calls = max(calls + 1, min(calls * 30, round(1.2 * calls * settings.enough / max(taken, 1e-9))))
