"""Optimizer: parameters in groups, each with its own settings, and what a method remembers of each parameter.

A step first checks every gradient of every group, and only then writes; so an error leaves all parameters as they
were. Read `given.py` next.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Tensor
from ..duck import CHANGES, TRACES, tracing
from ..errors import ArgumentError, DtypeError, InplaceError, ShapeError, kind_of
from ..memory import stamp_all
from ..modes import enable_grad
from ..nn.state import zero_grad
from .given import listed, read_state, require_kinds, require_leaf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..nn.parameter import Parameter

    Params = Iterable[Parameter | Tensor | tuple[str, Tensor] | dict[str, Any]]


class Optimizer:
    """Base of all methods: a subclass gives `defaults` and writes `update`.

    Args:
        params: tensors, (name, tensor) pairs, or dicts {"params": […], "lr": …}, each a group with its own settings.
        defaults: the settings of groups that do not say otherwise.

    Raises ArgumentError for an empty list, a tensor given twice or a setting out of range, GraphError for a tensor
    that is no leaf.

    >>> import tinygrad_bp as tg
    >>> w, b = tg.nn.Parameter(tg.ones(2)), tg.nn.Parameter(tg.zeros(1))
    >>> optimizer = tg.optim.SGD([{"params": [w]}, {"params": [b], "lr": 0.5}], lr=0.1)
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.1, 0.5]
    """

    numbers: tuple[str, ...] = ()  # settings that are numbers
    flags: tuple[str, ...] = ()  # settings that are True, False or None
    remembered: tuple[str, ...] | None = None  # the names in `state`, each a tensor of its parameter's shape; None: any

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        given = listed(self._name, params)
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def check(self, group: dict[str, Any]) -> None:
        """Raise ArgumentError if a setting is out of range."""

    def update(self, group: dict[str, Any], params: list[Any]) -> None:
        """Change the tensors in `params`, all of which have a sound gradient, in place."""
        raise NotImplementedError(f"{self._name} has no update: write `def update(self, group, params)` in it")

    def add_param_group(self, param_group: Any) -> None:
        """Add a group: a dict with "params" and settings of its own; nothing is added if something is wrong."""
        given = param_group.get("params") if isinstance(param_group, dict) else None
        if given is None:
            raise DtypeError(f'{self._name}: a group is a dict with "params", got {type(param_group).__name__}')
        entries = [given] if isinstance(given, Tensor) else listed(self._name, given)
        group = {"params": [], **self.defaults, **param_group}
        named = [isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str) for entry in entries]
        if any(named):
            group["param_names"] = [entry[0] for entry, pair in zip(entries, named, strict=True) if pair]
        group["params"] = [entry[1] if pair else entry for entry, pair in zip(entries, named, strict=True)]
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for i, p in enumerate(group["params"]):
            require_leaf(self._name, i, p)
            if id(p) in known:
                raise ArgumentError(f"{self._name}: parameter {i} of shape {p.array.shape} is given twice")
            known.add(id(p))
        missing = [key for key, value in group.items() if value is REQUIRED]
        if missing:
            raise ArgumentError(f"{self._name}: a group needs {missing}, or give it to {self._name} for all groups")
        require_kinds(self, group)
        self.check(group)
        self.param_groups.append(group)
        CHANGES[0] += 1

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            zero_grad(group["params"], set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient; returns the loss if `closure` computes one.

        The closure clears the gradients, computes the loss, calls backward and returns the loss. Raises before
        anything is changed: what the closure raises, or ShapeError and DtypeError for a gradient that does not fit.
        """
        loss = None
        if closure is not None:
            if not callable(closure):
                fix = "call `loss.backward()` first, then `step()`"
                raise DtypeError(f"{self._name}.step: a closure is a function, not {kind_of(closure)}; {fix}")
            with enable_grad():
                loss = closure()
        self._step()
        return loss

    def _step(self) -> None:
        ready = []
        for group in self.param_groups:
            self.check(group)
            ready.append((group, self._sound(group)))
        _write(self, ready) if TRACES and tracing() else _write_quietly(self, ready)  # a compiled update is few calls

    def _sound(self, group: dict[str, Any]) -> list[Any]:
        """The parameters of a group that have a gradient; raises if one of these does not fit."""
        params = [p for p in group["params"] if p._grad is not None]
        for p in params:
            array, g = p.array, p._grad.array
            if g.shape != array.shape or g.dtype is not array.dtype or not array.flags.writeable:
                self._refuse(p)
        return params

    def _refuse(self, p: Any) -> None:
        array, g = p.array, p._grad.array
        if g.shape != array.shape:
            raise ShapeError(f"{self._name}.step: a gradient of shape {g.shape} for a parameter of shape {array.shape}")
        if g.dtype != array.dtype:
            raise DtypeError(
                f"{self._name}.step: a gradient of dtype {g.dtype} for a parameter of dtype {array.dtype} and shape "
                f"{array.shape}; write `p.grad = p.grad.to(p.dtype)`"
            )
        if not array.flags.writeable:
            raise InplaceError(
                f"{self._name}.step: a parameter of shape {array.shape} is in read-only memory; clone it"
            )

    # ------------------------------------------------------------ state
    def state_dict(self) -> dict[str, Any]:
        """Settings and state, the parameters as numbers in order: PyTorch's format."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            groups.append({key: value for key, value in group.items() if key != "params"})
            groups[-1]["params"] = [numbers[id(p)] for p in group["params"]]
        state = {numbers.get(id(p), p): entries for p, entries in self.state.items()}  # other keys as they are
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over settings and state (copied); raises StateDictError, and changes nothing, if anything is wrong."""
        groups, state = read_state(self, state_dict)
        self.param_groups, self.state = groups, defaultdict(dict, state)
        CHANGES[0] += 1

    def __repr__(self) -> str:
        parts = []
        for i, group in enumerate(self.param_groups):
            settings = [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
            parts.append("\n".join([f"Parameter Group {i}", *settings]))
        body = "\n\n".join(parts)
        return f"{self._name} (\n{body}\n)"


def _write(optimizer: Optimizer, ready: list[tuple[dict[str, Any], list[Any]]]) -> None:
    """The second half of a step: everything has been checked."""
    by = f"{optimizer.__class__.__name__}.step"
    for group, params in ready:
        optimizer.update(group, params)
        stamp_all([p.array for p in params], by, "optimizer.step")


# A warning made an error must not stop halfway; overflow shows in the loss. As a decorator errstate costs half.
_write_quietly = np.errstate(all="ignore")(_write)


REQUIRED = object()  # a setting without a default
