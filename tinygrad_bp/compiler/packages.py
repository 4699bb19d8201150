"""Modules of Python: which are libraries, whose inside is not the step's, and which are the user's own.

Read `objects.py` next.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
import types
from collections import deque
from typing import Any

from .kinds import in_python

SKIPPED = ("numpy", "tinygrad_bp", *sys.stdlib_module_names)
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


def data_of_python(module: types.ModuleType, key: str) -> bool:
    """Whether this is data of the standard library that a program may change: `sys.argv`, `os.environ`."""
    name, value = module.__name__, vars(module).get(key)
    if name.partition(".")[0] not in sys.stdlib_module_names or (name, key) == ("sys", "modules"):
        return False
    return isinstance(value, dict | list | set | deque) or type(value).__name__ == "_Environ"


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
