"""Whatever is handed to a compiled step is seen at each call: which object it is, what it holds, what it overlaps.

Plain values, keywords, trees, objects, models; the same tensor twice; arguments written in place. Read
`test_compile_results.py` next.
"""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
from compile_kit import (
    SGD,
    F,
    Pair,
    batch,
    data,
    equal,
    equal_or_refused,
    net,
    trained,
    training,
)

import tinygrad_bp as tg
from tinygrad_bp import nn


@equal
def test_plain_arguments(compile: Any, see: Any) -> None:
    step = compile(lambda x, k: x * k)
    for k in (1, 1.0, True, np.float64(2), np.float32(2), 0.1, -0.0, 0.0, float("nan"), float("nan"), 3, np.int64(3)):
        see(step(data(3).float(), k))


@equal
def test_arguments_that_choose(compile: Any, see: Any) -> None:
    letters = enum.Enum("letters", "A B")
    reduced = compile(lambda x, reduction: F.mse_loss(x, x * 0, reduction=reduction))
    see([reduced(data(3), reduction) for reduction in ("sum", "mean", "none", "sum")])
    cast = compile(lambda x, dtype: x.to(dtype))
    see([cast(data(3), dtype) for dtype in (tg.float32, tg.float64, tg.float16, tg.float32)])
    valued = compile(lambda x, letter: x * letter.value)
    see([valued(data(3), letter) for letter in (letters.A, letters.B, letters.A)])
    shaped = compile(lambda x, shape: x.reshape(shape))
    see([shaped(data(6), shape) for shape in ((2, 3), (3, 2), [6], tg.Size((2, 3)), (2, 3))])
    at = compile(lambda x, key: x if key is None else x[key])
    keys: list[Any] = [None, slice(0, 2), slice(1, 2), 0, 1, ..., [0, 1], [1, 2], (0,)]
    see([at(data(3), key) for key in keys])


@equal
def test_keywords_in_any_order(compile: Any, see: Any) -> None:
    def function(x: Any, *, k: float = 2.0, y: Any = None) -> Any:
        return x * k - (0 if y is None else y)

    step, a, b = compile(function), data(3), data(3, seed=1)
    see(step(a), step(a, k=3.0), step(a, y=b), step(x=a, y=b), step(y=b, x=a), step(y=a, x=b, k=1.0), step(x=a, y=b))
    values = compile(lambda **named: list(named.items()))
    see(values(a=a, b=b), values(b=a, a=b))


@equal
def test_the_same_tensor_twice_and_swapped(compile: Any, see: Any) -> None:
    step, a, b = compile(lambda a, b: a - 2 * b), data(3), data(3, seed=1)
    see(step(a, b), step(b, a), step(a, a), step(b, b), step(a, b))


@equal_or_refused
def test_the_same_tensor_twice_where_one_is_written(compile: Any, see: Any) -> None:
    def step(x: Any, y: Any) -> Any:
        x.mul_(2)
        return x + y

    step = compile(step)
    for i in range(3):
        x = data(3, seed=i)
        see(step(x, data(3, seed=7)), x, step(x, x), x, step(x, x[:]), x)


@equal_or_refused
def test_arguments_that_overlap_where_one_is_written(compile: Any, see: Any) -> None:
    def step(x: Any, y: Any) -> Any:
        x.add_(1)
        return x * y

    step = compile(step)
    for i in range(3):
        whole = data(4, seed=i)
        see(step(whole[:2], data(2)), whole, step(whole[:2], whole[1:3]), whole)


@equal_or_refused
def test_identity_of_arguments(compile: Any, see: Any) -> None:
    known = data(3)
    twice = compile(lambda x, y: x * 2 if x is y else y)
    other = data(3, seed=1)
    see(twice(known, other), twice(known, known), twice(known, other), twice(other, other))
    closed = compile(lambda x: x * 2 if x is known else x)
    see(closed(other), closed(known), closed(other))


@equal_or_refused
def test_an_argument_that_the_step_also_closes_over_and_writes(compile: Any, see: Any) -> None:
    known = tg.zeros(3).double()

    def step(x: Any) -> Any:
        known.add_(1.0)
        return x * 2

    step = compile(step)
    see(step(data(3)), known)
    see(step(known), known)
    see(step(known[:]), known)


@equal_or_refused
def test_an_argument_written_in_place(compile: Any, see: Any) -> None:
    def step(x: Any) -> Any:
        x *= 2
        x[0] = 1.0
        return x.sum()

    step = compile(step)
    for i in range(3):
        x = data(3, seed=i)
        see(step(x), x)
        array = x.numpy().copy()
        see(step(array), array)


@equal_or_refused
def test_the_weights_as_an_argument(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    for i in range(4):
        see(step(model[0].weight.detach(), data(4, 2, seed=i)), model)


@equal
def test_a_model_as_an_argument(compile: Any, see: Any) -> None:
    step, first, second = compile(lambda model, x: model(x).detach()), net(3, 2), net(3, 2)
    for i in range(4):
        see(step(first, data(2, 3, seed=i)), step(second, data(2, 3, seed=i)))
        with tg.no_grad():
            first[0].weight.mul_(2)


@equal
def test_a_model_and_its_optimiser_as_arguments(compile: Any, see: Any) -> None:
    def step(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
        return training(model, optimizer)(x, y)

    step = compile(step)
    pairs = [(model, SGD(model.parameters(), lr=0.1, momentum=0.9)) for model in (net(3, 4, 2), net(3, 4, 2))]
    for i in range(6):
        for model, optimizer in pairs:
            see(step(model, optimizer, *batch(i)), model, optimizer)
            optimizer.param_groups[0]["lr"] *= 0.5


@equal
def test_objects_sets_and_functions_as_arguments(compile: Any, see: Any) -> None:
    factor, pair, numbers, listed = 1.0, Pair(data(3), 1), {1.0}, [1.0]
    steps = [
        compile(lambda f, x: f(x)),
        compile(lambda pair, x: pair.value * pair.number),
        compile(lambda n, x: x * sum(n)),
    ]

    def helper(x: Any) -> Any:
        return x * factor

    for i in range(4):
        x = data(3, seed=i)
        see(steps[0](helper, x), steps[1](pair, x), steps[1](Pair(x, i), x), steps[2](numbers, x), steps[2](listed, x))
        factor, pair.number, pair.value = factor + 1, pair.number + 1, data(3, seed=i + 9)
        numbers.add(i + 10.0)
        listed[0] += 1.0


@equal
def test_trees_of_arguments(compile: Any, see: Any) -> None:
    step = compile(lambda d: d["a"][0] * d["b"]["c"] + d["k"])
    total = compile(lambda *args: sum(args))
    for i in range(4):
        see(step({"a": [data(3, seed=i)], "b": {"c": data(3, seed=i + 9)}, "k": i // 2}))
        see(total(*[data(3, seed=k) for k in range(i + 1)]))


@equal
def test_an_ndarray_argument_that_is_written_later(compile: Any, see: Any) -> None:
    step, array = compile(lambda x, array: x * array), np.ones(3)
    for _ in range(3):
        see(step(data(3), array))
        array += 1


@equal
def test_a_parameter_as_an_argument(compile: Any, see: Any) -> None:
    step, p = compile(lambda x: (x * 2).detach()), nn.Parameter(data(3))
    see(step(p), step(data(3)), step(p))


@equal
def test_the_gradient_for_an_argument(compile: Any, see: Any) -> None:
    step = compile(lambda x: tg.autograd.grad((x**2).sum(), x))
    for i in range(3):
        see(step(data(3, seed=i).requires_grad_()))


@equal_or_refused
def test_a_backward_that_reaches_an_argument(compile: Any, see: Any) -> None:
    def step(x: Any) -> None:
        (x**2).sum().backward()

    step = compile(step)
    for i in range(3):
        x = data(3, seed=i).requires_grad_()
        step(x)
        see(x)
        step(x * 3)
        see(x)


@equal_or_refused
def test_the_grad_of_an_argument(compile: Any, see: Any) -> None:
    step, x = compile(lambda x: x * 2 if x.grad is None else x.grad * 3), data(3)
    see(step(x))
    for grad in (data(3, seed=1), data(3, seed=2), None):
        x.grad = grad
        see(step(x))
