"""The test kit tested: its strategies reach what they promise, its assertions fail where they should and say why.

The plugin is run in pytest sessions of its own. Read `test_module_laws.py` next.
"""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.errors import ArgumentError, DtypeError
from tinygrad_bp.gradcheck import GradcheckError
from tinygrad_bp.testing import (
    arrays,
    assert_close,
    assert_gradcheck,
    broadcastable,
    modules,
    shapes,
    tensors,
)
from tinygrad_bp.testing.reproduce import call_line
from tinygrad_bp.testing.specs import generic
from tinygrad_bp.testing.strategies import LAYOUTS, layout

ROOT = Path(__file__).parent.parent

# ------------------------------------------------------------------------------------------------------ strategies


@pytest.mark.parametrize(
    "awkward",
    [
        lambda a: a.ndim == 0,
        lambda a: a.size == 0 and a.ndim > 1,
        lambda a: a.dtype == np.float32,
        lambda a: a.dtype == np.float64,
        lambda a: not a.flags.writeable and a.size > 1,
        lambda a: a.ndim == 2 and a.flags.f_contiguous and not a.flags.c_contiguous,
        lambda a: any(stride < 0 for stride in a.strides),
        lambda a: a.ndim == 1 and a.size > 1 and a.strides[0] == 2 * a.itemsize,
    ],
)
def test_arrays_reach_every_awkward_kind(awkward: Callable[[Any], bool]) -> None:
    find(arrays(), awkward)


@pytest.mark.parametrize("size", range(10))  # of an odd number of values one lies near 0
def test_generic_values_are_neither_tied_nor_zero(size: int) -> None:
    for seed in range(40):
        values = generic((size,), np.random.default_rng(seed))
        step = 4 / max(values.size, 4)
        assert (np.abs(values) >= 0.1 * step - 1e-15).all()
        assert (np.diff(np.sort(values)) >= 0.29 * step).all()
        assert (np.abs(values) <= 2).all()


@given(st.sampled_from(LAYOUTS), arrays(layouts=["plain"]))
def test_a_layout_changes_no_entry(kind: str, array: np.ndarray) -> None:
    laid = layout(array, kind)
    assert isinstance(laid, np.ndarray)
    np.testing.assert_array_equal(laid, array, strict=True)
    assert not np.shares_memory(laid, array) or array.size == 0


@given(tensors(dtype="float32", low=1.0, high=3.0))
def test_tensors_are_leaves_of_the_dtype_and_range_asked_for(t: Any) -> None:
    assert t.is_leaf
    assert t.requires_grad
    assert t.dtype == tg.float32
    assert ((t.array >= 1) & (t.array <= 3)).all()


@given(tensors((2,), "float64", elements=st.just(0.0)))
def test_elements_decide_every_entry(t: Any) -> None:
    assert t.array.tolist() == [0.0, 0.0]


@given(tensors((2,), "int64"))
def test_integer_tensors_require_no_gradient(t: Any) -> None:
    assert not t.requires_grad


@given(broadcastable(3, min_side=1))
def test_broadcastable_tensors_broadcast_and_have_one_dtype(drawn: tuple[Any, ...]) -> None:
    a, b, c = drawn
    total = a + b + c
    assert total.shape == np.broadcast_shapes(a.shape, b.shape, c.shape)
    assert total.dtype == a.dtype == b.dtype == c.dtype


def test_broadcastable_reaches_pairs_that_really_broadcast() -> None:
    find(broadcastable(2), lambda pair: pair[0].shape != pair[1].shape and pair[0].ndim == pair[1].ndim)


@given(modules(out_features=2), st.integers(1, 3))
def test_drawn_modules_run_forward_and_backward(net: Any, rows: int) -> None:
    y = net(tg.ones(rows, net[0].in_features))
    assert y.shape == (rows, 2)
    y.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_drawing_a_module_leaves_the_random_stream_where_it_was() -> None:
    before = tg.get_rng_state().copy()
    find(modules(), lambda net: len(net) > 2)
    assert (tg.get_rng_state() == before).all()


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(ArgumentError, match="layouts are some of"):
        find(arrays(layouts=["sideways"]), lambda a: True)


# ----------------------------------------------------------------------------------------------------- assert_close


def message(actual: Any, expected: Any, **options: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        assert_close(actual, expected, **options)
    return str(caught.value)


@given(arrays(shapes(min_side=1)))
def test_everything_is_close_to_its_copy_and_not_to_a_moved_one(array: np.ndarray) -> None:
    assert_close(array, array.copy())
    moved = array.copy()
    moved.flat[-1] += 0.01
    assert "differ: 1 of" in message(moved, array)


def test_the_worst_entry_comes_first_and_a_map_shows_where() -> None:
    expected = np.zeros((3, 4))
    actual = expected.copy()
    actual[1, 2], actual[2, 0] = 1.0, 5.0
    lines = message(actual, expected).splitlines()
    assert lines[0] == "values differ: 2 of 12 entries, allowed is 1e-07 + 1e-07·|expected|"
    assert lines[2].split()[:3] == ["[2,", "0]", "5.0"]
    assert [line[-4:] for line in lines[-3:]] == ["....", "..x.", "x..."]


def test_nan_differs_unless_allowed() -> None:
    assert "nan" in message([np.nan, 1.0], [np.nan, 1.0])
    assert_close([np.nan, 1.0], [np.nan, 1.0], equal_nan=True)


def test_shape_and_dtype_are_compared_before_values() -> None:
    assert message(np.ones(2), np.ones((2, 1))) == "values: shape (2,), expected (2, 1)"
    assert "dtype float32, expected float64" in message(np.ones(2, np.float32), np.ones(2))
    assert_close(np.ones(2, np.float32), np.ones(2), check_dtype=False)
    assert_close(tg.tensor([1.0, 2.0]), [1.0, 2.0])


def test_the_less_exact_dtype_decides_the_tolerance() -> None:
    for nearly in (np.array([1 + 1e-6], np.float32), np.array([1 + 1e-6])):
        assert_close(nearly, np.ones(1, np.float32), check_dtype=False)
    assert "differ" in message(np.array([1 + 1e-6]), np.ones(1))


def test_structures_are_walked_and_the_path_is_told() -> None:
    state = nn.Linear(2, 2).state_dict()
    changed = {**state, "bias": state["bias"] + 1}
    assert message(changed, state).startswith("values['bias'] differ")
    assert "missing ['bias']" in message({"weight": state["weight"]}, state)
    assert message([np.ones(1)], [np.ones(1)] * 2) == "values: 1 elements, expected 2"
    assert message([{"a": 1.0}], [{"a": 2.0}]).startswith("values[0]['a'] differ")


def test_large_integers_are_compared_exactly() -> None:
    assert "1 of 1" in message(np.array([2**60 + 1]), np.array([2**60]))


def test_differences_along_one_index_are_said_so() -> None:
    actual = np.zeros((3, 4, 5))
    actual[:, 2, 1] = 1
    assert "only at index 2 of axis 1, index 1 of axis 2" in message(actual, np.zeros((3, 4, 5)))


@pytest.mark.parametrize("options", [{"rtol": 1e-3}, {"atol": 1e-3}])
def test_half_a_tolerance_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match="both rtol and atol"):
        assert_close(1.0, 1.0, **options)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(DtypeError, match="numbers are expected"):
        assert_close("one", 1.0)


@given(tensors(shapes(min_side=1, max_dims=2)), st.sampled_from([0.0, 1e-9, 1e-6, 1e-4, 1e-2]))
def test_the_verdict_is_torchs(t: Any, by: float) -> None:
    torch = pytest.importorskip("torch")
    moved = (t.array * (1 + by) + by).astype(t.array.dtype)

    def agree(compare: Callable[..., None], make: Callable[..., Any]) -> bool:
        try:
            compare(make(moved), make(t.array.copy()))
        except AssertionError:
            return False
        return True

    assert agree(assert_close, np.array) == agree(torch.testing.assert_close, torch.tensor)


# ------------------------------------------------------------------------------------------------- assert_gradcheck


class WrongCube(tg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 2 * x**2


class CutCube(WrongCube):
    """Right once; the second derivative is lost."""

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * (3 * x**2).detach()


def test_assert_gradcheck_passes_and_returns_the_report() -> None:
    assert assert_gradcheck(tg.tanh, (tg.tensor([0.5, -1.0], requires_grad=True),), order=2)


@given(broadcastable(2))
def test_assert_gradcheck_takes_whatever_is_drawn(pair: tuple[Any, Any]) -> None:
    assert assert_gradcheck(tg.mul, pair, order=2)


def test_assert_gradcheck_fails_with_the_report_and_a_line_that_runs() -> None:
    x = tg.tensor([0.5, -1.5], dtype=tg.float64, requires_grad=True)
    with pytest.raises(GradcheckError) as caught:
        assert_gradcheck(WrongCube.apply, (x,), seed=3)
    text, report = str(caught.value), caught.value.report
    assert str(report) in text
    assert not report.passed
    line = text.splitlines()[-1].removeprefix("  the call: ")
    with pytest.raises(GradcheckError) as again:
        eval(line, {"tg": tg, __name__: sys.modules[__name__]})
    assert again.value.report["input 0"].verdict == report["input 0"].verdict == "FAIL"


def test_order_2_finds_what_order_1_cannot() -> None:
    inputs = (tg.tensor([0.5, -1.5], requires_grad=True),)
    assert assert_gradcheck(CutCube.apply, inputs)
    with pytest.raises(GradcheckError):
        assert_gradcheck(CutCube.apply, inputs, order=2)
    with pytest.raises(ArgumentError, match="order is 1 or 2"):
        assert_gradcheck(CutCube.apply, inputs, order=3)


def test_no_line_is_given_that_would_not_run() -> None:
    x = tg.ones(2)
    assert call_line("gradcheck", lambda x: x, (x,), {}) == ""
    assert call_line("gradcheck", WrongCube.apply, (tg.ones(100),), {}) == ""
    assert call_line("gradcheck", WrongCube.apply, (tg.tensor([np.nan]),), {}) == ""
    assert call_line("gradcheck", nn.Linear(2, 2), (x,), {}) == ""
    assert "WrongCube.apply, (tg.tensor([1.0, 1.0]" in call_line("gradcheck", WrongCube.apply, x, {})


# ----------------------------------------------------------------------------------------------------------- plugin

SUITE = """
import numpy as np, tinygrad_bp as tg
from tests.test_testing_kit import WrongCube

def test_right(gradcheck):
    assert gradcheck(tg.tanh, (tg.tensor([0.5, -1.0], requires_grad=True),), order=2)

def test_wrong(gradcheck):
    gradcheck(WrongCube.apply, (tg.tensor([0.5, -1.5], requires_grad=True),))

def test_without_the_fixture():
    tg.autograd.gradcheck(WrongCube.apply, (tg.tensor([0.5, -1.5], requires_grad=True),))
"""


def run_pytest(folder: Path, suite: str, *options: str) -> str:
    (folder / "test_layers.py").write_text(suite)
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COVERAGE"))}
    plugin = ["-p", "no:tinygrad_bp", "-p", "pytest_tinygrad_bp"]  # by name, whether it is installed or not
    command = [sys.executable, "-m", "pytest", *plugin, "-p", "no:cacheprovider", *options]
    env = {**plain, "PYTHONPATH": path}
    done = subprocess.run(
        [*command, "test_layers.py"], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run_pytest(tmp_path_factory.mktemp("suite"), SUITE.replace("tests.", ""), "--gradcheck-seed=5")


def test_the_plugin_prints_the_report_and_the_line_that_runs_it_again(failures: str) -> None:
    assert "2 failed, 1 passed" in failures
    assert "GradcheckError: gradcheck of WrongCube" in failures
    again = 'python -m pytest -p pytest_tinygrad_bp "test_layers.py::test_wrong" --gradcheck-seed=5'
    assert again in failures.splitlines()
    assert 'python -m pytest -p pytest_tinygrad_bp "test_layers.py::test_without_the_fixture"' in failures.splitlines()
    assert "the call: tg.autograd.gradcheck(test_testing_kit.WrongCube.apply, (tg.tensor([0.5, -1.5]" in failures


def test_the_traceback_ends_in_the_test_and_not_in_the_checker(failures: str) -> None:
    part = failures.partition("___ test_wrong ___")[2].partition("___ test_without")[0]
    assert "gradcheck(WrongCube.apply" in part
    assert "assertions.py" not in part


def test_the_plugin_costs_no_import_where_it_is_not_used(tmp_path: Path) -> None:
    suite = "import sys\ndef test(): assert not {'numpy', 'tinygrad_bp', 'hypothesis.extra.numpy'} & set(sys.modules)\n"
    assert "1 passed" in run_pytest(tmp_path, suite)
    assert "gradcheck-seed" in run_pytest(tmp_path, suite, "--help")


def test_the_entry_point_names_a_module_that_the_wheel_contains() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["entry-points"]["pytest11"] == {"tinygrad_bp": "pytest_tinygrad_bp"}
    included = project["tool"]["hatch"]["build"]["targets"]
    assert "pytest_tinygrad_bp.py" in included["wheel"]["packages"]
    assert "/pytest_tinygrad_bp.py" in included["sdist"]["include"]


@pytest.mark.parametrize("page", ["gradcheck.md", "compiler.md"])
def test_what_the_page_shows_is_so(page: str) -> None:
    tg.manual_seed(0)
    failed, tried = doctest.testfile(str(ROOT / "docs" / page), module_relative=False, verbose=False)
    assert tried > 8
    assert not failed


def test_the_kit_needs_hypothesis_only_where_it_draws() -> None:
    code = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from tinygrad_bp import testing\n"
        "testing.assert_close(1.0, 1.0)\n"
        "try: testing.shapes\n"
        "except ImportError as error: print(error)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "tinygrad_bp.testing.shapes needs Hypothesis: pip install hypothesis\n"
