"""Programs that nobody wrote, which keep their numbers in objects that nobody would choose: eager against compiled.

A program is a few chains, an object in an object in an object, down to a number, an array or a tensor; chains may share
their inner part. Its step is written as source code that reads the chains by name; between the calls something on the
way is exchanged, often for what looks the same. Every answer must be the eager one; a refusal must say what to write.
"""

from __future__ import annotations

import types
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
from compile_kit import copied, same, told
from hypothesis import given, settings
from hypothesis import strategies as st
from reach_kit import NUMBERS, REFUSED, SEEN

import tinygrad_bp as tg

KINDS = {name: entry for name, entry in SEEN.items() if name not in {*NUMBERS, "array_", "bytes_"}}
PLAIN: tuple[Any, ...] = (0, 1, 2, 3, 2.0, 1.0, True, False, 0.0, -0.0, 0.5, np.float32(2), np.float64(2), np.int64(2))
LEAVES = ("plain", "array", "tensor")
USES = ("x * {}", "x + {}", "({} + 1) * x", "x * (2 if {} is {} else 3)", "x.sum() * {}")
BRANCHES = ("(x if {} > 1 else -x)", "x * (3 if isinstance({}, bool) else 2)", "sum(x for _ in range(int({})))",
    "x * len(repr({}))")  # fmt: skip


class Chain(NamedTuple):
    """kinds: from the outside inwards; leaf: what is at the end; shared: the number of a chain whose end it is."""

    kinds: tuple[str, ...]
    leaf: str
    value: int
    shared: int | None


class Change(NamedTuple):
    """Of a chain, at a depth: another value, or in place where there is an array."""

    chain: int
    depth: int
    value: int
    inplace: bool


@st.composite
def programs(draw: Any, kinds: dict[str, Any] = KINDS) -> tuple[list[Chain], list[str], list[Change], bool]:
    chains: list[Chain] = []
    for i in range(draw(st.integers(1, 3))):
        names = tuple(draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=3)))
        shared = draw(st.none() | st.integers(0, i - 1)) if i else None
        leaf = draw(st.sampled_from(LEAVES)) if shared is None else chains[shared].leaf
        chains.append(Chain(names, leaf, draw(st.integers(0, 9)), shared))
    lines = []
    for i, chain in enumerate(chains):
        use = draw(st.sampled_from(USES + (BRANCHES if chain.leaf == "plain" else ())))
        lines.append(use.replace("{}", f"root{i}" + "".join(suffixes(chains, i))))
    changes = draw(st.lists(st.builds(Change, st.integers(0, len(chains) - 1), st.integers(0, 5), st.integers(0, 9),
        st.booleans()), min_size=1, max_size=5))  # fmt: skip
    return chains, lines, changes, draw(st.booleans())


def suffixes(chains: list[Chain], i: int) -> list[str]:
    chain = chains[i]
    inner = [] if chain.shared is None else suffixes(chains, chain.shared)
    return [{**SEEN, **REFUSED}[name][0] for name in chain.kinds] + inner


def leaf(kind: str, value: int) -> Any:
    number = PLAIN[value % len(PLAIN)]
    array = np.arange(3.0) + float(number)
    return number if kind == "plain" else array if kind == "array" else tg.tensor(array)


class World:
    """The objects of a program, made once for the eager player and once for the compiled one."""

    def __init__(self, chains: list[Chain], lines: list[str], inside: bool) -> None:
        self.chains, self.roots, self.puts, self.leaves = chains, [], [], []
        for chain in chains:
            thing = leaf(chain.leaf, chain.value) if chain.shared is None else self.roots[chain.shared]
            self.leaves.append(thing if chain.shared is None else self.leaves[chain.shared])
            puts = []
            for name in reversed(chain.kinds):
                thing, put = {**SEEN, **REFUSED}[name][1](thing)
                puts.append(put)
            self.roots.append(thing)
            self.puts.append(puts)
        names = [f"root{i}" for i in range(len(chains))]
        scope: dict[str, Any] = {"__name__": "drawn", **({} if inside else dict(zip(names, self.roots, strict=True)))}
        header = f"def make({', '.join(names) if inside else ''}):\n"
        exec(f"{header}    def step(x):\n        return [{', '.join(lines)}]\n    return step\n", scope)
        self.step = scope["make"](*(self.roots if inside else ()))

    def change(self, change: Change) -> None:
        chain, puts = self.chains[change.chain], self.puts[change.chain]
        depth = change.depth % len(puts)
        if change.inplace and chain.leaf != "plain":
            end = self.leaves[change.chain]
            end += 1
            return
        thing = leaf(chain.leaf, change.value) if chain.shared is None else self.roots[chain.shared]
        if chain.shared is None:
            self.leaves[change.chain] = thing
        put = puts[depth]
        for i, name in enumerate(reversed(chain.kinds[len(puts) - depth :])):  # all that lies below is new too
            thing, puts[i] = {**SEEN, **REFUSED}[name][1](thing)
        put(thing)


def played(program: Any, compile: Any) -> tuple[list[Any], Exception | None]:
    chains, lines, changes, inside = program
    world = World(chains, lines, inside)
    step, seen = compile(world.step), []
    x = tg.tensor(np.array([1.0, -2.0, 3.0]))
    try:
        for change in (None, *changes):
            if change is not None:
                world.change(change)
            seen += [copied(step(x)) for _ in range(2)]
    except tg.CompileError as error:
        return seen, error
    except (TypeError, AttributeError) as error:  # a function in a class becomes a method: wrong in both
        seen.append(type(error).__name__)
    return seen, None


def compare(program: Any) -> Exception | None:
    """The refusal of the compiled step, if there is one; what it answered before and instead is the eager answer."""
    eager, wrong = played(program, lambda step: step)
    assert wrong is None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*was recorded", UserWarning)
        found, refusal = played(program, tg.compile)
    assert refusal is not None or len(found) == len(eager)
    for i, (a, b) in enumerate(zip(eager, found, strict=False)):
        same(a, b, 1e-12, f"look {i} at {program}")
    return refusal


@settings(max_examples=150, deadline=None)
@given(programs())
def test_what_is_looked_at_is_seen(program: Any) -> None:
    refusal = compare(program)
    assert refusal is None, f"{refusal}\n{program}"


@settings(max_examples=60, deadline=None)
@given(programs({**KINDS, **{name: REFUSED[name] for name in ("context_variable", "thread_local", "weak_reference",
    "cached_function", "dict_view")}}))
def test_what_is_not_is_refused(program: Any) -> None:
    refusal = compare(program)
    if refusal is not None:
        told(refusal)
        assert {name for chain in program[0] for name in chain.kinds} & REFUSED.keys(), refusal


def test_the_players_themselves() -> None:
    """A compiler that looks at nothing is found out."""

    def careless(step: Any) -> Any:
        answers: dict[int, Any] = {}
        return lambda x: answers.setdefault(id(x), step(x))

    program = [Chain(("namespace",), "plain", 2, None)], ["x * root0.a"], [Change(0, 0, 3, False)], True
    eager, _ = played(program, lambda step: step)
    found, _ = played(program, careless)
    with pytest.raises(AssertionError):
        same(eager, found, 0.0)
    assert isinstance(World(*program[:2], True).roots[0], types.SimpleNamespace)
