"""The text of an exported file: what it holds, loads and allocates, then the function as in `step.source`.

You will know how each array that a generated function names comes about when the file is imported. Read `borrowed.py`
for what it takes over from NumPy and from this package, then `export.py`.
"""

from __future__ import annotations

import ast
import keyword
import re
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CompileError
from . import arrays, literals, loops
from .borrowed import Borrowed, edited, float_text, home_of, renamings
from .literals import index
from .names import identifier
from .program import Value

if TYPE_CHECKING:
    from .source import Source

RESERVED = ("np", "Path", "predict", "step", "state", "save", "grad")  # what the file calls its own things
INLINE_ENTRIES = 16  # entries of a constant that still stand in the file itself


class Standalone:
    """A program's source as the parts of a file.

    keys: memory → its name in the .npz. saved: what the .npz holds, by name. signature: of the generated function.
    """

    def __init__(self, source: Source, keys: dict[Value, str], content: dict[Value, np.ndarray], kind: str) -> None:
        self.source, self.keys, self.kind, self.content = source, keys, kind, content
        self.saved: dict[str, np.ndarray] = {keys[value]: array for value, array in content.items()}
        self.borrowed = Borrowed()
        self.memory: list[str] = []
        self.constants: list[str] = []
        self.buffers: list[str] = []
        self.views: list[str] = []
        self._body()
        for name, thing in source.globals.items():
            if not isinstance(thing, FunctionType) or home_of(thing):
                self.borrowed.take(self.new.get(name, name), thing)
        self._texts: dict[int, str] = {}
        self._named: dict[str, str] = {}  # expression → the name that has it
        self._home: dict[Value, str] = {}  # memory → the expression for it
        for i, entry in enumerate(source.entries):
            if entry.name:
                self.entry(i)
        self.gradients = [self.entry(i) for i in source.gradients]

    # ------------------------------------------------------------------------------------------ the function
    def _body(self) -> None:
        """The lines of the generated function, its parameters, and what it returns."""
        text = self.source.text
        tree = ast.parse(text)
        names = {part.id for part in ast.walk(tree) if isinstance(part, ast.Name)}
        names |= {part.arg for part in ast.walk(tree) if isinstance(part, ast.arg)}
        self.used = names | {entry.name for entry in self.source.entries} | set(self.source.globals)
        self.new = {name: self.free(name) for name in RESERVED if name in self.used}
        for name, thing in self.source.globals.items():
            if isinstance(thing, FunctionType) and not home_of(thing):
                self.new[name] = self.borrowed.function(thing)
        text = edited(text, renamings(text, tree, self.new))
        tree = ast.parse(text)
        function = tree.body[-1]
        assert isinstance(function, ast.FunctionDef)
        last = function.body[-1]
        assert isinstance(last, ast.Return)
        assert isinstance(last.value, ast.Tuple)
        self.parameters = [arg.arg for arg in function.args.args]
        self.returned = [ast.unparse(part) for part in last.value.elts]
        self.body = text.splitlines()[function.lineno : last.lineno - 1]

    def free(self, hint: str) -> str:
        """A name that nothing has yet."""
        while hint in self.used or hint in RESERVED or keyword.iskeyword(hint):
            hint += "_"
        self.used.add(hint)
        return hint

    # ------------------------------------------------------------------------------------------ the arrays
    def entry(self, i: int) -> str:
        """The expression for an array of the source: its name, if it has one, which is then defined."""
        if i in self._texts:
            return self._texts[i]
        entry = self.source.entries[i]
        name = self.new.get(entry.name, entry.name)
        if not name and entry.kind != "view":
            name = self.free("array")
        text = getattr(self, f"_{entry.kind}")(name, *entry.made_of)
        if name and text != name:
            rows = {"memory": self.memory, "constant": self.constants, "buffer": self.buffers}
            rows.get(entry.kind, self.views).append(f"{name} = {text}")
        if name:
            self._named.setdefault(text, name)
        self._texts[i] = name or self._named.get(text, text)
        if entry.kind == "memory":
            self._home[entry.made_of[0]] = name
        return self._texts[i]

    def _memory(self, name: str, value: Value) -> str:
        members = self.source.program.flat.get(value)
        if members is None:
            return self.weight(value)
        for start, member in members:
            part = f"{name}[{start}:{start + member.size}]"
            self._home.setdefault(member, part if len(member.shape) == 1 else f"{part}.reshape{spelled(member.shape)}")
        rows, end = "", 0
        for start, member in sorted(members, key=lambda pair: pair[0]):
            rows += f"    np.zeros({start - end}{dtype_text(value.dtype)}),\n" * (start > end)
            rows, end = f"{rows}    {self.weight(member)}.ravel(),\n", start + member.size
        rows += f"    np.zeros({value.size - end}{dtype_text(value.dtype)}),\n" * (value.size > end)
        return f"np.concatenate([\n{rows}])"

    def weight(self, value: Value) -> str:
        return loaded(self.keys[value], self.content[value])

    def home(self, value: Value) -> str:
        """The expression for memory, also for memory that only the caller asks for."""
        if value not in self._home:
            self._home[value] = name = self.free(identifier(self.keys[value]))
            self.memory.append(f"{name} = {self.weight(value)}")
        return self._named.get(self._home[value], self._home[value])

    def _constant(self, name: str, array: np.ndarray) -> str:
        if array.ndim == 0 and any(re.match(rf"\s*{re.escape(name)}\[\(\)\] = ", line) for line in self.body):
            return f"np.empty((){dtype_text(array.dtype)})  # takes the number of the same name"
        text = constant(array)
        if text is None:
            key = f"constants.{name}"
            self.saved[key] = array
            return loaded(key, array)
        return text

    def _buffer(self, name: str, block: int, shape: tuple[int, ...], dtype: Any, strides: tuple[int, ...]) -> str:
        """Scratch memory of its own: the source lays several into one piece, which would be no pleasure to read."""
        axes = sorted(range(len(shape)), key=lambda axis: (-strides[axis], axis))
        text = f"np.empty({bare(tuple(shape[axis] for axis in axes))}{dtype_text(dtype)})"
        if axes == sorted(axes):
            return text
        return f"{text}.transpose{spelled(tuple(axes.index(axis) for axis in range(len(shape))))}"

    def _view(self, name: str, base: int, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        return self.seen(self.entry(base), function, args, kwargs)

    def seen(self, base: str, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> str:
        """The expression for a view."""
        name = function.__name__
        if function is arrays.identity:
            return base
        if function is arrays.slice_of:
            offset, size, shape = args
            part = f"{base}[{offset}:{offset + size}]"
            return part if len(shape) == 1 else f"{part}.reshape{spelled(shape)}"
        if name in ("getitem", "getitem_of"):
            return f"{base}[{key_text(args[0])}]"
        if name == "transpose" and len(args) == 1:
            reverses = args[0] is None or tuple(args[0]) == tuple(reversed(range(len(args[0]))))
            return f"{base}.T" if reverses else f"{base}.transpose{spelled(tuple(args[0]))}"
        if name == "reshape" and len(args) == 1:
            shape = args[0] if isinstance(args[0], tuple) else (args[0],)
            return f"{base}.reshape{spelled(shape)}" if shape else f"{base}.reshape(())"
        if name == "broadcast_to":
            return f"np.broadcast_to({base}, {bare(tuple(args[0]))})"
        given = [*map(literal, args), *(f"{key}={literal(value)}" for key, value in (kwargs or {}).items())]
        home = home_of(function)
        called = f"{home[0].replace('numpy', 'np', 1)}.{home[1]}" if home else self.borrowed.function(function)
        return f"{called}({', '.join([base, *given])})"

    def _blocks(self, name: str, cut: list[int], rows: int, total: int, sliced: bool) -> str:
        parts = ", ".join(self.entry(i) for i in cut)
        return f"{self.borrowed.function(loops.blocks)}([{parts}], {rows}, {total}, {sliced})"


# ---------------------------------------------------------------------------------------------- words


def loaded(key: str, array: np.ndarray) -> str:
    return f"_loaded({quoted(key)}, {tuple(map(int, array.shape))!r}, {quoted(array.dtype.name)})"


def quoted(text: str) -> str:
    """Text as a literal, in double quotes where that needs no escapes."""
    return f'"{text}"' if repr(text) == f"'{text}'" and '"' not in text else repr(text)


def spelled(shape: tuple[int, ...]) -> str:
    """A shape as a function's argument: (2, 3), or (3) for a vector."""
    return f"({', '.join(map(str, map(int, shape)))})"


def bare(shape: tuple[int, ...]) -> str:
    """A shape as one argument among others: (2, 3), or 3 for a vector."""
    return str(int(shape[0])) if len(shape) == 1 else spelled(shape)


def described(array: Any) -> str:
    """Dtype and shape, as float64[3, 2]."""
    return f"{array.dtype.name}{list(array.shape)}"


def dtype_text(dtype: Any) -> str:
    return "" if dtype == np.float64 else ", np.bool_" if dtype.kind == "b" else f", np.{dtype.name}"


def key_text(key: Any) -> str:
    """An index; an Ellipsis at the end of slices says nothing."""
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) > 1 and parts[-1] is Ellipsis and all(isinstance(part, slice) for part in parts[:-1]):
        parts = parts[:-1]
    return index(parts if len(parts) != 1 or isinstance(parts[0], tuple) else parts[0], literal)


def literal(x: Any) -> str:
    """A Python value as text that needs no names but NumPy's."""
    return literals.literal(x, written)


def written(x: Any) -> str:
    """What has no literal."""
    if type(x) is float:
        return float_text(x)
    if isinstance(x, np.generic):
        return literal(x.item())
    if isinstance(x, np.dtype):
        return f"np.dtype({x.name!r})"
    raise CompileError(
        f"tg.export_numpy: a {type(x).__name__} cannot be written into a file; use tensors, numbers, text, and tuples, "
        "lists and dicts of them"
    )


def constant(array: np.ndarray) -> str | None:
    """A constant as text; None if it is too large, or has entries or strides that text does not carry."""
    dtype, shape = dtype_text(array.dtype), bare(array.shape)
    if array.dtype.kind not in "biuf" or not (array.flags.c_contiguous and np.isfinite(array).all()):
        return None
    if array.ndim == 0:
        return f"np.array({array.item()!r}{dtype if array.dtype != np.array(array.item()).dtype else ''})"
    if array.size and array.tobytes() == np.full(array.shape, array.flat[0], array.dtype).tobytes():
        fill = array.flat[0].item()
        if fill == 1 and array.dtype.kind != "b":
            return f"np.ones({shape}{dtype})"
        return f"np.full({shape}, {fill!r}{dtype})"
    if array.ndim == 1 and array.tobytes() == np.arange(array.size, dtype=array.dtype).tobytes():
        return f"np.arange({array.size}{dtype.replace(', ', ', dtype=') or ', dtype=np.float64'})"
    return f"np.array({array.tolist()!r}{dtype})" if 0 < array.size <= INLINE_ENTRIES else None


__all__ = ["Standalone"]
