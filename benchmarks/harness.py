"""What the benchmarks share: fresh processes, one at work at a time, and medians that come with their spread.

Two contenders are compared round by round (paired): whatever slows the machine for a while slows both. Read
`train_step.py` next.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from typing import Any

HERE = Path(__file__).resolve().parent

# Processes that the benchmarks start find the package in this checkout, installed or not.
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH")))),
}
# Without its bytecode a package is compiled at every import, and that is what would be timed.
ENVIRONMENT.pop("PYTHONDONTWRITEBYTECODE", None)


class WorkerError(Exception):
    """A worker answered with an error, or ended without an answer."""


class Worker:
    """A persistent process that runs one contender, and sleeps on its pipe while it is not asked."""

    def __init__(self, contender: str) -> None:
        self.contender = contender
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), contender],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
            text=True,
        )

    def ask(self, do: str, **arguments: Any) -> Any:
        """Send one command and wait for its answer."""
        pipes = self.process
        assert pipes.stdin is not None
        assert pipes.stdout is not None
        pipes.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        pipes.stdin.flush()
        line = pipes.stdout.readline()
        if not line:
            raise WorkerError(f"{self.contender}: the process ended, status {pipes.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.contender}: {answer['error']}")
        return answer["value"]

    def close(self) -> None:
        """End the process and wait for it."""
        self.process.communicate()


def fresh(script: str, *arguments: str) -> Any:
    """Run one of these scripts in a process of its own and return the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, script, *arguments], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"failed with status {done.returncode}: {Path(script).name} {' '.join(arguments)}")
    return json.loads(done.stdout.splitlines()[-1])


def installed(library: str) -> bool:
    """Whether a library can be found; when not, say that it is left out."""
    sys.path.append(str(HERE.parent))
    spec = find_spec(library)
    sys.path.pop()
    found = spec is not None and spec.origin is not None  # a folder without __init__.py has no origin
    if not found:
        print(f"note: {library} is not installed, left out")
    return found


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, median(values), high


def shown(values: Sequence[float], digits: str = ".2f") -> str:
    """"median [lower quartile, upper quartile]" with so many digits."""
    low, middle, high = spread(values)
    return f"{middle:{digits}} [{low:{digits}}, {high:{digits}}]"


def verdict(values: Sequence[float], target: float) -> str:
    """Whether the median meets a target that is an upper bound."""
    return f"≤ {target:g} {'met' if median(values) <= target else 'MISSED'}"


def machine() -> str:
    """Processor, cores and system; the load, because a busy machine measures its other work."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), name)
    text = f"{name}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
    if hasattr(os, "getloadavg"):
        load = os.getloadavg()[0]
        text += f"\nload {load:.2f}" + ("  <- the machine is busy: do not trust these figures" * (load > 0.5))
    return text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the first one to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in (head, *rows)
    )
