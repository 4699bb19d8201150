"""Each pass, and all together, change a program into one that means the same.

Exact passes are held to the bit, on random programs and on whole training steps; see `program_kit.py`. Read
`test_compiler_rewrites.py` next: what each pass takes away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_draws import layouts, programs, updates
from program_kit import (
    DIGITS,
    EXACT,
    INEXACT,
    apply,
    assert_runs,
    assert_same,
    data_for,
    names,
    training_step,
)

from tinygrad_bp.compiler.passes import PASSES, optimise
from tinygrad_bp.compiler.program import CONSTANT, Program
from tinygrad_bp.errors import ArgumentError

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
def test_random_updates_keep_every_bit(program: Program, seed: int) -> None:
    data = data_for(program, seed, awkward=True)
    assert_same(program, optimise(program, without=INEXACT), data)


@settings(max_examples=200, deadline=None)
@given(layouts(), st.integers(0, 100))
def test_what_depends_on_how_arrays_lie_keeps_every_bit(program: Program, seed: int) -> None:
    """Sums and products show the layout of what they read: no exact pass, and no buffer, may change it."""
    data = data_for(program, seed)
    for name in EXACT:
        assert_same(program, apply(name, program), data)
    after = optimise(program, without=INEXACT)
    assert_same(program, after, data)
    for one in (program, after):
        assert_runs(one)


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
    assert "stack" not in optimise(program, without="stack").removed
    assert names(optimise(program, without=PASSES)) == names(program)
    with pytest.raises(ArgumentError, match="'flat'; there are dead, common"):
        optimise(program, without=["flat"])


def test_a_second_time_there_is_nothing_left_to_do() -> None:
    once = optimise(training_step(bias=True, momentum=True, clip=True))
    assert repr(optimise(once)) == repr(once)
    assert all(value.maker is call for call in once.calls for value in call.outs)


def test_constants_are_the_only_values_with_an_array() -> None:
    after = optimise(training_step(bias=True, clip=True))
    for call in after.calls:
        assert all((value.array is not None) == (value.kind == CONSTANT) for value in call.inputs())
