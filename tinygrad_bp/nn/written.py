"""Functions that are written from a declaration, with a signature of their own, as dataclasses are.

`F.elu(input, alpha=1.0, inplace=False)` follows from the operation `elu` and its `layer=`; `layer.py` writes the
methods of a layer in the same way. Read `rooms.py` next.
"""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

from ..core import Tensor
from ..declare import REGISTRY
from ..errors import DtypeError, kind_of
from ..inplace import in_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..declare import Op


def define(module: str, name: str, names: Iterable[str], body: str, reads: dict[str, Any]) -> Any:
    """The function `name(names…)` of a module with this body, which reads `reads` as its globals."""
    space = {"__name__": module, **reads}
    exec(compile(f"def {name}({', '.join(names)}):\n    {body}\n", f"<{module}.{name}>", "exec"), space)
    return space[name]


def functions_for(module: str) -> dict[str, Any]:
    """By name, a function of `nn.functional` for each operation that says how it stands in `nn`."""
    return {op.key: function_of(op, module) for op in REGISTRY.values() if op.layer}


def function_of(op: Op, module: str) -> Any:
    """`name(input, parameters…)`, with `inplace=False` at the end where the operation can write over its input."""
    layer: Any = op.layer
    names, defaults = ("input", *op.params), tuple([op.defaults[name] for name in op.params])
    given = ", ".join(names)
    body, reads = f"return _call({given})", {"_call": op.call}
    if layer.inplace:
        names, defaults = (*names, "inplace"), (*defaults, False)
        body = f"return _over({given}) if inplace else _call({given})"
        reads["_over"] = overwriting(op)
    made = define(module, op.key, names, body, reads)
    made.__defaults__ = defaults
    kinds = {name: type(value).__name__ for name, value in zip(names[1:], defaults, strict=True)}
    made.__annotations__ = {"input": "Tensor", **kinds, "return": "Tensor"}
    made.__doc__, made.layer = described(op), layer
    if not layer.inplace:
        made.direct = op.call  # what the layer calls: a Python frame less
    return made


def overwriting(op: Op) -> Callable[..., Any]:
    """The operation's in-place form, which has no memory to write to where it is given no tensor."""
    method = in_place(op.call, f"{op.key}_")

    def over(input: Any, *params: Any) -> Any:
        if not isinstance(input, Tensor):
            raise DtypeError(f"{op.key}: with inplace=True a Tensor is expected, not {kind_of(input)}")
        return method(input, *params)

    return over


def described(op: Op) -> str:
    """The operation's own words, and its values at -1, 0 and 2."""
    layer: Any = op.layer
    text = cleandoc(op.call.__doc__).removesuffix(".") + "."
    if re.match(r"([a-z]{2,}|a) [a-z]", text):  # words, not a formula
        text = text[0].upper() + text[1:]
    if layer.inplace:
        text += "\n\nWith `inplace` it is written over the input."
    call = f"tg.nn.functional.{op.key}(tg.tensor([-1.0, 0.0, 2.0]))"
    return f"{text}\n\n>>> import tinygrad_bp as tg\n>>> {call}\n{printed(layer.at)}\n"


def printed(values: Sequence[float]) -> str:
    """A tensor of these numbers as it prints."""
    whole = all(value == int(value) for value in values)
    texts = [f"{value:.0f}." if whole else f"{value:.4f}" for value in values]
    width = max(map(len, texts))
    return f"tensor([{', '.join(text.rjust(width) for text in texts)}])"
