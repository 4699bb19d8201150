"""The question that scripts ask before they choose a device, and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import guessing


def is_available() -> bool:
    """Whether there is a GPU to compute on: never, tensors live on the CPU.

    >>> import tinygrad_bp as tg
    >>> tg.cuda.is_available()
    False
    """
    return False


def device_count() -> int:
    """The number of GPUs: none.

    >>> import tinygrad_bp as tg
    >>> tg.cuda.device_count()
    0
    """
    return 0


if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = guessing(__name__)
