"""The same elementwise call for several layers at once: the slopes y · (1 - y) of all sigmoids in one call.

    s1 = 1 - y1,  s2 = 1 - y2, …    becomes    slopes = 1 - stacked

where each y is computed into its part of `stacked` and each s is a view of its part of `slopes`. Calls may stand
together if all that they read is there before any of their results is needed. A net of a hundred small layers saves a
fifth of its calls. Exact: every entry is computed as before. Read `flat.py` next: the same for the update.
"""

from __future__ import annotations

from itertools import accumulate
from math import prod
from typing import Any

from ..program import GATHER, RESULT, Call, Program, Value, in_rows
from .words import GETITEM, RESHAPE, made_by, rebuilt

LARGEST, TOGETHER = 1 << 12, 1 << 17  # entries: of one call, where being called costs most; of all together
PLACED = {"ufunc", "call"}  # makers that can write into a part of a longer buffer
COPYING = {"astype", "copy", "concatenate", "where"}


def stack(program: Program) -> Program:
    """Join groups of calls, until none is left that can be."""
    while True:
        better = joined(program)
        if better is None:
            return program
        program = better


def joined(program: Program) -> Program | None:
    """The program with one group of calls made one; None if there is none."""
    made, place = made_by(program), {call: i for i, call in enumerate(program.calls)}
    needed = first_needs(program, place)
    parts = gathered(program)
    groups: dict[Any, list[Call]] = {}
    for call in program.calls:
        key = kind_of(call, made, parts) if any(out in needed for out in call.outs) else None
        if key is not None:
            groups.setdefault(key, []).append(call)
    for calls in groups.values():
        if len(calls) > 1:
            members, after = together(calls, made, place, needed)
            members = same_rows(members, parts, place, after)
            if len(members) > 1:
                return rewritten(program, members, after, parts)
    return None


def kind_of(call: Call, made: dict[Value, Call], parts: dict[Value, Any]) -> Any:
    """What calls that can be joined have in common; None if this one cannot be."""
    out = call.outs[0] if len(call.outs) == 1 else None
    if call.prim.kind != "ufunc" or call.kwargs or call.phase == "update" or out is None or out.dtype is None:
        return None
    if out.dtype.kind != "f" or not 0 < out.size <= LARGEST or not in_rows(out):
        return None  # together all lie row by row
    pattern: list[Any] = []
    for arg in call.args:
        if isinstance(arg, Value) and not arg.is_number and arg.shape == out.shape and arg.shape:
            maker = made.get(arg)
            fits = maker is not None and maker.prim.kind in PLACED and maker.prim.name not in COPYING
            if maker is None or arg.dtype != out.dtype or not (fits or arg in parts):
                return None
            pattern.append(("own", id(parts[arg][0]) if arg in parts else 0, call.args.index(arg)))
        elif isinstance(arg, Value) and (arg.shape or arg.kind == RESULT):
            return None
        else:
            pattern.append(arg if isinstance(arg, Value) else (type(arg), repr(arg)))
    if not own(call):
        return None
    return call.prim.function, tuple(pattern), out.dtype, tuple(sorted(call.quiet.items()))


def own(call: Call) -> list[Value]:
    """The arguments of the result's shape."""
    return [arg for arg in call.args if isinstance(arg, Value) and arg.shape and arg.shape == call.out.shape]


def first_needs(program: Program, place: dict[Call, int]) -> dict[Value, int]:
    """Where each Value is read for the first time; a view of it may be read at once."""
    needed: dict[Value, int] = {}
    for call in program.calls:
        for value in call.inputs():
            needed.setdefault(value, place[call])
    return needed


def gathered(program: Program) -> dict[Value, tuple[Call, int]]:
    """Values that lie in a longer one: the parts of a gather, and what was taken out of a joined result in order."""
    found: dict[Value, tuple[Call, int]] = {}
    for call in program.calls:
        if call.prim is GATHER:
            found.update({part: (call, i) for i, part in enumerate(call.args)})
    return found | {part: (call, i) for call, row in _taken(program).items() for i, part in enumerate(row)}


def _taken(program: Program) -> dict[Call, list[Value]]:
    """The parts that were taken out of each one-dimensional ufunc's result, slice after slice."""
    made, rows = made_by(program), {}  # type: dict[Value, Call], dict[Call, list[Value]]
    for call in program.calls:
        if call.prim.name != "reshape" or call.prim.kind != "view" or call.kwargs:  # order="F" mixes the entries
            continue
        piece = made.get(call.args[0])
        if piece is None or piece.prim is not GETITEM or not isinstance(piece.args[1], slice):
            continue
        whole = made.get(piece.args[0])
        row = rows.setdefault(whole, []) if whole is not None and whole.prim.kind == "ufunc" else None
        if row is not None and whole is not None and len(whole.out.shape) == 1:
            start = sum(part.size for part in row)
            if piece.args[1] == slice(start, start + call.out.size):
                row.append(call.out)
    return {whole: row for whole, row in rows.items() if sum(part.size for part in row) == whole.out.size}


def together(
    calls: list[Call], made: dict[Value, Call], place: dict[Call, int], needed: dict[Value, int]
) -> tuple[list[Call], int]:
    """The largest set of calls with a common moment: all that they read is there, none of their results is read yet."""
    ready = [max(place[made[value]] for value in own(call)) for call in calls]
    until = [needed.get(call.out, len(place)) for call in calls]
    best: tuple[list[Call], int] = [], 0
    for moment in dict.fromkeys(ready):
        found: list[Call] = []
        for call, r, u in zip(calls, ready, until, strict=True):
            if r <= moment < u and all(producer(value, made) not in found for value in own(call)):
                found.append(call)
        while sum(call.out.size for call in found) > TOGETHER:
            found.pop()
        if len(found) > len(best[0]):
            best = found, moment
    return best


def producer(value: Value, made: dict[Value, Call]) -> Call:
    """The call that computed a value, or the one that it is a view of."""
    call = made[value]
    while call.prim.kind == "view" and call.args[0] in made:
        call = made[call.args[0]]
    return call


def same_rows(
    members: list[Call], parts: dict[Value, tuple[Call, int]], place: dict[Call, int], after: int
) -> list[Call]:
    """The members, if for each argument they either lie nowhere yet, or are a longer value part by part."""
    if not members:
        return []
    for k in range(len(own(members[0]))):
        places = [parts.get(own(call)[k]) for call in members]
        if all(found is None for found in places):
            if len({own(call)[k] for call in members}) < len(members):
                return []
            continue
        first = places[0]
        if first is None or place[first[0]] > after:
            return []
        if first[0].out.size != sum(call.out.size for call in members):
            return []
        if any(found is None or found[0] is not first[0] or found[1] != i for i, found in enumerate(places)):
            return []
    return members


def rewritten(program: Program, members: list[Call], after: int, parts: dict[Value, tuple[Call, int]]) -> Program:
    """The program with the members' calls as one, behind the call at `after`."""
    size = sum(call.out.size for call in members)
    new: list[Call] = []
    rows: list[Value] = []
    known: dict[Value, Value] = {}  # the first member's argument → the longer value that it is the first part of
    for k in range(len(own(members[0]))):
        values = [own(call)[k] for call in members]
        if values[0] not in known and values[0] in parts:
            known[values[0]] = parts[values[0]][0].out
        elif values[0] not in known:
            known[values[0]] = Value(RESULT, (size,), values[0].dtype, "stacked")
            new.append(Call(GATHER, tuple(values), {}, [known[values[0]]], "", members[0].phase))
        rows.append(known[values[0]])
    row = iter(rows)
    first, mine = members[0], own(members[0])
    args = tuple(next(row) if any(arg is value for value in mine) else arg for arg in first.args)
    whole = Value(RESULT, (size,), first.out.dtype, "slopes")
    new.append(Call(first.prim, args, {}, [whole], "", first.phase, first.quiet))
    starts = [0, *accumulate(prod(call.out.shape) for call in members)]
    for call, start in zip(members, starts, strict=False):
        piece = Value(RESULT, (call.out.size,), call.out.dtype)
        new.append(Call(GETITEM, (whole, slice(start, start + call.out.size)), {}, [piece], call.scope, call.phase))
        new.append(Call(RESHAPE, (piece, call.out.shape), {}, [call.out], call.scope, call.phase))
    gone = set(members)
    calls = [c for c in program.calls[: after + 1] if c not in gone]
    return rebuilt(program, [*calls, *new, *[c for c in program.calls[after + 1 :] if c not in gone]])
