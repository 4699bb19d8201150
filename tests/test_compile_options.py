"""`tg.compile` itself: its options and its own errors, what it warns of, and what warns in eager warning compiled too.

Read `compile_kit.py` for the helpers.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compile_kit import (
    SGD,
    F,
    agrees,
    data,
    equal_or_refused,
    recordings,
    silent,
    training,
)

import tinygrad_bp as tg
from tinygrad_bp import nn

X = data(4, 3)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sigmoid(),
        lambda x: x.softmax(0),
        lambda x: x.tanh(),
        lambda x: F.softplus(x),
        lambda x: F.logsigmoid(x),
        lambda x: F.silu(x),
        lambda x: F.gelu(x),
        lambda x: F.elu(x),
        lambda x: x.logsumexp(0),
        lambda x: F.binary_cross_entropy_with_logits(x, x.sigmoid()),
        lambda x: F.cross_entropy(x[None], tg.tensor([0])),
        lambda x: F.binary_cross_entropy(x.sigmoid(), x * 0),
    ],
)
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64])
def test_what_is_silent_in_eager_is_silent_compiled(function: Callable[[Any], Any], dtype: Any) -> None:
    def script(compile: Any, see: Any) -> None:
        w = nn.Parameter(tg.ones(5, dtype=dtype))

        def backwards(x: Any) -> Any:
            w.grad = None
            y = function(x * w)
            y.sum().backward()
            return y

        step = compile(backwards)
        for scale in (1.0, 1e3, 1e12, 0.0):
            see(step(tg.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], dtype=dtype) * scale), w)

    agrees(script, rtol=1e-10)


def test_what_warns_in_eager_warns_compiled() -> None:
    step = tg.compile(lambda x: x.log() * 2)
    silent(lambda: step(tg.ones(3)))
    with pytest.warns(RuntimeWarning):
        tg.zeros(3).log()
    with pytest.warns(RuntimeWarning):
        step(tg.zeros(3))


def test_errstate_of_the_caller_holds_in_a_compiled_step() -> None:
    step = tg.compile(lambda x: 1 / x)
    silent(lambda: step(tg.ones(3)))
    with np.errstate(divide="ignore"):
        found = silent(lambda: step(tg.zeros(3)))
    assert np.isinf(found.numpy()).all()
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        step(tg.zeros(3))


def test_many_recordings_are_told_once() -> None:
    step = tg.compile(lambda x, k: x * k)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(20):
            step(data(3), float(k))
    assert [w.category for w in caught] == [UserWarning]
    assert "Pass what changes as a tensor" in str(caught[0].message)
    assert recordings(step) == 20


def test_what_is_no_function_and_no_pass_is_refused() -> None:
    with pytest.raises(tg.CompileError, match="a function is expected, not float"):
        tg.compile(3.0)
    with pytest.raises(tg.ArgumentError, match="there is no pass 'speed'"):
        tg.compile(lambda x: x, without=("speed",))
    with pytest.raises(tg.CompileError, match=r"call .* once"):
        tg.compile(lambda x: x).source  # noqa: B018
    step = tg.compile(lambda x: x)
    assert tg.compile(step) is step


def test_wrong_arguments_are_pythons_own_error() -> None:
    step = tg.compile(lambda x, y=1: x * y)
    step(X)
    for args, kwargs in (((), {}), ((X, 1, 2), {}), ((X,), {"z": 1})):
        with pytest.raises(TypeError):
            step(*args, **kwargs)


def test_a_tensor_with_a_graph_from_outside() -> None:
    w = data(3).requires_grad_()
    outside = w * 2

    @equal_or_refused
    def script(compile: Any, see: Any) -> None:
        step = compile(lambda x: (x * outside).sum().detach())
        for i in range(3):
            see(step(data(3, seed=i)))

    script()


def test_the_options_of_the_decorator() -> None:
    @tg.compile(fallback=True, without=("stack", "bias"))
    def step(x: Any) -> Any:
        """Twice x."""
        return x * 2

    assert (step.__name__, step.__doc__) == ("step", "Twice x.")
    assert (step(X).numpy() == 2 * X.numpy()).all()
    assert "compiled step" in repr(step)


def test_a_fallback_speaks_once_and_leaves_everything_as_eager() -> None:
    def script(compile: Any, see: Any) -> None:
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).double()
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x: Any, y: Any) -> Any:
            loss = training(model, optimizer)(x, y)
            return float(loss.detach())

        compiled = compile(step, fallback=True)
        for i in range(4):
            see(compiled(data(4, 3, seed=i), data(4, 2, seed=i)), model, optimizer)

    with pytest.warns(UserWarning, match="runs eagerly") as caught:
        agrees(script)
    assert len(caught) == 2, "one for each of the two compiled steps"
