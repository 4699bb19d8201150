"""The declaring words: one call of one of these is a whole operation, and enters it in the REGISTRY.

A rule is one expression in NumPy's words; the names of its parameters say what it reads:
`g` cotangent · `y` output · `x` the only input · `a`, `b`, `c` several inputs · `x_shape` a shape without keeping its
array · then the operation's own parameters. **A rule receives exactly what its parameters name, and the node keeps
exactly that.** Names are resolved here, once; at run time a call is positional.

`elementwise`, `reduction`, `linear`, `bilinear` and `fused` declare rules; `composite` is a plain function of
other operations; `constant` has no gradient. Read `ops/transcendental.py` next: the calculus page.
"""

from __future__ import annotations

from collections import namedtuple
from copy import copy
from functools import cached_property
from itertools import chain, count, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import calling, dialect, gathering
from .core import OUTPUT, PLAIN
from .joint import FIRST, reading_all
from .kernels import in_single

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Rule = Callable[..., Any]
    Picker = Callable[[tuple[Any, ...]], tuple[Any, ...]]

F = TypeVar("F", bound="Callable[..., Any]")

REGISTRY: dict[str, Op] = {}
INPUTS = {1: ("x",), 2: ("a", "b"), 3: ("a", "b", "c")}
VARARGS = 4  # the flag of a function's code that has *args


class Case:
    """Arguments on which the laws try an operation: shapes of the inputs, then its own parameters."""

    __slots__ = ("kwargs", "shapes")

    def __init__(self, *shapes: tuple[int, ...], **kwargs: Any) -> None:
        self.shapes, self.kwargs = shapes, kwargs

    def __repr__(self) -> str:
        return f"Case({', '.join(map(repr, self.shapes))}, {self.kwargs})"


class Layer:
    """How a function stands in `nn`: the name of its layer, and what does not follow from the function's signature.

    `at`: its values at -1, 0 and 2, the example of both. `inplace`: it can write over its input. `inputs`: how many of
    its parameters the layer is called with. `settings`: what the layer is made with, if not all other parameters.
    `shown`: what stands between the parentheses of its `repr`, with the settings by name. `prepare(owner, given)` looks
    at the settings before they become attributes. `base`: the layer that it is a kind of. As a decorator it says all
    this of a plain function.
    """

    __slots__ = ("at", "base", "inplace", "inputs", "name", "prepare", "settings", "shown")

    def __init__(
        self,
        name: str,
        at: Sequence[float] = (),
        *,
        inplace: bool = False,
        inputs: int = 1,
        settings: tuple[str, ...] | None = None,
        shown: str | None = None,
        prepare: Callable[[str, dict[str, Any]], None] | None = None,
        base: str = "",
    ) -> None:
        self.name, self.base, self.at, self.inplace, self.inputs = name, base, at, inplace, inputs
        self.settings, self.shown, self.prepare = settings, shown, prepare

    def __call__(self, function: F) -> F:
        function.layer = self  # type: ignore[attr-defined]
        return function


class Op:
    """One declared operation: its forward, its rules bound to what they read, and what else was said of it.

    `rules[i]` leads from the cotangent to input i; `pure[i]` is the same sentence before a fast kernel took its
    place; `roles[i]` tells for each saved value which input it is; `pick[i]` takes the saved values out of
    (inputs…, output, parameters…).
    """

    def __init__(self, word: str, forward: Rule, doc: str, rules: Sequence[Rule], options: dict[str, Any]) -> None:
        self.key = ""  # its name in the REGISTRY
        self.word, self.doc = word, doc
        self.call: Any = None
        self.grammar: Any = None  # how it is called: made by `grammar.py` when a keyword is first used
        self._compute(forward, rules, options)
        self._spell(options)
        take = options.pop
        self.domain = take("domain", None)
        self.cases: tuple[Case, ...] = tuple(take("cases", ()))
        self.analytic: bool = take("analytic", False)
        self.layer: Layer | None = take("layer", None)  # how it stands in `nn`
        self.singular: dict[str, Rule] = take("singular", {})  # what is chosen where none exists → where
        self.flat: bool = take("flat", False)  # a staircase: whatever is computed from it depends on no input
        if options:
            raise TypeError(f"declaration of {doc!r}: unknown options {sorted(options)}")

    def _compute(self, forward: Rule, rules: Sequence[Rule], options: dict[str, Any]) -> None:
        """What is computed: the forward, the rules, and what each rule reads."""
        take = options.pop
        self.forward, self.pure_forward = take("fast", None) or forward, forward
        self.front: Rule | None = take("front", None)  # puts arguments in their final form: (inputs…, parameters…)
        given: Any = take("inputs", None) or INPUTS[max(len(rules), 1)]
        self.many = isinstance(given, str)  # any number of inputs, in a list: `inputs="tensors"`
        self.inputs: tuple[str, ...] = (given,) if self.many else tuple(given)
        self.outputs: tuple[str, ...] = tuple(take("outputs", ()))  # where there are several: their names
        names = parameters(forward) if hasattr(forward, "__code__") else self.inputs
        if hasattr(forward, "__code__") and rules and not self.many and names[: len(self.inputs)] != self.inputs:
            told = f"it has {len(rules)} rules, for {self.inputs}, and computes of {names}"
            raise TypeError(f"declaration of {self.doc!r}: {told}")
        self.params = names[len(self.inputs) :]
        self.defaults = dict(zip(reversed(names), reversed(getattr(forward, "__defaults__", None) or ()), strict=False))
        order = (*self.inputs, *self.params)  # how many arguments are given → the defaults of the others
        self.tails = {
            n: [self.defaults[name] for name in order[n:]]
            for n in range(len(order) + 1) if self.defaults.keys() >= set(order[n:])
        }  # fmt: skip
        self.optional = [name in self.defaults for name in self.inputs]  # which inputs may be None
        self.may_lack = any(self.optional)
        self.axis: Any = take("axis", None)  # how its parameter `axis` is read: one of `axes.py`
        self.written = tuple(take("written", rules))  # the sentences themselves, for docs and lint
        self.pure = tuple(rules)
        self.rules = tuple(take("fast_rules", None) or rules)
        if self.many and rules:
            bind_many(self)
        elif self.outputs:
            bind_several(self)
        else:
            bound = [bind(rule, [*self.inputs, "y", *self.params], self.inputs) for rule in rules]
            self.pick: Any = tuple(picker for picker, _ in bound)
            self.roles: Any = tuple(roles for _, roles in bound)
        self.saves = saving(self.roles)  # inputs or its output, for backward
        self.adds_up = self.word in ("reduction", "bilinear", "fused")
        self.view: bool = take("view", False)  # its result may look into the input's memory
        if self.view and any(role != PLAIN for roles in self.roles for role in roles):
            raise TypeError(f"declaration of {self.doc!r}: the rule of a view reads shapes and parameters only")

    def _spell(self, options: dict[str, Any]) -> None:
        """Under which names it can be called; `grammar.py` reads them."""
        take = options.pop
        self.name: str = take("shown", "")  # what messages and grad_fn call it: the whole of which it is a part
        self.bodies: tuple[Any, ...] = take("bodies", ())  # the operations among which this one chooses: its parts
        for body in self.bodies:
            body.op.internal, body.op.method, body.op.public, body.op.in_place = True, False, False, False
        self.internal: bool = take("internal", False)  # a part of others, with no name in `tg`
        self.public: Any = take("public", not self.internal)  # True, False, or the function that it is in `tg`
        self.method: Any = take("method", not self.internal)  # True, False, or the function that is the method
        usual = self.word == "elementwise" and self.method is True and not self.outputs
        self.in_place: bool = take("in_place", usual)  # whether there is a form that writes: `t.exp_()`
        self.alias: tuple[str, ...] = tuple(take("alias", ()))  # its other names
        self.torch: dict[str, Any] = take("torch", {})  # our parameter → PyTorch's name for it, or several
        self.dtype: bool = take("dtype", False)  # whether it takes `dtype=`, to which the input is converted first
        self.operators: tuple[str, ...] = tuple(take("operators", ()))
        given = take("numpy", ())  # NumPy's functions that come here → its keywords in our words, or a function
        self.numpy: dict[Any, Any] = given if isinstance(given, dict) else {key: {} for key in given}

    def __repr__(self) -> str:
        return f"<{self.word} {self.name}>"

    @cached_property
    def result(self) -> Any:
        """What several outputs come in: a tuple with names."""
        make: Any = namedtuple  # whose names a type checker would want to know
        found = make(self.key, self.outputs)
        found.__reduce__ = lambda values: (result_of, (self.key, tuple(values)))
        return found

    @cached_property
    def halves(self) -> Op:
        """The same operation on float16: halves are added up in float32, as in PyTorch, and rounded once at the end.

        A half counts only to 2048 by ones, and 300² is too large for it.
        """
        twin = copy(self)
        twin.adds_up, twin.forward = False, in_single(self.forward, last=True)
        kind = type(self.rules)  # one rule may stand for all inputs
        twin.rules, twin.pure = kind(map(in_single, self.rules)), kind(map(in_single, self.pure))
        return twin


def result_of(key: str, values: tuple[Any, ...]) -> Any:
    """The outputs of an operation in their named tuple, as `pickle` rebuilds it."""
    return REGISTRY[key].result(*values)


def parameters(function: Any) -> tuple[str, ...]:
    code = function.__code__
    return tuple(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def bind(
    rule: Rule, order: Sequence[str], inputs: Sequence[str], outputs: Sequence[str] = ("y",), after: int = 1
) -> tuple[Picker, tuple[int, ...]]:
    """Where in `order` (inputs…, outputs…, parameters…) each name of the rule stands, and the role of what is there.

    The first `after` names are cotangents.
    """
    names = getattr(rule, "reads", None) or parameters(rule)
    if outputs == ("y",) and names[:1] != ("g",):
        raise TypeError(f"a rule's first parameter is the cotangent g, not {names[:1]}")
    places, shapes, roles = [], [], []
    for name in names[after:]:
        stem = name.removesuffix("_shape")
        is_shape = stem != name and stem in (*inputs, *outputs)
        if not is_shape and name not in order:
            raise TypeError(f"a rule reads {name!r}, but this operation has only {[n for n in order if n != 'like']}")
        place = order.index(stem if is_shape else name)
        output = place - len(inputs)
        places.append(place)
        shapes.append(is_shape)
        plain = is_shape or output >= len(outputs)
        roles.append(PLAIN if plain else place if output < 0 else OUTPUT if outputs == ("y",) else FIRST - output)
    return picker(places, shapes), tuple(roles)


def bind_several(op: Op) -> None:
    """The rules of an operation with several outputs: each begins with the cotangents that it reads, `g_values`."""
    order = ["like", *op.inputs, *op.outputs, *op.params]
    rules, op.pick, op.roles = [], (), ()
    for rule in op.pure:
        names = parameters(rule)
        wanted = tuple(op.outputs.index(name[2:]) for name in names if name[:2] == "g_" and name[2:] in op.outputs)
        pick, roles = bind(rule, order, ("like", *op.inputs), op.outputs, len(wanted))
        op.pick += (lambda values, pick=pick: (values[0], *pick(values)),)
        op.roles += ((PLAIN, *[role - 1 if role > 0 else role for role in roles]),)
        rules.append(reading_all(rule, wanted))
    op.rules = op.pure = tuple(rules)


class ForAll(tuple[Any, ...]):
    """The same for every input, however many there are."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        return tuple.__getitem__(self, 0)


class RolesOfMany(ForAll):
    """The roles of what the rule for input `index` reads; `*xs` stands for all inputs."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        names: tuple[str, ...] = tuple.__getitem__(self, 0)
        single = [index if name == "x" else OUTPUT if name == "y" else PLAIN for name in names if name != "xs"]
        return chain(single, count()) if "xs" in names else single


def bind_many(op: Op) -> None:
    """The one rule for each of many inputs. Beside `y` and parameters it reads `i`, which input it is about, `x` and
    `x_shape`, that input itself, `shapes`, those of all, and `*xs`, all inputs."""
    (rule,) = op.pure
    names, code = parameters(rule)[1:], rule.__code__
    rest = code.co_varnames[len(names) + 1] if code.co_flags & VARARGS else None
    known = ["i", "x", "x_shape", "shapes", "y", *op.params]
    if unknown := [name for name in names if name not in known] or rest not in (None, "xs"):
        raise TypeError(f"a rule reads {unknown or rest}, but an operation with many inputs has only {known} and *xs")
    take = picker([known.index(name) for name in names], [])

    def pick(i: int, arrays: Any, shapes: Any, y: Any, params: Any) -> tuple[Any, ...]:
        found = take((i, arrays[i], shapes[i], shapes, y, *params))
        return (*found, *arrays) if rest else found

    op.pick, op.roles = pick, RolesOfMany(((*names, "xs") if rest else names,))
    op.rules, op.pure = ForAll(op.rules), ForAll(op.pure)


def saving(roles: Any) -> bool:
    """Whether the rule of the first input reads an input or the output; what other rules read is looked for."""
    return any(role != PLAIN for role in islice(roles[0], 9)) if roles else False


def picker(places: list[int], shapes: list[bool]) -> Picker:
    if any(shapes):
        return lambda values: tuple([values[i].shape if s else values[i] for i, s in zip(places, shapes, strict=True)])
    if not places:
        return itemgetter(slice(0))
    if len(places) == 1:
        return itemgetter(slice(places[0], places[0] + 1))  # a tuple of one, without a Python frame
    return itemgetter(*places)


def declare(op: Op, call: Any) -> Any:
    call.op = op
    op.call = call
    return call


def callable_of(op: Op) -> Any:
    if op.many:
        return declare(op, gathering.gathering(op))
    simple = not (op.params or op.front or op.outputs) and len(op.inputs) <= max(INPUTS)
    if any(op.optional):  # a rule must then find what it reads where it stands in the first two inputs
        simple = simple and op.optional == [False, False, True] and all(role in (0, 1) for role in chain(*op.roles[:2]))
    return declare(op, calling.without_parameters(op) if simple else calling.general(op))


def elementwise(forward: Rule, doc: str, *rules: Rule, **options: Any) -> Any:
    """An operation on each element; its rules are pointwise and linear in g, and never mention broadcasting."""
    return callable_of(Op("elementwise", forward, doc, rules, options))


def reduction(forward: Rule, doc: str, rule: Rule, **options: Any) -> Any:
    """An operation that folds `axis` away. The rule sees g and y with the folded axes kept as size 1."""
    names = parameters(rule)
    dressed = [i for i, name in enumerate(names[1:]) if name == "y"]

    def spread(g: Any, x_shape: Any, kept: Any, *read: Any) -> Any:
        values = [dialect.reshape(value, kept) if i in dressed else value for i, value in enumerate(read)]
        return dialect.broadcast_to(rule(dialect.reshape(g, kept), *values), x_shape)

    spread.reads = ("g", "x_shape", "kept", *names[1:])  # type: ignore[attr-defined]
    op = Op("reduction", forward, doc, (), options | {"inputs": ("x",), "written": (rule,)})
    op.rules = op.pure = (spread,)
    pick, roles = bind(spread, ["x", "y", *op.params[:2], "kept", *op.params[2:]], op.inputs)
    op.pick, op.roles = (pick,), (roles,)
    op.saves = saving(op.roles)
    return declare(op, calling.reducing(op))


def linear(forward: Rule, doc: str, *rules: Rule, **options: Any) -> Any:
    """A linear map of one input (and its parameters); the rule is its adjoint, tested by ⟨w, Ax⟩ = ⟨Aᵀw, x⟩."""
    return callable_of(Op("linear", forward, doc, rules, options))


def bilinear(forward: Rule, doc: str, *rules: Rule, **options: Any) -> Any:
    """A product: linear in each of its inputs."""
    return callable_of(Op("bilinear", forward, doc, rules, options))


def fused(forward: Rule, doc: str, *rules: Rule, **options: Any) -> Any:
    """An operation which could be composed of others, declared whole because it is hot or needs care at extremes."""
    return callable_of(Op("fused", forward, doc, rules, options))


@overload
def composite(function: F) -> F: ...
@overload
def composite(**options: Any) -> Callable[[F], F]: ...
def composite(function: Any = None, **options: Any) -> Any:
    """A plain function of other operations: its gradient follows from theirs. Used as a decorator."""
    if function is None:
        return lambda function: composite(function, **options)
    names = parameters(function)
    options.setdefault("inputs", names[:1])
    doc = (function.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    op = Op("composite", function, doc, (), options)
    call = gathering.composed(op, function)
    call.__doc__ = function.__doc__
    return declare(op, call)


def constant(forward: Rule, doc: str, **options: Any) -> Any:
    """An operation without a gradient: comparisons, counting, positions. Its result never requires one."""
    options.setdefault("inputs", INPUTS[getattr(forward, "nin", 1)])
    return declare(op := Op("constant", forward, doc, (), options), calling.general(op))


def publish(table: dict[str, Any]) -> None:
    """Name the operations of one table after its variables and enter them in the REGISTRY."""
    for name, value in list(table.items()):
        op = getattr(value, "op", None)
        if isinstance(op, Op) and not op.key and not name.startswith("_"):
            op.key, op.name = name, op.name or name
            if name in REGISTRY:
                raise TypeError(f"two operations are called {name!r}")
            REGISTRY[name] = op
            for body in op.bodies:
                body.op.name = op.name
            value.__name__ = value.__qualname__ = name
            value.__doc__ = value.__doc__ or op.doc
