"""What the backward pass costs beside the forward pass: (loss with gradients − loss alone) / loss alone.

The theory of reverse mode allows a small constant, whatever the net; you will know the constant. The loss alone is
recorded as for training where a library records eagerly; autograd and JAX record nothing for it. Read `depth.py`
next.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..harness import Field, Settings, agreeing, measure
from ..nets import NETS
from ..report import Result, Table
from ..stats import shown_ratio

QUICK = ("exam_scores", "mlp")


def subject(peer: ModuleType, which: tuple[str, int]) -> Any:
    """(net, 0) is the loss alone, (net, 1) the loss with its gradients."""
    net, part = which
    return peer.make_loss(NETS[net])[part]


def run(contenders: Field, settings: Settings) -> Result:
    """All nets, one after another."""
    result = Result("backward_ratio", "Backward over forward")
    ratios: dict[str, dict[str, list[float]]] = {}
    seconds: dict[str, dict[str, list[list[float]]]] = {}
    for net in settings.nets or (QUICK if settings.quick else NETS):
        tolerance = 1e-9 if NETS[net].dtype == "float64" else 1e-4
        everyone = contenders.who("make_loss")
        _, reasons = agreeing("backward_ratio", (net, 1), everyone, 1, tolerance)
        workers, more = agreeing("backward_ratio", (net, 0), everyone, 1, tolerance)
        result.left_out(net, reasons | more)
        workers = [worker for worker in workers if worker.peer.name not in reasons]
        measured = measure("backward_ratio", [(w, (net, part)) for w in workers for part in (0, 1)], settings)
        pairs = zip(workers, measured[::2], measured[1::2], strict=True)
        seconds[net] = {worker.peer.name: [forward, both] for worker, forward, both in pairs}
        ratios[net] = {
            name: [b / a - 1 for a, b in zip(forward, both, strict=True)]
            for name, (forward, both) in seconds[net].items()
        }
    result.raw = {"seconds of forward, of both": seconds}
    names = list(dict.fromkeys(name for found in ratios.values() for name in found))
    rows = [[n, *(shown_ratio(found[n]) if n in found else "–" for found in ratios.values())] for n in names]
    result.tables.append(Table("backward / forward", ["contender", *ratios], rows))
    return result
