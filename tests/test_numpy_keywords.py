"""NumPy's functions on tensors: every parameter that NumPy's function has is honoured or refused, never ignored.

The law runs over all that dispatches to an operation, and over NumPy's own signatures: a parameter that NumPy adds is
tried as soon as there is a value for its name in `VALUES`, and fails the law until then.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp.numpy_api import ARRAY_FUNCTIONS, REDUCE, UFUNCS, WRITING

X = np.array([[1.5, -2.0, 0.5], [3.0, 4.0, -1.0]])
Y = np.array([[2.0, 1.0, -1.0], [3.0, 0.5, 2.0]])
MASK = np.array([[True, False, True], [True, True, False]])
# What a parameter is given, by its name: for those without a default the first value, for the others each.
VALUES: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("a", "x", "m", "v", "A", "arr", "ary", "array"), (X,)), "b": (Y.T,), "y": (Y,),
    "arrays": ([X, Y],), "tup": ([X, Y],), "condition": (MASK,), "shape": ((3, 2),), "newshape": ((3, 2),),
    "axis": (0, 1, -1, None, (0, 1)), "keepdims": (True, False), "dtype": (np.float32, np.int64), "initial": (2.0,),
    "where": (MASK, True), "ddof": (1,), "correction": (1,), "mean": (np.array(0.5),), "decimals": (1,),
    "a_min": (0.0,), "a_max": (2.0,), "min": (0.0,), "max": (2.0,), "side": ("left", "right"), "kind": ("stable",),
    "order": ("F", "A", "C"), "stable": (True, False), "descending": (True, False), "subok": (True, False),
    "copy": (True, False), "casting": ("unsafe", "safe"), "offset": (1,), "axis1": (1,), "axis2": (0,), "k": (1,),
    "ord": (1, np.inf, -1, "fro", 3), "sorter": (np.array([0, 1, 2]),), "reps": (2, (2, 1)), "shift": (1,),
    "source": (0,), "destination": (1,), "axes": (None, (1, 0)), "repeats": (2,), "indices": (np.array([[0, 1]]),),
    "indices_or_sections": (1, 3, 2, [1]), "fill_value": (7.0,), "optimize": (True,), "device": ("cpu",),
}  # fmt: skip
FIRST = {  # what some functions need in place of the values above
    np.broadcast_to: {"shape": ((2, 2, 3),)}, np.searchsorted: {"a": (np.array([1.0, 2.0, 2.0, 3.0]),), "v": (Y,)},
    np.diag: {"v": (X[0],)}, np.tensordot: {"axes": (1, ((1,), (0,)))}, np.squeeze: {"a": (X[None],)},
    np.expand_dims: {"axis": (0, (0, 1))}, np.moveaxis: {}, np.swapaxes: {}, np.einsum: {},
    np.take_along_axis: {"axis": (0, -1)},
}  # fmt: skip


def tried(function: Any) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    """(the arguments that it needs, one more by name), for every parameter and every value."""
    if function is np.einsum:
        for named in ({}, {"optimize": True}, {"dtype": np.float32}, {"order": "F"}, {"casting": "unsafe"}):
            yield ["ij,kj->ik", X, Y], named
        return
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        parameters = list(inspect.signature(ARRAY_FUNCTIONS[function][1]).parameters.values())
    values = {**VALUES, **FIRST.get(function, {})}
    needed = [values[p.name][0] for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    yield needed, {}
    for p in parameters:
        if p.name == "out" or p.kind is p.VAR_KEYWORD:
            continue
        if p.default is p.empty:
            yield from (([other if n is values[p.name][0] else n for n in needed], {}) for other in values[p.name][1:])
        elif p.kind is not p.POSITIONAL_ONLY:
            yield from ((needed, {p.name: value}) for value in values[p.name])


def tensors(value: Any, grad: bool) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        return [tensors(v, grad) for v in value]
    floats = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return tg.tensor(value.copy(), requires_grad=grad) if floats else value


def bare(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [bare(v) for v in value]
    return value.detach().array if isinstance(value, tg.Tensor) else value


def as_numpy(function: Any, needed: list[Any], named: dict[str, Any], **more: Any) -> Any:
    try:
        return function(*[np.copy(n) if isinstance(n, np.ndarray) else n for n in needed], **named, **more)
    except (ValueError, TypeError, IndexError):
        return None


def answer(function: Any, needed: list[Any], named: dict[str, Any]) -> Any:
    """The result, or the refusal."""
    try:
        return function(*needed, **named)
    except tg.TensorError as error:
        return error
    except TypeError:  # NumPy's own: it has no such keyword
        return tg.zeros(1)


def same(function: Any, ours: Any, theirs: Any, what: str) -> None:
    ours, theirs = bare(ours), theirs if isinstance(theirs, tuple | list) else [theirs]
    for mine, other in zip(ours if isinstance(ours, list) else [ours], theirs, strict=True):
        np.testing.assert_allclose(np.asarray(mine), np.asarray(other), rtol=1e-6, atol=1e-7, err_msg=what)
        assert np.shape(mine) == np.shape(other), what
        if "dtype" in what:
            assert np.asarray(mine).dtype == np.asarray(other).dtype, what


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("function", ARRAY_FUNCTIONS, ids=lambda f: f.__name__)
def test_every_keyword_of_every_function(function: Any, grad: bool) -> None:
    honoured = 0
    for needed, named in tried(function):
        theirs = as_numpy(function, needed, named)
        if theirs is None:
            continue
        what = f"np.{function.__name__}({named}), grad={grad}"
        ours = answer(function, [tensors(n, grad) for n in needed], named)
        if isinstance(ours, tg.TensorError):
            assert grad, f"{what} is refused, though no gradient is at stake: {ours}"
            assert next(iter(named)) in str(ours), f"{what}: {ours}"
            continue
        same(function, ours, theirs, what)
        honoured += 1
    assert honoured


@pytest.mark.parametrize("function", [f for f in ARRAY_FUNCTIONS if f not in (np.shape, np.ndim, np.size)],
    ids=lambda f: f.__name__)
def test_by_position_is_by_name(function: Any) -> None:
    """The second optional parameter by position, the first at its default."""
    try:
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    except ValueError:
        return
    optional = [p for p in parameters if p.default is not p.empty and p.default is not np._NoValue and p.name != "out"]
    if len(optional) < 2 or function is np.einsum:
        return
    values = {**VALUES, **FIRST.get(function, {})}
    needed = [values[p.name][0] for p in parameters if p.default is p.empty]
    for count in range(2, len(optional) + 1):
        given = [p.default for p in optional[: count - 1]]
        for value in values[optional[count - 1].name]:
            if [p.name for p in parameters[len(needed) : len(needed) + count]] != [p.name for p in optional[:count]]:
                continue
            theirs = as_numpy(function, [*needed, *given, value], {})
            if theirs is None:
                continue
            try:
                ours = function(*[tensors(n, True) for n in needed], *given, value)
            except tg.TensorError:
                continue
            same(function, ours, theirs, f"np.{function.__name__}(…, {given}, {value!r})")


@pytest.mark.parametrize("ufunc", REDUCE, ids=lambda f: f.__name__)
def test_reductions_by_ufunc(ufunc: Any) -> None:
    for named in ({}, {"axis": None}, {"axis": 1, "keepdims": True}, {"axis": (0, 1)}, {"dtype": np.float32},
                  {"initial": 2.0}, {"where": MASK, "initial": 1.0}, {"where": True}):  # fmt: skip
        try:
            theirs = ufunc.reduce(X, **named)
        except (TypeError, ValueError):
            continue
        same(ufunc, ufunc.reduce(tg.tensor(X), **named), theirs, str(named))
        ours = answer(ufunc.reduce, [tg.tensor(X, requires_grad=True)], named)
        if isinstance(ours, tg.TensorError):
            assert any(name in str(ours) for name in named)
        else:
            same(ufunc, ours, theirs, str(named))


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda f: f.__name__)
def test_keywords_of_ufuncs(ufunc: Any) -> None:
    inputs = [tg.ones(2, requires_grad=True) for _ in range(ufunc.nin)]
    for named in ({"where": np.array([True, False])}, {"dtype": np.float64}, {"order": "F"}, {"casting": "unsafe"}):
        result = answer(ufunc, inputs, named)
        if isinstance(result, tg.TensorError):
            assert next(iter(named)) in str(result)
        else:
            assert not result.requires_grad


@pytest.mark.parametrize("function", [*WRITING, np.add.at], ids=lambda f: f.__name__)
def test_nothing_of_numpys_writes_past_the_graph(function: Any) -> None:
    x = tg.zeros(2, 2)
    arguments = {np.fill_diagonal: (x, 1.0), np.copyto: (x, 1.0), np.add.at: (x, np.array([0]), 1.0)}
    mask = np.ones((2, 2), bool)
    given = arguments.get(function, (x, mask if "mask" in function.__name__ or function is np.place else [0], [1.0]))
    if function is np.put_along_axis:
        given = (x, np.array([[0]]), 1.0, 0)
    with pytest.raises(tg.InplaceError):
        function(*given)
    assert not x.array.any()
    for with_out in (np.sum, np.mean, np.clip, np.concatenate):
        with pytest.raises(tg.InplaceError):
            with_out([x, x] if with_out is np.concatenate else x, **({"min": 0} if with_out is np.clip else {}),
                out=np.zeros((4, 2) if with_out is np.concatenate else ()))  # fmt: skip
