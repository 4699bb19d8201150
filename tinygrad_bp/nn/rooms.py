"""What a room gives to the package it stands in: its own public functions and classes, listed nowhere a second time.

Read `functional/__init__.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


def public(*rooms: ModuleType) -> dict[str, Any]:
    """By name, what these modules define under a name without an underscore; not what they import."""
    return {
        name: value
        for room in rooms
        for name, value in vars(room).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", "") == room.__name__
    }
