"""Every layer that follows from a function, and what to make it with, for the tests that run over all of them.

To be declared is to be in the table. Read `test_nn_derived.py` next: the laws.
"""

from __future__ import annotations

import inspect
from typing import Any

from tinygrad_bp import nn

LAYERS: dict[str, Any] = {
    name: layer for name, layer in vars(nn).items() if isinstance(layer, type) and "_function" in vars(layer)
}
FUNCTIONS = {name: layer._function for name, layer in LAYERS.items()}
ACTIVATIONS = {name: layer for name, layer in LAYERS.items() if layer.__module__ == "tinygrad_bp.nn.activation"}
LOSSES = {name: layer for name, layer in LAYERS.items() if layer.__module__ == "tinygrad_bp.nn.loss"}


def settings(layer: Any) -> list[dict[str, Any]]:
    """What the layer is made with: nothing, and each number or flag otherwise than by default."""
    init = inspect.signature(layer).parameters.values()
    other: dict[str, Any] = {}
    for p in init:
        if p.name == "dim":
            other["dim"] = -1
        elif isinstance(p.default, float):
            other[p.name] = 0.7 * p.default + 0.1
        elif p.default == "none":
            other[p.name] = "tanh"
    plain = {"dim": 0} if "dim" in other else {}
    return [plain, *([other] if other else [])]


CASES = [(name, options) for name, layer in ACTIVATIONS.items() for options in settings(layer)]
