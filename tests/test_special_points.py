"""At bounds, ties, kinks, zeros and infinities values and gradients are PyTorch's, for every operation of the table.

What PyTorch gives is written down in `torch_record.json` (see `torch_record.py`), so this law needs no PyTorch. Where
PyTorch says NaN we may know better.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
from torch_record import FILE, of_functional, pulled, record, settings

import tinygrad_bp as tg
from tinygrad_bp.declare import REGISTRY

RECORD = json.loads(FILE.read_text("utf-8"))
POINTS = {key: (op, named, arrays) for op in REGISTRY.values() for key, named, arrays in settings(op)}
ROWS = {f"{name} {len(arrays)}": (name, arrays) for name, arrays in of_functional()}
# Where gradients differ on purpose; values do not.
KNOWN = {
    "median_of 0": "a tie shares the gradient, as everywhere here",
    "cosine_similarity 2": "a length below eps counts as eps and does not depend on x; in PyTorch's gradient it does",
    "dropout 1": "both are random",
}


def agree(ours: Any, theirs: Any, what: str) -> None:
    if what in KNOWN:
        ours, theirs = ours[: "dropout" not in what], theirs[: "dropout" not in what]
    for mine, other in zip(ours, theirs, strict=True):
        if other is None or mine is None:
            continue
        mine, other = np.asarray(mine, float), np.asarray(other, float)
        told = ~np.isnan(other)
        np.testing.assert_allclose(mine[told], other[told], rtol=1e-7, atol=1e-12, err_msg=what)


@pytest.mark.parametrize("key", [key for key in POINTS if key in RECORD["points"]])
def test_operations(key: str) -> None:
    op, named, arrays = POINTS[key]
    with np.errstate(all="ignore"):
        agree(pulled(tg, op.call, arrays, **named), RECORD["points"][key], key)


@pytest.mark.parametrize("key", RECORD["functional"])
def test_functions(key: str) -> None:
    name, arrays = ROWS[key]
    named = {"dim": -1} if "softm" in name else {}  # PyTorch guesses, and warns
    with np.errstate(all="ignore"):
        agree(pulled(tg, getattr(tg.nn.functional, name), arrays, **named), RECORD["functional"][key], key)


def test_nearly_every_operation_is_compared() -> None:
    """Parts of others are reached through them, by another name."""
    whole = {op.key for op in REGISTRY.values() if op.word in ("elementwise", "reduction") and not op.internal}
    compared = {key.partition(" ")[0] for key in RECORD["points"]}
    assert whole - compared <= {"floor_divide"}  # no gradient


def test_the_record_is_fresh() -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        new = json.loads(json.dumps(record(torch)))
    for part in ("points", "functional"):
        assert new[part].keys() == RECORD[part].keys(), "run `python tests/torch_record.py`"
        for key, value in new[part].items():
            agree(value, RECORD[part][key], key)
    assert new["defaults"].keys() >= RECORD["defaults"].keys()
