"""The file that `export_numpy` writes, from its docstring to its last function.

You will know how arguments are checked and results put together around the generated lines. Read `export.py` next.
"""

from __future__ import annotations

import operator
from itertools import pairwise
from textwrap import indent
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import pytree
from ..core import Tensor
from ..pytree import plain_container
from .names import identifier
from .rehearse import where
from .results import Output, View
from .standalone import Standalone, described, literal, loaded, quoted
from .symbolic import SYMBOLS, settings_of, spelled
from .tree import Fixed, Kind

if TYPE_CHECKING:
    from .export import Facts
    from .program import Program, Value
    from .source import Source

SIGNS = {operator.eq: "==", operator.ne: "!=", operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">="}

CHECKED = '''
def _checked(name, array, shape, dtype):
    """An argument as it has to be: the function is written for this shape and dtype."""
    array = np.asarray(array)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name}: {dtype}{list(shape)} is expected, not {array.dtype}{list(array.shape)}")
    return array
'''
LOADED = '''

def _loaded(name, shape, dtype):
    """An array of the .npz file."""
    return np.asarray(_checked(name, _saved.pop(name), shape, dtype), order="C")


with np.load(Path(__file__).with_suffix(".npz")) as _file:
    _saved = dict(_file)
'''
HOLDS = '''

def _holds(condition, truth):
    """The numbers of the settings decide what a step does, and this one was written when the condition held."""
    if not truth:
        raise ValueError(f"this file was written for settings with {condition}; export the step anew with other ones")
'''
FIXED = '''

def _only(name, given, value):
    """What is no array was fixed when this file was written."""
    if type(given) is not type(value) or given != value:
        raise ValueError(f"{name}: this file was written for {value!r}, not for {given!r}")
'''
STATE = '''
def state():
    """The weights by their names in the state_dict, as copies."""
    return {{
{weights}    }}


def grad():
    """The gradients of the last step, by the same names, as copies."""
    return {{
{gradients}    }}


def save(path):
    """Write the weights to an .npz file, which `numpy.load` and `tinygrad_bp.load` read."""
    np.savez(path, **state())
'''


class Script:
    """The text, and what its .npz holds. homes: memory → the expression for its array in the file."""

    def __init__(self, facts: Facts, program: Program, source: Source, stem: str) -> None:
        self.facts, self.program, self.stem = facts, program, stem
        self.keys = self._keys()
        self.parts = Standalone(source, self.keys, facts.content, facts.kind)
        used = set(program.memories())
        inside = {member for whole, members in program.flat.items() if whole in used for _, member in members}
        read = (used | inside) - set(program.flat)
        self.homes = {value: self.parts.home(value) for value in facts.content if value in read}
        names = iter(self.parts.parameters)
        self.saved = self.parts.saved
        self.local = {value: next(names) for value in (*program.arguments, *program.settings)}
        self.changed = {where(place): (place, spec) for place, spec in facts.run.numbers}
        self.before: list[str] = []
        self.positional = self._arguments()
        self.keywords = self._settings()
        self.after = self._numbers()
        self.result = self._returned(facts.run.out)
        state = self._state() if facts.kind == "step" else ""
        needed = {self.keys[v] for v in self.homes} | (self.saved.keys() - set(self.keys.values()))
        self.saved = {key: array for key, array in self.saved.items() if key in needed}
        self.text = self._text(state)

    def _keys(self) -> dict[Value, str]:
        """The name of each memory in the .npz: that of the state_dict, where it is a weight."""
        keys: dict[Value, str] = {}
        taken = set(self.facts.weights)
        for key, value in self.facts.weights.items():
            if not isinstance(value, np.ndarray):
                keys.setdefault(value, key)
        for value in self.facts.content:
            if value not in keys:
                name, number = value.name, 2
                while name in taken:
                    name, number = f"{value.name}_{number}", number + 1
                keys[value] = name
                taken.add(name)
        return keys

    # ------------------------------------------------------------------------------------------- the call
    def _arguments(self) -> list[str]:
        """The parameters, and the lines that check them and take them apart."""
        run, found = self.facts.run, []
        values = iter(self.program.arguments)
        hints = self._hints(len(run.leaves.spec[0]))
        for hint, tree in zip(hints, run.leaves.spec[0], strict=True):
            if isinstance(tree, Kind):
                value = next(values)
                name = self.local[value]
                self._check(value, name, name)
            else:
                name = self.parts.free(hint)
                self._take_apart(name, tree, values)
            found.append(name)
        return found

    def _hints(self, count: int) -> list[str]:
        names = self.facts.hints
        return [*names, *(f"x{i}" for i in range(len(names), count))][:count]

    def _check(self, value: Value, name: str, text: str) -> None:
        self.before.append(f"{name} = _checked({quoted(text)}, {text}, {value.shape!r}, {quoted(value.dtype.name)})")

    def _take_apart(self, text: str, tree: Any, values: Any) -> None:
        if isinstance(tree, Kind):
            value = next(values)
            self._check(value, self.local[value], text)
        elif isinstance(tree, Fixed):
            self.before.append(f"_only({quoted(text)}, {text}, {literal(tree.value)})")
        else:
            self.before.append(f"_only({quoted(f'len({text})')}, len({text}), {len(tree)})")
            for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
                self._take_apart(f"{text}[{literal(key)}]", part, values)

    def _settings(self) -> list[str]:
        """Keyword arguments for the numbers that a caller may choose; the others are read from where they are kept."""
        run, found = self.facts.run, []
        for value in self.program.settings:
            name, place = self.local[value], run.trace.places[value]
            if value in self.facts.entries:
                self.before.append(f"{name} = {self._kept(self.facts.entries[value])}.item()")
            elif where(place) in self.changed:
                self.before.append(f"{name} = _numbers[{quoted(place.name)}]")
            else:
                found.append(f"{name}={literal(self.facts.settings[value])}")
        for compare, value, number, outcome in run.trace.conditions:
            if value in self.local:
                sign = "==" if compare is None else SIGNS[compare]
                test = f"{'' if outcome else 'not '}{self.local[value]} {sign} {literal(number)}"
                line = f"_holds({quoted(test)}, {test})"
                self.before += [line] * (line not in self.before)
        for compare, symbol, other, outcome in run.trace.derived:
            settings = settings_of(symbol, other)
            if settings <= self.local.keys():
                detail = SYMBOLS[compare].format(spelled(symbol, self.local), spelled(other, self.local))
                test = f"{'' if outcome else 'not '}{detail}"
                line = f"_holds({quoted(test)}, {test})"
                self.before += [line] * (line not in self.before)
        return found

    def _numbers(self) -> list[str]:
        """Lines that keep the numbers which the step counts on."""
        count, lines = len(self.program.outputs), []
        for place, spec in self.changed.values():
            text = self.parts.returned[count + spec.index] if isinstance(spec, Output) else literal(spec)
            lines.append(f"_numbers[{quoted(place.name)}] = {text}")
        return lines

    # ----------------------------------------------------------------------------------------- the results
    def _returned(self, tree: Any) -> str:
        """The expression for what the function returns."""
        text: str = pytree.fold(self._result, lambda t, texts: pytree.source(t, texts, literal), tree, plain_container)
        return text

    def _result(self, leaf: Any) -> str:
        if isinstance(leaf, Output):
            return self._output(leaf)
        if isinstance(leaf, View):
            return self._view(leaf)
        if isinstance(leaf, Tensor):
            run = self.facts.run
            known = (*run.memory, *run.aliases, *((one.value, one.tensor) for one in run.members))
            value = next(v for v, h in known if h is leaf)
            return f"{self._kept(value)}.copy()"
        return literal(leaf)

    def _kept(self, value: Value) -> str:
        self.homes[value] = self.parts.home(value)
        return self.homes[value]

    def _output(self, output: Output) -> str:
        if output.kind == "argument":
            return self.local[self.program.arguments[output.index]]
        if output.kind == "gradient":
            return f"{self.parts.gradients[output.index]}.copy()"
        return self.parts.returned[output.index + len(self.program.outputs) * (output.kind == "number")]

    def _view(self, view: View) -> str:
        if view.index is not None:
            text = self.parts.returned[view.index]
        else:
            home, done = view.home, 0
            for one in self.facts.run.members:
                if one.whole is home and view.path[: len(one.path)] == one.path and one.value in self.facts.content:
                    home, done = one.value, len(one.path)
            text = self.local[home] if home in self.local else f"{self._kept(home)}.copy()"
        for prim, args in view.path[done:] if view.index is None else view.path:
            text = self.parts.seen(text, prim.function, args)
        return text

    # -------------------------------------------------------------------------------------------- the text
    def _state(self) -> str:
        lines = []
        for key, value in self.facts.weights.items():
            if isinstance(value, np.ndarray):
                self.saved[key] = np.array(value, order="C")
                name = self.parts.free(identifier(key))
                self.parts.memory.append(f"{name} = {loaded(key, value)}")
                lines.append(f"{quoted(key)}: {name}.copy(),\n")
            else:
                lines.append(f"{quoted(key)}: {self._kept(value)}.copy(),\n")
        slopes = {leaf: text for (leaf, _), text in zip(self.program.gradients, self.parts.gradients, strict=True)}
        slopes |= {leaf: self._kept(g) for leaf, g in self.facts.kept if g in self.facts.program.writes}
        known = {id(value) for value in self.facts.weights.values()}
        lines += [f"{quoted(self.keys[v])}: {self._kept(v)}.copy(),\n" for v in slopes if id(v) not in known]
        rows = [f"{quoted(self.keys[leaf])}: {text}.copy(),\n" for leaf, text in slopes.items()]
        weights, gradients = (indent("".join(part), " " * 8) for part in (lines, rows))
        return STATE.format(weights=weights, gradients=gradients)

    def _text(self, state: str) -> str:
        parts, borrowed = self.parts, self.parts.borrowed
        head = [f"import {name}\n" for name in sorted(borrowed.modules)]
        head += ["from pathlib import Path\n"] * bool(self.saved)
        head = [*head, "\n"] if head else head
        imports = [import_line(module, names) for module, names in sorted(borrowed.imports.items())]
        lines = [*self.before, *(line[4:] for line in parts.body), *self.after, f"return {self.result}"]
        signature = ", ".join([*self.positional, *["*"] * bool(self.keywords), *self.keywords])
        does = "One step of training" if self.facts.kind == "step" else "The prediction"
        own = f'    """{does}; see the head of this file."""\n'
        helpers = {"_checked(": CHECKED, "_only(": FIXED, "_holds(": HOLDS}
        written = "".join(self.before) + "_checked(" * bool(self.saved)
        checks = [text for name, text in helpers.items() if name in written]
        numbers = [f"{quoted(p.name)}: {literal(self._number(p))}" for p, _ in self.changed.values()]
        lasting = [*parts.memory, *[f"_numbers = {{{', '.join(numbers)}}}"] * bool(numbers)]
        sections = {
            "what is learned, and what else lasts": lasting, "constants": [*borrowed.constants, *parts.constants],
            "scratch memory": parts.buffers, "views": parts.views,
        }  # fmt: skip
        chunks = [f'"""{self._doc()}"""', "".join(head) + f"import numpy as np\n{''.join(imports)}", *checks]
        chunks += [*borrowed.functions, *([LOADED] if self.saved else [])]
        chunks += ["\n".join([f"# {title}", *rows]) for title, rows in sections.items() if rows]
        chunks += [f"def {self.facts.kind}({signature}):\n{own}{indent(chr(10).join(lines), '    ')}"]
        return spaced([chunk.strip("\n") for chunk in (*chunks, state) if chunk])

    def _number(self, place: Any) -> Any:
        run = self.facts.run
        known = {where(other): self.facts.settings[value] for value, other in run.trace.places.items()}
        return known[where(place)]

    def _doc(self) -> str:
        """What the file is, how it is used, and the names of its arrays."""
        step, kind = self.facts.kind == "step", self.facts.kind
        what = "A training step" if step else "A prediction"
        rows = [f"from {self.stem} import {kind}{', state, grad, save' * step}", ""]
        call = f"{'loss = ' * (isinstance(self.facts.run.out, Output) and step)}{kind}({', '.join(self.positional)})"
        inputs = [f"{self.local[v]}: {described_value(v)}" for v in self.program.arguments]
        rows.append(f"{call}  # {', '.join(inputs)}" if inputs else call)
        if self.keywords:
            rows.append(f"{kind}({', '.join([*self.positional, *self.keywords])})  # the settings as they were")
        if step:
            leaves = [*(leaf for leaf, _ in self.program.gradients), *self.keys]
            first = self.keys[leaves[0]] if leaves else "weight"
            rows += [f"state()[{quoted(first)}], grad()[{quoted(first)}]", 'save("weights.npz")']
        parts = [f"{what} in NumPy alone, written by tinygrad_bp.export_numpy.", indent("\n".join(rows), "    ")]
        parts.append("Shapes and dtypes are those of the example that it was written for.")
        if self.homes:
            file = f"{self.stem}.npz, which belongs beside this\nfile,"
            parts[-1] += f" {file} holds the weights by their names in the state_dict:"
            table = [(self.keys[v], described(self.facts.content[v]), text) for v, text in self.homes.items()]
            width = [max(len(row[i]) for row in table) for i in (0, 1)]
            parts.append("\n".join(f"    {a:<{width[0]}}  {b:<{width[1]}}  {c}" for a, b, c in table))
        if self.facts.models:
            parts.append(self.facts.models)
        return "\n\n".join(parts).replace("\\", "\\\\").replace('"""', "'''") + "\n"


def described_value(value: Value) -> str:
    return f"{value.dtype.name}{list(value.shape)}"


def spaced(chunks: list[str]) -> str:
    """The parts of a file, two empty lines around functions and one around everything else."""
    text = chunks[0]
    for before, chunk in pairwise(chunks):
        functions = before.startswith("def ") or chunk.startswith("def ")
        text += "\n" * (3 if functions else 2) + chunk
    return text + "\n"


def import_line(module: str, names: dict[str, str]) -> str:
    """from module import a, b as c; in several lines where one is too short."""
    pairs = sorted((own, name) for name, own in names.items())
    parts = [own if own == name else f"{own} as {name}" for own, name in pairs]
    line = f"from {module} import {', '.join(parts)}\n"
    rows = "".join(f"    {part},\n" for part in parts)
    return line if len(line) <= 110 else f"from {module} import (\n{rows})\n"
