"""Side by side with PyTorch: every operation of the REGISTRY, the forms that people write, indexing, mistakes.

A program is a line of text, run once with `T` the package and once with `T` PyTorch.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from draws import Draw, arguments, cases_of, draws, signature
from hypothesis import given, settings
from torch_side import ARRAYS, agree, dtype_name, parts, plain

import tinygrad_bp as tg
from tinygrad_bp.declare import REGISTRY, Op

torch = pytest.importorskip("torch")

# ------------------------------------------------------------------------- the whole REGISTRY, on its own draws

SPELLED = {
    "axis": "dim", "keepdims": "keepdim", "a": "input", "x": "input", "indices": "indices", "axes": "dims",
}  # fmt: skip
FOUND = {name: getattr(torch, name, None) or getattr(torch.Tensor, name,
    None) for name in REGISTRY if name not in ("T", "mT")}


def in_pytorch(op: Op, tensors: list[Any], named: dict[str, Any]) -> Any:
    """The same call on torch's side: positional where ours is, and in torch's spelling where by name."""
    args, kwargs = arguments(op, tensors, named)
    args = [torch.from_numpy(np.asarray(a)) if isinstance(a, np.ndarray) else a for a in args]
    if op.word == "reduction":
        args, kwargs = args[:1], {k: v for k, v in named.items() if v is not None}
    kwargs = {SPELLED.get(k, k): torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
    return FOUND[op.key](*args, **kwargs)


def compare(op: Op, d: Draw) -> bool:
    """Values, dtypes and gradients of one draw; False if PyTorch has no such form, or no derivative of it."""
    if not all(x.size for x in d.arrays):
        return False
    theirs_in = [torch.from_numpy(x.copy()).requires_grad_(x.dtype.kind == "f") for x in d.arrays]
    try:
        theirs = parts(in_pytorch(op, theirs_in, d.named))
    except (TypeError, RuntimeError, IndexError, ValueError):
        return False
    ours_in = [tg.from_numpy(x.copy()).requires_grad_(x.dtype.kind == "f") for x in d.arrays]
    args, kwargs = arguments(op, ours_in, d.named)
    ours = parts(op.call(*args, **kwargs))
    for mine, other in zip(ours, theirs, strict=True):
        assert dtype_name(mine) == dtype_name(other)
        assert mine.requires_grad == other.requires_grad
        np.testing.assert_allclose(plain(mine), plain(other), rtol=1e-9, atol=1e-12)
    ws = d.cotangents([plain(t) for t in theirs])
    pairs = [(m, o, w) for m, o, w in zip(ours, theirs, ws, strict=True) if o.requires_grad]
    if pairs:
        try:
            torch.autograd.backward([o for _, o, _ in pairs], [torch.from_numpy(w) for _, _, w in pairs])
        except RuntimeError:
            return False
        tg.autograd.backward([m for m, _, _ in pairs], [w for _, _, w in pairs])
    for m, o in zip(ours_in, theirs_in, strict=True):
        if o.grad is not None:
            np.testing.assert_allclose(m.grad.numpy(), o.grad.numpy(), rtol=1e-8, atol=1e-10)
    return True


@pytest.mark.parametrize("name", [n for n, f in FOUND.items() if callable(f)])
def test_registry(name: str) -> None:
    op, compared = REGISTRY[name], []
    for case in cases_of(op):

        @settings(max_examples=max(2, settings().max_examples // 8))
        @given(draws(op, case))
        def check(d: Draw) -> None:
            compared.append(compare(op, d))

        check()
    assert any(compared) or name in UNLIKE, f"nothing of {name} {signature(op)} was compared"


# PyTorch has the name with another signature, or no call of it fits our declared cases; all are compared by hand below.
UNLIKE = {
    "floor_divide", "broadcast_to", "put", "norm", "transpose", "flip", "repeat", "tile", "var", "std", "einsum",
    "scatter", "where", "select", "reshape", "split", "searchsorted", "clamp", "roll", "prod", "take_along_dim",
    "max", "min", "masked_fill", "unflatten", "repeat_interleave", "addcmul", "addcdiv", "hstack", "vstack",
    "stack", "cat", "sum_to_size", "cast", "contract",
}  # fmt: skip


# --------------------------------------------------------------------------------------- the forms that people write

REDUCTIONS = [
    "sum", "mean", "amax", "amin", "prod", "logsumexp", "var", "std", "max", "min", "argmax", "argmin", "all",
    "any", "count_nonzero", "norm", "cumsum", "cumprod", "softmax", "log_softmax", "sort", "argsort", "median",
    "unbind",
]  # fmt: skip
AXES = [
    "", "0", "1", "-1", "-2", "dim=0", "dim=-1", "axis=1", "1, keepdim=True", "dim=0, keepdim=True", "-1, True",
    "dim=(0, 1)", "(0,)", "[0, -1]", "dim=1, keepdims=True", "dim=None", "dim=()", "0, 1",
]  # fmt: skip


def forms() -> list[str]:
    """Every reduction with every way of naming dimensions that PyTorch takes."""
    found = []
    for name in REDUCTIONS:
        for axes in AXES:
            for program in (f"x.{name}({axes})", f"T.{name}(x{', ' * bool(axes)}{axes})"):
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        eval(program, {"x": torch.ones(2, 3), "T": torch})
                    if (name, axes) in (("count_nonzero", "0, 1"), ("var", "dim=()"), ("std", "dim=()")):
                        continue  # dimensions one by one, which no other reduction takes; an infinite gradient
                except (TypeError, RuntimeError, IndexError, ValueError, AttributeError):
                    continue
                found.append(program)
    return found


@pytest.mark.parametrize("program", forms())
def test_reductions_in_every_spelling(program: str) -> None:
    agree(program)


PROGRAMS = """
x + 1; 1 + x; x - 2.5; 2.5 - x; x * 3; 3 * x; x / 2; 2 / p; p ** 2; p ** 0.5; 2 ** x; p ** -1; p ** y; x // 0.7
x % 0.7; -x; +x; abs(x); p ** 0; z ** 2; z ** 3
x + s; s * x; x - v; v / p; x @ m; v @ v; x @ v; v @ m; b @ b.mT; x @ b.permute(0, 2, 1)[0].T
c @ b.mT[:, None, :2, :3]
T.add(x, y); T.add(x, y, alpha=2); x.add(1); x.sub(y, alpha=0.5); T.sub(x, 1); x.mul(2); T.mul(x, y); x.div(p)
T.div(x, p, rounding_mode='floor')
T.div(x, p, rounding_mode='trunc'); x.pow(2); p.pow(y); T.pow(2, x); T.pow(p, -0.5); x.remainder(0.5)
T.remainder(x, p); T.true_divide(x, 2); x.floor_divide(2)
T.maximum(x, y); T.minimum(x, y); x.maximum(v); T.clamp(x, -0.5, 0.5); x.clamp(min=0); x.clamp(max=0.3)
x.clamp(min=-0.1, max=0.1); x.clip(-1, 1); T.clamp(x, min=v)
T.clamp(x, v, v + 1); T.where(x > 0, x, y); T.where(x > 0, x, 0.0); T.where(x > 0, 1.0, x); x.where(y > 0, v)
T.where(x > 0)
T.lerp(x, y, 0.3); x.lerp(y, p); T.addcmul(x, y, p, value=0.5); x.addcmul(y, p); T.addcdiv(x, y, p)
x.addcdiv(y, p, value=-2); x.square(); p.sqrt(); p.rsqrt(); p.reciprocal()
T.exp(x); x.exp(); x.exp2(); x.expm1(); p.log(); p.log2(); p.log10(); p.log1p(); x.sin(); x.cos(); x.tan(); x.tanh()
x.sigmoid(); T.sigmoid(x); T.relu(x); x.relu(); x.erf()
T.atan2(x, y); x.atan2(p); x.floor(); x.ceil(); x.round(); T.round(x, decimals=1); x.trunc(); x.sign(); x.absolute()
T.neg(x); T.negative(x)
x > y; x >= 0; x < y; x <= 1; x == y; x != y; T.eq(x, 1); x.gt(0); x.ne(x); T.isnan(x); x.isinf(); T.isfinite(x)
~(x > 0); (x > 0) & (y > 0); (x > 0) | (y > 0); (x > 0) ^ (y > 0)
T.logical_and(x, z); T.logical_or(x, z); T.logical_xor(x, z); T.logical_not(z)
x.sum(); x.mean(); x.max(); x.min(); x.sum(0).mean(); T.max(x, y); T.min(x, y); T.max(x, 1)[0]; x.max(1).indices
x.max(dim=0).values; T.min(x, dim=1, keepdim=True)
x.var(unbiased=False); x.var(0, unbiased=False); T.var(x, dim=1, correction=0); x.std(1, unbiased=True)
T.std(x, 0, keepdim=True); x.var(correction=2); x.std(dim=(0, 1))
x.norm(); x.norm(2); x.norm(p=1); x.norm(1, dim=0); x.norm(dim=1); x.norm(p=inf, dim=1); x.norm(p='fro')
x.norm(2, -1, True); x.norm(p=3); x.norm(p=0); x.norm(p=-inf)
T.norm(x, dim=1, p=2); x.logsumexp(1); T.logsumexp(x, dim=(0, 1)); T.logsumexp(x, -1, keepdim=True)
x.sum(dtype=T.float32); x.mean(1, dtype=T.float32); x.prod(1); x.cumsum(dim=0)
x.softmax(-1); T.softmax(x, dim=0); x.log_softmax(1); T.log_softmax(x, 1); x.softmax(dim=1, dtype=T.float32)
s.softmax(0); T.cumprod(x, 1)
x.sort(); x.sort(0, descending=True); T.sort(x, dim=1); x.argsort(descending=True); x.topk(2)
x.topk(1, dim=0, largest=False); T.topk(x, k=2, dim=-1); x.median(); x.sort(stable=True)
ties.sort(stable=True); ties.sort(dim=1, descending=True, stable=True); ties.topk(3)[0]
T.sort(ties, stable=True, dim=0)
x.reshape(3, 2); x.reshape((6,)); x.reshape(-1); x.reshape([-1, 2]); x.view(3, -1); T.reshape(x, (1, 6)); x.view(6)
x.permute(1, 0); b.permute(2, 0, 1); b.permute((2, 0, 1)); T.permute(b, (0, 2, 1))
x.t(); x.T; b.mT; x.transpose(0, 1); T.transpose(b, 0, -1); b.swapaxes(0, 1); b.swapdims(0, 1); b.movedim(0, 2)
T.moveaxis(b, (0, 1), (1, 2)); b.flatten(); b.flatten(1); T.flatten(b, 0, 1)
b.unflatten(2, (2, 2)); b.unflatten(-1, (-1, 2)); one.squeeze(); one.squeeze(0); c.squeeze(1); c.squeeze(0)
c.squeeze((0, 1)); T.squeeze(c); x.unsqueeze(0); T.unsqueeze(x, -1); x.unsqueeze(dim=1)
v.expand(2, 3); v.expand(4, -1); s.expand(2); one.expand((2, 3)); T.broadcast_to(v, (2, 3)); v.expand_as(x)
x.view_as(m[:, :2]); x.reshape_as(m[:2, :3])
x.repeat(2, 1); v.repeat(2); v.repeat(2, 2); x.tile((2,)); x.tile(2, 1); T.tile(x, (1, 2)); x.repeat_interleave(2)
x.repeat_interleave(2, dim=0); T.repeat_interleave(v, T.tensor([1, 0, 2]))
x.flip(0); x.flip(0, 1); x.flip((1,)); T.flip(x, dims=[0]); T.flip(x, (0, 1)); x.roll(1, 0); x.roll(1)
T.roll(x, (1, 2), (0, 1)); x.roll(shifts=1, dims=1)
T.cat([x, y]); T.cat((x, y), dim=1); T.cat([x, y], -1); T.stack([x, y]); T.stack((x, y), dim=-1); T.hstack([x, y])
T.vstack([x, y]); T.hstack([v, v]); T.vstack((v, v)); T.concat([x, y], dim=1)
T.cat([e, x]); x.split(1); x.split(2, dim=1); x.split([1, 2], dim=1); T.split(b, 2, -1); x.chunk(2)
T.chunk(b, 3, dim=-1); x.unbind(); x.unbind(1); T.unbind(x, dim=1); T.chunk(v, 2)
q.tril(); q.triu(1); T.tril(x, -1); T.triu(b); q.diag(); v.diag(); T.diag(q, 1); T.diag(v, -1); q.diagonal()
b.diagonal(0, 1, 2); b.diagonal(offset=1, dim1=0, dim2=2); q.trace(); T.trace(q); T.diag_embed(x); T.diag_embed(v, 1)
x.gather(1, T.tensor([[0, 2], [1, 1]])); T.gather(x, 0, T.tensor([[1, 0, 1]]))
x.gather(dim=1, index=T.tensor([[0], [2]])); x.scatter_add(1, T.tensor([[0, 0, 1], [2, 1, 1]]), y)
x.scatter(1, T.tensor([[0, 1, 2], [2, 0, 1]]), y); x.scatter(0, T.tensor([[1, 0, 0]]), 2.5)
x.index_select(1, T.tensor([2, 0, 2])); T.index_select(x, 0, T.tensor([1])); x.masked_fill(x > 0, 0.0)
x.masked_fill(x > 0, s); T.masked_fill(x, T.tensor([True, False, True]), -1); x.masked_select(x > 0)
T.masked_select(x, T.tensor([True, False, True]))
x.take_along_dim(T.tensor([[0], [2]]), 1); T.take_along_dim(x, x.argsort(1), dim=1)
x.take_along_dim(T.tensor([5, 0])); z.nonzero(); z.nonzero(as_tuple=True); T.nonzero(z); z.count_nonzero()
z.count_nonzero(dim=0)
x.mm(m); T.mm(x, m); b.bmm(b.mT); T.bmm(b, b.transpose(1, 2)); q.mv(v); T.mv(x, v); v.dot(v); T.dot(v, v * 2)
T.outer(v, v); v.outer(v[:2]); T.addmm(y @ m, x, m); T.addmm(v[:1], x, m, beta=0.5, alpha=2); T.matmul(x, m)
x.matmul(v); T.ger(v, v)
T.einsum('ij,jk->ik', x, m); T.einsum('ij->ji', x); T.einsum('ii', q); T.einsum('ii->i', q)
T.einsum('bij,bkj->bik', b, b); T.einsum('i,j->ij', v, v); T.einsum('ij,ij->', x, y)
T.einsum('...i,i->...', b[..., :3], v); T.einsum('ij,jk,k->i', x, q, v); T.einsum('ij,j', x, v); T.einsum('ij', x)
T.einsum('bij,jk', b, m.mT)
T.tensordot(x, m, 1); T.tensordot(b, b, dims=([0, 1, 2], [0, 1, 2])); T.tensordot(x, x, dims=([0], [0]))
T.tensordot(v, v, 0); T.searchsorted(T.tensor([1.0, 2.0, 3.0]), T.tensor([2.0, 0.5]))
T.searchsorted(T.tensor([1.0, 2.0]), T.tensor([2.0]), right=True)
T.cumsum(x, dim=-1); x.argmax(); x.argmax(1); T.argmax(x, dim=0, keepdim=True); x.argmin(-1); ties.argmax(1)
ties.argmin(1); x.all(); x.any(1); T.all(z, dim=0); (z != 0).any(dim=1, keepdim=True); (x > 0).sum(); (x > 0).sum(1)
(x > 0).float().mean(); (x > 0).all(1)
e.sum(); e.sum(0); e.prod(); e.mean(1); T.cat([e, e]); e @ m; e.exp(); e.reshape(3, 0); (e == 0).all()
(e == 0).any(); e.cumsum(0); e.softmax(1); e.var(1); T.logsumexp(e, 1); m @ e.T.reshape(4, 0) if 0 else e.T
ties.max(); ties.amax(1); ties.amin(); ties.max(1); ties.min(1); ties.relu(); ties.abs(); ties.clamp(0, 2)
ties.clamp(min=2); T.maximum(ties, ties); T.minimum(ties, ties * 1); ties.sign(); ties.norm(); z.norm(dim=0)
z.norm(p=1); T.clamp(ties, max=0.0); ties.amax((0, 1)); ties.median()
z.prod(); z.prod(0); z.prod(1); z.cumprod(1); z.cumprod(0); (z * 0).norm(); (z * 0).std() if 0 else z.std()
T.where(z == 0, z, 1 / (z + 1e-3)); z.sqrt().sum() if 0 else z.square(); T.relu(z); (z * 0).abs()
T.maximum(z, T.zeros_like(z)); T.atan2(z, p); T.nn.functional.leaky_relu(z, 0.1)
T.nn.functional.softplus(x); T.nn.functional.softplus(x, beta=3, threshold=1); T.nn.functional.leaky_relu(x)
T.nn.functional.relu(x); T.nn.functional.softmax(x, dim=1); T.nn.functional.linear(x, m.T[:, :3])
T.nn.functional.linear(x, q, v)
x.to(T.float32); x.float(); x.double(); x.to(dtype=T.float32).exp(); x.type_as(T.ones(1)); x.half().float()
x.long(); x.int(); x.bool(); x.to(T.int64); x.clone(); x.detach(); x.contiguous(); x.data; T.zeros_like(x)
T.ones_like(x, dtype=T.int64); T.full_like(x, 3)
x.numel(); x.dim(); x.ndim; list(x.shape); list(x.size()); x.size(0); x.size(-1); x.item() if 0 else s.item()
x.tolist(); len(x); x.is_floating_point(); x.requires_grad; x.is_leaf; (x * 1).is_leaf; x.shape.numel()
float(s.detach()); int(s); bool(s > 0); [float(r.sum().detach()) for r in x]
T.tensor(1).dtype == T.int64; T.tensor(1.0).dtype == T.float32; T.tensor([True]).dtype == T.bool; T.tensor([1, 2.5])
T.tensor([[1, 2], [3, 4]]); T.tensor(np.ones(2)); T.tensor([]); T.zeros(2, 3); T.ones((2,)); T.eye(2, 3)
T.arange(5); T.arange(1, 2, 0.25); T.arange(5, 0, -2); T.linspace(0, 1, 5); T.full((2, 2), 1.5); T.full((2,), True)
T.zeros(0); T.arange(3.0); T.linspace(1, 10, 4, dtype=T.float64)
"""


@pytest.mark.parametrize("program", [p.strip() for line in PROGRAMS.strip().splitlines() for p in line.split(";")])
def test_programs(program: str) -> None:
    agree(program)



# ------------------------------------------------------------------------------------------------- indexing

INDICES = [
    "0", "-1", "1, 2", "1, -1", "1:", ":1", "::2", ":, 1:3", ":, ::2", "..., 0", "0, ...", "None", ":, None",
    "None, ..., None", "..., None, 0", "0:0", "1:1, :", "()", "...", "[0, 1]", "[1, 0, 1]", "T.tensor([0, 1, 0])",
    "T.tensor(1)", "T.tensor([[0, 1], [1, 0]])", "np.array([1, 0])", "np.int64(1)", ":, [0, 2]",
    ":, T.tensor([2, 0, 0])", "[0, 1], [1, 2]", "T.tensor([0, 1]), T.tensor([1, 2])",
    "T.tensor([[0], [1]]), T.tensor([0, 2])", "0, [1, 2]", "[0, 1], 0", "..., [0, 1]", "[0, 1], ..., [0, 3]",
    "[0, 1], :, [0, 3]", ":, [0, 1], [2, 3]", "None, [0, 1]", "1:, [0, 1]", "T.tensor([-1, 0])", "[0], [1], [2]",
    "x > 0", "(x > 0) & (x < 1)", "T.tensor([True, False])", ":, T.tensor([True, False, True])", "[True, False]",
    "..., T.tensor([True, False, True, True])", "T.tensor([True, False]), 0", "T.tensor([True, True]), [0, 2]",
    "T.zeros(2, 3, dtype=T.bool)", "T.tensor(True)", "T.tensor(False)", "True", "np.array([True, False])",
    "slice(0, 2)", "slice(None, None, 2), 0", "(0,)", "T.arange(2)", "T.tensor([], dtype=T.int64)", "[]",
    "T.tensor([0], dtype=T.uint8)" if 0 else "T.tensor([1], dtype=T.int32)",
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES)
def test_indexing(index: str) -> None:
    agree(f"(x * 1, b[{index}])[1]")


@pytest.mark.parametrize("index",
    ["5", "0, 7", "T.tensor([5])", "[-3]", "0, 0, 0, 0", "T.tensor([0.5])", "T.tensor([True])", "1.5", "'a'",
        "T.ones(2, 3)"])
def test_indices_that_both_refuse(index: str) -> None:
    for module in (torch, tg):
        with pytest.raises((IndexError, TypeError, RuntimeError, ValueError)):
            eval(f"b[{index}]", {"T": module, "b": module.ones(2, 3, 4)})


# ------------------------------------------------------------------------------------------- errors of both


MISTAKES = """
x + m; x @ x; x.reshape(4); x.view(5, -1); x.sum(2); x.sum((0, 0)); x.permute(0); x.permute(0, 0); x.expand(3, 3)
T.cat([x, v]); T.cat([]); T.stack([x, v]); x.split([1, 1], 1)
x.squeeze(5); x.unsqueeze(4); x.transpose(0, 2); b.t(); x.gather(1, T.tensor([0])); x.gather(1, T.tensor([[9]]))
x.index_select(0, T.tensor([4])); x.masked_fill(x, 1.0); x.topk(7)
x.mm(v); x.mv(x); x.bmm(x); v.dot(x); T.outer(x, x); T.addmm(x, x, x); T.einsum('ij,jk->ik', x, x)
T.einsum('ij->k', x); T.einsum('i', x); q.softmax(3); x.flatten(1, 0); x.chunk(0); x.split(0)
x.item(); bool(x); float(x); int(x); x.unflatten(1, (2, 2)); x.repeat(2); s[0]; len(s); list(s); x.numpy()
np.asarray(x); T.zeros(-1); T.arange(0, 5, -1); T.arange(3, 5, 0); e.max(); e.argmax(); e.amax(0)
T.tensor([[1], [2, 3]]); T.tensor('a'); T.from_numpy([1]); T.zeros(2.5); x.to('nonsense'); x.flip(3); x.roll(1, 5)
x.diagonal(0, 0, 0); x.trace(0) if 0 else v.trace(); x.backward(); T.ones(2).backward(); x.tril(1, 2); x.sort(4)
x.cumsum(3); x.nosuch
"""


@pytest.mark.parametrize("program", [p.strip() for line in MISTAKES.strip().splitlines() for p in line.split(";")])
def test_mistakes_that_both_refuse(program: str) -> None:
    kinds = (RuntimeError, IndexError, TypeError, ValueError, AttributeError)
    for module in (torch, tg):
        scope = {k: module.from_numpy(v.copy()).requires_grad_() for k, v in ARRAYS.items()}
        with pytest.raises(kinds) as told:
            eval(program, {"T": module, "np": np, **scope})
    assert isinstance(told.value,
        tg.TensorError | AttributeError), f"{program}: {type(told.value).__name__}: {told.value}"
