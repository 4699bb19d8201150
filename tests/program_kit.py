"""Programs by hand: a builder, whole training steps of small nets, what they mean, and what a pass makes of them.

`Build` works out shapes and dtypes by running each call on ones. Read `program_draws.py` next: programs at random.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_bp.compiler.passes import PASSES
from tinygrad_bp.compiler.program import (
    ARGUMENT,
    ASSIGN,
    CONSTANT,
    MEMORY,
    RESULT,
    SETTING,
    Call,
    Primitive,
    Program,
    Value,
    compute,
    run,
    swapped,
)
from tinygrad_bp.compiler.source import Source, write
from tinygrad_bp.compiler.strides import copied, lying, same_layout

Shape = tuple[int, ...]
NUMBER = 0.5  # what stands for a setting while shapes are worked out


def of_kind(kind: str, name: str, function: Callable[..., Any], effect: bool = False) -> Primitive:
    return PRIMITIVES.setdefault((kind, name), Primitive(kind, name, function, effect))


PRIMITIVES: dict[tuple[str, str], Primitive] = {}
GETITEM = of_kind("view", "getitem", operator.getitem)
RESHAPE = of_kind("view", "reshape", np.reshape)
TRANSPOSE = of_kind("view", "transpose", np.transpose)
BROADCAST_TO = of_kind("view", "broadcast_to", np.broadcast_to)
ASTYPE = of_kind("call", "astype", lambda x, dtype: x.astype(dtype))
COPY = of_kind("call", "copy", lambda x: x.copy())


class Build:
    """A program as it grows; `phase`, `scope` and `quiet` hold for the calls that follow."""

    def __init__(self) -> None:
        self.program = Program()
        self.scope, self.phase, self.quiet = "", "forward", dict[str, str]()

    # ------------------------------------------------------------------------------- what is there before

    def argument(self, shape: Shape, dtype: Any = np.float64, name: str = "x", order: Any = "C") -> Value:
        strides = np.empty(shape, dtype, order).strides
        self.program.arguments.append(Value(ARGUMENT, shape, np.dtype(dtype), name, strides=strides))
        return self.program.arguments[-1]

    def memory(
        self, shape: Shape, dtype: Any = np.float64, name: str = "memory", order: Any = "C"
    ) -> Value:
        return Value(MEMORY, shape, np.dtype(dtype), name, strides=np.empty(shape, dtype, order).strides)

    def constant(self, array: Any, dtype: Any = None, name: str = "") -> Value:
        held = np.array(array, dtype)
        value = Value(CONSTANT, held.shape, held.dtype, name, strides=held.strides)
        value.array = held
        return value

    def setting(self, name: str = "lr") -> Value:
        self.program.settings.append(Value(SETTING, (), None, name))
        return self.program.settings[-1]

    # --------------------------------------------------------------------------------------------- calls

    def call(self, prim: Primitive, *args: Any, name: str = "", **kwargs: Any) -> Value:
        with np.errstate(all="ignore"):
            result = compute(prim, swapped(args, stand_in), swapped(kwargs, stand_in))
        if isinstance(result, bool | int | float | complex) and not isinstance(result, np.generic):
            out = Value(RESULT, (), None, name, self.scope)
        else:
            array = np.asarray(result)
            out = Value(RESULT, array.shape, array.dtype, name, self.scope, array.strides)
        self.program.calls.append(Call(prim, args, kwargs, [out], self.scope, self.phase, dict(self.quiet)))
        return out

    def ufunc(self, function: np.ufunc, *args: Any, name: str = "", **kwargs: Any) -> Value:
        return self.call(of_kind("ufunc", function.__name__, function), *args, name=name, **kwargs)

    def reduce(self, function: np.ufunc, x: Value, axis: Any = 0, keepdims: bool = False) -> Value:
        prim = of_kind("reduce", function.__name__, function)
        return self.call(prim, x, axis=axis, keepdims=keepdims)

    def dot(self, a: Value, b: Value, name: str = "") -> Value:
        return self.call(of_kind("call", "dot", np.dot), a, b, name=name)

    def function(self, function: Callable[..., Any], *args: Any, effect: bool = False, **kwargs: Any) -> Value:
        kind = "opaque" if effect else "call"
        return self.call(of_kind(kind, function.__name__, function, effect), *args, **kwargs)

    def number(self, function: Callable[..., Any], *args: Any) -> Value:
        return self.call(of_kind("number", function.__name__, function), *args)

    def getitem(self, x: Value, key: Any) -> Value:
        return self.call(GETITEM, x, key)

    def reshape(self, x: Value, shape: Shape) -> Value:
        return self.call(RESHAPE, x, shape)

    def transpose(self, x: Value, axes: Shape | None = None) -> Value:
        return self.call(TRANSPOSE, x, tuple(reversed(range(len(x.shape)))) if axes is None else axes)

    def broadcast_to(self, x: Value, shape: Shape) -> Value:
        return self.call(BROADCAST_TO, x, shape)

    def astype(self, x: Value, dtype: Any) -> Value:
        return self.call(ASTYPE, x, np.dtype(dtype))

    def copy(self, x: Value) -> Value:
        return self.call(COPY, x)

    def assign(self, base: Value, value: Any, *path: tuple[Primitive, tuple[Any, ...]]) -> Value:
        return self.call(ASSIGN, base, value, path)

    # --------------------------------------------------------------------------------- what it is run for

    def output(self, *values: Value) -> None:
        self.program.outputs += values

    def write(self, memory: Value, value: Value) -> None:
        self.program.writes[memory] = value

    def gradient(self, memory: Value, value: Value) -> None:
        self.program.gradients.append((memory, value))


def stand_in(value: Value) -> Any:
    return NUMBER if value.is_number else lying(np.ones(value.shape, value.dtype), value.strides)


# ------------------------------------------------------------------------------------------- whole steps


def sigmoid(b: Build, z: Value) -> Value:
    return b.ufunc(np.exp, b.ufunc(np.negative, b.ufunc(np.logaddexp, 0.0, b.ufunc(np.negative, z))))


def tanh(b: Build, z: Value) -> Value:
    return b.ufunc(np.tanh, z)


def through_sigmoid(b: Build, g: Value, y: Value) -> Value:
    return b.ufunc(np.multiply, g, b.ufunc(np.multiply, y, b.ufunc(np.subtract, 1, y)))


def through_tanh(b: Build, g: Value, y: Value) -> Value:
    return b.ufunc(np.multiply, g, b.ufunc(np.subtract, 1, b.ufunc(np.multiply, y, y)))


ACTIVATIONS = {"Sigmoid": (sigmoid, through_sigmoid), "Tanh": (tanh, through_tanh)}


def training_step(
    sizes: Shape = (2, 3, 1), activations: tuple[str, ...] = ("Sigmoid", "Sigmoid"), *, bias: bool = False,
    batch: int = 3, dtype: Any = np.float64, **sgd: Any,
) -> Program:  # fmt: skip
    """One step of a fully connected net with mean squared error, as it is recorded; `sgd`: see `descend`."""
    b = Build()
    x, y = b.argument((batch, sizes[0]), dtype, "x"), b.argument((batch, sizes[-1]), dtype, "y")
    weights, biases, outputs = [], [], [x]
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        b.scope = f"layer{i}"
        b.program.layers[b.scope] = f"Linear(in_features={n_in}, out_features={n_out}, bias={bias})"
        weights.append(b.memory((n_out, n_in), dtype, f"{b.scope}.weight"))
        z = b.dot(outputs[-1], b.transpose(weights[-1]))
        if bias:
            biases.append(b.memory((n_out,), dtype, f"{b.scope}.bias"))
            z = b.ufunc(np.add, z, biases[-1])
        outputs.append(ACTIVATIONS[activations[i]][0](b, z))
    b.scope = ""
    error, n = b.ufunc(np.subtract, outputs[-1], y), batch * sizes[-1]
    b.output(b.ufunc(np.true_divide, b.function(np.vdot, error, error), n))
    b.phase = "backward"
    gradients = {}
    g = b.ufunc(np.multiply, b.ufunc(np.subtract, outputs[-1], y), b.constant(2 / n, dtype))
    for i in reversed(range(len(weights))):
        b.scope = f"layer{i}"
        g = ACTIVATIONS[activations[i]][1](b, g, outputs[i + 1])
        gradients[weights[i]] = b.dot(b.transpose(g), outputs[i])
        if bias:
            gradients[biases[i]] = b.getitem(g, (0, ...)) if batch == 1 else b.reduce(np.add, g, axis=0)
        g = b.dot(g, weights[i])
    b.scope, b.phase = "", "update"
    descend(b, {p: gradients[p] for p in [p for pair in zip(weights, biases or weights, strict=True) for p in pair]},
        **sgd)
    return b.program


def descend(
    b: Build, gradients: dict[Value, Value], *, momentum: bool = False, first: bool = False, nesterov: bool = False,
    decay: bool = False, clip: bool = False,
) -> None:  # fmt: skip
    """SGD as it is recorded: see `optim/sgd.py`."""
    lr = b.setting("lr")
    factor = b.setting("momentum") if momentum else 0.0
    if clip:
        norms = [b.function(np.vdot, g, g) for g in gradients.values()]
        total = norms[0]
        for norm in norms[1:]:
            total = b.ufunc(np.add, total, norm)
        scale = b.ufunc(np.minimum, b.ufunc(np.true_divide, 1.0, b.ufunc(np.sqrt, total)), 1.0)
        gradients = {p: b.ufunc(np.multiply, g, scale) for p, g in gradients.items()}
    for p, g in gradients.items():
        b.gradient(p, g)
        d = b.ufunc(np.add, g, b.ufunc(np.multiply, p, 0.01)) if decay else g
        if momentum:
            state = b.memory(p.shape, p.dtype, f"{p.name}.momentum_buffer")
            m = d if first else b.ufunc(np.add, b.ufunc(np.multiply, state, factor), d)
            b.write(state, m)
            d = b.ufunc(np.add, d, b.ufunc(np.multiply, m, factor)) if nesterov else m
        b.write(p, b.ufunc(np.subtract, p, b.ufunc(np.multiply, d, lr)))


# ------------------------------------------------------------------------------------------ what it means


class Data(NamedTuple):
    """What a program is run on."""

    arguments: list[Any]
    settings: list[float]
    memory: dict[Value, Any]


def data_for(program: Program, seed: int = 0, awkward: bool = False) -> Data:
    """Random entries; `awkward`: zeros of both signs, infinities and NaN among them."""
    rng = np.random.default_rng(seed)

    def entries(value: Value) -> Any:
        array = np.asarray(rng.normal(size=value.shape) * (3 if value.dtype.kind in "iu" else 1))
        if awkward and value.dtype.kind == "f":
            odd = rng.choice([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan], value.shape)
            array = np.where(rng.random(value.shape) < 0.3, odd, array)
        return lying(np.asarray(array).astype(value.dtype), value.strides)

    known = [*program.arguments, *program.memories()]
    arrays = {value: entries(value) for value in known}
    return Data(
        [arrays[v] for v in program.arguments],
        [float(rng.uniform(0.1, 0.9)) for _ in program.settings],
        {v: arrays[v] for v in program.memories()},
    )


def meaning(program: Program, data: Data) -> tuple[Any, ...]:
    """(outputs, {memory: its content at the end}, gradients, numbers)."""
    with np.errstate(all="ignore"):
        return run(program, data.arguments, data.settings, dict(data.memory))


def assert_same(before: Program, after: Program, data: Data, rtol: float = 0.0) -> None:
    """Both programs do the same: to the bit (only one NaN is as good as another), or to a relative error in float64."""
    was, now = meaning(before, data), meaning(after, data)
    assert set(was[1]) == set(now[1])
    for memory, content in now[1].items():
        assert_equal(content, was[1][memory], rtol)
    for part in (0, 2, 3):
        assert len(was[part]) == len(now[part])
        for a, b in zip(was[part], now[part], strict=True):
            assert_equal(b, a, rtol)
            assert rtol or lie_alike(a, b)


def lie_alike(a: Any, b: Any) -> bool:
    """Whether two results, arrays or numbers, lie alike in memory, gaps aside: what is handed out may be a copy."""
    return np.ndim(a) == 0 or same_layout(a.shape, np.empty_like(a).strides, np.empty_like(b).strides)


def assert_equal(a: Any, b: Any, rtol: float) -> None:
    a, b = np.asarray(a), np.asarray(b)
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    if rtol:
        np.testing.assert_allclose(a, b, rtol=rtol if a.dtype == np.float64 else 1e7 * rtol, atol=rtol)
        return
    np.testing.assert_array_equal(a, b)
    if a.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(a) & ~np.isnan(a), np.signbit(b) & ~np.isnan(b))


# -------------------------------------------------------------------------------------------- what a pass makes of it

EXACT = [name for name, one in PASSES.items() if one.exact]
INEXACT = [name for name, one in PASSES.items() if not one.exact]
DIGITS = 1e-12


def names(program: Program) -> list[str]:
    """The calls by name, views left out."""
    return [call.prim.name for call in program.calls if call.prim.kind != "view"]


def apply(name: str, program: Program) -> Program:
    return PASSES[name].function(program)


def checked(name: str, program: Program, awkward: bool = True) -> Program:
    """The program after a pass, which has to mean the same."""
    after = apply(name, program)
    exact = PASSES[name].exact
    for seed in range(3):
        assert_same(program, after, data_for(program, seed, awkward and exact), 0.0 if exact else DIGITS)
    return after


def left(name: str, b: Build, *outputs: Value) -> list[str]:
    """What a pass leaves of a program with these outputs."""
    b.output(*outputs)
    return names(checked(name, b.program))


# ----------------------------------------------------------------------------------------------- what its source does


def assert_identical(a: Any, b: Any) -> None:
    """The same shape, dtype and bits; only one NaN is as good as another."""
    a, b = np.asarray(a), np.asarray(b)
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    np.testing.assert_array_equal(a, b)
    if a.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(a) & ~np.isnan(a), np.signbit(b) & ~np.isnan(b))


def assert_runs(program: Program, seeds: tuple[int, ...] = (0, 1), data: Any = data_for) -> Source:
    """Run after run on new data the linked function does what `run` says; what it handed out before stays."""
    source = write(program)
    memory = {v: copied(a) for v, a in data(program, seeds[0]).memory.items()}
    linked = source.link(memory)
    handed: list[tuple[Any, Any]] = []
    for seed in seeds:
        new = data(program, seed)
        with np.errstate(all="ignore"):
            before = {v: copied(a) for v, a in memory.items()}
            given_in = [copied(a) for a in new.arguments]
            try:
                outputs, writes, gradients, numbers = run(program, new.arguments, new.settings, before)
            except ValueError:  # integers to negative powers
                with pytest.raises(ValueError, match="negative integer powers"):
                    linked.run(*given_in, *new.settings)
                break
            got = linked.run(*given_in, *new.settings)
        for x, y in zip(given_in, new.arguments, strict=True):
            assert_identical(x, y)
        expected = [*outputs, *numbers]
        assert len(got) == len(expected)
        assert all(map(lie_alike, got, expected))
        handed += [(x, copy.deepcopy(y)) for x, y in zip(got, expected, strict=True)]
        for g, wanted in zip(linked.gradients, gradients, strict=True):
            assert_identical(g, wanted)
        for value, array in memory.items():
            assert_identical(array, writes.get(value, before[value]))
    for x, y in handed:
        assert_identical(x, y)
    return source
