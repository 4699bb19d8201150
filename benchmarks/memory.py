"""Peak memory of the `wide` training step, PyTorch eager against tinygrad_bp, each run in its own process.

    python benchmarks/memory.py --repeats 7

You will know how far the resident memory rises during a few steps above where it stood with the library,
weights, data and optimiser loaded: activations, gradients, what BLAS needs. Target: no more than PyTorch.
Linux only, since it reads /proc. Read `depth.py` next.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import sys
from pathlib import Path

from harness import fresh, installed, machine, shown, table, verdict

TARGET = 1.0
STATUS = Path("/proc/self/status")


def status_mib(field: str) -> float:
    """VmRSS (resident now) or VmHWM (the highest it has been) of this process, in MiB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def peak(library: str, steps: int) -> float:
    """MiB that `steps` training steps of `wide` add at their highest."""
    import nets
    import user_code

    step = user_code.make_step(library, nets.NETS["wide"])
    # Loading leaves free blocks in the heap, which the step would fill without its memory ever rising:
    # hand them back, so that what the step takes is seen.
    nets.start.cache_clear()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the mark falls to what is resident now
    base = status_mib("VmRSS")
    for _ in range(steps):
        step()
    return status_mib("VmHWM") - base


def main() -> None:
    """Repeat for both libraries in turn, then print medians and quartiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 repeats: a check, not a measurement")
    parser.add_argument("--repeats", type=int, help="default 7")
    options = parser.parse_args()
    print(machine())
    if not STATUS.exists():
        raise SystemExit("this system has no /proc to read the memory of a process from")
    libraries = [library for library in ("torch", "tinygrad_bp") if installed(library)]
    peaks: dict[str, list[float]] = {library: [] for library in libraries}
    for _ in range(options.repeats or (2 if options.quick else 7)):
        for library in libraries:
            peaks[library].append(fresh(__file__, "--peak", library, "5"))
    rows = [[library, shown(values, ".1f"), ""] for library, values in peaks.items()]
    if len(peaks) == 2:
        ratio = [ours / theirs for theirs, ours in zip(peaks["torch"], peaks["tinygrad_bp"], strict=True)]
        rows.append(["tinygrad_bp / torch", shown(ratio), verdict(ratio, TARGET)])
    print(table(["MiB above the start", "median [quartiles]", "target"], rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print(json.dumps(peak(sys.argv[2], int(sys.argv[3]))))
    else:
        main()
