"""Some hundred random programs of each fuzzer, the same ones every time; by hand they play as many as you like.

What differs silently, or is refused where nobody else refuses it, is shown as the shortest program that still does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fuzz_compiled
import fuzz_inplace
import pytest
from fuzz_kit import SILENT, Outcome, programs, renamed, shrunk


def outcomes(fuzzer: Any, count: int, seed: int) -> list[tuple[list[str], Outcome]]:
    return [(lines, fuzzer.play(lines)) for lines in programs(fuzzer.grow, count, seed)]


def shown(play: Callable[[list[str]], Outcome], found: list[tuple[list[str], Outcome]]) -> str:
    return "\n\n".join(f"{o.kind}: {o.told}\n{renamed(shrunk(lines, play, o))}" for lines, o in found[:3])


def test_programs_of_writes_and_views_do_as_in_pytorch() -> None:
    pytest.importorskip("torch")
    played = outcomes(fuzz_inplace, 400, seed=0)
    silent = [one for one in played if one[1].kind == SILENT]
    assert not silent, shown(fuzz_inplace.play, silent)
    refused = [one for one in played if one[1].kind == fuzz_inplace.WE]
    assert len(refused) <= 2, shown(fuzz_inplace.play, refused)  # 0.5 %


def test_compiled_steps_do_as_eager_ones() -> None:
    wrong = {SILENT, fuzz_compiled.UNLISTED, fuzz_compiled.ONE}
    found = [one for one in outcomes(fuzz_compiled, 60, seed=0) if one[1].kind in wrong]
    assert not found, shown(fuzz_compiled.play, found)
