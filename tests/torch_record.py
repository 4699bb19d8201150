"""What PyTorch gives at special points, and its default arguments, written down so that the laws need no PyTorch.

`python tests/torch_record.py` writes `torch_record.json` again; where PyTorch is installed a test tells if it is stale.
What is asked follows from the REGISTRY (`special.py`) and from the public names. Read `test_special_points.py` next.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from axis_calls import Call, calls, outcome
from draws import arguments, signature
from special import Answer, Point, answers, points

import tinygrad_bp as tg
from tinygrad_bp.declare import REGISTRY, Op

FILE = Path(__file__).with_suffix(".json")
INF, NAN = float("inf"), float("nan")
ROWS = [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 2.0, 2.0], [-1.0, -1.0, 0.0], [0.0, 3.0, -4.0], [1e-9, 0.0, 0.0],
    [1e8, 1e8, 1e8], [INF, 1.0, 0.0], [-INF, 1.0, 0.0], [-INF, -INF, -INF], [NAN, 1.0, 0.0]]  # fmt: skip
ALSO = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1e-9, 0.0], [2.0, 2.0, 2.0], [0.0, 3.0, -4.0], [1e-9, 0.0, 0.0],
    [1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [1.0, 2.0, 0.5], [1.0, 0.0, 0.0], [1.0, 0.0, 0.5]]  # fmt: skip
FLOATS, WHOLE = (np.float64, np.float32, np.float16), (np.int64, np.int32, np.uint8, np.bool_)
SPELLED = {"axis": "dim", "keepdims": "keepdim", "axes": "dims", "split_size": "split_size_or_sections"}
MANY = 12  # so many numbers of a case are written down; larger cases repeat what smaller ones say
ASKED = {  # what PyTorch spells with other parameters than we do
    "trunc_divide": lambda torch, a, b: torch.div(a, b, rounding_mode="trunc"),
    "count_nonzero": lambda torch, x, axis=None, keepdims=False: torch.count_nonzero(x, axis),
    "norm_0": lambda torch, x, axis, keepdims: torch.norm(x, 0, axis, keepdims),
    "contract": None, "select": None, "put": None, "nll_rows": None, "cross_entropy_rows": None,
    "bce_with_logits_of": None, "binary_cross_entropy_of": None,  # under other names: `nn.functional`
}


def asked() -> Iterator[tuple[str, Point]]:
    """(name in the record, point): floats with all derivatives, integers for their values and dtypes."""
    for op in REGISTRY.values():
        if op.word == "linear" or op.key == "cast":  # a linear map only moves numbers; the dtype is no number
            continue
        for dtype in (*FLOATS, *WHOLE):
            if dtype in FLOATS[1:] and op.word not in ("elementwise", "reduction"):
                continue
            for point in points(op, dtype):
                if point.alone or sum(x.size for x in point.arrays) <= MANY:
                    yield f"{np.dtype(dtype).name} {point.key.strip()}", point


def of_functional() -> Iterator[tuple[str, list[np.ndarray]]]:
    """Every function of nn.functional on rows, and on pairs of rows."""
    for name in tg.nn.functional.__all__:
        yield name, [np.array(ROWS)]
        yield name, [np.array(ROWS), np.array(ALSO)]


def pulled(module: Any, function: Callable[..., Any], arrays: list[np.ndarray], *args: Any, **named: Any) -> Any:
    """[value, the gradient of its total for every input], as lists."""
    xs = [module.from_numpy(x.copy()).requires_grad_() for x in arrays]
    y = function(*xs, *args, **named)
    y = y[0] if isinstance(y, tuple) else y
    if y.requires_grad:
        y.sum().backward()
    return [y.detach().tolist(), *[None if x.grad is None else x.grad.tolist() for x in xs]]


# ------------------------------------------------------------------------------------------------- asking PyTorch


def theirs(torch: Any, point: Point) -> Answer | None:
    """PyTorch's answer, however it spells the operation; None where it has no such one."""
    op, named = point.op, {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in point.named.items()}
    spelled = {SPELLED.get(k, k): v for k, v in named.items()}

    def in_order(function: Any) -> Callable[..., Any]:
        def call(*xs: Any) -> Any:
            args, kwargs = arguments(op, xs, named)
            return function(*args, **{SPELLED.get(k, k): v for k, v in kwargs.items()})

        return call

    spaces = (torch, torch.nn.functional, torch.Tensor)
    functions = [f for space in spaces if callable(f := getattr(space, op.name, None))]
    forms = [form for f in functions for form in (partial(f, **spelled), in_order(f))]
    if op.key in ASKED:
        forms = [in_order(partial(ASKED[op.key], torch))] if ASKED[op.key] else []
    for form in forms:
        try:
            return answers(torch, form, point.arrays)
        except (TypeError, RuntimeError, ValueError, AttributeError, IndexError):
            continue
    return None


def of_axes(torch: Any) -> Iterator[tuple[str, Any]]:
    """What PyTorch gives for each call with an axis that it takes; else without the axis for None, and with a plain int
    for another whole number."""
    for one in calls():
        given = one.named[one.tried]
        also = one.without() if given is None else one.with_axis(int(given)) if hasattr(given, "dtype") else None
        for key, form in ((one.key, one), (f"{one.key} otherwise", also)):
            found = None if form is None else first_of(torch, form)
            if found is not None:
                yield key, found
                break


def first_of(torch: Any, one: Call) -> Any:
    for space in (torch, torch.nn.functional, torch.Tensor):
        if callable(function := getattr(space, one.op.name, None)):
            for call in (by_name(one.op, function), function):
                if (found := outcome(torch, call, one, Exception)) is not None:
                    return found
    return None


def by_name(op: Op, function: Any) -> Callable[..., Any]:
    """A call in our order and our words with everything but the inputs under PyTorch's keywords."""
    count = 1 if op.many else len(op.inputs)
    names = signature(op)[count:]

    def call(*args: Any, **kwargs: Any) -> Any:
        named = {**dict(zip(names, args[count:], strict=False)), **kwargs}
        return function(*args[:count], **{SPELLED.get(k, k): v for k, v in named.items()})

    return call


def written(answer: Answer) -> list[Any]:
    """[dtypes of the values, values, first derivatives, second derivatives], the numbers in a row, nine digits each."""
    parts = [[None if x is None else [brief(v) for v in x.ravel().tolist()] for x in part] for part in answer]
    return [[x.dtype.name for x in answer.values], *parts]


def brief(number: float) -> float | int:
    rounded = float(f"{number:.9g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e9 else rounded


def defaults_of(function: Any) -> dict[str, Any]:
    """Default arguments from the signature, or from the first line of the documentation of a function in C."""
    if isinstance(function, type):
        function = function.__init__
    try:
        parameters = inspect.signature(function).parameters.values()
        return {p.name: p.default for p in parameters if p.default is not p.empty and simple(p.default)}
    except (ValueError, TypeError):
        pass
    text = (function.__doc__ or "").strip().partition("\n")[0].partition(" -> ")[0]
    try:
        args = ast.parse(f"def f{text[text.index('('):]}: ...").body[0].args  # type: ignore[attr-defined]
    except (SyntaxError, ValueError):
        return {}
    pairs = [*zip(reversed([*args.posonlyargs, *args.args]), reversed(args.defaults), strict=False)]
    pairs += [(a, d) for a, d in zip(args.kwonlyargs, args.kw_defaults, strict=True) if d is not None]
    found = {}
    for argument, default in pairs:
        try:
            found[argument.arg] = ast.literal_eval(default)
        except ValueError:
            continue
    return {name: value for name, value in found.items() if simple(value)}


def simple(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def public(module: Any) -> Iterator[tuple[str, Any]]:
    """(path, function or class) of everything that we have, as `module` has it."""
    for space in ("", "nn", "nn.functional", "nn.init", "nn.utils", "optim", "optim.lr_scheduler", "autograd",
                  "autograd.functional", "utils.data", "Tensor"):  # fmt: skip
        ours, other = tg, module
        for part in filter(None, space.split(".")):
            ours, other = getattr(ours, part, None), getattr(other, part, None)
        for name in dir(ours) if ours is not None and other is not None else ():
            value = getattr(other, name, None)
            if not name.startswith("_") and callable(getattr(ours, name)) and callable(value):
                yield f"{space}.{name}".lstrip("."), value


def record(torch: Any) -> dict[str, Any]:
    np.seterr(all="ignore")
    at = {key: written(answer) for key, point in asked() if (answer := theirs(torch, point))}
    rows = {}
    for name, arrays in of_functional():
        try:
            rows[f"{name} {len(arrays)}"] = pulled(torch, getattr(torch.nn.functional, name), arrays)
        except (TypeError, RuntimeError, AttributeError, ValueError):
            continue
    defaults = {path: found for path, value in public(torch) if (found := defaults_of(value))}
    return {"points": at, "functional": rows, "axes": dict(of_axes(torch)), "defaults": defaults}


__all__ = ["FILE", "asked", "defaults_of", "of_functional", "public", "pulled", "record", "theirs", "written"]

if __name__ == "__main__":
    import warnings

    import torch

    warnings.simplefilter("ignore")
    text = json.dumps(record(torch), separators=(",", ":"))
    FILE.write_text(text.replace('},"', '},\n"').replace(']],"', ']],\n"') + "\n", "utf-8")
