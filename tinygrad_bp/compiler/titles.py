"""What a step reaches, and what it is called: parameters as in the state_dict, whoever reached them first.

Read `recording.py` next.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from ..core import Tensor
from ..errors import CompileError
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..nn.state import places
from .capture import Reach
from .tree import Leaves


def reached(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Reach, Leaves]:
    """All that a call of a function can reach, with names, and its arguments."""
    reach = Reach()
    reach.visit(function, getattr(function, "__name__", type(function).__name__))
    leaves = Leaves(args, kwargs, code_of(function))
    for name, leaf in zip(leaves.names, leaves.arrays, strict=True):
        check(leaf, name)
    for name, value in zip(leaves.titles, leaves.fixed, strict=True):
        reach.visit(value, name)
    for part in (part for order in leaves.structure for part in order):
        reach.visit(part, getattr(part, "__name__", repr(part)))
    reach.finish()
    for name, leaf in zip(leaves.names, leaves.arrays, strict=True):
        if isinstance(leaf, Tensor) and id(leaf) not in reach.tensors and (read := reach.readable(leaf.__dict__)):
            raise CompileError(
                f"tg.compile: the step reads attributes ({', '.join(map(repr, read))}) that hang on the argument "
                f"{name!r}, which may be another tensor at the next call. Pass what it needs as arguments of their own"
            )
    reach.named()
    entitle(reach)
    return reach, leaves


def check(leaf: Any, name: str) -> None:
    """Refuse an argument that looks like an array and is more."""
    array, kind = leaf.array if isinstance(leaf, Tensor) else leaf, type(leaf)
    if kind not in (Tensor, Parameter, np.ndarray) or array.dtype.kind in "OV":
        raise CompileError(
            f"tg.compile: the argument {name!r}, of class '{kind.__module__}.{kind.__qualname__}' and dtype "
            f"{array.dtype}, holds more than numbers, and only numbers are checked. Instead: pass `np.asarray(x)`, "
            "or `x.detach()`, and what else the step needs as arguments of their own"
        )


def code_of(function: Any) -> Any:
    """The code that tells the names of the arguments; without `self`."""
    named = function.forward if isinstance(function, Module) else function
    code = getattr(named, "__code__", None)
    if isinstance(named, types.MethodType) and code is not None:
        return types.SimpleNamespace(co_varnames=code.co_varnames[1:], co_argcount=code.co_argcount - 1)
    return code


def models(reach: Reach) -> dict[str, Module]:
    """The models that a step reaches, by their paths; layers of a model are none of their own."""
    found = {path: reach.seen[key] for key, path in reach.modules.items()}
    inside = {id(part) for model in found.values() for part in model.modules() if part is not model}
    return {path: model for path, model in found.items() if id(model) not in inside and any(places(model))}


def weights(reach: Reach) -> dict[str, Tensor]:
    """All that the models' state_dicts hold, by key; with several models each key begins with its model's path."""
    found = models(reach)
    start = {path: f"{path}." if len(found) > 1 and path else "" for path in found}
    return {start[path] + key: tensor for path, model in found.items() for key, _, _, tensor in places(model)}


def entitle(reach: Reach) -> None:
    """Call each tensor as the state_dict does, and its gradient and state after it, whoever reached it first."""
    keys: dict[int, str] = {}
    for key, tensor in weights(reach).items():
        keys.setdefault(id(tensor), key)
    variables: dict[int, str] = {}  # tensors of no model
    for place, value in (*reach.facts, *reach.kept):
        if issubclass(type(value), Tensor):
            variables.setdefault(id(value), place.name)
    moved = {name: keys.get(i) or variables.get(i, name) for i, (_, name) in reach.tensors.items()}
    for i, (tensor, name) in list(reach.tensors.items()):
        owner, _, last = name.rpartition(".")
        behind = f"{moved[owner]}.{last}" if owner in moved else ""
        reach.tensors[i] = tensor, keys.get(i) or behind or variables.get(i, name)
