"""`Function`: an operation whose backward is written by hand, in Tensor operations or in plain arithmetic.

One node stands for the call; where there are several outputs, each has a small node of its own that leads to it, and
the call's cotangent is the collection of theirs. Read `hooks.py` next.
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from typing import Any

import numpy as np

from ..alarms import warn
from ..alias import FUNCTION, bind, shares
from ..core import PLAIN, Node, Tensor, wrap
from ..duck import Array, as_array
from ..engine import handed_out
from ..errors import DtypeError, GraphError, ShapeError
from ..inplace import adopt, refuse
from ..joint import Parts, output_node
from ..memory import CLOCK, check_saved, stamp
from ..modes import MODE
from .inside import Forward, standing


class Context:
    """What `forward` leaves for `backward`: saved tensors, which inputs need a gradient, and any attribute."""

    needs_input_grad: tuple[bool, ...]

    def __init__(self) -> None:
        self._saved: list[tuple[Any, Any, Any]] = []  # (tensor, its array, or the number of the output that it is)
        self._made = CLOCK[0]
        self._node: Any = None  # a weak reference: the node keeps the context, not the other way round
        self._constant: set[int] = set()
        self._dirty: set[int] = set()
        self._materialize = True
        self._last: tuple[Any, Any] = (None, None)
        self._inside: list[Any] = []  # what forward computed on its way, and is still there
        self._outputs: list[Any] = []  # its outputs as forward knows them

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep input or output tensors (or None); in backward they are `ctx.saved_tensors`."""
        bad = [type(x).__name__ for x in tensors if not (x is None or isinstance(x, Tensor))]
        if bad:
            raise DtypeError(f"save_for_backward: expected tensors, got {bad}; keep other things as `ctx.name = value`")
        self._saved = [(x, x.array if x is not None else None, None) for x in tensors]

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The tensors given to `save_for_backward`, unchanged since."""
        check_saved(tuple(array for _, array, _ in self._saved), self._made, "saved tensor of a Function")
        return tuple(x if output is None else self._output(array, output) for x, array, output in self._saved)

    def _output(self, array: Any, index: int) -> Any:
        """An output that was saved is the output as the graph knows it."""
        return wrap(array, self._output_node(array, index))

    def _output_node(self, array: Any, index: int) -> Any:
        node = self._node()
        return node if node is None or node.shape is not None else output_node(node, index, array)

    def _standing(self) -> list[Any]:
        """The tensors known to forward, with their nodes: what `ctx.y = y` keeps is in the graph too."""
        alive = [(this, i, y) for this, i in self._outputs if (y := this()) is not None]
        return [*self._inside, *((this, self._output_node(y.array, i)) for this, i, y in alive)]

    def _settle(self, node: Node, outputs: dict[int, int]) -> None:
        """Forward is over: saved outputs are kept by number, since keeping the tensors would close a circle."""
        self._made, self._node = CLOCK[0], weakref.ref(node)
        numbered = [(x, array, outputs.get(id(x))) for x, array, _ in self._saved]
        self._saved = [(x if output is None else None, array, output) for x, array, output in numbered]

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """These outputs get no graph."""
        self._constant.update(map(id, tensors))

    def mark_dirty(self, *tensors: Any) -> None:
        """These inputs were changed in place by `forward` and are returned by it."""
        self._dirty.update(map(id, tensors))

    def set_materialize_grads(self, value: bool) -> None:
        """Whether an output that nobody used gets zeros (the default) or None as its gradient."""
        self._materialize = bool(value)


class _FunctionOp:
    """The op of one call. Its rule for input i is the i-th result of the user's backward, which runs once a pass."""

    def __init__(self, user: Any, count: int, outputs: list[tuple[Any, Any]]) -> None:
        self.name: str = user.__name__
        self.user, self.count, self.outputs = user, count, outputs
        self.shapes: dict[int, Any] = {}  # of the inputs that need a gradient
        self.saves = False

    @property
    def rules(self) -> _FunctionOp:
        return self

    pure = rules

    @property
    def roles(self) -> dict[int, tuple[int, ...]]:
        return dict.fromkeys(range(self.count), (PLAIN,))

    def __getitem__(self, index: int) -> Any:
        return functools.partial(self.rule, index)

    def rule(self, index: int, g: Any, ctx: Context) -> Any:
        if ctx._last[0] is not g:
            ctx._last = (g, self.run(ctx, g.parts if isinstance(g, Parts) else {0: g}))
        result = self.checked(ctx._last[1][index], index)
        if index == max(self.shapes):
            ctx._last = (None, None)
        return result if MODE.grad else result.array[...]

    def run(self, ctx: Context, parts: dict[int, Any]) -> tuple[Any, ...]:
        cotangents = [self.cotangent(ctx, parts.get(i), *like) for i, like in enumerate(self.outputs)]
        with standing(ctx._standing()) if MODE.grad else contextlib.nullcontext():
            results = self.user.backward(ctx, *cotangents)
        if results is None and self.shapes:
            warn(
                f"{self.name}: backward returned None, as a function without `return` does, so its inputs get "
                "gradients of 0: return one gradient for each input of forward"
            )
        if MODE.overwriters is not None and any(
            not np.array_equal(given.array, getattr(parts[i], "array", parts[i]), equal_nan=True)
            for i, given in enumerate(cotangents)
            if i in parts
        ):
            MODE.overwriters.add(self.name)
        results = results if isinstance(results, tuple) else (results,)
        while len(results) > self.count and results[-1] is None:  # PyTorch lets trailing Nones pass
            results = results[:-1]
        if len(results) != self.count:
            raise ShapeError(
                f"{self.name}: backward returned {len(results)} gradients for {self.count} inputs of forward; "
                "return one for each, None where there is none"
            )
        return results

    def cotangent(self, ctx: Context, g: Any, shape: Any, dtype: Any) -> Any:
        if g is None:
            return wrap(np.zeros(shape, dtype)) if ctx._materialize else None
        return handed_out(g)

    def checked(self, result: Any, index: int) -> Any:
        shape, dtype = self.shapes[index]
        if result is None:
            return wrap(np.zeros(shape, dtype))
        if isinstance(result, (*Array, float, int)):
            result = wrap(as_array(result, dtype))
        if not isinstance(result, Tensor):
            raise DtypeError(
                f"{self.name}: backward returned {type(result).__name__} for input {index}, not a Tensor or None"
            )
        lead = result.array.ndim - len(shape)
        if lead < 0 or any(n not in (1, m) for n, m in zip(shape, result.array.shape[lead:], strict=True)):
            raise ShapeError(
                f"{self.name}: backward returned a gradient of shape {result.array.shape} for input {index}, which has "
                f"shape {shape}; a gradient has the shape of its input"
            )
        return result


class Function:
    """An operation with a hand-written backward: subclass it, write two static methods, call `apply`.

    `forward(ctx, *inputs)` computes on tensors, unrecorded; `backward(ctx, *cotangents)` returns a gradient for each
    input of forward (None where there is none). Written in Tensor operations, backward can itself be differentiated.
    Alternatively `forward(*inputs)` with a separate `setup_context(ctx, inputs, output)`.

    Raises ShapeError if backward returns the wrong number of gradients or a wrong shape.

    >>> import tinygrad_bp as tg
    >>> class Cube(tg.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return g * 3 * x**2
    >>> x = tg.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad
    tensor(12.)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs."""
        raise GraphError("a Function needs a static method `forward(ctx, *inputs)`")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save what backward needs, where forward has no ctx."""
        raise GraphError("a Function whose forward takes no ctx needs `setup_context(ctx, inputs, output)`")

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        """Return a gradient for each input of forward."""
        raise GraphError("a Function needs a static method `backward(ctx, *cotangents)`")

    @classmethod
    def apply(cls, *inputs: Any, **kwargs: Any) -> Any:
        """Run forward and record the call."""
        ctx = Context()
        record = MODE.grad and any(isinstance(x, Tensor) and x.node is not None for x in inputs)
        ctx.needs_input_grad = tuple(record and isinstance(x, Tensor) and x.node is not None for x in inputs)
        parents = [x.node if isinstance(x, Tensor) else None for x in inputs]
        before = MODE.grad, MODE.forward
        MODE.grad = False
        if record:
            MODE.forward = Forward(cls.__name__, parents)
        try:
            if cls.setup_context is not Function.setup_context:
                outputs = cls.forward(*inputs, **kwargs)
                cls.setup_context(ctx, inputs, outputs)
            else:
                outputs = cls.forward(ctx, *inputs, **kwargs)
        except BaseException:
            if record:
                MODE.forward.forget()
            raise
        finally:
            following = MODE.forward
            MODE.grad, MODE.forward = before
        several = isinstance(outputs, tuple | list)
        listed = list(outputs) if several else [outputs]
        wrong = [type(y).__name__ for y in listed if not (isinstance(y, Tensor) or (several and y is None))]
        if record:
            ctx._inside = following.end(ctx, inputs, listed)
        if wrong or not listed:
            raise DtypeError(f"{cls.__name__}: forward must return a Tensor or a tuple of Tensors, got {wrong}")
        finished = _finish(cls, ctx, inputs, parents, listed, record)
        for y in finished:
            x = next((x for x in inputs if isinstance(x, Tensor) and y is not None and y is not x and same(y, x)), None)
            if x is not None:
                bind(y, x, FUNCTION)
        return tuple(finished) if several else finished[0]


def _finish(cls: Any, ctx: Any, inputs: Any, parents: list[Any], outputs: list[Any], record: bool) -> list[Any]:
    """The outputs with their nodes. An input returned as it is becomes a new tensor; a dirty one keeps its identity."""
    given = {id(x) for x in inputs if isinstance(x, Tensor)}
    for y in outputs:
        if id(y) in ctx._dirty and y is not None:
            refuse(y, cls.__name__, record)
            stamp(y.array, cls.__name__)
    if not record:
        return [wrap(y.array) if id(y) in given and id(y) not in ctx._dirty else y for y in outputs]
    single = len(outputs) == 1
    shape, dtype = (outputs[0].array.shape, outputs[0].array.dtype) if single else (None, None)
    edges = tuple((node, i, (ctx,)) for i, node in enumerate(parents) if node is not None)
    likes = [(y.array.shape, y.array.dtype) if y is not None else ((), np.float32) for y in outputs]
    op = _FunctionOp(cls, len(inputs), likes)
    op.saves = bool(ctx._saved)
    op.shapes = {i: (inputs[i].array.shape, inputs[i].array.dtype) for _, i, _ in edges}
    node = Node(op, edges, shape, dtype)
    ctx._settle(node, {id(y): i for i, y in enumerate(outputs) if y is not None and id(y) not in given})
    finished: list[Any] = []
    for i, y in enumerate(outputs):
        if y is None or id(y) in ctx._constant or y.array.dtype.kind not in "fc":
            finished.append(y)
            continue
        own = node if single else output_node(node, i, y.array)
        if id(y) in ctx._dirty:
            adopt(y, own)
            finished.append(y)
            continue
        if id(y) not in given:
            ctx._outputs.append((weakref.ref(y), i))
        finished.append(wrap(y.array, own))
    return finished


def same(y: Any, x: Any) -> bool:
    """Whether an output lies in the memory of an input."""
    return y.array is x.array or shares(y.array, x.array) or shares(x.array, y.array)


def once_differentiable(backward: Any) -> Any:
    """Decorate a backward written outside the graph: a second derivative through it raises instead of being wrong.

    >>> import tinygrad_bp as tg
    >>> tg.autograd.function.once_differentiable(lambda ctx, g: g).__name__
    '<lambda>'
    """

    @functools.wraps(backward)
    def wrapped(ctx: Any, *cotangents: Any) -> Any:
        recording = MODE.grad
        before, MODE.grad = MODE.grad, False
        try:
            plain = [wrap(g.array) if isinstance(g, Tensor) else g for g in cotangents]
            results = backward(ctx, *plain)
        finally:
            MODE.grad = before
        if not recording:
            return results
        listed = results if isinstance(results, tuple) else (results,)
        inputs = [wrap(np.zeros(node.shape, node.dtype), node) for node, _, _ in ctx._node().edges]
        return tuple(_Refuse.apply(r, *cotangents, *inputs) if isinstance(r, Tensor) else r for r in listed)

    return wrapped


class _Refuse(Function):
    """A value that depends on the cotangents, and on the inputs of the call, in a way nobody can differentiate."""

    @staticmethod
    def forward(ctx: Any, value: Any, *depends: Any) -> Any:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        raise GraphError(
            "a second derivative through a backward that is marked once_differentiable; write the backward in Tensor "
            "operations and take the mark away"
        )
