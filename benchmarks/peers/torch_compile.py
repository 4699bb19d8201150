"""PyTorch through its compiler: `step = torch.compile(step)` around the very step that runs eagerly.

The default mode. Dynamo splits the step at `backward()`; what is before and after is compiled, the optimiser included.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

# What another run has compiled and left on disk would make this run's first call look cheap.
os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"

import torch

from .. import user_code
from ..nets import Net, Training


@lru_cache
def _compiled_step(net: Net) -> tuple[user_code.Model, Callable[[], Any]]:
    model = user_code.make_model("torch", net)
    return model, torch.compile(user_code.full_batch("torch", net, model))


@lru_cache
def _compiled_model(net: Net) -> user_code.Model:
    model = user_code.make_model("torch", net)
    return model._replace(step=torch.compile(model.step), predict=torch.compile(model.predict))


def make_step(net: Net) -> Callable[[], Any]:
    """The compiled step, its weights set back."""
    model, step = _compiled_step(net)
    model.restart()
    return step


def make_training(net: Net) -> Training:
    """Step and prediction, both compiled, with data passed in."""
    model = _compiled_model(net)
    model.restart()
    return user_code.make_training("torch", model)
