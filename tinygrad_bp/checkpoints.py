"""Saving and loading by the ending of the file's name. Read `serialize.py` next: the formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import serialize
from .core import wrap

if TYPE_CHECKING:
    from ._tensor import Tensor


def save(state_dict: Any, path: Any) -> None:
    """Write a state_dict to a `.safetensors` or `.npz` file, atomically: a crash leaves the old file.

    >>> import tempfile, os, tinygrad_bp as tg
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> tg.save(tg.nn.Linear(2, 1).state_dict(), path)
    >>> sorted(tg.load(path))
    ['bias', 'weight']
    """
    serialize.save(state_dict, path)


def load(path: Any) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or `.npz` file by name; loading never runs code.

    Raises FileFormatError for a file that is truncated or lies about its lengths. Example at `save`.

    >>> import tinygrad_bp as tg
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.npz")
    >>> tg.save({"w": tg.ones(2)}, path)
    >>> tg.load(path)
    {'w': tensor([1., 1.])}
    """
    return serialize.load(path, wrap=wrap)
