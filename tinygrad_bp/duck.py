"""Stand-ins for arrays: how the same code is read by something that only looks like an array.

A `Duck` has an array's shape, dtype and operators, and notes down what is done with it; the compiler's Tracer is one.
While nobody traces (`TRACES` is empty) nothing here costs more than the look at an empty list; a trace belongs to the
thread that makes it, and other threads go on as if there were none (`tracing`). Functions of this package that no NumPy
function stands for, and draws of random numbers, go through `opaque` and `draw`, so that a trace sees them as one call.
Read `memory.py` next.
"""

from __future__ import annotations

from _thread import _local  # what threading.local is, without the module
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


class Duck:
    """Base of what may stand in an array's place."""

    __slots__ = ("__weakref__",)
    shape: tuple[int, ...]
    dtype: Any
    ndim: int
    flags: Any
    actual: Any  # the array that it stands for
    storage: Any  # the memory that it looks into
    owner: Any  # whose memory that is
    copy: Any
    astype: Any


Array = (np.ndarray, Duck)  # for isinstance
TRACES: list[Any] = []  # the traces being made, by whatever thread: empty, it answers for all of them at once
CHANGES = [0]  # moves whenever a module, an optimizer's groups or a global setting is changed


def as_array(value: Any, dtype: Any = None) -> Any:
    """np.asarray, which lets a stand-in be."""
    if isinstance(value, Duck):
        same = dtype is None or value.dtype == dtype
        return value if same else value.astype(dtype)
    return np.asarray(value) if dtype is None else np.asarray(value, dtype)


class Own(_local):
    """`traces`: those that this thread makes, the innermost last."""

    def __init__(self) -> None:
        self.traces: list[Any] = []


OWN = Own()


def tracing() -> Any:
    """The trace that this thread makes, or None. Look first whether there is any: `TRACES and tracing()`."""
    return OWN.traces[-1] if OWN.traces else None


def begin_trace(trace: Any) -> None:
    """From now on this thread makes a trace."""
    OWN.traces.append(trace)
    TRACES.append(trace)


def end_trace(trace: Any) -> None:
    OWN.traces.remove(trace)
    TRACES.remove(trace)


def empty(like: Any) -> Any:
    """Memory of the shape and dtype of an array, its content still to be written."""
    trace = TRACES and tracing()
    return trace.empty(like) if trace else np.empty(like.shape, like.dtype)


def stand_in(array: np.ndarray) -> Any:
    """A new array that the step goes on with; in a trace what stands for it."""
    trace = TRACES and tracing()
    return trace.fresh(array) if trace else array


def opaque(function: Callable[..., Any], *args: Any) -> Any:
    """function(*args), in a trace one call: for functions that cannot be read step by step."""
    trace = TRACES and tracing()
    return trace.opaque(function, args) if trace else function(*args)


def check(function: Callable[..., None], *args: Any) -> None:
    """A test of values that raises or returns nothing; in a trace it is repeated at each call."""
    trace = TRACES and tracing()
    if trace:
        trace.check(function, args)
    else:
        function(*args)


def outside_a_trace() -> None:
    """Raise in a trace: a generator that is seeded in a step would be seeded once, and never again."""
    trace = TRACES and tracing()
    if trace:
        trace.seeded()


def draw(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Random numbers by `function`; in a trace they are drawn anew at each call."""
    trace = TRACES and tracing()
    return trace.draw(function, args, kwargs) if trace else function(*args, **kwargs)
