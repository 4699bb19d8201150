"""What cannot be compiled says so, at its line and with what to write instead; with `fallback=True` it runs eagerly.

Looks at values, shapes that depend on values, NumPy that does not dispatch. Read `test_compile_side_effects.py` next.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compile_kit import (
    F,
    data,
    equal_or_refused,
    net,
    refused,
)

import tinygrad_bp as tg
from tinygrad_bp import nn

X = data(4, 3)


VIEWS: dict[str, Callable[[Any], Any]] = {
    "if": lambda x: x * 2 if x.sum() > 0 else x,
    "if not": lambda x: x * 2 if not (x > 9).any() else x,
    "and": lambda x: (x.sum() > 0) and x,
    "while": lambda x: halved(x),
    "assert": lambda x: asserted(x),
    "if item": lambda x: x if x.sum().item() > 0 else -x,
    "float": lambda x: float(x.sum()),
    "int": lambda x: int(x.sum()),
    "bool": lambda x: bool(x.sum()),
    "complex": lambda x: complex(x.sum()),
    "int of item": lambda x: x * int(x.sum().item()),
    "round of item": lambda x: round(x.sum().item(), 2),
    "format": lambda x: f"{x.sum().item():.3f}",
    "str": lambda x: str(x),
    "repr": lambda x: repr(x),
    "tolist": lambda x: x.tolist(),
    "in": lambda x: 1.0 in x,
    "max of Python": lambda x: max(x.sum(0)),
    "sorted": lambda x: [float(v.sum()) for v in sorted(x.sum(0))],
    "allclose": lambda x: tg.allclose(x, x),
    "equal": lambda x: tg.equal(x, x),
    "range": lambda x: sum(x.sum() for _ in range(abs(int(x.sum().item())))) + x,
    "isfinite": lambda x: x if math.isfinite(x.sum().item()) else None,
    "math of a number": lambda x: math.sqrt((x**2).sum().item()),
    "math of a tensor": lambda x: math.sqrt((x**2).sum()),
    "key of a dict": lambda x: {x.sum().item(): 1}[x.sum().item()],
    "min of numbers": lambda x: min(x.sum().item(), x.mean().item()),
    "list index": lambda x: [x, x * 2][int(x.argmax()) % 2],
    "arange": lambda x: tg.arange(int((x > 0).sum())),
    "reshape": lambda x: x[: int((x > 0).sum()) % 3],
    "array if": lambda x: 1 if (x.numpy() > 0).all() else 0,
    "array allclose": lambda x: np.allclose(x.numpy(), x.numpy()),
    "array bytes": lambda x: x.numpy().tobytes(),
    "math import": lambda x: math.fsum(x.numpy().ravel()),
}


def halved(x: Any) -> Any:
    while x.abs().max() > 0.1:
        x = x / 2
    return x


def asserted(x: Any) -> Any:
    assert x.abs().sum() > 0
    return x * 2


@pytest.mark.parametrize("function", VIEWS.values(), ids=VIEWS)
def test_a_look_at_a_value_is_refused_at_its_line(function: Callable[[Any], Any]) -> None:
    assert re.search(r"test_compile_refusals\.py:\d+", refused(function, X))


def test_the_refusal_names_line_and_layer() -> None:
    class Choosy(nn.Module):
        def forward(self, x: Any) -> Any:
            return x if x.sum() > 0 else -x

    model = nn.Sequential(nn.Linear(3, 3), Choosy()).double()
    message = refused(lambda x: model(x).detach(), X)
    line = Choosy.forward.__code__.co_firstlineno + 1
    assert f"test_compile_refusals.py:{line} in layer '1'" in message
    assert "tg.where" in message


def with_a_loss(act: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        w = w0.detach().requires_grad_()
        loss = (x * w).sum()
        act(loss)
        return loss.detach()

    w0 = data(3)
    return function


@pytest.mark.parametrize("act", [lambda loss: print(loss), lambda loss: print(loss.item()), lambda loss: f"{loss:.3f}"])
def test_printing_the_loss_is_refused(act: Callable[[Any], Any], capsys: Any) -> None:
    refused(with_a_loss(act), X)
    assert capsys


SHAPES: dict[str, Callable[[Any], Any]] = {
    "mask": lambda x: x[x > 0],
    "mask and mean": lambda x: x[x > 0].mean(),
    "mask and length": lambda x: x[x > 0].sum() / len(x[x > 0]),
    "mask and sum": lambda x: (x[x > 0] * 2 + 1).sum(),
    "mask of rows": lambda x: x[x[:, 0] > 0].sum(0),
    "masked_select": lambda x: x.masked_select(x > 0).mean(),
    "nonzero": lambda x: x[(x[:, 0] > 0).nonzero()[:, 0]].sum(0),
    "where of one": lambda x: tg.where(x[:, 0] > 0)[0],
    "written by mask": lambda x: masked(x),
    "unique": lambda x: np.unique(np.floor(x.numpy())).mean(),
    "array mask": lambda x: x.numpy()[x.numpy() > 0].mean(),
    "array nonzero": lambda x: np.nonzero(x.numpy())[0].size,
    "argwhere": lambda x: np.argwhere(x.numpy() > 0),
    "compress": lambda x: np.compress(x.numpy()[:, 0] > 0, x.numpy(), 0),
    "extract": lambda x: np.extract(x.numpy() > 0, x.numpy()),
    "repeat": lambda x: np.repeat(x.numpy()[0], np.abs(x.numpy()[1] * 3).astype(int)),
    "repeat_interleave": lambda x: x[0].repeat_interleave((x[1].abs() * 3).long()),
    "bincount": lambda x: np.bincount(np.abs(x.numpy()[1] * 3).astype(int)),
    "trim": lambda x: np.trim_zeros(np.maximum(x.numpy()[0], 0)),
    "delete": lambda x: np.delete(x.numpy(), x.numpy().argmax(0), 0),
    "one_hot of unknown classes": lambda x: F.one_hot(x.argmax(1)),
    "setdiff": lambda x: np.setdiff1d(np.floor(x.numpy()), np.zeros(1)),
}


def masked(x: Any) -> Any:
    y = x.clone()
    y[x > 0] = y[x > 0] * 2
    return y


@pytest.mark.parametrize("function", SHAPES.values(), ids=SHAPES)
def test_a_shape_that_depends_on_values_is_refused(function: Callable[[Any], Any]) -> None:
    refused(function, X)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_loss_of_the_rows_that_a_mask_chooses_is_refused(reduction: str) -> None:
    model = net(3, 2)

    def step(x: Any, y: Any) -> Any:
        keep = y[:, 0] > 0
        return F.mse_loss(model(x)[keep], y[keep], reduction=reduction).detach()

    refused(step, X, data(4, 2))


FOREIGN: dict[str, Callable[[Any], Any]] = {
    "vectorize": lambda x: np.vectorize(lambda a: a * 2)(x.numpy()),
    "array of array": lambda x: np.array(x.numpy()) * 2,
    "asarray": lambda x: np.asarray(x.numpy()) * 2,
    "asarray of tensor": lambda x: np.asarray(x) * 2,
    "array from Python": lambda x: np.array([float(a) for a in x[0]]),
    "frombuffer": lambda x: np.frombuffer(x.numpy()),
    "dlpack": lambda x: np.from_dlpack(x.numpy()) * 2,
    "view": lambda x: x.numpy().view(np.int64),
    "flat": lambda x: x.numpy().flat[0],
    "sort in place": lambda x: sorted_array(x.numpy().copy()),
    "add.at": lambda x: added_at(x.numpy().copy()),
    "put_along_axis": lambda x: put(x.numpy().copy()),
    "out": lambda x: np.add(x.numpy(), 1, out=np.zeros((4, 3))),
    "out where": lambda x: np.add(x.numpy(), 1, where=x.numpy() > 0, out=np.zeros((4, 3))),
    "into an array": lambda x: written_into(np.zeros((4, 3)), x),
    "full": lambda x: np.full((3,), x.numpy().sum()),
    "float32": lambda x: np.float32(x.numpy().sum()),
    "divmod": lambda x: divmod(x.numpy(), 2),
    "tensor of a number": lambda x: tg.full((3,), x.sum().item()),
    "memoryview": lambda x: memoryview(x.numpy()).nbytes,
    "saved": lambda x: math.fsum(map(float, x.numpy().ravel())),
}


def sorted_array(a: Any) -> Any:
    a.sort()
    return a


def added_at(a: Any) -> Any:
    np.add.at(a, [0, 0], 1.0)
    return a


def put(a: Any) -> Any:
    np.put_along_axis(a, np.array([[0]]), 1.0, 1)
    return a


def written_into(a: Any, x: Any) -> Any:
    a[:] = x.numpy()
    return a


@pytest.mark.parametrize("function", FOREIGN.values(), ids=FOREIGN)
def test_numpy_that_does_not_dispatch_is_right_or_refused(function: Callable[[Any], Any]) -> None:
    @equal_or_refused
    def script(compile: Any, see: Any) -> None:
        step = compile(function)
        for i in range(3):
            see(step(data(4, 3, seed=i)))

    script()


def test_a_module_that_is_imported_while_recording_draws_nothing() -> None:
    """NumPy imports numpy.random when it is first used: that is no draw."""
    code = (
        "import sys, tinygrad_bp as tg\n"
        "assert 'numpy.random' not in sys.modules\n"
        "step = tg.compile(lambda x: x + x)\n"
        "print(step(tg.ones(2)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "tensor([2., 2.])", done.stderr
