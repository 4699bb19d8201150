"""Calling a function or a module again and again, in float64, on copies, under the same seed.

A `Subject` turns it into three plain functions of arrays: `forward` (a flat vector of all outputs), `gradients` (what
the backward returns for given cotangents) and `complex_forward`. The rest of the checker knows only these, so that
hand-written NumPy code is checked by the same means. Read `check.py` next.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import pytree
from ..core import Leaf, Tensor, wrap
from ..errors import ArgumentError, DtypeError, GraphError, InplaceError, NonFiniteError
from ..modes import MODE, overwriters
from .sandbox import Sandbox

if TYPE_CHECKING:
    from .numeric import Array


class Slot:
    """One thing to differentiate by: an input, a parameter or a cotangent; `value` is the checker's own copy."""

    def __init__(self, name: str, value: Array, kind: str = "input") -> None:
        self.name, self.value, self.kind = name, value, kind
        self.base = value.copy(order="K")


class Output:
    """One output: its place in the flat vector, and its shape."""

    def __init__(self, index: int, start: int, shape: tuple[int, ...], label: str = "") -> None:
        self.index, self.shape, self.label = index, shape, label or f"output {index}"
        self.size = int(np.prod(shape, dtype=np.int64))
        self.part = slice(start, start + self.size)


def describe(fn: Any) -> str:
    """How the report calls it."""
    if getattr(fn, "__name__", "") == "apply" and isinstance(getattr(fn, "__self__", None), type):
        return str(fn.__self__.__name__)  # a Function
    name = getattr(fn, "__qualname__", None) or getattr(getattr(fn, "func", None), "__qualname__", None)
    return str(name) if name else type(fn).__name__


class Subject:
    """A function or module with its inputs; use it inside `with subject:`.

    Attributes: `slots` to differentiate by, `outputs`, `skipped` (name, why), `notes`, `eps` of the working precision,
    `calls` and `passes` (forward and backward so far).
    """

    def __init__(
        self,
        fn: Any,
        inputs: Any,
        kwargs: dict[str, Any] | None = None,
        *,
        check_params: bool = True,
        native: bool = False,
        seed: int = 0,
        names: Any = None,
    ) -> None:
        from ..nn.module import Module

        if not callable(fn):
            raise DtypeError(f"gradcheck: the first argument is a function or a module, not {type(fn).__name__}")
        self.name, self.native, self.seed = describe(fn), native, seed
        self.args = _as_tuple(inputs)
        self.kwargs = dict(kwargs or {})
        self.module = _own_copy(fn) if isinstance(fn, Module) else None
        self.fn = fn if self.module is None else self.module
        self.skipped: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.outputs: list[Output] = []
        self.slots: list[Slot] = []
        self.tensors: dict[int, int] = {}  # id of a given tensor → its slot
        self.calls = self.passes = 0
        self.light, self.cloned, self.keep_detached = True, False, False
        self.differentiable: list[int] = []
        self.eps = float(np.finfo(np.float64).eps)
        given = [x for _, x in self._given(names)]
        self._sandbox = Sandbox(fn, self.module, given, seed, None if native else np.float64)
        self._choose_slots(names, check_params)

    def __enter__(self) -> Subject:
        self._sandbox.__enter__()
        if any(True for module in self._sandbox.captured for _ in module.parameters()):
            self.notes.append(
                "parameters of modules that the function refers to are not checked: pass the module itself"
            )
        try:
            for slot, tensor in zip(self.slots, self._tensors, strict=True):
                if slot.kind == "parameter":  # the sandbox has just replaced its array: take that one over
                    slot.value = tensor.array
                    slot.base = slot.value.copy(order="K")
            with np.errstate(all="ignore"):
                self._first_call()
        except BaseException:
            self._sandbox.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._sandbox.__exit__()

    # ------------------------------------------------------------ what is checked
    def _given(self, names: Any) -> list[tuple[str, Any]]:
        labels = [f"input {i}" for i in range(len(self.args))] if names is None else [str(name) for name in names]
        if len(labels) != len(self.args):
            raise ArgumentError(f"gradcheck: {len(labels)} names for {len(self.args)} inputs; give one for each")
        found = [leaf for label, x in zip(labels, self.args, strict=True) for leaf in pytree.paths(x, label)]
        return found + [leaf for key, x in self.kwargs.items() for leaf in pytree.paths(x, str(key))]

    def _choose_slots(self, names: Any, check_params: bool) -> None:
        given = self._given(names)
        named = list(self.module.named_parameters()) if self.module is not None and check_params else []
        floats = [(n, x) for n, x in given if isinstance(x, Tensor) and x.array.dtype.kind == "f"]
        wanted = [(n, x) for n, x in floats if x.node is not None]
        trained = [(n, p) for n, p in named if p.node is not None and p.array.dtype.kind == "f"]
        if not wanted and not trained:
            wanted = floats  # nobody asks for a gradient: then all are meant
        if not wanted and not trained:
            raise DtypeError(
                f"gradcheck of {self.name}: nothing to differentiate by. Give float tensors as inputs, "
                f"`tg.randn(3, 4, requires_grad=True)`, or a module with parameters; got "
                f"{', '.join(f'{n}: {_detail(x)}' for n, x in given) or 'no inputs'}"
            )
        self._tensors: list[Any] = []
        for name, x in given:
            self._refuse_nonfinite(name, x)
            if any(x is y for _, y in wanted):
                if id(x) in self.tensors:
                    self.skipped.append((name, f"the same tensor as {self.slots[self.tensors[id(x)]].name}"))
                else:
                    self.tensors[id(x)] = len(self.slots)
                    self._add(name, x, "input")
            else:
                self.skipped.append((name, _why_skipped(x)))
        for name, p in named:
            self._refuse_nonfinite(name, p)
            if any(p is q for _, q in trained):
                self._add(name, p, "parameter")
            else:
                self.skipped.append((name, "frozen: requires_grad is False"))

    def _add(self, name: str, tensor: Any, kind: str) -> None:
        self._tensors.append(tensor)
        if kind == "input":
            dtype = tensor.array.dtype if self.native else np.float64
            self.slots.append(Slot(name, np.array(tensor.array, dtype=dtype, order="K"), kind))
        else:
            self.slots.append(Slot(name, tensor.array, kind))
        if self.native:
            self.eps = max(self.eps, float(np.finfo(tensor.array.dtype).eps))

    @staticmethod
    def _refuse_nonfinite(name: str, x: Any) -> None:
        if isinstance(x, Tensor) and x.array.dtype.kind == "f" and not np.isfinite(x.array).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(x.array))[0])
            raise NonFiniteError(
                f"gradcheck: {name} holds {x.array[where]} at {list(where)}; a derivative needs finite inputs"
            )

    # ------------------------------------------------------------ calling
    def _first_call(self) -> None:
        """Learn what the function returns, and in which of the cheap ways it may be called."""
        self._sandbox.rewind()
        outputs = self._outputs(recorded=True)
        self._sandbox.look()
        connected = any(y.node is not None for y in outputs) and not self.keep_detached
        start = 0
        for k, y in enumerate(outputs):
            if y.array.dtype.kind != "f":
                self.skipped.append((f"output {k}", f"{y.array.dtype}: no derivative"))
            elif connected and y.node is None:
                self.skipped.append((f"output {k}", "it has no graph: detached, or marked as not differentiable"))
            else:
                self.differentiable.append(k)
                self.outputs.append(Output(k, start, y.array.shape, self.label(k)))
                start += y.array.size
                if self.native:
                    self.eps = max(self.eps, float(np.finfo(y.array.dtype).eps))
        if not self.outputs:
            raise DtypeError(
                f"gradcheck of {self.name}: it returns no float tensor, so there is nothing to differentiate"
            )
        recorded = self._flat(outputs)
        try:
            self._sandbox.rewind()
            unrecorded = self._flat(self._outputs(recorded=False))
            self.light = unrecorded.shape == recorded.shape and np.array_equal(unrecorded, recorded, equal_nan=True)
        except GraphError:  # it differentiates inside, so it needs a graph
            self.light = False

    def label(self, k: int) -> str:
        """What the report calls output k."""
        return f"output {k}"

    def _outputs(self, recorded: bool, values: list[Any] | None = None) -> list[Any]:
        """One call. `recorded`: with leaves that require gradients; else without any graph."""
        self.calls += 1
        self.recorded = recorded
        self.fed = self._fed(recorded, values)
        before, MODE.grad = MODE.grad, recorded
        try:
            args, kwargs = pytree.map(self._replace, (self.args, self.kwargs))
            result = self.fn(*args, **kwargs)
        except InplaceError:
            if self.cloned or not recorded:
                raise
            self.cloned = True  # a layer that works in place: give it copies that are no leaves
            return self._outputs(recorded, values)
        except Exception as error:
            error.add_note(f"raised by {self.name} while gradcheck called it with {self._shapes()}")
            raise
        finally:
            MODE.grad = before
        return self._tensor_list(result)

    def _fed(self, recorded: bool, values: list[Any] | None) -> list[Any]:
        """The tensors for one call: leaves around our arrays; parameters keep their identity."""
        fed = []
        for i, (slot, tensor) in enumerate(zip(self.slots, self._tensors, strict=True)):
            array = slot.value if values is None else values[i]
            if slot.kind == "parameter":
                tensor.array = array
                fed.append(tensor)
                continue
            leaf = wrap(array.copy(order="K") if self.cloned else array)
            leaf.node = Leaf(leaf) if recorded else None
            fed.append(leaf)
        self.leaves = fed
        return [x.clone() if self.cloned and recorded and not isinstance(t, _parameter()) else x
                for x, t in zip(fed, self._tensors, strict=True)]  # fmt: skip

    def _replace(self, x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        if id(x) in self.tensors:
            return self.fed[self.tensors[id(x)]]
        dtype = np.float64 if not self.native and x.array.dtype.kind == "f" else x.array.dtype
        return wrap(x.array.astype(dtype))

    def _tensor_list(self, result: Any) -> list[Any]:
        found = pytree.leaves(result)
        wrong = [type(x).__name__ for x in found if not isinstance(x, Tensor) and x is not None]
        if wrong or not any(isinstance(x, Tensor) for x in found):
            raise DtypeError(
                f"gradcheck: {self.name} returned {', '.join(wrong) or 'nothing'}; a Tensor or a tuple of Tensors is "
                "expected"
            )
        return [x for x in found if x is not None]

    def _flat(self, outputs: list[Any]) -> Array:
        parts = [outputs[k].array.ravel() for k in self.differentiable]
        kind = np.complex128 if any(p.dtype.kind == "c" for p in parts) else np.float64
        return np.concatenate(parts).astype(kind, copy=False)

    def _shapes(self) -> str:
        return ", ".join(f"{slot.name} {slot.value.shape} {slot.value.dtype}" for slot in self.slots)

    def forward(self) -> Array:
        """The flat vector of all outputs at the slots' present values."""
        self._sandbox.rewind()
        return self._flat(self._outputs(recorded=not self.light))

    def complex_forward(self, index: int, change: Array) -> Array:
        """The same with a complex change of one slot."""
        self._sandbox.rewind()
        values = [slot.value for slot in self.slots]
        values[index] = values[index] + change
        try:
            return self._flat(self._outputs(recorded=False, values=values))
        finally:
            self._fed(False, None)

    # ------------------------------------------------------------ the backward
    def gradients(self, cotangents: list[list[Array | None]], only: int | None = None) -> list[list[Any]]:
        """For each list of cotangents (one an output, None: not used) what the backward returns for each slot, or None.

        One forward, one backward for each list; `only` asks for one slot. Raises whatever the backward raises.
        """
        from ..autograd.passes import grad

        self._sandbox.rewind()
        outputs = self._outputs(recorded=True)
        chosen = [outputs[k] for k in self.differentiable]
        asked = self.leaves if only is None else [self.leaves[only]]
        found = []
        for row in cotangents:
            used = [(y, wrap(g.astype(y.array.dtype))) for y, g in zip(chosen, row, strict=True)
                    if g is not None and y.node is not None]  # fmt: skip
            self.passes += 1
            if not used:
                found.append([None] * len(asked))
                continue
            ys, gs = zip(*used, strict=True)
            with overwriters() as wrote:
                result = grad(ys, asked, gs, retain_graph=True, allow_unused=True)
            if wrote:
                raise InplaceError(
                    "the backward overwrites the gradient that it is given: write `g = g * …`, not `g *= …`"
                )
            found.append([None if g is None else g.array for g in result])
        return found

    def overwritten(self) -> list[str]:
        """The slots whose values the last call changed without saying so."""
        if self.cloned and not self.recorded:
            return []  # a layer that works in place, on the copies that it was given for that
        changed = [i for i, x in enumerate(self.leaves) if not np.array_equal(x.array, self.slots[i].base)]
        for i in changed:
            self.slots[i].value[...] = self.slots[i].base
        return [self.slots[i].name for i in changed]


def _parameter() -> Any:
    from ..nn.parameter import Parameter

    return Parameter


def _as_tuple(inputs: Any) -> tuple[Any, ...]:
    if isinstance(inputs, Tensor):
        return (inputs,)
    if isinstance(inputs, tuple | list):
        return tuple(inputs)
    raise DtypeError(
        f"gradcheck: the inputs are a Tensor or a tuple of the function's arguments, not {type(inputs).__name__}; "
        "write `(x,)` for one argument"
    )


def _own_copy(module: Any) -> Any:
    """A deep copy; a module that keeps something which cannot be copied is used itself (the sandbox restores it)."""
    try:
        return copy.deepcopy(module)
    except Exception:
        return module


def _detail(x: Any) -> str:
    return f"{x.array.dtype} {x.array.shape}" if isinstance(x, Tensor) else type(x).__name__


def _why_skipped(x: Any) -> str:
    if not isinstance(x, Tensor):
        return f"{type(x).__name__}: passed on as it is"
    if x.array.dtype.kind != "f":
        return f"{x.array.dtype}: no derivative"
    return "requires_grad is False"
