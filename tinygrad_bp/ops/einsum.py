"""Einstein's notation: `einsum("ij,jk->ik", a, b)`, any number of operands, `...` and repeated letters included.

Each operand is first brought to distinct letters (diagonals), letters that nobody else needs are summed away, and
then operands are contracted two at a time. Read `loss.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Tensor, wrap
from ..declare import Case, bilinear, composite, publish
from ..duck import as_array
from ..errors import DtypeError, ShapeError
from .shapes import permute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..calling import Operand

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
SORTED = "".join(sorted(LETTERS))  # the order of numbers is the order of letters, which decides an output not given

contract = bilinear(
    lambda a, b, ia, ib, out: np.einsum(f"{ia},{ib}->{out}", a, b, optimize=True),
    "products of a and b summed over the letters that the output lacks",
    lambda g, b, ia, ib, out: np.einsum(f"{out},{ib}->{ia}", g, b, optimize=True),
    lambda g, a, ia, ib, out: np.einsum(f"{out},{ia}->{ib}", g, a, optimize=True),
    method=False,
    cases=(
        Case((2, 3), (3, 4), ia="ij", ib="jk", out="ik"),
        Case((2, 3), (2, 3), ia="ij", ib="ij", out=""),
        Case((3,), (3,), ia="i", ib="i", out="i"),
    ),
)


def _numpy_einsum(*operands: Any) -> Any:
    return einsum(*operands)


@composite(
    bodies=(contract,),
    numpy={np.einsum: _numpy_einsum},
    method=False,
    inputs=(),
    cases=(
        Case((2, 3), (3, 4), equation="ij,jk->ik"),
        Case((3, 3), equation="ii->i"),
        Case((2, 3), (3,), (2,), equation="ij,j,i->"),
        Case((2, 2, 3), (3, 1), equation="...ij,j...->i..."),
        Case((2, 3), equation="ij"),
    ),
)
def einsum(equation: str | Operand, *operands: Operand | Sequence[Any]) -> Any:
    """Products of the operands' entries, summed over the letters that the output lacks.

    The letters may also be given as lists of numbers, each after its operand: `einsum(a, [0, 1], b, [1, 2], [0, 2])`.
    """
    if not isinstance(equation, str):
        equation, operands = _from_lists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    operands = tuple([x if isinstance(x, Tensor) else wrap(as_array(x)) for x in operands])
    inputs, output = _parse(equation.replace(" ", ""), operands)
    done = [_distinct(x, letters) for x, letters in zip(operands, inputs, strict=True)]
    while len(done) > 1:
        (a, ia), (b, ib) = done.pop(0), done.pop(0)
        later = set(output).union(*(letters for _, letters in done))
        a, ia = _sum_out(a, ia, later | set(ib))
        b, ib = _sum_out(b, ib, later | set(ia))
        out = "".join(c for c in dict.fromkeys(ia + ib) if c in later)
        done.insert(0, (_contract(a, ia, b, ib, out), out))
    x, letters = _sum_out(*done[0], set(output))
    return permute(x, tuple(letters.index(c) for c in output)) if output else x.reshape(())


def _from_lists(given: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """The equation for operands that alternate with lists of their dimensions' numbers, the output's list last."""
    count = len(given) // 2
    lists = [*given[1 : 2 * count : 2], *given[2 * count :]]
    if not count or any(not isinstance(numbers, list | tuple) for numbers in lists):
        raise DtypeError(
            'einsum: an equation and its operands are expected, `einsum("ij,jk->ik", a, b)`, or operands with lists of '
            "numbers, `einsum(a, [0, 1], b, [1, 2], [0, 2])`"
        )
    for n in (n for numbers in lists for n in numbers):
        if n is not Ellipsis and not (hasattr(n, "__index__") and 0 <= n.__index__() < len(LETTERS)):
            raise DtypeError(f"einsum: a number from 0 to {len(LETTERS) - 1} or … names a dimension, not {n!r}")
    words = ["".join("..." if n is Ellipsis else SORTED[n] for n in numbers) for numbers in lists]
    return ",".join(words[:count]) + ("->" + words[count] if len(words) > count else ""), given[: 2 * count : 2]


def _contract(a: Any, ia: str, b: Any, ib: str, out: str) -> Any:
    """A size of 1 against a larger one broadcasts."""
    size: dict[str, int] = {}
    for x, letters in ((a, ia), (b, ib)):
        for c, n in zip(letters, x.shape, strict=True):
            if size.get(c, 1) != 1 and n not in (1, size[c]):
                raise ShapeError(f"einsum: letter {c!r} is {size[c]} in one operand and {n} in another")
            size[c] = max(size.get(c, 1), n) if n else 0
    a = a.broadcast_to(tuple(size[c] for c in ia))
    b = b.broadcast_to(tuple(size[c] for c in ib))
    return contract(a, b, ia, ib, out)


def _parse(equation: str, operands: Any) -> tuple[list[str], str]:
    left, arrow, output = equation.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise ShapeError(f"einsum: {equation!r} names {len(inputs)} operands, {len(operands)} were given")
    free = [c for c in LETTERS if c not in equation]
    widest = max(
        (x.ndim - len(s.replace("...", "")) for s, x in zip(inputs, operands, strict=True) if "..." in s), default=0
    )
    dots = "".join(free[:widest])
    for k, (letters, x) in enumerate(zip(inputs, operands, strict=True)):
        count = x.ndim - len(letters.replace("...", ""))
        if count < 0 or (count and "..." not in letters):
            raise ShapeError(f"einsum: {letters!r} does not name the {x.ndim} dimensions of shape {tuple(x.shape)}")
        inputs[k] = letters.replace("...", dots[len(dots) - count :])
    if not arrow:
        joined = "".join(inputs)
        output = dots + "".join(sorted(c for c in set(joined) if joined.count(c) == 1 and c not in dots))
    output = output.replace("...", dots)
    unknown = [c for c in output if c not in "".join(inputs)]
    if unknown or len(set(output)) < len(output):
        raise ShapeError(f"einsum: the output of {equation!r} must name letters of the inputs, each once")
    return inputs, output


def _distinct(x: Any, letters: str) -> tuple[Any, str]:
    """A letter that stands twice in one operand takes its diagonal."""
    for c in dict.fromkeys(letters):
        while letters.count(c) > 1:
            i, j = letters.index(c), letters.rindex(c)
            if x.shape[i] != x.shape[j]:
                raise ShapeError(f"einsum: {c!r} is {x.shape[i]} and {x.shape[j]} in one operand")
            x = x.diagonal(0, i, j)
            letters = letters[:i] + letters[i + 1 : j] + letters[j + 1 :] + c
    return x, letters


def _sum_out(x: Any, letters: str, keep: set[str]) -> tuple[Any, str]:
    """Letters that nobody needs any more are summed away before the next product."""
    gone = tuple(i for i, c in enumerate(letters) if c not in keep)
    return (x.sum(axis=gone), "".join(c for c in letters if c in keep)) if gone else (x, letters)


publish(globals())
