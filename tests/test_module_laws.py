"""`check_module`: every law meets layers that keep it and one that breaks it, and says in a sentence how.

Read `test_cli.py` next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.compiler.tracer import real_of
from tinygrad_bp.errors import ArgumentError, DtypeError
from tinygrad_bp.testing import LAWS, LawError, assert_close, check_module, modules
from tinygrad_bp.testing.specs import Spec, parse

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
    ("compiled", layer(lambda self, x: x * tg.tensor(real_of(x.array).mean())), "of the compiled layer and of the"),
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
    assert (report["gradient"].verdict, report["compiled"].verdict) == ("PASS", "PASS")


@settings(max_examples=6, suppress_health_check=[HealthCheck.nested_given, HealthCheck.too_slow])
@given(modules(in_features=3))
def test_drawn_modules_break_no_law(net: Any) -> None:
    check_module(net, "N,3", max_examples=2)


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


def test_a_second_derivative_is_not_blamed_for_the_first() -> None:
    report = check_module(layer(lambda self, x: WrongCube.apply(x)), "N,3", max_examples=2, raise_exception=False)
    assert (report["second derivative"].verdict, len(report.failures)) == ("SKIPPED", 1)


def test_a_law_with_nothing_to_try_is_skipped_and_says_why() -> None:
    report = check_module(nn.Softmax, "2,3", args=(0,), laws=["batch"])
    assert (report["batch"].verdict, "begin with a letter" in report["batch"].note) == ("SKIPPED", True)
    report = check_module(layer(lambda self, x: x.argmax(-1)), "N,3", max_examples=2)
    assert {result.law for result in report.results if result.verdict == "SKIPPED"} == {"gradient", "second derivative"}


def test_what_cannot_be_compiled_is_no_broken_law_and_the_reason_is_told() -> None:
    choosy = layer(lambda self, x: x if x.sum() > 0 else -x)
    report = check_module(choosy, "N,3", laws=["compiled"], max_examples=2)
    assert (report["compiled"].verdict, "tg.where" in report["compiled"].note) == ("SKIPPED", True)


def test_the_buffers_of_a_compiled_layer_move_as_eagerly() -> None:
    assert check_module(Counting, "N,3", laws=["compiled"], max_examples=2)["compiled"].verdict == "PASS"


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
        ((nn.Linear, "3"), {"args": (3,)}, "mind `args` and `kwargs`; DtypeError: Linear: missing out_features"),
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
