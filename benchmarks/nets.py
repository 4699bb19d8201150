"""The nets of the benchmark as data: what is trained, and from which weights.

A net is a row of `NETS`; `start(net)` gives every contender the same weights, inputs and targets. Read
`handwritten.py` next, the yardstick, then `user_code.py`, the same step as a PyTorch user writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True)
class Net:
    """Fully connected layers `sizes[0] → sizes[1] → …`, one activation after each."""

    name: str
    sizes: tuple[int, ...]
    activations: tuple[str, ...]  # "Tanh", "Sigmoid": the module of that name
    bias: bool
    batch: int
    dtype: str
    lr: float

    def linear_keys(self) -> list[str]:
        """Where the Linear layers sit in an `nn.Sequential` of this net: "0", "2", …"""
        positions, position = [], 0
        for activation in self.activations:
            positions.append(str(position))
            position += 1 if activation is None else 2
        return positions


NETS = {
    net.name: net
    for net in (
        Net("exam_scores", (2, 3, 1), ("Sigmoid", "Sigmoid"), False, 3, "float64", 1.0),
        Net("binary_and", (2, 3, 3, 2), ("Tanh", "Sigmoid", "Sigmoid"), True, 1, "float64", 0.3),
        Net("mlp", (784, 128, 10), ("Tanh", "Sigmoid"), True, 64, "float32", 0.05),
        Net("wide", (1024,) * 4, ("Tanh", "Tanh", "Sigmoid"), True, 256, "float32", 0.5),
        Net("deep", (16,) * 101, ("Tanh",) * 99 + ("Sigmoid",), True, 32, "float32", 0.05),
    )
}

# Trained on minibatches until it is good, rather than timed by the step: not among NETS.
DIGITS = Net("digits", (64, 64, 10), ("Tanh", "Sigmoid"), True, 32, "float32", 2.0)


# Run before anything is timed, so that the first net of a process finds its library awake.
WARM = Net("warm", (2, 4, 2), ("Tanh", "Sigmoid"), True, 2, "float32", 0.1)
ALL = {**NETS, DIGITS.name: DIGITS, WARM.name: WARM}


class Training(NamedTuple):
    """A net in the hands of one library; arrays go in and come out as NumPy's."""

    step: Callable[[np.ndarray, np.ndarray], Any]  # (inputs, targets) → the loss before the update
    predict: Callable[[np.ndarray], np.ndarray]  # inputs → outputs, with no gradient in mind


@lru_cache(maxsize=1)
def start(net: Net) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The state dict (PyTorch's keys and shapes), inputs and targets of a net: copy them before writing.

    Weights are uniform with variance 1/fan_in, which keeps the signal alive through a hundred layers:
    gradients that fade into denormal numbers would time the processor's slow path and nothing else.
    """
    rng = np.random.default_rng(0)
    state = {}
    for key, (n_in, n_out) in zip(net.linear_keys(), pairwise(net.sizes), strict=True):
        limit = (3 / n_in) ** 0.5
        state[f"{key}.weight"] = rng.uniform(-limit, limit, (n_out, n_in)).astype(net.dtype)
        if net.bias:
            state[f"{key}.bias"] = rng.uniform(-0.1, 0.1, n_out).astype(net.dtype)
    x = rng.uniform(0, 1, (net.batch, net.sizes[0])).astype(net.dtype)
    y = rng.uniform(0, 1, (net.batch, net.sizes[-1])).astype(net.dtype)
    return state, x, y


def parameters(net: Net) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The same weights as (in, out) arrays, so that a layer is `x @ w`, and the biases, if any: own copies.

    This is how one keeps them outside PyTorch.
    """
    state, _, _ = start(net)
    weights = [state[f"{key}.weight"].T.copy() for key in net.linear_keys()]
    return weights, [state[f"{key}.bias"].copy() for key in net.linear_keys()] if net.bias else []
