"""Side by side with PyTorch: values, result dtypes, gradients at kinks, indexing, Functions, derivatives of functions, printing.

A program is a line of text, run once with `T` the package and once with `T` PyTorch.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import arguments, cases_of, draws, signature

import tinygrad_bp as tg
from tinygrad_bp.declare import REGISTRY, Op

torch = pytest.importorskip("torch")

DTYPES = {"f16": "float16", "f32": "float32", "f64": "float64", "i8": "int8", "i32": "int32", "i64": "int64",
    "u8": "uint8", "b": "bool"}
RNG = np.random.default_rng(0)
ARRAYS = {
    "x": RNG.normal(size=(2, 3)), "y": RNG.normal(size=(2, 3)), "v": RNG.normal(size=3),
    "m": RNG.normal(size=(3, 4)), "s": np.array(0.7),
    "q": RNG.normal(size=(3, 3)), "b": RNG.normal(size=(2, 3, 4)), "p": RNG.uniform(0.3, 2.0, (2, 3)),
    "e": np.zeros((0, 3)),
    "ties": np.array([[1.0, 2.0, 2.0], [0.0, 0.0, -1.0]]), "z": np.array([[0.0, 3.0, 0.0], [2.0, 0.0, -4.0]]),
    "one": np.ones((1, 1)),
    "c": RNG.normal(size=(2, 1, 3, 2)),
}  # fmt: skip


def parts(result: Any) -> list[Any]:
    if isinstance(result, tuple | list):
        return [p for r in result for p in parts(r)]
    return [result]


def dtype_name(x: Any) -> str:
    return str(x.dtype).removeprefix("torch.")


def evaluate(module: Any, program: str, names: dict[str, np.ndarray], grad: bool = True) -> tuple[list[Any],
    dict[str, Any]]:
    """(result, gradients of Σ w · result, w random but the same on both sides)."""
    scope = {k: module.from_numpy(v.copy()).requires_grad_(grad and v.dtype.kind == "f") for k, v in names.items()}
    results = parts(eval(program, {"T": module, "np": np, "inf": np.inf, **scope}))
    rng, total = np.random.default_rng(1), []
    for r in results:
        w = rng.uniform(0.5, 1.5, tuple(r.shape)) if hasattr(r, "shape") else None
        if getattr(r, "requires_grad", False):
            total.append((r * module.from_numpy(np.asarray(w)).to(r.dtype)).sum())
    if total:
        sum(total).backward()
    return results, {k: t.grad for k, t in scope.items()}


def differentiable(program: str, names: dict[str, np.ndarray]) -> bool:
    """PyTorch has operations without a derivative (floor_divide), and some that fail on mixed dtypes."""
    try:
        evaluate(torch, program, names)
    except RuntimeError:
        return False
    return True


def plain(x: Any) -> Any:
    return x.detach().numpy() if hasattr(x, "detach") else x


def agree(program: str, names: dict[str, np.ndarray] | None = None, rtol: float = 1e-10) -> None:
    names = ARRAYS if names is None else names
    names = {k: v for k, v in names.items() if any(part == k for part in _words(program))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own deprecations
        grad = differentiable(program, names)
        theirs, their_grads = evaluate(torch, program, names, grad)
    ours, our_grads = evaluate(tg, program, names, grad)
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        if not hasattr(other, "dtype"):
            assert mine == other
            continue
        assert dtype_name(mine) == dtype_name(other), f"{program}: {dtype_name(mine)}, PyTorch {dtype_name(other)}"
        assert tuple(mine.shape) == tuple(other.shape), program
        digits = max(rtol, 1e-6) if "float32" in dtype_name(other) else rtol
        np.testing.assert_allclose(plain(mine), plain(other), rtol=digits, atol=digits, err_msg=program)
        assert mine.requires_grad == other.requires_grad, program
    for name, other in their_grads.items():
        mine = our_grads[name]
        if other is None:  # PyTorch says None where the gradient is 0 for lack of any slope (norm(p=0))
            assert mine is None or not mine.array.any(), f"{program}: gradient of {name}"
        else:
            rtol = max(rtol, 1e-6) if "float32" in program else rtol
            assert dtype_name(mine) == dtype_name(other)
            np.testing.assert_allclose(plain(mine), plain(other), rtol=rtol, atol=rtol,
                err_msg=f"{program}: gradient of {name}")


def _words(program: str) -> list[str]:
    return "".join(ch if ch.isalnum() or ch == "_" else " " for ch in program).split()


# ------------------------------------------------------------------------- the whole REGISTRY, on its own draws

SPELLED = {"axis": "dim", "keepdims": "keepdim", "a": "input", "x": "input", "indices": "indices", "axes": "dims"}
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


@pytest.mark.parametrize("name", [n for n, f in FOUND.items() if callable(f)])
def test_registry(name: str) -> None:
    op, compared = REGISTRY[name], []

    for case in cases_of(op):

        @settings(max_examples=max(2, settings().max_examples // 8))
        @given(st.data())
        def check(data: Any) -> None:
            d = data.draw(draws(op, case))
            if not all(x.size for x in d.arrays):
                return
            theirs_in = [torch.from_numpy(x.copy()).requires_grad_(x.dtype.kind == "f") for x in d.arrays]
            try:
                theirs = parts(in_pytorch(op, theirs_in, d.named))
            except (TypeError, RuntimeError, IndexError, ValueError):
                return  # torch has no such form; what it has is compared below, by hand
            ours_in = [tg.from_numpy(x.copy()).requires_grad_(x.dtype.kind == "f") for x in d.arrays]
            args, kwargs = arguments(op, ours_in, d.named)
            ours = parts(op.call(*args, **kwargs))
            ws = d.cotangents([plain(t) for t in theirs])
            for mine, other in zip(ours, theirs, strict=True):
                assert dtype_name(mine) == dtype_name(other)
                np.testing.assert_allclose(plain(mine), plain(other), rtol=1e-9, atol=1e-12)
            pairs = [(m, o, w) for m, o, w in zip(ours, theirs, ws, strict=True) if o.requires_grad]
            assert [m.requires_grad for m in ours] == [o.requires_grad for o in theirs]
            if pairs:
                try:
                    torch.autograd.backward([o for _, o, _ in pairs], [torch.from_numpy(w) for _, _, w in pairs])
                except RuntimeError:  # no derivative in PyTorch, or not of this form
                    return
                tg.autograd.backward([m for m, _, _ in pairs], [w for _, _, w in pairs])
                for m, o in zip(ours_in, theirs_in, strict=True):
                    if o.grad is not None:
                        np.testing.assert_allclose(m.grad.numpy(), o.grad.numpy(), rtol=1e-8, atol=1e-10)
            compared.append(True)

        check()
    assert compared or name in UNLIKE, f"nothing of {name} {signature(op)} was compared"


# PyTorch has the name with another signature, or no call of it fits our declared cases; all are compared by hand below.
UNLIKE = {"floor_divide", "broadcast_to", "put", "norm", "transpose", "flip", "repeat", "tile", "var", "std",
    "einsum", "scatter", "where", "select", "reshape",
          "split", "searchsorted", "clamp", "roll", "prod", "take_along_dim", "max", "min", "masked_fill",
          "unflatten", "repeat_interleave",
          "addcmul", "addcdiv", "hstack", "vstack", "stack", "cat", "sum_to_size", "cast", "contract"}  # fmt: skip


# --------------------------------------------------------------------------------------- the forms that people write

REDUCTIONS = ["sum", "mean", "amax", "amin", "prod", "logsumexp", "var", "std", "max", "min", "argmax", "argmin",
    "all", "any", "count_nonzero", "norm",
              "cumsum", "cumprod", "softmax", "log_softmax", "sort", "argsort", "median", "unbind"]  # fmt: skip
AXES = ["", "0", "1", "-1", "-2", "dim=0", "dim=-1", "axis=1", "1, keepdim=True", "dim=0, keepdim=True", "-1, True",
    "dim=(0, 1)", "(0,)", "[0, -1]",
        "dim=1, keepdims=True", "dim=None", "dim=()", "0, 1"]  # fmt: skip


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


# --------------------------------------------------------------------------------------------------- dtypes

OPERATORS = ["{} + {}", "{} * {}", "{} / {}", "{} - {}", "{} ** {}", "{} // {}", "{} % {}", "{} > {}", "{} == {}",
    "T.maximum({}, {})", "T.where({} > 0, {}, 1)",
             "T.atan2({}, {})"]  # fmt: skip
SCALARS = ["2", "2.5", "True", "T.tensor(2)", "T.tensor(2.5)", "T.tensor(2.5, dtype=T.float64)", "T.tensor(True)"]


def operand(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, 1 if dtype == "bool" else 3).astype(dtype)


def promotes_alike(program: str, names: dict[str, np.ndarray]) -> None:
    try:
        eval(program, {"T": torch, **{k: torch.from_numpy(v) for k, v in names.items()}})
    except (RuntimeError, TypeError):
        return  # PyTorch has no such kernel (subtracting bools, …)
    agree(program, names, rtol=2e-3)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("first", DTYPES.values())
def test_promotion_of_two_tensors(operator: str, first: str) -> None:
    for second in DTYPES.values():
        if "atan2" in operator and "uint8" in (first, second):
            continue  # PyTorch's gradient negates the uint8, and is wrong
        for shapes in (((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())):
            names = {"a": operand(first, shapes[0]), "d": operand(second, shapes[1])}
            promotes_alike(operator.format("a", "d"), names)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("first", DTYPES.values())
def test_promotion_with_numbers(operator: str, first: str) -> None:
    for scalar in SCALARS:
        for shape in ((2,), ()):
            if (operator, first, scalar) == ("{} ** {}", "bool", "True"):
                continue  # bool to the bool: int8, as in NumPy
            promotes_alike(operator.format("a", scalar), {"a": operand(first, shape)})
            if "where" not in operator and "maximum" not in operator and "atan2" not in operator:
                promotes_alike(operator.format(scalar, "a"), {"a": operand(first, shape)})


@pytest.mark.parametrize("dtype", DTYPES.values())
def test_result_dtypes_of_functions(dtype: str) -> None:
    for program in (
        "exp sqrt sin tanh sigmoid log abs neg square sign floor round reciprocal rsqrt erf expm1 relu sum prod mean max amax all any cumsum cumprod argmax "
        "count_nonzero float long bool double var std norm logsumexp softmax sort tril flip isnan isfinite logical_not median".split()
    ):
        if (program, dtype) in (("all", "uint8"), ("any", "uint8"), ("square", "bool"), ("sign", "bool")):
            continue  # PyTorch's answers are uint8, int64 and bool; NumPy's are kept
        argument = "0" if program in ("cumsum", "cumprod", "softmax", "logsumexp", "flip") else ""
        names = {"a": operand(dtype, (3,) if program != "tril" else (3, 3))}
        promotes_alike(f"a.{program}({argument})", names)
    for program in ("a @ a", "T.stack([a, a])", "T.cat([a, a.float()])", "T.cat([a, a.long()])",
        "T.where(a > 0, a, a)", "a.clamp(min=0)", "a.clamp(0, 2.5)", "T.clamp(a, 0, 2)",
                    "a.sum(0)", "a.masked_fill(a > 0, 2)", "T.dot(a, a)", "T.outer(a, a)", "a.max(0)",
                    "a.topk(2)[0]", "T.lerp(a, a, 0.5)", "a.addcmul(a, a)", "a ** 2", "a ** 0.5", "2 ** a",
                    "a ** -1"):  # fmt: skip
        promotes_alike(program, {"a": operand(dtype, (3,))})


# ------------------------------------------------------------------------------------------------- indexing

INDICES = [
    "0", "-1", "1, 2", "1, -1", "1:", ":1", "::2", ":, 1:3", ":, ::2", "..., 0", "0, ...", "None", ":, None",
    "None, ..., None", "..., None, 0", "0:0", "1:1, :", "()", "...",
    "[0, 1]", "[1, 0, 1]", "T.tensor([0, 1, 0])", "T.tensor(1)", "T.tensor([[0, 1], [1, 0]])", "np.array([1, 0])",
    "np.int64(1)",
    ":, [0, 2]", ":, T.tensor([2, 0, 0])", "[0, 1], [1, 2]", "T.tensor([0, 1]), T.tensor([1, 2])",
    "T.tensor([[0], [1]]), T.tensor([0, 2])", "0, [1, 2]", "[0, 1], 0",
    "..., [0, 1]", "[0, 1], ..., [0, 3]", "[0, 1], :, [0, 3]", ":, [0, 1], [2, 3]", "None, [0, 1]", "1:, [0, 1]",
    "T.tensor([-1, 0])", "[0], [1], [2]",
    "x > 0", "(x > 0) & (x < 1)", "T.tensor([True, False])", ":, T.tensor([True, False, True])", "[True, False]",
    "..., T.tensor([True, False, True, True])",
    "T.tensor([True, False]), 0", "T.tensor([True, True]), [0, 2]", "T.zeros(2, 3, dtype=T.bool)", "T.tensor(True)",
    "T.tensor(False)", "True", "np.array([True, False])",
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


# -------------------------------------------------------------------------------------------------- Function


def functions(module: Any) -> dict[str, Any]:
    class Split(module.autograd.Function):
        """Two outputs, one of them possibly unused."""

        @staticmethod
        def forward(ctx: Any, x: Any, k: float) -> Any:
            ctx.save_for_backward(x)
            ctx.k = k
            return x * k, x**2

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * ctx.k + h * 2 * x, None

    class Exp(module.autograd.Function):
        """Saves its output."""

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.saved_tensors[0]

    class Product(module.autograd.Function):
        """Asks which inputs need a gradient."""

        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            a, b = ctx.saved_tensors
            return (g * b if ctx.needs_input_grad[0] else None, g * a if ctx.needs_input_grad[1] else None)

    class Largest(module.autograd.Function):
        """An output that has no derivative."""

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            values, indices = x.max(1)
            ctx.mark_non_differentiable(indices)
            ctx.save_for_backward(x, indices)
            return values, indices

        @staticmethod
        def backward(ctx: Any, g: Any, _: Any) -> Any:
            x, indices = ctx.saved_tensors
            return module.zeros_like(x).scatter_add(1, indices.unsqueeze(1), g.unsqueeze(1))

    class Separate(module.autograd.Function):
        """forward without ctx."""

        @staticmethod
        def forward(x: Any, y: Any) -> Any:
            return x * y

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, y = ctx.saved_tensors
            return g * y, g * x

    class InPlace(module.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    class Same(module.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

    return {name: cls for name, cls in locals().items() if isinstance(cls, type)}


USES = {
    "both outputs": "(lambda a, b: a.sum() + (b * b).sum())(*Split.apply(x, 3.0))",
    "first output": "Split.apply(x, 3.0)[0].sum()",
    "second output": "(Split.apply(x, 3.0)[1] ** 2).sum()",
    "output used twice": "(lambda a, b: (a * a * b).sum() + a.sum())(*Split.apply(x, 3.0))",
    "saved output": "(Exp.apply(x) ** 2).sum()",
    "one of two inputs": "Product.apply(x, c).sum()",
    "the other input": "Product.apply(c, x).sum()",
    "both inputs": "(Product.apply(x, x) * c).sum()",
    "chain": "(Exp.apply(Exp.apply(x).sin()) * Split.apply(x, 2.0)[1]).sum()",
    "no derivative": "(Largest.apply(x)[0] ** 2).sum()",
    "setup_context": "(Separate.apply(x, c) * x).sum()",
    "in place": "(InPlace.apply(x * 1) * c).sum()",
    "identity": "(Same.apply(x) * c).sum()",
}


@pytest.mark.parametrize("use", USES)
def test_function_and_its_second_derivative(use: str) -> None:
    found = []
    for module in (torch, tg):
        x = module.from_numpy(ARRAYS["x"].copy()).requires_grad_()
        c = module.from_numpy(ARRAYS["y"].copy())
        y = eval(USES[use], {**functions(module), "x": x, "c": c})
        (g,) = module.autograd.grad(y, x, create_graph=True)
        second = module.autograd.grad((g * c).sum(), x)[0] if g.requires_grad and use not in ("first output",
            "identity", "in place") else g
        found.append([plain(y), plain(g), plain(second)])
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_once_differentiable_refuses_the_second_derivative() -> None:
    for module in (torch, tg):

        class Cube(module.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(x)
                return x**3

            @staticmethod
            @module.autograd.function.once_differentiable
            def backward(ctx: Any, g: Any) -> Any:
                return g * 3 * ctx.saved_tensors[0] ** 2

        x = module.tensor(2.0, requires_grad=True)
        (g,) = module.autograd.grad(Cube.apply(x), x)
        assert g.item() == 12
        (g,) = module.autograd.grad(Cube.apply(x) * x, x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            g.backward()


def test_functions_that_go_wrong() -> None:
    class Few(tg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            return a * b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    class Shape(Few):
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g[:1], g

    class Kind(Few):
        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return "g", g

    a, b = tg.ones(2, requires_grad=True), tg.ones(2, requires_grad=True)
    for wrong, named in ((Few, "1 gradients for 2"), (Shape, r"\(1,\).*\(2,\)"), (Kind, "str")):
        with pytest.raises(tg.TensorError, match=named):
            wrong.apply(a, b).sum().backward()
    assert a.grad is None
    with pytest.raises(tg.TensorError, match="forward"):
        tg.autograd.Function.apply(a)


# ---------------------------------------------------------------------------------------- derivatives of functions

WHOLE = {
    "jacobian": ["F.jacobian(lambda x: x.exp() * x.sum(), x)", "F.jacobian(lambda x, v: (x * v).sum(1), (x, v))",
    "F.jacobian(lambda x: (x.sin(), x.sum()), x)",
                 "F.jacobian(lambda x: x.sum(), x)", "F.jacobian(lambda v: T.ones(2, dtype=T.float64), v)"],
    "hessian": ["F.hessian(lambda x: (x**3).sum(), x)", "F.hessian(lambda x, v: ((x * v) ** 2).sum(), (x, v))",
    "F.hessian(lambda v: v.prod(), v)"],
    "vjp": ["F.vjp(lambda x: x.exp(), x, y)", "F.vjp(lambda x, v: x * v, (x, v), y)", "F.vjp(lambda x: x.sum(), x)",
    "F.vjp(lambda x: (x * 2, x.sum()), x, (y, s))"],
    "jvp": ["F.jvp(lambda x: x.exp(), x, y)", "F.jvp(lambda x, v: x @ v, (x, v), (y, v))",
    "F.jvp(lambda s: s * 2, s)", "F.jvp(lambda x: (x.sin(), x.sum()), x, y)"],
    "hvp": ["F.hvp(lambda x: (x**3).sum(), x, y)", "F.hvp(lambda x, v: ((x * v) ** 3).sum(), (x, v), (y, v))"],
    "vhp": ["F.vhp(lambda x: (x**3).sum(), x, y)"],
}  # fmt: skip


@pytest.mark.parametrize("program", [p for programs in WHOLE.values() for p in programs])
def test_derivatives_of_functions(program: str) -> None:
    found = []
    for module in (torch, tg):
        scope = {k: module.from_numpy(v.copy()) for k, v in ARRAYS.items()}
        found.append(parts(eval(program, {"T": module, "F": module.autograd.functional, **scope})))
    assert len(found[0]) == len(found[1])
    for theirs, ours in zip(*found, strict=True):
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert ours.requires_grad == theirs.requires_grad
        np.testing.assert_allclose(plain(ours), plain(theirs), rtol=1e-10, atol=1e-12)


def test_derivatives_of_functions_with_a_graph() -> None:
    found = []
    for module in (torch, tg):
        x = module.from_numpy(ARRAYS["v"].copy()).requires_grad_()
        jac = module.autograd.functional.jacobian(lambda x: x**3, x, create_graph=True)
        (jac**2).sum().backward()
        found.append(plain(x.grad))
    np.testing.assert_allclose(found[1], found[0])


# --------------------------------------------------------------------------------------------------- printing

PRINTED = """
T.tensor(1.0); T.tensor(1); T.tensor(True); T.tensor([]); T.zeros(0, 3); T.zeros(2, 0); T.tensor([1.0, 2.0])
T.tensor([1.5, 2.25]); T.tensor([0.1, 100.0]); T.tensor([1e-5, 1.0]); T.tensor([1e10, 1.0]); T.tensor([1e-10])
T.tensor([float('nan'), 1.0]); T.tensor([float('inf'), -1.5]); T.tensor([float('inf')]); T.tensor([-0.0, 0.0])
T.tensor([1, 200, -3]); T.tensor([True, False]); T.tensor([[1.0, 2.0], [3.0, 4.5]]); T.ones(2, 3, 4); T.arange(5)
T.arange(30); T.arange(1001); T.arange(2000).reshape(40, 50)
T.arange(30.0); T.arange(30.0) / 7; T.ones(2, dtype=T.float64); T.ones(2, dtype=T.int32); T.ones(2, dtype=T.float16)
T.ones(2, dtype=T.uint8); T.ones(2, requires_grad=True); T.ones(2, requires_grad=True) * 2
T.ones(2, requires_grad=True).tanh(); T.ones(2, requires_grad=True).exp()
T.ones(2, requires_grad=True).sum(); T.ones(2, 2, requires_grad=True).sigmoid(); T.ones(2, requires_grad=True) + 1
T.ones(2, requires_grad=True) / 3; -T.ones(2, requires_grad=True); T.ones(2, requires_grad=True) - 1
T.ones(2, requires_grad=True).relu(); T.ones(2, requires_grad=True).mean()
T.tensor([0.00012, 1.0]); T.tensor([1e8, 1.0]); T.tensor([123456.0, 0.5]); T.tensor([1234567.0])
T.tensor([99999999.0]); T.tensor([1e9]); T.tensor([0.5]); T.tensor(3.14159265, dtype=T.float64)
T.tensor([1000.0, 0.1]); T.tensor([1001.0, 1.0]); T.tensor([2.0, 3.0]) ** 20; T.tensor([[1e-3, 5.0], [-2.5, 1e3]])
T.eye(3); T.linspace(0, 1, 50); T.zeros(3, 3, dtype=T.bool); T.zeros(1, 1, 1, 1); T.ones(7, 7)
T.arange(10000.0).reshape(100, 100); T.full((1200,), 0.5); T.ones(3, 400); T.ones(2, 2, 2, 300); T.tensor(-1.5)
T.tensor(1e-7); T.tensor(float('nan')); T.tensor([[], []]); T.tensor([5e-324 * 0, 1e-38]); T.ones(2).double() * 1e-3
T.log(T.tensor([0.0, 1.0, 2.0])); T.tensor([1.0, 2.0], dtype=T.float64, requires_grad=True)
"""


@pytest.mark.parametrize("program", [p.strip() for line in PRINTED.strip().splitlines() for p in line.split(";")])
def test_printing(program: str) -> None:
    """As PyTorch prints it, but grad_fn=<TanhBackward> without the 0 (and dtypes by NumPy's names)."""
    theirs = repr(eval(program, {"T": torch})).replace("torch.", "").replace("Backward0>", "Backward>")
    with np.errstate(divide="ignore"):
        ours = repr(eval(program, {"T": tg}))
    assert ours == theirs


SHOWN = st.floats(-1e6, 1e6, width=32) | st.integers(-5,
    5).map(float) | st.sampled_from([np.inf, -np.inf, np.nan, 1e-8, 123456789.0])


@given(st.lists(SHOWN, min_size=1, max_size=8))
def test_printing_of_any_numbers(values: list[float]) -> None:
    array = np.asarray(values, np.float32)
    assert repr(tg.from_numpy(array)) == repr(torch.from_numpy(array))
