"""`backward`, `grad`, `Function`, hooks, and derivatives of functions. Read `passes.py` first."""

from typing import TYPE_CHECKING, Any

from ..mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from .hooks import RemovableHandle
from .passes import backward, grad

if TYPE_CHECKING:
    from ..gradcheck import gradcheck, gradgradcheck
    from . import function, functional
    from .function import Function

__all__ = [
    "Function",
    "RemovableHandle",
    "backward",
    "enable_grad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_grad_enabled",
]
_LATER = {
    "Function": (".function", "Function"),
    "function": (".function", None),
    "functional": (".functional", None),
    "gradcheck": ("..gradcheck", "gradcheck"),
    "gradgradcheck": ("..gradcheck", "gradgradcheck"),
}


def __getattr__(name: str) -> Any:
    """What is imported when it is first used."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    place, inside = _LATER[name]
    module = import_module(place, __name__)
    found = globals()[name] = module if inside is None else getattr(module, inside)
    return found
