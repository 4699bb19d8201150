"""Every operation of the REGISTRY that PyTorch has too, on 0-d, empty and usual tensors, with good and bad arguments.

What PyTorch answers, the package answers alike, gradient included; what it refuses may raise, but only errors of ours.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp.declare import REGISTRY
from tinygrad_bp.errors import TensorError

torch = pytest.importorskip("torch")

NAMES = sorted(n for n in REGISTRY if hasattr(torch, n) and hasattr(tg, n) and not REGISTRY[n].internal)
SHAPES: list[tuple[int, ...]] = [(), (0,), (2, 0), (3,), (2, 3)]
ARGUMENTS: list[tuple[Any, ...]] = [
    (), (0,), (-1,), (1,), (-2,), (2,), ((),), ((0,),), ((0, 1),), ((0, 0),), (0, True), (-1, True), (0.5,), (0, 0),
    (0, 1), ("a",), (None,),
]  # fmt: skip
POSITIONAL = ("add", "sub", "diag_embed")  # PyTorch's old signatures: alpha, dim1 and dim2 in place
INFINITE = ("var", "std")  # over no axis named: PyTorch divides the gradient by 0
UNGRADED = ("norm",)  # the 0-norm has no gradient there, and the gradient 0 here


def answer(module: Any, name: str, shape: tuple[int, ...], args: tuple[Any, ...]) -> Any:
    """(arrays, gradient), None where it is refused."""
    x = module.tensor(np.arange(1.0, 1 + np.prod(shape)).reshape(shape).astype(np.float32), requires_grad=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = getattr(module, name)(x, *args)
            found = list(found) if isinstance(found, tuple | list) else [found]
            if any(y.requires_grad for y in found):
                sum(y.sum() for y in found if y.requires_grad).backward()
    except TensorError:
        return None
    except Exception as error:
        if module is tg and not (isinstance(error, TypeError) and "positional argument" in str(error)):
            raise
        return None
    return [np.array(y.detach().numpy()) for y in found], None if x.grad is None else np.array(x.grad.numpy())


@pytest.mark.parametrize("name", NAMES)
def test_arguments(name: str) -> None:
    for shape in SHAPES:
        for args in ARGUMENTS:
            told = f"{name} of shape {shape} with {args}"
            ours, theirs = answer(tg, name, shape, args), answer(torch, name, shape, args)
            if theirs is None or (name in POSITIONAL and len(args) > 1) or (name == "roll" and shape == (0,)):
                continue
            assert ours is not None, f"{told} is refused; PyTorch gives {theirs}"
            assert [(a.shape, a.dtype) for a in ours[0]] == [(a.shape, a.dtype) for a in theirs[0]], told
            for mine, other in zip(ours[0], theirs[0], strict=True):
                np.testing.assert_allclose(mine, other, rtol=1e-4, err_msg=told)
            if not (name in INFINITE and args == ((),)) and not (name in UNGRADED and args[:1] == (0,)):
                assert (ours[1] is None) == (theirs[1] is None), told
                if ours[1] is not None:
                    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-3, err_msg=told)


VALUES = {
    "i": np.array([1, 2, 3, 4]), "j": np.array([2, 2, -2, 3]), "z": np.array([0, 1, 1, 2]),
    "u": np.array([1, 2, 250, 255], np.uint8), "b": np.array([True, False, True, True]),
    "c": np.array([-3, 100], np.int8),
    "f": np.array([1.5, -2.0, 3.0, 4.0], np.float32), "h": np.array([1.5, 2.0], np.float16), "k": np.array(2),
    "m": np.arange(6.0, dtype=np.float32).reshape(2, 3), "s": np.array(5.0, np.float32), "e": np.zeros(0, np.float32),
    "one": np.array([3.0], np.float32),
}  # fmt: skip
PROGRAMS = """
i.pow(2.0); i ** 2.0; i ** 0.5; i ** 2; i ** -1; u ** 2.0; b ** 2.0; b ** 2; k ** 2.0; 2.0 ** i; i.pow(k); i.pow(0.0)
i.div(j, rounding_mode="trunc"); (-i).div(j, rounding_mode="trunc"); (-i).div(2, rounding_mode="trunc")
i.div(2, rounding_mode="floor"); i.div(2.0, rounding_mode="trunc"); u.div(u, rounding_mode="trunc")
f.div(2, rounding_mode="trunc"); i.div(f, rounding_mode="trunc"); T.div(i, j, rounding_mode="trunc"); f.div(0.0)
i // 0; i % 0; i // z; i % z; 2 // z; 2 % z; u // 0; i.remainder(0); i.div(z, rounding_mode="floor")
i.div(z, rounding_mode="trunc"); i.div(0, rounding_mode="trunc"); f // 0; f % 0; i // 0.0; i // 2; i % 2; i // j; i % j
m.flip(()); m.flip([]); m.flip(0); m.flip((0, 1)); T.flip(m, ()); s.flip(0); s.flip(()); m.flip(0, 0); m.flip(2)
m.roll(1); m.roll((1, 2), (0, 1)); m.roll((1, 2), 0); m.roll(1, (0, 1)); m.roll([1], [0]); m.roll((1, 2)); m.roll(1, 2)
m.roll((1, 1), (0, 0)); m.roll(()); m.roll(1, ()); s.roll(1); e.roll(1); m.roll(7, 1); m.roll(1.5)
f.clip(None, None); f.clamp(); f.clamp(min=0); i.clamp(min=k); i.clamp(max=j); i.clamp(min=f); i.clamp(0.5, 2.5)
i.clamp(min=0.5); u.clamp(max=300); f.clamp(2, 1); i.clamp(k, 3); u.clamp(3, 200)
f.std(correction=4); f.std(correction=5); f.var(correction=4); f.std(0, correction=9); m.var(1, correction=3)
one.std(); one.var(); s.std(); s.var(correction=0); e.var(); m.std(0, correction=2); f.std(False); f.std(correction=0.5)
u + 300; u - 300; u * -1; u + (-1); 300 - u; u * 256; u // 300; u % 300; u & 300; u ^ 300; c + 200; c * 1000; c - 128
u + 2 ** 70; i + 2 ** 63; u == 300; u + 1.5; u.add_(300); u.sub_(300); u.masked_fill(b, 300); u.masked_fill(b, -1)
T.where(b, u, 300); T.where(b, 300, u); u.fill_(300); u.fill_(-1); T.full((2,), 300, dtype=T.uint8); T.full_like(u, 300)
T.tensor([300], dtype=T.uint8); T.tensor([-1], dtype=T.uint8); T.tensor([2 ** 40], dtype=T.int32)
T.einsum(m, [0, 1], [1, 0]); T.einsum(m, [0, 1], f[:3], [1]); T.einsum(m, [1, 0], m, [1, 2], [0, 2])
T.einsum(m, [..., 1], [..., 1]); T.einsum(m, [0, 0]); T.einsum(m, [27, 3]); T.einsum(m, [0, 1], [60]); T.einsum(m)
T.einsum(m, [0]); T.einsum(m, 0); T.einsum("ij->ji", m); T.einsum([0, 1], m)
"""


@pytest.mark.parametrize("program", [part.strip() for part in PROGRAMS.replace("\n", ";").split(";") if part.strip()])
def test_dtypes_and_limits(program: str) -> None:
    def run(module: Any) -> Any:
        scope = {name: module.from_numpy(value.copy()) for name, value in VALUES.items()}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                y = eval(program, {"T": module, **scope})
        except TensorError:
            return None
        except Exception:
            if module is tg:
                raise
            return None
        return np.array(y.numpy())

    ours, theirs = run(tg), run(torch)
    if theirs is None or ours is None:
        assert ours is theirs, f"refused by one: ours {ours}, PyTorch's {theirs}"
        return
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_foreign_byte_orders_become_native() -> None:
    a = np.arange(3, dtype=">f4")
    x = tg.ones(3)
    made = [
        tg.tensor(a), tg.from_numpy(a), tg.as_tensor(a), tg.Tensor(a), tg.nn.Parameter(a), tg.tensor([a, a]), x * a,
        a * x, np.add(a, x), tg.sin(a), tg.sum(a), tg.softmax(a, 0), tg.cat([a, a]), tg.stack([a, a]),
        tg.where(a > 0, a, a),
        tg.matmul(a, a), x[a.astype(">i8")], x.to(">f8"), tg.zeros(2, dtype=">f8"), tg.full((2,), 1, dtype=">i4"),
        tg.arange(3, dtype=">i4"), tg.linspace(0, 1, 3, dtype=">f4"), tg.eye(2, dtype=">f4"),
        tg.zeros_like(x, dtype=">f4"),
    ]  # fmt: skip
    assert all(y.array.dtype.isnative for y in made)
    x.data = a
    assert x.array.dtype.isnative
    assert x.tolist() == [0, 1, 2]
