"""One contender in a process of its own: it takes a JSON command a line and answers each with a JSON line.

    python benchmarks/worker.py torch
    {"do": "losses", "net": "mlp", "steps": 3}

Started by `harness.Worker`; read `harness.py` next.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from time import perf_counter
from typing import Any

import handwritten
import numpy as np
import user_code
from nets import NETS


def make_step(contender: str, net: str) -> Callable[[], Any]:
    """A fresh step, from the weights that every contender starts from."""
    if contender == "handwritten":
        return handwritten.make_step(NETS[net])
    return user_code.make_step(contender, NETS[net])


def about(contender: str) -> dict[str, str]:
    """Versions and threads of this process: each library keeps the number of threads that it chose."""
    facts = {"Python": platform.python_version(), "NumPy": np.__version__}
    if contender != "handwritten":
        facts[contender] = str(import_module(contender).__version__)
    if contender == "torch":
        facts["threads"] = f"torch {import_module('torch').get_num_threads()}"
        return facts
    try:
        pools = import_module("threadpoolctl").threadpool_info()
        facts["threads"] = ", ".join(f"{pool['internal_api']} {pool['num_threads']}" for pool in pools)
    except ModuleNotFoundError:
        facts["threads"] = "unknown (threadpoolctl is not installed)"
    return facts


def losses(contender: str, net: str, steps: int) -> list[float]:
    """The loss before each of the first steps: what the contenders must agree on."""
    step = make_step(contender, net)
    return [step().item() for _ in range(steps)]


def seconds(contender: str, net: str, steps: int) -> float:
    """The time for `steps` training steps from the start, after a few that are not counted."""
    step = make_step(contender, net)
    for _ in range(min(steps, 5)):
        step()
    began = perf_counter()
    for _ in range(steps):
        step()
    return perf_counter() - began


def main(contender: str) -> None:
    """Answer commands until standard input ends; whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    actions = {"about": about, "losses": losses, "seconds": seconds}
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"value": actions[command.pop("do")](contender, **command)}
        except Exception as error:
            if not isinstance(error, ModuleNotFoundError):
                traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
