"""Gradient checks that say whether, where and why. Read `report.py`, `numeric.py`, `check.py` and `api.py`."""

from __future__ import annotations

from .api import forecast, gradcheck, gradgradcheck
from .numpy_check import gradcheck_numpy
from .report import VERDICTS, Entry, Finding, GradcheckError, GradcheckReport

__all__ = [
    "VERDICTS",
    "Entry",
    "Finding",
    "GradcheckError",
    "GradcheckReport",
    "forecast",
    "gradcheck",
    "gradcheck_numpy",
    "gradgradcheck",
]
