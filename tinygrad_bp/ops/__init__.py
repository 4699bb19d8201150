"""The tables. One line of a table is one operation; importing this package fills the REGISTRY.

Every file here is a table, and is listed nowhere. To read them in order: transcendental (the calculus page) →
arithmetic → comparison → reductions → norms → shapes → copies → joining → indexing → parts → selection → linalg →
einsum → activation → loss. Read `../methods.py` next.
"""

from importlib import import_module
from pkgutil import iter_modules

from ..alarms import silence

for _file in iter_modules(__path__):
    silence(vars(import_module(f"{__name__}.{_file.name}")))
