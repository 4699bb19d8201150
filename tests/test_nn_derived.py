"""Laws over every layer and function of `nn` that follows from a declaration: it is PyTorch's in all that can be seen.

No layer is listed: the table (`layer_table.py`) is what `layer.py` made. Read `test_nn_losses.py` next.
"""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layer_table import ACTIVATIONS, CASES, FUNCTIONS, LAYERS, LOSSES, settings

import tinygrad_bp as tg
from tinygrad_bp import errors, nn, stub_nn
from tinygrad_bp.nn import functional as F
from tinygrad_bp.nn.layer import OLD_FLAGS

# Points on both sides of every kink and at it, and where a formula written carelessly overflows.
POINTS = [-1e30, -1e4, -800.0, -88.0, -20.0, -6.0, -3.0, -1.5, -1.0, -0.5, -1e-3, -0.0, 0.0, 1e-3, 0.5, 1.0, 2.0, 3.0,
    6.0, 20.0, 88.0, 800.0, 1e4, 1e30]  # fmt: skip


SLOPES = {"rtol": 1e-7, "atol": 1e-11}  # PyTorch rounds some of its constants to float32; the laws of operations do not


def both(name: str, options: dict[str, Any], torch: Any) -> tuple[Any, Any]:
    return getattr(nn, name)(**options), getattr(torch.nn, name)(**options)


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_activation_is_pytorchs_at_kinks_and_far_out_and_silent(
    name: str, options: dict[str, Any], dtype: str, torch: Any
) -> None:
    ours, theirs = both(name, options, torch)
    x = np.array([*POINTS, *(value for value in options.values() if isinstance(value, float))], dtype)
    if "dim" in options:  # these look at all entries together
        x = x[np.abs(x) < 1e3][:16].reshape(4, 4)
    a, b = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = ours(a)
        y.sum().backward()
    z = theirs(b)
    z.sum().backward()
    close = {"rtol": 2e-5, "atol": 1e-6} if dtype == "float32" else SLOPES
    np.testing.assert_allclose(y.array, z.detach().numpy(), **close)
    told = np.isfinite(b.grad.numpy())  # of 1e30 PyTorch's tanh form of gelu says NaN in float32
    np.testing.assert_allclose(a.grad.array[told], b.grad.numpy()[told], **close)
    assert np.isfinite(a.grad.array).all()


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 3)])
def test_first_and_second_gradients_are_pytorchs(
    name: str, options: dict[str, Any], shape: tuple[int, ...], torch: Any
) -> None:
    ours, theirs = both(name, options, torch)
    rng = np.random.default_rng(7)
    x, w, v = (rng.normal(0, 2, shape) for _ in range(3))
    found = []
    for lib, layer in ((tg, ours), (torch, theirs)):
        a = lib.tensor(x, requires_grad=True)
        y = layer(a)
        (g,) = lib.autograd.grad(y, a, lib.tensor(w), create_graph=True)
        row = [y.detach().numpy(), g.detach().numpy()]
        try:
            row += lib.autograd.grad(g, a, lib.tensor(v), allow_unused=True) if g.requires_grad else []
        except RuntimeError as error:  # PyTorch has not every second derivative
            if "not implemented" not in str(error):
                raise
        found.append([np.zeros(shape) if part is None else np.asarray(part) for part in row])
    for mine, other in zip(*found, strict=False):
        np.testing.assert_allclose(mine, other, **SLOPES)


def parameters_of(function: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.default, p.kind) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", LAYERS)
def test_the_signature_is_pytorchs(name: str, torch: Any) -> None:
    theirs = parameters_of(getattr(torch.nn, name))
    extra = {"min_value", "max_value"}  # PyTorch's own old names
    if any(kind is inspect.Parameter.VAR_POSITIONAL for _, _, kind in theirs):
        theirs = []
        assert "__init__" not in vars(LAYERS[name])
    else:
        assert parameters_of(LAYERS[name]) == [p for p in theirs if p[0] not in extra]
    function = FUNCTIONS[name]
    try:
        other = parameters_of(getattr(torch.nn.functional, function.__name__))
    except ValueError:  # a function in C
        return
    mine = parameters_of(function)
    assert mine == [p for p in other if p[0] in {name for name, _, _ in mine}]
    assert {p[0] for p in other} - {p[0] for p in mine} <= {"_stacklevel", "weight"}


@pytest.mark.parametrize("name", LAYERS)
def test_repr_and_state_are_pytorchs(name: str, torch: Any) -> None:
    cases: list[dict[str, Any]] = [{}, *settings(LAYERS[name])]
    if "inplace" in inspect.signature(LAYERS[name]).parameters:
        cases += [{**options, "inplace": True} for options in cases]
    for options in cases:
        ours, theirs = both(name, options, torch)
        assert repr(ours) == repr(theirs)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert ours.training
        for key, value in vars(theirs).items():  # an attribute that PyTorch's has, ours has
            if not key.startswith("_") and key not in ("training",):
                assert getattr(ours, key) == value


@pytest.mark.parametrize("name", LAYERS)
def test_an_example_is_shown_and_the_types_are_said(name: str) -> None:
    layer, function = LAYERS[name], FUNCTIONS[name]
    assert f"tg.nn.{name}(" in layer.__doc__, "the example of the function was not turned"
    assert f"tg.nn.functional.{function.__name__}(" in function.__doc__
    assert function.__annotations__.keys() == {*inspect.signature(function).parameters, "return"}
    assert layer.__qualname__ == layer.__name__ == name
    assert pickle.loads(pickle.dumps(layer)) is layer
    assert pickle.loads(pickle.dumps(function)) is function is getattr(F, function.__name__)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_copied_pickled_subclassed_and_set(name: str) -> None:
    layer = LAYERS[name]

    class Own(layer):
        def __init__(self) -> None:
            super().__init__()
            self.scale = 2.0

        def forward(self, *inputs: Any) -> Any:
            return super().forward(*inputs) * self.scale

    made = layer()
    for twin in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert type(twin) is layer
        assert repr(twin) == repr(made)
        assert vars(twin) == vars(made)
    assert isinstance(Own(), layer)
    assert repr(Own()) == repr(made).replace(name, "Own", 1)


@pytest.mark.parametrize("name", [n for n, c in ACTIVATIONS.items() if "__init__" in vars(c)])
def test_an_attribute_set_afterwards_is_heard_by_the_layer_and_by_a_compiled_step(name: str) -> None:
    layer = LAYERS[name]
    x = tg.tensor(np.linspace(-3, 7, 12).reshape(3, 4))
    for options in settings(layer)[1:]:
        made, meant = layer(**settings(layer)[0]), layer(**options)
        step = tg.compile(lambda x, made=made: made(x))
        np.testing.assert_array_equal(step(x).array, made(x).array)
        for key, value in options.items():
            setattr(made, key, value)
        assert repr(made) == repr(meant)
        np.testing.assert_array_equal(made(x).array, meant(x).array)
        np.testing.assert_allclose(step(x).array, meant(x).array, rtol=1e-12)


@pytest.mark.parametrize("name", [n for n, c in LAYERS.items() if "inplace" in inspect.signature(c).parameters])
def test_in_place_it_writes_over_its_input_and_keeps_the_gradient(name: str) -> None:
    grads = []
    for inplace in (False, True):
        tg.manual_seed(0)
        w = tg.tensor(np.linspace(-4, 9, 14), requires_grad=True)
        h = w * 1.5
        y = LAYERS[name](inplace=inplace)(h)
        assert (y is h) is inplace
        (y * y).sum().backward()
        grads.append(w.grad.array)
    np.testing.assert_array_equal(*grads)
    with pytest.raises(errors.InplaceError, match="leaf"):
        LAYERS[name](inplace=True)(tg.ones(2, requires_grad=True))


    function = FUNCTIONS[name]
    for stranger in ([1.0], np.ones(2), None, "x"):
        with pytest.raises(errors.DtypeError, match=function.__name__):
            function(stranger, inplace=True)


@pytest.mark.parametrize("name", LAYERS)
def test_a_setting_of_the_wrong_kind_is_one_clear_error(name: str) -> None:
    x = tg.ones(2, 3, requires_grad=True) * 1
    layer = LAYERS[name]
    with pytest.raises(errors.DtypeError, match=rf"{name}.*layer = nn\.{name}\(…\)"):
        layer(x)
    with pytest.raises(errors.DtypeError, match=name):
        layer(nonsense=1)


@pytest.mark.parametrize("name", LOSSES)
def test_one_mechanism_reduces_and_hears_the_old_flags(name: str) -> None:
    rng = np.random.default_rng(0)
    x = tg.tensor(rng.uniform(0.1, 0.9, (4, 3)))
    target = tg.tensor([0, 2, 1, 1]) if name in ("NLLLoss", "CrossEntropyLoss") else tg.tensor(rng.uniform(size=(4, 3)))
    each = LOSSES[name](reduction="none")(x, target)
    assert each.shape == target.shape
    np.testing.assert_allclose(LOSSES[name]()(x, target).item(), each.array.mean(), rtol=1e-12)
    np.testing.assert_allclose(LOSSES[name](reduction="sum")(x, target).item(), each.array.sum(), rtol=1e-12)
    for flag, value, meant in (("size_average", False, "sum"), ("reduce", False, "none"), ("reduce", True, "mean")):
        if flag not in inspect.signature(LOSSES[name]).parameters:
            continue
        with pytest.warns(UserWarning, match=f"write reduction='{meant}'") as told:
            layer = LOSSES[name](**{flag: value})
        assert told[0].filename == __file__
        assert layer.reduction == meant
        assert not set(OLD_FLAGS) & vars(layer).keys()
        with pytest.warns(UserWarning, match=f"write reduction='{meant}'") as told:
            y = FUNCTIONS[name](x, target, **{flag: value})
        assert told[0].filename == __file__
        np.testing.assert_array_equal(y.array, layer(x, target).array)
    with pytest.raises(errors.ArgumentError, match="'all'"):
        FUNCTIONS[name](x, target, reduction="all")
    made = LOSSES[name]()
    made.reduction = "sum"
    np.testing.assert_allclose(made(x, target).item(), each.array.sum(), rtol=1e-12)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_pytorchs_in_value_and_first_and_second_gradients(name: str, reduction: str, torch: Any) -> None:
    rng = np.random.default_rng(1)
    x, v = rng.uniform(0.1, 0.9, (4, 3)), rng.normal(size=(4, 3))
    indices = name in ("NLLLoss", "CrossEntropyLoss")
    target = np.array([0, 2, 1, 1]) if indices else rng.uniform(size=(4, 3))
    weight = {"weight": rng.uniform(size=3)} if "weight" in inspect.signature(LOSSES[name]).parameters else {}
    for options in ({}, weight):
        found = []
        for lib in (tg, torch):
            layer = getattr(lib.nn, name)(reduction=reduction, **{k: lib.tensor(v) for k, v in options.items()})
            a = lib.tensor(x, requires_grad=True)
            y = layer(a * a, lib.tensor(target))
            (g,) = lib.autograd.grad((y * y).sum(), a, create_graph=True)
            (h,) = lib.autograd.grad(g, a, lib.tensor(v))
            found.append([part.detach().numpy() for part in (y, g, h)])
        for mine, other in zip(*found, strict=True):
            assert mine.shape == other.shape
            np.testing.assert_allclose(mine, other, **SLOPES)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_one_operation_more_than_its_formula_at_most(name: str) -> None:
    x = tg.ones(4, 3, requires_grad=True) * 0.5
    target = tg.tensor([0, 2, 1, 1]) if name in ("NLLLoss", "CrossEntropyLoss") else tg.ones(4, 3)
    each, mean = (LOSSES[name](reduction=reduction)(x, target) for reduction in ("none", "mean"))
    assert nodes(mean) <= nodes(each) + 1


def nodes(y: Any) -> int:
    """How many operations of the graph lead here."""
    seen, stack = set(), [y.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            stack += [before for before, *_ in node.next_functions]
    return len(seen)


# ------------------------------------------------------------------------------------------------- names and types


def test_names_come_from_the_rooms() -> None:
    assert set(nn.__all__) <= set(dir(nn))
    assert set(F.__all__) <= set(dir(F))
    assert len(set(nn.__all__)) == len(nn.__all__)
    assert all(getattr(F, name).__module__.startswith("tinygrad_bp.nn.functional.") for name in F.__all__)
    with pytest.raises(AttributeError, match="Did you mean 'LeakyReLU'"):
        nn.LeakyRelu  # noqa: B018
    with pytest.raises(AttributeError, match="Did you mean 'cross_entropy'"):
        F.crossentropy  # noqa: B018


def test_the_stubs_are_fresh() -> None:
    for path, text in stub_nn.files().items():
        assert path.read_text(encoding="utf-8") == text, "run `python -m tinygrad_bp.stub` and commit what it writes"


PROGRAM = """
import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.nn import functional as F
from tinygrad_bp.nn.functional import relu

x: tg.Tensor = tg.ones(2, 3)
y: tg.Tensor = nn.ELU(alpha=0.5)(x)
slope: float = nn.LeakyReLU(0.2).negative_slope
total: tg.Tensor = F.elu(relu(x), 0.5).sum()
loss: tg.Tensor = nn.MSELoss(reduction="sum")(x, y)
p: nn.Parameter = nn.Parameter(tg.ones(3))
n: int = p.numel()
q: tg.Tensor = p * 2
rows: int = p.shape[0]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act, self.drop = nn.Linear(3, 1), nn.SiLU(), nn.Dropout(0.1)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.drop(self.act(self.fc(x)))
"""


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("", ""),
        ("nn.ELU(alfa=1)", 'Unexpected keyword argument "alfa"'),
        ("nn.ELU(alpha='1')", "incompatible type"),
        ("F.elu(x, slope=1)", 'Unexpected keyword argument "slope"'),
        ("nn.MSELoss()(x)", 'Missing positional argument "target"'),
        ("nn.Mush()", 'no attribute "Mush"'),
    ],
)
def test_a_type_checker_knows_functions_layers_and_parameters(line: str, fault: str, tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(PROGRAM + line + "\n")
    root = Path(tg.__file__).parent.parent
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "program.py"],
        cwd=tmp_path, env={"MYPYPATH": str(root), "PATH": ""}, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert (found.returncode == 0) is (not fault), found.stdout
    assert fault in found.stdout
