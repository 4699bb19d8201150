"""What users hang on tensors, `p.is_bias = True`: any name, but for misspellings of those that mean something.

`t.requires_gard = True` would be kept like any other attribute, and the gradient would be missing without a word. A
`__setattr__` that looks at each name would slow the package's own writes; so the likely misspellings are names of the
class, which cannot be set. Read `methods.py` next.
"""

from __future__ import annotations

from typing import Any

from .core import Tensor

SETTABLE = ("requires_grad", "grad", "data")
OTHERS = {"require_grad", "required_grad", "requires_grads", "requires_gradient", "require_grads", "requires_gradients",
          "requires_Grad", "needs_grad"}  # fmt: skip


class Misspelt:
    """A name that is not there, and cannot be set."""

    __slots__ = ("meant", "name")

    def __init__(self, name: str, meant: str) -> None:
        self.name, self.meant = name, meant

    def __get__(self, tensor: Any, owner: Any) -> Any:
        if tensor is None:  # whoever goes through the class's names
            return self
        raise AttributeError(f"{owner.__name__!r} has no attribute {self.name!r}; did you mean {self.meant!r}?")

    def __set__(self, tensor: Any, value: Any) -> None:
        raise AttributeError(
            f"a tensor has no attribute {self.name!r}, and as a name of your own it would pass for {self.meant!r}: "
            f"did you mean `t.{self.meant} = ...`?"
        )


def misspellings(name: str) -> set[str]:
    """Two neighbouring letters swapped; in a long name also a letter left out."""
    swapped = {name[:i] + name[i + 1] + name[i] + name[i + 2 :] for i in range(len(name) - 1)}
    short = {name[:i] + name[i + 1 :] for i in range(len(name))} if len(name) > 6 else set()
    return (swapped | short) - {name}


def names(self: Any) -> list[str]:
    """The names that an editor shows."""
    return sorted(name for name in object.__dir__(self) if not isinstance(getattr(type(self), name, None), Misspelt))


def misspelt() -> dict[str, Misspelt]:
    """The likely misspellings of what can be set, and what each means."""
    found = {name: Misspelt(name, meant) for meant in SETTABLE for name in misspellings(meant)}
    found |= {name: Misspelt(name, "requires_grad") for name in OTHERS}
    return {name: value for name, value in found.items() if not hasattr(Tensor, name)}


METHODS = {"__dir__": names, **misspelt()}
