"""Floating-point warnings that name the operation, the layer and the user's line, and cost nothing until there are any.

NumPy points a warning at the line that called it, which is one of ours and tells nobody anything; listening to every
call (`np.errstate`) would cost a small net a tenth of its time. So the modules that compute cannot warn at all: Python
notes in a module's `__warningregistry__` what it has shown from there, and where it finds no dict the attempt to warn
is a TypeError. The operation catches that, computes again while it listens, and warns in its own name.
Read `core.py` next.
"""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import TensorError

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = __name__.partition(".")[0]
REGISTRY = "__warningregistry__"
SILENCED: list[dict[str, Any]] = []


def silence(namespace: dict[str, Any]) -> None:
    """From now on a warning from this module's own lines is a TypeError, for `rings` to recognise."""
    namespace[REGISTRY] = ()
    SILENCED.append(namespace)


def rings(error: Exception) -> bool:
    """Whether an exception is a warning that a silenced module could not give."""
    return type(error) is TypeError and "'registry' must be a dict" in str(error)


def sounded(what: str, compute: Callable[..., Any], *args: Any) -> Any:
    """compute(*args), which lies in a silenced module."""
    try:
        return compute(*args)
    except TypeError as error:
        if not rings(error):
            raise
    return heard(what, compute, *args)


def heard(what: str, compute: Callable[..., Any], *args: Any) -> Any:
    """compute(*args) once more, and a warning at the user's line for what NumPy would have warned of."""
    kinds: dict[str, None] = {}
    listening: Any = {kind: "call" for kind, mode in np.geterr().items() if mode == "warn"}
    for namespace in SILENCED:
        namespace.pop(REGISTRY, None)
    try:
        with np.errstate(call=lambda kind, flag: kinds.setdefault(kind), **listening):
            result = compute(*args)
    finally:
        for namespace in SILENCED:
            namespace[REGISTRY] = ()
    if kinds:
        warn(f"{' and '.join(kinds)} encountered in {what}", RuntimeWarning)
    return result


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """A warning at the line outside this package from which the present call came, with the path of the layer."""
    error, frame, level, outside = TensorError(message), sys._getframe(1), 2, 0
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if not outside and name.partition(".")[0] != PACKAGE:
            outside = level
        if "name_layer" in frame.f_globals:  # a module's call, or a container's that calls its layers itself
            for local in ("layer", "self"):
                if local in frame.f_locals:
                    frame.f_globals["name_layer"](error, frame.f_locals[local])
        frame, level = frame.f_back, level + 1  # type: ignore[assignment]
    try:
        warnings.warn(str(error), category, stacklevel=outside or 2)
    except category as error:  # the user's filters make an error of it
        raise error from None


def warn_left(how: str, instead: str) -> None:
    """A value goes where no gradient follows it."""
    warn(f"{how}: its graph ends here, and no gradient flows back. {instead}")


silence(globals())
