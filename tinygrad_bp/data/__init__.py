"""Data: files read with suspicion, and batches in PyTorch's order.

Reading order: `idx.py` (the format of MNIST), `mnist.py` (its four files, checked), `loader.py` (datasets,
samplers, batches).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import guessing
from .idx import read_idx
from .loader import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
    default_convert,
    random_split,
)
from .mnist import load_mnist

__all__ = [
    "BatchSampler",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "default_collate",
    "default_convert",
    "load_mnist",
    "random_split",
    "read_idx",
]

if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = guessing(__name__)
