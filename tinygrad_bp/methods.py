"""The REGISTRY bound onto Tensor: methods, operators, in-place forms. The only place that knows PyTorch's spelling.

Inside, parameters are called as in NumPy (`axis`, `keepdims`); here `dim`, `keepdim`, `other`, `input` are
translated, so that either spelling works everywhere. Read `numpy_api.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from . import ops  # noqa: F401  (fills the REGISTRY)
from .core import Tensor, wrap
from .declare import REGISTRY, Op, parameters
from .duck import as_array
from .errors import DtypeError
from .inplace import copy_, fill_, filling, in_place, setitem, zero_
from .ops.arithmetic import add, div, floor_divide, reciprocal, sub, trunc_divide

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
SPELLING = {"dim": "axis", "keepdim": "keepdims"}  # PyTorch's names for what the operations call as NumPy does
OWN = {  # and those of a single operation
    "pow": {"exponent": "b"}, "mm": {"mat2": "b"}, "bmm": {"mat2": "b"}, "mv": {"vec": "b"}, "outer": {"vec2": "b"},
    "dot": {"tensor": "b"}, "addmm": {"mat1": "a", "mat2": "b"}, "addcmul": {"tensor1": "a", "tensor2": "b"},
    "addcdiv": {"tensor1": "a", "tensor2": "b"}, "lerp": {"end": "b"}, "searchsorted": {"sorted_sequence": "a",
    "input": "b"}, "where": {"input": "a", "self": "a", "other": "b"}, "broadcast_to": {"size": "shape"},
    "reshape": {"size": "shape"}, "sum_to_size": {"size": "shape"},
    "split": {"tensor": "x", "split_size_or_sections": "split_size"},
    "flip": {"dims": "axis"}, "roll": {"dims": "axis"}, "permute": {"dims": "axes"}, "tensordot": {"dims": "axes"},
    "swapaxes": {"dim0": "axis0", "dim1": "axis1"}, "repeat": {"repeats": "sizes_"},
}  # fmt: skip
FUNCTIONS: dict[str, Any] = {}
SUMMING = ("sum", "mean", "prod", "cumsum", "cumprod")
ALIASES = {
    "expand": "broadcast_to", "concat": "cat", "concatenate": "cat", "absolute": "abs",
    "negative": "neg", "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div",
    "clip": "clamp", "swapdims": "swapaxes", "moveaxis": "movedim", "arcsin": "asin", "arccos": "acos",
    "arctan": "atan", "arctan2": "atan2", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
    "fix": "trunc", "ger": "outer", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
    "not_equal": "ne",
}  # fmt: skip
TWO_FORMS = (
    "sin", "cos", "tan", "tanh", "exp", "log", "sqrt", "neg", "abs", "add", "sub", "mul", "div", "pow",
    "sigmoid", "relu", "clamp", "reciprocal", "square", "floor", "ceil", "round", "trunc", "rsqrt", "erf",
    "exp2", "expm1", "log2", "log10", "log1p", "sinh", "cosh", "asin", "acos", "atan", "asinh", "acosh",
    "atanh", "sign", "lerp", "addcmul", "addcdiv", "addmm", "masked_fill", "scatter_add", "scatter",
    "floor_divide", "remainder", "tril", "triu", "cumsum", "cumprod", "clip", "multiply", "subtract", "divide",
    "negative", "eq", "ne", "lt", "le", "gt", "ge", "softplus", "leaky_relu", "atan2", "logical_not",
    "logical_and", "logical_or",
)  # fmt: skip


def names_of(op: Op) -> tuple[str, ...]:
    if op.word == "composite":
        return parameters(op.forward)
    if op.word == "reduction":
        return ("x", *op.params)
    return (*op.inputs, *op.params)


def spelled(op: Op) -> Callable[..., Any]:
    """The call of `op` with keyword names in either spelling; operations without parameters need no wrapper."""
    call, grammar = op.call, Grammar(op)

    def function(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            args, kwargs = grammar.translate(args, kwargs)
            if "dtype" in kwargs and op.key in SUMMING:  # PyTorch converts before it sums
                args = (summed_in(op.key, args[0], kwargs.pop("dtype")), *args[1:])
        try:
            return call(*args, **kwargs)
        except (TypeError, KeyError) as error:
            raise grammar.misuse(args, kwargs, error) from None

    return titled(function, op)


class Grammar:
    """How an operation is called: its parameters in order, in either spelling, and which must be given."""

    def __init__(self, op: Op) -> None:
        self.op, self.names = op, names_of(op)
        code = (op.front or op.forward).__code__ if op.front or op.word == "composite" else None
        self.rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if code and code.co_flags & 4 else None
        if self.rest and not op.front:
            self.names = (*self.names, self.rest)
        has_default = {**op.defaults, **dict.fromkeys(optional(op.front)), **dict.fromkeys(optional(op.forward))}
        if op.word == "reduction":
            has_default |= {"axis": None, "keepdims": None}
        self.needed = [name for name in self.names if name not in has_default]
        own = OWN.get(op.key, {})
        first, second = self.names[0], "b" if "b" in self.names else None
        usual = {"input": first, "self": first} | ({"other": second} if second else {}) | SPELLING
        self.inner = {theirs: ours for theirs, ours in (usual | own).items() if ours in self.names}
        self.inner |= {name: name for name in (*self.names, *(("dtype",) if op.key in SUMMING else ()))}
        outer = {ours: theirs for theirs, ours in {**{"input": first}, **usual, **own}.items() if theirs != "self"}
        self.shown = [outer.get(name, name) for name in self.names]

    def translate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments in our names, as many as can be in their places."""
        if kwargs.get("out", True) is None:
            del kwargs["out"]
        named: dict[str, Any] = {}
        for theirs, value in kwargs.items():
            ours = self.inner.get(theirs)
            if ours is None:
                raise DtypeError(f"{self.op.name}: no argument is called {theirs!r}; {self.told()}")
            if ours in named or ours in self.names[: len(args)]:
                raise DtypeError(f"{self.op.name}: {theirs!r} is given twice; {self.told()}")
            named[ours] = value
        for name in self.names[len(args) :]:
            if name not in named:
                break
            args = (*args, named.pop(name))
        return args, named

    def told(self) -> str:
        return f"{self.op.name} takes ({', '.join(self.shown)}{', dtype' if self.op.key in SUMMING else ''})"

    def misuse(self, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception) -> Exception:
        """What was wrong with a call that failed, where it is the arguments' number."""
        missing = [shown for name, shown in list(zip(self.names, self.shown, strict=True))[len(args) :]
                   if name in self.needed and name not in kwargs]  # fmt: skip
        if missing:
            return DtypeError(f"{self.op.name}: missing {' and '.join(missing)}; {self.told()}")
        if len(args) > len(self.names) and self.rest is None:
            given = ", ".join(type(a).__name__ for a in args)
            return DtypeError(f"{self.op.name}: called with ({given}); {self.told()}")
        return error


def optional(function: Any) -> tuple[str, ...]:
    """The parameters that have a default."""
    code, defaults = getattr(function, "__code__", None), getattr(function, "__defaults__", None) or ()
    return tuple(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]) if code and defaults else ()


def titled(function: F, op: Op) -> F:
    """The wrapper under the operation's own name and description."""
    function.__name__ = function.__qualname__ = op.key
    function.__doc__ = op.call.__doc__ or op.doc
    return function


def converted(x: Any, dtype: Any) -> Any:
    return x if dtype is None else (x if isinstance(x, Tensor) else wrap(as_array(x))).to(dtype)  # type: ignore[attr-defined]


def summed_in(op: str, x: Any, dtype: Any) -> Any:
    x = converted(x, dtype)
    if op == "mean" and dtype is not None and x.dtype.kind not in "fc":
        raise DtypeError(f"mean: a mean of integers is no integer, and dtype={x.dtype} asks for one; use a float dtype")
    return x


def with_alpha(plain: Any) -> Callable[..., Any]:
    def function(input: Any, other: Any, *, alpha: float = 1) -> Any:
        return plain(input, other if alpha == 1 else other * alpha)

    return function


def division(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    if rounding_mode not in (None, "floor", "trunc"):
        raise DtypeError(f"div: rounding_mode is None, 'floor' or 'trunc', not {rounding_mode!r}")
    if rounding_mode == "floor":
        return floor_divide(input, other)
    return trunc_divide(input, other) if rounding_mode else div(input, other)


def quotient(b: Any, other: Any) -> Any:
    """other / b; of a number it is computed so that neither b nor the quotient is kept, as in PyTorch."""
    return reciprocal(b) * other if isinstance(other, int | float) else div(other, b)


def reflected(call: Any) -> Callable[[Any, Any], Any]:
    return lambda a, b: call(b, a)


def comparing(call: Any) -> Callable[[Any, Any], Any]:
    """`t == None` is False, as for any Python object; with numbers and tensors it is entry by entry."""
    return lambda a, b: NotImplemented if b is None or isinstance(b, str | type) else call(a, b)


def bind_all() -> None:
    """Every operation of the REGISTRY as a function, a method and its operators."""
    for name, op in REGISTRY.items():
        plain = len(names_of(op)) == 1 and op.front is None and op.word != "composite"
        function = op.call if plain else spelled(op)
        FUNCTIONS[name] = function
        for operator in op.operators:
            call = reflected(op.call) if operator[0] == "r" and operator[1:] in op.operators else op.call
            setattr(Tensor, f"__{operator}__", comparing(call) if operator in ("eq", "ne") else call)
        if op.method:
            setattr(Tensor, name, property(op.call) if name in ("T", "mT") else function)
    special = {"add": with_alpha(add), "sub": with_alpha(sub), "div": division}
    FUNCTIONS.update({name: titled(function, REGISTRY[name]) for name, function in special.items()})
    for name in ("add", "sub", "div"):
        setattr(Tensor, name, FUNCTIONS[name])
    for alias, name in ALIASES.items():
        FUNCTIONS[alias] = FUNCTIONS[name]
        if REGISTRY[name].method:
            setattr(Tensor, alias, FUNCTIONS[name])
    for name in TWO_FORMS:
        setattr(Tensor, f"{name}_", in_place(FUNCTIONS[name], f"{name}_"))
    for operator in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
        call = getattr(Tensor, f"__{operator}__")
        setattr(Tensor, f"__i{operator}__", in_place(call, f"__i{operator}__"))
    setattr(Tensor, "__rtruediv__", quotient)  # noqa: B010
    setattr(Tensor, "__getitem__", REGISTRY["getitem"].call)  # noqa: B010
    setattr(Tensor, "__setitem__", setitem)  # noqa: B010
    setattr(Tensor, "where", lambda self, condition, other: FUNCTIONS["where"](condition, self, other))  # noqa: B010
    for method in (zero_, fill_, copy_, filling(FUNCTIONS["masked_fill"])):
        setattr(Tensor, method.__name__, method)


bind_all()
