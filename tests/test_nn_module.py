"""Module: what it registers and in which order, how it is called, saved and printed, and its errors."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import errors, nn


class Block(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.fc = nn.Linear(n, n)
        self.register_buffer("count", tg.zeros(1))
        self.register_buffer("seen", tg.zeros(2), persistent=False)

    def forward(self, x: Any) -> Any:
        return self.fc(x).tanh() + tg.ones(x.shape[0], 3)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(tg.ones(1))
        self.encoder = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
        self.blocks = nn.ModuleList([Block(3), Block(3)])
        self.head = nn.Linear(3, 1, bias=False)
        self.tied = self.head

    def forward(self, x: Any) -> Any:
        x = self.encoder(x)
        for block in self.blocks:
            x = block(x)
        return self.tied(x) * self.scale


NAMES = [
    "scale",
    "encoder.0.weight",
    "encoder.0.bias",
    "blocks.0.fc.weight",
    "blocks.0.fc.bias",
    "blocks.1.fc.weight",
    "blocks.1.fc.bias",
    "head.weight",
]


def values(net: nn.Module) -> dict[str, Any]:
    return {key: value.array.copy() for key, value in net.state_dict().items()}


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[key], b[key]) for key in a)


def test_what_is_assigned_is_registered_in_order_and_what_is_shared_comes_once() -> None:
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [name for name, _ in net.named_buffers()] == [
        "blocks.0.count",
        "blocks.0.seen",
        "blocks.1.count",
        "blocks.1.seen",
    ]
    assert [name for name, _ in net.named_children()] == ["encoder", "blocks", "head"]
    assert [name for name, _ in net.named_modules()] == [
        "",
        "encoder",
        "encoder.0",
        "encoder.1",
        "blocks",
        "blocks.0",
        "blocks.0.fc",
        "blocks.1",
        "blocks.1.fc",
        "head",
    ]
    assert len(list(net.parameters(recurse=False))) == 1


def test_a_state_dict_has_shared_weights_under_each_name_and_no_passing_buffers() -> None:
    keys = list(Net().state_dict())
    assert "tied.weight" in keys
    assert "blocks.0.count" in keys
    assert "blocks.0.seen" not in keys


def test_names_order_keys_shapes_and_repr_are_torchs() -> None:
    torch = pytest.importorskip("torch")

    def build(lib: Any) -> Any:
        class Inner(lib.nn.Module):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.b = lib.nn.Bilinear(2, 3, 4)
                self.register_buffer("mean", lib.zeros(3))
                self.register_parameter("none", None)

            def extra_repr(self) -> str:
                return "two\nlines"

        return lib.nn.Sequential(
            OrderedDict(
                a=lib.nn.Linear(2, 3),
                inner=Inner(),
                c=lib.nn.ModuleList([lib.nn.Linear(2, 2)] * 2 + [lib.nn.ReLU()]),
                d=lib.nn.ModuleDict({"x": lib.nn.Dropout(0.1), "y": lib.nn.Sequential()}),
                e=lib.nn.LeakyReLU(0.2, True),
            )
        )

    ours, theirs = build(tg), build(torch)
    assert repr(ours) == repr(theirs)
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
    ]
    for walk in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [k for k, _ in getattr(ours, walk)()] == [k for k, _ in getattr(theirs, walk)()]
    assert [k for k, _ in ours.named_parameters(remove_duplicate=False)] == [
        k for k, _ in theirs.named_parameters(remove_duplicate=False)
    ]
    assert [k for k, _ in ours.named_parameters("net")] == [k for k, _ in theirs.named_parameters("net")]


def test_reassignment_moves_a_name_and_wrong_kinds_are_refused() -> None:
    net = Net()
    net.head = nn.Linear(3, 2)
    assert net.head is not net.tied
    with pytest.raises(errors.DtypeError, match=r"Net.scale.*Parameter or None"):
        net.scale = tg.ones(1)
    with pytest.raises(errors.DtypeError, match="Module or None"):
        net.head = "linear"
    net.scale = None
    assert "scale" not in dict(net.named_parameters())
    net.scale = nn.Linear(1, 1)  # a name lives in one table only
    assert "scale" in dict(net.named_children())
    assert "scale" not in net._parameters
    del net.scale
    assert not hasattr(net, "scale")
    assert "scale" not in dict(net.named_children())
    with pytest.raises(errors.ModuleError, match="attribute already"):
        net.register_buffer("forward", tg.ones(1))
    with pytest.raises(errors.ModuleError, match="without a dot"):
        net.add_module("a.b", nn.ReLU())
    with pytest.raises(errors.DtypeError, match="detach"):
        net.register_buffer("computed", net.tied.weight * 2)


def test_forgetting_super_init_is_said_clearly() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(1, 1)

    class Silent(nn.Module):
        def __init__(self) -> None:
            pass

    with pytest.raises(errors.ModuleError, match=r"Forgetful: call `super\(\).__init__\(\)` first"):
        Forgetful()
    with pytest.raises(AttributeError, match=r"Silent: call `super\(\).__init__\(\)` first"):
        list(Silent().parameters())
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'nothing'"):
        Net().nothing  # noqa: B018
    with pytest.raises(NotImplementedError, match="write `def forward"):
        nn.Module()(1)


def test_lookup_by_path() -> None:
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_submodule("blocks.1.fc") is net.blocks[1].fc
    assert net.get_parameter("encoder.0.bias") is net.encoder[0].bias
    assert net.get_buffer("blocks.0.count") is net.blocks[0].count
    for path in ("blocks.7", "encoder.weight", "scale"):
        with pytest.raises(AttributeError, match="no layer"):
            net.get_submodule(path)
    with pytest.raises(AttributeError, match=r"no parameter 'head.bia'"):
        net.get_parameter("head.bia")


def test_loading_writes_into_the_same_tensors_from_tensors_or_arrays_of_any_dtype() -> None:
    net, source = Net(), Net().double()
    before = list(net.parameters())
    result = net.load_state_dict({k: v.array if i % 2 else v for i, (k, v) in enumerate(source.state_dict().items())})
    assert repr(result) == "<All keys matched successfully>"
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    assert same(values(net), {k: v.astype(np.float32) for k, v in values(source).items()})


def test_loading_lists_everything_wrong_at_once_and_changes_nothing() -> None:
    net = Net()
    before, bad = values(net), dict(Net().state_dict())
    del bad["scale"], bad["encoder.0.bias"]
    bad |= {"extra": tg.ones(1), "head.weight": tg.ones(2, 3), "blocks.0.fc.bias": "text"}
    with pytest.raises(errors.StateDictError) as caught:
        net.load_state_dict(bad)
    for part in (
        "missing: scale, encoder.0.bias",
        "unexpected: extra",
        "head.weight: (2, 3) float32 given, (1, 3) expected",
        "blocks.0.fc.bias: str given",
        "strict=False",
    ):
        assert part in str(caught.value)
    with pytest.raises(errors.StateDictError, match="mis-shaped"):
        net.load_state_dict(bad, strict=False)
    assert same(values(net), before)
    with pytest.raises(errors.DtypeError, match="dict of tensors"):
        net.load_state_dict([1])  # type: ignore[arg-type]


def test_loading_without_strict_returns_what_did_not_match() -> None:
    net = Net()
    result = net.load_state_dict({"scale": np.full(1, 7.0), "other": np.ones(2)}, strict=False)
    assert net.scale.item() == 7
    assert result.unexpected_keys == ["other"]
    assert "head.weight" in result.missing_keys


def test_assign_takes_the_given_tensors_with_their_dtype() -> None:
    net, source = nn.Linear(2, 1), nn.Linear(2, 1).double()
    net.load_state_dict(source.state_dict(), assign=True)
    assert net.weight.array is source.weight.array
    assert isinstance(net.weight, nn.Parameter)
    assert net.weight.requires_grad


def test_weights_can_be_swapped_by_loading() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    state, old = net.state_dict(), values(net)
    net.load_state_dict({key: state[f"{1 - int(key[0])}{key[1:]}"] for key in state})
    assert np.array_equal(net[0].weight.array, old["1.weight"])
    assert np.array_equal(net[1].bias.array, old["0.bias"])


def test_loading_between_forward_and_backward_is_noticed() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    y = net(tg.ones(1, 2)).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(errors.InplaceError, match="load_state_dict"):
        y.backward()


def test_train_eval_freeze_apply_and_zero_grad_reach_every_layer() -> None:
    net, seen = Net(), []
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert all(m.training for m in net.train().modules())
    with pytest.raises(errors.DtypeError, match="True or False"):
        net.train(2)  # type: ignore[arg-type]
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_().apply(lambda m: seen.append(type(m).__name__))
    assert seen[-1] == "Net"
    assert seen.index("Linear") < seen.index("Sequential")
    net(tg.ones(4, 2)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(not p.grad.array.any() for p in net.parameters())  # type: ignore[union-attr]
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_conversion_keeps_the_parameters_themselves_and_their_gradients() -> None:
    net = Net()
    net.register_buffer("steps", tg.tensor([1, 2]))
    before = list(net.parameters())
    net(tg.ones(4, 2)).sum().backward()
    assert net.double() is net
    assert net.scale.dtype == tg.float64
    assert net.scale.grad.dtype == tg.float64
    assert all(a is b for a, b in zip(before, net.parameters(), strict=True))
    assert net.steps.dtype == tg.int64  # integer buffers stay
    net(tg.ones(4, 2, dtype=tg.float64)).sum().backward()  # adds to the converted gradients
    assert net.to(tg.float32).float().half().to("cpu").scale.dtype == tg.float16
    with pytest.raises(errors.DtypeError, match="floating point"):
        net.to(tg.int64)
    assert net.scale.dtype == tg.float16


def test_deepcopy_and_pickle_keep_values_and_tied_weights_and_share_nothing() -> None:
    net = Net()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert same(values(twin), values(net))
        assert twin.tied is twin.head
        assert not np.shares_memory(twin.scale.array, net.scale.array)
        twin(tg.ones(1, 2)).sum().backward()
        assert twin.scale.grad is not None
        assert net.scale.grad is None
    shallow = copy.copy(net)
    shallow.extra = nn.ReLU()
    assert shallow.scale is net.scale
    assert not hasattr(net, "extra")
    assert len(list(net.children())) == 3


@pytest.mark.parametrize(
    ("spoil", "path"),
    [
        (lambda net: setattr(net.encoder, "0", nn.Linear(5, 3)), "Net.encoder.0 (Linear)"),
        (lambda net: setattr(net.blocks[1], "fc", nn.Linear(5, 3)), "Net.blocks.1.fc (Linear)"),
        (lambda net: setattr(net.blocks[0], "fc", nn.Linear(3, 5)), "Net.blocks.0 (Block)"),
        (lambda net: setattr(net, "scale", nn.Parameter(tg.ones(7, 9))), "Net"),
    ],
)
def test_an_error_tells_the_path_of_its_layer(spoil: Any, path: str) -> None:
    net = Net()
    spoil(net)
    with pytest.raises(errors.TensorError) as caught:
        net(tg.ones(4, 2))
    assert str(caught.value).endswith(f"\n  in layer: {path}")


def test_the_path_goes_on_through_a_layer_that_the_parent_does_not_own() -> None:
    outside = nn.Sequential(nn.Linear(5, 1))

    class Borrowing(nn.Module):
        def forward(self, x: Any) -> Any:
            return outside(x)

    with pytest.raises(
        errors.ShapeError, match=r"in layer: Sequential.b \(Borrowing\) → Sequential.0 \(Linear\)$"
    ) as caught:
        nn.Sequential(OrderedDict(b=Borrowing()))(tg.ones(1, 2))
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), errors.ShapeError)


def test_forward_hooks_see_and_replace_what_passes() -> None:
    layer, calls = nn.Identity(), []
    handles = [
        layer.register_forward_pre_hook(lambda m, args: calls.append("pre") or (args[0] + 1,)),
        layer.register_forward_hook(lambda m, args, out: calls.append(("post", args[0].item())) or out * 10),
        layer.register_forward_hook(lambda m, args, out: calls.append("first"), prepend=True),
    ]
    assert layer(tg.tensor(1.0)).item() == 20
    assert calls == ["pre", "first", ("post", 2.0)]
    for handle in handles:
        handle.remove()
        handle.remove()
    assert layer(tg.tensor(1.0)).item() == 1


def test_hooks_with_keyword_arguments_and_hooks_that_are_always_called() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Any, by: float = 1.0) -> Any:
            return x * by if by else tg.ones(2) @ tg.ones(3)

    layer, seen = Scaled(), []
    layer.register_forward_pre_hook(lambda m, args, kwargs: (args, {"by": kwargs["by"] + 1}), with_kwargs=True)
    layer.register_forward_hook(lambda m, args, kwargs, out: seen.append(kwargs["by"]), with_kwargs=True)
    layer.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    assert layer(tg.tensor(2.0), by=2.0).item() == 6
    assert seen[0] == 3.0
    assert seen[1].item() == 6
    with pytest.raises(errors.ShapeError, match="in layer: Scaled"):
        layer(tg.tensor(2.0), by=-1.0)
    assert seen[2:] == [None]


def test_a_backward_hook_sees_both_gradients_and_may_replace_the_inner_one() -> None:
    torch = pytest.importorskip("torch")
    weight = np.arange(6.0).reshape(3, 2)
    found = []
    for lib in (tg, torch):
        layer, seen = lib.nn.Linear(2, 3, bias=False, dtype=lib.float64), []
        layer.load_state_dict({"weight": lib.tensor(weight)})

        def hook(m: Any, inner: Any, outer: Any, seen: list[Any] = seen) -> Any:
            seen.append([g.detach().numpy().tolist() for g in (*inner, *outer)])
            return (inner[0] * 2,)

        handle = layer.register_full_backward_hook(hook)
        x = lib.ones(1, 2, dtype=lib.float64, requires_grad=True)
        (layer(x) ** 2).sum().backward()
        handle.remove()
        layer(x).sum().backward()
        found.append((seen, x.grad.numpy().tolist(), layer.weight.grad.numpy().tolist()))
    assert found[0] == found[1]
    assert len(found[0][0]) == 1


def test_a_parameter_is_a_leaf_and_shares_its_data() -> None:
    x = tg.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="its graph ends here"):
        p = nn.Parameter(x * 2)
    assert p.is_leaf
    assert p.requires_grad
    assert not nn.Parameter(x, requires_grad=False).requires_grad
    assert repr(p) == "Parameter containing:\ntensor([2., 2.], requires_grad=True)"
    with pytest.raises(errors.DtypeError, match="floating-point"):
        nn.Parameter(tg.ones(2, dtype=tg.int64))
    assert type(p * 1) is tg.Tensor
