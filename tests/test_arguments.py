"""Arguments: a default is PyTorch's, an unknown keyword is refused, sizes of -1, 0 and 1 mean what they mean in NumPy.

Each is a law over everything public or over the whole table; nothing is listed but the differences that are meant.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from draws import Draw, arguments, cases_of, refused, run, values
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import forward_is_numpy, layout_does_not_matter
from torch_record import FILE, defaults_of

import tinygrad_bp as tg
from tinygrad_bp.core import wrap
from tinygrad_bp.declare import REGISTRY, Case, Op
from tinygrad_bp.grammar import grammar
from tinygrad_bp.methods import FUNCTIONS

RECORD = json.loads(FILE.read_text("utf-8"))

# ------------------------------------------------------------------------------------------------ defaults

MEANT = {  # (name of the operation, argument): why it differs
    ("argsort", "stable"): "every sort here is stable",
    **{(check, name): "the checker here decides by itself, and tells more"
       for check in ("gradcheck", "gradgradcheck")
       for name in ("atol", "check_grad_dtypes", "check_undefined_grad", "eps", "fast_mode", "masked", "nondet_tol",
                    "rtol")},
    ("sort", "stable"): "every sort here is stable",
    ("norm", "p"): "2 and 'fro' are the same number",
    ("std", "correction"): "None is 1, unless `unbiased` says otherwise",
    ("var", "correction"): "None is 1, unless `unbiased` says otherwise",
    ("topk", "dim"): "None is the last dimension there",
}


def resolve(path: str) -> Any:
    value: Any = tg
    for part in path.split("."):
        value = getattr(value, part)
    return value


def our_defaults(path: str) -> dict[str, Any]:
    """Our defaults; an operation's stand in its declaration, behind the wrapper that reads both spellings."""
    function = resolve(path)
    op = getattr(function, "op", None) or REGISTRY.get(path.rpartition(".")[2])
    if op is not None and not isinstance(function, type) and not path.startswith("nn."):
        given = {p.name: p.default for p in grammar(op).parameters if p.default is not p.empty}
        return {**{grammar(op).shown[name]: value for name, value in given.items()}, **given}
    return defaults_of(function)


@pytest.mark.parametrize("path", RECORD["defaults"])
def test_a_default_is_pytorchs(path: str) -> None:
    theirs, ours = RECORD["defaults"][path], our_defaults(path)
    for name in ours.keys() & theirs.keys():
        if (path.rpartition(".")[2], name) not in MEANT:
            assert ours[name] == theirs[name], f"{path}({name}={ours[name]!r}), PyTorch {theirs[name]!r}"


# ------------------------------------------------------------------------------------------------ unknown keywords

NONSENSE = "nonsense"


def plain_draws(op: Op) -> Iterator[Draw]:
    """One draw for each declared case."""
    for case in cases_of(op):
        if isinstance(case, Case):
            shapes, named = case.shapes, dict(case.kwargs)
        else:
            shapes, named = [(2, 3)] * len(op.inputs), dict(case)
        yield Draw(values(op, shapes, 7), named, 7)


def forms(op: Op) -> Iterator[tuple[str, Callable[..., Any], list[Any], dict[str, Any]]]:
    """Every way to call an operation, each with arguments that it takes."""
    for d in plain_draws(op):
        args, kwargs = arguments(op, list(map(wrap, d.arrays)), d.named)
        yield "call", op.call, args, kwargs
        if op.key in FUNCTIONS:
            yield f"tg.{op.key}", FUNCTIONS[op.key], args, kwargs
        if op.method and isinstance(args[0], tg.Tensor) and callable(method := getattr(args[0], op.key, None)):
            yield f"t.{op.key}", method, args[1:], kwargs
        if isinstance(args[0], tg.Tensor) and callable(method := getattr(args[0].clone(), f"{op.key}_", None)):
            yield f"t.{op.key}_", method, args[1:], kwargs


def refuses(function: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
    try:
        function(*args, **kwargs)
    except TypeError:
        return True
    return False


@pytest.mark.parametrize("name", REGISTRY)
def test_an_unknown_keyword_is_refused_in_every_form(name: str) -> None:
    for form, function, args, kwargs in forms(REGISTRY[name]):
        rest = args[1:] if form.startswith(("call", "tg.")) else args
        told = [({**kwargs, NONSENSE: 1}, args)]
        if rest or kwargs:  # and in the place of a known one
            told.append(({NONSENSE: [*rest, *kwargs.values()][0]}, args[: len(args) - len(rest)]))
        for named, positional in told:
            assert refuses(function, *positional, **named), f"{form} took {named}"


SPACES = (tg, tg.nn, tg.nn.functional, tg.nn.init, tg.nn.utils, tg.optim, tg.autograd, tg.autograd.functional, tg.data)
OPEN = {  # what takes any keyword, and why
    "Identity": "it stands in any layer's place, as in PyTorch",
}


@pytest.mark.parametrize("space", SPACES, ids=lambda m: m.__name__)
def test_everything_public_names_its_keywords(space: Any) -> None:
    """A signature with **kwargs could ignore some: then it is one that the law above has tried."""
    for name in dir(space):
        value = getattr(space, name)
        if name.startswith("_") or not callable(value) or name in FUNCTIONS or name in OPEN:
            continue
        if not getattr(value, "__module__", "").startswith("tinygrad_bp") or getattr(value, "op", None):
            continue
        try:
            kinds = {p.kind for p in inspect.signature(value).parameters.values()}
        except ValueError:
            continue
        if inspect.Parameter.VAR_KEYWORD in kinds:
            assert refuses(value, nonsense=1), f"{name} took nonsense=1"


# ------------------------------------------------------------------------------------------------ sizes


def resized(op: Op) -> Iterator[Draw]:
    """The declared cases with each size once 0, 1 and 5 instead."""
    for case in cases_of(op):
        if isinstance(case, Case):
            for size, new in product({n for shape in case.shapes for n in shape if n > 1}, (0, 1, 5)):
                shapes = [tuple(new if n == size else n for n in shape) for shape in case.shapes]
                yield Draw(values(op, shapes, 3), dict(case.kwargs), 3)


def within_a_test(check: Callable[[], Any]) -> None:
    """Laws speak of assumptions, which Hypothesis knows only inside one of its own tests."""
    settings(max_examples=1)(given(st.just(None))(lambda _: check() and None))()


@pytest.mark.parametrize("name", [name for name, op in REGISTRY.items() if any(isinstance(c, Case) for c in op.cases)])
def test_other_sizes_give_what_numpy_gives_or_are_refused(name: str) -> None:
    op = REGISTRY[name]
    for d in resized(op):
        try:
            run(op, list(map(wrap, d.arrays)), d.named)
        except tg.TensorError:
            continue
        if not refused(op, d):
            within_a_test(lambda d=d: (forward_is_numpy(op, d), layout_does_not_matter(op, d)))


SIZES = [sizes for count in range(4) for sizes in product((-1, 0, 1, 2, 3), repeat=count)]


@pytest.mark.parametrize("shape", [(), (0,), (1,), (6,), (0, 3), (2, 0), (2, 3)])
def test_a_shape_with_a_gap_is_numpys(shape: tuple[int, ...]) -> None:
    for sizes in SIZES:
        try:
            expected: Any = np.zeros(shape).reshape(sizes).shape
        except ValueError:
            expected = tg.ShapeError
        x = tg.zeros(shape)
        flat = x.flatten()
        for form in (x.reshape, x.view, partial(tg.reshape, x), partial(flat.unflatten, 0)):
            try:
                found: Any = tuple(form(sizes).shape)
            except tg.ShapeError:
                found = tg.ShapeError
            assert found == expected, f"{shape} to {sizes}"


# ------------------------------------------------------------------------------------------------ writes before


@pytest.mark.parametrize("name", [name for name, op in REGISTRY.items() if op.word != "constant"])
def test_what_was_written_before_its_use_is_no_overwritten_value(name: str) -> None:
    """The last write of all is the inputs' own, at the very time when the node is made; a later one is elsewhere."""
    op = REGISTRY[name]
    for d in plain_draws(op):
        if op.domain is int or refused(op, d):
            continue
        leaf = [wrap(x).requires_grad_() for x in d.arrays]
        xs = [x * 1 for x in leaf]
        for x in xs:
            x.detach().mul_(1.0)
        ys = [y for y in run(op, xs, d.named) if y.requires_grad]
        tg.zeros(1).fill_(1.0)
        if ys:
            sum(y.sum() for y in ys).backward()
