"""AND by online training: 2 → 3 tanh → 3 sigmoid → 2 sigmoid, the "flexible neural network" of 2018.

After this file you know the 29 errors that the text prints, to the last digit, and the three mistakes behind
them: biases that never move, a derivative of 1 that is not 1, and two outputs that learn the same thing.
Read linear_2_2_1.py next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from common import Array, heading, numeric_gradient, options, plain, plot_curves, progress, table

import tinygrad_bp as tg

X = tg.tensor(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]))
Y = tg.tensor(np.array([[0.0], [0], [0], [1]]))  # one column for two outputs
ONE_HOT = tg.tensor(np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]]))
EPOCHS = 290  # of the text, which prints every tenth mean squared error
PRINTED = [
    0.493821, 0.229725, 0.197990, 0.194248, 0.193029, 0.192013, 0.190730, 0.188895, 0.186293, 0.182946,
    0.179057, 0.174675, 0.169565, 0.163116, 0.154368, 0.143564, 0.133169, 0.124437, 0.117074, 0.110702,
    0.105110, 0.100168, 0.095770, 0.091825, 0.088261, 0.085016, 0.082037, 0.079277, 0.076697,
]  # fmt: skip


def linear(n_in: int, n_neurons: int, random: np.random.RandomState) -> Any:
    """The text's layer: weights (n_in, n_neurons) first, then the bias; Linear keeps weights transposed."""
    weight, bias = random.rand(n_in, n_neurons).T, random.rand(n_neurons)
    layer = tg.nn.Linear(n_in, n_neurons).double()
    layer.load_state_dict({"weight": tg.tensor(weight), "bias": tg.tensor(bias)})
    return layer


def network() -> Any:
    random = np.random.RandomState(100)
    first, second, third = linear(2, 3, random), linear(3, 3, random), linear(3, 2, random)
    return tg.nn.Sequential(first, tg.nn.Tanh(), second, tg.nn.Sigmoid(), third, tg.nn.Sigmoid())


def half_square(output: Any, target: Any) -> Any:
    return ((target - output) ** 2).sum() / 2


def train(net: Any, targets: Any, epochs: int, biases: bool, what: str) -> list[float]:
    """One SGD step a row, lr = 0.3; the mean squared error of the whole set after each epoch."""
    trained = [p for name, p in net.named_parameters() if biases or name.endswith("weight")]
    optimizer = tg.optim.SGD(trained, lr=0.3)
    errors = []
    for _ in progress(range(epochs), what):
        for row, target in zip(X, targets, strict=True):
            net.zero_grad()
            half_square(net(row), target).backward()
            optimizer.step()
        with tg.no_grad():
            errors.append(((targets - net(X)) ** 2).mean().item())
    return errors


def classes(net: Any, x: Any) -> Array:
    return np.asarray(plain(net(x)).argmax(axis=1))


def deltas_by_hand(net: Any, row: Any, target: Any) -> list[Array]:
    """The text's rule: error = y − o, then W_next @ delta_next; delta = error ⊙ f′(layer's output)."""
    hidden = net[1](net[0](row))
    hidden2 = net[3](net[2](hidden))
    h, h2, o = plain(hidden), plain(hidden2), plain(net[5](net[4](hidden2)))
    delta3 = (plain(target) - o) * o * (1 - o)
    delta2 = (plain(net[4].weight).T @ delta3) * h2 * (1 - h2)
    delta1 = (plain(net[2].weight).T @ delta2) * (1 - h**2)
    return [delta1, delta2, delta3]


def show_deltas() -> None:
    heading("every delta of the first step on the row (1, 1)")
    net, row, target = network(), X[3], Y[3]
    half_square(net(row), target).backward()
    for layer, delta in zip((0, 2, 4), deltas_by_hand(net, row, target), strict=True):

        def moved_bias(bias: Array, name: str = f"{layer}.bias") -> Any:
            other = network()
            other.load_state_dict({**net.state_dict(), name: tg.tensor(bias)})
            return half_square(other(row), target)

        numeric, graph = numeric_gradient(moved_bias, plain(net[layer].bias)), plain(net[layer].bias.grad)
        table(f"delta {layer // 2 + 1}", {"text": delta, "-graph": -graph, "-differences": -numeric})
    print("A delta is minus the derivative by the layer's sum, and so by its bias.")


def erratum_biases(frozen: list[float], trained: list[float]) -> None:
    heading("erratum 1: the biases are never updated, although their delta (above) is not 0")
    table("MSE", {"frozen": frozen[EPOCHS - 1], "trained": trained[EPOCHS - 1]}, digits=6)
    table("MSE", {"frozen": frozen[-1], "trained": trained[-1]}, digits=6)
    ahead = 1 + max(np.flatnonzero(np.array(frozen) <= trained))
    print(f"after {EPOCHS} and after {len(frozen)} epochs. Trained biases fall behind at first;", end=" ")
    print(f"from epoch {ahead} on they are ahead." if ahead < len(frozen) else "they need more epochs.")


def erratum_derivative() -> None:
    heading("erratum 2: the derivative for activation None returns r")
    layer, x = linear(3, 4, np.random.RandomState(100)), tg.tensor(np.array([1.0, 2, 3]))
    r = layer(x)
    half_square(r, 1.0).backward()
    weight, text = layer.weight.detach(), plain((1 - r) * r)
    numeric = numeric_gradient(lambda b: half_square(weight @ x + tg.tensor(b), 1.0), plain(layer.bias))
    table("output", {"None": plain(r), "sigmoid": plain(tg.sigmoid(r))})
    graph = plain(layer.bias.grad)
    table("delta", {"text": text, "error · 1": plain(1 - r), "-graph": -graph, "-differences": -numeric})


def erratum_targets(copies: Any, one_hot: Any, epochs: int) -> None:
    heading("erratum 3: both outputs are trained on the same target")
    for name, net, targets in ("same target", copies, plain(Y)), ("one-hot", one_hot, plain(ONE_HOT)):
        o = plain(net(X))
        print(f"  {name}, biases trained, {epochs} epochs: classes {classes(net, X)}")
        table("outputs", {"first": o[:, 0], "second": o[:, 1]}, digits=4)
        error, exchanged = ((targets - o) ** 2).mean(), ((targets - o[:, ::-1]) ** 2).mean()
        table("MSE", {"": error, "exchanged": exchanged}, digits=6)
    print("Exchanging two copies of one regression leaves their error alone, yet turns every class around: the")
    print("larger one says nothing. One-hot outputs are opposites, and the larger one is the class.")


def fun_note(text: Any, one_hot: Any) -> None:
    fun = tg.tensor(np.array([[2.0, 0], [45, 203], [-1, -1], [-45, -203]]))
    heading("the fun note: inputs that were never trained on")
    table("input", {"first": plain(fun)[:, 0], "second": plain(fun)[:, 1]}, digits=0)
    answers = {"text": [1, 1, 0, 0], "here": classes(text, fun), "one-hot": classes(one_hot, fun)}
    table("class", answers, digits=0)
    print("Outside its four rows neither net knows AND: larger inputs only push the same sums further.")


def main(argv: list[str] | None = None) -> None:
    parser = options(__doc__, "epochs", length=1_000, quick=700)
    arguments = parser.parse_args(argv)
    epochs = arguments.length
    if epochs < EPOCHS:
        parser.error(f"--epochs must be {EPOCHS} at least, those of the text")
    show_deltas()

    text, copies, one_hot = network(), network(), network()
    frozen = train(text, Y, EPOCHS, biases=False, what="biases frozen")
    heading(f"the text's run, {EPOCHS} epochs: mean squared error of the whole set")
    for epoch, printed in zip(range(0, EPOCHS, 10), PRINTED, strict=True):
        print(f"  epoch {epoch:>3}  text {printed:.6f}  here {frozen[epoch]:.6f}")
    print(f"classes {classes(text, X)}, accuracy {(classes(text, X) == plain(Y)[:, 0]).mean():.0%}")

    longer = network()
    longer.load_state_dict(text.state_dict())
    frozen += train(longer, Y, epochs - EPOCHS, biases=False, what="biases frozen")
    trained = train(copies, Y, epochs, biases=True, what="biases trained")
    train(one_hot, ONE_HOT, epochs, biases=True, what="one-hot")
    erratum_biases(frozen, trained)
    erratum_derivative()
    erratum_targets(copies, one_hot, epochs)
    fun_note(text, one_hot)
    if arguments.plot:
        curves = {
            "biases frozen, as in the text": ("-", range(epochs), frozen),
            "biases trained": ("-", range(epochs), trained),
            "printed in the text": ("k.", range(0, EPOCHS, 10), PRINTED),
        }
        title, measure = "AND, 2 → 3 → 3 → 2, online, lr = 0.3", "mean squared error"
        plot_curves(arguments.plot, title, curves, xlabel="epoch", ylabel=measure, ylim=(0, None))



if __name__ == "__main__":
    main()
