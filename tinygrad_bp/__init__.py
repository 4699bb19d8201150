"""Reverse-mode automatic differentiation on NumPy, with PyTorch's names: `import tinygrad_bp as tg` and go on.

Reading order, an evening's worth: `core.py` (Tensor, Node, the backward pass) → `declare.py` (how an operation is
declared) → `ops/transcendental.py` (the calculus page) → `methods.py` → `autograd/` → `nn/` → `optim/`.

>>> import tinygrad_bp as tg
>>> w = tg.tensor([1.0, 2.0], requires_grad=True)
>>> loss = ((w * tg.tensor([3.0, 4.0])).sum() - 1) ** 2
>>> loss.backward()
>>> w.grad
tensor([60., 80.])
"""

from typing import TYPE_CHECKING, Any

from . import autograd
from ._tensor import Tensor
from .conversion import Size
from .core import wrap as _wrap
from .creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from .device import device
from .dtypes import (
    bool,
    double,
    float,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    int,
    int8,
    int16,
    int32,
    int64,
    long,
    set_default_dtype,
    short,
    uint8,
)
from .errors import (
    ArgumentError,
    AxisError,
    CompileError,
    DtypeError,
    FileFormatError,
    GraphError,
    InplaceError,
    ModuleError,
    NonFiniteError,
    ShapeError,
    StateDictError,
    TensorError,
)
from .errors import no_attribute as _no_attribute
from .methods import FUNCTIONS as _F
from .mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .sampling import (
    bernoulli,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)
from .utilities import (
    allclose,
    equal,
    is_tensor,
    numel,
    result_type,
)

if TYPE_CHECKING:
    from . import compiler, cuda, data, gradcheck, nn, optim, random, serialize, testing
    from .compiler import compile, export_numpy
    from .random import (
        Generator,
        default_generator,
        get_rng_state,
        initial_seed,
        manual_seed,
        seed,
        set_rng_state,
    )

__version__ = "0.1.0"


_LATER = {name: name for name in ("cuda", "data", "gradcheck", "nn", "optim", "random", "serialize", "testing")}
_STREAM = ("Generator", "default_generator", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state")
_LATER |= dict.fromkeys(_STREAM, "random") | {"compiler": "compiler", "compile": "compiler", "export_numpy": "compiler"}


def _later(name: str) -> Any:
    """What is imported when it is first used, so that a script pays for what it needs."""
    if name not in _LATER:
        raise _no_attribute(__name__, name)
    from importlib import import_module

    module = import_module(f"{__name__}.{_LATER[name]}")
    found = globals()[name] = module if _LATER[name] == name else getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = _later


# the operations, written by stub.py from the REGISTRY: what `tg.name` is
abs = _F["abs"]
absolute = _F["absolute"]
acos = _F["acos"]
acosh = _F["acosh"]
add = _F["add"]
addcdiv = _F["addcdiv"]
addcmul = _F["addcmul"]
addmm = _F["addmm"]
all = _F["all"]
amax = _F["amax"]
amin = _F["amin"]
any = _F["any"]
arccos = _F["arccos"]
arccosh = _F["arccosh"]
arcsin = _F["arcsin"]
arcsinh = _F["arcsinh"]
arctan = _F["arctan"]
arctan2 = _F["arctan2"]
arctanh = _F["arctanh"]
argmax = _F["argmax"]
argmin = _F["argmin"]
argsort = _F["argsort"]
asin = _F["asin"]
asinh = _F["asinh"]
atan = _F["atan"]
atan2 = _F["atan2"]
atanh = _F["atanh"]
bitwise_and = _F["bitwise_and"]
bitwise_not = _F["bitwise_not"]
bitwise_or = _F["bitwise_or"]
bitwise_xor = _F["bitwise_xor"]
bmm = _F["bmm"]
broadcast_to = _F["broadcast_to"]
cat = _F["cat"]
ceil = _F["ceil"]
celu = _F["celu"]
chunk = _F["chunk"]
clamp = _F["clamp"]
clip = _F["clip"]
clone = _F["clone"]
concat = _F["concat"]
concatenate = _F["concatenate"]
cos = _F["cos"]
cosh = _F["cosh"]
count_nonzero = _F["count_nonzero"]
cumprod = _F["cumprod"]
cumsum = _F["cumsum"]
diag = _F["diag"]
diag_embed = _F["diag_embed"]
diagonal = _F["diagonal"]
diagonal_view = _F["diagonal_view"]
div = _F["div"]
divide = _F["divide"]
dot = _F["dot"]
einsum = _F["einsum"]
elu = _F["elu"]
eq = _F["eq"]
erf = _F["erf"]
exp = _F["exp"]
exp2 = _F["exp2"]
expand = _F["expand"]
expm1 = _F["expm1"]
fix = _F["fix"]
flatten = _F["flatten"]
flip = _F["flip"]
floor = _F["floor"]
floor_divide = _F["floor_divide"]
gather = _F["gather"]
ge = _F["ge"]
ger = _F["ger"]
greater = _F["greater"]
greater_equal = _F["greater_equal"]
gt = _F["gt"]
hardsigmoid = _F["hardsigmoid"]
hardswish = _F["hardswish"]
hardtanh = _F["hardtanh"]
hstack = _F["hstack"]
index_select = _F["index_select"]
isfinite = _F["isfinite"]
isinf = _F["isinf"]
isnan = _F["isnan"]
le = _F["le"]
leaky_relu = _F["leaky_relu"]
lerp = _F["lerp"]
less = _F["less"]
less_equal = _F["less_equal"]
log = _F["log"]
log10 = _F["log10"]
log1p = _F["log1p"]
log2 = _F["log2"]
log_softmax = _F["log_softmax"]
logaddexp = _F["logaddexp"]
logical_and = _F["logical_and"]
logical_not = _F["logical_not"]
logical_or = _F["logical_or"]
logical_xor = _F["logical_xor"]
logsigmoid = _F["logsigmoid"]
logsumexp = _F["logsumexp"]
lt = _F["lt"]
masked_fill = _F["masked_fill"]
masked_select = _F["masked_select"]
matmul = _F["matmul"]
max = _F["max"]
maximum = _F["maximum"]
mean = _F["mean"]
median = _F["median"]
min = _F["min"]
minimum = _F["minimum"]
mish = _F["mish"]
mm = _F["mm"]
moveaxis = _F["moveaxis"]
movedim = _F["movedim"]
mul = _F["mul"]
multiply = _F["multiply"]
mv = _F["mv"]
ne = _F["ne"]
neg = _F["neg"]
negative = _F["negative"]
nonzero = _F["nonzero"]
norm = _F["norm"]
not_equal = _F["not_equal"]
outer = _F["outer"]
permute = _F["permute"]
positive = _F["positive"]
pow = _F["pow"]
prod = _F["prod"]
ravel = _F["ravel"]
reciprocal = _F["reciprocal"]
relu = _F["relu"]
relu6 = _F["relu6"]
remainder = _F["remainder"]
repeat = _F["repeat"]
repeat_interleave = _F["repeat_interleave"]
reshape = _F["reshape"]
roll = _F["roll"]
round = _F["round"]
rsqrt = _F["rsqrt"]
scatter = _F["scatter"]
scatter_add = _F["scatter_add"]
searchsorted = _F["searchsorted"]
selu = _F["selu"]
sigmoid = _F["sigmoid"]
sign = _F["sign"]
silu = _F["silu"]
sin = _F["sin"]
sinh = _F["sinh"]
softmax = _F["softmax"]
softplus = _F["softplus"]
softsign = _F["softsign"]
sort = _F["sort"]
split = _F["split"]
sqrt = _F["sqrt"]
square = _F["square"]
squeeze = _F["squeeze"]
stack = _F["stack"]
std = _F["std"]
sub = _F["sub"]
subtract = _F["subtract"]
sum = _F["sum"]
sum_to_size = _F["sum_to_size"]
swapaxes = _F["swapaxes"]
swapdims = _F["swapdims"]
t = _F["t"]
take_along_dim = _F["take_along_dim"]
tan = _F["tan"]
tanh = _F["tanh"]
tensordot = _F["tensordot"]
tile = _F["tile"]
topk = _F["topk"]
trace = _F["trace"]
transpose = _F["transpose"]
tril = _F["tril"]
triu = _F["triu"]
true_divide = _F["true_divide"]
trunc = _F["trunc"]
unbind = _F["unbind"]
unflatten = _F["unflatten"]
unsqueeze = _F["unsqueeze"]
var = _F["var"]
vstack = _F["vstack"]
where = _F["where"]

_OPERATIONS = [
    "abs", "absolute", "acos", "acosh", "add", "addcdiv", "addcmul", "addmm", "all", "amax", "amin", "any",
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "argmax", "argmin", "argsort",
    "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "bmm",
    "broadcast_to", "cat", "ceil", "celu", "chunk", "clamp", "clip", "clone", "concat", "concatenate", "cos",
    "cosh", "count_nonzero", "cumprod", "cumsum", "diag", "diag_embed", "diagonal", "diagonal_view", "div",
    "divide", "dot", "einsum", "elu", "eq", "erf", "exp", "exp2", "expand", "expm1", "fix", "flatten", "flip",
    "floor", "floor_divide", "gather", "ge", "ger", "greater", "greater_equal", "gt", "hardsigmoid",
    "hardswish", "hardtanh", "hstack", "index_select", "isfinite", "isinf", "isnan", "le", "leaky_relu", "lerp",
    "less", "less_equal", "log", "log10", "log1p", "log2", "log_softmax", "logaddexp", "logical_and",
    "logical_not", "logical_or", "logical_xor", "logsigmoid", "logsumexp", "lt", "masked_fill", "masked_select",
    "matmul", "max", "maximum", "mean", "median", "min", "minimum", "mish", "mm", "moveaxis", "movedim", "mul",
    "multiply", "mv", "ne", "neg", "negative", "nonzero", "norm", "not_equal", "outer", "permute", "positive",
    "pow", "prod", "ravel", "reciprocal", "relu", "relu6", "remainder", "repeat", "repeat_interleave",
    "reshape", "roll", "round", "rsqrt", "scatter", "scatter_add", "searchsorted", "selu", "sigmoid", "sign",
    "silu", "sin", "sinh", "softmax", "softplus", "softsign", "sort", "split", "sqrt", "square", "squeeze",
    "stack", "std", "sub", "subtract", "sum", "sum_to_size", "swapaxes", "swapdims", "t", "take_along_dim",
    "tan", "tanh", "tensordot", "tile", "topk", "trace", "transpose", "tril", "triu", "true_divide", "trunc",
    "unbind", "unflatten", "unsqueeze", "var", "vstack", "where",
]  # fmt: skip
# end of the operations


def save(state_dict: Any, path: Any) -> None:
    """Write a state_dict to a `.safetensors` or `.npz` file, atomically: a crash leaves the old file.

    >>> import tempfile, os, tinygrad_bp as tg
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> tg.save(tg.nn.Linear(2, 1).state_dict(), path)
    >>> sorted(tg.load(path))
    ['bias', 'weight']
    """
    from . import serialize

    serialize.save(state_dict, path)


def load(path: Any) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or `.npz` file by name; loading never runs code.

    Raises FileFormatError for a file that is truncated or lies about its lengths. Example at `save`.

    >>> import tinygrad_bp as tg
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.npz")
    >>> tg.save({"w": tg.ones(2)}, path)
    >>> tg.load(path)
    {'w': tensor([1., 1.])}
    """
    from . import serialize

    return serialize.load(path, wrap=_wrap)


__all__ = [
    "ArgumentError", "AxisError", "CompileError", "DtypeError", "FileFormatError", "Generator", "GraphError",
    "InplaceError", "ModuleError", "NonFiniteError", "ShapeError", "Size", "StateDictError", "Tensor", "TensorError",
    "allclose", "arange", "as_tensor", "autograd", "bernoulli", "bool", "compile", "compiler", "cuda", "data",
    "default_generator", "device", "double", "empty", "empty_like", "enable_grad", "equal", "export_numpy", "eye",
    "float", "float16", "float32", "float64", "from_numpy", "full", "full_like", "get_default_dtype", "get_rng_state",
    "gradcheck", "half", "inference_mode", "initial_seed", "int", "int16", "int32", "int64", "int8",
    "is_grad_enabled", "is_inference_mode_enabled", "is_tensor", "linspace", "load", "long", "manual_seed",
    "multinomial", "nn", "no_grad", "normal", "numel", "ones", "ones_like", "optim", "rand", "rand_like", "randint",
    "randint_like", "randn", "randn_like", "random", "randperm", "result_type", "save", "seed", "serialize",
    "set_default_dtype", "set_grad_enabled", "set_rng_state", "short", "tensor", "testing", "uint8", "zeros",
    "zeros_like",
    *_OPERATIONS,
]  # fmt: skip
