"""The short ways that a small network's step takes mean the same as the long ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.errors import ModuleError, ShapeError


def test_a_bias_used_on_one_row_has_a_gradient_of_its_own_memory() -> None:
    first, second = nn.Linear(2, 3), nn.Linear(2, 3)
    x = tg.ones(1, 2)
    (first(x) + second(x)).sum().backward()  # one cotangent arrives at both
    assert first.bias is not None
    assert second.bias is not None
    first.bias.grad.array[0] = 7
    np.testing.assert_array_equal(second.bias.grad.array, [1, 1, 1])


def test_small_parameters_of_two_dtypes_each_take_the_whole_learning_rate() -> None:
    start = (np.float32, np.float64, np.float32, np.float64)
    params = [nn.Parameter(np.ones(2, dtype)) for dtype in start]
    for p in params:
        p.grad = tg.tensor(np.ones(2, p.array.dtype))
    tg.optim.SGD(params, lr=0.1).step()
    for p in params:
        dtype = p.array.dtype.type
        np.testing.assert_array_equal(p.array, np.full(2, dtype(1) - dtype(0.1)))  # not of 0.1 rounded to float32


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_a_number_passes_through_an_activation_as_an_array_of_one_entry_does(name: str) -> None:
    gradients = []
    for value in (0.3, [0.3]):
        x = tg.tensor(value, dtype=tg.float64, requires_grad=True)
        getattr(x, name)().sum().backward()
        gradients.append(x.grad.array.item())
    assert gradients[0] == gradients[1] != 0


class Loud(nn.Linear):
    """A layer with a __call__ of its own."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(*args, **kwargs) * 0


def test_sequential_respects_a_call_of_a_subclass_and_hooks() -> None:
    net = nn.Sequential(Loud(2, 2), nn.Linear(2, 2))
    assert net[1].bias is not None
    np.testing.assert_array_equal(net(tg.ones(1, 2)).array[0], net[1].bias.array)
    net[1].register_forward_hook(lambda module, args, output: output * 0)
    assert not net(tg.ones(1, 2)).array.any()


def test_sequential_tells_which_layer_refused() -> None:
    with pytest.raises(ShapeError, match=r"Sequential\.1\.0 \(Linear\)"):
        nn.Sequential(nn.Tanh(), nn.Sequential(nn.Linear(3, 2)))(tg.ones(1, 2))


def test_an_attribute_of_a_module_before_its_init_is_refused() -> None:
    class Early(nn.Module):
        def __init__(self, name: str) -> None:
            getattr(self, name)

    for name in ("training", "_parameter_names", "_buffer_names", "_module_names"):
        with pytest.raises(ModuleError, match=r"Early: call `super\(\).__init__\(\)` first"):
            Early(name)


def test_a_property_that_fails_tells_its_own_error() -> None:
    class Net(nn.Module):
        @property
        def width(self) -> Any:
            return self.missing

    with pytest.raises(AttributeError, match="missing"):
        _ = Net().width


def test_the_hook_of_a_leaf_is_called_however_the_gradient_arrives() -> None:
    w = tg.ones(2, requires_grad=True)
    w.register_hook(lambda g: g * 3)
    (w * 2.0).sum().backward()
    np.testing.assert_array_equal(w.grad.array, [6, 6])
    w.grad = None
    (w * w).sum().backward()
    np.testing.assert_array_equal(w.grad.array, [6, 6])
