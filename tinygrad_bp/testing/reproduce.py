"""The call of a check as one line of Python that can be pasted: the function's name, the inputs' values, the options.

Only where the inputs are small and the function has a name that can be imported; a line that would not run is no help.
Read `module_laws.py` next.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import Tensor

LARGEST = 24  # entries of all inputs together


def function_line(fn: Any) -> str:
    """How a script gets hold of `fn`: 'mypackage.layers.scale', 'mypackage.layers.Scale.apply'; '' if it cannot."""
    owner = getattr(fn, "__self__", None)
    if isinstance(owner, type):  # a class method: the `apply` of a Function
        named = function_line(owner)
        return f"{named}.{fn.__name__}" if named else ""
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", "<>")
    return "" if "<" in name or not module else name if module == "__main__" else f"{module}.{name}"


def value_line(value: Any) -> str:
    """A tensor, an array or a plain value as an expression; all digits, so that the same numbers come back."""
    if isinstance(value, Tensor):
        grad = ", requires_grad=True" if value.requires_grad else ""
        return f"tg.tensor({value.array.tolist()!r}, dtype=tg.{value.array.dtype.name}{grad})"
    if isinstance(value, np.ndarray | np.generic):
        return f"np.array({value.tolist()!r}, dtype='{value.dtype.name}')"
    return repr(value)


def call_line(check: str, fn: Any, inputs: Any, options: dict[str, Any]) -> str:
    """`tg.autograd.gradcheck(mypackage.layers.scale, (tg.tensor(…),), seed=0)`, or '' if it would not run."""
    listed = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    sizes = sum(x.size if isinstance(x, np.ndarray) else x.array.size if isinstance(x, Tensor) else 1 for x in listed)
    values = [value_line(x) for x in listed]
    named = function_line(fn)
    printable = all(isinstance(x, Tensor | np.ndarray | np.generic | int | float | str | None) for x in listed)
    if not named or not printable or sizes > LARGEST or any("nan" in v or "inf" in v for v in values):
        return ""
    extra = "".join(f", {key}={value!r}" for key, value in options.items() if isinstance(value, int | float | str))
    return f"tg.autograd.{check}({named}, ({', '.join(values)},){extra})"
