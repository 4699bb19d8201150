"""`backward`, `grad`, `Function`, hooks, and derivatives of functions. Read `passes.py` first."""

from typing import TYPE_CHECKING, Any

from ..errors import no_attribute
from ..modes import enable_grad, inference_mode, no_grad, set_grad_enabled
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


def _later(name: str) -> Any:
    """What is imported when it is first used."""
    if name not in _LATER:
        raise no_attribute(__name__, name)
    from importlib import import_module

    place, inside = _LATER[name]
    module = import_module(place, __name__)
    found = globals()[name] = module if inside is None else getattr(module, inside)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = _later
