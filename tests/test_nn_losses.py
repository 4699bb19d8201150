"""Losses against PyTorch and against central differences; and what they say about bad targets."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import numeric_gradient

import tinygrad_bp as tg
from tinygrad_bp import errors, nn
from tinygrad_bp.nn import functional as F

REDUCTION = st.sampled_from(["mean", "sum", "none"])
SEED = st.integers(0, 2**32 - 1)
SHAPE = st.lists(st.integers(0, 4), max_size=3).map(tuple)


def compare(name: str, options: dict[str, Any], x: np.ndarray, target: np.ndarray, target_grad: bool = False) -> None:
    """Value and gradient of one loss, by torch and by differences."""
    torch = pytest.importorskip("torch")
    x, target, results = np.asarray(x), np.asarray(target), []
    for lib, module in ((tg, nn), (torch, torch.nn)):
        given_options = {k: lib.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        loss = getattr(module, name)(**given_options)
        a, t = lib.tensor(x, requires_grad=True), lib.tensor(target)
        if target_grad:
            t.requires_grad_()
        y = loss(a, t)
        cotangent = np.cos(np.arange(y.detach().numpy().size)).reshape(tuple(y.shape))
        y.backward(lib.tensor(cotangent))
        results.append([y.detach().numpy(), a.grad.numpy(), *([t.grad.numpy()] if target_grad else [])])
    for ours, theirs in zip(*results, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)
    layer = getattr(nn, name)(**{k: tg.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()})
    numeric, smooth = numeric_gradient(
        lambda a: float((layer(tg.tensor(a), tg.tensor(target)).array * cotangent).sum()), [x], 0
    )
    np.testing.assert_allclose(results[0][1][smooth], numeric[smooth], rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("MSELoss", {}),
        ("L1Loss", {}),
        ("SmoothL1Loss", {}),
        ("SmoothL1Loss", {"beta": 0.3}),
        ("HuberLoss", {"delta": 0.7}),
        ("SmoothL1Loss", {"beta": 0.0}),
    ],
)
@given(shape=SHAPE, reduction=REDUCTION, seed=SEED)
def test_regression(name: str, options: dict[str, Any], shape: tuple[int, ...], reduction: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    compare(name, {"reduction": reduction, **options}, rng.normal(size=shape), rng.normal(size=shape), target_grad=True)


@given(shape=SHAPE, reduction=REDUCTION, weighted=st.booleans(), positive=st.booleans(), seed=SEED)
def test_binary(shape: tuple[int, ...], reduction: str, weighted: bool, positive: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, t = rng.normal(size=shape), rng.uniform(size=shape)
    options: dict[str, Any] = {"reduction": reduction}
    if weighted:
        options["weight"] = rng.uniform(size=shape[-1:])
    compare("BCELoss", options, 1 / (1 + np.exp(-x)), t, target_grad=True)
    if positive:
        options["pos_weight"] = rng.uniform(size=shape[-1:])
    compare("BCEWithLogitsLoss", options, x, t, target_grad=True)


@given(
    extra=st.lists(st.integers(1, 3), max_size=2),
    batch=st.integers(1, 4) | st.none(),
    classes=st.integers(1, 4),
    reduction=REDUCTION,
    weighted=st.booleans(),
    ignore=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1, 1.0]),
    seed=SEED,
)
def test_classes(
    extra: list[int],
    batch: int | None,
    classes: int,
    reduction: str,
    weighted: bool,
    ignore: bool,
    smoothing: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    shape = () if batch is None else (batch, *extra)
    x = rng.normal(size=(classes,) if batch is None else (batch, classes, *extra))
    options: dict[str, Any] = {"reduction": reduction}
    if weighted:
        options["weight"] = rng.uniform(0.1, 1, classes)
    soft = np.abs(rng.normal(size=x.shape))
    compare("CrossEntropyLoss", {**options, "label_smoothing": smoothing}, x, soft, target_grad=True)
    target = rng.integers(0, classes, shape)
    if ignore:
        options["ignore_index"] = int(rng.choice([-1, 0, classes - 1]))
        target = np.where(rng.uniform(size=shape) < 0.3, options["ignore_index"], target)
        if (target == options["ignore_index"]).all():
            return  # 0/0, in a test of its own
    compare("NLLLoss", options, x, target)
    compare("CrossEntropyLoss", {**options, "label_smoothing": smoothing}, x, target)


def test_the_mean_of_no_rows_is_nan_and_their_sum_0_as_in_torch() -> None:
    x, t = tg.ones(2, 3), tg.tensor([-100, -100])
    assert np.isnan(F.cross_entropy(x, t).item())
    assert F.cross_entropy(x, t, reduction="sum").item() == 0
    assert F.nll_loss(x, t, reduction="none").tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_scores_are_exact_and_silent(dtype: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x, t, loss, grad in [(1e4, 1, 0, 0), (1e4, 0, 1e4, 1), (-1e4, 1, 1e4, -1), (-1e4, 0, 0, 0)]:
            a = tg.tensor(np.array([x], dtype), requires_grad=True)
            y = F.binary_cross_entropy_with_logits(a, tg.tensor(np.array([t], dtype)))
            y.backward()
            assert (y.item(), a.grad.item(), y.dtype) == (loss, grad, np.dtype(dtype))
        for soft in (False, True):
            a = tg.tensor(np.array([[1e4, -1e4], [-1e4, 1e4]], dtype), requires_grad=True)
            target = tg.tensor(np.eye(2, dtype=dtype)[[1, 1]]) if soft else tg.tensor([1, 1])
            y = F.cross_entropy(a, target, reduction="none")
            y.sum().backward()
            assert y.tolist() == [2e4, 0]
            assert a.grad.tolist() == [[1, -1], [0, 0]]
        p = tg.tensor(np.array([0.0, 1.0, 0.0, 1.0], dtype), requires_grad=True)
        y = F.binary_cross_entropy(p, tg.tensor(np.array([0.0, 1.0, 1.0, 0.0], dtype)), reduction="none")
        y.sum().backward()
        assert y.tolist() == [0, 0, 100, 100]
        assert np.isfinite(p.grad.array).all()


def test_an_ignored_row_may_hold_anything() -> None:
    x = tg.tensor([[-np.inf, 0.0], [-1.0, -2.0]], requires_grad=True)
    y = F.nll_loss(x, tg.tensor([9, 1]), ignore_index=9)
    y.backward()
    assert y.item() == 2
    assert x.grad.tolist() == [[0, 0], [0, -1]]


def test_mse_of_shapes_that_broadcast_warns_with_both_shapes_and_the_fix() -> None:
    with pytest.warns(
        UserWarning, match=r"mse_loss: input \(3, 1\) and target \(3,\).*\(3, 3\).*`target.reshape\(\(3, 1\)\)`"
    ):
        y = nn.MSELoss()(tg.ones(3, 1), tg.zeros(3))
    assert y.item() == 1
    with pytest.warns(UserWarning, match="l1_loss"):
        F.l1_loss(tg.ones(3, 1), tg.zeros(3))


NAN = float("nan")
BAD: list[tuple[Any, type[Exception], list[str]]] = [
    (
        lambda: F.mse_loss(tg.ones(2, 2), tg.tensor([[1.0, NAN], [NAN, 0.0]])),
        errors.NonFiniteError,
        ["mse_loss", "(2, 2)", "2 NaN", "(0, 1)"],
    ),
    (lambda: F.mse_loss(tg.ones(2), tg.tensor([1.0, NAN]), reduction="none"), errors.NonFiniteError, ["1 NaN"]),
    (lambda: F.l1_loss(tg.ones(2), tg.tensor([1.0, NAN])), errors.NonFiniteError, ["l1_loss"]),
    (lambda: F.huber_loss(tg.ones(2), tg.tensor([1.0, NAN])), errors.NonFiniteError, ["huber_loss"]),
    (
        lambda: F.binary_cross_entropy(tg.zeros(2), tg.tensor([1.0, NAN])),
        errors.NonFiniteError,
        ["binary_cross_entropy"],
    ),
    (lambda: F.binary_cross_entropy_with_logits(tg.zeros(2), tg.tensor([1.0, NAN])), errors.NonFiniteError, ["1 NaN"]),
    (lambda: F.cross_entropy(tg.zeros(1, 2), tg.tensor([[1.0, NAN]])), errors.NonFiniteError, ["cross_entropy"]),
    (lambda: F.mse_loss(tg.ones(2, 3), tg.ones(4)), errors.ShapeError, ["mse_loss", "(2, 3)", "(4,)"]),
    (lambda: F.mse_loss(tg.ones(2), np.ones(2)), errors.DtypeError, ["mse_loss", "target", "ndarray"]),
    (
        lambda: F.binary_cross_entropy(tg.ones(2, 1), tg.ones(2)),
        errors.ShapeError,
        ["(2, 1)", "(2,)", "target.reshape"],
    ),
    (
        lambda: F.binary_cross_entropy(tg.tensor([1.5]), tg.ones(1)),
        errors.ArgumentError,
        ["[0, 1]", "1.5", "with_logits"],
    ),
    (lambda: F.binary_cross_entropy(tg.tensor([-0.1]), tg.zeros(1)), errors.ArgumentError, ["[0, 1]", "-0.1"]),
    (lambda: F.binary_cross_entropy(tg.tensor([1]), tg.zeros(1)), errors.DtypeError, ["int64"]),
    (lambda: F.cross_entropy(tg.ones(2, 3), tg.tensor([0, 3])), errors.AxisError, ["class 3", "0 … 2"]),
    (lambda: F.cross_entropy(tg.ones(2, 3), tg.tensor([0, -1])), errors.AxisError, ["class -1"]),
    (lambda: F.cross_entropy(tg.ones(2, 3), tg.tensor([0.0, 1.0])), errors.DtypeError, ["float32", "target.long()"]),
    (lambda: F.cross_entropy(tg.ones(2, 3), tg.tensor([0])), errors.ShapeError, ["(1,)", "(2,)"]),
    (lambda: F.cross_entropy(tg.ones(2, 3, 4), tg.tensor([0, 1])), errors.ShapeError, ["(2,)", "(2, 4)"]),
    (
        lambda: F.cross_entropy(tg.ones(2, 3), tg.ones(2, 3, dtype=tg.int64)),
        errors.DtypeError,
        ["probabilities", "int64"],
    ),
    (lambda: F.cross_entropy(tg.ones(2, 3, dtype=tg.int64), tg.tensor([0, 1])), errors.DtypeError, ["scores", "int64"]),
    (lambda: F.cross_entropy(tg.ones(2, 3), tg.tensor([0, 1]), tg.ones(2)), errors.ShapeError, ["weight", "3 classes"]),
    (lambda: F.cross_entropy(tg.ones(2, 3), tg.tensor([0, 1]), label_smoothing=1.5), errors.ArgumentError, ["1.5"]),
    (lambda: F.nll_loss(tg.ones(2, 3), tg.tensor([0, 3])), IndexError, ["nll_loss", "class 3"]),
    (lambda: nn.MSELoss(reduction="average"), ValueError, ["'average'", "'mean'"]),
    (lambda: F.mse_loss(tg.ones(2), tg.ones(2), reduction="all"), errors.ArgumentError, ["'all'"]),
    (lambda: F.huber_loss(tg.ones(2), tg.ones(2), delta=0), errors.ArgumentError, ["delta"]),
    (lambda: F.smooth_l1_loss(tg.ones(2), tg.ones(2), beta=-1), errors.ArgumentError, ["beta"]),
]


@pytest.mark.parametrize(("call", "error", "parts"), BAD)
def test_bad_targets_give_one_clear_error(call: Any, error: type[Exception], parts: list[str]) -> None:
    with pytest.raises(error) as caught:
        call()
    assert isinstance(caught.value, errors.TensorError)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_a_nan_of_the_prediction_is_no_error_of_the_target() -> None:
    assert np.isnan(F.mse_loss(tg.tensor([NAN]), tg.ones(1)).item())
    assert np.isnan(F.binary_cross_entropy(tg.tensor([NAN]), tg.ones(1)).item())


def test_an_error_in_a_loss_names_the_loss_layer() -> None:
    with pytest.raises(errors.ShapeError, match="in layer: MSELoss"):
        nn.MSELoss()(tg.ones(2), tg.ones(3))


def test_the_old_names_of_the_reductions_still_work_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="write reduction='sum'"):
        assert nn.MSELoss(size_average=False).reduction == "sum"
    with pytest.warns(UserWarning, match="write reduction='none'"):
        assert F.mse_loss(tg.ones(2), tg.zeros(2), reduce=False).tolist() == [1, 1]


@pytest.mark.parametrize(
    "name",
    ["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "BCELoss", "BCEWithLogitsLoss", "NLLLoss", "CrossEntropyLoss"],
)
def test_repr_and_state_are_torchs(name: str) -> None:
    torch = pytest.importorskip("torch")
    weight = "weight" in getattr(torch.nn, name).__init__.__annotations__
    ours = getattr(nn, name)(**({"weight": tg.ones(2)} if weight else {}))
    theirs = getattr(torch.nn, name)(**({"weight": torch.ones(2)} if weight else {}))
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())


@given(seed=SEED)
def test_second_derivatives(seed: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    x, target, v = rng.uniform(0.1, 0.9, (3, 4)), rng.uniform(0.1, 0.9, (3, 4)), rng.normal(size=(3, 4))
    classes, weight = rng.integers(0, 4, 3), rng.uniform(size=4)
    calls = [
        lambda lib, a: lib.nn.functional.mse_loss(a**2, lib.tensor(target)),
        lambda lib, a: lib.nn.functional.binary_cross_entropy_with_logits(a, lib.tensor(target)),
        lambda lib, a: lib.nn.functional.binary_cross_entropy(a, lib.tensor(target)),
        lambda lib, a: lib.nn.functional.cross_entropy(a, lib.tensor(classes), lib.tensor(weight)),
        lambda lib, a: lib.nn.functional.nll_loss(a**3, lib.tensor(classes)),
        lambda lib, a: lib.nn.functional.cross_entropy(a, lib.tensor(target), label_smoothing=0.2),
        lambda lib, a: (
            lib.nn.functional.gelu(a).sum() + lib.nn.functional.elu(a).sum() + lib.nn.functional.silu(a).sum()
        ),
    ]
    for call in calls:
        found = []
        for lib in (tg, torch):
            a = lib.tensor(x, requires_grad=True)
            (g,) = lib.autograd.grad(call(lib, a), a, create_graph=True)
            found.append(lib.autograd.grad((g * lib.tensor(v)).sum(), a)[0].numpy())
        np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-11)
