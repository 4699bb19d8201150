"""Functions called around a layer's forward, and when the gradient comes back through it. Read `state.py` next."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function
from ..autograd.hooks import RemovableHandle
from ..core import Tensor
from ..duck import CHANGES
from ..errors import DtypeError, GraphError, ShapeError, kind_of


class Hooks:
    """The hooks of one layer, in the order of calling: id → (hook, with_kwargs, always_call)."""

    def __init__(self) -> None:
        self.before: dict[int, Any] = {}
        self.after: dict[int, Any] = {}
        self.backward: dict[int, Any] = {}


def register(module: Any, when: str, entry: tuple[Any, bool, bool], prepend: bool) -> RemovableHandle:
    if not callable(entry[0]):
        raise DtypeError(f"{type(module).__name__}: a hook is a function, not {kind_of(entry[0])}")
    if module._hooks is None:
        module.__dict__["_hooks"] = Hooks()
    CHANGES[0] += 1
    table = getattr(module._hooks, when)
    handle = RemovableHandle(table)
    later = dict(table) if prepend else {}
    if prepend:
        table.clear()
    table[handle.id] = entry
    table.update(later)
    return handle


def call(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """pre-hooks → forward → hooks; the hooks with `always_call` also when something raises."""
    waiting = dict(module._hooks.after)
    try:
        for hook, with_kwargs, _ in tuple(module._hooks.before.values()):
            args, kwargs = _before(hook, with_kwargs, module, args, kwargs)
        gate = _Gate(module) if module._hooks.backward else None
        output = module.forward(*(gate.enter(args) if gate else args), **kwargs)
        for key, (hook, with_kwargs, _) in tuple(waiting.items()):
            del waiting[key]
            changed = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
            output = output if changed is None else changed
        return gate.leave(output) if gate else output
    except Exception:
        for hook, with_kwargs, always in waiting.values():
            if always:
                hook(module, args, kwargs, None) if with_kwargs else hook(module, args, None)
        raise


def _before(hook: Any, with_kwargs: bool, module: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    changed = hook(module, args, kwargs) if with_kwargs else hook(module, args)
    if changed is None:
        return args, kwargs
    if not with_kwargs:
        return changed if isinstance(changed, tuple) else (changed,), kwargs
    if not (isinstance(changed, tuple) and len(changed) == 2):
        raise DtypeError(f"a forward pre-hook with kwargs returns (args, kwargs) or None, not {type(changed).__name__}")
    return changed


class _Gate:
    """Two identities around a forward: the gradient passes the outer one first and leaves by the inner one.

    Where no argument needs a gradient nothing leaves, and the hooks are called when the gradient has arrived.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.grad_output: tuple[Any, ...] = ()
        self.arguments = 0
        self.leaves = False

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.arguments = len(args)
        self.leaves = any(isinstance(x, Tensor) and x.node is not None for x in args)
        return self._through(args, self._leaving, zeros=True) if self.leaves else args

    def leave(self, output: Any) -> Any:
        if isinstance(output, Tensor):
            return self._through((output,), self._arriving, zeros=False)[0]
        return self._through(output, self._arriving, zeros=False) if isinstance(output, tuple) else output

    def _arriving(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        self.grad_output = grads
        if not self.leaves:
            self._leaving((None,) * self.arguments)
        return grads

    def _leaving(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook, _, _ in tuple(self.module._hooks.backward.values()):
            changed = hook(self.module, grads, self.grad_output)
            if changed is not None:
                changed = changed if isinstance(changed, tuple) else (changed,)
                if not self.leaves:
                    if any(g is not None for g in changed):
                        raise GraphError(
                            f"a backward hook of {type(self.module).__name__} returned a gradient, but no input of "
                            "this call needs one: return None"
                        )
                    continue
                if len(changed) != len(grads):
                    raise ShapeError(
                        f"a backward hook of {type(self.module).__name__} returned {len(changed)} gradients for "
                        f"{len(grads)} inputs; return one for each, None where there is none"
                    )
                grads = changed
        return grads

    def _through(self, values: tuple[Any, ...], seen: Any, zeros: bool) -> tuple[Any, ...]:
        """The Tensors among `values` after an identity that shows the gradients to `seen` on their way back.

        What needs no gradient still needs none; `zeros`: its gradient is shown as zeros, as in PyTorch, not None.
        """
        places = [i for i, value in enumerate(values) if isinstance(value, Tensor)]
        if not places:
            return values

        class Identity(Function):
            @staticmethod
            def forward(ctx: Any, *tensors: Any) -> Any:
                passed = tuple(t.clone() for t in tensors)
                ctx.set_materialize_grads(zeros)
                ctx.mark_non_differentiable(*[y for y, x in zip(passed, tensors, strict=True) if x.node is None])
                return passed

            @staticmethod
            def backward(ctx: Any, *grads: Any) -> Any:
                shown = dict(zip(places, grads, strict=True))
                changed = seen(tuple(shown.get(i) for i in range(len(values))))
                return tuple(changed[i] for i in places)

        passed = list(values)
        for i, tensor in zip(places, Identity.apply(*[values[i] for i in places]), strict=True):
            passed[i] = tensor
        return tuple(passed)
