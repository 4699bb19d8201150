"""The 2 → 2 → 2 net of Mazur's "A step by step backpropagation example" (2015), its biases frozen.

After this file you know how parameters are kept still, and the figures that a hundred blog posts repeat.
Read digits.py next: the same few lines on real data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import Array, heading, numeric_gradient, options, plain, plot_curves, progress, table

import tinygrad_bp as tg

X, Y = tg.tensor(np.array([[0.05, 0.10]])), tg.tensor(np.array([[0.01, 0.99]]))
WEIGHTS = np.array([[0.15, 0.20], [0.25, 0.30]]), np.array([[0.40, 0.45], [0.50, 0.55]])  # w1 … w4, w5 … w8


def network(first: Array, second: Array) -> Any:
    net = tg.nn.Sequential(tg.nn.Linear(2, 2), tg.nn.Sigmoid(), tg.nn.Linear(2, 2), tg.nn.Sigmoid()).double()
    biases = {"0.bias": np.array([0.35, 0.35]), "2.bias": np.array([0.60, 0.60])}
    values = {"0.weight": first, "2.weight": second, **biases}
    net.load_state_dict({name: tg.tensor(value) for name, value in values.items()})
    for layer in net[0], net[2]:
        layer.bias.requires_grad_(False)
    return net


def error(net: Any) -> Any:
    """½ΣE²."""
    return ((Y - net(X)) ** 2).sum() / 2


def show_gradients(net: Any) -> None:
    heading("the first step's gradients, three ways")
    error(net).backward()
    first, second = WEIGHTS
    x, h, o, y = plain(X), plain(net[:2](X)), plain(net(X)), plain(Y)
    delta_o = -(y - o) * o * (1 - o)
    delta_h = (delta_o @ second) * h * (1 - h)
    numeric = (
        numeric_gradient(lambda w: error(network(w, second)), first),
        numeric_gradient(lambda w: error(network(first, w)), second),
    )
    for name, layer, hand, differences in zip(
        ("w1 … w4", "w5 … w8"), (net[0], net[2]), (delta_h.T @ x, delta_o.T @ h), numeric, strict=True
    ):
        table(name, {"by hand": hand, "graph": plain(layer.weight.grad), "differences": differences})


def train(net: Any, steps: int) -> list[float]:
    """All weights step at once with lr = 0.5; the error before each step and after the last."""
    optimizer = tg.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.5)
    errors = []
    for _ in progress(range(steps), "training"):
        optimizer.zero_grad()
        loss = error(net)
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    return [*errors, error(net).item()]


def main(argv: list[str] | None = None) -> None:
    arguments = options(__doc__, "steps", length=10_000, quick=1_000).parse_args(argv)
    net = network(*WEIGHTS)
    show_gradients(net)
    errors = train(net, arguments.length)
    heading("error")
    print(f"at first          {errors[0]:.9f}   (text .298371109)")
    print(f"after one step    {errors[1]:.9f}   (text .291027924)")
    print(f"after {len(errors) - 1:>6} steps {errors[-1]:.9f}   (text .0000351085 after 10,000)")
    if arguments.plot:
        curve = {"error": ("-", range(1, len(errors) + 1), errors)}
        title = "Mazur's 2 → 2 → 2, lr = 0.5"
        plot_curves(arguments.plot, title, curve, xlabel="step", ylabel="½ΣE²", xscale="log", yscale="log")



if __name__ == "__main__":
    main()
