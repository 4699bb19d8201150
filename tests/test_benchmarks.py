"""The benchmarks compare like with like, and print no figure that says nothing; how fast anything is, is not tested.

The harness itself runs in `python -m benchmarks --quick`. Read `benchmarks/README.md` next.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import tinygrad_bp as tg
from benchmarks import handwritten, harness, nets, plots, report, stats, suites, worker
from benchmarks.suites import digits, import_time, op_overhead, train_step, update

PEERS = ["tinygrad_bp", *(["compiled"] if hasattr(tg, "compile") else [])]


def values(name: str, suite: str, which: object, calls: int) -> list[float]:
    """What a contender's process would answer, in this process."""
    peer = pytest.importorskip(f"benchmarks.peers.{name}")
    return worker.values(peer, suite, which, calls)


@pytest.mark.parametrize("net", nets.ALL)
@pytest.mark.parametrize("name", PEERS)
def test_every_net_loses_what_the_hand_written_code_loses(name: str, net: str) -> None:
    tolerance = 1e-9 if nets.ALL[net].dtype == "float64" else 1e-4
    calls = 3 if net == "wide" else 6
    expected = values("handwritten", "train_step", net, calls)
    assert expected[0] != expected[-1], "training moves the loss"
    assert harness.same(expected, values(name, "train_step", net, calls), tolerance)


@pytest.mark.parametrize("name", PEERS)
def test_a_step_begins_anew_from_the_start_weights(name: str) -> None:
    once = values(name, "train_step", "binary_and", 4)
    assert once == values(name, "train_step", "binary_and", 4)
    assert len(set(once)) == 4


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("net", [net for net in nets.NETS if nets.NETS[net].bias and net != "wide"])
def test_predictions_are_those_of_the_hand_written_code(name: str, net: str) -> None:
    expected = values("handwritten", "latency", net, 1)
    assert len(expected) == nets.NETS[net].sizes[-1]
    assert harness.same(expected, values(name, "latency", net, 1), 1e-5)


@pytest.mark.parametrize("case", update.CASES)
def test_updates_are_pytorchs(case: str) -> None:
    pytest.importorskip("torch")
    expected = values("torch", "update", case, 3)
    for name in PEERS:
        assert harness.same(expected, values(name, "update", case, 3), 1e-5)


@pytest.mark.parametrize("op", op_overhead.OPS)
def test_chains_of_operations_stay_finite_all_along(op: str) -> None:
    gradient = values("tinygrad_bp", "op_overhead", op, 1)
    assert len(gradient) == 9
    assert all(0 < abs(value) < 1e60 for value in gradient)


def test_a_depth_is_a_chain_of_as_many_factors() -> None:
    assert values("tinygrad_bp", "depth", 10_000, 1) == pytest.approx([(1 + 2**-20) ** 10_000], rel=1e-4)


def test_digits_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.setattr(digits, "GOAL", 0.7)
    peer = pytest.importorskip("benchmarks.peers.handwritten")
    _, epochs, right = digits.train(peer)
    assert 0.7 <= right <= 1
    assert 1 <= epochs < digits.MOST


def test_quartiles_are_those_of_the_values_in_order() -> None:
    assert stats.spread([5.0, 1.0, 3.0, 2.0, 4.0]) == (2.0, 3.0, 4.0)
    assert stats.spread([7.0]) == (7.0, 7.0, 7.0)


def test_a_ratio_is_taken_round_by_round() -> None:
    assert stats.paired([1.0, 20.0, 3.0], [2.0, 40.0, 6.0]) == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("ratios", "why"),
    [
        ([0.5, 0.5], "two rounds show no spread"),
        ([0.4, 0.4, 1.0, 1.0], "the upper quartile is more than twice the lower one"),
        ([-0.1, -0.1, 0.5, 0.5], "a quartile is negative"),
        ([0.0, 0.0, 0.0], "nothing was measured"),
    ],
)
def test_a_ratio_that_says_nothing_is_not_printed(ratios: list[float], why: str) -> None:
    assert stats.shown_ratio(ratios) == stats.verdict(ratios, 1.0) == "unclear", why


def test_a_ratio_that_is_clear_is_printed_and_judged_by_its_median() -> None:
    ratios = [0.8, 0.9, 1.0, 1.1, 1.6]  # the quartiles are 0.9 and 1.1, whatever the last one is
    assert stats.shown_ratio(ratios) == "1.00 [0.900, 1.10]"
    assert (stats.verdict(ratios, 1.0), stats.verdict(ratios, 0.99)) == ("met", "MISSED")


def test_an_interval_twice_as_wide_is_still_clear() -> None:
    assert stats.clear([1.0, 1.0, 2.0, 2.0])


@pytest.mark.parametrize(
    ("value", "text"), [(0.012345, "0.0123"), (9.876, "9.88"), (45678.9, "45,679"), (0.0, "0.00"), (-1.5, "-1.50")]
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert stats.significant(value) == text


def test_agreement_is_relative_and_nan_never_agrees() -> None:
    assert harness.same([100.0, 0.0], [100.0001, 1e-5], 1e-5)
    assert not harness.same([100.0], [100.01], 1e-5)
    assert not harness.same([float("nan")], [float("nan")], 1.0)
    assert not harness.same([1.0], [1.0, 1.0], 1.0)


def test_a_loss_that_hardly_moves_proves_nothing() -> None:
    assert harness.moves([1.0, 0.9], 1e-4)
    assert not harness.moves([1.0, 0.999], 1e-4)


TABLE = report.Table("µs", ["who", "net"], [["a|b", "1.0"], ["longer", "12.5"]])


def test_a_table_in_markdown() -> None:
    assert TABLE.markdown().splitlines() == [
        "**µs**",
        "",
        "| who | net |",
        "| --- | --: |",
        "| a\\|b | 1.0 |",
        "| longer | 12.5 |",
    ]


def test_a_table_in_the_terminal_is_aligned() -> None:
    assert TABLE.text().splitlines() == ["µs", "  who      net", "  a|b      1.0", "  longer  12.5"]


def test_a_reason_is_said_once_for_all_parts() -> None:
    result = report.Result("s", "Title", [TABLE])
    result.left_out("mlp", {"x": "slow"})
    result.left_out("wide", {"x": "slow", "y": "wrong"})
    last = result.markdown().split("\n\n")[-1]
    assert last.splitlines() == ["- x left out of mlp, wide: slow", "- y left out of wide: wrong"]


def test_reports_are_written(tmp_path: Path) -> None:
    result = report.Result("train_step", "Title", [TABLE], {"seconds": [1.5]}, seconds=2.0)
    report.write(tmp_path / "new", ["a machine"], [result], {"rounds": 3}, ["train_step.png"])
    text = (tmp_path / "new" / "results.md").read_text("utf-8")
    assert "- a machine" in text
    assert TABLE.markdown() in text
    assert "![train_step](train_step.png)" in text
    found = json.loads((tmp_path / "new" / "results.json").read_text("utf-8"))
    assert found["rounds"] == 3
    assert found["suites"]["train_step"]["raw"] == {"seconds": [1.5]}


def test_targets_are_judged_and_what_is_missing_is_said() -> None:
    rows = train_step.aims({"mlp": {"tinygrad_bp": [0.9] * 3, "torch": [1.0] * 3}})
    judged = {(pair, net): answer for pair, net, _, _, answer in rows}
    assert judged["tinygrad_bp / torch", "mlp"] == "met"
    assert judged["compiled / jax", "mlp"] == "not measured"
    assert {net for _, net in judged} == set(nets.NETS)


def test_pictures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    times = {"tinygrad_bp": [1.0, 1.1, 1.2], "handwritten": [0.5, 0.5, 0.6]}
    results = [
        report.Result("train_step", "", raw={"seconds": {"mlp": times}}),
        report.Result("depth", "", raw={"seconds per node": {100: times, 1000: times}}),
    ]
    names, notes = plots.draw(tmp_path, results)
    assert (names, notes) == (["train_step.png", "depth.png"], [])
    assert all((tmp_path / name).stat().st_size > 5_000 for name in names)


def test_every_peer_of_the_list_has_its_file_and_every_suite_too() -> None:
    files = {path.stem for path in (harness.HERE / "peers").glob("*.py")} - {"__init__"}
    assert {peer.name for peer in harness.peers()} == files
    assert {path.stem for path in (harness.HERE / "suites").glob("*.py")} - {"__init__"} == set(suites.SUITES)


def test_the_installed_size_is_that_of_the_package() -> None:
    package = Path(tg.__file__).parent
    sources = sum(path.stat().st_size for path in package.rglob("*.py*") if path.suffix != ".pyc")
    assert sources / 2**20 <= import_time.installed_mib("tinygrad_bp") < 5


def test_the_yardstick_learns_with_data_passed_in() -> None:
    net = nets.NETS["binary_and"]
    _, x, y = nets.start(net)
    training, step = handwritten.make_training(net), handwritten.make_step(net)
    assert [training.step(x, y) for _ in range(4)] == pytest.approx([step() for _ in range(4)], rel=1e-12)
