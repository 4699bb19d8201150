"""One program on both sides: `agree(text)` runs it with `T` the package and with `T` PyTorch, and compares all.

Values, shapes, result dtypes, `requires_grad`, and the gradients of everything that the program names.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg

torch = pytest.importorskip("torch")

DTYPES = {
    "f16": "float16", "f32": "float32", "f64": "float64", "i8": "int8", "i32": "int32", "i64": "int64",
    "u8": "uint8", "b": "bool",
}  # fmt: skip
RNG = np.random.default_rng(0)
ARRAYS = {
    "x": RNG.normal(size=(2, 3)), "y": RNG.normal(size=(2, 3)), "v": RNG.normal(size=3),
    "m": RNG.normal(size=(3, 4)), "s": np.array(0.7), "q": RNG.normal(size=(3, 3)), "b": RNG.normal(size=(2, 3, 4)),
    "p": RNG.uniform(0.3, 2.0, (2, 3)), "e": np.zeros((0, 3)),
    "ties": np.array([[1.0, 2.0, 2.0], [0.0, 0.0, -1.0]]), "z": np.array([[0.0, 3.0, 0.0], [2.0, 0.0, -4.0]]),
    "one": np.ones((1, 1)), "c": RNG.normal(size=(2, 1, 3, 2)),
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
