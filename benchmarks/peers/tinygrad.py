"""tinygrad: lazy, so the whole step goes into one TinyJit, which records its second call and replays from the third."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from tinygrad import Device, Tensor, TinyJit

from ..nets import Net, Training, parameters, start

Device.DEFAULT  # noqa: B018 - raises where there is neither clang nor LLVM to compile with

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"Tanh": Tensor.tanh, "Sigmoid": Tensor.sigmoid}


class Model(NamedTuple):
    step: Callable[[Any, Any], Any]
    predict: Callable[[Any], Any]
    restart: Callable[[], Any]


@lru_cache
def _model(net: Net) -> Model:
    """What has been recorded for a net is kept: only the weights are set back."""
    weights, biases = ([Tensor(array).contiguous().realize() for array in arrays] for arrays in parameters(net))
    parts = [*weights, *biases]

    def outputs(rows: Any) -> Any:
        for i, activation in enumerate(net.activations):
            rows = rows.linear(weights[i], biases[i] if net.bias else None)
            rows = ACTIVATIONS[activation](rows)
        return rows

    @TinyJit
    def step(inputs: Any, targets: Any) -> Any:
        for part in parts:
            part.grad = None
        loss = ((outputs(inputs) - targets) ** 2).mean()
        loss.backward()
        # by hand, since its SGD keeps the rate in float32, which two of the nets are not in
        return loss.realize(*[part.assign(part.detach() - net.lr * part.grad) for part in parts])

    def restart() -> None:
        first = (array for arrays in parameters(net) for array in arrays)
        Tensor.realize(*[t.assign(Tensor(array)) for t, array in zip(parts, first, strict=True)])

    return Model(step, TinyJit(lambda rows: outputs(rows).realize()), restart)


def make_step(net: Net) -> Callable[[], Any]:
    """One training step on the batch of the net; the loss as a number, so that the work is done."""
    model, (_, x, y) = _model(net), start(net)
    model.restart()
    inputs, targets = Tensor(x).realize(), Tensor(y).realize()
    return lambda: model.step(inputs, targets).item()


def make_training(net: Net) -> Training:
    """The same with data passed in."""
    model = _model(net)
    model.restart()
    return Training(
        lambda inputs, targets: model.step(Tensor(inputs).realize(), Tensor(targets).realize()).item(),
        lambda inputs: model.predict(Tensor(np.ascontiguousarray(inputs)).realize()).numpy(),
    )
