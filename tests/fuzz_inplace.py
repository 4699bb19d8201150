"""Random programs of views, in-place writes, hooks and backward passes, played with PyTorch and with this package.

    python tests/fuzz_inplace.py --count 100000 --seed 0

A program is a list of lines of text in which `T` is the library. Both sides run it line by line; a line that both
refuse is left there, since it must leave nothing behind, and the programs go on. In the end all that they name is
compared. The words that a program is made of stand in `fuzz_words.py`.

What is left out, because PyTorch is silently wrong there or leaves the answer open:

* a write through `.data` or NumPy while a graph holds the old value: PyTorch uses the new one (the graphs are
  deleted first);
* a view made under `no_grad` says `requires_grad=True` in PyTorch, and is a leaf that no gradient reaches;
* `copy_` between parts of one memory that overlap, two writes to one entry by an index;
* a write into the gradient of a sum, an expanded tensor whose entries are one, and by a mask or list into any such;
* a deep copy of an expanded tensor, whose entries stay one; a graph written into integers;
* a gradient handed to `backward` that shares memory with a tensor: PyTorch may add into it (`.grad` takes it as it is);
* which gradients a `backward` that raises has already put into leaves: the programs go on without that line.
"""

from __future__ import annotations

import copy
import importlib
import random
import re
import warnings
from functools import lru_cache
from types import CodeType
from typing import Any

import numpy as np
from fuzz_draw import Draw, shared
from fuzz_kit import SAME, SILENT, Outcome, differs, main, message
from fuzz_words import OPENING, STATEMENTS

WE, THEY = "we refuse, PyTorch goes on", "PyTorch refuses, we go on"
QUIRK = "PyTorch calls a hook with None"  # on one of the outputs of `unbind` or `split`, if only another is used
ENDINGS = 3  # how many tensors of each program are differentiated at the end
OVERFLOW = 1e6
SINGLE = re.compile(r"float32|\.float\(|= T\.(zeros|ones|full|arange)|\) > 0\n")  # there may be single precision


@lru_cache(4096)
def compiled(line: str) -> CodeType:
    return compile(line, f"<{line}>", "exec")


class Side:
    """One library, and the names of a program as it has them."""

    def __init__(self, library: str) -> None:
        self.library = importlib.import_module(library)
        self.scope: dict[str, Any] = {}
        self.clear()

    def clear(self) -> None:
        """Forget everything; hooks hold the scope that holds them, so a scope does not die by itself."""
        self.scope.clear()
        self.scope.update(T=self.library, np=np, copy=copy)

    def run(self, line: str) -> Exception | None:
        if "hook" in line or "retain_grad" in line:
            self.usable()  # PyTorch crashes if a hook is the first that asks for the node of a view after a write
        try:
            exec(compiled(line), self.scope)
        except Exception as error:
            return error.with_traceback(None)
        return None

    def tensors(self) -> dict[str, Any]:
        return {name: value for name, value in self.scope.items() if isinstance(value, self.library.Tensor)}

    def usable(self) -> dict[str, Any]:
        """The tensors that may still be asked for their node: not those of `chunk` whose base was written to."""
        return {name: value for name, value in self.tensors().items() if has_node(value)}

    def snapshot(self, bare: set[str]) -> dict[str, Any]:
        """Copies of all names, of the bare ones only the numbers."""
        names = [name for name in self.scope if re.fullmatch(r"[a-qs-z]\d+", name)]
        return {name: self.copied(self.scope[name], name not in bare) for name in names}

    def copied(self, value: Any, deep: bool = True) -> Any:
        if isinstance(value, self.library.Tensor):
            numbers = np.array(value.detach().clone().numpy())  # PyTorch: a ZeroTensor has no array before
            if not deep:
                return numbers
            graph = {".requires_grad": value.requires_grad, ".is_leaf": value.is_leaf}
            return {"": numbers} | graph | {".grad": self.copied(value.grad)}
        if isinstance(value, list | tuple):
            return [self.copied(one, deep) for one in value]
        return np.array(value) if isinstance(value, np.ndarray) else value


def has_node(tensor: Any) -> bool:
    try:
        return tensor.is_leaf or tensor.grad_fn is not None
    except RuntimeError:
        return False


def play(lines: list[str]) -> Outcome:
    """Both sides in step, until one of them alone refuses a line, or to the end."""
    theirs, ours = Side("torch"), Side("tinygrad_bp")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return in_step(lines, theirs, ours)
    finally:
        theirs.clear()
        ours.clear()


def in_step(lines: list[str], theirs: Side, ours: Side) -> Outcome:
    for i, line in enumerate(lines):
        refusal, our_refusal = theirs.run(line), ours.run(line)
        if refusal and our_refusal and re.search("backward|autograd", line):
            ours.clear()
            theirs.clear()
            return in_step(lines[:i] + lines[i + 1 :], theirs, ours)
        if our_refusal and not refusal:
            return Outcome(WE, message(our_refusal), line)
        if refusal and not our_refusal:
            return Outcome(QUIRK if "NoneType" in str(refusal) else THEY, message(refusal), line)
    usable = theirs.usable()
    bare = {name for name in theirs.tensors() if name[0] == "m" or name not in usable}
    expected = theirs.snapshot(bare)
    try:
        found = ours.snapshot(bare)
    except RuntimeError as error:
        return Outcome(WE, message(error), "(reading)")
    if told := differs(expected, found, "", 1e-4 if SINGLE.search("\n".join(lines)) else 1e-9):
        return Outcome(SILENT, told)
    return Outcome(SAME)


def grow(rng: random.Random) -> list[str]:
    """A program that PyTorch mostly goes along with, drawn while PyTorch plays it."""
    side, lines = Side("torch"), list[str]()
    draw = Draw(rng, side)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        length = rng.randint(4, 16)
        while len(lines) < length:
            words = OPENING if len(lines) < 2 else STATEMENTS
            line = rng.choices(words, [word.weight for word in words])[0].write(draw)
            if line is None or (side.run(line) and rng.random() < 0.8):
                continue
            lines.append(line)
            if not finite(side) or viewed(side.scope.get(line.partition(",")[0]), line):
                lines.pop()
                break
        lines += [line for _ in range(ENDINGS) if (line := draw.ending())]
    side.clear()
    return lines


def viewed(gradient: Any, line: str) -> bool:
    """Whether `g, = autograd.grad(…)` gave a view of what only PyTorch knows: an expanded tensor for a sum."""
    return "autograd.grad" in line and gradient is not None and (shared(gradient) or gradient._is_view())


def finite(side: Side) -> bool:
    """Sums of huge numbers, infinities and NaN differ by rounding alone."""
    floats = [t.detach() for t in side.tensors().values() if t.is_floating_point()]
    return all(bool((t.abs() < OVERFLOW).all()) for t in floats)


if __name__ == "__main__":
    main(grow, play, (__doc__ or "").partition("\n")[0], 1000)
