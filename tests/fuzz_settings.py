"""The Python objects of `fuzz_compiled.py`: how each kind is made, what a step reads of it, and how it is changed.

In the table `¢` is the name of the object and `§` its number, so that classes and helpers have names of their own.
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
    makes: list[str]
    reads: list[str]
    changes: list[str]

    def made(self, c: str) -> list[str]:
        return [named_after(line, c) for line in self.makes]


def named_after(text: str, c: str) -> str:
    return text.replace("§", c[1:]).replace("¢", c)


TABLE = """
¢ = {'k': 0.5, 'n': 2, 'on': True}
  reads ¢['k'] | len(¢) | ¢.get('z', 1.5) | sum(¢.values()) | ¢['on'] | ¢['n'] | 'z' in ¢ | list(¢).index('n')
  reads max(¢.values()) | 'k' == next(iter(¢)) | dict(¢)['k']
  changes ¢['k'] = 1.5 | ¢['on'] = False | ¢['z'] = 2.0 | ¢['n'] = 3 | ¢.update(k=2.5) | ¢ = {**¢, 'k': 4.0}
  changes ¢['k'] = ¢.pop('k') | ¢['n'] = 2.0 | ¢['n'] = True

¢ = {'a': 2, 'b': 2}
  reads ¢['a'] | ¢['b'] | ¢['a'] == ¢['b'] | ¢['a'] is ¢['b'] | 2 ** ¢['b'] * ¢['a']
  changes ¢['a'] = 3 | ¢['b'] = 3 | ¢['b'] = 2

¢ = {'in': {'k': 0.5}, 'l': [1, 2]}
  reads ¢['in']['k'] | ¢['l'][1] | len(¢['l'])
  changes ¢['in']['k'] = 1.5 | ¢['l'].append(3) | ¢['l'][1] = 5 | ¢['in'] = {'k': 2.5}

¢ = [0.5, 2, 3]
  reads ¢[0] | len(¢) | sum(¢) | ¢[-1] | max(¢) | 2 in ¢ | sorted(¢)[0]
  changes ¢[0] = 1.5 | ¢.append(1) | ¢.reverse() | ¢.pop() | ¢[1:] = [7] | ¢ = [1.5, 2]

¢ = [[0.5], (2, [3])]
  reads ¢[0][0] | ¢[1][1][0] | len(¢[0])
  changes ¢[0][0] = 1.5 | ¢[1][1][0] = 4 | ¢[0].append(1) | ¢[0] = [2.5, 1]

¢ = (0.5, 2)
  reads ¢[0] | len(¢) | ¢[1]
  changes ¢ = (1.5, 2) | ¢ = (0.5, 2, 3)

¢ = {1, 2}
  reads len(¢) | 1 in ¢ | sum(¢)
  changes ¢.add(3) | ¢.discard(1) | ¢.clear() | ¢ ^= {1, 5}

¢ = 0.5
  reads ¢ | ¢ * 2 | abs(¢)
  changes ¢ = 1.5 | ¢ = 2 | ¢ = -0.0 | ¢ = True

¢ = 'fast'
  reads len(¢) | ¢ == 'fast' | 'f' in ¢
  changes ¢ = 'slow one' | ¢ = ''

¢ = types.SimpleNamespace(k=0.5, n=2)
  reads ¢.k | ¢.n | getattr(¢, 'z', 3) | vars(¢)['k']
  changes ¢.k = 1.5 | ¢.n = 3 | ¢.z = 4 | ¢ = types.SimpleNamespace(k=2.5, n=2)

¢ = argparse.Namespace(k=0.5, n=2)
  reads ¢.k | ¢.n | 'z' in ¢
  changes ¢.k = 1.5 | ¢.n = 3 | ¢.z = 4

class C§: k = 0.5
¢ = C§()
  reads ¢.k | C§.k | type(¢).k
  changes ¢.k = 1.5 | C§.k = 2.5 | ¢.__class__.k = 3.5

class B§: k = 0.5
class C§(B§): n = 2
¢ = C§()
  reads ¢.k | ¢.n + C§.k
  changes B§.k = 1.5 | C§.n = 3 | ¢.k = 2.5 | C§.k = 5.0

class C§:
    k = 0.5
    def rate(self): return self.k * 2
    @property
    def half(self): return self.k / 2
    @staticmethod
    def one(): return 1.5
¢ = C§()
  reads ¢.rate() | ¢.half | ¢.one() | C§.rate(¢)
  changes ¢.k = 1.5 | C§.rate = lambda self: 3.0 | C§.one = staticmethod(lambda: 2.5) | ¢.rate = lambda: 4.0

class C§:
    __slots__ = ('k', '__n')
    def __init__(self): self.k, self.__n = 0.5, 2
    def n(self): return self.__n
    def set(self, n): self.__n = n
¢ = C§()
  reads ¢.k | ¢.n()
  changes ¢.k = 1.5 | ¢.set(3)

@dataclasses.dataclass
class C§:
    k: float = 0.5
    l: list = dataclasses.field(default_factory=list)
¢ = C§()
  reads ¢.k | len(¢.l) | sum(¢.l)
  changes ¢.k = 1.5 | ¢.l.append(2) | ¢ = C§(2.5)

class M§(type): k = 0.5
class C§(metaclass=M§): n = 2
¢ = C§()
  reads C§.k | C§.n | type(¢).k
  changes M§.k = 1.5 | C§.n = 3 | C§.k = 4

class C§(float): pass
¢ = C§(0.5); ¢.k = 2
  reads ¢.k | ¢ * 2 | float(¢)
  changes ¢.k = 3 | ¢ = C§(1.5); ¢.k = 2

class C§(list): pass
¢ = C§([0.5]); ¢.k = 2
  reads ¢.k | ¢[0] | len(¢)
  changes ¢.k = 3 | ¢[0] = 1.5 | ¢.append(1)

class C§(dict): pass
¢ = C§(k=0.5); ¢.n = 2
  reads ¢.n | ¢['k']
  changes ¢.n = 3 | ¢['k'] = 1.5

class C§(tuple): pass
¢ = C§((0.5,)); ¢.n = 2
  reads ¢.n | ¢[0]
  changes ¢.n = 3 | ¢ = C§((1.5,)); ¢.n = 2

class C§(dict):
    def __getattr__(self, k): return self[k]
¢ = C§(k=0.5)
  reads ¢.k | ¢['k']
  changes ¢['k'] = 1.5

class C§(enum.Enum): A = 1; B = 2
¢ = C§.A
  reads ¢.value | ¢ is C§.A | ¢ == C§.B
  changes ¢ = C§.B

¢ = collections.deque([0.5, 2])
  reads ¢[0] | len(¢) | sum(¢)
  changes ¢[0] = 1.5 | ¢.append(3) | ¢.rotate()

¢ = collections.UserDict(k=0.5)
  reads ¢['k'] | len(¢)
  changes ¢['k'] = 1.5 | ¢['z'] = 2

¢ = collections.UserList([0.5])
  reads ¢[0] | len(¢)
  changes ¢[0] = 1.5 | ¢.append(2)

¢ = collections.OrderedDict(k=0.5, n=2)
  reads ¢['k'] | list(¢).index('k')
  changes ¢['k'] = 1.5 | ¢.move_to_end('k')

¢ = collections.defaultdict(float, k=0.5)
  reads ¢['k'] | len(¢)
  changes ¢['k'] = 1.5 | ¢['z'] = 2

¢ = collections.Counter('aab')
  reads ¢['a'] | ¢['z'] | sum(¢.values())
  changes ¢['a'] = 5 | ¢.update('zz')

¢ = collections.ChainMap({'k': 0.5}, {'n': 2})
  reads ¢['k'] | ¢['n']
  changes ¢['k'] = 1.5 | ¢.maps[1]['n'] = 3

N§ = collections.namedtuple('N§', 'k n')
¢ = N§(0.5, [2])
  reads ¢.k | ¢.n[0]
  changes ¢ = N§(1.5, [2]) | ¢.n[0] = 3

¢ = array.array('d', [0.5, 2])
  reads ¢[0] | len(¢)
  changes ¢[0] = 1.5 | ¢.append(1)

¢ = bytearray(b'ab')
  reads ¢[0] | len(¢)
  changes ¢[0] = 2 | ¢.append(1)

¢ = types.MappingProxyType({'k': [0.5]})
  reads ¢['k'][0]
  changes ¢['k'][0] = 1.5

¢ = contextvars.ContextVar('c', default=0.5)
  reads ¢.get()
  changes _ = ¢.set(1.5) | _ = ¢.set(2)

¢ = threading.local(); ¢.k = 0.5
  reads ¢.k
  changes ¢.k = 1.5

class C§: k = 0.5
C§_ = C§()
¢ = weakref.ref(C§_)
  reads ¢().k
  changes C§_.k = 1.5

def f§(): return f§.k
f§.k = 0.5
¢ = f§
  reads ¢() | f§.k | f§()
  changes f§.k = 1.5 | f§ = lambda: 2.5 | ¢ = abs and (lambda: 3.5)

def f§(k=0.5, *, n=2): return k * n
¢ = f§
  reads ¢() | ¢(2) | f§(n=3)
  changes f§.__defaults__ = (1.5,) | f§.__kwdefaults__ = {'n': 5} | f§.__code__ = (lambda k=0, n=0: k + n).__code__

def f§(): l = [0.5, 2]; return l, (lambda: l[0] * l[1])
¢, g§_ = f§()
  reads g§_() | len(¢)
  changes ¢[0] = 1.5 | ¢[1] = 3

def f§(a, b): return a * b
¢ = functools.partial(f§, 0.5)
  reads ¢(2) | ¢(b=3)
  changes ¢ = functools.partial(f§, 1.5) | f§ = lambda a, b: 7 | ¢.keywords['b'] = 4

¢ = types.ModuleType('c'); ¢.k = 0.5; ¢.l = [2]
  reads ¢.k | ¢.l[0]
  changes ¢.k = 1.5 | ¢.l[0] = 3

¢ = types.SimpleNamespace(part=types.ModuleType('part')); ¢.part.rate = 0.5
  reads ¢.part.rate
  changes ¢.part.rate = 1.5

¢ = np.array(0.5)
  reads ¢ * 2 | ¢
  changes ¢[...] = 1.5 | ¢ = np.array(2.5)

¢ = np.float64(0.5)
  reads ¢ * 2 | float(¢)
  changes ¢ = np.float64(1.5)

¢ = [T.tensor(0.5, dtype=T.float64), 2]
  reads ¢[0] | ¢[1] | len(¢)
  changes ¢[0].mul_(3) | ¢[0] = T.tensor(1.5, dtype=T.float64) | ¢[1] = 3 | ¢.append(1)

¢ = {'w': T.tensor(0.5, dtype=T.float64)}
  reads ¢['w'] | sum(¢.values())
  changes ¢['w'].mul_(3) | ¢['w'] = T.tensor(1.5, dtype=T.float64) | ¢['v'] = T.tensor(2.5, dtype=T.float64)

class C§: pass
¢ = C§(); ¢.w = T.tensor(0.5, dtype=T.float64); ¢.a = np.array([2.0])
  reads ¢.w | ¢.a[0] | T.from_numpy(¢.a)
  changes ¢.w.mul_(3) | ¢.w = T.tensor(1.5, dtype=T.float64) | ¢.a[0] = 3 | ¢.a = np.array([4.0])
"""


def parsed(entry: str) -> Setting:
    setting = Setting([], [], [])
    for line in entry.strip("\n").split("\n"):
        word, _, rest = line.strip().partition(" ")
        if line.startswith(("  reads ", "  changes ")):
            getattr(setting, word).extend(rest.split(" | "))
        else:
            setting.makes.append(line)
    return setting


SETTINGS = [parsed(entry) for entry in TABLE.split("\n\n")]

USES = [
    "{w}.grad is None", "{w}.grad is not None", "{x}.requires_grad", "{x}.is_contiguous()", "{x}.shape[0]", "{x}.ndim",
    "{x}.numel()", "len({x}.shape)", "{x}.dtype == T.float64", "{x} is {y}", "{x}.is_leaf", "T.is_grad_enabled()",
    "{x}.shape == {y}.shape", "{x}.size()[-1]", "{x}.grad_fn is None", "{x}.grad is None", "{w}.requires_grad",
    "isinstance({x}, T.nn.Parameter)", "T.get_default_dtype() == T.float32", "hasattr({x}, 'tag')", "{w}.retains_grad",
]  # fmt: skip
