"""The checker itself: right code passes under all conditions, planted faults are found, the caller's state is kept.

The collection of layers is in `test_gradcheck_collection.py`; the sentences about causes in `test_diagnose.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp.errors import ArgumentError, DtypeError, NonFiniteError
from tinygrad_bp.gradcheck import (
    GradcheckError,
    GradcheckReport,
    forecast,
    gradcheck,
    gradcheck_numpy,
    gradgradcheck,
)
from tinygrad_bp.gradcheck.numeric import Line, complex_slope, quick, sweep, taylor_slope

DATA = np.random.default_rng(0).normal(size=(3, 4))


def leaf(values: Any, dtype: Any = np.float64) -> Any:
    return tg.tensor(np.asarray(values, dtype=dtype)).requires_grad_()


def layer(forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
    class Layer(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *xs: Any) -> Any:
            ctx.save_for_backward(*xs)
            return forward(*xs)

        @staticmethod
        def backward(ctx: Any, *gs: Any) -> Any:
            return backward(*gs, *ctx.saved_tensors)

    return Layer.apply


def in_numpy(forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
    def plain(*xs: Any) -> list[Any]:
        return [x.detach().numpy() for x in xs]

    def back(*xs: Any) -> Any:
        g = backward(*plain(*xs))
        return tuple(map(tg.tensor, g)) if isinstance(g, tuple) else tg.tensor(g)

    return layer(lambda *xs: tg.tensor(np.asarray(forward(*plain(*xs)))), back)


def check(fn: Any, *inputs: Any, **options: Any) -> GradcheckReport:
    report: GradcheckReport = gradcheck(fn, inputs, raise_exception=False, **options)
    return report


# ------------------------------------------------------------ numeric derivatives


def line_of(f: Callable[[float], float], x: float) -> Line:
    return Line(lambda t: np.array([f(x + t)]), np.array([f(x)]))


@pytest.mark.parametrize(
    ("f", "slope", "x"),
    [
        (np.sin, np.cos, 0.7),
        (np.exp, np.exp, 1e-8),
        (lambda x: np.sin(1e6 * x), lambda x: 1e6 * np.cos(1e6 * x), 1.3),
        (np.sin, np.cos, 1e8),
        (lambda x: x**3, lambda x: 3 * x * x, 1e8),
        (np.log, lambda x: 1 / x, 1e-8),
        (lambda x: float(np.float32(np.sin(np.float32(x)))), np.cos, 0.7),
    ],
)
def test_the_sweep_finds_a_step_and_an_honest_error_bar(f: Any, slope: Any, x: float) -> None:
    found = sweep(line_of(f, x), np.ones(1), abs(x), 2e-16)
    assert abs(found.value - slope(x)) <= 10 * found.bar
    assert found.bar < 2e-2 * abs(slope(x))
    assert not found.kink


@pytest.mark.parametrize(
    "f", [abs, lambda x: max(x, 0.0), np.sign, lambda x: abs(x) ** 0.5, np.cbrt, lambda x: abs(x) + x * x]
)
def test_kinks_and_jumps_are_recognised(f: Any) -> None:
    assert sweep(line_of(f, 0.0), np.ones(1), 1.0, 2e-16).kink


@pytest.mark.parametrize("f", [np.sin, np.exp, lambda x: x * x, lambda x: x * abs(x), lambda x: 3.0 * x + 1.0])
def test_smooth_functions_have_no_kink_at_zero(f: Any) -> None:
    assert not sweep(line_of(f, 0.0), np.ones(1), 1.0, 2e-16).kink


def test_a_kink_close_by_does_not_disturb_the_slope() -> None:
    found = sweep(line_of(lambda x: abs(x - 1.0), 1.0 + 1e-7), np.ones(1), 1.0, 2e-16)
    assert found.value == pytest.approx(1.0, abs=1e-6)
    assert not found.kink


def test_the_taylor_remainder_tells_right_from_wrong() -> None:
    line = line_of(np.sin, 0.7)
    right, wrong = (taylor_slope(line, np.ones(1), a, 1.0, 2e-16) for a in (np.cos(0.7), 1.01 * np.cos(0.7)))
    assert right == pytest.approx(2.0, abs=0.1)
    assert wrong == pytest.approx(1.0, abs=0.1)


def test_the_complex_step_is_exact_or_refused() -> None:
    exact = complex_slope(lambda t: np.sin(0.7 + np.array([t])), np.ones(1), 1.0)
    assert exact == pytest.approx(np.cos(0.7), rel=1e-15)
    assert complex_slope(lambda t: np.array([abs(0.7 + t)]), np.ones(1), 1.0) is None


def test_four_values_give_a_slope_with_an_error_bar() -> None:
    found = quick(line_of(np.sin, 0.7), np.ones(1), 2.0**-12, 2e-16)
    assert abs(found.value - np.cos(0.7)) <= found.bar < 1e-6


# ------------------------------------------------------------ right code is not accused

SMOOTH: dict[str, Callable[[Any], Any]] = {
    "sin": tg.sin, "softmax": lambda x: x.softmax(1), "logsumexp": lambda x: x.logsumexp(1), "var": lambda x: x.var(1),
    "norm": lambda x: x.norm(), "relu": tg.relu, "reciprocal": lambda x: 1 / x, "sort": lambda x: x.sort(1)[0],
    "layer norm": lambda x: (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-5).sqrt(),
}  # fmt: skip


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("name", SMOOTH)
def test_scales_do_not_matter(name: str, scale: float) -> None:
    assert check(SMOOTH[name], leaf(DATA * scale))


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.ones((2, 3)), [[0.0, 1, 1], [-1, 2, 0]]])
@pytest.mark.parametrize(
    "fn",
    [tg.relu, tg.abs, lambda x: x.norm(), lambda x: x.norm(dim=1), lambda x: x.max(), lambda x: x.amax(1),
     lambda x: x.sort(1)[0], lambda x: x.clamp(0, 1), lambda x: x.median(), tg.sign, tg.floor],
)  # fmt: skip
def test_kinks_and_ties_are_set_aside(fn: Any, values: Any) -> None:
    assert check(fn, leaf(values))


def test_a_kink_is_counted_and_the_rest_is_checked() -> None:
    finding = check(tg.relu, leaf([0.0, 1.0, -1.0, 2.0]))["input 0"]
    assert (finding.verdict, finding.counts["kinks"], finding.counts["checked"]) == ("PASS", 1, 3)


def test_a_wrong_layer_is_found_though_its_input_sits_on_kinks() -> None:
    doubled = layer(tg.relu, lambda g, x: 2 * g * (x > 0).double())
    report = check(doubled, leaf(np.zeros(4)))
    assert report.verdict == "FAIL"
    assert "beside" in str(report)


def test_a_function_that_rounds_to_float32_inside_passes_and_its_double_does_not() -> None:
    def sine(factor: float) -> Any:
        return in_numpy(lambda x: np.sin(x.astype(np.float32)).astype(np.float64), lambda g, x: factor * g * np.cos(x))

    assert check(sine(1.0), leaf(DATA))
    assert check(sine(1.1), leaf(DATA)).verdict == "FAIL"


def test_an_ill_conditioned_inverse_is_not_accused() -> None:
    hilbert = 1 / (np.arange(7)[:, None] + np.arange(7) + 1)
    inverse = in_numpy(np.linalg.inv, lambda g, a: -np.linalg.inv(a).T @ g @ np.linalg.inv(a).T)
    assert check(inverse, leaf(hilbert))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_low_precision_inputs_pass_in_float64_and_natively(dtype: Any) -> None:
    def wrong(x: Any) -> Any:
        return layer(lambda x: x * x, lambda g, x: 1.4 * g * x)(x)

    for mode in (None, "native"):
        assert check(lambda x: (x @ x.T).sin(), leaf(DATA, dtype), dtype=mode)
        assert check(wrong, leaf(DATA, dtype), dtype=mode).verdict == "FAIL"


def test_native_differences_of_a_deep_network_accuse_nobody_alone() -> None:
    tg.manual_seed(5)
    parts = [tg.nn.Linear(64, 256), tg.nn.ReLU(), tg.nn.Linear(256, 256), tg.nn.LeakyReLU(0.1), tg.nn.Linear(256, 3)]
    assert check(tg.nn.Sequential(*parts), tg.randn(16, 64), dtype="native")


def test_shapes_that_are_easily_forgotten() -> None:
    assert check(tg.sin, leaf(0.3))
    assert check(tg.sin, leaf(np.zeros((0, 3)))).findings[0].note.startswith("it, or the output, is empty")
    assert check(lambda x: x @ x.T, tg.tensor(DATA).T.requires_grad_())
    assert check(lambda xs, k: tg.cat(xs) * k, [leaf(DATA), leaf(DATA)], 2.0)


def test_randomness_under_one_seed() -> None:
    assert check(lambda x: tg.nn.functional.dropout(x, 0.5, True), leaf(DATA))
    assert check(lambda x: x * tg.tensor(np.random.rand(3, 4)), leaf(DATA))  # noqa: NPY002
    assert check(lambda x: x * random.random(), leaf(DATA))
    stream = np.random.default_rng(5)
    assert check(lambda x: x * tg.tensor(stream.random((3, 4))), leaf(DATA))


def test_layers_that_work_in_place_and_hooks() -> None:
    net = tg.nn.Sequential(tg.nn.Linear(4, 5), tg.nn.ReLU(inplace=True), tg.nn.Dropout(0.5, inplace=True))
    assert check(net, leaf(DATA, np.float32))
    assert check(tg.nn.ReLU(inplace=True), leaf(DATA))
    net.register_forward_hook(lambda module, args, y: y * 3)
    assert check(net, leaf(DATA, np.float32))


def test_a_function_that_differentiates_inside_itself() -> None:
    assert check(lambda x: tg.autograd.grad((x**3).sum(), x, create_graph=True)[0], leaf(DATA))


# ------------------------------------------------------------ faults are found


@pytest.mark.parametrize("error", [1e-5, 1e-2, 1.0])
def test_a_small_factor_is_seen(error: float) -> None:
    report = check(layer(tg.sin, lambda g, x: g * x.cos() * (1 + error)), leaf(DATA))
    assert report.verdict == "FAIL"
    entry = report["input 0"].entries[0]
    assert entry.analytic == pytest.approx(entry.numeric * (1 + error), rel=1e-9)
    assert entry.error_bar < 1e-9


def test_a_backward_that_is_not_linear_in_the_cotangent() -> None:
    for bend in (lambda g: g.clamp(-5, 5), lambda g: g.abs(), tg.sign):
        assert check(layer(tg.sin, lambda g, x, bend=bend: bend(g) * x.cos()), leaf(DATA)).verdict == "FAIL"


def test_a_small_output_cannot_hide_behind_a_large_one() -> None:
    fn = layer(lambda x: tg.cat([x * 1e8, x * 1e-8]), lambda g, x: g[:3] * 1e8 + 2e-8 * g[3:])
    assert check(fn, leaf(DATA)).verdict == "FAIL"


def test_one_wrong_entry_in_a_hundred_thousand_is_found() -> None:
    mask = tg.tensor(np.where(np.arange(100_000).reshape(100, 1000) == 52_345, 0.5, 1.0))
    values = np.random.default_rng(1).normal(size=(100, 1000))
    report = check(layer(lambda x: x * x, lambda g, x: 2 * g * x * mask), leaf(values))
    assert report["input 0"].entries[0].index == (52, 345)


@pytest.mark.parametrize(
    ("fn", "verdict"),
    [
        (layer(lambda x: (x * x).sum().sqrt(), lambda g, x: g * x / (x * x).sum().sqrt()), "NONFINITE"),
        (lambda x: (x - 1).log(), "NONFINITE"),
        (layer(lambda x: x.sum(), lambda g, x: x[0, :1] * g), "SHAPE"),
        (layer(lambda x: x * 2, lambda g, x: (g, g)), "SHAPE"),
        (lambda x: tg.tensor(x.detach().numpy() * 2), "NO_GRAD_PATH"),
        (layer(lambda x: x * 2, lambda g, x: None), "NO_GRAD_PATH"),
        (lambda x: tg.ones(3, requires_grad=True) * 2, "VACUOUS"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*backward returned None")
def test_verdicts(fn: Any, verdict: str) -> None:
    report = check(fn, leaf(np.zeros((2, 2))))
    assert report.verdict == verdict
    assert not report


def test_overwritten_inputs_and_gradients() -> None:
    def doubles(x: Any) -> Any:
        x.array[...] *= 2
        return x * 1

    def halves(g: Any, x: Any) -> Any:
        g.array[...] /= 2
        return g

    for fn in (doubles, layer(lambda x: x * 0.5, halves)):
        assert check(fn, leaf(DATA)).verdict == "MUTATED_INPUT"


def test_values_that_change_from_call_to_call() -> None:
    count = [0]

    def grows(x: Any) -> Any:
        count[0] += 1
        return x * count[0]

    fresh = layer(lambda x: x * 2, lambda g, x: g * (2 + np.random.default_rng().normal()))
    assert check(grows, leaf(DATA)).verdict == "NONDETERMINISTIC"
    assert check(fresh, leaf(DATA)).verdict == "NONDETERMINISTIC"


def test_several_outputs_each_and_together() -> None:
    def both(x: Any) -> Any:
        return x.sin(), x.cos()

    assert check(lambda x: (*both(x), x.argmax(), x.detach()), leaf(DATA))
    second = check(layer(both, lambda g, h, x: g * x.cos() + h * x.sin()), leaf(DATA))
    assert [(f.output, f.verdict) for f in second.findings] == [(0, "PASS"), (1, "FAIL")]
    together = check(layer(both, lambda g, h, x: g * x.cos() - h * x.sin() + g * h), leaf(DATA))
    assert "sum of the gradients" in together.failures[0].note


# ------------------------------------------------------------ modules


class Scale(tg.nn.Module):
    """A right layer with parameters, a buffer that each call changes, and a counter; `factor` makes it wrong."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.gain = tg.nn.Parameter(tg.rand(4) + 1)
        self.frozen = tg.nn.Parameter(tg.ones(4), requires_grad=False)
        self.register_buffer("seen", tg.zeros(4))
        self.calls, self.log, self.factor = 0, [], factor

    def forward(self, x: Any) -> Any:
        self.calls += 1
        self.log.append(self.calls)
        with tg.no_grad():
            self.seen.add_(x.detach().mean(0))
        product = layer(lambda x, w: x * w, lambda g, x, w: (g * w, (g * x).sum(0) * self.factor))
        return product(x, self.gain) + self.frozen


def test_parameters_are_checked_by_name() -> None:
    report = check(Scale(0.5), leaf(DATA, np.float32))
    assert {f.name: f.verdict for f in report.findings} == {"input 0": "PASS", "gain": "FAIL"}
    assert ("frozen", "frozen: requires_grad is False") in report.skipped
    assert check(Scale(0.5), leaf(DATA, np.float32), check_params=False)


def snapshot(module: Any) -> Any:
    named = [*module.named_parameters(), *module.named_buffers()]
    arrays = [(n, id(p), id(p.array), p.array.copy(), p.requires_grad, None if p.grad is None else p.grad.array.copy())
              for n, p in named]  # fmt: skip
    streams = tg.get_rng_state(), np.random.get_state()[1:3], random.getstate()  # noqa: NPY002
    return arrays, streams, module.training, module.calls, list(module.log)


@pytest.mark.parametrize("how", ["passes", "fails", "is interrupted", "is captured"])
def test_nothing_of_the_callers_state_changes(how: str) -> None:
    module = Scale(0.5 if how == "fails" else 1.0)
    module.eval()
    module.gain.grad = tg.ones(4)
    x = leaf(DATA, np.float32)
    kept, before = x.array.copy(), snapshot(module)
    if how == "is interrupted":
        calls = [0]

        def stop(*_: Any) -> None:
            calls[0] += 1
            random.random(), np.random.rand()  # noqa: NPY002
            if calls[0] == 9:
                raise KeyboardInterrupt

        handle = module.register_forward_pre_hook(stop)
        with pytest.raises(KeyboardInterrupt):
            check(module, x)
        handle.remove()
    else:
        check((lambda x: module(x)) if how == "is captured" else module, x)
    np.testing.assert_equal(snapshot(module), before)
    np.testing.assert_array_equal(x.array, kept)
    assert x.grad is None


def test_a_module_that_cannot_be_copied_is_restored_too() -> None:
    module = Scale()
    module.last = module(leaf(DATA, np.float32))  # deepcopy refuses a tensor in the middle of a graph
    before = snapshot(module)
    assert check(module, leaf(DATA, np.float32))
    np.testing.assert_equal(snapshot(module), before)


def test_skipped_inputs_are_listed() -> None:
    report = check(lambda x, i, k, y: x[i] * k + y, leaf(DATA), tg.tensor([0, 2]), 2.0, tg.ones(4))
    assert [name for name, _ in report.skipped] == ["input 1", "input 2", "input 3"]
    assert all(name in str(report) for name, _ in report.skipped)


def test_what_is_not_checked_is_said() -> None:
    module = Scale()
    assert "pass the module itself" in str(check(lambda x: module(x), leaf(DATA)))
    x = leaf(DATA)
    assert check(lambda a, b: a * b, x, x).skipped == [("input 1", "the same tensor as input 0")]


def test_keyword_arguments_and_names() -> None:
    report = gradcheck(lambda x, *, w: x * w, (leaf(DATA),), kwargs={"w": leaf(DATA)}, names=["image"])
    assert [finding.name for finding in report.findings] == ["image", "w"]


# ------------------------------------------------------------ the second derivative


def tanh_with(backward: Callable[[Any, Any], Any]) -> Any:
    class Tanh(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = tg.tanh(x)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return backward(g, *ctx.saved_tensors)

    return Tanh.apply


def test_the_second_derivative_of_right_code_passes() -> None:
    assert gradgradcheck(tanh_with(lambda g, y: g * (1 - y * y)), (leaf(DATA),))
    assert gradgradcheck(tg.nn.Sequential(tg.nn.Linear(4, 2), tg.nn.Tanh()), (leaf(DATA, np.float32),))


def test_the_second_derivative_can_be_wrong_while_the_first_is_right() -> None:
    for backward in (
        lambda g, y: g * (1 - y.detach() ** 2),
        lambda g, y: tg.tensor(g.detach().numpy() * (1 - y.detach().numpy() ** 2)),
    ):
        report = gradgradcheck(tanh_with(backward), (leaf(DATA),), raise_exception=False)
        assert {f.order for f in report.failures} == {2}
        assert "second order" in " ".join(report.diagnosis)


def test_a_wrong_first_derivative_ends_the_second_check() -> None:
    report = gradgradcheck(tanh_with(lambda g, y: g), (leaf(DATA),), raise_exception=False)
    assert {f.order for f in report.findings} == {1}
    assert "was not checked" in str(report)


# ------------------------------------------------------------ plain NumPy


def test_the_tutorials_derivative_for_no_activation() -> None:
    report = gradcheck_numpy(lambda r: r, lambda r: r, np.array([0.5, -2.0, 3.0]), raise_exception=False)
    assert report.verdict == "FAIL"
    assert "identity" in report.diagnosis[0]


def test_the_tutorials_dot_product_where_the_outer_product_belongs() -> None:
    x = np.array([2.0, 3.0])
    weights = {"W": np.array([[0.34, 0.05], [0.13, 0.07]]), "w": np.array([0.2, 0.01])}

    def forward(W: Any, w: Any) -> Any:
        return 0.5 * ((x @ W) @ w - 1) ** 2

    def backward(W: Any, w: Any, product: Any = np.dot) -> Any:
        delta = (x @ W) @ w - 1
        return delta * product(x, w) * np.ones((2, 2)), delta * (x @ W)

    report = gradcheck_numpy(forward, backward, weights, raise_exception=False)
    assert [finding.name for finding in report.failures] == ["W"]
    assert "dot product" in report.diagnosis[0]
    assert report["W"].entries[0].analytic == pytest.approx(-0.336648, abs=2e-6)  # the tutorial's own number, over lr
    assert gradcheck_numpy(forward, lambda W, w: backward(W, w, np.outer), weights)


def test_three_styles_of_a_backward() -> None:
    class Tanh:
        def forward(self, x: Any) -> Any:
            self.y = np.tanh(x)
            return self.y

        def backward(self, g: Any) -> Any:
            return g * (1 - self.y**2)

    layer = Tanh()
    assert gradcheck_numpy(layer.forward, layer.backward, DATA)
    assert gradcheck_numpy(np.tanh, lambda x: 1 - np.tanh(x) ** 2, DATA)
    assert gradcheck_numpy(lambda a, b: a @ b, lambda g, a, b: (g @ b.T, a.T @ g), (DATA, DATA.T.copy()))


@pytest.mark.parametrize(
    ("backward", "verdict"),
    [
        (lambda g, x: np.sum(g), "SHAPE"),
        (lambda g, x: (2 * g).astype(int), "DTYPE"),
        (lambda g, x: np.multiply(g, 2, out=g), "PASS"),
        (lambda g, x: np.multiply(x, 2, out=x) * 0 + 2 * g, "MUTATED_INPUT"),
    ],
)
def test_verdicts_on_numpy_code(backward: Any, verdict: str) -> None:
    assert gradcheck_numpy(lambda x: 2 * x, backward, DATA, raise_exception=False).verdict == verdict


# ------------------------------------------------------------ the interface


def test_the_error_carries_the_report() -> None:
    with pytest.raises(GradcheckError, match="input 0") as caught:
        gradcheck(layer(tg.sin, lambda g, x: g), (leaf(DATA),))
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value, RuntimeError)
    report = caught.value.report
    assert not report.passed
    assert "<table>" in report._repr_html_()


def test_the_report_goes_into_json() -> None:
    import json

    told = json.loads(json.dumps(check(layer(tg.sin, lambda g, x: g), leaf(DATA)).to_dict()))
    assert told["verdict"] == "FAIL"
    assert told["findings"][0]["entries"][0]["index"]


def test_code_written_for_torch_runs() -> None:
    assert tg.autograd.gradcheck(tg.sin, (leaf(DATA),), 1e-6, 1e-4, 1e-3, True, False, 0.0)
    assert tg.autograd.gradcheck(tg.sin, leaf(DATA), eps=1e-6, atol=1e-4, check_undefined_grad=False, fast_mode=True)
    assert tg.autograd.gradgradcheck(tg.sin, leaf(DATA), tg.ones(3, 4), 1e-6, 1e-4)
    with pytest.raises(ArgumentError, match="check_forward_ad"):
        gradcheck(tg.sin, leaf(DATA), check_forward_ad=True)


def test_the_same_seed_gives_the_same_report() -> None:
    wrong = layer(tg.sin, lambda g, x: g)
    one, two = (check(wrong, leaf(DATA), seed=3).to_dict()["findings"] for _ in range(2))
    assert repr(one) == repr(two)


def test_cost_is_bounded_and_told() -> None:
    x = leaf(np.random.default_rng(0).normal(size=(200, 100)))
    report = check(tg.sin, x)
    assert report.cost["forward"] <= forecast(tg.sin, (x,)).passes < 500
    with pytest.raises(ArgumentError, match=r"budget=80004"):
        gradcheck(tg.sin, x, fast_mode=False)
    with pytest.raises(ArgumentError, match="budget="):
        gradcheck(tg.sin, x, budget=10)
    assert check(tg.sin, leaf(DATA), fast_mode=True).findings[0].counts["directions"] == 2


@pytest.mark.parametrize(
    ("fn", "inputs", "error", "says"),
    [
        (tg.sin, 3.0, DtypeError, "tuple"),
        (tg.sin, (tg.tensor([1, 2]),), DtypeError, "requires_grad=True"),
        (tg.sin, (), DtypeError, "no inputs"),
        (3, (tg.ones(2),), DtypeError, "function or a module"),
        (lambda x: [1.0], (tg.ones(2),), DtypeError, "Tensor"),
        (lambda x: None, (tg.ones(2),), DtypeError, "Tensor"),
        (tg.argmax, (tg.ones(2),), DtypeError, "no float tensor"),
        (tg.sin, (tg.tensor([1.0, float("nan")]),), NonFiniteError, r"input 0 holds nan at \[1\]"),
        (tg.nn.Module(), (), DtypeError, "nothing to differentiate"),
    ],
)
def test_bad_input_gets_one_clear_error(fn: Any, inputs: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        gradcheck(fn, inputs)


def test_an_exception_of_the_function_keeps_its_type_and_gains_a_note() -> None:
    def broken(x: Any) -> Any:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        gradcheck(broken, (leaf(DATA),))
    assert "input 0 (3, 4) float64" in caught.value.__notes__[0]
