"""Programs by hand: a builder, whole training steps of small nets, random programs, and what they mean.

`Build` works out shapes and dtypes by running each call on ones. Read `test_compiler_passes.py` next.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

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

    def argument(self, shape: Shape, dtype: Any = np.float64, name: str = "x") -> Value:
        self.program.arguments.append(Value(ARGUMENT, shape, np.dtype(dtype), name))
        return self.program.arguments[-1]

    def memory(self, shape: Shape, dtype: Any = np.float64, name: str = "memory", movable: bool = True) -> Value:
        value = Value(MEMORY, shape, np.dtype(dtype), name)
        value.movable = movable
        return value

    def constant(self, array: Any, dtype: Any = None, name: str = "") -> Value:
        held = np.array(array, dtype)
        value = Value(CONSTANT, held.shape, held.dtype, name)
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
            out = Value(RESULT, array.shape, array.dtype, name, self.scope)
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
    return NUMBER if value.is_number else np.ones(value.shape, value.dtype)


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
        return np.asarray(array).astype(value.dtype)

    known = [*program.arguments, *program.memories()]
    arrays = {value: entries(value) for value in known}
    return Data(
        [arrays[v] for v in program.arguments],
        [float(rng.uniform(0.1, 0.9)) for _ in program.settings],
        {v: arrays[v] for v in program.memories()},
    )


def meaning(program: Program, data: Data) -> tuple[Any, ...]:
    """(outputs, {memory: its content at the end}, gradients, numbers), with flat memories taken apart again."""
    memory = dict(data.memory)
    for flat, members in program.flat.items():
        memory[flat] = np.concatenate([np.ravel(memory[m]) for m in members])
    with np.errstate(all="ignore"):
        outputs, writes, gradients, numbers = run(program, data.arguments, data.settings, memory)
    for flat, members in program.flat.items():
        content, start = writes.pop(flat, None), 0
        for member in members if content is not None else []:
            writes[member] = content[start : start + member.size].reshape(member.shape)
            start += member.size
    return outputs, writes, gradients, numbers


def assert_same(before: Program, after: Program, data: Data, rtol: float = 0.0) -> None:
    """Both programs do the same: to the bit (only one NaN is as good as another), or to a relative error in float64."""
    was, now = meaning(before, data), meaning(after, data)
    assert set(was[1]) <= set(now[1])
    for memory, content in now[1].items():  # a flat memory may hold members that nobody wrote
        old = was[1].get(memory, data.memory.get(memory))
        assert_equal(content, old, rtol)
    for part in (0, 2, 3):
        assert len(was[part]) == len(now[part])
        for a, b in zip(was[part], now[part], strict=True):
            assert_equal(b, a, rtol)


def assert_equal(a: Any, b: Any, rtol: float) -> None:
    a, b = np.asarray(a), np.asarray(b)
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    if rtol:
        np.testing.assert_allclose(a, b, rtol=rtol if a.dtype == np.float64 else 1e7 * rtol, atol=rtol)
        return
    np.testing.assert_array_equal(a, b)
    if a.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(a) & ~np.isnan(a), np.signbit(b) & ~np.isnan(b))


# -------------------------------------------------------------------------------------- random programs

SHAPES = ((2, 3), (3,), (1, 3), (2, 1), (), (0, 3), (1,))
DTYPES = (np.float64, np.float64, np.float32, np.int64)
NUMBERS = (1, 1.0, True, 0, 0.0, -0.0, 2, -1.5)
UNARY = (np.negative, np.positive, np.absolute, np.tanh)
BINARY = (np.add, np.subtract, np.multiply, np.true_divide, np.maximum, np.minimum, np.power, np.logaddexp)


def clock() -> float:
    """Stands for an effect: a call that no pass may drop, double or merge."""
    return 1.0


@st.composite
def programs(draw: Any, most: int = 14) -> Program:
    """A random program: ufuncs, views, reductions, products, copies, effects and assignments over a few memories."""
    b = Build()
    dtype = draw(st.sampled_from(DTYPES))
    known: list[Value] = [b.argument(draw(st.sampled_from(SHAPES)), dtype)]
    memories = [b.memory(draw(st.sampled_from(SHAPES)), dtype, f"m{i}", draw(st.booleans()) or i < 2) for i in range(4)]
    known += [*memories, b.setting("s"), b.constant(draw(st.sampled_from((1, -0.0, 2.0, 0.0))), dtype)]
    known.append(b.constant(np.full((2, 3), draw(st.sampled_from((1, 0, 3)))), dtype))
    for i in range(draw(st.integers(3, most))):
        b.phase = "update" if i > most // 2 else "forward"
        b.quiet = draw(st.sampled_from(({}, {}, {"over": "ignore"})))
        try:
            known.append(draw(st.sampled_from(STEPS))(draw, b, known))
        except (ValueError, TypeError, IndexError):
            continue  # shapes that do not fit
    arrays = [v for v in known if not v.is_number]
    b.output(*draw(st.lists(st.sampled_from(known), min_size=1, max_size=3)))
    for memory in memories:
        fitting = [v for v in arrays if (v.shape, v.dtype) == (memory.shape, memory.dtype) and v is not memory]
        if fitting and draw(st.booleans()):
            b.write(memory, draw(st.sampled_from(fitting)))
    b.gradient(memories[0], draw(st.sampled_from(arrays)))
    return b.program


def _one(draw: Any, known: list[Value]) -> Value:
    return draw(st.sampled_from([v for v in known if not v.is_number]))  # type: ignore[no-any-return]


def _unary(draw: Any, b: Build, known: list[Value]) -> Value:
    return b.ufunc(draw(st.sampled_from(UNARY)), _one(draw, known))


def _binary(draw: Any, b: Build, known: list[Value]) -> Value:
    other = draw(st.one_of(st.sampled_from(known), st.sampled_from(NUMBERS)))
    pair = [_one(draw, known), other]
    function = draw(st.sampled_from(BINARY))
    if function is np.power and pair[0].dtype.kind != "f":
        function = np.subtract  # integers to negative powers are refused, depending on their values
    return b.ufunc(function, *(pair if draw(st.booleans()) else reversed(pair)))


def _reduce(draw: Any, b: Build, known: list[Value]) -> Value:
    axis = draw(st.sampled_from((0, (0,), 1, None, (0, 1))))
    return b.reduce(draw(st.sampled_from((np.add, np.multiply))), _one(draw, known), axis, draw(st.booleans()))


def _view(draw: Any, b: Build, known: list[Value]) -> Value:
    x, kind = _one(draw, known), draw(st.integers(0, 5))
    if kind == 0:
        return b.transpose(x)
    if kind == 1:
        return b.reshape(x, draw(st.sampled_from((x.shape, (x.size,), (1, x.size)))))
    if kind == 2:
        return b.broadcast_to(x, draw(st.sampled_from((x.shape, (2, 3), (2, *x.shape)))))
    return b.getitem(x, draw(st.sampled_from((..., slice(None), slice(1, None), (slice(None), 0), 0))))


def _copy(draw: Any, b: Build, known: list[Value]) -> Value:
    x = _one(draw, known)
    return b.copy(x) if draw(st.booleans()) else b.astype(x, draw(st.sampled_from((x.dtype, np.float64))))


def _product(draw: Any, b: Build, known: list[Value]) -> Value:
    return b.dot(_one(draw, known), _one(draw, known))


def _effect(draw: Any, b: Build, known: list[Value]) -> Value:
    return b.function(clock, effect=True)


def _assign(draw: Any, b: Build, known: list[Value]) -> Value:
    path = draw(st.sampled_from(((), ((GETITEM, (slice(1, None),)),), ((TRANSPOSE, ((1, 0),)), (GETITEM, (0,))))))
    return b.assign(_one(draw, known), _one(draw, known), *path)


def _again(draw: Any, b: Build, known: list[Value]) -> Value:
    """A call that was there before, with the numbers perhaps of another type or sign."""
    call = draw(st.sampled_from(b.program.calls))
    other = draw(st.sampled_from((None, 1, 1.0, True, 0.0, -0.0)))
    args = [arg if other is None or type(arg) not in (bool, int, float) else other for arg in call.args]
    return b.call(call.prim, *args, **call.kwargs)


def _sigmoid(draw: Any, b: Build, known: list[Value]) -> Value:
    return sigmoid(b, _one(draw, known))


def _scaled(draw: Any, b: Build, known: list[Value]) -> Value:
    x = _one(draw, known)
    for _ in range(2):
        number = draw(st.sampled_from((2.0, -0.5, 3, 1e300, 1e-300, 0.1)))
        x = b.ufunc(draw(st.sampled_from((np.multiply, np.true_divide))), x, number)
    return x


STEPS = (
    _unary, _binary, _binary, _binary, _reduce, _view, _view, _copy, _product, _effect, _assign, _again, _again,
    _sigmoid, _scaled,
)  # fmt: skip


# --------------------------------------------------------------------------------------- random updates


@st.composite
def updates(draw: Any) -> Program:
    """An update of several memories, by rules that are mostly the same, with whatever may come between.

    Gradients are shared, clipped, or depend on another's new content; states are read or begun; memories that may not
    move, of no dimension or no entries; new and old contents, and gradients, are read elsewhere; a second step.
    """
    b = Build()
    shapes = draw(st.lists(st.sampled_from(((2, 3), (3,), (), (0, 3), (2, 3))), min_size=2, max_size=4))
    dtype = draw(st.sampled_from((np.float64, np.float64, np.float32)))
    lr, other_lr, x = b.setting("lr"), b.setting("other"), b.argument((), dtype)
    news: list[Value] = []
    rule = draw(st.sampled_from(RULES))
    parameters = [b.memory(shape, dtype, f"p{i}", draw(st.sampled_from((True, True, True, False))))
                  for i, shape in enumerate(shapes)]  # fmt: skip
    b.phase = "backward"
    gradients = [b.ufunc(np.multiply, x, p) for p in parameters]
    scale = x
    if draw(st.booleans()):
        b.phase = "update"
        for p, g in zip(parameters, gradients, strict=True):
            scale = b.ufunc(np.add, scale, b.reduce(np.add, b.ufunc(np.multiply, g, g), axis=None) if p.shape else g)
        gradients = [b.ufunc(np.multiply, g, scale) for g in gradients]
    for i, p in enumerate(parameters):
        odd = draw(st.integers(0, 9))
        b.phase = "backward" if draw(st.booleans()) else "update"
        if odd == 0 and news:
            gradients[i] = b.ufunc(np.multiply, gradients[i], b.reduce(np.add, news[-1], axis=None))
        if odd == 1 and parameters[0].shape == p.shape:
            gradients[i] = gradients[0]
        b.phase = "update"
        step = draw(st.sampled_from(RULES)) if odd == 2 else rule
        content = step(b, p, gradients[i], other_lr if odd == 3 else lr)
        if odd == 4:
            b.output(b.ufunc(np.exp, content), p)
        if odd == 5:
            content = step(b, content, b.ufunc(np.multiply, content, x), lr)
        news.append(content)
        b.gradient(p, gradients[i])
    pairs = list(zip(parameters, news, strict=True))
    for p, content in draw(st.permutations(pairs)):
        b.write(p, content)
    b.output(*draw(st.lists(st.sampled_from([*news, *gradients, *parameters]), max_size=2)))
    same = [p for p in parameters if p.shape == parameters[0].shape]
    if len(same) > 1 and draw(st.integers(0, 5)) == 0:  # swapped contents
        first, last = same[0], same[-1]
        b.program.writes[first], b.program.writes[last] = b.program.writes[last], b.program.writes[first]
    return b.program


def plain_rule(b: Build, p: Value, g: Value, lr: Value) -> Value:
    return b.ufunc(np.subtract, p, b.ufunc(np.multiply, g, lr))


def momentum_rule(b: Build, p: Value, g: Value, lr: Value) -> Value:
    state = b.memory(p.shape, p.dtype, "momentum")
    m = b.ufunc(np.add, b.ufunc(np.multiply, state, 0.9), g)
    b.write(state, m)
    return plain_rule(b, p, m, lr)


def first_rule(b: Build, p: Value, g: Value, lr: Value) -> Value:
    b.write(b.memory(p.shape, p.dtype, "momentum"), g)
    return plain_rule(b, p, g, lr)


def begun_rule(b: Build, p: Value, g: Value, lr: Value) -> Value:
    d = b.ufunc(np.add, g, b.ufunc(np.multiply, p, 0.01))
    b.write(b.memory(p.shape, p.dtype, "momentum"), d)
    return plain_rule(b, p, b.ufunc(np.add, d, b.ufunc(np.multiply, d, 0.9)), lr)


def anchored_rule(b: Build, p: Value, g: Value, lr: Value) -> Value:
    anchor = b.memory(p.shape, p.dtype, "anchor")  # read, never written
    return plain_rule(b, p, b.ufunc(np.add, g, b.ufunc(np.subtract, p, anchor)), lr)


def adam_rule(b: Build, p: Value, g: Value, lr: Value) -> Value:
    m, v = b.memory(p.shape, p.dtype, "exp_avg"), b.memory(p.shape, p.dtype, "exp_avg_sq")
    new_m = b.ufunc(np.add, b.ufunc(np.multiply, m, 0.9), b.ufunc(np.multiply, g, 0.1))
    new_v = b.ufunc(np.add, b.ufunc(np.multiply, v, 0.999), b.ufunc(np.multiply, b.ufunc(np.multiply, g, g), 0.001))
    b.write(m, new_m)
    b.write(v, new_v)
    slope = b.ufunc(np.true_divide, new_m, b.ufunc(np.add, b.ufunc(np.sqrt, b.ufunc(np.absolute, new_v)), 1e-8))
    return plain_rule(b, p, slope, lr)


RULES = (plain_rule, momentum_rule, first_rule, begun_rule, anchored_rule, adam_rule)
