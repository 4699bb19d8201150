"""Modules that hold others, and parameters, in order or by name. Read `linear.py` next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ..core import Tensor
from ..duck import TRACES
from ..errors import AxisError, DtypeError, ModuleError, TensorError, kind_of
from .faults import name_layer
from .module import MODULES, PARAMETERS, Module
from .parameter import Parameter
from .shown import framed, indented

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView


class _Sequence(Module):
    """Entries under the names "0", "1", …; a list to Python, a tree to Module."""

    _table = MODULES

    def _values(self) -> list[Any]:
        return list(self._own(self._table).values())

    def _refill(self, values: Iterable[Any]) -> Self:
        """Take all entries away and number these anew: one way for every change, and all or nothing."""
        fresh = [self._checked(value) for value in values]
        for name in list(getattr(self, self._table)):
            delattr(self, name)
        for i, value in enumerate(fresh):
            self._register(self._table, str(i), value, object)
        return self

    def _checked(self, value: Any) -> Any:
        if value is not None and not isinstance(value, Module):
            raise DtypeError(f"{type(self).__name__}: layers are Modules, not {kind_of(value)}{_hint(self, value)}")
        return value

    def _name_at(self, index: Any) -> str:
        names: list[str] = list(getattr(self, self._table))
        try:
            name: str = names[index]
            return name
        except IndexError:
            raise AxisError(f"{type(self).__name__}: index {index} is out of range, there are {len(names)}") from None
        except TypeError:
            raise DtypeError(f"{type(self).__name__}: an index is an int or a slice, not {index!r}") from None

    def _like(self, values: Iterable[Any]) -> Any:
        return type(self)(values)  # type: ignore[call-arg]

    def __getitem__(self, index: Any) -> Any:
        return self._like(self._values()[index]) if isinstance(index, slice) else self.__dict__[self._name_at(index)]

    def __setitem__(self, index: Any, value: Any) -> None:
        setattr(self, self._name_at(index), self._checked(value))

    def __delitem__(self, index: Any) -> None:
        if not isinstance(index, slice):
            self._name_at(index)
        values = self._values()
        del values[index]
        self._refill(values)

    def __len__(self) -> int:
        return len(getattr(self, self._table))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values())

    def __iadd__(self, others: Iterable[Any]) -> Self:
        return self.extend(others)

    def __add__(self, others: Iterable[Any]) -> Any:
        return self._like([*self, *others])

    def append(self, value: Any) -> Self:
        """Add one at the end."""
        self._register(self._table, str(len(self)), self._checked(value), object)
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several at the end."""
        return self._refill([*self, *values])

    def insert(self, index: int, value: Any) -> Any:
        """Put one in before `index`."""
        values = self._values()
        values.insert(index, value)
        return self._refill(values)

    def pop(self, index: int = -1) -> Any:
        """Take one out and return it."""
        value = self[index]
        del self[index]
        return value


def _hint(owner: Module, value: Any) -> str:
    """What to write for a value that is no layer."""
    if isinstance(value, list | tuple):
        return f"; write {type(owner).__name__}(*layers)"
    if isinstance(value, type):
        return f"; with parentheses it is a layer: {value.__name__}()"
    return "; a function has a layer of its own, F.relu nn.ReLU(), or is called in `forward`" if callable(value) else ""


class Sequential(_Sequence):
    """Layers one after another, each given what the one before returned; or an OrderedDict of named layers.

    >>> import tinygrad_bp as tg
    >>> net = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.Tanh(), tg.nn.Linear(3, 1))
    >>> net(tg.ones(5, 2)).shape
    Size([5, 1])
    >>> net[0]
    Linear(in_features=2, out_features=3, bias=True)
    """

    def __init__(self, *layers: Any) -> None:
        super().__init__()
        if len(layers) == 1 and isinstance(layers[0], dict):
            for name, layer in layers[0].items():
                self.add_module(name, self._checked(layer))
        else:
            self._refill(layers)

    def forward(self, input: Any) -> Any:
        fields, call = self.__dict__, Module.__call__
        for name in fields["_module_names"]:
            layer = fields[name]
            if TRACES or layer.__class__.__call__ is not call or layer._hooks is not None:
                input = layer(input)
                continue
            try:  # the same call without its frame
                input = layer.forward(input)
            except TensorError as error:
                name_layer(error, layer)
                raise
        return input

    def _like(self, values: Iterable[Any]) -> Sequential:
        chosen, names = list(values), {id(layer): name for name, layer in self._own(MODULES).items()}
        if chosen and all(id(layer) in names for layer in chosen) and len(set(map(id, chosen))) == len(chosen):
            return Sequential({names[id(layer)]: layer for layer in chosen})
        return Sequential(*chosen)


class ModuleList(_Sequence):
    """Layers in a list; unlike those in a Python list they are found by `parameters()`. It has no forward.

    >>> import tinygrad_bp as tg
    >>> tg.nn.ModuleList([tg.nn.Linear(2, 2) for _ in range(3)])
    ModuleList(
      (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self._refill(modules or ())

    def __repr__(self) -> str:
        """Equal neighbours on one line."""
        runs: list[tuple[int, str, int]] = []
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][1] == text:
                runs[-1] = (runs[-1][0], text, i)
            else:
                runs.append((i, text, i))
        lines = [
            f"({first}): {indented(text)}"
            if first == last
            else f"({first}-{last}): {last + 1 - first} x {indented(text)}"
            for first, text, last in runs
        ]
        return framed(self._get_name(), self.extra_repr(), lines)


class _Mapping(Module):
    """Entries under names of their own."""

    _table = MODULES

    def __init__(self, entries: Any = None) -> None:
        super().__init__()
        self.update({} if entries is None else entries)

    def _checked(self, value: Any) -> Any:
        return value

    def __getitem__(self, key: str) -> Any:
        if key not in getattr(self, self._table):
            raise ModuleError(f"{type(self).__name__}: no entry {key!r}; there are {list(self.keys())}")
        return self.__dict__[key]

    def __setitem__(self, key: str, value: Any) -> None:
        value = self._checked(value)
        if key in getattr(self, self._table):
            setattr(self, key, value)
        else:
            self._register(self._table, key, value, Module if self._table == MODULES else Parameter)

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(getattr(self, self._table))

    def __iter__(self) -> Iterator[str]:
        return iter(getattr(self, self._table))

    def __contains__(self, key: object) -> bool:
        return key in getattr(self, self._table)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._own(self._table).keys()

    def values(self) -> ValuesView[Any]:
        """The entries."""
        return self._own(self._table).values()

    def items(self) -> ItemsView[str, Any]:
        """(name, entry) pairs."""
        return self._own(self._table).items()

    def pop(self, key: str) -> Any:
        """Take an entry out and return it."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Take all entries out."""
        for key in list(self):
            delattr(self, key)

    def update(self, entries: Any) -> None:
        """Add entries from a dict, or from (name, entry) pairs."""
        pairs = entries.items() if hasattr(entries, "items") else entries
        for key, value in pairs:
            self[key] = value


class ModuleDict(_Mapping):
    """Layers by name.

    >>> import tinygrad_bp as tg
    >>> choices = tg.nn.ModuleDict({"soft": tg.nn.Sigmoid(), "hard": tg.nn.ReLU()})
    >>> choices["hard"](tg.tensor([-1.0]))
    tensor([0.])
    """


def _described(value: Any) -> str:
    shape = "x".join(map(str, value.array.shape))
    return f"Parameter containing: [{value.array.dtype} of size {shape}]"


def _as_parameter(value: Any, owner: str) -> Any:
    if not isinstance(value, Tensor):
        raise DtypeError(f"{owner}: Parameters or Tensors are expected, not {type(value).__name__}")
    return value if isinstance(value, Parameter) else Parameter(value)


class ParameterList(_Sequence):
    """Parameters in a list; Tensors become Parameters.

    >>> import tinygrad_bp as tg
    >>> [name for name, _ in tg.nn.ParameterList([tg.ones(2), tg.ones(3)]).named_parameters()]
    ['0', '1']
    """

    _table = PARAMETERS

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._refill(() if values is None else values)

    def _checked(self, value: Any) -> Any:
        return _as_parameter(value, "ParameterList")

    def __repr__(self) -> str:
        return framed(self._get_name(), "", [f"({i}): {_described(p)}" for i, p in enumerate(self)])


class ParameterDict(_Mapping):
    """Parameters by name; Tensors become Parameters.

    >>> import tinygrad_bp as tg
    >>> list(tg.nn.ParameterDict({"gain": tg.ones(2)}).keys())
    ['gain']
    """

    _table = PARAMETERS

    def _checked(self, value: Any) -> Any:
        return _as_parameter(value, "ParameterDict")

    def __repr__(self) -> str:
        return framed(self._get_name(), "", [f"({key}): {_described(p)}" for key, p in self.items()])
