"""What NumPy answers with a view of its argument is a view in a compiled step: writes arrive, later writes are seen.

The functions are found by trying all of NumPy's on real arrays; each is a view in a trace, or refused, or a test fails.
Read `test_compile_threads.py` next.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compile_kit import data, equal
from numpy.lib.stride_tricks import sliding_window_view

import tinygrad_bp as tg

S, A, V = np.arange(16.0).reshape(4, 4), np.arange(24.0).reshape(2, 3, 4), np.arange(6.0)
C, R, K = S + 1j * S[::-1], S[None], np.arange(4)

VIEWS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "reshape": (S, lambda x: np.reshape(x, (2, 8))), "reshape F": (S, lambda x: np.reshape(x, (2, 8), order="F")),
    "ravel": (S, np.ravel), "ravel F": (S, lambda x: np.ravel(x, order="F")), "method": (S, lambda x: x.ravel()),
    "squeeze": (R, np.squeeze), "expand_dims": (S, lambda x: np.expand_dims(x, 0)),
    "by name": (S, lambda x: np.transpose(a=x)), "atleast_1d": (V, np.atleast_1d), "atleast_2d": (V, np.atleast_2d),
    "atleast_3d": (S, np.atleast_3d), "atleast many": (V, lambda x: np.atleast_2d(x, x)[1]),
    "transpose": (A, np.transpose), "T": (A, lambda x: x.T), "mT": (A, lambda x: x.mT),
    "swapaxes": (A, lambda x: np.swapaxes(x, 0, 2)), "rollaxis": (A, lambda x: np.rollaxis(x, 2)),
    "moveaxis": (A, lambda x: np.moveaxis(x, 0, -1)), "matrix_transpose": (A, np.matrix_transpose),
    "linalg.matrix_transpose": (A, np.linalg.matrix_transpose),
    "permute_dims": (A, lambda x: np.permute_dims(x, (1, 0, 2))), "flip": (A, np.flip),
    "flip 1": (A, lambda x: np.flip(x, 1)), "flip 0 -1": (A, lambda x: np.flip(x, (0, -1))),
    "fliplr": (S, np.fliplr), "flipud": (S, np.flipud), "rot90": (S, np.rot90),
    "rot90 2": (S, lambda x: np.rot90(x, 2)), "rot90 3": (A, lambda x: np.rot90(x, 3, (1, 2))),
    "rot90 -1": (S, lambda x: np.rot90(x, k=-1, axes=(1, 0))), "rot90 0": (S, lambda x: np.rot90(x, 0)),
    "split": (S, lambda x: np.split(x, 2)[1]), "split at": (S, lambda x: np.split(x, [1, 3], axis=1)[1]),
    "array_split": (S, lambda x: np.array_split(x, 3)[1]), "hsplit": (S, lambda x: np.hsplit(x, 2)[0]),
    "hsplit of a vector": (V, lambda x: np.hsplit(x, 2)[1]), "vsplit": (S, lambda x: np.vsplit(x, 2)[1]),
    "dsplit": (A, lambda x: np.dsplit(x, 2)[1]), "diagonal": (S, np.diagonal),
    "diagonal 1": (A, lambda x: np.diagonal(x, 1, 1, 2)), "diag": (S, lambda x: np.diag(x, k=1)),
    "x.diagonal": (S, lambda x: x.diagonal(offset=-1)), "linalg.diagonal": (A, np.linalg.diagonal),
    "real": (C, np.real), "imag": (C, np.imag), "x.real": (C, lambda x: x.real), "x.imag": (C, lambda x: x.imag),
    "real of reals": (S, np.real), "real_if_close of reals": (S, np.real_if_close),
    "ix_": (K, lambda x: np.ix_(x, x)[1]), "einsum, diagonal": (S, lambda x: np.einsum("ii->i", x)),
    "einsum, transposed": (S, lambda x: np.einsum("ij->ji", x)),
    "broadcast_to": (V, lambda x: np.broadcast_to(x, (2, 6))),
    "broadcast": (V, lambda x: np.broadcast_arrays(x, V)[0]), "windows": (V, lambda x: sliding_window_view(x, 3)),
    "windows 2": (S, lambda x: sliding_window_view(x, (2, 2), (0, 1))), "diff 0": (V, lambda x: np.diff(x, n=0)),
    "matrix_power": (S, lambda x: np.linalg.matrix_power(x, 1)), "index": (S, lambda x: x[1:, ::-2]),
    "nan_to_num": (S, lambda x: np.nan_to_num(x, copy=False)),
    "meshgrid": (V, lambda x: np.meshgrid(x, x, copy=False)[0]), "real_if_close": (C, np.real_if_close),
    "two views": (A, lambda x: np.flip(np.swapaxes(x, 0, 1)[1:], 2)),
    "many": (S, lambda x: np.rot90(np.diagonal(A, 0) * 0 + x[:3, :2])),
}  # fmt: skip
if hasattr(np, "unstack"):
    VIEWS["unstack"] = A, lambda x: np.unstack(x, axis=1)[2]
REFUSED = {"nan_to_num", "meshgrid", "real_if_close"}


def of_captured(view: Any, box: list[Any]) -> Any:
    def step(x: Any) -> Any:
        v = view(box[0])
        v[...] = v * 2 + 1
        return box[0] * 1, v * 1

    return step


def seen_later(view: Any, box: list[Any]) -> Any:
    def step(x: Any) -> Any:
        v = view(box[0])
        box[0][...] = box[0] * 3
        return v * 1, v.sum()

    return step


def of_made(view: Any, box: list[Any]) -> Any:
    def step(x: Any) -> Any:
        m = x * 1
        v = view(m)
        v += 1
        m *= 2
        return m, v * 1

    return step


def of_argument(view: Any, box: list[Any]) -> Any:
    def step(x: Any) -> Any:
        v = view(x)
        v[...] = v * 2 + 1
        return x * 1

    return step


def played(make: Any, view: Any, array: Any, compile: Any) -> Any:
    """What three calls return and leave behind; or the error."""
    box, seen = [array.copy()], []
    step = compile(make(view, box))
    try:
        for i in range(3):
            found = step(array + np.asarray(i).astype(array.dtype))
            seen += [np.array(part) for part in (found if isinstance(found, tuple) else (found,))]
            seen.append(box[0].copy())
    except (tg.CompileError, ValueError, DeprecationWarning) as error:
        return error
    return seen


@pytest.mark.parametrize("make", [of_captured, seen_later, of_made, of_argument])
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_a_view(name: str, make: Any) -> None:
    array, view = VIEWS[name]
    eager = played(make, view, array, lambda f: f)
    compiled = played(make, view, array, tg.compile)
    if isinstance(eager, Exception):  # a read-only view, or one that NumPy warns to write to
        assert isinstance(compiled, ValueError | tg.CompileError)
        return
    if isinstance(compiled, tg.CompileError):
        assert name in REFUSED or (make is of_argument and "writes into its argument" in str(compiled))
        assert any(word in str(compiled) for word in ("Instead: ", "copy"))
        return
    assert name not in REFUSED
    assert not isinstance(compiled, Exception), compiled
    for a, b in zip(eager, compiled, strict=True):
        assert a.tobytes() == b.tobytes()
        assert a.dtype == b.dtype


TENSORS: dict[str, Callable[[Any], Any]] = {
    "view": lambda t: t.view(-1), "t": lambda t: t.t(), "diagonal": lambda t: t.diagonal(),
    "chunk": lambda t: t.chunk(2)[1], "split": lambda t: t.split(2)[0], "unbind": lambda t: t.unbind(0)[1],
    "unsqueeze": lambda t: t.unsqueeze(0), "permute": lambda t: t.permute(1, 0),
    "index": lambda t: t[1:, ::2], "detach": lambda t: t.detach(), "flatten": lambda t: t.flatten(),
    "reshape": lambda t: t.reshape(2, 8), "movedim": lambda t: t.movedim(0, 1), "data": lambda t: t.data,
    "numpy": lambda t: tg.from_numpy(t.numpy()), "flip": lambda t: t.flip(0),
}  # fmt: skip


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("name", TENSORS)
def test_views_of_tensors(name: str, made: bool) -> None:
    outcomes = []
    for compile in (lambda f: f, tg.compile):
        kept = tg.from_numpy(S.copy())

        def step(x: Any, kept: Any = kept) -> Any:
            with tg.no_grad():
                source = x * 1 if made else kept
                view = TENSORS[name](source)
                view.mul_(2).add_(1)
                view[0] = 5
                return source * 1, view * 1

        compiled = compile(lambda x, step=step: step(x))
        seen = [part.numpy().copy() for i in range(3) for part in (*compiled(tg.from_numpy(S + i)), kept)]
        outcomes.append([array.tobytes() for array in seen])
    assert outcomes[0] == outcomes[1]


CANDIDATES: list[tuple[Any, ...]] = [
    (S,), (C,), (V,), (S, 0), (S, 1), (S, 2), (S, 0, 1), (V, (2, 3)), (S, (4, 4)), (V, 2), (S, (2, 2)), (S, (1, 0)),
    (S, [2]), ("ii->i", S), ("ij->ji", S), (R,), (np.array(3.0),), (S, None), (S, (0, 1)), (S, S), (V, V), ([S, S],),
    (S, [0, 1], [1, 0]),
]  # fmt: skip
SPACES = {"np": np, "np.linalg": np.linalg, "np.fft": np.fft, "np.lib.stride_tricks": np.lib.stride_tricks}
SKIPPED = {"save", "savez", "savez_compressed", "savetxt", "info", "test", "show_config", "show_runtime", "seterr",
           "seterrcall", "setbufsize", "load", "loadtxt", "genfromtxt", "fromfile", "frompyfunc"}  # fmt: skip


def dispatching() -> dict[str, Any]:
    """NumPy's functions that a stand-in can answer for."""
    found = {}
    for space, module in SPACES.items():
        for name in dir(module):
            function = getattr(module, name)
            if name[0] != "_" and name not in SKIPPED and callable(function) and hasattr(function, "__wrapped__"):
                found[f"{space}.{name}"] = function
    return found


def answers(function: Any, args: tuple[Any, ...]) -> list[Any] | None:
    """The arrays that a function answers with; None if it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = function(*args)
    except tg.CompileError:
        raise
    except Exception:
        return None
    parts = result if isinstance(result, tuple | list) else (result,)
    return [part for part in parts if isinstance(part, np.ndarray)]


def arrays_in(args: tuple[Any, ...]) -> list[np.ndarray]:
    return [x for part in args for x in (part if isinstance(part, list) else [part]) if isinstance(x, np.ndarray)]


@pytest.mark.parametrize("name", dispatching())
def test_every_function_of_numpy_that_answers_with_a_view_or_writes(name: str) -> None:
    """The result is written to, and the argument, which is memory that the step reaches, must show it as in eager."""
    function = dispatching()[name]
    for args in CANDIDATES:
        fresh = [np.array(x) if isinstance(x, np.ndarray) else x for x in args]
        parts = answers(function, tuple(fresh))
        given = arrays_in(tuple(fresh))
        written = not all(np.array_equal(a, b) for a, b in zip(given, arrays_in(args), strict=True))
        views = [i for i, p in enumerate(parts or ()) if p.size and any(np.may_share_memory(p, a) for a in given)]
        if not views and not written:
            continue
        check_one(function, args, views[0] if views else None)


def check_one(function: Any, args: tuple[Any, ...], part: int | None) -> None:
    outcomes = []
    for compile in (lambda f: f, tg.compile):
        own = [np.array(x) if isinstance(x, np.ndarray) else [y.copy() for y in x] if isinstance(x, list) and
               isinstance(x[0], np.ndarray) else x for x in args]  # fmt: skip

        def step(own: Any = own) -> Any:
            result = function(*own)
            listed = result if isinstance(result, tuple | list) else (result,)
            if part is not None:
                view = [p for p in listed if hasattr(p, "dtype")][part]
                view[...] = view * 2 + 1

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compile(lambda step=step, own=own: step(own))()
        except tg.CompileError:
            return  # refused
        except Exception as error:
            outcomes.append(type(error).__name__)
            continue
        outcomes.append([a.tobytes() for a in arrays_in(tuple(own))])
    assert outcomes[0] == outcomes[1]


@equal
def test_writes_through_a_part_of_an_expanded_tensor(compile: Any, see: Any) -> None:
    w, buffer = tg.ones(2, dtype=tg.float64, requires_grad=True), tg.ones(2, dtype=tg.float64)

    @compile
    def step(x: Any) -> Any:
        wide = x.expand(3, 2).clone().expand(2, 3, 2)
        wide[0, 1] += x
        buffer.expand(3, 2)[1].mul_(3)
        grown = (w * 2).expand(2, 2)
        grown[0][1:] = x[0]
        grown.sum().backward()
        return wide, wide.sum(), w.grad.clone()

    for i in range(3):
        see(step(data(2, seed=i)), buffer, w.grad)
