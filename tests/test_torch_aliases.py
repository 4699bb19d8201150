"""Who looks into the memory of its input, who is its input, and who is a copy: as in PyTorch, call by call.

A view where PyTorch copies is silently wrong at the next write in place, and so is a copy where PyTorch has a view.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg

torch = pytest.importorskip("torch")

CALLS = """
x[...] | x[:] | x[None] | x[0] | x[[0]] | x[x < 9] | x[T.tensor(True)] | x[True] | x[()] | x[..., 0] | x[..., ::2]
x[-1:] | x.view(-1) | x.view(x.shape) | x.view_as(x) | x.reshape(-1) | x.reshape(x.shape) | x.reshape_as(x)
x.flatten() | x.ravel() | x.squeeze() | x.squeeze(0) | x.unsqueeze(0) | x.expand(x.shape) | x.expand(2, *x.shape)
x.expand_as(x) | x.unflatten(0, (1, -1)) | x.T | x.mT | x.t() | x.transpose(0, -1) | x.transpose(0, 0)
x.swapaxes(0, -1) | x.movedim(0, -1) | x.moveaxis(0, 0) | x.permute(tuple(range(x.ndim))) | x.diagonal()
x.unbind(0)[0] | x.split(1)[0] | x.split(99)[0] | x.chunk(1)[0] | x.narrow(0, 0, 1) | x.select(0, 0)
x.unfold(0, 1, 1) | x.broadcast_to(x.shape) | x.broadcast_to((2, *x.shape)) | x.sum_to_size(x.shape)
T.broadcast_tensors(x, x)[0] | T.atleast_1d(x) | T.atleast_2d(x) | T.ravel(x) | T.flatten(x) | x.to(T.float64)
x.double() | x.float() | x.type_as(x) | x.contiguous() | x.clone() | x.detach() | x.data | x.cpu()
x.requires_grad_() | x.real | +x | x.positive() | T.tensor(x) | T.as_tensor(x) | T.asarray(x) | copy.copy(x)
x.sum(()) | x.sum(0) | x.mean(0) | x.prod(0) | x.prod() | x.amax(0) | x.max() | x.max(0).values | x.min(-1).values
x.norm() | x.sort(0).values | x.sort(-1, descending=True).values | x.topk(1, 0).values | x.cumsum(0) | x.cumprod(0)
x.logsumexp(0) | x.median() | x.gather(-1, T.zeros((1,) * x.ndim, dtype=T.int64))
x.take_along_dim(T.zeros((1,) * x.ndim, dtype=T.int64), -1) | x.index_select(0, T.tensor([0]))
x.masked_select(x < 9) | x.masked_fill(x > 9, 0.0) | T.where(x < 9, x, x) | x.lerp(x, 0.5) | x.flip(0) | x.flip(())
x.roll(0, 0) | x.roll(1, 0) | x.rot90(0) | x.repeat(1) | x.repeat(2, 1, 1) | x.repeat(1, 1, 1) | x.tile((1,))
x.tile((2, 1, 1)) | x.repeat_interleave(1, 0) | x.tril() | x.triu() | x.clamp(None, 9.0) | x.abs() | x.relu()
x.round() | x.floor() | x.nan_to_num() | x * 1 | x + 0 | x - 0 | x / 1 | x ** 1 | x.pow(1) | T.maximum(x, x)
x.softmax(0) | T.cat([x]) | T.stack([x]) | T.cat([x, x[:0]]) | T.hstack([x]) | T.vstack([x]) | T.diag(x)
T.outer(x, x) | T.tensordot(x, x, 0) | T.einsum("...->...", x) | T.einsum("i->i", x) | T.einsum("ij->ij", x)
T.einsum("ij->ji", x) | T.einsum("ii->i", x) | F.dropout(x, 0.5, training=False) | F.dropout(x, 0.0)
F.pad(x, (0, 0)) | F.relu(x) | F.leaky_relu(x) | F.elu(x) | F.hardtanh(x, -9, 9) | F.normalize(x, dim=0)
T.nn.Identity()(x) | T.nn.Flatten()(x) | T.nn.Sequential()(x) | T.nn.Dropout(0.5).eval()(x)
""".replace("\n", " | ").split(" | ")[1:-1]
LAYOUTS = {
    "0-d": np.array(1.5), "one": np.array([1.5]), "vector": np.array([1.5, 2.0, 0.5, 1.0]),
    "matrix": np.array([[1.0, 2.0], [3.0, 4.0]]), "row": np.array([[1.0, 2.0]]),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(8.0)[::2], "part": np.arange(12.0).reshape(3, 4)[:, 1:3],
    "cube": np.arange(12.0).reshape(2, 2, 3),
}  # fmt: skip


def relation(library: Any, call: str, array: np.ndarray, graph: bool) -> str:
    """How the result of a call lies to its input x."""
    x = library.from_numpy(array)
    x = x.requires_grad_()[...] if graph else x
    result = eval(call, {"T": library, "F": library.nn.functional, "x": x, "copy": copy})
    if result is x:
        return "x itself"
    told = f"of shape {tuple(result.shape)}"
    a, b = result.detach().numpy(), x.detach().numpy()
    if not np.shares_memory(a, b):
        return f"a copy {told}"
    return f"a view {told}, strides {[step for n, step in zip(a.shape, a.strides, strict=True) if n > 1]}"


def lacks(call: str) -> bool:
    """Whether this package has no such function or method."""
    owner, _, name = call.partition("(")[0].rpartition(".")
    return owner in ("x", "T") and not hasattr(tg.Tensor if owner == "x" else tg, name)


@pytest.mark.parametrize("call", [call for call in dict.fromkeys(CALLS) if not lacks(call)])
@pytest.mark.filterwarnings("ignore")
def test_the_result_lies_to_its_input_as_in_pytorch(call: str) -> None:
    expected, found = {}, {}
    for layout, array in LAYOUTS.items():
        for graph in (False, True):
            if layout == "0-d" and "sum_to_size" in call:
                continue  # a copy of a single number there, and the number itself here
            try:
                expected[layout, graph] = relation(torch, call, array, graph)
            except (RuntimeError, IndexError, TypeError, ValueError):
                continue  # PyTorch has no such form of this layout
            found[layout, graph] = relation(tg, call, array, graph)
    assert expected
    assert found == expected
