"""The passes that change last digits, `bias`, `sums`, `sigmoid` and `scale`, do so only where it is safe.

Read `test_compiler_stack.py` next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from program_kit import (
    DIGITS,
    Build,
    apply,
    assert_same,
    checked,
    data_for,
    left,
    meaning,
    names,
    sigmoid,
)


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
