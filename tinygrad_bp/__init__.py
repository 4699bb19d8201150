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
from .methods import FUNCTIONS as _OPERATIONS
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
    from .checkpoints import load, save
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
_LATER |= {"load": "checkpoints", "save": "checkpoints"}


def _later(name: str) -> Any:
    """What is imported when it is first used, so that a script pays for what it needs."""
    if name in _OPERATIONS:
        found = globals()[name] = _OPERATIONS[name]
        return found
    if name not in _LATER:
        raise _no_attribute(__name__, name)
    from importlib import import_module

    module = import_module(f"{__name__}.{_LATER[name]}")
    found = globals()[name] = module if _LATER[name] == name else getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_OPERATIONS})


if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = _later


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
