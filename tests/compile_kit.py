"""How a compiled step is held against the eager one: the same script is played three times from the same seed.

A script is a function `script(compile, see)`. Played eagerly, `compile` hands the function back; played compiled, it is
`tg.compile`. What the script gives to `see` is copied there and then, and the copies must agree: bit for bit where the
inexact passes are left out, to 1e-12 in float64 with all of them. Read `test_compile_optimisers.py` next.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.compiler import PASSES
from tinygrad_bp.random import Generator

Script = Callable[[Any, Any], Any]
SGD = tg.optim.SGD
INEXACT = tuple(name for name, one in PASSES.items() if not one.exact)
F = nn.functional


def copied(thing: Any) -> Any:
    """A deep copy of plain arrays and numbers: a tensor with its gradient, a model, an optimiser, a generator."""
    if isinstance(thing, tg.Tensor):
        grad = None if thing._grad is None else np.array(thing._grad.array)  # `.grad` warns where none can come
        return type(thing).__name__, np.array(thing.array), thing.requires_grad, grad
    if isinstance(thing, nn.Module):
        flags = [(path, part.training) for path, part in thing.named_modules()]
        grads = {name: copied(p) for name, p in thing.named_parameters()}
        return {"state": copied(dict(thing.state_dict())), "flags": flags, "parameters": grads}
    if isinstance(thing, tg.optim.Optimizer):
        return copied(thing.state_dict())
    if isinstance(thing, Generator):
        return np.array(thing.get_state())
    if isinstance(thing, np.ndarray | np.generic):
        return np.array(thing)
    if isinstance(thing, dict):
        return {key: copied(value) for key, value in thing.items()}
    if isinstance(thing, tuple | list):
        return [type(thing).__name__, *map(copied, thing)]
    return thing


def same(a: Any, b: Any, rtol: float, path: str = "") -> None:
    """Assert that two copies agree: arrays in shape, dtype and bits, or to `rtol` of their largest entry."""
    assert type(a) is type(b), f"{path}: {type(a).__name__} eager, {type(b).__name__} compiled"
    if isinstance(a, np.ndarray):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{path}: {a.dtype}{a.shape}, compiled {b.dtype}{b.shape}"
        exact = rtol == 0 or a.dtype != np.float64
        if exact and a.dtype != np.float64 and rtol:
            exact, rtol = a.dtype.kind not in "fc", 1e-4 if a.dtype == np.float32 else 3e-2
        if exact:
            assert np.where(a != a, 0, a).tobytes() == np.where(b != b, 0, b).tobytes(), differs(a, b, path)
            assert ((a != a) == (b != b)).all(), differs(a, b, path)
        else:
            scale = np.abs(a[np.isfinite(a)]).max(initial=1e-300)
            with np.errstate(invalid="ignore"):
                near = (np.abs(b - a) <= rtol * scale).all()  # a tenth of the time, and as strict
            if not near:
                np.testing.assert_allclose(b, a, rtol=rtol, atol=rtol * scale, err_msg=path)
    elif isinstance(a, dict):
        assert list(a) == list(b), f"{path}: keys {list(a)} eager, {list(b)} compiled"
        for key in a:
            same(a[key], b[key], rtol, f"{path}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), f"{path}: {len(a)} entries eager, {len(b)} compiled"
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, rtol, f"{path}[{i}]")
    elif isinstance(a, float) and a == a:
        assert abs(a - b) <= (1e-12 if rtol else 0) * abs(a), f"{path}: {a!r} eager, {b!r} compiled"
    else:
        assert a == b or a != a, f"{path}: {a!r} eager, {b!r} compiled"


def differs(a: np.ndarray, b: np.ndarray, path: str) -> str:
    wrong = np.flatnonzero(~((a == b) | ((a != a) & (b != b))))
    first = wrong[0] if wrong.size else 0
    return (
        f"{path}: {wrong.size} of {a.size} entries differ, at first {a.flat[first]!r} eager, {b.flat[first]!r} compiled"
    )


def played(script: Script, compile: Any, seed: int = 0) -> tuple[list[Any], Exception | None]:
    """What a script saw, to its end (its answer, the random stream), or to the refusal of the compiler."""
    tg.manual_seed(seed)
    seen: list[Any] = []
    refusal = None
    try:
        end = script(compile, lambda *things: seen.append(copied(things)))
        seen.append([copied(end), np.array(tg.get_rng_state())])
    except tg.CompileError as error:
        refusal = error
    return seen, refusal


def compared(script: Script, rtol: float) -> list[Exception]:
    """Hold the compiled scripts against the eager one; the refusals, what was seen before them is compared too."""
    eager, wrong = played(script, lambda function, **_: function)
    assert wrong is None, "the eager step itself is refused"
    assert len(eager) > 1, "the script sees nothing"
    refusals = []
    for without, tolerance in ((INEXACT, 0.0), ((), rtol)):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*was recorded", UserWarning)  # scripts that change much on purpose
            found, refusal = played(script, partial(tg.compile, without=without))
        refusals += [refusal] if refusal else []
        assert refusal or len(found) == len(eager), f"{len(eager)} looks eager, {len(found)} compiled"
        for i, (a, b) in enumerate(zip(eager, found, strict=False)):
            same(a, b, tolerance, f"look {i}{'' if tolerance else ' (exact passes)'}")
    return refusals


def agrees(script: Script, rtol: float = 1e-12) -> None:
    """Assert that a script gives the same eagerly, compiled exactly, and compiled with every pass."""
    for refusal in compared(script, rtol):
        raise refusal


def equal(script: Script) -> Callable[[], None]:
    """A test of a script: `agrees`."""
    return named(script, lambda: agrees(script))


def equal_or_refused(script: Script) -> Callable[[], None]:
    """A test of a script that the compiler may refuse, but must never answer wrongly."""
    return named(script, lambda: [told(refusal) for refusal in compared(script, 1e-12)])


def named(script: Script, test: Callable[[], Any]) -> Callable[[], None]:
    def run() -> None:
        test()

    run.__name__, run.__doc__, run.__module__ = script.__name__, script.__doc__, script.__module__
    return run


def told(refusal: BaseException, *words: str) -> None:
    """Assert that a refusal says what happened and what to write instead."""
    text = str(refusal)
    assert text.startswith("tg.compile: ")
    assert re.search(r"Instead: |instead|outside|inside|[Pp]ass |[Ww]rite |[Rr]eturn |[Uu]se ", text), text
    assert all(word in text for word in words), text


def data(n: int, *shape: int, seed: int = 0) -> Any:
    """A batch that draws nothing from tinygrad_bp's stream."""
    return tg.tensor(np.random.default_rng([seed, n, *shape]).normal(size=(n, *shape)))


def labels(n: int, classes: int, seed: int = 0) -> Any:
    return tg.tensor(np.random.default_rng([seed, n]).integers(0, classes, n))


def batch(i: int, n: int = 5) -> tuple[Any, Any]:
    """The i-th batch for a net from three numbers to two."""
    return data(n, 3, seed=i), data(n, 2, seed=i)


def net(*sizes: int, act: Any = nn.Tanh, last: Any = None, dtype: Any = tg.float64) -> Any:
    """A fully connected net in float64."""
    layers: list[Any] = []
    for i, (n, m) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(n, m), act()] if i < len(sizes) - 2 else [nn.Linear(n, m)]
    return nn.Sequential(*layers, *([last] if last is not None else [])).to(dtype)


def training(model: Any, optimizer: Any, loss: Any = F.mse_loss) -> Any:
    """The step that everybody writes."""

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value

    return step


def trained(compile: Any, **options: Any) -> tuple[Any, Any, Any]:
    """A small net, its optimiser and its step."""
    model = net(3, 4, 2)
    optimizer = SGD(model.parameters(), **{"lr": 0.1, "momentum": 0.9, **options})
    return model, optimizer, compile(training(model, optimizer))


@dataclass
class Pair:
    """An object of a class of one's own, with a tensor in it."""

    value: Any
    number: int = 0


def refused(function: Callable[..., Any], *args: Any) -> str:
    """Assert that a function runs eagerly, is refused compiled, and with fallback runs eagerly, saying so once."""
    expected = copied(function(*args))
    with pytest.raises(tg.CompileError) as caught:
        tg.compile(function)(*args)
    told(caught.value)
    step = tg.compile(function, fallback=True)
    with pytest.warns(UserWarning, match="runs eagerly"):
        found = step(*args)
    same(expected, copied(found), 0.0)
    same(expected, copied(silent(lambda: step(*args))), 0.0)
    return str(caught.value)


def silent(call: Callable[[], Any]) -> Any:
    """The result of a call during which nothing warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call()


def recordings(step: Any) -> int:
    """How often a compiled step was recorded; 0 for the eager function."""
    return getattr(step, "_recordings", 0)
