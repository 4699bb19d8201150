"""What the REGISTRY makes of Tensor: methods, operators, in-place forms; and the functions of `tg`.

What an operation is called stands in its declaration. Each name is bound when it is first asked for, since a script
uses a few dozen of them; operators are bound at once, because Python looks for them in the class alone. Read
`numpy_api.py` next.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from . import ops  # noqa: F401  (fills the REGISTRY)
from .core import Tensor, wrap
from .declare import REGISTRY, Op
from .duck import as_array
from .errors import DtypeError
from .grammar import grammar
from .inplace import filling, in_place
from .ops.arithmetic import div, reciprocal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WRITING = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")  # operators that have `+=`


def spelled(op: Op) -> Callable[..., Any]:
    """The call of `op` with keyword names in either spelling."""
    call = op.call

    def function(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            args, kwargs = grammar(op).translate(args, kwargs)
            if op.dtype and "dtype" in kwargs:
                args = (in_dtype(op, args[0], kwargs.pop("dtype")), *args[1:])
        try:
            return call(*args, **kwargs)
        except (TypeError, KeyError) as error:
            raise grammar(op).misuse(args, kwargs, error) from None

    return function


def in_dtype(op: Op, x: Any, dtype: Any) -> Any:
    """The input converted before it is summed, as in PyTorch."""
    if dtype is None:
        return x
    x = (x if isinstance(x, Tensor) else wrap(as_array(x))).to(dtype)  # type: ignore[attr-defined]
    if op.key == "mean" and x.dtype.kind not in "fc":
        raise DtypeError(f"mean: a mean of integers is no integer, and dtype={x.dtype} asks for one; use a float dtype")
    return x


def function_of(op: Op) -> Any:
    """What users call: the operation itself if nothing can be said by keyword, else with its spellings."""
    if callable(op.public):
        return titled(op.public, op)
    function: Any
    alone = len(grammar(op).parameters) == 1 and op.front is None and op.word not in ("composite", "constant")
    function = op.call if alone else spelled(op)
    function.__signature__ = grammar(op).signature()
    return titled(function, op)


def titled(function: Any, op: Op, name: str = "") -> Any:
    """The function under a name of the operation, with its description."""
    function.__name__ = function.__qualname__ = name or op.key
    function.__module__ = __package__
    function.__doc__ = op.call.__doc__ or op.doc
    function.op = op
    return function


def writing(op: Op, name: str) -> Any:
    """The form that writes its result over its input."""
    function = method_of(op)
    method = in_place(function, name)
    method.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    method.__doc__ = f"The in-place form of `{name[:-1]}`."
    return method


class Functions(Mapping[str, Any]):
    """The functions of `tg` by name, each made when it is first asked for; aliases are the function itself."""

    def __init__(self) -> None:
        self._ops = {name: op for op in REGISTRY.values() if op.public for name in (op.key, *op.alias)}
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        op = self._ops[name]
        if op.key not in self._made:
            self._made[op.key] = function_of(op)
        return self._made[op.key]

    def __contains__(self, name: object) -> bool:
        return name in self._ops

    def __iter__(self) -> Iterator[str]:
        return iter(self._ops)

    def __len__(self) -> int:
        return len(self._ops)


class Later:
    """A method that takes its place in the class when it is first asked for."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self.name, self.make = name, make

    def __get__(self, tensor: Any, kind: type) -> Any:
        method = self.make()
        if isinstance(vars(Tensor).get(self.name), Later):
            setattr(Tensor, self.name, method)
        return method if tensor is None else method.__get__(tensor, kind)


FUNCTIONS = Functions()


def method_of(op: Op) -> Any:
    """What the method of an operation is."""
    return FUNCTIONS[op.key] if op.public else function_of(op)


def members(op: Op) -> Iterator[tuple[str, Any]]:
    """One operation's methods, in-place forms and operators, by name."""
    for name in (op.key, *op.alias):
        if isinstance(op.method, str):
            yield op.method, op.call
        elif op.method is property:
            yield name, property(op.call)
        elif op.method is not True and op.method:
            yield name, titled(op.method, op, name)
        elif op.method:
            yield name, Later(name, partial(method_of, op))
        if op.in_place:
            yield f"{name}_", Later(f"{name}_", partial(writing, op, f"{name}_"))
    for operator in op.operators:
        call = reflected(op.call) if operator[0] == "r" and operator[1:] in op.operators else op.call
        yield f"__{operator}__", comparing(call) if operator in ("eq", "ne") else call
        if op.in_place and operator in WRITING:
            yield f"__i{operator}__", in_place(op.call, f"__i{operator}__")


def quotient(b: Any, other: Any) -> Any:
    """other / b; of a number it is computed so that neither b nor the quotient is kept, as in PyTorch."""
    return reciprocal(b) * other if isinstance(other, int | float) else div(other, b)


def reflected(call: Any) -> Callable[[Any, Any], Any]:
    return lambda a, b: call(b, a)


def comparing(call: Any) -> Callable[[Any, Any], Any]:
    """`t == None` is False, as for any Python object; with numbers and tensors it is entry by entry."""
    return lambda a, b: NotImplemented if b is None or isinstance(b, str | type) else call(a, b)


METHODS = dict(chain.from_iterable(map(members, REGISTRY.values()))) | {"__rtruediv__": quotient}
METHODS["masked_fill_"] = Later("masked_fill_", lambda: filling(FUNCTIONS["masked_fill"]))
