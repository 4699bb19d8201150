"""What an optimiser is given, read with suspicion: parameters, settings, and the state of another one.

Each function raises before anything is changed, and says what to write instead. Read `sgd.py` next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Leaf, Tensor, wrap
from ..errors import ArgumentError, DtypeError, GraphError, StateDictError, TensorError, kind_of
from ..nn.module import Module
from ..nn.state import plain_array
from .parts import COUNT

if TYPE_CHECKING:
    from .optimizer import Optimizer

BRACKETS = "without the brackets: `{0}(model.parameters(), …)`"


def listed(name: str, params: Any) -> list[Any]:
    """The entries of a list of parameters, or of groups; DtypeError with the right spelling for all else."""
    if isinstance(params, Tensor):
        raise DtypeError(f"{name}: a list of tensors is expected, not a {type(params).__name__}: write [w]")
    if isinstance(params, Module):
        told = f"the parameters are expected, not the model itself: write `{name}(model.parameters(), …)`"
        raise DtypeError(f"{name}: {told}")
    if isinstance(params, Mapping):
        fix = "a group goes into a list, `[group]`" if "params" in params else (
            "a state_dict holds values without gradients: write `model.parameters()`"
        )  # fmt: skip
        raise DtypeError(f"{name}: a list of tensors is expected, not a dict: {fix}")
    if isinstance(params, set | frozenset):
        raise DtypeError(f"{name}: parameters need an order; a set has none, give a list")
    if not isinstance(params, Iterable) or isinstance(params, str):
        fix = ": call it, `model.parameters()`" if callable(params) else ": write `model.parameters()`"
        raise DtypeError(f"{name}: a list of tensors is expected, not {kind_of(params)}{fix}")
    entries = list(params)
    if not entries:
        raise ArgumentError(
            f"{name}: the list of parameters is empty: a generator can be read only once, and layers in a plain list "
            "are not found, only those in a `nn.ModuleList`"
        )
    return entries


def require_leaf(name: str, i: int, p: Any) -> None:
    """Raise unless parameter `i` is a tensor that can be trained."""
    if isinstance(p, Module):
        raise DtypeError(f"{name}: parameter {i} is a layer, {kind_of(p)}: write `model.parameters()`")
    if isinstance(p, np.ndarray):
        raise DtypeError(f"{name}: parameter {i} is {kind_of(p)}: write `nn.Parameter(array)`, and give that")
    if not isinstance(p, Tensor):
        fix = f": write it {BRACKETS.format(name)}" if isinstance(p, Iterable) and not isinstance(p, str) else ""
        raise DtypeError(f"{name}: parameter {i} is {kind_of(p)}, not a Tensor{fix}")
    if p.node is not None and not isinstance(p.node, Leaf):
        raise GraphError(
            f"{name}: parameter {i} of shape {p.array.shape} is no leaf, it was computed by {p.node}; "
            "make it one: `w = w.detach().requires_grad_()`"
        )


def require_kinds(optimizer: Optimizer, group: Mapping[str, Any]) -> None:
    """Raise if a setting that is a number, or True or False, is something else."""
    name = type(optimizer).__name__
    for key in optimizer.numbers:
        value = group[key]
        if isinstance(value, Tensor) and value.array.size != 1:
            shape = value.array.shape
            raise ArgumentError(f"{name}: {key} as a Tensor must be a single number, not of shape {shape}")
        if not isinstance(value, int | float | np.integer | np.floating | Tensor):
            fix = f": write {key}={value}" if isinstance(value, str) and is_number(value) else ""
            raise DtypeError(f"{name}: {key} must be a number, not {kind_of(value)}{fix}")
    for key in optimizer.flags:
        if not isinstance(group[key], bool | np.bool_ | int | None):
            raise DtypeError(f"{name}: {key} must be True or False, not {kind_of(group[key])}")


def number(value: Any) -> Any:
    """A setting as a Python number, which is weak in dtype: of a number, or of a Tensor of one entry."""
    if isinstance(value, float):
        return float(value)
    value = value.array.item() if isinstance(value, Tensor) else value
    return value.item() if isinstance(value, np.generic) else float(value) if isinstance(value, int) else value


def is_number(text: str) -> bool:
    """Whether a text is one."""
    try:
        float(text)
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------------------------------------ another's state
def read_state(optimizer: Optimizer, given: Any) -> tuple[list[dict[str, Any]], dict[Any, dict[str, Any]]]:
    """The groups and the state that a state_dict says, as copies for this optimiser; StateDictError if it cannot."""
    name = type(optimizer).__name__
    try:
        groups, order = _groups(optimizer, given)
        return groups, _states(optimizer, given["state"], order)
    except (ArgumentError, DtypeError) as error:
        raise StateDictError(f"{name}.load_state_dict: nothing was changed: {error.args[0]}") from None


def _groups(optimizer: Optimizer, given: Any) -> tuple[list[dict[str, Any]], dict[Any, Any]]:
    """Each group with its settings, and which parameter each number means."""
    if not isinstance(given, Mapping) or not {"state", "param_groups"} <= given.keys():
        raise DtypeError("not a state_dict of an optimizer, a dict with 'state' and 'param_groups'")
    theirs, ours = given["param_groups"], optimizer.param_groups
    if not isinstance(theirs, list | tuple) or not all(
        isinstance(group, Mapping) and isinstance(group.get("params"), list | tuple) for group in theirs
    ):
        raise DtypeError("'param_groups' must be a list of dicts, each with a list 'params'")
    sizes, have = [len(group["params"]) for group in theirs], [len(group["params"]) for group in ours]
    if sizes != have:
        raise ArgumentError(f"groups of {sizes} parameters given, {have} expected")
    numbers = [number for group in theirs for number in group["params"]]
    if not all(isinstance(number, int) for number in numbers) or len(set(numbers)) < len(numbers):
        raise DtypeError("'params' must be numbers, each once")
    merged = [
        {**mine, **deepcopy({key: value for key, value in group.items() if key != "params"})}
        for mine, group in zip(ours, theirs, strict=True)
    ]
    for i, group in enumerate(merged):
        _check_group(optimizer, i, group)
    return merged, dict(zip(numbers, [p for group in ours for p in group["params"]], strict=True))


def _check_group(optimizer: Optimizer, i: int, group: dict[str, Any]) -> None:
    try:
        require_kinds(optimizer, group)
        optimizer.check(group)
    except (TensorError, TypeError, ValueError, KeyError) as error:
        raise ArgumentError(f"group {i}: {error}") from None


def _states(optimizer: Optimizer, given: Any, order: dict[Any, Any]) -> dict[Any, dict[str, Any]]:
    if not isinstance(given, Mapping) or not all(isinstance(entries, Mapping) for entries in given.values()):
        raise DtypeError("'state' must be a dict with a dict for each parameter")
    unknown = [number for number in given if number not in order]
    wrong = [
        f"{key} of parameter {number}: {fault}"
        for number, entries in given.items()
        for key, value in entries.items()
        if number in order and (fault := _fault(optimizer, key, value, order[number]))
    ]
    if unknown or wrong:
        raise ArgumentError(f"unknown parameters {unknown}; mis-shaped, or of the wrong kind: {wrong}")
    return {
        order[number]: {key: _copied(optimizer, key, value, order[number]) for key, value in entries.items()}
        for number, entries in given.items()
    }


def _fault(optimizer: Optimizer, key: Any, value: Any, p: Any) -> str:
    """Why a value cannot be what is remembered of p under that name; '' if it can."""
    known = optimizer.remembered
    if known is not None and key not in known:
        return f"{type(optimizer).__name__} remembers only {', '.join(known)}: is it another method's state?"
    counts = known is not None and key == COUNT
    array = np.asarray(value) if counts and isinstance(value, int | float) else plain_array(value)
    if isinstance(array, np.ndarray):
        shape = () if counts else p.array.shape
        fits = array.shape == shape or (known is None and not array.ndim)
        if not fits:
            return f"{array.shape} given, {shape} expected"
        if array.dtype.kind not in "biuf":
            return f"{array.dtype} given, {p.array.dtype} expected"
    elif known is not None and value is not None:
        return f"{kind_of(value)} given, a Tensor is expected"
    return ""


def _copied(optimizer: Optimizer, key: str, value: Any, p: Any) -> Any:
    """A value of the state for parameter p: tensors in a memory of their own, those of p's shape in p's dtype."""
    if key == COUNT and COUNT in (optimizer.remembered or ()):
        return wrap(np.array(number(value), np.float32))
    array = plain_array(value)
    if not isinstance(array, np.ndarray):
        return deepcopy(value)
    like_p = array.ndim > 0 or key in (optimizer.remembered or ())  # else a counter
    with np.errstate(all="ignore"):  # a float64 that float32 cannot hold becomes infinite, as any cast does
        return wrap(np.array(array, p.array.dtype if like_p else None))
