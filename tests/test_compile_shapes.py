"""A step is compiled once for each shape and dtype, and found again when they come back.

Batches of every size, the smaller last one, empty and 0-d inputs, memory in every layout. Read
`test_compile_captured_state.py` next: what may change between two calls.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from compile_kit import (
    SGD,
    F,
    agrees,
    batch,
    data,
    equal,
    net,
    recordings,
    trained,
    training,
)

import tinygrad_bp as tg
from tinygrad_bp import nn


@equal
def test_batches_of_every_size_and_no_ping_pong(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1)
    step = compile(training(model, optimizer, partial(F.mse_loss, reduction="sum")))
    for i in range(12):
        for n in (5, 5, 1, 0, 3):
            see(step(*batch(i, n)), model)
    assert recordings(step) in (0, 4)


@equal
def test_full_batches_and_a_smaller_last_one(compile: Any, see: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.3), nn.Linear(4, 2)).double()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    step, evaluated = compile(training(model, optimizer)), compile(lambda x: model(x).detach())
    for epoch in range(10):
        model.train()
        for n in (5, 5, 2):
            see(step(*batch(epoch, n)), model)
        model.eval()
        see(evaluated(data(4, 3)))
    assert recordings(step) <= 3
    assert recordings(evaluated) <= 1


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64, tg.float16, tg.int64, tg.bool])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (2, 0, 3), (2, 3)])
def test_functions_of_every_shape_and_dtype(shape: tuple[int, ...], dtype: Any) -> None:
    def script(compile: Any, see: Any) -> None:
        steps = [compile(f) for f in (lambda x: x + x, lambda x: (x * 2, x.sum()), lambda x: x.float().exp() / 3)]
        for i in range(3):
            for step in steps:
                see(step((data(1, *shape, seed=i)[0] * 3).to(dtype)))

    agrees(script)


@equal
def test_dtypes_that_alternate_in_one_step(compile: Any, see: Any) -> None:
    step = compile(lambda x: (x * 2, x + x, x / 3))
    for _ in range(2):
        for dtype in (tg.float64, tg.float32, tg.int64, tg.float16):
            see(step((data(3) * 5).to(dtype)), step((data(3) * 5).to(dtype).numpy()))
    assert recordings(step) in (0, 8)


@equal
def test_memory_layouts_of_arguments(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    double, array = compile(lambda x: (x * 2, x.sum(0))), np.arange(12.0).reshape(3, 4)
    for other in (
        array,
        np.asfortranarray(array),
        array[::-1],
        array[:, ::-1],
        array.T,
        np.repeat(array, 2, 1)[:, ::2],
    ):
        see(double(tg.from_numpy(other)))
        x, y = batch(0, len(other))
        see(step(tg.from_numpy(np.asfortranarray(x.numpy())), y), model)


@equal
def test_arguments_that_look_elsewhere_into_one_array(compile: Any, see: Any) -> None:
    step, base = compile(lambda x: x + 1), data(10, 10)
    for i in range(4):
        see(step(base[:, i : i + 2]), step(base[i : i + 2]), step(base.T[i : i + 2]))
