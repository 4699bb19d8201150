"""JAX: forward, backward and update in one jit, which takes over the memory of the old weights.

float64 is switched on; a net whose arrays are float32 stays in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..nets import Net, Training, parameters, start

jax.config.update("jax_enable_x64", True)

ACTIVATIONS = {"Tanh": jnp.tanh, "Sigmoid": jax.nn.sigmoid}


def _predict(net: Net, state: Any, rows: Any) -> Any:
    weights, biases = state
    for i, activation in enumerate(net.activations):
        rows = rows @ weights[i]
        if net.bias:
            rows = rows + biases[i]
        rows = ACTIVATIONS[activation](rows)
    return rows


def _loss(state: Any, net: Net, inputs: Any, targets: Any) -> Any:
    return jnp.mean((_predict(net, state, inputs) - targets) ** 2)


@partial(jax.jit, static_argnums=1, donate_argnums=0)
def _step(state: Any, net: Net, inputs: Any, targets: Any) -> Any:
    loss, gradients = jax.value_and_grad(_loss)(state, net, inputs, targets)
    return jax.tree.map(lambda w, g: w - net.lr * g, state, gradients), loss


_jit_predict = jax.jit(_predict, static_argnums=0)
_jit_loss = jax.jit(_loss, static_argnums=1)
_jit_both = jax.jit(jax.value_and_grad(_loss), static_argnums=1)


def _start(net: Net) -> Any:
    _, x, y = start(net)
    return jax.tree.map(jnp.array, (parameters(net), x, y))


def make_step(net: Net) -> Callable[[], Any]:
    """One training step on the batch of the net; waits until it is done."""
    state, inputs, targets = _start(net)

    def step() -> Any:
        nonlocal state
        state, loss = _step(state, net, inputs, targets)
        return loss.block_until_ready()

    return step


def make_training(net: Net) -> Training:
    """The same with data passed in."""
    state, _, _ = _start(net)

    def step(inputs: np.ndarray, targets: np.ndarray) -> Any:
        nonlocal state
        state, loss = _step(state, net, inputs, targets)
        return loss.block_until_ready()

    return Training(step, lambda inputs: np.asarray(_jit_predict(net, state, inputs)))


def make_loss(net: Net) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """The loss alone, and the loss with its gradients, each in one jit."""
    state, inputs, targets = _start(net)
    return (
        lambda: _jit_loss(state, net, inputs, targets).block_until_ready(),
        lambda: jax.block_until_ready(_jit_both(state, net, inputs, targets))[0],
    )
