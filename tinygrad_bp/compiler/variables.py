"""What a step reads from modules: variables of the user's, and of libraries what is not theirs, or may change.

`objects.py`, to be read next, says what the values hold.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

from .codes import INNER
from .packages import library, setting
from .places import ABSENT, Absent, Cache, Members, Missing, Place, Row
from .readers import TOLD, Readers, imported_for
from .ways import Ways

if TYPE_CHECKING:
    from collections.abc import Callable

    from .codes import Names


class Variables:
    """`facts` have guards before each run; each of `guards` knows itself whether it holds."""

    visit: Callable[..., None]

    def __init__(self) -> None:
        self.facts: list[tuple[Place, Any]] = []
        self.guards: list[Row | Missing | Absent | Members | Cache] = []
        self.ways = Ways()
        self._readers = Readers()
        self._packages: dict[int, tuple[types.ModuleType, str]] = {}  # modules that are used as a whole

    def reads(self, value: Any) -> None:
        """Refuse a library's function whose answer may be another at the next call; a method, if code names it."""
        if id(value) in self._readers.functions:
            self.ways.doubts[id(value)] = TOLD[self._readers.functions[id(value)]]
        for key, reader in self._readers.methods(value).items():
            self.ways.doubts["reads", reader] = TOLD[reader]
            self.ways.methods.setdefault(id(value), {})[key] = "reads", reader

    def imported_for(self, name: str) -> Any:
        """The module of a library that a step imports."""
        found = imported_for(name)
        if found is not None:
            self._readers = Readers()
        return found

    def variable(self, value: Any, name: str, place: Place, names: Names) -> None:
        """What a function's variable holds; of a module what the code reads from it: `config.rate`."""
        if not isinstance(value, types.ModuleType):
            self.visit(value, name, place)
            return
        self.facts.append((place, value))
        for chain in names.chains.get(name, {()}):
            self.chain(value, name, chain)

    def chain(self, module: types.ModuleType, name: str, chain: tuple[str, ...]) -> None:
        """Follow `package.part.rate` from a module."""
        if not chain or chain[0] in INNER:  # as a whole
            self.visit(module, name)
        elif library(module):
            self.member(module, chain, name)
        elif isinstance(vars(module).get(chain[0]), types.ModuleType):
            self.variable_of(module, chain[0], name)
            self.chain(vars(module)[chain[0]], f"{name}.{chain[0]}", chain[1:])
        else:
            self.variable_of(module, chain[0], name)

    def member(self, module: types.ModuleType, chain: tuple[str, ...], name: str, by: str | None = None) -> None:
        """What a library has of a name: its own is trusted, unless it reads; what a user gave it has a guard."""
        key, scope, path = chain[0], vars(module), f"{name}.{chain[0]}"
        if key not in scope and not hasattr(module, key):
            self.guards.append(Missing(scope, key, path))
        value, reader = scope.get(key, ABSENT), self._readers.members.get(id(module), {}).get(key)
        if reader is not None:  # a class or a function; a stream, as sys.stdin, is known by its name alone
            value = value if value is not ABSENT else getattr(module, key)
            self.ways.doubts[id(value)] = TOLD[reader]
        if isinstance(value, types.ModuleType):
            self.ways.add(value, by)
            if not library(value):
                self.facts.append((Place(scope, key, path), value))
            self.chain(value, path, chain[1:])
        elif setting(module, key, value):
            self.visit(value, path, Place(scope, key, path), by)
        else:
            self.ways.add(value, by)
            self.reads(value)

    def variable_of(self, module: types.ModuleType, key: str, name: str) -> None:
        """A variable of a user's module."""
        scope, path = vars(module), f"{name}.{key}"
        if isinstance(scope.get(key), types.ModuleType):
            self.facts.append((Place(scope, key, path), scope[key]))
        elif key in scope:
            self.visit(scope[key], path, Place(scope, key, path))
        else:
            self.guards.append(Missing(scope, key, path))
            self.visit(scope.get("__getattr__"), path)

    def package(self, value: types.ModuleType, name: str) -> None:
        self._packages[id(value)] = value, name

    def handed(self) -> None:
        """Modules that are used as a whole: of each what any code names, once all the code is known."""
        done: set[tuple[int, str]] = set()
        while True:
            codes = self.ways.names.values()
            named = set().union(*(names.attributes for names in codes))
            mine = [module for module, _ in self._packages.values() if not library(module)]
            if any(names.made_up for names in codes):
                named |= {key for module in mine for key in vars(module) if key[:2] != "__"}
            new = [
                (i, key) for i, (module, _) in self._packages.items() for key in sorted(named)
                if (i, key) not in done and (key in vars(module) or (module in mine and "__getattr__" in vars(module)))
            ]  # fmt: skip
            if not new:
                break
            for i, key in new:
                done.add((i, key))
                module, name = self._packages[i]
                with self.ways.within(i):
                    self.entry(module, key, name)
        for module, name in self._packages.values() if any(names.asks for names in codes) else ():
            if any(names.made_up for names in codes) and module in mine:
                self.guards.append(Members(module, name))
            else:
                self.guards.append(Absent(vars(module), named.difference(dir(module)), name))

    def entry(self, module: types.ModuleType, key: str, name: str) -> None:
        """What a module that is used as a whole has of a name."""
        if library(module):
            self.member(module, (key,), name, key)
            return
        self.variable_of(module, key, name)
        if isinstance(vars(module).get(key), types.ModuleType):
            self.visit(vars(module)[key], f"{name}.{key}")
