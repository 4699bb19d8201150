"""Arrays and tensors that a step reads or writes stay what they are to everybody else who holds them.

Closed-over tensors and ndarrays that are written later, views and their bases, arrays that overlap, state kept in
tensors. Read `test_compile_arguments.py` next.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest
from compile_kit import (
    SGD,
    agrees,
    data,
    equal,
    equal_or_refused,
)

import tinygrad_bp as tg
from tinygrad_bp import nn


@equal
def test_a_closed_over_tensor(compile: Any, see: Any) -> None:
    other = tg.ones(3).double()
    step = compile(lambda x: x * other)
    see(step(data(3)))
    other.fill_(4.0)
    see(step(data(3)))
    other[1] = 7.0
    see(step(data(3)))
    for other in (tg.zeros(3).double(), tg.zeros(3), tg.zeros(2, 3), tg.ones(3).double()):  # noqa: B007
        see(step(data(3)))


@pytest.mark.parametrize("kept", ["closure", "list", "tuple", "dict", "attribute", "default", "slot"])
def test_an_ndarray_that_is_written_later(kept: str) -> None:
    def script(compile: Any, see: Any) -> None:
        array = np.ones(3)
        slots = type("Slotted", (), {"__slots__": ("array",)})()
        slots.array = array
        holder: Any = {
            "list": [array],
            "tuple": (array,),
            "dict": {0: array},
            "attribute": types.SimpleNamespace(array=array),
        }.get(kept)
        step = compile(
            {
                "closure": lambda x: x * array,
                "attribute": lambda x: x * holder.array,
                "slot": lambda x: x * slots.array,
                "default": lambda x, array=array: x * array,
            }.get(kept, lambda x: x * holder[0])
        )
        for _ in range(3):
            see(step(data(3)))
            array += 1

    agrees(script)


@equal
def test_an_ndarray_of_no_dimension_and_numbers_of_numpys(compile: Any, see: Any) -> None:
    array, number = np.array(2.0), np.float64(1)
    step = compile(lambda x: x * array + number)
    for _ in range(3):
        see(step(data(3)))
        array += 1
        number = number + 1


@equal_or_refused
def test_an_ndarray_made_a_tensor_in_the_step(compile: Any, see: Any) -> None:
    array = np.zeros(3)
    step = compile(lambda x: x + tg.from_numpy(array) + tg.tensor(array) + tg.as_tensor(array))
    for i in range(4):
        see(step(data(3, seed=i)))
        array += 1


@equal
def test_a_list_made_a_tensor_in_the_step(compile: Any, see: Any) -> None:
    numbers = [0.0, 1.0, 2.0]
    step = compile(lambda x: x + tg.tensor(numbers))
    for i in range(4):
        see(step(data(3, seed=i)))
        numbers[0] += 1


@equal
def test_memory_that_a_tensor_and_an_array_share(compile: Any, see: Any) -> None:
    array = np.zeros(3)
    tensor = tg.from_numpy(array)
    part = tensor[1:]

    def step(x: Any) -> Any:
        tensor.add_(x)
        return x + tensor

    step = compile(step)
    for i in range(4):
        see(step(data(3, seed=i)), array, tensor, part)
        array += 1


@equal_or_refused
def test_a_view_and_its_base(compile: Any, see: Any) -> None:
    whole = tg.zeros(4).double()
    part = whole[1:3]

    def step(x: Any) -> Any:
        part.add_(x.sum())
        return whole * 2

    step = compile(step)
    for i in range(4):
        see(step(data(3, seed=i)), whole, part)
        whole.add_(1)


@equal_or_refused
def test_two_views_that_overlap(compile: Any, see: Any) -> None:
    whole = tg.zeros(4).double()
    first, second = whole[:2], whole[1:3]

    def step(x: Any) -> Any:
        first.add_(x.sum())
        second.mul_(2.0)
        return first + second

    step = compile(step)
    for i in range(4):
        see(step(data(3, seed=i)), whole)
        whole.add_(1)


def test_a_long_view_that_overlaps_a_far_one() -> None:
    """Between the two lies a third that is not written: neighbours alone would not tell."""
    whole = tg.zeros(6)
    long, between, far = whole[:], whole[1:2], whole[3:5]

    def step(x: Any) -> Any:
        far.add_(x)
        return long + between

    with pytest.raises(tg.CompileError, match="'long' and 'far' look into the same memory"):
        tg.compile(step)(tg.ones(1))
    assert not whole.any()


@equal
def test_a_leaf_that_is_detached_later(compile: Any, see: Any) -> None:
    v, w = data(3).requires_grad_(), data(3, seed=1).requires_grad_()

    def step(x: Any) -> Any:
        v.grad = w.grad = None
        (x * v * w).sum().backward()

    step = compile(step)
    for i in range(4):
        step(data(3, seed=i))
        see(v.grad, w.grad)
        if i == 1:
            w.detach_()


@equal_or_refused
def test_two_arrays_that_overlap(compile: Any, see: Any) -> None:
    whole = np.zeros(4)
    first, second = whole[:2], whole[1:3]

    def step(x: Any) -> Any:
        first[:] = x.numpy()[:2] + second
        second[:] = first * 2
        return first + second

    step = compile(step)
    for i in range(4):
        see(step(data(3, seed=i)), whole)
        whole += 1


@equal
def test_parameters_that_are_parts_of_one_array(compile: Any, see: Any) -> None:
    whole = tg.zeros(6).double()
    w, b = nn.Parameter(whole[:3]), nn.Parameter(whole[3:])
    optimizer = SGD([w, b], lr=0.1)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = ((x * w + b - 1) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    step = compile(step)
    for i in range(4):
        see(step(data(3, seed=i)), whole, w, b)
        with tg.no_grad():
            whole.mul_(0.9)


@equal
def test_writes_in_place_in_the_step(compile: Any, see: Any) -> None:
    def rows(x: Any) -> Any:
        y = x.clone()
        y[1:3] = 0.0
        y[0].mul_(2)
        y.view(-1).add_(1)
        y.T[0] += 1
        y[y > 1.5] = 1.5
        return y, y * 1

    step = compile(rows)
    for i in range(4):
        see(step(data(4, 3, seed=i)))


@equal
def test_numpy_on_the_arrays_of_tensors(compile: Any, see: Any) -> None:
    functions: list[Any] = [
        lambda a: np.tanh(a) + a.sum(),
        lambda a: a.std(0),
        lambda a: a.T.dot(a),
        lambda a: a.ravel()[3],
        lambda a: a.cumsum(),
        lambda a: a * (a > 0),
        lambda a: a.clip(0, 1),
        lambda a: a.astype(np.float32) + np.float64(1),
        lambda a: a.mean(),
        lambda a: np.linalg.norm(a),
        lambda a: np.linalg.svd(a)[1],
        lambda a: np.roll(a, 1, 0),
        lambda a: a.round(2),
        lambda a: np.stack([a, np.ones((4, 3))]),
        lambda a: np.nan_to_num(a),
        lambda a: a[0, 0] * 2,
        lambda a: a.argmax(1),
        lambda a: np.real(np.fft.fft(a)) * 1.0,
        lambda a: np.modf(a),
        lambda a: [row * 2 for row in a],
        lambda a: a.max(0),
    ]
    for function in functions:
        step = compile(lambda x, function=function: function(x.numpy()))
        for i in range(3):
            see(step(data(4, 3, seed=i)))


@equal
def test_an_entry_of_an_array_is_a_value_and_a_row_a_view(compile: Any, see: Any) -> None:
    def function(x: Any) -> Any:
        array = x.numpy().copy()
        entry, row = array[0, 0], array[0]
        array[0, 0] = 9.0
        return entry, row, array

    step = compile(function)
    for i in range(3):
        see(step(data(4, 3, seed=i)))


@equal
def test_state_kept_in_tensors(compile: Any, see: Any) -> None:
    h, total, array = tg.zeros(3).double(), tg.tensor(0), np.zeros(3)

    def step(x: Any) -> Any:
        h.mul_(0.5).add_(x)
        total.add_(1)
        array[:] = x.numpy() + 1
        return h * 2 + total

    step = compile(step)
    for i in range(4):
        see(step(data(3, seed=i)), h, total, array)


@equal
def test_a_ring_buffer_that_is_fed_back(compile: Any, see: Any) -> None:
    def shifted(buffer: Any, frame: Any) -> Any:
        buffer = tg.cat([buffer[1:], frame])
        return buffer, buffer[:1].clone()

    step, buffer = compile(shifted), tg.zeros(3, 1).double()
    for i in range(6):
        buffer, first = step(buffer, data(1, 1, seed=i))
        see(buffer, first)


@equal
def test_a_cache_written_row_by_row(compile: Any, see: Any) -> None:
    cache = tg.zeros(4, 4).double()

    def by_index(i: Any, x: Any) -> Any:
        cache[i] = x
        return cache.sum(), cache * 1

    step = compile(by_index)
    for i in range(4):
        see(step(tg.tensor(i), data(4, seed=i)), step(i, data(4, seed=i + 9)), cache)


@equal
def test_memory_that_is_read_and_written_crosswise(compile: Any, see: Any) -> None:
    a, b = tg.zeros(3).double(), tg.ones(3).double()

    def swapped(x: Any) -> Any:
        old = a * 1
        a.copy_(b + x)
        middle = a.clone()
        b.copy_(a * 2)
        a.copy_(b - 1)
        return old, middle, a * b

    def fibonacci() -> Any:
        c = a + b
        a.copy_(b)
        b.copy_(c)
        return c

    steps = compile(swapped), compile(fibonacci)
    for i in range(5):
        see(steps[0](data(3, seed=i)), a, b, steps[1](), a, b)
