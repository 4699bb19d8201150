"""Parameters side by side: one update for a whole group gives, bit for bit, what one for each parameter gives.

And nobody can tell: memory that somebody else holds stays where it is, and everything that may happen to a parameter or
to a state between two steps is seen. Read `test_optim.py` for the methods themselves.
"""

from __future__ import annotations

import copy
import gc
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_bp as tg
from tinygrad_bp import errors, nn, optim
from tinygrad_bp.optim import flat
from tinygrad_bp.optim.flat import lying, side_by_side
from tinygrad_bp.optim.method import Method, setting, state

SHAPES = [(), (3,), (2, 3), (0, 2), (1,), (7, 5)]
SEED = st.integers(0, 2**32 - 1)


@st.composite
def methods(draw: Any) -> tuple[str, dict[str, Any]]:
    number = st.sampled_from
    if draw(st.booleans()):
        options = {
            "momentum": draw(number([0, 0.9])), "dampening": draw(number([0, 0.3])),
            "weight_decay": draw(number([0, 0.01])), "maximize": draw(st.booleans()),
        }  # fmt: skip
        if options["momentum"] and not options["dampening"]:
            options["nesterov"] = draw(st.booleans())
        return "SGD", options
    return "Adam", {
        "betas": draw(number([(0.9, 0.999), (0.0, 0.5), (0.8, 0.0)])), "eps": draw(number([1e-8, 0.1])),
        "weight_decay": draw(number([0, 0.01])), "amsgrad": draw(st.booleans()), "maximize": draw(st.booleans()),
        "decoupled_weight_decay": draw(st.booleans()),
    }  # fmt: skip


def parameters(shapes: list[Any], dtypes: list[Any], seed: int, held: bool) -> tuple[list[Any], list[Any]]:
    """Parameters, and what holds their memory, if anything does."""
    rng = np.random.default_rng(seed)
    made = [nn.Parameter(rng.normal(size=s).astype(d)) for s, d in zip(shapes, dtypes, strict=True)]
    return made, [p.array for p in made] if held else []


def trained(method: Any, options: Any, params: list[Any], seed: int, steps: int, missing: float, cut: int) -> Any:
    rng = np.random.default_rng(seed)
    groups = [{"params": params[:cut]}, {"params": params[cut:], "lr": 0.2}] if 0 < cut < len(params) else params
    optimizer = getattr(optim, method)(groups, lr=0.1, **options)
    for _ in range(steps):
        for p in params:
            g = rng.normal(size=p.shape).astype(p.array.dtype)
            p.grad = None if rng.uniform() < missing else tg.from_numpy(g)
        optimizer.step()
    return optimizer


def seen(optimizer: Any, params: list[Any]) -> list[Any]:
    state = optimizer.state_dict()["state"]
    told = [(number, key, value.array.tobytes(), value.shape) for number, one in state.items()
            for key, value in one.items()]  # fmt: skip
    return [*(p.array.tobytes() for p in params), *told]


@given(
    method=methods(), shapes=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=6), seed=SEED,
    dtypes=st.lists(st.sampled_from([np.float64, np.float64, np.float32, np.float16]), min_size=6, max_size=6),
    missing=st.sampled_from([0.0, 0.0, 0.3]), cut=st.integers(0, 6),
)  # fmt: skip
def test_a_group_at_once_is_each_parameter_alone_bit_for_bit(
    method: Any, shapes: Any, seed: int, dtypes: Any, missing: float, cut: int
) -> None:
    name, options = method
    found = []
    for held in (False, True):
        params, arrays = parameters(shapes, dtypes[: len(shapes)], seed, held)
        with np.errstate(all="ignore"):
            optimizer = trained(name, options, params, seed, 5, missing, cut)
        found.append(seen(optimizer, params))
        assert all(p.array is array for p, array in zip(params, arrays, strict=False)), "held memory stays"
    assert found[0] == found[1]


@given(method=methods(), seed=SEED)
def test_fifty_steps_are_torchs(method: Any, seed: int) -> None:
    torch = pytest.importorskip("torch")
    name, options = method
    rng, found = np.random.default_rng(seed), []
    start = [rng.normal(size=s) for s in SHAPES]
    for lib in (tg, torch):
        params = [lib.tensor(a, requires_grad=True) for a in start]
        optimizer = getattr(lib.optim, name)(params, lr=0.05, **options)
        grads = np.random.default_rng(seed)
        for _ in range(50):
            for p, a in zip(params, start, strict=True):
                g = grads.normal(size=a.shape)
                p.grad = lib.tensor(g) if grads.uniform() < 0.9 else None
            optimizer.step()
        found.append((params, optimizer.state_dict()))
    (ours, a), (theirs, b) = found
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=1e-10, atol=1e-10)
    assert a["param_groups"] == b["param_groups"]
    assert a["state"].keys() == b["state"].keys()
    for number, entries in a["state"].items():
        assert list(entries) == list(b["state"][number])
        for key, value in entries.items():
            np.testing.assert_allclose(value.array, b["state"][number][key].numpy(), rtol=1e-10, atol=1e-10)
            assert str(value.array.dtype) == str(b["state"][number][key].numpy().dtype)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("method", ["SGD", "Adam"])
def test_complex_parameters_step_as_torchs(method: str, compiled: bool) -> None:
    torch = pytest.importorskip("torch")
    rng, found = np.random.default_rng(0), []
    start = [rng.normal(size=s) + 1j * rng.normal(size=s) for s in ((), (3,), (2, 3))]
    for lib in (tg, torch):
        params = [lib.tensor(a, requires_grad=True) for a in start]
        optimizer = getattr(lib.optim, method)(params, lr=0.05, **({"momentum": 0.9} if method == "SGD" else {}))

        def step(params: Any = params, optimizer: Any = optimizer) -> None:
            for p in params:
                p.grad = p.detach() * p.detach()
            optimizer.step()

        step = tg.compile(step) if compiled and lib is tg else step
        for _ in range(4):
            step()
        found.append([p.detach().numpy() for p in params])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def laid(*shapes: Any, method: str = "Adam", **options: Any) -> tuple[list[Any], Any]:
    """Parameters that have stepped once, and lie side by side."""
    params = [nn.Parameter(tg.ones(*shape)) for shape in shapes or [(2, 3), (3,), (2,)]]
    optimizer = getattr(optim, method)(params, lr=0.1, **options)
    stepped(params, optimizer)
    return params, optimizer


def stepped(params: list[Any], optimizer: Any) -> None:
    for p in params:
        p.grad = p.detach() * 0 + 1
    optimizer.step()


def test_parameters_and_their_state_lie_side_by_side() -> None:
    params, optimizer = laid(amsgrad=True)
    assert side_by_side([p.array for p in params]) is not None
    for key in ("step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
        assert side_by_side([optimizer.state[p][key].array for p in params]) is not None
    arrays = [p.array for p in params]
    stepped(params, optimizer)
    assert all(p.array is array for p, array in zip(params, arrays, strict=True))


HOLDERS = {
    "array": lambda p: p.array, "detached": lambda p: p.detach(), "data": lambda p: p.data, "view": lambda p: p[:1],
    "numpy": lambda p: p.detach().numpy()[:1], "memory": lambda p: memoryview(p.array),
    "state dict": lambda p: {"p": p.detach()}, "graph": lambda p: (p * p).sum(),
}  # fmt: skip


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
def test_memory_that_somebody_holds_stays_and_is_updated_there(holder: Any) -> None:
    params = [nn.Parameter(tg.ones(2, 3)) for _ in range(3)]
    kept = holder(params[1])
    array = params[1].array
    optimizer = optim.SGD(params, lr=0.1)
    stepped(params, optimizer)
    assert params[1].array is array
    assert lying(array) is None
    assert params[1].tolist() == params[0].tolist() == [[pytest.approx(0.9)] * 3] * 2
    del kept


@pytest.mark.parametrize(
    "change", ["data", "to", "load", "assign", "fill", "view", "slice", "state", "loaded", "cleared"]
)
@pytest.mark.parametrize("method", ["SGD", "Adam"])
def test_what_happens_between_two_steps_is_seen(method: str, change: str) -> None:
    """The same is done to a net whose memory is held, and so never moved."""
    found = []
    for held in (False, True):
        tg.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)).double()
        keep = [p.array for p in net.parameters()] if held else []
        options = {"momentum": 0.9} if method == "SGD" else {}
        optimizer = getattr(optim, method)(net.parameters(), lr=0.1, **options)
        x, first = tg.ones(4, 3).double(), net[0].weight
        name = "momentum_buffer" if method == "SGD" else "exp_avg"
        for i in range(6):
            optimizer.zero_grad()
            (net(x.to(first.dtype)) ** 2).sum().backward()
            optimizer.step()
            if i == 1:
                saved = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
            if i == 2:
                if change == "data":
                    first.data = first.detach() * 2
                elif change == "to":
                    net.to(tg.float32)
                elif change == "load":
                    net.load_state_dict(saved[0])
                elif change == "assign":
                    net.load_state_dict(saved[0], assign=True)
                    optimizer.param_groups[0]["params"] = list(net.parameters())
                elif change == "fill":
                    with tg.no_grad():
                        first.fill_(0.5)
                elif change == "view":
                    with tg.no_grad():
                        first.T[0] = 0.5
                elif change == "slice":
                    first.detach()[1:].mul_(2)
                elif change == "state":
                    optimizer.state[first][name] = tg.ones(2, 3).double()
                    optimizer.state[net[1].bias][name].fill_(3)
                elif change == "loaded":
                    optimizer.load_state_dict(saved[1])
                else:
                    optimizer.state.clear()
            first = net[0].weight
        found.append([p.tolist() for p in net.parameters()] + [len(keep) * 0])
    assert found[0] == found[1]


def test_a_count_that_somebody_sets_is_that_parameters_own() -> None:
    params, optimizer = laid()
    optimizer.state[params[1]]["step"].fill_(10)
    stepped(params, optimizer)
    assert [optimizer.state[p]["step"].item() for p in params] == [2, 11, 2]
    alone = nn.Parameter(tg.ones(2, 3))
    other = optim.Adam([alone], lr=0.1)
    for _ in range(2):
        stepped([alone], other)
    assert params[0].tolist() == alone.tolist()


def test_who_misses_a_gradient_waits_and_counts_for_itself() -> None:
    params, optimizer = laid()
    before = params[1].tolist()
    params[0].grad = params[2].grad = None
    params[0].grad, params[2].grad, params[1].grad = tg.ones(2, 3), tg.ones(2), None
    optimizer.step()
    assert params[1].tolist() == before
    assert [optimizer.state[p]["step"].item() for p in params] == [2, 1, 2]


def test_a_write_to_one_parameter_is_none_to_its_neighbours() -> None:
    (a, b, _), _ = laid()
    loss = (b * b).sum()
    with tg.no_grad():
        a.mul_(2)
        a.T[0].zero_()
    loss.backward()
    loss = (a * a).sum()
    with tg.no_grad():
        a[0].fill_(1)
    with pytest.raises(errors.InplaceError):
        loss.backward()


@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_after_a_value_was_saved_is_refused_in_backward(compiled: bool) -> None:
    params, optimizer = laid(method="SGD")
    losses = [(p * p).sum() for p in params]
    for p in params:
        p.grad = tg.ones(*p.shape)
    (tg.compile(optimizer.step) if compiled else optimizer.step)()
    for loss in losses:
        with pytest.raises(errors.InplaceError):
            loss.backward()


def test_a_laid_parameter_is_refused_when_it_is_read_only() -> None:
    params, optimizer = laid()
    before = [p.tolist() for p in params]
    params[2].array.flags.writeable = False
    with pytest.raises(errors.InplaceError, match="read-only"):
        stepped(params, optimizer)
    assert [p.tolist() for p in params] == before


def test_copies_have_memory_of_their_own(tmp_path: Path) -> None:
    tg.manual_seed(0)
    net = nn.Linear(3, 2)
    optimizer = optim.Adam(net.parameters(), lr=0.1)
    stepped(list(net.parameters()), optimizer)
    before = [p.tolist() for p in net.parameters()]
    tg.save(net.state_dict(), tmp_path / "net.npz")
    saved = optimizer.state_dict()
    twins = [copy.deepcopy((net, optimizer)), pickle.loads(pickle.dumps((net, optimizer)))]
    for twin, twin_optimizer in twins:
        assert all(p.array.base is None for p in twin.parameters())
        assert twin_optimizer.state[twin.weight]["exp_avg"].array.base is None
        stepped(list(twin.parameters()), twin_optimizer)
    assert [p.tolist() for p in net.parameters()] == before
    stepped(list(net.parameters()), optimizer)
    for twin, twin_optimizer in twins:
        assert [p.tolist() for p in twin.parameters()] == [p.tolist() for p in net.parameters()]
        assert twin_optimizer.state[twin.weight]["step"].item() == 2
    fresh = nn.Linear(3, 2)
    fresh.load_state_dict(tg.load(tmp_path / "net.npz"))
    assert [p.tolist() for p in fresh.parameters()] == before
    again = optim.Adam(fresh.parameters(), lr=0.1)
    again.load_state_dict(saved)
    assert again.state[fresh.weight]["step"].dtype == tg.float32
    stepped(list(fresh.parameters()), again)
    assert again.state[fresh.weight]["step"].item() == optimizer.state[net.weight]["step"].item() + 1


def test_memory_goes_with_the_last_parameter() -> None:
    params, optimizer = laid((100, 100), (100,))
    long = params[0].array.base.flat
    import weakref

    gone = weakref.ref(long)
    del params, optimizer, long
    gc.collect()
    assert gone() is None


def test_a_second_optimiser_takes_the_memory_as_it_finds_it() -> None:
    params, first = laid(method="SGD")
    arrays = [p.array for p in params]
    second = optim.Adam(params, lr=0.1)
    stepped(params, second)
    stepped(params, first)
    assert all(p.array is array for p, array in zip(params, arrays, strict=True))


def test_new_parameters_lie_beside_each_other() -> None:
    params, optimizer = laid()
    more = [nn.Parameter(tg.ones(4)) for _ in range(2)]
    optimizer.add_param_group({"params": more, "lr": 1.0})
    stepped([*params, *more], optimizer)
    assert side_by_side([p.array for p in more]) is not None
    assert [optimizer.state[p]["step"].item() for p in more] == [1, 1]


@pytest.mark.parametrize("size", [flat.BLOCK + 3, 3 * flat.BLOCK])
def test_long_parameters_among_short_ones(size: int) -> None:
    found = []
    for held in (False, True):
        params, arrays = parameters([(3,), (size,), (4,), (2, size // 2)], [np.float32] * 4, 1, held)
        optimizer = trained("Adam", {}, params, 2, 2, 0.0, 0)
        found.append(seen(optimizer, params))
        del arrays
    assert found[0] == found[1]


class Momentum(Method):
    """What a newcomer writes."""

    lr: float = setting(default=0.1, least=0)
    momentum: float = setting(default=0.9, least=0, below=1)
    velocity = state()

    @staticmethod
    def rule(p: Any, g: Any, velocity: Any, lr: float, momentum: float) -> None:
        velocity *= momentum
        velocity += g
        p -= lr * velocity


def test_a_method_is_its_declaration() -> None:
    params = [nn.Parameter(tg.ones(2)), nn.Parameter(tg.ones(3))]
    optimizer = Momentum(params, 0.5)
    assert optimizer.defaults == {"lr": 0.5, "momentum": 0.9}
    stepped(params, optimizer)
    stepped(params, optimizer)
    assert params[0].tolist() == pytest.approx([1 - 0.5 - 0.95] * 2)
    assert list(optimizer.state[params[0]]) == ["velocity"]
    with pytest.raises(errors.ArgumentError, match=r"momentum 1\.0, which must be below 1"):
        Momentum(params, momentum=1.0)
    with pytest.raises(TypeError, match=r"Momentum: .*'rate'"):
        Momentum(params, rate=1.0)
    with pytest.raises(TypeError, match="must be a number"):
        Momentum(params, lr="0.1")
    with pytest.raises(errors.DtypeError, match="parameters of its rule"):

        class Wrong(Method):
            lr: float = setting(default=0.1)

            @staticmethod
            def rule(p: Any, g: Any, rate: float) -> None: ...


@pytest.mark.parametrize("flag", ["foreach", "capturable", "differentiable", "fused"])
def test_adam_refuses_other_implementations(flag: str) -> None:
    with pytest.raises(errors.ArgumentError, match=flag):
        optim.Adam([nn.Parameter(tg.ones(2))], **{flag: True})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lr": -1.0}, "lr -1.0"), ({"eps": -1.0}, "eps"), ({"betas": (1.0, 0.9)}, r"betas\[0\]"),
        ({"betas": (0.9, -0.1)}, r"betas\[1\]"), ({"betas": 0.9}, "2 numbers"), ({"betas": (0.9,)}, "2 numbers"),
        ({"weight_decay": -0.1}, "weight_decay"), ({"lr": float("nan")}, "NaN"), ({"amsgrad": "yes"}, "True or False"),
        ({"betas": ("a", 0.9)}, "number"),
    ],
)  # fmt: skip
def test_adams_settings_out_of_range(options: dict[str, Any], text: str) -> None:
    with pytest.raises(errors.TensorError, match=text):
        optim.Adam([nn.Parameter(tg.ones(2))], **options)


def test_a_wrong_entry_in_the_state_is_told() -> None:
    params, optimizer = laid()
    optimizer.state[params[0]]["exp_avg"] = tg.ones(5)
    with pytest.raises(errors.StateDictError, match=r"'exp_avg'.*\(2, 3\)"):
        stepped(params, optimizer)
