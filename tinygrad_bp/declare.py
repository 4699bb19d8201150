"""The declaring words: one call of one of these is a whole operation, and enters it in the REGISTRY.

A rule is one expression in NumPy's words; the names of its parameters say what it reads:
`g` cotangent · `y` output · `x` the only input · `a`, `b`, `c` several inputs · `x_shape` a shape without keeping its
array · then the operation's own parameters. **A rule receives exactly what its parameters name, and the node keeps
exactly that.** Names are resolved here, once; at run time a call is positional.

`elementwise`, `reduction`, `linear`, `bilinear` and `fused` declare rules; `composite` is a plain function of
other operations; `constant` has no gradient. Read `ops/transcendental.py` next: the calculus page.
"""

from __future__ import annotations

from copy import copy
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import calling, dialect
from .core import OUTPUT, PLAIN
from .kernels import in_single

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Rule = Callable[..., Any]
    Picker = Callable[[tuple[Any, ...]], tuple[Any, ...]]

F = TypeVar("F", bound="Callable[..., Any]")

REGISTRY: dict[str, Op] = {}
INPUTS = {1: ("x",), 2: ("a", "b"), 3: ("a", "b", "c")}


class Case:
    """Arguments on which the laws try an operation: shapes of the inputs, then its own parameters."""

    __slots__ = ("kwargs", "shapes")

    def __init__(self, *shapes: tuple[int, ...], **kwargs: Any) -> None:
        self.shapes, self.kwargs = shapes, kwargs

    def __repr__(self) -> str:
        return f"Case({', '.join(map(repr, self.shapes))}, {self.kwargs})"


class Op:
    """One declared operation: its forward, its rules bound to what they read, and what else was said of it.

    `rules[i]` leads from the cotangent to input i; `pure[i]` is the same sentence before a fast kernel took its
    place; `roles[i]` tells for each saved value which input it is; `pick[i]` takes the saved values out of
    (inputs…, output, parameters…).
    """

    def __init__(self, word: str, forward: Rule, doc: str, rules: Sequence[Rule], options: dict[str, Any]) -> None:
        self.key = ""  # its name in the REGISTRY
        self.name: str = options.pop("shown", "")  # what messages and grad_fn call it: the whole of which it is a part
        self.word, self.forward, self.doc = word, options.pop("fast", None) or forward, doc
        self.pure_forward = forward
        self.inputs = options.pop("inputs", None) or INPUTS[max(len(rules), 1)]
        self.params = parameters(forward)[len(self.inputs) :] if hasattr(forward, "__code__") else ()
        self.defaults = (
            dict(zip(reversed(self.params), reversed(forward.__defaults__ or ()), strict=False)) if self.params else {}
        )
        self.front: Rule | None = options.pop("front", None)
        self.written = tuple(options.pop("written", rules))  # the sentences themselves, for docs and lint
        self.pure = tuple(rules)
        self.rules = tuple(options.pop("fast_rules", None) or rules)
        bound = [bind(rule, self.inputs, self.params) for rule in rules]
        self.pick: tuple[Picker, ...] = tuple(picker for picker, _ in bound)
        self.roles = tuple(roles for _, roles in bound)
        self.saves = saving(self.roles)  # inputs or its output, for backward
        self.operators: tuple[str, ...] = tuple(options.pop("operators", ()))
        self.numpy: tuple[Any, ...] = options.pop("numpy", ())
        self.method: bool = options.pop("method", True)
        self.view: bool = options.pop("view", False)  # its result may look into the input's memory
        if self.view and any(role != PLAIN for roles in self.roles for role in roles):
            raise TypeError(f"declaration of {doc!r}: the rule of a view reads shapes and parameters only")
        self.internal: bool = options.pop("internal", False)  # a part of others, with no name in `tg`
        self.domain = options.pop("domain", None)
        self.cases: tuple[Case, ...] = tuple(options.pop("cases", ()))
        self.analytic: bool = options.pop("analytic", False)
        self.singular: dict[str, Rule] = options.pop("singular", {})  # what is chosen where no derivative exists: where
        self.flat: bool = options.pop("flat", False)  # a staircase: whatever is computed from it depends on no input
        self.call: Any = None
        self.adds_up = word in ("reduction", "bilinear", "fused")
        if options:
            raise TypeError(f"declaration of {doc!r}: unknown options {sorted(options)}")

    def __repr__(self) -> str:
        return f"<{self.word} {self.name}>"

    @cached_property
    def halves(self) -> Op:
        """The same operation on float16: halves are added up in float32, as in PyTorch, and rounded once at the end.

        A half counts only to 2048 by ones, and 300² is too large for it.
        """
        twin = copy(self)
        twin.adds_up, twin.forward = False, in_single(self.forward, last=True)
        twin.rules, twin.pure = tuple(map(in_single, self.rules)), tuple(map(in_single, self.pure))
        return twin


def parameters(function: Any) -> tuple[str, ...]:
    code = function.__code__
    return tuple(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


def bind(rule: Rule, inputs: Sequence[str], params: Sequence[str]) -> tuple[Picker, tuple[int, ...]]:
    """Where in (inputs…, y, parameters…) each name of the rule stands, and the role of what is found there."""
    order = [*inputs, "y", *params]
    first, *names = getattr(rule, "reads", None) or parameters(rule)
    if first != "g":
        raise TypeError(f"a rule's first parameter is the cotangent g, not {first!r}")
    places, shapes, roles = [], [], []
    for name in names:
        stem = name.removesuffix("_shape")
        is_shape = stem != name and stem in order[: len(inputs) + 1]
        if not is_shape and name not in order:
            raise TypeError(f"a rule reads {name!r}, but this operation has only {order}")
        place = order.index(stem if is_shape else name)
        places.append(place)
        shapes.append(is_shape)
        plain = is_shape or place > len(inputs)
        roles.append(PLAIN if plain else OUTPUT if place == len(inputs) else place)
    return picker(places, shapes), tuple(roles)


def saving(roles: Any) -> bool:
    """Whether the rule of the first input reads an input or the output; what other rules read is looked for."""
    return any(role != PLAIN for role in roles[0]) if roles else False


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
    return declare(op, calling.general(op) if op.params or op.front else calling.plain(op))


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
    order = (*op.params[:2], "kept", *op.params[2:])
    pick, roles = bind(spread, op.inputs, order)
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
    call = calling.composed(op, function)
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
            value.__name__ = value.__qualname__ = name
            value.__doc__ = value.__doc__ or op.doc
