"""Every example runs, says what it promises and draws what it is asked to; the figures are in `tutorials.py`.

Each `main` is called in this process with `--quick`, and its printed tables are read back. Whatever file in
`examples/` has a `main` is found and tested for `--help` and `--plot` without being named here.
"""

from __future__ import annotations

import gzip
import importlib
import re
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tutorials as t

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py") if "\ndef main(" in path.read_text("utf-8"))
EXTRA = 'pip install -e ".[examples]"'
Example = Callable[[str], ModuleType]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Example]:
    """An example as a module, found as if it were run as a script and forgotten afterwards."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    before = set(sys.modules)
    yield importlib.import_module
    for path in EXAMPLES.glob("*.py"):
        if path.stem not in before:
            sys.modules.pop(path.stem, None)


@pytest.fixture
def mnist_folder(tmp_path: Path) -> Path:
    """MNIST's two test files with 300 easy images: digit d is a bright bar in rows 2d and 2d + 1."""
    random = np.random.default_rng(0)
    labels = np.arange(300, dtype=np.uint8) % 10
    images = random.integers(0, 60, (300, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 2] = 250
    for name, data in ("images-idx3", images), ("labels-idx1", labels):
        head = bytes([0, 0, 8, data.ndim]) + struct.pack(f">{data.ndim}I", *data.shape)
        (tmp_path / f"t10k-{name}-ubyte.gz").write_bytes(gzip.compress(head + data.tobytes()))
    return tmp_path


def table(text: str, name: str) -> np.ndarray:
    """Every row `name` or `name[i,j]` of a printed table, as floats: (rows, columns)."""
    rows = re.findall(rf"^  {re.escape(name)}(?:\[[\d,]+\])? +((?: *-?[\d.]+)+)$", text, re.MULTILINE)
    assert rows, f"no table {name!r} in\n{text}"
    return np.array([row.split() for row in rows], np.float64)


def assert_text_graph_differences_agree(text: str, *names: str) -> None:
    for name in names:
        rows = table(text, name)
        assert np.ptp(rows, axis=1).max() <= 1.01e-8, f"{name}:\n{rows}"  # one unit in the last digit printed
        assert np.abs(rows).max() > 1e-4, f"{name} shows nothing but zeros"


def accuracy(text: str) -> float:
    """The figure in the last line."""
    found = re.fullmatch(r"test accuracy (\d+\.\d\d) %", text.splitlines()[-1])
    assert found, text
    return float(found[1])


def test_all_examples_are_found() -> None:
    tutorials = {"binary_and", "digits", "exam_scores", "linear_2_2_1", "mazur", "mnist", "xor_bias"}
    assert tutorials | {"check_your_numpy", "compiled_step", "custom_layer"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_help(name: str, example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        example(name).main(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(option in text for option in ("--quick", "--plot", "After this file you know"))


def test_exam_scores(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    example("exam_scores").main(["--quick"])
    text = capsys.readouterr().out
    assert_text_graph_differences_agree(text, "z2_delta", "o_delta", "W1 step")
    assert f"loss after 1,000 steps: {t.EXAM_LOSS[0][0]:.1e}" in text
    weights = t.exam_weights(0)
    for _ in range(1_000):
        weights = t.exam_step(t.EXAM_X, t.EXAM_Y, weights)
    for largest in t.EXAM_ASKED.max(), t.EXAM_X_RAW.max(axis=0):
        assert f"→ {t.sigmoid_layers(t.EXAM_ASKED / largest, weights)[-1].item():.5f}" in text
    assert table(text, "sums").tolist() == [[7.6, 7.6], [7.5, 3.9], [6.5, 6.5]]
    assert table(text, "hidden").tolist() == [[1.00055308, 0.98015969]]
    assert table(text, "output").tolist() == [[0.85794431, 0.85674680]]
    assert "½·Σ: 1.500 times that of the mean" in text
    assert "mean loss 1.0e-05" in text


def test_xor_bias(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("xor_bias")
    module.main([])
    text = capsys.readouterr().out
    assert table(text, "XOR")[:, 0].tolist() == list(t.XOR_PREDICTIONS)
    assert f"loss {t.XOR_LOSS[0]:.2e}; it fell with every step" in text
    by_text, by_graph, numeric = np.vstack([table(text, "d_weights1"), table(text, "d_weights2")]).T
    assert np.abs(by_graph - numeric).max() <= 1.01e-8
    assert np.abs(by_graph + by_text).max() <= 1.01e-8
    before, against, along = map(float, re.findall(r"(?:loss is|makes it|code does,) (\d\.\d{6})", text))
    assert along < before < against
    module.main(["--quick"])
    assert table(capsys.readouterr().out, "XOR").round().tolist() == [[0, 0], [1, 1], [1, 1], [0, 0]]


def test_binary_and(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    example("binary_and").main(["--quick"])
    text = capsys.readouterr().out
    assert re.findall(r"here 0(\.\d{6})", text) == t.AND_MSE.split()
    assert re.findall(r"text 0(\.\d{6})", text) == t.AND_MSE.split()
    assert "classes [0 0 0 1], accuracy 100%" in text
    assert_text_graph_differences_agree(text, "delta 1", "delta 2", "delta 3")
    deltas = table(text, "delta")
    assert np.ptp(deltas[:, 1:], axis=1).max() <= 1.01e-8
    assert np.abs(deltas[:, 0] - deltas[:, 1]).min() > 1e-2  # the text's derivative of None
    assert table(text, "output").T.tolist() == [list(t.LAYER_3_4[None]), list(t.LAYER_3_4["sigmoid"])]
    (frozen, trained), (frozen_later, trained_later), copies, one_hot = table(text, "MSE")
    assert trained_later < frozen_later < frozen < trained
    assert "from epoch 364 on they are ahead" in text
    assert "same target, biases trained, 700 epochs: classes [1 0 0 1]" in text
    assert "one-hot, biases trained, 700 epochs: classes [0 0 0 1]" in text
    assert copies[0] == pytest.approx(copies[1], abs=2e-6)
    assert one_hot[1] > 100 * one_hot[0]
    assert table(text, "class")[:, :2].tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]  # the "fun note"


def test_binary_and_refuses_fewer_epochs_than_the_text(example: Example) -> None:
    with pytest.raises(SystemExit, match="2"):
        example("binary_and").main(["--epochs", "10"])


def test_linear_2_2_1(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    example("linear_2_2_1").main(["--quick"])
    text = capsys.readouterr().out
    assert table(text, "hidden").T.tolist() == [list(t.LINEAR_WRONG_HIDDEN), [1.07, 0.31]]
    assert "output 0.2171, error 0.306466205, delta -0.7829" in text
    wrong, *right = table(text, "dE/dW").T
    assert np.ptp(right, axis=0).max() <= 1.01e-8
    assert np.abs(wrong - right[0]).min() > 1e-2
    assert_text_graph_differences_agree(text, "dE/dw")
    dot, graph = table(text, "new W").T
    assert dot.tolist() == [0.35683235, 0.06683235, 0.14683235, 0.08683235]
    assert graph.tolist() == [0.355658, 0.0507829, 0.153487, 0.07117435]
    assert table(text, "new w")[:, 0].tolist() == [0.24188515, 0.02213495]
    assert table(text, "output").tolist() == [[t.LINEAR_WRONG_AFTER[0], t.LINEAR_AFTER[0]]]
    assert table(text, "error")[0].tolist() == [t.LINEAR_WRONG_AFTER[1], t.LINEAR_AFTER[1]]
    assert len(table(text, "error")) == 1 + 1 + 4


def test_mazur(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    example("mazur").main(["--quick"])
    text = capsys.readouterr().out
    assert_text_graph_differences_agree(text, "w1 … w4", "w5 … w8")
    assert re.search(rf"at first +{t.MAZUR_ERROR[0]:.9f}", text)
    assert re.search(rf"after one step +{t.MAZUR_ERROR[1]:.9f}", text)


def test_digits(example: Example, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    weights = tmp_path / "digits.safetensors"
    example("digits").main(["--quick", "--save", str(weights)])
    text = capsys.readouterr().out
    assert accuracy(text) >= 97
    assert f"weights saved to {weights} ({weights.stat().st_size:,} bytes), loaded again: the same" in text
    rows = [row.replace("·", "0").split()[1:] for row in text.splitlines() if re.match(r" {10}\d ", row)]
    confusion = np.array(rows, int)
    assert confusion.shape == (10, 10)
    assert confusion.sum() == 360
    assert f"{100 * np.trace(confusion) / 360:.2f}" == f"{accuracy(text):.2f}"


def test_digits_notices_weights_that_come_back_changed(
    example: Example, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    digits = example("digits")
    net, images = digits.network(64), np.random.default_rng(0).random((50, 8, 8), np.float32)
    monkeypatch.setattr(digits.tg, "load", lambda path: digits.network(64).state_dict())
    with pytest.raises(RuntimeError, match="answers otherwise"):
        digits.save_and_reload(net, tmp_path / "net.safetensors", digits.network(64), images)


def test_digits_without_scikit_learn_names_the_extra(
    example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(SystemExit, match=re.escape(EXTRA)):
        example("digits").main(["--quick"])


def test_plot_without_matplotlib_names_the_extra(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit, match=re.escape(EXTRA)):
        example("linear_2_2_1").main(["--plot", "never.png"])


def test_jittered_moves_whole_images_by_at_most_one_pixel(example: Example) -> None:
    digits = example("digits")
    image = np.zeros((1, 8, 8), np.float32)
    image[0, 3:5, 3:5] = 1
    moved = digits.jittered(np.repeat(image, 200, axis=0), np.random.default_rng(0))
    places = {tuple(np.argwhere(one)[0] - 3) for one in moved}
    assert places == {(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)}
    assert (moved.sum(axis=(1, 2)) == 4).all()


def sections(text: str) -> dict[str, str]:
    """What is printed below each heading."""
    parts = re.split(r"\n(.+)\n-+\n", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_custom_layer_names_every_planted_mistake(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    example("custom_layer").main([])
    found = {heading.partition(":")[0]: text for heading, text in sections(capsys.readouterr().out).items()}
    assert "gradcheck of Dense: passed" in found.pop("the right backward")
    causes = {
        "without_g": "forgot to multiply by the incoming gradient", "without_slope": "`1 - y*y`", "uphill": "→ sign",
        "wrong_point": "at the activation instead of the pre-activation",
        "other_slope": "→", "averaged": "batch size", "transposed": "→ transposed", "frozen": "→ frozen",
        "swapped": "→ swapped", "last_write": "tanh(x)", "one_branch": "where the input x is negative",
        "cut": "the second order is wrong while the first is right",
    }  # fmt: skip
    laws = found.pop("more than a gradient")
    assert "every law that was tried holds" in laws
    assert found.keys() == causes.keys()
    for name, text in found.items():
        assert "FAIL" in text, name
        assert causes[name] in text, name
    assert "right: input 0, weight" in found["averaged"]
    assert "right: input 0, bias" in found["transposed"]


def test_check_your_numpy_names_the_texts_faults(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    example("check_your_numpy").main(["--quick"])
    right, text_and, dot, outer, xor, exam = sections(capsys.readouterr().out).values()
    assert "gradcheck of forward: passed" in right
    assert "5 of 5 networks" in right
    assert all(f"FAIL  {name}" in text_and for name in ("W1", "b1", "W2", "b2"))
    none, others = text_and.split("activation None:")[1].split(" activation tanh:")
    assert "the factor `y` is one too many" in none
    assert others.count("PASS  x") == 2
    assert "FAIL  first\n    → " in dot
    assert "a dot product (or a total) where the outer product belongs" in dot
    assert "PASS  second" in dot
    assert outer.split() == ["PASS", "first", "PASS", "second"]
    assert xor.count("→ sign: your gradient is minus the right one everywhere") == 2
    assert "constant factor 3/2" in exam


def test_compiled_step_shows_the_texts_deltas_and_leaves_home(
    example: Example, capsys: pytest.CaptureFixture[str]
) -> None:
    example("compiled_step").main(["--quick"])
    text = capsys.readouterr().out
    for name in ("o_delta", "z2_delta", "loss, first", "loss, last"):
        assert np.ptp(table(text, name), axis=1).max() <= 1e-8
    assert re.search(r"multiply\(.*d_output\) +← minus the text's o_delta\n", text)
    assert re.search(r"multiply\(.*d_hidden\) +← minus the text's z2_delta\n", text)
    here, alone, actual = table(text, "score").T
    assert here.tolist() == alone.tolist()
    assert np.abs(here - actual).max() < 0.2
    apart = re.search(r"those trained here by (\S+) at most", text)
    assert apart
    assert float(apart[1]) < 1e-12


def test_mnist_splits_the_test_files_where_the_training_files_are_missing(
    example: Example, capsys: pytest.CaptureFixture[str], mnist_folder: Path
) -> None:
    example("mnist").main(["--epochs", "20", "--data", str(mnist_folder)])
    text = capsys.readouterr().out
    assert "240 digits to learn, 60 to be tested on" in text
    assert accuracy(text) >= 95


def test_mnist_uses_the_training_files_where_they_are(example: Example, mnist_folder: Path) -> None:
    for path in mnist_folder.iterdir():
        (mnist_folder / path.name.replace("t10k", "train")).write_bytes(path.read_bytes())
    assert [len(part) for part in example("mnist").load(mnist_folder)] == [300] * 4


def test_mnist_says_in_one_sentence_what_is_wrong_with_a_file(example: Example, mnist_folder: Path) -> None:
    (mnist_folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"not gzip")
    with pytest.raises(SystemExit, match="t10k-labels"):
        example("mnist").main(["--data", str(mnist_folder)])


@pytest.mark.parametrize("name", NAMES)
def test_plot(name: str, example: Example, mnist_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    options = ["--quick", "--plot", str(tmp_path / "picture.png")]
    if name == "digits":
        pytest.importorskip("sklearn")
        options += ["--epochs", "1", "--save", str(tmp_path / "weights.safetensors")]
    if name == "mnist":
        options += ["--epochs", "1", "--data", str(mnist_folder)]
    if name == "exam_scores":
        options += ["--steps", "10"]
    if name == "binary_and":
        options += ["--epochs", "290"]
    example(name).main(options)
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("installed", [True, False])
def test_progress_passes_every_step_with_and_without_tqdm(
    installed: bool, example: Example, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if installed:
        pytest.importorskip("tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    assert list(example("common").progress(range(20), "counting")) == list(range(20))
    error = capsys.readouterr().err
    assert ("counting: 10 of 20" in error) is not installed
