"""Writes to tensors several of whose entries are one number in memory: done, warned of, or refused as in PyTorch.

In a graph PyTorch writes, and then cannot go back; here such a write is refused before anything happens. Read
`test_torch_layouts.py` next.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

import tinygrad_bp as tg

torch = pytest.importorskip("torch")

Write = Callable[[Any, Any], Any]


def put(key: Callable[[Any], Any], value: Callable[[Any], Any]) -> Write:
    return lambda m, x: x.__setitem__(key(m), value(m))


MASK = [[True, False, True, True], [False] * 4, [True] * 4]
WRITES: dict[str, Write] = {
    "mask = number": put(lambda m: m.tensor(MASK), lambda m: 0),
    "mask = numbers": put(lambda m: m.tensor(MASK), lambda m: m.arange(7.0)),
    "mask of rows": put(lambda m: m.tensor([True, False, True]), lambda m: 0),
    "mask of rows = row": put(lambda m: m.tensor([True, False, True]), lambda m: m.arange(4.0)),
    "empty mask": put(lambda m: m.tensor([False] * 3), lambda m: 5),
    "mask and int": put(lambda m: (m.tensor([True, False, True]), 1), lambda m: 5),
    "mask and slice": put(lambda m: (m.tensor([True, False, True]), slice(0, 2)), lambda m: 5),
    "rows": put(lambda m: m.tensor([0, 2]), lambda m: 5),
    "rows = row": put(lambda m: m.tensor([0, 2]), lambda m: m.arange(4.0)),
    "rows in a list": put(lambda m: [0, 1], lambda m: 5),
    "entries": put(lambda m: (m.tensor([0, 2]), m.tensor([1, 2])), lambda m: m.arange(2.0)),
    "an entry": put(lambda m: (0, 1), lambda m: 5),
    "a row": put(lambda m: 0, lambda m: 5),
    "a row = row": put(lambda m: 0, lambda m: m.arange(4.0)),
    "a column": put(lambda m: (slice(None), 1), lambda m: 5),
    "a column = column": put(lambda m: (slice(None), 1), lambda m: m.arange(3.0)),
    "a slice": put(lambda m: slice(0, 2), lambda m: 5),
    "all": put(lambda m: Ellipsis, lambda m: m.tensor(5.0)),
    "zero_": lambda m, x: x.zero_(),
    "fill_": lambda m, x: x.fill_(3),
    "fill_ a row": lambda m, x: x[0].fill_(3),
    "copy_": lambda m, x: x.copy_(m.ones(3, 4)),
    "copy_ a number": lambda m, x: x.copy_(m.tensor(4.0)),
    "add_": lambda m, x: x.add_(1),
    "add_ to a row": lambda m, x: x[0].add_(1),
    "add_ to a column": lambda m, x: x[:, 1].add_(1),
    "masked_fill_": lambda m, x: x.masked_fill_(x > 0, 9),
    "masked_fill_, nothing": lambda m, x: x.masked_fill_(x < -5, 9),
    "clamp_": lambda m, x: x.clamp_(0, 1),
    "scatter_": lambda m, x: x.scatter_(0, m.tensor([[0, 0, 0, 0]]), 7.0),
    "scatter_add_": lambda m, x: x.scatter_add_(0, m.tensor([[0, 0, 0, 0]]), m.ones(1, 4)),
    "cumsum_": lambda m, x: x.cumsum_(0),
}
BASES: dict[str, Callable[[Any], Any]] = {
    "columns": lambda m: m.arange(3.0).reshape(3, 1),
    "rows": lambda m: m.arange(4.0),
    "a transposed part": lambda m: m.arange(6.0).reshape(1, 6).T[::2],
    "one number": lambda m: m.tensor(2.0),
}


def told(m: Any, write: Write, base: Any, x: Any) -> tuple[Any, ...]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            write(m, x)
        except RuntimeError:
            return "refused", base.tolist()
    return "expanded" in " ".join(str(w.message) for w in caught), base.tolist(), x.tolist()


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("write", WRITES)
def test_a_write_to_an_expanded_tensor(write: str, base: str) -> None:
    seen = []
    for m in (torch, tg):
        source = BASES[base](m)
        seen.append(told(m, WRITES[write], source, source.expand(3, 4)))
    assert seen[0][1:] == seen[1][1:]
    if write != "mask and int" or base == "one number":  # of which PyTorch sees that nothing coincides
        assert seen[0][0] == seen[1][0]


@pytest.mark.parametrize("write", WRITES)
def test_in_a_graph_it_is_right_or_refused(write: str) -> None:
    """Where PyTorch gives a gradient it is the same, and where it gives none, here it may be none or the right one."""
    found = []
    for m in (torch, tg):
        leaf = m.ones(3, 1).requires_grad_()
        x = (leaf * 2).expand(3, 4)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                WRITES[write](m, x)
                (x * x).sum().backward()
            except RuntimeError:
                found.append(None)
            else:
                found.append(leaf.grad.tolist())
    assert None in found or found[0] == found[1]


@pytest.mark.parametrize("write", ["mask = number", "rows", "masked_fill_", "entries"])
def test_such_a_write_is_seen_by_backward(write: str) -> None:
    w = tg.ones(3, 1, requires_grad=True)
    base = tg.ones(3, 1)
    y = (w * base).sum()
    with pytest.warns(UserWarning, match="expanded"):
        WRITES[write](tg, base.expand(3, 4))
    with pytest.raises(tg.errors.InplaceError):
        y.backward()
    step = tg.compile(lambda t: (t * 1).expand(3, 4).__setitem__(tg.tensor([0]), 1))
    with pytest.raises(RuntimeError):
        step(tg.ones(3, 1))
