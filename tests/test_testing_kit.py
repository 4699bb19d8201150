"""The test kit tested: its strategies reach what they promise, its assertions fail where they should and say why.

Every law of `check_module` meets a layer that keeps it and one that breaks it; the plugin is run in pytest sessions of
its own. Read `test_cli.py` next.
"""

from __future__ import annotations

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
    LAWS,
    arrays,
    assert_close,
    assert_gradcheck,
    broadcastable,
    check_module,
    modules,
    shapes,
    tensors,
)
from tinygrad_bp.testing.module_laws import LawError
from tinygrad_bp.testing.reproduce import call_line
from tinygrad_bp.testing.specs import Spec, generic, parse
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


@given(shapes(), st.integers(0, 2**32 - 1))
def test_generic_values_are_neither_tied_nor_zero(shape: tuple[int, ...], seed: int) -> None:
    values = generic(shape, np.random.default_rng(seed)).ravel()
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


def test_integer_tensors_require_no_gradient() -> None:
    assert not find(tensors((2,), "int64"), lambda t: True).requires_grad


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


# ------------------------------------------------------------------------------------------------------------ specs


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("4,3", Spec((4, 3))),
        (" N , 3 ", Spec(("N", 3))),
        ("(4, 3)", Spec((4, 3))),
        ("(3,)", Spec((3,))),
        ("()", Spec(())),
        ("*,rows", Spec(("*", "rows"))),
        ("5:int<10", Spec((5,), 10)),
        ("() : int < 3", Spec((), 3)),
        ((2, "N"), Spec((2, "N"))),
        ((), Spec(())),
        (7, Spec((7,))),
    ],
)
def test_shapes_are_read(text: Any, spec: Spec) -> None:
    assert parse(text) == spec


@pytest.mark.parametrize("text", ["", "4,,3", "4;3", "-1,3", "4.0", "*,*", "5:int<0", "5:float", None, True, ":int<3"])
def test_what_is_no_shape_is_refused(text: Any) -> None:
    with pytest.raises(ArgumentError, match="is no shape: write sizes"):
        parse(text)


# ----------------------------------------------------------------------------------------------------- check_module


def layer(compute: Callable[[Any, Any], Any], **fields: Any) -> Callable[[], Any]:
    """A maker of Modules whose forward is `compute(self, x)`; each of `fields` is called anew for every Module."""

    class Made(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, make in fields.items():
                setattr(self, name, make())

        def forward(self, x: Any) -> Any:
            return compute(self, x)

    return Made


class Deaf(nn.Identity):
    def train(self, mode: bool = True) -> Any:
        """Neither listens nor returns itself."""


class Counting(nn.Module):
    """Batch-norm-like, but its statistics move in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", tg.zeros(()))

    def forward(self, x: Any) -> Any:
        with tg.no_grad():
            self.mean.copy_(0.9 * self.mean + 0.1 * x.mean())
        return x * 2


class Scribble(tg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 1

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        g.array[...] *= 1.5
        return tg.tensor(g.array / 1.5)


class Overwrite(tg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.x = x.array
        return x * 1

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        ctx.x[...] = 0
        return g * 1


def in_memory_order(self: Any, x: Any) -> Any:
    """Reads the buffer and not the entries."""
    return x * tg.tensor(np.ravel(x.array, order="K").reshape(x.shape))


def add_one(self: Any, x: Any) -> Any:
    x += 1
    return x


CONSTANT = np.array(2.0).repeat(3)
BROKEN = [
    ("gradient", layer(lambda self, x: WrongCube.apply(x)), "→"),
    ("second derivative", layer(lambda self, x: CutCube.apply(x)), "second"),
    ("dtype", layer(lambda self, x: x * tg.tensor(CONSTANT)), "float32 goes in, and output 0 is float64"),
    ("inputs kept", layer(add_one), "forward overwrites input 0 (3 of 3 entries)"),
    ("inputs kept", layer(lambda self, x: Overwrite.apply(x)), "backward overwrites input 0"),
    ("inputs kept", layer(lambda self, x: Scribble.apply(x)), "overwrites the incoming gradient"),
    ("memory layout", layer(in_memory_order), "outputs for"),
    ("batch", layer(lambda self, x: x - x.mean(0, keepdim=True)), "row 0 of output 0 alone, and among 2 rows"),
    ("train/eval", layer(lambda self, x: nn.functional.dropout(x, 0.5)), "in eval mode the outputs of two"),
    ("train/eval", Deaf, "train(False) does not reach Deaf"),
    ("train/eval", Counting, "in eval mode forward changes mean"),
    ("state_dict", layer(lambda self, x: x * self.w, w=lambda: tg.randn(3)), "w is a Tensor, but no parameter"),
    ("forward", layer(lambda self, x: self.f[0](x), f=lambda: [nn.Linear(3, 3)]), "f holds layers or"),
    ("state_dict", layer(lambda self, x: x, f=lambda: {"a": nn.Linear(3, 3)}), "use ModuleDict"),
    ("forward", layer(lambda self, x: 3.0), "forward returns float; expected a Tensor"),
]


@pytest.mark.parametrize(("law", "make", "told"), BROKEN, ids=[f"{law} {i}" for i, (law, _, _) in enumerate(BROKEN)])
def test_a_broken_law_is_found_and_told(law: str, make: Any, told: str) -> None:
    report = check_module(make, "N,3", raise_exception=False, max_examples=3)
    assert report[law].verdict == "FAIL"
    assert told in report[law].note
    assert not report
    assert len(report[law].shapes or ()) == 1


@pytest.mark.parametrize(
    ("make", "inputs", "args"),
    [
        (nn.Linear, ("N,3",), (3, 2)),
        (nn.Linear, ("*,3",), (3, 2)),
        (nn.ReLU, (), ()),
        (nn.Dropout, ("N,2",), (0.5,)),
        (nn.Bilinear, ("N,2", "N,3"), (2, 3, 2)),
        (nn.MSELoss, ("N,2", "N,2"), ()),
        (nn.CrossEntropyLoss, ("N,3", "N:int<3"), ()),
        (lambda: nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)), ("N,2",), ()),
    ],
)
def test_right_layers_break_no_law(make: Any, inputs: tuple[str, ...], args: tuple[Any, ...]) -> None:
    report = check_module(make, *inputs, args=args, max_examples=3)
    assert [result.law for result in report.results] == [law for law in LAWS if law != "forward"]
    assert report["gradient"].verdict == "PASS"


def test_the_smallest_shape_that_breaks_a_law_is_told() -> None:
    broken_from_three = layer(lambda self, x: WrongCube.apply(x) if x.shape[0] >= 3 else x**3)
    report = check_module(broken_from_three, "N,M", laws=["gradient"], raise_exception=False, max_examples=20)
    assert report["gradient"].shapes == ((3, 1),)


def test_failing_raises_an_assertion_that_carries_the_report() -> None:
    with pytest.raises(AssertionError) as caught:
        check_module(layer(lambda self, x: WrongCube.apply(x)), "N,3", laws="gradient", max_examples=2)
    assert isinstance(caught.value, LawError)
    assert str(caught.value.report) == str(caught.value)
    assert "FAIL     gradient for inputs of shape (1, 3)" in str(caught.value)


def test_a_law_with_nothing_to_try_is_skipped_and_says_why() -> None:
    report = check_module(nn.Softmax, "2,3", args=(0,), laws=["batch"])
    assert (report["batch"].verdict, "begin with a letter" in report["batch"].note) == ("SKIPPED", True)
    report = check_module(layer(lambda self, x: x.argmax(-1)), "N,3", max_examples=2)
    assert {result.law for result in report.results if result.verdict == "SKIPPED"} == {"gradient", "second derivative"}


def test_the_module_given_and_the_random_streams_stay_as_they_were() -> None:
    given_layer = nn.Sequential(nn.Linear(3, 2), nn.Dropout()).eval()
    state = {key: value.array.copy() for key, value in given_layer.state_dict().items()}
    streams = tg.get_rng_state().copy(), np.random.get_state()[1].copy()  # noqa: NPY002
    check_module(given_layer, "N,3", max_examples=2)
    assert_close(dict(given_layer.state_dict()), state)
    assert not given_layer.training
    assert all(p.grad is None and p.dtype == tg.float32 for p in given_layer.parameters())
    assert (tg.get_rng_state() == streams[0]).all()
    assert (np.random.get_state()[1] == streams[1]).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ((nn.ReLU, "4;3"), {}, "is no shape"),
        ((nn.ReLU,), {"laws": ["beauty"]}, "no law named 'beauty'"),
        ((nn.ReLU,), {"laws": ["dtype"], "skip": ["dtype"]}, "no law is left"),
        ((nn.ReLU,), {"max_examples": 0}, "max_examples ≥ 1"),
        ((nn.ReLU,), {"low": 1.0, "high": 1.0}, "low < high"),
        ((nn.ReLU(), "3"), {"args": (1,)}, "made already"),
        ((3.0, "3"), {}, "not float"),
        ((lambda: tg.relu, "3"), {}, "not a Module; for a function use assert_gradcheck"),
    ],
)
def test_what_cannot_be_tried_is_refused_in_one_sentence(arguments: Any, options: Any, told: str) -> None:
    with pytest.raises((ArgumentError, DtypeError), match=told):
        check_module(*arguments, **options)


def test_a_layer_that_does_not_fit_its_input_is_said_so() -> None:
    report = check_module(nn.Linear, "N,4", args=(3, 2), raise_exception=False)
    assert [result.law for result in report.results] == ["forward"]
    assert "in_features = 3" in report["forward"].note


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
    command = [sys.executable, "-m", "pytest", "-p", "pytest_tinygrad_bp", "-p", "no:cacheprovider", *options]
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


def test_the_kit_needs_hypothesis_only_where_it_draws(monkeypatch: pytest.MonkeyPatch) -> None:
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
