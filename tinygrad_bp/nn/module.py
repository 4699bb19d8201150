"""Module: a tree of layers that knows its parameters by name, and how it is called.

Assigning an attribute registers it: a Parameter, a Module or a buffer keeps its value in the instance as any attribute
does (so that reading it costs nothing), and its name in one of three ordered tables. Everything else here walks these
tables. Read `hooks.py` and `state.py` next, then `functional.py`: what the layers compute.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from ..autograd.hooks import RemovableHandle
from ..core import Tensor, wrap
from ..device import cpu_only
from ..duck import CHANGES, TRACES, tracing
from ..errors import DtypeError, ModuleError, TensorError
from . import faults, hooks, settings, shown, state
from .parameter import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PARAMETERS, BUFFERS, MODULES = TABLES = ("_parameter_names", "_buffer_names", "_module_names")
EXPECTED = {PARAMETERS: "a Parameter", BUFFERS: "a Tensor", MODULES: "a Module"}


class Module:
    """Base of all layers and models: assign layers and parameters in `__init__`, compute in `forward`.

    Raises ModuleError where an attribute is assigned before `super().__init__()`; an error raised on purpose below
    `forward` tells the path of the layer it came from.

    >>> import tinygrad_bp as tg
    >>> class Net(tg.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = tg.nn.Linear(2, 3)
    ...     def forward(self, x):
    ...         return self.fc(x).tanh()
    >>> net = Net()
    >>> [name for name, _ in net.named_parameters()]
    ['fc.weight', 'fc.bias']
    >>> net(tg.ones(5, 2)).shape
    Size([5, 3])
    """

    training: bool = state.NotYet()  # type: ignore[assignment]
    _parameter_names = _buffer_names = _module_names = state.NotYet()
    _hooks: Any = None  # of the class: a layer without hooks goes straight to forward

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith(f"{__package__}.") and "__init__" in vars(cls):
            setattr(cls, "__init__", settings.checked(vars(cls)["__init__"]))  # noqa: B010

    if TYPE_CHECKING:

        def __init__(self) -> None: ...
    else:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if args or kwargs:
                raise settings.no_settings(type(self).__name__, (*args, *kwargs.values()))
            self.__dict__.update({table: {} for table in TABLES}, training=True)

    # ------------------------------------------------------------ calling
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if TRACES and (trace := tracing()):
                return trace.layer(self, args, kwargs)
            if self._hooks is None:
                # a call without stars is a quarter of a microsecond shorter
                made = self.forward(*args, **kwargs) if kwargs or len(args) != 1 else self.forward(args[0])
                if made is None:
                    faults.returned_nothing(self)
                return made
            return hooks.call(self, args, kwargs)
        except TensorError as error:
            faults.name_layer(error, self)
            raise
        except (TypeError, AttributeError) as error:
            fault = faults.wrong_call(self, args, kwargs, error)
            if fault is None:
                raise
            faults.name_layer(fault, self)
            raise fault from None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes; every subclass writes its own."""
        raise NotImplementedError(faults.no_forward(self))

    # ------------------------------------------------------------ registration
    def __setattr__(self, name: str, value: Any) -> None:
        CHANGES[0] += 1
        if isinstance(value, Parameter):
            self._enter(PARAMETERS, name, value)
        elif isinstance(value, Module):
            self._enter(MODULES, name, value)
        elif table := self._table_of(name):
            if value is not None and not (table == BUFFERS and isinstance(value, Tensor)):
                hint = "" if table == MODULES else f". To change its values: `with tg.no_grad(): m.{name}.copy_(x)`"
                raise DtypeError(
                    f"{type(self).__name__}.{name}: cannot assign {type(value).__name__}; {EXPECTED[table]} or None is "
                    f"expected{hint}"
                )
            self.__dict__[name] = value
        else:
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        CHANGES[0] += 1
        table = self._table_of(name)
        if table:
            del self.__dict__[table][name]
        object.__delattr__(self, name)

    def _table_of(self, name: str) -> str | None:
        return next((table for table in TABLES if name in self.__dict__.get(table, ())), None)

    def _enter(self, table: str, name: str, value: Any, mark: Any = None) -> None:
        """Name `value` in a table; a name lives in one table only."""
        CHANGES[0] += 1
        names = getattr(self, table)  # before super().__init__() this raises
        old = self._table_of(name)
        if old is not None and old != table:
            del self.__dict__[old][name]
        if name not in names:
            names[name] = mark
        self.__dict__[name] = value

    def _register(self, table: str, name: Any, value: Any, kind: Any, mark: Any = None) -> None:
        """As `_enter`, for a name that must be new."""
        owner = type(self).__name__
        if not isinstance(name, str) or not name or "." in name:
            raise ModuleError(f"{owner}: a name is a string, not empty and without a dot; got {name!r}")
        if hasattr(self, name) and name not in getattr(self, table):
            raise ModuleError(f"{owner}: {name!r} is an attribute already; choose another name")
        if value is not None and not isinstance(value, kind):
            raise DtypeError(f"{owner}.{name}: {EXPECTED[table]} or None is expected, got {type(value).__name__}")
        made_by = getattr(value, "grad_fn", None)
        if made_by is not None:
            raise DtypeError(f"{owner}.{name}: it was computed by {made_by}; register `x.detach()`")
        self._enter(table, name, value, mark)
        if table == BUFFERS:
            self.__dict__[table][name] = mark

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None keeps the name free, as `bias=False` does."""
        self._register(PARAMETERS, name, param, Parameter)

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Add a tensor that belongs to the state but is not trained; `persistent=False` leaves it out of state_dict."""
        self._register(BUFFERS, name, tensor, Tensor, persistent)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a layer under a name."""
        self._register(MODULES, name, module, Module)

    register_module = add_module

    # ------------------------------------------------------------ walking
    def _own(self, table: str) -> dict[str, Any]:
        fields = self.__dict__
        return {name: fields[name] for name in getattr(self, table)}

    @property
    def _parameters(self) -> Mapping[str, Any]:
        return MappingProxyType(self._own(PARAMETERS))

    @property
    def _buffers(self) -> Mapping[str, Any]:
        return MappingProxyType(self._own(BUFFERS))

    @property
    def _modules(self) -> Mapping[str, Any]:
        return MappingProxyType(self._own(MODULES))

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, layer) for itself and all below it, parents first; a layer used twice comes once."""
        seen: set[int] = set() if memo is None else memo
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if remove_duplicate:
                if id(module) in seen:
                    continue
                seen.add(id(module))
            yield path, module
            start = f"{path}." if path else ""
            below = [(start + name, child) for name, child in module._own(MODULES).items() if child is not None]
            stack.extend(reversed(below))

    def modules(self) -> Iterator[Module]:
        """Itself and all layers below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, layer) for the layers directly below."""
        seen = set()
        for name, child in self._own(MODULES).items():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                yield name, child

    def children(self) -> Iterator[Module]:
        """The layers directly below."""
        return (child for _, child in self.named_children())

    def _members(self, table: str, prefix: str, recurse: bool, once: bool) -> Iterator[tuple[str, Any]]:
        seen = set()
        for path, module in self.named_modules(None, prefix, once) if recurse else [(prefix, self)]:
            start = f"{path}." if path else ""
            for name, value in module._own(table).items():
                if value is not None and id(value) not in seen:
                    if once:
                        seen.add(id(value))
                    yield start + name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter) in order of registration; one that two layers share comes once."""
        faults.warn_of_hidden(self)
        return self._members(PARAMETERS, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, those of the layers below too unless `recurse` is False.

        Warns of layers and parameters in plain lists and dicts, which are not among them.
        """
        faults.warn_of_hidden(self)
        return (value for _, value in self._members(PARAMETERS, "", recurse, True))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """(path, buffer), persistent or not."""
        return self._members(BUFFERS, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """All buffers."""
        return (value for _, value in self.named_buffers("", recurse))

    def _find(self, target: str, table: str) -> Any:
        *path, name = target.split(".")
        owner = self.get_submodule(".".join(path))
        if name not in getattr(owner, table):
            there = list(getattr(owner, table))
            raise ModuleError(f"{type(self).__name__}: no {table[1:-6]} {target!r}; there are {there}")
        return getattr(owner, name)

    def get_submodule(self, target: str) -> Module:
        """The layer at a dotted path; '' is the module itself. ModuleError if there is none."""
        module = self
        for name in target.split(".") if target else ():
            if module.__dict__.get(name) is None or name not in module._module_names:
                raise ModuleError(
                    f"{type(self).__name__}: no layer {target!r}; below {type(module).__name__} there are "
                    f"{list(module._module_names)}"
                )
            module = module.__dict__[name]
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        found: Parameter = self._find(target, PARAMETERS)
        return found

    def get_buffer(self, target: str) -> Any:
        """The buffer at a dotted path."""
        return self._find(target, BUFFERS)

    # ------------------------------------------------------------ changing all at once
    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every layer below, then on itself: the usual way to initialise."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Training behaviour for all layers (dropout drops); `train(False)` is `eval()`."""
        if not isinstance(mode, bool):
            raise DtypeError(f"train: the mode is True or False, not {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation behaviour for all layers (dropout passes everything on)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Whether all parameters get gradients; False freezes them."""
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros where they are to keep their memory."""
        state.zero_grad((value for _, value in self._members(PARAMETERS, "", True, True)), set_to_none)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """All float parameters and buffers in another dtype: `to(tg.float64)`, `to(other)`; the device is 'cpu'."""
        state.convert(self, lambda array: wrap(array).to(*args, **kwargs).array)
        return self

    def float(self) -> Self:
        """In float32."""
        return self.to("float32")

    def double(self) -> Self:
        """In float64."""
        return self.to("float64")

    def half(self) -> Self:
        """In float16."""
        return self.to("float16")

    def cpu(self) -> Self:
        """Itself: everything is on the CPU."""
        return self

    def cuda(self, device: Any = None) -> Self:
        """Refused: there is no GPU here."""
        cpu_only("cuda", "`.cuda()`")
        return self

    # ------------------------------------------------------------ state
    def state_dict(self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> dict[str, Any]:
        """Parameters and persistent buffers by dotted path, as detached tensors that share the memory.

        >>> import tinygrad_bp as tg
        >>> {key: tuple(value.shape) for key, value in tg.nn.Linear(2, 3).state_dict().items()}
        {'weight': (3, 2), 'bias': (3,)}
        """
        found: dict[str, Any] = {} if destination is None else destination
        state.collect(self, found, prefix, keep_vars)
        return found

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Write values (Tensors or arrays, of any numeric dtype) into the parameters and buffers of the same paths.

        Args:
            strict: raise if keys are missing or unexpected; else they are only returned.
            assign: put the given tensors in place of the old ones, dtype and memory with them.

        Raises StateDictError that lists missing, unexpected and mis-shaped keys together; nothing is changed then.
        """
        return state.load(self, state_dict, strict, assign)

    def __copy__(self) -> Self:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new.__dict__.update({table: dict(getattr(self, table)) for table in TABLES})
        return new

    # ------------------------------------------------------------ hooks
    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward (`hook(module, args, kwargs)` with `with_kwargs`).

        What it returns, unless None, replaces args (or the pair of args and kwargs).
        """
        return hooks.register(self, "before", (hook, with_kwargs, False), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward (`hook(module, args, kwargs, output)` with `with_kwargs`).

        What it returns, unless None, replaces the output; with `always_call` it is called, with output None, even if
        forward raises.
        """
        return hooks.register(self, "after", (hook, with_kwargs, always_call), prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the layer's inputs are known.

        Both are tuples; what it returns, unless None, replaces grad_input.
        """
        return hooks.register(self, "backward", (hook, False, False), prepend)

    # ------------------------------------------------------------ printing
    def extra_repr(self) -> str:
        """What stands between the parentheses of its line in `repr`."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        lines = [f"({name}): {shown.indented(repr(child))}" for name, child in self._own(MODULES).items()]
        return shown.framed(self._get_name(), self.extra_repr(), lines)
