"""What an import costs on top of `import numpy`, in fresh processes that take turns; and the size on the disk.

You will know the milliseconds of `import X` once NumPy is there, and how many MiB are installed for it beside NumPy,
its own dependencies included. Target: 15 ms for tinygrad_bp. Bytecode and disk cache are warm. Read
`gradcheck_quality.py` next.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from ..harness import ENVIRONMENT, HERE, Field, Settings
from ..report import Result, Table
from ..stats import paired, shown, shown_ratio, significant, verdict

TARGET_MS = 15.0
CODE = """
import json, time
taken = []
for module in {modules}:
    began = time.perf_counter()
    __import__(module)
    taken.append((time.perf_counter() - began) * 1e3)
print(json.dumps(taken))
"""


def timed(*modules: str) -> list[float]:
    """Milliseconds that each module takes to import, in a new process and in this order."""
    command = [sys.executable, "-c", CODE.format(modules=modules)]
    done = subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True)
    return [float(taken) for taken in json.loads(done.stdout.splitlines()[-1])]


def run(contenders: Field, settings: Settings) -> Result:
    """All libraries in shuffled order, then their sizes."""
    result = Result("import_time", "Import and installed size")
    libraries = list(dict.fromkeys(worker.peer.library for worker in contenders.workers))
    libraries.remove("numpy")
    taken: dict[str, list[float]] = {library: [] for library in libraries}
    numpy: list[float] = []
    shuffle, order = random.Random(0).shuffle, list(libraries)
    if not settings.quick:
        for library in libraries:
            timed("numpy", library)  # writes the bytecode, fills the disk cache
    for _ in range(1 if settings.quick else settings.rounds):
        shuffle(order)
        for library in order:
            first, second = timed("numpy", library)
            taken[library].append(second)
            if library == "tinygrad_bp":
                numpy.append(first)
    sizes = {library: installed_mib(library) for library in libraries}
    result.raw = {"ms": taken, "numpy ms": numpy, "MiB": sizes}
    rows = [["numpy", shown(numpy), "", "", ""]]
    for library, values in taken.items():
        ours = library == "tinygrad_bp"
        ratio = "–" if ours else shown_ratio(paired(taken["tinygrad_bp"], values))
        aim = f"≤ {TARGET_MS:g} ms {verdict(values, TARGET_MS)}" if ours else ""
        rows.append([library, shown(values), ratio, aim, significant(sizes[library])])
    head = ["import", "ms after numpy", "tinygrad_bp / it", "target", "MiB beside NumPy"]
    result.tables.append(Table("import X after import numpy, and its size on the disk", head, rows))
    return result


def installed_mib(library: str) -> float:
    """Size of a library and of what it requires, without NumPy and without bytecode."""
    spec = find_spec(library)
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    if folder.parent == HERE.parent:  # the checkout: it requires NumPy alone
        return sum(size(path) for path in folder.rglob("*")) / 2**20
    names = metadata.packages_distributions()[library]
    wanted = set(closure(names[0])) - set(closure("numpy"))
    return sum(size(Path(str(file.locate()))) for name in wanted for file in metadata.files(name) or ()) / 2**20


def closure(name: str, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """A distribution and all it requires that is installed; extras aside."""
    if name in seen:
        return
    try:
        requires = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    yield name
    for requirement in requires:
        if "extra ==" not in requirement:
            found = re.match(r"[\w.-]+", requirement)
            assert found is not None
            yield from closure(re.sub(r"[-_.]+", "-", found[0]).lower(), seen | {name})


def size(path: Path) -> int:
    """Bytes of a file that is not bytecode."""
    return path.stat().st_size if path.suffix != ".pyc" and path.is_file() else 0
