"""The exceptions and warnings of the package: each says what to write instead.

Each class is also the built-in that PyTorch or NumPy would raise in its place, so `except RuntimeError`
(PyTorch's habit) and `except ValueError` (NumPy's) both go on working. Read `core.py` next.
"""

from __future__ import annotations

PACKAGE = __name__.partition(".")[0]


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

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        return f"{message}\n  in layer: {' → '.join(self.layers)}" if self.layers else message


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
