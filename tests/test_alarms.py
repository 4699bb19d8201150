"""NumPy's floating-point warnings name the operation, the layer and the user's line; what was quiet stays quiet."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from draws import arguments, cases_of, values

import tinygrad_bp as tg
from tinygrad_bp import alarms
from tinygrad_bp.core import wrap
from tinygrad_bp.declare import REGISTRY, Case


class Log(tg.nn.Module):
    def forward(self, x: Any) -> Any:
        return x.log()


def told(call: Callable[[], Any]) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    return found


def here(call: Callable[[], Any], *words: str) -> None:
    """Exactly one warning, at the line of the lambda, with these words."""
    (found,) = told(call)
    assert found.category is RuntimeWarning
    assert found.filename == __file__
    lines, first = inspect.getsourcelines(call)
    assert first <= found.lineno < first + len(lines)
    for word in words:
        assert word in str(found.message)


def leaf(*numbers: float, dtype: Any = tg.float32) -> Any:
    return tg.tensor(numbers, dtype=dtype, requires_grad=True)


def test_the_operation_and_the_users_line() -> None:
    x, big = leaf(0.0, 1.0), leaf(3e38, 3e38)
    here(lambda: tg.log(x), "divide by zero encountered in log", "(2,) float32")
    here(lambda: np.log(x), "divide by zero encountered in log")
    here(lambda: 1 / x, "divide by zero encountered in reciprocal")
    here(lambda: big.sum(), "overflow encountered in sum")
    here(lambda: big * big, "overflow encountered in mul")
    here(lambda: big.detach().clone().mul_(big.detach()), "overflow encountered in mul")
    here(lambda: tg.full((2, 2), 3e38) @ tg.full((2, 2), 3e38), "overflow encountered in matmul")
    here(lambda: tg.full((500, 2), 3e38).sum(0), "overflow encountered in sum")
    here(lambda: big.half(), "overflow encountered in")
    here(lambda: big.detach().half(), "overflow encountered in a conversion to float16")
    here(lambda: leaf(60_000.0, 60_000.0, dtype=tg.float16).sum(), "overflow encountered in sum")
    here(lambda: tg.log(tg.tensor([0, 1])), "divide by zero encountered in log")
    here(lambda: tg.log(tg.tensor(0.0)), "divide by zero encountered in log")


def test_the_backward() -> None:
    here(lambda: leaf(0.0).sqrt().sum().backward(), "divide by zero encountered in the backward of sqrt")
    here(lambda: (tg.ones(3, 2) + leaf(1.0, 1.0)).backward(tg.full((3, 2), 3e38)), "overflow", "backward of add")
    x = leaf(0.0)
    here(lambda: tg.autograd.grad(x.sqrt().sum(), x, create_graph=True), "divide by zero encountered in div")
    x = leaf(0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x.sqrt().sum().backward()
    assert x.grad.item() == np.inf


def test_the_sum_of_gradients() -> None:
    x = leaf(1.0)
    here(lambda: (x * 1 + x * 1).backward(tg.tensor([3e38])), "overflow", "sum of gradients")
    assert x.grad.item() == np.inf
    y = leaf(1.0) * 1
    here(lambda: (y * 1 + y * 1 + y * 0.1).backward(tg.tensor([2e38])), "overflow", "sum of gradients")


def test_the_layer() -> None:
    model = tg.nn.Sequential(tg.nn.ReLU(), tg.nn.Sequential(Log()))
    (found,) = told(lambda: model(leaf(0.0)))
    assert "in layer: Sequential.1.0 (Log)" in str(found.message)
    assert found.filename == __file__
    assert "x.log()" in inspect.getsource(Log)
    assert found.lineno == inspect.getsourcelines(Log)[1] + 2


def test_the_users_filters_and_errstate_are_obeyed() -> None:
    x = leaf(0.0)
    with np.errstate(all="ignore"):
        assert told(lambda: tg.log(x)) == []
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        tg.log(x)
    with np.errstate(divide="ignore"):
        assert told(lambda: tg.log(x)) == []
        here(lambda: tg.log(-leaf(1.0)), "invalid value encountered in log")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert tg.log(x).item() == -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="in log") as found:
            tg.log(x)
        assert found.value.__suppress_context__
    assert all(namespace[alarms.REGISTRY] == () for namespace in alarms.SILENCED)


def test_once_for_each_line_as_python_has_it() -> None:
    x = leaf(0.0)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("default")
        for _ in range(3):
            tg.log(x)
        tg.log(x)
    assert len(found) == 2


def test_the_first_run_of_a_compiled_step() -> None:
    compiled = tg.compile(lambda x: tg.log(x))
    for found in told(lambda: compiled(tg.zeros(2))):
        assert "encountered in log" in str(found.message)
        assert "tinygrad_bp" not in found.filename


def test_an_error_stays_that_error() -> None:
    with pytest.raises(tg.ShapeError), np.errstate(all="warn"):
        tg.ones(2) + tg.ones(3)
    with pytest.raises(tg.DtypeError):
        tg.ones(2) + "a"


HARD = (0.0, -0.0, 1e-30, -1e-30, 3e38, -3e38, np.inf, -np.inf, np.nan)


@pytest.mark.parametrize("name", [name for name, op in REGISTRY.items() if op.domain is not int])
def test_whatever_an_operation_warns_of_is_told_at_this_line(name: str) -> None:
    """Entries that overflow, divide by zero and are not numbers: no TypeError of the mechanism, no line of ours."""
    op = REGISTRY[name]
    for k, case in enumerate(cases_of(op)):
        shapes, named = (case.shapes, dict(case.kwargs)) if isinstance(case, Case) else ([(9,)] * len(op.inputs), case)
        for salt in range(3):
            rng = np.random.default_rng([k, salt])
            xs = [rng.choice(HARD, x.shape).astype(np.float32) for x in values(op, shapes, 5)]

            def both(xs: Any = xs, named: Any = named) -> None:
                leaves = [wrap(x.copy()).requires_grad_() for x in xs]
                args, kwargs = arguments(op, leaves, named)
                try:
                    result = op.call(*args, **kwargs)
                except tg.TensorError:
                    return
                for y in result if isinstance(result, tuple | list) else (result,):
                    if getattr(y, "requires_grad", False):
                        y.sum().backward(retain_graph=True)

            for found in told(both):
                # einsum is written in Python, which stands between it and us
                numpys_own = name in ("einsum", "contract") and "einsumfunc" in found.filename
                assert found.filename == __file__ or numpys_own, f"{found.message} at {found.filename}:{found.lineno}"


@pytest.mark.parametrize(
    "step",
    [lambda x: x @ x, lambda x: tg.nn.functional.linear(x[None], x[None]), lambda x: (x * x).sum()],
)
@pytest.mark.filterwarnings("ignore")
def test_a_warning_while_a_step_is_recorded_is_no_mode_of_its_calls(step: Any) -> None:
    """Whoever listens sets NumPy's modes; a replayed call that kept them would find nobody to tell."""
    compiled = tg.compile(step)
    for value in (3e38, 2e38):
        assert compiled(tg.full((2,), value)).item() == np.inf
