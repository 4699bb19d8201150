"""The short ways that a small network's step takes mean the same as the long ones."""

from __future__ import annotations

import gc
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


def tracked(make: Any, start: Any, count: int = 1000) -> float:
    """Objects that the garbage collector walks for each node of a chain."""
    y = make(start)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(count):
        y = make(y)
    gc.collect()
    return (len(gc.get_objects()) - before) / count


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda t: t * 1.0001, 1),
        (lambda t: t.tanh(), 1),
        (lambda t: t.sum(), 1),
        (lambda t: (t + t).tanh(), 3),  # three edges
        (lambda t: tg.nn.functional.linear(t, tg.eye(1)), 1),
    ],
)
def test_the_collector_walks_one_object_for_each_edge_of_a_chain(make: Any, most: int) -> None:
    assert tracked(make, tg.ones(1, 1, requires_grad=True)) <= most + 0.02


def test_edges_are_shown_as_they_were_given_and_none_once_freed() -> None:
    a, b = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    y = a * b
    assert y.grad_fn.edges == ((a.node, 0, (b.array,)), (b.node, 1, (a.array,)))
    assert y.grad_fn.parents() == [a.node, b.node]
    assert y.grad_fn.next_functions == ((a.node, 0), (b.node, 0))
    y.sum().backward()
    assert y.grad_fn.edges is None
    assert y.grad_fn.parents() == []
    assert a.node.edges == ()


def test_a_node_with_one_consumer_that_is_a_root_as_well_waits_for_both() -> None:
    one = tg.ones(2)
    for order, gradient in ((("y", "z"), 9), (("z", "y"), 9), (("z", "z"), 12)):
        x = tg.ones(2, requires_grad=True)
        y = x * 3.0
        made = {"y": y, "z": y * 2.0}
        seen: list[Any] = []
        y.register_hook(lambda g, seen=seen: seen.append(g.array.tolist()))
        tg.autograd.backward([made[name] for name in order], [one, one])
        np.testing.assert_array_equal(x.grad.array, [gradient] * 2)
        assert seen == [[gradient / 3] * 2]  # once, with all that arrives


@pytest.mark.parametrize("consumers", [1, 2, 3])
@pytest.mark.parametrize("reached", [1, 2, 3])
def test_a_node_waits_for_those_consumers_that_the_pass_reaches(consumers: int, reached: int) -> None:
    x = tg.ones(2, requires_grad=True)
    y = x * 3.0
    parts = [y * float(k + 1) for k in range(consumers)][:reached]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    tg.cat([whole, y.detach()]).sum().backward()
    np.testing.assert_array_equal(x.grad.array, [3 * sum(range(1, len(parts) + 1))] * 2)


@pytest.mark.parametrize("create", [False, True])
def test_what_is_recorded_during_a_pass_is_no_consumer_that_it_waits_for(create: bool) -> None:
    x = tg.tensor([0.5], requires_grad=True)
    y = x.asinh()  # with create_graph its rule uses x and y anew
    z = y * 2.0
    more: list[Any] = []
    z.register_hook(lambda g: more.extend([y * 3.0, y * 4.0]) if not create else None)
    z.sin().sum().backward(create_graph=create)
    (expected,) = tg.autograd.grad((x.asinh() * 2.0).sin().sum(), x)
    np.testing.assert_allclose(x.grad.detach().array, expected.array, rtol=1e-6)


def test_many_edges_of_one_node_lead_to_the_same_parent_and_to_others() -> None:
    x, w = tg.ones(1, requires_grad=True), tg.ones(1, requires_grad=True)
    y = x * 2.0
    big = tg.cat([y, w, y] * 20_000)
    big.sum().backward()
    np.testing.assert_array_equal([x.grad.array[0], w.grad.array[0]], [80_000, 20_000])
    del big  # its edges are linked; dropping them does not recurse


def test_a_gradient_of_a_bias_is_the_sum_over_the_rows() -> None:
    for rows in (0, 1, 2, 32, 256, 257):
        for dtype in (tg.float16, tg.float32, tg.float64):
            layer = nn.Linear(2, 3, dtype=dtype)
            layer(tg.ones(rows, 2, dtype=dtype)).sum().backward()
            assert layer.bias is not None
            np.testing.assert_array_equal(layer.bias.grad.array, np.full(3, rows, layer.bias.array.dtype))
