"""Each pass changes a program into one that means the same, and takes away what it says.

Exact passes are held to the bit, on random programs and on whole training steps; see `program_kit.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_kit import (
    Build,
    anchored_rule,
    assert_same,
    clock,
    data_for,
    descend,
    meaning,
    plain_rule,
    programs,
    sigmoid,
    training_step,
    updates,
)

from tinygrad_bp.compiler.explain import explain
from tinygrad_bp.compiler.passes import PASSES, optimise
from tinygrad_bp.compiler.program import CONSTANT, Program, Value
from tinygrad_bp.errors import ArgumentError

EXACT = [name for name, one in PASSES.items() if one.exact]
INEXACT = [name for name, one in PASSES.items() if not one.exact]
DIGITS = 1e-12


def names(program: Program) -> list[str]:
    """The calls by name, views left out."""
    return [call.prim.name for call in program.calls if call.prim.kind != "view"]


def apply(name: str, program: Program) -> Program:
    return PASSES[name].function(program)


def checked(name: str, program: Program, awkward: bool = True) -> Program:
    """The program after a pass, which has to mean the same."""
    after = apply(name, program)
    exact = PASSES[name].exact
    for seed in range(3):
        assert_same(program, after, data_for(program, seed, awkward and exact), 0.0 if exact else DIGITS)
    return after


def left(name: str, b: Build, *outputs: Value) -> list[str]:
    """What a pass leaves of a program with these outputs."""
    b.output(*outputs)
    return names(checked(name, b.program))


# ------------------------------------------------------------------------------------------ the same meaning

STEPS: dict[str, Any] = {
    "plain": {},
    "bias": {"bias": True},
    "one row": {"bias": True, "batch": 1},
    "three layers, float32": {
        "sizes": (5, 4, 4, 2), "activations": ("Tanh", "Tanh", "Sigmoid"), "dtype": np.float32, "bias": True,
    },
    "momentum": {"bias": True, "momentum": True},
    "first momentum": {"bias": True, "momentum": True, "first": True},
    "first, nesterov": {"momentum": True, "first": True, "nesterov": True, "decay": True},
    "everything": {"bias": True, "momentum": True, "nesterov": True, "decay": True, "clip": True},
    "clip": {"clip": True},
    "large batch": {"sizes": (3, 8, 2), "batch": 40, "bias": True},
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", PASSES)
def test_a_training_step_means_the_same_after_each_pass(name: str, step: str) -> None:
    program = training_step(**STEPS[step])
    for seed in range(2):
        assert_same(program, apply(name, program), data_for(program, seed), 0.0 if PASSES[name].exact else DIGITS)


@pytest.mark.parametrize("step", STEPS)
def test_a_training_step_means_the_same_after_all_passes(step: str) -> None:
    program = training_step(**STEPS[step])
    assert_same(program, optimise(program), data_for(program), DIGITS)
    assert_same(program, optimise(program, without=INEXACT), data_for(program))


@settings(max_examples=100, deadline=None)
@given(programs(), st.integers(0, 100))
def test_random_programs_keep_every_bit_after_the_exact_passes(program: Program, seed: int) -> None:
    data = data_for(program, seed, awkward=True)
    for name in EXACT:
        assert_same(program, apply(name, program), data)
    assert_same(program, optimise(program, without=INEXACT), data)


@settings(max_examples=100, deadline=None)
@given(updates(), st.integers(0, 100))
def test_random_updates_keep_every_bit_when_they_are_laid_flat(program: Program, seed: int) -> None:
    data = data_for(program, seed, awkward=True)
    assert_same(program, apply("flat", program), data)
    assert_same(program, optimise(program, without=INEXACT), data)


@settings(max_examples=75, deadline=None)
@given(programs(), st.integers(0, 100))
def test_random_programs_keep_their_digits_after_the_other_passes(program: Program, seed: int) -> None:
    """What follows in a random program may blow an error up: a power, a difference."""
    for name in INEXACT:
        assert_same(program, apply(name, program), data_for(program, seed), rtol=1e-8)


@settings(max_examples=50, deadline=None)
@given(st.one_of(programs(), updates()))
def test_a_pass_leaves_the_program_that_it_is_given_alone(program: Program) -> None:
    before = repr(program)
    for name in PASSES:
        apply(name, program)
    optimise(program)
    assert repr(program) == before


def test_passes_can_be_switched_off_by_name() -> None:
    program = training_step(bias=True)
    assert optimise(program, without=["flat"]).flat == {}
    assert "flat" not in optimise(program, without="flat").removed
    assert names(optimise(program, without=PASSES)) == names(program)
    with pytest.raises(ArgumentError, match="'flatt'; there are dead, common"):
        optimise(program, without=["flatt"])


def test_a_second_time_there_is_nothing_left_to_do() -> None:
    once = optimise(training_step(bias=True, momentum=True, clip=True))
    assert repr(optimise(once)) == repr(once)
    assert all(value.maker is call for call in once.calls for value in call.outs)


# ---------------------------------------------------------------------------------------------- dead, common


def test_dead_keeps_effects_in_order_and_what_they_read() -> None:
    b = Build()
    x = b.argument((3,))
    unread = b.ufunc(np.exp, x)
    b.function(clock, effect=True)
    b.ufunc(np.negative, unread)
    read = b.ufunc(np.tanh, x)
    b.function(clock, effect=True)
    assert left("dead", b, read) == ["clock", "tanh", "clock"]


def test_common_merges_across_phases_and_arguments_already_merged() -> None:
    b = Build()
    x, y = b.argument((3,)), b.argument((3,))
    first = b.ufunc(np.exp, b.ufunc(np.subtract, x, y))
    b.phase = "backward"
    again = b.ufunc(np.exp, b.ufunc(np.subtract, x, y))
    assert left("common", b, first, again) == ["subtract", "exp"]


@pytest.mark.parametrize(("a", "b"), [(1, 1.0), (1, True), (1.0, True), (0.0, -0.0), (2, 2.0)])
def test_common_tells_numbers_apart_that_compare_equal(a: Any, b: Any) -> None:
    build = Build()
    x = build.argument((3,), np.int64)
    outs = [build.ufunc(np.multiply, x, number) for number in (a, b, a)]
    copies = [build.constant(a), build.constant(b), build.constant(a)]
    outs += [build.ufunc(np.multiply, x, held) for held in copies]
    assert left("common", build, *outs) == ["multiply"] * 4


def test_common_keeps_effects_other_orders_and_other_warnings() -> None:
    b = Build()
    x, y = b.argument((3,)), b.argument((3,))
    outs = [b.ufunc(np.subtract, x, y), b.ufunc(np.subtract, y, x)]
    b.quiet = {"over": "ignore"}
    outs += [b.ufunc(np.subtract, x, y), b.function(clock, effect=True), b.function(clock, effect=True)]
    outs += [b.reduce(np.add, outs[0], axis=0), b.reduce(np.add, outs[0], axis=0, keepdims=True)]
    assert len(left("common", b, *outs)) == 7


# ---------------------------------------------------------------------------------------------------- fold


def test_fold_computes_what_is_constant() -> None:
    b = Build()
    x, c = b.argument((2,)), b.constant([1.0, 4.0])
    half = b.ufunc(np.true_divide, b.ufunc(np.sqrt, c), 2)
    assert left("fold", b, b.ufunc(np.add, x, half), half) == ["add"]


def test_fold_leaves_what_would_grow_or_warn() -> None:
    b = Build()
    small, zero = b.constant(1.0), b.constant(0.0)
    large = b.ufunc(np.negative, b.broadcast_to(small, (1 << 18,)))
    divided = b.ufunc(np.true_divide, small, zero)
    assert left("fold", b, large, divided, b.function(clock, effect=True)) == ["negative", "divide", "clock"]
    b = Build()
    b.quiet = {"divide": "ignore"}
    assert left("fold", b, b.ufunc(np.true_divide, b.constant(1.0), b.constant(0.0))) == []


# -------------------------------------------------------------------------------------------------- algebra


@pytest.mark.parametrize(
    ("function", "number", "side", "gone"),
    [
        (np.multiply, 1.0, 0, True), (np.multiply, 1, 1, True), (np.true_divide, 1.0, 1, True),
        (np.true_divide, 1.0, 0, False), (np.power, 1, 1, True), (np.power, 1, 0, False),
        (np.add, -0.0, 0, True), (np.add, 0.0, 0, False), (np.add, 0, 1, False),
        (np.subtract, 0.0, 1, True), (np.subtract, 0, 1, True), (np.subtract, -0.0, 1, False),
        (np.subtract, 0.0, 0, False), (np.multiply, 0.0, 0, False), (np.multiply, -1.0, 0, False),
        (np.maximum, -np.inf, 1, True), (np.maximum, np.inf, 1, False), (np.minimum, np.inf, 0, True),
    ],
)  # fmt: skip
def test_algebra_knows_the_numbers_that_change_nothing(function: Any, number: Any, side: int, gone: bool) -> None:
    for held in (False, True):
        b = Build()
        x = b.argument((2, 3))
        operand = b.constant(np.full((1, 3), number), np.float64) if held else number
        if held and number == 0 and not isinstance(number, float):
            continue
        y = b.ufunc(function, *((x, operand) if side else (operand, x)))
        assert left("algebra", b, y) == ([] if gone else [function.__name__]), held


def test_algebra_keeps_shape_and_dtype() -> None:
    b = Build()
    x, n = b.argument((3,), np.float32), b.argument((3,), np.int64)
    wide, one = b.constant(np.ones((2, 3)), np.float32), b.constant(1.0, np.float64)
    outs = [b.ufunc(np.multiply, x, wide), b.ufunc(np.multiply, x, one), b.ufunc(np.multiply, n, 1.0),
            b.ufunc(np.true_divide, n, 1), b.ufunc(np.multiply, x, 1.0, dtype=np.float64)]  # fmt: skip
    assert len(left("algebra", b, *outs)) == 5
    b = Build()
    n = b.argument((3,), np.int64)
    assert left("algebra", b, b.ufunc(np.add, n, 0), b.ufunc(np.multiply, n, 1)) == []


def test_algebra_drops_double_negatives_copies_and_casts_to_the_same() -> None:
    b = Build()
    x = b.argument((3,))
    y = b.ufunc(np.exp, b.ufunc(np.negative, b.ufunc(np.negative, x)))
    outs = [y, b.copy(y), b.astype(y, np.float64), b.ufunc(np.positive, x), b.astype(y, np.float32)]
    assert left("algebra", b, *outs) == ["negative", "exp", "astype"]


def test_algebra_joins_views() -> None:
    b = Build()
    x = b.argument((2, 3, 4))
    back = b.transpose(b.transpose(x, (1, 2, 0)), (2, 0, 1))
    turned = b.transpose(b.transpose(x, (1, 2, 0)), (1, 2, 0))
    shaped = b.reshape(b.reshape(x, (6, 4)), (24,))
    whole = b.getitem(b.reshape(b.getitem(x, (slice(None), ...)), (2, 3, 4)), ...)
    b.output(back, turned, shaped, whole)
    after = apply("dead", checked("algebra", b.program))
    assert [(call.prim.name, call.args[1]) for call in after.calls] == [("transpose", (2, 0, 1)), ("reshape", (24,))]


def test_algebra_takes_all_of_an_array_by_a_reshape() -> None:
    b = Build()
    x = b.argument((1, 3))
    b.output(b.getitem(x, 0), b.getitem(x, (0, slice(None, None, -1))), b.getitem(x, (0, slice(1, None))))
    assert [call.prim.name for call in checked("algebra", b.program).calls] == ["reshape", "getitem", "getitem"]


def test_algebra_joins_views_in_the_right_order() -> None:
    b = Build()
    x = b.argument((2, 3, 4))
    turned = b.transpose(b.transpose(x, (1, 2, 0)), (1, 0, 2))
    by_columns = b.function(np.reshape, b.reshape(x, (24,)), (6, 4), order="F")
    by_columns.maker.prim = b.program.calls[-2].prim  # type: ignore[union-attr]
    square = b.argument((3, 3))
    b.output(turned, by_columns, b.transpose(square), b.getitem(square, slice(None, None, -1)))
    checked("algebra", b.program)


def test_algebra_repeats_nothing_before_it_has_to() -> None:
    b = Build()
    m, g = b.memory((4, 3)), b.constant(0.25)
    full = b.constant(np.full((4, 3), 0.25))
    outs = [b.ufunc(np.multiply, b.broadcast_to(g, (4, 3)), m), b.ufunc(np.multiply, m, full),
            b.ufunc(np.negative, full)]  # fmt: skip
    b.output(*outs)
    after = checked("algebra", b.program)
    assert [[v.shape for v in call.inputs()] for call in after.calls][1:] == [[(), (4, 3)], [(4, 3), ()], [(4, 3)]]


def test_algebra_keeps_a_copy_whose_layout_a_sum_may_show() -> None:
    b = Build()
    turned = b.transpose(b.argument((3, 2)))
    assert left("algebra", b, b.reduce(np.add, b.astype(turned, np.float64), axis=None)) == ["astype", "add"]
    b = Build()
    turned, full = b.transpose(b.argument((3, 2))), b.constant(np.full((2, 3), 0.1))
    assert left("algebra", b, b.reduce(np.add, b.ufunc(np.add, full, turned), axis=None)) == ["add", "add"]
    assert [v.shape for v in checked("algebra", b.program).calls[1].inputs()] == [(2, 3), (2, 3)]
    b = Build()
    assert left("algebra", b, b.ufunc(np.exp, b.copy(b.transpose(b.argument((3, 2)))))) == ["exp"]


# -------------------------------------------------------------------------------------------- bias, sums …


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", [0, (0,), -2])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bias_writes_sums_over_rows_as_products(axis: Any, keepdims: bool, dtype: Any) -> None:
    b = Build()
    assert left("bias", b, b.reduce(np.add, b.argument((4, 3), dtype), axis, keepdims)) == ["dot"]
    b = Build()
    assert left("bias", b, b.reduce(np.add, b.argument((1, 3), dtype), axis, keepdims)) == []  # a view is enough


@pytest.mark.parametrize(
    ("shape", "dtype", "axis"),
    [((0, 3), float, 0), ((4, 3), int, 0), ((2, 4, 3), float, 0), ((4, 3), float, 1), ((4,), float, 0),
     ((5000, 2), float, 0), ((), float, ())],
)  # fmt: skip
def test_bias_leaves_other_sums(shape: Any, dtype: Any, axis: Any) -> None:
    b = Build()
    assert left("bias", b, b.reduce(np.add, b.argument(shape, dtype), axis)) == ["add"]
    b = Build()
    if shape == (4, 3):
        assert left("bias", b, b.reduce(np.maximum, b.argument(shape), 0)) == ["maximum"]


@pytest.mark.parametrize(
    ("shape", "axis", "result"),
    [((4, 3), 1, "dot"), ((4, 3), None, "dot"), ((2, 2, 3), (0, 1, 2), "dot"), ((5,), 0, "dot"), ((4, 3), 0, "add"),
     ((2, 2, 3), 1, "add"), ((70, 70), None, "add"), ((0, 3), None, "add")],
)  # fmt: skip
@pytest.mark.parametrize("keepdims", [False, True])
def test_sums_writes_short_sums_as_products(shape: Any, axis: Any, result: str, keepdims: bool) -> None:
    b = Build()
    assert left("sums", b, b.reduce(np.add, b.argument(shape), axis, keepdims)) == [result]


@pytest.mark.parametrize(("n", "dtype", "fewer"), [(9, np.float64, True), (3, np.float32, False), (40, float, False)])
def test_sigmoid_of_few_numbers_in_three_calls(n: int, dtype: Any, fewer: bool) -> None:
    b = Build()
    b.output(sigmoid(b, b.argument((n,), dtype)))
    after = apply("dead", checked("sigmoid", b.program))
    assert names(after) == (["negative", "logaddexp", "power"] if fewer else names(b.program))
    extreme = np.resize(np.array([0.0, -1e4, 1e4, -30, 30, np.inf, -np.inf, np.nan, -700]), n).astype(dtype)
    data = data_for(b.program)._replace(arguments=[extreme])
    was, now = (meaning(program, data)[0][0] for program in (b.program, after))
    np.testing.assert_allclose(now, was, rtol=1e-13)


def test_sigmoid_leaves_what_is_read_elsewhere() -> None:
    b = Build()
    y = sigmoid(b, b.argument((4,)))
    assert left("sigmoid", b, y, b.program.calls[2].out) == names(b.program)


def test_scale_makes_one_factor_of_two_but_none_out_of_range() -> None:
    b = Build()
    x = b.argument((3,))
    y = b.ufunc(np.true_divide, b.ufunc(np.multiply, 2.0, b.ufunc(np.multiply, x, b.constant(0.3))), 7)
    b.output(y)
    after = apply("dead", apply("scale", apply("scale", b.program)))
    assert names(after) == ["multiply"]
    assert_same(b.program, after, data_for(b.program), DIGITS)
    b = Build()
    far = b.ufunc(np.multiply, b.ufunc(np.multiply, b.argument((3,), np.float32), 1e30), 1e-30)
    divided = b.ufunc(np.true_divide, 2.0, b.ufunc(np.multiply, b.argument((3,)), 3.0))
    assert len(left("scale", b, far, divided)) == 4


# ----------------------------------------------------------------------------------------------------- flat


def flat_names(program: Program) -> dict[str, list[str]]:
    return {flat.name: [member.name for member in members] for flat, members in program.flat.items()}


def test_flat_updates_a_whole_net_in_two_calls() -> None:
    after = checked("flat", training_step((2, 3, 3, 2), ("Tanh",) * 3, bias=True))
    assert [call.prim.name for call in after.calls if call.phase == "update" and call.prim.kind == "ufunc"] == [
        "multiply", "subtract",
    ]  # fmt: skip
    every = [f"layer{i}.{part}" for i in range(3) for part in ("weight", "bias")]
    assert flat_names(after) == {"parameters": every}
    (flat,) = after.flat
    assert list(after.writes) == [flat]
    assert (flat.shape, after.writes[flat].shape) == ((6 + 3 + 9 + 3 + 6 + 2,), flat.shape)


def test_flat_takes_the_state_along_and_shows_the_gradients() -> None:
    program = training_step(bias=True, momentum=True, decay=True, nesterov=True, clip=True)
    after = checked("flat", program)
    weights = ["layer0.weight", "layer0.bias", "layer1.weight", "layer1.bias"]
    buffers = [f"{name}.momentum_buffer" for name in weights]
    assert flat_names(after) == {"momentum_buffers": buffers, "parameters": weights}
    assert [p for p, _ in after.gradients] == [p for p, _ in program.gradients]
    clipped = {value.maker.args[0].maker.args[0] for _, value in after.gradients if len(value.shape) == 2}  # type: ignore[union-attr]
    assert len(clipped) == 1  # all look into one array


def test_flat_gathers_in_the_order_of_the_members() -> None:
    after = checked("flat", training_step())
    (gather,) = [call for call in after.calls if call.prim.kind == "gather"]
    (members,) = after.flat.values()
    assert [part.shape for part in gather.args] == [member.shape for member in members]
    assert gather.out.name == "gradients"
    assert {value.maker.args[0].maker.args[0] for _, value in after.gradients} == {gather.out}  # type: ignore[union-attr]


def test_flat_keeps_switched_off_warnings_and_takes_along_what_is_only_read() -> None:
    b = Build()
    lr, parameters = b.setting("lr"), [b.memory((2,), name="weight"), b.memory((2, 2), name="weight")]
    b.phase, b.quiet = "update", {"over": "ignore"}
    for p in parameters:
        b.write(p, anchored_rule(b, p, b.ufunc(np.tanh, p), lr))
    after = checked("flat", b.program)
    assert flat_names(after) == {"weights": ["weight"] * 2, "anchors": ["anchor"] * 2}
    assert len(after.writes) == 1
    assert all(call.quiet for call in after.calls if call.prim.kind == "ufunc")


def test_flat_tells_other_numbers_other_warnings_and_shared_calls_apart() -> None:
    for difference in ("number", "warnings", "shared"):
        b = Build()
        x, parameters = b.argument((2,)), [b.memory((2,)), b.memory((2,))]
        b.phase = "update"
        step = b.ufunc(np.multiply, x, 0.5)
        for i, p in enumerate(parameters):
            b.quiet = {"over": "ignore"} if i and difference == "warnings" else {}
            factor = 0.25 if i and difference == "number" else 0.5
            new = b.ufunc(np.subtract, p, step if difference == "shared" else b.ufunc(np.multiply, x, factor))
            b.write(p, new)
        assert all(call.prim.name != "gather" or len(call.args) == 1 or difference != "shared"
                   for call in checked("flat", b.program).calls)  # fmt: skip
        assert difference == "shared" or checked("flat", b.program) is b.program


def test_flat_leaves_numbers_whose_state_is_handed_in() -> None:
    b = Build()
    x, parameters = b.argument(()), [b.memory(()), b.memory(())]
    b.phase = "update"
    for p in parameters:
        state = b.memory(())
        b.write(p, b.ufunc(np.subtract, p, b.ufunc(np.multiply, state, 0.5)))
        b.write(state, x)
    assert checked("flat", b.program) is b.program


def test_flat_makes_a_group_for_each_setting() -> None:
    b = Build()
    x = b.argument((2,))
    parameters = [b.memory((2,), name=f"p{i}") for i in range(4)]
    gradients = {p: b.ufunc(np.multiply, x, p) for p in parameters}
    b.phase = "update"
    descend(b, {p: gradients[p] for p in parameters[:2]})
    descend(b, {p: gradients[p] for p in parameters[2:]})
    assert flat_names(checked("flat", b.program)) == {"parameters": ["p0", "p1"], "parameters_2": ["p2", "p3"]}


def test_flat_leaves_what_may_not_move_and_what_is_alone() -> None:
    b = Build()
    x = b.argument((2,))
    parameters = [b.memory((2,), name="fixed", movable=False), b.memory((2,)), b.memory((2,), np.float32)]
    gradients = {p: b.ufunc(np.multiply, p, p) for p in parameters}
    b.phase = "update"
    descend(b, gradients)
    b.output(x)
    assert checked("flat", b.program) is b.program


def test_flat_with_parameters_of_no_entries_and_of_no_dimension() -> None:
    b = Build()
    b.argument(())
    shapes = ((), (0, 3), (2, 2), ())
    gradients = {p: b.ufunc(np.multiply, p, 2.0) for p in (b.memory(shape, name=f"p{shape}") for shape in shapes)}
    b.phase = "update"
    descend(b, gradients, momentum=True)
    assert sorted(map(len, checked("flat", b.program).flat.values())) == [4, 4]
    b = Build()  # slope and intercept of a line, each a single number; clipped, too
    gradients = {p: b.ufunc(np.multiply, p, 2.0) for p in (b.memory((), name="a"), b.memory((), name="b"))}
    b.phase = "update"
    descend(b, gradients, clip=True)
    assert flat_names(checked("flat", b.program)) == {"parameters": ["a", "b"]}


def test_flat_does_not_let_a_reader_between_see_the_wrong_content() -> None:
    """The second parameter's gradient needs the first one's new content, so the two cannot be updated at once."""
    b = Build()
    lr, first, second = b.setting("lr"), b.memory((3,)), b.memory((3,))
    b.phase = "backward"
    g = b.ufunc(np.tanh, first)
    b.phase = "update"
    new = plain_rule(b, first, g, lr)
    b.write(first, new)
    b.phase = "backward"
    late = b.ufunc(np.multiply, new, second)
    b.phase = "update"
    b.write(second, plain_rule(b, second, late, lr))
    assert checked("flat", b.program) is b.program


def test_flat_lays_out_two_nets_trained_one_after_the_other() -> None:
    b = Build()
    lr, parameters = b.setting("lr"), [b.memory((3,), name=f"p{i}") for i in range(4)]
    read: list[Value] = parameters[:2]
    for pair in (parameters[:2], parameters[2:]):
        b.phase = "backward"
        gradients = [b.ufunc(np.multiply, p, b.ufunc(np.tanh, r)) for p, r in zip(pair, read, strict=True)]
        b.phase = "update"
        read = [plain_rule(b, p, g, lr) for p, g in zip(pair, gradients, strict=True)]
        for p, new in zip(pair, read, strict=True):
            b.write(p, new)
            b.gradient(p, gradients[pair.index(p)])
    assert sorted(flat_names(checked("flat", b.program)).values()) == [["p0", "p1"], ["p2", "p3"]]


def test_flat_orders_two_steps_in_one_program() -> None:
    b = Build()
    lr, parameters = b.setting("lr"), [b.memory((3,)), b.memory((2, 2))]
    contents = list(parameters)
    for _ in range(2):
        b.phase = "backward"
        gradients = [b.ufunc(np.tanh, content) for content in contents]
        b.phase = "update"
        contents = [plain_rule(b, content, g, lr) for content, g in zip(contents, gradients, strict=True)]
    for p, content in zip(parameters, contents, strict=True):
        b.write(p, content)
    b.output(*contents)
    after = checked("flat", b.program)
    assert [call.prim.name for call in after.calls if call.prim.name in ("multiply", "subtract")] == [
        "multiply", "subtract", "multiply", "subtract",
    ]  # fmt: skip


# -------------------------------------------------------------------------------------------------- explain


def test_explain_tells_calls_operations_and_memory() -> None:
    program = training_step((4, 5, 1), batch=4, bias=True)
    after = optimise(program, without="stack")  # which belongs to no layer
    told = explain(program, after, [("hidden", (3, 5), np.dtype(float), 120)], "def step():\n    # why\n    return 1\n")
    lines = told.splitlines()
    calls = [call for call in after.calls if call.prim.kind not in ("view", "gather")]
    assert lines[0] == f"{len(calls)} NumPy calls"
    assert "2 lines of Python" in lines[1]
    row = next(line for line in lines if line.strip().startswith("layer0"))
    assert row.endswith("Linear(in_features=4, out_features=5, bias=True)")
    dots = 2 * 4 * 4 * 5 * 2 + 2 * 4 * 5  # forward and to the weight; ones · g for the bias
    entrywise = 4 * 5 * (1 + 3 + 3)  # + bias; the sigmoid in three calls, its derivative in three
    assert row.split()[1:5] == ["5", "5", "·", str(dots + entrywise)]
    assert "parameters  (31,)  float64  248 B  layer0.weight, layer0.bias, layer1.weight, layer1.bias" in told
    assert "hidden    (3, 5)  float64  120 B" in told
    assert "none" in told.split("new arrays at each call")[1]


def test_explain_lists_what_allocates_and_what_is_not_counted() -> None:
    b = Build()
    b.output(b.function(np.cumsum, b.ufunc(np.exp, b.argument((3,)))))
    told = explain(b.program, optimise(b.program), allocating=["y = cumsum(x)"])
    assert told.splitlines()[0] == "2 NumPy calls"
    assert "y = cumsum(x)" in told
    assert "exp: each entry counts as one operation" in told
    assert "cumsum: operations not counted" in told


def test_constants_are_the_only_values_with_an_array() -> None:
    after = optimise(training_step(bias=True, clip=True))
    for call in after.calls:
        assert all((value.array is not None) == (value.kind == CONSTANT) for value in call.inputs())
