"""Method: an optimiser as a declaration: its settings, its state, and its paper's lines as a rule on arrays.

    class Momentum(Method):
        lr: float = setting(default=1e-3, least=0)
        momentum: float = setting(default=0.9, least=0, below=1)
        velocity = state()

        @staticmethod
        def rule(p, g, velocity, lr, momentum):
            velocity *= momentum
            velocity += g
            p -= lr * velocity

A rule receives what its parameters name: `p` and `g`, the entries of parameters and of their gradients; each state, in
the order of its declaration (None where a setting switches it off); then, if it wants them, `t`, the number of this
step, and `first`, whether the state is new; then settings. It writes into p and the state (`-=`, `out=`), never into g,
and each entry by itself: who lies beside it is decided in `parts.py`. It is ordinary NumPy, since the compiler's
stand-ins read it too. Functions that round once (`+ - * /`, `np.sqrt`, `np.maximum`) give an entry the same bits
wherever it lies.

Read `sgd.py` next, then `adam.py`, against their papers.
"""

from __future__ import annotations

import inspect
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, dataclass_transform

import numpy as np

from ..core import Tensor
from ..duck import TRACES, tracing
from ..errors import ArgumentError, DtypeError, kind_of
from ..memory import stamp_all
from .given import is_number, number
from .optimizer import Optimizer
from .parts import COUNT, STEP, Part, Parts, Sentence

if TYPE_CHECKING:

    from .optimizer import Params

SEVERAL = "names another implementation, and there is only one; leave it out"


class Setting(NamedTuple):
    """A setting of a group: its default, its bounds (each entry's, of a tuple), and how it is given."""

    default: Any
    least: float | None
    below: float | None
    kw_only: bool
    implementation: bool

    def require(self, method: str, name: str, value: Any) -> None:
        """Raise ArgumentError or DtypeError unless a value may be that of this setting."""
        if isinstance(self.default, tuple):
            if not isinstance(value, tuple | list) or len(value) != len(self.default):
                raise DtypeError(f"{method}: {name} must be {len(self.default)} numbers, not {value!r}")
            for i, part in enumerate(value):
                Setting(self.default[i], self.least, self.below, False, False).require(method, f"{name}[{i}]", part)
        elif self.default is None or isinstance(self.default, bool):
            if not isinstance(value, bool | np.bool_ | int | None) and not hasattr(value, "known_number"):
                raise DtypeError(f"{method}: {name} must be True or False, not {kind_of(value)}")
            if self.implementation and value:
                raise ArgumentError(f"{method}: {name}=True {SEVERAL}")
        else:
            self._require_number(method, name, value)

    def _require_number(self, method: str, name: str, value: Any) -> None:
        if isinstance(value, Tensor) and value.array.size != 1:
            shape = value.array.shape
            raise ArgumentError(f"{method}: {name} as a Tensor must be a single number, not of shape {shape}")
        known = number(value)
        if not isinstance(known, int | float | np.integer | np.floating) and not hasattr(known, "known_number"):
            fix = f": write {name}={value}" if isinstance(value, str) and is_number(value) else ""
            raise DtypeError(f"{method}: {name} must be a number, not {kind_of(value)}{fix}")
        if self.least is not None and not known >= self.least:
            told = "which must not be negative or NaN" if self.least == 0 else f"which must be {self.least} or more"
            raise ArgumentError(f"{method}: {name} {known}, {told}")
        if self.below is not None and not known < self.below:
            raise ArgumentError(f"{method}: {name} {known}, which must be below {self.below}")


class State(NamedTuple):
    """What a method remembers of each entry, from zeros on; only with the setting `when`, if one is named."""

    when: str


def setting(*, default: Any, least: float | None = None, below: float | None = None, kw_only: bool = False) -> Any:
    """A setting with its default: a number, True or False, or a tuple of numbers; bounds hold for each."""
    return Setting(default, least, below, kw_only, False)


def implementation(*, default: bool | None, kw_only: bool = False) -> Any:
    """A setting by which PyTorch chooses among implementations: True is refused."""
    return Setting(default, None, None, kw_only, True)


def state(when: str = "") -> Any:
    """A kind of state: an array of a parameter's shape, zeros before the first step; see `State`."""
    return State(when)


@dataclass_transform(field_specifiers=(setting, implementation))
class Declared(Optimizer):
    """Tells type checkers that the settings which a class names are the arguments that make one."""

    _parts: dict[int, Parts]  # by the id of their group


class Method(Declared):
    """Base of the declared methods; see the head of this file.

    A subclass declares `setting`s, with annotations, and `state`s, and writes `rule`. Its signature, `defaults`,
    checks, `state_dict` and the update of a whole group at once follow from these.

    >>> import tinygrad_bp as tg
    >>> from tinygrad_bp.optim.method import Method, setting
    >>> class SignDescent(Method):
    ...     lr: float = setting(default=0.1, least=0)
    ...
    ...     @staticmethod
    ...     def rule(p, g, lr):
    ...         p -= lr * np.sign(g)
    >>> w = tg.nn.Parameter(tg.ones(2))
    >>> w.grad = tg.tensor([3.0, -0.2])
    >>> SignDescent([w]).step()
    >>> w
    Parameter containing:
    tensor([0.9000, 1.1000], requires_grad=True)
    """

    params: Params  # for type checkers: what a method is given first; they lie in `param_groups`
    settings: ClassVar[dict[str, Setting]] = {}
    states: ClassVar[dict[str, State]] = {}
    names: ClassVar[tuple[str, ...]] = ()  # of a parameter's state, in order
    sentence: ClassVar[Sentence]
    _read: ClassVar[Any]  # all settings of a group
    _wanted: ClassVar[tuple[str, ...]] = ()  # those that the rule reads
    _whole: ClassVar[bool] = True  # whether groups are updated by the rule, and by nothing that a subclass wrote

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.settings, cls.states = dict(cls.settings), dict(cls.states)
        for name, value in list(vars(cls).items()):
            if isinstance(value, Setting | State):
                (cls.settings if isinstance(value, Setting) else cls.states)[name] = value  # type: ignore[assignment]
                delattr(cls, name)
        cls.names = ((COUNT,) if "t" in _asked(cls) else ()) + tuple(cls.states)
        cls.remembered = cls.names
        cls.sentence, cls._wanted = _sentence(cls)
        names = tuple(cls.settings)
        cls._read = staticmethod(itemgetter(*names, *names[:1])) if names else staticmethod(lambda group: ())
        cls._whole = cls.update is Method.update
        if "__init__" not in vars(cls):
            setattr(cls, "__signature__", _signature(cls))  # noqa: B010

    if not TYPE_CHECKING:

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            try:
                given = _signature(type(self)).bind(*args, **kwargs)
            except TypeError as error:
                raise DtypeError(f"{self._name}: {error}") from None
            given.apply_defaults()
            self._parts = {}
            params = given.arguments.pop("params")
            super().__init__(params, {name: given.arguments[name] for name in self.settings})

    @staticmethod
    def rule(*arrays: Any) -> None:
        """The method's lines, on arrays."""
        raise NotImplementedError("a Method has no rule yet: write `def rule(p, g, …)` in it, a staticmethod")

    # ------------------------------------------------------------ settings
    def check(self, group: dict[str, Any]) -> None:
        for name, one in self.settings.items():
            one.require(self._name, name, group[name])

    def _settled(self, parts: Parts, now: tuple[Any, ...]) -> None:
        """Check the settings of a group; which state they ask for, and what the rule reads of them."""
        group = parts.group
        self.check(group)
        parts.active = tuple([name for name in self.names if name == COUNT or self._needs(name, group)])
        parts.values = tuple([as_numbers(group[name]) for name in self._wanted])
        inside = any(isinstance(value, Tensor | list) for value in now)  # which may change, and is the same thing still
        parts.settings = None if inside or TRACES else now

    def _needs(self, name: str, group: dict[str, Any]) -> bool:
        when = self.states[name].when
        return not when or bool(group[when])

    # ------------------------------------------------------------ the step
    def _step(self) -> None:
        if not self._whole:
            super()._step()
        elif TRACES and tracing():
            self._record()
        else:
            ready = []
            for group in self.param_groups:
                ready += self._ready(group)
            apply_quietly(self, ready)

    def _ready(self, group: dict[str, Any]) -> Any:
        """What is to be applied to the parts of a group, all of whose gradients are sound."""
        parts = self._parts.get(id(group))
        if parts is None or parts.group is not group:
            parts = self._parts_of(group)
        now = self._read(group)
        try:
            known = now == parts.settings
        except ValueError:  # an array, which `_settled` refuses
            known = False
        if not known:
            self._settled(parts, now)
        ready = parts.ready(group["params"], self.state)
        if ready is None:
            self._sound(group)
            settled, parts = (parts.settings, parts.active, parts.values), self._parts_of(group)
            parts.settings, parts.active, parts.values = settled
            parts.arrange(self.state, self.names, self._name, None)
            ready = parts.ready(group["params"], self.state, new=True)
            assert ready is not None
        return ready

    def _parts_of(self, group: dict[str, Any]) -> Parts:
        parts = self._parts.get(id(group))
        if parts is None or not parts.of(group):
            known = {id(other) for other in self.param_groups}
            for key in [key for key in self._parts if key not in known]:
                del self._parts[key]
            parts = self._parts[id(group)] = Parts(group)
        return parts

    def arrange(self) -> list[Part]:
        """Lay side by side what may be, before a recording; the parts of all groups."""
        if not self._whole:
            return []
        for group in self.param_groups:
            self._parts_of(group).arrange(self.state, self.names, self._name, asks)
        return [part for group in self.param_groups for part in self._parts_of(group).parts]

    def _record(self) -> None:
        groups = []
        for group in self.param_groups:
            parts = self._parts_of(group)
            self._settled(parts, ())
            groups.append((parts, parts.active, parts.values))
            self._sound(group)
        for parts, active, values in groups:
            for part in parts.parts:
                stepped = part.record(self.sentence, self.state, active, values)
                stamp_all([p.array for p in stepped], self.sentence.by, STEP)

    def update(self, group: dict[str, Any], params: list[Any]) -> None:
        """Change the tensors in `params`, all of which have a sound gradient, in place, one by one."""
        alone = Parts(group)
        self._settled(alone, ())
        for p in params:
            part = Part([p])
            part.adopt(self.state, self.names, self._name)
            if TRACES and tracing():
                part.record(self.sentence, self.state, alone.active, alone.values)
            else:
                part.step(self.sentence, [p._grad.array], self.state, alone.active, alone.values)

    def __getstate__(self) -> dict[str, Any]:
        """Memory is laid out anew by whoever gets the copy."""
        return {**vars(self), "_parts": {}}


def _apply(method: Method, ready: list[Any]) -> None:
    """The second half of a step: everything has been checked."""
    sentence, state = method.sentence, method.state
    for part, grads, active, values in ready:
        part.step(sentence, grads, state, active, values)
        part.mark(sentence.by)


# A warning made an error must not stop halfway; overflow shows in the loss. As a decorator errstate costs half.
apply_quietly = np.errstate(all="ignore")(_apply)


def asks(p: Any) -> bool:
    """Whether a parameter may be expected to step."""
    return p.node is not None or p._grad is not None


def as_numbers(value: Any) -> Any:
    """A setting as a rule gets it: Python numbers, which are weak in dtype."""
    return tuple(map(number, value)) if isinstance(value, tuple | list) else number(value)


# ------------------------------------------------------------------------------------------------ reading a declaration
def _asked(method: type[Method]) -> list[str]:
    """The names of the rule's parameters."""
    return list(inspect.signature(method.rule).parameters)


def _sentence(method: type[Method]) -> tuple[Sentence, tuple[str, ...]]:
    """The rule with what it asks for, and the settings among that; DtypeError for a name that nothing stands for."""
    names, states, by = _asked(method), tuple(method.states), f"{method.__name__}.step"
    if method.rule is Method.rule:
        return Sentence(method.rule, states, False, False, by), ()
    moment = [name for name in ("t", "first") if name in names]
    wanted = [name for name in names if name in method.settings]
    if names != ["p", "g", *states, *moment, *wanted]:
        told = ", ".join(["p", "g", *states, "[t]", "[first]", *(f"[{name}]" for name in method.settings)])
        raise DtypeError(f"{method.__name__}: the parameters of its rule must be ({told}), not ({', '.join(names)})")
    return Sentence(method.rule, states, "t" in moment, "first" in moment, by), tuple(wanted)


def _signature(method: type[Method]) -> inspect.Signature:
    """How the method is called: parameters, then the settings, those that must be named at the end."""
    P = inspect.Parameter
    given = [P(name, P.KEYWORD_ONLY if one.kw_only else P.POSITIONAL_OR_KEYWORD, default=one.default)
             for name, one in method.settings.items()]  # fmt: skip
    return inspect.Signature([P("params", P.POSITIONAL_OR_KEYWORD), *sorted(given, key=lambda one: one.kind)])

