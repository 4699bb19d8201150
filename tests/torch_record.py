"""What PyTorch gives at special points, and its default arguments, written down so that the laws need no PyTorch.

`python tests/torch_record.py` writes `torch_record.json` again; where PyTorch is installed a test tells if it is
stale. No operation is listed: what is asked follows from the REGISTRY and from the public names. A point is a bound, a
tie, a kink, a zero or an infinity. Read `test_special_points.py` next.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from draws import cases_of

import tinygrad_bp as tg
from tinygrad_bp.declare import REGISTRY, Case, Op
from tinygrad_bp.methods import FUNCTIONS

FILE = Path(__file__).with_suffix(".json")
INF = float("inf")
GRIDS = {1: [-INF, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, INF], 2: [-INF, -1.0, 0.0, 0.5, 1.0, INF],
    3: [-1.0, 0.0, 1.0]}  # fmt: skip
ROWS = [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 2.0, 2.0], [-1.0, -1.0, 0.0], [0.0, 3.0, -4.0], [1e-9, 0.0, 0.0],
    [1e8, 1e8, 1e8], [INF, 1.0, 0.0], [-INF, 1.0, 0.0]]  # fmt: skip
ALSO = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1e-9, 0.0], [2.0, 2.0, 2.0], [0.0, 3.0, -4.0], [1e-9, 0.0, 0.0],
    [1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [1.0, 2.0, 0.5]]  # fmt: skip


def settings(op: Op) -> Iterator[tuple[str, dict[str, Any], list[np.ndarray]]]:
    """(key, parameters, inputs) of every case of an operation on entries or rows; bounds among the parameters are
    points too."""
    for i, case in enumerate(cases_of(op)):
        named = case.kwargs if isinstance(case, Case) else case
        if any(isinstance(v, np.ndarray) for v in named.values()):
            continue
        if op.word == "reduction":
            yield f"{op.key} {i}", {"axis": -1, "keepdims": False, **named}, [np.array(ROWS)]
        elif op.word == "elementwise":
            bounds = [float(v) for v in named.values() if isinstance(v, int | float)]
            points = np.array(list(product([*GRIDS[len(op.inputs)], *bounds], repeat=len(op.inputs))))
            yield f"{op.key} {i}", {k: ({**op.defaults, **named})[k] for k in op.params}, list(points.T.copy())


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


def theirs(torch: Any, op: Op, named: dict[str, Any], arrays: list[np.ndarray]) -> Any:
    found = [space for space in (torch, torch.nn.functional) if hasattr(space, op.name)]
    function = getattr(found[0], op.name) if found else None
    spelled = {"dim" if k == "axis" else "keepdim" if k == "keepdims" else k: v for k, v in named.items()}
    for args, kwargs in (((), spelled), (tuple(named.values()), {})):
        try:
            return pulled(torch, function, arrays, *args, **kwargs)  # type: ignore[arg-type]
        except (TypeError, RuntimeError, ValueError, AttributeError):
            continue
    return None


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
    points = {}
    for op in REGISTRY.values():
        if op.key == "trunc_divide":  # there it is `div` with a rounding mode
            continue
        for key, named, arrays in settings(op):
            points[key] = theirs(torch, op, named, arrays)
    rows = {}
    for name, arrays in of_functional():
        try:
            rows[f"{name} {len(arrays)}"] = pulled(torch, getattr(torch.nn.functional, name), arrays)
        except (TypeError, RuntimeError, AttributeError, ValueError):
            continue
    defaults = {path: found for path, value in public(torch) if (found := defaults_of(value))}
    return {"points": {k: v for k, v in points.items() if v}, "functional": rows, "defaults": defaults}


__all__ = ["FILE", "FUNCTIONS", "defaults_of", "of_functional", "public", "pulled", "record", "settings"]

if __name__ == "__main__":
    import warnings

    import torch

    warnings.simplefilter("ignore")
    FILE.write_text(json.dumps(record(torch)).replace('}, "', '},\n"').replace(']], "', ']],\n"') + "\n", "utf-8")
