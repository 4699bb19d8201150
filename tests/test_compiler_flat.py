"""The pass `flat` updates all parameters at once, wherever that changes nothing.

Read `test_compiler_explain.py` next.
"""

from __future__ import annotations

import numpy as np
from program_draws import anchored_rule, plain_rule
from program_kit import (
    Build,
    checked,
    descend,
    training_step,
)

from tinygrad_bp.compiler.program import Program, Value


def flat_names(program: Program) -> dict[str, list[str]]:
    return {flat.name: [member.name for member in members] for flat, members in program.flat.items()}


def test_flat_updates_a_whole_net_in_two_calls() -> None:
    after = checked("flat", training_step((2, 3, 3, 2), ("Tanh",) * 3, bias=True))
    assert [call.prim.name for call in after.calls if call.phase == "update" and call.prim.kind == "ufunc"] == [
        "multiply", "subtract",
    ]  # fmt: skip
    every = [f"layer{i}.{part}" for i in range(3) for part in ("weight", "bias")]
    assert flat_names(after) == {"parameters": every}
    (flat,) = after.flat
    assert list(after.writes) == [flat]
    assert (flat.shape, after.writes[flat].shape) == ((6 + 3 + 9 + 3 + 6 + 2,), flat.shape)


def test_flat_takes_the_state_along_and_shows_the_gradients() -> None:
    program = training_step(bias=True, momentum=True, decay=True, nesterov=True, clip=True)
    after = checked("flat", program)
    weights = ["layer0.weight", "layer0.bias", "layer1.weight", "layer1.bias"]
    buffers = [f"{name}.momentum_buffer" for name in weights]
    assert flat_names(after) == {"momentum_buffers": buffers, "parameters": weights}
    assert [p for p, _ in after.gradients] == [p for p, _ in program.gradients]
    clipped = {value.maker.args[0].maker.args[0] for _, value in after.gradients if len(value.shape) == 2}  # type: ignore[union-attr]
    assert len(clipped) == 1  # all look into one array


def test_flat_gathers_in_the_order_of_the_members() -> None:
    after = checked("flat", training_step())
    (gather,) = [call for call in after.calls if call.prim.kind == "gather"]
    (members,) = after.flat.values()
    assert [part.shape for part in gather.args] == [member.shape for member in members]
    assert gather.out.name == "gradients"
    assert {value.maker.args[0].maker.args[0] for _, value in after.gradients} == {gather.out}  # type: ignore[union-attr]


def test_flat_keeps_switched_off_warnings_and_takes_along_what_is_only_read() -> None:
    b = Build()
    lr, parameters = b.setting("lr"), [b.memory((2,), name="weight"), b.memory((2, 2), name="weight")]
    b.phase, b.quiet = "update", {"over": "ignore"}
    for p in parameters:
        b.write(p, anchored_rule(b, p, b.ufunc(np.tanh, p), lr))
    after = checked("flat", b.program)
    assert flat_names(after) == {"weights": ["weight"] * 2, "anchors": ["anchor"] * 2}
    assert len(after.writes) == 1
    assert all(call.quiet for call in after.calls if call.prim.kind == "ufunc")


def test_flat_tells_other_numbers_other_warnings_and_shared_calls_apart() -> None:
    for difference in ("number", "warnings", "shared"):
        b = Build()
        x, parameters = b.argument((2,)), [b.memory((2,)), b.memory((2,))]
        b.phase = "update"
        step = b.ufunc(np.multiply, x, 0.5)
        for i, p in enumerate(parameters):
            b.quiet = {"over": "ignore"} if i and difference == "warnings" else {}
            factor = 0.25 if i and difference == "number" else 0.5
            new = b.ufunc(np.subtract, p, step if difference == "shared" else b.ufunc(np.multiply, x, factor))
            b.write(p, new)
        assert all(call.prim.name != "gather" or len(call.args) == 1 or difference != "shared"
                   for call in checked("flat", b.program).calls)  # fmt: skip
        assert difference == "shared" or checked("flat", b.program) is b.program


def test_flat_leaves_numbers_whose_state_is_handed_in() -> None:
    b = Build()
    x, parameters = b.argument(()), [b.memory(()), b.memory(())]
    b.phase = "update"
    for p in parameters:
        state = b.memory(())
        b.write(p, b.ufunc(np.subtract, p, b.ufunc(np.multiply, state, 0.5)))
        b.write(state, x)
    assert checked("flat", b.program) is b.program


def test_flat_makes_a_group_for_each_setting() -> None:
    b = Build()
    x = b.argument((2,))
    parameters = [b.memory((2,), name=f"p{i}") for i in range(4)]
    gradients = {p: b.ufunc(np.multiply, x, p) for p in parameters}
    b.phase = "update"
    descend(b, {p: gradients[p] for p in parameters[:2]})
    descend(b, {p: gradients[p] for p in parameters[2:]})
    assert flat_names(checked("flat", b.program)) == {"parameters": ["p0", "p1"], "parameters_2": ["p2", "p3"]}


def test_flat_leaves_what_may_not_move_and_what_is_alone() -> None:
    b = Build()
    x = b.argument((2,))
    parameters = [b.memory((2,), name="fixed", movable=False), b.memory((2,)), b.memory((2,), np.float32)]
    gradients = {p: b.ufunc(np.multiply, p, p) for p in parameters}
    b.phase = "update"
    descend(b, gradients)
    b.output(x)
    assert checked("flat", b.program) is b.program


def test_flat_with_parameters_of_no_entries_and_of_no_dimension() -> None:
    b = Build()
    b.argument(())
    shapes = ((), (0, 3), (2, 2), ())
    gradients = {p: b.ufunc(np.multiply, p, 2.0) for p in (b.memory(shape, name=f"p{shape}") for shape in shapes)}
    b.phase = "update"
    descend(b, gradients, momentum=True)
    assert sorted(map(len, checked("flat", b.program).flat.values())) == [4, 4]
    b = Build()  # slope and intercept of a line, each a single number; clipped, too
    gradients = {p: b.ufunc(np.multiply, p, 2.0) for p in (b.memory((), name="a"), b.memory((), name="b"))}
    b.phase = "update"
    descend(b, gradients, clip=True)
    assert flat_names(checked("flat", b.program)) == {"parameters": ["a", "b"]}


def test_flat_does_not_let_a_reader_between_see_the_wrong_content() -> None:
    """The second parameter's gradient needs the first one's new content, so the two cannot be updated at once."""
    b = Build()
    lr, first, second = b.setting("lr"), b.memory((3,)), b.memory((3,))
    b.phase = "backward"
    g = b.ufunc(np.tanh, first)
    b.phase = "update"
    new = plain_rule(b, first, g, lr)
    b.write(first, new)
    b.phase = "backward"
    late = b.ufunc(np.multiply, new, second)
    b.phase = "update"
    b.write(second, plain_rule(b, second, late, lr))
    assert checked("flat", b.program) is b.program


def test_flat_lays_out_two_nets_trained_one_after_the_other() -> None:
    b = Build()
    lr, parameters = b.setting("lr"), [b.memory((3,), name=f"p{i}") for i in range(4)]
    read: list[Value] = parameters[:2]
    for pair in (parameters[:2], parameters[2:]):
        b.phase = "backward"
        gradients = [b.ufunc(np.multiply, p, b.ufunc(np.tanh, r)) for p, r in zip(pair, read, strict=True)]
        b.phase = "update"
        read = [plain_rule(b, p, g, lr) for p, g in zip(pair, gradients, strict=True)]
        for p, new in zip(pair, read, strict=True):
            b.write(p, new)
            b.gradient(p, gradients[pair.index(p)])
    assert sorted(flat_names(checked("flat", b.program)).values()) == [["p0", "p1"], ["p2", "p3"]]


def test_flat_orders_two_steps_in_one_program() -> None:
    b = Build()
    lr, parameters = b.setting("lr"), [b.memory((3,)), b.memory((2, 2))]
    contents = list(parameters)
    for _ in range(2):
        b.phase = "backward"
        gradients = [b.ufunc(np.tanh, content) for content in contents]
        b.phase = "update"
        contents = [plain_rule(b, content, g, lr) for content, g in zip(contents, gradients, strict=True)]
    for p, content in zip(parameters, contents, strict=True):
        b.write(p, content)
    b.output(*contents)
    after = checked("flat", b.program)
    assert [call.prim.name for call in after.calls if call.prim.name in ("multiply", "subtract")] == [
        "multiply", "subtract", "multiply", "subtract",
    ]  # fmt: skip
