"""At bounds, ties, kinks, zeros, infinities and NaN every operation of the table gives what it should.

Two references. PyTorch's answers, in float64, float32, float16 and integers, are written down in `torch_record.json`
(see `torch_record.py`), so none of this needs PyTorch; where PyTorch says NaN we may know better. And the operation's
own neighbourhood, by the laws of `special_laws.py`: where no derivative exists, the declaration says in `singular` what
is chosen, and nowhere else.
"""

from __future__ import annotations

import json
import re
import warnings
from typing import Any

import numpy as np
import pytest
from special import Answer, Point, answers, ours
from special_laws import JUDGED, LAWS, by_unit, everything, same, where_singular
from torch_record import FILE, asked, of_functional, pulled, record, written

import tinygrad_bp as tg
from tinygrad_bp.declare import REGISTRY

RECORD = json.loads(FILE.read_text("utf-8"))
POINTS: dict[str, list[tuple[str, Point]]] = {}
for key, point in asked():
    if key in RECORD["points"]:
        POINTS.setdefault(point.op.key, []).append((key, point))
ROWS = {f"{name} {len(arrays)}": (name, arrays) for name, arrays in of_functional()}
PARTS = ("dtype", "value", "first derivative", "second derivative")
ROOM = {"float64": 1e-7, "float32": 1e-4, "float16": 1e-2}
# What differs on purpose: (operations, dtypes, points, what) as patterns → why.
KNOWN = {
    ("median_of|median", "float", "", "first|second"): "a tie shares the gradient, as everywhere here",
    ("clip_tensors|clamp", "float", "", "first|second"): "between equal bounds PyTorch loses the gradient",
    ("topk", "", "all|zeros|largest|0.0", "value 1|first"): "PyTorch leaves open in which order a tie comes",
    ("all|any", "uint8", "", "dtype"): "a truth is a bool",
    ("addcmul|addmm", "int|bool", "", ""): "PyTorch cuts a factor of -0.5 off to 0",
    ("masked_fill", "int|bool", "", ""): "PyTorch cuts 0.5 off to 0; we refuse",
    ("power", "int32|int64", "", ""): "a whole number to the -1 is 0 in PyTorch; we refuse",
    ("hardtanh", "int32|int64", "", "dtype"): "its bounds are floats",
    ("sign", "float", "", "value"): "PyTorch's sign of NaN is 0",
    ("pow_number", "float", "", "value"): "PyTorch takes a root of -0 and of -∞ where the standard has a power",
    ("power|pow", "float", "", "second"): "where the exponent is 0 PyTorch forgets that it may change",
    ("cumprod", "float", "e-308", "second"): "PyTorch divides by numbers that vanish",
    ("norm", "float", "", "first"): "PyTorch's sign of NaN is 0",
    ("softsign", "int", "", "value"): "PyTorch's 1 + |x| wraps around",
}
UNLIKE = {"cosine_similarity": "a length below eps counts as eps and is none of x; PyTorch's gradient goes through it"}


def known(point: Point, key: str, what: str) -> bool:
    kind = point.arrays[0].dtype.name
    return any(
        re.fullmatch(op, point.op.key) and re.search(dtypes, kind) and re.search(at, key) and re.search(part, what)
        for op, dtypes, at, part in KNOWN
    )


def compared(key: str, point: Point) -> None:
    """One point against the record."""
    if known(point, key, "refused"):
        return
    answer = answers(tg, ours(point), point.arrays)
    kind, found = point.arrays[0].dtype, written(answer)
    for part, (name, mine, other) in enumerate(zip(PARTS, found, RECORD["points"][key], strict=True)):
        if part == 3 and kind == np.float16:  # nobody's has a digit
            continue
        for k, (a, b) in enumerate(zip(mine, other, strict=False)):
            what = f"{name} {k}"
            if known(point, key, what):
                continue
            if part == 0:
                assert a == b, f"{key} {point.named or ''}: {what} is {a}, in PyTorch {b}"
            elif a is not None or b is not None:
                agree(a, b, f"{key} {point.named or ''}: {what}", point, answer, part)


def agree(a: Any, b: Any, what: str, point: Point, answer: Answer, part: int) -> None:
    """Numbers in a row; a derivative that is not there is 0. What PyTorch does not know (NaN) we may know.

    At a NaN the value is NaN for both, and a derivative may be; where the value is lost, or at an infinity that meets
    others, there is no second derivative; where the declaration says that there is none, there is nothing to compare.
    """
    size = len(a if b is None else b)
    a, b = (by_unit(point, np.zeros(size) if x is None else np.array(x, float)) for x in (a, b))
    numbers, values = np.abs(everything(point)), by_unit(point, np.array(answer.values[0], float))
    nans, finite = np.isnan(numbers).any(axis=1), np.isfinite(numbers).all(axis=1)
    info = np.finfo(point.arrays[0].dtype if point.arrays[0].dtype.kind == "f" else np.float64)
    extreme = ((numbers > float(info.max) ** 0.4) | ((numbers > 0) & (numbers < float(info.tiny) ** 0.4))).any(axis=1)
    told = ~np.isnan(b) & ~(np.isinf(b) & np.isfinite(a) & extreme[:, None])  # PyTorch overflows on its way
    if part == 1:
        told |= nans[:, None] & np.isnan(b)
    else:
        told &= ~(nans[:, None] & (np.isnan(a) | (point.arrays[0].dtype != np.float64)))
    if part == 3:
        excused = np.any([np.zeros(len(finite), bool), *where_singular(point, answer).values()], axis=0)
        told &= (finite & np.isfinite(values).all(axis=1) & ~excused)[:, None]
    rtol = ROOM.get(point.arrays[0].dtype.name, 1e-6)
    wrong = told & ~((np.abs(a - b) <= rtol * np.abs(b) + rtol / 100) & np.isfinite(a - b) | same(a, b))
    for unit, entry in zip(*np.nonzero(wrong), strict=True):
        at = [by_unit(point, x)[unit][:8].tolist() for x in point.arrays]
        raise AssertionError(f"{what} at {at} is {a[unit, entry]}, in PyTorch {b[unit, entry]}")


@np.errstate(all="ignore")
@pytest.mark.parametrize("name", POINTS)
def test_the_answers_are_pytorchs(name: str) -> None:
    for key, point in POINTS[name]:
        compared(key, point)


@pytest.mark.parametrize("name", [n for n, op in REGISTRY.items() if op.word in JUDGED])
def test_the_answers_are_their_neighbours_limits(name: str) -> None:
    unneeded = set(REGISTRY[name].singular) - LAWS["S1 limits"](REGISTRY[name])
    assert not unneeded, f"{name}: there is nothing singular where the declaration says {unneeded}"


@pytest.mark.parametrize("name", REGISTRY)
def test_the_answers_are_one_in_every_dtype(name: str) -> None:
    LAWS["S2 other dtypes"](REGISTRY[name])


@pytest.mark.parametrize("key", RECORD["functional"])
def test_functions(key: str) -> None:
    name, arrays = ROWS[key]
    named = {"dim": -1} if "softm" in name else {}  # PyTorch guesses, and warns
    with np.errstate(all="ignore"):
        found = pulled(tg, getattr(tg.nn.functional, name), arrays, **named)
    for k, (mine, other) in enumerate(zip(found, RECORD["functional"][key], strict=True)):
        if other is None or mine is None or (k and name in UNLIKE) or name == "dropout":  # which is random
            continue
        mine, other = np.asarray(mine, float), np.asarray(other, float)
        told = ~np.isnan(other)
        if k:
            told &= ~(np.isnan(mine) & np.isnan(sum(arrays)))
        np.testing.assert_allclose(mine[told], other[told], rtol=1e-7, atol=1e-12, err_msg=key)


def test_nearly_every_operation_is_compared() -> None:
    whole = {op.key for op in REGISTRY.values() if op.word not in ("linear", "bilinear") and not op.internal}
    assert len(whole - set(POINTS)) < len(whole) / 10


def test_the_record_is_fresh() -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        new = json.loads(json.dumps(record(torch)))
    for part in ("points", "functional", "axes"):
        assert new[part].keys() == RECORD[part].keys(), "run `python tests/torch_record.py`"
    for key, answer in new["points"].items():
        for mine, other in zip(answer, RECORD["points"][key], strict=True):
            for a, b in zip(mine, other, strict=True):
                if isinstance(a, list) and isinstance(b, list):
                    np.testing.assert_allclose(a, b, rtol=1e-2 if "float16" in key else 1e-4, atol=1e-6, err_msg=key)
    assert new["defaults"].keys() >= RECORD["defaults"].keys()
