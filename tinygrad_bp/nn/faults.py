"""What is mostly meant where a module is used wrongly: looked for only when something has gone wrong already.

A call that does not fit `forward`, a `forward` without a `return`, layers that a plain list hides. Read `state.py`
next.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from ..alarms import warn
from ..core import Leaf, Tensor
from ..errors import FORGOT, DtypeError, TensorError, close, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .module import Module

HOLDERS = (list, tuple, dict)


def name_layer(error: TensorError, module: Module) -> None:
    """Tell an error that passes through `module` where it is: 'Net.encoder.fc1 (Linear)'.

    A layer does not know its own name; the parent looks for the layer that the error came through in its own tree.
    `error.through` holds that layer and what its path reads after the name of its class.
    """
    kind = type(module).__name__
    inner, rest = getattr(error, "through", (0, ""))
    if inner == id(module):
        return
    name = next((name for name, layer in module.named_modules() if id(layer) == inner), "")
    if name:
        rest = f".{name}{rest}"
        error.layers[0] = kind + rest
    else:
        rest = f" ({kind})"
        error.layers.insert(0, kind)
    error.through = id(module), rest  # type: ignore[attr-defined]


def wrong_call(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception) -> DtypeError | None:
    """The error to raise in place of one that the call of `module` itself caused; None for all others."""
    name = type(module).__name__
    if isinstance(error, AttributeError):  # a layer of ours asked an argument for what every tensor has
        value = next((arg for arg in args if arg is error.obj), error)
        ours = type(module).__module__.startswith(f"{__package__}.")
        if not ours or value is error or isinstance(value, Tensor):
            return None
        return DtypeError(
            f"{name}: the input must be a Tensor, not {kind_of(value)}"
            f"{FORGOT if value is None else '; write `tg.as_tensor(x)`'}"
        )
    trace, code = error.__traceback__, getattr(type(module).forward, "__code__", None)
    if trace is None or trace.tb_next is not None or code is None:  # raised inside `forward`
        return None
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if names[:1] != ("self",) and not code.co_flags & 4:
        return DtypeError(f"{name}: the first parameter of forward is `self`: write `def forward(self, …)`")
    given = ", ".join([*map(kind_of, args), *(f"{key}={kind_of(value)}" for key, value in kwargs.items())])
    return DtypeError(f"{name}: forward takes ({', '.join(names[1:])}), and was given ({given})")


def no_forward(module: Module) -> str:
    """The message for a module that computes nothing."""
    kind = type(module)
    if hasattr(kind, "_table"):
        return f"{kind.__name__} only holds others and cannot be called: call them one by one, or use nn.Sequential"
    near = close("forward", [name for name in vars(kind) if not name.startswith("_")])
    told = f"; is `{near}` meant to be it?" if near else ""
    return f"{kind.__name__} has no forward: write `def forward(self, x): …` in it{told}"


def returned_nothing(module: Module) -> None:
    """Warn of a forward that returned None."""
    text = f"{type(module).__name__}.forward returned None: end it with `return …`"
    warnings.warn(text, UserWarning, stacklevel=3)


def warn_of_hidden(module: Module) -> None:
    """Warn of layers and parameters that no table names, since nothing will find or train them."""
    suspects = [found for path, layer in module.named_modules() for found in _suspects(path, layer)]
    if not suspects:
        return
    known = {id(layer) for layer in module.modules()}
    known |= {id(p) for layer in module.modules() for p in layer._own("_parameter_names").values()}
    for name, holder, values in suspects:
        lost = [value for value in values if id(value) not in known]
        if lost:
            what = "Module" if hasattr(lost[0], "forward") else "Parameter"
            right = f"nn.{what}{'Dict' if holder is dict else 'List'}" if holder in HOLDERS else "nn.Parameter"
            where = f"{kind_of(lost[0])} in a plain {holder.__name__}" if holder in HOLDERS else kind_of(lost[0])
            told = f"{where} is not among the parameters, and will not be trained: use {right}"
            warn(f"{type(module).__name__}.{name}: {told}")


def _suspects(path: str, layer: Module) -> Iterator[tuple[str, type, list[Any]]]:
    """(path, kind, what is held) for each attribute that holds layers, or tensors to be trained, and is no table."""
    for name, value in layer.__dict__.items():
        full = f"{path}.{name}" if path else name
        if type(value) in HOLDERS:
            held = list(value.values()) if isinstance(value, dict) else list(value)
            if held and _trains(held[0]):
                yield full, type(value), held
        elif isinstance(value, Tensor) and layer._table_of(name) is None and _trains(value):
            yield full, type(value), [value]


def _trains(value: Any) -> bool:
    return hasattr(value, "named_parameters") or (isinstance(value, Tensor) and isinstance(value.node, Leaf))
