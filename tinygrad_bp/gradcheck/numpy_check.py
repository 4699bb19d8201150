"""The same check for plain NumPy: a forward, a backward derived by hand, and no framework.

Read `report.py` again for what comes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, DtypeError, NonFiniteError
from .check import BUDGET, examine
from .evaluate import Output, Slot, describe
from .report import GradcheckError, GradcheckReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from .numeric import Array

COTANGENT_NAMES = ("g", "grad", "dout", "dy", "delta", "upstream", "gy", "dz", "da", "dl", "error", "gout")


class NumpyProblem:
    """`forward(*inputs)` and a backward in one of three styles (see `gradcheck_numpy`), as slots and outputs."""

    def __init__(self, forward: Any, backward: Any, inputs: Any, style: str | None, seed: int) -> None:
        for what, f in (("forward", forward), ("backward", backward)):
            if not callable(f):
                raise DtypeError(f"gradcheck_numpy: the {what} is a function of arrays, not {type(f).__name__}")
        self._forward, self._backward, self.seed = forward, backward, seed
        self.name = describe(forward)
        self.eps = float(np.finfo(np.float64).eps)
        self.calls = self.passes = 0
        self.skipped: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.slots: list[Slot] = []
        self.places: list[int] = []  # of the slots among the arguments
        self.args = self._arguments(inputs)
        self.style = style or _style(backward, len(self.args), forward)
        y = self._call([np.array(a) for a in self.args])
        self.several = isinstance(y, tuple | list) and not _is_number_list(y)
        self.outputs, start = [], 0
        for k, part in enumerate(y if self.several else [y]):
            array = np.asarray(part, dtype=np.float64)
            self.outputs.append(Output(k, start, array.shape))
            start += array.size
        self.own_cotangent = self.style == "inputs" and len(self.outputs) == 1 and not self.outputs[0].shape

    def _arguments(self, inputs: Any) -> list[Array]:
        if isinstance(inputs, dict):
            named = list(inputs.items())
        else:
            several = inputs if isinstance(inputs, tuple | list) and not _is_number_list(inputs) else (inputs,)
            named = [(f"input {i}", x) for i, x in enumerate(several)]
        arrays = []
        for i, (name, x) in enumerate(named):
            array = np.asarray(x)
            if array.dtype.kind not in "biuf":
                raise DtypeError(f"gradcheck_numpy: {name} is {array.dtype}; arrays of numbers are expected")
            if array.dtype.kind == "f":
                if not np.isfinite(array).all():
                    bad = array[~np.isfinite(array)][0]
                    raise NonFiniteError(f"gradcheck_numpy: {name} holds {bad}; a derivative needs finite inputs")
                array = array.astype(np.float64)
                self.slots.append(Slot(str(name), array.copy(order="K")))
                self.places.append(i)
            else:
                self.skipped.append((str(name), f"{array.dtype}: no derivative; write floats if one is wanted"))
            arrays.append(array)
        if not self.slots:
            raise DtypeError("gradcheck_numpy: no input is an array of floats, so there is nothing to differentiate by")
        return arrays

    def _fresh(self) -> list[Array]:
        self.fed = [a.copy(order="K") for a in self.args]
        for place, slot in zip(self.places, self.slots, strict=True):
            self.fed[place] = slot.value.copy(order="K")
        return self.fed

    def _call(self, arrays: list[Array]) -> Any:
        self.calls += 1
        y = self._forward(*arrays)
        parts = y if isinstance(y, tuple | list) else [y]
        if y is None or any(np.asarray(part).dtype.kind not in "biuf" for part in parts):
            raise DtypeError(
                f"gradcheck_numpy: {self.name} returned {type(y).__name__}; numbers or an array are expected"
            )
        return y

    def forward(self) -> Array:
        """The flat vector of all outputs."""
        y = self._call(self._fresh())
        return np.concatenate([np.ravel(np.asarray(p, dtype=np.float64)) for p in (y if self.several else [y])])

    def gradients(self, cotangents: list[list[Array | None]], only: int | None = None) -> list[list[Any]]:
        """What the backward returns for each list of cotangents; the forward runs before, for layers that cache."""
        found = []
        for row in cotangents:
            arrays = self._fresh()
            self._call(arrays)
            given = [np.zeros(o.shape) if g is None else g.copy() for o, g in zip(self.outputs, row, strict=True)]
            self.passes += 1
            found.append(self._for_slots(self._pulled(given, arrays)))
        return found

    def _pulled(self, given: list[Array], arrays: list[Array]) -> list[Any]:
        if self.style == "inputs":
            results = _as_list(self._backward(*arrays), len(self.args))
            if len(self.outputs) == 1 and not self.outputs[0].shape:
                return [None if r is None else given[0] * np.asarray(r) for r in results]
            return [self._pointwise(given, r) for r in results]
        cotangent = tuple(given) if self.several else given[0]
        args = (cotangent,) if self.style == "cotangent" else (cotangent, *arrays)
        return _as_list(self._backward(*args), len(self.args))

    def _pointwise(self, given: list[Array], derivative: Any) -> Any:
        """A backward that knows no cotangent gives f′ of a function that acts entry by entry."""
        if derivative is None:
            return None
        try:
            return given[0] * np.asarray(derivative)
        except ValueError:
            raise ArgumentError(
                f"gradcheck_numpy: the backward takes no cotangent, so it must return the derivative of a function "
                f"that acts entry by entry, but it returned shape {np.shape(derivative)} for an output of shape "
                f"{self.outputs[0].shape}; write `backward(g, *inputs)`"
            ) from None

    def _for_slots(self, results: list[Any]) -> list[Any]:
        if len(results) == len(self.args):
            results = [results[place] for place in self.places]
        if len(results) != len(self.slots):
            raise ArgumentError(
                f"gradcheck_numpy: the backward returned {len(results)} gradients for {len(self.args)} inputs; return "
                "one for each, None where there is none"
            )
        return [None if r is None else np.asarray(r) for r in results]

    def overwritten(self) -> list[str]:
        """The slots whose arrays the last call changed."""
        return [slot.name for place, slot in zip(self.places, self.slots, strict=True)
                if not np.array_equal(self.fed[place], slot.base)]  # fmt: skip


def _is_number_list(x: Any) -> bool:
    """[1.0, 2.0] and [[1, 2], [3, 4]] are one array; [array, array] are several."""
    return isinstance(x, list) and bool(x) and all(isinstance(v, int | float) or _is_number_list(v) for v in x)


def _as_list(result: Any, count: int) -> list[Any]:
    if isinstance(result, dict):
        return list(result.values())
    if isinstance(result, tuple) or (isinstance(result, list) and not (count == 1 and _is_number_list(result))):
        return list(result)
    return [result]


def _style(backward: Callable[..., Any], count: int, forward: Any) -> str:
    """How a backward wants to be called, by the number of its arguments and the name of the first."""
    import inspect

    try:
        parameters = list(inspect.signature(backward).parameters.values())
    except (TypeError, ValueError):
        return "both"
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in positional if p.default is p.empty]
    if any(p.kind == p.VAR_POSITIONAL for p in parameters) or len(needed) == count + 1:
        return "both"
    first = needed[0].name.lower() if needed else ""
    stateful = getattr(forward, "__self__", None) is not None and getattr(backward, "__self__", 0) is forward.__self__
    cotangent = first in COTANGENT_NAMES or first.startswith(("grad", "delta", "cotangent", "upstream", "d_"))
    if len(needed) == 1 and (stateful or cotangent):
        return "cotangent"
    if len(needed) == count:
        return "inputs"
    raise ArgumentError(
        f"gradcheck_numpy: the backward takes {len(needed)} arguments for {count} inputs of the forward; write "
        "`backward(g, *inputs)`, or `backward(*inputs)` for a forward that returns one number"
    )


def gradcheck_numpy(
    forward: Any,
    backward: Any,
    inputs: Any,
    *,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    fast_mode: bool | None = None,
    budget: int = BUDGET,
    seed: int = 0,
    style: str | None = None,
) -> GradcheckReport:
    """Check a backward written by hand in NumPy against finite differences of its forward.

    Args:
        forward: `forward(*inputs)` → a number, an array or a tuple of them.
        backward: returns a gradient for each input (a tuple, a dict, or the only one), and takes one of
            `(g, *inputs)`, g being ∂loss/∂output ("both"); `(*inputs)` alone for a forward that returns a number, or
            for f′ of a function that acts entry by entry ("inputs"); `(g)` for a layer that remembers its inputs
            ("cotangent").
        inputs: an array, a tuple of arrays, or a dict name → array in the order of the arguments; integers are passed
            on and not differentiated.
        style: one of the three words, where the arguments of `backward` do not tell.

    The other arguments, the report and the errors are those of `gradcheck`.

    >>> import numpy as np
    >>> gradcheck_numpy(np.tanh, lambda g, x: g * (1 - np.tanh(x) ** 2), np.array([0.5, -1.0])).passed
    True
    >>> report = gradcheck_numpy(lambda x: x, lambda x: x, np.array([0.5, 3.0]), raise_exception=False)
    >>> report["input 0"].verdict
    'FAIL'
    """
    if style not in (None, "both", "inputs", "cotangent"):
        raise ArgumentError(f"gradcheck_numpy: style is 'both', 'inputs' or 'cotangent', not {style!r}")
    problem = NumpyProblem(forward, backward, inputs, style, seed)
    report = examine(problem, eps=eps, atol=atol, rtol=rtol, nondet_tol=nondet_tol, fast_mode=fast_mode, budget=budget)
    if raise_exception and not report:
        raise GradcheckError(report)
    return report
