"""tinygrad_bp, eager: `user_code.py` with the library passed in."""

from __future__ import annotations

from functools import partial

from .. import user_code
from ..nets import Net, Training

make_step = partial(user_code.make_step, "tinygrad_bp")
make_loss = partial(user_code.make_loss, "tinygrad_bp")
make_gradient = partial(user_code.make_gradient, "tinygrad_bp")
make_update = partial(user_code.make_update, "tinygrad_bp")


def make_training(net: Net) -> Training:
    """The model of `user_code.py` between NumPy arrays."""
    return user_code.make_training("tinygrad_bp", user_code.make_model("tinygrad_bp", net))
