"""MyGrad, with its memory guard off, as its manual advises for code that is known to work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mygrad as mg
import numpy as np
from mygrad.nnet.activations import sigmoid

from ..nets import Net, Training, parameters, start

mg.turn_memory_guarding_off()

State = tuple[list[Any], list[Any]]  # weights, biases
ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"Tanh": mg.tanh, "Sigmoid": sigmoid}


def _predict(net: Net, state: State, rows: Any) -> Any:
    weights, biases = state
    for i, activation in enumerate(net.activations):
        rows = mg.matmul(rows, weights[i])
        if net.bias:
            rows = rows + biases[i]
        rows = ACTIVATIONS[activation](rows)
    return rows


def _loss(net: Net, state: State, inputs: Any, targets: Any) -> Any:
    return ((_predict(net, state, inputs) - targets) ** 2).mean()


def _state(net: Net) -> State:
    weights, biases = parameters(net)
    return [mg.tensor(w) for w in weights], [mg.tensor(b) for b in biases]


def make_training(net: Net) -> Training:
    """Step and prediction with data passed in."""
    state = _state(net)

    def step(inputs: np.ndarray, targets: np.ndarray) -> Any:
        loss = _loss(net, state, inputs, targets)
        loss.backward()
        for value in (*state[0], *state[1]):
            value.data -= net.lr * value.grad
            value.null_grad()
        return loss

    def predict(inputs: np.ndarray) -> np.ndarray:
        with mg.no_autodiff:
            return _predict(net, state, inputs).data

    return Training(step, predict)


def make_step(net: Net) -> Callable[[], Any]:
    """One training step on the batch of the net."""
    step, (_, x, y) = make_training(net).step, start(net)
    return lambda: step(x, y)


def make_loss(net: Net) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The loss alone, its graph recorded and dropped; and the loss with its gradients."""
    state, (_, x, y) = _state(net), start(net)

    def both() -> Any:
        loss = _loss(net, state, x, y)
        loss.backward()
        return loss

    return lambda: _loss(net, state, x, y), both


def make_gradient(function: Callable[[Any, Any], Any], x: np.ndarray) -> Callable[[], Any]:
    """The gradient of `function(x, mygrad)`."""
    leaf = mg.tensor(x)

    def gradient() -> Any:
        function(leaf, mg).backward()
        return leaf.grad

    return gradient
