"""NumPy on the left: `ndarray * t`, `np.exp(t)`, `np.sum(t, axis=0)` are the package's operations, with gradients.

And every way out of the graph is loud: a tensor that requires a gradient never becomes an array unnoticed.
"""

from __future__ import annotations

import copy
import inspect
import operator
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg

A = np.array([[1.1, -2.2, 3.3], [0.6, 4.4, -1.7]])
B = np.array([[2.0, 1.0, -1.0], [3.0, 0.5, 2.0]])


def leaf(array: Any = A) -> Any:
    return tg.tensor(array, requires_grad=True)


def gradient(f: Callable[[Any], Any]) -> np.ndarray:
    x = leaf()
    y = f(x)
    assert isinstance(y, tg.Tensor), type(y)
    assert y.requires_grad
    y.backward(np.full(tuple(y.shape), 1.5))
    return x.grad.numpy()


OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod]


@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("left",
    [B, B[0], B[:, :1], np.float64(2), np.float32(2), np.int64(2), np.array(2.0), 2, 2.5, True], ids=repr)
def test_anything_of_numpys_on_either_side(op: Any, left: Any) -> None:
    for f, twin in ((lambda x: op(left, x), lambda x: op(tg.tensor(left), x)),
        (lambda x: op(x, left), lambda x: op(x, tg.tensor(left)))):
        x = leaf()
        y = f(x)
        assert isinstance(y, tg.Tensor)
        assert y.dtype == tg.float64
        np.testing.assert_allclose(y.array, twin(x).array)
        np.testing.assert_allclose(gradient(f), gradient(twin))


def test_powers_and_products_from_the_left() -> None:
    np.testing.assert_allclose(gradient(lambda x: np.array(2.0) ** x), 1.5 * 2**A * np.log(2))
    np.testing.assert_allclose(gradient(lambda x: np.float64(2) ** x), 1.5 * 2**A * np.log(2))
    np.testing.assert_allclose(gradient(lambda x: B.T @ x), B @ np.full((3, 3), 1.5))
    np.testing.assert_allclose(gradient(lambda x: x @ B.T), np.full((2, 2), 1.5) @ B)
    np.testing.assert_allclose(gradient(lambda x: np.ones(2) @ x), np.full((2, 3), 1.5))


@pytest.mark.parametrize("op", [operator.lt, operator.le, operator.eq, operator.ne, operator.ge, operator.gt])
@pytest.mark.parametrize("left", [B, np.float64(1), 1, np.array(0.5)], ids=repr)
def test_comparisons_give_bool_tensors(op: Any, left: Any) -> None:
    for y, expected in ((op(left, leaf()), op(left, A)), (op(leaf(), left), op(A, left))):
        assert isinstance(y, tg.Tensor)
        assert y.dtype == tg.bool
        assert not y.requires_grad
        assert (y.array == expected).all()


def test_weak_scalars_keep_float32() -> None:
    x = tg.ones(2, requires_grad=True)
    assert all((y.dtype == tg.float32) for y in (np.float64(2) * x, x * np.float64(2), 2.5 * x, x + np.int64(1),
        np.float64(1) / x))
    assert (np.ones(2) * x).dtype == tg.float64
    assert (np.ones(2, np.float32) * x).dtype == tg.float32


UNARY = [
    np.exp, np.tanh, np.sin, np.cos, np.arctan, np.negative, np.absolute, np.square, np.sinh, np.cosh, np.arcsinh,
    np.expm1, np.exp2, np.sign, np.floor, np.positive, np.abs, np.tan, np.rint, np.trunc, np.ceil,
]  # fmt: skip


@pytest.mark.parametrize("f", UNARY, ids=lambda f: f.__name__)
def test_ufuncs(f: Any) -> None:
    x = leaf()
    if f is np.rint:
        assert isinstance(f(x.detach()), tg.Tensor)
        return
    np.testing.assert_allclose(f(x).array, f(A))
    h = 1e-6
    np.testing.assert_allclose(gradient(f), 1.5 * (f(A + h) - f(A - h)) / (2 * h), rtol=1e-6, atol=1e-6)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: np.sum(x), "sum 0": lambda x: np.sum(x, axis=0),
    "sum keep": lambda x: np.sum(x, axis=1, keepdims=True), "sum two": lambda x: np.sum(x, axis=(0, 1)),
    "sum -1": lambda x: np.sum(x, -1), "mean": lambda x: np.mean(x), "mean 1": lambda x: np.mean(x, axis=1),
    "max": lambda x: np.max(x), "max 0": lambda x: np.max(x, axis=0), "min": lambda x: np.min(x, axis=1),
    "amax": lambda x: np.amax(x, 1), "prod": lambda x: np.prod(x, axis=1), "prod all": lambda x: np.prod(x),
    "var": lambda x: np.var(x, axis=0), "var ddof": lambda x: np.var(x, axis=1, ddof=1), "std": lambda x: np.std(x),
    "std keep": lambda x: np.std(x, axis=1, ddof=1, keepdims=True), "reshape": lambda x: np.reshape(x, (3, 2)),
    "reshape -1": lambda x: np.reshape(x, -1), "ravel": lambda x: np.ravel(x),
    "transpose": lambda x: np.transpose(x), "transpose axes": lambda x: np.transpose(x, (1, 0)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1), "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "expand_dims": lambda x: np.expand_dims(x, 1), "expand_dims -1": lambda x: np.expand_dims(x, -1),
    "squeeze": lambda x: np.squeeze(x[None]), "broadcast_to": lambda x: np.broadcast_to(x, (4, 2, 3)),
    "concatenate": lambda x: np.concatenate([x, B]), "concatenate 1": lambda x: np.concatenate((B, x), axis=1),
    "stack": lambda x: np.stack([x, x * 2]), "stack 1": lambda x: np.stack([B, x], axis=1),
    "vstack": lambda x: np.vstack([x, B]), "hstack": lambda x: np.hstack([x, B]),
    "where": lambda x: np.where(A > 0, x, B), "where 0": lambda x: np.where(B > 0, x, 0.0),
    "clip": lambda x: np.clip(x, -1, 2), "clip low": lambda x: np.clip(x, 0, None),
    "maximum": lambda x: np.maximum(x, 0), "minimum": lambda x: np.minimum(B, x), "dot": lambda x: np.dot(x, B.T),
    "matmul": lambda x: np.matmul(B.T, x), "outer": lambda x: np.outer(x[0], B[0]),
    "tensordot": lambda x: np.tensordot(x, B, axes=((1,), (1,))), "einsum": lambda x: np.einsum("ij,kj->ik", x, B),
    "einsum left": lambda x: np.einsum("ij,kj->ik", B, x), "cumsum": lambda x: np.cumsum(x, axis=1),
    "cumsum flat": lambda x: np.cumsum(x), "cumprod": lambda x: np.cumprod(x, axis=0), "flip": lambda x: np.flip(x),
    "flip 0": lambda x: np.flip(x, 0), "roll": lambda x: np.roll(x, 1), "roll 1": lambda x: np.roll(x, 2, axis=1),
    "tile": lambda x: np.tile(x, (2, 1)), "repeat": lambda x: np.repeat(x, 2),
    "repeat 0": lambda x: np.repeat(x, [1, 2], axis=0), "tril": lambda x: np.tril(x),
    "triu": lambda x: np.triu(x, 1), "diagonal": lambda x: np.diagonal(x), "diag": lambda x: np.diag(x),
    "trace": lambda x: np.trace(x), "norm": lambda x: np.linalg.norm(x),
    "norm 1": lambda x: np.linalg.norm(x, axis=1), "norm ord": lambda x: np.linalg.norm(x, 1, axis=0),
    "sort": lambda x: np.sort(x, axis=1), "sort flat": lambda x: np.sort(x, axis=None),
    "take_along_axis": lambda x: np.take_along_axis(x, np.argsort(A, axis=1), axis=1),
    "split": lambda x: np.split(x, 3, axis=1)[1], "split at": lambda x: np.split(x, [1], axis=1)[1],
    "logaddexp": lambda x: np.logaddexp(x, B), "arctan2": lambda x: np.arctan2(x, B),
    "power": lambda x: np.power(np.abs(x), 1.5), "true_divide": lambda x: np.true_divide(B, x),
    "copy": lambda x: np.copy(x), "add.reduce": lambda x: np.add.reduce(x),
    "add.reduce all": lambda x: np.add.reduce(x, axis=None),
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=1), "round": lambda x: np.round(x) + x,
    "reciprocal": lambda x: np.reciprocal(x), "add": lambda x: np.add(B, x),
    "multiply": lambda x: np.multiply(x, 2), "ndarray method": lambda x: x.sum(axis=0, keepdims=True),
    "array T": lambda x: x.T, "log": lambda x: np.log(np.abs(x)), "sqrt": lambda x: np.sqrt(x * x),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_numpy(name: str) -> None:
    """The value is NumPy's own on the array, the gradient that of central differences on the array."""
    f = FUNCTIONS[name]
    y, expected = f(leaf()), f(A)
    np.testing.assert_allclose(y.array, expected, rtol=1e-14)
    h, w = 1e-6, np.random.default_rng(0).normal(size=np.shape(expected))
    reference = np.zeros_like(A)
    for index in np.ndindex(A.shape):
        d = np.zeros_like(A)
        d[index] = h
        reference[index] = np.sum(w * (f(A + d) - f(A - d))) / (2 * h)
    x = leaf()
    f(x).backward(w)
    np.testing.assert_allclose(x.grad.array, reference, rtol=1e-6, atol=1e-6)


@pytest.mark.skipif("descending" not in inspect.signature(np.sort).parameters, reason="NumPy sorts so from 2.5 on")
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("axis", [-1, 0, None])
def test_sorting_downwards(axis: Any, dtype: Any) -> None:
    """NumPy puts NaN last in both directions; PyTorch, and so `t.sort`, takes it for the largest."""
    array = np.random.default_rng(0).integers(0, 9, (5, 6)).astype(dtype)
    if array.dtype.kind == "f":
        array[0, 1] = array[3, 3] = np.nan
    t = tg.tensor(array)
    for descending in (True, False, None):
        expected = np.sort(array, axis, descending=descending)
        np.testing.assert_array_equal(np.sort(t, axis, descending=descending), expected)
        order = np.argsort(array, axis, descending=descending, stable=True)
        np.testing.assert_array_equal(np.argsort(t, axis, descending=descending), order)
    if array.dtype.kind == "f":
        x = tg.tensor(np.array([3.0, 1.0, 2.0], dtype), requires_grad=True)
        (np.sort(x, descending=True) * tg.tensor(np.array([1.0, 2.0, 3.0], dtype))).sum().backward()
        np.testing.assert_array_equal(x.grad, np.array([1, 3, 2], dtype))


def test_answers_without_a_gradient() -> None:
    x = leaf()
    assert np.argmax(x).item() == 4
    assert np.argsort(x, axis=1).tolist() == np.argsort(A, axis=1).tolist()
    assert np.count_nonzero(x).item() == 6
    assert [t.tolist() for t in np.nonzero(x)] == [t.tolist() for t in np.nonzero(A)]
    assert np.any(x > 3).item() is True
    assert np.isnan(x).tolist() == np.isnan(A).tolist()
    assert np.shape(x) == (2, 3)
    assert np.ndim(x) == 2
    assert np.size(x) == 6
    assert np.size(x, 1) == 3
    assert np.zeros_like(x).tolist() == [[0, 0, 0]] * 2
    assert not np.ones_like(x).requires_grad
    assert np.full_like(x, 7).array.max() == 7


def test_what_has_no_rule_is_numpys_own_where_no_gradient_is_at_stake() -> None:
    t = tg.tensor(A)
    for y, expected in ((np.percentile(t, 50), np.percentile(A, 50)), (np.hypot(t, B), np.hypot(A, B)),
        (np.unique(t), np.unique(A)), (np.modf(t)[0], np.modf(A)[0]),
                        (np.add.accumulate(t, axis=1), np.add.accumulate(A, axis=1)),
                        (np.add.outer(t, B), np.add.outer(A, B)), (np.cov(t), np.cov(A))):  # fmt: skip
        np.testing.assert_allclose(np.asarray(y), expected)
    assert np.allclose(t, A)
    assert np.array_equal(t, A)
    np.testing.assert_allclose(t, A)


LOUD: dict[str, Callable[[Any], Any]] = {
    "asarray": np.asarray, "array": np.array, "numpy": lambda x: x.numpy(),
    "asarray dtype": lambda x: np.asarray(x, np.float32), "list of tensors": lambda x: np.array([x, x]),
    "out=": lambda x: np.exp(x, out=np.empty((2, 3))), "out= add": lambda x: np.add(x, 1, out=np.empty((2, 3))),
    "augmented array": lambda x: operator.iadd(B.copy(), x),
    "augmented product": lambda x: operator.imul(B.copy(), x),
    "assigned into an array": lambda x: B.copy().__setitem__(0, x[0]),
    "filled into an array": lambda x: np.copyto(B.copy(), x), "hypot": lambda x: np.hypot(x, B),
    "percentile": lambda x: np.percentile(x, 50), "accumulate": lambda x: np.add.accumulate(x),
    "outer": lambda x: np.add.outer(x, B), "at": lambda x: np.add.at(B.copy(), 0, x[0]),
    "where=": lambda x: np.exp(x, where=A > 0), "dtype=": lambda x: np.exp(x, dtype=np.float64),
    "median": lambda x: np.median(x), "unique": lambda x: np.unique(x), "modf": lambda x: np.modf(x),
    "cov": lambda x: np.cov(x), "sum where=": lambda x: np.sum(x, where=A > 0),
    "sum out=": lambda x: np.sum(x, axis=0, out=np.empty(3)), "svd": lambda x: np.linalg.svd(x),
    "inv": lambda x: np.linalg.inv(x[:, :2]), "fft": lambda x: np.fft.fft(x),
    "interp": lambda x: np.interp(0.5, x[0], x[1]), "max initial=": lambda x: np.max(x, initial=0.0),
    "nuclear norm": lambda x: np.linalg.norm(x, "nuc"), "pickle": lambda x: pickle.dumps(x * 1),
    "deepcopy": lambda x: copy.deepcopy(x * 1), "float of many": float, "item of many": lambda x: x.item(),
    "bool of many": bool, "int of many": int, "math": lambda x: __import__("math").exp(x),
    "long index": lambda x: [1, 2, 3][x[0, 0]], "complex": complex,
}  # fmt: skip


@pytest.mark.parametrize("name", LOUD)
def test_every_exit_from_the_graph_is_loud(name: str) -> None:
    x = leaf()
    with pytest.raises((tg.TensorError, TypeError, ValueError)) as told:
        LOUD[name](x)
    assert isinstance(told.value, tg.TensorError) or name in ("long index", "math", "complex", "list of tensors",
        "interp"), repr(told.value)
    assert str(told.value)


def test_the_exits_say_how_to_leave() -> None:
    for way_out in (lambda x: np.asarray(x), lambda x: x.numpy(), lambda x: np.hypot(x, 1.0)):
        with pytest.raises(tg.TensorError, match="detach"):
            way_out(leaf())
    with pytest.raises(tg.InplaceError, match="a = a \\+ tensor"):
        operator.iadd(B.copy(), leaf())


def test_the_array_on_the_left_is_unharmed_by_a_refused_write() -> None:
    a = B.copy()
    for write in (lambda: operator.iadd(a, leaf()), lambda: np.exp(leaf(), out=a),
        lambda: a.__setitem__(0, leaf()[0])):
        with pytest.raises(tg.TensorError):
            write()
    assert (a == B).all()


def test_tensors_without_a_gradient_leave_freely() -> None:
    t = tg.tensor(A)
    assert np.shares_memory(np.asarray(t), t.array)
    assert np.asarray(t, np.float32).dtype == np.float32
    assert not np.shares_memory(np.array(t), t.array)
    a = B.copy()
    a[0] = t[0]
    assert (a[0] == A[0]).all()
    assert float(t[0, 0]) == 1.1
    assert int(tg.tensor(3)) == 3
    assert [10, 20][tg.tensor(1)] == 20
    assert f"{tg.tensor(1.5):.2f}" == "1.50"
    assert list(range(tg.tensor(2))) == [0, 1]
    assert t.numpy() is t.array
    assert pickle.loads(pickle.dumps(t)).tolist() == t.tolist()
    assert copy.deepcopy(leaf()).requires_grad


def test_a_list_of_numbers_is_refused_as_an_operand_like_pytorch() -> None:
    for wrong in ([1.0, 2.0, 3.0], "text", None, object(), {}):
        with pytest.raises(TypeError):
            leaf() + wrong
        with pytest.raises(TypeError):
            wrong * leaf()
    assert (leaf() == None) is False  # noqa: E711
    assert (leaf() != "x") is True


def test_object_arrays_are_never_made() -> None:
    for y in (B * leaf(), np.multiply(B, leaf()), B @ leaf().T, np.array(1.0) + leaf(), np.float32(1) - leaf()):
        assert isinstance(y, tg.Tensor)
        assert y.array.dtype == np.float64


def test_subclasses_of_ndarray_on_the_left() -> None:
    m = np.ma.masked_array(B, mask=False)
    y = np.multiply(m.data, leaf())
    assert isinstance(y, tg.Tensor)
