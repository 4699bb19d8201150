"""`backward`, `grad`, `Function`, hooks, and derivatives of functions. Read `passes.py` first."""

from ..mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from . import function, functional
from .function import Function
from .hooks import RemovableHandle
from .passes import backward, grad

__all__ = [
    "Function",
    "RemovableHandle",
    "backward",
    "enable_grad",
    "function",
    "functional",
    "grad",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
]
