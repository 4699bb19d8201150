"""The yardstick: the same training steps by hand in NumPy, as straightforward as they can be fast.

The two tutorial nets are written out; the others are a loop over their layers with every buffer allocated
once. Weights are (in, out), so that a layer is `x @ w`. Read `user_code.py` next, the same step with a
framework.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .nets import Net, Training, parameters, start

Step = Callable[..., float]


def make_step(net: Net) -> Step:
    """A function that does one training step of `net` and returns the loss before it."""
    _, x, y = start(net)
    weights, biases = parameters(net)
    if not net.bias:
        return _exam_scores(x, y, weights, net.lr)
    if net.name == "binary_and":
        return _binary_and(x, y, weights, biases, net.lr)
    return _layers(net, x, y, weights, biases)


def make_training(net: Net) -> Training:
    """The loop over the layers once more, with data that change from step to step; for nets with biases."""
    _, x, y = start(net)
    weights, biases = parameters(net)
    activates = [_ACTIVATIONS[activation][0] for activation in net.activations]

    def predict(rows: np.ndarray) -> np.ndarray:
        for w, b, activate in zip(weights, biases, activates, strict=True):
            rows = rows @ w
            rows += b
            activate(rows)
        return rows

    return Training(_layers(net, x, y, weights, biases), predict)


def _exam_scores(x: np.ndarray, y: np.ndarray, weights: list[np.ndarray], lr: float) -> Step:
    w1, w2 = weights

    def step() -> float:
        nonlocal w1, w2
        hidden = _sigmoid(x @ w1)
        output = _sigmoid(hidden @ w2)
        error = output - y
        delta2 = error * (2 / error.size) * output * (1 - output)
        delta1 = delta2 @ w2.T * hidden * (1 - hidden)
        w2 -= lr * (hidden.T @ delta2)
        w1 -= lr * (x.T @ delta1)
        return np.vdot(error, error) / error.size

    return step


def _binary_and(
    x: np.ndarray, y: np.ndarray, weights: list[np.ndarray], biases: list[np.ndarray], lr: float
) -> Step:
    (w1, w2, w3), (b1, b2, b3) = weights, biases

    def step() -> float:
        nonlocal w1, w2, w3, b1, b2, b3
        h1 = np.tanh(x @ w1 + b1)
        h2 = _sigmoid(h1 @ w2 + b2)
        output = _sigmoid(h2 @ w3 + b3)
        error = output - y
        delta3 = error * (2 / error.size) * output * (1 - output)
        delta2 = delta3 @ w3.T * h2 * (1 - h2)
        delta1 = delta2 @ w2.T * (1 - h1 * h1)
        w3 -= lr * (h2.T @ delta3)
        w2 -= lr * (h1.T @ delta2)
        w1 -= lr * (x.T @ delta1)
        b3 -= lr * delta3[0]  # a batch of one: the sum over it is its only row
        b2 -= lr * delta2[0]
        b1 -= lr * delta1[0]
        return np.vdot(error, error) / error.size

    return step


def _layers(
    net: Net, x: np.ndarray, y: np.ndarray, weights: list[np.ndarray], biases: list[np.ndarray]
) -> Step:
    outputs = [np.empty((net.batch, n), net.dtype) for n in net.sizes[1:]]
    deltas = [np.empty_like(output) for output in outputs]
    scratch = [np.empty_like(output) for output in outputs]
    gradients = [np.empty_like(weight) for weight in weights]
    inputs = [x, *outputs[:-1]]
    pairs = [_ACTIVATIONS[activation] for activation in net.activations]

    def step(x: np.ndarray = x, y: np.ndarray = y) -> float:
        inputs[0] = x
        for a, w, b, out, (activate, _) in zip(inputs, weights, biases, outputs, pairs, strict=True):
            np.matmul(a, w, out=out)
            out += b
            activate(out)
        error = np.subtract(outputs[-1], y, out=deltas[-1])
        loss = np.vdot(error, error) / error.size
        error *= 2 / error.size
        for i in reversed(range(len(weights))):
            delta, gradient = deltas[i], gradients[i]
            pairs[i][1](delta, outputs[i], scratch[i])
            np.matmul(inputs[i].T, delta, out=gradient)
            if i:
                np.matmul(delta, weights[i].T, out=deltas[i - 1])  # before this layer's weights move
            gradient *= net.lr
            weights[i] -= gradient
            biases[i] -= net.lr * np.add.reduce(delta)
        return loss

    return step


def _sigmoid(z: np.ndarray) -> np.ndarray:
    """σ(z), written over z."""
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += 1
    return np.reciprocal(z, out=z)


def _through_tanh(delta: np.ndarray, h: np.ndarray, scratch: np.ndarray) -> None:
    np.multiply(h, h, out=scratch)
    np.subtract(1, scratch, out=scratch)
    delta *= scratch


def _through_sigmoid(delta: np.ndarray, h: np.ndarray, scratch: np.ndarray) -> None:
    np.subtract(1, h, out=scratch)
    scratch *= h
    delta *= scratch


# Each pair works in place: activate the sums; multiply a delta by the derivative, told from the output.
_ACTIVATIONS: dict[str, tuple[Callable[..., object], Callable[..., object]]] = {
    "Tanh": (lambda z: np.tanh(z, out=z), _through_tanh),
    "Sigmoid": (_sigmoid, _through_sigmoid),
}
