"""How the fuzzers draw names, shapes, values and indices that fit what the program holds at this point.

Names tell what they are: `t` tensors, `d` tensors made by `.data`, `m` views made under `no_grad`, `a` NumPy arrays,
`n` numbers and lists, `r` handles of hooks. Read `fuzz_words.py` next.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygrad_bp as tg

SHAPES = [(), (1,), (2,), (3,), (2, 3), (3, 2), (1, 3), (2, 1), (2, 2), (3, 3), (2, 1, 3), (2, 3, 2), (1, 1), (4,),
          (0,), (0, 3)]  # fmt: skip
# What this package may not have; an AttributeError says nothing about views.
MAY_LACK = """
narrow select index_add_ index_fill_ squeeze_ t_ tensor_split hsplit vsplit real H adjoint unfold atleast_2d
index_select reshape_as masked_select flip roll set_grad_enabled
""".split()  # noqa: SIM905
LACKS = [name for name in MAY_LACK if not hasattr(tg.Tensor, name) and not hasattr(tg, name)]
MISSING = re.compile(rf"\.({'|'.join(LACKS)})\b" if LACKS else "(?!)")
NUMBERS = ["2", "0.5", "-1.5", "3.0", "-1", "0.25", "1"]


class Nothing(Exception):
    """There is nothing yet that a word could be about."""


class Word(NamedTuple):
    weight: float
    text: Callable[[Draw], str]

    def write(self, draw: Draw) -> str | None:
        try:
            text = self.text(draw)
        except Nothing:
            return None
        return None if MISSING.search(text) else text


class Draw:
    """Draws names and values that fit, from what PyTorch holds at this point of the program."""

    def __init__(self, rng: random.Random, side: Any) -> None:
        self.rng, self.side, self.count = rng, side, 0
        self.ended: set[str] = set()

    def new(self, letter: str = "t") -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def one(self, options: Any) -> Any:
        if not options:
            raise Nothing
        return self.rng.choice(options)

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def __getitem__(self, text: str) -> Any:
        return eval(text, self.side.scope)

    # ------------------------------------------------------------------------------------------------- tensors

    def names(self, letters: str = "tdm") -> list[str]:
        return [name for name in self.side.usable() if name[0] in letters]

    def tensor(self, fits: Callable[[Any], bool] = lambda t: True, letters: str = "tdm") -> str:
        """A name, more likely a recent one, and one with a graph."""
        names = [name for name in self.names(letters) if fits(self[name])]
        if not names:
            raise Nothing
        weights = [(1 + 2 * self[name].requires_grad) * (1 + i / 2) for i, name in enumerate(names)]
        seldom = [weight * (0.3 if name[0] == "m" else 1) for name, weight in zip(names, weights, strict=True)]
        return self.rng.choices(names, seldom)[0]

    def floating(self, letters: str = "tdm") -> str:
        return self.tensor(lambda t: t.is_floating_point(), letters)

    def scalar(self, into: str) -> str:
        """A 0-d tensor; PyTorch takes a graph into integers, which no gradient passes."""
        floats = self[into].is_floating_point()
        return self.tensor(lambda t: t.ndim == 0 and (floats or not t.requires_grad))

    def in_graph(self) -> str:
        return self.tensor(lambda t: t.requires_grad, "td")

    def target(self) -> str:
        """What is written to; seldom a leaf, whose write is refused, or what is no float."""
        leaf, other = self.chance(0.08), self.chance(0.2)
        fits = lambda t: (other or t.is_floating_point()) and (leaf or not (t.is_leaf and t.requires_grad))  # noqa: E731
        return self.tensor(fits, "tm")

    def view_name(self, x: str) -> str:
        return self.new(x[0])

    # -------------------------------------------------------------------------------------------------- values

    def literal(self, shape: tuple[int, ...]) -> str:
        return repr(np.array([self.rng.randint(-8, 8) / 4 for _ in range(int(np.prod(shape)))]).reshape(shape).tolist())

    def axis(self, x: str) -> int:
        n = max(1, self[x].ndim)
        return self.rng.randint(-n, n - 1)

    def shape_of(self, n: int) -> tuple[int, ...]:
        """A shape with as many entries."""
        halves = [(k, n // k) for k in range(1, n + 1) if n % k == 0] if n else [(0, 2), (0,)]
        return self.one([*halves, (n,), (-1,), (1, n), (n, 1)] if n else halves)

    def number(self) -> str:
        return self.one(NUMBERS)

    def value(self, into: Any, same: bool = True) -> str:
        """A number, or a tensor that broadcasts into `into` and looks at none of its memory (or at just that)."""
        if self.chance(0.3):
            return self.number()
        shape = tuple(into.shape)
        names = [n for n in self.names() if broadcasts(self[n].shape, shape) and not overlaps(self[n], into, same)]
        if not into.is_floating_point():  # PyTorch takes a graph into integers, which no gradient passes
            names = [n for n in names if not self[n].requires_grad]
        graph = [n for n in names if self[n].requires_grad]
        if not names or (self.chance(0.1) and into.is_floating_point()):
            x = self.floating() if into.is_floating_point() else self.tensor(lambda t: not t.requires_grad)
            first = f"{x}.reshape((1, -1))[:, :1] * 1"
            return self.one([f"{x}.sum()", f"{x}.mean() * 2", f"{x}.flatten()[:1].clone()", first])
        x = self.one(graph if graph and self.chance(0.6) else names)
        if self.chance(0.1):
            return f"{x}.reshape({(1, *self[x].shape)})"
        return self.one([x, x, x, f"{x} * {self.number()}", f"{x}.sin()"])

    def mask(self, x: str) -> str:
        return self.one([f"{x} > 0", f"{x}.detach() < 0.5", f"{x} != {x}.detach().max()"])

    def key(self, x: str, advanced: float = 0.0) -> str:
        """An index of x, mostly a basic one; no entry is named twice."""
        shape = list(self[x].shape)
        if self.chance(advanced / 3) and shape:
            return self.mask(x)
        parts, special = [], self.chance(advanced)
        for n in shape[: self.rng.randint(min(1, len(shape)), len(shape))]:
            if special and n and self.chance(0.6):
                some = self.rng.sample(range(n), self.rng.randint(1, n))
                parts.append(self.one([str(some), f"T.tensor({some})", f"T.tensor({[i in some for i in range(n)]})"]))
                special = self.chance(0.2)
            else:
                numbers = [str(self.rng.randint(-n, n - 1))] * 3 if n else []
                parts.append(self.one([":", "1:", ":-1", "::2", ":1", "-2:", *numbers]))
        for extra in ("None", "..."):
            if self.chance(0.08):
                parts.insert(self.rng.randint(0, len(parts)), extra)
        return ", ".join(parts) or "..."

    def part(self, x: str, key: str) -> Any:
        """What an index takes of x; x itself where PyTorch refuses the index."""
        try:
            return self[f"{x}[{key}]"]
        except (IndexError, RuntimeError):
            return self[x]

    def ending(self) -> str | None:
        names = [n for n in self.names() if self[n].requires_grad and n not in self.ended]
        if not names:
            return None
        name = self.rng.choice(names)
        self.ended.add(name)
        weights = f"T.arange(1, {name}.numel() + 1).reshape({name}.shape)"
        return f"({name} * {weights}).sum().backward(retain_graph=True)"


def broadcasts(shape: Any, into: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(tuple(shape), into) == into
    except ValueError:
        return False


def overlaps(a: Any, b: Any, same: bool) -> bool:
    """Whether two tensors share memory; if `same` is allowed, in another way than being the same part of it."""
    a, b = a.detach().numpy(), b.detach().numpy()
    if same and (a.ctypes.data, a.shape, a.strides) == (b.ctypes.data, b.shape, b.strides):
        return False
    return bool(np.shares_memory(a, b))


def shared(t: Any) -> bool:
    """Whether several entries of an expanded tensor are one number in memory."""
    a = t.detach().numpy()
    return any(n > 1 and not step for n, step in zip(a.shape, a.strides, strict=True))
