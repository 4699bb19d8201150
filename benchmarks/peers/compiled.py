"""tinygrad_bp through its compiler: `step = tg.compile(step)` around the very step that runs eagerly."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import tinygrad_bp as tg

from .. import user_code
from ..nets import Net, Training

if not hasattr(tg, "compile"):
    raise ImportError("this tinygrad_bp has no compile")


@lru_cache
def _compiled_step(net: Net) -> tuple[user_code.Model, Callable[[], Any]]:
    model = user_code.make_model("tinygrad_bp", net)
    return model, tg.compile(user_code.full_batch("tinygrad_bp", net, model))


@lru_cache
def _compiled_model(net: Net) -> user_code.Model:
    model = user_code.make_model("tinygrad_bp", net)
    return model._replace(step=tg.compile(model.step), predict=tg.compile(model.predict))


def make_step(net: Net) -> Callable[[], Any]:
    """The compiled step, its weights set back."""
    model, step = _compiled_step(net)
    model.restart()
    return step


def make_training(net: Net) -> Training:
    """Step and prediction, both compiled, with data passed in."""
    model = _compiled_model(net)
    model.restart()
    return user_code.make_training("tinygrad_bp", model)


def make_update(method: str, tensors: int) -> Callable[[], Any]:
    """The eager update, of parameters that a compiled step has trained before."""
    return user_code.make_update("tinygrad_bp", method, tensors, lambda step: tg.compile(step)())
