"""`export_numpy`: a model or a training step as a file that needs NumPy and nothing else.

You will know what is recorded, what is written, and why the file can be trusted: before it appears, its function has
run on the example inputs beside the original. Read `rehearse.py` and `standalone.py` first, then `script.py`.
"""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import pytree
from ..core import Tensor, wrap
from ..errors import ArgumentError, CompileError
from ..files import atomic_write, path_text
from ..modes import no_grad
from ..nn.module import Module
from ..optim.flat import moved_back
from ..serialize import save_npz
from .capture import ArrayOfOne
from .compiled import Compiled
from .differentiable import cut
from .passes import optimise
from .plan import array_at, note_holders
from .recording import Run, record
from .rehearse import Rehearsal, where
from .script import Script
from .source import write
from .standalone import described
from .titles import code_of, models, reached, weights
from .tree import mapped

if TYPE_CHECKING:
    from pathlib import Path

    from .program import Program, Value

RUNS = 2  # of the step, eagerly and exported, before the file is believed: the second sees what the first left behind
CLOSE = {8: 1e-12, 4: 1e-4, 2: 3e-2}  # relative to the largest entry, by the bytes of a float


class Facts(NamedTuple):
    """What the file is written from. content: memory → its array before the step. settings: Value → number."""

    kind: str
    run: Run
    program: Program
    content: dict[Value, np.ndarray]
    settings: dict[Value, Any]
    weights: dict[str, Any]  # key in the state_dict → its Value, or the array of a weight that the step does not use
    models: str
    hints: list[str]  # the arguments' names
    kept: list[tuple[Value, Value]]  # (parameter, its gradient) where the gradient is memory that the step writes to
    entries: dict[Value, Value]  # a setting that is the only entry of a memory → that memory


def export_numpy(model_or_step: Any, example_inputs: Any, path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write a Python file, and an .npz with the weights beside it, that need only NumPy; returns their paths.

    A Module, or a function of tensors that changes nothing, becomes `predict(...)`, without gradients and in the mode
    (`train` or `eval`) that it is in. A training step, compiled or not, becomes `step(...)`: parameters and the
    optimiser's state are arrays of the file, learning rates are keyword arguments, `state()`, `grad()` and `save(path)`
    give weights and gradients by their names in the state_dict. The file is written for the shapes and dtypes of the
    example. Nothing of the model changes, and the file appears only after its function gave what the original gives.

    Args:
        model_or_step: a Module, a function, or what `tg.compile` returned.
        example_inputs: the argument, or a tuple of the arguments; tensors, arrays, and tuples, lists and dicts of them.
        path: of the .py file, with or without its ending; an existing file is replaced.

    Raises CompileError for what cannot be recorded (as `tg.compile` does) or not be done by NumPy alone (random draws),
    ArgumentError for a name that Python could not import, OSError for a path that cannot be written.

    >>> import os, tempfile, tinygrad_bp as tg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [file.name for file in tg.export_numpy(tg.nn.Linear(2, 1), tg.ones(4, 2), folder + "/line")]
    ['line.py', 'line.npz']
    """
    target = file_of(path)
    function, without = model_or_step, ()
    if isinstance(function, Compiled):
        function, without = function.function, function.without
    if not callable(function):
        raise ArgumentError(f"tg.export_numpy: a model or a function is expected, not {type(function).__name__}")
    inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    args = mapped(inputs, apart)
    model = isinstance(function, Module)
    with moved_back(always=True):
        kind = "predict" if model or not changes(recorded(function, args)[0]) else "step"
        with no_grad() if model else nullcontext():
            facts, expected = rehearsed(function, args, kind)
    content = {value: facts.content[value] for value in facts.program.memories() if value in facts.content}
    program = optimise(facts.program, without)
    used = {value for call in program.calls for value in call.inputs()} | set(program.results())
    program.settings = [value for value in program.settings if value in used]
    memory = dict(content)
    for whole, members in program.flat.items():
        memory[whole] = np.zeros(whole.shape, whole.dtype)
        for start, member in members:
            memory[whole][start : start + member.size] = facts.content[member].ravel()
    script = Script(facts, program, write(program, memory), target.stem)
    publish(script, target, lambda namespace: compare(namespace, script, args, expected))
    return (target, target.with_suffix(".npz")) if script.saved else (target,)


def file_of(path: Any) -> Path:
    from pathlib import Path

    name = path_text("export_numpy", path)
    target = Path(name if name.endswith(".py") else f"{name}.py")
    if not target.stem.isidentifier():
        raise ArgumentError(
            f"tg.export_numpy: {target.name!r} is no name that Python can import; use letters, digits and _"
        )
    return target


def apart(leaf: Any) -> Any:
    """A copy of an example tensor, so that no argument is another one, or a parameter."""
    if isinstance(leaf, Tensor):
        new = wrap(np.array(leaf.array))
        return new.requires_grad_(leaf.requires_grad) if leaf.requires_grad else new
    return leaf.copy() if isinstance(leaf, np.ndarray) else leaf


def recorded(function: Any, args: tuple[Any, ...]) -> tuple[Run, Any]:
    """The recording, and the gradients of before on which it depends."""
    note_holders()
    reach, leaves = reached(function, args, {})
    run, patterns = record(function, reach, leaves)
    for call in run.program.calls:
        if call.prim.effect and call.outs:
            layer = f" in layer {call.scope!r} ({run.program.layers.get(call.scope)})" if call.scope else ""
            raise CompileError(
                f"tg.export_numpy: random numbers are drawn{layer}, and tinygrad_bp's generator is not part of NumPy. "
                "Call `model.eval()` before, or draw outside and pass the numbers in"
            )
    return run, patterns


def changes(run: Run) -> bool:
    """Whether a recording is a training step's, and not only a function's."""
    return bool(run.program.writes or run.program.gradients or run.births or run.numbers)


def rehearsed(function: Any, args: tuple[Any, ...], kind: str) -> tuple[Facts, list[Any]]:
    """What is to be written, and what the original returns and leaves behind when it is run.

    A step is recorded after its first run, on copies: then gradients and the optimiser's state are there. State that
    the first run made begins in the file as zeros; where that is not the same, the comparison will tell.
    """
    recorded(function, args)  # whatever cannot be recorded is refused before anything runs
    reach, leaves = reached(function, args, {})
    code = code_of(function)
    hints = list(code.co_varnames[: code.co_argcount]) if code is not None else []
    with Rehearsal(function, reach, leaves) as stage:
        expected = [stage.perform()]
        run, patterns = recorded(function, args)
        replaced = {id(t) for t, i in run.grads if i is not None}
        if run.births or any(g is None or id(t) in replaced for t, g in patterns):
            raise CompileError(
                "tg.export_numpy: the step makes new state at each call, or adds to the gradients of the call before; "
                "call `optimizer.zero_grad()` in the step"
            )
        expected += [stage.perform() for _ in range(RUNS - 1)]
        lasting = holders(run)
        content = {value: before(holder, stage) for value, holder in lasting}
        settings = {value: setting(value, run, stage) for value in run.program.settings}
        after = {value: np.array(array_at(holder)) for value, holder in lasting}
        grads = [np.array(t._grad.array) for t, i in run.grads if i is not None and t._grad is not None]
        known = {id(holder): value for value, holder in (*lasting, *run.aliases)}
        table = {key: known.get(id(t), t.array) for key, t in weights(reach).items()}
        kept = [(value, known[id(t._grad)]) for value, t in lasting if id(getattr(t, "_grad", None)) in known]
        arrays = {array_at(holder).ctypes.data: value for value, holder in lasting if value.size}
        places = {value: place.container for value, place in run.trace.places.items()}
        entries = {v: arrays[c.array.ctypes.data] for v, c in places.items() if isinstance(c, ArrayOfOne)}
        detail = "\n\n".join(map(repr, models(reach).values()))
    program = cut(run)[0] if run.in_graph else run.program
    del program.outputs[run.returned :]
    return Facts(kind, run, program, content, settings, table, detail, hints, kept, entries), [*expected, after, grads]


def holders(run: Run) -> list[tuple[Value, Any]]:
    """Each memory and who holds it; of what lies side by side each tensor."""
    inside = {value for members in run.program.flat.values() for _, value in members}
    alone = [(value, holder) for value, holder in run.memory if value not in run.program.flat]
    return alone + [(one.value, one.tensor) for one in run.members if one.value in inside]


def before(holder: Any, stage: Rehearsal) -> np.ndarray:
    """The content of memory before the step; zeros for what its first run made."""
    is_tensor = isinstance(holder, Tensor)
    array = stage.before.get(id(holder)) if is_tensor else stage.arrays_before.get(where(holder))
    return np.zeros_like(array_at(holder)) if array is None else np.array(array, order="C")


def setting(value: Value, run: Run, stage: Rehearsal) -> Any:
    place = run.trace.places[value]
    now = place.get()
    return stage.numbers_before.get(where(place), now if hasattr(place.container, "array") else type(now)(0))


# ------------------------------------------------------------------------------------------------ trust


def compare(namespace: dict[str, Any], script: Script, args: tuple[Any, ...], expected: list[Any]) -> None:
    """Raise if the exported function does otherwise than the original, which returned and left `expected`."""
    *results, after, grads = expected
    given = mapped(args, lambda leaf: np.array(leaf.array) if isinstance(leaf, Tensor) else leaf)
    for result in results:
        require_same(namespace[script.facts.kind](*given), result, "what it returns")
    for value, array in after.items():
        if value in script.homes:
            require_same(eval(script.homes[value], namespace), array, value.name)
    for text, array in zip(script.parts.gradients, grads, strict=True):
        require_same(eval(text, namespace), array, "a gradient")


def require_same(found: Any, expected: Any, what: str) -> None:
    """Raise if two results differ: in bits, or for floats by more than rounding."""
    for _, ours, theirs in pytree.pairs(found, expected):
        same_array(ours, theirs, what)


def same_array(found: Any, expected: Any, what: str) -> None:
    a, b = np.asarray(found), np.asarray(expected)
    fits = a.shape == b.shape and a.dtype == b.dtype
    if fits and b.dtype.kind in "fc":
        tolerance = CLOSE.get(b.dtype.itemsize >> (b.dtype.kind == "c"), 1e-12)
        largest = np.abs(b[np.isfinite(b)]).max(initial=0)
        with np.errstate(invalid="ignore"):
            fits = bool(((a == b) | (a != a) & (b != b) | (np.abs(a - b) <= tolerance * largest)).all())
    elif fits:
        fits = bool((a == b).all())
    if not fits:
        raise CompileError(
            f"tg.export_numpy: the exported function is not the same as the original in {what} ({described(a)} and "
            f"{described(b)}), so no file was written. If the optimizer has no state yet, run the step once before"
        )


def publish(script: Script, target: Path, check: Any) -> None:
    """Write both files elsewhere, run and check them there, and only then put them in their places, both or none."""
    import tempfile
    from pathlib import Path

    if not target.parent.is_dir():
        raise FileNotFoundError(f"tg.export_numpy: there is no folder {str(target.parent)!r}")
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / target.name
        trial.write_text(script.text, "utf-8")
        if script.saved:
            save_npz(script.saved, trial.with_suffix(".npz"))
        namespace: dict[str, Any] = {"__name__": target.stem, "__file__": str(trial)}
        exec(compile(script.text, str(trial), "exec"), namespace)
        check(namespace)
        files = {target.with_suffix(".npz"): trial.with_suffix(".npz").read_bytes()} if script.saved else {}
    files[target] = script.text.encode()
    old: dict[Path, bytes | None] = {}
    try:
        for place, content in files.items():
            old[place] = place.read_bytes() if place.is_file() else None
            with atomic_write(place) as file:
                file.write(content)
    except BaseException:
        for place, content_before in list(old.items())[:-1]:
            with suppress(OSError):
                put(place, content_before)
        raise


def put(place: Path, content: bytes | None) -> None:
    """A file as it was; None if it was not there."""
    if content is None:
        place.unlink()
        return
    with atomic_write(place) as file:
        file.write(content)
