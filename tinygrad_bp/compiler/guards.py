"""Guards: the checks before each run that everything is as it was when the program was recorded.

They are the source of one function for each plan, since the whole step of a tiny net takes ten microseconds. You will
see what a compiled step depends on: print `plan.guards_text`. Read `plan.py` for the plan itself.
"""

from __future__ import annotations

import sys
from itertools import islice
from operator import attrgetter, gt, is_, sub
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import pytree
from ..core import Tensor, wrap
from ..duck import CHANGES
from ..memory import CLOCK
from ..modes import MODE
from ..pytree import plain_container
from .kinds import by_value, same_value
from .places import ArrayOfOne, Attributes, Cache, Members, Missing, Numbers, Place
from .results import THERE, Output, View
from .symbolic import SYMBOLS, settings_of, spelled
from .tree import Kind, Leaves

if TYPE_CHECKING:
    from collections.abc import Callable

    from .plan import Plan

MISS = object()  # the answer of a plan that is not made for a call
GONE = (LookupError, ValueError, AttributeError, TypeError, ArithmeticError)  # what a guard reads is gone
INLINE = 12  # tensors up to which each has a guard in a line of its own


class Moved(Exception):
    """The arrays that a program was linked to are no longer those of its tensors."""


def moved(*arguments: Any) -> Any:
    """What stands in the place of such a program."""
    raise Moved


class Writer:
    """Lines of the function, and the things that its names stand for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self._known: dict[tuple[int, str], str] = {}

    def name(self, thing: Any, stem: str) -> str:
        """The name of a thing; one thing has one name."""
        key = (id(thing), stem)
        if key not in self._known:
            self._known[key] = f"{stem}{len(self.names)}"
            self.names[self._known[key]] = thing
        return self._known[key]

    def add(self, line: str, depth: int = 1) -> None:
        self.lines.append("    " * depth + line)

    def unless(self, condition: str) -> None:
        line = f"    if not ({condition}): return MISS"
        if line not in self.lines:
            self.lines.append(line)


def guarded_call(plan: Plan) -> Callable[..., Any]:
    """enter(args, kwargs) → what the step returns, or MISS."""
    w = Writer()
    w.names.update(
        MISS=MISS, Moved=Moved, MODE=MODE, CHANGES=CHANGES, CLOCK=CLOCK, Tensor=Tensor,
        ndarray=np.ndarray, plan=plan, seen=plan.seen, recheck=plan.recheck, wrap=wrap,
        run=plan.linked.run, asarray=np.asarray, failed=plan.failed, acquire=plan.lock.acquire, owners=plan.owners,
        release=plan.lock.release, shared=plan.shared, leave=plan.leave, Leaves=Leaves, SPEC=plan.leaves.spec,
        STRUCTURE=plan.leaves.structure,
    )  # fmt: skip
    w.add("def enter(args, kwargs):", 0)
    w.add("try:")
    start = len(w.lines)
    arrays = arguments(w, plan)
    w.unless(f"MODE.grad is {plan.mode[0]} and MODE.inference is {plan.mode[1]}")
    w.unless("CHANGES[0] == seen[0] or recheck()")
    facts(w, plan)
    memory(w, plan)
    settings = numbers(w, plan)
    kept_gradients(w, plan)
    w.lines[start:] = ["    " + line for line in w.lines[start:]]
    w.add(f"except ({', '.join(error.__name__ for error in GONE)}):")
    w.add("return MISS", 2)
    w.add("acquire()")  # the buffers are one thread's at a time
    w.add("try:")
    w.add(f"values = run({', '.join([*arrays, *settings])})", 2)
    w.add("except Moved: return MISS")  # between the guards and the run another thread laid its memory elsewhere
    w.add("except BaseException as error:")
    w.add("failed(error); raise", 2)
    w.add("finally:")
    w.add("release()", 2)
    aftermath(w, plan)
    if plan.backward is not None:
        inputs = given(plan)
        w.add(f"live = to_graph(values, {len(plan.program.outputs) - plan.handed}, {inputs})")
        w.names["to_graph"] = plan.backward.apply
    w.add(f"return {returned(w, plan, plan.run.out)}")
    text = "\n".join(w.lines) + "\n"
    plan.guards_text, plan.names = text, w.names
    exec(compile(text, "<the guards of a compiled step>", "exec"), w.names)
    found: Callable[..., Any] = w.names["enter"]
    return found


def arguments(w: Writer, plan: Plan) -> list[str]:
    """The arrays of the arguments, if their tree, shapes and dtypes are those of the program."""
    args, kwargs = plan.leaves.spec
    if kwargs or not all(isinstance(leaf, Kind) for leaf in args):
        w.add("leaves = Leaves(args, kwargs)")
        w.unless("leaves.structure == STRUCTURE and leaves.spec == SPEC")
        captured = plan.run.reach.tensors
        pattern = [id(x) if id(x) in captured else 0 for x in plan.leaves.arrays]
        known = w.name(frozenset(captured), "captured")
        w.unless(f"[id(x) if id(x) in {known} else 0 for x in leaves.arrays] == {pattern}")
        if plan.run.reach.asks:
            w.unless(f"not any(isinstance(x, Tensor) and x.__dict__ and id(x) not in {known} for x in leaves.arrays)")
        w.add("arrays = [x.array if isinstance(x, Tensor) else x for x in leaves.arrays]")
        names = [f"arrays[{i}]" for i in range(len(plan.leaves.arrays))]
        for name, leaf in zip(names, plan.leaves.kinds, strict=True):
            if plan.run.trace.layout:
                w.unless(f"{name}.flags.writeable is {leaf.writeable}")
            w.add(f"shared({name})")
        return names
    w.unless(f"len(args) == {len(args)} and not kwargs")
    names = []
    identities(w, plan, args)
    for i, leaf in enumerate(args):
        tensor, shape, dtype, strides, needs, grad = leaf.facts
        x = f"x{i}"
        w.add(f"{x} = args[{i}]")
        if tensor:
            nodes = f"{x}.node is {'not ' * needs}None and {x}._grad is {'not ' * grad}None"
            w.unless(f"isinstance({x}, Tensor) and {nodes} and {x}.__class__ is {w.name(tensor, 'Kind')}")
            if plan.run.reach.asks and id(plan.leaves.arrays[i]) not in plan.run.reach.tensors:
                w.unless(f"not {x}.__dict__")
            w.add(f"{x} = {x}.array")
        d = w.name(dtype, "dtype")
        w.unless(f"{x}.__class__ is ndarray and {x}.shape == {shape} and ({x}.dtype is {d} or {x}.dtype == {d})")
        w.unless(f"{x}.strides == {strides}")
        if plan.run.trace.layout:
            w.unless(f"{x}.flags.writeable is {leaf.writeable}")
        w.add(f"if {x}.base is not None{f' or id({x}) in owners' * plan.own_memory}: shared({x})")
        names.append(x)
    return names


def identities(w: Writer, plan: Plan, args: tuple[Kind, ...]) -> None:
    """Which arguments are one object, and which are tensors that the step reaches by itself too."""
    for i, leaf in enumerate(args):
        for k in range(i):
            if leaf.first in (k, i):
                w.unless(f"args[{i}] {'is' if leaf.first == k else 'is not'} args[{k}]")
    captured = plan.run.reach.tensors
    known = w.name(frozenset(captured), "captured")
    for i, given in enumerate(plan.run.leaves.arrays):
        w.unless(f"args[{i}] is {w.name(given, 't')}" if id(given) in captured else f"id(args[{i}]) not in {known}")


def kept_gradients(w: Writer, plan: Plan) -> None:
    """Nobody has kept a gradient of the run before: its memory is about to be overwritten."""
    if not plan.gradients:
        return
    w.names.update(references=sys.getrefcount, let_go=plan.let_go, counts=plan.counts, grad_of=attrgetter("_grad"))
    n = len(plan.gradients)
    if n <= INLINE:
        tests = []
        for i in range(n):
            g, t = w.name(plan.gradients[i], "g"), w.name(plan.leaves_of[i], "t")
            a = w.name(plan.gradient_arrays[i], "a")
            tests.append(f"references({g}) - ({t}._grad is {g}) > counts[{i}] or references({a}) > counts[{n + i}]")
        test = " or ".join(tests)
    else:
        w.names.update(gt=gt, sub=sub, is_=is_, islice=islice)
        g, t = w.name(plan.gradients, "gradients"), w.name(plan.leaves_of, "leaves")
        a = w.name(plan.gradient_arrays, "arrays")
        theirs = f"map(sub, map(references, {g}), map(is_, map(grad_of, {t}), {g}))"
        test = f"any(map(gt, {theirs}, counts)) or any(map(gt, map(references, {a}), islice(counts, {n}, None)))"
    w.add(f"if ({test}) and let_go():")
    w.add("return plan.enter(args, kwargs)", 2)


def reading(w: Writer, place: Place) -> str:
    """How the value at a place is read."""
    if isinstance(place.container, Attributes):
        return f"{w.name(place.container.owner, 'o')}.{place.key}"
    if isinstance(place.container, Numbers):
        return f"{w.name(place.container, 'numbers')}[{place.key}]"
    if isinstance(place.container, ArrayOfOne):
        return f"{w.name(place.container.array, 'a')}.item()"
    container = w.name(place.container, "c")
    key = repr(place.key) if type(place.key) in (str, int) else w.name(place.key, "key")
    return f"{container}.cell_contents" if place.key is None else f"{container}[{key}]"


def facts(w: Writer, plan: Plan) -> None:
    """Plain values by equality, everything else by identity."""
    for place, value in plan.run.reach.facts:
        read = reading(w, place)
        known = repr(value) if value is None or type(value) is bool else w.name(value, "fact")
        if by_value(value) and value is not None and value.__class__ is not bool:
            w.names["same_value"] = same_value
            w.unless(f"(now := {read}) is {known} or same_value(now, {known})")
        else:
            w.unless(f"{read} is {known}")
    for container, n, _ in plan.run.reach.lengths:
        w.unless(f"len({w.name(container, 'c')}) == {n}")
    for container, row, _ in plan.run.reach.rows:
        if 0 < len(row) <= INLINE and isinstance(container, list):
            c = w.name(container, "c")
            w.unless(" and ".join(f"{c}[{i}] is {w.name(entry, 'e')}" for i, entry in enumerate(row)))
        elif row:
            w.names.update(is_=is_)
            values = f"{w.name(container, 'c')}{'.values()' * isinstance(container, dict)}"
            w.unless(f"all(map(is_, {values}, {w.name(row, 'row')}))")
    for container, keys, _ in plan.run.reach.orders:
        if len(keys) > 1:
            w.unless(f"list({w.name(container, 'c')}) == {w.name(keys, 'keys')}")
    for guard in plan.run.reach.guards:
        if isinstance(guard, Cache):
            continue
        if isinstance(guard, Members):
            w.unless(f"len({w.name(guard.fields, 'c')}) == {len(guard.keys)}")
        elif isinstance(guard, Missing) and isinstance(guard.container, dict):
            w.unless(f"{w.name(guard.key, 'key')} not in {w.name(guard.container, 'c')}")
        else:
            w.unless(f"{w.name(guard, 'guard')}.holds()")
    for array, before, _ in plan.run.reach.frozen:
        w.unless(f"{w.name(array, 'a')}.tobytes() == {w.name(before.tobytes(), 'content')}")


def memory(w: Writer, plan: Plan) -> None:
    """Each tensor still has its array, and, where the program depends on it, its gradient."""
    tensors = [(holder, array) for _, holder, array in plan.used if isinstance(holder, Tensor)]
    for _, holder, array in plan.used:
        if isinstance(holder, Place):
            a = w.name(array, "a")
            w.unless(f"{reading(w, holder)} is {a} and {a}.shape == {array.shape} and {a}.strides == {array.strides}")
    if len(tensors) <= INLINE:
        for tensor, array in tensors:
            w.unless(f"{w.name(tensor, 't')}.array is {w.name(array, 'a')}")
    else:
        owners, arrays = w.name([t for t, _ in tensors], "tensors"), w.name([a for _, a in tensors], "arrays")
        w.names.update(array_of=attrgetter("array"), is_=is_)
        w.unless(f"all(map(is_, map(array_of, {owners}), {arrays}))")
    for part in plan.run.reach.parts:
        if part.counts():
            w.unless(f"{w.name(part.alike, 'alike')}()")
    for tensor, grad in plan.patterns:
        w.unless(f"{w.name(tensor, 't')}._grad is {'not None' if grad is THERE else w.name(grad, 'g')}")


def numbers(w: Writer, plan: Plan) -> list[str]:
    """The settings, if they are numbers that meet the conditions under which the program was recorded."""
    places = plan.run.trace.places
    needed = set(plan.program.settings)
    conditions = {value: [] for value in places}  # type: dict[Any, list[str]]
    for compare, value, number, outcome in plan.run.trace.conditions:
        known = w.name(number, "n")
        if compare is None:
            conditions[value].append(f"%s == {known}")
        else:
            conditions[value].append(f"{w.name(compare, 'is_')}(%s, {known}) is {outcome}")
    for _, symbol, other, _ in plan.run.trace.derived:
        needed |= settings_of(symbol, other)
    names: dict[Any, str] = {}
    for value, place in places.items():
        tests = list(dict.fromkeys(conditions[value]))
        if value in needed or tests:
            name = names[value] = f"s{len(names)}"
            w.add(f"{name} = {reading(w, place)}")
            if place.get().__class__ not in (int, float):
                w.add(f"{name} = float({name})")
            w.add(f"if {name} is not {w.name(place.get(), 'n')}:")  # unless it is the very number of before
            number = f"{name}.__class__ is not bool and isinstance({name}, (int, float))"
            w.add(f"    if not ({' and '.join([number, *(test % name for test in tests)])}): return MISS")
    for compare, symbol, other, outcome in plan.run.trace.derived:
        w.unless(f"{SYMBOLS[compare].format(spelled(symbol, names), spelled(other, names))} is {outcome}")
    return [names.get(value, "None") for value in plan.program.settings]


def given(plan: Plan) -> str:
    """The expression for the list of the arguments' tensors."""
    args, kwargs = plan.leaves.spec
    if kwargs or not all(isinstance(leaf, Kind) for leaf in args):
        return "leaves.arrays"
    return "args"


def one(w: Writer, plan: Plan, tree: Output | View) -> str:
    """The expression for a tensor, array or number that the step returns."""
    if isinstance(tree, View):
        return view(w, plan, tree)
    if tree.kind == "number":
        return f"values[{len(plan.program.outputs) + tree.index}]"
    if tree.kind == "argument":
        return f"{given(plan)}[{tree.index}]"
    if tree.kind == "gradient":
        return w.name(plan.gradients[tree.index], "g")
    if tree.kind == "live":
        return f"live[{plan.backward.places.index(tree.index)}]"  # type: ignore[union-attr]
    if tree.kind == "array":
        return f"asarray(values[{tree.index}])"
    node = f", {w.name(plan.node(tree), 'node')}" if tree.freed else ""
    value = f"values[{tree.index}]"  # a number of NumPy's, where it has no dimensions
    return f"wrap({value if plan.program.outputs[tree.index].shape else f'asarray({value})'}{node})"


def view(w: Writer, plan: Plan, tree: View) -> str:
    """The expression for a view of an argument, of memory, or of another output."""
    if tree.index is not None:
        array = f"{w.name(tree, 'view')}.of(values[{tree.index}])"
    elif tree.home in plan.given:
        array = w.name(plan.looked(tree), "a")
    else:
        i = plan.recorded.arguments.index(tree.home)
        array = f"{w.name(tree, 'view')}.of({given(plan)}[{i}]{'.array' * plan.is_tensor(i)})"
    node = f", {w.name(plan.node(tree), 'node')}" if tree.freed else ""
    return f"wrap({array}{node})" if tree.tensor else array


def returned(w: Writer, plan: Plan, tree: Any) -> str:
    """The expression for what the step returns: a tree of tensors, arrays, numbers, and what it always returns."""

    def leaf(x: Any) -> str:
        if not isinstance(x, Output | View):
            return w.name(x, "fixed")
        text = one(w, plan, x)
        return text if x.grad is None else f"{w.name(graded, 'graded')}({text}, {returned(w, plan, x.grad)})"

    def join(tree: Any, texts: list[str]) -> str:
        text = pytree.source(tree, texts, lambda key: w.name(key, "key"))
        own = isinstance(tree, tuple) and type(tree) is not tuple
        return f"tuple.__new__({w.name(type(tree), 'kind')}, {text})" if own else text

    text: str = pytree.fold(leaf, join, tree, plain_container)
    return text


def graded(tensor: Any, gradient: Any) -> Any:
    tensor._grad = gradient
    return tensor


def aftermath(w: Writer, plan: Plan) -> None:
    """Marks for the engine, the gradients in their places, the optimiser's numbers."""
    if plan.stamps:
        w.add("CLOCK[0] = now = CLOCK[0] + 1")
        for stamp in plan.stamps:
            w.add(f"{w.name(stamp, 'mark')}.time = now")
    pairs = [(t, None if i is None else plan.gradients[i]) for t, i in plan.run.grads]
    if len(pairs) <= INLINE:
        for tensor, grad in pairs:
            w.add(f"{w.name(tensor, 't')}._grad = {w.name(grad, 'g')}")
    else:
        w.add(f"for t, g in {w.name(pairs, 'pairs')}: t._grad = g")
    if plan.run.births or plan.run.numbers:
        w.add("leave(values)")
