"""The state of a Module: collected by name, loaded all or nothing, converted to another dtype.

Whatever can be wrong is found before anything is written. Read `functional.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core import Tensor, wrap
from ..duck import CHANGES
from ..errors import DtypeError, InplaceError, ModuleError, StateDictError, kind_of
from ..memory import buffer_of, stamp
from .parameter import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


class NotYet:
    """In a class, what `Module.__init__` gives each instance; a `__getattr__` would slow every look at an attribute."""

    def __get__(self, module: Any, owner: Any) -> Any:
        raise ModuleError(f"{owner.__name__}: call `super().__init__()` first, then assign or use its layers")


class Incompatible(NamedTuple):
    """What `load_state_dict` returns: the keys that did not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def places(module: Any) -> Iterator[tuple[str, Any, str, Any]]:
    """(key, owner, name, tensor) of all that a state_dict holds; what is shared appears under each of its keys."""
    for path, owner in module.named_modules(remove_duplicate=False):
        start = f"{path}." if path else ""
        kept = [*owner._parameter_names, *[name for name, keep in owner._buffer_names.items() if keep]]
        for name in kept:
            if owner.__dict__[name] is not None:
                yield start + name, owner, name, owner.__dict__[name]


def collect(module: Any, into: dict[str, Any], prefix: str, keep_vars: bool) -> None:
    for key, _, _, tensor in places(module):
        into[prefix + key] = tensor if keep_vars else wrap(tensor.array)


def load(module: Any, state_dict: Mapping[str, Any], strict: bool, assign: bool) -> Incompatible:
    if not hasattr(state_dict, "keys"):
        path = hasattr(state_dict, "encode") or hasattr(state_dict, "__fspath__")
        fix = "write `tg.load(path)`" if path else "write `other.state_dict()`"
        raise DtypeError(f"load_state_dict: a dict of tensors is expected, not {kind_of(state_dict)}; {fix}")
    have = {key: (owner, name, tensor) for key, owner, name, tensor in places(module)}
    given = {key: plain_array(value) for key, value in state_dict.items()}
    missing = [key for key in have if key not in given]
    unexpected = [key for key in given if key not in have]
    faults = {key: _fault(given[key], tensor, assign) for key, (_, _, tensor) in have.items() if key in given}
    wrong = [f"{key}: {fault}" for key, fault in faults.items() if fault]
    if wrong or (strict and (missing or unexpected)):
        bad = (missing, unexpected) if strict else ([], [])
        raise StateDictError(_complaint(type(module).__name__, *bad, wrong))
    pairs = {key: (*have[key], given[key]) for key in have if key in given}
    if assign:
        _assign([(*pair, state_dict[key]) for key, pair in pairs.items()])
    else:
        _write([(tensor, value) for _, _, tensor, value in pairs.values()])
    return Incompatible(missing, unexpected)


def plain_array(value: Any) -> Any:
    """The entries of a Tensor, an array or a NumPy number as a plain array in native byte order; else the value."""
    value = value.array if isinstance(value, Tensor) else value
    if not isinstance(value, np.ndarray | np.generic):
        return value
    array = np.asarray(value)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _fault(value: Any, tensor: Any, assign: bool) -> str:
    """Why a value cannot take the place of a tensor; '' if it can."""
    if not isinstance(value, np.ndarray):
        kind = type(value)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        return f"{name} given, a Tensor or an array is expected"
    if value.dtype.kind not in ("biufc" if tensor.array.dtype.kind == "c" else "biuf") or (
        value.shape != tensor.array.shape
    ):
        return f"{value.shape} {value.dtype} given, {tensor.array.shape} expected"
    if assign and tensor.node is not None and value.dtype.kind not in "fc":
        return f"{value.dtype} given, and with `assign=True` what is trained must come as floats"
    return ""


def _complaint(name: str, missing: list[str], unexpected: list[str], wrong: list[str]) -> str:
    parts = [f"load_state_dict of {name}: nothing was loaded."]
    if missing:
        parts.append(f"missing: {', '.join(missing)}.")
    if unexpected:
        parts.append(f"unexpected: {', '.join(map(str, unexpected))}.")
    if wrong:
        parts.append(f"mis-shaped: {'; '.join(wrong)}.")
    if missing or unexpected:
        parts.append("Pass `strict=False` to load only the keys that match")
    return "\n  ".join(parts)


def _write(pairs: list[tuple[Any, np.ndarray]]) -> None:
    """All values into the old memory; what overlaps with it is copied first, so that weights may be swapped."""
    own = {id(buffer_of(tensor.array)) for tensor, _ in pairs}
    for tensor, _ in pairs:
        if not tensor.array.flags.writeable:
            raise InplaceError(
                f"load_state_dict: a parameter of shape {tensor.array.shape} is in read-only memory; pass `assign=True`"
            )
    values = [value.copy() if id(buffer_of(value)) in own else value for _, value in pairs]
    with np.errstate(all="ignore"):  # a float64 that float32 cannot hold becomes infinite, as any cast does
        for (tensor, _), value in zip(pairs, values, strict=True):
            tensor.array[...] = value
            stamp(tensor.array, "load_state_dict", "load_state_dict")


def _assign(places: list[tuple[Any, str, Any, np.ndarray, Any]]) -> None:
    """The given tensors in place of the old ones; all are made before the first is put in its place."""
    fresh = [(owner, name, old, _successor(old, array, value)) for owner, name, old, array, value in places]
    for owner, name, old, new in fresh:
        owner.__dict__[name] = new
        if (old.node is None) != (new.node is None):  # a Parameter of the caller's: frozen if the old one was
            new.requires_grad = old.node is not None
    CHANGES[0] += 1


def _successor(old: Any, array: np.ndarray, value: Any) -> Any:
    """The tensor itself where it can be, else its array in a tensor of the old one's kind."""
    itself = isinstance(value, Tensor) and value.array is array
    if isinstance(old, Parameter):
        return value if itself and isinstance(value, Parameter) else Parameter(array, old.node is not None)
    return value if itself and value.node is None else wrap(array)


def zero_grad(parameters: Iterable[Any], set_to_none: bool) -> None:
    for p in parameters:
        if p._grad is None or set_to_none:
            p._grad = None
        elif not p._grad.array.flags.writeable:  # an expanded view that somebody assigned
            p._grad = wrap(np.zeros_like(p.array))
        else:
            p._grad.node = None
            p._grad.array.fill(0)
            stamp(p._grad.array, "zero_grad", "zero_grad")


def convert(module: Any, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Every float parameter, its gradient and every float buffer through `change`; the tensors stay the same."""
    tensors = [t for t in [*module.parameters(), *module.buffers()] if t.array.dtype.kind in "fc"]
    changed = [(t, change(t.array), None if t._grad is None else change(t._grad.array)) for t in tensors]
    for _, array, _ in changed:
        if array.dtype.kind not in "fc":
            raise DtypeError(f"Module.to: parameters must stay floating point, and {array.dtype} is not")
    for tensor, array, grad in changed:
        tensor.data = array
        if grad is not None:
            tensor._grad = wrap(grad)
