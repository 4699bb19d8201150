"""Nothing outlives a call that need not: no argument, no frame of the caller; a dropped step takes all with it.

Read `test_compile_outside.py` next.
"""

from __future__ import annotations

import gc
import linecache
import tracemalloc
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.compiler import compiled, plan

F = nn.functional


class Witness:
    """Something in the caller's frame."""


def trained() -> Any:
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return tg.compile(step)


def penalised() -> Any:
    model = nn.Linear(6, 1)

    def step(x: Any, y: Any) -> Any:
        x = x.detach().requires_grad_()
        g = tg.autograd.grad(model(x).tanh().sum(), x, create_graph=True)[0]
        return (g * g).sum().detach()

    return tg.compile(step)


def called_with_a_graph(step: Any, x: Any, y: Any) -> None:
    step(x).sum().backward()


CALLS: dict[str, tuple[Callable[[], Any], Callable[[Any, Any, Any], Any]]] = {
    "training": (trained, lambda s, x, y: s(x, y)),
    "a forward": (lambda: tg.compile(nn.Linear(6, 2)), called_with_a_graph),
    "second derivatives inside": (penalised, lambda s, x, y: s(x, y)),
    "the argument itself": (lambda: tg.compile(lambda x: x), lambda s, x, y: s(x)),
    "a view of it": (lambda: tg.compile(lambda x: x[2:]), lambda s, x, y: s(x)),
    "in containers": (lambda: tg.compile(lambda d, *r: d["x"] + r[0]), lambda s, x, y: s({"x": x}, y)),
    "arrays": (lambda: tg.compile(lambda x: np.cumsum(x)), lambda s, x, y: s(x.array)),
    "other shapes": (lambda: tg.compile(lambda x: x * 2), lambda s, x, y: [s(x[:i]) for i in range(5)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_no_argument_and_no_frame_outlives_a_call(name: str) -> None:
    make, call = CALLS[name]
    step = make()

    def caller() -> list[Any]:
        x, y, witness = tg.rand(32, 6), tg.rand(32, 1), Witness()
        for _ in range(2):
            call(step, x, y)
        return [weakref.ref(thing) for thing in (x, x.array, y, y.array, witness)]

    gc.disable()  # not even for the time until circles are collected
    try:
        assert [reference() for reference in caller()] == [None] * 5
    finally:
        gc.enable()


def test_a_refused_step_keeps_nothing() -> None:
    def caller() -> list[Any]:
        x, witness = tg.rand(32, 6), Witness()
        with pytest.raises(tg.CompileError):
            tg.compile(lambda x: float(x.sum()))(x)
        return [weakref.ref(thing) for thing in (x, x.array, witness)]

    found = caller()
    gc.collect()  # the error has a traceback
    assert [reference() for reference in found] == [None] * 3


@pytest.mark.parametrize("name", CALLS)
def test_a_dropped_step_takes_its_programs_buffers_and_lines_with_it(name: str) -> None:
    make, call = CALLS[name]
    gc.collect()
    lines, plans = set(linecache.cache), set(plan.PLANS)
    step = make()
    call(step, tg.rand(32, 6), tg.rand(32, 1))
    mine = set(plan.PLANS) - plans
    assert mine
    found = [weakref.ref(p) for p in mine] + [weakref.ref(p.linked) for p in mine]
    plans.clear(), mine.clear()
    gc.disable()
    try:
        del step
        assert [reference() for reference in found] == [None] * len(found)
    finally:
        gc.enable()
    gc.collect()  # of the program itself, whose values and calls know each other
    assert not {name for name in set(linecache.cache) - lines if "compiled step" in name}


def test_plans_that_are_no_longer_kept_are_freed() -> None:
    step = tg.compile(lambda x: x * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(1, compiled.KEPT + 8):
            step(tg.ones(n))
    gc.collect()
    assert len(step._plans) == compiled.KEPT
    own = {id(p) for p in step._plans}
    assert sum(id(p) in own for p in plan.PLANS) == compiled.KEPT
    assert not [p for p in plan.PLANS if p.run.function is step.function and id(p) not in own]


def test_what_compiling_leaves_is_what_it_needs() -> None:
    """Compiling one step after another in place of the last does not grow."""

    def once(n: int) -> None:
        step = trained()
        step(tg.rand(64, 6), tg.rand(64, 1))

    once(0), once(1)
    gc.collect()
    tracemalloc.start()
    try:
        once(2), gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for n in range(5):
            once(n)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 60_000
    finally:
        tracemalloc.stop()
