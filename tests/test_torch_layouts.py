"""How results lie in memory: as PyTorch has them, since it decides what is a view and what a copy.

`x.T.clone().reshape(-1)` is a copy, since a clone lies as its original does; in a library where it were a view, a later
write would reach the clone. Read `test_torch_aliases.py` next.
"""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg

torch = pytest.importorskip("torch")

Make = Callable[[Any], Any]

LAYOUTS: dict[str, Make] = {
    "rows": lambda m: m.ones(2, 3, 4),
    "transposed": lambda m: m.ones(4, 3, 2).permute(2, 1, 0),
    "permuted": lambda m: m.ones(4, 2, 3).permute(1, 2, 0),
    "swapped": lambda m: m.ones(3, 2, 4).permute(1, 0, 2),
    "sliced": lambda m: m.ones(2, 3, 8)[:, :, ::2],
    "rows left out": lambda m: m.ones(4, 3, 4)[::2],
    "transposed, sliced": lambda m: m.ones(4, 3, 4).permute(2, 1, 0)[::2],
    "expanded": lambda m: m.ones(3, 1).expand(3, 4),
    "expanded in front": lambda m: m.ones(3).expand(2, 3),
    "transposed, expanded": lambda m: m.ones(4, 1, 3).permute(2, 1, 0).expand(3, 5, 4),
    "one number": lambda m: m.ones(1).expand(4),
    "0-d": lambda m: m.ones(3)[1],
    "size 1": lambda m: m.ones(3, 1, 2).permute(2, 1, 0),
    "sizes 1": lambda m: m.ones(3, 4)[1:2, 1:2],
    "empty": lambda m: m.ones(3, 0, 2).permute(2, 1, 0),
}
KEEPING: dict[str, Callable[[Any, Any], Any]] = {
    "clone": lambda m, x: x.clone(),
    "detach, clone": lambda m, x: x.detach().clone(),
    "contiguous": lambda m, x: x.contiguous(),
    "flip": lambda m, x: m.flip(x, (0,)) if x.ndim else x.clone(),
    "flip the last": lambda m, x: m.flip(x, (x.ndim - 1,)) if x.ndim else x.clone(),
    "empty_like": lambda m, x: m.empty_like(x),
    "zeros_like": lambda m, x: m.zeros_like(x),
    "ones_like": lambda m, x: m.ones_like(x, dtype=m.float64),
    "full_like": lambda m, x: m.full_like(x, 2.0),
    "rand_like": lambda m, x: m.rand_like(x),
    "randn_like": lambda m, x: m.randn_like(x),
    "randint_like": lambda m, x: m.randint_like(x, 5),
    "to": lambda m, x: x.to(m.float64),
    "to, copied": lambda m, x: x.to(x.dtype, copy=True),
    "double": lambda m, x: x.double(),
    "int": lambda m, x: x.int(),
    "bool": lambda m, x: x.bool(),
    "deepcopy": lambda m, x: copy.deepcopy(x),
    "the gradient": lambda m, x: (y := x.detach().clone().requires_grad_(), y.exp().sum().backward(), y.grad)[2],
}  # fmt: skip
# NumPy's ufuncs keep the order too, but for what repeats its entries, and for operands that disagree.
ELEMENTWISE: dict[str, Callable[[Any, Any], Any]] = {
    "x * 2": lambda m, x: x * 2,
    "x + x": lambda m, x: x + x,
    "2 - x": lambda m, x: 2 - x,
    "x > 0": lambda m, x: x > 0,
    "x ** 2": lambda m, x: x**2,
    "where": lambda m, x: m.where(x > 0, x, x * 2),
    "lerp": lambda m, x: m.lerp(x, x, 0.5),
    "clamp": lambda m, x: x.clamp(0, 1),
    **{name: lambda m, x, name=name: getattr(x, name)() for name in (
        "neg", "abs", "exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "relu", "round", "floor", "sign", "square",
        "reciprocal", "isnan", "logical_not", "erf",
    )},
}  # fmt: skip


def strides(t: Any) -> tuple[int, ...]:
    """Those that tell something: along dimensions of one entry they do not."""
    return tuple(step for step, n in zip(t.stride(), t.shape, strict=True) if n > 1)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", [*KEEPING, *ELEMENTWISE])
def test_results_lie_as_in_pytorch(op: str, layout: str) -> None:
    repeated = layout in ("transposed, expanded", "one number")
    if op in ELEMENTWISE and repeated:
        pytest.skip("NumPy's own order")
    function, make = (KEEPING | ELEMENTWISE)[op], LAYOUTS[layout]
    theirs, ours = function(torch, make(torch)), function(tg, make(tg))
    assert tuple(ours.shape) == tuple(theirs.shape)
    if 0 not in ours.shape:
        assert strides(ours) == strides(theirs)
    assert ours.is_contiguous() is theirs.is_contiguous()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_strides_are_told_in_entries(layout: str) -> None:
    theirs, ours = LAYOUTS[layout](torch), LAYOUTS[layout](tg)
    if 0 not in ours.shape:
        assert ours.stride() == theirs.stride()
        assert [ours.stride(i) for i in range(-ours.ndim, ours.ndim)] == [
            theirs.stride(i) for i in range(-theirs.ndim, theirs.ndim)
        ]
    else:
        assert tg.ones(2, 0, 3).stride() == torch.ones(2, 0, 3).stride()
    with pytest.raises(tg.errors.AxisError):
        ours.stride(ours.ndim + 1)


@pytest.mark.parametrize("op", ["clone", "flip", "zeros_like", "to, copied", "deepcopy", "contiguous"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_write_reaches_what_it_reaches_in_pytorch(op: str, layout: str) -> None:
    seen = []
    for m in (torch, tg):
        y = KEEPING[op](m, LAYOUTS[layout](m))
        if op == "deepcopy" and ("expanded" in layout or layout == "one number"):
            y = y.clone()  # entries that coincide may not be written
        y.reshape(-1).mul_(7)
        seen.append(y.tolist())
    assert seen[0] == seen[1]


def test_random_layouts() -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        n = int(rng.integers(0, 5))
        sizes, order = rng.integers(1, 4, n).tolist(), rng.permutation(n).tolist()
        grown = [size * int(rng.integers(1, 3)) if size == 1 else size for size in (sizes[i] for i in order)]
        key = tuple(slice(None, None, int(rng.integers(1, 3))) for _ in range(n))
        theirs, ours = (m.ones(*sizes, dtype=m.float32) if n else m.tensor(1.0) for m in (torch, tg))
        theirs, ours = (t.permute(*order).expand(*grown)[key] if n else t for t in (theirs, ours))
        for op in ("clone", "empty_like", "double"):
            assert strides(KEEPING[op](tg, ours)) == strides(KEEPING[op](torch, theirs)), theirs.stride()


@pytest.mark.parametrize("shape", [(2, 3), (3, 5), (5, 2, 4)])
@pytest.mark.parametrize("draw", ["rand_like", "randint_like"])
def test_numbers_are_drawn_in_the_order_of_memory(draw: str, shape: tuple[int, ...]) -> None:
    found = []
    for m in (torch, tg):
        x = m.ones(*shape).permute(*range(len(shape))[::-1])
        m.manual_seed(3)
        found.append(getattr(m, draw)(x, *((1000,) if draw == "randint_like" else ())).tolist())
    assert found[0] == found[1]


# ------------------------------------------------------------ copies of what shares memory

SHARING: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "a base and its view": lambda m: (t := m.arange(6.0), t[:3]),
    "a view before its base": lambda m: ((t := m.arange(6.0))[2:4], t),
    "views that overlap": lambda m: ((t := m.arange(6.0))[:4], t[2:]),
    "views that interlock": lambda m: ((t := m.arange(6.0))[::2], t[1::2], t[1:3]),
    "detach": lambda m: (t := m.arange(6.0), t.detach()),
    "data": lambda m: (t := m.arange(6.0, requires_grad=True), t.data),
    "a transpose": lambda m: (t := m.arange(6.0).reshape(2, 3), t.T),
    "many": lambda m: (t := m.arange(6.0), *(t[i] for i in range(6)), t[1:5].reshape(2, 2)),
    "twice": lambda m: (t := m.arange(3.0), t),
    "nothing": lambda m: (m.arange(3.0), m.arange(3.0)),
    "expanded": lambda m: (t := m.arange(3.0), t.expand(2, 3)),
    "empty": lambda m: (t := m.arange(3.0), t[:0]),
}


@pytest.mark.parametrize("name", SHARING)
@pytest.mark.parametrize("holder", [list, lambda ts: {str(i): t for i, t in enumerate(ts)}])
def test_deep_copies_share_memory_where_the_originals_do(name: str, holder: Any) -> None:
    seen = []
    for m in (torch, tg):
        tensors = SHARING[name](m)
        new = copy.deepcopy(holder(tensors))
        parts = list(new.values()) if isinstance(new, dict) else new
        for i, part in enumerate(parts):
            with m.no_grad():
                (part[0] if "expanded" in name and i else part).mul_(0).add_(i + 10)
            seen.append([m, [t.tolist() for t in parts], [t.tolist() for t in tensors]])
    half = len(seen) // 2
    assert [one[1:] for one in seen[:half]] == [one[1:] for one in seen[half:]]


def test_deep_copies_of_every_two_views() -> None:
    keys = [slice(None), slice(0, 4), slice(3, 8), slice(None, None, 3), slice(5, 6), slice(8, 2, None)]
    for first, second in itertools.product(keys, keys):
        seen = []
        for m in (torch, tg):
            t = m.arange(9.0)
            a, b = copy.deepcopy([t[first], t[second]])
            a.mul_(2)
            seen.append((a.tolist(), b.tolist(), t.tolist()))
        assert seen[0] == seen[1]


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_state_with_shared_tensors(how: str) -> None:
    seen = []
    for m in (torch, tg):
        a, b = m.nn.Linear(2, 2), m.nn.Linear(2, 2)
        b.weight = a.weight
        state = m.nn.Sequential(a, b).state_dict()
        state["once more"] = state["0.bias"]
        new = copy.deepcopy(state) if how == "deepcopy" else pickle.loads(pickle.dumps(state))
        new["once more"].fill_(3.0)
        new["1.weight"].fill_(4.0)
        seen.append((list(new), new["0.bias"].tolist(), new["0.weight"].tolist() == new["1.weight"].tolist()))
    if how == "pickle":  # of two tensors that share memory PyTorch makes two; here they go on sharing it
        seen[0] = (*seen[0][:2], True)
    assert seen[0] == seen[1]


def test_a_model_whose_parameters_share_memory() -> None:
    """A deep copy of a net with tied weights is tied; gradients and optimisers know nothing of the original."""
    first = tg.nn.Linear(3, 3)
    second = tg.nn.Linear(3, 3)
    second.weight = first.weight
    net = tg.nn.Sequential(first, second)
    net(tg.ones(1, 3)).sum().backward()
    twin = copy.deepcopy(net)
    assert twin[0].weight is twin[1].weight
    assert twin[0].weight.grad is not first.weight.grad
    with tg.no_grad():
        twin[0].weight.zero_()
    assert first.weight.abs().sum() > 0
