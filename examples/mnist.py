"""Read MNIST's handwritten digits, 28 × 28 pixels, with the functions of digits.py.

After this file you know how the package reads the four IDX files, and fetches those that are missing. Where
only the 10,000 test images are at hand, 8,000 of them are for training and 2,000 for the test. Read
tinygrad_bp/data/mnist.py next.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in digits.py

import numpy as np
from common import Array, options
from digits import answers, network, plot, print_confusion, train

import tinygrad_bp as tg

Split = tuple[Array, Array, Array, Array]


def load(folder: Path) -> Split:
    """Images and labels for training, then for the test."""
    if any(folder.glob("t10k-images*")) and not any(folder.glob("train-images*")):
        images, labels = tg.data.load_mnist(folder, "test")
        order = np.random.default_rng(0).permutation(len(labels))
        training, test = order[: len(order) * 4 // 5], order[len(order) * 4 // 5 :]
        return images[training], labels[training], images[test], labels[test]
    return *tg.data.load_mnist(folder, "train"), *tg.data.load_mnist(folder, "test")


def scaled(images: Array) -> Array:
    """Ink from 0 … 255 to 0 … 1."""
    return images.astype(np.float32) / 255


def main(argv: list[str] | None = None) -> None:
    parser = options(__doc__, "epochs", length=20, quick=6)
    parser.add_argument(
        "--data", metavar="DIR", type=Path, default=Path("mnist"),
        help="folder of the IDX files, filled by download where they are missing (default ./mnist)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of first weights and batches (default 0)")
    arguments = parser.parse_args(argv)
    try:
        images, labels, test_images, test_labels = load(arguments.data)
    except (OSError, tg.FileFormatError) as error:
        raise SystemExit(str(error)) from None
    print(f"{len(labels):,} digits to learn, {len(test_labels):,} to be tested on")

    tg.manual_seed(arguments.seed)
    net = network(pixels=28 * 28)
    start = perf_counter()
    losses = train(net, scaled(images), labels.astype(np.int64), arguments.length, arguments.seed)
    print(f"{arguments.length} epochs in {perf_counter() - start:.0f} s")

    seen = answers(net, scaled(test_images))
    print_confusion(test_labels, seen)
    if arguments.plot:
        plot(arguments.plot, losses, test_images, test_labels, seen)
    print(f"test accuracy {100 * np.mean(seen == test_labels):.2f} %")


if __name__ == "__main__":
    main()
