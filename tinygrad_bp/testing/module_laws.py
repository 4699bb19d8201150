"""`check_module`: one call that tries a user's layer against every law a layer should obey.

A law is a function of a `Trial` (a copy of the layer, shapes drawn by Hypothesis, generic values) that raises `Broken`
with a sentence, or `Untried` with a reason. Hypothesis shrinks the shapes of what it breaks, so the report names the
smallest. The layer given, the random streams and everything else of the caller stay as they were. Read `laws.py` next.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArgumentError, DtypeError, TensorError
from .laws import LAWS, Broken, Trial, Untried
from .specs import Spec, parse, shapes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["LAWS", "LawError", "LawResult", "ModuleReport", "check_module"]


class LawResult:
    """How one law fared: `verdict` is PASS, FAIL or SKIPPED, `note` why, `shapes` the smallest that break it."""

    def __init__(
        self, law: str, verdict: str, note: str = "", shapes: tuple[tuple[int, ...], ...] | None = None
    ) -> None:
        self.law, self.verdict, self.note, self.shapes = law, verdict, note, shapes

    def __str__(self) -> str:
        where = f" for inputs of shape {', '.join(map(str, self.shapes))}" if self.shapes is not None else ""
        note = self.note.replace("\n", "\n      ")
        detail = f"\n      {note}" if self.verdict == "FAIL" else f" ({note})" if note else ""
        return f"{self.verdict:<8} {self.law}{where}{detail}"


class ModuleReport:
    """The results of `check_module`, one per law: true when no law is broken; print it, or ask `report["batch"]`.

    >>> report = ModuleReport("Net", [LawResult("gradient", "PASS")], seed=0)
    >>> bool(report), report["gradient"].verdict
    (True, 'PASS')
    """

    def __init__(self, subject: str, results: list[LawResult], seed: int) -> None:
        self.subject, self.results, self.seed = subject, results, seed

    @property
    def failures(self) -> list[LawResult]:
        """The laws that are broken."""
        return [result for result in self.results if result.verdict == "FAIL"]

    def __bool__(self) -> bool:
        return bool(self.results) and not self.failures

    def __getitem__(self, law: str) -> LawResult:
        for result in self.results:
            if result.law == law:
                return result
        raise KeyError(f"no law {law!r} was tried; there are {[result.law for result in self.results]}")

    def __str__(self) -> str:
        wrong = len(self.failures)
        state = f"{wrong} of {len(self.results)} laws broken" if wrong else "every law that was tried holds"
        head = f"check_module of {self.subject}: {state} (seed {self.seed})"
        return "\n".join([head, *(f"  {result}" for result in self.results)])

    __repr__ = __str__


class LawError(TensorError, AssertionError):
    """A layer that breaks a law; `report` is the ModuleReport and the message is its text."""

    def __init__(self, report: ModuleReport) -> None:
        super().__init__(str(report))
        self.report = report


def check_module(
    layer: Any,
    *inputs: Any,
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    laws: Sequence[str] | None = None,
    skip: Sequence[str] = (),
    max_examples: int = 5,
    min_side: int = 1,
    max_side: int = 4,
    low: float = -2.0,
    high: float = 2.0,
    seed: int = 0,
    raise_exception: bool = True,
) -> ModuleReport:
    """Try a layer against every law of LAWS: gradient, second derivative, dtype, inputs kept, memory layout, and more.

    Args:
        layer: a Module class (called with `args` and `kwargs`), a function that makes a Module, or a Module.
        inputs: the shape of each input, with letters for sizes that are drawn ("N,3"); "*" (any shape) if none is
            given. If the first axis is a letter, it is the batch; "N:int<10" are whole numbers from 0 to 9.
        laws, skip: names of the laws to try, or to leave out.
        max_examples: how many draws for each law; sizes are from `min_side` (0: empty arrays too) to `max_side`.
        low, high: between which the float inputs lie. seed: of every draw.
        raise_exception: raise LawError (an AssertionError) when a law is broken; else the report is only returned.

    Raises ArgumentError or DtypeError if it is asked for something that cannot be tried. Within a test of Hypothesis's
    own, `@given`, Hypothesis asks for `@settings(suppress_health_check=[HealthCheck.nested_given])`.

    >>> import tinygrad_bp as tg
    >>> print(check_module(tg.nn.Linear, "N,3", args=(3, 2), laws=["dtype", "batch"]))
    check_module of Linear(3, 2): every law that was tried holds (seed 0)
      PASS     dtype
      PASS     batch
    """
    specs = [parse(spec) for spec in inputs or ("*",)]
    wanted = _wanted(laws, skip)
    _sizes(max_examples, min_side, max_side, low, high)
    with _streams_kept(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* is not among the parameters", UserWarning)  # a law says it
        make, name = _maker(layer, tuple(args), dict(kwargs or {}), seed)
        draw = _Draw(make, specs, (min_side, max_side), (low, high), seed, max_examples)
        results = [_try("forward", draw)]
        if results[0].verdict == "PASS":  # a layer that cannot even be called breaks no other law
            results = [_try(law, draw) for law in wanted]
    report = ModuleReport(name, results, seed)
    if raise_exception and not report:
        raise LawError(report)
    return report


def _wanted(laws: Sequence[str] | None, skip: Sequence[str]) -> list[str]:
    known = [law for law in LAWS if law != "forward"]
    named = [[laws] if isinstance(laws, str) else list(laws or ()), [skip] if isinstance(skip, str) else list(skip)]
    unknown = [law for law in [*named[0], *named[1]] if law not in known]
    if unknown:
        raise ArgumentError(f"check_module: no law named {unknown[0]!r}; there are {known}")
    wanted = [law for law in (known if laws is None else named[0]) if law not in named[1]]
    if not wanted:
        raise ArgumentError("check_module: no law is left to try; mind `laws` and `skip`")
    return wanted


def _sizes(max_examples: int, min_side: int, max_side: int, low: float, high: float) -> None:
    if max_examples < 1 or not 0 <= min_side <= max_side or not low < high:
        raise ArgumentError(
            "check_module: needs max_examples ≥ 1, 0 ≤ min_side ≤ max_side and low < high; got "
            f"max_examples={max_examples}, min_side={min_side}, max_side={max_side}, low={low}, high={high}"
        )


def _maker(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], seed: int) -> tuple[Callable[[int], Any], str]:
    """(a function from a seed to a layer of one's own, how the layer is called in the report)."""
    from copy import deepcopy

    from ..nn import Module
    from ..random import manual_seed

    if isinstance(layer, Module):
        if args or kwargs:
            raise ArgumentError("check_module: args and kwargs are for a class; the layer given is made already")
        return lambda _: deepcopy(layer), type(layer).__name__
    if not callable(layer):
        raise DtypeError(f"check_module: a Module, its class or a function that makes one, not {type(layer).__name__}")
    detail = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
    name = f"{getattr(layer, '__name__', type(layer).__name__)}({detail})"

    def make(stream: int) -> Any:
        manual_seed(stream)
        try:
            made = layer(*args, **kwargs)
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"
            raise ArgumentError(f"check_module: {name} cannot be made, mind `args` and `kwargs`; {detail}") from error
        if not isinstance(made, Module):
            raise DtypeError(
                f"check_module: {name} is a {type(made).__name__}, not a Module; for a function use assert_gradcheck"
            )
        return made

    make(seed)
    return make, name


class _Draw:
    """All that a law is tried with."""

    def __init__(
        self, make: Any, specs: list[Spec], sides: tuple[int, int], span: tuple[float, float], seed: int, count: int
    ) -> None:
        self.make, self.specs, self.sides, self.between, self.seed, self.count = make, specs, sides, span, seed, count


def _try(law: str, given_by: _Draw) -> LawResult:
    """Draw shapes until the law is broken or `count` have been tried; Hypothesis ends on the smallest that break it."""
    import hypothesis
    from hypothesis import HealthCheck, Phase, Verbosity, given, settings
    from hypothesis import strategies as st

    last: list[Any] = [None, None, ""]  # shapes that broke it, what was raised, why it was not tried
    low = max(2, given_by.sides[0]) if law == "batch" else given_by.sides[0]  # one row alone has no neighbours
    tried = []

    @hypothesis.seed(given_by.seed)
    @settings(
        max_examples=given_by.count, deadline=None, database=None, report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink), verbosity=Verbosity.quiet,
    )  # fmt: skip
    @given(shapes_of(given_by.specs, low, max(low, given_by.sides[1])), st.integers(0, given_by.count - 1))
    def holds(shapes: tuple[tuple[int, ...], ...], salt: int) -> None:
        try:
            LAWS[law](Trial(given_by.make, given_by.specs, shapes, [given_by.seed, salt], given_by.between))
            tried.append(shapes)
        except Untried as reason:
            last[2] = str(reason)
        except Exception as error:
            last[:2] = shapes, error
            raise

    try:
        holds()
    except Exception as error:
        return LawResult(law, "FAIL", _detail(last[1] or error, law), last[0])
    return LawResult(law, "PASS") if tried else LawResult(law, "SKIPPED", last[2])


def _detail(error: Exception, law: str) -> str:
    """What a broken law says: its own sentence, or the error that came instead of an answer."""
    if isinstance(error, Broken):
        return str(error)
    detail = f"{type(error).__name__}: {error}"
    if law == "forward":
        return f"the layer cannot be called with such inputs; name their shapes (check_module(layer, 'N,3'))\n{detail}"
    return f"instead of an answer came {detail}"


@contextlib.contextmanager
def _streams_kept() -> Iterator[None]:
    """The random streams of the package, of NumPy and of Python are left where they were."""
    import random as python_random

    from ..random import get_rng_state, set_rng_state

    kept = get_rng_state(), np.random.get_state(), python_random.getstate()  # noqa: NPY002 (a layer may draw from it)
    try:
        yield
    finally:
        set_rng_state(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        python_random.setstate(kept[2])
