"""HIPS autograd: NumPy's own names, and a function that returns the value with its gradients.

Weights and biases are two lists: every access to a container is a node whose backward pass walks the container, and in
this form there is least to walk (a dict of all takes 2.5 times as long on the net of a hundred layers).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import grad, value_and_grad

from ..nets import Net, Training, parameters, start

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"Tanh": anp.tanh, "Sigmoid": lambda z: 1 / (1 + anp.exp(-z))}


def _predict(net: Net, state: Any, rows: Any) -> Any:
    weights, biases = state
    for i, activation in enumerate(net.activations):
        rows = rows @ weights[i]
        if net.bias:
            rows = rows + biases[i]
        rows = ACTIVATIONS[activation](rows)
    return rows


def _loss(state: Any, net: Net, inputs: Any, targets: Any) -> Any:
    return anp.mean((_predict(net, state, inputs) - targets) ** 2)


_value_and_grad = value_and_grad(_loss)


def make_training(net: Net) -> Training:
    """Step and prediction with data passed in."""
    state = parameters(net)

    def step(inputs: np.ndarray, targets: np.ndarray) -> Any:
        loss, gradients = _value_and_grad(state, net, inputs, targets)
        for arrays, slopes in zip(state, gradients, strict=True):
            for array, slope in zip(arrays, slopes, strict=True):
                array -= net.lr * slope
        return loss

    return Training(step, lambda inputs: _predict(net, state, inputs))


def make_step(net: Net) -> Callable[[], Any]:
    """One training step on the batch of the net."""
    step, (_, x, y) = make_training(net).step, start(net)
    return lambda: step(x, y)


def make_loss(net: Net) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The loss alone (nothing is recorded for it), and the loss with its gradients."""
    state, (_, x, y) = parameters(net), start(net)
    return lambda: _loss(state, net, x, y), lambda: _value_and_grad(state, net, x, y)[0]


def make_gradient(function: Callable[[Any, Any], Any], x: np.ndarray) -> Callable[[], Any]:
    """The gradient of `function(x, autograd.numpy)`."""
    gradient = grad(lambda leaf: function(leaf, anp))
    return lambda: gradient(x)
