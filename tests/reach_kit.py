"""Kinds of object in which a program keeps what its step reads, each with its way to change it.

A kind is a function from the inner thing to (object, put): the step reads the thing by the kind's `suffix`, and
`put(other)` exchanges it as a user would. Read `test_compile_reach.py` next.
"""

from __future__ import annotations

import argparse
import array
import collections
import contextvars
import dataclasses
import enum
import functools
import io
import itertools
import operator
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_bp as tg
from tinygrad_bp import nn

Built = tuple[Any, Callable[[Any], Any]]
SEEN: dict[str, tuple[str, Callable[[Any], Built]]] = {}  # name → (suffix, build): kinds that are looked at
REFUSED: dict[str, tuple[str, Callable[[Any], Built]]] = {}
NUMBERS = {"float_subclass", "int_subclass", "array", "bytearray", "set", "frozenset_attribute"}  # hold numbers only
KEPT: list[Any] = []  # objects of which a step has weak references


def kind(suffix: str, table: dict[str, Any] = SEEN) -> Callable[[Any], Any]:
    def note(build: Callable[[Any], Built]) -> Callable[[Any], Built]:
        table[build.__name__] = suffix, build
        return build

    return note


def attribute(thing: Any, inner: Any, name: str = "a") -> Built:
    setattr(thing, name, inner)
    return thing, lambda other: setattr(thing, name, other)


def entry(thing: Any, key: Any = "k") -> Built:
    return thing, lambda other: operator.setitem(thing, key, other)


@kind("['k']")
def dict_(inner: Any) -> Built:
    return entry({"k": inner})


@kind("[0]")
def list_(inner: Any) -> Built:
    return entry([inner], 0)


@kind("[0][0]")
def tuple_(inner: Any) -> Built:
    thing, put = list_(inner)
    return (thing,), put


@kind(".a")
def namespace(inner: Any) -> Built:
    return attribute(types.SimpleNamespace(), inner)


@kind(".a")
def arguments(inner: Any) -> Built:
    return attribute(argparse.Namespace(), inner)


@kind("[0]")
def deque(inner: Any) -> Built:
    return entry(collections.deque([inner]), 0)


@kind("['k']")
def user_dict(inner: Any) -> Built:
    return entry(collections.UserDict(k=inner))


@kind("[0]")
def user_list(inner: Any) -> Built:
    return entry(collections.UserList([inner]), 0)


@kind("['k']")
def ordered(inner: Any) -> Built:
    return entry(collections.OrderedDict(k=inner))


@kind("['k']")
def with_default(inner: Any) -> Built:
    return entry(collections.defaultdict(int, k=inner))


@kind("['k']")
def chain_map(inner: Any) -> Built:
    inside = {"k": inner}
    return collections.ChainMap({}, inside), lambda other: inside.update(k=other)


@kind("['k']")
def proxy(inner: Any) -> Built:
    inside = {"k": inner}
    return types.MappingProxyType(inside), lambda other: inside.update(k=other)


@kind(".a")
def list_subclass(inner: Any) -> Built:
    class Own(list):  # type: ignore[type-arg]
        pass

    return attribute(Own([1]), inner)


@kind("[0]")
def list_subclass_entry(inner: Any) -> Built:
    class Own(list):  # type: ignore[type-arg]
        pass

    return entry(Own([inner]), 0)


@kind("['k']")
def dict_subclass(inner: Any) -> Built:
    class Own(dict):  # type: ignore[type-arg]
        def __getitem__(self, key: Any) -> Any:
            return dict.__getitem__(self, key)

    return entry(Own(k=inner))


@kind(".a")
def tuple_subclass(inner: Any) -> Built:
    class Own(tuple):  # type: ignore[type-arg]
        pass

    return attribute(Own((1,)), inner)


@kind(".a")
def float_subclass(inner: Any) -> Built:
    class Own(float):
        pass

    return attribute(Own(1.5), inner)


@kind(".a")
def tensor_subclass(inner: Any) -> Built:
    class Own(tg.Tensor):
        pass

    return attribute(Own([1.0]), inner)


@kind(".a")
def parameter(inner: Any) -> Built:
    return attribute(nn.Parameter(tg.ones(1)), inner)


@kind(".a")
def module(inner: Any) -> Built:
    class Own(nn.Module):
        a: Any

    return attribute(Own(), inner)


@kind(".get()")
def mangled_slot(inner: Any) -> Built:
    class Own:
        __slots__ = ("__a",)

        def put(self, other: Any) -> None:
            self.__a = other

        def get(self) -> Any:
            return self.__a

    own = Own()
    own.put(inner)
    return own, own.put


@kind(".a")
def slots_and_dict(inner: Any) -> Built:
    class Own:
        __slots__ = ("__dict__", "b")

    return attribute(Own(), inner)


@kind(".a")
def frozen_dataclass(inner: Any) -> Built:
    @dataclasses.dataclass(frozen=True)
    class Own:
        a: Any

    own = Own(inner)
    return own, lambda other: object.__setattr__(own, "a", other)


@kind(".a")
def slotted_dataclass(inner: Any) -> Built:
    @dataclasses.dataclass(slots=True)
    class Own:
        a: Any

    return attribute(Own(inner), inner)


@kind(".a")
def class_attribute(inner: Any) -> Built:
    class Own:
        a: Any

    return attribute(Own, inner)


@kind(".a")
def inherited(inner: Any) -> Built:
    class Base:
        a: Any = inner

    class Own(Base):
        pass

    places = itertools.cycle([Base, Own])
    return Own(), lambda other: [setattr(place, "a", other) for place in (next(places), Own)]


@kind(".a")
def metaclass(inner: Any) -> Built:
    class Meta(type):
        a: Any = inner

    class Own(metaclass=Meta):
        pass

    return Own, lambda other: setattr(Meta, "a", other)


@kind(".a")
def enumeration(inner: Any) -> Built:
    class Own(enum.Enum):
        ONE = 1

    return attribute(Own.ONE, inner)


@kind(".x[0]")
def named_tuple(inner: Any) -> Built:
    thing, put = list_(inner)
    return collections.namedtuple("Own", "x")(thing), put


@kind(".a")
def property_(inner: Any) -> Built:
    class Own:
        hidden = [inner]  # noqa: RUF012

        @property
        def a(self) -> Any:
            return self.hidden[0]

    return Own(), lambda other: operator.setitem(Own.hidden, 0, other)


@kind(".a")
def descriptor(inner: Any) -> Built:
    class Reading:
        value = inner

        def __get__(self, owner: Any, kind: Any) -> Any:
            return self.value

    class Own:
        a = Reading()

    return Own(), lambda other: setattr(vars(Own)["a"], "value", other)


@kind(".a")
def computed_attribute(inner: Any) -> Built:
    class Own:
        def __init__(self) -> None:
            self.inside = {"a": inner}

        def __getattr__(self, name: str) -> Any:
            return self.inside[name]

    own = Own()
    return own, lambda other: own.inside.update(a=other)


@kind("()")
def closure(inner: Any) -> Built:
    def put(other: Any) -> None:
        nonlocal inner
        inner = other

    return lambda: next((lambda: inner)() for _ in range(1)), put


@kind("()")
def default(inner: Any) -> Built:
    def own(a: Any = inner) -> Any:
        return a

    return own, lambda other: setattr(own, "__defaults__", (other,))


@kind("()")
def keyword_default(inner: Any) -> Built:
    def own(*, a: Any = inner) -> Any:
        return a

    return own, lambda other: own.__kwdefaults__.update(a=other)


@kind(".a")
def function_attribute(inner: Any) -> Built:
    return attribute(lambda: None, inner)


@kind("()")
def partial(inner: Any) -> Built:
    own = functools.partial(lambda a: a, a=inner)
    return own, lambda other: own.keywords.update(a=other)


@kind("()")
def bound_method(inner: Any) -> Built:
    class Own:
        a: Any

        def get(self) -> Any:
            return self.a

    own, put = attribute(Own(), inner)
    return own.get, put


@kind("(0)")
def bound_builtin(inner: Any) -> Built:
    thing, put = list_(inner)
    return thing.__getitem__, put


@kind("()")
def callable_object(inner: Any) -> Built:
    class Own:
        a: Any

        def __call__(self) -> Any:
            return self.a

    return attribute(Own(), inner)


@kind(".part.a")
def package(inner: Any) -> Built:
    part, put = attribute(types.ModuleType("drawn.part"), inner)
    return attribute(types.ModuleType("drawn"), part, "part")[0], put


@kind(".a")
def swapped_dict(inner: Any) -> Built:
    own = types.SimpleNamespace(a=inner)

    class Own:
        pass

    own = Own()
    own.__dict__ = {"a": inner}
    return own, lambda other: setattr(own, "__dict__", {"a": other})


@kind("[0]")
def array_(inner: Any) -> Built:
    return entry(array.array("d", [inner]), 0)


@kind("[0]")
def bytes_(inner: Any) -> Built:
    return entry(bytearray([int(abs(inner))]), 0)[0], lambda other: None


@kind(".get()", REFUSED)
def context_variable(inner: Any) -> Built:
    own = contextvars.ContextVar("own", default=inner)
    return own, own.set


@kind(".a", REFUSED)
def thread_local(inner: Any) -> Built:
    return attribute(threading.local(), inner)


@kind("().a", REFUSED)
def weak_reference(inner: Any) -> Built:
    own, put = class_attribute(inner)
    KEPT.append(own)
    return weakref.ref(own), put


@kind(".a", REFUSED)
def weak_proxy(inner: Any) -> Built:
    own, put = attribute(nn.Module(), inner)
    KEPT.append(own)
    return weakref.proxy(own), put


@kind("()", REFUSED)
def cached_function(inner: Any) -> Built:
    thing, put = list_(inner)
    own = functools.lru_cache(lambda: thing[0])
    return own, lambda other: (put(other), own.cache_clear())


@kind("[0]", REFUSED)
def memory_view(inner: Any) -> Built:
    thing, put = array_(inner)
    return memoryview(thing), put


@kind(".__iter__().__next__()", REFUSED)
def dict_view(inner: Any) -> Built:
    thing, put = dict_(inner)
    return thing.values(), put


@kind(".__next__()", REFUSED)
def iterator(inner: Any) -> Built:
    return itertools.repeat(inner), lambda other: None


@kind(".__next__()", REFUSED)
def generator(inner: Any) -> Built:
    return (inner for _ in range(99)), lambda other: None


@kind(".tell()", REFUSED)
def file(inner: Any) -> Built:
    own = io.StringIO("abc")
    return own, lambda other: own.read(1)


@kind(".locked()", REFUSED)
def lock(inner: Any) -> Built:
    own = threading.Lock()
    return own, lambda other: own.acquire(blocking=False)


@kind(".random()", REFUSED)
def random_generator(inner: Any) -> Built:
    return np.random.default_rng(0), lambda other: None


@kind("[0]", REFUSED)
def object_array(inner: Any) -> Built:
    return entry(np.array([inner, None], object), 0)


@kind("['a'].item()", REFUSED)
def structured_array(inner: Any) -> Built:
    return entry(np.array((inner,), [("a", float)]), "a")


@kind(".filled(0).item()", REFUSED)
def masked_array(inner: Any) -> Built:
    own = np.ma.MaskedArray(float(inner))
    return own, own.fill
