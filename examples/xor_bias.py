"""XOR with a column of ones for a bias: 3 → 4 → 1, the net of "How to build your own neural network" (2018).

After this file you know the tutorial as an ordinary Sequential, and which sign its d_weights have.
Read binary_and.py next.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from common import Array, heading, numeric_gradient, options, plain, plot_curves, progress, table

import tinygrad_bp as tg

X = tg.tensor(np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]))
Y = tg.tensor(np.array([[0.0], [1], [1], [0]]))
loss_of = tg.nn.MSELoss(reduction="sum")  # Σ(y−ŷ)²


def first_weights(seed: int) -> tuple[Array, Array]:
    """weights1 and weights2 as the text makes them: (in, out), uniform on [0, 1)."""
    random = np.random.RandomState(seed)
    return random.rand(3, 4), random.rand(4, 1)


def network(weights1: Array, weights2: Array) -> Any:
    """The text's network; a Linear keeps its weight as (out, in), so both go in transposed."""
    net = tg.nn.Sequential(
        tg.nn.Linear(3, 4, bias=False), tg.nn.Sigmoid(), tg.nn.Linear(4, 1, bias=False), tg.nn.Sigmoid()
    ).double()
    net.load_state_dict({"0.weight": tg.tensor(weights1.T), "2.weight": tg.tensor(weights2.T)})
    return net


def d_weights(weights1: Array, weights2: Array) -> tuple[Array, Array]:
    """The text's backprop, by hand."""
    x, y = plain(X), plain(Y)
    layer1 = 1 / (1 + np.exp(-x @ weights1))
    output = 1 / (1 + np.exp(-layer1 @ weights2))
    shared = 2 * (y - output) * output * (1 - output)
    return x.T @ (shared @ weights2.T * layer1 * (1 - layer1)), layer1.T @ shared


def show_gradients(weights1: Array, weights2: Array) -> None:
    heading("erratum: the text's d_weights are minus the derivative of its loss")
    net = network(weights1, weights2)
    loss_of(net(X), Y).backward()
    text1, text2 = d_weights(weights1, weights2)
    numeric1 = numeric_gradient(lambda w: loss_of(network(w, weights2)(X), Y), weights1)
    numeric2 = numeric_gradient(lambda w: loss_of(network(weights1, w)(X), Y), weights2)
    graph1, graph2 = plain(net[0].weight.grad).T, plain(net[2].weight.grad).T
    table("d_weights1", {"text": text1, "graph": graph1, "differences": numeric1})
    table("d_weights2", {"text": text2, "graph": graph2, "differences": numeric2})

    def loss_after(sign: int) -> float:
        return float(loss_of(network(weights1 + sign * text1, weights2 + sign * text2)(X), Y).item())

    print(f"The loss is {loss_after(0):.6f}. Going against the printed d_weights, as against a derivative,")
    print(f"makes it {loss_after(-1):.6f}; adding them, as the text's code does, {loss_after(+1):.6f}.")


def train(net: Any, steps: int) -> tuple[list[float], Array]:
    """SGD with lr = 1: every step's loss, and the predictions before the last step, which the text prints."""
    optimizer = tg.optim.SGD(net.parameters(), lr=1)
    losses = []
    for _ in progress(range(steps), "training"):
        predictions = net(X)
        loss = loss_of(predictions, Y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses, plain(predictions)


def main(argv: list[str] | None = None) -> None:
    parser = options(__doc__, "steps", length=1_500, quick=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first weights (default 0)")
    arguments = parser.parse_args(argv)
    weights = first_weights(arguments.seed)
    show_gradients(*weights)

    net = network(*weights)
    losses, predictions = train(net, arguments.length)
    heading(f"trained: seed {arguments.seed}, {arguments.length} steps")
    table("XOR", {"prediction": predictions, "y (actual)": Y})
    falls = all(later < earlier for earlier, later in pairwise(losses))
    print(f"loss {loss_of(net(X), Y).item():.2e}; it {'fell' if falls else 'did not fall'} with every step")
    if arguments.plot:
        curve = {"loss": ("-", range(1, len(losses) + 1), losses)}
        title = f"XOR with a bias column, 3 → 4 → 1, lr = 1, seed {arguments.seed}"
        plot_curves(arguments.plot, title, curve, xlabel="step", ylabel="Σ(y − ŷ)²", yscale="log")



if __name__ == "__main__":
    main()
