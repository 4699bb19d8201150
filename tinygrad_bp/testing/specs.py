"""Shapes with letters in them: "N,3" is any number of rows of 3, "*,4" anything that ends in 4.

After this file you know how check_module and the command line are told what a layer takes. A letter is a size that
is drawn, the same for the same letter; `*` any number of sizes; "5:int<10" whole numbers from 0 to 9 instead of floats.
Read `module_laws.py` next.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hypothesis.strategies import SearchStrategy

SIZE = re.compile(r"\d+|[A-Za-z_]\w*|\*")
FORM = 'sizes, letters or * between commas ("N,3"), "()" for a single number, ":int<10" behind it for whole numbers'


class Spec(NamedTuple):
    """One input: its sizes (numbers, letters, "*"), and for whole numbers the bound that they stay below."""

    sizes: tuple[int | str, ...]
    below: int | None = None

    @property
    def batch(self) -> str | None:
        """The letter of the first axis, if it is one."""
        first = self.sizes[0] if self.sizes else None
        return first if isinstance(first, str) and first != "*" else None


def parse(text: Any) -> Spec:
    """A Spec from "N,3", from a tuple (…, 3) of numbers and letters, or from one size.

    >>> parse("N,3"), parse((2, "C")), parse("5:int<10")
    (Spec(sizes=('N', 3), below=None), Spec(sizes=(2, 'C'), below=None), Spec(sizes=(5,), below=10))
    """
    if isinstance(text, Spec):
        return text
    if isinstance(text, int | tuple | list) and not isinstance(text, bool):
        text = ",".join(map(str, text if isinstance(text, tuple | list) else (text,))) or "()"
    found = re.fullmatch(r"\s*(.*?)\s*(?::\s*int\s*<\s*([1-9]\d*))?\s*", text) if isinstance(text, str) else None
    inner = found[1].removeprefix("(").removesuffix(")") if found else ""
    parts = [part.strip() for part in inner.split(",")] if inner.strip() else []
    if len(parts) > 1 and not parts[-1]:
        parts.pop()  # a tuple of one, "(3,)"
    wrong = [part for part in parts if not SIZE.fullmatch(part)]
    if found is None or not found[1] or wrong or parts.count("*") > 1:
        raise ArgumentError(f"{text!r} is no shape: write {FORM}")
    return Spec(tuple(int(p) if p.isdigit() else p for p in parts), int(found[2]) if found[2] else None)


def shapes_of(specs: Sequence[Spec], min_side: int, max_side: int) -> SearchStrategy[tuple[tuple[int, ...], ...]]:
    """Draws one shape per Spec; a letter has one size in all of them."""
    from hypothesis import strategies as st

    letters = sorted({size for spec in specs for size in spec.sizes if isinstance(size, str) and size != "*"})
    side = st.integers(min_side, max_side)
    sizes = st.fixed_dictionaries({**dict.fromkeys(letters, side), "*": st.lists(side, max_size=2).map(tuple)})
    return sizes.map(lambda drawn: tuple(shape_of(spec, drawn) for spec in specs))


def shape_of(spec: Spec, drawn: Mapping[str, Any]) -> tuple[int, ...]:
    """The letters replaced by what was drawn for them."""
    shape: list[int] = []
    for size in spec.sizes:
        value = drawn[size] if isinstance(size, str) else size
        shape.extend(value if isinstance(value, tuple) else (value,))
    return tuple(shape)


def values_of(spec: Spec, shape: tuple[int, ...], seed: Sequence[int], low: float, high: float) -> np.ndarray:
    """float64 between `low` and `high`, away from 0 and without ties, or int64 below the Spec's bound."""
    rng = np.random.default_rng(seed)
    if spec.below is not None:
        return rng.integers(0, spec.below, shape)
    return generic(shape, rng, low, high)


def generic(shape: tuple[int, ...], rng: np.random.Generator, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """float64 values between `low` and `high`, evenly spread and shuffled: none is 0 and no two are close."""
    count = int(np.prod(shape))
    # each value in the middle half of a step of its own, so two are at least half a step apart; those within a tenth
    # of a step of 0 move by two tenths, which leaves neighbours apart
    values = low + (high - low) * (rng.permutation(count) + rng.uniform(0.25, 0.75, count)) / max(count, 1)
    step = (high - low) / max(count, 4)
    return np.asarray(np.where(np.abs(values) < 0.1 * step, values + 0.2 * step, values).reshape(shape))
