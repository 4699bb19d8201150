"""micrograd: one node for each number. It has no exponential, so one is added in the manner of its other operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from micrograd.engine import Value

from ..nets import Net, start

LARGEST = 1_000  # multiplications in a forward pass; beyond them a step takes longer than anyone would wait


def _exp(z: Any) -> Any:
    out = Value(math.exp(z.data), (z,), "exp")

    def backward() -> None:
        z.grad += out.data * out.grad

    out._backward = backward
    return out


def _tanh(z: Any) -> Any:
    return 1 - 2 / (_exp(2 * z) + 1)


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + _exp(-z))


ACTIVATIONS = {"Tanh": _tanh, "Sigmoid": _sigmoid}


def make_step(net: Net) -> Callable[[], Any]:
    """One training step on the batch of the net, number by number."""
    state, x, y = start(net)
    if net.batch * sum(state[f"{key}.weight"].size for key in net.linear_keys()) > LARGEST:
        raise NotImplementedError("one node for each number: too slow for this net")
    weights = [[[Value(w) for w in row] for row in state[f"{key}.weight"].tolist()] for key in net.linear_keys()]
    biases = [[Value(b) for b in state[f"{key}.bias"].tolist()] if net.bias else None for key in net.linear_keys()]
    parameters = [w for matrix in weights for row in matrix for w in row]
    parameters += [b for bias in biases if bias for b in bias]
    inputs, targets = x.tolist(), y.tolist()

    def predict(values: list[Any]) -> list[Any]:
        for matrix, bias, activation in zip(weights, biases, net.activations, strict=True):
            sums = [sum(w * v for w, v in zip(row, values, strict=True)) for row in matrix]
            if bias:
                sums = [z + b for z, b in zip(sums, bias, strict=True)]
            values = [ACTIVATIONS[activation](z) for z in sums]
        return values

    def step() -> float:
        for p in parameters:
            p.grad = 0
        errors = [(out - t) ** 2 for a, b in zip(inputs, targets, strict=True)
                  for out, t in zip(predict(a), b, strict=True)]  # fmt: skip
        loss = sum(errors) / len(errors)
        loss.backward()
        for p in parameters:
            p.data -= net.lr * p.grad
        return loss.data

    return step


def make_gradient(function: Callable[[Any, Any], Any], x: np.ndarray) -> Callable[[], Any]:
    """The gradient of `function(x, None)` for one number."""
    if x.ndim:
        raise NotImplementedError("numbers only, no arrays")
    leaf = Value(float(x))

    def gradient() -> float:
        leaf.grad = 0
        function(leaf, None).backward()
        return leaf.grad

    return gradient
