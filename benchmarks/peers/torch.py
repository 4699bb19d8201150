"""PyTorch, eager: `user_code.py` with the library passed in."""

from __future__ import annotations

from functools import partial

from .. import user_code
from ..nets import Net, Training

make_step = partial(user_code.make_step, "torch")
make_loss = partial(user_code.make_loss, "torch")
make_gradient = partial(user_code.make_gradient, "torch")
make_update = partial(user_code.make_update, "torch")


def make_training(net: Net) -> Training:
    """The model of `user_code.py` between NumPy arrays."""
    return user_code.make_training("torch", user_code.make_model("torch", net))
