"""The test kit for people who write layers: what to try them on, what to demand of them, how to be told.

Reading order: `assertions.py` (assert_close, assert_gradcheck) → `strategies.py` (Hypothesis draws tensors, shapes and
networks) → `specs.py` and `module_laws.py` (check_module) → `pytest_tinygrad_bp.py` beside the package (the plugin).
Hypothesis is needed for the strategies and for check_module, pytest for the plugin, and each is imported only there.

>>> from tinygrad_bp import testing
>>> testing.assert_close([1.0, 2.0], [1.0, 2.0])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import no_attribute
from .assertions import assert_close, assert_gradcheck

if TYPE_CHECKING:
    from .module_laws import LAWS, LawError, LawResult, ModuleReport, check_module
    from .strategies import arrays, broadcastable, modules, shapes, tensors

__all__ = [
    "LAWS",
    "LawError",
    "LawResult",
    "ModuleReport",
    "arrays",
    "assert_close",
    "assert_gradcheck",
    "broadcastable",
    "check_module",
    "modules",
    "shapes",
    "tensors",
]


def _later(name: str) -> Any:
    """What needs Hypothesis is imported when it is asked for."""
    if name not in __all__:
        raise no_attribute(__name__, name)
    from importlib import import_module

    laws = name in ("LAWS", "LawError", "LawResult", "ModuleReport", "check_module")
    try:
        return getattr(import_module(f"{__name__}.{'module_laws' if laws else 'strategies'}"), name)
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        raise ImportError(f"tinygrad_bp.testing.{name} needs Hypothesis: pip install hypothesis", name=name) from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = _later
