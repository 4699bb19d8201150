"""Read 1,797 scanned digits of 8 × 8 pixels with a small net, and keep what it learned in a file.

After this file you know a whole training run: split, batches, dropout, momentum, a learning rate that falls,
test, save, load. Read mnist.py next: the same functions on larger images.
"""

from __future__ import annotations

import math
import os
from importlib import import_module
from pathlib import Path
from tempfile import gettempdir
from time import perf_counter
from typing import Any

# Read when NumPy is first imported. Our matrices are too small to share: on a busy machine with two cores, two
# threads that waited for each other were measured to take eight times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from common import Array, options, plain, progress, pyplot, save_plot

import tinygrad_bp as tg

# Where to cut an image out of itself with a margin of 1 pixel: in place, or off by one.
SHIFTS = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)]


def load() -> tuple[Array, Array]:
    """UCI's "Optical Recognition of Handwritten Digits", in scikit-learn: images in [0, 1], and labels."""
    try:
        digits = import_module("sklearn.datasets").load_digits()
    except ImportError:
        raise SystemExit('the digits come with scikit-learn: pip install -e ".[examples]"') from None
    return (digits.images / 16).astype(np.float32), digits.target


def network(pixels: int, hidden: tuple[int, int] = (256, 128)) -> Any:
    """pixels → 256 → 128 → 10; dropout keeps the hidden layers from learning the training images by heart."""
    return tg.nn.Sequential(
        tg.nn.Flatten(),
        tg.nn.Linear(pixels, hidden[0]),
        tg.nn.ReLU(),
        tg.nn.Dropout(0.3),
        tg.nn.Linear(hidden[0], hidden[1]),
        tg.nn.ReLU(),
        tg.nn.Dropout(0.3),
        tg.nn.Linear(hidden[1], 10),
    )


def jittered(images: Array, random: np.random.Generator) -> Array:
    """Each image moved by one pixel, or not at all: a digit stays the same digit."""
    _, height, width = images.shape
    margin = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    choice = random.integers(len(SHIFTS), size=len(images))
    moved = np.empty_like(images)
    for number, (down, right) in enumerate(SHIFTS):
        chosen = choice == number
        moved[chosen] = margin[chosen, down : down + height, right : right + width]
    return moved


def train(net: Any, images: Array, labels: Array, epochs: int, seed: int, lr: float = 0.1) -> list[float]:
    """SGD with Nesterov momentum, 96 images a step, the rate a falling cosine; each epoch's mean loss."""
    optimizer = tg.optim.SGD(net.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=3e-4)
    dataset = tg.data.TensorDataset(tg.from_numpy(images), tg.from_numpy(labels))
    loader = tg.data.DataLoader(dataset, batch_size=96, shuffle=True)
    loss_of, random = tg.nn.CrossEntropyLoss(), np.random.default_rng(seed)
    net.train()
    losses = []
    for epoch in progress(range(epochs), "training"):
        total = 0.0
        for batch, (x, y) in enumerate(loader):
            done = (epoch + batch / len(loader)) / epochs
            optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * done)) / 2
            loss = loss_of(net(tg.from_numpy(jittered(x.numpy(), random))), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
        losses.append(total / len(labels))
    return losses


def answers(net: Any, images: Array) -> Array:
    """The digit that the net sees in each image."""
    net.eval()
    with tg.no_grad():
        return np.asarray(plain(net(tg.from_numpy(images))).argmax(axis=1))


def save_and_reload(net: Any, path: Path, fresh: Any, images: Array) -> None:
    """Write the weights, read them into a `fresh` net and see that it gives the same answers."""
    tg.save(net.state_dict(), path)
    fresh.load_state_dict(tg.load(path))
    if not np.array_equal(answers(fresh, images), answers(net, images)):
        raise RuntimeError(f"the net loaded from {path} answers otherwise than the one that was saved")
    print(f"weights saved to {path} ({path.stat().st_size:,} bytes), loaded again: the same answers")


def print_confusion(labels: Array, seen: Array) -> None:
    """Rows are the true digits, columns what the net saw."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, seen), 1)
    print("\ntrue \\ seen" + "".join(f"{digit:>5}" for digit in range(10)))
    for digit, row in enumerate(counts):
        print(f"{digit:>11}" + "".join(f"{count or '·':>5}" for count in row))
    print()


def plot(path: str, losses: list[float], images: Array, labels: Array, seen: Array) -> None:
    """The loss, and up to ten digits that were mistaken."""
    plt = pyplot()
    figure = plt.figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplot_mosaic("LLLLL;01234;56789", height_ratios=(1.6, 1, 1))
    axes["L"].plot(range(1, len(losses) + 1), losses)
    title = f"test accuracy {100 * np.mean(seen == labels):.2f} %"
    axes["L"].set(xlabel="epoch", ylabel="cross entropy", ylim=(0, None), title=title)
    axes["L"].xaxis.get_major_locator().set_params(integer=True)
    axes["L"].grid(alpha=0.3)
    for cell in range(10):
        axes[str(cell)].axis("off")
    for cell, wrong in enumerate(np.flatnonzero(seen != labels)[:10]):
        axes[str(cell)].imshow(images[wrong], cmap="gray_r")
        axes[str(cell)].set_title(f"{labels[wrong]}, seen as {seen[wrong]}", fontsize=9)
    save_plot(figure, path)


def main(argv: list[str] | None = None) -> None:
    parser = options(__doc__, "epochs", length=100, quick=50)
    parser.add_argument("--seed", type=int, default=0, help="of split, first weights and batches (default 0)")
    target = Path(gettempdir(), "digits.safetensors")
    parser.add_argument("--save", metavar="FILE", type=Path, default=target, help=f"(default {target})")
    arguments = parser.parse_args(argv)

    images, labels = load()
    order = np.random.default_rng(arguments.seed).permutation(len(labels))
    training, test = order[: len(order) * 4 // 5], order[len(order) * 4 // 5 :]
    tg.manual_seed(arguments.seed)
    net = network(pixels=64)
    start = perf_counter()
    losses = train(net, images[training], labels[training], arguments.length, arguments.seed)
    print(f"{len(training):,} digits learned in {arguments.length} epochs, {perf_counter() - start:.1f} s")

    seen = answers(net, images[test])
    save_and_reload(net, arguments.save, network(pixels=64), images[test])
    print_confusion(labels[test], seen)
    if arguments.plot:
        plot(arguments.plot, losses, images[test], labels[test], seen)
    print(f"test accuracy {100 * np.mean(seen == labels[test]):.2f} %")


if __name__ == "__main__":
    main()
