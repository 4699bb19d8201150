"""Programs at random: whatever calls a step may be made of, and updates of several parameters.

What they mean and how they are held against each other is in `program_kit.py`. Read `test_compiler_passes.py` next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from program_kit import GETITEM, TRANSPOSE, Build, sigmoid

from tinygrad_bp.compiler.program import Program, Value

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
    memories = [b.memory(draw(st.sampled_from(SHAPES)), dtype, f"m{i}") for i in range(4)]
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


# -------------------------------------------------------------------------------------- random layouts


@st.composite
def layouts(draw: Any) -> Program:
    """A program in which it matters how arrays lie: sums and products of what is turned, copied, repeated and scaled.

    Some is made twice, some gradients lie column by column, and all parameters are updated by one rule.
    """
    b = Build()
    n, m = draw(st.sampled_from(((4, 9), (9, 4), (5, 5), (3, 17), (1, 4))))
    dtype = draw(st.sampled_from((np.float64, np.float32)))
    shapes, orders = st.sampled_from(((n, m), (m, n), (n, n), (m,), (2, n, m))), st.sampled_from("CCF")
    memories = [b.memory(draw(shapes), dtype, f"m{i}", order=draw(orders)) for i in range(3)]
    known = [*memories, b.argument((n, m), dtype, order=draw(orders)), b.constant(np.full((n, m), 0.3), dtype)]
    for i in range(draw(st.integers(4, 14))):
        b.phase = "backward" if i > 7 else "forward"
        x = draw(st.sampled_from([v for v in known[-3:] if draw(st.booleans())] or known))
        try:
            known.append(draw(st.sampled_from(LAYING))(draw, b, x, known))
        except (ValueError, IndexError):
            continue  # shapes that do not fit
    b.phase, lr = "update", b.setting()
    for p in memories:
        fitting = [v for v in known if (v.shape, v.dtype) == (p.shape, p.dtype) and v is not p]
        g = draw(st.sampled_from(fitting or [p]))
        g = b.ufunc(np.multiply, b.transpose(b.copy(b.transpose(g))), 2.0) if draw(st.booleans()) else g
        new = plain_rule(b, p, g, lr)
        b.gradient(p, g)
        known += [b.reduce(np.add, v, None) for v in (g, new) if draw(st.booleans())]
        if new.strides == p.strides:
            b.write(p, new)
    b.output(*draw(st.lists(st.sampled_from(known[-6:]), min_size=1, max_size=3)))
    return b.program


def _turned(draw: Any, b: Build, x: Value, known: list[Value]) -> Value:
    return b.transpose(x)


def _compact(draw: Any, b: Build, x: Value, known: list[Value]) -> Value:
    return b.copy(x) if draw(st.booleans()) else b.function(np.ascontiguousarray, x)


def _repeated(draw: Any, b: Build, x: Value, known: list[Value]) -> Value:
    return b.broadcast_to(x, (2, *x.shape[-2:]))


def _cut(draw: Any, b: Build, x: Value, known: list[Value]) -> Value:
    step = slice(None, None, draw(st.sampled_from((2, -1))))
    return b.getitem(x, (..., step)) if draw(st.booleans()) else b.getitem(x, (slice(1, None), None))


def _same(draw: Any, b: Build, x: Value, known: list[Value]) -> Value:
    """Something with the same entries, that may lie otherwise."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return b.ufunc(np.negative, b.ufunc(np.negative, x))
    if kind == 1:
        return b.ufunc(np.add, b.constant(np.full(x.shape, -0.0), x.dtype), x)
    return b.ufunc(np.multiply, x, 1.0) if kind == 2 else b.astype(x, x.dtype)


def _curve(draw: Any, b: Build, x: Value, known: list[Value]) -> Value:
    return b.ufunc(draw(st.sampled_from((np.tanh, np.exp, np.negative))), x)


def _pair(draw: Any, b: Build, x: Value, known: list[Value]) -> Value:
    return b.ufunc(draw(st.sampled_from((np.add, np.multiply))), x, draw(st.sampled_from(known)))


def _twice(draw: Any, b: Build, x: Value, known: list[Value]) -> Value:
    """The product of something with its own transpose, or with the transpose of something equal."""
    again = x if x.maker is None else b.call(x.maker.prim, *x.maker.args, **x.maker.kwargs)
    return b.dot(x, b.transpose(draw(st.sampled_from((x, _same(draw, b, x, known), again)))))


def _times(draw: Any, b: Build, x: Value, known: list[Value]) -> Value:
    return b.dot(x, draw(st.sampled_from(known)))


def _total(draw: Any, b: Build, x: Value, known: list[Value]) -> Value:
    return b.reduce(np.add, x, draw(st.sampled_from((None, 0, -1))))


LAYING = (
    _turned, _turned, _compact, _repeated, _cut, _same, _same, _curve, _pair, _pair, _twice, _times, _total, _total,
)  # fmt: skip


STEPS = (
    _unary, _binary, _binary, _binary, _reduce, _view, _view, _copy, _product, _effect, _assign, _again, _again,
    _sigmoid, _scaled,
)  # fmt: skip


# --------------------------------------------------------------------------------------- random updates


@st.composite
def updates(draw: Any) -> Program:
    """An update of several memories, by rules that are mostly the same, with whatever may come between.

    Gradients are shared, clipped, or depend on another's new content; states are read or begun; memories have no
    dimension or no entries; new and old contents, and gradients, are read elsewhere; a second step.
    """
    b = Build()
    shapes = draw(st.lists(st.sampled_from(((2, 3), (3,), (), (0, 3), (2, 3))), min_size=2, max_size=4))
    dtype = draw(st.sampled_from((np.float64, np.float64, np.float32)))
    lr, other_lr, x = b.setting("lr"), b.setting("other"), b.argument((), dtype)
    news: list[Value] = []
    rule = draw(st.sampled_from(RULES))
    parameters = [b.memory(shape, dtype, f"p{i}") for i, shape in enumerate(shapes)]
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
