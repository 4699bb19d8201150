"""What is written from the REGISTRY is fresh: the stub, the names in `tg`, the page of operations."""

from __future__ import annotations

import pytest

import tinygrad_bp as tg
from tinygrad_bp import reference, stub
from tinygrad_bp.declare import REGISTRY
from tinygrad_bp.optim import listing

AGAIN = "run `python -m tinygrad_bp.{}` and commit what it writes"


def test_the_stub_is_fresh() -> None:
    assert stub.path().read_text(encoding="utf-8") == stub.text(), AGAIN.format("stub")


def test_the_names_of_the_optimisers_are_fresh() -> None:
    assert listing.path().read_text(encoding="utf-8") == listing.text(), AGAIN.format("stub")


def test_the_names_in_the_package_are_fresh() -> None:
    source = stub.path("__init__.py").read_text(encoding="utf-8")
    assert source == stub.exports(source), AGAIN.format("stub")


def test_the_page_of_operations_is_fresh() -> None:
    if not reference.path().exists():
        pytest.skip("the documentation is not beside the package")
    assert reference.path().read_text(encoding="utf-8") == reference.text(), AGAIN.format("reference")


@pytest.mark.parametrize("name", [name for name, op in REGISTRY.items() if not op.internal])
def test_every_public_operation_is_in_the_stub_and_in_the_package(name: str) -> None:
    assert name in ("T", "mT") or callable(getattr(tg, name))
    assert not REGISTRY[name].method or f"def {name}(" in stub.text()


def test_every_rule_that_is_declared_stands_in_the_page() -> None:
    text = reference.text()
    assert "| `tanh(x)` | hyperbolic tangent | `g * (1 - y * y)` |" in text
    assert all(f"| `{name}(" in text for name in REGISTRY)
