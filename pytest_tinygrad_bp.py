"""The pytest plugin: a fixture `gradcheck`, and a failure that ends with the line that runs it again.

It stands beside the package because pytest imports every installed plugin at every start, and importing anything below
`tinygrad_bp` would import NumPy: a suite that never uses the fixture pays for this file alone. Installed, it registers
itself; in a bare checkout `-p pytest_tinygrad_bp` loads it. Read `tinygrad_bp/testing/assertions.py` next.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tinygrad_bp", "gradient checks")
    group.addoption("--gradcheck-seed", type=int, default=0, metavar="N", help="seed of the fixture `gradcheck` (0)")


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Check the gradients of a function or a Module: `gradcheck(fn, inputs)`; `order=2` for the second ones too.

    Options are those of `tg.autograd.gradcheck`; the seed is that of `--gradcheck-seed` unless given. Returns the
    report; fails the test with the report as its message.
    """
    from tinygrad_bp.testing import assert_gradcheck

    seed = request.config.getoption("--gradcheck-seed")

    def check(fn: Any, inputs: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        return assert_gradcheck(fn, inputs, **{"seed": seed, **options})

    return check


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    kinds = sys.modules.get("tinygrad_bp.gradcheck")  # not there: nobody has checked a gradient
    if kinds is not None and call.excinfo is not None and report.failed:
        error = call.excinfo.value
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, kinds.GradcheckError):
            report.sections.append(("run this check again", again(item, error.report.seed)))
    return report


def again(item: pytest.Item, seed: int) -> str:
    """The command that runs this test alone, with the seed of its report."""
    path = os.path.relpath(item.path, item.config.invocation_params.dir)
    name = "::".join([path.replace(os.sep, "/"), *item.nodeid.split("::")[1:]])
    loaded = [f"-p {plugin} " for plugin in item.config.option.plugins if plugin == __name__]
    fixed = f" --gradcheck-seed={seed}" if "gradcheck" in getattr(item, "fixturenames", ()) else ""
    return f'python -m pytest {"".join(loaded)}"{name}"{fixed}'
