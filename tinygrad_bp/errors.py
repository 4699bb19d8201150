"""The exceptions and warnings of the package: each says what to write instead.

Each class is also the built-in that PyTorch or NumPy would raise in its place, so `except RuntimeError`
(PyTorch's habit) and `except ValueError` (NumPy's) both go on working. Read `core.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "ArgumentError", "AxisError", "CompileError", "DtypeError", "FileFormatError", "GraphError", "InplaceError",
    "ModuleError", "NonFiniteError", "ShapeError", "StateDictError", "TensorError",
]  # fmt: skip


class TensorError(RuntimeError):
    """Base of every error raised on purpose; `layers` is the path of modules that the call went through.

    Modules prepend their name while the exception passes through them, so the message ends with the
    layer in which it happened.

    >>> raise_in = TensorError("matmul: shapes (2, 3) and (4, 5) do not fit")
    >>> raise_in.layers.append("fc1 (Linear)")
    >>> print(raise_in)
    matmul: shapes (2, 3) and (4, 5) do not fit
      in layer: fc1 (Linear)
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.layers: list[str] = []  # outermost first
        self.__suppress_context__ = True  # one error, one traceback: what NumPy said first is in the message

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        return f"{message}\n  in layer: {' → '.join(self.layers)}" if self.layers else message


def require_whole(op: str, **values: Any) -> None:
    """Raise DtypeError unless each value is an int."""
    for name, value in values.items():
        if not hasattr(value, "__index__") or getattr(value, "shape", ()) != ():
            fix = "; `n // 2` is an int, `n / 2` a float" if isinstance(value, float) else ""
            raise DtypeError(f"{op}: {name} is a whole number, not {kind_of(value)}{fix}")


def require_numbers(op: str, **values: Any) -> None:
    """Raise DtypeError unless each value is a number, or an array or tensor of one."""
    for name, value in values.items():
        if not hasattr(value, "__float__") or getattr(value, "shape", ()) != ():
            raise DtypeError(f"{op}: {name} is a number, not {kind_of(value)}")


def guessing(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module: an AttributeError with the name that was probably meant.

    >>> guessing("math")("sqroot")
    Traceback (most recent call last):
    AttributeError: module 'math' has no attribute 'sqroot'. Did you mean 'sqrt'?
    """

    def missing(name: str) -> Any:
        raise no_attribute(module, name)

    return missing


def no_attribute(module: str, name: str) -> AttributeError:
    """The error for a name that a module does not have."""
    import sys

    public = vars(sys.modules[module]).get("__all__") or [n for n in dir(sys.modules[module]) if n[0] != "_"]
    like = [n for n in public if n[:1].isupper() == name[:1].isupper()] or public
    near = None if name.startswith("_") else close(name, like)
    meant = repr(near) if near else ""
    if meant.strip("'").lower() != name.lower():
        meant = " or ".join(elsewhere(name)) or meant
    detail = f". Did you mean {meant}?" if meant else f"; there are {', '.join(like)}" if len(like) < 12 else ""
    # with obj=None Python's own guess is not added to ours
    return AttributeError(f"module {module!r} has no attribute {name!r}{detail}", name=name, obj=None)


def elsewhere(name: str) -> list[str]:
    """Where this package has a name, capitals aside; two places at most.

    >>> elsewhere("Relu"), elsewhere("linear")
    (['tg.relu', 'tg.nn.ReLU'], ['tg.nn.Linear', 'tg.nn.functional.linear'])
    """
    from importlib import import_module

    found: list[str] = []
    if name.startswith("_"):  # Python itself asks for many of these
        return found
    for place in ("", ".nn", ".nn.functional", ".optim"):
        module = import_module(f"{__package__}{place}")
        same = [n for n in dir(module) if n.lower() == name.lower()]
        found += [f"tg{place}.{n}" for n in same if type(getattr(module, n)) is not type(module)]
    return found[:2]


def close(name: str, names: Sequence[str]) -> str | None:
    """The one of `names` that looks most like `name`, whatever its capitals."""
    from difflib import get_close_matches

    lowered = {n.lower().replace("_", ""): n for n in names}
    found = get_close_matches(name, names, 1) or get_close_matches(name.lower().replace("_", ""), lowered, 1)
    return lowered.get(found[0], found[0]) if found else None


FORGOT = ": did a function, or a layer's `forward`, forget its `return`?"


def kind_of(value: object) -> str:
    """What a wrong argument is, as a message says it.

    >>> kind_of("0.1"), kind_of(int), kind_of(None)
    ("a str ('0.1')", 'the class int', 'None')
    """
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    article = "an" if name[0] in "aeiouAEIO" or name.startswith("nd") else "a"
    if isinstance(value, str | int | float):
        return f"{article} {name} ({value!r:.40})"
    shape = getattr(value, "shape", None)
    return f"{article} {name}{f' of shape {tuple(shape)}' if isinstance(shape, tuple) else ''}"


class ShapeError(TensorError, ValueError):
    """Shapes that do not fit together, or a size that an operation cannot take."""


class DtypeError(TensorError, TypeError):
    """A dtype, or a kind of argument, that an operation cannot take."""


class GraphError(TensorError):
    """A backward pass that cannot be done: no graph, a freed graph, a non-scalar without a gradient."""


class InplaceError(TensorError):
    """An in-place write that would make a gradient wrong."""


class StateDictError(TensorError, ValueError):
    """A state_dict that does not fit: missing, unexpected and mis-shaped keys, all listed together."""


class FileFormatError(TensorError, ValueError):
    """A file that is truncated, lies about its lengths, or is not what it claims to be."""


class AxisError(ShapeError, IndexError):
    """An axis, or an index, that lies outside the tensor."""


class ArgumentError(TensorError, ValueError):
    """A value outside the range that an argument may have: a negative learning rate, an unknown reduction."""


class NonFiniteError(ArgumentError):
    """NaN or infinity where a number is needed: in a target, or in gradients that are to be clipped."""


class ModuleError(TensorError, AttributeError):
    """A module used before `super().__init__()`, or asked for a name that it does not have, or has already."""


class CompileError(TensorError):
    """A step that cannot be compiled: what happened on which line, and what to write instead."""
