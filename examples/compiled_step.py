"""The net of `exam_scores.py`, compiled: the NumPy that a training step is made of, written out and run.

After this file you know that backpropagation is a dozen lines of NumPy, where the text's o_delta and z2_delta stand in
them, what compiling saves, and how a trained model leaves for a place that has NumPy and nothing else.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from common import Array, heading, options, plain, plot_curves, progress, table
from exam_scores import X, Y, first_weights

import tinygrad_bp as tg

DENSE = ("stack", "sigmoid", "sums")  # passes that save calls, and cost a reader more than they save a learner
TEXT = {"d_output": "o_delta", "d_hidden": "z2_delta"}
ALONE = """
import sys
sys.modules["tinygrad_bp"] = None    # from here on `import tinygrad_bp` fails
sys.path.insert(0, sys.argv[1])
import numpy as np
from exam_net import predict
from exam_step import step, state
x, y = np.load(sys.argv[1] + "/x.npy"), np.load(sys.argv[1] + "/y.npy")
for _ in range(int(sys.argv[2])):
    step(x, y)
np.savez(sys.argv[1] + "/found.npz", predicted=predict(x), **state())
"""


class Net(tg.nn.Module):
    """2 → 3 → 1 without biases; the names of the layers become the names in the source."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.hidden, self.output = tg.nn.Linear(2, 3, bias=False), tg.nn.Linear(3, 1, bias=False)
        self.double()
        W1, W2 = first_weights(seed)
        self.load_state_dict({"hidden.weight": W1.T, "output.weight": W2.T})

    def forward(self, x: Any) -> Any:
        return tg.sigmoid(self.output(tg.sigmoid(self.hidden(x))))


def training_step(net: Net) -> Any:
    """The text's step: the gradient of half the sum of squares, with a learning rate of 1."""
    optimizer = tg.optim.SGD(net.parameters(), lr=1.0)

    def step(x: Any, y: Any) -> Any:
        loss = ((y - net(x)) ** 2).sum() / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def side_by_side(seed: int, steps: int) -> dict[str, list[float]]:
    """Train the same net twice, and print losses and times; returns the losses."""
    eager, compiled = training_step(Net(seed)), tg.compile(training_step(Net(seed)))
    losses: dict[str, list[float]] = {"eager": [], "compiled": []}
    seconds = dict.fromkeys(losses, 0.0)
    losses["compiled"].append(compiled(X, Y).item())  # the first call compiles
    losses["eager"].append(eager(X, Y).item())
    for _ in progress(range(steps - 1), "training"):
        for name, step in (("eager", eager), ("compiled", compiled)):
            start = perf_counter()
            loss = step(X, Y)
            seconds[name] += perf_counter() - start
            losses[name].append(loss.item())
    heading(f"the same {steps:,} steps, eager and compiled")
    table("loss, first", {name: values[0] for name, values in losses.items()})
    table("loss, last", {name: values[-1] for name, values in losses.items()})
    apart = np.abs(np.subtract(losses["eager"], losses["compiled"])).max()
    print(f"They differ by {apart:.2g} at most: the last digits of what is rounded in another order.")
    if steps > 1:
        eager_time, compiled_time = (seconds[name] / (steps - 1) * 1e6 for name in losses)
        print(f"A step took {eager_time:.0f} µs eagerly and {compiled_time:.0f} µs compiled, as measured just now.")
    return losses


def annotated(source: str) -> str:
    """The source, with the text's names beside the lines that finish its deltas."""
    lines = source.splitlines()
    for name, text in TEXT.items():
        last = max(i for i, line in enumerate(lines) if re.search(rf", {name}\)$", line))
        lines[last] += f"    ← minus the text's {text}"
    return "\n".join(lines)


def show_source(seed: int) -> None:
    """Print the generated function and a part of its account."""
    readable, full = (tg.compile(training_step(Net(seed)), without=names) for names in (DENSE, ()))
    for step in readable, full:
        step(X, Y)
    heading("step.source: the backpropagation of this net, written by hand")
    print("Each call writes into its last argument; an array `w_T` is the transpose of w, `d_w` the gradient by w.\n")
    print(annotated(readable.source))
    calls, fewer = (step.explain().split(maxsplit=1)[0] for step in (readable, full))
    print(f"\nLeft out for the reader: {', '.join(DENSE)}. With these passes it is {fewer} calls instead of {calls}.")
    heading("step.explain(), its beginning")
    print("\n\n".join(readable.explain().split("\n\n")[:2]))


def text_deltas(net: Net) -> dict[str, Array]:
    """The text's formulas, in its letters."""
    x, y, w1, w2 = plain(X), plain(Y), plain(net.hidden.weight).T, plain(net.output.weight).T
    z2 = 1 / (1 + np.exp(-(x @ w1)))
    o = 1 / (1 + np.exp(-(z2 @ w2)))
    o_delta = (y - o) * o * (1 - o)
    return {"o_delta": o_delta, "z2_delta": (o_delta @ w2.T) * z2 * (1 - z2)}


def exported_deltas(folder: Path, net: Net) -> None:
    """Run the exported step here, and look into its arrays."""
    path = tg.export_numpy(tg.compile(training_step(net), without=DENSE), (X, Y), folder / "exam_step")[0]
    arrays: dict[str, Any] = {"__file__": str(path)}
    exec(compile(path.read_text("utf-8"), str(path), "exec"), arrays)
    arrays["step"](plain(X), plain(Y))
    heading("its two arrays after one step, and the text's formulas")
    for name, text in TEXT.items():
        table(text, {"text": text_deltas(net)[text], f"-{name}": -arrays[name]})


def leave_home(folder: Path, net: Net, steps: int) -> None:
    """Train in a process that has no tinygrad_bp, and predict there with the trained net."""
    heading("a process that has NumPy and nothing else")
    trained = Net(0)
    trained.load_state_dict(net.state_dict())
    step = training_step(trained)
    for _ in range(steps):
        step(X, Y)
    tg.export_numpy(trained, X, folder / "exam_net")
    np.save(folder / "x.npy", plain(X))
    np.save(folder / "y.npy", plain(Y))
    command = [sys.executable, "-I", "-c", ALONE, str(folder), str(steps)]
    subprocess.run(command, check=True, env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")})
    found = np.load(folder / "found.npz")
    sizes = ", ".join(f"{path.name} {path.stat().st_size:,} bytes" for path in sorted(folder.glob("exam_*.*")))
    print(f"Written: {sizes}.")
    table("score", {"here": plain(trained(X)), "alone": found["predicted"], "actual": Y})
    apart = max(np.abs(plain(t) - found[name]).max() for name, t in trained.state_dict().items())
    print(f"Trained there for {steps:,} steps, the weights differ from those trained here by {apart:.2g} at most.")


def main(argv: list[str] | None = None) -> None:
    parser = options(__doc__, "steps", length=5_000, quick=100)
    parser.add_argument("--seed", type=int, default=0, help="of the first weights (default 0)")
    arguments = parser.parse_args(argv)
    show_source(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        exported_deltas(Path(folder), Net(arguments.seed))
        losses = side_by_side(arguments.seed, arguments.length)
        leave_home(Path(folder), Net(arguments.seed), min(arguments.length, 1_000))
    if arguments.plot:
        counted = range(1, arguments.length + 1)
        curves = {"eager": ("-", counted, losses["eager"]), "compiled": ("--", counted, losses["compiled"])}
        title = f"The same steps, eager and compiled, seed {arguments.seed}"
        plot_curves(arguments.plot, title, curves, xlabel="step", ylabel="½·Σ(y − o)²", xscale="log", yscale="log")


if __name__ == "__main__":
    main()
