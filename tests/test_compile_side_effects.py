"""What a step would do only once, or not again, is refused when it is recorded, and everything is as it was before.

Lists appended to, attributes set, flags left behind, numbers from clocks and iterators. Read `test_compile_errors.py`
next.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compile_kit import (
    SGD,
    copied,
    data,
    equal_or_refused,
    net,
    same,
    told,
    training,
)

import tinygrad_bp as tg
from tinygrad_bp import nn

X = data(4, 3)


class Box:
    value: Any = None
    count = 0


def effects(log: list[Any], box: Any, entries: dict[str, Any], numbers: Any) -> dict[str, Callable[[Any], Any]]:
    total = 0
    last: Any = None

    def count(loss: Any) -> None:
        nonlocal total
        total += 1

    def keep(loss: Any) -> None:
        nonlocal last
        last = loss

    return {
        "append": log.append,
        "append a number": lambda loss: log.append(loss.item()),
        "append a copy": lambda loss: log.append(loss.detach()),
        "extend": lambda loss: log.extend([1, 2]),
        "pop": lambda loss: log.pop(),
        "replace": lambda loss: log.__setitem__(0, loss),
        "attribute": lambda loss: setattr(box, "value", loss),
        "new attribute": lambda loss: setattr(box, "new", loss),
        "count": lambda loss: setattr(box, "count", box.count + 1),
        "entry": lambda loss: entries.update(loss=loss),
        "number": lambda loss: entries.__setitem__("n", entries.get("n", 0) + 1),
        "next": lambda loss: next(numbers),
        "nonlocal": count,
        "nonlocal tensor": keep,
        "class attribute": lambda loss: setattr(Box, "count", Box.count + 1),
    }


@pytest.mark.parametrize("name", effects([], Box(), {}, iter(())))
def test_effects_on_plain_python_are_refused_and_undone(name: str) -> None:
    log, box, entries, numbers = [0.5], Box(), {"a": 1}, itertools.count()
    act = effects(log, box, entries, numbers)[name]
    model = net(3, 2)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        loss = training(model, optimizer)(x, y)
        act(loss)
        return loss

    before = copied([model, optimizer])
    kept = Box.count
    try:
        with pytest.raises(tg.CompileError) as caught:
            tg.compile(step)(X, data(4, 2))
        told(caught.value)
        same(before, copied([model, optimizer]), 0.0)
        if name != "next":  # nobody can turn an iterator back
            assert (log, vars(box), entries, Box.count) == ([0.5], {}, {"a": 1}, kept)
            cells = (
                {
                    name: cell.cell_contents
                    for name, cell in zip(act.__code__.co_freevars, act.__closure__ or (), strict=True)
                }
                if hasattr(act, "__code__")
                else {}
            )
            assert cells.get("total", 0) == 0
            assert cells.get("last") is None
        compiled = tg.compile(step, fallback=True)
        with pytest.warns(UserWarning, match="runs eagerly"):
            compiled(X, data(4, 2))
        assert name != "append" or (len(log) == 2 and log[1].item() > 0)
    finally:
        Box.count = kept


@equal_or_refused
def test_state_kept_by_rebinding(compile: Any, see: Any) -> None:
    h, box, listed = tg.zeros(3).double(), Box(), [tg.zeros(3).double()]
    box.value = tg.zeros(3).double()

    def through_closure(x: Any) -> Any:
        nonlocal h
        h = h * 0.5 + x
        return h * 2

    step = compile(through_closure)
    for i in range(4):
        see(step(data(3, seed=i)), h)
    see(box, listed)


@pytest.mark.parametrize("where", ["attribute", "list", "buffer", "tensor of a layer"])
def test_a_tensor_rebound_in_the_step(where: str) -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.h = tg.zeros(3).double()
            self.register_buffer("mean", tg.zeros(3).double())

    box, listed, layer = Box(), [tg.zeros(3).double()], Layer()
    box.value = tg.zeros(3).double()

    def step(x: Any) -> Any:
        if where == "attribute":
            box.value = box.value * 0.5 + x
            return box.value * 2
        if where == "list":
            listed[0] = listed[0] * 0.5 + x
            return listed[0] * 2
        if where == "buffer":
            layer.mean = layer.mean * 0.5 + x
            return layer.mean * 2
        layer.h = layer.h * 0.5 + x
        return layer.h * 2

    kept = box.value, listed[0], layer.mean, layer.h
    with pytest.raises(tg.CompileError) as caught:
        tg.compile(step)(data(3))
    told(caught.value)
    assert all(a is b for a, b in zip(kept, (box.value, listed[0], layer.mean, layer.h), strict=True))
    assert all((t.numpy() == 0).all() for t in kept)


@pytest.mark.parametrize("flag", ["requires_grad", "training", "grad mode", "default dtype", "hook"])
def test_flags_that_a_step_leaves_behind(flag: str) -> None:
    """As in eager, or refused; and then they are as before."""
    model = net(3, 4, 2)

    def act() -> None:
        if flag == "requires_grad":
            model[0].requires_grad_(False)
        elif flag == "training":
            model.eval()
        elif flag == "grad mode":
            tg.set_grad_enabled(False)
        elif flag == "default dtype":
            tg.set_default_dtype(tg.float64)
        else:
            model[0].register_forward_hook(lambda m, args, y: y * 2)

    def state() -> Any:
        flags = [p.requires_grad for p in model.parameters()], model.training, model[0]._hooks is None
        return flags, tg.is_grad_enabled(), tg.get_default_dtype()

    def step(x: Any) -> Any:
        y = model(x).detach()
        act()
        return y

    before = state()
    try:
        tg.compile(step)(X)
        assert state() != before, "the step ran, and left no trace"
    except tg.CompileError as error:
        told(error)
        assert state() == before
    finally:
        tg.set_grad_enabled(True)
        tg.set_default_dtype(tg.float32)


SOURCES: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "numpy's stream": lambda: lambda x: x * np.random.rand(),  # noqa: NPY002
    "numpy's stream, an array": lambda: lambda x: x * tg.tensor(np.random.rand(3)),  # noqa: NPY002
    "numpy's stream, unused": lambda: lambda x: (np.random.rand(), x * 2)[1],  # noqa: NPY002
    "a generator": lambda: (lambda g: lambda x: x * tg.tensor(g.normal(size=3)))(np.random.default_rng(0)),
    "a generator, unused": lambda: (lambda g: lambda x: (g.normal(), x * 2)[1])(np.random.default_rng(0)),
    "a generator, by chance the same": lambda: (lambda g: lambda x: x * int(g.random() < 0.999))(
        np.random.default_rng(0)
    ),
    "Python's": lambda: lambda x: x * random.random(),
    "Python's, by chance the same": lambda: lambda x: x * 2 if random.random() < 0.999 else x,
    "Python's own": lambda: (lambda g: lambda x: x * int(g.random() < 0.999))(random.Random(0)),
    "clock": lambda: lambda x: x * time.perf_counter(),
    "iterator": lambda: (lambda it: lambda x: x * next(it))(iter(range(1, 99))),
    "count": lambda: (lambda it: lambda x: x * next(it))(itertools.count()),
    "iterator, unused": lambda: (lambda it: lambda x: (next(it), x * 2)[1])(iter(range(1, 99))),
    "cycle": lambda: (lambda it: lambda x: x * next(it))(itertools.cycle([2.0])),
    "generator function": lambda: (lambda it: lambda x: x * next(it))(n for n in range(9)),
}


@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_numbers_from_elsewhere_are_refused(make: Callable[[], Callable[[Any], Any]]) -> None:
    step = tg.compile(make())
    with pytest.raises(tg.CompileError) as caught:
        step(data(3))
    told(caught.value)


@pytest.mark.parametrize(
    "act",
    [
        lambda x: tg.manual_seed(3),
        lambda x: tg.set_rng_state(tg.get_rng_state()),
        lambda x: nn.init.uniform_(tg.empty(3)),
        lambda x: nn.Linear(3, 2),
        lambda x: tg.Generator().manual_seed(1),
    ],
)
def test_seeds_and_new_layers_in_the_step_are_right_or_refused(act: Callable[[Any], Any]) -> None:
    @equal_or_refused
    def script(compile: Any, see: Any) -> None:
        def function(x: Any) -> Any:
            act(x)
            return x + tg.rand(3)

        step = compile(function)
        for i in range(3):
            see(step(data(3, seed=i)), tg.get_rng_state())

    script()


def test_another_array_for_a_parameter_inside_the_step_is_refused() -> None:
    model = net(3, 2)
    weight, before = model[0].weight, copied(model)

    def step(x: Any) -> Any:
        weight.data = weight.data * 2
        return model(x).detach()

    with pytest.raises(tg.CompileError) as caught:
        tg.compile(step)(X)
    told(caught.value, "copy_")
    same(before, copied(model), 0.0)


def test_an_attribute_set_on_a_function_is_refused_and_undone() -> None:
    def helper(x: Any) -> Any:
        return x * 2

    def step(x: Any) -> Any:
        helper.count = 1  # type: ignore[attr-defined]
        return helper(x)

    with pytest.raises(tg.CompileError, match="changes 'helper'"):
        tg.compile(step)(tg.ones(2))
    assert not vars(helper)
