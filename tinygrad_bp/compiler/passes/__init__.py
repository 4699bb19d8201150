"""The passes: small functions from program to program, in the order in which they run.

You will know what the compiler does to a step before it writes it down. Each pass can be switched off by its name,
`tg.compile(step, without=("stack",))`. Read `words.py` next, then the passes in the order of the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...errors import ArgumentError
from .algebra import algebra
from .bias import bias
from .common import common
from .dead import dead
from .fold import fold
from .scale import scale
from .sigmoid import sigmoid
from .stack import stack
from .sums import sums
from .words import rebuilt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..program import Program

ROUNDS = 50  # far more than any program needs: each round but the last takes something away


class Pass(NamedTuple):
    """A pass by name; `exact`: whether the step keeps every bit of its results."""

    name: str
    function: Callable[[Program], Program]
    description: str
    exact: bool


PASSES: dict[str, Pass] = {
    one.name: one
    for one in (
        Pass("dead", dead, "drop what nobody needs", True),
        Pass("common", common, "compute the same thing once", True),
        Pass("fold", fold, "compute what is constant while compiling", True),
        Pass("algebra", algebra, "drop x·1, -(-x), copies, views of views", True),
        Pass("bias", bias, "sum over rows by a product with ones", False),
        Pass("sums", sums, "other small sums by products with ones", False),
        Pass("sigmoid", sigmoid, "write the sigmoid of few numbers in three calls", False),
        Pass("scale", scale, "make one factor of two", False),
        Pass("stack", stack, "compute the slopes of several layers at once", True),
    )
}


def optimise(program: Program, without: Iterable[str] = ()) -> Program:
    """The program after all passes but those named, repeated until nothing changes; `program` stays as it was.

    `removed` of the result tells for each pass how many calls it took away or replaced, views not counted: they cost
    nothing. Raises ArgumentError for a name that no pass has.
    """
    off = [without] if isinstance(without, str) else list(without)
    unknown = [name for name in off if name not in PASSES]
    if unknown:
        named = ", ".join(map(repr, unknown))
        raise ArgumentError(f"compile: no pass is called {named}; there are {', '.join(PASSES)}")
    after = rebuilt(program, list(program.calls))
    after.removed = {name: 0 for name in PASSES if name not in off}
    nothing: dict[str, Program] = {}  # pass → the program in which it found nothing: it need not look again
    for _ in range(ROUNDS):
        at_first = after
        for name in [name for name in after.removed if nothing.get(name) is not after]:
            before, after = after, PASSES[name].function(after)
            if after is before:
                nothing[name] = after
            else:
                after.removed[name] += gone(before, after)
        if after is at_first:
            break
    for call in after.calls:  # passes make copies of calls; the last one made need not be the one that stayed
        for out in call.outs:
            out.maker = call
    return after


def gone(before: Program, after: Program) -> int:
    """How many calls, other than views, are in the one program and not in the other."""
    there = {(*call.outs, call.prim.name) for call in after.calls}
    return sum(call.prim.kind != "view" and (*call.outs, call.prim.name) not in there for call in before.calls)
