"""What the examples share: options, a progress bar, finite differences, tables and plots.

After this file you know how each tutorial's figures are checked: `numeric_gradient` needs no calculus at all,
so it can say who is right when a text and the graph disagree. Read `exam_scores.py` next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def options(doc: str | None, unit: str, length: int, quick: int) -> argparse.ArgumentParser:
    """The parser that every example starts from: `.length` is how many `unit`s (steps, epochs) to train."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    train, same = f"how long to train (default {length})", f"the same as --{unit} {quick}"
    parser.add_argument(f"--{unit}", dest="length", type=positive, default=length, metavar="N", help=train)
    parser.add_argument("--quick", dest="length", action="store_const", const=quick, help=same)
    parser.add_argument("--plot", metavar="FILE", help="draw a picture into FILE (needs matplotlib)")
    return parser


def positive(text: str) -> int:
    """An integer of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def progress(steps: Iterable[int], what: str) -> Iterator[int]:
    """`steps`, counted on stderr: by tqdm where it is installed (and only on terminals), else in tenths."""
    try:
        tqdm = import_module("tqdm").tqdm
    except ImportError:
        return _plain_progress(list(steps), what)
    return iter(tqdm(steps, desc=what, leave=False, disable=None))


def _plain_progress(steps: list[int], what: str) -> Iterator[int]:
    tenth = max(1, len(steps) // 10)
    for done, step in enumerate(steps):
        if done and done % tenth == 0:
            print(f"{what}: {done} of {len(steps)}", file=sys.stderr)
        yield step


def plain(tensor: Any) -> Array:
    """A copy of a tensor's values, as a NumPy array without a graph."""
    return np.array(tensor.detach().numpy())


def numeric_gradient(loss: Callable[[Array], Any], at: Array, step: float = 1e-5) -> Array:
    """Move each entry of `at` a little both ways and see what `loss` (0-d) does: central differences."""
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        moved = np.zeros_like(at)
        moved[index] = step
        gradient[index] = (loss(at + moved).item() - loss(at - moved).item()) / (2 * step)
    return gradient


def heading(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def table(name: str, columns: dict[str, Any], digits: int = 8) -> None:
    """Print arrays of one shape side by side, an entry a line, with its index: `W1[0,2]`."""
    arrays = {title: np.asarray(values, np.float64) for title, values in columns.items()}
    width = max(digits + 6, *(len(title) + 2 for title in arrays))
    print(f"  {name:<12}" + "".join(f"{title:>{width}}" for title in arrays))
    for index in np.ndindex(next(iter(arrays.values())).shape):
        label = f"[{','.join(map(str, index))}]" if index else ""
        print(f"  {name + label:<12}" + "".join(f"{a[index]:>{width}.{digits}f}" for a in arrays.values()))


def pyplot() -> Any:
    """matplotlib's pyplot without a window, imported only when a picture is asked for."""
    try:
        matplotlib = import_module("matplotlib")
    except ImportError:
        raise SystemExit('--plot needs matplotlib: pip install -e ".[examples]"') from None
    matplotlib.use("Agg")
    plt = import_module("matplotlib.pyplot")
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    return plt


def save_plot(figure: Any, path: str) -> None:
    figure.savefig(path, dpi=130, bbox_inches="tight")
    print(f"\npicture written to {path}")


def plot_curves(path: str, title: str, curves: dict[str, tuple[str, Any, Any]], **axis: Any) -> None:
    """Draw curves, label: (line style, x, y), into `path`; `axis` is what matplotlib's `Axes.set` takes."""
    figure, axes = pyplot().subplots(figsize=(6, 3.6))
    for label, (style, x, y) in curves.items():
        axes.plot(x, y, style, label=label, markersize=4)
    axes.set(title=title, **axis)
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend(frameon=False)
    save_plot(figure, path)
