"""What a layer is made with, checked against what its `__init__` declares: read `linear.py` for such declarations.

The commonest mistake of all is to give a layer its input where it is made: `nn.ReLU(x)`, `nn.MSELoss(pred, target)`.
Each parameter of a layer of this package says its kind (`in_features: int`, `inplace: bool = False`); so there is one
check for all of them, made where the class is.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Tensor
from ..errors import DtypeError, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS: dict[str, tuple[Any, str]] = {
    "int": ((int, np.integer), "a whole number"),
    "float": ((int, float, np.integer, np.floating), "a number"),
    "bool": ((bool, np.bool_, int), "True or False"),
    "str": (str, "a string"),
}


def checked(init: Callable[..., None]) -> Callable[..., None]:
    """`init`, which first looks whether its arguments are of the kinds that it declares."""
    code: Any = init.__code__
    names = code.co_varnames[1 : code.co_argcount]
    every = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    needed = names[: len(names) - len(init.__defaults__ or ())]
    open_end = code.co_flags & 0x0C  # *args or **kwargs
    kinds = {name: kind for name in every if (kind := _kind(init.__annotations__.get(name, "")))}

    @wraps(init)
    def with_check(self: Any, *args: Any, **kwargs: Any) -> None:
        owner = type(self).__name__
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        if not open_end:
            _fitting(owner, args, kwargs, names, every, [name for name in needed if name not in given])
        for name, (kind, told, optional) in kinds.items():
            value = given.get(name)
            if name in given and not isinstance(value, kind) and not (optional and value is None):
                number = isinstance(value, Tensor) and value.array.ndim == 0 and told == "a number"
                if not number:
                    raise DtypeError(f"{owner}: {name} is {told}, not {kind_of(value)}{_advice(owner, value, told)}")
        init(self, *args, **kwargs)

    return with_check


def wrong(layer: Any, name: str, value: Any) -> DtypeError:
    """The refusal of a tensor that was computed, where a constant is meant: it must be the layer's input."""
    owner = type(layer).__name__
    return DtypeError(f"{owner}: {name} is a constant, not {kind_of(value)} with a graph{_advice(owner, value, '')}")


def no_settings(owner: str, values: tuple[Any, ...]) -> DtypeError:
    """The refusal of arguments by a layer that has nothing to set."""
    advice = next((_advice(owner, value, "") for value in values if isinstance(value, Tensor)), "")
    told = f"it is made without arguments, `{owner}()`, and `super().__init__()` takes none"
    return DtypeError(f"{owner}: got {', '.join(map(kind_of, values))}: {told}{advice}")


def _kind(annotation: str) -> tuple[Any, str, bool] | None:
    name, _, rest = annotation.partition(" | ")
    return (*KINDS[name], rest == "None") if name in KINDS and rest in ("", "None") else None


def _fitting(owner: str, args: Any, kwargs: Any, names: Any, every: Any, missing: list[str]) -> None:
    """Raise if there are too many arguments, too few, or one of another name."""
    unknown = [name for name in kwargs if name not in every]
    twice = [name for name in kwargs if name in names[: len(args)]]
    told = f"{owner} is made with ({', '.join(every)})"
    advice = next((_advice(owner, value, "") for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), "")
    if len(args) > len(names):
        raise DtypeError(f"{owner}: {len(args)} settings are too many: {told}{advice}")
    if unknown or twice:
        fault = f"no setting is called {unknown[0]!r}" if unknown else f"{twice[0]!r} is given twice"
        raise DtypeError(f"{owner}: {fault}: {told}{advice}")
    if missing:
        raise DtypeError(f"{owner}: missing {' and '.join(missing)}: {told}{advice}")


def _advice(owner: str, value: Any, told: str) -> str:
    if isinstance(value, Tensor):
        return f"; make the layer first, then call it: `layer = nn.{owner}(…)`, `layer(x)`"
    if told == "a whole number" and isinstance(value, float):
        return "; `n // 2` is an int, `n / 2` a float"
    return ""
