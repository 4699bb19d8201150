"""A step that raises, while it is recorded or later, raises as in eager and never leaves weights half updated unsaid.

Read `test_compile_options.py` next.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from compile_kit import (
    SGD,
    F,
    copied,
    data,
    labels,
    net,
    same,
    training,
)

import tinygrad_bp as tg
from tinygrad_bp import nn

X = data(4, 3)


def everything(model: Any, optimizer: Any) -> Any:
    return copied([model, optimizer, tg.get_rng_state()])


@pytest.mark.parametrize("when", ["forward", "before the update", "after the update"])
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_step_that_raises_while_it_is_recorded_changes_nothing(when: str, kind: type[BaseException]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).double()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    broken = True

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        out = model(x)
        if broken and when == "forward":
            raise kind("stop")
        F.mse_loss(out, y).backward()
        if broken and when == "before the update":
            raise kind("stop")
        optimizer.step()
        if broken and when == "after the update":
            raise kind("stop")
        return out.detach()

    before = everything(model, optimizer)
    compiled = tg.compile(step)
    with pytest.raises(kind, match="stop"):
        compiled(X, data(4, 2))
    same(before, everything(model, optimizer), 0.0)
    broken = False
    tg.manual_seed(0)
    found = compiled(X, data(4, 2))
    after = everything(model, optimizer)
    with pytest.raises(tg.CompileError):
        tg.compile(lambda x: float(model(x).sum()))(X)
    same(after, everything(model, optimizer), 0.0)
    assert np.isfinite(found.numpy()).all()


def test_an_error_of_the_library_is_the_same_as_in_eager() -> None:
    for function, args in [
        (lambda x: x @ x, (X,)),
        (lambda x, y: F.mse_loss(x, y), (X, data(5, 2))),
        (lambda x: F.cross_entropy(x, tg.tensor([0, 1, 2, 3])), (X,)),
        (lambda x: x.reshape(5), (X,)),
        (lambda x: x[7], (X,)),
        (lambda x: {}["k"], (X,)),
        (lambda: 1 / 0, ()),
    ]:
        with pytest.raises((tg.TensorError, LookupError, ArithmeticError)) as eager:
            function(*args)
        with pytest.raises(type(eager.value), match=re.escape(str(eager.value))):
            tg.compile(function)(*args)


@pytest.mark.parametrize("bad", ["class", "class below 0", "probability"])
def test_bad_values_in_a_later_batch_raise_as_in_eager_and_change_no_weight(bad: str) -> None:
    model = net(3, 4, 3)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss: Any = {
        "probability": lambda out, y: F.binary_cross_entropy(out.sigmoid() * y.abs().max(), y * 0.5),
    }.get(bad, F.cross_entropy)
    good = data(4, 3).sigmoid() if bad == "probability" else labels(4, 3)
    wrong = good.clone()
    wrong[1] = 7 if bad == "class" else -1 if bad == "class below 0" else 9.0
    step = tg.compile(training(model, optimizer, loss))
    for _ in range(3):
        step(X, good)
    before = copied([model.state_dict(), optimizer])
    with pytest.raises(tg.TensorError) as eager:
        loss(model(X), wrong)
    with pytest.raises(tg.TensorError) as compiled:
        step(X, wrong)
    assert not isinstance(compiled.value, tg.CompileError)
    assert type(compiled.value) is type(eager.value)
    same(before, copied([model.state_dict(), optimizer]), 0.0)
    assert np.isfinite(step(X, good).item())


def test_an_error_after_the_first_write_says_that_parameters_may_be_half_updated() -> None:
    w, v = nn.Parameter(data(3)), nn.Parameter(data(3))

    def step(x: Any, y: Any) -> None:
        with tg.no_grad():
            w.mul_(2.0)
            v.add_(F.cross_entropy(x * w, y))
            w.add_(1.0)

    compiled = tg.compile(step)
    compiled(X, labels(4, 3))
    before = copied([w, v])
    with pytest.raises((tg.CompileError, tg.AxisError)) as caught:
        compiled(X, labels(4, 3) + 9)
    if isinstance(caught.value, tg.CompileError):
        assert "half updated" in str(caught.value)
        assert isinstance(caught.value.__cause__, tg.AxisError)
    else:
        same(before, copied([w, v]), 0.0)


@pytest.mark.parametrize("write", ["parameter", "argument", "buffer"])
def test_a_later_error_tells_the_truth_about_what_was_written(write: str) -> None:
    """Either nothing is changed, or the error says that something may be."""
    w = nn.Parameter(data(3))
    x, held = data(4, 3), tg.zeros(3).double()

    def step(x: Any, y: Any) -> Any:
        with tg.no_grad():
            (w if write == "parameter" else held if write == "buffer" else x).mul_(2.0).add_(1.0)
        return F.cross_entropy(x * w, y).detach()

    compiled = tg.compile(step)
    try:
        compiled(x, labels(4, 3))
    except tg.CompileError:
        assert write == "argument"
        return
    before = copied([w, x, held])
    with pytest.raises(tg.TensorError) as caught:
        compiled(x, labels(4, 3) + 9)
    if "half updated" not in str(caught.value):
        same(before, copied([w, x, held]), 0.0)


def test_settings_out_of_range_raise_as_in_eager() -> None:
    model = net(3, 2)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = tg.compile(training(model, optimizer))
    for _ in range(2):
        step(X, data(4, 2))
    group = optimizer.param_groups[0]
    before = copied(model.state_dict())
    for name, value in (("lr", -1.0), ("lr", math.nan), ("momentum", -0.1), ("nesterov", 3), ("weight_decay", -1.0)):
        kept, group[name] = group[name], value
        if name == "nesterov":
            group["dampening"] = 0.5
        with pytest.raises(tg.ArgumentError):
            step(X, data(4, 2))
        group[name], group["dampening"] = kept, 0
        same(before, copied(model.state_dict()), 0.0)
    step(X, data(4, 2))


def test_a_gradient_of_another_shape_or_dtype_is_refused_as_in_eager() -> None:
    w = nn.Parameter(data(3))
    optimizer = SGD([w], lr=0.1)
    w.grad = tg.ones(3).double()
    step = tg.compile(lambda: optimizer.step())
    step()
    for wrong, error in ((tg.ones(2).double(), tg.ShapeError), (tg.ones(3), tg.DtypeError)):
        try:
            w.grad = wrong
        except tg.TensorError:
            continue
        before = copied(w.detach())
        with pytest.raises(error):
            step()
        same(before, copied(w.detach()), 0.0)


def test_a_read_only_parameter_is_refused_as_in_eager() -> None:
    w = nn.Parameter(data(3))
    step = tg.compile(training(lambda x: x * w, SGD([w], lr=0.1)))
    step(X, X)
    w.array.flags.writeable = False
    before = copied(w.detach())
    with pytest.raises((tg.InplaceError, tg.CompileError)):
        step(X, X)
    same(before, copied(w.detach()), 0.0)
