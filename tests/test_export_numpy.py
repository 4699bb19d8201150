"""An exported file runs where this package cannot be imported, and gives there what the original gives here.

Every model and step is written to a file, the file is run by a fresh interpreter in which `import tinygrad_bp` fails,
and what comes back is held against the eager original: predictions, twenty steps of training, the weights after.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import nn
from tinygrad_bp.compiler.export import compare
from tinygrad_bp.compiler.tree import mapped

F = nn.functional
SGD = tg.optim.SGD
ALONE = """
import importlib.util, pickle, sys
sys.modules["tinygrad_bp"] = None
path, name, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
spec = importlib.util.spec_from_file_location("exported", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
with open(path + ".in", "rb") as file:
    given = pickle.load(file)
results = [getattr(module, name)(*given) for _ in range(runs)]
left = {key: getattr(module, key)() for key in ("state", "grad") if hasattr(module, key)}
assert not [name for name in sys.modules if name.startswith("tinygrad_bp") and sys.modules[name] is not None]
with open(path + ".out", "wb") as file:
    pickle.dump((results, left), file)
"""


def plain(tree: Any) -> Any:
    return mapped(tree, lambda leaf: np.array(leaf.array) if isinstance(leaf, tg.Tensor) else leaf)


def alone(path: Path, name: str, given: tuple[Any, ...], runs: int = 1) -> tuple[list[Any], dict[str, Any]]:
    """What the exported function returns and leaves behind in a process that has no tinygrad_bp."""
    import pickle

    Path(f"{path}.in").write_bytes(pickle.dumps(plain(given)))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COV"))}
    subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(path), name, str(runs)],
        check=True, cwd=path.parent, env=environment, timeout=120,
    )  # fmt: skip
    found: tuple[list[Any], dict[str, Any]] = pickle.loads(Path(f"{path}.out").read_bytes())
    return found


def near(found: Any, expected: Any, path: str = "") -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for key in expected:
            near(found[key], expected[key], f"{path}[{key!r}]")
    elif isinstance(expected, tuple | list):
        assert type(found) is type(expected), path
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            near(a, b, f"{path}[{i}]")
    elif isinstance(expected, np.ndarray):
        assert (np.shape(found), np.asarray(found).dtype) == (expected.shape, expected.dtype), path
        rtol = 1e-12 if expected.dtype == np.float64 else 1e-5 if expected.dtype.kind == "f" else 0
        scale = np.abs(expected).max(initial=0) if expected.dtype.kind == "f" else 0
        np.testing.assert_allclose(found, expected, rtol, rtol * scale, err_msg=path)
    else:
        assert found == expected, path


class Net(nn.Module):
    """The net of the exam scores, with layers that have names."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(2, 3, bias=bias), nn.Linear(3, 1, bias=bias)

    def forward(self, x: Any) -> Any:
        return F.sigmoid(self.output(F.sigmoid(self.hidden(x))))


class Standardised(nn.Module):
    """A model with buffers, of which one is not kept."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", tg.tensor([0.5, -1.0]))
        self.register_buffer("scale", tg.tensor([2.0, 3.0]), persistent=False)
        self.linear = nn.Linear(2, 2)

    def forward(self, x: Any) -> Any:
        return self.linear((x - self.mean) / self.scale)


class Lookup(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Parameter(tg.rand(6, 4)), nn.Linear(4, 3)

    def forward(self, words: Any) -> Any:
        return self.head(self.table[words].mean(1))


def double(shape: tuple[int, ...], seed: int = 0) -> Any:
    return tg.tensor(np.random.default_rng(seed).standard_normal(shape))


def seeded(make: Callable[[], Any]) -> Any:
    tg.manual_seed(0)
    return make()


# ------------------------------------------------------------------------------------------------ predictions
PREDICTIONS: dict[str, Callable[[], tuple[Any, tuple[Any, ...]]]] = {
    "mlp": lambda: (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).double(), (double((5, 4)),)),
    "float32": lambda: (nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), (double((5, 4)).float(),)),
    "exam scores": lambda: (Net(bias=False).double(), (double((3, 2)),)),
    "exact gelu": lambda: (nn.Sequential(nn.Linear(4, 8), nn.GELU()).double(), (double((5, 4)),)),
    "softmax": lambda: (nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)).double(), (double((5, 4)),)),
    "dropout at rest": lambda: (nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)).double().eval(), (double((5, 4)),)),
    "buffers": lambda: (Standardised().double(), (double((5, 2)),)),
    "lookup": lambda: (Lookup().double(), (tg.tensor([[1, 2], [5, 5], [0, 1]]),)),
    "large enough for blocks": lambda: (nn.Sequential(nn.Linear(2, 300), nn.Tanh()).double(), (double((700, 2)),)),
    "one number": lambda: (lambda x: x.sum(), (double((3, 2)),)),
    "several": lambda: (lambda x, y: {"sum": x + y, "rest": [x.max(), (y, 7, None)], "view": x[0]},
                        (double((2, 3)), double((2, 3), 1))),
    "nested": lambda: (lambda batch, k: (batch["x"] @ batch["w"][0] * k,),
                       ({"x": double((2, 3)), "w": [double((3, 4))]}, 2)),
    "the same twice": lambda: (lambda x, y: x * 2 - y, (double((2,)),) * 2),
    "an array": lambda: (lambda x: np.tanh(x) + 1, (np.linspace(-1, 1, 5),)),
    "names of the file's own": lambda: (lambda state, np, Path: state + np * Path, (double((2,)),) * 3),
    "a number from a tensor": lambda: ((lambda s: lambda x: x * s.item())(tg.tensor(2.5)), (double((3,)),)),
    "a gradient": lambda: (lambda x: tg.autograd.grad(x.tanh().sum(), x), (double((3,)).requires_grad_(),)),
    "a large constant": lambda: ((lambda c: lambda x: x * c)(tg.arange(40.0, dtype=tg.float64) ** 2), (double((40,)),)),
}  # fmt: skip


@pytest.mark.parametrize("name", PREDICTIONS)
def test_a_model_predicts_alone_as_it_does_here(name: str, tmp_path: Path) -> None:
    model, given = seeded(PREDICTIONS[name])
    paths = tg.export_numpy(model, given, tmp_path / "exported")
    assert paths[0] == tmp_path / "exported.py"
    assert all(path.is_file() for path in paths)
    expected = plain(model(*given))
    (found,), left = alone(paths[0], "predict", given)
    near(mapped(found, lambda x: np.asarray(x) if isinstance(x, np.generic) else x), expected)
    assert not left


# ----------------------------------------------------------------------------------------------------- training
def regression(model: Any, optimizer: Any) -> Any:
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def classification(model: Any, optimizer: Any, **options: Any) -> Any:
    def step(x: Any, classes: Any) -> Any:
        scores = model(x)
        loss = F.cross_entropy(scores, classes, **options)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return {"loss": loss, "right": (scores.argmax(1) == classes).sum()}

    return step


def kept_gradients(model: Any, optimizer: Any) -> Any:
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad(set_to_none=False)
        loss = F.l1_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def added_gradients(model: Any, optimizer: Any) -> Any:
    def step(x: Any, y: Any) -> Any:
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def mlp(*sizes: int) -> Any:
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.Sigmoid())]
    return nn.Sequential(*layers[:-1])


def momentum(model: Any) -> Any:
    return SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)


Training = tuple[Any, Any, tuple[Any, ...]]


class Trainer:
    """A step that is a method."""

    def __init__(self) -> None:
        self.net = Net().double()
        self.optimizer = momentum(self.net)

    def step(self, x: Any, y: Any) -> Any:
        self.optimizer.zero_grad()
        loss = F.mse_loss(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss


def method() -> Training:
    trainer = Trainer()
    return trainer.net, trainer.step, (double((3, 2)), double((3, 1), 1))


TRAININGS: dict[str, Callable[[], Training]] = {
    "exam scores": lambda: (m := Net(bias=False).double(), regression(m, SGD(m.parameters(), lr=1.0)),
                            (double((3, 2)), double((3, 1), 1))),
    "biases, momentum": lambda: (m := Net().double(), regression(m, momentum(m)), (double((3, 2)), double((3, 1), 1))),
    "nesterov": lambda: (m := Net().double(),
                         regression(m, SGD(m.parameters(), lr=0.1, momentum=0.9, nesterov=True)),
                         (double((3, 2)), double((3, 1), 1))),
    "float32": lambda: (m := mlp(4, 8, 3), regression(m, momentum(m)),
                        (double((5, 4)).float(), double((5, 3), 1).float())),
    "classes": lambda: (m := mlp(4, 8, 3).double(), classification(m, momentum(m)),
                        (double((5, 4)), tg.tensor([0, 2, 1, 1, 0]))),
    "label smoothing": lambda: (m := mlp(4, 3).double(), classification(m, momentum(m), label_smoothing=0.1),
                                (double((3, 4)), tg.tensor([0, 2, -100]))),
    "lookup": lambda: (m := Lookup().double(), classification(m, momentum(m)),
                       (tg.tensor([[1, 2], [5, 5], [0, 1]]), tg.tensor([0, 2, 1]))),
    "buffers": lambda: (m := Standardised().double(), regression(m, momentum(m)), (double((5, 2)), double((5, 2), 1))),
    "gradients set to zero": lambda: (m := Net().double(), kept_gradients(m, momentum(m)),
                                      (double((3, 2)), double((3, 1), 1))),
    "gradients that add up": lambda: (m := Net().double(), added_gradients(m, SGD(m.parameters(), lr=0.01)),
                                      (double((3, 2)), double((3, 1), 1))),
    "a count in the state": lambda: (m := Net().double(), regression(m, Counting(m.parameters())),
                                     (double((3, 2)), double((3, 1), 1))),
    "shared and idle layers": lambda: (m := Loose().double(), regression(m, momentum(m)),
                                       (double((3, 2)), double((3, 2), 1))),
    "a method": method,
}  # fmt: skip


class Counting(tg.optim.Optimizer):
    """Adam: state of two tensors and a count for each parameter."""

    def __init__(self, parameters: Any, lr: float = 0.01) -> None:
        super().__init__(parameters, {"lr": lr})

    def step(self, closure: Any = None) -> None:
        with tg.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state.setdefault(p, {})
                    if not state:
                        state.update(count=0, mean=tg.zeros_like(p), square=tg.zeros_like(p))
                    state["count"] += 1
                    state["mean"].mul_(0.9).add_(0.1 * p.grad)
                    state["square"].mul_(0.99).add_(0.01 * p.grad * p.grad)
                    mean = state["mean"] / (1 - 0.9 ** state["count"])
                    square = state["square"] / (1 - 0.99 ** state["count"])
                    p.sub_(group["lr"] * mean / (square.sqrt() + 1e-8))


class Loose(nn.Module):
    """A layer that is used twice, and one that is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.idle = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.weight = self.first.weight

    def forward(self, x: Any) -> Any:
        return self.second(F.tanh(self.first(x)))


def everything(model: Any) -> Any:
    return {key: (id(t), id(t.array), np.array(t.array), t.grad) for key, t in model.state_dict(keep_vars=True).items()}


@pytest.mark.parametrize("begun", [False, True], ids=["untrained", "begun"])
@pytest.mark.parametrize("name", TRAININGS)
def test_a_step_trains_alone_as_it_does_here(name: str, begun: bool, tmp_path: Path) -> None:
    model, step, given = seeded(TRAININGS[name])
    if begun:
        step(*given)
    before = everything(model)
    path = tg.export_numpy(tg.compile(step) if begun else step, given, tmp_path / "exported.py")[0]
    after = everything(model)
    for key in before:
        assert before[key][:2] == after[key][:2], key
        np.testing.assert_array_equal(before[key][2], after[key][2])
        assert before[key][3] is after[key][3], key
    expected = [plain(step(*given)) for _ in range(20)]
    results, left = alone(path, "step", given, 20)
    near([mapped(r, np.asarray) for r in results], expected)
    near(left["state"], plain(dict(model.state_dict())))
    near(left["grad"], {key: np.array(p.grad.array) for key, p in model.named_parameters() if p.grad is not None})


def test_an_export_leaves_no_state_in_the_optimizer(tmp_path: Path) -> None:
    trainer = seeded(Trainer)
    tg.export_numpy(trainer.step, (double((3, 2)), double((3, 1))), tmp_path / "exported")
    assert not trainer.optimizer.state


def test_state_that_does_not_begin_with_zeros_is_noticed(tmp_path: Path) -> None:
    model = seeded(Net).double()
    step = regression(model, SGD(model.parameters(), lr=0.1, momentum=0.9, dampening=0.5))
    given = double((3, 2)), double((3, 1), 1)
    with pytest.raises(tg.CompileError, match="run the step once before"):
        tg.export_numpy(step, given, tmp_path / "exported")
    assert list(tmp_path.iterdir()) == []
    step(*given)
    tg.export_numpy(step, given, tmp_path / "exported")


def test_a_graph_made_before_is_good_afterwards(tmp_path: Path) -> None:
    model, step, given = seeded(TRAININGS["biases, momentum"])
    loss = model(given[0]).sum()
    tg.export_numpy(step, given, tmp_path / "exported")
    loss.backward()


def test_two_models_have_their_paths_in_front(tmp_path: Path) -> None:
    maker, judge = seeded(lambda: (nn.Linear(2, 3).double(), nn.Linear(3, 1).double()))
    first, second = SGD(maker.parameters(), lr=0.1), SGD(judge.parameters(), lr=0.2)

    def step(z: Any, x: Any) -> Any:
        first.zero_grad()
        second.zero_grad()
        loss = (judge(maker(z)) - judge(x)).square().mean()
        loss.backward()
        first.step()
        second.step()
        return loss

    given = double((4, 2)), double((4, 3), 1)
    tg.export_numpy(step, given, tmp_path / "exported")
    module = imported(tmp_path / "exported.py")
    for _ in range(3):
        near(np.asarray(module["step"](*plain(given))), plain(step(*given)))
    expected = {f"maker.{key}": np.array(t.array) for key, t in maker.state_dict().items()}
    expected |= {f"judge.{key}": np.array(t.array) for key, t in judge.state_dict().items()}
    near({key: module["state"]()[key] for key in expected}, expected)


def test_arguments_that_were_one_tensor_are_two_in_the_file(tmp_path: Path) -> None:
    x = double((2,))
    tg.export_numpy(lambda x, y: x - y, (x, x), tmp_path / "difference")
    predict = imported(tmp_path / "difference.py")["predict"]
    assert predict(np.array([3.0, 4.0]), np.array([1.0, 1.0])).tolist() == [2.0, 3.0]


def test_tensors_may_be_called_as_the_files_own_functions(tmp_path: Path) -> None:
    tensors = [tg.tensor([n], dtype=tg.float64, requires_grad=True) for n in (1.0, 2.0, 3.0)]
    state, save, np = tensors
    optimizer = SGD(tensors, lr=0.1)

    def step(grad: Any) -> Any:
        optimizer.zero_grad()
        loss = (grad * state + save * np).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    tg.export_numpy(step, double((1,)), tmp_path / "exported")
    module = imported(tmp_path / "exported.py")
    for _ in range(3):
        assert module["step"](double((1,)).array) == pytest.approx(step(double((1,))).item(), rel=1e-12)
    near(module["state"](), {"state": state.array, "save": save.array, "np": np.array})


def test_settings_are_keyword_arguments(tmp_path: Path) -> None:
    model, step, given = seeded(TRAININGS["biases, momentum"])
    tg.export_numpy(step, given, tmp_path / "exported")
    module = imported(tmp_path / "exported.py")
    module["step"](*plain(given), lr=0.0)
    near(module["state"](), plain(dict(model.state_dict())))
    module["step"](*plain(given), lr=0.5)
    with pytest.raises(AssertionError):
        near(module["state"](), plain(dict(model.state_dict())))
    with pytest.raises(ValueError, match="momentum != 0"):
        module["step"](*plain(given), momentum=0.0)


def imported(path: Path) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    exec(compile(path.read_text("utf-8"), str(path), "exec"), namespace)
    return namespace


def test_saved_weights_come_back_into_the_model(tmp_path: Path) -> None:
    model, step, given = seeded(TRAININGS["buffers"])
    tg.export_numpy(step, given, tmp_path / "exported")
    module = imported(tmp_path / "exported.py")
    for _ in range(3):
        step(*given)
        module["step"](*plain(given))
    expected = plain(dict(model.state_dict()))
    module["save"](tmp_path / "weights.npz")
    other = seeded(lambda: Standardised().double())
    other.load_state_dict(tg.load(tmp_path / "weights.npz"))
    near(plain(dict(other.state_dict())), expected)


def test_a_trained_tensor_of_no_model_is_called_as_its_variable(tmp_path: Path) -> None:
    slope = tg.tensor([1.0, 2.0], dtype=tg.float64, requires_grad=True)
    optimizer = SGD([slope], lr=0.1)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (x * slope).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    tg.export_numpy(step, double((2,)), tmp_path / "exported")
    module = imported(tmp_path / "exported.py")
    module["step"](double((2,)).array)
    step(double((2,)))
    near(module["state"](), {"slope": slope.array})


def test_the_file_reads_as_the_source(tmp_path: Path) -> None:
    _, step, given = seeded(TRAININGS["exam scores"])
    text = tg.export_numpy(step, given, tmp_path / "exam")[0].read_text("utf-8")
    for line in (
        "from exam import step, state, grad, save", "(hidden): Linear(in_features=2, out_features=3, bias=False)",
        "def step(x, y, *, lr=1.0):", "# hidden: Linear(in_features=2, out_features=3, bias=False)",
        "hidden_weight = parameters[0:6].reshape(3, 2)", '"hidden.weight": hidden_weight.copy(),',
        "    # backward: output",
    ):  # fmt: skip
        assert line in text, line
    assert "import tinygrad_bp" not in text
    assert max(map(len, text.splitlines())) <= 120


# ----------------------------------------------------------------------------------------------------- refusals
def test_a_wrong_shape_or_dtype_is_told_with_both(tmp_path: Path) -> None:
    tg.export_numpy(Net().double(), double((3, 2)), tmp_path / "net")
    predict = imported(tmp_path / "net.py")["predict"]
    with pytest.raises(ValueError, match=r"x: float64\[3, 2\] is expected, not float64\[4, 2\]"):
        predict(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"x: float64\[3, 2\] is expected, not float32\[3, 2\]"):
        predict(np.zeros((3, 2), np.float32))


def test_what_is_no_array_stays_what_it_was(tmp_path: Path) -> None:
    tg.export_numpy(lambda x, k: x["a"] * k, ({"a": double((2,))}, 2), tmp_path / "times")
    predict = imported(tmp_path / "times.py")["predict"]
    with pytest.raises(ValueError, match="k: this file was written for 2, not for 3"):
        predict({"a": np.ones(2)}, 3)
    with pytest.raises(ValueError, match="len"):
        predict({"a": np.ones(2), "b": 1}, 2)


def test_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    tg.export_numpy(Net().double(), double((3, 2)), tmp_path / "net")
    arrays = dict(np.load(tmp_path / "net.npz"))
    np.savez(tmp_path / "net.npz", **(arrays | {"hidden.weight": np.zeros((4, 2))}))
    with pytest.raises(ValueError, match=r"hidden.weight: float64\[3, 2\] is expected, not float64\[4, 2\]"):
        imported(tmp_path / "net.py")


def branching(x: Any) -> Any:
    return x if x.sum() > 0 else -x


REFUSED: dict[str, tuple[Callable[[], tuple[Any, Any]], str]] = {
    "dropout": (lambda: (nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)).double(), double((5, 4))), r"model\.eval\(\)"),
    "a draw": (lambda: (lambda x: x + tg.rand(2), double((2,))), "random numbers are drawn"),
    "a branch": (lambda: (branching, double((2,))), "tg.where"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_says_so_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]
    model, given = seeded(make)
    with pytest.raises(tg.CompileError, match=message):
        tg.export_numpy(model, given, tmp_path / "never")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    model, given = Net().double(), double((3, 2))
    with pytest.raises(FileNotFoundError):
        tg.export_numpy(model, given, tmp_path / "no folder" / "net")
    with pytest.raises(tg.ArgumentError, match="no name that Python can import"):
        tg.export_numpy(model, given, tmp_path / "my-net.py")
    with pytest.raises((ValueError, OSError)):
        tg.export_numpy(model, given, f"{tmp_path}/a\0/net")
    (tmp_path / "net.py").mkdir()
    with pytest.raises(tg.FileFormatError):
        tg.export_numpy(model, given, tmp_path / "net")
    assert [path.name for path in tmp_path.iterdir()] == ["net.py"]


def test_when_the_second_file_fails_the_first_is_as_it_was(tmp_path: Path) -> None:
    tg.export_numpy(seeded(Net).double(), double((3, 2)), tmp_path / "net")
    before = (tmp_path / "net.npz").read_bytes()
    (tmp_path / "net.py").unlink()
    (tmp_path / "net.py").mkdir()
    with pytest.raises(tg.FileFormatError):
        tg.export_numpy(Net().double(), double((3, 2)), tmp_path / "net")
    assert (tmp_path / "net.npz").read_bytes() == before


def test_existing_files_are_replaced(tmp_path: Path) -> None:
    for bias in (True, False):
        tg.export_numpy(Net(bias).double(), double((3, 2)), tmp_path / "net")
    assert "hidden.bias" not in np.load(tmp_path / "net.npz").files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.npz", "net.py"]


def test_an_exported_function_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disturbed(namespace: dict[str, Any], *others: Any) -> None:
        namespace["hidden_weight"][...] += 1e-6
        compare(namespace, *others)

    monkeypatch.setattr("tinygrad_bp.compiler.export.compare", disturbed)
    with pytest.raises(tg.CompileError, match="not the same as the original"):
        tg.export_numpy(seeded(Net).double(), double((3, 2)), tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_exported_in_the_mode_it_is_in(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)).double().eval()
    tg.export_numpy(model, double((5, 4)), tmp_path / "net")
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
