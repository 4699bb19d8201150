"""What changes between two calls of a compiled step and must be seen: known ways to a silent wrong answer, by name.

Every test is a script played eagerly and compiled (`compile_kit.py`): `equal` wants the same,
`equal_or_refused` the same or a CompileError that says what to write. Read `test_compile_bad_input.py` next.
"""

from __future__ import annotations

import copy
import enum
import pickle
import threading
import types
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from compile_kit import F, agrees, data, equal, equal_or_refused, net, recordings, training

import tinygrad_bp as tg
from tinygrad_bp import nn

SGD = tg.optim.SGD


def batch(i: int, n: int = 5) -> tuple[Any, Any]:
    return data(n, 3, seed=i), data(n, 2, seed=i)


def trained(compile: Any, **options: Any) -> tuple[Any, Any, Any]:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), **{"lr": 0.1, "momentum": 0.9, **options})
    return model, optimizer, compile(training(model, optimizer))


# ----------------------------------------------------------------- Python values that a step reads

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


# ----------------------------------------------------------------- arrays that a step reads


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


# ----------------------------------------------------------------- arguments


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


@dataclass
class Pair:
    value: Any
    number: int = 0


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


# ----------------------------------------------------------------- results


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


# ----------------------------------------------------------------- models and modes


@equal
def test_the_training_flag(compile: Any, see: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).double()
    step = compile(lambda x: model(x).detach())
    changes = {
        1: model.eval,
        3: model.train,
        5: lambda: setattr(model[1], "training", False),
        6: model.train,
        8: lambda: setattr(model[1], "p", 0.1),
        9: model.eval,
        10: model.train,
    }
    for i in range(12):
        see(step(data(3, 3)))
        changes.get(i, lambda: None)()
    assert recordings(step) <= 5, "what was compiled once is found again"


@equal
def test_grad_mode(compile: Any, see: Any) -> None:
    model = net(3, 2)
    step = compile(lambda x: model(x))
    for mode in (tg.enable_grad, tg.no_grad, tg.inference_mode, tg.enable_grad, tg.no_grad):
        with mode():
            found = step(data(3, 3))
            see(found.detach().numpy(), found.requires_grad, tg.is_grad_enabled())
    assert recordings(step) <= 3


@equal
def test_grad_mode_in_another_order_and_read_by_the_step(compile: Any, see: Any) -> None:
    model = net(3, 2)
    plain = compile(lambda x: model(x))
    asking = compile(lambda x: x * (2 if tg.is_grad_enabled() else 3 if tg.is_inference_mode_enabled() else 4))
    for mode in (tg.no_grad, tg.enable_grad, tg.inference_mode, tg.no_grad):
        with mode():
            see(plain(data(3, 3)).requires_grad, asking(data(3)))


@equal
def test_frozen_and_thawed(compile: Any, see: Any) -> None:
    model, _, step = trained(compile, momentum=0.0)
    changes = {
        3: lambda: model[0].weight.requires_grad_(False),
        5: lambda: model[0].requires_grad_(False),
        7: lambda: model.requires_grad_(True),
        9: lambda: setattr(model[0].bias, "requires_grad", False),
        11: lambda: model.requires_grad_(False).requires_grad_(True),
    }
    for i in range(14):
        see(step(*batch(i)), model)
        changes.get(i, lambda: None)()


@equal
def test_layers_replaced_and_added(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    changes = {
        2: lambda: model.__setitem__(1, nn.ReLU()),
        4: lambda: model.__setitem__(0, nn.Linear(3, 4).double()),
        6: lambda: setattr(model[0], "weight", nn.Parameter(tg.ones(4, 3).double())),
        8: lambda: model.append(nn.Tanh()),
        10: lambda: model.__delitem__(3),
    }
    for i in range(12):
        see(step(*batch(i)), model)
        changes.get(i, lambda: None)()


@equal
def test_data_replaced(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    for i in range(8):
        see(step(*batch(i)), model)
        weight = model[0].weight
        if i == 2:
            weight.data = tg.ones(4, 3).double()
        if i == 4:
            weight.data.mul_(2)
        if i == 6:
            weight.data = weight.data[:, [2, 1, 0]]


@equal
def test_data_of_another_shape_and_dtype(compile: Any, see: Any) -> None:
    w = nn.Parameter(tg.ones(3).double())
    step = compile(lambda x: (x * w).sum().detach())
    for new in (tg.ones(2, 3).double(), tg.ones(3), tg.ones(3).double()):
        see(step(data(3)))
        w.data = new
    see(step(data(3)))


@equal
def test_weights_loaded_in_place_and_assigned(compile: Any, see: Any) -> None:
    model, _optimizer, step = trained(compile)
    state = copy.deepcopy(model.state_dict())
    for i in range(8):
        see(step(*batch(i)), model)
        if i == 2:
            model.load_state_dict(state)
        if i == 5:
            model.load_state_dict(state, assign=True)  # the optimiser keeps the old ones, as in eager


@equal
def test_another_dtype_of_the_model(compile: Any, see: Any) -> None:
    model = net(3, 4, 2, dtype=tg.float32)
    step = compile(training(model, SGD(model.parameters(), lr=0.1)))
    for i in range(6):
        if i == 3:
            model.double()
        see(step(*(t.to(model[0].weight.dtype) for t in batch(i))), model)


@equal
def test_hooks(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    handles: list[Any] = []
    for i in range(14):
        see(step(*batch(i)), model)
        if i in (1, 5):
            hook = (lambda m, args, y: y * 2) if i == 1 else lambda m, args: (args[0] * 0.5,)
            register = model[0].register_forward_hook if i == 1 else model[0].register_forward_pre_hook
            handles.append(register(hook))
        if i == 9:
            handles.append(model[0].weight.register_hook(lambda g: g * 0.5))
        if i in (3, 7, 11):
            handles.pop().remove()


@equal
def test_a_buffer_written_later_and_replaced(compile: Any, see: Any) -> None:
    model = nn.Module()
    model.register_buffer("mean", tg.ones(3).double())
    step = compile(lambda x: x - model.mean)
    see(step(data(3)))
    model.mean.fill_(2.0)
    see(step(data(3)))
    model.mean = tg.zeros(3).double()
    see(step(data(3)))
    model.register_buffer("mean", tg.ones(1, 3).double())
    see(step(data(3)))


# ----------------------------------------------------------------- gradients, optimisers


@equal
def test_gradients_changed_between_calls(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    for i in range(6):
        see(step(*batch(i)), model)
        if i == 2:
            model.zero_grad()
        if i == 3:
            model[0].weight.grad.fill_(9.0)
        if i == 4:
            model[0].weight.grad = tg.ones(4, 3).double()


@equal
def test_gradients_that_the_user_adds_to(compile: Any, see: Any) -> None:
    w = nn.Parameter(data(3))

    def step(x: Any) -> None:
        (w * x).sum().backward()

    step = compile(step)
    for i in range(8):
        step(data(3, seed=i))
        see(w)
        if i == 1:
            w.grad = None
        if i == 3:
            w.grad.mul_(0.5)
        if i == 4:
            w.grad = w.grad.clone()
        if i == 5:
            w.grad = tg.zeros(3).double()


@equal
def test_a_gradient_that_a_step_reads(compile: Any, see: Any) -> None:
    x = data(3).requires_grad_()
    step = compile(lambda: x.detach() * 2 if x.grad is None else x.grad * 3)
    see(step())
    for grad in (data(3, seed=1), data(3, seed=2), None, data(3, seed=3)):
        x.grad = grad
        see(step())
        if grad is not None:
            grad.fill_(4.0)
            see(step())


@equal
def test_a_gradient_that_was_there_before_the_first_call(compile: Any, see: Any) -> None:
    x = data(3).requires_grad_()
    x.grad = tg.ones(3).double()
    step = compile(lambda: x.grad * 2)
    for grad in (x.grad, tg.zeros(3).double(), data(3)):
        x.grad = grad
        see(step())


@equal
def test_a_parameter_that_gets_no_gradient(compile: Any, see: Any) -> None:
    model, other = net(3, 4, 2), nn.Parameter(data(2))
    other.grad = tg.ones(2).double()
    optimizer = SGD([*model.parameters(), other], lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        model.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step = compile(step)
    for i in range(8):
        see(step(*batch(i)), model, optimizer, other)
        if i == 2:
            other.grad = None
        if i == 3:
            other.grad = tg.ones(2).double()
        if i == 5:
            other.grad.fill_(2.0)


@equal
def test_the_optimisers_state_loaded_cleared_and_changed(compile: Any, see: Any) -> None:
    model, optimizer, step = trained(compile)
    kept: Any = None
    bias = model[0].bias
    for i in range(18):
        see(step(*batch(i)), model, optimizer)
        if i == 1:
            kept = copy.deepcopy(optimizer.state_dict())
        if i == 3:
            optimizer.load_state_dict(kept)
        if i == 5:
            optimizer.state.clear()
        if i == 7:
            optimizer.state.pop(bias)
        if i == 9:
            optimizer.state[bias]["momentum_buffer"] = tg.zeros(4).double()
        if i == 11:
            optimizer.state[bias]["momentum_buffer"].fill_(1.0)
        if i == 13:
            optimizer.state[bias]["momentum_buffer"] = None
        if i == 15:
            optimizer.state = {}


@equal
def test_groups_added_swapped_and_taken_away(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model[0].parameters(), lr=0.1, momentum=0.9)
    step = compile(training(model, optimizer))
    for i in range(12):
        see(step(*batch(i)), model)
        groups = optimizer.param_groups
        if i == 2:
            optimizer.add_param_group({"params": model[2].parameters(), "lr": 0.01})
        if i == 4:
            groups.reverse()
        if i == 6:
            groups[0]["params"].reverse()
        if i == 8:
            groups.pop()
        if i == 10:
            groups[0]["params"].pop()


@equal
def test_an_optimiser_replaced(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        return training(model, optimizer)(x, y)

    step = compile(step)
    for i in range(6):
        see(step(*batch(i)), model, optimizer)
        if i == 2:
            optimizer = SGD(model.parameters(), lr=0.01)


@equal
def test_a_learning_rate_in_a_closure_and_one_that_is_returned(compile: Any, see: Any) -> None:
    w, lr = nn.Parameter(data(3)), 0.1
    optimizer = SGD([w], lr=0.1)

    def step(x: Any) -> Any:
        w.grad = None
        loss = ((w - x) ** 2).sum()
        loss.backward()
        with tg.no_grad():
            w.sub_(lr * w.grad * optimizer.param_groups[0]["lr"])
        return loss, optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["lr"] * 2

    step = compile(step)
    for i in range(5):
        see(step(data(3, seed=i)), w)
        lr *= 0.9
        optimizer.param_groups[0]["lr"] *= 0.8


@equal
def test_a_branch_on_the_learning_rate(compile: Any, see: Any) -> None:
    model, optimizer = net(3, 4, 2), None
    optimizer = SGD(model.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        scale = 1.0 if optimizer.param_groups[0]["lr"] > 0.05 else 3.0
        return training(model, optimizer)(x * scale, y)

    step = compile(step)
    for i in range(10):
        see(step(*batch(i)), model)
        optimizer.param_groups[0]["lr"] *= 0.8
    assert recordings(step) <= 2


# ----------------------------------------------------------------- what holds on to the model


@equal
def test_copies_made_after_compiling(compile: Any, see: Any) -> None:
    model, _optimizer, step = trained(compile)
    step(*batch(0))
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.deepcopy(model.state_dict())
    for i in range(3):
        see(step(*batch(i)), model, copies)
    with tg.no_grad():
        copies[0][0].weight.mul_(3)
        copies[1][0].bias.fill_(1.0)
    see(copies, model, step(*batch(7)), model)


@equal
def test_what_was_taken_from_the_model_before_compiling(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    weight = model[0].weight
    held = [model.state_dict(), weight.data, weight.detach().numpy(), weight.detach()[0]]
    for i in range(3):
        see(step(*batch(i)), model, held)
    with tg.no_grad():
        held[3].fill_(3.0)
        see(model, held)
        held[2][1] = 2.0
    see(model, held, step(*batch(4)), model, held)


@equal
def test_what_was_taken_from_the_model_after_compiling(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    step(*batch(0))
    weight = model[0].weight
    held = [model.state_dict(), weight.data, weight.detach().numpy(), weight.detach()[0]]
    for i in range(3):
        see(step(*batch(i)), model, held)
    with tg.no_grad():
        held[0]["0.bias"].fill_(0.5)
        held[3].fill_(3.0)
    see(model, held, step(*batch(4)), model, held)


@equal
def test_a_graph_from_before_the_step_is_refused_as_in_eager(compile: Any, see: Any) -> None:
    model, _, step = trained(compile)
    step(*batch(0))
    for i in range(3):
        before = (model(data(2, 3)) ** 2).sum()
        step(*batch(i))
        with pytest.raises(tg.InplaceError):
            before.backward()
        see(model)


@equal
def test_the_backward_of_a_compiled_forward(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    step, square = compile(lambda x: model(x)), compile(lambda x: x * x)
    for i in range(3):
        model.zero_grad()
        first, second = step(data(2, 3, seed=i)), step(data(2, 3, seed=i + 5))
        (first * second).sum().backward()
        x = data(3, seed=i).requires_grad_()
        square(square(x) * 2).sum().backward()
        see(model, x, first)


@equal
def test_weights_changed_between_a_compiled_forward_and_its_backward(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    step = compile(lambda x: model(x))
    for i in range(2):
        y = step(data(2, 3, seed=i))
        with tg.no_grad():
            model[2].weight.mul_(2.0)
        with pytest.raises(tg.InplaceError):
            y.sum().backward()
        see(y.detach())


@equal
def test_the_loss_of_a_step_has_no_graph_left(compile: Any, see: Any) -> None:
    _, _, step = trained(compile)
    for i in range(3):
        loss = step(*batch(i))
        see(loss.requires_grad)
        with pytest.raises(tg.GraphError):
            loss.backward()


# ----------------------------------------------------------------- kinds of steps


@equal
def test_methods_of_several_instances(compile: Any, see: Any) -> None:
    class Trainer:
        def __init__(self) -> None:
            self.model, self.factor = net(3, 4, 2), 1.0
            self.optimizer = SGD(self.model.parameters(), lr=0.1)

        @compile
        def step(self, x: Any, y: Any) -> Any:
            return training(self.model, self.optimizer)(x * self.factor, y)

    first, second = Trainer(), Trainer()
    for i in range(5):
        see(first.step(*batch(i)), second.step(*batch(i + 7)), first.model, second.model)
        second.factor += 1.0 * (i == 2)
    first.model = net(3, 2)
    first.optimizer = SGD(first.model.parameters(), lr=0.1)
    see(first.step(*batch(9)), first.model)


@equal
def test_static_class_and_unbound_methods(compile: Any, see: Any) -> None:
    class Owner:
        factor = 2.0

        @staticmethod
        @compile
        def static(x: Any) -> Any:
            return x * 2

        @classmethod
        def of_class(cls, x: Any) -> Any:
            return x * cls.factor

        @compile
        def method(self, x: Any) -> Any:
            return x * self.factor

    owner, of_class = Owner(), compile(Owner.of_class)
    for Owner.factor in (2.0, 3.0):
        see(Owner.static(data(3)), owner.static(data(3)), of_class(data(3)))
        see(Owner.method(owner, data(3)), owner.method(data(3)))


@equal
def test_a_compiled_forward_of_a_module_of_ones_own(compile: Any, see: Any) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net(3, 4, 2)

        @compile
        def forward(self, x: Any) -> Any:
            return self.inner(x).detach()

    own = Own()
    for i in range(3):
        see(own(data(2, 3, seed=i)), list(own.state_dict()), len(list(own.modules())), own)
    other = copy.deepcopy(own)
    with tg.no_grad():
        other.inner[0].weight.mul_(2)
    see(own(data(2, 3)), other(data(2, 3)), own, other)


@equal
def test_compiled_in_compiled(compile: Any, see: Any) -> None:
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), lr=0.1)
    inner = compile(lambda x: model(x))
    step = compile(lambda x, y: training(inner, optimizer)(x, y))
    whole = compile(training(compile(model), optimizer))
    for i in range(5):
        see(step(*batch(i)), whole(*batch(i)), model)


@equal
def test_recursion(compile: Any, see: Any) -> None:
    def plain(x: Any, n: int) -> Any:
        return x if n == 0 else plain(x * 2, n - 1)

    def through(x: Any, n: int) -> Any:
        return x if n == 0 else compiled(x * 2, n - 1)

    compiled = compile(through)
    step = compile(plain)
    see(step(data(3), 3), step(data(3), 2), compiled(data(3), 3), compiled(data(3), 2))


@pytest.mark.parametrize("warm", [True, False])
def test_threads(warm: bool) -> None:
    def script(compile: Any, see: Any) -> None:
        step, found = compile(lambda x: (x * 2 + 1).sum(0)), [None] * 4
        if warm:
            step(data(4, 3))

        def work(i: int) -> None:
            for _ in range(50):
                found[i] = step(data(4, 3, seed=i))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        see(found)

    agrees(script)


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
def test_arguments_that_look_elsewhere_into_one_array(compile: Any, see: Any) -> None:
    step, base = compile(lambda x: x + 1), data(10, 10)
    for i in range(4):
        see(step(base[:, i : i + 2]), step(base[i : i + 2]), step(base.T[i : i + 2]))


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


@equal
def test_gradients_that_the_step_assigns_or_forgets(compile: Any, see: Any) -> None:
    model, optimizer, _ = trained(lambda function: function)
    w = nn.Parameter(data(3))
    other = SGD([w], lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        loss = training(model, optimizer)(x, y)
        model[0].weight.grad = None
        w.grad = (x[0] * 2).detach()
        other.step()
        return loss

    step = compile(step)
    for i in range(5):
        see(step(*batch(i)), model, optimizer, w, other)


@equal
def test_hooks_and_kept_gradients_of_what_the_step_makes(compile: Any, see: Any) -> None:
    w = nn.Parameter(data(3))

    def step(x: Any) -> Any:
        w.grad = None
        h = x * w
        h.register_hook(lambda g: g * 2)
        h.retain_grad()
        (h**2).sum().backward()
        return h.grad

    step = compile(step)
    for i in range(3):
        see(step(data(3, seed=i)), w)


@equal
def test_a_compiled_forward_in_an_eager_training(compile: Any, see: Any) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 2)).double()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    forward = compile(model)
    for i in range(20):
        x, y = batch(i)
        optimizer.zero_grad()
        loss = F.mse_loss(forward(x), y) + (forward(x * 2) ** 2).mean()
        loss.backward()
        optimizer.step()
        see(loss, model, optimizer)


@equal
def test_forwards_whose_backwards_come_later(compile: Any, see: Any) -> None:
    """What one call keeps for its backward is not overwritten by the next."""
    model = net(3, 4, 2)
    forward, both = compile(model), compile(lambda x: {"a": model(x), "b": [model(x).exp(), x * 2]})
    for i in range(4):
        model.zero_grad()
        ys = [forward(data(5, 3, seed=10 * i + k)) for k in range(4)]
        found = both(data(5, 3, seed=i))
        loss = sum((y**2).sum() for y in ys) + found["b"][0].sum()
        loss.backward(retain_graph=True)
        loss.backward()
        with pytest.raises(tg.GraphError):
            loss.backward()
        see(model, ys)


@pytest.mark.parametrize("kind", ["permuted", "scalar", "empty", "mixed dtypes"])
def test_unusual_parameters(kind: str) -> None:
    def script(compile: Any, see: Any) -> None:
        w = nn.Parameter(data(4, 3).T if kind == "permuted" else data(3, 4))
        other = nn.Parameter(
            tg.tensor(0.5, dtype=tg.float64)
            if kind == "scalar"
            else tg.zeros(0).double()
            if kind == "empty"
            else tg.ones(4)
        )
        optimizer = SGD([w, other], lr=0.1, momentum=0.9, weight_decay=0.1)
        step = compile(training(lambda x: x @ w * (other.sum() + 1 if kind == "empty" else other), optimizer))
        for i in range(6):
            see(step(data(5, 3, seed=i), data(5, 4, seed=i)), w, other, optimizer)

    agrees(script)
