"""`python -m benchmarks`: runs the suites and writes what they found. Read `README.md` for how to read it."""

from __future__ import annotations

import argparse
import time
from importlib import import_module
from pathlib import Path

from . import plots, report
from .harness import HERE, Field, Settings
from .nets import NETS
from .suites import SLOW, SUITES


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare tinygrad_bp with its peers.")
    parser.add_argument("suites", nargs="*", choices=[*SUITES, []], metavar="SUITE", help=", ".join(SUITES))
    quick = f"two minutes: a check, no measurement; without {', '.join(SLOW)}, unless named"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--rounds", type=int, help="default 30, or 3 with --quick")
    parser.add_argument("--nets", nargs="+", choices=NETS, default=(), metavar="NET", help=", ".join(NETS))
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for results.md, .json and pictures")
    return parser.parse_args()


def main() -> None:
    """Everything that was asked for, one suite after another."""
    options = arguments()
    rounds = options.rounds or (3 if options.quick else 30)
    settings = Settings(options.quick, rounds, tuple(options.nets))
    about = report.machine()  # before anything is started: the load is that of others
    contenders, results, began = Field(), [], time.perf_counter()
    try:
        contenders.enter()
        lines = report.head(about, contenders, settings)
        print("\n".join(lines), end="\n\n", flush=True)
        for name in options.suites or [name for name in SUITES if not (options.quick and name in SLOW)]:
            start = time.perf_counter()
            result = import_module(f"benchmarks.suites.{name}").run(contenders, settings)
            result.seconds = time.perf_counter() - start
            results.append(result)
            print(result.text(), end="\n\n", flush=True)
    finally:
        contenders.leave()
    pictures, notes = plots.draw(options.out, results)
    facts = {
        "machine": about,
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "quick": settings.quick,
        "rounds": settings.rounds,
        "versions": {worker.peer.name: worker.facts for worker in contenders.workers},
        "left_out": contenders.left_out,
    }
    report.write(options.out, [*lines, *notes], results, facts, pictures)
    print(*notes, f"{report.LEGEND}", sep="\n")
    print(f"written to {options.out}: results.md, results.json, {', '.join(pictures) or 'no pictures'}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
