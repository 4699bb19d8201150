"""What a compiled step answers is the caller's: kept results do not change, and each is what eager would give.

Numbers, tuples, dicts, objects, parameters, arguments themselves, views. Read `test_compile_model_changes.py` next.
"""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import pytest
from compile_kit import (
    SGD,
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


@equal
def test_results_that_are_kept_do_not_change(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    step = compile(lambda x: (model(x).detach(), x * 2, x.sum().item(), x.numpy() * 2, {"n": [x[0] + 1]}))
    kept = []
    for i in range(5):
        kept.append(step(data(5, 3, seed=i)))
        see(kept)


@equal
def test_losses_and_momentum_that_are_kept_do_not_change(compile: Any, see: Any) -> None:
    model, optimizer, step = trained(compile)
    kept = []
    for i in range(5):
        kept += [step(*batch(i)), model[0].weight.grad.clone(), model[0].weight.detach().clone()]
        see(kept, optimizer)


@equal
def test_a_result_given_back_as_an_argument(compile: Any, see: Any) -> None:
    model, x, h, kept = net(3, 3), data(3), tg.zeros(2, 3).double(), []
    add, over = compile(lambda x: x + 1), compile(lambda x, h: ((model(x) + h).detach(), h))
    for i in range(4):
        x = add(x)
        h, old = over(data(2, 3, seed=i), h)
        kept += [x, h, old]
        see(kept)


@equal
def test_kinds_of_results(compile: Any, see: Any) -> None:
    named = namedtuple("named", "loss n")
    functions: list[Any] = [
        lambda x: None,
        lambda x: 3.0,
        lambda x: (x * 2, 1, "a", None, [x + 1], {}),
        lambda x: {"a": x * 2, 1: (x,)},
        lambda x: named(x * 2, 1),
        lambda x: x.sum().item(),
        lambda x: (x.sum().item() * 2, -x.mean().item()),
        lambda x: ((x > 0).sum().item(), (x > 0).all().item()),
        lambda x: tg.ones(3),
        lambda x: x.shape,
        lambda x: len(x),
        lambda x: x.numpy() * 2,
        lambda x: (x > 0, x.long(), x.argmax(0), x.topk(2, 0)),
        lambda x: [y := x * 2, y],
        lambda x: (type(x).__name__, x.requires_grad, x.is_leaf, x.ndim, x.dtype),
        lambda x: (x * 2).split(2),
    ]
    for function in functions:
        step = compile(function)
        for i in range(3):
            see(step(data(4, 3, seed=i)))


@equal_or_refused
def test_results_in_objects(compile: Any, see: Any) -> None:
    step = compile(lambda x: Pair(x * 2))
    for i in range(3):
        see(step(data(3, seed=i)).value)


@equal_or_refused
def test_results_in_other_dicts(compile: Any, see: Any) -> None:
    step = compile(lambda x: OrderedDict(a=x * 2, b=1))
    for i in range(3):
        found = step(data(3, seed=i))
        see(type(found).__name__, found["a"], found["b"])


@equal_or_refused
def test_results_in_a_set(compile: Any, see: Any) -> None:
    step = compile(lambda x: {x * 2})
    for i in range(3):
        see(list(step(data(3, seed=i))))


@equal_or_refused
def test_results_in_an_iterator(compile: Any, see: Any) -> None:
    def several(x: Any) -> Any:
        yield x * 2
        yield x * 3

    steps = [compile(several), compile(lambda x: (row * 2 for row in x)), compile(lambda x: map(tg.exp, [x]))]
    for i in range(3):
        see([list(step(data(3, seed=i))) for step in steps])


@equal_or_refused
def test_results_in_a_function(compile: Any, see: Any) -> None:
    step = compile(lambda x: lambda: x * 2)
    for i in range(3):
        see(step(data(3, seed=i))())


@equal_or_refused
def test_an_argument_as_a_result_is_itself(compile: Any, see: Any) -> None:
    step = compile(lambda x: (x, x * 2))
    for i in range(3):
        x = data(3, seed=i)
        found = step(x)
        see(found, found[0] is x)
        x.mul_(2)
        see(found)


@equal
def test_a_parameter_as_a_result_is_itself(compile: Any, see: Any) -> None:
    model, optimizer = net(3, 4, 2), None
    optimizer = SGD(model.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        training(model, optimizer)(x, y)
        return model[0].weight, [p.grad for p in model.parameters()]

    step = compile(step)
    for i in range(4):
        weight, grads = step(*batch(i))
        see(
            weight,
            grads,
            weight is model[0].weight,
            [g is p.grad for g, p in zip(grads, model.parameters(), strict=True)],
        )


@pytest.mark.parametrize("view", [lambda t: t[1:], lambda t: t.detach(), lambda t: t.view(1, 3), lambda t: t.numpy()])
def test_views_as_results(view: Any) -> None:
    @equal_or_refused
    def script(compile: Any, see: Any) -> None:
        memory, given, closed = tg.ones(3).double(), compile(view), None
        closed = compile(lambda: view(memory))
        for i in range(3):
            x = data(3, seed=i)
            first, second = given(x), closed()
            see(first, second)
            x.mul_(2)
            memory.mul_(2)
            see(first, second)

    script()


@equal
def test_views_of_a_result_share_its_memory(compile: Any, see: Any) -> None:
    step = compile(lambda x: [y := x * 2, y[0], y.T])
    for i in range(3):
        found = step(data(4, 3, seed=i))
        found[0].add_(1)
        see(found)


@equal
def test_flags_of_results(compile: Any, see: Any) -> None:
    model = net(3, 2)
    step = compile(lambda x: (model(x), model(x).detach(), x * 2))
    for i in range(3):
        see([(t.requires_grad, t.is_leaf) for t in step(data(2, 3, seed=i))])
