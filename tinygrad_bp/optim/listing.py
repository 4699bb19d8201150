"""Which methods there are: every `Method` that a file of this folder declares. Back to `__init__.py`."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from .method import Method

PACKAGE = __name__.rpartition(".")[0]


@cache
def declared() -> dict[str, type[Method]]:
    """The methods by name."""
    found: dict[str, type[Method]] = {}
    for file in iter_modules([str(Path(__file__).parent)]):
        if f"{PACKAGE}.{file.name}" not in (__name__, Method.__module__):
            module = import_module(f"{PACKAGE}.{file.name}")
            things = vars(module).values()
            classes = [one for one in things if isinstance(one, type) and issubclass(one, Method)]
            found.update({one.__name__: one for one in classes if one.__module__ == module.__name__})
    return found


def text() -> str:
    """The stub of this folder, which tells type checkers their names."""
    homes = {"Optimizer": "optimizer", **{name: one.__module__.rpartition(".")[2] for name, one in declared().items()}}
    lines = [f"from .{home} import {name} as {name}" for name, home in sorted(homes.items(), key=lambda pair: pair[1])]
    return "\n".join(["# Written by `python -m tinygrad_bp.stub`.", *lines, ""])


def path() -> Path:
    return Path(__file__).with_name("__init__.pyi")

