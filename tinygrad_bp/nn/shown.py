"""How a tree of layers prints, as PyTorch's does. Read `hooks.py` next."""

from __future__ import annotations


def indented(text: str) -> str:
    """All lines but the first moved two places to the right."""
    return text.replace("\n", "\n  ")


def framed(name: str, extra: str, lines: list[str]) -> str:
    """`Linear(…)` on one line, or the children on lines of their own."""
    parts = [*extra.splitlines(), *lines]
    return f"{name}({extra})" if not lines and len(parts) < 2 else "\n  ".join((f"{name}(", *parts)) + "\n)"
