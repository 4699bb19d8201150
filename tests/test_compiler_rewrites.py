"""The exact passes `dead`, `common`, `fold` and `algebra` take away what they say, and leave what only looks alike.

Read `test_compiler_inexact.py` next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from program_draws import clock
from program_kit import (
    Build,
    apply,
    checked,
    left,
)


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
    assert left("algebra", b, b.reduce(np.add, b.copy(turned), axis=None)) == ["copy", "add"]
    b = Build()
    turned = b.transpose(b.argument((3, 2)))
    assert left("algebra", b, b.reduce(np.add, b.astype(turned, np.float64), axis=None)) == ["add"]  # lies alike
    b = Build()
    turned, full = b.transpose(b.argument((3, 2))), b.constant(np.full((2, 3), 0.1))
    assert left("algebra", b, b.reduce(np.add, b.ufunc(np.add, full, turned), axis=None)) == ["add", "add"]
    assert [v.shape for v in checked("algebra", b.program).calls[1].inputs()] == [(), (2, 3)]
    b = Build()
    b.write(b.memory((2, 3)), b.ufunc(np.exp, b.copy(b.transpose(b.argument((3, 2))))))
    assert left("algebra", b) == ["exp"]
