"""How arrays lie in memory shows in last bits, so the exact passes and the buffers keep it: one test for each place.

Random programs of the kind are in `program_draws.layouts`. Read `test_flat.py` next: parameters side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compile_kit import data, equal, net
from program_kit import Build, apply, assert_runs, checked, left, names

import tinygrad_bp as tg
from tinygrad_bp.compiler.program import GATHER, Program, Value

SHAPE = (7, 9)


def by_columns(b: Build, x: Value) -> Value:
    """Twice x, laid out column by column."""
    return b.ufunc(np.multiply, b.transpose(b.copy(b.transpose(x))), 2.0)


def total(b: Build, x: Value) -> Value:
    return b.reduce(np.add, x, axis=None)


def test_a_column_ordered_part_of_a_gathered_buffer_stays_so() -> None:
    b = Build()
    parts = [by_columns(b, b.argument(SHAPE)) for _ in range(2)]
    b.output(*[total(b, part) for part in parts], b.call(GATHER, *parts))
    assert_runs(b.program)


def test_a_column_ordered_content_is_not_computed_into_a_row_ordered_memory() -> None:
    b = Build()
    new = by_columns(b, b.argument(SHAPE))
    b.output(total(b, new), b.dot(new, b.argument(SHAPE[::-1])))
    b.write(b.memory(SHAPE), new)
    assert_runs(b.program)


def test_nothing_is_written_over_what_lies_otherwise() -> None:
    b = Build()
    x, y = b.argument(SHAPE), b.argument(SHAPE)
    turned = by_columns(b, x)
    mixed = b.ufunc(np.subtract, b.ufunc(np.multiply, y, 3.0), turned)
    b.output(total(b, mixed), total(b, b.ufunc(np.multiply, turned, y)))
    assert_runs(b.program)


def test_a_gradient_lies_as_eagerly() -> None:
    b = Build()
    w = b.memory(SHAPE)
    b.gradient(w, by_columns(b, w))
    source = assert_runs(b.program)
    memory = {w: np.ones(SHAPE)}
    assert source.link(memory).gradients[0].flags.f_contiguous


def test_a_result_lies_as_eagerly_though_its_inputs_were_simplified() -> None:
    b = Build()
    full = b.constant(np.full(SHAPE, 0.1))
    b.output(b.ufunc(np.add, full, b.argument(SHAPE, order="F")))
    assert_runs(checked_by_all(b.program))


def checked_by_all(program: Program) -> Program:
    for name in ("common", "fold", "algebra", "dead", "stack"):
        program = checked(name, program)
    return program


def test_folding_a_repeated_constant_repeats_it_without_memory() -> None:
    b = Build()
    few = b.broadcast_to(b.constant(np.arange(9.0) / 7), SHAPE)
    b.output(total(b, b.ufunc(np.multiply, few, b.argument(SHAPE, order="F"))))
    (product, _) = checked("fold", b.program).calls
    assert product.args[0].array.strides == (0, 8)
    assert_runs(checked_by_all(b.program))


def test_einsum_adds_entries_with_gaps_between_them_as_it_does_eagerly() -> None:
    b = Build()
    x = b.getitem(b.argument((9, 40)), (slice(None, None, -1), slice(None, None, 2)))
    b.output(*[b.ufunc(np.negative, b.function(np.einsum, equation, x)) for equation in ("ij->j", "ij->i")])
    assert_runs(b.program)


def test_entries_taken_backwards_are_copied_before_exp() -> None:
    """NumPy computes exp backwards by other code where processors have AVX-512."""
    b = Build()
    for step in (-1, 1):
        x = b.getitem(b.argument((9,)), slice(None, None, step))
        b.write(b.memory((9,)), b.ufunc(np.exp, b.copy(x)))
    assert left("algebra", b) == ["copy", "exp", "exp"]


@pytest.mark.parametrize("name", ["common", "algebra"])
def test_two_equal_matrices_are_not_made_one_where_they_meet_in_a_product(name: str) -> None:
    """BLAS has code of its own for a · aᵀ, which rounds otherwise than that for a · bᵀ."""
    for product in (np.dot, np.matmul):
        b = Build()
        x = b.argument((8, 11))
        a = b.ufunc(np.tanh, x)
        twin = b.ufunc(np.tanh, x) if name == "common" else b.copy(a)
        b.output(b.function(product, a, b.transpose(twin)))
        assert names(checked(name, b.program)) == names(b.program)
        b = Build()
        a = b.ufunc(np.tanh, b.argument((8, 8)))
        twin = b.call(a.maker.prim, *a.maker.args) if name == "common" else b.copy(a)  # type: ignore[union-attr]
        b.output(b.function(product, a, b.argument((8, 8))), b.ufunc(np.exp, twin))
        assert len(names(checked(name, b.program))) == len(names(b.program)) - 1


def test_only_what_lies_row_by_row_is_stacked() -> None:
    b = Build()
    ys = [b.ufunc(np.tanh, b.argument(SHAPE, order=order)) for order in "CFFC"]
    b.output(*[total(b, b.ufunc(np.subtract, 1.0, y)) for y in ys])
    assert names(checked("stack", b.program)).count("gather") == 1


def test_an_axis_of_one_entry_made_by_an_index_stays_an_index() -> None:
    b = Build()
    b.output(b.getitem(b.argument((3,)), None), b.getitem(b.argument((1, 3)), 0))
    assert names_of_views(apply("algebra", b.program)) == ["getitem", "reshape"]


def names_of_views(program: Program) -> list[str]:
    return [call.prim.name for call in program.calls if call.prim.kind == "view"]


# ------------------------------------------------------------------------------------------ whole steps


def columns(x: Any) -> Any:
    return tg.from_numpy(np.asfortranarray(x.numpy()))


@equal
def test_arguments_of_every_layout_have_a_program_each(compile: Any, see: Any) -> None:
    model = net(9, 7, 3)
    step = compile(lambda x: ((model(x) ** 2).sum(), x * 2, x.is_contiguous()))
    for i in range(3):
        x = data(8, 9, seed=i)
        for other in (x, columns(x), data(9, 8, seed=i).T, data(16, 9, seed=i)[::2], data(8, 18, seed=i)[:, ::-2]):
            found = step(other)
            see(found, [(y * y).sum() for y in found[:2]], found[1].is_contiguous())


@equal
def test_contents_of_another_layout_lie_as_the_memory_does(compile: Any, see: Any) -> None:
    w, x = tg.tensor(np.zeros((9, 8))), data(8, 9)

    def step(t: Any) -> Any:
        w.copy_((t * 3).T)
        return w.sum(), x @ w, (w * w).sum(0)

    step = compile(step)
    for i in range(3):
        see(step(data(8, 9, seed=i)), w)


@equal
def test_what_is_computed_twice_meets_itself(compile: Any, see: Any) -> None:
    step = compile(lambda x: x.tanh() @ x.tanh().T + x @ x.T + x.clone() @ x.T)
    for i in range(3):
        see(step(data(8, 11, seed=i)))


@equal
def test_gradients_that_lie_by_columns(compile: Any, see: Any) -> None:
    w, v = tg.tensor(data(9, 8).numpy(), requires_grad=True), tg.tensor(data(9, 8).numpy(), requires_grad=True)
    optimizer = tg.optim.SGD([w, v], lr=0.01, momentum=0.9)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = ((w.T * x).sum() - (v * x.T).tanh().sum()) ** 2
        loss.backward()
        norm = (w.grad**2).sum() + (v.grad**2).sum()
        optimizer.step()
        return loss, norm

    step = compile(step)
    for i in range(4):
        see(step(data(8, 9, seed=i)), w, v, w.grad.is_contiguous(), (w.grad**2).sum())


def test_a_copy_stays_though_all_between_it_and_a_sum_goes() -> None:
    b = Build()
    turned = b.transpose(b.copy(b.memory((40, 3, 3), order="F")), (2, 1, 0))
    b.output(total(b, b.ufunc(np.multiply, b.ufunc(np.positive, turned), 1.0)))
    assert names(checked("algebra", b.program)) == ["copy", "add"]
