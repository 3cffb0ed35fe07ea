"""Activations and gradients through depth: what is measured is what theory says, and the command's files."""

import json
import math

import pytest

from convsmith.cli import main
from convsmith.nets.cost import cost
from convsmith_textbook.questions.initialization import GAINS, SETTINGS, Setting, expected, moments
from convsmith_textbook.questions.initialization_measured import measure, measured, plain_network


def test_the_condition_of_he_is_a_gain_of_two():
    for gain in (0.5, 1.0, 2.0, 4.0):
        course = expected(Setting("", "relu", gain), 10)
        assert course.forward[-1] == pytest.approx((gain / 2) ** 5)
        assert course.backward[0] == pytest.approx((gain / 2) ** 4.5)
        assert course.backward[-1] == 1
    assert len(course.forward) == len(course.backward) == 10


def test_moments_of_activations():
    assert moments("relu", 2.0) == (1.0, 0.5, pytest.approx(1 - 1 / math.pi))
    small = moments("tanh", 1e-6)
    assert small[0] == pytest.approx(1e-6, rel=1e-4)
    assert small[1] == pytest.approx(1, rel=1e-4)
    assert moments("tanh", 1e6)[0] == pytest.approx(1, abs=2e-3)
    # Yang et al. 2019: with ReLU and batch norm the squared gradient grows by pi / (pi - 1) with each layer.
    _, slope, variance = moments("relu", 1.0)
    assert slope / variance == pytest.approx(math.pi / (math.pi - 1))


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: f"{s.act} {s.name}")
def test_what_is_measured_is_what_theory_says(setting):
    theory, courses = expected(setting, 12), [measured(setting, 12, 256, seed) for seed in range(2)]
    for course in courses:
        assert len(course.forward) == len(course.backward) == 12
        for ours, closed in ((course.forward, theory.forward), (course.backward, theory.backward)):
            assert all(abs(math.log(a / b)) < 0.35 for a, b in zip(ours, closed, strict=True))
    assert measured(setting, 12, 256, 1) == courses[1]


def test_the_network_is_plain():
    tree = plain_network(SETTINGS[0], 30, 64)
    assert cost(tree).params == 30 * 64 * 64 + 2 * 65
    assert [name for name, _ in tree.stages][-1] == "layer30"


def test_findings():
    found = measure(2, quick=True)
    assert len(found.rows) == len(SETTINGS) == 2 * (len(GAINS) + 1)
    by_name = {(s["activation"], s["initialization"]): s for s in found.data["settings"]}
    he, small = by_name["relu", "He (2)"], by_name["relu", "too small (0.5)"]
    assert he["n"] == 2
    assert len(he["forward"]) == 30
    assert he["last_activations"]["deviation"] > 0
    assert small["last_activations"]["mean"] < 1e-8 < he["last_activations"]["mean"]
    assert by_name["relu", "too large (4)"]["first_gradient"]["mean"] > 1e3
    assert [line.rpartition(" = ")[2] for line in found.checks] == ["0.25", "0.5", "1", "2"]
    assert found.picture.startswith("<svg")
    assert "relu: activations" in found.picture


def test_the_command(tmp_path, capsys):
    out = str(tmp_path / "measured")
    assert main(["reproduce", "initialization", "--quick", "--dry-run", "--out", out]) == 0
    assert "nothing is trained; 2 seeds" in capsys.readouterr().out
    assert not (tmp_path / "measured").exists()
    assert main(["reproduce", "initialization", "--quick", "--seeds", "1", "--out", out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["layers"] == 30
    assert json.loads((tmp_path / "measured" / "summary.json").read_text())["settings"] == told["settings"]
    assert "fan_in" in (tmp_path / "measured" / "report.html").read_text()
    assert (tmp_path / "measured" / "picture.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "3"], "initialization trains nothing, so --epochs cannot be given; it takes --seeds, --quick"),
        (["--optimizer.lr", "0.1"], "so --optimizer.lr cannot be given"),
        (["--seeds", "0"], "--seeds must be at least 1, received 0"),
    ],
)
def test_wrong_options(words, message, tmp_path, capsys):
    assert main(["reproduce", "initialization", "--out", str(tmp_path / "x"), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_of_something_else_stays(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["reproduce", "initialization", "--quick", "--out", str(tmp_path)]) == 2
    assert "expected a new or empty folder, or one of the experiment initialization" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
