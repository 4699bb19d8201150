"""The pictures: a training step relative to PyTorch's, net by net, and the time per node against the depth.

They need matplotlib; without it there are none, and the report says so. Read `__main__.py` next.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from .report import Result
from .stats import clear, paired, significant

OURS, OTHERS = "#c2410c", "#64748b"
COLOURS = ("#0f766e", "#64748b", "#7c3aed", "#0369a1", "#be123c")


def draw(folder: Path, results: list[Result]) -> tuple[list[str], list[str]]:
    """Names of the pictures written, and notes."""
    if find_spec("matplotlib") is None:
        return [], ["no pictures: matplotlib is not installed"]
    import matplotlib as mpl

    mpl.use("Agg")
    pictures: dict[str, Callable[[dict[str, Any], Path], bool]] = {"train_step": ratios, "depth": depth}
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [r for r in results if r.name in pictures and pictures[r.name](r.raw, folder / f"{r.name}.png")]
    return [f"{r.name}.png" for r in drawn], []


def ratios(raw: dict[str, Any], path: Path) -> bool:
    """A panel for each net: the time of a step over PyTorch's, or else over the hand-written one's."""
    from matplotlib import pyplot as plt

    seconds = raw["seconds"]
    if not seconds:
        return False
    base = "torch" if all("torch" in times for times in seconds.values()) else "handwritten"
    columns = min(3, len(seconds))
    lines = -(-len(seconds) // columns)
    size = (3.6 * columns + 0.5, 3.2 * lines + 0.5)
    figure, panels = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
    for axes in panels.flat[len(seconds) :]:
        axes.axis("off")
    for axes, (net, times) in zip(panels.flat, seconds.items(), strict=False):
        found = {name: paired(values, times[base]) for name, values in times.items()}
        bars = sorted(((median(r), name) for name, r in found.items() if clear(r)), reverse=True)
        colours = [OURS if name in ("tinygrad_bp", "compiled") else OTHERS for _, name in bars]
        # bars grow from 1: faster to the left, slower to the right, alike on a logarithmic axis
        drawn = axes.barh([name for _, name in bars], [value - 1 for value, _ in bars], left=1, color=colours)
        for bar, (value, _) in zip(drawn, bars, strict=True):
            place = {"ha": "left" if value >= 1 else "right", "va": "center", "fontsize": 8}
            axes.annotate(significant(value, 2), (value, bar.get_y() + bar.get_height() / 2),
                          xytext=(3 if value >= 1 else -3, 0), textcoords="offset points", **place)  # fmt: skip
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        if bars:
            axes.set_xlim(min(0.4, bars[-1][0] / 3), max(2.5, bars[0][0] * 3))
        axes.set_title(net)
        axes.spines[["top", "right"]].set_visible(False)
    label = f"time of a training step / {base}, median: faster to the left (unclear ratios left out)"
    figure.supxlabel(label, fontsize=9)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return True


def depth(raw: dict[str, Any], path: Path) -> bool:
    """A line for each contender: µs per node, median with its quartiles."""
    from matplotlib import pyplot as plt

    from .stats import spread

    seconds = raw["seconds per node"]
    names = list(dict.fromkeys(name for times in seconds.values() for name in times))
    if not names:
        return False
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    colours = iter(COLOURS)
    for name in names:
        colour = OURS if name == "tinygrad_bp" else next(colours)
        depths = [d for d, times in seconds.items() if name in times]
        low, middle, high = zip(*(spread([s * 1e6 for s in seconds[d][name]]) for d in depths), strict=True)
        axes.plot(depths, middle, marker="o", markersize=4, color=colour, label=name)
        axes.fill_between(depths, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel="nodes in the chain", ylabel="µs per node")
    axes.set_title("forward, backward and drop; a line ends where the library fails", fontsize=10)
    axes.grid(alpha=0.3, which="both", linewidth=0.5)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    figure.legend(loc="outside right center", frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return True
