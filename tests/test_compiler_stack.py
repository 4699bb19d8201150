"""The pass `stack` computes equal elementwise calls at once where nothing is needed in between, and to the same bits.

Training steps, what is joined and what must not be, by name. Read `test_compiler_stack_drawn.py` next: chains of calls
by chance, and whole steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from program_kit import (
    INEXACT,
    Build,
    apply,
    assert_runs,
    checked,
    names,
    of_kind,
    training_step,
)

from tinygrad_bp.compiler.passes import optimise
from tinygrad_bp.compiler.passes.stack import LARGEST, TOGETHER
from tinygrad_bp.compiler.passes.words import GETITEM
from tinygrad_bp.compiler.program import GATHER, Value


def called(b: Build, *outputs: Value) -> list[str]:
    """The calls that are left, gathers among them, of a program with these outputs."""
    b.output(*outputs)
    after = checked("stack", b.program)
    assert_runs(after)
    return names(after)


def slope(b: Build, y: Value) -> Value:
    return b.ufunc(np.subtract, 1.0, y)


def used(b: Build, *values: Value) -> list[Value]:
    """Readers of some values, to whom it is all the same how they lie; what nobody reads is not joined."""
    return [b.copy(value) for value in values]


def two(b: Build, shapes: Any = ((2, 3), (4,)), dtypes: Any = (np.float64, np.float64)) -> list[Value]:
    """A result for each shape, of which a slope may be taken."""
    return [b.ufunc(np.tanh, b.memory(shape, d)) for shape, d in zip(shapes, dtypes, strict=True)]


# ------------------------------------------------------------------------------------------ training steps

STEPS: dict[str, Any] = {
    "two layers": {},
    "bias": {"bias": True},
    "tanh": {"activations": ("Tanh", "Tanh"), "bias": True},
    "both": {"sizes": (3, 4, 4, 2), "activations": ("Tanh", "Sigmoid", "Tanh"), "bias": True},
    "five layers": {"sizes": (2, 3, 3, 3, 3, 1), "activations": ("Tanh",) * 5, "bias": True},
    "five sigmoids": {"sizes": (2, 3, 4, 5, 6, 1), "activations": ("Sigmoid",) * 5},
    "one layer": {"sizes": (2, 1), "activations": ("Tanh",)},
    "one row": {"bias": True, "batch": 1},
    "float32": {"activations": ("Tanh", "Tanh"), "dtype": np.float32, "momentum": True},
    "clipped": {"bias": True, "clip": True, "decay": True, "momentum": True, "nesterov": True},
    "too large": {"sizes": (2, 80, 80, 1), "activations": ("Tanh",) * 3, "batch": 60},
}


@pytest.mark.parametrize("step", STEPS)
def test_a_training_step_keeps_every_bit(step: str) -> None:
    program = training_step(**STEPS[step])
    after = checked("stack", program)
    assert_runs(after)
    assert_runs(optimise(program, without=INEXACT))


@pytest.mark.parametrize(("activation", "each"), [("Tanh", 2), ("Sigmoid", 1)])
@pytest.mark.parametrize("layers", [2, 5])
@pytest.mark.parametrize("bias", [False, True])
def test_the_slopes_of_all_layers_are_one_call_of_each_kind(
    activation: str, each: int, layers: int, bias: bool
) -> None:
    """1 - y·y takes two calls a layer, 1 - y one; both become as many in all."""
    program = training_step((2, *[3] * (layers - 1), 1), (activation,) * layers, bias=bias)
    after = apply("stack", program)
    fewer = len(names(program)) - len([name for name in names(after) if name != "gather"])
    more = 1 if activation == "Sigmoid" else 0  # y · (1 - y), of which both are together already
    assert fewer == (each + more) * (layers - 1)
    assert names(after).count("gather") == 1


def test_what_was_together_stays_together() -> None:
    """The second call of a chain reads the first one's result as a whole: nothing is gathered twice."""
    b = Build()
    outs = []
    for y in two(b):
        square = b.ufunc(np.multiply, y, y)
        outs.append(b.ufunc(np.exp, b.ufunc(np.subtract, 1.0, square)))
    b.output(*used(b, *outs))
    after = checked("stack", b.program)
    (gather, square, slopes, last) = [c for c in after.calls if c.out.shape == (10,)]
    assert gather.prim is GATHER
    assert square.args == (gather.out, gather.out)
    assert slopes.args == (1.0, square.out)
    assert last.args == (slopes.out,)


# -------------------------------------------------------------------------------------------- what may join


def test_equal_calls_join() -> None:
    b = Build()
    slopes = [slope(b, y) for y in two(b)]
    assert called(b, *used(b, *slopes)) == ["tanh", "tanh", "gather", "subtract", "copy", "copy"]


def test_a_pass_leaves_the_program_alone() -> None:
    program = training_step((2, 3, 3, 3, 3, 1), ("Sigmoid",) * 5, bias=True)
    before = repr(program)
    assert apply("stack", program) is not program
    assert repr(program) == before


def test_a_second_time_there_is_nothing_to_do() -> None:
    once = apply("stack", training_step((2, 3, 3, 3, 1), ("Tanh",) * 4, bias=True))
    assert apply("stack", once) is once


def test_shared_settings_and_numbers_of_no_dimension_join() -> None:
    b = Build()
    k, m = b.setting("k"), b.memory(())
    outs = [b.ufunc(np.multiply, m, b.ufunc(np.multiply, y, k)) for y in two(b)]
    assert called(b, *used(b, *outs)).count("multiply") == 2


def test_outputs_gradients_and_writes_may_be_among_them() -> None:
    b = Build()
    m = b.memory((2, 3))
    first, second = (slope(b, y) for y in two(b, ((2, 3), (2, 3))))
    b.write(m, first)
    b.gradient(m, second)
    assert called(b, second, *used(b, first, second)).count("subtract") == 1


# -------------------------------------------------------------------------------------- what must not join


def test_a_call_that_reads_anothers_result_does_not_join_it() -> None:
    b = Build()
    (y,) = two(b, [(3,)], [float])
    first = slope(b, y)
    second = slope(b, first)
    third = slope(b, b.reshape(second, (3, 1)))  # by way of a view
    fourth = slope(b, b.ufunc(np.tanh, third))  # by way of another call
    assert called(b, *used(b, first, second, third, fourth)).count("subtract") == 4


def test_links_across_leave_the_independent_ones_together() -> None:
    b = Build()
    y, z = two(b, ((3,), (3,)))
    first = b.ufunc(np.multiply, y, y)
    second = b.ufunc(np.multiply, z, z)
    third = b.ufunc(np.multiply, first, second)
    fourth = b.ufunc(np.multiply, second, first)
    assert called(b, *used(b, third, fourth)).count("multiply") == 3  # the latter two read them in two orders


def test_a_result_that_is_used_early_is_there_in_time() -> None:
    b = Build()
    (y,) = two(b, [(3,)], [float])
    first = slope(b, y)
    z = b.ufunc(np.tanh, b.ufunc(np.multiply, first, 2.0))
    assert called(b, *used(b, first, slope(b, z))).count("subtract") == 2


@pytest.mark.parametrize(
    "difference", ["number", "kind of number", "sign of zero", "side", "setting", "quiet", "dtype"]
)
def test_calls_that_only_look_alike_do_not_join(difference: str) -> None:
    b = Build()
    y, z = two(b, ((3,), (3,)), (np.float64, np.float32 if difference == "dtype" else np.float64))
    a, c = {
        "number": (1.0, 2.0), "kind of number": (1, 1.0), "sign of zero": (0.0, -0.0),
        "setting": (b.setting("a"), b.setting("c")),
    }.get(difference, (1.0, 1.0))  # fmt: skip
    first = b.ufunc(np.subtract, a, y)
    b.quiet = {"over": "ignore"} if difference == "quiet" else {}
    second = b.ufunc(np.subtract, *((z, c) if difference == "side" else (c, z)))
    b.quiet = {}
    assert called(b, *used(b, first, second)).count("subtract") == 2


@pytest.mark.parametrize("shape", [(), (0, 3), (LARGEST + 1,)], ids=["0-d", "empty", "large"])
def test_other_sizes_are_left(shape: Any) -> None:
    b = Build()
    slopes = [slope(b, y) for y in two(b, (shape, shape))]
    readers = slopes if shape == (0, 3) else used(b, *slopes)
    assert called(b, *readers, *[b.ufunc(np.negative, s) for s in slopes]).count("subtract") == 2
    one = Build()
    assert called(one, *used(one, *[slope(one, y) for y in two(one, ((LARGEST,), (2,)))])).count("subtract") == 1


def test_together_they_are_not_too_long() -> None:
    n = TOGETHER // LARGEST
    b = Build()
    slopes = [slope(b, y) for y in two(b, ((LARGEST,),) * (n + 2), (np.float32,) * (n + 2))]
    b.output(*used(b, *slopes))
    after = checked("stack", b.program)
    sizes = [call.out.size for call in after.calls if call.prim.name == "subtract"]
    assert sorted(sizes) == [2 * LARGEST, TOGETHER]


def test_operands_that_are_repeated_or_given_are_left() -> None:
    """A row for each row lies in no longer value; an argument, a memory and a constant lie where they are."""
    b = Build()
    y, z = two(b, ((2, 3), (2, 3)))
    row = b.memory((3,))
    given = [b.argument((3,)), b.memory((3,)), b.constant([1.0, 2.0, 3.0])]
    outs = [b.ufunc(np.subtract, y, row), b.ufunc(np.subtract, z, row), *[slope(b, v) for v in given]]
    assert called(b, *used(b, *outs)).count("subtract") == 5


def test_copies_and_casts_are_left_where_they_lie() -> None:
    b = Build()
    outs = [slope(b, b.astype(b.memory((3,), np.float32), np.float64)) for _ in range(2)]
    outs += [slope(b, b.copy(b.memory((3,)))) for _ in range(2)]
    assert called(b, *used(b, *outs)).count("subtract") == 4


def test_integers_updates_and_several_results_are_left() -> None:
    b = Build()
    y, z = two(b, ((3,), (3,)))
    whole = [b.ufunc(np.add, b.ufunc(np.add, b.memory((3,), np.int64), 1), 2) for _ in range(2)]
    b.phase = "update"
    outs = [slope(b, y), slope(b, z)]
    assert called(b, *used(b, *whole, *outs)).count("subtract") == 2
    assert names(b.program).count("add") == names(apply("stack", b.program)).count("add")


def test_other_functions_options_and_patterns_do_not_join() -> None:
    b = Build()
    y, z, v = two(b, ((3,), (3,), (3,)), (float,) * 3)
    outs = [slope(b, y), b.ufunc(np.multiply, 1.0, z), b.ufunc(np.subtract, 1.0, v, dtype=np.float64)]
    outs += [b.ufunc(np.maximum, y, y), b.ufunc(np.maximum, z, v)]
    outs += [b.ufunc(np.minimum, y, z), b.ufunc(np.minimum, y, v)]  # one of them in two places
    assert len([name for name in called(b, *used(b, *outs)) if name in ("subtract", "multiply")]) == 3
    assert names(b.program).count("maximum") == names(apply("stack", b.program)).count("maximum") == 2
    assert names(apply("stack", b.program)).count("minimum") == 2


def test_what_nobody_reads_is_left_as_it_is() -> None:
    b = Build()
    assert called(b, *[slope(b, y) for y in two(b)]) == ["tanh", "tanh", "subtract", "subtract"]


def test_a_gather_that_comes_too_late_is_not_read() -> None:
    b = Build()
    ys = two(b)
    slopes = [slope(b, y) for y in ys]
    copies = used(b, *slopes)
    assert called(b, *copies, b.call(GATHER, *ys)).count("subtract") == 2


def test_products_never_join() -> None:
    b = Build()
    matmul = of_kind("gufunc", "matmul", np.matmul)
    outs = [b.call(matmul, y, y) for y in two(b, ((3, 3), (3, 3)))]
    assert called(b, *used(b, *outs)).count("matmul") == 2
    b = Build()
    sums = [b.reduce(np.add, y, axis=0) for y in two(b, ((3, 3), (3, 3)))]
    assert called(b, *used(b, *sums)).count("add") == 2


# ------------------------------------------------------------------------------------------- bits and traps


def test_sums_over_columns_first_keep_their_last_bits() -> None:
    """A sum adds as its entries lie in memory, and a joined result lies row by row."""
    b = Build()
    ys = [b.ufunc(np.tanh, b.transpose(b.memory((37, 29)))) for _ in range(4)]
    b.output(*[b.reduce(np.add, slope(b, y), axis=None) for y in ys])
    assert_runs(checked("stack", b.program, awkward=False))


def test_sums_of_what_is_gathered_keep_their_last_bits() -> None:
    """The values that are gathered would lie row by row too."""
    b = Build()
    ys = [b.ufunc(np.tanh, b.transpose(b.memory((37, 29)))) for _ in range(2)]
    slopes = [slope(b, y) for y in ys]
    b.output(*[b.reduce(np.add, y, axis=None) for y in ys], *used(b, *slopes))
    assert_runs(checked("stack", b.program, awkward=False))


def test_what_others_gathered_may_have_been_there_from_the_start() -> None:
    b = Build()
    xs = [b.memory((3,)), b.memory((2, 2))]
    slopes = [slope(b, x) for x in xs]
    whole = b.call(GATHER, *xs)
    assert called(b, whole, *used(b, *slopes)).count("subtract") == 2


def test_parts_of_one_value_join_in_its_order_only() -> None:
    for order, count in (((0, 1), 1), ((1, 0), 2)):
        b = Build()
        ys = two(b, ((3,), (2, 2)))
        slopes = [slope(b, y) for y in ys]
        products = [b.ufunc(np.multiply, ys[i], slopes[i]) for i in order]
        assert called(b, *used(b, *products)).count("multiply") == count


def parts(b: Build, *slices: tuple[int, int], shape: Any = (-1, 1), **order: str) -> list[Value]:
    """Slices of a result of twelve entries, as the pass itself cuts them out."""
    y = b.ufunc(np.tanh, b.memory((12,)))
    reshape = of_kind("view", "reshape", np.reshape)
    return [b.call(reshape, b.call(GETITEM, y, slice(*ends)), shape, **order) for ends in slices]


def test_parts_of_a_result_are_one_value_already() -> None:
    b = Build()
    slopes = [slope(b, part) for part in parts(b, (0, 6), (6, 12))]
    assert called(b, *used(b, *slopes)) == ["tanh", "subtract", "copy", "copy"]


def test_parts_of_a_result_that_are_read_column_by_column_are_none() -> None:
    b = Build()
    slopes = [slope(b, part) for part in parts(b, (0, 6), (6, 12), shape=(2, 3), order="F")]
    called(b, *slopes, *used(b, *slopes))


@pytest.mark.parametrize("slices", [[(0, 6), (6, 11)], [(0, 6), (5, 11)], [(6, 12), (0, 6)], [(0, 6), (0, 6)]])
def test_parts_that_overlap_or_leave_something_out_are_not_the_whole(slices: list[tuple[int, int]]) -> None:
    b = Build()
    slopes = [slope(b, part) for part in parts(b, *slices)]
    assert called(b, *slopes, *used(b, *slopes)).count("subtract") == 2


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize(
    "function", [np.exp, np.tanh, np.log1p, np.expm1, np.sin, np.sqrt, np.reciprocal, np.arctan, np.cbrt, np.exp2]
)
def test_a_function_of_many_numbers_has_the_bits_that_it_has_of_few(function: Any, dtype: Any) -> None:
    b = Build()
    outs = [b.ufunc(function, y) for y in two(b, ((3, 1), (1,), (17,), (5, 7)), (dtype,) * 4)]
    b.output(*used(b, *outs), *outs)
    after = checked("stack", b.program)
    assert names(after).count(function.__name__) == 1 + 4 * (function is np.tanh)
    assert_runs(after)
