"""What an exported file takes over: names of NumPy by an import, functions of this package by their source.

You will know how a function's text is cut out together with all that it needs, without annotations, so that NumPy is
enough to run it. Read `standalone.py` next: the rest of the file.
"""

from __future__ import annotations

import math
import re
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from ..errors import CompileError, TensorError
from .codes import sorted_names

Edit = tuple[int, int, str]  # from, to, new text
SPACES = {"numpy": np, "numpy.linalg": np.linalg, "numpy.fft": np.fft, "numpy.lib.stride_tricks": np.lib.stride_tricks}


class Borrowed:
    """Collects `imports` (module → names), `constants` and `functions` (texts), in an order in which they can stand."""

    def __init__(self) -> None:
        self.imports: dict[str, dict[str, str]] = {}
        self.modules: set[str] = set()
        self.constants: list[str] = []
        self.functions: list[str] = []
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []  # so that no identity is given twice

    def take(self, name: str, thing: Any) -> None:
        """Let `name` stand for a global of a generated function."""
        home = home_of(thing)
        if home is not None:
            self.imports.setdefault(home[0], {})[name] = home[1]
        elif isinstance(thing, float):
            self.constants.append(f"{name} = {float_text(thing)}")
        elif isinstance(thing, np.dtype):
            self.constants.append(f"{name} = np.dtype({thing.name!r})")
        elif isinstance(thing, type) and thing.__module__ == "builtins":
            self.constants.append(f"{name} = {thing.__name__}")
        else:
            self.constants.append(f"{name} = {self.function(thing)}")

    def function(self, thing: Any) -> str:
        """The name of a function whose source is taken over; it begins with _, as no name of a step does."""
        if id(thing) in self._names:
            return self._names[id(thing)]
        if not isinstance(thing, FunctionType) or "<locals>" in thing.__qualname__:
            raise CompileError(
                f"tg.export_numpy: {getattr(thing, '__name__', thing)!r} has no source that could be taken over into a "
                "file; use NumPy's functions, or do it outside of what is exported"
            )
        name = self._new(thing, thing.__name__)
        new = {key: self._needed(key, thing) for key in sorted_names(thing.__code__) if key in thing.__globals__}
        self.functions.append(text_of(thing, name, new))
        return name

    def _new(self, thing: Any, hint: str) -> str:
        base = "_" + hint.strip("_")
        name, count = base, 2
        while name in self._names.values():
            name, count = f"{base}_{count}", count + 1
        self._names[id(thing)] = name
        self._kept.append(thing)
        return name

    def _needed(self, key: str, function: FunctionType) -> str:
        """What stands in the file for a global that a function reads."""
        thing = function.__globals__[key]
        if thing is np:
            return "np"
        if isinstance(thing, ModuleType):
            self.modules.add(thing.__name__)
            return thing.__name__
        if isinstance(thing, type) and issubclass(thing, TensorError):
            return "ValueError"
        if isinstance(thing, FunctionType):
            return self.function(thing)
        if id(thing) not in self._names:
            name = self._new(thing, key)
            self.functions.append(f"{name} = {assigned(key, function)}")
            if "math." in self.functions[-1]:
                self.modules.add("math")
        return self._names[id(thing)]


def home_of(thing: Any) -> tuple[str, str] | None:
    """The module of NumPy that has a thing, and its name there."""
    name = getattr(thing, "__name__", None)
    for module, space in SPACES.items():
        if name is not None and getattr(space, name, None) is thing:
            return module, name
    if getattr(thing, "__module__", None) in ("_operator", "math"):
        return str(thing.__module__).strip("_"), str(name)
    return None


def float_text(x: float) -> str:
    """A float as text, the three that have no literal too."""
    return repr(x) if math.isfinite(x) else "np.nan" if x != x else "np.inf" if x > 0 else "-np.inf"


def assigned(key: str, function: FunctionType) -> str:
    """The right-hand side of `key = …` in the module of a function."""
    import ast
    import inspect
    import sys

    text = inspect.getsource(sys.modules[function.__module__])
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == key for t in node.targets):
            return ast.get_source_segment(text, node.value) or ""
    raise CompileError(f"tg.export_numpy: {function.__name__} needs {key!r}, which cannot be taken over into a file")


def text_of(function: FunctionType, name: str, new: dict[str, str]) -> str:
    """A function's source under another name, without annotations and with other names for its globals."""
    import ast
    import inspect
    import textwrap

    text = textwrap.dedent(inspect.getsource(function))
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.FunctionDef)
    start = starts(text)
    edits = renamings(text, node, new)
    at = text.index(node.name, start(node.lineno, node.col_offset))
    edits.append((at, at + len(node.name), name))
    for part in ast.walk(node):
        if isinstance(part, ast.arg) and part.annotation is not None:
            first = start(part.lineno, part.col_offset)
            end = start(part.annotation.end_lineno, part.annotation.end_col_offset)
            edits.append((first, end, part.arg))
    if node.returns is not None:
        end = start(node.returns.end_lineno, node.returns.end_col_offset)
        edits.append((text.rindex("->", 0, end) - 1, end, ""))
    return re.sub(r"  # (?:noqa|type: ignore).*", "", edited(text, edits)).strip()


def renamings(text: str, node: Any, new: dict[str, str]) -> list[Edit]:
    """The edits that give variables other names."""
    import ast

    start = starts(text)
    found = []
    for part in ast.walk(node):
        if isinstance(part, ast.Name | ast.arg):
            key = part.id if isinstance(part, ast.Name) else part.arg
            at = start(part.lineno, part.col_offset)
            if new.get(key, key) != key and text.startswith(key, at):
                found.append((at, at + len(key), new[key]))
    return found


def starts(text: str) -> Any:
    """From (line, column in bytes), as the parser counts, to the index in a text."""
    lines = text.splitlines(keepends=True)
    before = [0]
    for line in lines:
        before.append(before[-1] + len(line))
    return lambda line, column: before[line - 1] + len(lines[line - 1].encode()[:column].decode())


def edited(text: str, edits: list[Edit]) -> str:
    for first, end, new in sorted(set(edits), reverse=True):
        text = text[:first] + new + text[end:]
    return text
