"""Gradient checks that say whether, where and why. Read `report.py`, `numeric.py`, `check.py` and `api.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import guessing
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

if not TYPE_CHECKING:  # a type checker is to know which names there are
    __getattr__ = guessing(__name__)
