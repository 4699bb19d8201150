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
from .inplace import copy_, fill_, in_place, setitem, zero_
from .ops.arithmetic import add, div, floor_divide, reciprocal, sub, trunc_divide

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
SPELLING = {"dim": "axis", "keepdim": "keepdims", "dims": "axis", "exponent": "b", "mat2": "b", "vec2": "b",
            "batch1": "a", "batch2": "b", "mat1": "a", "tensor1": "a", "tensor2": "b", "end": "b", "size": "shape",
            "split_size_or_sections": "split_size", "self": "x", "unbiased": "unbiased"}  # fmt: skip
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
    call, names = op.call, names_of(op)
    variadic = op.front is not None and bool(op.front.__code__.co_flags & 0x04)

    def function(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            args, kwargs = translate(args, kwargs, names)
            if "dtype" in kwargs and op.key in SUMMING:  # PyTorch converts before it sums
                args = (converted(args[0], kwargs.pop("dtype")), *args[1:])
            if variadic and len(args) == 1 and kwargs.keys() <= set(names):
                args, kwargs = (*args, *kwargs.values()), {}
        try:
            return call(*args, **kwargs)
        except TypeError as error:
            raise misuse(op, names, args, error) from None

    return titled(function, op)


def titled(function: F, op: Op) -> F:
    """The wrapper under the operation's own name and description."""
    function.__name__ = function.__qualname__ = op.key
    function.__doc__ = op.call.__doc__ or op.doc
    return function


def converted(x: Any, dtype: Any) -> Any:
    return x if dtype is None else (x if isinstance(x, Tensor) else wrap(as_array(x))).to(dtype)  # type: ignore[attr-defined]


def translate(args: tuple[Any, ...], kwargs: dict[str, Any], names: tuple[str, ...]) -> Any:
    if "input" in kwargs and "input" not in names:
        args = (kwargs.pop("input"), *args)
    if "other" in kwargs and "other" not in names and len(args) == 1:
        args = (*args, kwargs.pop("other"))
    if kwargs.get("out", True) is None:
        del kwargs["out"]
    renamed = {}
    for name, value in kwargs.items():
        other = "axes" if name == "dims" and "axes" in names else SPELLING.get(name, name)
        renamed[name if name in names else other] = value
    return args, renamed


def misuse(op: Op, names: tuple[str, ...], args: tuple[Any, ...], error: TypeError) -> Exception:
    if isinstance(error, DtypeError) or not any(w in str(error) for w in ("argument", "positional")):
        return error
    told = ", ".join(type(a).__name__ for a in args)
    return DtypeError(f"{op.name}: called with ({told}), but takes ({', '.join(names)}): {error}")


def with_alpha(plain: Any) -> Callable[..., Any]:
    def function(a: Any, b: Any = None, *, other: Any = None, alpha: float = 1) -> Any:
        b = other if b is None else b
        return plain(a, b if alpha == 1 else b * alpha)

    return function


def division(a: Any, b: Any = None, *, other: Any = None, rounding_mode: str | None = None) -> Any:
    b = other if b is None else b
    if rounding_mode not in (None, "floor", "trunc"):
        raise DtypeError(f"div: rounding_mode is None, 'floor' or 'trunc', not {rounding_mode!r}")
    if rounding_mode == "floor":
        return floor_divide(a, b)
    return trunc_divide(a, b) if rounding_mode else div(a, b)


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
    for method in (zero_, fill_, copy_):
        setattr(Tensor, method.__name__, method)


bind_all()
