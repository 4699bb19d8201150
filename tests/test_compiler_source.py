"""The generated function does what the program means, to the bit, however its values share memory."""

from __future__ import annotations

import builtins
import keyword
import tracemalloc
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_draws import programs
from program_kit import GETITEM, TRANSPOSE, Build, Data, assert_runs, data_for, training_step

from tinygrad_bp.compiler import loops
from tinygrad_bp.compiler.passes import optimise
from tinygrad_bp.compiler.program import GATHER, Program, Value
from tinygrad_bp.compiler.source import write


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_a_random_program_runs_as_it_means(program: Program) -> None:
    assert_runs(program)


def test_a_training_step_runs_as_it_means() -> None:
    assert_runs(training_step())
    assert_runs(training_step((3, 4, 2), bias=True, momentum=True, nesterov=True, decay=True, clip=True))


# ------------------------------------------------------------------------------------------ aliasing traps

VIEWS: tuple[Callable[[Build, Value], Value], ...] = (
    lambda b, x: b.transpose(x),
    lambda b, x: b.getitem(x, slice(None, None, -1)),
    lambda b, x: b.reshape(b.reshape(x, (9,)), (3, 3)),
    lambda b, x: b.broadcast_to(b.getitem(x, 1), (3, 3)),
    lambda b, x: b.broadcast_to(b.getitem(x, (1, 2)), (3, 3)),
)


@st.composite
def tangles(draw: Any) -> Program:
    """Programs in which everything looks into everything: matrices of one shape, and small whole numbers, so that
    no sum depends on its order."""
    b = Build()
    memories = [b.memory((3, 3), name=f"m{i}") for i in range(3)]
    known = [b.argument((3, 3)), *memories]

    def one() -> Value:
        recent = known[-4:] if draw(st.booleans()) else known
        x = draw(st.sampled_from(recent))
        return draw(st.sampled_from(VIEWS))(b, x) if draw(st.integers(0, 3)) == 0 else x

    for _ in range(draw(st.integers(1, 20))):
        kind = draw(st.integers(0, 11))
        if kind == 0:
            known.append(b.dot(one(), one()))
            known.append(b.ufunc(np.remainder, known[-1], 7.0))
        elif kind == 1:
            known.append(b.assign(one(), one()))
        elif kind == 2:
            known.append(b.assign(one(), b.getitem(one(), 0), (TRANSPOSE, ((1, 0),)), (GETITEM, (slice(1, None),))))
        elif kind == 3:
            known.append(b.reshape(b.getitem(b.call(GATHER, one(), one()), slice(9, None)), (3, 3)))
        elif kind == 4:
            known.append(b.function(np.where, b.ufunc(np.greater, one(), one()), one(), one()))
        elif kind == 5:
            known.append(b.function(np.flip, one()))  # looks into its input's memory
        else:
            function = draw(st.sampled_from((np.minimum, np.subtract, np.maximum, np.negative)))
            other = b.getitem(one(), 0) if draw(st.integers(0, 3)) == 0 else one()  # a row, for each row
            known.append(b.ufunc(function, one(), *([] if function is np.negative else [other])))
    b.output(*draw(st.lists(st.sampled_from(known), max_size=2)))
    for memory in memories:
        if draw(st.booleans()):
            b.write(memory, one())
        if draw(st.integers(0, 2)) == 0:
            b.gradient(memory, one())
    return b.program


def whole_numbers(program: Program, seed: int) -> Data:
    data = data_for(program, seed)
    for array in (*data.arguments, *data.memory.values()):
        np.round(3 * array, out=array)
    return data


@pytest.mark.parametrize("large", [loops.LARGE, 1])
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=tangles())
def test_values_that_share_memory_do_not_disturb_each_other(large: int, program: Program) -> None:
    """Also where every run of elementwise calls is a loop over single rows."""
    with mock.patch.multiple(loops, LARGE=large, ENTRIES=1 << 15 if large > 1 else 3):
        assert_runs(program, data=whole_numbers)


# ----------------------------------------------------------------------------------------------- the source


def peak(call: Any) -> int:
    """The bytes that a call has allocated at most."""
    tracemalloc.start()
    call()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


@pytest.mark.parametrize("sgd", [{}, {"momentum": True}, {"momentum": True, "nesterov": True, "decay": True}])
def test_a_training_step_allocates_no_array(sgd: dict[str, bool]) -> None:
    program = training_step((3, 50, 2), bias=True, batch=64, **sgd)
    data, source = data_for(program), write(program)
    linked = source.link({v: a.copy() for v, a in data.memory.items()})
    g, total = np.ones((64, 50)), np.empty(50)
    own = peak(lambda: np.add.reduce(g, 0, None, total))  # in NumPy 2.0 as much as the array
    smallest = 64 * 2 * 8  # bytes of an activation; the iterators of NumPy take less
    limit = smallest + own * (own >= smallest)
    linked.run(*data.arguments, *data.settings)
    assert max(peak(lambda: linked.run(*data.arguments, *data.settings)) for _ in range(3)) < limit
    assert len(source.allocating) == 1
    assert source.allocating[0].startswith("loss = ")


def test_the_source_reads_like_a_tutorial() -> None:
    text = write(training_step()).text
    for line in (
        "def step(x, y, lr):",
        "    # layer0: Linear(in_features=2, out_features=3, bias=False)",
        "    x.dot(layer0_weight_T, layer0)",
        "    subtract(layer1, y, difference)",
        "    # backward: layer1 (Linear)",
        "    multiply(layer1, d_layer1, d_layer1)",
        "    d_layer1_T.dot(layer0, d_layer1_weight)",
        "    # update",
        "    subtract(layer1_weight, change_2, layer1_weight)",
    ):
        assert line in text.splitlines()


def test_the_bias_gradient_of_a_batch_of_one_is_computed_where_it_belongs() -> None:
    source = assert_runs(optimise(training_step((2, 3, 1), batch=1, bias=True)))
    assert "[...] =" not in source.text


def test_a_loop_names_rows_of_arrays_and_blocks_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "LARGE", 1)
    monkeypatch.setattr(loops, "ENTRIES", 8)
    b = Build()
    x, m = b.argument((9, 4), name="x"), b.memory((9, 4), name="m")
    b.write(m, b.ufunc(np.multiply, b.ufunc(np.add, b.ufunc(np.tanh, m, name="z"), x, name="z"), m))
    assert "tanh(m_rows, z_block)" in assert_runs(b.program).text


@pytest.mark.parametrize("name", ["lambda", "sum", "layer.0.weight", "2", "", "é", "step", "x", "multiply", "match"])
def test_names_are_identifiers_of_their_own(name: str) -> None:
    b = Build()
    x, m, k = b.argument((3,), name=name), b.memory((3,), name=name), b.setting(name)
    y = b.ufunc(np.multiply, b.ufunc(np.multiply, x, m, name=name), k, name=name)
    b.write(m, b.ufunc(np.add, y, m))
    b.gradient(m, y)
    b.output(y)
    source = assert_runs(b.program)
    code = source.code.co_consts[0]
    names = [*code.co_varnames, *source.globals, *(entry.name for entry in source.entries if entry.name)]
    assert len(set(names)) == len(names)
    assert all(n.isidentifier() and not keyword.iskeyword(n) and not hasattr(builtins, n) for n in names)


def test_first_write_tells_whether_an_exception_left_memory_as_it_was() -> None:
    b = Build()
    m, x = b.memory((3,), name="m"), b.argument((3,))
    doubled = b.ufunc(np.multiply, m, 2.0)
    b.write(m, doubled)
    b.output(b.ufunc(np.add, doubled, x))
    source = write(b.program)
    assert source.text.splitlines()[source.first_write - 1] == "    multiply(m, two, m)"
    memory = {m: np.ones(3)}
    with pytest.raises(ValueError, match="broadcast") as raised:
        source.link(memory).run(np.ones(4))
    assert raised.traceback[-1].lineno + 1 > source.first_write
    np.testing.assert_array_equal(memory[m], 2.0)


def test_a_memory_may_be_replaced_and_may_lie_in_any_order() -> None:
    program = training_step((3, 4, 2), bias=True)
    data, source = data_for(program), write(program)
    linked = source.link({v: a.copy() for v, a in data.memory.items()})
    fortran = {v: a.copy(order="F") for v, a in data.memory.items()}
    other = source.link(fortran)
    for value, array in data.memory.items():
        linked.rebind(value, array)
    assert linked.run(*data.arguments, *data.settings) == other.run(*data.arguments, *data.settings)
    for value, array in data.memory.items():
        np.testing.assert_allclose(fortran[value], array, rtol=1e-12)


def test_calls_that_are_quiet_share_one_errstate() -> None:
    b = Build()
    x = b.argument((3,))
    b.quiet = {"over": "ignore"}
    y = b.ufunc(np.exp, b.ufunc(np.exp, x))
    b.quiet = {}
    y = b.ufunc(np.negative, y)
    b.quiet = {"over": "ignore"}
    y = b.ufunc(np.multiply, y, y)
    b.quiet = {}
    b.output(b.ufunc(np.add, y, 1.0))
    source = write(b.program)
    assert source.text.count("with errstate(over='ignore'):") == 1
    source.link({}).run(np.full(3, 1000.0))  # no warning
    loud = Build()
    x = loud.argument((3,))
    loud.quiet = {"over": "ignore"}
    y = loud.ufunc(np.exp, x)
    loud.quiet = {}
    loud.output(loud.ufunc(np.exp, y))
    with pytest.warns(RuntimeWarning, match="overflow"):
        write(loud.program).link({}).run(np.full(3, 10.0))


def test_a_loop_writes_over_nothing_that_its_next_round_reads_shifted() -> None:
    b = Build()
    x, y = b.argument((3, 3)), b.argument((4, 3))
    big = b.ufunc(np.add, y, 1.0)
    above, below = b.getitem(big, slice(0, 3)), b.getitem(big, slice(1, 4))
    first = b.ufunc(np.subtract, above, x)
    second = b.ufunc(np.multiply, below, x)
    b.output(b.dot(first, x), b.dot(second, x))
    with mock.patch.multiple(loops, LARGE=1, ENTRIES=3):
        assert "blocks_1" in assert_runs(b.program).text


def test_gradients_that_are_one_value_have_memory_of_their_own() -> None:
    b = Build()
    m, k = b.memory((3,), name="m"), b.memory((3,), name="k")
    g = b.ufunc(np.multiply, m, k)
    b.gradient(m, g)
    b.gradient(k, b.getitem(g, slice(None, None, -1)))
    linked = write(b.program).link({m: np.ones(3), k: np.ones(3)})
    linked.run()
    assert not np.may_share_memory(*linked.gradients)
    assert_runs(b.program)
