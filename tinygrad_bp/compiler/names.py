"""Names for the values of a step, as a person would choose them.

You will know how "encoder.0.weight" becomes `encoder_linear_0_weight`, and why no name is ever a keyword, a built-in or
taken twice. Read `source.py` next: where the names are written.
"""

from __future__ import annotations

import builtins
import keyword
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a value is called that has neither a name nor a layer: after the call that made it.
NAME_OF_CALL = {
    "subtract": "difference", "add": "total", "multiply": "product", "true_divide": "quotient", "dot": "product",
    "vdot": "squares", "matmul": "product", "square": "squared", "sqrt": "root", "negative": "negated",
    "add.reduce": "sums", "copy": "kept", "assign": "changed", "gather": "gathered", "exp": "exponential",
    "log": "logarithm", "absolute": "size",
}  # fmt: skip
ELSE = re.compile(r"\W+", re.ASCII)
ROUND = {0: "zero", 1: "one", 2: "two", 3: "three", -1: "minus_one", 0.5: "half"}


class Names:
    """Hands out identifiers, each once.

    >>> names = Names()
    >>> names.pick("encoder.fc1"), names.pick("encoder.fc1"), names.pick("lambda"), names.pick("sum"), names.pick("2 d")
    ('encoder_fc1', 'encoder_fc1_2', 'lambda_', 'sum_', 'n_2_d')
    """

    def __init__(self) -> None:
        self.taken: set[str] = set(dir(builtins)) | set(keyword.kwlist) | set(keyword.softkwlist) | {"step", "rows"}
        self.last: dict[str, int] = {}  # name without a number → the last number that it was given

    def pick(self, hint: str) -> str:
        """A free name made from a hint."""
        base = identifier(hint)
        if base in self.taken and (keyword.iskeyword(base) or hasattr(builtins, base) or keyword.issoftkeyword(base)):
            base += "_"
        name = base
        while name in self.taken:
            self.last[base] = number = self.last.get(base, 1) + 1
            name = f"{base.rstrip('_')}_{number}"
        self.taken.add(name)
        return name


def identifier(hint: str) -> str:
    """A valid identifier close to a hint."""
    text = ELSE.sub("_", hint).strip("_") or "value"
    return f"n_{text}" if text[0].isdigit() else text


def of_layer(path: str, layers: Mapping[str, str]) -> str:
    """A layer's path as part of a name: a last part that is a number gets the class in front.

    >>> of_layer("encoder.0", {"encoder.0": "Linear(in_features=2, out_features=3)"})
    'encoder_linear_0'
    """
    head, _, last = path.rpartition(".")
    if last.isdigit():
        kind = re.match(r"\w*", layers.get(path, ""))
        last = f"{kind[0].lower()}_{last}" if kind and kind[0] else f"layer_{last}"
    return identifier(f"{head}.{last}" if head else last)


def of_memory(name: str, layers: Mapping[str, str]) -> str:
    """The name of a parameter or of a state: its layer's name and its own."""
    path, _, last = name.rpartition(".")
    while path and path not in layers and path.rpartition(".")[0] in layers:
        path, _, middle = path.rpartition(".")
        last = f"{middle}.{last}"
    return identifier(f"{of_layer(path, layers)}.{last}" if path else last)


def of_number(number: Any) -> str:
    """The name of a constant number.

    >>> of_number(0.0), of_number(-0.0), of_number(2 / 3), of_number(-100)
    ('zero', 'minus_zero', 'c_0_667', 'minus_100')
    """
    if number == 0 and str(number).startswith("-"):
        return "minus_zero"
    if number in ROUND:
        return ROUND[number]
    text = f"{number:.3g}" if isinstance(number, float) else str(number)
    return identifier(text.replace("-", "minus_") if text.startswith("-") else f"c_{text}")
