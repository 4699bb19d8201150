"""How long it takes to read handwritten digits: seconds of training until 97 % of the unseen ones are right.

All contenders take the very same steps (same weights, same batches), so they need the same epochs; a second is what a
user waits for after the libraries are loaded, compilation included. Each run has a process of its own. The images
come with scikit-learn. Read `memory.py` next.
"""

from __future__ import annotations

import random
from importlib.util import find_spec
from time import perf_counter, sleep
from types import ModuleType

import numpy as np

from ..harness import Field, Settings, WorkerError, fresh
from ..nets import DIGITS
from ..report import Result, Table
from ..stats import paired, shown, shown_ratio
from .train_step import OURS

GOAL = 0.97
MOST = 100  # epochs


def train(peer: ModuleType) -> tuple[float, int, float]:
    """Seconds, epochs, and the share of the test images that is read right."""
    training_images, training_targets, test_images, test_labels = images()
    order, size = np.random.default_rng(0), DIGITS.batch
    began = perf_counter()
    training, epochs, right = peer.make_training(DIGITS), 0, 0.0
    while right < GOAL and epochs < MOST:
        epochs += 1
        shuffled = order.permutation(len(training_images))
        for first in range(0, len(shuffled) - size + 1, size):
            batch = shuffled[first : first + size]
            training.step(training_images[batch], training_targets[batch])
        right = float(np.mean(training.predict(test_images).argmax(axis=1) == test_labels))
    return perf_counter() - began, epochs, right


def images() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Three quarters to learn, with targets of ten numbers; a quarter to be tested on, with labels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    shuffled = np.random.default_rng(1).permutation(len(found.target))
    pixels = (found.data / 16).astype(DIGITS.dtype)[shuffled]
    labels, cut = found.target[shuffled], len(shuffled) * 3 // 4
    return pixels[:cut], np.eye(10, dtype=DIGITS.dtype)[labels[:cut]], pixels[cut:], labels[cut:]


def run(contenders: Field, settings: Settings) -> Result:
    """All contenders a few times, in shuffled order."""
    result = Result("digits", "Digits to 97 %")
    if find_spec("sklearn") is None:
        result.notes.append("left out: the digits come with scikit-learn, which is not installed")
        return result
    but = ("torch_compile",) if settings.quick else ()
    result.left_out("digits", dict.fromkeys(but, "compiling takes too long for --quick"))
    workers = contenders.who("make_training", but)
    runs: dict[str, list[tuple[float, int, float]]] = {worker.peer.name: [] for worker in workers}
    rounds, shuffle = (1 if settings.quick else max(3, settings.rounds // 6)), random.Random(0).shuffle
    for _ in range(rounds):
        with fresh([worker for worker in workers if worker.peer.name in runs]) as loaded:
            shuffle(loaded)
            for worker in loaded:
                sleep(settings.settle)
                try:
                    run = worker.ask("call", suite="digits", function="train", arguments=[])
                    runs[worker.peer.name].append(run)
                except WorkerError as error:
                    result.left_out("digits", {worker.peer.name: str(error)})
                    del runs[worker.peer.name]
    for name in [name for name, found in runs.items() if found[0][2] < GOAL]:
        result.left_out("digits", {name: f"only {runs.pop(name)[0][2]:.1%} right after {MOST} epochs"})
    result.raw = {"seconds, epochs, right": runs}
    result.tables.append(Table("training until 97 % are right", HEAD, rows(runs)))
    return result


HEAD = ("contender", "seconds", "epochs", "right", *(f"{ours} / contender" for ours in OURS))


def rows(runs: dict[str, list[tuple[float, int, float]]]) -> list[list[str]]:
    """Time, epochs, accuracy, and the ratios of ours to each."""
    seconds = {name: [run[0] for run in found] for name, found in runs.items()}
    table = []
    for name, found in runs.items():
        ratios = [shown_ratio(paired(seconds[ours], seconds[name])) if ours in seconds and ours != name else "–"
                  for ours in OURS]  # fmt: skip
        table.append([name, shown(seconds[name]), str(found[0][1]), f"{found[0][2]:.1%}", *ratios])
    return table
