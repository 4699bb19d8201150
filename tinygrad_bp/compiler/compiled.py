"""`compile`: a step, a forward pass or any function of tensors, run from then on as straight-line NumPy.

You will know when a step is recorded anew, and what happens when it cannot be. Read `capture.py` next: what a step can
reach; then `recording.py`, `passes/`, `source.py`, `plan.py`.
"""

from __future__ import annotations

import functools
import gc
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..duck import TRACES, tracing
from ..errors import ArgumentError, CompileError
from ..nn.module import Module
from ..optim.flat import moved_back
from .explain import explain
from .passes import PASSES
from .plan import MISS, Plan, note_holders
from .private import RECORDING
from .recording import record
from .titles import reached
from .why import changed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MANY = 8  # recordings of one step after which the user is told that it happens again and again
KEPT = 32  # plans kept for one step


class Compiled:
    """A compiled step: call it as the function that it was made of.

    `source` is the program as readable NumPy, `explain()` tells what it costs and what the passes did; both are those
    of the last call. Raises CompileError where the step cannot be compiled.

    >>> import tinygrad_bp as tg
    >>> double = tg.compile(lambda x: x + x)
    >>> double(tg.ones(2))
    tensor([2., 2.])
    """

    is_compiled_step = True

    def __init__(self, function: Any, without: Iterable[str] = (), fallback: bool = False) -> None:
        self.function, self.without, self.fallback = function, checked(without), fallback
        self._plans: list[Plan] = []
        self._plan: Plan | None = None  # that ran last, and is tried first
        self._recordings = 0
        self._eager = False
        self._attribute = getattr(function, "__name__", "")
        if isinstance(function, Module):
            self.__doc__ = type(function).__doc__
        else:
            functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._plan is not None:
            result = self._plan.enter(args, kwargs)
            if result is not MISS:
                return result
        return self._other(args, kwargs)

    def _other(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The plan that ran last does not fit: another one, or a new one; in a recording the function itself."""
        if self._eager or (TRACES and tracing()):  # no plan fits stand-ins
            return self.function(*args, **kwargs)
        for plan in [plan for plan in self._plans if plan is not self._plan]:
            result = plan.enter(args, kwargs)
            if result is not MISS:
                self._plan = plan
                return result
        return self._first(args, kwargs)

    def __del__(self) -> None:
        for plan in getattr(self, "_plans", ()):
            plan.close()

    def __set_name__(self, owner: Any, name: str) -> None:
        self._attribute = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method: each instance has a compiled step of its own, which takes the method's place in it."""
        if instance is None:
            return self
        bound = Compiled(self.function.__get__(instance, owner), self.without, self.fallback)
        instance.__dict__[self._attribute] = bound
        return bound

    def _first(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Record the step for arguments, or a state of things, that no plan was made for; then run it."""
        with RECORDING:  # one recording at a time; the one before may have made the very program
            for plan in self._plans:
                result = plan.enter(args, kwargs)
                if result is not MISS:
                    return result
            return self._recorded(args, kwargs)

    def _recorded(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            plan = self._planned(args, kwargs)
        except CompileError as error:
            if not self.fallback:
                raise
            self._eager, self._plan = True, None
            warnings.warn(f"{error}\nFrom now on it runs eagerly (fallback=True).", UserWarning, stacklevel=4)
            return self.function(*args, **kwargs)
        before, self._plan = self._plans[:1], plan
        self._plans.insert(0, plan)
        del self._plans[KEPT:]
        self._recordings += 1
        if self._recordings == MANY:
            warnings.warn(
                f"tg.compile: {self._name} was recorded {MANY} times, which costs more than it saves: "
                f"{changed(before[0], args, kwargs)}",
                UserWarning, stacklevel=4,
            )  # fmt: skip
        result = plan.enter(args, kwargs)
        if result is MISS:
            raise CompileError(f"tg.compile: {self._name} changes what it depends on while it is being compiled")
        return result

    def _planned(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan:
        note_holders()
        with moved_back(), no_collection():
            reach, leaves = reached(self.function, args, kwargs)
            run, patterns = record(self.function, reach, leaves)
            return Plan(run, patterns, self.without)

    @property
    def _name(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)

    @property
    def _last(self) -> Plan:
        if self._plan is None:
            raise CompileError(f"tg.compile: call {self._name} once; its source depends on the shapes of its arguments")
        return self._plan

    @property
    def source(self) -> str:
        """The generated function of the last call as readable NumPy.

        >>> import tinygrad_bp as tg
        >>> double = tg.compile(lambda x: x + x)
        >>> _ = double(tg.ones(2))
        >>> "add(x, x)" in double.source
        True
        """
        return self._last.source.text

    def explain(self) -> str:
        """Calls, buffers, bytes and floating-point operations of the last call's program, and what each pass removed.

        >>> import tinygrad_bp as tg
        >>> double = tg.compile(lambda x: x + x)
        >>> _ = double(tg.ones(2))
        >>> print(double.explain().splitlines()[0])
        1 NumPy call
        """
        plan = self._last
        source = plan.source
        return explain(plan.recorded, plan.program, source.buffers, source.text, source.allocating)

    def __reduce__(self) -> Any:
        """A copy, or what is unpickled, records the step anew: programs belong to the arrays they were made for."""
        return Compiled, (self.function, self.without, self.fallback)

    def __repr__(self) -> str:
        return f"<compiled {self._name}, {len(self._plans)} program{'s' * (len(self._plans) != 1)}>"


@contextmanager
def no_collection() -> Iterator[None]:
    """No search for garbage meanwhile: what a recording makes lives to its end, and looking at all of it again and
    again takes a third of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def compile(
    function: Callable[..., Any] | None = None, *, without: Iterable[str] = (), fallback: bool = False
) -> Any:
    """Compile a training step, a forward pass, or any function of tensors; a call, or a decorator.

    The first call records what the function does (with the arrays of that call) and writes it as a straight-line NumPy
    function with its buffers allocated once; later calls run that one. Shapes, dtypes, grad mode, train/eval flags and
    every Python value that the function reads are looked at before each call; if one has changed, the step is recorded
    anew. Learning rates, random draws and tensors stay live. The result is that of the eager step: bit for bit without
    the passes marked inexact, else to rounding.

    Args:
        function: what to compile; a Module is compiled as its call.
        without: names of passes to leave out ("bias", "stack", ...; see `tinygrad_bp.compiler.PASSES`).
        fallback: run eagerly, after saying so once, what cannot be compiled; otherwise CompileError is raised.

    The gradients in `.grad` lie in buffers that the next call uses again; where somebody kept one, it takes new ones.

    >>> import tinygrad_bp as tg
    >>> model = tg.nn.Linear(2, 1)
    >>> optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    >>> @tg.compile
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = tg.nn.functional.mse_loss(model(x), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x, y = tg.rand(8, 2), tg.rand(8, 1)
    >>> first = step(x, y)
    >>> all(step(x, y) < first for _ in range(10))
    True
    """
    if function is None:
        return lambda function: compile(function, without=without, fallback=fallback)
    if isinstance(function, Compiled):
        return function
    if not callable(function):
        raise CompileError(f"tg.compile: a function is expected, not {type(function).__name__}")
    return Compiled(function, without, fallback)


def checked(without: Iterable[str]) -> tuple[str, ...]:
    """The names of passes to leave out."""
    names = (without,) if isinstance(without, str) else tuple(without)
    unknown = [name for name in names if name not in PASSES]
    if unknown:
        raise ArgumentError(f"tg.compile: there is no pass {unknown[0]!r}; there are {', '.join(PASSES)}")
    return names


__all__ = ["Compiled", "compile"]
