"""The Python objects of `fuzz_compiled.py`: how each kind is made, what a step reads of it, and how it is changed.

In the texts `c` stands for the name of the object; classes and helpers get names of their own from it.
"""

from __future__ import annotations

import argparse
import array
import collections
import contextvars
import dataclasses
import enum
import functools
import math
import threading
import types
import weakref
from typing import Any, NamedTuple


def modules() -> dict[str, Any]:
    """What programs find without importing it."""
    known = (argparse, array, collections, contextvars, dataclasses, enum, functools, math, threading, types, weakref)
    return {module.__name__: module for module in known}


class Setting(NamedTuple):
    makes: str
    reads: list[str]
    changes: list[str]

    def made(self, c: str) -> list[str]:
        return [in_place_of(line, c) for line in self.makes.split("\n")]


def in_place_of(text: str, c: str) -> str:
    return text.replace("§", c[1:]).replace("¢", c)


SETTINGS = [
    Setting("¢ = {'k': 0.5, 'n': 2, 'on': True}",
            ["¢['k']", "len(¢)", "¢.get('z', 1.5)", "sum(¢.values())", "¢['on']", "¢['n']", "'z' in ¢", "list(¢).index('n')",
             "max(¢.values())", "'k' == next(iter(¢))", "dict(¢)['k']"],
            ["¢['k'] = 1.5", "¢['on'] = False", "¢['z'] = 2.0", "¢['n'] = 3", "¢.update(k=2.5)", "¢ = {**¢, 'k': 4.0}",
             "¢['k'] = ¢.pop('k')", "¢['n'] = 2.0", "¢['n'] = True"]),
    Setting("¢ = {'a': 2, 'b': 2}", ["¢['a']", "¢['b']", "¢['a'] == ¢['b']", "¢['a'] is ¢['b']", "2 ** ¢['b'] * ¢['a']"],
            ["¢['a'] = 3", "¢['b'] = 3", "¢['b'] = 2"]),
    Setting("¢ = {'in': {'k': 0.5}, 'l': [1, 2]}", ["¢['in']['k']", "¢['l'][1]", "len(¢['l'])"],
            ["¢['in']['k'] = 1.5", "¢['l'].append(3)", "¢['l'][1] = 5", "¢['in'] = {'k': 2.5}"]),
    Setting("¢ = [0.5, 2, 3]", ["¢[0]", "len(¢)", "sum(¢)", "¢[-1]", "max(¢)", "2 in ¢", "sorted(¢)[0]"],
            ["¢[0] = 1.5", "¢.append(1)", "¢.reverse()", "¢.pop()", "¢[1:] = [7]", "¢ = [1.5, 2]"]),
    Setting("¢ = [[0.5], (2, [3])]", ["¢[0][0]", "¢[1][1][0]", "len(¢[0])"],
            ["¢[0][0] = 1.5", "¢[1][1][0] = 4", "¢[0].append(1)", "¢[0] = [2.5, 1]"]),
    Setting("¢ = (0.5, 2)", ["¢[0]", "len(¢)", "¢[1]"], ["¢ = (1.5, 2)", "¢ = (0.5, 2, 3)"]),
    Setting("¢ = {1, 2}", ["len(¢)", "1 in ¢", "sum(¢)"], ["¢.add(3)", "¢.discard(1)", "¢.clear()", "¢ ^= {1, 5}"]),
    Setting("¢ = 0.5", ["¢", "¢ * 2", "abs(¢)"], ["¢ = 1.5", "¢ = 2", "¢ = -0.0", "¢ = True"]),
    Setting("¢ = 'fast'", ["len(¢)", "¢ == 'fast'", "'f' in ¢"], ["¢ = 'slow one'", "¢ = ''"]),
    Setting("¢ = types.SimpleNamespace(k=0.5, n=2)", ["¢.k", "¢.n", "getattr(¢, 'z', 3)", "vars(¢)['k']"],
            ["¢.k = 1.5", "¢.n = 3", "¢.z = 4", "¢ = types.SimpleNamespace(k=2.5, n=2)"]),
    Setting("¢ = argparse.Namespace(k=0.5, n=2)", ["¢.k", "¢.n", "'z' in ¢"], ["¢.k = 1.5", "¢.n = 3", "¢.z = 4"]),
    Setting("class C§: k = 0.5\n¢ = C§()", ["¢.k", "C§.k", "type(¢).k"],
            ["¢.k = 1.5", "C§.k = 2.5", "¢.__class__.k = 3.5"]),
    Setting("class B§: k = 0.5\nclass C§(B§): n = 2\n¢ = C§()", ["¢.k", "¢.n + C§.k"],
            ["B§.k = 1.5", "C§.n = 3", "¢.k = 2.5", "C§.k = 5.0"]),
    Setting("class C§:\n    k = 0.5\n    def rate(self): return self.k * 2\n    @property\n    def half(self): return self.k / 2\n"
            "    @staticmethod\n    def one(): return 1.5\n¢ = C§()", ["¢.rate()", "¢.half", "¢.one()", "C§.rate(¢)"],
            ["¢.k = 1.5", "C§.rate = lambda self: 3.0", "C§.one = staticmethod(lambda: 2.5)", "¢.rate = lambda: 4.0"]),
    Setting("class C§:\n    __slots__ = ('k', '__n')\n    def __init__(self): self.k, self.__n = 0.5, 2\n"
            "    def n(self): return self.__n\n    def set(self, n): self.__n = n\n¢ = C§()", ["¢.k", "¢.n()"],
            ["¢.k = 1.5", "¢.set(3)"]),
    Setting("@dataclasses.dataclass\nclass C§:\n    k: float = 0.5\n    l: list = dataclasses.field(default_factory=list)\n"
            "¢ = C§()", ["¢.k", "len(¢.l)", "sum(¢.l)"], ["¢.k = 1.5", "¢.l.append(2)", "¢ = C§(2.5)"]),
    Setting("class M§(type): k = 0.5\nclass C§(metaclass=M§): n = 2\n¢ = C§()", ["C§.k", "C§.n", "type(¢).k"],
            ["M§.k = 1.5", "C§.n = 3", "C§.k = 4"]),
    Setting("class C§(float): pass\n¢ = C§(0.5); ¢.k = 2", ["¢.k", "¢ * 2", "float(¢)"], ["¢.k = 3", "¢ = C§(1.5); ¢.k = 2"]),
    Setting("class C§(list): pass\n¢ = C§([0.5]); ¢.k = 2", ["¢.k", "¢[0]", "len(¢)"], ["¢.k = 3", "¢[0] = 1.5", "¢.append(1)"]),
    Setting("class C§(dict): pass\n¢ = C§(k=0.5); ¢.n = 2", ["¢.n", "¢['k']"], ["¢.n = 3", "¢['k'] = 1.5"]),
    Setting("class C§(tuple): pass\n¢ = C§((0.5,)); ¢.n = 2", ["¢.n", "¢[0]"], ["¢.n = 3", "¢ = C§((1.5,)); ¢.n = 2"]),
    Setting("class C§(dict):\n    def __getattr__(self, k): return self[k]\n¢ = C§(k=0.5)", ["¢.k", "¢['k']"], ["¢['k'] = 1.5"]),
    Setting("class C§(enum.Enum): A = 1; B = 2\n¢ = C§.A", ["¢.value", "¢ is C§.A", "¢ == C§.B"], ["¢ = C§.B"]),
    Setting("¢ = collections.deque([0.5, 2])", ["¢[0]", "len(¢)", "sum(¢)"], ["¢[0] = 1.5", "¢.append(3)", "¢.rotate()"]),
    Setting("¢ = collections.UserDict(k=0.5)", ["¢['k']", "len(¢)"], ["¢['k'] = 1.5", "¢['z'] = 2"]),
    Setting("¢ = collections.UserList([0.5])", ["¢[0]", "len(¢)"], ["¢[0] = 1.5", "¢.append(2)"]),
    Setting("¢ = collections.OrderedDict(k=0.5, n=2)", ["¢['k']", "list(¢).index('k')"], ["¢['k'] = 1.5", "¢.move_to_end('k')"]),
    Setting("¢ = collections.defaultdict(float, k=0.5)", ["¢['k']", "len(¢)"], ["¢['k'] = 1.5", "¢['z'] = 2"]),
    Setting("¢ = collections.Counter('aab')", ["¢['a']", "¢['z']", "sum(¢.values())"], ["¢['a'] = 5", "¢.update('zz')"]),
    Setting("¢ = collections.ChainMap({'k': 0.5}, {'n': 2})", ["¢['k']", "¢['n']"], ["¢['k'] = 1.5", "¢.maps[1]['n'] = 3"]),
    Setting("N§ = collections.namedtuple('N§', 'k n')\n¢ = N§(0.5, [2])", ["¢.k", "¢.n[0]"], ["¢ = N§(1.5, [2])", "¢.n[0] = 3"]),
    Setting("¢ = array.array('d', [0.5, 2])", ["¢[0]", "len(¢)"], ["¢[0] = 1.5", "¢.append(1)"]),
    Setting("¢ = bytearray(b'ab')", ["¢[0]", "len(¢)"], ["¢[0] = 2", "¢.append(1)"]),
    Setting("¢ = types.MappingProxyType({'k': [0.5]})", ["¢['k'][0]"], ["¢['k'][0] = 1.5"]),
    Setting("¢ = contextvars.ContextVar('c', default=0.5)", ["¢.get()"], ["_ = ¢.set(1.5)", "_ = ¢.set(2)"]),
    Setting("¢ = threading.local(); ¢.k = 0.5", ["¢.k"], ["¢.k = 1.5"]),
    Setting("class C§: k = 0.5\nC§_ = C§()\n¢ = weakref.ref(C§_)", ["¢().k"], ["C§_.k = 1.5"]),
    Setting("def f§(): return f§.k\nf§.k = 0.5\n¢ = f§", ["¢()", "f§.k", "f§()"], ["f§.k = 1.5", "f§ = lambda: 2.5", "¢ = abs and (lambda: 3.5)"]),
    Setting("def f§(k=0.5, *, n=2): return k * n\n¢ = f§", ["¢()", "¢(2)", "f§(n=3)"],
            ["f§.__defaults__ = (1.5,)", "f§.__kwdefaults__ = {'n': 5}", "f§.__code__ = (lambda k=0, n=0: k + n).__code__"]),
    Setting("def f§(): l = [0.5, 2]; return l, (lambda: l[0] * l[1])\n¢, g§_ = f§()", ["g§_()", "len(¢)"], ["¢[0] = 1.5", "¢[1] = 3"]),
    Setting("def f§(a, b): return a * b\n¢ = functools.partial(f§, 0.5)", ["¢(2)", "¢(b=3)"],
            ["¢ = functools.partial(f§, 1.5)", "f§ = lambda a, b: 7", "¢.keywords['b'] = 4"]),
    Setting("¢ = types.ModuleType('c'); ¢.k = 0.5; ¢.l = [2]", ["¢.k", "¢.l[0]"], ["¢.k = 1.5", "¢.l[0] = 3"]),
    Setting("¢ = types.SimpleNamespace(part=types.ModuleType('part')); ¢.part.rate = 0.5", ["¢.part.rate"], ["¢.part.rate = 1.5"]),
    Setting("¢ = np.array(0.5)", ["¢ * 2", "¢"], ["¢[...] = 1.5", "¢ = np.array(2.5)"]),
    Setting("¢ = np.float64(0.5)", ["¢ * 2", "float(¢)"], ["¢ = np.float64(1.5)"]),
    Setting("¢ = [T.tensor(0.5, dtype=T.float64), 2]", ["¢[0]", "¢[1]", "len(¢)"],
            ["¢[0].mul_(3)", "¢[0] = T.tensor(1.5, dtype=T.float64)", "¢[1] = 3", "¢.append(1)"]),
    Setting("¢ = {'w': T.tensor(0.5, dtype=T.float64)}", ["¢['w']", "sum(¢.values())"],
            ["¢['w'].mul_(3)", "¢['w'] = T.tensor(1.5, dtype=T.float64)", "¢['v'] = T.tensor(2.5, dtype=T.float64)"]),
    Setting("class C§: pass\n¢ = C§(); ¢.w = T.tensor(0.5, dtype=T.float64); ¢.a = np.array([2.0])", ["¢.w", "¢.a[0]", "T.from_numpy(¢.a)"],
            ["¢.w.mul_(3)", "¢.w = T.tensor(1.5, dtype=T.float64)", "¢.a[0] = 3", "¢.a = np.array([4.0])"]),
]  # fmt: skip

USES = [
    "{w}.grad is None", "{w}.grad is not None", "{x}.requires_grad", "{x}.is_contiguous()", "{x}.shape[0]", "{x}.ndim",
    "{x}.numel()", "len({x}.shape)", "{x}.dtype == T.float64", "{x} is {y}", "{x}.is_leaf", "T.is_grad_enabled()",
    "{x}.shape == {y}.shape", "{x}.size()[-1]", "{x}.grad_fn is None", "{x}.grad is None", "{w}.requires_grad",
    "isinstance({x}, T.nn.Parameter)", "T.get_default_dtype() == T.float32", "hasattr({x}, 'tag')", "{w}.retains_grad",
]  # fmt: skip
