"""What a function's code asks for by name: globals, attributes, modules that it imports.

An object that no guard can check matters only if some code can get at it: an attribute that no code of the step names
is not read by it. Code that makes its names up while it runs (`getattr(x, name)`, `vars(x)`) can get at all of them.
Read `places.py` next.
"""

from __future__ import annotations

import dis
import importlib.util
import re
import types
from typing import Any

# Global names by which code reads attributes that it does not name.
MADE_UP = {
    "vars", "dir", "eval", "exec", "globals", "locals", "copy", "deepcopy", "asdict", "astuple", "dataclasses",
    "inspect", "pickle", "pprint", "pformat", "attrgetter", "operator",
}  # fmt: skip
BY_NAME = ("getattr", "hasattr")  # unless the name stands there
UNSEEN = ("globals", "eval", "exec", "__import__", "import_module")  # variables found without being named
UNSEEN_INSIDE = ("__subclasses__", "_getframe", "currentframe", "import_module", "__globals__", "f_locals", "f_globals")
INNER = ("__dict__", "__getattribute__", "__getstate__", "__reduce_ex__")
MISSING = ("getattr", "hasattr", "AttributeError", "Exception", "BaseException", "suppress", *MADE_UP)
LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
GETS = ("LOAD_ATTR", "LOAD_METHOD")
IDLE = ("CACHE", "PUSH_NULL", "PRECALL", "EXTENDED_ARG", "NOP", "RESUME")


class Names:
    """Of one code object and all inside it.

    variables: the globals that it reads or sets; attributes: whatever may be the name of an attribute; chains: for each
    variable the attributes that follow it directly, `()` where it is used as a whole; imports: modules by name.
    """

    def __init__(self, code: types.CodeType, package: str | None) -> None:
        self.variables: dict[str, None] = {}
        self.attributes: set[str] = set()
        self.chains: dict[str, set[tuple[str, ...]]] = {}
        self.imports: dict[str, None] = {}
        self.made_up = False
        self._take(code, package)
        self.made_up |= not MADE_UP.isdisjoint(self.variables) or not self.attributes.isdisjoint(INNER)
        self.unseen = [name for name in UNSEEN if name in self.variables]
        self.unseen += [name for name in UNSEEN_INSIDE if name in self.attributes]
        self.unseen += ["sys.modules"] * (("modules",) in {chain[:1] for chain in self.chains.get("sys", ())})
        self.asks = self.made_up or any(name in self.variables for name in MISSING)  # for what may be missing

    def _take(self, code: types.CodeType, package: str | None) -> None:
        steps = [step for step in dis.get_instructions(code) if step.opname not in IDLE]
        before: list[Any] = [None, None]
        for i, step in enumerate(steps):
            name = step.argval
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL"):
                self.variables[name] = None
            if step.opname in LOADS:
                self.chains.setdefault(name, set()).add(followed(steps, i))
                if name in BY_NAME:
                    self.made_up |= not isinstance(named(steps, i), str)
            elif step.opname in (*GETS, "LOAD_SUPER_ATTR", "IMPORT_FROM"):
                self.attributes.add(name)
            elif step.opname == "IMPORT_NAME":
                self._import(name, before, package, steps[i + 1 :])
            before = [before[1], step.argval]
        for constant in code.co_consts:
            self._constant(constant, package)

    def _import(self, name: str, before: list[Any], package: str | None, after: list[Any]) -> None:
        level, below = before
        if level:
            if package is None:
                return
            name = importlib.util.resolve_name("." * level + name, package)
        self.imports[name] = None
        self.imports.update({f"{name}.{part}": None for part in below or ()})

    def _constant(self, constant: Any, package: str | None) -> None:
        if isinstance(constant, types.CodeType):
            self._take(constant, package)
        elif isinstance(constant, tuple | frozenset):
            for part in constant:
                self._constant(part, package)
        elif isinstance(constant, str):
            if constant.isidentifier():
                self.attributes.add(constant)
            elif "{" in constant:  # "{0.rate}".format(x)
                self.attributes.update(re.findall(r"\w+", constant))


def followed(steps: list[Any], i: int) -> tuple[str, ...]:
    """The attributes read one after the other from what is loaded at step i."""
    found: list[str] = []
    for step in steps[i + 1 :]:
        if step.opname not in GETS:
            break
        found.append(step.argval)
    return tuple(found)


def named(steps: list[Any], i: int) -> Any:
    """The second argument of `getattr(x.y, "name")` or `getattr(x.y, "name", default)`, where it is written so."""
    rest = steps[i + 2 :]
    while rest and rest[0].opname in GETS:
        rest = rest[1:]
    ends = [step.opname.startswith("CALL") or step.opname == "KW_NAMES" for step in rest[1:3]]
    return rest[0].argval if rest and rest[0].opname == "LOAD_CONST" and any(ends) else None


def sorted_names(code: types.CodeType) -> list[str]:
    """The globals that a function's code reads, in order, those of the functions inside it too."""
    names = dict.fromkeys(i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(dict.fromkeys(sorted_names(constant)))
    return list(names)
