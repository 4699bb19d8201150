"""From a program to the text of a function: a training step as a person would write it in NumPy.

You will know how the lines of `step.source` come about: one call, one line; a comment per layer; views of what is there
made beforehand. Read `link.py` next: how the text becomes a function that runs.
"""

from __future__ import annotations

import linecache
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import finalize

import numpy as np

from .arrays import Block, Variable
from .buffer_assignment import BufferAssignment
from .copy_insertion import WithCopies
from .link import ArraySource, Linked
from .loops import Loop
from .primitives import SILENT, accepts, computed, written
from .program import CONSTANT, MEMORY, Call, Program, Value
from .scribe import Scribe

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = count(1)


class Line:
    """A line of code, and what it is for. loud: whether it may warn, and so must not come under another's silence."""

    __slots__ = ("depth", "loud", "quiet", "scope", "text", "writes")

    def __init__(
        self, text: str, scope: tuple[str, str], quiet: dict[str, str], loud: bool, writes: bool, depth: int = 0
    ) -> None:
        self.depth, self.text, self.scope, self.quiet, self.loud, self.writes = depth, text, scope, quiet, loud, writes


def write(program: Program, memory: dict[Value, np.ndarray] | None = None) -> Source:
    """The source of a program. `memory` tells the strides to plan for; without it all is taken to be in C order."""
    return Source(program, memory)


class Source:
    """The text of a step, and what it takes to run it.

    buffers: scratch memory as (name, shape, dtype, bytes). allocating: the lines that make new arrays. first_write: the
    number of the first line that changes memory that outlives the step (0: none does).
    """

    def __init__(self, program: Program, memory: dict[Value, np.ndarray] | None = None) -> None:
        self.program = program
        assignment = BufferAssignment(WithCopies(program), memory)
        scribe = Scribe(assignment)
        self.allocating: list[str] = []
        self.loops: list[tuple[str, list[Variable], bool, Loop]] = []
        body: list[Line] = []
        for step in assignment.steps:
            body += self._looped(scribe, step) if isinstance(step, Loop) else self._lines(scribe, *step)
        returned = [scribe.operand(v) for v in (*assignment.final.outputs, *program.numbers)]
        self._entries(assignment, scribe)
        self._assemble(scribe, body, returned)
        self.buffers = [
            (b.first.name, b.first.like.shape, b.first.like.dtype, b.nbytes)
            for b in assignment.blocks if b.first is not None and b.first.like is not None
        ]  # fmt: skip
        self.strides = {v: assignment.place[v].like.strides for v in assignment.place if v.kind == MEMORY}  # type: ignore[union-attr]

    def link(self, memory: dict[Value, np.ndarray]) -> Linked:
        """The step with these arrays as its memory, and buffers of its own."""
        if any(memory[value].strides != strides for value, strides in self.strides.items()):
            return Linked(Source(self.program, memory), memory)
        return Linked(self, memory)

    # -------------------------------------------------------------------------------------------- lines

    def _looped(self, scribe: Scribe, loop: Loop) -> list[Line]:
        """A loop over blocks of rows; what is new at each run is cut in the loop, the rest beforehand."""
        scribe.loop, scribe.blocks = loop, {}
        body = []
        for call, home in loop.steps:
            texts = written(call, scribe, scribe.cut(home, loop.shape))
            body += [Line(text, (call.phase, call.scope), call.quiet, True, False, 1) for text in texts]
        first = loop.steps[0][0]
        fixed = {v: name for v, name in scribe.blocks.items() if v.static}
        cut = [f"{name} = {v.name}[rows]" for v, name in scribe.blocks.items() if not v.static]
        scope, list_name = (first.phase, first.scope), scribe.names.pick(f"blocks_{len(self.loops) + 1}")
        self.loops.append((list_name, list(fixed), bool(cut), loop))
        scribe.loop = None
        names = [*["rows"][: len(cut)], *fixed.values()]
        text = f"for {', '.join(names)}{',' * (len(names) == 1)} in {list_name}:"
        writes = any(home.block.kind == MEMORY for _, home in loop.steps)
        before = [Line(text, scope, {}, False, False) for text in scribe.before]
        scribe.before.clear()
        head = Line(text, scope, first.quiet, True, writes)
        return [*before, head, *(Line(text, scope, first.quiet, False, False, 1) for text in cut), *body]

    def _lines(self, scribe: Scribe, call: Call, home: Variable | None) -> list[Line]:
        static = home is not None and home.static
        if static:
            assert home is not None
            allocates = not accepts(call, home.like)  # type: ignore[arg-type]
            name = scribe.name(home)
            texts = [f"{name}[...] = {scribe.called(call)}"] if allocates else written(call, scribe, name)
        else:
            names = [scribe.operand(out) for out in call.outs]
            texts = [f"{', '.join(names)}{' = ' * bool(names)}{computed(call, scribe)}"]
            allocates = call.prim.kind not in ("view", "number") and not all(out.is_number for out in call.outs)
        self.allocating += texts[:1] if allocates else []
        scope, loud = (call.phase, call.scope), call.prim.name not in SILENT and call.prim.kind != "view"
        before = [Line(text, scope, {}, False, False) for text in scribe.before]
        scribe.before.clear()
        writes = static and home is not None and home.block.kind == MEMORY
        return [*before, *(Line(text, scope, call.quiet, loud, writes) for text in texts)]

    def _assemble(self, scribe: Scribe, body: list[Line], returned: list[str]) -> None:
        """The whole text, registered so that tracebacks can show it."""
        program = self.program
        names = [scribe.operand(v) for v in (*program.arguments, *program.settings)]
        lines = [*self._head(scribe), f"def step({', '.join(names)}):"]
        self.first_write = 0
        for text, line in self._blocks(scribe, body):
            lines.append(f"    {text}")
            if line is not None and line.writes and not self.first_write:
                self.first_write = len(lines)
        lines.append(f"    return ({', '.join(returned)}{',' * (len(returned) == 1)})")
        self.text, self.globals = "\n".join(lines) + "\n", scribe.globals
        filename = f"<compiled step {next(_numbers)}>"
        self.code = compile(self.text, filename, "exec")
        linecache.cache[filename] = (len(self.text), None, [f"{line}\n" for line in lines], filename)
        finalize(self, linecache.cache.pop, filename, None)

    def _blocks(self, scribe: Scribe, body: list[Line]) -> Iterator[tuple[str, Line | None]]:
        """Comments where the layer changes, and `with errstate` around the lines that are to be quiet."""
        scope: tuple[str, str] | None = None
        quiet: dict[str, str] = {}
        later: list[dict[str, str]] = [{}]  # from the end: what the next line that may warn asks for
        for line in reversed(body):
            later.append(line.quiet if line.loud else later[-1])
        for line, following in zip(body, reversed(later), strict=False):
            # A line that cannot warn goes with its neighbours.
            if quiet != (line.quiet if line.loud else quiet if following == quiet else {}):
                quiet = line.quiet if line.loud else {}
                if quiet:
                    words = ", ".join(f"{key}={value!r}" for key, value in quiet.items())
                    yield f"with {scribe.bound(np.errstate, 'errstate')}({words}):", None
            indent = "    " * (bool(quiet) + line.depth)
            if line.scope != scope:
                scope = line.scope
                yield f"{indent}# {self._comment(*scope)}", None
            yield indent + line.text, line

    def _comment(self, phase: str, scope: str) -> str:
        described = self.program.layers.get(scope, "")
        if phase == "update":
            return "update"
        if phase == "backward":
            path, kind = scope or "the model's own", described.partition("(")[0]
            return f"backward: {path} ({kind})" if kind else f"backward: {path}"
        path = scope or "outside the layers"
        return f"{path}: {described}" if described else path

    def _head(self, scribe: Scribe) -> list[str]:
        """Comments that say what each name is."""
        rows = []
        for variable in scribe.variables:
            if variable.base is not None or variable.like is None:
                continue
            like, kind = variable.like, variable.block.kind
            if variable in scribe.filled:
                what = f"{scribe.operand(scribe.filled[variable])}, as an array"
            elif kind == CONSTANT:
                what = f"constant {like.item()!r}" if like.size == 1 else "constant"
            else:
                what = {MEMORY: "memory"}.get(kind, "buffer")
            rows.append((variable.name, f"{like.dtype.name}{list(like.shape)}", what))
        width = [max((len(row[i]) for row in rows), default=0) for i in (0, 1)]
        return [f"# {a:<{width[0]}}  {b:<{width[1]}}  {c}" for a, b, c in rows]

    # --------------------------------------------------------------------------------------------- arrays

    def _entries(self, assignment: BufferAssignment, scribe: Scribe) -> None:
        """How each array that has a name, or of which there is a view, comes about at link time."""
        self.entries: list[ArraySource] = []
        self.blocks: list[int] = [block.nbytes for block in assignment.blocks]
        index_of: dict[Variable, int] = {}
        block_index = {block: i for i, block in enumerate(assignment.blocks)}

        def entry(variable: Variable) -> int:
            if variable not in index_of:
                made = _made_of(variable, entry, block_index)
                index_of[variable] = len(self.entries)
                self.entries.append(ArraySource(variable.name, *made))
            return index_of[variable]

        for variable in scribe.variables:
            entry(variable)
        for name, variables, sliced, loop in self.loops:
            made_of = ([entry(v) for v in variables], loop.rows, loop.shape[0], sliced)
            self.entries.append(ArraySource(name, "blocks", made_of))
        self.gradients = [entry(assignment.place[g]) for g in assignment.final.gradients]
        self.loops.clear()  # the layout's arrays, as large as those of the step, are no longer needed


def _made_of(variable: Variable, entry: Any, blocks: dict[Block, int]) -> tuple[str, tuple[Any, ...]]:
    like = variable.like
    assert like is not None
    if variable.base is not None and variable.call is not None:
        function, (args, kwargs) = variable.call
        return "view", (entry(variable.base), function, args, kwargs)
    if variable.block.kind == MEMORY:
        return "memory", (variable.block.owner if variable.block.owner.kind == MEMORY else variable.values[0],)
    if variable.block.kind == CONSTANT:
        return "constant", (like,)
    return "buffer", (blocks[variable.block], like.shape, like.dtype, like.strides)
