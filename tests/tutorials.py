"""Five backpropagation-by-hand tutorials in plain NumPy: their data, first weights, formulas and figures.

Written from the texts and free of the package, so that `test_tutorials.py` (read it next) can hold the
graph's gradients against an independent hand. Rows are samples and `@` is the matrix product. Where a text's
formula works for any depth or width it is written for any; where a text is wrong, its variant stands beside
the right one with `wrong` in its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def sigmoid(r: Array) -> Array:
    """1 / (1 + e⁻ʳ)."""
    return np.asarray(1 / (1 + np.exp(-r)))


def numeric_gradient(loss: Callable[[Array], float], at: Array, step: float = 1e-5) -> Array:
    """Central differences of `loss` at `at`, entry by entry: the referee between a text and the graph."""
    gradient = np.empty_like(at)
    for index in np.ndindex(at.shape):
        moved = np.zeros_like(at)
        moved[index] = step
        gradient[index] = (loss(at + moved) - loss(at - moved)) / (2 * step)
    return gradient


# -- exam_scores: S. Shamdasani, "Build a Neural Network" and "How backpropagation works" (2017) -------------

EXAM_X_RAW = np.array([[2.0, 9], [1, 5], [3, 6]])  # hours studied, hours slept
EXAM_X = EXAM_X_RAW / EXAM_X_RAW.max(axis=0)
EXAM_Y = np.array([[92.0], [86], [89]]) / 100
EXAM_ASKED = np.array([[4.0, 8]])
# Seed: the mean of (y − o)² after 1,000 and after 100,000 steps.
EXAM_LOSS = {0: (2.1e-4, 2.6e-14), 1: (3.6e-4, 3.5e-14), 2: (1.0e-5, 2.1e-20)}

WORKED_W1 = np.array([[0.2, 0.6, 0.1], [0.8, 0.3, 0.7]])
WORKED_W2 = np.array([[0.4], [0.5], [0.9]])
WORKED_SUMS = (7.6, 3.9, 6.5)
WORKED_WRONG_SECOND_UNIT = 1.000553084  # printed as S(7.5)
WORKED_WRONG_OUTPUT = 0.8579443067


def exam_weights(seed: int) -> list[Array]:
    random = np.random.RandomState(seed)
    return [random.randn(2, 3), random.randn(3, 1)]


def sigmoid_layers(x: Array, weights: Sequence[Array]) -> list[Array]:
    """The input and every layer's output of a net without biases; the text's X, z2, o."""
    layers = [x]
    for weight in weights:
        layers.append(sigmoid(layers[-1] @ weight))
    return layers


def exam_deltas(y: Array, layers: Sequence[Array], weights: Sequence[Array]) -> list[Array]:
    """The text's z2_delta, o_delta: minus the gradient of ½·Σ(y−o)² by each sum, first layer first."""
    o = layers[-1]
    deltas = [(y - o) * o * (1 - o)]
    for weight, z in zip(reversed(weights[1:]), reversed(layers[1:-1]), strict=True):
        deltas.insert(0, (deltas[0] @ weight.T) * z * (1 - z))
    return deltas


def exam_step(x: Array, y: Array, weights: Sequence[Array]) -> list[Array]:
    """W += inputᵀ@delta for every layer at once, without a learning rate."""
    layers = sigmoid_layers(x, weights)
    deltas = exam_deltas(y, layers, weights)
    return [w + z.T @ d for w, z, d in zip(weights, layers[:-1], deltas, strict=True)]


# -- xor_bias: J. Loy, "How to build your own neural network from scratch" (2018) ----------------------------

XOR_X = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
XOR_Y = np.array([[0.0], [1], [1], [0]])
XOR_LOSS = {0: 2.80e-3, 1: 3.36e-3, 2: 1.82e-3}  # seed: sum of squares after 1,500 steps
XOR_PREDICTIONS = (0.01009649, 0.97157766, 0.97166525, 0.03297871)  # seed 0


def xor_weights(seed: int, n_in: int = 3, n_hidden: int = 4) -> list[Array]:
    random = np.random.RandomState(seed)
    return [random.rand(n_in, n_hidden), random.rand(n_hidden, 1)]


def xor_d_weights(x: Array, y: Array, weights: Sequence[Array]) -> list[Array]:
    """The text's d_weights1, d_weights2: called the derivative of Σ(y−ŷ)², in truth minus it."""
    weights1, weights2 = weights
    layer1 = sigmoid(x @ weights1)
    output = sigmoid(layer1 @ weights2)
    shared = 2 * (y - output) * output * (1 - output)
    return [x.T @ (shared @ weights2.T * layer1 * (1 - layer1)), layer1.T @ shared]


def xor_step(x: Array, y: Array, weights: Sequence[Array]) -> list[Array]:
    return [w + d for w, d in zip(weights, xor_d_weights(x, y, weights), strict=True)]


# -- binary_and: Z. Haytam, "Implementing a flexible neural network with backpropagation" (2018) -------------

AND_X = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
AND_Y = np.array([[0.0], [0], [0], [1]])  # one column for two outputs: it broadcasts to both
AND_ONE_HOT = np.hstack([1 - AND_Y, AND_Y])
AND_LAYERS = ((2, 3, "tanh"), (3, 3, "sigmoid"), (3, 2, "sigmoid"))
AND_EPOCHS = 290
AND_MSE = """
.493821 .229725 .197990 .194248 .193029 .192013 .190730 .188895 .186293 .182946
.179057 .174675 .169565 .163116 .154368 .143564 .133169 .124437 .117074 .110702
.105110 .100168 .095770 .091825 .088261 .085016 .082037 .079277 .076697
"""  # after epochs 0, 10, …, 280
LAYER_3_4 = {
    None: (1.14829064, 2.35516451, 4.65967912, 4.10271179),
    "sigmoid": (0.75919856, 0.91334386, 0.99061933, 0.98374093),
}

Function = Callable[[Any], Array]
ACTIVATIONS: dict[str | None, Function] = {None: np.asarray, "tanh": np.tanh, "sigmoid": sigmoid}
DERIVATIVES: dict[str | None, Function] = {  # each written with the layer's output r
    None: np.ones_like,
    "tanh": lambda r: 1 - r**2,
    "sigmoid": lambda r: r * (1 - r),
}
# The text returns r where it must return 1.
WRONG_DERIVATIVES: dict[str | None, Function] = {**DERIVATIVES, None: np.asarray}


class Layer:
    """One layer of the text: weights (n_in, n_neurons), a bias, an activation named None, tanh or sigmoid."""

    def __init__(
        self, n_in: int, n_neurons: int, activation: str | None, random: np.random.RandomState
    ) -> None:
        self.weights = random.rand(n_in, n_neurons)  # weights first, then the bias
        self.bias = random.rand(n_neurons)
        self.activation = activation

    def __call__(self, x: Array) -> Array:
        return ACTIVATIONS[self.activation](x @ self.weights + self.bias)


def and_net(seed: int = 100, layers: Sequence[tuple[int, int, str | None]] = AND_LAYERS) -> list[Layer]:
    random = np.random.RandomState(seed)
    return [Layer(*shape, random) for shape in layers]


def run(net: Sequence[Layer], x: Array) -> list[Array]:
    """The input and every layer's output."""
    outputs = [x]
    for layer in net:
        outputs.append(layer(outputs[-1]))
    return outputs


def and_deltas(
    net: Sequence[Layer],
    outputs: Sequence[Array],
    y: Array,
    derivatives: dict[str | None, Function] = DERIVATIVES,
) -> list[Array]:
    """delta = error ⊙ f′(output) of one row, first layer first; error = y − o, then W_next @ delta_next."""
    error = y - outputs[-1]
    deltas: list[Array] = []
    for layer, output in zip(reversed(net), reversed(outputs), strict=False):
        deltas.insert(0, error * derivatives[layer.activation](output))
        error = layer.weights @ deltas[0]
    return deltas


def and_epoch(net: Sequence[Layer], x: Array, y: Array, lr: float = 0.3, train_biases: bool = False) -> None:
    """One pass, row by row: W += lr·inputᵀ·delta. The text forgets the biases; `train_biases` does not."""
    for row, target in zip(x, y, strict=True):
        outputs = run(net, row)
        for layer, source, delta in zip(net, outputs, and_deltas(net, outputs, target), strict=False):
            layer.weights += lr * np.outer(source, delta)
            layer.bias += lr * delta * train_biases


def and_mse(net: Sequence[Layer], x: Array, y: Array) -> float:
    return float(np.mean((y - run(net, x)[-1]) ** 2))


# -- linear_2_2_1: "Neural networks explained", after hmkcode ------------------------------------------------

LINEAR_W = np.array([[0.34, 0.05], [0.13, 0.07]])  # (input, hidden)
LINEAR_V = np.array([0.2, 0.01])
LINEAR_X = np.array([2.0, 3.0])
LINEAR_TARGET, LINEAR_LR = 1.0, 0.05
LINEAR_WRONG_HIDDEN = (0.94, 0.29)  # printed: input 2 used twice, then 3 twice
LINEAR_WRONG_AFTER = (0.28789934, 0.25354368)  # output, error
LINEAR_AFTER = (0.29040993, 0.25175903)


def linear_forward(x: Array, first: Array, second: Array) -> tuple[Array, float]:
    """Hidden values and output of the net without activation and bias."""
    hidden = x @ first
    return hidden, float(hidden @ second)


def linear_error(x: Array, target: float, first: Array, second: Array) -> float:
    return (linear_forward(x, first, second)[1] - target) ** 2 / 2


def linear_gradients(x: Array, target: float, first: Array, second: Array) -> tuple[Array, Array]:
    """delta·outer(input, w) and delta·hidden, with delta = prediction − actual."""
    hidden, output = linear_forward(x, first, second)
    delta = output - target
    return delta * np.outer(x, second), delta * hidden


def linear_wrong_first_gradient(x: Array, target: float, first: Array, second: Array) -> Array:
    """The notebook's dot product input·w: one number for all four weights."""
    delta = linear_forward(x, first, second)[1] - target
    return np.full_like(first, delta * np.dot(x, second))


# -- mazur: M. Mazur, "A step by step backpropagation example" (2015); not one of the five -------------------

MAZUR_X, MAZUR_Y = np.array([[0.05, 0.10]]), np.array([[0.01, 0.99]])
MAZUR_W = (np.array([[0.15, 0.20], [0.25, 0.30]]), np.array([[0.40, 0.45], [0.50, 0.55]]))  # (out, in) each
MAZUR_B = (0.35, 0.60)
MAZUR_LR = 0.5
MAZUR_ERROR = {0: 0.298371109, 1: 0.2910277737, 10_000: 3.51e-5}  # step: error


def mazur_forward(weights: Sequence[Array]) -> list[Array]:
    layers = [MAZUR_X]
    for weight, bias in zip(weights, MAZUR_B, strict=True):
        layers.append(sigmoid(layers[-1] @ weight.T + bias))
    return layers


def mazur_error(weights: Sequence[Array]) -> float:
    return float(np.sum((MAZUR_Y - mazur_forward(weights)[-1]) ** 2) / 2)


def mazur_gradients(weights: Sequence[Array]) -> list[Array]:
    """∂E/∂w = delta·input; delta_o = −(target − out)·out·(1 − out), delta_h = (Σ delta_o·w)·out·(1 − out)."""
    x, h, o = mazur_forward(weights)
    delta_o = -(MAZUR_Y - o) * o * (1 - o)
    delta_h = (delta_o @ weights[1]) * h * (1 - h)
    return [delta_h.T @ x, delta_o.T @ h]
