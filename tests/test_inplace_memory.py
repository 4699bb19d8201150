"""Who looks into whose memory: random programs of views and in-place writes, and what is a view and what a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import numeric_gradient

import tinygrad_bp as tg

X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.5]])

OPS = {
    "exp": "(a / 4).exp()", "sin": "a.sin()", "mul": "a * b", "add": "a + b", "view": "a[:1]", "double": "a * 2",
    "iadd": "a.add_(b)", "imul": "a.mul_(b)", "isin": "a.sin_()", "set": "a.__setitem__(0, b[1])",
    "izero": "a.zero_()",
}  # fmt: skip


def played(module: Any, x: Any, steps: list[tuple[str, int, int]]) -> Any:
    """The sum of all that a random program leaves behind."""
    pool = [x * 1.0, module.from_numpy(np.array([1.0, 2.0, 3.0]))]
    for op, i, j in steps:
        a, b = pool[i % len(pool)], pool[j % len(pool)]
        if op == "set" and b.shape[0] < 2:
            b = pool[1]
        made = eval(OPS[op], {"a": a, "b": b})
        if op in ("exp", "sin", "mul", "add", "view", "double"):
            pool.append(made)
    return sum((p.sum() for p in pool), module.zeros((), dtype=module.float64))


@given(st.lists(st.tuples(st.sampled_from(sorted(OPS)), st.integers(0, 5), st.integers(0, 5)), min_size=2,
    max_size=8))
def test_random_programs_give_the_derivative_or_raise(steps: list[tuple[str, int, int]]) -> None:
    """What we answer is the derivative, by differences of the same program run without a graph; and where PyTorch
    answers and no view is involved, so do we."""
    torch = pytest.importorskip("torch")
    start = np.array([0.3, -0.7, 1.1])
    theirs = torch.from_numpy(start.copy()).requires_grad_()
    try:
        played(torch, theirs, steps).backward()
    except RuntimeError:
        theirs = None
    ours = tg.from_numpy(start.copy()).requires_grad_()
    try:
        played(tg, ours, steps).backward()
    except tg.TensorError:
        assert theirs is None or any(op == "view" for op, _, _ in steps)
        return

    def value(*arrays: Any) -> float:
        return float(played(tg, tg.from_numpy(arrays[0].copy()), steps).item())

    reference, smooth = numeric_gradient(value, [start], 0)
    with np.errstate(all="ignore"):
        scale = 1 + np.abs(reference).max(initial=0)
    if np.isfinite(reference).all() and scale < 1e6:
        np.testing.assert_allclose(ours.grad.numpy()[smooth], reference[smooth], atol=1e-5 * scale)
    if theirs is not None:
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-9)


LOOKS = """
x[0]; x[0, 1]; x[:]; x[...]; x[None]; x[1:]; x[:, ::2]; x[()]; x[[0, 1]]; x[x > 0]; x.T; x.t(); x.mT
x.transpose(0, 1); x.permute(1, 0)
x.reshape(3, 2); x.view(-1); x.flatten(); x.ravel(); x.T.reshape(-1); x.unsqueeze(0); x.squeeze()
x.unflatten(1, (3, 1)); x.expand(2, 3)
x.flip(0); x.roll(1); x.roll(0); x.tril(); x.triu(-5); x.diagonal(); x.diag(); x.clone(); x.detach(); x.data
x.contiguous(); x.to(x.dtype)
x.double(); x.float(); x.repeat(1, 1); x.tile((1,)); x.repeat_interleave(1); x.split(1)[0]; x.chunk(2)[1]
x.unbind()[0]; x.sum(()); x * 1
x[:1].sum(0); x[:1].prod(0); x[:1].cumprod(0); x[:1].cumsum(0); x[:1].amax(0); x[:1].max(0).values
x[:1].sort(0).values; x[:1].mean(0)
x.sum_to_size(2, 3); x.abs(); x.relu(); x.clamp(min=-9); x.round(); x + 0; x**1; T.cat([x]); T.stack([x])
T.einsum('ij->ji', x); x.floor()
T.where(x > -9, x, x); x.masked_fill(x > 9, 0); x.index_select(0, T.tensor([0, 1])); x.movedim(0, 1)
x.swapaxes(0, 1); T.as_tensor(x)
x.type_as(x); x.requires_grad_(); T.vstack([x]); x.view_as(x); x.reshape(2, 3); x.topk(3)[0]; x.softmax(0)
x.masked_select(x > -9)
"""


@pytest.mark.parametrize("program", [p.strip() for line in LOOKS.strip().splitlines() for p in line.split(";")])
def test_what_shares_memory_and_what_is_a_copy_is_pytorchs(program: str) -> None:
    """A write into a result reaches x, or does not, just as in PyTorch."""
    torch = pytest.importorskip("torch")
    shared = []
    for module in (torch, tg):
        x = module.from_numpy(X.copy())
        y = eval(program, {"x": x, "T": module})
        shared.append(np.shares_memory(x.detach().numpy(), y.detach().numpy()))
    assert shared[0] == shared[1]
    assert y.array.flags.writeable


FRESH = (
    "zeros(2, 3)", "ones(2, 3)", "rand(2, 3)", "randn(2, 3)", "randn(4, 5)", "eye(3)", "arange(6.0)",
    "linspace(0, 1, 5)", "tensor([[1.0, 2.0]])", "normal(0.0, 1.0, (2, 3))", "full((2, 3), 1.0)", "empty(3)",
    "bernoulli(T.full((2, 3), 0.5))", "from_numpy(np.arange(6.0).reshape(2, 3))", "from_numpy(np.ones((3, 4)).T)",
    "as_tensor(np.ones((4, 4))[1:])",
)  # fmt: skip


@pytest.mark.parametrize("make", FRESH)
def test_fresh_tensors_are_nobodys_view(make: str) -> None:
    """A constant that no other tensor looks into may take a value with a graph, wherever its memory came from."""
    h = eval(f"T.{make}", {"T": tg, "np": np})
    w = tg.tensor(2.0, requires_grad=True)
    h += w
    h.sum().backward()
    assert w.grad.item() == h.numel()


def test_a_write_is_seen_through_an_expanded_view() -> None:
    """NumPy puts an object of its own between what `as_strided` gives and the array that it looks into."""
    x = tg.ones(3, requires_grad=True)
    h = x * 1
    z = (h.expand(2, 3) ** 2).sum()
    h.mul_(5)
    with pytest.raises(tg.errors.InplaceError, match="overwritten in place by mul_"):
        z.backward()
