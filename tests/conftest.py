"""What every test runs under: one BLAS thread a process, and a Hypothesis profile.

`ci` (the default) draws the same examples every time, so a red test is red for everybody. `deep` looks
further and at random: `HYPOTHESIS_PROFILE=deep python -m pytest`. Read any `test_*.py` next.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# pytest-xdist already keeps every core busy: BLAS threads beside that only fight for them. NumPy reads this
# when it is first imported, which comes later; the workers inherit it.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# No window may open in a test run.
os.environ.setdefault("MPLBACKEND", "Agg")

# No deadline and no `too_slow`: both are assertions on time, which right code fails on a busy machine.
settings.register_profile(
    "ci", derandomize=True, max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", parent=settings.get_profile("ci"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, or the test is skipped, before Hypothesis tries an `@example`: it would print a skip as a failure."""
    return pytest.importorskip("torch")
