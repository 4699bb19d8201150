"""Gradient checks that say whether, where and why. Read `report.py` first, then `check.py`."""

from __future__ import annotations

from .report import VERDICTS, Entry, Finding, GradcheckError, GradcheckReport

__all__ = ["VERDICTS", "Entry", "Finding", "GradcheckError", "GradcheckReport"]
