"""The question that scripts ask before they choose a device, and its answer."""

from __future__ import annotations


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
