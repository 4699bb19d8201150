"""How an operation is called: its parameters in order, in either spelling, and which of them must be given.

All is read from the declaration, when it is first asked for. Inside, parameters are called as in NumPy (`axis`,
`keepdims`); PyTorch's `dim`, `keepdim`, `input`, `other` and what else a declaration says are translated, so that
either spelling works everywhere. Read `methods.py` next.
"""

from __future__ import annotations

import inspect
from inspect import Parameter, Signature
from typing import Any

from .declare import Op
from .errors import DtypeError

# What the tables call as NumPy does, in PyTorch's words; a declaration adds its own (`torch={"b": "exponent"}`).
USUAL = {"axis": "dim", "keepdims": "keepdim", "b": "other"}
DTYPE = Parameter("dtype", Parameter.KEYWORD_ONLY, default=None)


def grammar(op: Op) -> Grammar:
    """The grammar of an operation, made once."""
    if op.grammar is None:
        op.grammar = Grammar(op)
    return op.grammar  # type: ignore[no-any-return]


def declared(op: Op) -> list[Parameter]:
    """The parameters in our words: of the front, of a composite, or the inputs and what else the forward takes."""
    source = op.front or (op.forward if op.word == "composite" else None)
    if source is not None:
        found = list(inspect.signature(source).parameters.values())
    else:
        defaults = {**op.defaults, **({"axis": None, "keepdims": False} if op.word == "reduction" else {})}
        types = getattr(op.pure_forward, "__annotations__", {})
        found = [
            Parameter(
                name, Parameter.POSITIONAL_OR_KEYWORD, default=defaults.get(name, Parameter.empty),
                annotation=types.get(name, Parameter.empty),
            )
            for name in (*op.inputs, *op.params)
        ]  # fmt: skip
    return [*found, DTYPE] if op.dtype else found


class Grammar:
    """`names`: the parameters that have a place; `shown`: what PyTorch calls each; `inner`: every spelling → ours."""

    def __init__(self, op: Op) -> None:
        self.op, self.parameters = op, declared(op)
        placed = [p for p in self.parameters if p.kind is not Parameter.KEYWORD_ONLY]
        self.rest = next((p.name for p in placed if p.kind is Parameter.VAR_POSITIONAL), None)
        self.names = tuple(p.name for p in placed)
        self.needed = {p.name for p in placed if p.default is Parameter.empty}
        first = self.names[0] if self.names else ""
        theirs = [name for names in op.torch.values() for name in ((names,) if isinstance(names, str) else names)]
        plain = not op.many and "input" not in theirs
        self.inner: dict[str, str] = {"input": first, "self": first} if plain else {}
        self.shown: dict[str, str] = {first: "input"} if plain and first in op.inputs else {}
        for p in self.parameters:
            theirs = op.torch.get(p.name, USUAL.get(p.name, self.shown.get(p.name, p.name)))
            for name in (theirs,) if isinstance(theirs, str) else theirs:
                self.inner[name] = p.name
                self.shown.setdefault(p.name, name)
            if p.name in op.torch:
                self.shown[p.name] = theirs if isinstance(theirs, str) else theirs[0]
            self.inner[p.name] = p.name

    def translate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments in our names, as many as can be in their places."""
        if kwargs.get("out", True) is None:
            del kwargs["out"]
        named: dict[str, Any] = {}
        for theirs, value in kwargs.items():
            ours = self.inner.get(theirs)
            if ours is None:
                raise DtypeError(f"{self.op.name}: no argument is called {theirs!r}; {self.usage()}")
            if ours in named or ours in self.names[: len(args)]:
                raise DtypeError(f"{self.op.name}: {theirs!r} is given twice; {self.usage()}")
            named[ours] = value
        for name in self.names[len(args) :]:
            if name not in named:
                break
            args = (*args, named.pop(name))
        return args, named

    def usage(self) -> str:
        """How it is called, for messages."""
        return f"{self.op.name} takes ({', '.join(self.shown[p.name] for p in self.parameters)})"

    def misuse(self, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception) -> Exception:
        """What was wrong with a call that failed, where it is the arguments' number."""
        missing = [self.shown[name] for name in self.names[len(args) :] if name in self.needed and name not in kwargs]
        if missing:
            return DtypeError(f"{self.op.name}: missing {' and '.join(missing)}; {self.usage()}")
        if len(args) > len(self.names) and self.rest is None:
            given = ", ".join(type(a).__name__ for a in args)
            return DtypeError(f"{self.op.name}: called with ({given}); {self.usage()}")
        return error

    def signature(self) -> Signature:
        """What `help` and editors show: PyTorch's names, our defaults."""
        return Signature([
            p.replace(name=self.shown[p.name], annotation=Parameter.empty)
            for p in self.parameters
        ])
