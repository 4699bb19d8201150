"""Every law for every operation in the REGISTRY. No operation is listed here: to be declared is to be tested.

The laws are in `laws.py`, the numeric references in `references.py`. An operation says what it is tried on by its
declaration (`cases`, `domain`), and which reference is the best one (its declaring word, `analytic`).
"""

from __future__ import annotations

from typing import Any

import pytest
from draws import AWKWARD, cases_of, draws, refused, run, way_back
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import LAWS

from tinygrad_bp.core import wrap
from tinygrad_bp.declare import REGISTRY, Case, Op

MANY = settings(max_examples=max(1, settings().max_examples // 3))
FEW = settings(max_examples=max(1, settings().max_examples // 12))  # the shapes are given, only the numbers are drawn
DIFFERENTIABLE = {"elementwise", "reduction", "linear", "bilinear", "fused"}


def obey(law: Any, op: Op, shapes: Any = None) -> bool:
    """The law on every case and many draws; whether at least one of them had something to compare."""
    compared: list[bool] = []
    for case in cases_of(op):

        @(FEW if isinstance(case, Case) or law is LAWS["L10 compiled"] else MANY)  # compiling takes its time
        @given(draws(op, case, shapes))
        def check(d: Any) -> None:
            compared.append(law(op, d))

        check()
    return any(compared)


def applies(law: str, op: Op) -> bool:
    """What has no gradient has no laws of gradients; broadcasting is the business of elementwise operations."""
    if op.word == "constant":
        return law in ("L1 forward", "L2 spellings", "L6 unchanged", "L10 compiled", "L12 layout")
    if law == "L7 broadcasting":
        return op.word == "elementwise" and len(op.inputs) > 1
    return law != "L11 saved" or op.word in DIFFERENTIABLE


@pytest.mark.parametrize(("law", "name"),
    [(law, n) for law in LAWS for n, op in REGISTRY.items() if applies(law, op)])
def test_law(law: str, name: str) -> None:
    op = REGISTRY[name]
    compared = obey(LAWS[law], op)
    if law in ("L3 gradient", "L8 readers", "L10 compiled", "L12 layout"):  # no vacuous pass
        assert compared or not op.rules


@pytest.mark.parametrize("name", [n for n, op in REGISTRY.items() if not any(isinstance(c, Case) for c in op.cases)])
def test_zero_dims_empty_and_single_entries(name: str) -> None:
    obey(LAWS["L12 layout"], REGISTRY[name], st.sampled_from(AWKWARD))


@pytest.mark.parametrize("name", REGISTRY)
def test_every_op_says_what_it_is_tried_on(name: str) -> None:
    """An operation with parameters that have no default, or whose inputs do not just broadcast, needs cases."""
    op = REGISTRY[name]
    assert op.doc, "an operation has a line of words"
    if op.word not in ("elementwise", "reduction", "constant"):
        assert any(isinstance(case, Case) for case in op.cases), f"{name}: declare `cases=(Case(…),)`"


@pytest.mark.parametrize("name", [n for n, op in REGISTRY.items() if op.word in DIFFERENTIABLE])
def test_every_input_of_a_declared_op_has_a_rule_that_was_reached(name: str) -> None:
    op = REGISTRY[name]
    assert op.rules
    reached: set[int] = set()

    def look(op: Op, d: Any) -> bool:
        if not refused(op, d):
            y, *_ = run(op, [wrap(x).requires_grad_() for x in d.arrays], d.named)
            reached.update(index for _, index, _ in way_back(y, None)[0].edges)
        return True

    obey(look, op)
    assert len(reached) == max(len(op.pure), len(reached))


@pytest.mark.parametrize("name", [n for n, op in REGISTRY.items() if op.word == "constant"])
def test_a_constant_never_asks_for_a_gradient(name: str) -> None:
    op = REGISTRY[name]
    if op.domain is int:
        return

    def plain(op: Op, d: Any) -> bool:
        assert not any(y.requires_grad for y in run(op, [wrap(x).requires_grad_() for x in d.arrays], d.named))
        return True

    obey(plain, op)
