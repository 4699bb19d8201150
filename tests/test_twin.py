"""A second autograd, forty lines of plain Python on single numbers, grown beside the engine by a state machine.

The twin knows no arrays, no broadcasting, no saved values and no in-place writes: an in-place write just gives the
name a new number. Where the engine answers, it must answer like the twin.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

import tinygrad_bp as tg

NUMBERS = st.integers(-8, 8).map(lambda n: n / 4)


class Twin:
    """A number, the numbers it was made from with the partial derivatives, and a total for leaves."""

    def __init__(self, value: float, parents: tuple[tuple[Twin, float], ...] = (), leaf: bool = False) -> None:
        self.value, self.leaf, self.grad = value, leaf, 0.0
        self.parents = [(p, d) for p, d in parents if p.live]
        self.live = leaf or bool(self.parents)

    def backward(self, seed: float) -> None:
        """Totals are pushed in reverse order of making, which is a topological order."""
        seen: dict[int, Twin] = {}
        stack = [self]
        while stack:
            node = stack.pop()
            if id(node) not in seen:
                seen[id(node)] = node
                stack += [p for p, _ in node.parents]
        totals = dict.fromkeys(seen, 0.0)
        totals[id(self)] = seed
        for node in sorted(seen.values(), key=depth_of(), reverse=True):
            for parent, partial in node.parents:
                totals[id(parent)] += partial * totals[id(node)]
        for key, node in seen.items():
            node.grad += totals[key] if node.leaf else 0.0


def depth_of() -> Callable[[Twin], int]:
    known: dict[int, int] = {}

    def depth(node: Twin) -> int:
        if id(node) not in known:
            known[id(node)] = 1 + max((depth(p) for p, _ in node.parents), default=0)
        return known[id(node)]

    return depth


UNARY: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "tanh": (math.tanh, lambda x: 1 - math.tanh(x) ** 2),
    "sin": (math.sin, math.cos),
    "sigmoid": (lambda x: 1 / (1 + math.exp(-x)), lambda x: math.exp(-x) / (1 + math.exp(-x)) ** 2),
    "relu": (lambda x: max(x, 0.0), lambda x: float(x > 0)),
    "atan": (math.atan, lambda x: 1 / (1 + x * x)),
    "neg": (lambda x: -x, lambda x: -1.0),
}
BINARY: dict[str, tuple[Callable[[float, float], float], Callable[[float, float], tuple[float, float]]]] = {
    "add": (lambda a, b: a + b, lambda a, b: (1, 1)),
    "sub": (lambda a, b: a - b, lambda a, b: (1, -1)),
    "mul": (lambda a, b: a * b, lambda a, b: (b, a)),
    "maximum": (max, lambda a, b: (float(a > b) + 0.5 * (a == b), float(b > a) + 0.5 * (a == b))),
}


class Pair:
    """A tensor and its twins, one for each entry."""

    def __init__(self, tensor: Any, twins: list[Twin]) -> None:
        self.tensor, self.twins = tensor, twins
        self.check()

    def check(self) -> None:
        assert self.tensor.requires_grad == any(t.live for t in self.twins)
        agree(self.tensor.array.ravel(), [t.value for t in self.twins])


def agree(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * (1 + np.abs(theirs).max()))


def wide(twins: list[Twin], n: int) -> list[Twin]:
    return twins * n if len(twins) == 1 else twins


def both(name: str, a: list[Twin], b: list[Twin]) -> list[Twin]:
    f, partials = BINARY[name]
    n = max(len(a), len(b))
    made = []
    for x, y in zip(wide(a, n), wide(b, n), strict=True):
        dx, dy = partials(x.value, y.value)
        made.append(Twin(f(x.value, y.value), ((x, dx), (y, dy))))
    return made


def cut(twins: list[Twin]) -> list[Twin]:
    return [Twin(t.value) for t in twins]


class Grow(RuleBasedStateMachine):
    """Vectors of 3 and 0-d tensors, all of them float64."""

    pairs = Bundle("pairs")

    def __init__(self) -> None:
        super().__init__()
        self.leaves: list[Pair] = []
        self.written = False

    def leaf(self, values: list[float]) -> Pair:
        pair = Pair(tg.tensor(values, dtype=tg.float64, requires_grad=True), [Twin(v, leaf=True) for v in values])
        if len(values) == 1:
            pair.tensor = tg.tensor(values[0], dtype=tg.float64, requires_grad=True)
        self.leaves.append(pair)
        return pair

    @initialize(target=pairs, x=NUMBERS, y=NUMBERS)
    def start(self, x: float, y: float) -> Any:
        return multiple(self.leaf([x]), self.leaf([y, x, -y]))

    @rule(target=pairs, name=st.sampled_from(sorted(UNARY)), a=pairs)
    def unary(self, name: str, a: Pair) -> Pair:
        f, slope = UNARY[name]
        return Pair(getattr(tg, name)(a.tensor), [Twin(f(t.value), ((t, slope(t.value)),)) for t in a.twins])

    @rule(target=pairs, name=st.sampled_from(sorted(BINARY)), a=pairs, b=pairs)
    def binary(self, name: str, a: Pair, b: Pair) -> Pair:
        return Pair(getattr(tg, name)(a.tensor, b.tensor), both(name, a.twins, b.twins))

    @rule(target=pairs, a=pairs, k=NUMBERS)
    def with_a_number(self, a: Pair, k: float) -> Pair:
        return Pair(k * a.tensor + 1.5, [Twin(k * t.value + 1.5, ((t, k),)) for t in a.twins])

    @rule(target=pairs, a=pairs)
    def total(self, a: Pair) -> Pair:
        return Pair(a.tensor.sum(), [Twin(sum(t.value for t in a.twins), tuple((t, 1.0) for t in a.twins))])

    @rule(target=pairs, a=pairs, b=pairs)
    def joined(self, a: Pair, b: Pair) -> Pair:
        parts = [a.tensor.reshape(-1)[0], b.tensor.reshape(-1)[-1], a.tensor.reshape(-1)[-1]]
        return Pair(tg.stack(parts), [Twin(t.value, ((t, 1.0),)) for t in (a.twins[0], b.twins[-1], a.twins[-1])])

    @rule(target=pairs, a=pairs)
    def detached(self, a: Pair) -> Pair:
        return Pair(a.tensor.detach().clone(), cut(a.twins))

    @rule(target=pairs, a=pairs, b=pairs)
    def unrecorded(self, a: Pair, b: Pair) -> Pair:
        with tg.no_grad():
            y = a.tensor * b.tensor
        return Pair(y, cut(both("mul", a.twins, b.twins)))

    @rule(target=pairs, a=pairs, b=pairs, name=st.sampled_from(["add", "mul", "sub"]))
    def fresh_in_place(self, a: Pair, b: Pair, name: str) -> Pair:
        """A copy that nobody has used may always be written."""
        y, twins = a.tensor.clone(), [Twin(t.value, ((t, 1.0),)) for t in a.twins]
        made = both(name, twins, b.twins)
        if len(made) == len(twins):
            getattr(y, f"{name}_")(b.tensor)
            twins = made
        return Pair(y, twins)

    @rule(a=pairs, b=pairs, name=st.sampled_from(["add", "mul", "tanh", "zero"]))
    def in_place(self, a: Pair, b: Pair, name: str) -> None:
        """What others have used may be written too; a backward that needs the old value must then refuse."""
        if a.tensor.is_leaf and a.tensor.requires_grad:
            return
        if name == "zero":
            a.tensor.zero_()
            a.twins = [Twin(0.0, ((t, 0.0),)) for t in a.twins]  # still in the graph, as in PyTorch
        elif name == "tanh":
            a.tensor.tanh_()
            a.twins = [Twin(math.tanh(t.value), ((t, 1 - math.tanh(t.value) ** 2),)) for t in a.twins]
        elif len(b.twins) <= len(a.twins):
            getattr(a.tensor, f"{name}_")(b.tensor)
            a.twins = both(name, a.twins, b.twins)
        a.check()
        self.written = True

    @rule(a=pairs, b=pairs, i=st.integers(0, 2))
    def assign(self, a: Pair, b: Pair, i: int) -> None:
        if len(a.twins) == 3 and len(b.twins) == 1 and not (a.tensor.is_leaf and a.tensor.requires_grad):
            a.tensor[i] = b.tensor
            new = b.twins[0]
            a.twins = [Twin(new.value, ((new, 1.0), (t, 0.0))) if k == i else t for k, t in enumerate(a.twins)]
            a.check()
            self.written = True

    @rule(a=pairs, times=st.integers(1, 2))
    def backward(self, a: Pair, times: int) -> None:
        if not a.tensor.requires_grad:
            assert not any(t.live for t in a.twins)
            return
        seed = np.linspace(1.0, 2.0, len(a.twins))
        for _ in range(times):
            before = [None if p.tensor.grad is None else p.tensor.grad.array.copy() for p in self.leaves]
            try:
                a.tensor.backward(seed.reshape(a.tensor.shape), retain_graph=True)
            except tg.InplaceError:
                assert self.written, "nothing was written in place"
                for p, kept in zip(self.leaves, before, strict=True):
                    assert kept is None if p.tensor.grad is None else (kept == p.tensor.grad.array).all()
                return
            for t, s in zip(a.twins, seed, strict=True):
                t.backward(float(s))

    @rule(target=pairs, values=st.lists(NUMBERS, min_size=3, max_size=3))
    def another_leaf(self, values: list[float]) -> Pair:
        return self.leaf(values)

    @invariant()
    def gradients_agree(self) -> None:
        for p in self.leaves:
            ours = np.zeros(p.tensor.shape) if p.tensor.grad is None else p.tensor.grad.array
            theirs = np.reshape([t.grad for t in p.twins], p.tensor.shape)
            agree(ours, theirs)


TestGrow = Grow.TestCase
