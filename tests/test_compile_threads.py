"""A recording is seen by its own thread alone: others go on with the same model, and what they do is not undone.

The step waits in the middle of its recording, and another thread, or a forked process, looks round. No test waits for a
time; a thread that hangs fails by its timeout. Read `test_compile_lifetime.py` next.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import nn

F = nn.functional
LONG = 60


def events() -> dict[int, tuple[threading.Event, threading.Event]]:
    """Kept where no step reaches them: in the standard library, under a name that is no attribute's."""
    return vars(sys).setdefault("events of halted steps", {})


def halt(event: str, args: tuple[Any, ...]) -> None:
    """Wait in the middle of a step."""
    if event == "tinygrad_bp.halted":
        middle, goes_on = events()[args[0]]
        middle.set()
        assert goes_on.wait(LONG)


sys.addaudithook(halt)


class Halted:
    """A training step whose first recording stops in the middle, as long as it is told to."""

    def __init__(self) -> None:
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)).double()
        self.optimizer = tg.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.arrays = {"scale": np.full(3, 2.0)}
        self.x, self.y = tg.rand(5, 3).double(), tg.rand(5, 1).double()
        self.key = id(self)
        events()[self.key] = threading.Event(), threading.Event()
        self.result: Any = None

        def step(x: Any, y: Any) -> Any:
            self.optimizer.zero_grad()
            loss = F.mse_loss(self.model(x * tg.from_numpy(self.arrays["scale"])), y)
            loss.backward()
            self.optimizer.step()
            sys.audit("tinygrad_bp.halted", self.key)  # a lock that the step reached would be refused
            return loss

        self.step = tg.compile(step)

    @property
    def middle(self) -> threading.Event:
        return events()[self.key][0]

    @property
    def goes_on(self) -> threading.Event:
        return events()[self.key][1]

    def call(self) -> None:
        try:
            self.result = self.step(self.x, self.y)
        except BaseException as error:
            self.result = error

    def meanwhile(self, act: Callable[[], Any]) -> Any:
        """What another thread finds while the step is recorded."""
        thread = threading.Thread(target=self.call)
        thread.start()
        try:
            assert self.middle.wait(LONG)
            return act()
        finally:
            self.goes_on.set()
            thread.join(LONG)
            assert not thread.is_alive()


@pytest.fixture
def halted() -> Any:
    tg.manual_seed(0)
    return Halted()


def test_others_see_no_stand_ins(halted: Any) -> None:
    w, group = halted.model[0].weight, halted.optimizer.param_groups[0]
    before = [w.array, w.array.copy(), w.grad, halted.optimizer.param_groups[0]["lr"]]

    def look() -> None:
        assert w.array is before[0]
        assert w.array.tobytes() == before[1].tobytes()
        assert w.grad is before[2]
        assert type(halted.model(halted.x).numpy() if w.node is None else halted.model(halted.x).array) is np.ndarray
        a = halted.arrays["scale"]
        assert (a * 2).tolist() == np.add(a, a).tolist() == [4.0] * 3
        assert np.asarray(a).sum() == a.sum() == 6.0
        assert a[0] == 2.0
        assert group["lr"] * 2 == 0.2
        assert float(group["lr"]) == 0.1
        assert f"{group['lr']:.2f}" == "0.10"
        assert group["lr"] < 1

    halted.meanwhile(look)
    assert isinstance(halted.result, tg.Tensor)


def test_training_another_model_meanwhile_is_as_ever(halted: Any) -> None:
    def train() -> list[Any]:
        tg.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)).double()
        optimizer = tg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(3):
            optimizer.zero_grad()
            F.mse_loss(model(halted.x), halted.y).backward()
            optimizer.step()
        return [p.detach().numpy().tobytes() for p in model.parameters()]

    assert halted.meanwhile(train) == train()


def test_weights_loaded_meanwhile_stay(halted: Any) -> None:
    state = {name: tg.full_like(t, 0.25) for name, t in halted.model.state_dict().items()}
    twin = Halted()
    halted.meanwhile(lambda: halted.model.load_state_dict(state))
    twin.goes_on.set()
    assert isinstance(halted.result, tg.Tensor)
    twin.model.load_state_dict(state)
    twin.step.function(halted.x, halted.y)  # eagerly, from the weights that were loaded
    for p, q in zip(halted.model.parameters(), twin.model.parameters(), strict=True):
        assert p.shape == q.shape
        assert not np.array_equal(p.detach().numpy(), np.full(p.shape, 0.25))  # one step away from them
        assert np.abs(p.detach().numpy() - 0.25).max() < 1


def test_a_learning_rate_set_meanwhile_is_kept_and_told(halted: Any) -> None:
    halted.meanwhile(lambda: halted.optimizer.param_groups[0].update(lr=0.5))
    assert halted.optimizer.param_groups[0]["lr"] == 0.5
    assert "by another thread" in str(halted.result)
    assert isinstance(halted.step(halted.x, halted.y), tg.Tensor)
    assert halted.optimizer.param_groups[0]["lr"] == 0.5


def test_random_numbers_drawn_meanwhile(halted: Any) -> None:
    tg.manual_seed(3)
    expected = [tg.rand(2).tolist() for _ in range(2)]
    tg.manual_seed(3)

    def draws() -> list[Any]:
        random.random(), np.random.rand()  # noqa: NPY002
        return [tg.rand(2).tolist() for _ in range(2)]

    assert halted.meanwhile(draws) == expected
    assert isinstance(halted.result, tg.Tensor)


def test_a_loss_of_the_same_model_has_its_own_backward(halted: Any) -> None:
    def gradient() -> Any:
        return tg.autograd.grad(halted.model[2](tg.ones(1, 4).double()).sum(), halted.model[2].weight)[0].tolist()

    assert halted.meanwhile(gradient) == [[1.0] * 4]


def test_a_thread_started_by_the_step_is_refused_and_others_may_start_some(halted: Any) -> None:
    weight, found = tg.ones(3), []

    def step(x: Any) -> Any:
        thread = threading.Thread(target=lambda: found.append((weight * 2).numpy()))
        thread.start()
        thread.join()
        return x * found.pop()

    start = threading.Thread.start
    with pytest.raises(tg.CompileError, match="starts a thread"):
        tg.compile(step)(tg.ones(3))
    assert threading.Thread.start is start

    def other() -> bool:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join(LONG)
        return not thread.is_alive()

    assert halted.meanwhile(other)
    assert isinstance(halted.result, tg.Tensor)
    assert threading.Thread.start is start


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_forked_meanwhile_is_free(halted: Any) -> None:
    kept = halted.model[0].weight.detach().numpy().copy()

    def child() -> int:
        signal.alarm(LONG)
        w = halted.model[0].weight
        whole = type(w.array) is np.ndarray and w.array.tobytes() == kept.tobytes()
        plain = type(halted.arrays["scale"]) is np.ndarray and type(halted.optimizer.param_groups[0]["lr"]) is float
        halted.goes_on.set()
        step = tg.compile(lambda x: halted.model[2](x).sum())
        again = [step(tg.ones(2, 4).double()).item() for _ in range(2)]
        return 0 if whole and plain and again[0] == again[1] and isinstance(tg.rand(1).item(), float) else 1

    def forked() -> int:
        pid = os.fork()
        if pid == 0:
            code = 2
            try:
                code = child()
            finally:
                os._exit(code)
        return os.waitpid(pid, 0)[1]

    assert halted.meanwhile(forked) == 0
    assert isinstance(halted.result, tg.Tensor)


def test_many_threads_share_steps_and_compile_at_once() -> None:
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    x = tg.rand(16, 3).double()
    expected = model(x).detach().numpy()
    shared, wrong = tg.compile(model), []

    def work(i: int) -> None:
        try:
            for k in range(3):
                with tg.no_grad():
                    found = [shared(x), tg.compile(lambda x: model(x))(x), model(x)]
                    found.append(shared(x[: i + k + 1]))
                for y in found:
                    assert np.abs(y.numpy() - expected[: len(y)]).max() < 1e-12
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not wrong
