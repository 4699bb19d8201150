"""From a declaration to a function: take the arrays out, run the forward, record a node if an input needs one.

There is one way of calling, `apply`; `unary` and `binary` are the same written out for operations without parameters,
because a small network spends its time here. Read `dialect.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .alarms import silence
from .alias import register
from .axes import normal_axes
from .core import MORE, OUTPUT, Leaf, Tensor, leading, recorded, wrap
from .dtypes import get_default_dtype, native, result_type
from .duck import TRACES, Array, as_array
from .errors import DtypeError, TensorError
from .joint import outputs_of
from .kernels import HALF
from .modes import MODE
from .refusals import UNCLEAR, no_tensor, once_more, unclear

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .declare import Op

ndarray = np.ndarray
Operand: TypeAlias = "Tensor | np.ndarray[Any, Any] | float"
Number = (int, float, complex)


def operand(value: Any, op: Op) -> Any:
    """What a non-Tensor input counts as: arrays as they are, NumPy scalars as Python numbers (weak in dtype)."""
    if isinstance(value, Number):
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, ndarray) and value.dtype.kind in "biufc":
        return native(value)
    if hasattr(value, "__array_ufunc__") and not isinstance(value, ndarray):
        return value
    raise no_tensor(op, value)


def unary(op: Op) -> Callable[[Any], Any]:
    forward, pick = op.forward, op.pick[0]
    of_input, of_output = op.roles[0] == (0,), op.roles[0] == (OUTPUT,)

    def call(input: Any) -> Any:
        x = input  # PyTorch's name for it
        array, node = (x.array, x.node) if isinstance(x, Tensor) else (as_array(operand(x, op)), None)
        try:
            y = forward(array)
        except (ValueError, TypeError) as error:
            y = once_more(op, (array,), (), error)
        if node is None:
            return wrap(in_default_dtype(op, y, (array,), ()))
        if type(y) is not ndarray:
            y = as_array(y)
        if not MODE.grad:
            return unrecorded(op, y, (node,))
        return leading(op, node, 0, y if of_output else array if of_input else pick((array, y)), None, y)

    return call


def binary(op: Op) -> Callable[[Any, Any], Any]:
    forward = op.forward
    pick_a, pick_b, *_ = op.pick
    a_of_b, b_of_a = op.roles[0] == (1,), op.roles[1] == (0,)
    a_of_none, b_of_none = op.roles[0] == (), op.roles[1] == ()
    left_out = (None,) * (len(op.inputs) - 2)  # a bias that is not given

    def call(a: Any, b: Any) -> Any:
        u, m = (a.array, a.node) if isinstance(a, Tensor) else (operand(a, op), None)
        v, n = (b.array, b.node) if isinstance(b, Tensor) else (b if type(b) is float else operand(b, op), None)
        if not (u.dtype is v.dtype is not HALF if type(u) is type(v) is ndarray else not TRACES):
            if op.adds_up:
                return apply(op, (a, b, *left_out), ())
            u, v = promote((u, v))
        try:
            y = forward(u, v)
        except TensorError:
            raise
        except OverflowError:
            y = around(op, (u, v))
        except (ValueError, TypeError) as error:
            y = once_more(op, (u, v), (), error)
        if m is None and n is None:
            return wrap(in_default_dtype(op, y, (u, v), ()))
        if type(y) is not ndarray:
            y = as_array(y)
        if not MODE.grad:
            return unrecorded(op, y, (m, n))
        if n is None:
            return leading(op, m, 0, v if a_of_b else () if a_of_none else pick_a((u, v, y)), None, y)
        second = u if b_of_a else () if b_of_none else pick_b((u, v, y))
        if m is None:
            return leading(op, n, 1, second, None, y)
        if type(n) is not Leaf:
            n.fan = MORE[n.fan]
        return leading(op, m, 0, v if a_of_b else () if a_of_none else pick_a((u, v, y)), (n, 1, second, None), y)

    return call


def ternary(op: Op) -> Callable[[Any, Any, Any], Any]:
    forward = op.forward
    pick_a, pick_b, pick_c = op.pick
    without = binary(op) if op.optional[2] else None  # a linear map that has no bias
    a_of_b, b_of_a, c_of_none = op.roles[0] == (1,), op.roles[1] == (0,), op.roles[2] == ()

    def call(a: Any, b: Any, c: Any = None) -> Any:
        if c is None and without is not None:
            return without(a, b)
        u, m = (a.array, a.node) if isinstance(a, Tensor) else (operand(a, op), None)
        v, n = (b.array, b.node) if isinstance(b, Tensor) else (operand(b, op), None)
        w, o = (c.array, c.node) if isinstance(c, Tensor) else (operand(c, op), None)
        if not (type(u) is type(v) is type(w) is ndarray and u.dtype is v.dtype is w.dtype is not HALF):
            if op.adds_up:
                return apply(op, (a, b, c), ())
            u, v, w = promote((u, v, w))
        try:
            y = forward(u, v, w)
        except (ValueError, TypeError) as error:
            y = once_more(op, (u, v, w), (), error)
        if n is None or o is None or not MODE.grad:  # else a layer in training, the usual case
            return record(op, y, (u, v, w), (m, n, o), ())
        if type(y) is not ndarray:
            y = as_array(y)
        if type(o) is not Leaf:
            o.fan = MORE[o.fan]
        third = (o, 2, () if c_of_none else pick_c((u, v, w, y)), None)
        second = u if b_of_a else pick_b((u, v, w, y))
        if m is None:
            return leading(op, n, 1, second, third, y)
        if type(n) is not Leaf:
            n.fan = MORE[n.fan]
        return leading(op, m, 0, v if a_of_b else pick_a((u, v, w, y)), (n, 1, second, third), y)

    return call


def without_parameters(op: Op) -> Callable[..., Any]:
    """The call of an operation without parameters."""
    makers: dict[int, Callable[[Op], Callable[..., Any]]] = {1: unary, 2: binary, 3: ternary}
    return makers[len(op.inputs)](op)


def apply(op: Op, inputs: Sequence[Any], params: tuple[Any, ...]) -> Any:
    """The forward of `op` on Tensors, arrays or numbers, recorded; `params` are already in their final form."""
    if op.may_lack:
        arrays = [None if t is None and may else t.array if isinstance(t, Tensor) else operand(t, op)
                  for t, may in zip(inputs, op.optional, strict=True)]  # fmt: skip
    else:
        arrays = [t.array if isinstance(t, Tensor) else operand(t, op) for t in inputs]
    nodes = [t.node if isinstance(t, Tensor) else None for t in inputs]
    if len(arrays) > 1:
        arrays = list(promote(arrays))
    if op.adds_up and getattr(arrays[0], "dtype", None) is HALF:  # they have met in one dtype
        op = op.halves
    try:
        y = op.forward(*arrays, *params)
    except TensorError:
        raise
    except OverflowError:
        y = around(op, arrays, params)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        y = once_more(op, arrays, params, error)
    return record(op, y, arrays, nodes, params)


def record(op: Op, y: Any, arrays: Sequence[Any], nodes: Sequence[Any], params: tuple[Any, ...]) -> Any:
    """The output as a Tensor, with a node if recording is on and an input needs a gradient."""
    if op.outputs:
        return record_several(op, y, arrays, nodes, params)
    for node in nodes:
        if node is not None:
            break
    else:
        return wrap(in_default_dtype(op, y, arrays, params))
    if type(y) is not ndarray:
        y = as_array(y)
    if not MODE.grad or not op.rules:
        return unrecorded(op, y, nodes)
    values = (*arrays, y, *params)
    pick = op.pick
    if len(nodes) == 1:
        return leading(op, node, 0, pick[0](values), None, y)
    edges = tuple([(node, i, pick[i](values)) for i, node in enumerate(nodes) if node is not None])
    return recorded(op, edges, y)


def record_several(op: Op, ys: Any, arrays: Sequence[Any], nodes: Sequence[Any], params: tuple[Any, ...]) -> Any:
    """The outputs in a named tuple, each with a node of its own that leads to the operation's."""
    ys = tuple([in_default_dtype(op, as_array(y), arrays, params) for y in ys])
    needing = [i for i, node in enumerate(nodes) if node is not None]
    if needing and not MODE.grad and op.rules and not op.flat:
        return op.result(*[unrecorded(op, y, nodes) for y in ys])
    values = (tuple([(y.shape, y.dtype) for y in ys]), *arrays, *ys, *params)
    return outputs_of(op, tuple([(nodes[i], i, op.pick[i](values)) for i in needing if op.rules and MODE.grad]), ys)


def around(op: Op, arrays: Sequence[Any], params: tuple[Any, ...] = ()) -> Any:
    """The forward with ints that are too large for the integers they meet: they wrap around, as in PyTorch."""
    dtype = next(a.dtype for a in arrays if isinstance(a, Array))
    for a in arrays:
        if isinstance(a, int) and not -(2**63) <= a < 2**64:
            raise DtypeError(f"{op.name}: {a} is larger than any integer of 64 bits; use floats")
    bits = 8 * dtype.itemsize
    return op.forward(*[
        np.array(a % 2**bits, np.uint64).astype(dtype) if isinstance(a, int) and not isinstance(a, bool) else a
        for a in arrays
    ], *params)


def unrecorded(op: Op, y: Any, nodes: Sequence[Any]) -> Any:
    """The output as a constant; in the forward of a Function it is followed, unless its derivative is 0 anyway."""
    forward = MODE.forward
    return wrap(y) if forward is None or op.flat or not op.rules else forward.follow(wrap(y), op.name, nodes)


def promote(arrays: Sequence[Any]) -> Sequence[Any]:
    """The arrays in the dtype in which they meet; Python numbers stay weak."""
    real = [a for a in arrays if isinstance(a, Array)]
    if len(real) < 2 or all(a.dtype is real[0].dtype for a in real):
        return arrays
    dtype = result_type(*real)
    return [a.astype(dtype) if isinstance(a, Array) and a.dtype != dtype else a for a in arrays]


def in_default_dtype(op: Op, y: Any, arrays: Sequence[Any], params: tuple[Any, ...]) -> Any:
    """A float result of integers has the default dtype, as in PyTorch; NumPy would make it float64 (or float16)."""
    if type(y) is tuple or as_array(y).dtype.kind != "f":
        return y
    if any(isinstance(a, Array) and a.dtype.kind in "fc" for a in arrays):
        return y
    dtype = get_default_dtype()
    arrays = [a.astype(dtype) if isinstance(a, Array) else a for a in arrays]
    with np.errstate(all="ignore"):  # the first time has told
        again = op.forward(*arrays, *params)
    return as_array(again).astype(dtype, copy=False)


def general(op: Op) -> Callable[..., Any]:
    """The call of an operation with parameters: `front` (or the forward's own signature) puts them in order."""
    count = len(op.inputs)
    front = op.front
    axis = (*op.inputs, *op.params).index("axis") if op.axis else 0
    read_axis, vector = op.axis or (normal_axes, False)

    def call(*args: Any, **kwargs: Any) -> Any:
        given = [x if isinstance(x, Tensor) or not isinstance(x, Array) else wrap(native(x)) for x in args[:count]]
        try:
            values = front(*given, *args[count:], **kwargs) if front else fill(op, [*given, *args[count:]], kwargs)
            if axis:
                x, *_ = values = [*values]
                if not isinstance(x, Tensor):
                    x = values[0] = wrap(as_array(operand(x, op)))
                values[axis] = read_axis(values[axis], x.array.ndim, op.name)
                if vector and not x.array.ndim:
                    return as_number(call(x.reshape(1), *values[1:]))
        except UNCLEAR as error:
            raise unclear(op, args, kwargs, error) from None
        params = tuple([v.array if isinstance(v, Tensor) else v for v in values[count:]])
        made = apply(op, values[:count], params)
        if op.view and isinstance(values[0], Tensor):
            if made.array is values[0].array:
                return values[0]
            register(made, values[0], op, params)
        return made

    return call


def as_number(result: Any) -> Any:
    """What came of a vector of one entry that stood for a 0-d tensor, 0-d again."""
    if isinstance(result, Tensor):
        return result.reshape(())  # type: ignore[attr-defined]
    return type(result)(*[part.reshape(()) for part in result])


def fill(op: Op, args: Sequence[Any], kwargs: dict[str, Any]) -> Sequence[Any]:
    """Arguments in the order (inputs…, parameters…), with the declared defaults."""
    tail = op.tails.get(len(args))
    if tail is not None and not kwargs:
        return [*args, *tail]
    names = (*op.inputs, *op.params)
    if len(args) > len(names):
        raise DtypeError(f"{op.name}: takes {len(names)} arguments {names}, got {len(args)}")
    values = dict(op.defaults) | dict(zip(names, args, strict=False)) | kwargs
    unknown, missing = set(kwargs) - set(names), [name for name in names if name not in values]
    if unknown or missing:
        raise DtypeError(f"{op.name}: arguments are {names}; missing {missing}, unexpected {sorted(unknown)}")
    return [values[name] for name in names]


def reducing(op: Op) -> Callable[..., Any]:
    """The call of a reduction: the axes become a tuple of non-negative ints, once."""

    def fold(x: Any, axis: Any = None, keepdims: bool = False, *params: Any, **named: Any) -> Any:
        array, node = (x.array, x.node) if isinstance(x, Tensor) else (as_array(operand(x, op)), None)
        if named or len(params) < len(op.params) - 2:
            params = tuple(fill(op, (array, axis, keepdims, *params), named)[3:])
        axes, of = normal_axes(axis, array.ndim, op.name), op.halves if array.dtype is HALF else op
        try:
            y = of.forward(array, axes, keepdims, *params)
        except (ValueError, TypeError) as error:
            y = once_more(of, (array,), (axes, keepdims, *params), error)
        if node is None or not MODE.grad:
            if node is None:
                y = in_default_dtype(op, y, (array,), (axes, keepdims, *params))
            return unrecorded(op, y, (node,))
        if type(y) is not ndarray:
            y = as_array(y)
        kept = tuple([1 if i in axes else n for i, n in enumerate(array.shape)])
        values = (array, y, axes, keepdims, kept, *params)
        return leading(of, node, 0, op.pick[0](values), None, y)

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            values = op.front(*args, **kwargs)  # type: ignore[misc]
        except UNCLEAR as error:
            raise unclear(op, args, kwargs, error) from None
        return fold(*values)

    return call if op.front else fold


silence(globals())
