"""How results look: tables for the terminal and in Markdown, the machine, and one JSON file with every raw figure.

Read `plots.py` next for the pictures.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .harness import Field, Settings


@dataclass
class Table:
    """A title, a head, rows of text; the first column says whose row it is."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Columns as wide as their widest cell, the first one to the left and the others to the right."""
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
            for row in (self.head, *self.rows)
        ]
        return "\n".join([self.title, *("  " + line for line in lines)])

    def markdown(self) -> str:
        """The same in Markdown, its columns aligned alike."""
        rule = ["---", *["--:"] * (len(self.head) - 1)]
        rows = [[cell.replace("|", "\\|") for cell in row] for row in (self.head, rule, *self.rows)]
        return "\n".join([f"**{self.title}**", "", *("| " + " | ".join(row) + " |" for row in rows)])


@dataclass
class Result:
    """What a suite found: tables to read, raw figures to keep, and who did not take part in what, with the reason."""

    name: str
    title: str
    tables: list[Table] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # (contender, reason) → parts
    seconds: float = 0.0  # that the suite took

    def left_out(self, which: str, reasons: dict[str, str]) -> None:
        """Note who is missing from one part, and why."""
        for name, reason in reasons.items():
            self.missing.setdefault((name, reason), []).append(which)

    def remarks(self) -> str:
        """A line for each note, and one for each contender and reason."""
        missing = [f"{name} left out of {', '.join(parts)}: {why}" for (name, why), parts in self.missing.items()]
        return "\n".join(f"- {remark}" for remark in (*self.notes, *missing))

    def text(self) -> str:
        """For the terminal."""
        parts = [f"=== {self.title}", *(table.text() for table in self.tables)]
        return "\n\n".join(filter(None, [*parts, self.remarks()]))

    def markdown(self) -> str:
        """For the report."""
        parts = [f"## {self.title}", *(table.markdown() for table in self.tables)]
        return "\n\n".join(filter(None, [*parts, self.remarks()]))


def machine() -> dict[str, Any]:
    """Processor, cores and system; the load, because a busy machine measures its other work."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), name)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    system = f"{platform.system()} {platform.release()}"
    return {"processor": name, "cores": os.cpu_count(), "system": system, "load": load}


def head(about: dict[str, Any], contenders: Field, settings: Settings) -> list[str]:
    """The lines above everything: where, who with which versions, and who is missing."""
    lines = [f"{about['processor']}, {about['cores']} cores, {about['system']}"]
    if about["load"] is not None:
        busy = "  <- the machine is busy: do not trust these figures" * (about["load"] > 0.5)
        lines.append(f"load {about['load']:.2f}{busy}")
    if settings.quick:
        lines.append("--quick: this shows that everything runs; the figures mean little")
    for worker in contenders.workers:
        facts = ", ".join(f"{key} {value}" for key, value in worker.facts.items())
        lines += [f"{worker.peer.name}: {facts}"]
    lines += [f"{name}: left out, {reason}" for name, reason in contenders.left_out.items()]
    return lines


LEGEND = (
    "A figure is the median over the rounds, its quartiles in brackets. A ratio is taken within a round and only then "
    "summed up; it is “unclear” after fewer than 3 rounds, or when its upper quartile is more than twice its lower one."
)


def write(folder: Path, lines: list[str], results: list[Result], facts: dict[str, Any], plots: list[str]) -> None:
    """results.md and results.json."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [f"![{name.removesuffix('.png')}]({name})" for name in plots]
    parts = [
        f"# Benchmarks, {time.strftime('%Y-%m-%d')}",
        "\n".join(f"- {line}" for line in lines),
        LEGEND,
        *(result.markdown() for result in results),
        *pictures,
    ]
    (folder / "results.md").write_text("\n\n".join(parts) + "\n", "utf-8")
    suites = {
        r.name: {"raw": r.raw, "remarks": r.remarks().splitlines(), "seconds": round(r.seconds, 1)} for r in results
    }
    (folder / "results.json").write_text(json.dumps({**facts, "suites": suites}, indent=1) + "\n", "utf-8")
