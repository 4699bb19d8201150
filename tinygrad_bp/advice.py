"""Warnings: what goes on, but hardly as it was meant. Each says what to write instead.

They point at the line of the user, whatever lies between. Read `core.py` next.
"""

from __future__ import annotations

import sys
import warnings

PACKAGE = __name__.partition(".")[0]


def warn(message: str) -> None:
    """A UserWarning at the line outside this package from which the present call came."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def warn_left(how: str, instead: str) -> None:
    """A value goes where no gradient follows it."""
    warn(f"{how}: its graph ends here, and no gradient flows back. {instead}")
