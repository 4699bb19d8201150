"""Is your hand-derived backpropagation right? Plain NumPy networks as the tutorials write them, checked and named.

After this file you know how to check code that uses no framework: hand `gradcheck_numpy` a forward and your deltas. It
finds what the texts got wrong, down to the derivative, the product or the sign at fault. Read mazur.py next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from common import Array, heading, options, plot_curves

from tinygrad_bp.gradcheck import gradcheck_numpy

# -- a flexible network: layers named by their activation, derivatives written in the layer's output r -----------


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


Rules = dict[str | None, Callable[[Array], Array]]
ACTIVATIONS: Rules = {None: lambda x: x, "tanh": np.tanh, "sigmoid": sigmoid}
RIGHT: Rules = {None: np.ones_like, "tanh": lambda r: 1 - r**2, "sigmoid": lambda r: r * (1 - r)}
TEXT: Rules = {**RIGHT, None: lambda r: r}  # binary_and: "the derivative for no activation" is r

X = np.array([[0.0, 0.3], [0.2, 1.1], [0.9, -0.4], [1.2, 0.8], [-0.5, 0.6]])
Y = np.array([[0.1], [0.4], [-0.2], [1.1], [0.3]])


def forward(w1: Array, b1: Array, w2: Array, b2: Array) -> float:
    """2 → 3 tanh → 1 without activation: ½·Σ(y − o)²."""
    o = np.tanh(X @ w1 + b1) @ w2 + b2
    return float(((Y - o) ** 2).sum() / 2)


def deltas(rules: Rules) -> Callable[..., tuple[Array, ...]]:
    """The backward by hand: error of the last layer o − y, of a hidden one delta @ Wᵀ; delta = error ⊙ f′(r)."""

    def backward(w1: Array, b1: Array, w2: Array, b2: Array) -> tuple[Array, ...]:
        h = np.tanh(X @ w1 + b1)
        o = h @ w2 + b2
        delta2 = (o - Y) * rules[None](o)
        delta1 = delta2 @ w2.T * rules["tanh"](h)
        return X.T @ delta1, delta1.sum(axis=0), h.T @ delta2, delta2.sum(axis=0)

    return backward


def network(seed: int) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    shapes = {"W1": (2, 3), "b1": (3,), "W2": (3, 1), "b2": (1,)}
    return {name: random.uniform(-1, 1, shape) for name, shape in shapes.items()}


def flexible_network(points: int) -> None:
    heading("a flexible network, its derivatives put right")
    print(gradcheck_numpy(forward, deltas(RIGHT), network(0)))
    passed = sum(bool(gradcheck_numpy(forward, deltas(RIGHT), network(seed))) for seed in range(points))
    print(f"A check holds at one point only: {passed} of {points} networks drawn at random pass too.")
    heading("binary_and: the same network with the derivatives of the text")
    show(gradcheck_numpy(forward, deltas(TEXT), network(0), raise_exception=False))
    print("Everything is wrong, so look at the pieces. f(x) is the activation, f′ is written in r = f(x):")
    x = np.linspace(-1.7, 1.9, 7)
    for name, f in ACTIVATIONS.items():
        print(f" activation {name}:")
        show(gradcheck_numpy(f, lambda x, f=f, name=name: TEXT[name](f(x)), {"x": x}, raise_exception=False))


# -- the linear network of one screen: an outer product against a dot product -----------------------------------

INPUT, TARGET = np.array([2.0, 3.0]), 1.0
FIRST, SECOND = np.array([[0.34, 0.05], [0.13, 0.07]]), np.array([0.2, 0.01])  # (input, hidden) and (hidden,)


def error(first: Array, second: Array) -> float:
    """½(prediction − actual)²."""
    return float((INPUT @ first @ second - TARGET) ** 2 / 2)


def by_outer_product(first: Array, second: Array) -> tuple[Array, Array]:
    delta = INPUT @ first @ second - TARGET
    return delta * np.outer(INPUT, second), delta * (INPUT @ first)


def by_dot_product(first: Array, second: Array) -> tuple[Array, Array]:
    """The notebook's: one number for all four weights."""
    delta = INPUT @ first @ second - TARGET
    return np.full_like(first, delta * np.dot(INPUT, second)), delta * (INPUT @ first)


def linear_network() -> None:
    weights = {"first": FIRST, "second": SECOND}
    heading("linear_2_2_1: the text's dot product")
    show(gradcheck_numpy(error, by_dot_product, weights, raise_exception=False))
    heading("linear_2_2_1: the outer product")
    show(gradcheck_numpy(error, by_outer_product, weights))


# -- two that are called what they are not ----------------------------------------------------------------------

XOR_X, XOR_Y = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]), np.array([[0.0], [1], [1], [0]])


def xor_loss(weights1: Array, weights2: Array) -> float:
    return float(((XOR_Y - sigmoid(sigmoid(XOR_X @ weights1) @ weights2)) ** 2).sum())


def d_weights(weights1: Array, weights2: Array) -> tuple[Array, Array]:
    """What the text calls the derivative of the loss, and then adds to the weights."""
    layer1 = sigmoid(XOR_X @ weights1)
    output = sigmoid(layer1 @ weights2)
    shared = 2 * (XOR_Y - output) * output * (1 - output)
    return XOR_X.T @ (shared @ weights2.T * layer1 * (1 - layer1)), layer1.T @ shared


def exam_loss(o: Array) -> float:
    """The loss that the text prints: a mean over its three exams."""
    return float(((np.array([[0.92], [0.86], [0.89]]) - o) ** 2).mean())


def o_error(o: Array) -> Array:
    """The error that it steps by: the derivative of half the sum."""
    return o - np.array([[0.92], [0.86], [0.89]])


def names_and_things() -> None:
    random = np.random.RandomState(0)
    heading('xor_bias: "the derivative of the loss"')
    weights = {"weights1": random.rand(3, 4), "weights2": random.rand(4, 1)}
    show(gradcheck_numpy(xor_loss, d_weights, weights, raise_exception=False))
    heading("exam_scores: the loss is a mean, the step is a sum's")
    show(gradcheck_numpy(exam_loss, o_error, {"o": np.array([[0.5], [0.7], [0.6]])}, raise_exception=False))


def show(report: Any) -> None:
    """Verdict and cause for each array."""
    for finding in report.findings:
        print(f"  {finding.verdict:<5} {finding.name}")
        print("".join(f"    → {sentence}\n" for sentence in finding.diagnosis), end="")


def errors_by_step(dtype: Any, steps: Iterable[float], sides: int) -> list[float]:
    """How far the difference of one or of both sides is from the slope of the sine at 1."""
    one, found = dtype(1), []
    for h in map(dtype, steps):
        low = one - h if sides == 2 else one
        found.append(abs(float((np.sin(one + h) - np.sin(low)) / (sides * h)) - np.cos(1.0)))
    return found


def main(argv: list[str] | None = None) -> None:
    arguments = options(__doc__, "points", length=50, quick=5).parse_args(argv)
    flexible_network(arguments.length)
    linear_network()
    names_and_things()
    if arguments.plot:
        steps = np.logspace(-1, -12, 45)
        curves = {
            "one side": (":", steps, errors_by_step(np.float64, steps, 1)),
            "both sides": ("-", steps, errors_by_step(np.float64, steps, 2)),
            "both sides, float32": ("--", steps[:25], errors_by_step(np.float32, steps[:25], 2)),
        }
        title, axis = "why one step is not enough: sin′(1) by differences", {"xscale": "log", "yscale": "log"}
        plot_curves(arguments.plot, title, curves, xlabel="step h", ylabel="error", **axis)


if __name__ == "__main__":
    main()
