"""What a declaration can say: any number of inputs, optional ones, several outputs, axes, bodies, spelling.

The operations here are declared with the usual words and never published; each is held to the laws.
"""

from __future__ import annotations

import pickle
from functools import reduce
from math import prod
from typing import Any

import numpy as np
import pytest
from draws import cases_of, draws
from hypothesis import given
from laws import LAWS

import tinygrad_bp as tg
from tinygrad_bp.axes import ALONG, ALONG_OR_ALL
from tinygrad_bp.core import wrap
from tinygrad_bp.declare import REGISTRY, Case, Op, composite, constant, elementwise, fused, linear
from tinygrad_bp.grammar import grammar
from tinygrad_bp.methods import FUNCTIONS, function_of


def all_but(i: int, xs: Any) -> Any:
    return reduce(lambda a, b: a * b, [x for k, x in enumerate(xs) if k != i], 1.0)


def spread_back(g: Any, axis: int, x: Any, shape: Any) -> Any:
    return g.reshape([1 if i == axis else n for i, n in enumerate(shape)]) * np.sign(x)


product = fused(
    lambda tensors: reduce(np.multiply, tensors, 1.0),
    "the product of any number of tensors",
    lambda g, i, *xs: g * all_but(i, xs),
    inputs="tensors",
    cases=(Case((2, 3), (2, 3), (2, 3)), Case((3,), (3,)), Case(())),
)
sum_of_squares = fused(
    lambda tensors, scale=1.0: sum(x * x for x in tensors) * scale,
    "the squares of any number of tensors, added up",
    lambda g, x, scale: g * (2 * scale) * x,
    inputs="tensors",
    cases=(Case((2, 3), (2, 3), scale=0.5), Case((3,))),
)
scaled = fused(
    lambda a, b, c=None, shift=0.5: a * b + shift if c is None else a * b * c + shift,
    "a · b · c, where c may be missing",
    lambda g, b, c: g * b if c is None else g * b * c,
    lambda g, a, c: g * a if c is None else g * a * c,
    lambda g, a, b: g * a * b,
    cases=(Case((2, 3), (2, 3), (2, 3)), Case((2, 3), (2, 3)), Case((2,), (2,), shift=2.0)),
)
polar = fused(
    lambda a, b: (np.hypot(a, b), np.arctan2(b, a)),
    "length and angle of the point (a, b)",
    lambda g_length, g_angle, a, b, length: g_length * a / length - g_angle * b / (length * length),
    lambda g_length, g_angle, a, b, length: g_length * b / length + g_angle * a / (length * length),
    outputs=("length", "angle"),
    domain=(0.3, 2.0),
    cases=(Case((2, 3), (2, 3)), Case((), ())),
)
largest = fused(
    lambda x, axis: (np.max(x, axis, keepdims=True), np.argmax(x, axis, keepdims=True)),
    "the largest entries along an axis, and where they stand",
    lambda g_values, x, values: g_values * (x == values),
    outputs=("values", "indices"),
    axis=ALONG,
    cases=(Case((2, 3), axis=-1), Case((3, 2), axis=0), Case((), axis=0)),
)
NEW: dict[str, Op] = {
    name: value.op for name, value in (
        ("product", product), ("sum_of_squares", sum_of_squares), ("scaled", scaled), ("polar", polar),
        ("largest", largest),
    )
}  # fmt: skip
for name, op in NEW.items():
    op.key = op.name = name


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", NEW)
def test_new_kinds_of_operation_obey_the_laws(name: str, law: str) -> None:
    op = NEW[name]
    for case in cases_of(op):

        @given(draws(op, case))
        def check(d: Any) -> None:
            LAWS[law](op, d)

        check()


def leaves(*shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(3)
    return [tg.tensor(rng.uniform(0.5, 2.0, shape), requires_grad=True) for shape in shapes]


def test_outputs_come_with_names_and_one_may_be_left_alone() -> None:
    a, b = leaves((3,), (3,))
    found = polar(a, b)
    assert found._fields == ("length", "angle")
    length, angle = found
    (only,) = tg.autograd.grad(length.sum(), [a], retain_graph=True)
    np.testing.assert_allclose(only.array, a.array / np.hypot(a.array, b.array))
    (both,) = tg.autograd.grad((length * angle).sum(), [a], retain_graph=True)
    (again,) = tg.autograd.grad(angle.sum(), [a])
    np.testing.assert_allclose(both.array, only.array * angle.array + again.array * length.array)


def test_an_output_of_integers_has_no_gradient() -> None:
    (x,) = leaves((2, 3))
    values, indices = largest(x, -1)
    assert values.requires_grad
    assert not indices.requires_grad
    assert indices.dtype == np.int64


def test_second_derivatives_go_through_every_output() -> None:
    a, b = leaves((), ())
    length, angle = polar(a, b)
    (first,) = tg.autograd.grad(length * angle, [a], create_graph=True)
    (second,) = tg.autograd.grad(first, [b])
    x, y, h = a.item(), b.item(), 1e-5

    def slope(y: float) -> float:
        r, t = np.hypot(x, y), np.arctan2(y, x)
        return float(x / r * t - y / r)

    assert second.item() == pytest.approx((slope(y + h) - slope(y - h)) / (2 * h), rel=1e-6)


def test_several_outputs_under_no_grad_and_compiled() -> None:
    a, b = leaves((4,), (4,))
    with tg.no_grad():
        assert not any(part.requires_grad for part in polar(a, b))

    def step(a: Any, b: Any) -> Any:
        length, angle = polar(a, b)
        loss = (length * angle).sum()
        return loss.detach(), *tg.autograd.grad(loss, [a, b])

    expected = [t.array.copy() for t in step(a, b)]
    found = tg.compile(step)(a, b)
    np.testing.assert_array_equal(found[0].array, expected[0])
    for mine, other in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_allclose(mine.array, other, rtol=1e-15)


def test_any_number_of_inputs_share_one_rule() -> None:
    xs = leaves((2,), (2,), (2,), (2,))
    grads = tg.autograd.grad(product(xs).sum(), xs)
    for i, g in enumerate(grads):
        np.testing.assert_allclose(g.array, prod([x.array for k, x in enumerate(xs) if k != i], start=np.ones(2)))
    with pytest.raises(tg.TensorError, match="the list of tensors is empty"):
        product([])
    with pytest.raises(tg.TensorError, match="a list or tuple of tensors is expected"):
        product(xs[0])
    with pytest.raises(tg.TensorError, match="product"):
        product([xs[0], tg.ones(3)])


def test_an_optional_input_is_left_out_or_none() -> None:
    a, b, c = leaves((2,), (2,), (2,))
    np.testing.assert_allclose(scaled(a, b, c).array, a.array * b.array * c.array + 0.5)
    for y in (scaled(a, b), scaled(a, b, None), scaled(a, b, shift=0.5)):
        np.testing.assert_allclose(y.array, a.array * b.array + 0.5)
    with pytest.raises(tg.TensorError, match="scaled"):
        scaled(None, b)


def test_a_rule_may_read_only_what_there_is() -> None:
    with pytest.raises(TypeError, match="reads 'z'"):
        elementwise(np.exp, "wrong", lambda g, z: g)
    with pytest.raises(TypeError, match="reads"):
        fused(lambda tensors: tensors[0], "wrong", lambda g, b: g, inputs="tensors")
    with pytest.raises(TypeError, match="unknown options"):
        elementwise(np.exp, "wrong", lambda g: g, alais=("e",))


def test_the_axis_is_read_in_one_place() -> None:
    seen = []
    look = constant(lambda x, axis=None: seen.append((x.shape, axis)) or x, "what it sees", axis=ALONG_OR_ALL)
    look.op.name = "look"
    for x, axis in ((tg.ones(2, 3), -1), (tg.ones(2, 3), None), (tg.tensor(1.0), -1), (tg.ones(0), 0)):
        assert look(x, axis).shape == x.shape
    assert seen == [((2, 3), 1), ((2, 3), None), ((1,), 0), ((0,), 0)]
    for wrong in (2, -3, True, 1.0, "0", (0,)):
        with pytest.raises(tg.TensorError, match="look"):
            look(tg.ones(2, 3), wrong)


def test_bodies_are_parts_of_the_whole() -> None:
    doubled = elementwise(lambda x: 2 * x, "2 x", lambda g: 2 * g)
    whole = composite(lambda x: doubled(x), bodies=(doubled,))
    assert doubled.op.internal
    assert not doubled.op.method
    assert not doubled.op.public
    assert whole.op.public
    assert {op.name for op in REGISTRY.values() if op.key in ("power", "pow_number")} == {"pow"}


def test_spelling_stands_in_the_declaration() -> None:
    op = elementwise(lambda x, rate=2.0: x * rate, "faster", lambda g, rate: g * rate, torch={"rate": "speed"}).op
    op.key = op.name = "faster"
    call = function_of(op)
    x = tg.ones(1)
    for y in (call(x, 3), call(x, rate=3), call(input=x, speed=3), call(x=x, speed=3)):
        assert y.item() == 3
    assert str(grammar(op).signature()) == "(input, speed=2.0)"
    with pytest.raises(tg.TensorError, match=r"faster takes \(input, speed\)"):
        call(tg.ones(1), velocity=3)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_shows_its_parameters(name: str) -> None:
    import inspect

    parameters = inspect.signature(getattr(tg, name)).parameters
    assert parameters
    assert "kwargs" not in parameters
    assert "args" not in parameters
    assert getattr(tg, name).__doc__


@pytest.mark.parametrize(("call", "same"), [
    ("np.triu(t, k=1)", "t.triu(1)"), ("np.tril(t, -1)", "t.tril(-1)"), ("np.transpose(t, axes=(1, 0))", "t.T"),
    ("np.diagonal(t, axis1=1, axis2=0)", "t.diagonal(0, 1, 0)"), ("np.diag(t, k=1)", "t.diag(1)"),
    ("np.swapaxes(t, axis1=0, axis2=1)", "t.T"), ("np.stack([t, t], axis=1)", "tg.stack([t, t], 1)"),
    ("np.squeeze(t[:, None], axis=1)", "t"), ("np.round(t, decimals=1)", "t.round(decimals=1)"),
    ("np.flip(t)", "t.flip(0, 1)"), ("np.tile(t, reps=(2, 1))", "t.tile(2, 1)"), ("np.add.reduce(t)", "t.sum(0)"),
    ("np.maximum.reduce(t, axis=1)", "t.amax(1)"), ("np.trace(t, offset=1)", "t.diagonal(1).sum()"),
])  # fmt: skip
def test_numpys_own_keywords_reach_the_operation(call: str, same: str) -> None:
    t = leaves((2, 3))[0]
    ours, theirs = (eval(text, {"np": np, "tg": tg, "t": t}) for text in (call, same))
    np.testing.assert_array_equal(ours.array, theirs.array)
    assert ours.requires_grad
    assert wrap is not None


def test_the_linear_map_is_one_operation_with_and_without_a_bias() -> None:
    affine: Any = REGISTRY["affine"].call
    x, w, b = leaves((4, 3), (2, 3), (2,))
    plain, biased = affine(x, w), affine(x, w, b)
    assert plain.grad_fn.op is biased.grad_fn.op
    assert len(plain.grad_fn.edges) == 2
    assert linear is not None


def test_a_rule_that_was_forgotten_is_missed() -> None:
    with pytest.raises(TypeError, match="it has 1 rules, for"):
        fused(lambda a, b: a * b, "a · b", lambda g: g)


def test_results_of_several_outputs_can_be_pickled() -> None:
    found = tg.ones(2).aminmax()
    again = pickle.loads(pickle.dumps(found))
    assert type(again) is type(found)
    assert again.min.item() == 1


def test_functions_of_one_argument_take_it_by_name() -> None:
    x = tg.tensor([0.5])
    assert all(FUNCTIONS[name](input=x).shape == (1,) for name in ("exp", "tanh", "erf", "isnan", "neg"))
    assert tg.max(x, other=2 * x).item() == 1
    assert tg.addmm(tg.tensor(np.nan), tg.ones(1, 1), tg.ones(1, 1), beta=0).item() == 1


def test_many_halves_are_added_up_in_float32() -> None:
    xs = [tg.tensor([100.0]).half().requires_grad_() for _ in range(3)]
    y = sum_of_squares(xs, scale=1 / 4096)  # 30,000 / 4096 on the way beyond what counts by ones
    assert y.dtype == np.float16
    assert y.item() == np.float16(30000 / 4096)
    big = [tg.tensor([300.0]).half(), tg.tensor([1.0]).half()]
    assert sum_of_squares(big, scale=0.5).item() == np.float16(45000.5)
    assert sum_of_squares(xs, scale=1 / 4096).grad_fn.name() == "SumOfSquaresBackward"
    (g,) = tg.autograd.grad(y.sum(), xs[:1])
    assert g.dtype == np.float16
    assert g.item() == np.float16(200 / 4096)
