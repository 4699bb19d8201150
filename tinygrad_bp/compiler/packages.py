"""Modules of Python: which are libraries, whose inside is not the step's, and which are the user's own.

Read `readers.py` next.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
import types
from typing import Any

import numpy as np

from ..core import Tensor
from .kinds import GUARDED, VALUES, in_python, native

SKIPPED = ("numpy", "tinygrad_bp", *sys.stdlib_module_names)
DATA = ("dict_", "list_", "tuple_", "row")
INSTALLED = tuple({sysconfig.get_path(key) for key in ("purelib", "platlib")})


def own(module: str | None) -> bool:
    """Whether code of this module is a library's, whose state is not the step's."""
    return (module or "").partition(".")[0] in SKIPPED and module != "__main__"


def of_library(made: Any) -> bool:
    """Whether a class or a function is a library's. What `exec` makes in a bare namespace calls itself `builtins`,
    where nothing is written in Python."""
    module = made.__module__
    in_bare = module == "builtins" and (isinstance(made, types.FunctionType) or in_python(made))
    return own(module) and not in_bare


def installed(file: str | None) -> bool:
    return file is not None and (file.startswith(INSTALLED) or "site-packages" in file)


def library(module: types.ModuleType) -> bool:
    """Whether a module is NumPy's, the standard library's, or installed."""
    return own(module.__name__) or installed(vars(module).get("__file__"))


def setting(module: types.ModuleType, key: str, value: Any) -> bool:
    """Whether a library's module may hold another value under this name at the next call.

    Data of the standard library that a program may change (`sys.argv`, `os.environ`), and what a user put there. The
    numbers and texts of a library's public list are its own.
    """
    if key.startswith("__") or (module.__name__, key) == ("sys", "modules"):
        return False
    if isinstance(value, types.FunctionType | type):
        return not theirs(value.__module__)
    if type(value).__name__ == "_Environ":
        return True
    kind, content = native(type(value)), GUARDED.get(native(type(value)))
    if kind in VALUES or (content == "" and not callable(value)):
        return key not in getattr(module, "__all__", ())
    data = content in DATA or isinstance(value, np.ndarray | Tensor)
    return data or not theirs(getattr(value, "__module__", None) or type(value).__module__)


def theirs(module: str | None) -> bool:
    """Whether a function or class made in this module is a library's."""
    return own(module) or installed(getattr(sys.modules.get(module or ""), "__file__", None))


def imported(name: str) -> types.ModuleType | None:
    """The user's module of a name, imported as the step would do it; None for a library, or if there is none."""
    if own(name):
        return None
    found = sys.modules.get(name)
    try:
        spec: Any = None if found is not None else importlib.util.find_spec(name)
        if spec is not None and not installed(spec.origin):
            found = importlib.import_module(name)
    except (ImportError, AttributeError, ValueError):
        return None
    return None if found is None or library(found) else found
