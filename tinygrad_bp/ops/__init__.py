"""The tables. One line of a table is one operation; importing this package fills the REGISTRY.

transcendental (the calculus page) → arithmetic → comparison → reductions → norms → shapes → copies → joining →
indexing → parts → selection → linalg → einsum → activation → loss. Read `../methods.py` next.
"""

from ..alarms import silence
from . import (
    activation,
    arithmetic,
    comparison,
    copies,
    einsum,
    indexing,
    joining,
    linalg,
    loss,
    norms,
    parts,
    reductions,
    selection,
    shapes,
    transcendental,
)

for table in (
    transcendental, arithmetic, comparison, reductions, norms, shapes, copies, joining, indexing, parts, selection,
    linalg, einsum, activation, loss,
):  # fmt: skip
    silence(vars(table))
