"""One contender in a process of its own: it takes a JSON command a line and answers each with a JSON line.

    python -m benchmarks.worker torch
    {"do": "values", "suite": "train_step", "which": "mlp", "calls": 3}

A suite says with `subject(peer, which)` what is called and timed here. Started by `harness.Worker`; read
`harness.py` next.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable
from importlib import import_module, metadata
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np


def suite_module(name: str) -> ModuleType:
    """The suite of that name."""
    return import_module(f"benchmarks.suites.{name}")


def about(peer: ModuleType, library: str) -> dict[str, Any]:
    """Versions and threads of this process: each library keeps the number of threads that it chose."""
    facts = {"Python": platform.python_version(), "NumPy": np.__version__}
    if library != "numpy":
        facts[library] = version(library)
    if library == "torch":
        facts["threads"] = f"torch {import_module('torch').get_num_threads()}"
    else:
        try:
            pools = import_module("threadpoolctl").threadpool_info()
            facts["threads"] = ", ".join(
                f"{pool['internal_api']} {pool['num_threads']} ({pool.get('architecture', 'kernel unknown')})"
                for pool in pools
            )
        except ModuleNotFoundError:
            facts["threads"] = "unknown (threadpoolctl is not installed)"
    return {"facts": facts, "functions": [name for name in dir(peer) if name.startswith("make_")]}


def version(library: str) -> str:
    """What the library says of itself, or else what was installed."""
    try:
        return str(import_module(library).__version__)
    except AttributeError:
        return metadata.version(library)


def values(peer: ModuleType, suite: str, which: Any, calls: int) -> list[float]:
    """What the first calls return, as plain numbers: what the contenders must agree on."""
    subject = suite_module(suite).subject(peer, which)
    return [number for _ in range(calls) for number in numbers(subject())]


def numbers(value: Any) -> list[float]:
    """Scalar, array or any library's tensor, flat."""
    for method in ("detach", "numpy"):
        if hasattr(value, method):
            value = getattr(value, method)()
    return np.asarray(value, np.float64).ravel().tolist()


def first(peer: ModuleType, suite: str, which: Any) -> float:
    """Seconds that the very first call takes: whatever is compiled or recorded, and the work itself."""
    return timed(suite_module(suite).subject(peer, which), 1)


def seconds(peer: ModuleType, suite: str, which: Any, calls: int, warm: float) -> float:
    """Time of so many calls, begun anew, after some that warm up for so many seconds.

    One is not enough: BLAS threads that have slept may share a core for some tens of milliseconds until the system
    moves one of them, and a step of 0.7 ms takes 30 meanwhile.
    """
    subject = suite_module(suite).subject(peer, which)
    subject()
    gc.collect()  # the rubbish of the last turn is not this one's
    began = perf_counter()
    while perf_counter() - began < warm:
        subject()
    return timed(subject, calls)


def timed(subject: Callable[[], Any], calls: int) -> float:
    """Seconds for so many calls."""
    began = perf_counter()
    for _ in range(calls):
        subject()
    return perf_counter() - began


def call(peer: ModuleType, suite: str, function: str, arguments: list[Any]) -> Any:
    """Any other function of a suite: `function(peer, *arguments)`."""
    return getattr(suite_module(suite), function)(peer, *arguments)


def main(contender: str) -> None:
    """Answer commands until standard input ends; whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    actions: dict[str, Callable[..., Any]] = {
        "about": about, "values": values, "first": first, "seconds": seconds, "call": call,
    }  # fmt: skip
    for line in sys.stdin:
        command = json.loads(line)
        try:
            peer = import_module(f"benchmarks.peers.{contender}")
            answer = {"value": actions[command.pop("do")](peer, **command)}
        except Exception as error:
            if "BENCHMARKS_TRACEBACKS" in os.environ:
                traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
