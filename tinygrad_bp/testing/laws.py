"""The laws that a layer should obey, each a function of a `Trial` that raises `Broken` with a sentence.

After this file you know what `check_module` demands, and how each demand is put to the test. A law that finds nothing
to try on a layer raises `Untried` instead of passing in silence. Read `pytest_tinygrad_bp.py` next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import pytree
from ..core import Tensor, wrap
from ..errors import GraphError, InplaceError
from .assertions import assert_close
from .specs import Spec, values_of

if TYPE_CHECKING:
    from collections.abc import Callable

LAYOUTS = ("permuted", "reversed", "strided", "read-only")


class Broken(AssertionError):
    """The law does not hold, and the message says how it is seen."""


class Untried(Exception):
    """Nothing in this layer that the law speaks of."""


class Trial:
    """A layer and inputs to try a law on; every call makes new ones, so that no law sees another's traces."""

    def __init__(
        self,
        make: Callable[[int], Any],
        specs: list[Spec],
        shapes: tuple[tuple[int, ...], ...],
        seed: list[int],
        between: tuple[float, float],
    ) -> None:
        self.make, self.specs, self.shapes, self.seed, self.between = make, specs, shapes, seed, between

    def layer(self, dtype: str | None = "float64", training: bool = True, stream: int = 0) -> Any:
        """A layer of its own, in `dtype`, or as it was made."""
        made = self.make(self.seed[0] + stream)
        if dtype:
            made.to(dtype)
        made.train(training)
        return made

    def arrays(self, dtype: str = "float64") -> list[np.ndarray]:
        """The values of the inputs."""
        both = enumerate(zip(self.specs, self.shapes, strict=True))
        values = [values_of(spec, shape, [*self.seed, i], *self.between) for i, (spec, shape) in both]
        return [value.astype(dtype) if value.dtype.kind == "f" else value for value in values]

    def inputs(self, dtype: str = "float64", grad: bool = True, kind: str = "plain") -> list[Any]:
        """The inputs as leaves, lying in memory as `kind` says."""
        from .strategies import as_leaf, layout

        return [as_leaf(layout(array, kind), grad) for array in self.arrays(dtype)]

    def call(self, layer: Any, inputs: list[Any], stream: int = 1) -> list[Any]:
        """The outputs of one call, with the random stream put where `stream` says."""
        from ..random import manual_seed

        manual_seed(self.seed[0] + stream)
        np.random.seed((self.seed[0] + stream) % 2**32)  # noqa: NPY002 (a layer may draw from it)
        return outputs_of(layer(*inputs))

    def backward(self, outputs: list[Any], tell: Any = None) -> None:
        """Pull one random cotangent back from all outputs that have a graph."""
        from ..autograd import backward
        from ..modes import overwriters

        live = [y for y in outputs if y.requires_grad]
        rng = np.random.default_rng([*self.seed, 99])
        cotangents = [wrap(rng.uniform(0.5, 2.0, y.array.shape).astype(y.array.dtype)) for y in live]
        with overwriters() as wrote:
            if live:
                backward(live, cotangents)
        if tell and wrote:
            raise Broken("backward overwrites the incoming gradient, which others may hold too; compute a new tensor")


def outputs_of(value: Any) -> list[Any]:
    """The tensors that a layer returned, alone or in tuples, lists and dicts."""
    listed = pytree.leaves(value)
    wrong = [type(y).__name__ for y in listed if not isinstance(y, Tensor)]
    if wrong or not listed:
        raise Broken(f"forward returns {' and '.join(wrong) or 'nothing'}; expected a Tensor, or a tuple of Tensors")
    return listed


def forward(trial: Trial) -> None:
    """The layer can be called, as it was made and in float64."""
    layer = trial.layer(None)
    first = next((p.array.dtype.name for p in layer.parameters()), "float32")
    trial.call(layer, trial.inputs(first, grad=False))
    try:
        trial.call(trial.layer(), trial.inputs(grad=False))
    except Exception as error:
        lost = unregistered(layer) or "something in it that is neither a parameter nor a buffer stays behind"
        raise Broken(f"it works in {first}, but after .double() it raises\n{error}\n{lost}") from error


def gradient(trial: Trial) -> None:
    """The gradients of every input and parameter are right."""
    from ..gradcheck import gradcheck

    _checked(gradcheck, trial)


def second_derivative(trial: Trial) -> None:
    """The backward can itself be differentiated, and rightly."""
    from ..gradcheck import gradgradcheck

    try:
        _checked(gradgradcheck, trial)
    except GraphError as error:
        if "once_differentiable" not in str(error):
            raise
        raise Untried("a backward in it is marked once_differentiable") from None


def _checked(check: Any, trial: Trial) -> None:
    layer, inputs = trial.layer(), trial.inputs()
    live = any(p.requires_grad for p in layer.parameters()) or any(x.requires_grad for x in inputs)
    copies = [x.clone() for x in inputs]  # which, unlike leaves, a layer may change in place
    if not live or not any(y.requires_grad for y in trial.call(trial.layer(), copies)):
        raise Untried("no output depends on a float input or a parameter that requires a gradient")
    if not any(x.array.size for x in inputs if x.requires_grad) and not list(layer.parameters()):
        raise Untried("the inputs are empty")
    report = check(layer, tuple(inputs), raise_exception=False, seed=trial.seed[0])
    if check.__name__ == "gradgradcheck" and any(finding.order == 1 for finding in report.failures):
        raise Untried("the first derivative is wrong")
    if not report:
        raise Broken(str(report))


def dtype(trial: Trial) -> None:
    """float32 in, float32 out, and so for float64; gradients have the dtype of what they belong to."""
    for name in ("float32", "float64"):
        layer, inputs = trial.layer(name), trial.inputs(name)
        outputs = trial.call(layer, [x.clone() for x in inputs])
        for i, y in enumerate(outputs):
            if y.array.dtype.kind == "f" and y.array.dtype != name:
                lost = unregistered(layer) or "what forward mixes in has a dtype of its own: give it x.dtype"
                raise Broken(f"{name} goes in, and output {i} is {y.array.dtype}; {lost}")
        trial.backward(outputs)
        for what, x in [*((f"input {i}", x) for i, x in enumerate(inputs)), *layer.named_parameters()]:
            if x.grad is not None and x.grad.array.dtype != x.array.dtype:
                raise Broken(f"{what} is {x.array.dtype} and its gradient {x.grad.array.dtype}")


def inputs_kept(trial: Trial) -> None:
    """Neither forward nor backward writes into the inputs, the parameters or the incoming gradient."""
    layer, inputs = trial.layer(), trial.inputs(grad=False)
    watched = {**{f"input {i}": x for i, x in enumerate(inputs)}, **dict(layer.named_parameters())}
    _watch(watched, "forward", lambda: trial.call(layer, inputs))
    layer, inputs = trial.layer(), trial.inputs()
    outputs = trial.call(layer, inputs)
    watched = {**{f"input {i}": x for i, x in enumerate(inputs)}, **dict(layer.named_parameters())}
    _watch(watched, "backward", lambda: trial.backward(outputs, tell=True))


def _watch(watched: dict[str, Any], who: str, act: Callable[[], Any]) -> None:
    before = {name: x.array.copy() for name, x in watched.items()}
    act()
    for name, x in watched.items():
        changed = np.count_nonzero(x.array != before[name])
        if changed:
            raise Broken(f"{who} overwrites {name} ({changed} of {x.array.size} entries); compute a new tensor instead")


def memory_layout(trial: Trial) -> None:
    """Permuted, reversed, strided and read-only inputs give what plain ones give, gradients too."""
    tidy = trial.inputs()
    try:
        expected = trial.call(trial.layer(training=False), tidy)
    except InplaceError:
        raise Untried("it writes into its input") from None
    trial.backward(expected)
    for kind in LAYOUTS:
        layer, inputs = trial.layer(training=False), trial.inputs(kind=kind)
        outputs = trial.call(layer, inputs)
        trial.backward(outputs)
        _same(outputs, expected, f"outputs for {kind} inputs and for plain ones")
        for i, (x, x0) in enumerate(zip(inputs, tidy, strict=True)):
            if (x.grad is None) != (x0.grad is None):
                raise Broken(f"input {i} gets a gradient for {'plain' if x.grad is None else kind} inputs only")
            if x.grad is not None:
                _same([x.grad], [x0.grad], f"gradients of input {i} for {kind} inputs and for plain ones")


def _same(actual: list[Any], expected: list[Any], what: str) -> None:
    try:
        for y, y0 in zip(actual, expected, strict=True):
            assert_close(y.detach(), y0.detach(), equal_nan=True)
    except AssertionError as error:
        raise Broken(f"{what} differ\n{error}") from None


def batch(trial: Trial) -> None:
    """In eval mode a row's output is the same with and without the other rows."""
    letter = next((spec.batch for spec in trial.specs if spec.batch), None)
    if letter is None:
        raise Untried('no batch axis: let the shape begin with a letter, as in "N,3"')
    outputs = trial.call(trial.layer(training=False), trial.inputs(grad=False))
    rows = next(shape[0] for spec, shape in zip(trial.specs, trial.shapes, strict=True) if spec.batch == letter)
    of_rows = [i for i, y in enumerate(outputs) if y.array.ndim and y.array.shape[0] == rows]
    if not of_rows:
        raise Untried(f"no output has the batch axis {letter} first")
    for row in range(rows):
        inputs = trial.inputs(grad=False)
        alone = [x[row : row + 1] if spec.batch == letter else x for x, spec in zip(inputs, trial.specs, strict=True)]
        single = trial.call(trial.layer(training=False), alone)
        for i in of_rows:
            _same([single[i]], [outputs[i][row : row + 1]], f"row {row} of output {i} alone, and among {rows} rows,")


def train_eval(trial: Trial) -> None:
    """train() and eval() reach every layer; in eval mode nothing is random and nothing is remembered."""
    layer = trial.layer(training=False)
    for mode in (True, False):
        layer.train(mode)
        deaf = [path or type(layer).__name__ for path, part in layer.named_modules() if part.training is not mode]
        if deaf:
            raise Broken(f"train({mode}) does not reach {', '.join(deaf)}: an own `train` calls super().train(mode)")
    state = {key: value.array.copy() for key, value in layer.state_dict().items()}
    first, again = (trial.call(layer, trial.inputs(grad=False), stream) for stream in (1, 2))
    if any(part.training for part in layer.modules()):
        raise Broken("forward switches the training flag")
    _same(again, first, "in eval mode the outputs of two calls")
    for key, value in layer.state_dict().items():
        if not np.array_equal(value.array, state[key], equal_nan=True):
            raise Broken(f"in eval mode forward changes {key}; update it only where self.training is True")


def state_dict(trial: Trial) -> None:
    """A layer made anew and given the state_dict of another computes the same."""
    lost = unregistered(trial.layer())
    layer = trial.layer(stream=1, training=False)
    rng = np.random.default_rng([*trial.seed, 7])
    for tensor in layer.state_dict().values():  # away from the first values, which may be constants
        if tensor.array.dtype.kind == "f" and tensor.array.flags.writeable:
            tensor.array[...] *= rng.uniform(0.75, 1.25, tensor.array.shape)
    state = {key: value.array.copy() for key, value in layer.state_dict().items()}
    fresh = trial.layer(stream=2, training=False)
    fresh.load_state_dict(state)
    assert_close({key: value.array for key, value in fresh.state_dict().items()}, state, equal_nan=True)
    expected = trial.call(layer, trial.inputs(grad=False))
    actual = trial.call(fresh, trial.inputs(grad=False))
    try:
        _same(actual, expected, "a fresh layer with the state_dict loaded, and the layer that it came from,")
    except Broken as broken:
        lost = lost or "what it computes depends on something that state_dict does not hold"
        raise Broken(f"{lost}\n{broken}") from None
    if " holds " in lost:  # what a list of constants holds may be meant to stay out
        raise Broken(lost)


def compiled(trial: Trial) -> None:
    """Under `tg.compile` outputs, gradients and buffers are those of the eager layer, again and with new data."""
    from ..compiler import compile
    from ..errors import CompileError
    from ..random import manual_seed

    other = Trial(trial.make, trial.specs, trial.shapes, [*trial.seed, 3], trial.between)
    layers, step = (trial.layer(), trial.layer()), compile(_pulled)
    for stream, one in enumerate((trial, other, trial)):
        results = []
        for layer, function in zip(layers, (_pulled, step), strict=True):
            manual_seed(trial.seed[0] + stream)
            try:
                results.append(function(layer, *one.inputs()))
            except CompileError as error:
                raise Untried(str(error)) from None
        what = "outputs, or gradients of inputs and parameters, of the compiled layer and of the eager one"
        _same(results[1], results[0], what)
        held = [list(layer.state_dict().values()) for layer in layers]
        _same(held[1], held[0], "parameters or buffers after a call of the compiled layer and of the eager one")


def _pulled(layer: Any, *inputs: Any) -> list[Any]:
    """The layer's outputs, and a fixed cotangent pulled back to inputs and parameters."""
    from ..autograd import grad
    from ..creation import tensor

    outputs = outputs_of(layer(*[x.clone() for x in inputs]))  # which, unlike leaves, a layer may change in place
    live = [y for y in outputs if y.requires_grad]
    leaves = [x for x in (*inputs, *layer.parameters()) if x.requires_grad]
    rng = np.random.default_rng(99)
    cotangents = [tensor(rng.uniform(0.5, 2.0, y.array.shape).astype(y.array.dtype)) for y in live]
    grads = grad(live, leaves, cotangents, materialize_grads=True) if live and leaves else ()
    return [*(y.detach() for y in outputs), *grads]


def unregistered(layer: Any) -> str:
    """What the layer keeps where state_dict, train and `.double()` do not find it, in a sentence; '' if nothing."""
    from ..nn import Module, Parameter

    known = {id(x) for x in (*layer.parameters(), *layer.modules(), *layer.buffers())}
    for path, part in layer.named_modules():
        for name, value in vars(part).items():
            where, kind = f"{path}.{name}".lstrip("."), "Dict" if isinstance(value, dict) else "List"
            held = list(value.values()) if isinstance(value, dict) else value
            lost = [x for x in held if id(x) not in known] if isinstance(held, list | tuple) else []
            if any(isinstance(x, Parameter | Module) for x in lost):
                use = f"use Module{kind} or Parameter{kind}"
                own = type(value).__name__
                return f"{where} holds layers or parameters in a {own}, where nothing finds them: {use}"
            if isinstance(value, Tensor) and id(value) not in known:
                return f"{where} is a Tensor, but no parameter and no buffer: self.register_buffer({name!r}, …)"
    return ""


LAWS: dict[str, Callable[[Trial], None]] = {
    "forward": forward,
    "gradient": gradient,
    "second derivative": second_derivative,
    "dtype": dtype,
    "inputs kept": inputs_kept,
    "memory layout": memory_layout,
    "batch": batch,
    "train/eval": train_eval,
    "state_dict": state_dict,
    "compiled": compiled,
}
