"""What both fuzzers share: programs as lists of lines, what came of playing one, shrinking, and the table at the end.

A *player* is a function from lines to an `Outcome`; a *grower* one from a random generator to lines. Read
`fuzz_inplace.py` and `fuzz_compiled.py` next.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SAME, SILENT = "same", "SILENT DIFFERENCE"


MERGED = [
    (r"/\S+?:\d+|<.*>:\d+", "PLACE"),
    (r"^(\w+Error: )(x\[\.\.\.\] = value|\w+): ", r"\1OP: "),
    (r"x\[\.\.\.\] = value|\b[a-z_]+_ (?=changed)|[Bb]ackward through \w+|(?<=after )\w+|(?<=of )[A-Z]\w+", "OP "),
    (r"\b[a-z]\d+\b", "t"),
    (r"\(\d*(, ?\d+)*,?\)|\[\d*(, ?\d+)*\]", "SHAPE"),
    (r"torch\.\w+Tensor|\b(float|int|bool)\d*\b", "DTYPE"),
    (r"-?\d+(\.\d+)?(e-?\d+)?", "#"),
]  # what is left out of a message, so that alike ones fall together


class Outcome(NamedTuple):
    """`kind` is a class such as `SAME` or `SILENT`; `told` says what differs, or is the message of a refusal."""

    kind: str
    told: str = ""
    line: str = ""

    @property
    def key(self) -> str:
        """Outcomes with one key are one kind of fault: names, numbers and places are left out."""
        told = self.told.partition(": " if self.kind == SILENT else "\n")[0]
        for pattern, word in MERGED:
            told = re.sub(pattern, word, told)
        return told[:160]


Player = Callable[[list[str]], Outcome]


def message(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def shrunk(lines: list[str], play: Player, wanted: Outcome, tries: int = 400) -> list[str]:
    """Fewer lines with an outcome of the same kind; the shortest that deleting some at a time can find."""
    size = max(1, len(lines) // 2)
    while size:
        start, shorter = len(lines), False
        while start > 0 and tries > 0:
            start = max(0, start - size)
            less = lines[:start] + lines[start + size :]
            tries -= 1
            found = play(less)
            if found.kind == wanted.kind and found.key == wanted.key:
                lines, shorter = less, True
        size = size if shorter and size == 1 and tries > 0 else size // 2
    return lines


def renamed(lines: list[str]) -> str:
    """The program with its names counted anew, so that programs that differ in names alone are one."""
    text = "\n".join(lines)
    order: dict[str, str] = {}
    for name in re.findall(r"\b[a-z]\d+\b", text):
        order.setdefault(name, f"{name[0]}{len(order)}")
    return re.sub(r"\b[a-z]\d+\b", lambda found: order[found[0]], text)


def differs(a: Any, b: Any, where: str, digits: float = 1e-9) -> str | None:
    """What is unlike in two snapshots: numbers to some digits, NaN equal to NaN, all else exactly."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape:
            return f"shape of {where}: {a.shape}, here {b.shape}"
        if a.dtype != b.dtype:
            return f"dtype of {where}: {a.dtype}, here {b.dtype}"
        return None if close(a, b, digits) else f"values of {where}: {a.tolist()}, here {b.tolist()}"
    if isinstance(a, dict) and isinstance(b, dict):
        if list(a) != list(b):
            return f"keys of {where}: {list(a)}, here {list(b)}"
        return next((d for k in a if (d := differs(a[k], b[k], f"{where}{k}", digits))), None)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b) or type(a) is not type(b):
            return f"length of {where}: {len(a)}, here {len(b)}"
        pairs = enumerate(zip(a, b, strict=True))
        return next((d for i, (p, q) in pairs if (d := differs(p, q, f"{where}[{i}]", digits))), None)
    if type(a) is not type(b):
        return f"type of {where}: {type(a).__name__}, here {type(b).__name__}"
    if isinstance(a, float):
        alike = a == b or (a != a and b != b) or math.isclose(a, b, rel_tol=digits, abs_tol=digits)
        return None if alike else f"value of {where}: {a}, here {b}"
    return None if a == b else f"value of {where}: {a!r}, here {b!r}"


def close(a: np.ndarray, b: np.ndarray, digits: float) -> bool:
    if a.dtype.kind not in "fc" or not digits:
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
    if a.dtype.itemsize < 8:
        digits = max(digits, 1e-4 if a.dtype.itemsize == 4 else 1e-2)
    with np.errstate(all="ignore"):
        scale = max(1.0, float(np.abs(a[np.isfinite(a)]).max(initial=0.0)))
        near = (np.abs(a - b) <= digits * scale) | (a == b) | ((a != a) & (b != b))
    return bool(near.all())


# ------------------------------------------------------------------------------------------------ many programs


def programs(grow: Callable[[random.Random], list[str]], count: int, seed: int) -> Iterator[list[str]]:
    """Program `i` of a seed is the same whatever came before it."""
    for i in range(count):
        yield grow(random.Random(f"{seed} {i}"))


class Findings:
    """Outcomes counted by class and kind; the first few programs of each kind are shrunk.

    What differs silently says little about why, so there the words of the shrunken program tell the kind.
    """

    def __init__(self, play: Player, keep: int = 3, most: int = 400) -> None:
        self.play, self.keep, self.left = play, keep, most
        self.classes: Counter[str] = Counter()
        self.kinds: Counter[tuple[str, str]] = Counter()
        self.shown: dict[tuple[str, str], dict[str, Outcome]] = {}

    def add(self, lines: list[str], outcome: Outcome) -> None:
        self.classes[outcome.kind] += 1
        if not outcome.key:
            return
        kind, less = (outcome.kind, outcome.key), lines
        if (silent := outcome.kind == SILENT and self.left > 0) or self.kinds[kind] < self.keep:
            less = shrunk(lines, self.play, outcome)
            self.left -= silent
        if silent:
            words = sorted(set(re.findall(r"\b(?!T\b|np\b)[A-Za-z_]{2,}(?=\()|[-+*/]?=(?= )|no_grad", "\n".join(less))))
            kind = kind[0], f"{kind[1]} ({' '.join(words)})"
        self.kinds[kind] += 1
        if self.kinds[kind] <= self.keep:
            self.shown.setdefault(kind, {}).setdefault(renamed(less), self.play(less))

    def table(self) -> str:
        total = sum(self.classes.values())
        rows = [f"{n:8} {100 * n / total:8.3f} %  {kind}" for kind, n in self.classes.most_common()]
        return "\n".join([f"{total:8} programs", *rows])

    def report(self, most: int) -> str:
        """The commonest kinds of each class, each with its shortest programs."""
        parts = []
        for (kind, key), n in self.kinds.most_common():
            if len(parts) < most or kind == SILENT:
                parts.append(f"### {n} × {kind}: {key}\n")
                for text, outcome in sorted(self.shown.get((kind, key), {}).items(), key=lambda pair: len(pair[0])):
                    parts[-1] += f"\n```python\n{text}\n```\n{outcome.told}\n"
        return "\n".join(parts)


def main(grow: Callable[[random.Random], list[str]], play: Player, doc: str, count: int) -> None:
    """The command line of a fuzzer."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--count", type=int, default=count, help="how many programs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", type=int, default=20, help="how many kinds to show; silent ones are all shown")
    parser.add_argument("--keep", type=int, default=3, help="how many programs of a kind to shrink")
    parser.add_argument("--play", type=Path, help="play the program in a file and say what came of it")
    asked = parser.parse_args()
    if asked.play:
        outcome = play(asked.play.read_text(encoding="utf-8").splitlines())
        print(f"{outcome.kind}\n{outcome.line}\n{outcome.told}")
        return
    findings, started = Findings(play, asked.keep), time.monotonic()
    for i, lines in enumerate(programs(grow, asked.count, asked.seed), 1):
        try:
            findings.add(lines, play(lines))
        except Exception:
            print("\n".join(lines), file=sys.stderr)
            traceback.print_exc(limit=-4)
            raise
        if i % 1000 == 0:
            print(f"{i} programs, {time.monotonic() - started:.0f} s", dict(findings.classes), file=sys.stderr)
    print(findings.table(), "\n")
    print(findings.report(asked.kinds))
