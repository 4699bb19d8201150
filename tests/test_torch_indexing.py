"""Random indices against PyTorch: what is read, what is written, and the first and second gradients of both.

Ints beside tensors, masks, lists, arrays, None, … and bare truths, in every order: where the dimensions of the names
stand is PyTorch's rule, and not NumPy's.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinygrad_bp as tg
from tinygrad_bp.errors import TensorError

torch = pytest.importorskip("torch")
Draw = Any


@st.composite
def keys(draw: Draw) -> tuple[tuple[int, ...], list[tuple[str, Any]]]:
    """A shape, and the parts of an index for it: (kind, plain value)."""
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    names = draw(st.sampled_from([(), (2,), (1, 2), (0,)]))  # the shape in which the names meet
    parts: list[tuple[str, Any]] = []
    i = 0
    while i < len(shape):
        n, kind = shape[i], draw(st.sampled_from(["int", "slice", "name", "name", "mask", "none", "truth", "stop"]))
        if kind == "stop" or (kind in ("int", "name") and n == 0):
            break
        if kind == "int":
            parts.append((draw(st.sampled_from(["int", "np.int64", "0-d tensor"])), draw(st.integers(-n, n - 1))))
        elif kind == "slice":
            ends = st.none() | st.integers(-n - 1, n + 1)
            parts.append(("slice", slice(draw(ends), draw(ends), draw(st.sampled_from([None, 1, 2])))))
        elif kind == "name":
            sizes = names[draw(st.integers(0, len(names))) :]
            sizes = tuple(draw(st.sampled_from([1, k])) for k in sizes)
            values = draw(st.lists(st.integers(-n, n - 1), min_size=int(np.prod(sizes)), max_size=int(np.prod(sizes))))
            how = draw(st.sampled_from(["tensor", "array", "list"] if len(sizes) == 1 else ["tensor", "array"]))
            parts.append((how, np.array(values, np.int64).reshape(sizes)))
        elif kind == "mask":
            dims = draw(st.integers(1, min(2, len(shape) - i)))
            size = int(np.prod(shape[i : i + dims]))
            values = draw(st.lists(st.booleans(), min_size=size, max_size=size))
            how = draw(st.sampled_from(["tensor", "array"]))
            how = how if size and dims == 1 else "tensor"  # PyTorch counts an array beside … as one dimension
            parts.append((how, np.array(values, bool).reshape(shape[i : i + dims])))
            i += dims - 1
        else:
            parts.append((kind, draw(st.booleans())))
        i += kind not in ("none", "truth")
    if draw(st.booleans()):  # … in place of a run of slices, or of nothing
        parts += [("slice", slice(None))] * (len(shape) - i)
        start = end = draw(st.integers(0, len(parts)))
        while end < len(parts) and parts[end][0] == "slice" and draw(st.booleans()):
            end += 1
        parts[start:end] = [("dots", None)]
    return shape, parts


def built(module: Any, parts: list[tuple[str, Any]]) -> Any:
    make = {
        "int": int, "np.int64": np.int64, "slice": lambda v: v, "none": lambda v: None, "truth": bool,
        "dots": lambda v: Ellipsis, "list": lambda v: v.tolist(), "array": lambda v: v.copy(),
        "tensor": lambda v: module.from_numpy(v.copy()), "0-d tensor": module.tensor,
    }  # fmt: skip
    key = tuple(make[kind](value) for kind, value in parts)
    return key[0] if len(key) == 1 else key


def attempt(module: Any, run: Any) -> Any:
    """The arrays that `run` gives, or None where it raises; anything but an error of ours is a fault."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = run(module)
    except TensorError:
        return None
    except Exception:
        if module is tg:
            raise
        return None
    return [np.array(r.detach().numpy()) for r in results]


def same(run: Any) -> None:
    """What PyTorch does is done alike; what it refuses (a mask that fits nothing, where nothing is) may be allowed."""
    ours, theirs = attempt(tg, run), attempt(torch, run)
    if theirs is None:
        return
    assert ours is not None, f"refused; PyTorch gives {theirs}"
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == other.shape
        np.testing.assert_allclose(mine, other, rtol=1e-12)


def numbers(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).normal(size=shape))


AWKWARD = [
    ((2, 3, 4), [("int", 0), ("slice", slice(None)), ("list", np.array([0, 1]))]),
    ((2, 3, 4, 5), [("slice", slice(None)), ("int", 0), ("slice", slice(None)), ("tensor", np.array([0, 1]))]),
    ((2, 3, 4), [("none", None), ("int", 0), ("slice", slice(None)), ("array", np.array([0, 1]))]),
    ((2, 3, 4), [("0-d tensor", 1), ("dots", None), ("tensor", np.array([[0], [1]]))]),
    ((2, 3, 4), [("int", 0), ("truth", True), ("dots", None), ("tensor", np.array([1, 1]))]),
    ((2, 3), [("none", None), ("tensor", np.array([0])), ("dots", None), ("tensor", np.array([1]))]),
    ((), [("truth", False)]),
]


def with_examples(*more: Any) -> Any:
    def decorate(test: Any) -> Any:
        for case in AWKWARD:
            test = example(case, *more)(test)
        return test

    return decorate


@with_examples()
@settings(max_examples=300)
@given(keys())
def test_reading(case: Any) -> None:
    shape, parts = case

    def run(module: Any) -> Any:
        x = module.from_numpy(numbers(shape)).requires_grad_()
        y = x[built(module, parts)]
        loss = (y.sin() * module.from_numpy(numbers(tuple(y.shape), 1))).sum()
        (g,) = module.autograd.grad(loss, x, create_graph=True)
        (gg,) = module.autograd.grad((g * module.from_numpy(numbers(shape, 2))).sum(), x)
        return y, g, gg

    same(run)


@with_examples("same", True)
@settings(max_examples=300)
@given(keys(), st.sampled_from(["same", "number", "0-d", "leading ones", "last", "wrong"]), st.booleans())
def test_writing(case: Any, kind: str, graph: bool) -> None:
    shape, parts = case
    found = attempt(torch, lambda module: [module.zeros(shape)[built(module, parts)]])
    if found is None or (kind == "wrong" and ("truth", False) in parts):  # x[False] = v does not look at v
        return
    target = found[0].shape
    sizes = {
        "same": target, "0-d": (), "leading ones": (1, 1, *target), "last": target[-1:], "wrong": (*target, 7),
    }.get(kind)  # fmt: skip
    names = np.arange(int(np.prod(shape))).reshape(shape)
    seen = attempt(torch, lambda module: [module.from_numpy(names)[built(module, parts)]])[0]
    if len(np.unique(seen)) < seen.size and kind != "number":
        return  # which of several values stays is not said

    def run(module: Any) -> Any:
        x = module.from_numpy(numbers(shape)).requires_grad_(graph)
        v = 2.5 if sizes is None else module.from_numpy(numbers(sizes, 1)).requires_grad_(graph)
        y = x.clone()
        y[built(module, parts)] = v
        if not graph:
            return (y,)
        inputs = (x,) if sizes is None else (x, v)
        loss = (y.sin() * module.from_numpy(numbers(shape, 2))).sum()
        first = module.autograd.grad(loss, inputs, create_graph=True)
        second = sum((g * g).sum() for g in first)
        return y, *first, *module.autograd.grad(second, inputs)

    same(run)


def test_a_list_of_lists_is_a_tuple_and_says_so() -> None:
    x = tg.tensor(np.arange(12.0).reshape(3, 4))
    with pytest.warns(UserWarning, match="tuple"):
        y = x[[[0, 1], [1, 0]]]
    np.testing.assert_array_equal(y.array, [1.0, 4.0])
