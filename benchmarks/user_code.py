"""One training step as a PyTorch user writes it: only the module that is passed in decides who computes it.

Read `worker.py` next, which times it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from typing import Any

from nets import Net, start


def make_step(library: str, net: Net) -> Callable[[], Any]:
    """A function that does one training step of `net` with "torch" or "tinygrad_bp" and returns the loss."""
    torch = import_module(library)
    nn, optim = import_module(f"{library}.nn"), import_module(f"{library}.optim")
    state, x, y = start(net)

    layers = []
    for (n_in, n_out), activation in zip(pairwise(net.sizes), net.activations, strict=True):
        layers.append(nn.Linear(n_in, n_out, bias=net.bias, dtype=getattr(torch, net.dtype)))
        if activation is not None:
            layers.append(getattr(nn, activation)())
    model = nn.Sequential(*layers)
    model.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    inputs, targets = torch.tensor(x), torch.tensor(y)
    criterion = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=net.lr)

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        return loss

    return step
