"""The closed table of kinds: what never changes, what a guard can check before each call; all else is refused.

You will know why a step that reaches a deque compiles, and one that reaches a lock does not. A class is known by the
first of its bases that is not written in Python: a subclass of float has a float's content, and attributes besides.
Read `codes.py` next: what a step's code asks for by name.
"""

from __future__ import annotations

import array
import datetime
import decimal
import operator
import re
import types
import typing
from collections import OrderedDict, defaultdict, deque, namedtuple
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from ..modes import enable_grad, inference_mode, no_grad, set_grad_enabled

# What a step may return as it is.
RETURNABLE = (bool, int, float, complex, str, bytes, type(None), np.generic, np.dtype, type)
FIELD = type(vars(namedtuple("Pair", "x"))["x"])  # what a named tuple's class has for each field
VALUES = {  # known by class and repr: another object of the same value is as good
    bool, int, float, complex, str, bytes, type(None), range, decimal.Decimal, datetime.date, datetime.timedelta,
    datetime.timezone,
}  # fmt: skip
CONSTANT = {  # known not to change; a class is not among them, it has attributes
    *VALUES, type(...), type(NotImplemented), datetime.time, datetime.datetime, types.CodeType, re.Pattern, np.ufunc,
    types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType,
    types.GetSetDescriptorType, types.MemberDescriptorType, types.GenericAlias, types.UnionType, typing.TypeVar,
    np.finfo, np.iinfo, type(np.sum), operator.itemgetter, FIELD, no_grad, enable_grad, inference_mode,
    set_grad_enabled,
}  # fmt: skip
GUARDED = {  # the method of `capture.Reach` that reads what an object holds; "" where it holds attributes only
    object: "", types.SimpleNamespace: "", dict: "dict_", OrderedDict: "dict_", defaultdict: "dict_", list: "list_",
    tuple: "tuple_", set: "row", frozenset: "tuple_", deque: "row", bytearray: "row", array.array: "row",
    types.MappingProxyType: "mapping", slice: "slice_", types.FunctionType: "function", types.MethodType: "method",
    types.BuiltinFunctionType: "builtin", types.MethodWrapperType: "builtin", partial: "partial_",
    property: "property_", staticmethod: "wrapped", classmethod: "wrapped", types.ModuleType: "package",
    type: "class_", cached_property: "cached",
    type(lru_cache(len)): "cache",
}  # fmt: skip
EMPTY = (object, typing.Generic)  # bases without a content
REFERENCE = "keep the object itself, not a reference to it"
INSTEAD = {
    "_contextvars.ContextVar": "read it outside the step, `value = var.get()`, and pass the value in",
    "_thread._local": "read its attributes outside the step, and pass them in",
    "weakref.ReferenceType": REFERENCE,
    "weakref.ProxyType": REFERENCE,
    "weakref.CallableProxyType": REFERENCE,
    "builtins.dict_keys": "keep the dict itself",
    "builtins.dict_values": "keep the dict itself",
    "builtins.dict_items": "keep the dict itself",
    "builtins.memoryview": "use `np.asarray(view)`",
}  # what to write in the place of some kinds; OTHERWISE for all others
OTHERWISE = "read what is needed from it outside the step, and pass it in as an argument"


def scalar(kind: type) -> bool:
    return issubclass(kind, np.generic) and kind.__module__ == "numpy" and kind is not np.void


def constant(kind: type) -> bool:
    """Whether nothing about an object of exactly this class can change."""
    return kind in CONSTANT or scalar(kind) or issubclass(kind, np.dtype)


def by_value(value: Any) -> bool:
    """Whether a value is known by its class and its `repr`."""
    kind = type(value)
    return kind in VALUES or scalar(kind) or issubclass(kind, np.dtype)


def same_value(now: Any, value: Any) -> bool:
    """Whether a value is still the one that it was: the same object, or a plain one that nobody can tell from it."""
    return now is value or (type(now) is type(value) and by_value(value) and repr(now) == repr(value))


def in_python(kind: type) -> bool:
    """Whether a class was made by a class statement, so that attributes are all that it gives to its objects."""
    theirs = types.WrapperDescriptorType | types.MethodDescriptorType | types.ClassMethodDescriptorType
    own = [entry for entry in vars(kind).values() if isinstance(entry, theirs) and entry.__objclass__ is kind]
    heap = bool(kind.__flags__ & 1 << 9)
    return heap and not own and not isinstance(vars(kind).get("__new__"), types.BuiltinFunctionType)


def native(kind: type) -> type:
    """The class that says what an object holds besides attributes: the first base that is not written in Python."""
    if kind is cached_property:  # in Python, with a lock
        return kind
    return next(base for base in kind.__mro__ if base is object or (base not in EMPTY and not in_python(base)))


def instead(kind: type) -> str:
    """What to write where a step reaches an object that no guard can check."""
    keys = (f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)
    return next((INSTEAD[key] for key in keys if key in INSTEAD), OTHERWISE)
