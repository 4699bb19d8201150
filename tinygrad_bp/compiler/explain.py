"""What a compiled step does, in figures: `step.explain()`.

You will know how calls and floating-point operations are counted. An operation is an addition, a multiplication or any
other function of one entry: exp and tanh count as 1 too, though they take ten times as long. A product of an m×k with a
k×n matrix counts 2·m·k·n, a sum as many as it has terms. Moving data counts nothing. Back to `__init__.py`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from .passes import PASSES
from .program import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .program import Call, Program

    Buffer = tuple[str, tuple[int, ...], Any, int]

PHASES = ("forward", "backward", "update")
FREE = ("view", "gather", "number")  # views are made once; the parts of a gather are computed where they belong
MOVES = ("copy", "astype", "assign", "gather", "getitem", "reshape", "transpose", "broadcast_to", "concatenate")
TRANSCENDENTAL = {"exp", "expm1", "log", "log1p", "log2", "log10", "logaddexp", "tanh", "sin", "cos", "tan", "arctan",
    "sinh", "cosh", "power", "float_power", "exp2", "cbrt", "arcsin", "arccos", "hypot", "arctan2"}  # fmt: skip


def explain(
    before: Program, after: Program, buffers: Sequence[Buffer] = (), source: str = "", allocating: Sequence[str] = ()
) -> str:
    """The account of a step: calls by layer and phase, operations, what the passes removed, memory, allocations.

    Args:
        before, after: the program as recorded, and as the passes left it.
        buffers: (name, shape, dtype, bytes) of each scratch array.
        source: the function's text. allocating: its lines that make a new array at each call.
    """
    recorded, left = counted(before), counted(after)
    work, code = sum(map(operations, after.calls)), code_lines(source)
    head = [plural(left, "NumPy call"), f"({recorded} recorded), {amount(work)} floating-point operations a step"]
    if code:
        head[1] += f", {plural(code, 'line')} of Python (`step.source`)"
    parts = [
        "\n".join(head), by_layer(after), by_pass(before, after), memory(after), scratch(buffers), brought(after),
        section("new arrays at each call", [[line.strip()] for line in allocating] or [["none"]]),
        notes(after),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part)


# ------------------------------------------------------------------------------------------------- counting


def counted(program: Program) -> int:
    """How many calls take time."""
    return sum(call.prim.kind not in FREE for call in program.calls)


def operations(call: Call) -> int:
    """Floating-point operations of a call; 0 for one that moves data, or whose inside is not known."""
    inputs = [value for value in call.inputs() if not value.is_number]
    out = sum(value.size for value in call.outs)
    if call.prim.name in ("dot", "matmul", "vdot", "inner"):
        first = inputs[0]
        terms = first.size if call.prim.name == "vdot" else first.shape[-1] if first.shape else 1
        return 2 * out * terms
    if call.prim.name in MOVES or call.prim.kind in FREE:
        return 0
    if call.prim.kind == "reduce":
        return inputs[0].size
    return out if call.prim.kind == "ufunc" else 0


def unknown(call: Call) -> bool:
    """Whether the operations of a call are left out because nothing tells their number."""
    counts = call.prim.kind in ("ufunc", "reduce", *FREE) or call.prim.name in ("dot", "matmul", "vdot", "inner")
    return not counts and call.prim.name not in MOVES


def code_lines(source: str) -> int:
    """Lines of a text that are neither empty nor a comment."""
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in source.splitlines())


# ------------------------------------------------------------------------------------------------- sections


def by_layer(program: Program) -> str:
    """Calls by layer and phase, operations by layer."""
    calls: Counter[tuple[str, str]] = Counter()
    work: Counter[str] = Counter()
    order: dict[str, str] = {}
    for call in program.calls:
        if call.prim.kind in FREE:
            continue
        elsewhere = "update of the parameters" if call.phase == "update" else "loss, and the rest"
        row = call.scope or elsewhere
        order.setdefault(row, program.layers.get(call.scope, "") if call.scope else "")
        calls[row, call.phase] += 1
        work[row] += operations(call)
    total = sum(work.values())
    rows = [["", *PHASES, "operations", "share", ""]]
    for row, detail in order.items():
        rows.append([row, *(str(calls[row, phase] or "·") for phase in PHASES), amount(work[row]),
                     share(work[row], total), detail])  # fmt: skip
    sums = [str(sum(n for (_, phase), n in calls.items() if phase == one) or "·") for one in PHASES]
    rows.append(["together", *sums, amount(total), share(total, total), ""])
    return section("calls by layer", rows, right=(1, 2, 3, 4, 5))


def by_pass(before: Program, after: Program) -> str:
    """What each pass took away."""
    rows = []
    for name, n in after.removed.items():
        exact = "" if PASSES[name].exact else "(the last digits may differ)"
        rows.append([name, str(n or "·"), f"{PASSES[name].description} {exact}".rstrip()])
    off = [name for name in PASSES if name not in after.removed]
    if off and rows:
        rows.append(["off", "", ", ".join(off)])
    return section("calls that each pass removed or replaced", rows, right=(1,))


def memory(program: Program) -> str:
    """What outlives the step, and what lies in one piece."""
    rows = []
    for value in program.memories():
        inside = [member.name for _, member in program.flat.get(value, [])]
        changed = "" if value in program.writes else "read only"
        rows.append([value.name or "array", *described(value), listed(inside) if inside else changed])
    rows.append(["together", "", "", size(sum(map(nbytes, program.memories()))), ""])
    return section("memory that outlives the step", rows, (3,)) if len(rows) > 1 else ""


def scratch(buffers: Sequence[Buffer]) -> str:
    """The arrays that hold results for a while; they are allocated once."""
    rows = [[name, str(shape), str(dtype), size(n)] for name, shape, dtype, n in buffers]
    total = sum(buffer[3] for buffer in buffers)
    return section("scratch memory, allocated once", [*rows, ["together", "", "", size(total)]], (3,)) if rows else ""


def brought(program: Program) -> str:
    """What each call brings."""
    rows = [[value.name or "array", *described(value)] for value in program.arguments]
    rows += [[value.name or "number", "", "number", ""] for value in program.settings]
    return section("arguments and settings, read anew at each call", rows, (3,))


def notes(program: Program) -> str:
    """What the figures leave out."""
    names = {call.prim.name for call in program.calls}
    lines = []
    if names & TRANSCENDENTAL:
        lines.append(f"{', '.join(sorted(names & TRANSCENDENTAL))}: each entry counts as one operation.")
    left_out = Counter(call.prim.name for call in program.calls if unknown(call))
    if left_out:
        detail = ", ".join(f"{name} ({n}×)" if n > 1 else name for name, n in left_out.items())
        lines.append(f"{detail}: operations not counted.")
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------- writing


def section(title: str, rows: Sequence[Sequence[str]], right: tuple[int, ...] = ()) -> str:
    """A title and a table with columns as wide as they have to be, some of them flush right."""
    if not rows:
        return ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [title]
    for row in rows:
        cells = [cell.rjust(widths[i]) if i in right else cell.ljust(widths[i]) for i, cell in enumerate(row)]
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return "\n".join(lines)


def plural(n: int, word: str) -> str:
    return f"{n} {word}{'s' * (n != 1)}"


def described(value: Value) -> list[str]:
    return [str(value.shape), str(value.dtype), size(nbytes(value))]


def nbytes(value: Value) -> int:
    return 0 if value.is_number else int(value.size * value.dtype.itemsize)


def listed(names: list[str], width: int = 60) -> str:
    """As many names as fit, and how many more."""
    shown = next((n for n in range(len(names), 1, -1) if len(", ".join(names[:n])) <= width), 1)
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more else "")


def amount(n: int) -> str:
    """1,234; 56.7 thousand; 8.90 million."""
    for unit, word in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (10**5, "thousand")):
        if n >= unit:
            return f"{n / (1000 if word == 'thousand' else unit):.3g} {word}"
    return f"{n:,}"


def size(n: int) -> str:
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if n >= 1024**power:
            return f"{n / 1024**power:.1f} {unit}"
    return f"{n} B"


def share(part: int, total: int) -> str:
    return f"{100 * part / total:.0f} %" if total else "·"
