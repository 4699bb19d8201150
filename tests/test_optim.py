"""SGD against PyTorch's, number for number; clipping; and that nothing is half done when something is wrong."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_bp as tg
from tinygrad_bp import errors, nn, optim
from tinygrad_bp.optim import flat
from tinygrad_bp.optim.listing import declared

SEED = st.integers(0, 2**32 - 1)


@st.composite
def sgd_options(draw: Any) -> dict[str, Any]:
    options = {
        "lr": draw(st.floats(0, 0.5)),
        "momentum": draw(st.sampled_from([0, 0.5, 0.9])),
        "dampening": draw(st.sampled_from([0, 0.3])),
        "weight_decay": draw(st.sampled_from([0, 0.01])),
        "nesterov": draw(st.booleans()),
        "maximize": draw(st.booleans()),
    }
    if options["nesterov"]:
        options |= {"momentum": 0.8, "dampening": 0}
    return options


def run(
    lib: Any, shapes: list[tuple[int, ...]], options: list[dict[str, Any]], steps: int, seed: int
) -> tuple[Any, list[Any]]:
    """The optimizer and its parameters after some steps with random gradients; sometimes there is none."""
    rng = np.random.default_rng(seed)
    params = [lib.tensor(rng.normal(size=s), requires_grad=True) for s in shapes]
    half = len(params) // 2
    optimizer = lib.optim.SGD(
        [{"params": params[:half], **options[1]}, {"params": params[half:]}] if half else params, **options[0]
    )
    for _ in range(steps):
        for p, shape in zip(params, shapes, strict=True):
            g = rng.normal(size=shape)
            p.grad = lib.tensor(g) if rng.uniform() < 0.9 else None
        optimizer.step()
    return optimizer, params


@given(options=st.lists(sgd_options(), min_size=2, max_size=2), seed=SEED)
def test_sgd_is_torchs_for_50_steps(options: list[dict[str, Any]], seed: int) -> None:
    torch = pytest.importorskip("torch")
    shapes = [(), (3,), (2, 3), (0, 2)]
    _, ours = run(tg, shapes, options, 50, seed)
    _, theirs = run(torch, shapes, options, 50, seed)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=1e-12, atol=1e-12)


@settings(max_examples=8)
@given(options=sgd_options(), layout=st.sampled_from(["C", "F", "strided"]), small=st.booleans(), seed=SEED)
def test_large_parameters_go_block_by_block_in_any_layout(
    options: dict[str, Any], layout: str, small: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    start, g = rng.normal(size=(140, 500)), rng.normal(size=(140, 500))
    found = []
    for name in ("C", layout):
        array = {"C": start.copy(), "F": np.asfortranarray(start), "strided": np.repeat(start, 2, 1)[:, ::2]}[name]
        p = nn.Parameter(array)
        optimizer = optim.SGD([p], **options)
        for k in range(3):
            p.grad = tg.tensor(g * (k + 1))
            optimizer.step()
        assert p.array is array
        found.append(p.array)
    whole, momentum, nesterov = start.copy(), None, options["nesterov"]
    for k in range(3):  # the formula once more, on the whole array
        d = g * (k + 1) * (-1 if options["maximize"] else 1) + options["weight_decay"] * whole
        momentum = d if momentum is None else options["momentum"] * momentum + (1 - options["dampening"]) * d
        d = d + options["momentum"] * momentum if nesterov else momentum if options["momentum"] else d
        whole = whole - options["lr"] * d
    np.testing.assert_allclose(found[0], whole, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(*found)
    assert start.size > flat.BLOCK


def test_a_step_is_in_place_and_in_the_parameters_own_dtype() -> None:
    p = nn.Parameter(tg.ones(3))
    array, optimizer = p.array, optim.SGD([p], lr=tg.tensor(0.5, dtype=tg.float64))
    p.grad = tg.ones(3)
    optimizer.step()
    assert p.array is array
    assert p.dtype == tg.float32
    assert p.tolist() == [0.5] * 3


def test_a_backward_through_weights_changed_by_a_step_is_refused() -> None:
    layer = nn.Linear(2, 2)
    x = tg.ones(1, 2, requires_grad=True)
    y = layer(x).sum()
    y.backward(retain_graph=True)
    optim.SGD(layer.parameters(), 0.1).step()
    with pytest.raises(errors.InplaceError, match=r"SGD.step at optimizer.step"):
        y.backward()


def test_state_dict_has_torchs_format_and_goes_both_ways() -> None:
    torch = pytest.importorskip("torch")
    options = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    shapes: list[tuple[int, ...]] = [(3,), (2, 3), (1,)]
    (ours, p), (theirs, q) = (run(lib, shapes, [options, {"lr": 0.2}], 3, 1) for lib in (tg, torch))
    a, b = ours.state_dict(), theirs.state_dict()
    assert a["param_groups"] == b["param_groups"]
    assert list(a["state"]) == list(b["state"])
    for number, state in a["state"].items():
        np.testing.assert_allclose(
            state["momentum_buffer"].array, b["state"][number]["momentum_buffer"].numpy(), rtol=1e-12
        )
    fresh, r = run(tg, shapes, [{"lr": 9.0, "momentum": 0.1}, {}], 0, 1)
    fresh.load_state_dict(a)
    for x, y in zip(p, r, strict=True):
        y.array[...] = x.array
        x.grad = y.grad = tg.ones(x.shape, dtype=tg.float64)
    ours.step()
    fresh.step()
    assert all(np.array_equal(x.array, y.array) for x, y in zip(p, r, strict=True))
    assert not np.shares_memory(fresh.state[r[0]]["momentum_buffer"].array, ours.state[p[0]]["momentum_buffer"].array)
    assert repr(ours) == repr(theirs)
    assert q


def test_a_state_dict_that_does_not_fit_changes_nothing() -> None:
    optimizer, params = run(tg, [(3,), (2,)], [{"lr": 0.1, "momentum": 0.9}, {}], 2, 0)
    good = copy.deepcopy(optimizer.state_dict())
    bad: Iterator[tuple[dict[str, Any], str]] = iter(
        [
            ({}, "not a state_dict"),
            ({**good, "param_groups": good["param_groups"][:1]}, "groups"),
            ({**good, "state": {7: {}}}, r"unknown parameters \[7\]"),
            ({**good, "state": {0: {"momentum_buffer": tg.ones(5)}}}, r"\(5,\) given, \(3,\) expected"),
            (
                {**good, "param_groups": [{**group, "lr": -1} for group in good["param_groups"]]},
                "lr -.* must not be negative",
            ),
        ]
    )
    for state, text in bad:
        with pytest.raises(errors.TensorError, match=text):
            optimizer.load_state_dict(state)
        now = optimizer.state_dict()
        assert now["param_groups"] == good["param_groups"]
        assert all(
            np.array_equal(now["state"][k]["momentum_buffer"].array, s["momentum_buffer"].array)
            for k, s in good["state"].items()
        )
    assert params


def test_optimizers_can_be_copied_and_pickled_with_their_parameters() -> None:
    net = nn.Linear(2, 1)
    optimizer = optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(tg.ones(1, 2)).sum().backward()
    optimizer.step()
    for twin_net, twin in (copy.deepcopy((net, optimizer)), pickle.loads(pickle.dumps((net, optimizer)))):
        assert twin.param_groups[0]["params"][0] is twin_net.weight
        assert twin_net.weight in twin.state


def test_a_closure_is_called_with_recording_on_and_its_loss_returned() -> None:
    p = nn.Parameter(tg.tensor([3.0]))
    optimizer = optim.SGD([p], 0.1)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tg.no_grad():
        assert optimizer.step(closure).item() == 9
    assert p.item() == pytest.approx(2.4)


def test_nothing_is_changed_when_a_closure_or_a_gradient_is_bad() -> None:
    a, b = nn.Parameter(tg.ones(2)), nn.Parameter(tg.ones(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": [b]}], 0.1, momentum=0.9)
    a.grad = tg.ones(2)
    for bad, error, text in [
        (tg.ones(2), errors.ShapeError, r"\(2,\) for a parameter of shape \(3,\)"),
        (tg.ones(3, dtype=tg.float64), errors.DtypeError, "float64 for a parameter of dtype float32"),
    ]:
        b._grad = bad  # past the check of assignments, as a changed `.data` leads past it
        with pytest.raises(error, match=text):
            optimizer.step()
    b.grad = tg.ones(3)
    optimizer.param_groups[1]["lr"] = -1.0
    with pytest.raises(ValueError, match=r"lr -1.0, .* must not be negative"):
        optimizer.step()
    optimizer.param_groups[1]["lr"] = 0.1
    b.array.flags.writeable = False
    with pytest.raises(errors.InplaceError, match="read-only"):
        optimizer.step()
    with pytest.raises(KeyError):
        optimizer.step(lambda: {}["loss"])
    assert a.tolist() == [1, 1]
    assert b.tolist() == [1, 1, 1]
    assert not optimizer.state


def test_an_overflow_is_silent_as_in_torch_and_stops_nothing_halfway() -> None:
    a, b = nn.Parameter(tg.ones(2)), nn.Parameter(tg.ones(2))
    optimizer = optim.SGD([a, b], 1e10)
    a.grad = b.grad = tg.full((2,), 3e38)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
    assert np.isinf(a.array).all()
    assert np.isinf(b.array).all()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda p: optim.SGD([]), ValueError, "empty"),
        (lambda p: optim.SGD(p), TypeError, r"write \[w\]"),
        (lambda p: optim.SGD([p, p]), ValueError, "given twice"),
        (lambda p: optim.SGD([{"params": [p]}, {"params": [p]}]), ValueError, "given twice"),
        (lambda p: optim.SGD([p * 2]), errors.GraphError, "no leaf"),
        (lambda p: optim.SGD([1.0]), TypeError, "float .*, not a Tensor"),
        (lambda p: optim.SGD([{"params": {p}}]), TypeError, "order"),
        (lambda p: optim.SGD([{"lr": 1.0}]), TypeError, '"params"'),
        (lambda p: optim.SGD([p], lr=-0.1), ValueError, "lr -.* must not be negative"),
        (lambda p: optim.SGD([p], lr=float("nan")), ValueError, "lr nan.* must not be negative or NaN"),
        (lambda p: optim.SGD([p], lr=tg.ones(2)), ValueError, "single number"),
        (lambda p: optim.SGD([p], momentum=-1), ValueError, "momentum"),
        (lambda p: optim.SGD([p], weight_decay=-1), ValueError, "weight_decay"),
        (lambda p: optim.SGD([p], nesterov=True), ValueError, "nesterov"),
        (lambda p: optim.SGD([p], momentum=0.9, dampening=0.1, nesterov=True), ValueError, "nesterov"),
        (lambda p: optim.SGD([p], foreach=True), ValueError, "foreach"),
        (lambda p: optim.SGD([p], fused=True), ValueError, "fused"),
        (lambda p: optim.SGD([p], differentiable=True), ValueError, "differentiable"),
    ],
)
def test_bad_arguments(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        make(nn.Parameter(tg.ones(2)))
    assert isinstance(caught.value, errors.TensorError)


def test_a_bad_group_is_not_added_and_named_parameters_are_taken() -> None:
    layer = nn.Linear(2, 1)
    optimizer = optim.SGD(layer.named_parameters(), 0.1)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    with pytest.raises(errors.ArgumentError):
        optimizer.add_param_group({"params": [layer.weight]})
    optimizer.add_param_group({"params": tg.ones(2), "lr": 3})
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 3]


def test_zero_grad_forgets_or_fills() -> None:
    p = nn.Parameter(tg.ones(2))
    optimizer = optim.SGD([p], 0.1)
    p.grad = tg.ones(2)
    kept = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is kept
    assert p.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert p.grad is None


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.5, float("inf")])
@given(max_norm=st.floats(0.01, 10), seed=SEED)
def test_clipping_by_norm(norm_type: float, max_norm: float, seed: int) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    grads = [rng.normal(size=s) for s in ((), (3,), (2, 3))]
    found = []
    for lib in (tg, torch):
        params = [lib.tensor(g * 0, requires_grad=True) for g in grads]
        for p, g in zip(params, grads, strict=True):
            p.grad = lib.tensor(g)
        params.append(lib.tensor(1.0, requires_grad=True))  # without a gradient
        total = lib.nn.utils.clip_grad_norm_(params, max_norm, norm_type)
        found.append([total.item(), *(p.grad.numpy() for p in params[:-1])])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_clipping_refuses_what_is_not_finite_only_if_asked() -> None:
    p = nn.Parameter(tg.ones(2))
    p.grad = tg.tensor([1.0, float("nan")])
    with pytest.raises(errors.NonFiniteError, match="nan"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert p.grad.tolist()[0] == 1
    assert np.isnan(nn.utils.clip_grad_norm_(p, 1.0).item())
    p.grad = tg.full((2,), 1e30)  # a sum of squares that float32 cannot hold
    assert nn.utils.clip_grad_norm_(p, 1.0).item() == pytest.approx(1e30 * 2**0.5)
    assert p.grad.tolist() == pytest.approx([0.5**0.5] * 2)
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0
    with pytest.raises(errors.ArgumentError, match="foreach"):
        nn.utils.clip_grad_norm_([p], 1.0, foreach=True)


def test_clipping_by_value() -> None:
    p = nn.Parameter(tg.ones(3))
    p.grad = tg.tensor([-5.0, 0.5, 5.0])
    nn.utils.clip_grad_value_([p], 2)
    assert p.grad.tolist() == [-2, 0.5, 2]
    with pytest.raises(errors.ArgumentError, match="negative"):
        nn.utils.clip_grad_value_([p], -1)


# ------------------------------------------------------------------------------------------- every declared method


def variants(method: Any) -> list[dict[str, Any]]:
    """The defaults, and each setting once otherwise; all flags together."""
    found: list[dict[str, Any]] = [{}]
    for name, one in method.settings.items():
        if one.implementation:
            continue
        if isinstance(one.default, bool):
            found.append({name: True})
        elif isinstance(one.default, tuple):
            found.append({name: tuple(0.5 * x for x in one.default)})
        else:
            found.append({name: 0.05 if not one.default else one.default * 0.75})
    return found


@pytest.mark.parametrize("name", declared())
def test_every_method_is_pytorchs(name: str) -> None:
    """50 steps in float64, some of them without a gradient for one parameter; the state has PyTorch's names."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    start, grads = [rng.normal(size=s) for s in ((3, 2), (4,), ())], rng.normal(size=(50, 11))
    for options in variants(declared()[name]):
        theirs = torch.optim, [torch.nn.Parameter(torch.tensor(x)) for x in start]
        sides = [theirs, (optim, [nn.Parameter(tg.tensor(x)) for x in start])]
        try:
            made = [getattr(lib, name)(params, **options) for lib, params in sides]
        except ValueError:  # this setting needs another one
            continue
        for step, g in enumerate(grads):
            for (_, params), optimizer in zip(sides, made, strict=True):
                for p, part in zip(params, (g[:6].reshape(3, 2), g[6:10], g[10]), strict=True):
                    make = torch.tensor if isinstance(p, torch.Tensor) else tg.tensor
                    p.grad = None if step % 7 == 3 and p.ndim == 1 else make(np.asarray(part))
                optimizer.step()
        for p, q in zip(sides[0][1], sides[1][1], strict=True):
            np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-10, err_msg=str(options))
            assert list(made[1].state[q]) == list(made[0].state[p]), options


def test_state_that_somebody_cleared_begins_anew() -> None:
    for name, options in (("Adam", {}), ("SGD", {"momentum": 0.9}), ("RMSprop", {})):
        one, other = nn.Parameter(tg.ones(3)), nn.Parameter(tg.ones(2))
        fresh = nn.Parameter(tg.ones(3))
        optimizer = getattr(optim, name)([one, other], lr=0.1, **options)
        for _ in range(3):
            one.grad, other.grad = tg.ones(3), tg.ones(2)
            optimizer.step()
        optimizer.state[one].clear()
        with tg.no_grad():
            one.copy_(fresh)
        again = getattr(optim, name)([fresh], lr=0.1, **options)
        for p in (one, other, fresh):
            p.grad = tg.ones_like(p)
        optimizer.step()
        again.step()
        np.testing.assert_array_equal(one.detach().numpy(), fresh.detach().numpy())


def test_adam_keeps_small_gradients_and_large_ones() -> None:
    """m is β1 m + (1 - β1) g, also where g is far smaller than m; √v is taken before it is scaled up."""
    p = nn.Parameter(tg.ones(1))
    optimizer = optim.Adam([p], lr=0.1, betas=(0.0, 0.9))
    for g in (1.0, 1e-9):
        p.grad = tg.tensor([g])
        optimizer.step()
    assert optimizer.state[p]["exp_avg"].item() == np.float32(1e-9)
    q = nn.Parameter(tg.ones(1))
    optimizer = optim.Adam([q], lr=0.1)
    for _ in range(3):
        q.grad = tg.tensor([3e19])  # whose mean square, scaled up, is beyond float32
        optimizer.step()
    assert q.item() == pytest.approx(0.7, rel=1e-5)
