"""Some hundred random programs of each fuzzer, the same ones every time; by hand they play as many as you like.

What they once found stands as programs of its own in `test_inplace.py` and the tests of the compiler.
"""

from __future__ import annotations

import fuzz_inplace
import pytest
from fuzz_kit import SILENT, programs, renamed, shrunk


def test_programs_of_writes_and_views_do_as_in_pytorch() -> None:
    pytest.importorskip("torch")
    for lines in programs(fuzz_inplace.grow, 300, seed=0):
        outcome = fuzz_inplace.play(lines)
        assert outcome.kind != SILENT, f"{outcome.told}\n{renamed(shrunk(lines, fuzz_inplace.play, outcome))}"
