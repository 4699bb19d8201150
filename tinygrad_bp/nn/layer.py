"""A layer is its function: its attributes are the function's keywords, and its forward is the call.

`nn.ELU` follows from `F.elu(input, alpha=1.0, inplace=False)` and the name that its declaration gives to the layer.
What owns parameters is a small class of its own: `linear.py` is an example, and is to be read next.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Tensor
from ..declare import parameters
from ..device import cpu_only
from ..dtypes import get_default_dtype
from ..errors import ArgumentError
from . import settings
from .module import Module
from .parameter import Parameter
from .written import define

if TYPE_CHECKING:
    from .. import _tensor

OLD_FLAGS = ("size_average", "reduce")  # of a loss: they choose the reduction, and no layer keeps them
STATE = "training"  # a keyword that every layer has anyway


class TensorLayer(Module):
    """Base of the layers whose answer is a Tensor, so that type checkers know it."""

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> _tensor.Tensor: ...


def blank(shape: tuple[int, ...], device: Any, dtype: Any) -> Parameter:
    """A parameter whose values are still to be drawn."""
    cpu_only(device)
    if any(n < 0 for n in shape):
        raise ArgumentError(f"a layer of shape {shape}: sizes cannot be negative")
    return Parameter(np.empty(shape, get_default_dtype() if dtype is None else dtype))


def layers_for(module: str) -> dict[str, type[Module]]:
    """By name, the layers of the room `nn.activation`: of the functions in the room `nn.functional.activation`."""
    room = import_module(f"{__package__}.functional.{module.rpartition('.')[2]}")
    made: dict[str, type[Module]] = {}
    for function in vars(room).values():
        if hasattr(function, "layer") and function.__module__ == room.__name__:
            base = made.get(function.layer.base, TensorLayer)
            made[function.layer.name] = layer_of(function, module, base)
    return made


def layer_of(function: Any, module: str, base: type[Module]) -> type[Module]:
    """The layer of one function, as `function.layer` (`declare.Layer`) describes it."""
    spec, names = function.layer, parameters(function)
    defaults = dict(zip(reversed(names), reversed(function.__defaults__ or ()), strict=False))
    inputs, keywords = names[: spec.inputs], names[spec.inputs :]
    taken = tuple([n for n in keywords if n != STATE]) if spec.settings is None else spec.settings
    kept = [name for name in taken if name not in OLD_FLAGS]
    passed = [f"self.{name}" if name in kept or name == STATE else repr(defaults[name]) for name in keywords]
    call = f"return _function({', '.join([*inputs, *passed])})"
    reads = {"_function": getattr(function, "direct", function)}
    body = {
        "__module__": module,
        "__doc__": turned(function),
        "_function": staticmethod(function),
        "forward": define(module, "forward", ("self", *inputs), call, reads),
        "extra_repr": showing(spec.shown, kept),
    }
    if taken:
        kinds = {name: function.__annotations__[name] for name in taken}
        fill = f"_fill(self, {', '.join(taken)})"
        made = define(module, "__init__", ("self", *taken), fill, {"_fill": filling(spec, kinds)})
        made.__defaults__ = tuple([defaults[name] for name in taken if name in defaults])
        made.__annotations__ = {**kinds, "return": "None"}
        body["__init__"] = made
    return type(spec.name, (base,), body)


def filling(spec: Any, kinds: dict[str, str]) -> Any:
    """What `__init__` does: the settings become attributes, and the tensors among them buffers."""

    def fill(layer: Any, *values: Any) -> None:
        Module.__init__(layer)
        given = dict(zip(kinds, values, strict=True))
        if spec.prepare:
            spec.prepare(type(layer).__name__, given)
        for name, value in given.items():
            if not kinds.get(name, "").startswith("Tensor"):
                setattr(layer, name, value)
            elif isinstance(value, Tensor) and value.node is not None:
                raise settings.wrong(layer, name, value)
            else:
                layer.register_buffer(name, value)

    return fill


def showing(form: str | None, names: list[str]) -> Any:
    """`extra_repr`: the settings by name, `inplace` only where it is True; or as the declaration says."""

    def extra_repr(self: Any) -> str:
        if form is not None:
            return form.format_map(vars(self))
        return ", ".join(f"{name}={vars(self)[name]!r}" for name in names if name != "inplace" or self.inplace)

    return extra_repr


def turned(function: Any) -> str:
    """The function's description for its layer: settings go where the layer is made, `nn.ELU(alpha=0.5)(x)`."""
    call = re.compile(rf"tg\.nn\.functional\.{function.__name__}\((.*?)((?:, \w+=[^,()]+)*)\)$", re.M)
    return call.sub(lambda m: f"tg.nn.{function.layer.name}({m[2][2:]})({m[1]})", function.__doc__)
