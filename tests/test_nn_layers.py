"""Layers against PyTorch and against central differences, in shapes and options drawn at random."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer_table import CASES
from references import numeric_gradient

import tinygrad_bp as tg
from tinygrad_bp import errors, nn
from tinygrad_bp.nn import functional as F

SEED = st.integers(0, 2**32 - 1)
SHAPE = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)

ACTIVATIONS: list[tuple[str, dict[str, Any]]] = [*CASES, ("Identity", {}), ("Flatten", {"start_dim": 0})]


def central(layer: Any, x: np.ndarray, cotangent: np.ndarray) -> tuple[Any, Any]:
    return numeric_gradient(lambda a: float((layer(tg.tensor(a)).array * cotangent).sum()), [x], 0)


@pytest.mark.parametrize(("name", "options"), ACTIVATIONS)
@given(shape=SHAPE, seed=SEED)
def test_activations(name: str, options: dict[str, Any], shape: tuple[int, ...], seed: int) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(seed).normal(0, 2, shape)
    ours, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    a, b = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    np.testing.assert_allclose(y.array, z.detach().numpy(), rtol=1e-12, atol=1e-13)
    cotangent = np.random.default_rng(seed + 1).normal(size=y.shape)
    y.backward(tg.tensor(cotangent))
    z.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(a.grad.array, b.grad.numpy(), rtol=1e-7, atol=1e-11)  # it has constants in float32
    numeric, smooth = central(ours, x, cotangent)
    np.testing.assert_allclose(a.grad.array[smooth], numeric[smooth], rtol=1e-4, atol=1e-4)  # a bend of the slope
    assert repr(ours) == repr(theirs)
    float32 = ours(tg.tensor(x.astype(np.float32)))
    assert float32.dtype == tg.float32


@given(
    lead=st.lists(st.integers(0, 3), max_size=2),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    bias=st.booleans(),
    seed=SEED,
)
def test_linear(lead: list[int], sizes: tuple[int, int], bias: bool, seed: int) -> None:
    torch = pytest.importorskip("torch")
    tg.manual_seed(seed)
    torch.manual_seed(seed)
    ours, theirs = nn.Linear(*sizes, bias, dtype=tg.float64), torch.nn.Linear(*sizes, bias, dtype=torch.float64)
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(seed).normal(size=(*lead, sizes[0]))
    a, b = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a), theirs(b)
    cotangent = np.random.default_rng(seed + 1).normal(size=y.shape)
    y.backward(tg.tensor(cotangent))
    z.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(y.array, z.detach().numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(a.grad.array, b.grad.numpy(), rtol=1e-12, atol=1e-13)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_array_equal(p.array, q.detach().numpy())  # the same first weights, to the last digit
        np.testing.assert_allclose(p.grad.array, q.grad.numpy(), rtol=1e-12, atol=1e-13)
        values = p.array.copy()

        def loss(v: np.ndarray, p: Any = p) -> float:
            p.array[...] = v
            return float((ours(tg.tensor(x)).array * cotangent).sum())

        np.testing.assert_allclose(p.grad.array, numeric_gradient(loss, [values], 0)[0], rtol=1e-6, atol=1e-7)
        p.array[...] = values


@given(lead=st.lists(st.integers(1, 3), max_size=2), bias=st.booleans(), seed=SEED)
def test_bilinear(lead: list[int], bias: bool, seed: int) -> None:
    torch = pytest.importorskip("torch")
    tg.manual_seed(seed)
    torch.manual_seed(seed)
    ours, theirs = nn.Bilinear(2, 3, 4, bias, dtype=tg.float64), torch.nn.Bilinear(2, 3, 4, bias, dtype=torch.float64)
    assert repr(ours) == repr(theirs)
    rng = np.random.default_rng(seed)
    xs = [rng.normal(size=(*lead, n)) for n in (2, 3)]
    a, b = [tg.tensor(x, requires_grad=True) for x in xs], [torch.tensor(x, requires_grad=True) for x in xs]
    y, z = ours(*a), theirs(*b)
    (y**2).sum().backward()
    (z**2).sum().backward()
    np.testing.assert_allclose(y.array, z.detach().numpy(), rtol=1e-11, atol=1e-13)
    for p, q in zip([*a, *ours.parameters()], [*b, *theirs.parameters()], strict=True):
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=0)
        np.testing.assert_allclose(p.grad.array, q.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("layout", ["plain", "transposed"])
@given(shape=st.tuples(st.integers(1, 5), st.integers(1, 9)), p=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), seed=SEED)
def test_dropout_drops_what_torch_drops(layout: str, shape: tuple[int, int], p: float, seed: int) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    a, b = tg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    tg.manual_seed(seed)
    torch.manual_seed(seed)
    ours, theirs = nn.Dropout(p), torch.nn.Dropout(p)
    y, z = (ours(a), theirs(b)) if layout == "plain" else (ours(a.T), theirs(b.T))
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_array_equal(y.array, z.detach().numpy())
    np.testing.assert_array_equal(a.grad.array, b.grad.numpy())
    assert repr(ours) == repr(theirs)
    assert ours.eval()(a) is a


def test_dropout_in_place_and_bad_arguments() -> None:
    h = tg.ones(4, requires_grad=True) * 1
    tg.manual_seed(0)
    y = nn.Dropout(0.5, inplace=True)(h)
    assert y is h
    assert set(y.array.tolist()) <= {0.0, 2.0}
    for p in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="p is a probability"):
            nn.Dropout(p)
        with pytest.raises(errors.ArgumentError, match="p is a probability"):
            F.dropout(h, p)
    with pytest.raises(errors.DtypeError, match=r"use `x.float\(\)`"):
        F.dropout(tg.tensor([1, 2]))


@pytest.mark.parametrize(
    ("call", "error", "parts"),
    [
        (
            lambda f: nn.Linear(2, 3)(tg.ones(4, 3)),
            errors.ShapeError,
            ["linear", "(4, 3)", "(3, 2)", "in_features = 2", "Linear"],
        ),
        (
            lambda f: nn.Linear(2, 3)(tg.ones(4, 2, dtype=tg.float64)),
            errors.DtypeError,
            ["float64", "float32", "x.to(tg.float32)"],
        ),
        (lambda f: nn.Linear(2, 3)(tg.ones(4, 2, dtype=tg.int64)), errors.DtypeError, ["int64", "one dtype"]),
        (lambda f: nn.Linear(2, 3)(np.ones((4, 2))), errors.DtypeError, ["ndarray", "tg.as_tensor"]),
        (lambda f: nn.Linear(2, 3)(tg.tensor(1.0)), errors.ShapeError, ["linear", "()", "(3, 2)"]),
        (lambda f: f.linear(tg.ones(4, 2), tg.ones(3, 2), tg.ones(4)), errors.ShapeError, ["(4,)", "needs shape (3,)"]),
        (
            lambda f: nn.Bilinear(2, 3, 1)(tg.ones(4, 3), tg.ones(4, 3)),
            errors.ShapeError,
            ["bilinear", "(4, 3)", "(1, 2, 3)"],
        ),
        (lambda f: nn.Linear(-1, 3), errors.ArgumentError, ["(3, -1)", "negative"]),
        (lambda f: nn.Linear(2, 3, device="cuda"), errors.DtypeError, ["cuda", "cpu"]),
        (lambda f: nn.Softmax()(tg.ones(2)), errors.AxisError, ["softmax", "dim=-1"]),
        (lambda f: nn.Softmax(3)(tg.ones(2)), errors.AxisError, ["softmax", "3"]),
        (lambda f: nn.GELU("fast")(tg.ones(2)), errors.ArgumentError, ["'fast'", "'tanh'"]),
        (lambda f: nn.CELU(0)(tg.ones(2)), errors.ArgumentError, ["celu", "alpha"]),
        (lambda f: f.hardtanh(tg.ones(2), 1.0, -1.0), errors.ArgumentError, ["1.0", "-1.0"]),
        (lambda f: nn.Hardtanh(1.0, -1.0), errors.ArgumentError, ["1.0", "-1.0"]),
        (lambda f: nn.Unflatten(1, (2, 4))(tg.ones(5, 6)), errors.ShapeError, ["6", "(2, 4)", "Unflatten"]),
        (lambda f: f.one_hot(tg.tensor([0, 5]), 3), errors.AxisError, ["one_hot", "5", "0 … 2"]),
        (lambda f: f.one_hot(tg.ones(2)), errors.DtypeError, ["float32", "long"]),
        (lambda f: f.pad(tg.ones(2), (1, 1, 1, 1)), errors.ShapeError, ["pad", "1 dimensions"]),
        (lambda f: f.pad(tg.ones(2), (-3, 0)), errors.ShapeError, ["cut more"]),
        (lambda f: f.pad(tg.ones(2), (1, 1), mode="reflect"), errors.ArgumentError, ["reflect"]),
    ],
)
def test_misuse_is_one_clear_error(call: Any, error: type[Exception], parts: list[str]) -> None:
    with pytest.raises(error) as caught:
        call(F)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 4)), seed=SEED)
def test_helpers_are_torchs(shape: tuple[int, int], seed: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    x, y, classes = rng.normal(size=shape), rng.normal(size=shape), rng.integers(0, 4, shape)
    widths = tuple(rng.integers(0, 3, 4).tolist())
    calls = {
        "normalize": lambda lib, a, b: lib.nn.functional.normalize(a, dim=1),
        "cosine": lambda lib, a, b: lib.nn.functional.cosine_similarity(a, b, dim=0),
        "pad": lambda lib, a, b: lib.nn.functional.pad(a, widths, value=2.5) * 3,
        "softmin": lambda lib, a, b: lib.nn.functional.softmin(a, 0),
        "flatten": lambda lib, a, b: lib.nn.Unflatten(0, (1, -1))(lib.nn.Flatten(0)(a * b)),
    }
    for call in calls.values():
        ours = [tg.tensor(v, requires_grad=True) for v in (x, y)]
        theirs = [torch.tensor(v, requires_grad=True) for v in (x, y)]
        p, q = call(tg, *ours), call(torch, *theirs)
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=1e-10, atol=1e-12)
        (p * p).sum().backward()
        (q * q).sum().backward()
        np.testing.assert_allclose(ours[0].grad.array, theirs[0].grad.numpy(), rtol=1e-9, atol=1e-9)
    hot = F.one_hot(tg.tensor(classes), 4)
    assert hot.dtype == tg.int64
    assert np.array_equal(hot.array, torch.nn.functional.one_hot(torch.tensor(classes), 4).numpy())


def test_softmax_over_a_dimension_and_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = F.log_softmax(tg.tensor([[1e4, -1e4, 0.0]]), 1)
    assert y.tolist() == [[0.0, -2e4, -1e4]]
