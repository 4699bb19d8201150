"""A Python number that is read anew at each run: a learning rate, an optimiser's count, `loss.item()`.

Arithmetic on it goes into the program. A comparison is answered at once and remembered as a condition of the program,
if the number can be computed before a run, from settings; where only the run computes it, a branch cannot be compiled.
Read `capture.py` next: where settings and memory are found.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from ..core import Tensor
from . import spelling

if TYPE_CHECKING:
    from .program import Value
    from .trace import Trace


class SymbolicNumber:
    """A number's stand-in. `settings` are the numbers it is computed from, None if the run itself computes it.

    made: the function and the numbers of which it was made; None for a setting itself.
    """

    __slots__ = ("actual", "made", "settings", "trace", "value")
    known_number = True

    def __init__(
        self, trace: Trace, value: Value, actual: Any, settings: frozenset[Any] | None, made: Any = None
    ) -> None:
        self.trace, self.value, self.actual, self.settings, self.made = trace, value, actual, settings, made

    def spelled(self, names: dict[Value, str]) -> str:
        """The expression that computes it from the settings, which have names."""
        if self.made is None:
            return names[self.value]
        function, args = self.made
        return SYMBOLS[function].format(*[spelled(arg, names) for arg in args])

    def __repr__(self) -> str:
        return repr(self.pinned())

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Tensor) for x in inputs):
            return NotImplemented
        return spelling.ufunc(self.trace, ufunc, method, inputs, kwargs)

    def pinned(self, *args: Any) -> Any:
        """The number itself; the program then holds for this number only."""
        return self.trace.pin(self)

    def __bool__(self) -> bool:
        return bool(self.trace.condition(operator.ne, self, 0))

    def __float__(self) -> float:
        return float(self.pinned())

    def __int__(self) -> int:
        return int(self.pinned())

    def __index__(self) -> int:
        return operator.index(self.pinned())

    def __hash__(self) -> int:
        return hash(self.pinned())

    def __format__(self, spec: str) -> str:
        return format(self.pinned(), spec)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __round__(self, digits: Any = None) -> Any:
        return round(self.pinned(), digits)


SYMBOLS = {
    operator.add: "({} + {})", operator.sub: "({} - {})", operator.mul: "({} * {})", operator.truediv: "({} / {})",
    operator.floordiv: "({} // {})", operator.mod: "({} % {})", operator.pow: "({} ** {})", operator.neg: "(-{})",
    operator.pos: "(+{})", operator.abs: "abs({})", operator.eq: "({} == {})", operator.ne: "({} != {})",
    operator.lt: "({} < {})", operator.le: "({} <= {})", operator.gt: "({} > {})", operator.ge: "({} >= {})",
}  # fmt: skip


def spelled(number: Any, names: dict[Value, str]) -> str:
    """A number as an expression of Python."""
    if isinstance(number, SymbolicNumber):
        return number.spelled(names)
    exact = number if isinstance(number, int) else float(number)
    return repr(exact) if math.isfinite(exact) else f"float({str(exact)!r})"


def settings_of(*numbers: Any) -> set[Value]:
    """The settings that numbers are computed from."""
    return {value for one in numbers if isinstance(one, SymbolicNumber) for value, _ in one.settings or ()}


def is_number(x: Any) -> bool:
    return isinstance(x, SymbolicNumber | int | float)


def _binary(function: Any, reflected: bool) -> Any:
    def method(self: SymbolicNumber, other: Any) -> Any:
        if not is_number(other):
            return NotImplemented
        return self.trace.arithmetic(function, (other, self) if reflected else (self, other))

    return method


def _unary(function: Any) -> Any:
    return lambda self: self.trace.arithmetic(function, (self,))


def _comparing(function: Any) -> Any:
    def method(self: SymbolicNumber, other: Any) -> Any:
        return self.trace.condition(function, self, other) if is_number(other) else NotImplemented

    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(SymbolicNumber, f"__{_name}__", _binary(getattr(operator, _name), False))
    setattr(SymbolicNumber, f"__r{_name}__", _binary(getattr(operator, _name), True))
for _name in ("neg", "pos", "abs"):
    setattr(SymbolicNumber, f"__{_name}__", _unary(getattr(operator, _name)))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(SymbolicNumber, f"__{_name}__", _comparing(getattr(operator, _name)))
