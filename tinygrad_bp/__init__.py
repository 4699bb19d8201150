"""Reverse-mode automatic differentiation on NumPy, with PyTorch's names: `import tinygrad_bp as tg` and go on.

Reading order, an evening's worth: `core.py` (Tensor, Node) → `engine.py` (the backward pass) → `declare.py` (how an
operation is declared) → `ops/transcendental.py` (the calculus page) → `methods.py` → `autograd/` → `nn/` → `optim/`.

>>> import tinygrad_bp as tg
>>> w = tg.tensor([1.0, 2.0], requires_grad=True)
>>> loss = ((w * tg.tensor([3.0, 4.0])).sum() - 1) ** 2
>>> loss.backward()
>>> w.grad
tensor([60., 80.])
"""

from typing import TYPE_CHECKING, Any

from . import autograd
from . import creation as _creation
from . import dtypes as _dtypes
from . import errors as _errors
from . import modes as _modes
from . import sampling as _sampling
from . import utilities as _utilities
from ._tensor import Tensor
from .conversion import Size
from .creation import *  # noqa: F403 (each module lists in __all__ what is public)
from .device import device
from .dtypes import *  # noqa: F403
from .errors import *  # noqa: F403
from .errors import no_attribute as _no_attribute
from .methods import FUNCTIONS as _OPERATIONS
from .modes import *  # noqa: F403
from .sampling import *  # noqa: F403
from .utilities import *  # noqa: F403

__version__ = "0.1.0"

# what is imported when it is first used, so that a script pays for what it needs: name → module
_LATER = {name: name for name in ("cuda", "data", "gradcheck", "nn", "optim", "random", "serialize", "testing")}
_STREAM = ("Generator", "default_generator", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state")
_LATER |= dict.fromkeys(_STREAM, "random") | {"compiler": "compiler", "compile": "compiler", "export_numpy": "compiler"}
_LATER |= {"load": "checkpoints", "save": "checkpoints"}


def _later(name: str) -> Any:
    """An operation of the REGISTRY, or what is imported when it is first used."""
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

_LISTS = (module.__all__ for module in (_creation, _dtypes, _errors, _modes, _sampling, _utilities))
__all__ = ["Size", "Tensor", "autograd", "device", *(n for names in _LISTS for n in names), *_LATER, *_OPERATIONS]
