"""The pass `stack` keeps every bit of drawn chains of calls with links across, and of whole compiled trainings.

Read `test_flat.py` next: updates of parameters that lie side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compile_kit import SGD, agrees, batch, data, net, training
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from program_kit import (
    INEXACT,
    Build,
    apply,
    assert_runs,
    assert_same,
    data_for,
    names,
)

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.compiler.passes import optimise
from tinygrad_bp.compiler.program import GATHER, Program, Value

CALLS: tuple[tuple[Any, Any], ...] = (
    (np.subtract, 1.0), (np.subtract, 1), (np.subtract, 2.0), (np.multiply, -0.5), (np.tanh, None),
    (np.multiply, "itself"), (np.maximum, "setting"), (np.add, "neighbour"), (np.multiply, "first"),
)  # fmt: skip


IN_ROWS = (("result",), ("result",), ("result", "memory", "argument"))
KINDS = (*IN_ROWS, ("result", "turned"))


def start(draw: Any, b: Build, shape: Any, dtype: Any, kinds: tuple[str, ...]) -> Value:
    """What a chain begins with: a result, lying row by row or not, or something handed in."""
    memory, kind = b.memory(shape, dtype), draw(st.sampled_from(kinds))
    if kind == "turned":
        return b.ufunc(np.tanh, b.transpose(b.memory(shape[::-1], dtype)))
    if kind == "argument":
        return b.argument(shape, dtype)
    return memory if kind == "memory" else b.ufunc(np.tanh, memory)


def next_call(draw: Any, b: Build, i: int, news: list[Value], what: tuple[Any, Any]) -> Value:
    """The next call of a chain; the other operand may be of another chain, or of the chain's own past."""
    function, other = what
    x = news[i]
    links = {"itself": x, "neighbour": news[i - 1], "first": news[0], "setting": b.program.settings[0], None: None}
    other = links.get(other, other) if other is None or isinstance(other, str) else other
    if isinstance(other, Value) and other.shape not in ((), x.shape):
        other = x
    return b.ufunc(function, x) if other is None else b.ufunc(function, other, x)


@st.composite
def chains(draw: Any, kinds: tuple[tuple[str, ...], ...] = KINDS) -> Program:
    """The same elementwise calls for several values: chain after chain, side by side, or alternating.

    Some calls differ; some results are read early, handed out, written, or are gradients; some chains are linked.
    """
    b = Build()
    b.setting("s")
    shapes = draw(st.lists(st.sampled_from(((2, 3), (7, 5), (3,), (1, 1), (), (0, 3))), min_size=2, max_size=4))
    dtype, other = draw(st.sampled_from(((np.float64, np.float64), (np.float32, np.float32), (np.float64, np.float32))))
    mixed = draw(st.sampled_from(kinds))
    news = [start(draw, b, shape, other if i == 0 else dtype, mixed) for i, shape in enumerate(shapes)]
    whats = draw(st.lists(st.sampled_from(CALLS), min_size=1, max_size=4))
    order = [(k, i) for k in range(len(whats)) for i in range(len(shapes))]
    if draw(st.booleans()):
        key: Any = draw(st.sampled_from((lambda at: at[1], lambda at: (at[0], -at[1]))))
        order.sort(key=key)
    seen: list[Value] = []
    for k, i in order:
        odd = draw(st.integers(0, 19))
        b.phase = "update" if odd == 6 else "forward" if odd % 2 else "backward"
        b.quiet = {"over": "ignore"} if odd == 7 else {}
        news[i] = next_call(draw, b, i, news, CALLS[0] if odd == 0 else whats[k])
        if odd in (1, 2) and news[i].size:
            seen.append(b.reduce(draw(st.sampled_from((np.add, np.maximum))), news[i], axis=None))
        if odd == 3:
            seen.append(news[i])
        if odd == 4:
            b.write(b.memory(news[i].shape, news[i].dtype), news[i])
        if odd == 5:
            b.gradient(b.memory(news[i].shape, news[i].dtype), news[i])
    b.phase, b.quiet = "backward", {}
    sums = [b.reduce(np.add, new, axis=None) for new in news]
    b.output(*seen, *draw(st.permutations(sums)))
    if draw(st.booleans()):
        b.output(b.call(GATHER, *[new for new in news if new.dtype == dtype]))
    return b.program


@settings(max_examples=150, deadline=None)
@given(chains(), st.integers(0, 100))
def test_drawn_chains_keep_every_bit(program: Program, seed: int) -> None:
    before = repr(program)
    after = apply("stack", program)
    assert repr(program) == before
    for awkward in (False, True):
        assert_same(program, after, data_for(program, seed, awkward))
    assert_same(program, optimise(program, without=INEXACT), data_for(program, seed))


@settings(max_examples=40, deadline=None)
@given(chains(IN_ROWS))
def test_the_source_of_drawn_chains_runs_as_they_mean(program: Program) -> None:
    assert_runs(apply("stack", program))


@pytest.mark.parametrize("joined", [1, 2])
def test_drawn_chains_are_joined(joined: int) -> None:
    """What is drawn is worth drawing: some chains are joined once, and some again."""

    def calls(program: Program) -> int:
        return len([name for name in names(program) if name != "gather"])

    find(chains(), lambda program: calls(program) - calls(apply("stack", program)) >= 2 * joined,
         settings=settings(max_examples=200, database=None, derandomize=True, phases=[Phase.generate]))  # fmt: skip


# --------------------------------------------------------------------------------------------------------- whole steps

ACTIVATIONS = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "softsign": nn.Softsign, "elu": nn.ELU}


@pytest.mark.parametrize("act", ACTIVATIONS.values(), ids=ACTIVATIONS)
@pytest.mark.parametrize("dtype", [tg.float64, tg.float32])
def test_a_compiled_training_is_the_eager_one(act: Any, dtype: Any) -> None:
    def script(compile: Any, see: Any) -> None:
        model = net(3, 4, 5, 4, 4, 2, act=act, dtype=dtype)
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        step = compile(training(model, optimizer))
        for i in range(8):
            see(step(*(t.to(dtype) for t in batch(i))), model, optimizer)
        if hasattr(step, "source") and act in (nn.Tanh, nn.Sigmoid):
            assert "slopes" in step.source, "the pass found something to join"

    agrees(script)


def test_compiled_calls_in_parallel_are_the_eager_ones() -> None:
    """With links across, results that are handed out, and one whose entries lie column by column."""

    def script(compile: Any, see: Any) -> None:
        w, v = nn.Parameter(data(37, 29)), nn.Parameter(data(29, 37))

        def step(x: Any) -> Any:
            w.grad = v.grad = None
            ys = [w.T.tanh(), (v * x).tanh(), (w.T * x).tanh()]
            slopes = [1 - y * y for y in ys]
            linked = [1 - slopes[0] * slopes[1], 1 - slopes[1] * slopes[2]]
            (sum(s.sum() for s in slopes) + sum((y * y).sum() for y in linked)).backward()
            return slopes[0], [s.sum() for s in slopes], [y.sum(1) for y in ys], linked

        step = compile(step)
        for i in range(4):
            see(step(data(29, 37, seed=i)), w, v)

    agrees(script)
