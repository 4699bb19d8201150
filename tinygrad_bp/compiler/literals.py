"""Python values as source text: for the generated function, and for the file that `export_numpy` writes.

Read `scribe.py` next.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from .. import pytree
from ..pytree import operands

if TYPE_CHECKING:
    from collections.abc import Callable

    Text = Callable[[Any], str]


def literal(x: Any, other: Text) -> str:
    """A value as a literal: numbers, text, None, and containers of them; `other` writes what has no literal.

    >>> literal([1, (2.0,), slice(3, None), "a"], repr)
    "[1, (2.0,), slice(3, None, None), 'a']"
    """

    def leaf(x: Any) -> str:
        if x is Ellipsis:
            return "..."
        if x is None or type(x) in (bool, int, str, bytes) or (type(x) is float and isfinite(x)):
            return repr(x)
        return other(x)

    text: str = pytree.fold(leaf, lambda tree, texts: pytree.source(tree, texts, leaf), x, operands)
    return text


def index(key: Any, part: Text) -> str:
    """An index as it stands between square brackets; `part` writes what is no slice.

    >>> index((slice(1, None), 0, ...), lambda x: literal(x, repr)), index(slice(None, None, 2), repr), index((), repr)
    ('1:, 0, ...', '::2', '()')
    """
    if not isinstance(key, tuple):
        return _between(key, part)
    return ", ".join(_between(x, part) for x in key) + "," * (len(key) == 1) or "()"


def _between(x: Any, part: Text) -> str:
    if type(x) is not slice:
        return part(x)
    start, stop, step = ("" if end is None else part(end) for end in (x.start, x.stop, x.step))
    return f"{start}:{stop}" + (f":{step}" if step else "")
