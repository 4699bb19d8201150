"""One training step as a PyTorch user writes it: only the module that is passed in decides who computes it.

The peers torch, tinygrad_bp and both their compilers are this file under another name. Read `worker.py` next,
which times it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .nets import Net, Training, start


class Model(NamedTuple):
    """What the user's script would have at its top level."""

    step: Callable[[Any, Any], Any]  # one training step: (inputs, targets) → loss
    loss: Callable[[Any, Any], Any]
    predict: Callable[[Any], Any]
    zero_grad: Callable[[], None]
    restart: Callable[[], Any]  # back to the weights that every contender starts from


def make_model(library: str, net: Net) -> Model:
    """Model, criterion and optimiser of `net` with "torch" or "tinygrad_bp"."""
    torch = import_module(library)
    nn, optim = import_module(f"{library}.nn"), import_module(f"{library}.optim")
    layers = []
    for (n_in, n_out), activation in zip(pairwise(net.sizes), net.activations, strict=True):
        layers.append(nn.Linear(n_in, n_out, bias=net.bias, dtype=getattr(torch, net.dtype)))
        if activation is not None:
            layers.append(getattr(nn, activation)())
    model = nn.Sequential(*layers)
    criterion = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=net.lr)

    def step(inputs: Any, targets: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss

    def loss(inputs: Any, targets: Any) -> Any:
        return criterion(model(inputs), targets)

    def predict(inputs: Any) -> Any:
        with torch.no_grad():
            return model(inputs)

    def restart() -> None:
        model.load_state_dict({key: torch.tensor(value) for key, value in start(net)[0].items()})

    restart()
    return Model(step, loss, predict, optimizer.zero_grad, restart)


def data(library: str, net: Net) -> tuple[Any, Any]:
    """Inputs and targets as tensors of the library."""
    _, x, y = start(net)
    tensor = import_module(library).tensor
    return tensor(x), tensor(y)


def full_batch(library: str, net: Net, model: Model) -> Callable[[], Any]:
    """The step of a model on the one batch of its net."""
    inputs, targets = data(library, net)

    def step() -> Any:
        return model.step(inputs, targets)

    return step


def make_step(library: str, net: Net) -> Callable[[], Any]:
    """A function that does one training step of `net` and returns the loss."""
    return full_batch(library, net, make_model(library, net))


def make_loss(library: str, net: Net) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Two functions: the loss alone, its graph recorded and dropped; and the loss with its gradients."""
    model = make_model(library, net)
    inputs, targets = data(library, net)

    def forward() -> Any:
        return model.loss(inputs, targets)

    def both() -> Any:
        model.zero_grad()
        loss = model.loss(inputs, targets)
        loss.backward()
        return loss

    return forward, both


def make_training(library: str, model: Model) -> Training:
    """The model between NumPy arrays."""
    tensor = import_module(library).from_numpy

    def step(inputs: np.ndarray, targets: np.ndarray) -> Any:
        return model.step(tensor(inputs), tensor(targets))

    def predict(inputs: np.ndarray) -> np.ndarray:
        return model.predict(tensor(inputs)).numpy()

    return Training(step, predict)


def make_update(library: str, method: str, tensors: int, prepare: Any = None) -> Callable[[], Any]:
    """A function that does one update of small tensors that have gradients; returns one of them.

    `prepare(step)` is called first with a whole training step of these tensors.
    """
    torch, optim = import_module(library), import_module(f"{library}.optim")
    name, *momentum = method.split()
    parameters = [torch.ones(8, 8 if i % 2 else 1, requires_grad=True) for i in range(tensors)]
    optimizer = getattr(optim, name)(parameters, lr=1e-4, **{"momentum": 0.9} if momentum else {})

    def step() -> Any:
        optimizer.zero_grad()
        loss = sum((p * p).sum() for p in parameters)
        loss.backward()
        optimizer.step()
        return loss

    if prepare is not None:
        prepare(step)
    else:
        step()
    for p in parameters:
        p.grad = torch.ones(*p.shape) / 8

    def update() -> Any:
        optimizer.step()
        return parameters[-1]

    return update


def make_gradient(library: str, function: Callable[[Any, Any], Any], x: np.ndarray) -> Callable[[], Any]:
    """A function that computes `function(x, library)`, a scalar, and returns its gradient."""
    torch = import_module(library)
    leaf = torch.tensor(x, requires_grad=True)

    def gradient() -> Any:
        leaf.grad = None
        function(leaf, torch).backward()
        return leaf.grad

    return gradient
