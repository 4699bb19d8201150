"""Python values that a step reads are looked at before each call: change one, and the step is right again.

Closures, globals, attributes, entries, defaults, functions put in the place of others: known ways to a silent wrong
answer, by name. Read `test_compile_memory.py` next.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest
from compile_kit import (
    agrees,
    data,
    equal,
)

import tinygrad_bp as tg
from tinygrad_bp import nn

FACTOR = 1.5
NUMBERS = [3.0]


class Config:
    factor = 2.0


@equal
def test_a_closure_variable(compile: Any, see: Any) -> None:
    factor: Any = 2.0
    step = compile(lambda x: x * factor)
    see(step(data(3)))
    for factor in (3.0, 3, True, np.float64(3), float("nan"), float("nan"), 1.0):  # noqa: B007
        see(step(data(3)))


@equal
def test_the_sign_of_zero(compile: Any, see: Any) -> None:
    factor = 0.0
    step, given = compile(lambda x: x * factor), compile(lambda x, factor: x * factor)
    for factor in (0.0, -0.0, 0.0, 0, -0.0):
        see(step(tg.ones(2)), given(tg.ones(2), factor))


@equal
def test_a_global(compile: Any, see: Any) -> None:
    global FACTOR
    step = compile(lambda x: x * FACTOR)
    for FACTOR in (1.5, 3.0, 1.5):  # noqa: B007
        see(step(data(3)))


@equal
def test_an_attribute_set_changed_and_deleted(compile: Any, see: Any) -> None:
    config = Config()
    step = compile(lambda x: x * config.factor)
    see(step(data(3)))
    for factor in (3.0, 4.0):
        config.factor = factor
        see(step(data(3)))
    del config.factor
    see(step(data(3)))


@pytest.mark.parametrize("own", [True, False])
def test_a_class_attribute(own: bool) -> None:
    def script(compile: Any, see: Any) -> None:
        config = Config() if own else Config
        step = compile(lambda x: x * config.factor)
        try:
            for Config.factor in (2.0, 4.0, 2.0):
                see(step(data(3)))
        finally:
            Config.factor = 2.0

    agrees(script)


@equal
def test_an_attribute_that_was_not_there(compile: Any, see: Any) -> None:
    config = types.SimpleNamespace()
    step = compile(lambda x: x * getattr(config, "factor", 1))
    see(step(data(3)))
    config.factor = 4.0
    see(step(data(3)))


@equal
def test_an_object_with_slots(compile: Any, see: Any) -> None:
    class Slotted:
        __slots__ = ("factor",)

    config = Slotted()
    step = compile(lambda x: x * config.factor)
    for config.factor in (2.0, 3.0):
        see(step(data(3)))


@equal
def test_a_property(compile: Any, see: Any) -> None:
    class Owner:
        hidden = (2.0,)

        @property
        def factor(self) -> float:
            return self.hidden[0] * NUMBERS[0]

    owner = Owner()
    step = compile(lambda x: x * owner.factor)
    see(step(data(3)))
    owner.hidden = (3.0,)
    see(step(data(3)))
    try:
        NUMBERS[0] = 5.0
        see(step(data(3)))
    finally:
        NUMBERS[0] = 3.0


@equal
def test_entries_of_a_list(compile: Any, see: Any) -> None:
    numbers = [2.0]
    step = compile(lambda x: x * sum(numbers) * len(numbers))
    for change in (
        lambda: None,
        lambda: numbers.__setitem__(0, 4.0),
        lambda: numbers.append(2.0),
        numbers.reverse,
        numbers.clear,
    ):
        change()
        see(step(data(3)))


@equal
def test_entries_of_a_dict(compile: Any, see: Any) -> None:
    numbers = {"a": 2.0}
    step = compile(lambda x: x * sum(k * v for k, v in enumerate(numbers.values(), 1)) * numbers.get("c", 1))
    see(step(data(3)))
    for key, value in (("a", 4.0), ("b", 3.0), ("c", 2.0)):
        numbers[key] = value
        see(step(data(3)))
    del numbers["a"]
    see(step(data(3)))
    numbers["a"] = 4.0  # the same entries in another order
    see(step(data(3)))
    numbers["d"] = numbers.pop("b")  # as many as before
    see(step(data(3)))


@equal
def test_the_members_of_a_set(compile: Any, see: Any) -> None:
    numbers = {1, 2}
    step = compile(lambda x: x * sum(numbers) * (7 in numbers))
    see(step(data(3)))
    numbers.add(7)
    see(step(data(3)))
    numbers.remove(1)
    see(step(data(3)))


@equal
def test_what_lies_deep(compile: Any, see: Any) -> None:
    config = {"a": [types.SimpleNamespace(b=({"c": [1.0]},))]}
    step = compile(lambda x: x * config["a"][0].b[0]["c"][0])
    see(step(data(3)))
    config["a"][0].b[0]["c"][0] = 5.0
    see(step(data(3)))


@equal
def test_what_a_method_or_a_function_reads(compile: Any, see: Any) -> None:
    inner = 2.0

    def helper() -> float:
        return inner

    class Owner:
        def method(self) -> float:
            return NUMBERS[0] * inner

        def __call__(self) -> float:
            return NUMBERS[0]

    owner = Owner()
    steps = [compile(lambda x: x * owner.method()), compile(lambda x: x * owner()), compile(lambda x: x * helper())]
    try:
        for NUMBERS[0], inner in ((3.0, 2.0), (4.0, 2.0), (4.0, 3.0)):  # noqa: B007
            see([step(data(3)) for step in steps])
    finally:
        NUMBERS[0] = 3.0


@pytest.mark.parametrize("whole", [True, False])
def test_what_forward_reads(whole: bool) -> None:
    def script(compile: Any, see: Any) -> None:
        factor = 2.0

        class Layer(nn.Module):
            def forward(self, x: Any) -> Any:
                return x * factor * NUMBERS[0]

        layer = Layer()
        model = nn.Sequential(layer)
        step = compile(layer if whole else lambda x: model(x))
        try:
            for NUMBERS[0], factor in ((3.0, 2.0), (4.0, 2.0), (4.0, 3.0)):  # noqa: B007
                see(step(data(3)))
        finally:
            NUMBERS[0] = 3.0

    agrees(script)


@equal
def test_a_function_put_in_the_place_of_another(compile: Any, see: Any) -> None:
    def helper(x: Any) -> Any:
        return x * 2

    class Layer(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * 2

    layer = Layer()
    step, whole = compile(lambda x: helper(x)), compile(lambda x: layer(x))
    see(step(data(3)), whole(data(3)))
    helper = lambda x: x * 3  # noqa: E731, F811
    see(step(data(3)))
    Layer.forward = lambda self, x: x * 3  # type: ignore[method-assign]
    see(whole(data(3)))
    layer.forward = lambda x: x * 4  # type: ignore[method-assign]
    see(whole(data(3)))


@equal
def test_defaults(compile: Any, see: Any) -> None:
    def step(x: Any, factor: Any = 2.0, *, more: Any = 1.0) -> Any:
        return x * factor * more

    compiled = compile(step)
    see(compiled(data(3)))
    for factor in (3.0, data(3), np.ones(3), tg.zeros(3)):
        step.__defaults__ = (factor,)
        see(compiled(data(3)))
        if not isinstance(factor, float):
            factor += 1
            see(compiled(data(3)))
    step.__kwdefaults__["more"] = 5.0
    see(compiled(data(3)))


@equal
def test_the_default_dtype(compile: Any, see: Any) -> None:
    step = compile(lambda x: x * tg.ones(3) + tg.tensor([1.0, 2.0, 3.0]) / 3)
    try:
        for dtype in (tg.float32, tg.float64, tg.float32):
            tg.set_default_dtype(dtype)
            see(step(tg.tensor([1, 2, 3])))
    finally:
        tg.set_default_dtype(tg.float32)
