"""First weights: PyTorch's numbers from the same seed, where torch is installed and from recorded figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_bp as tg
from tinygrad_bp import errors, nn

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("uniform_", {}),
    ("uniform_", {"a": -2.0, "b": 3.0}),
    ("normal_", {}),
    ("normal_", {"mean": 1.0, "std": 0.2}),
    ("constant_", {"val": 0.3}),
    ("zeros_", {}),
    ("ones_", {}),
    ("xavier_uniform_", {"gain": 1.5}),
    ("xavier_normal_", {}),
    ("kaiming_uniform_", {}),
    ("kaiming_uniform_", {"a": 0.2, "mode": "fan_out"}),
    ("kaiming_normal_", {"nonlinearity": "relu"}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "tanh"}),
]


@pytest.mark.parametrize(("name", "options"), CALLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(shape=st.lists(st.integers(1, 6), min_size=2, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_the_numbers_are_torchs(name: str, options: dict[str, Any], dtype: str, shape: list[int], seed: int) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for lib in (tg, torch):
        lib.manual_seed(seed)
        tensor = lib.empty(*shape, dtype=getattr(lib, dtype), requires_grad=True)
        assert getattr(lib.nn.init, name)(tensor, **options) is tensor
        found.append(tensor.detach().numpy())
    # normal numbers that are computed in double differ by the C library's last bit
    np.testing.assert_allclose(*found, rtol=0 if "normal" not in name else 1e-6 if dtype == "float32" else 1e-14)


@given(shape=st.sampled_from([(3, 3), (2, 5), (5, 2), (4, 2, 3)]), seed=st.integers(0, 2**32 - 1))
def test_orthogonal(shape: tuple[int, ...], seed: int) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for lib in (tg, torch):
        lib.manual_seed(seed)
        found.append(lib.nn.init.orthogonal_(lib.empty(*shape, dtype=lib.float64), 1.5).numpy())
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-11)  # two builds of LAPACK
    flat = found[0].reshape(shape[0], -1)
    product = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(product, 2.25 * np.eye(len(product)), atol=1e-12)


def test_recorded_figures() -> None:
    """torch.manual_seed(0); torch.nn.Linear(2, 3), then torch.nn.Bilinear(1, 2, 1): torch 2.13 on x86-64."""
    tg.manual_seed(0)
    layer, pair = nn.Linear(2, 3), nn.Bilinear(1, 2, 1)
    assert layer.weight.tolist() == RECORDED["weight"]
    assert layer.bias.tolist() == RECORDED["bias"]
    assert pair.weight.tolist() == RECORDED["pair"]


RECORDED: dict[str, Any] = {
    "weight": [
        [-0.005293981172144413, 0.37932288646698],
        [-0.5819807648658752, -0.5203874707221985],
        [-0.27234524488449097, 0.1896158903837204],
    ],
    "bias": [-0.014010033570230007, 0.5606575012207031, -0.06275151669979095],
    "pair": [[[0.2646125555038452, -0.30221307277679443]]],
}


@pytest.mark.parametrize(
    "name", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu", "conv2d", "conv_transpose1d"]
)
def test_gains(name: str) -> None:
    torch = pytest.importorskip("torch")
    assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert nn.init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_eye() -> None:
    assert nn.init.eye_(tg.ones(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.init.xavier_uniform_(tg.ones(3)), errors.ShapeError, r"xavier_uniform_.*\(3,\)"),
        (lambda: nn.init.orthogonal_(tg.ones(3)), errors.ShapeError, "at least 2"),
        (lambda: nn.init.eye_(tg.ones(3)), errors.ShapeError, "matrix"),
        (lambda: nn.init.kaiming_normal_(tg.ones(2, 2), mode="fan"), ValueError, "'fan'"),
        (lambda: nn.init.kaiming_normal_(tg.ones(2, 2), nonlinearity="step"), ValueError, "'step'"),
        (lambda: nn.init.calculate_gain("leaky_relu", "x"), ValueError, "slope"),  # type: ignore[arg-type]
        (lambda: nn.init.uniform_(np.ones(3)), TypeError, "ndarray"),
        (lambda: nn.init.normal_(tg.ones(2), std=-1), errors.TensorError, "normal"),
        (lambda: nn.init.uniform_(tg.tensor([1])), errors.DtypeError, r"uniform_.*int64"),
        (lambda: nn.init.uniform_(tg.ones(1).expand(3)), errors.InplaceError, "one number in memory"),
        (lambda: nn.init.zeros_(tg.from_numpy(np.broadcast_to(1.0, 3))), errors.InplaceError, "read-only"),
    ],
)
def test_misuse(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_filling_a_weight_between_forward_and_backward_is_noticed() -> None:
    layer = nn.Linear(2, 2)
    y = layer(tg.ones(1, 2, requires_grad=True)).sum()
    nn.init.zeros_(layer.weight)
    with pytest.raises(errors.InplaceError, match="constant_"):
        y.backward()
