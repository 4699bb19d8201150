"""What a newcomer does wrong, and what it is answered: one error, one traceback, and what to write instead.

Each mistake is a line of a table with words that its message must hold. Two laws stand over all of them: nothing that
the package raises on purpose shows a second traceback, and no operation answers with an accident of its own.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_bp as tg
from tinygrad_bp import errors, nn
from tinygrad_bp.methods import FUNCTIONS

START = """
import numpy as np
import tinygrad_bp as tg
from tinygrad_bp import nn, optim
import tinygrad_bp.nn.functional as F
x = tg.ones(4, 3); w = tg.ones(3, requires_grad=True); y = tg.tensor([0, 1, 2, 0]); target = tg.ones(4, 2)
model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3))
class Silent(nn.Module):
    def forward(self, x):
        x * 2
class NoSelf(nn.Module):
    def forward(x):
        return x
class Typo(nn.Module):
    def forwrad(self, x):
        return x
class Early(nn.Module):
    def __init__(self):
        self.fc = nn.Linear(3, 3)
class Asks(nn.Module):
    def __init__(self, n):
        super().__init__(n)
"""

MISTAKES: dict[str, tuple[str, ...]] = {
    # ------------------------------------------------ a layer that is made with its input
    "nn.MSELoss(x, target)": ("MSELoss: size_average", "Tensor of shape (4, 3)", "make the layer first"),
    "nn.MSELoss(x)": ("MSELoss", "make the layer first"),
    "nn.L1Loss(x, x)": ("L1Loss", "make the layer first"),
    "nn.HuberLoss(x, x)": ("HuberLoss", "make the layer first"),
    "nn.CrossEntropyLoss(model(x), y)": ("CrossEntropyLoss: size_average", "make the layer first"),
    "nn.CrossEntropyLoss(model(x))": ("CrossEntropyLoss: weight", "make the layer first"),
    "nn.BCELoss(x, x)": ("BCELoss", "make the layer first"),
    "nn.ReLU(x)": ("ReLU: inplace is True or False", "make the layer first"),
    "nn.Sigmoid(x)": ("Sigmoid", "Tensor of shape (4, 3)", "make the layer first"),
    "nn.Tanh(x)": ("Tanh", "make the layer first"),
    "nn.Softmax(x)": ("Softmax: dim", "make the layer first"),
    "nn.Softmax(x, dim=1)": ("Softmax: 'dim' is given twice", "make the layer first"),
    "nn.GELU(x)": ("GELU: approximate is a string", "make the layer first"),
    "nn.LeakyReLU(x)": ("LeakyReLU: negative_slope", "make the layer first"),
    "nn.Dropout(x)": ("Dropout: p", "make the layer first"),
    "nn.Flatten(x)": ("Flatten: start_dim", "make the layer first"),
    "nn.Linear(x)": ("Linear: missing out_features", "make the layer first"),
    "nn.Linear(x, 3)": ("Linear: in_features", "make the layer first"),
    "Silent(x)": ("Silent", "make the layer first"),
    # ------------------------------------------------ a layer made with the wrong settings
    "nn.Linear(784)": ("Linear: missing out_features", "in_features, out_features, bias"),
    "nn.Linear(4 / 2, 1)": ("Linear: in_features is a whole number", "2.0", "`n // 2`"),
    "nn.Linear('3', 1)": ("Linear: in_features", "a str ('3')"),
    "nn.Linear([3, 4], 1)": ("Linear: in_features", "a list"),
    "nn.Linear(None, 1)": ("Linear: in_features", "None"),
    "nn.Linear(x.shape, 1)": ("Linear: in_features", "a Size"),
    "nn.Linear(in_channels=3, out_features=2)": ("no setting is called 'in_channels'", "in_features, out_features"),
    "nn.Linear(3, 2, True, None, None, 5)": ("too many", "in_features, out_features"),
    "nn.Bilinear(2.0, 3, 4)": ("Bilinear: in1_features",),
    "nn.Dropout('0.5')": ("Dropout: p is a number",),
    "nn.Dropout(5)": ("between 0 and 1",),
    "nn.ModuleList(model, model)": ("too many", "(modules)"),
    "Asks(3)": ("Asks", "an int (3)", "`super().__init__()` takes none"),
    "Early()": ("call `super().__init__()` first",),
    "nn.Sequential(nn.Linear(3, 3), nn.ReLU)": ("the class ReLU", "ReLU()"),
    "nn.Sequential(nn.Linear(3, 3), F.relu)": ("layers are Modules", "nn.ReLU()"),
    "nn.Sequential([nn.ReLU()])": ("write Sequential(*layers)",),
    "model[0].weight = tg.ones(8, 3)": ("Linear.weight", "copy_"),
    # ------------------------------------------------ a layer that is called wrongly
    "F.cross_entropy(Silent()(x), y)": ("cross_entropy", "None", "forget its `return`"),
    "nn.Sequential(Silent(), nn.Linear(3, 1))(x)": ("linear: input", "None", "forget its `return`", "Sequential.1"),
    "x + Silent()(x)": ("add", "None", "forget its `return`"),
    "NoSelf()(x)": ("NoSelf: the first parameter of forward is `self`",),
    "Typo()(x)": ("Typo has no forward", "is `forwrad` meant"),
    "nn.ModuleList([nn.ReLU()])(x)": ("ModuleList only holds others",),
    "model(x, x)": ("Sequential: forward takes (input)", "a Tensor of shape (4, 3), a Tensor of shape (4, 3)"),
    "model()": ("Sequential: forward takes (input)", "was given ()"),
    "nn.CrossEntropyLoss()(model(x))": ("CrossEntropyLoss: forward takes (input, target)",),
    "nn.Linear(3, 2)(np.ones((4, 3), np.float32))": ("linear: input must be a Tensor", "an ndarray of shape (4, 3)"),
    "nn.Linear(3, 2)([[1.0, 2.0, 3.0]])": ("linear: input must be a Tensor", "a list", "tg.as_tensor"),
    "nn.Dropout(0.5)([1.0])": ("Dropout", "a list", "tg.as_tensor"),
    "nn.Softmax(dim=0)([1.0])": ("softmax", "a list"),
    "nn.ReLU()('x')": ("relu", "a str ('x')"),
    "nn.Linear(4, 2)(x)": ("linear", "(4, 3) float32", "(2, 4) float32", "in_features = 4", "in layer: Linear"),
    "nn.Linear(784, 10)(tg.ones(8, 1, 28, 28))": ("(8, 1, 28, 28)", "x.flatten(1)"),
    "nn.Linear(3, 2)(tg.ones(4, 3, dtype=tg.float64))": ("float64", "float32", "model.to(x.dtype)"),
    # ------------------------------------------------ losses
    "F.cross_entropy(model(x), F.one_hot(y))": ("int64", "class indices have shape (4,)"),
    "F.cross_entropy(model(x), y.float())": ("must be integers", "target.long()"),
    "F.cross_entropy(model(x), [0, 1, 2, 0])": ("target must be a Tensor", "a list", "tg.as_tensor(target)"),
    "F.cross_entropy(model(x), 2)": ("target must be a Tensor", "an int (2)"),
    "F.cross_entropy(model(x), tg.tensor([0, 1, 2, 3]))": ("holds class 3", "0 … 2"),
    "F.cross_entropy(model(x), y.unsqueeze(1))": ("(4, 1)", "need (4,)"),
    "F.mse_loss(x, 3)": ("target must be a Tensor",),
    "F.mse_loss(x, tg.ones(5, 3))": ("(4, 3)", "(5, 3)"),
    "F.binary_cross_entropy(x * 10, tg.ones(4, 3))": ("probabilities in [0, 1]", "with_logits"),
    # ------------------------------------------------ optimisers
    "optim.SGD(model, lr=0.1)": ("not the model itself", "SGD(model.parameters(), …)"),
    "optim.SGD(Silent(), lr=0.1)": ("not the model itself",),
    "optim.SGD(model.state_dict(), lr=0.1)": ("a state_dict holds values", "model.parameters()"),
    "optim.SGD(model.parameters, lr=0.1)": ("a method", "call it"),
    "optim.SGD([model.parameters()], lr=0.1)": ("parameter 0 is a generator", "without the brackets"),
    "optim.SGD([model[0]], lr=0.1)": ("parameter 0 is a layer", "model.parameters()"),
    "optim.SGD([np.ones(3)], lr=0.1)": ("ndarray", "nn.Parameter"),
    "optim.SGD(w, lr=0.1)": ("write [w]",),
    "optim.SGD(None, lr=0.1)": ("not None",),
    "optim.SGD('w', lr=0.1)": ("a str ('w')",),
    "optim.SGD({'params': [w]}, lr=0.1)": ("`[group]`",),
    "optim.SGD([w], lr='0.1')": ("lr must be a number", "a str ('0.1')", "write lr=0.1"),
    "optim.SGD([w], lr=None)": ("lr must be a number",),
    "optim.SGD([w], lr=[0.1])": ("lr must be a number",),
    "optim.SGD([w], momentum='0.9')": ("momentum must be a number",),
    "optim.SGD([w], momentum=0.9, nesterov='yes')": ("nesterov must be True or False",),
    "o = optim.SGD([w]); o.param_groups[0]['lr'] = '0.2'; o.step()": ("lr must be a number", "write lr=0.2"),
    "optim.SGD([w]).step((x @ w).sum())": ("a closure is a function", "loss.backward()"),
    "optim.SGD([], lr=0.1)": ("empty", "ModuleList"),
    "nn.utils.clip_grad_norm_(model, 1.0)": ("model.parameters()",),
    "nn.utils.clip_grad_norm_(model.parameters(), 'a')": ("max_norm is a number",),
    # ------------------------------------------------ words and names
    "x.sum(dims=1)": ("sum", "'dims'", "(input, dim, keepdim, dtype)"),
    "x.sum(foo=0)": ("sum", "'foo'", "(input, dim, keepdim, dtype)"),
    "tg.mean(x, axiss=0)": ("mean", "'axiss'", "dim, keepdim"),
    "x.pow(exponnt=2)": ("pow", "'exponnt'", "(input, exponent)"),
    "x.mul(exponent=2)": ("mul", "'exponent'", "(input, other)"),
    "x.softmax(dims=1)": ("softmax", "'dims'", "dim"),
    "x.sum(1, dim=1)": ("'dim' is given twice",),
    "x.repeat(foo=2)": ("repeat", "'foo'"),
    "x.permute(foo=(1, 0))": ("permute", "'foo'", "dims"),
    "x.transpose()": ("transpose: missing dim0 and dim1", "(input, dim0, dim1)"),
    "x.transpose(0)": ("transpose: missing dim1",),
    "x.transpose(0, 1, 2)": ("transpose", "(input, dim0, dim1)"),
    "x.reshape()": ("reshape: missing sizes",),
    "x.gather(1)": ("gather: missing index", "(input, dim, index)"),
    "tg.tensr([1.0])": ("Did you mean 'tensor'",),
    "tg.randint_liek": ("Did you mean 'randint_like'",),
    "tg.FloatTensor": ("Did you mean 'Tensor'",),
    "tg.Relu": ("Did you mean tg.relu or tg.nn.ReLU?",),
    "tg.CrossEntropyLoss()": ("Did you mean tg.nn.CrossEntropyLoss?",),
    "nn.relu(x)": ("Did you mean tg.relu or tg.nn.ReLU?",),
    "tg.sgd([w])": ("Did you mean tg.optim.SGD?",),
    "nn.Linaer(3, 2)": ("Did you mean 'Linear'",),
    "F.crossentropy(x, y)": ("Did you mean 'cross_entropy'",),
    "optim.SDG([w])": ("Did you mean 'SGD'",),
    "tg.data.Dataloader(x)": ("Did you mean 'DataLoader'",),
    "nn.init.xavier_unifrom_(w)": ("Did you mean 'xavier_uniform_'",),
    "tg.autograd.gradd": ("Did you mean 'grad'",),
    "tg.random.manualseed(0)": ("Did you mean 'manual_seed'",),
    "tg.testing.chekc_module": ("Did you mean 'check_module'",),
    "tg.gradcheck.gradchek": ("Did you mean 'gradcheck'",),
    "tg.compiler.compil": ("Did you mean 'compile'",),
    "tg.cuda.is_avaliable()": ("Did you mean 'is_available'",),
    # ------------------------------------------------ devices, dtypes, shapes, numbers
    "x.cuda()": ("'cuda'", "'cpu' only", "leave `.cuda()` out"),
    "model.cuda()": ("'cuda'", "leave `.cuda()` out"),
    "x.to('cuda')": ("'cuda'", "'cpu' only"),
    "tg.ones(3, device='mps')": ("'mps'", "'cpu' only"),
    "x.to('float23')": ("'float23' is no dtype", "tg.float32"),
    "tg.ones(3, dtype='floot32')": ("'floot32' is no dtype",),
    "tg.tensor([1], dtype='a')": ("'a' is no dtype",),
    "tg.ones(3, dtype=3)": ("3 is no dtype",),
    "f'{w:.3f}'": ("'.3f' is for one number", "shape (3,)", "t.tolist()"),
    "'{:d}'.format(x)": ("'d' is for one number",),
    "float(x)": ("one entry", "(4, 3)"),
    "x > 0 and x < 1": ("ambiguous", "t.any()"),
    "x.view(4 / 2, -1)": ("a float (2.0)", "`n // 2`"),
    "tg.ones(x)": ("ints", "a Tensor of shape (4, 3)"),
    "tg.stack(x, x)": ("a list or tuple of tensors is expected: `tg.stack([a, b], dim=0)`",),
    "tg.cat(x, x)": ("tg.cat([a, b], dim=0)",),
    "tg.randint(5)": ("no size is given", "tg.randint(high, (n,))"),
    "tg.eye(2.5)": ("eye: n is a whole number", "2.5"),
    "tg.linspace('0', 1, 3)": ("linspace: start is a number",),
    "tg.arange('5')": ("arange",),
    "tg.manual_seed('a')": ("manual_seed: seed is a number",),
    "tg.tensor([1.0, None])": ("numbers, or lists of them", "[1.0, None]"),
    "tg.tensor({'a': 1})": ("numbers, or lists of them", "a dict"),
    "tg.from_numpy(np.array(['a']))": ("from_numpy", "<U1"),
    "x @ 2": ("matmul: expected a Tensor or an array", "an int (2)"),
    "x @ tg.ones(4)": ("matmul", "(4, 3) float32", "(4,) float32"),
    "x @ tg.ones(4, 3)": ("matmul", "(4, 3) float32", ".mT"),
    "x + tg.ones(4)": ("add", "(4, 3) float32", "(4,) float32", "unsqueeze"),
    "x + [1, 2, 3]": ("add", "a list", "tg.tensor"),
    "F.softmax([1.0], dim=0)": ("softmax", "a list"),
    "F.pad(x, 1)": ("pad", "an int (1)"),
    "tg.data.DataLoader(x, batch_size='4')": ("batch_size is a whole number",),
    "tg.data.DataLoader(x, batch_size=2.5)": ("batch_size is a whole number", "`n // 2`"),
    "nn.init.normal_(w, 'a')": ("normal_: mean is a number",),
    # ------------------------------------------------ gradients and files
    "(x * w).backward()": ("only for a scalar", "(4, 3)", "y.sum().backward()"),
    "x.sum().backward()": ("no graph", "with tg.no_grad(): w -= lr * w.grad"),
    "l = (x @ w).sum(); l.backward(); l.backward()": ("a second time", "retain_graph=True"),
    "(x * w).numpy()": ("t.detach().numpy()",),
    "tg.arange(3).requires_grad_()": ("x.float()",),
    "w += 1": ("leaf", "no_grad"),
    "w.register_hook(3)": ("a hook is a function",),
    "model.register_forward_hook(3)": ("a hook is a function",),
    "model.load_state_dict('/tmp/x.npz')": ("tg.load(path)",),
    "model.load_state_dict(model)": ("other.state_dict()",),
    "tg.save(model, '/tmp/x.npz')": ("x.state_dict()",),
    "nn.Linear(2, 2).load_state_dict(model.state_dict())": ("missing: weight, bias", "unexpected: 0.weight"),
}


def failure(code: str) -> BaseException:
    """What a wrong program raises."""
    space: dict[str, Any] = {"__name__": "newcomer"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(START, space)
        try:
            exec(code, space)
        except Exception as error:
            return error
    pytest.fail(f"{code} is accepted")


@pytest.mark.parametrize("code", MISTAKES)
def test_a_mistake_is_told_what_is_wrong_and_what_to_write(code: str) -> None:
    error = failure(code)
    for word in MISTAKES[code]:
        assert word in str(error), f"{word!r} is not in: {error}"
    shown = "".join(traceback.format_exception(error))
    assert shown.count("Traceback") == 1, shown
    known = isinstance(error, errors.TensorError) or "has no attribute" in str(error)
    assert known or isinstance(error, NotImplementedError), repr(error)


@pytest.mark.parametrize("name", ["backward", "register_hook", "retain_grad"])
def test_a_method_is_called_by_its_name_where_python_refuses_its_arguments(name: str) -> None:
    with pytest.raises(TypeError, match=rf"Tensor\.{name}\(\).*'foo'"):
        getattr(tg.ones(2), name)(foo=1)


WARNED: dict[str, tuple[str, ...]] = {
    "Silent()(x)": ("Silent.forward returned None", "return"),
    "self.layers = [nn.Linear(3, 3), nn.Linear(3, 3)]": ("Net.layers", "a Linear in a plain list", "nn.ModuleList"),
    "self.layers = []\nself.layers.append(nn.Linear(3, 3))": ("Net.layers", "nn.ModuleList"),
    "self.layers = {'a': nn.Linear(3, 3)}": ("Net.layers", "a plain dict", "nn.ModuleDict"),
    "self.layers = (nn.Linear(3, 3),)": ("Net.layers", "a plain tuple", "nn.ModuleList"),
    "self.ws = [nn.Parameter(tg.ones(2))]": ("Net.ws", "nn.ParameterList"),
    "self.w = tg.ones(3, requires_grad=True)": ("Net.w", "nn.Parameter"),
    "self.inner = nn.Sequential(nn.Linear(3, 3)); self.inner.kept = [nn.Linear(3, 3)]": ("Net.inner.kept",),
}
QUIET = [
    "self.a = nn.Linear(3, 3); self.layers = [self.a]", "self.sizes = [1, 2]; self.names = {'a': 'b'}",
    "self.layers = nn.ModuleList([nn.Linear(3, 3)])", "self.kept = [tg.ones(2)]; self.x = tg.ones(2)",
    "self.register_buffer('mean', tg.ones(2))", "self.w = nn.Parameter(tg.ones(2)); self.all = {'w': self.w}",
]  # fmt: skip


def warned(code: str) -> list[str]:
    lines = "\n    ".join(["super().__init__()", *code.split("\n")])
    body = f"class Net(nn.Module):\n  def __init__(self):\n    {lines}"
    space: dict[str, Any] = {}
    exec(START, space)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if code.startswith("self."):
            exec(f"{body}\nlist(Net().parameters())\nlist(Net().named_parameters())", space)
            assert {w.filename for w in told} <= {"<string>"}  # the caller's line, not one of ours
        else:
            exec(code, space)
    return [str(w.message) for w in told]


@pytest.mark.parametrize("code", WARNED)
def test_what_is_silently_lost_is_warned_of(code: str) -> None:
    told = warned(code)
    assert told
    for word in WARNED[code]:
        assert word in told[0]


@pytest.mark.parametrize("code", QUIET)
def test_what_is_right_is_not_warned_of(code: str) -> None:
    assert warned(code) == []


def test_a_traceback_as_it_is_printed() -> None:
    """The commonest shape error of all, in a process of its own: one traceback; Python's guess is not beside ours."""
    for code, last in (
        ("model(tg.ones(4, 5))", "in layer: Sequential.0 (Linear)"),
        ("tg.tensr", "Did you mean 'tensor'?"),
        ("x.unsqeeze(0)", "Did you mean: 'unsqueeze'?"),
        ("model.paramters()", "Did you mean: 'parameters'?"),
    ):
        ran = subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, check=False)
        assert ran.stderr.count("Traceback") == 1
        assert ran.stderr.rstrip().endswith(last), ran.stderr
        assert ran.stderr.count("Did you mean") <= 1


def test_completion_lists_what_is_imported_later() -> None:
    code = "import tinygrad_bp as tg, sys; d = set(dir(tg)); assert 'tinygrad_bp.nn' not in sys.modules; print(*d)"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(tg.__all__) <= set(names)
    assert {"nn", "optim", "data", "compile", "manual_seed", "cuda"} <= set(names)
    assert {"Function", "functional", "gradcheck"} <= set(dir(tg.autograd))
    assert set(tg.testing.__all__) <= set(dir(tg.testing))


# ------------------------------------------------------------------------------------------------------------ the laws

PACKAGE = Path(tg.__file__).parent


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_an_error_raised_while_another_is_handled_hides_it(path: Path) -> None:
    """`from error` stays where the error is of the user's own code: a layer that is tried, a step that is compiled."""
    users = {"module_laws.py", "laws.py", "__main__.py", "recording.py", "plan.py"}
    for handler in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(handler, ast.ExceptHandler) and path.name not in users:
            for node in ast.walk(handler):
                if isinstance(node, ast.Raise) and node.exc is not None:
                    assert isinstance(node.cause, ast.Constant), f"{path.name}:{node.lineno}: write `from None`"


def while_another_is_handled(kind: type[Exception]) -> None:
    try:
        raise KeyError("NumPy's")
    except KeyError:
        raise kind("ours")  # noqa: B904


def test_our_errors_hide_what_they_were_made_of() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.TensorError)]
    assert len(kinds) > 10
    for kind in kinds:
        with pytest.raises(kind) as caught:
            while_another_is_handled(kind)
        assert "NumPy's" not in "".join(traceback.format_exception(caught.value))


STRANGE: list[Any] = [None, "a", [], [1.0, 2.0], {}, 1.5, 7, True, int, len, object(), np.ones(2), (1, "a"), slice(1)]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.filterwarnings("ignore")
def test_no_operation_answers_strange_arguments_with_an_accident(name: str) -> None:
    x = tg.ones(2, 2)
    calls = [(), (x,), (x, x), (x, x, x, x, x, x, x)]
    for s in STRANGE:
        calls += [(s,), (x, s), (x, s, s), (s, x)]
    for args in calls:
        for kwargs in ({}, {"foo": 1}, {"dim": "a"}):
            try:
                FUNCTIONS[name](*args, **kwargs)
            except (errors.TensorError, TypeError):
                pass
            except Exception as error:
                pytest.fail(f"{name}{args} {kwargs}: {type(error).__name__}: {error}")


TAKERS = [f"nn.functional.{name}" for name in tg.nn.functional.__all__] + [
    "numel", "equal", "allclose", "full_like", "zeros_like", "rand_like", "randn_like", "randint_like", "bernoulli",
    "multinomial", "autograd.backward", "autograd.grad", "nn.utils.clip_grad_norm_", "nn.utils.clip_grad_value_",
    "nn.init.normal_", "nn.init.zeros_", "nn.init.kaiming_uniform_", "from_numpy",
]  # fmt: skip


@pytest.mark.parametrize("path", TAKERS)
@pytest.mark.filterwarnings("ignore")
def test_no_function_takes_a_stranger_for_a_tensor_by_accident(path: str) -> None:
    function: Any = tg
    for name in path.split("."):
        function = getattr(function, name)
    for stranger in STRANGE:
        for args in ((stranger,), (stranger, tg.ones(2, 2))):
            with contextlib.suppress(errors.TensorError, TypeError):
                function(*args)


LAYERS = [name for name in nn.__all__ if isinstance(getattr(nn, name), type) and name not in ("Module", "Parameter")]


@pytest.mark.parametrize("name", LAYERS)
def test_no_layer_is_made_with_strange_settings_by_accident(name: str) -> None:
    layer = getattr(nn, name)
    usual = {"int": 2, "float": 0.5, "bool": True, "str": "none"}
    parameters = list(inspect.signature(layer).parameters.values())
    filled = [usual.get(str(p.annotation), (2, 2)) for p in parameters if p.default is p.empty and p.kind < 2]
    for i, p in enumerate(parameters):
        if str(p.annotation).partition(" | ")[0] not in usual:
            continue
        for wrong in (tg.ones(2, 2), "zzz", [1], {}, int, object()):
            if str(p.annotation) == "str" and wrong == "zzz":
                continue
            args = [*filled[:i], wrong, *filled[i + 1 :]] if i < len(filled) else filled
            with pytest.raises(errors.DtypeError, match=name):
                layer(*args, **({} if i < len(filled) else {p.name: wrong}))
