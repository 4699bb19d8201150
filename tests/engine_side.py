"""What the two files of engine tests share: small leaves, exact comparison, a collector that stays off.

Read `test_engine.py` next.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import tinygrad_bp as tg


def leaf(*values: float) -> Any:
    return tg.tensor(list(values), dtype=tg.float64, requires_grad=True)


def scalar(value: float) -> Any:
    return tg.tensor(value, dtype=tg.float64, requires_grad=True)


def equal(ours: Any, expected: Any) -> None:
    np.testing.assert_allclose(ours.array, expected, rtol=1e-14)


@contextmanager
def no_collector() -> Iterator[None]:
    """What dies in here dies by its reference count, so there was no cycle."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def nodes_of(y: Any) -> list[Any]:
    seen, stack = {y.node}, [y.node]
    while stack:
        for parent, _ in stack.pop().next_functions:
            if parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return list(seen)
