"""Every axis that PyTorch takes gives what it gives there, in value, shape and dtype; what it refuses is refused.

0-d tensors, sizes of 0, negative axes, several, none and twice the same, out of range, and what is no axis. PyTorch's
answers are in `torch_record.json`, so this needs no PyTorch.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from axis_calls import Call, calls, outcome
from torch_record import FILE

import tinygrad_bp as tg

RECORD = json.loads(FILE.read_text("utf-8"))["axes"]
CALLS: dict[str, list[Call]] = {}
for one in calls():
    CALLS.setdefault(one.op.key, []).append(one)
# What we answer and PyTorch refuses: operation → why.
MORE = {
    "prod": "several axes, as in NumPy",
    "movedim": "a list of one beside an int, as in NumPy",
    "tensordot": "an axis of each, as in NumPy",
    "logsumexp": "None is all, as for every reduction; over () PyTorch fails in its own way",
    "repeat_interleave": "a 0-d tensor has the axis 0 here too",
    "take_along_dim": "a 0-d tensor has the axis 0 here too",
}
# What PyTorch answers, because it does not look, and we refuse.
LESS = {
    "roll": ("(0,)", "an axis that an empty vector does not have"),
    "cat": ("(0,)", "an axis that empty vectors do not have"),
    "softmax|log_softmax": ("axis=None", "which axis is meant it guesses, and warns"),
}
SECOND = ("max", "min")  # whose second argument may be a tensor, and then is no axis


@pytest.mark.parametrize("name", CALLS)
def test_axes_are_pytorchs(name: str) -> None:
    for one in CALLS[name]:
        with np.errstate(all="ignore"):
            ours = outcome(tg, one.op.call, one, tg.TensorError)
        theirs = RECORD.get(one.key, RECORD.get(f"{one.key} otherwise") if ours is not None else None)
        if ours is None:
            known = any(name in names.split("|") and part in one.key for names, (part, _) in LESS.items())
            assert theirs is None or known, f"{one.key}: refused; in PyTorch {theirs}"
        elif theirs is None:
            assert name in MORE or one.arrays[0].dtype.kind == "i", f"{one.key}: {ours}, and PyTorch refuses"
        elif name in SECOND and one.named["axis"] == np.array(0) and isinstance(one.named["axis"], np.ndarray):
            continue
        elif not (one.arrays[0].dtype.kind == "i" and "softmax" in name):  # nothing stays whole there
            assert alike(ours, theirs), f"{one.key}: {ours}, in PyTorch {theirs}"


def alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, list):
        return isinstance(theirs, list) and len(ours) == len(theirs) and all(map(alike, ours, theirs))
    return ours == theirs or (isinstance(ours, float) and np.isclose(ours, theirs, rtol=1e-4, equal_nan=True))
