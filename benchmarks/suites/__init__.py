"""One file for each suite; `SUITES` is their order. Read `train_step.py`, the first.

A suite has `run(contenders, settings) -> Result`; one that is measured by `harness.measure` also has
`subject(peer, which)`, which the contender's process calls to get the function to be timed.
"""

SUITES = (
    "train_step",
    "op_overhead",
    "update",
    "latency",
    "backward_ratio",
    "depth",
    "digits",
    "memory",
    "compile_memory",
    "import_time",
    "gradcheck_quality",
)
# Left out by `--quick`, unless they are named.
SLOW = ("latency", "backward_ratio", "depth", "digits", "gradcheck_quality")
